"""
How a byte stream is carried in messages.
"""

from __future__ import annotations

import codecs
from abc import ABC, abstractmethod
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Iterator
from typing import ClassVar

# The most bytes of the stream that one message carries; in base64 they are 64 KiB.
MOST = 48 * 1024

_Decoder = codecs.getincrementaldecoder("utf-8")


class Codec(ABC):
    """
    Makes messages of bytes, and bytes of messages, for one connection.

    @cvar name: the name, which is also that of the subprotocol.
    @cvar needsBytes: whether it sends bytes messages, which not every dialect has.
    """

    name: ClassVar[str]
    needsBytes: ClassVar[bool] = False

    def messages(self, data: bytes | bytearray | memoryview) -> Iterator[str | bytes]:
        """
        Return the messages that carry C{data}, none of them empty.

        @raise ValueError: if this codec cannot carry it. The messages yielded before that can be
            sent.
        """
        view = memoryview(data).cast("B")
        for start in range(0, len(view), MOST):
            message = self._encode(view[start : start + MOST])
            if message:
                yield message

    @abstractmethod
    def _encode(self, data: memoryview) -> str | bytes:
        """
        Return the message for a part of the stream; it may be empty.
        """

    def finish(self) -> None:  # noqa: B027
        """
        Check that the stream may end here. Most streams may end anywhere.

        @raise ValueError: if it may not end here.
        """

    def bytesOf(self, message: str | bytes | bytearray) -> bytes:
        """
        Return the bytes that a message carries. In each codec, a text stands for its UTF-8.

        @raise ValueError: if it makes no sense.
        """
        return message.encode("utf-8") if isinstance(message, str) else bytes(message)


class Binary(Codec):
    """
    Each message holds bytes unchanged.
    """

    name = "binary"
    needsBytes = True

    def _encode(self, data: memoryview) -> bytes:
        return data.tobytes()


class Base64(Codec):
    """
    Each message is a complete base64 text (RFC 4648 section 4), with padding.
    """

    name = "base64"

    def _encode(self, data: memoryview) -> str:
        return b64encode(data).decode("ascii")

    def bytesOf(self, message: str | bytes | bytearray) -> bytes:
        """
        @raise ValueError: if the message is not base64.
        """
        try:
            return a2b_base64(super().bytesOf(message), strict_mode=True)
        except ValueError as error:
            raise ValueError(f"a message is not base64: {error}") from None


class Text(Codec):
    """
    The stream is UTF-8, and each message is a part of it. A character that is written in parts is
    sent once it is complete.
    """

    name = "text"

    def __init__(self) -> None:
        self._decoder = _Decoder()

    def _encode(self, data: memoryview) -> str:
        return self._decoder.decode(data)

    def finish(self) -> None:
        """
        @raise ValueError: if the last character is not complete.
        """
        self._decoder.decode(b"", True)


CODECS: dict[str, type[Codec]] = {each.name: each for each in (Binary, Base64, Text)}


def codecNamed(name: str) -> type[Codec]:
    """
    Return a codec.

    @raise ValueError: if there is none of that name.
    """
    try:
        return CODECS[name]
    except KeyError:
        raise ValueError(f"there is no codec {name!r}, only {', '.join(CODECS)}") from None


def carries(codec: type[Codec], dialect: str) -> bool:
    """
    Return whether a dialect has the messages that a codec sends.

    @param dialect: its name.
    """
    return not (codec.needsBytes and dialect.startswith("hixie-"))
