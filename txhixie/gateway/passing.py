"""
What a gateway passes on from a client's request, and from the answer of its back end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from txhixie.dialects.errors import HandshakeRefused
from txhixie.dialects.head import HandshakeError, ResponseHead, isField

if TYPE_CHECKING:
    from twisted.web.server import Request

# RFC 6455 section 4.1: an origin in ASCII, and subprotocols that are tokens.
_ORIGIN = re.compile(r"[!-~]+")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# Fields that are about one connection (RFC 9110 section 7.6.1) or its body, those that the opening
# handshake makes anew, and those in which we say who the client is.
_OWN = frozenset(
    {
        *(b"connection", b"content-length", b"expect", b"forwarded", b"host", b"http2-settings"),
        *(b"keep-alive", b"origin", b"proxy-authenticate", b"proxy-authorization"),
        *(b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"x-real-ip"),
    }
)
_OWN_PREFIXES = (b"sec-websocket-", b"websocket-", b"x-forwarded-")
_ORIGINS = (b"origin", b"sec-websocket-origin")
_SUBPROTOCOLS = (b"sec-websocket-protocol", b"websocket-protocol")
# The header fields that are passed on from an answer that refuses a client.
_OF_REFUSALS = (b"Retry-After", b"Set-Cookie", b"WWW-Authenticate")


@dataclass(frozen=True, slots=True)
class Asked:
    """
    What a client asked for, as it is passed on.

    @ivar target: path and query.
    @ivar origin: its origin, if it has one.
    @ivar subprotocols: those that it asked for, best first.
    @ivar headers: further header fields.
    """

    target: str
    origin: str | None
    subprotocols: tuple[str, ...]
    headers: list[tuple[bytes, bytes]]

    @classmethod
    def by(cls, request: Request) -> Asked:
        """
        @param request: an opening handshake in any dialect.
        @raise HandshakeError: 400 if RFC 6455 cannot express it.
        """
        return cls(
            request.uri.decode("ascii"),
            _origin(request),
            _subprotocols(request),
            [*_passedFields(request), *_aboutClient(request)],
        )


def _values(request: Request, names: tuple[bytes, ...]) -> list[str]:
    for name in names:
        values = request.requestHeaders.getRawHeaders(name)
        if values:
            return [value.decode("iso-8859-1") for value in values]
    return []


def _origin(request: Request) -> str | None:
    origin = next(iter(_values(request, _ORIGINS)), "")
    if origin and not _ORIGIN.fullmatch(origin):
        raise HandshakeError(400, "this origin cannot be passed on")
    return origin or None


def _subprotocols(request: Request) -> tuple[str, ...]:
    values = _values(request, _SUBPROTOCOLS)
    names = [name.strip() for value in values for name in value.split(",")]
    # Each once, in their order.
    tokens = tuple(dict.fromkeys(filter(_TOKEN.fullmatch, names)))
    if values and not tokens:
        raise HandshakeError(400, "this subprotocol cannot be passed on")
    return tokens


def _passedFields(request: Request) -> list[tuple[bytes, bytes]]:
    """
    Return the fields that are passed on as they are.
    """
    headers = request.requestHeaders
    # Fields named in Connection apply only to this connection, too.
    named = {
        token.strip(b" \t").lower()
        for value in headers.getRawHeaders(b"connection", [])
        for token in value.split(b",")
    }
    fields = []
    for name, values in headers.getAllRawHeaders():
        # Many servers take an underscore for a hyphen.
        lower = name.lower().replace(b"_", b"-")
        if lower not in _OWN and lower not in named and not lower.startswith(_OWN_PREFIXES):
            fields += [(name, value) for value in values]
    return fields


def _aboutClient(request: Request) -> list[tuple[bytes, bytes]]:
    """
    Return the fields that say who the client is, as this server knows it.
    """
    fields = [(b"X-Forwarded-Proto", b"https" if request.isSecure() else b"http")]
    address: str | None = getattr(request.getClientAddress(), "host", None)
    if address:
        fields.append((b"X-Forwarded-For", address.encode("ascii")))
    host = request.getHeader(b"host")
    if host:
        fields.append((b"X-Forwarded-Host", host))
    return fields


def passAnswer(request: Request, head: ResponseHead) -> None:
    """
    Copy the cookies and the subprotocol of the back end's answer to the client's 101 answer.
    """
    chosen = head.fields.get(b"sec-websocket-protocol")
    if chosen:
        request.setHeader(b"Sec-WebSocket-Protocol", chosen[0])
    for cookie in head.fields.get(b"set-cookie", ()):
        request.responseHeaders.addRawHeader(b"Set-Cookie", cookie)


def passRefusal(refusal: HandshakeRefused) -> HandshakeError:
    """
    Return the answer to a client that the back end refused with an error status.
    """
    headers = [
        (name, value)
        for name in _OF_REFUSALS
        for value in refusal.headers.get(name.lower(), ())
        if isField(name, value)
    ]
    return HandshakeError(refusal.status, headers=headers)
