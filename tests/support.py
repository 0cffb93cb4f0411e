"""
What a client of each dialect sends, and helpers to send it to a connection.

To add a dialect, add an entry to L{IDIOMS}; the contract and property tests then cover it.
"""

from __future__ import annotations

import gc
import logging
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from twisted.logger import Logger
from zope.interface.interface import Element, Specification

from txhixie.dialects.choosing import choose
from txhixie.dialects.connection import Connection, LastFrame, State
from txhixie.dialects.frames import Frames
from txhixie.dialects.head import HandshakeError, RequestHead
from txhixie.dialects.opening import ServerOpening
from txhixie.settings import Settings

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet

Fields = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class Idiom:
    """
    How one dialect is spoken, on both sides.

    @ivar fields: the header fields of a client's request.
    @ivar preamble: what a client sends after the head to complete the handshake.
    @ivar clientText: frames a text as a client does.
    @ivar serverText: frames a text as the server does.
    @ivar clientClose: a client's closing frame, with the code 1000 in dialects that have codes;
        empty in a dialect without a closing handshake.
    @ivar serverClose: the server's.
    @ivar breach: bytes after which a server gives up with the code 1002.
    @ivar overhead: bytes a connection may keep beyond the payload of an unfinished message.
    """

    fields: Fields
    preamble: bytes
    clientText: Callable[[str], bytes]
    serverText: Callable[[str], bytes]
    clientClose: bytes
    serverClose: bytes
    breach: bytes
    overhead: int = 0


def _hixieText(text: str) -> bytes:
    return b"\x00" + text.encode() + b"\xff"


def frame(firstByte: int, payload: bytes, mask: bytes = b"") -> bytes:
    """
    A frame of RFC 6455 and its forerunners.

    @param firstByte: FIN, reserved bits and opcode.
    @param mask: four bytes in a client's frame, none in a server's.
    """
    size = len(payload)
    masked = 0x80 if mask else 0
    if size < 126:
        length = bytes([masked | size])
    elif size < 2**16:
        length = bytes([masked | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([masked | 127]) + size.to_bytes(8, "big")
    if mask:
        key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
        payload = (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")
    return bytes([firstByte]) + length + mask + payload


# RFC 6455 section 5.7.
_MASK = b"\x37\xfa\x21\x3d"


def clientFrame(firstByte: int, payload: bytes = b"") -> bytes:
    """
    A frame as a client sends it, masked.
    """
    return frame(firstByte, payload, _MASK)


_FIELDS: Fields = (
    (b"Upgrade", b"WebSocket"),
    (b"Connection", b"Upgrade"),
    (b"Host", b"example.com"),
    (b"Origin", b"http://example.com"),
)


def _hybi(version: int, origin: bytes) -> Idiom:
    return Idiom(
        fields=(
            (b"Host", b"example.com"),
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (origin, b"http://example.com"),
            (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
            (b"Sec-WebSocket-Version", b"%d" % version),
        ),
        preamble=b"",
        clientText=lambda text: clientFrame(0x81, text.encode()),
        serverText=lambda text: frame(0x81, text.encode()),
        clientClose=clientFrame(0x88, b"\x03\xe8"),
        serverClose=frame(0x88, b"\x03\xe8"),
        # A frame without a mask.
        breach=frame(0x81, b"a"),
        # A frame's header, or the close frame that will answer.
        overhead=512,
    )


IDIOMS: dict[str, Idiom] = {
    "hixie-75": Idiom(
        fields=_FIELDS,
        preamble=b"",
        clientText=_hixieText,
        serverText=_hixieText,
        clientClose=b"",
        serverClose=b"",
        breach=b"\x80" * 9,
    ),
    "hixie-76": Idiom(
        fields=(
            *_FIELDS,
            (b"Sec-WebSocket-Key1", b"4 @1  46546xW%0l 1 5"),
            (b"Sec-WebSocket-Key2", b"12998 5 Y3 1  .P00"),
        ),
        preamble=b"^n:ds[4U",
        clientText=_hixieText,
        serverText=_hixieText,
        clientClose=b"\xff\x00",
        serverClose=b"\xff\x00",
        breach=b"\x80" * 9,
    ),
    "hybi-07": _hybi(7, b"Sec-WebSocket-Origin"),
    "hybi-08": _hybi(8, b"Sec-WebSocket-Origin"),
    "rfc6455": _hybi(13, b"Origin"),
}

# The dialects that have bytes messages, pings and close codes, and those that have none of them.
MODERN = tuple(name for name, idiom in IDIOMS.items() if len(idiom.clientClose) > len(b"\xff\x00"))
HIXIE = tuple(name for name in IDIOMS if name not in MODERN)


def buildHead(
    dialect: str,
    changes: Mapping[bytes, bytes | None] | None = None,
    extra: Iterable[tuple[bytes, bytes]] = (),
    requestLine: bytes = b"GET /demo HTTP/1.1",
) -> bytes:
    """
    The request head of a client.

    @param changes: values that replace those of fields; L{None} leaves the field out.
    @param extra: fields that are added at the end, whether or not they are there already.
    """
    changes = changes or {}
    lines = [requestLine]
    for name, value in (*IDIOMS[dialect].fields, *extra):
        changed = changes.get(name, value)
        if changed is not None:
            lines.append(b"%b: %b" % (name, changed))
    return b"\r\n".join([*lines, b"", b""])


def parseHead(head: bytes) -> RequestHead:
    """
    Parse a head that ends with its empty line.
    """
    return RequestHead.parse(head.removesuffix(b"\r\n\r\n").split(b"\r\n"))


@dataclass(frozen=True)
class Opened:
    """
    The opening handshake is complete.
    """


class Served:
    """
    A server's connection from its request on: an opening handshake, and the connection that it
    opens. It is used like a connection; messages that are sent early wait for the handshake.
    """

    def __init__(self, opening: ServerOpening) -> None:
        self.opening = opening
        self.connection = opening.connection()
        self._tail = b""
        self._isOpen = False
        self._reply = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol agreed on."""
        return self.opening.subprotocol

    @property
    def state(self) -> State:
        """The C{readyState}."""
        state = self.connection.state
        return State.CONNECTING if not self._isOpen and state is State.OPEN else state

    def accept(self, fields: Iterable[tuple[bytes, bytes]] = ()) -> list[Any]:
        """Answer the handshake."""
        self._reply = self.opening.reply(fields)
        return [*self.receiveData(b"")]

    def receiveData(self, data: bytes) -> Iterable[Any]:
        """Read the bytes after the request head."""
        if self._isOpen:
            return self.connection.receiveData(data)
        missing = self.opening.tailSize - len(self._tail)
        self._tail += data[:missing]
        if len(self._tail) < self.opening.tailSize:
            return []
        self.connection.sendFirst(self._reply + self.opening.complete(self._tail))
        self._reply = b""
        self._isOpen = True
        return [Opened(), *self.connection.receiveData(data[missing:])]

    def dataToSend(self) -> bytes:
        """Fetch the bytes to send."""
        if self._isOpen:
            return self.connection.dataToSend()
        reply, self._reply = self._reply, b""
        return reply


def connect(head: bytes, settings: Settings = Settings(), secure: bool = False) -> Served:
    """
    The connection of a request, before it is answered.
    """
    parsed = parseHead(head)
    dialect = choose(parsed, settings.dialects)
    assert dialect is not None
    opening = dialect(parsed, settings, secure)
    opening.checkSubprotocol()
    return Served(opening)


def refusal(head: bytes, settings: Settings = Settings()) -> HandshakeError:
    """
    The error that refuses a request.
    """
    with pytest.raises(HandshakeError) as raised:
        connect(head, settings)
    return raised.value


def openConnection(dialect: str, settings: Settings = Settings()) -> Connection:
    """
    A connection whose handshake is complete, and its answer fetched.
    """
    served = connect(buildHead(dialect), settings)
    served.accept()
    served.receiveData(IDIOMS[dialect].preamble)
    served.dataToSend()
    return served.connection


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """
    Ways data may arrive: whole, byte by byte, in two parts. Long data is cut near its ends only.
    """
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    for at in range(1, len(data)):
        if min(at, len(data) - at) <= 200:
            yield [data[:at], data[at:]]


def feed(connection: Connection | Served, *pieces: bytes) -> list[Any]:
    """
    Let a connection receive pieces of data, and return all events.
    """
    return [event for piece in pieces for event in connection.receiveData(piece)]


class Deflater:
    """
    The permessage-deflate of a client, by zlib alone (RFC 7692 section 7.2).
    """

    def __init__(
        self,
        clientBits: int = 15,
        serverBits: int = 15,
        clientTakeover: bool = True,
        serverTakeover: bool = True,
        level: int = -1,
    ) -> None:
        self._newCompressor = lambda: zlib.compressobj(level, wbits=-clientBits)
        self._newDecompressor = lambda: zlib.decompressobj(wbits=-serverBits)
        self._takeover = (clientTakeover, serverTakeover)
        self._compressor, self._decompressor = self._newCompressor(), self._newDecompressor()

    def compress(self, data: bytes) -> bytes:
        """
        The payload of a client's message.
        """
        if not self._takeover[0]:
            self._compressor = self._newCompressor()
        compressed = self._compressor.compress(data)
        return (compressed + self._compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_TAIL)

    def decompress(self, payload: bytes) -> bytes:
        """
        What is in the payload of a server's message.
        """
        if not self._takeover[1]:
            self._decompressor = self._newDecompressor()
        return self._decompressor.decompress(payload + _TAIL)


_TAIL = b"\x00\x00\xff\xff"


def compressing(settings: Settings, offer: bytes = b"permessage-deflate") -> Connection:
    """
    An open RFC 6455 connection that was offered compression, and its answer fetched.
    """
    head = buildHead("rfc6455", extra=[(b"Sec-WebSocket-Extensions", offer)])
    served = connect(head, replace(settings, compression=True))
    served.accept()
    served.dataToSend()
    return served.connection


# Types of objects that are not counted as a part of what refers to them.
_SHARED = (
    CodeType,
    Element,
    Enum,
    Frames,
    FunctionType,
    LastFrame,
    Logger,
    ModuleType,
    Specification,
    logging.Logger,
    type,
)


def heldBytes(*things: object, without: tuple[type, ...] = ()) -> int:
    """
    The total length of all bytes and strings that objects keep, at any depth; without what is
    logged, and without the last frames, which all connections share.

    @param without: more types of objects that are not counted.
    """
    shared = (*_SHARED, *without)
    total = 0
    seen: set[int] = set()
    todo = [*things]
    while todo:
        thing = todo.pop()
        if id(thing) not in seen and not isinstance(thing, shared):
            seen.add(id(thing))
            total += len(thing) if isinstance(thing, (bytes, bytearray, str)) else 0
            todo += gc.get_referents(thing)
            if isinstance(thing, dict):
                # The collector skips keys that are strings.
                todo += thing
    return total


def case(requirements: str, *values: object, name: str | None = None) -> ParameterSet:
    """
    A row of a parametrised test.

    @param requirements: the requirement IDs it shows, separated by spaces.
    """
    identifiers = requirements.split()
    marks = pytest.mark.requirement(*identifiers) if identifiers else ()
    return pytest.param(*values, id=name or "-".join(identifiers) or None, marks=marks)
