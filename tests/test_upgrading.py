"""Opening handshakes that twisted.web reads: later requests on a connection, and other sites."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from tests.loopback import (
    FINISHED,
    STARTED,
    Descriptor,
    Poller,
    Recorder,
    TCPWire,
    TLSWire,
    Wire,
    echo,
    ownLines,
)
from tests.support import IDIOMS, buildHead
from txhixie import HixieFactory, HixieResource, Settings
from txhixie.server.protocol import HixieProtocol
from txhixie.web.site import Okay

GET = b"GET /page HTTP/1.1\r\nHost: example.com\r\n\r\n"
POST = b"POST /page HTTP/1.1\r\nHost: example.com\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST /page HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n0\r\n\r\n"
)

every = pytest.mark.parametrize("dialect", IDIOMS)


class Server:
    """A server without a network."""

    def __init__(self, site: Any = None, **settings: Any) -> None:
        self.clock = Clock()
        self.recorder = Recorder(textMessageReceived=echo)
        self.factory = HixieFactory(self.recorder, site, Settings(**settings), self.clock)

    def connect(self, kind: type[Wire] = TCPWire) -> Wire:
        """@return: a new connection."""
        protocol = self.factory.buildProtocol(None)
        assert isinstance(protocol, HixieProtocol)
        return kind(protocol, self.clock)


def handshake(dialect: str, *extra: tuple[bytes, bytes]) -> bytes:
    """@return: everything that a client sends to open a connection."""
    return buildHead(dialect, extra=extra) + IDIOMS[dialect].preamble


def assertEchoes(wire: Any, dialect: str, text: str = "hello") -> None:
    """A connection is open, and echoes."""
    wire.send(IDIOMS[dialect].clientText(text))
    assert wire.take() == IDIOMS[dialect].serverText(text)


@every
@pytest.mark.parametrize("before", [GET, GET * 3, POST, CHUNKED, POST + GET + CHUNKED])
@pytest.mark.parametrize("kind", [TCPWire, TLSWire])
def test_afterRequests(dialect: str, before: bytes, kind: type[Wire]) -> None:
    """A connection that carried plain HTTP opens a WebSocket like a new one."""
    fresh = Server().connect(kind)
    fresh.send(handshake(dialect))
    expected = fresh.take()
    wire = Server().connect(kind)
    wire.send(before)
    assert wire.take().endswith(b"okay")
    wire.send(handshake(dialect))
    assert wire.take() == expected
    assertEchoes(wire, dialect)


@every
def test_pipelined(dialect: str) -> None:
    """A handshake in the same segment as a request is answered after it, with early frames."""
    server = Server()
    wire = server.connect()
    wire.send(GET + handshake(dialect) + IDIOMS[dialect].clientText("early"))
    answer, _, rest = wire.take().partition(b"okay")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert rest.startswith(b"HTTP/1.1 101 ")
    assert rest.endswith(IDIOMS[dialect].serverText("early"))
    assert server.recorder.made[0].calls == [STARTED, FINISHED, "text: early"]
    assertEchoes(wire, dialect)


@every
def test_byteByByte(dialect: str) -> None:
    """However the bytes are cut, the result is the same."""
    wire = Server().connect()
    wire.send(GET)
    wire.take()
    for byte in handshake(dialect) + IDIOMS[dialect].clientText("hello"):
        wire.send(bytes([byte]))
    assert wire.take().endswith(IDIOMS[dialect].serverText("hello"))


class _Slow(Resource):
    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []

    def render(self, request: Request) -> int:
        self.requests.append(request)
        return NOT_DONE_YET


@every
def test_behindSlowAnswer(dialect: str) -> None:
    """A handshake waits for the answer to the request before it."""
    site = _Slow()
    server = Server(site)
    wire = server.connect()
    wire.send(GET + handshake(dialect) + IDIOMS[dialect].clientText("early"))
    assert wire.take() == b""
    (request,) = site.requests
    request.write(b"slow")
    request.finish()
    taken = wire.take()
    assert taken.index(b"slow") < taken.index(b"HTTP/1.1 101 ")
    assert taken.endswith(IDIOMS[dialect].serverText("early"))


def test_nonceAsBody() -> None:
    """Clients that announce the nonce of Hixie-76 as a body are served, too."""
    wire = Server().connect()
    wire.send(GET)
    wire.take()
    head = buildHead("hixie-76", extra=[(b"Content-Length", b"8")])
    wire.send(head)
    assert wire.take().startswith(b"HTTP/1.1 101 ")
    wire.send(IDIOMS["hixie-76"].preamble)
    assert len(wire.take()) == 16
    assertEchoes(wire, "hixie-76")


@every
def test_refusedLater(dialect: str) -> None:
    """A refusal of a later request is the same as of the first."""
    head = buildHead(dialect, {b"Host": None})
    fresh = Server().connect()
    fresh.send(head)
    wire = Server().connect()
    wire.send(GET)
    wire.take()
    wire.send(head)
    assert wire.take() == fresh.take()
    assert wire.ended


@every
def test_slowDecision(dialect: str) -> None:
    """Data that arrives while the application decides waits, in order."""
    server = Server()
    decision: Deferred[Any] = Deferred()
    server.recorder.decide = lambda made: decision
    wire = server.connect()
    wire.send(GET + handshake(dialect) + IDIOMS[dialect].clientText("one"))
    wire.take()
    wire.send(IDIOMS[dialect].clientText("two"))
    decision.callback(server.recorder.made[0])
    server.clock.advance(0)
    assert server.recorder.made[0].calls[2:] == ["text: one", "text: two"]


def test_handshakeTimesOut() -> None:
    """A later handshake that is not completed ends in time."""
    server = Server()
    wire = server.connect()
    wire.send(GET)
    server.clock.advance(20)
    wire.send(buildHead("hixie-76"))
    assert not wire.ended
    server.clock.advance(10)
    assert wire.ended


def test_timersOfHTTP() -> None:
    """The idle time of plain HTTP does not end a WebSocket."""
    server = Server(pingInterval=0)
    wire = server.connect()
    wire.send(GET + handshake("hixie-75"))
    wire.take()
    server.clock.pump([1.0] * 300)
    assertEchoes(wire, "hixie-75")


@every
@pytest.mark.parametrize("together", [True, False])
def test_behindUnreadAnswer(dialect: str, together: bool) -> None:
    """Data of an answer that the transport still holds comes before the handshake's answer."""
    large = Resource()
    large.isLeaf = True
    large.render = lambda request: b"x" * 300_000  # type: ignore[method-assign]
    poller = Poller()
    factory = HixieFactory(Recorder(textMessageReceived=echo), large, reactor=poller)
    protocol = factory.buildProtocol(None)
    assert isinstance(protocol, HixieProtocol)
    descriptor = Descriptor(poller, protocol)
    descriptor.room = 1000
    descriptor.startReading()
    first, second = buildHead(dialect), IDIOMS[dialect].preamble
    if together:
        first, second = first + second, b""
    protocol.dataReceived(GET + first)
    taken = b""
    while poller.writers:
        descriptor.room = 50_000
        poller.turn()
        taken += descriptor.take()
    assert descriptor in poller.readers
    descriptor.room = float("inf")
    protocol.dataReceived(second + IDIOMS[dialect].clientText("early"))
    taken += descriptor.take()
    page, _, rest = taken.partition(b"HTTP/1.1 101 ")
    assert page.endswith(b"x" * 300_000)
    assert rest.endswith(IDIOMS[dialect].serverText("early"))
    protocol.dataReceived(IDIOMS[dialect].clientText("at once"))
    assert descriptor.take() == IDIOMS[dialect].serverText("at once")
    assert not poller.writers


@pytest.mark.parametrize("before", [b"", GET])
def test_connect(before: bytes) -> None:
    """CONNECT is refused: this is no proxy."""
    wire = Server().connect()
    wire.send(before + b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n")
    answer = wire.take().removeprefix(wire.writes[0] if before else b"")
    assert b"HTTP/1.1 405 " in answer
    assert b"\r\nAllow: GET, HEAD, POST\r\n" in answer
    assert b"okay" not in answer.partition(b"405")[2]


@pytest.mark.parametrize("before", [b"", GET])
def test_absolutePage(before: bytes) -> None:
    """A site sees the path and the host of an absolute target."""
    seen: list[tuple[bytes, str]] = []

    class Page(Okay):
        def render(self, request: Request) -> bytes:
            seen.append((request.path, request.getRequestHostname().decode()))
            return b""

    wire = Server(Page()).connect()
    wire.send(before + b"GET http://other.example/a/b?c HTTP/1.1\r\nHost: x\r\n\r\n")
    assert seen[-1] == (b"/a/b", "other.example")


def test_headRefusedWithoutBody() -> None:
    """An answer to HEAD has no body, also if it is a refusal."""
    wire = Server().connect()
    wire.send(buildHead("rfc6455", requestLine=b"HEAD /demo HTTP/1.1"))
    answer = wire.take()
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(("dialect", "status"), [("hixie-76", b"400"), ("rfc6455", b"426")])
@pytest.mark.parametrize("before", [b"", GET])
def test_lostUpgrade(dialect: str, status: bytes, before: bytes) -> None:
    """A handshake without its Upgrade is refused with one log line that names the field."""
    server = Server()
    wire = server.connect()
    wire.send(before)
    wire.take()
    with capturedLogs() as events:
        wire.send(buildHead(dialect, {b"Upgrade": None}))
    assert wire.take().startswith(b"HTTP/1.1 " + status)
    (line,) = ownLines(events)
    assert "the Upgrade header field" in line
    assert server.factory.statistics()["events"]["refused"] == 1


# Resources


def tree(application: Any, **settings: Any) -> Resource:
    """@return: a tree with an application at C{/chat}."""
    root = Okay()
    root.putChild(b"chat", HixieResource(application, Settings(**settings), Clock()))
    return root


def request(dialect: str, *extra: tuple[bytes, bytes], path: bytes = b"/chat/lobby") -> bytes:
    """@return: a handshake for a path."""
    line = b"GET " + path + b" HTTP/1.1"
    return buildHead(dialect, extra=extra, requestLine=line) + IDIOMS[dialect].preamble


class OurSite:
    """A tree in a site of our factory."""

    def __init__(self, root: Resource) -> None:
        self._clock = Clock()
        self._factory = HixieFactory(None, root, reactor=self._clock)

    def connect(self) -> Any:
        """@return: a new connection."""
        protocol: Any = self._factory.buildProtocol(None)
        return TCPWire(protocol, self._clock)


class StockSite:
    """A tree in Twisted's own site."""

    def __init__(self, root: Resource) -> None:
        self._clock = Clock()
        self._site = Site(root, reactor=self._clock)

    def connect(self) -> Any:
        """@return: a new connection."""
        protocol: Any = self._site.buildProtocol(None)
        return TCPWire(protocol, self._clock)


sites = pytest.mark.parametrize("site", [OurSite, StockSite])


@every
@sites
def test_resource(dialect: str, site: Any) -> None:
    """A resource opens WebSockets at its path, next to plain HTTP, and below it."""
    recorder = Recorder(textMessageReceived=echo)
    wire = site(tree(recorder)).connect()
    wire.send(GET)
    assert wire.take().endswith(b"okay")
    wire.send(request(dialect) + IDIOMS[dialect].clientText("early"))
    assert wire.take().startswith(b"HTTP/1.1 101 ")
    assert recorder.made[0].request.path == b"/chat/lobby"
    assertEchoes(wire, dialect)
    wire.lose()
    assert recorder.made[0].calls[-1] == "connectionLost"


@every
@sites
def test_resourceElsewhere(dialect: str, site: Any) -> None:
    """At other paths of the tree a handshake is an ordinary request."""
    recorder = Recorder()
    wire = site(tree(recorder)).connect()
    wire.send(request(dialect, path=b"/elsewhere"))
    assert wire.take().startswith(b"HTTP/1.1 200 ")
    assert recorder.made == []


@sites
def test_resourceForPages(site: Any) -> None:
    """A page request for a resource gets 426, with Upgrade."""
    wire = site(tree(Recorder())).connect()
    wire.send(b"GET /chat HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = wire.take()
    assert answer.startswith(b"HTTP/1.1 426 ")
    assert b"\r\nUpgrade: websocket\r\n" in answer
    assert b"\r\nConnection: Upgrade\r\n" in answer


@pytest.mark.parametrize(("site", "status"), [(OurSite, b"101"), (StockSite, b"400")])
def test_resourceWithNonceAsBody(site: Any, status: bytes) -> None:
    """
    The nonce may be announced as a body in a site of ours. It is refused in any other, and logged.
    """
    wire = site(tree(Recorder())).connect()
    with capturedLogs() as events:
        wire.send(request("hixie-76", (b"Content-Length", b"8")))
    assert wire.take().startswith(b"HTTP/1.1 " + status)
    logged = [line for line in map(formatEvent, events) if "reads the nonce" in line]
    assert len(logged) == (status == b"400")


@every
def test_resourceLimits(dialect: str) -> None:
    """In another site, a resource applies its own limits."""
    wire = StockSite(tree(Recorder(), origins=("http://other.example",))).connect()
    wire.send(request(dialect))
    assert wire.take().startswith(b"HTTP/1.1 403 ")
    assert wire.ended


@every
def test_resourceConnections(dialect: str) -> None:
    """It counts its connections, and admits one more when one ends."""
    site = StockSite(tree(Recorder(), maxConnections=1))
    first, second, third = (site.connect() for _ in range(3))
    first.send(request(dialect))
    assert first.take().startswith(b"HTTP/1.1 101 ")
    second.send(request(dialect))
    assert second.take().startswith(b"HTTP/1.1 503 ")
    first.lose()
    third.send(request(dialect))
    assert third.take().startswith(b"HTTP/1.1 101 ")
