"""
A request without a network.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import Site

from txhixie.client.connect import Headers, wishFor
from txhixie.dialects.choosing import forClient
from txhixie.dialects.head import RequestHead
from txhixie.settings import Settings
from txhixie.testing.wire import CLIENT, End, addresses, provideTLS
from txhixie.web.proxies import Forwarded
from txhixie.web.request import UpgradeRequest

_HOST = "ws://example.com"


def fakeRequest(
    url: str = "/",
    *,
    dialect: str = "rfc6455",
    origin: str | None = None,
    subprotocols: Iterable[str] = (),
    headers: Headers = (),
    peer: str = CLIENT,
) -> UpgradeRequest:
    """
    Return a request as an application's C{buildProtocol} gets it, made by a client of the dialect.
    Afterwards it contains the cookies and header fields that the application adds.

    @param url: a path, with or without a query, on the host C{example.com}; or a whole URL such as
        C{"wss://chat.example.com:8000/lobby"}.
    @param dialect: as in L{txhixie.connect}, like the next three.
    @param peer: the client's IP address.
    @raise ValueError: if no client could make this request.
    """
    wish = wishFor(absolute(url), origin, subprotocols, headers)
    request = forClient(dialect)(wish, Settings()).request()
    head = RequestHead.parse(request.partition(b"\r\n\r\n")[0].split(b"\r\n"))
    # Sessions expire by a clock that never advances.
    clock = Clock()
    site = Site(Resource(), reactor=clock)
    transport = End(clock, *addresses(wish.url, peer))
    if wish.url.isSecure:
        provideTLS(transport)
    return UpgradeRequest(head, site, transport, Forwarded(), dialect, lambda request: None)


def absolute(url: str) -> str:
    """
    Return a URL with a scheme and a host.
    """
    return _HOST + url if url.startswith("/") else url
