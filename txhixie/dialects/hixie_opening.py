"""
The opening handshakes of Hixie-75 and Hixie-76 (the latter is also known as hybi-00).

"Draft 75" is draft-hixie-thewebsocketprotocol-75, "draft 76" its successor -76.
"""

from __future__ import annotations

import re
from hashlib import md5
from random import Random
from typing import ClassVar

from txhixie.addresses import parseAuthority
from txhixie.dialects.connection import Connection
from txhixie.dialects.errors import NotWebSocket, WrongAnswer, WrongChallenge, quoted
from txhixie.dialects.head import HandshakeError, RequestHead, ResponseHead
from txhixie.dialects.hixie import Hixie75, Hixie76
from txhixie.dialects.opening import (
    RANDOM,
    ClientOpening,
    Fields,
    ServerOpening,
    Wish,
    checkOrigin,
)
from txhixie.settings import Settings

_NOT_DIGITS = bytes(byte for byte in range(256) if byte not in b"0123456789")
_LARGEST_NUMBER = 2**32 - 1


def keyNumber(key: bytes) -> int:
    """
    Return the number hidden in a C{Sec-WebSocket-Key1} or C{-Key2}: its digits divided by the
    count of its spaces (draft 76 section 5.2, steps 4 to 7).

    @raise HandshakeError: 400 for a key that no conforming client can make.
    """
    digits = key.translate(None, _NOT_DIGITS)
    significant = digits.lstrip(b"0")
    spaces = key.count(b" ")
    # A client's product fits 32 bits (draft 76 section 4.1), so ten digits. This is checked before
    # int(), which is slow on long input and refuses very long input with an error of its own.
    if not digits or len(significant) > 10 or b"\t" in key:
        raise HandshakeError(400, "a key holds no number")
    number = int(significant or b"0")
    if not spaces or number > _LARGEST_NUMBER or number % spaces:
        raise HandshakeError(400, "a key was not made by a WebSocket client")
    return number // spaces


def challengeResponse(part1: int, part2: int, nonce: bytes) -> bytes:
    """
    Return the 16 bytes that prove that the request was read (draft 76 section 5.2, steps 8 and 9).

    @param part1: the L{keyNumber} of C{Sec-WebSocket-Key1}.
    @param part2: that of C{Sec-WebSocket-Key2}.
    @param nonce: the eight bytes after the head, sometimes called key3.
    """
    challenge = part1.to_bytes(4, "big") + part2.to_bytes(4, "big") + nonce
    return md5(challenge, usedforsecurity=False).digest()


def location(head: RequestHead, settings: Settings, secure: bool) -> bytes:
    """
    Return the URL of this request as the client knows it. The client compares it byte for byte
    (draft 75 and 76 section 3.1 and 3.2).

    @raise HandshakeError: 400 without exactly one well-formed C{Host}.
    """
    host = head.single(b"host")
    if host is None:
        raise HandshakeError(400, "there is no Host header field")
    authority = parseAuthority(host)
    if authority is None:
        raise HandshakeError(400, "the Host header field is malformed")
    if settings.location is not None:
        return settings.location.encode("ascii") + head.target
    name, port = authority
    scheme, defaultPort = (b"wss", 443) if secure else (b"ws", 80)
    suffix = b"" if port is None or port == defaultPort else b":%d" % port
    return b"%b://%b%b%b%b" % (scheme, name.lower(), suffix, head.prefix, head.target)


class _HixieOpening(ServerOpening):
    """
    What the two dialects share: the fields of the answer.
    """

    __slots__ = ("_location", "_origin")

    # Draft 75 and 76 section 4.1.
    needsSubprotocol = True
    fieldPrefix: ClassVar[bytes]
    statusLine: ClassVar[bytes]
    # The Content-Length that a request may have. The bytes after the head are not an HTTP body.
    contentLength: ClassVar[bytes]

    def __init__(self, head: RequestHead, settings: Settings, secure: bool) -> None:
        head.checkNoBody(self.contentLength)
        self._location = location(head, settings, secure)
        self._origin = self._readOrigin(head, settings)
        super().__init__(head, settings, secure)

    def _readOrigin(self, head: RequestHead, settings: Settings) -> bytes | None:
        origin = head.single(b"origin")
        if origin is None:
            return None
        if b"\t" in origin or b"\x7f" in origin:
            raise HandshakeError(400, "there is a control character in the Origin header field")
        checkOrigin(origin, settings)
        return origin

    def _requestedSubprotocol(self, head: RequestHead) -> bytes | None:
        return head.single(self.fieldPrefix.lower() + b"protocol")

    def _readSubprotocols(self, head: RequestHead) -> list[str]:
        requested = self._requestedSubprotocol(head)
        return [] if requested is None else [requested.decode("iso-8859-1")]

    def reply(self, fields: Fields = ()) -> bytes:
        # Clients of draft 75 compare the first 85 bytes as they are (section 4.1), and some of
        # draft 76 want names and values in this very spelling.
        prefix = self.fieldPrefix
        own = [(b"Upgrade", b"WebSocket"), (b"Connection", b"Upgrade")]
        if self._origin is not None:
            own.append((prefix + b"Origin", self._origin))
        own.append((prefix + b"Location", self._location))
        if self.subprotocol is not None:
            own.append((prefix + b"Protocol", self.subprotocol.encode("iso-8859-1")))
        lines = b"".join(b"%b: %b\r\n" % field for field in (*own, *fields))
        return self.statusLine + lines + b"\r\n"


class Opening75(_HixieOpening):
    """
    Draft 75, of February 2010: there is no challenge.
    """

    __slots__ = ()

    dialect = "hixie-75"
    fieldPrefix = b"WebSocket-"
    statusLine = b"HTTP/1.1 101 Web Socket Protocol Handshake\r\n"
    contentLength = b"0"

    @classmethod
    def recognizes(cls, head: RequestHead) -> bool:
        # Only the absence of all later fields identifies this dialect.
        return not any(name.startswith(b"sec-websocket-") for name in head.fields)

    def _readOrigin(self, head: RequestHead, settings: Settings) -> bytes | None:
        origin = super()._readOrigin(head, settings)
        if origin is None:
            raise HandshakeError(400, "there is no Origin header field")
        return origin

    def connection(self) -> Connection:
        return Hixie75(self._settings)


class Opening76(_HixieOpening):
    """
    Draft 76, of May 2010: two keys and a nonce prove that each side read the other's handshake.
    """

    __slots__ = ("_parts",)

    dialect = "hixie-76"
    tailSize = 8
    fieldPrefix = b"Sec-WebSocket-"
    statusLine = b"HTTP/1.1 101 WebSocket Protocol Handshake\r\n"
    contentLength = b"8"

    @classmethod
    def recognizes(cls, head: RequestHead) -> bool:
        # One key without the other is a damaged request, not one of draft 75.
        fields = head.fields
        return (
            b"sec-websocket-key1" in fields
            or b"sec-websocket-key2" in fields
            or b"sec-websocket-draft" in fields
        )

    def __init__(self, head: RequestHead, settings: Settings, secure: bool) -> None:
        if head.single(b"sec-websocket-draft") not in (None, b"0"):
            raise HandshakeError(400, "this draft of the protocol is not spoken here")
        key1 = head.single(b"sec-websocket-key1")
        key2 = head.single(b"sec-websocket-key2")
        if key1 is None or key2 is None:
            raise HandshakeError(400, "a hixie-76 handshake has two keys")
        self._parts = keyNumber(key1), keyNumber(key2)
        super().__init__(head, settings, secure)

    def _readOrigin(self, head: RequestHead, settings: Settings) -> bytes | None:
        origin = super()._readOrigin(head, settings)
        if origin is None and not settings.allowMissingOrigin:
            raise HandshakeError(403, "there is no Origin header field")
        return origin

    def _requestedSubprotocol(self, head: RequestHead) -> bytes | None:
        requested = super()._requestedSubprotocol(head)
        # The Flash fallback of the time used the older name until April 2011.
        return requested if requested is not None else head.single(b"websocket-protocol")

    def _readSubprotocols(self, head: RequestHead) -> list[str]:
        # A name may contain commas, but the Flash fallback joins several names with commas.
        names = super()._readSubprotocols(head)
        split = [name.strip() for value in names for name in value.split(",")]
        return [*names, *(name for name in split if name not in names)]

    def complete(self, tail: bytes) -> bytes:
        return challengeResponse(*self._parts, tail)

    def connection(self) -> Connection:
        return Hixie76(self._settings)


# The client's half

# A key contains these besides digits and spaces (draft 76 section 4.1, step 23).
_NOISE = bytes((*range(0x21, 0x30), *range(0x3A, 0x7F)))
_SUBPROTOCOL = re.compile("[ -~]+")


def makeKey(random: Random) -> tuple[bytes, int]:
    """
    Return a C{Sec-WebSocket-Key1} or C{-Key2}, and the number hidden in it (draft 76 section 4.1,
    steps 16 to 26).
    """
    spaces = random.randint(1, 12)
    number = random.randint(0, _LARGEST_NUMBER // spaces)
    key = bytearray(b"%d" % (number * spaces))
    for _ in range(random.randint(1, 12)):
        key.insert(random.randint(0, len(key)), random.choice(_NOISE))
    for _ in range(spaces):
        # Neither as the first character nor as the last.
        key.insert(random.randint(1, len(key) - 1), ord(" "))
    return bytes(key), number


def _exactFields(lines: tuple[bytes, ...]) -> dict[bytes, list[bytes]]:
    """
    Return the fields of an answer as these drafts read them (draft 75 section 4.1, draft 76
    section 4.1): a name is anything before a colon, and one space after the colon is dropped.

    @raise NotWebSocket: if a line is not a field.
    """
    fields: dict[bytes, list[bytes]] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not name or not colon or b"\r" in line or b"\n" in line:
            raise NotWebSocket(f"the answer has the line {quoted(line)}")
        fields.setdefault(name.lower(), []).append(value.removeprefix(b" "))
    return fields


class _HixieClientOpening(ClientOpening):
    """
    What the two dialects share: the answer must repeat what was asked for.
    """

    __slots__ = ("_expected", "_origin")

    takesInterim = False
    fieldPrefix: ClassVar[bytes]

    def __init__(self, wish: Wish, settings: Settings, random: Random = RANDOM) -> None:
        super().__init__(wish, settings, random)
        names = wish.subprotocols
        if len(names) > 1 or not all(map(_SUBPROTOCOL.fullmatch, names)):
            raise ValueError(f"{self.dialect} asks for one subprotocol in ASCII, not {names!r}")
        # These dialects were made for pages, which always have an origin.
        self._origin = wish.url.origin if wish.origin is None else wish.origin.lower().encode()
        self._expected = {b"Origin": self._origin, b"Location": wish.url.location}
        if names:
            self._expected[b"Protocol"] = names[0].encode()

    def _fields(self) -> list[tuple[bytes, bytes]]:
        fields = [
            (b"Upgrade", b"WebSocket"),
            (b"Connection", b"Upgrade"),
            (b"Host", self._wish.url.authority),
            (b"Origin", self._origin),
        ]
        if b"Protocol" in self._expected:
            fields.append((self.fieldPrefix + b"Protocol", self._expected[b"Protocol"]))
        return fields

    def _checkFields(self, fields: dict[bytes, list[bytes]]) -> None:
        for suffix, expected in self._expected.items():
            name = self.fieldPrefix + suffix
            values = fields.get(name.lower(), [])
            if values != [expected]:
                raise WrongAnswer(name, values[0] if len(values) == 1 else None, expected)
        self.subprotocol = next(iter(self._wish.subprotocols), None)


class ClientOpening75(_HixieClientOpening):
    """
    The client's half of draft 75.
    """

    __slots__ = ()

    dialect = "hixie-75"
    fieldPrefix = Opening75.fieldPrefix

    def request(self) -> bytes:
        # The order is part of the draft (section 4.1).
        return self._requestWith(self._fields())

    def check(self, head: ResponseHead) -> None:
        start = Opening75.statusLine + b"Upgrade: WebSocket\r\nConnection: Upgrade\r\n"
        if b"".join(b"%b\r\n" % line for line in head.lines[:3]) != start:
            raise NotWebSocket(f"the answer does not begin with {start!r}")
        self._checkFields(_exactFields(head.lines[3:]))

    def connection(self) -> Connection:
        return Hixie75(self._settings)


class ClientOpening76(_HixieClientOpening):
    """
    The client's half of draft 76.
    """

    __slots__ = ("_nonce", "_order", "_parts")

    dialect = "hixie-76"
    tailSize = 16
    fieldPrefix = Opening76.fieldPrefix

    def __init__(self, wish: Wish, settings: Settings, random: Random = RANDOM) -> None:
        super().__init__(wish, settings, random)
        key1, part1 = makeKey(random)
        key2, part2 = makeKey(random)
        self._parts = part1, part2
        self._nonce = random.randbytes(8)
        # The order is random by the draft (section 4.1, step 28).
        self._order = [
            *self._fields(),
            (b"Sec-WebSocket-Key1", key1),
            (b"Sec-WebSocket-Key2", key2),
        ]
        random.shuffle(self._order)

    def request(self) -> bytes:
        return self._requestWith(self._order) + self._nonce

    def check(self, head: ResponseHead) -> None:
        fields = _exactFields(head.lines[1:])
        if head.lines[0].count(b" ") < 2 or fields.get(b"upgrade") != [b"WebSocket"]:
            raise NotWebSocket("the answer is no upgrade to WebSocket")
        if [value.lower() for value in fields.get(b"connection", ())] != [b"upgrade"]:
            raise NotWebSocket("the answer does not have Connection: Upgrade")
        self._checkFields(fields)

    def complete(self, tail: bytes) -> None:
        if tail != challengeResponse(*self._parts, self._nonce):
            raise WrongChallenge(tail)

    def connection(self) -> Connection:
        return Hixie76(self._settings)
