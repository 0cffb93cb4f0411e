"""
The opening handshakes of Hixie-75 and Hixie-76 (the latter is also known as hybi-00).

"Draft 75" is draft-hixie-thewebsocketprotocol-75, "draft 76" its successor -76.
"""

from __future__ import annotations

from hashlib import md5
from typing import ClassVar

from txhixie.addresses import parseAuthority
from txhixie.dialects.connection import Connection
from txhixie.dialects.head import HandshakeError, RequestHead
from txhixie.dialects.hixie import Hixie75, Hixie76
from txhixie.dialects.opening import Fields, ServerOpening, checkOrigin
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
    # The Content-Length that a request may have. What follows the head is no HTTP body.
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
        # Only the absence of everything that came later tells this dialect.
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
        # A name may hold commas, but the Flash fallback joins several names with them.
        names = super()._readSubprotocols(head)
        split = [name.strip() for value in names for name in value.split(",")]
        return [*names, *(name for name in split if name not in names)]

    def complete(self, tail: bytes) -> bytes:
        return challengeResponse(*self._parts, tail)

    def connection(self) -> Connection:
        return Hixie76(self._settings)
