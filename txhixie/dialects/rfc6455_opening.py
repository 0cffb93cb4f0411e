"""
The opening handshakes of RFC 6455, hybi-07 and hybi-08. We do not use the library's, because it
knows version 13 only.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from hashlib import sha1
from random import Random
from typing import ClassVar

from txhixie.dialects.connection import Connection
from txhixie.dialects.errors import NotWebSocket, WrongAnswer, WrongChallenge
from txhixie.dialects.framing import DEFLATE_OFFER, Deflate, acceptDeflate, agreeOnDeflate
from txhixie.dialects.head import HandshakeError, RequestHead, ResponseHead
from txhixie.dialects.opening import (
    RANDOM,
    ClientOpening,
    Fields,
    ServerOpening,
    Wish,
    checkOrigin,
    lost,
)
from txhixie.dialects.rfc6455 import Hybi07, Hybi08, Rfc6455
from txhixie.settings import Settings

# RFC 6455 section 1.3.
_KEY_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def acceptKey(key: bytes) -> bytes:
    """
    Return the C{Sec-WebSocket-Accept} that answers a C{Sec-WebSocket-Key} (RFC 6455 section
    4.2.2).
    """
    return b64encode(sha1(key + _KEY_SUFFIX, usedforsecurity=False).digest())


class Opening13(ServerOpening):
    """
    Version 13: RFC 6455, and hybi-13 to -17 before it.
    """

    __slots__ = ("_deflate", "_extensions", "_key")

    dialect = Rfc6455.dialect
    connectionType: ClassVar[type[Rfc6455]] = Rfc6455
    version: ClassVar[bytes] = b"13"
    # Where the origin is sent, best first.
    originFields: ClassVar[tuple[bytes, ...]] = (b"origin",)

    @classmethod
    def recognizes(cls, head: RequestHead) -> bool:
        # This includes unknown versions; the other versions are asked first.
        return b"sec-websocket-version" in head.fields or b"sec-websocket-key" in head.fields

    @classmethod
    def switchedOff(cls, enabled: tuple[str, ...]) -> HandshakeError:
        versions = [opening.version for opening in VERSIONS if opening.dialect in enabled]
        if not versions:
            return super().switchedOff(enabled)
        return _otherVersions(versions)

    def __init__(self, head: RequestHead, settings: Settings, secure: bool) -> None:
        self._checkVersion(head, settings)
        if head.single(b"host") is None:
            raise HandshakeError(400, "there is no Host header field")
        head.checkNoBody(b"0")
        for origin in map(head.single, self.originFields):
            if origin is not None:
                checkOrigin(origin, settings)
                break
        self._key = self._readKey(head)
        super().__init__(head, settings, secure)
        offers = [offer for offer in head.fields.get(b"sec-websocket-extensions", ()) if offer]
        # The field of the answer, and what it stands for.
        self._extensions: bytes | None = None
        self._deflate = None
        if settings.compression and offers:
            self._extensions, self._deflate = agreeOnDeflate(offers)

    @classmethod
    def checkUpgrade(cls, head: RequestHead) -> None:
        if head.lostField is not None:
            raise HandshakeError(426, lost(head.lostField), [(b"Upgrade", b"websocket")])

    def _checkVersion(self, head: RequestHead, settings: Settings) -> None:
        version = head.single(b"sec-websocket-version")
        if version is None or not version.isdigit():
            raise HandshakeError(400, "there is no version number")
        if version != self.version:
            enabled = settings.dialects
            raise _otherVersions(
                [v.version for v in VERSIONS if enabled is None or v.dialect in enabled]
            )

    def _readKey(self, head: RequestHead) -> bytes:
        key = head.single(b"sec-websocket-key") or b""
        try:
            nonce = b64decode(key, validate=True)
        except Base64Error:
            nonce = b""
        if len(nonce) != 16:
            raise HandshakeError(400, "the Sec-WebSocket-Key is not 16 bytes of base64")
        return key

    def _readSubprotocols(self, head: RequestHead) -> list[str]:
        values = head.fields.get(b"sec-websocket-protocol", ())
        return [name.strip() for v in values for name in v.decode("iso-8859-1").split(",")]

    def reply(self, fields: Fields = ()) -> bytes:
        own = [
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (b"Sec-WebSocket-Accept", acceptKey(self._key)),
        ]
        if self.subprotocol is not None:
            own.append((b"Sec-WebSocket-Protocol", self.subprotocol.encode("iso-8859-1")))
        if self._extensions is not None:
            own.append((b"Sec-WebSocket-Extensions", self._extensions))
        lines = b"".join(b"%b: %b\r\n" % field for field in (*own, *fields))
        return b"HTTP/1.1 101 Switching Protocols\r\n" + lines + b"\r\n"

    def connection(self) -> Connection:
        return self.connectionType(self._settings, self._deflate)


class Opening08(Opening13):
    """
    Version 8: hybi-08 to -12, in Firefox 7 to 10 and Chrome 14 and 15.
    """

    __slots__ = ()

    dialect = Hybi08.dialect
    connectionType: ClassVar[type[Rfc6455]] = Hybi08
    version = b"8"
    # The last of these drafts had already moved it.
    originFields = (b"sec-websocket-origin", b"origin")

    @classmethod
    def recognizes(cls, head: RequestHead) -> bool:
        return cls.version in head.fields.get(b"sec-websocket-version", ())


class Opening07(Opening08):
    """
    Version 7: hybi-07, in Firefox 6.
    """

    __slots__ = ()

    dialect = Hybi07.dialect
    connectionType = Hybi07
    version = b"7"


# Newest first, as they are offered to a client of another version.
VERSIONS: tuple[type[Opening13], ...] = (Opening13, Opening08, Opening07)


def _otherVersions(versions: list[bytes]) -> HandshakeError:
    """
    Return the answer that names the versions spoken (RFC 6455 section 4.4).
    """
    return HandshakeError(
        426,
        "this version of the WebSocket protocol is not spoken here",
        [(b"Upgrade", b"websocket"), (b"Sec-WebSocket-Version", b", ".join(versions))],
    )


# The client's half

# RFC 6455 section 4.1: a subprotocol is a token.
_SUBPROTOCOL = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class ClientOpening13(ClientOpening):
    """
    The client's half of version 13.
    """

    __slots__ = ("_deflate", "_key")

    dialect = Rfc6455.dialect
    connectionType: ClassVar[type[Rfc6455]] = Rfc6455
    version: ClassVar[bytes] = Opening13.version
    originField: ClassVar[bytes] = b"Origin"

    def __init__(self, wish: Wish, settings: Settings, random: Random = RANDOM) -> None:
        super().__init__(wish, settings, random)
        names = wish.subprotocols
        if not all(map(_SUBPROTOCOL.fullmatch, names)) or len({*names}) < len(names):
            raise ValueError(f"subprotocols are different words, not {names!r}")
        self._key = b64encode(random.randbytes(16))
        self._deflate: Deflate | None = None

    def request(self) -> bytes:
        wish = self._wish
        fields = [
            (b"Host", wish.url.authority),
            (b"Upgrade", b"websocket"),
            (b"Connection", b"Upgrade"),
            (b"Sec-WebSocket-Key", self._key),
            (b"Sec-WebSocket-Version", self.version),
        ]
        if wish.origin is not None:
            fields.append((self.originField, wish.origin.encode()))
        if wish.subprotocols:
            fields.append((b"Sec-WebSocket-Protocol", ", ".join(wish.subprotocols).encode()))
        if self._settings.compression:
            fields.append((b"Sec-WebSocket-Extensions", DEFLATE_OFFER))
        return self._requestWith(fields)

    def check(self, head: ResponseHead) -> None:
        """
        Make the checks that RFC 6455 section 4.1 requires of a client.
        """
        if head.flaw or head.version != b"HTTP/1.1":
            raise NotWebSocket(head.flaw or "the answer is not HTTP/1.1")
        if [*head.tokens(b"upgrade")] != [b"websocket"]:
            raise NotWebSocket("the answer does not have Upgrade: websocket")
        if b"upgrade" not in head.tokens(b"connection"):
            raise NotWebSocket("the answer does not have Connection: Upgrade")
        accept = head.fields.get(b"sec-websocket-accept", [])
        if accept != [acceptKey(self._key)]:
            raise WrongChallenge(b", ".join(accept))
        self._checkSubprotocol(head.fields.get(b"sec-websocket-protocol", []))
        self._checkExtensions(head.fields.get(b"sec-websocket-extensions", []))

    def _checkSubprotocol(self, values: list[bytes]) -> None:
        if not values:
            return
        chosen = values[0].decode("iso-8859-1")
        if len(values) > 1 or chosen not in self._wish.subprotocols:
            raise WrongAnswer(b"Sec-WebSocket-Protocol", b", ".join(values))
        self.subprotocol = chosen

    def _checkExtensions(self, values: list[bytes]) -> None:
        if not values:
            return
        if self._settings.compression:
            self._deflate = acceptDeflate(values)
        if self._deflate is None:
            raise WrongAnswer(b"Sec-WebSocket-Extensions", b", ".join(values))

    def connection(self) -> Connection:
        return self.connectionType(self._settings, self._deflate, isClient=True)


class ClientOpening08(ClientOpening13):
    """
    The client's half of version 8.
    """

    __slots__ = ()

    dialect = Hybi08.dialect
    connectionType: ClassVar[type[Rfc6455]] = Hybi08
    version = Opening08.version
    originField = b"Sec-WebSocket-Origin"


class ClientOpening07(ClientOpening08):
    """
    The client's half of version 7.
    """

    __slots__ = ()

    dialect = Hybi07.dialect
    connectionType = Hybi07
    version = Opening07.version
