"""Byte streams over WebSockets, both sides ours, without a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost, NoProtocol
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    INegotiated,
    IPushProducer,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.clients import Memory, exchange
from tests.loopback import Producer, TCPWire, TLSWire, ownLines
from tests.support import HIXIE
from txhixie import (
    HandshakeRefused,
    HixieFactory,
    Settings,
    StreamApplication,
    StreamClientEndpoint,
    WebSocketDone,
)
from txhixie.applications.streamcodecs import MOST
from txhixie.settings import DIALECT_NAMES

URL = "ws://example.com/"
DEFAULT = Settings()
CASES = [
    (dialect, codec)
    for dialect in DIALECT_NAMES
    for codec in ("binary", "base64", "text")
    if codec != "binary" or dialect not in HIXIE
]
cases = pytest.mark.parametrize(("dialect", "codec"), CASES)
closing = pytest.mark.parametrize(
    ("dialect", "codec"), [case for case in CASES if case[0] != "hixie-75"]
)


class Peer(Protocol):
    """Records its calls."""

    transport: Any
    data = b""
    ending: BaseException | None = None

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert self.ending is None
        self.ending = reason.value


@implementer(IHalfCloseableProtocol)
class HalfPeer(Peer):
    """Is notified of half-closes."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def readConnectionLost(self) -> None:
        self.calls.append("read")

    def writeConnectionLost(self) -> None:
        self.calls.append("write")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.calls.append("lost")
        super().connectionLost(reason)


class Counted(Factory):
    """Counts its starts and stops, and keeps its protocols and their addresses."""

    noisy = False

    def __init__(self, protocol: Callable[[], Any] = Peer) -> None:
        self.make = protocol
        self.calls: list[str] = []
        self.made: list[Any] = []
        self.addresses: list[Any] = []

    def startFactory(self) -> None:
        self.calls.append("start")

    def stopFactory(self) -> None:
        self.calls.append("stop")

    def buildProtocol(self, addr: Any) -> Any:
        self.addresses.append(addr)
        protocol = self.make()
        if protocol is not None:
            protocol.factory = self
            self.made.append(protocol)
        return protocol


class Tunnel:
    """
    A protocol on each side of a WebSocket.

    @ivar served: the server's protocol.
    @ivar outcome: the client's protocol, or why there is none.
    """

    def __init__(
        self,
        dialect: str = "rfc6455",
        codec: str | None = None,
        serving: Callable[[], Any] = Peer,
        connecting: Callable[[], Any] = Peer,
        settings: Settings = DEFAULT,
        default: str = "text",
        wire: Any = TCPWire,
        clientSettings: Settings = DEFAULT,
        **options: Any,
    ) -> None:
        self.clock = Clock()
        self.memory = Memory(self.clock)
        self.factory = Counted(serving)
        self.hixie = HixieFactory(
            StreamApplication(self.factory, default), settings=settings, reactor=self.clock
        )
        self.serving = wire(self.hixie.buildProtocol(IPv4Address("TCP", "1.2.3.4", 5)), self.clock)
        self.client = Counted(connecting)
        endpoint = StreamClientEndpoint(
            self.clock,
            URL,
            codec=codec,
            dialect=dialect,
            endpoint=self.memory,
            settings=clientSettings,
            **options,
        )
        self.outcome: Any = None
        self.deferred = endpoint.connect(self.client)
        self.deferred.addBoth(self._fired)
        self.exchange()

    def _fired(self, outcome: Any) -> None:
        self.outcome = outcome.value if isinstance(outcome, Failure) else outcome

    def exchange(self) -> None:
        """Let both sides read until nothing more comes."""
        exchange(self.memory.wire, self.serving)

    @property
    def served(self) -> Any:
        """The server's protocol."""
        (made,) = self.factory.made
        return made

    def finish(self) -> None:
        """Let time pass until both sides are gone."""
        for _ in range(100):
            self.exchange()
            self.clock.advance(0.5)


@cases
def test_bothWays(dialect: str, codec: str) -> None:
    """Bytes go both ways, in order, and both protocols know their peer."""
    tunnel = Tunnel(dialect, codec)
    client, server = tunnel.outcome, tunnel.served
    assert client is tunnel.client.made[0]
    client.transport.write("na\u00efve ".encode())
    client.transport.writeSequence([b"and ", b"more"])
    server.transport.write(b"answer" * 20_000)
    tunnel.exchange()
    assert server.data == "na\u00efve and more".encode()
    assert client.data == b"answer" * 20_000
    for protocol, address in ((client, tunnel.client.addresses[0]), (server, None)):
        transport = protocol.transport
        for interface in (ITCPTransport, IConsumer, IPushProducer):
            assert verifyObject(interface, transport)
        assert not ISSLTransport.providedBy(transport)
        assert transport.getPeer() == (address or tunnel.factory.addresses[0])
    client.transport.loseConnection()
    tunnel.finish()
    assert isinstance(client.ending, ConnectionDone)
    assert isinstance(server.ending, ConnectionDone)
    assert tunnel.client.calls == ["start", "stop"]
    assert tunnel.clock.getDelayedCalls() == []


@cases
def test_serverEnds(dialect: str, codec: str) -> None:
    """What was written before the end arrives."""
    tunnel = Tunnel(dialect, codec)
    tunnel.served.transport.write(b"bye" * 50_000)
    tunnel.served.transport.loseConnection()
    assert tunnel.served.transport.disconnecting
    tunnel.served.transport.write(b"too late")
    tunnel.finish()
    assert tunnel.outcome.data == b"bye" * 50_000
    assert isinstance(tunnel.outcome.ending, ConnectionDone)
    assert isinstance(tunnel.served.ending, ConnectionDone)
    assert tunnel.served.transport.disconnected


def test_subprotocol() -> None:
    """The client names the codec, and gets it if the dialect can carry it."""
    for dialect, codec in CASES:
        tunnel = Tunnel(dialect, codec, default="base64" if codec == "text" else "text")
        (webSocket,) = tunnel.hixie.connections.values()
        assert webSocket.subprotocol == (None if codec == "text" else codec)


def test_defaults() -> None:
    """By default it is the best codec that the dialect can carry."""
    for dialect in DIALECT_NAMES:
        (webSocket,) = Tunnel(dialect).hixie.connections.values()
        assert webSocket.subprotocol == ("base64" if dialect in HIXIE else "binary")


@pytest.mark.parametrize("default", ["text", "binary", "base64"])
def test_default(default: str) -> None:
    """A client without a subprotocol gets the server's choice, if its dialect can carry it."""
    for dialect in DIALECT_NAMES:
        isRefused = default == "binary" and dialect in HIXIE
        codec = "text" if isRefused else default
        tunnel = Tunnel(dialect, codec, default=default, subprotocols=())
        if isRefused:
            assert isinstance(tunnel.outcome, HandshakeRefused)
            assert tunnel.outcome.status == 400
            assert b"this dialect needs the subprotocol base64" in tunnel.outcome.body
            assert tunnel.client.calls == ["start", "stop"]
            continue
        tunnel.served.transport.write(b"hello")
        tunnel.exchange()
        assert tunnel.outcome.data == b"hello"


def test_applicationSubprotocol() -> None:
    """A subprotocol that is not a codec is left to the settings."""
    tunnel = Tunnel(
        codec="binary",
        default="binary",
        subprotocols=["mqtt"],
        settings=Settings(subprotocols=("mqtt",)),
    )
    (webSocket,) = tunnel.hixie.connections.values()
    assert webSocket.subprotocol == "mqtt"
    tunnel.outcome.transport.write(b"\xff")
    tunnel.exchange()
    assert tunnel.served.data == b"\xff"


def test_binaryInHixie() -> None:
    """A Hixie client that asks only for bytes is refused."""
    with pytest.raises(ValueError, match="hixie-76 cannot carry the codec binary"):
        Tunnel("hixie-76", "binary")
    tunnel = Tunnel("hixie-76", "base64", subprotocols=["binary"])
    assert isinstance(tunnel.outcome, HandshakeRefused)
    assert tunnel.outcome.status == 400
    assert tunnel.factory.made == []


@pytest.mark.parametrize("dialect", DIALECT_NAMES)
def test_notText(dialect: str) -> None:
    """Bytes that are not UTF-8 end a connection of text, and the log says why."""
    tunnel = Tunnel(dialect, "text")
    with capturedLogs() as events:
        tunnel.served.transport.write(b"login: \xff\xfb\x01")
        tunnel.finish()
    assert tunnel.outcome.data == b""
    assert isinstance(tunnel.served.ending, ConnectionLost)
    assert tunnel.outcome.ending is not None
    (line,) = [line for line in ownLines(events) if "fault" in line]
    assert "is closed for a fault: 1011 not UTF-8, so not for the codec text: 'utf-8'" in line
    assert tunnel.hixie.statistics()["events"]["failed"] == 1
    assert tunnel.clock.getDelayedCalls() == []


def test_cutOff() -> None:
    """Half a character before the end does, too."""
    tunnel = Tunnel(codec="text")
    with capturedLogs() as events:
        tunnel.served.transport.write(b"\xe2\x82")
        tunnel.served.transport.loseConnection()
        tunnel.finish()
    assert "not UTF-8" in "".join(ownLines(events))
    assert isinstance(tunnel.served.ending, ConnectionLost)


@pytest.mark.parametrize("dialect", DIALECT_NAMES)
def test_notBase64(dialect: str) -> None:
    """A message that is not base64 ends the connection, and the log says why."""
    tunnel = Tunnel(dialect, "base64")
    with capturedLogs() as events:
        tunnel.outcome.transport._webSocket.sendTextMessage("aGk=")
        tunnel.outcome.transport._webSocket.sendTextMessage("not base64")
        tunnel.outcome.transport._webSocket.sendTextMessage("aGk=")
        tunnel.finish()
    assert tunnel.served.data == b"hi"
    assert isinstance(tunnel.served.ending, ConnectionLost)
    (line,) = [line for line in ownLines(events) if "fault" in line]
    assert "is closed for a fault: 1007 a message is not base64" in line
    assert tunnel.clock.getDelayedCalls() == []


def test_abort() -> None:
    """An aborted connection ends as TCP would: one side aborted it, the other lost it."""
    tunnel = Tunnel()
    tunnel.served.transport.abortConnection()
    tunnel.served.transport.abortConnection()
    tunnel.clock.advance(0)
    assert type(tunnel.served.ending) is ConnectionAborted
    tunnel.memory.wire.lose(ConnectionLost())
    assert isinstance(tunnel.outcome.ending, ConnectionLost)
    tunnel.served.transport.write(b"too late")
    tunnel.served.transport.loseConnection()
    tunnel.served.transport.loseWriteConnection()
    tunnel.finish()
    assert tunnel.clock.getDelayedCalls() == []


def test_mistakes() -> None:
    """A protocol that raises loses its connection, as over TCP."""

    class Broken(Peer):
        def dataReceived(self, data: bytes) -> None:
            raise ZeroDivisionError

    tunnel = Tunnel(serving=Broken)
    with pytest.raises(TypeError, match="data must be bytes, not str"):
        tunnel.outcome.transport.write("text")
    with capturedLogs() as events:
        tunnel.outcome.transport.write(b"x")
        tunnel.finish()
    (failure,) = [event["log_failure"] for event in events if "log_failure" in event]
    assert failure.check(ZeroDivisionError)
    assert isinstance(tunnel.outcome.ending, WebSocketDone)
    assert tunnel.outcome.ending.code == 1011


@pytest.mark.parametrize("dialect", DIALECT_NAMES)
def test_noProtocol(dialect: str) -> None:
    """If no protocol is made, the connection ends."""
    tunnel = Tunnel(dialect, serving=lambda: None)
    tunnel.finish()
    assert isinstance(tunnel.outcome.ending, ConnectionDone)
    tunnel = Tunnel(dialect, connecting=lambda: None)
    tunnel.finish()
    assert type(tunnel.outcome) is NoProtocol
    assert tunnel.client.calls == ["start", "stop"]
    assert tunnel.served.ending is not None

    def fail() -> None:
        raise ZeroDivisionError

    tunnel = Tunnel(dialect, connecting=fail)
    assert type(tunnel.outcome) is ZeroDivisionError
    tunnel.finish()
    assert tunnel.clock.getDelayedCalls() == []


def test_cancel() -> None:
    """Cancelling ends the attempt."""
    clock = Clock()
    memory = Memory(clock)
    factory = Counted()
    deferred = StreamClientEndpoint(clock, URL, endpoint=memory).connect(factory)
    failures: list[Failure] = []
    deferred.addErrback(failures.append)
    deferred.cancel()
    clock.advance(0)
    assert failures[0].check(CancelledError)
    assert memory.wire.lost
    assert factory.calls == ["start", "stop"]
    assert clock.getDelayedCalls() == []


def test_usage() -> None:
    """Invalid arguments raise before anything is connected."""
    for options in (
        {"url": "http://example.com/"},
        {"codec": "hex"},
        {"dialect": "hixie-77"},
        {"origin": "two words"},
        {"dialect": "hixie-75", "codec": "binary"},
        {"dialect": "hixie-75", "subprotocols": ["a", "b"]},
    ):
        with pytest.raises(ValueError, match=r"\w+"):
            StreamClientEndpoint(Clock(), **{"url": URL, **options})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="several"):
        StreamClientEndpoint(Clock(), URL, subprotocols="binary")
    with pytest.raises(ValueError, match="no codec"):
        StreamApplication(Factory(), "hex")


# Half-close


@closing
def test_halfClose(dialect: str, codec: str) -> None:
    """One side ends its direction, the other goes on for as long as it likes."""
    tunnel = Tunnel(dialect, codec, HalfPeer, HalfPeer)
    client, server = tunnel.outcome, tunnel.served
    client.transport.write(b"question")
    client.transport.loseWriteConnection()
    client.transport.write(b"too late")
    tunnel.exchange()
    assert client.calls == ["write"]
    assert server.calls == ["read"]
    tunnel.clock.advance(600)
    tunnel.exchange()
    server.transport.write(b"answer " * 10_000)
    tunnel.exchange()
    assert (server.data, client.data) == (b"question", b"answer " * 10_000)
    server.transport.loseConnection()
    tunnel.finish()
    assert client.calls == ["write", "read", "lost"]
    assert server.calls == ["read", "lost"]
    assert isinstance(client.ending, ConnectionDone)
    assert isinstance(server.ending, ConnectionDone)
    assert tunnel.clock.getDelayedCalls() == []


@closing
def test_halfCloseByServer(dialect: str, codec: str) -> None:
    """The server may do so, too."""
    tunnel = Tunnel(dialect, codec, HalfPeer, HalfPeer)
    tunnel.served.transport.loseWriteConnection()
    tunnel.exchange()
    tunnel.clock.advance(600)
    tunnel.outcome.transport.write(b"still there")
    tunnel.exchange()
    assert tunnel.served.data == b"still there"
    tunnel.outcome.transport.loseConnection()
    tunnel.finish()
    assert tunnel.outcome.calls == ["read", "lost"]
    assert tunnel.served.calls == ["write", "read", "lost"]


@closing
def test_halfCloseUnasked(dialect: str, codec: str) -> None:
    """A protocol that does not ask for half-closes is closed, as over TCP."""
    tunnel = Tunnel(dialect, codec, Peer, HalfPeer)
    tunnel.outcome.transport.loseWriteConnection()
    tunnel.finish()
    assert isinstance(tunnel.served.ending, ConnectionDone)
    assert tunnel.outcome.calls == ["write", "read", "lost"]


def test_halfCloseWithoutHandshake() -> None:
    """Hixie-75 has no closing handshake, so both directions end."""
    tunnel = Tunnel("hixie-75", "text", HalfPeer, HalfPeer)
    tunnel.outcome.transport.write(b"question")
    tunnel.outcome.transport.loseWriteConnection()
    tunnel.finish()
    assert tunnel.served.data == b"question"
    assert tunnel.served.calls[-1] == "lost"
    assert tunnel.outcome.calls[-1] == "lost"


def test_halfClosedAndStopped() -> None:
    """A server that stops ends half-closed connections, whichever direction is closed."""
    for isServer in (True, False):
        tunnel = Tunnel("rfc6455", "binary", HalfPeer, HalfPeer)
        side = tunnel.served if isServer else tunnel.outcome
        side.transport.loseWriteConnection()
        tunnel.exchange()
        fired: list[object] = []
        tunnel.hixie.closeConnections().addCallback(fired.append)
        tunnel.finish()
        assert fired
        assert tunnel.served.calls[-1] == "lost"
        assert tunnel.outcome.calls[-1] == "lost"


def test_halfClosedAndLost() -> None:
    """TCP may end while one direction is closed."""
    tunnel = Tunnel("rfc6455", "binary", HalfPeer, HalfPeer)
    tunnel.outcome.transport.loseWriteConnection()
    tunnel.exchange()
    tunnel.serving.lose(ConnectionLost())
    tunnel.memory.wire.lose(ConnectionLost())
    tunnel.finish()
    assert tunnel.served.calls == ["read", "lost"]
    assert tunnel.outcome.calls == ["write", "lost"]
    assert isinstance(tunnel.served.ending, ConnectionLost)
    assert tunnel.clock.getDelayedCalls() == []


# Producers


def test_pushProducer() -> None:
    """A push producer is paused while the peer does not read, and stopped at the end."""
    tunnel = Tunnel()
    transport, producer = tunnel.served.transport, Producer()
    transport.registerProducer(producer, True)
    with pytest.raises(RuntimeError, match="registered already"):
        transport.registerProducer(Producer(), True)
    tunnel.serving.fill()
    tunnel.serving.drain()
    assert producer.calls == ["pause", "resume"]
    transport.loseConnection()
    transport.write(b"the rest")
    tunnel.exchange()
    assert tunnel.served.ending is None
    assert tunnel.outcome.data == b"the rest"
    transport.unregisterProducer()
    tunnel.finish()
    assert isinstance(tunnel.served.ending, ConnectionDone)
    assert producer.calls == ["pause", "resume"]
    transport.registerProducer(producer, True)
    assert producer.calls == ["pause", "resume", "stop"]
    transport.unregisterProducer()


class Pulled:
    """A pull producer of C{count} pieces."""

    def __init__(self, transport: Any, count: int) -> None:
        self.transport = transport
        self.count = count
        self.calls: list[str] = []

    def resumeProducing(self) -> None:
        self.calls.append("resume")
        self.transport.write(b"x" * 1000)
        self.count -= 1
        if not self.count:
            self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        self.calls.append("stop")


@cases
def test_pullProducer(dialect: str, codec: str) -> None:
    """A pull producer is asked for more while the peer reads, and not otherwise."""
    tunnel = Tunnel(dialect, codec)
    transport = tunnel.served.transport
    producer = Pulled(transport, 50)
    transport.registerProducer(producer, False)
    transport.loseConnection()
    assert producer.calls == ["resume"]
    tunnel.serving.fill()
    for _ in range(20):
        tunnel.clock.advance(0)
    assert len(producer.calls) == 1
    tunnel.serving.drain()
    for _ in range(60):
        tunnel.clock.advance(0)
    assert producer.calls == ["resume"] * 50
    tunnel.finish()
    assert tunnel.outcome.data == b"x" * 50_000
    assert tunnel.clock.getDelayedCalls() == []


def test_pullStopped() -> None:
    """It is stopped when the connection is lost, and when it raises."""
    tunnel = Tunnel()
    producer = Pulled(tunnel.served.transport, 50)
    tunnel.served.transport.registerProducer(producer, False)
    tunnel.serving.lose(ConnectionLost())
    tunnel.clock.advance(0)
    assert producer.calls == ["resume", "stop"]

    class Broken(Pulled):
        def resumeProducing(self) -> None:
            raise ZeroDivisionError

    tunnel = Tunnel()
    with capturedLogs() as events:
        tunnel.served.transport.registerProducer(Broken(None, 1), False)
        tunnel.clock.advance(0)
    assert any("log_failure" in event for event in events)
    assert type(tunnel.served.ending) is ConnectionAborted


def test_reading() -> None:
    """A protocol that pauses its transport gets nothing until it resumes, and then everything."""
    tunnel = Tunnel()
    tunnel.served.transport.pauseProducing()
    tunnel.outcome.transport.write(b"x" * 100_000)
    tunnel.exchange()
    assert tunnel.served.data == b""
    tunnel.served.transport.resumeProducing()
    tunnel.exchange()
    assert tunnel.served.data == b"x" * 100_000
    tunnel.served.transport.stopProducing()
    tunnel.finish()
    assert isinstance(tunnel.served.ending, ConnectionDone)


@pytest.mark.parametrize("policy", ["close", "drop", "latest"])
def test_nothingDropped(policy: str) -> None:
    """Nothing that was written is dropped, whatever happens to messages for slow peers."""
    tunnel = Tunnel(settings=Settings(sendLimit=1000, slowPolicy=policy))
    tunnel.serving.fill()
    for _ in range(50):
        tunnel.served.transport.write(b"x" * 10_000)
        tunnel.clock.advance(0)
    tunnel.serving.drain()
    tunnel.exchange()
    assert tunnel.outcome.data == b"x" * 500_000
    assert tunnel.served.ending is None


@cases
def test_slowEnd(dialect: str, codec: str) -> None:
    """Data written before the end has no time limit, even if the peer reads very slowly."""
    # The client's pings would not be answered after so much data.
    tunnel = Tunnel(dialect, codec, clientSettings=Settings(pingInterval=0))
    tunnel.served.transport.write(b"first")
    tunnel.serving.fill()
    tunnel.served.transport.write(b"x" * 500_000)
    tunnel.served.transport.loseConnection()
    tunnel.served.transport.write(b"too late")
    for _ in range(600):
        tunnel.clock.advance(1)
    assert tunnel.served.ending is None
    late = Producer()
    tunnel.served.transport.registerProducer(late, True)
    assert late.calls == ["stop"]
    tunnel.serving.drain()
    tunnel.finish()
    assert tunnel.outcome.data == b"first" + b"x" * 500_000
    assert isinstance(tunnel.served.ending, ConnectionDone)
    assert isinstance(tunnel.outcome.ending, ConnectionDone)


@cases
def test_noDeadlock(dialect: str, codec: str) -> None:
    """Both sides may write much at the same time: data from the peer is read meanwhile."""
    tunnel = Tunnel(dialect, codec)
    tunnel.serving.fill()
    tunnel.memory.wire.fill()
    for side in (tunnel.outcome, tunnel.served):
        side.transport.write(b"x" * 500_000)
    assert tunnel.serving.producerState == tunnel.memory.wire.producerState == "producing"
    tunnel.serving.drain()
    tunnel.exchange()
    assert len(tunnel.outcome.data) == 500_000
    tunnel.memory.wire.drain()
    tunnel.exchange()
    assert len(tunnel.served.data) == 500_000


def test_memoryLimit() -> None:
    """Data that waits for a peer counts: beyond the total limit, the connection ends."""
    tunnel = Tunnel(settings=Settings(memoryLimit=1_000_000))
    tunnel.serving.fill()
    with capturedLogs() as events:
        for _ in range(40):
            tunnel.served.transport.write(b"x" * MOST)
            tunnel.clock.advance(0)
        tunnel.finish()
    assert "too much memory is in use" in "".join(ownLines(events))
    assert isinstance(tunnel.served.ending, ConnectionLost)


# What else protocols do with their transports


def test_secure() -> None:
    """Over TLS the transport has the interfaces of TLS, and its answers."""

    class Wire(TLSWire):
        negotiatedProtocol = b"http/1.1"

        def getPeerCertificate(self) -> str:
            return "certificate"

    tunnel = Tunnel(wire=Wire)
    transport = tunnel.served.transport
    assert INegotiated.providedBy(transport)
    assert ISSLTransport.providedBy(transport)
    assert transport.getPeerCertificate() == "certificate"
    assert transport.negotiatedProtocol == b"http/1.1"


def test_options() -> None:
    """Options of TCP are passed on, and addresses are those of TCP."""
    transport = Tunnel().served.transport
    for name in ("TcpNoDelay", "TcpKeepAlive"):
        for enabled in (False, True):
            getattr(transport, f"set{name}")(enabled)
            assert getattr(transport, f"get{name}")() is enabled
    assert transport.getHost() == IPv4Address("TCP", "10.0.0.1", 12345)

    class NoTCP:
        transport = object()

    transport._webSocket = NoTCP()
    transport.setTcpNoDelay(True)
    assert transport.getTcpNoDelay() is False


def test_trustedProxy() -> None:
    """The peer is the client that a trusted proxy reports."""
    tunnel = Tunnel(
        settings=Settings(trustedProxies=("192.168.1.1",)),
        headers={"X-Forwarded-For": "9.8.7.6"},
    )
    assert tunnel.served.transport.getPeer().host == "9.8.7.6"
    assert tunnel.factory.addresses[0].host == "9.8.7.6"


def test_started() -> None:
    """The factory is started and stopped with the server that listens, on whatever path it is."""
    from txhixie import Routes

    factories = [Counted(), Counted()]
    application = Routes(
        {"/a": StreamApplication(factories[0])}, default=StreamApplication(factories[1])
    )
    hixie = HixieFactory(application, reactor=Clock())
    for _ in range(2):
        hixie.doStart()
        hixie.doStart()
        hixie.doStop()
        hixie.doStop()
    assert [factory.calls for factory in factories] == [["start", "stop"] * 2] * 2


def test_lines() -> None:
    """A LineReceiver that ends its connection gets no line after that."""

    class Lines(LineReceiver):
        lines: list[bytes]

        def connectionMade(self) -> None:
            self.lines = []

        def lineReceived(self, line: bytes) -> None:
            self.lines.append(line)
            assert self.transport is not None
            self.transport.loseConnection()

    tunnel = Tunnel(serving=Lines)
    tunnel.outcome.transport.write(b"quit\r\nmore\r\n")
    tunnel.exchange()
    assert tunnel.served.lines == [b"quit"]


def test_replaced() -> None:
    """A protocol may replace itself with another, as over TCP."""
    tunnel = Tunnel()
    other: Any = Peer()
    other.makeConnection(tunnel.served.transport)
    tunnel.served.transport.protocol = other
    tunnel.outcome.transport.write(b"for the other")
    tunnel.exchange()
    assert (other.data, tunnel.served.data) == (b"for the other", b"")
