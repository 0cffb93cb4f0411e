"""Every dialect through real proxies, as C{docs/proxies.md} documents it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace

import pytest

from .chromium import chromium
from .phantom import Phantom, Step
from .proxies import WAYS, WEBSOCKET, Front, running
from .strict import CLIENTS, TEXTS, Hybi, Refused, converse, loadPages
from .test_mixed import Page


@pytest.fixture(scope="module", params=WAYS)
def fresh(request: pytest.FixtureRequest) -> Iterator[Front]:
    """
    A proxy that never carries a page.
    """
    with running(WAYS[request.param]) as made:
        yield made


@pytest.fixture(scope="module", params=WAYS)
def used(request: pytest.FixtureRequest) -> Iterator[Front]:
    """
    A proxy that also carries pages, with a relay that shows which connections are used.
    """
    with running(WAYS[request.param], relayed=True) as made:
        yield made


def expected(front: Front, dialect: str) -> AbstractContextManager[object]:
    """
    The result is as documented: it works, or the client refuses the answer for exactly the reason
    that is given there.
    """
    impossible = front.way.impossible.get(dialect)
    return pytest.raises(Refused, match=impossible.refusal) if impossible else nullcontext()


@pytest.mark.parametrize("dialect", CLIENTS)
def test_fresh(fresh: Front, dialect: str) -> None:
    """
    A WebSocket on a new connection, through a proxy without other connections to the server.
    """
    with fresh.dial() as connection, expected(fresh, dialect):
        converse(dialect, connection, fresh.url(WEBSOCKET))


@pytest.mark.parametrize("dialect", CLIENTS)
def test_afterPages(used: Front, dialect: str) -> None:
    """
    A WebSocket on a new connection, through a proxy that kept one to the server from pages.
    """
    with used.dial() as connection:
        loadPages(connection)
    with used.dial() as connection, expected(used, dialect):
        converse(dialect, connection, used.url(WEBSOCKET))
    if dialect not in used.way.impossible:
        assert used.usedAgain() or not used.way.pools


@pytest.mark.parametrize("dialect", CLIENTS)
def test_sameConnection(used: Front, dialect: str) -> None:
    """
    A WebSocket on the connection on which the client loaded pages.
    """
    with used.dial() as connection:
        loadPages(connection)
        with expected(used, dialect):
            converse(dialect, connection, used.url(WEBSOCKET))


@pytest.mark.parametrize("name", [name for name, way in WAYS.items() if way.tells])
def test_address(name: str) -> None:
    """
    The application sees the address of the client, not of the proxy.
    """
    service = ("--service", "tests.interop.greeting.Greeting")
    with (
        running(WAYS[name], *service) as made,
        made.dial("127.0.0.2") as connection,
        connection.makefile("rb") as stream,
    ):
        assert Hybi(connection, stream, made.url("/greeting")).receiveText() == "127.0.0.2"


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("nginx", {"proxy_read_timeout 1h": "proxy_read_timeout 1s"}),
        ("haproxy-tcp", {"client 1h": "client 1s", "server 1h": "server 1s"}),
        ("haproxy-http", {"tunnel 1h": "tunnel 1s"}),
        ("apache", {"ProxyTimeout 3600": "ProxyTimeout 1\n    Timeout 1"}),
        ("varnish", {"pipe_timeout=3600": "pipe_timeout=1"}),
        ("stunnel", {"TIMEOUTidle = 3600": "TIMEOUTidle = 1"}),
    ],
)
def test_quiet(name: str, changes: dict[str, str]) -> None:
    """
    The proxy closes a quiet WebSocket after the time in the configuration.
    """
    with (
        running(replace(WAYS[name], changes=changes)) as made,
        made.dial() as connection,
        connection.makefile("rb") as stream,
    ):
        Hybi(connection, stream, made.url(WEBSOCKET))
        assert stream.read() == b""


@pytest.fixture(params=["nginx", "haproxy-tcp"])
def browsed(request: pytest.FixtureRequest) -> Iterator[Front]:
    """
    A proxy for browsers.
    """
    with running(WAYS[request.param], relayed=True) as made:
        yield made


def test_phantomjs(browsed: Front) -> None:
    """
    PhantomJS loads a page, then a WebSocket of the page echoes its texts, through the same proxy.
    """
    steps: list[Step] = [{"after": 0, "send": [*TEXTS]}, {"after": len(TEXTS), "close": True}]
    page = browsed.url("/any", "http")
    with Phantom("page.js", page=page, url=browsed.url(WEBSOCKET), steps=steps) as phantom:
        assert phantom.waitFor("open") == [browsed.url("", "http")]
        phantom.waitFor("close")
        assert phantom.waitFor("message") == [*TEXTS]
        assert not [event for event in phantom.events if event.kind == "error"]
    assert browsed.usedAgain() or not browsed.way.pools


def test_chromium(browsed: Front) -> None:
    """
    Chromium does so, too, twice: at first, the page's icon may be using the proxy's connection.
    """
    with (
        chromium() as browser,
        closing(Page(browser, browsed.url("/any", "http"))) as page,
    ):
        for _ in range(2):
            assert page.evaluate("fetch('/any').then((response) => response.text())") == "okay"
            page.join(browsed.url(WEBSOCKET))
            page.wait("socket.readyState !== 0")
            assert page.evaluate("socket.readyState") == 1
            for text in TEXTS:
                page.send(text)
            assert page.waitFor(len(TEXTS)) == [*TEXTS]
            page.evaluate("socket.close(4000)")
            page.wait("ended")
            assert page.evaluate("ended") == [4000, True]
        assert page.problems() == []
    assert browsed.usedAgain() or not browsed.way.pools
