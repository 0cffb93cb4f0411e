"""
A server without a network: the test is the client, and sets the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from socket import SHUT_WR
from typing import TYPE_CHECKING, Any, TypeVar, overload

from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import (
    IHalfCloseableDescriptor,
    ISSLTransport,
    ISystemHandle,
    ITCPTransport,
)
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides, implementer, providedBy

from tests.support import IDIOMS, buildHead
from txhixie import HixieFactory, HixieProtocol, HixieService, Settings
from txhixie.tap import Options, makeService
from txhixie.web.pace import Pace
from txhixie.websocket.counters import EVENTS
from txhixie.websocket.websocket import WebSocket

if TYPE_CHECKING:
    from twisted.web.resource import IResource
    from twisted.web.server import Request, Site

    from txhixie.application import Application

HEAD75 = (
    b"GET /demo?x=1 HTTP/1.1\r\n"
    b"Upgrade: WebSocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Host: example.com\r\n"
    b"Origin: http://example.com\r\n"
    b"\r\n"
)
REPLY75 = (
    b"HTTP/1.1 101 Web Socket Protocol Handshake\r\n"
    b"Upgrade: WebSocket\r\n"
    b"Connection: Upgrade\r\n"
    b"WebSocket-Origin: http://example.com\r\n"
    b"WebSocket-Location: ws://example.com/demo?x=1\r\n"
    b"\r\n"
)
# The example of draft 76 section 1.2.
HEAD76 = (
    b"GET /demo HTTP/1.1\r\n"
    b"Host: example.com\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n"
    b"Upgrade: WebSocket\r\n"
    b"Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n"
    b"Origin: http://example.com\r\n"
    b"\r\n"
)
KEY3 = b"^n:ds[4U"
REPLY76 = (
    b"HTTP/1.1 101 WebSocket Protocol Handshake\r\n"
    b"Upgrade: WebSocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Origin: http://example.com\r\n"
    b"Sec-WebSocket-Location: ws://example.com/demo\r\n"
    b"\r\n"
)
ANSWER = b"8jKS'y:G*Co,Wxa-"

# What a client sends to open a connection, and what it gets.
HANDSHAKES = {
    "hixie-75": (HEAD75, REPLY75),
    "hixie-76": (HEAD76 + KEY3, REPLY76 + ANSWER),
}

CLOSE = b"\xff\x00"


def frame(text: str) -> bytes:
    """@return: a text message as every Hixie dialect frames it."""
    return b"\0" + text.encode() + b"\xff"


# What a Recording records, besides the messages.
STARTED = "negotiationStarted"
FINISHED = "negotiationFinished"
LOST = "connectionLost"


class Recording:
    """
    One connection's application: records its calls, then does what its hooks say.

    @ivar calls: the callbacks in order, messages as C{"text: hello"}.
    @ivar ending: the exception it got at the end.
    """

    transport: Any
    ending: Any = None

    def __init__(self, request: Request, hooks: dict[str, Callable[..., object]]) -> None:
        self.request = request
        self.calls: list[str] = []
        self._hooks = hooks

    def _called(self, name: str, call: str, *args: object) -> None:
        self.calls.append(call)
        self._hooks.get(name, lambda *_: None)(self, *args)

    def negotiationStarted(self, transport: Any) -> None:
        self.transport = transport
        self._called(STARTED, STARTED, transport)

    def negotiationFinished(self) -> None:
        self._called(FINISHED, FINISHED)

    def textMessageReceived(self, message: str) -> None:
        self._called("textMessageReceived", f"text: {message}", message)

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        self._called("bytesMessageReceived", f"bytes: {data!r}", data)

    def pongReceived(self, payload: bytes) -> None:
        self._called("pongReceived", f"pong: {payload!r}", payload)

    def connectionLost(self, reason: Failure) -> None:
        self.ending = reason.value
        self._called(LOST, LOST)


class Recorder:
    """
    An application of L{Recording}s.

    @ivar made: all of them, in order.
    @ivar decide: turns a L{Recording} into what C{buildProtocol} returns.
    """

    def __init__(
        self, decide: Callable[..., Any] = lambda made: made, **hooks: Callable[..., object]
    ) -> None:
        """
        @param hooks: by the names of callbacks, called with the L{Recording} and the arguments.
        """
        self.made: list[Recording] = []
        self.decide = decide
        self._hooks = hooks

    def buildProtocol(self, request: Request) -> Any:
        made = Recording(request, self._hooks)
        self.made.append(made)
        return self.decide(made)


def echo(recording: Recording, message: str) -> None:
    """A hook that sends a message back."""
    recording.transport.sendTextMessage(message)


class Producer:
    """A push producer that records its calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def stopProducing(self) -> None:
        self.calls.append("stop")


class Wire(StringTransport):
    """
    The server's end of a connection that cannot be half-closed.

    @ivar writes: what the protocol wrote, call by call.
    @ivar stuck: whether the client reads nothing, so that the end is never sent.
    @ivar halfClosed: whether the protocol ended its direction.
    @ivar lost: whether the protocol was notified of the lost connection.
    """

    stuck = False
    halfClosed = False
    lost = False

    def __init__(self, protocol: HixieProtocol, clock: Clock) -> None:
        super().__init__()
        self.protocol = protocol
        self.clock = clock
        self.writes: list[bytes] = []
        self._taken = 0
        self._unread = b""
        protocol.makeConnection(self)

    # The server's side

    @property
    def webSocket(self) -> WebSocket:
        """What the application has, once it has accepted the connection."""
        webSocket = self.protocol.webSocket
        assert webSocket is not None
        return webSocket

    # The client's side

    def send(self, data: bytes) -> None:
        """Send a segment; it waits if the server does not read."""
        self._unread += data
        self._arrive()

    def dribble(self, data: bytes) -> None:
        """Send one byte at a time."""
        for byte in data:
            self.send(bytes([byte]))

    def take(self) -> bytes:
        """@return: what the server wrote since the last call."""
        taken, self._taken = self._taken, len(self.value())
        return bytes(self.value()[taken:])

    def lose(self, reason: Exception | None = None) -> None:
        """End the connection, by default with a FIN, as reactors do it: once."""
        if not self.lost:
            self.lost = True
            self.disconnecting = True
            if self.producer is not None:
                self.producer.stopProducing()
            self.protocol.connectionLost(Failure(reason or ConnectionDone()))

    @property
    def ended(self) -> bool:
        """Whether the server will not send anything more."""
        return self.halfClosed or self.disconnecting

    def _arrive(self) -> None:
        if self._unread and self.producerState == "producing" and not self.disconnecting:
            data, self._unread = self._unread, b""
            self.protocol.dataReceived(data)

    # The transport

    def fill(self) -> None:
        """Ask the server to stop writing: the client does not read."""
        assert self.producer is not None
        self.producer.pauseProducing()

    def drain(self) -> None:
        """Ask for more again: the client has read everything."""
        assert self.producer is not None
        self.producer.resumeProducing()

    def write(self, data: bytes) -> None:
        assert data, "an empty write"
        assert not self.ended, f"{data!r} was written after the end"
        self.writes.append(data)
        super().write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def resumeProducing(self) -> None:
        super().resumeProducing()
        self.clock.callLater(0, self._arrive)

    def loseConnection(self) -> None:
        super().loseConnection()
        if not self.stuck:
            self.clock.callLater(0, self.lose)

    def abortConnection(self) -> None:
        # Before StringTransport's own, which ends as loseConnection does.
        self.clock.callLater(0, self.lose, ConnectionAborted())
        super().abortConnection()


@implementer(ITCPTransport, IHalfCloseableDescriptor)
class TCPWire(Wire):
    """The server's end of a TCP connection."""

    _noDelay = _keepAlive = False

    def loseWriteConnection(self) -> None:
        self.halfClosed = True

    def readConnectionLost(self, reason: Failure) -> None:
        """The reactor does this."""

    def writeConnectionLost(self, reason: Failure) -> None:
        """The reactor does this, too."""

    def getTcpNoDelay(self) -> bool:
        return self._noDelay

    def setTcpNoDelay(self, enabled: bool) -> None:
        self._noDelay = enabled

    def getTcpKeepAlive(self) -> bool:
        return self._keepAlive

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self._keepAlive = enabled


class TLSWire(TCPWire):
    """The server's end of a TLS connection."""

    def __init__(self, protocol: HixieProtocol, clock: Clock) -> None:
        directlyProvides(self, ISSLTransport, providedBy(self))
        super().__init__(protocol, clock)


class Poller(Clock):
    """
    A clock that is a reactor to L{Descriptor}s: it writes when the test says so.
    """

    def __init__(self) -> None:
        super().__init__()
        self.writers: set[Descriptor] = set()
        self.readers: set[Descriptor] = set()

    def addWriter(self, descriptor: Descriptor) -> None:
        self.writers.add(descriptor)

    def removeWriter(self, descriptor: Descriptor) -> None:
        self.writers.discard(descriptor)

    def addReader(self, descriptor: Descriptor) -> None:
        self.readers.add(descriptor)

    def removeReader(self, descriptor: Descriptor) -> None:
        self.readers.discard(descriptor)

    def turn(self) -> None:
        """
        Let everything that wants to write do so, as a reactor does.
        """
        for descriptor in list(self.writers):
            why = descriptor.doWrite()
            if why is not None:
                descriptor.connectionLost(Failure(why))
                descriptor.protocol.connectionLost(Failure(why))


@implementer(ISystemHandle)
class Descriptor(FileDescriptor):
    """
    A socket's transport, and its socket, which takes as much as there is C{room}.
    """

    def __init__(self, reactor: Poller, protocol: HixieProtocol, secure: bool = False) -> None:
        super().__init__(reactor)  # type: ignore[arg-type]
        self.room: float = float("inf")
        self.broken = False
        self.writes: list[bytes] = []
        self.taken = bytearray()
        self.halfClosed = self.aborted = False
        self.connected = 1
        self.protocol = protocol
        if secure:
            directlyProvides(self, ISSLTransport, providedBy(self))
            self.setTcpNoDelay = self.setTcpKeepAlive = lambda on: None
        protocol.makeConnection(self)

    def writeSomeData(self, data: bytes) -> int | BaseException:
        if self.broken:
            return CONNECTION_LOST
        self.writes.append(bytes(data))
        size = int(min(self.room, len(data)))
        self.room -= size
        self.taken += data[:size]
        return size

    @property
    def webSocket(self) -> WebSocket:
        """What the application has, once it has accepted the connection."""
        webSocket = self.protocol.webSocket
        assert webSocket is not None
        return webSocket

    def getHandle(self) -> Descriptor:
        return self

    def send(self, data: bytes) -> int:
        taken = self.writeSomeData(data)
        if not isinstance(taken, int):
            raise ConnectionResetError
        if not taken:
            raise BlockingIOError
        return taken

    def shutdown(self, how: int) -> None:
        assert how == SHUT_WR
        self.halfClosed = True

    def _closeWriteConnection(self) -> None:
        self.halfClosed = True

    def abortConnection(self) -> None:
        self.aborted = True

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "192.168.1.1", 54321)

    getHost = getPeer

    def take(self) -> bytes:
        """
        @return: what the socket took since the last call.
        """
        taken, self.taken = self.taken, bytearray()
        return bytes(taken)


_W = TypeVar("_W", bound=Wire)


class LoopbackCase(SynchronousTestCase):
    """Has one server; what it logs as an error fails the test, unless it is flushed."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.serve()

    def serve(
        self,
        application: Application | None = None,
        site: Site | IResource | None = None,
        **settings: Any,
    ) -> None:
        """Make the server anew; without an application it has a L{Recorder} that echoes."""
        self.recorder = Recorder(textMessageReceived=echo)
        self.factory = HixieFactory(
            application or self.recorder, site, Settings(**settings), self.clock
        )

    def serveCommand(self, *arguments: str) -> HixieService:
        """
        Make the server anew, from a command line.

        @return: its service.
        """
        self.options = Options()
        self.options.parseOptions(list(arguments))
        service = makeService(self.options)
        assert isinstance(service, HixieService)
        self.factory = service.factory
        # The rest is in the reactor's time. A turn of that may be over here before the answer.
        self.factory.plain.pace = Pace(self.clock)
        return service

    def record(
        self, decide: Callable[..., Any] = lambda made: made, **hooks: Callable[..., object]
    ) -> Recorder:
        """Have the server's next connections answered by a L{Recorder}."""
        self.recorder = self.factory.application = Recorder(decide, **hooks)
        return self.recorder

    @overload
    def connect(self, data: bytes = b"") -> TCPWire: ...

    @overload
    def connect(self, data: bytes, kind: type[_W]) -> _W: ...

    def connect(self, data: bytes = b"", kind: type[Wire] = TCPWire) -> Wire:
        """
        @param data: the client's first segment.
        @param kind: what it comes by.
        """
        protocol = self.factory.buildProtocol(None)
        assert isinstance(protocol, HixieProtocol)
        wire = kind(protocol, self.clock)
        if data:
            wire.send(data)
        return wire

    @overload
    def open(self, dialect: str = "hixie-76") -> TCPWire: ...

    @overload
    def open(self, dialect: str = "hixie-76", *, kind: type[_W]) -> _W: ...

    def open(self, dialect: str = "hixie-76", kind: type[Wire] = TCPWire) -> Wire:
        """@return: a connection whose opening handshake is complete."""
        known = HANDSHAKES.get(dialect)
        idiom = IDIOMS[dialect]
        wire = self.connect(known[0] if known else buildHead(dialect) + idiom.preamble, kind)
        wire.take()
        return wire

    def count(self, event: str) -> int:
        """
        @param event: one of L{EVENTS}, followed by a number to count only that one.
        @return: how often it happened.
        """
        assert event.rstrip(" 0123456789") in EVENTS
        counted: int = self.factory.statistics()["events"].get(event, 0)
        return counted

    @property
    def calls(self) -> list[str]:
        """The calls of the newest connection's application."""
        return self.recorder.made[-1].calls

    @property
    def ending(self) -> Any:
        """How the newest connection ended, as its application got it."""
        return self.recorder.made[-1].ending

    def pass_(self, seconds: float, step: float = 0.5) -> None:
        """Let time pass in small steps."""
        self.clock.pump([step] * int(seconds / step))

    def assertQuiet(self) -> None:
        """Nothing is left of any connection, and nothing is waiting."""
        self.clock.advance(0)
        assert dict(self.factory.connections) == {}
        assert self.clock.getDelayedCalls() == []


def ownLines(events: Sequence[LogEvent]) -> list[str]:
    """@return: what txhixie logged, each event as its level and its text."""
    return [
        f"{event['log_level'].name}: {formatEvent(event)}"
        for event in events
        if event["log_namespace"].startswith("txhixie.")
    ]
