"""
The request that is passed to applications.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote_to_bytes

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import ISSLTransport
from twisted.web import http
from twisted.web.server import Request, Site

from txhixie.addresses import parseAuthority, unmapped
from txhixie.dialects.head import RequestHead
from txhixie.web.proxies import Forwarded, TrustedProxies, forwarded

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IAddress, ITCPTransport, ITransport


# Fields of the answer that only the handshake itself may set.
_OWN_FIELD = re.compile(
    rb"upgrade|connection|content-length|transfer-encoding|(?:sec-)?websocket-.*", re.IGNORECASE
)


def _address(client: str) -> IAddress:
    # The port is not known.
    return (IPv6Address if ":" in client else IPv4Address)("TCP", client, 0)


def peerOf(transport: ITransport) -> IAddress:
    """
    Return the address that a connection comes from. An IPv4 address that IPv6 carries, as in a
    PROXY header, becomes IPv4.
    """
    peer = transport.getPeer()
    if isinstance(peer, IPv6Address):
        host = unmapped(peer.host)
        if host is not None:
            return IPv4Address("TCP", host, peer.port)
    return peer


def readForwarded(request: Request, trusted: TrustedProxies) -> Forwarded:
    """
    Give a request of plain HTTP the client's address and the host that the client asked for, if a
    proxy that is believed reports them.

    @return: what the proxy reported.
    """
    request.client = peerOf(request.channel)
    peer = getattr(request.client, "host", None)
    if not trusted.trustsPeer(peer):
        return Forwarded()
    headers = request.requestHeaders.getAllRawHeaders()
    fields = {name.lower(): [*values] for name, values in headers}
    head = RequestHead(request.method, request.uri, request.clientproto, fields, b"")
    told = forwarded(head, peer, trusted)
    if told.client is not None:
        request.client = _address(told.client)
    authority = parseAuthority(told.applied(head).fields.get(b"host", [b""])[-1])
    if authority is not None and (told.host or told.port or told.secure is not None):
        host, port = authority
        secure = request.isSecure() if told.secure is None else told.secure
        request.setHost(host, port or (443 if secure else 80), secure)
    return told


class _UpgradeChannel:
    """
    The part of an HTTP channel that a request needs even if it is never answered through the
    channel.
    """

    def __init__(self, transport: ITCPTransport, told: Forwarded, site: Site) -> None:
        self.transport = transport
        self.site = site
        self._told = told

    def getPeer(self) -> IAddress:
        client = self._told.client
        return peerOf(self.transport) if client is None else _address(client)

    def getHost(self) -> IAddress:
        try:
            return self.transport.getHost()
        except (AttributeError, OSError):
            # The connection is gone, and the system has forgotten its address.
            return IPv4Address("TCP", "0.0.0.0", 0)

    def isSecure(self) -> bool:
        secure = self._told.secure
        return ISSLTransport.providedBy(self.transport) if secure is None else secure


class UpgradeRequest(Request):
    """
    An opening handshake as a twisted.web request: path, arguments, headers, cookies and peer are
    where a twisted.web application looks for them. Applications only read it, except that cookies
    and header fields that an application adds in C{buildProtocol} are sent with the handshake's
    answer. Its C{notifyFinish} fires when the connection is gone.

    Building all of it is expensive, and most applications look only at the path, or at nothing.
    Therefore only these attributes are set at once: method, uri, clientproto, path, args, content,
    prepath, postpath, sitepath, site, channel. The rest is built on the first access to any other
    attribute.

    @ivar avatar: the avatar of the client, if clients log in.
    @ivar dialect: the name of the dialect that the client speaks.
    @ivar subprotocols: the subprotocols that the client asks for, best first.
    """

    avatar: object = None
    subprotocols: Sequence[str] = ()

    def __init__(
        self,
        head: RequestHead,
        site: Site,
        transport: ITCPTransport,
        told: Forwarded,
        dialect: str,
        keep: Callable[[UpgradeRequest], object],
    ) -> None:
        """
        @param head: an opening handshake.
        @param site: the site that plain HTTP requests go to; it holds the sessions.
        @param told: what a proxy reported about the client.
        @param dialect: the name of the dialect that the client speaks.
        @param keep: called with the request when something waits for its end. Call
            C{connectionLost} of the request at that time.
        """
        # The initializer of the base class is called later, by __getattr__.
        self._head: RequestHead | None = head
        self.dialect = dialect
        self._keep = keep
        self.channel = cast(Any, _UpgradeChannel(transport, told, site))
        self.site = site
        self.method, self.uri, self.clientproto = head.method, head.target, head.version
        self.path, _, query = head.target.partition(b"?")
        self.args = http.parse_qs(query, True) if query else {}
        self.content = BytesIO()
        self.prepath = []
        self.sitepath: list[bytes] = []
        self.postpath = [unquote_to_bytes(segment) for segment in self.path[1:].split(b"/")]

    def __getattr__(self, name: str) -> Any:
        head = vars(self).get("_head")
        if head is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self._head = None
        super().__init__(self.channel, parsePOSTFormSubmission=False)
        for field, values in head.fields.items():
            self.requestHeaders.setRawHeaders(field, values)
        self.parseCookies()
        return getattr(self, name)

    @property
    def chosenSubprotocol(self) -> str | None:
        """
        The subprotocol that an application chose, or C{None}.
        """
        if self._head is not None:
            return None
        chosen = self.responseHeaders.getRawHeaders(b"sec-websocket-protocol", [None])[-1]
        return None if chosen is None else chosen.decode("iso-8859-1")

    def answerFields(self) -> list[tuple[bytes, bytes]]:
        """
        Return the fields that an application added to the answer.

        @raise ValueError: if one of them is the handshake's own.
        """
        if self._head is not None:
            return []
        fields = [(b"Set-Cookie", cookie) for cookie in self.cookies]
        for name, values in self.responseHeaders.getAllRawHeaders():
            if name.lower() == b"sec-websocket-protocol":
                continue
            if _OWN_FIELD.fullmatch(name):
                raise ValueError(f"the field {name.decode()} belongs to the handshake")
            fields += [(name, value) for value in values]
        return fields

    def notifyFinish(self) -> Deferred[None]:
        """
        Return a Deferred that fires when the connection is gone.
        """
        self._keep(self)
        return super().notifyFinish()
