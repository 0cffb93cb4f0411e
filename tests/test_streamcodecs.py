"""Byte streams in messages, without a connection."""

from __future__ import annotations

from base64 import b64encode
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import MODERN
from txhixie.applications.streamcodecs import (
    CODECS,
    MOST,
    Base64,
    Binary,
    Codec,
    Text,
    carries,
    codecNamed,
)
from txhixie.settings import DIALECT_NAMES

codecs = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)


def carried(codec: type[Codec], pieces: list[bytes]) -> bytes:
    """@return: what the other side gets of the pieces."""
    sender, receiver = codec(), codec()
    messages = [message for piece in pieces for message in sender.messages(piece)]
    sender.finish()
    assert all(messages), "an empty message says nothing"
    kind = bytes if codec.needsBytes else str
    assert all(type(message) is kind for message in messages)
    return b"".join(map(receiver.bytesOf, messages))


@pytest.mark.parametrize("codec", [Binary, Base64])
@given(pieces=st.lists(st.binary()))
def test_bytes(codec: type[Codec], pieces: list[bytes]) -> None:
    """Any bytes arrive as they were written."""
    assert carried(codec, pieces) == b"".join(pieces)


@given(text=st.text(), cuts=st.lists(st.integers(0, 40), max_size=6))
def test_text(text: str, cuts: list[int]) -> None:
    """
    Any text arrives as it was written, however it is cut, and each message is whole characters.
    """
    data = text.encode()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]
    assert carried(Text, pieces) == data


@codecs
def test_large(codec: type[Codec]) -> None:
    """A large piece becomes several messages that every peer accepts, from any kind of buffer."""
    data = b"\xc3\xa9" * MOST + b"x"
    for piece in (data, bytearray(data), memoryview(data)):
        messages = [*codec().messages(piece)]
        assert len(messages) == 3
        assert max(map(len, messages)) <= 65536
        assert b"".join(map(codec().bytesOf, messages)) == data


def test_half() -> None:
    """Half a character waits for the other half."""
    codec = Text()
    assert [*codec.messages(b"caf\xc3")] == ["caf"]
    assert [*codec.messages(b"\xa9")] == ["\u00e9"]
    codec.finish()


@pytest.mark.parametrize("data", [b"\xff\xfb\x01", b"a\xc3b", b"\xed\xa0\x80", b"\xf8"])
def test_notText(data: bytes) -> None:
    """Bytes that are not UTF-8 raise, after the valid part."""
    codec = Text()
    assert [*codec.messages(b"login: ")] == ["login: "]
    with pytest.raises(UnicodeDecodeError):
        [*codec.messages(data)]


def test_cutOff() -> None:
    """Half a character at the end raises, too."""
    codec = Text()
    assert [*codec.messages(b"\xe2\x82")] == []
    with pytest.raises(UnicodeDecodeError):
        codec.finish()


@pytest.mark.parametrize("message", ["YQ", "Y", "YQ==YQ==", "YQ= =", "Y-_=", "\u00e9", "YQ==\n"])
def test_notBase64(message: str) -> None:
    """A message that is not base64 is refused, and not read as something else."""
    for given_ in (message, message.encode()):
        with pytest.raises(ValueError, match="a message is not base64"):
            Base64().bytesOf(given_)


@given(st.text() | st.binary())
def test_garbage(message: str | bytes) -> None:
    """No message from a peer raises any other error."""
    for codec in CODECS.values():
        try:
            data = codec().bytesOf(message)
        except ValueError:
            assert codec is Base64
        else:
            if codec is not Base64:
                assert data == (message.encode() if isinstance(message, str) else message)
            else:
                assert b64encode(data) == (
                    message.encode() if isinstance(message, str) else message
                )


def test_names() -> None:
    """Each codec has its name, and the Hixie dialects cannot carry bytes."""
    assert [*CODECS] == ["binary", "base64", "text"]
    assert [codecNamed(name).name for name in CODECS] == [*CODECS]
    with pytest.raises(ValueError, match="no codec 'hex', only binary, base64, text"):
        codecNamed("hex")
    carrying = {name for name in DIALECT_NAMES if carries(Binary, name)}
    assert carrying == {*MODERN}
    assert all(carries(codec, name) for codec in (Base64, Text) for name in DIALECT_NAMES)
