"""What users need for their tests: requests, transports and connections without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_twisted  # type: ignore[import-untyped]
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableDescriptor,
    IPushProducer,
    ITCPTransport,
)
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import AccumulatingProtocol
from twisted.logger import capturedLogs
from twisted.web.server import Request
from zope.interface.verify import verifyObject

import txhixie.testing
from tests.contract.test_typing import check
from tests.loopback import FINISHED, LOST, STARTED, Producer, Recorder, Recording, echo
from tests.support import MODERN
from txhixie import (
    CloseCode,
    Echo,
    HandshakeError,
    HandshakeRefused,
    OpeningTimedOut,
    Settings,
    State,
    UnsupportedMessage,
    WebSocketDone,
    WebSocketLost,
    WebSocketTransport,
)
from txhixie.dialects.url import WebSocketURL
from txhixie.settings import DIALECT_NAMES
from txhixie.testing import (
    CollectingProtocol,
    CollectingTransport,
    ConnectedPair,
    connectedPair,
    fakeRequest,
    wire,
)
from txhixie.testing.wire import End, addresses

PROJECT = Path(__file__).parent.parent

dialects = pytest.mark.parametrize("dialect", DIALECT_NAMES)
inReactor = cast("Callable[[Callable[..., Awaitable[None]]], Any]", pytest_twisted.ensureDeferred)


def test_face() -> None:
    """These names are public, and each has a docstring."""
    assert txhixie.testing.__all__ == [
        "CollectingProtocol",
        "CollectingTransport",
        "ConnectedPair",
        "connectedPair",
        "fakeRequest",
    ]
    assert all(getattr(txhixie.testing, name).__doc__.strip() for name in txhixie.testing.__all__)


# A connected pair


@dialects
@pytest.mark.parametrize("url", ["/demo?x=1", "wss://chat.example:8443/demo?x=1"])
def test_open(dialect: str, url: str) -> None:
    """Both sides have a WebSocket of the dialect, and the server has the client's request."""
    server, client = Recorder(), CollectingProtocol()
    pair = connectedPair(
        server,
        client,
        url=url,
        dialect=dialect,
        origin="http://page.example",
        subprotocols=["chat"],
        headers={"Cookie": "a=b"},
        peer="2001:db8::7",
        settings=Settings(subprotocols=("chat",)),
    )
    (served,) = server.made
    assert pair.client is client.transport
    assert pair.server is served.transport
    assert pair.client.dialect == pair.server.dialect == dialect
    assert pair.client.state is pair.server.state is State.OPEN
    assert pair.client.subprotocol == pair.server.subprotocol == "chat"
    assert served.calls == [STARTED, FINISHED]
    assert served.request.getCookie(b"a") == b"b"
    assert served.request.getClientAddress().host == "2001:db8::7"
    assert served.request.isSecure() == url.startswith("wss")


@dialects
def test_proxy(dialect: str) -> None:
    """A client may be a proxy that the server trusts."""
    server = Recorder()
    connectedPair(
        server,
        CollectingProtocol(),
        dialect=dialect,
        headers={"X-Forwarded-For": "203.0.113.9"},
        peer="10.0.0.1",
        settings=Settings(trustedProxies=("10.0.0.0/8",)),
    )
    assert server.made[0].request.getClientAddress().host == "203.0.113.9"


@dialects
def test_messages(dialect: str) -> None:
    """Messages of any size go both ways, in order, when time passes."""
    client = CollectingProtocol()
    pair = connectedPair(Echo(), client, dialect=dialect)
    texts = ["", "h\u00e9llo", "x" * 1_000_000, "end"]
    for text in texts:
        pair.client.sendTextMessage(text)
    assert client.messages == []
    pair.advance()
    assert client.messages == texts


@pytest.mark.parametrize("dialect", MODERN)
def test_bytesAndPings(dialect: str) -> None:
    """Bytes, pings and compressed messages do, too."""
    client = CollectingProtocol()
    pair = connectedPair(Echo(), client, dialect=dialect, settings=Settings(compression=True))
    pair.client.sendBytesMessage(b"\0\xff")
    pair.client.ping(b"?")
    pair.advance()
    assert (client.messages, client.pongs) == ([b"\0\xff"], [b"?"])


@dialects
@pytest.mark.parametrize("isServer", [False, True])
@pytest.mark.parametrize("url", ["/", "wss://h/"])
def test_close(dialect: str, isServer: bool, url: str) -> None:
    """Either side closes; both see a clean end, and nothing waits on the clock."""
    server, client = Recorder(), CollectingProtocol()
    pair = connectedPair(server, client, dialect=dialect, url=url)
    pair.client.sendTextMessage("before")
    pair.advance()
    (pair.server if isServer else pair.client).loseConnection(4000, "bye")
    pair.advance()
    assert server.made[0].calls[2:] == ["text: before", LOST]
    ends: tuple[Any, ...] = (client.ended, server.made[0].ending)
    assert [type(ended) for ended in ends] == [WebSocketDone] * 2
    if dialect in MODERN:
        assert {(ended.code, ended.reason) for ended in ends} == {(4000, "bye")}
    assert pair.client.state is pair.server.state is State.CLOSED
    assert pair.clock.getDelayedCalls() == []


@dialects
@pytest.mark.parametrize("isServer", [False, True])
def test_abort(dialect: str, isServer: bool) -> None:
    """Either side aborts, and what it sent last is lost."""
    server, client = Recorder(), CollectingProtocol()
    pair = connectedPair(server, client, dialect=dialect)
    gone = pair.server if isServer else pair.client
    gone.sendTextMessage("lost")
    gone.abort()
    pair.advance()
    assert isinstance(client.ended, WebSocketLost)
    assert isinstance(server.made[0].ending, WebSocketLost)
    assert client.messages == []
    assert server.made[0].calls == [STARTED, FINISHED, LOST]
    assert pair.clock.getDelayedCalls() == []


class Numbers:
    """A push producer that sends messages until it is paused."""

    def __init__(self, transport: WebSocketTransport) -> None:
        self.sent = 0
        self.calls: list[str] = []
        self._transport = transport
        self._isPaused = False

    def run(self, count: int) -> None:
        """Send as many messages of a kilobyte, unless it is paused."""
        while not self._isPaused and self.sent < count:
            self._transport.sendTextMessage(f"{self.sent:1024}")
            self.sent += 1

    def pauseProducing(self) -> None:
        self.calls.append("pause")
        self._isPaused = True

    def resumeProducing(self) -> None:
        self.calls.append("resume")
        self._isPaused = False
        self.run(1000)

    def stopProducing(self) -> None:
        self.calls.append("stop")


@dialects
@pytest.mark.parametrize("isServer", [False, True])
def test_producer(dialect: str, isServer: bool) -> None:
    """A peer that does not read pauses a producer; everything arrives once it reads again."""
    server, client = CollectingProtocol(), CollectingProtocol()

    class Application:
        def buildProtocol(self, request: Request) -> CollectingProtocol:
            return server

    pair = connectedPair(Application(), client, dialect=dialect)
    reader = client if isServer else server
    producer = Numbers(pair.server if isServer else pair.client)
    reader.transport.pauseProducing()
    (pair.server if isServer else pair.client).attachProducer(producer)
    producer.run(1000)
    pair.advance(1)
    assert producer.calls == ["pause"]
    assert 64 <= producer.sent < 200
    assert reader.messages == []
    reader.transport.resumeProducing()
    pair.advance()
    assert [int(message) for message in reader.messages] == list(range(1000))
    reader.transport.abort()
    pair.advance()
    assert producer.calls[-1] == "stop"


@dialects
def test_slowPeer(dialect: str) -> None:
    """A peer that never reads is closed, as the settings say, and the client is notified."""
    server, client = Recorder(), CollectingProtocol()
    pair = connectedPair(server, client, dialect=dialect, settings=Settings(sendLimit=10_000))
    pair.client.pauseProducing()
    for _ in range(3):
        pair.server.sendTextMessage("x" * 200_000)
    pair.advance(60)
    assert isinstance(server.made[0].ending, WebSocketLost)
    assert server.made[0].ending.code == CloseCode.POLICY
    assert client.ended is not None
    assert pair.clock.getDelayedCalls() == []


def test_timeInOrder() -> None:
    """Time passes in order: a ping is answered when it is sent, not at the end of the time."""
    client = CollectingProtocol()
    pair = connectedPair(Echo(), client, settings=Settings(pingInterval=5, pingTimeout=3))
    pair.advance(1000)
    assert pair.client.state is State.OPEN
    assert client.ended is None
    assert pair.clock.seconds() == 1000


@dialects
def test_lateDecision(dialect: str) -> None:
    """An application takes its time, by the clock of the pair."""
    clock, client = Clock(), CollectingProtocol()

    async def later(made: Recording) -> Recording:
        await deferLater(clock, 3)
        return made

    pair = connectedPair(Recorder(later), client, dialect=dialect, clock=clock)
    for side in ("client", "server"):
        with pytest.raises(RuntimeError, match="not"):
            getattr(pair, side)
    pair.advance(2.9)
    with pytest.raises(RuntimeError, match="the opening handshake is not over"):
        pair.client.sendTextMessage("early")
    pair.advance(0.1)
    assert pair.client.state is State.OPEN


def test_slowCallback() -> None:
    """Calls of an application wait for a callback that has not finished."""
    waiting: Deferred[None] = Deferred()
    calls: list[str] = []

    class Slow(CollectingProtocol):
        async def textMessageReceived(self, message: str) -> None:
            calls.append(message)
            await waiting

    class Application:
        def buildProtocol(self, request: Request) -> Slow:
            return Slow()

    pair = connectedPair(Application(), CollectingProtocol())
    for text in ("a", "b"):
        pair.client.sendTextMessage(text)
    pair.advance()
    assert calls == ["a"]
    waiting.callback(None)
    pair.advance()
    assert calls == ["a", "b"]


@dialects
def test_refused(dialect: str) -> None:
    """A refusal is raised wherever the client's WebSocket is asked for."""

    def refuse(made: Recording) -> None:
        raise HandshakeError(403, "not you")

    pair = connectedPair(Recorder(refuse), CollectingProtocol(), dialect=dialect)
    for _ in range(2):
        with pytest.raises(HandshakeRefused) as raised:
            assert pair.client
        assert (raised.value.status, raised.value.body) == (403, b"not you\n")
    with pytest.raises(RuntimeError, match="the application has not accepted the connection"):
        assert pair.server
    pair.advance(10)
    assert pair.clock.getDelayedCalls() == []


def test_raises() -> None:
    """An application that raises is logged, and the client gets the code, as on a network."""

    def fail(made: Recording, *_: object) -> None:
        raise RuntimeError("oops")

    client = CollectingProtocol()
    with capturedLogs() as events:
        with pytest.raises(HandshakeRefused, match="500"):
            assert connectedPair(Recorder(fail), CollectingProtocol()).client
        pair = connectedPair(Recorder(textMessageReceived=fail), client)
        pair.client.sendTextMessage("hello")
        pair.advance()
    assert [event["log_failure"].value.args for event in events if "log_failure" in event] == [
        ("oops",)
    ] * 2
    assert isinstance(client.ended, WebSocketDone)
    assert client.ended.code == CloseCode.INTERNAL_ERROR


def test_timesOut() -> None:
    """An application that never decides is ended by both sides."""
    server = Recorder(lambda made: Deferred())
    pair = connectedPair(server, CollectingProtocol(), settings=Settings(handshakeTimeout=5))
    pair.advance(5)
    with pytest.raises((OpeningTimedOut, HandshakeRefused)):
        assert pair.client
    pair.advance(60)
    assert pair.clock.getDelayedCalls() == []


def test_sharedClock() -> None:
    """Pairs with one clock run together."""
    clock, members = Clock(), [CollectingProtocol() for _ in range(3)]
    application = txhixie.Broadcast()
    pairs = [connectedPair(application, member, clock=clock) for member in members]
    pairs[0].client.sendTextMessage("hello")
    pairs[1].advance()
    assert [str(member.messages[-1]).partition(": ")[2] for member in members] == ["hello"] * 3


def test_wire() -> None:
    """
    The ends of a connection also behave like Twisted's transports where txhixie does not need it.
    """
    clock, url = Clock(), WebSocketURL.parse("ws://h/")
    host, peer = addresses(url, "192.0.2.9")
    here, there = End(clock, host, peer), End(clock, peer, host)
    protocols = AccumulatingProtocol(), AccumulatingProtocol()
    here.connect(protocols[0], there)
    there.connect(protocols[1], here)
    for interface in (ITCPTransport, IConsumer, IPushProducer, IHalfCloseableDescriptor):
        verifyObject(interface, here)
    assert here.getTcpNoDelay()
    assert here.getTcpKeepAlive()
    here.writeSequence([b"a", b"b"])
    here.stopProducing()
    here.write(b"late")
    clock.advance(0)
    there.write(b"late")
    clock.advance(0)
    assert protocols[1].data == b"ab"
    assert protocols[0].data == b""
    for protocol in protocols:
        assert protocol.closedReason is not None
        assert protocol.closedReason.check(ConnectionDone)


def test_forEver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sides that answer each other endlessly are an error, not a test that hangs."""
    monkeypatch.setattr(wire, "_ENDLESS", 1000)
    pair = connectedPair(Echo(), Recording(None, {"textMessageReceived": echo}))  # type: ignore[arg-type]
    pair.client.sendTextMessage("hello")
    with pytest.raises(RuntimeError, match="the two sides answer each other endlessly"):
        pair.advance()


@inReactor
async def test_realReactor() -> None:
    """An application may wait for the installed reactor, in a test that does so too."""
    clock = cast(Any, reactor)
    timers = set(clock.getDelayedCalls())

    async def later(made: Recording) -> Recording:
        await deferLater(clock, 0)
        return made

    decided = Recorder(later)
    client = CollectingProtocol()
    pair = connectedPair(decided, client)
    await deferLater(clock, 0.001)
    pair.advance()
    assert pair.client.state is State.OPEN
    assert set(clock.getDelayedCalls()) <= timers


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        ({"url": "http://h/"}, ValueError),
        ({"url": "lobby"}, ValueError),
        ({"dialect": "hixie-77"}, ValueError),
        ({"subprotocols": "chat"}, TypeError),
        ({"headers": {"Host": "h"}}, ValueError),
    ],
)
def test_senseless(wish: Any, error: type[Exception]) -> None:
    """A request that no client can make is an error of the test."""
    with pytest.raises(error):
        connectedPair(Echo(), CollectingProtocol(), **wish)
    with pytest.raises(error):
        fakeRequest(**wish)


# A request


@dialects
@pytest.mark.parametrize("url", ["/", "/a%20b/c?x=1&x=2", "//", "wss://h:99/", "ws://[::1]/?"])
def test_request(dialect: str, url: str) -> None:
    """It is the same as an application gets from a client."""
    wish: dict[str, Any] = {
        "url": url,
        "dialect": dialect,
        "origin": "http://page.example",
        "subprotocols": ["chat"],
        "headers": [("Cookie", "a=b"), ("X-Kind", "1"), (b"x-kind", b"2")],
        "peer": "198.51.100.3",
    }
    server = Recorder()
    connectedPair(server, CollectingProtocol(), settings=Settings(subprotocols=("chat",)), **wish)
    real, fake = server.made[0].request, fakeRequest(**wish)
    for name in ("method", "uri", "path", "args", "postpath", "clientproto", "dialect"):
        assert getattr(fake, name) == getattr(real, name), name
    assert _fields(fake) == _fields(real)
    for name in ("getClientAddress", "getHost", "isSecure", "getRequestHostname"):
        assert getattr(fake, name)() == getattr(real, name)(), name
    assert fake.getCookie(b"a") == b"b"
    assert fake.requestHeaders.getRawHeaders("X-Kind") == ["1", "2"]


def _fields(request: Request) -> list[tuple[bytes, object]]:
    # The keys are random.
    fields = sorted(request.requestHeaders.getAllRawHeaders())
    return [(name, None if b"-Key" in name else values) for name, values in fields]


def test_requestAnswered() -> None:
    """It contains what an application adds to the answer; it has sessions, and an end."""
    request = fakeRequest("/lobby")
    assert request.path == b"/lobby"
    assert request.getClientAddress().host == "192.0.2.1"
    request.addCookie("a", "b")
    request.setHeader("X-Served-By", "here")
    assert request.cookies == [b"a=b"]
    assert request.responseHeaders.getRawHeaders("X-Served-By") == ["here"]
    timers = len(cast(Any, reactor).getDelayedCalls())
    assert request.getSession() is request.getSession()
    assert len(cast(Any, reactor).getDelayedCalls()) == timers
    finished = request.notifyFinish()
    finished.addErrback(lambda failure: "over")
    request.connectionLost(cast(Any, ConnectionError()))
    assert finished.result == "over"


# A transport that collects


def _open(dialect: str) -> list[WebSocketTransport]:
    """@return: a collecting transport and a real one."""
    pair = connectedPair(Echo(), CollectingProtocol(), dialect=dialect)
    return [CollectingTransport(dialect), pair.server]


Action = Callable[[WebSocketTransport], object]
ACTIONS: dict[str, tuple[Action, ...]] = {
    "text": (lambda it: it.sendTextMessage("h\u00e9"),),
    "not text": (lambda it: it.sendTextMessage(cast(Any, b"x")),),
    "surrogate": (lambda it: it.sendTextMessage("\ud800"),),
    "texts": (lambda it: it.sendTextMessages(["a", "b"]),),
    "one text": (lambda it: it.sendTextMessages("ab"),),
    "not texts": (lambda it: it.sendTextMessages(cast(Any, ["a", 1])),),
    "bytes": (lambda it: it.sendBytesMessage(memoryview(b"x")),),
    "not bytes": (lambda it: it.sendBytesMessage(cast(Any, "x")),),
    "ping": (lambda it: it.ping(b"?"),),
    "long ping": (lambda it: it.ping(b"x" * 126),),
    "close": (lambda it: it.loseConnection(4000, "bye"),),
    "wrong code": (lambda it: it.loseConnection(1005),),
    "not code": (lambda it: it.loseConnection(cast(Any, "1000")),),
    "not reason": (lambda it: it.loseConnection(1000, cast(Any, b"bye")),),
    "sent late": (lambda it: it.loseConnection(), lambda it: it.sendTextMessage("late")),
    "closed twice": (lambda it: it.loseConnection(), lambda it: it.loseConnection(4000)),
    "abort": (lambda it: it.abort(),),
    "aborted, then sent": (lambda it: it.abort(), lambda it: it.sendTextMessage("late")),
    "stop": (lambda it: it.stopProducing(),),
    "half": (lambda it: it.loseWriteConnection(), lambda it: it.sendTextMessage("late")),
    "stream": (lambda it: it.behaveAsStream(), lambda it: it.sendTextMessage("a")),
    "fail": (lambda it: it.fail(4000, "bye"),),
    "wrong code of a fault": (lambda it: it.fail(1005, ""),),
    "producer": (lambda it: it.attachProducer(Producer()),),
    "no producer": (lambda it: it.attachProducer(cast(Any, "none")),),
    "two producers": (lambda it: it.attachProducer(Producer()),) * 2,
    "one after another": (
        lambda it: it.attachProducer(Producer()),
        lambda it: it.detachProducer(),
        lambda it: it.attachProducer(Producer()),
    ),
    "reading": (lambda it: it.pauseProducing(), lambda it: it.resumeProducing()),
}


@dialects
@pytest.mark.parametrize("action", ACTIONS)
def test_sameErrors(dialect: str, action: str) -> None:
    """A collecting transport raises what a real one raises, and is in the same state after it."""
    outcomes = []
    for transport in _open(dialect):
        error: str | None = None
        try:
            for act in ACTIONS[action]:
                act(transport)
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
        # A closing connection only becomes closed after some time.
        isOpen = transport.state is State.OPEN
        outcomes.append((error, isOpen, transport.dialect, transport.hasPing))
    collected, real = outcomes
    assert collected == real


@dialects
def test_collected(dialect: str) -> None:
    """It shows what was done with it."""
    request = fakeRequest(dialect=dialect)
    transport = CollectingTransport(dialect, subprotocol="chat", request=request)
    assert (transport.subprotocol, transport.request) == ("chat", request)
    transport.sendTextMessage("a")
    transport.sendTextMessages(iter(("b", "c")))
    messages: list[str | bytes] = ["a", "b", "c"]
    if dialect in MODERN:
        transport.sendBytesMessage(bytearray(b"d"))
        messages.append(b"d")
    else:
        with pytest.raises(UnsupportedMessage):
            transport.sendBytesMessage(b"d")
    transport.ping(b"?")
    calls: list[str] = []
    transport.whenReceived(lambda: calls.append("received"))
    transport.whenSettled(lambda: calls.append("settled"))
    producer = Producer()
    transport.attachProducer(producer)
    assert transport.producer is producer
    transport.detachProducer()
    assert transport.producer is None
    transport.pauseProducing()
    assert transport.isPaused
    transport.resumeProducing()
    assert not transport.isPaused
    transport.loseConnection(4000, "bye")
    transport.loseConnection(4001)
    transport.sendTextMessage("late")
    transport.ping(b"late")
    assert transport.messages == messages
    assert transport.pings == ([b"?"] if dialect in MODERN else [])
    assert calls == ["received", "settled"]
    assert transport.closed == (4000, "bye")
    assert not transport.isAborted
    transport.abort()
    assert transport.isAborted
    assert transport.state is State.CLOSED


def test_failed() -> None:
    """It distinguishes a fault from another close, and has an address."""
    transport = CollectingTransport()
    assert transport.transport.getPeer().host == "192.0.2.1"
    transport.fail(4000, "nonsense")
    assert (transport.isFailed, transport.closed) == (True, (4000, "nonsense"))
    other = CollectingTransport()
    other.loseWriteConnection()
    other.fail(4000, "late")
    assert (other.isFailed, other.closed) == (False, (1000, ""))


def test_ids() -> None:
    """Each has a unique id."""
    assert len({CollectingTransport().id for _ in range(10)}) == 10


def test_noDialect() -> None:
    """An unknown dialect raises."""
    with pytest.raises(ValueError, match="hixie-77"):
        CollectingTransport("hixie-77")


# Users' tests

TYPED = """
from twisted.internet.task import Clock
from twisted.web.server import Request

from twisted.web import websocket

from txhixie import Application, Echo, Settings, WebSocketProtocol, WebSocketTransport
from txhixie.testing import (
    CollectingProtocol,
    CollectingTransport,
    ConnectedPair,
    connectedPair,
    fakeRequest,
)


class Greeter(WebSocketProtocol):
    def negotiationStarted(self, transport: WebSocketTransport) -> None:
        transport.sendTextMessage("hello")


class Greeting:
    def buildProtocol(self, request: Request) -> Greeter:
        return Greeter()


def open(application: Application, clock: Clock) -> ConnectedPair:
    return connectedPair(
        application,
        CollectingProtocol(),
        url="/lobby",
        headers={"Cookie": "a=b"},
        settings=Settings(),
        clock=clock,
    )


class Theirs:
    def negotiationStarted(self, transport: websocket.WebSocketTransport) -> None:
        transport.sendTextMessage("hello")


def test_theirs() -> None:
    transport = CollectingTransport()
    Theirs().negotiationStarted(transport)
    assert transport.messages == ["hello"]


def test_greeting() -> None:
    transport = CollectingTransport("hixie-76", request=fakeRequest("/lobby", peer="192.0.2.7"))
    Greeting().buildProtocol(fakeRequest()).negotiationStarted(transport)
    assert transport.messages == ["hello"]
    pair = open(Echo(), Clock())
    pair.client.sendTextMessage("hi")
    pair.advance(1.5)
    sides: list[WebSocketTransport] = [pair.client, pair.server, transport]
    assert len({side.id for side in sides}) == 3
"""


def test_typing(tmp_path: Path) -> None:
    """A user's test passes C{mypy --strict}, and passes."""
    output = check(tmp_path, TYPED)
    assert output.startswith("Success"), output
    names: dict[str, Any] = {}
    exec(TYPED, names)
    names["test_greeting"]()
    names["test_theirs"]()


def howTo(heading: str) -> str:
    """@return: the first code of a section of the how-to."""
    text = (PROJECT / "docs" / "howto.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    code = section.partition("```python\n")[2].partition("```")[0]
    assert 0 < len(code.splitlines()) < 40
    return code


@pytest.mark.parametrize("runner", ["trial", "pytest", "unittest"])
def test_howTo(tmp_path: Path, runner: str) -> None:
    """The example of the how-to passes under every runner, and leaves no dirty reactor."""
    (tmp_path / "test_shout.py").write_text(howTo("Test without a network"), encoding="utf-8")
    modules = {"trial": "twisted.trial", "pytest": "pytest", "unittest": "unittest"}
    run = subprocess.run(
        [sys.executable, "-m", modules[runner], "test_shout" + ".py" * (runner == "pytest")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{PROJECT}:{PROJECT / 'examples'}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    output = run.stdout + run.stderr
    assert run.returncode == 0, output
    assert "Dirty" not in output
    assert re.search(r"Ran [34] tests|3 passed", output), output


def test_pairType() -> None:
    """The name of the class is public, for annotations."""
    assert isinstance(connectedPair(Echo(), CollectingProtocol()), ConnectedPair)
