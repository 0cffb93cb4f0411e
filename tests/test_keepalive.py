"""How dead and silent peers are found: by the system, by pings and heartbeats, by idle time."""

from __future__ import annotations

import socket
from contextlib import closing
from time import monotonic
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.tcp import Port, Server
from twisted.logger import capturedLogs
from twisted.protocols.haproxy._wrapper import HAProxyProtocolWrapper
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.loopback import (
    CLOSE,
    FINISHED,
    LOST,
    STARTED,
    LoopbackCase,
    Poller,
    Producer,
    TCPWire,
    Wire,
    frame,
    ownLines,
)
from tests.support import HIXIE, IDIOMS, MODERN, buildHead
from tests.support import frame as modernFrame
from txhixie import CloseCode, Echo, HixieFactory, Settings, WebSocketDone, WebSocketLost
from txhixie.websocket.liveness import watchPeer

PING = modernFrame(0x89, b"")

OPTIONS = ("TCP_USER_TIMEOUT", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")


class Handle:
    """A transport that is nothing but its socket."""

    def __init__(self, handle: object) -> None:
        self.handle = handle

    def getHandle(self) -> object:
        """@return: the socket."""
        return self.handle


def timers(handle: socket.socket) -> dict[str, int]:
    """@return: the timers of a socket, of those that the system has."""
    return {
        name: handle.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
        for name in OPTIONS
        if hasattr(socket, name)
    }


class WatchTests(SynchronousTestCase):
    """The options of a socket."""

    def setUp(self) -> None:
        self.socket = socket.socket()
        self.addCleanup(self.socket.close)
        self.untouched = timers(self.socket)
        self.settings = Settings(pingInterval=20, pingTimeout=10.5)

    def assertTimers(self, **expected: int) -> None:
        """These options are set, if the system has them, and the others are unchanged."""
        known = {name: value for name, value in expected.items() if hasattr(socket, name)}
        assert timers(self.socket) == {**self.untouched, **known}

    def test_withoutPings(self) -> None:
        """In a dialect without pings an idle peer is probed, three times within its time."""
        watchPeer(Handle(self.socket), False, self.settings)
        self.assertTimers(TCP_USER_TIMEOUT=30_500, TCP_KEEPIDLE=20, TCP_KEEPINTVL=4, TCP_KEEPCNT=3)

    def test_withPings(self) -> None:
        """In a dialect with pings only unacknowledged data has a time limit."""
        watchPeer(Handle(self.socket), True, self.settings)
        self.assertTimers(TCP_USER_TIMEOUT=30_500)

    def test_shortest(self) -> None:
        """Times below the system's minimum become the minimum."""
        watchPeer(Handle(self.socket), False, Settings(pingInterval=0.1, pingTimeout=0.1))
        self.assertTimers(TCP_USER_TIMEOUT=200, TCP_KEEPIDLE=1, TCP_KEEPINTVL=1, TCP_KEEPCNT=3)

    def test_longest(self) -> None:
        """Times above the system's maximum are no error."""
        for seconds in (32_767, 32_768, 86_400, 1e6, 1e7, 1e12):
            for hasPing in (False, True):
                settings = Settings(pingInterval=seconds, pingTimeout=seconds)
                watchPeer(Handle(self.socket), hasPing, settings)

    def test_off(self) -> None:
        """Without an interval nothing is watched."""
        watchPeer(Handle(self.socket), False, Settings(pingInterval=0))
        self.assertTimers()

    def test_wrapped(self) -> None:
        """A transport may be wrapped, even several times."""
        protocol: Any = Protocol()
        factory = WrappingFactory(ServerFactory())
        inner: Any = ProtocolWrapper(factory, protocol)
        inner.transport = Handle(self.socket)
        haproxy: Any = HAProxyProtocolWrapper
        outer = haproxy(factory, protocol)
        outer.transport = inner
        watchPeer(outer, True, self.settings)
        self.assertTimers(TCP_USER_TIMEOUT=30_500)

    def test_otherTransports(self) -> None:
        """Anything that is not TCP is left alone."""
        for transport in (object(), Handle(object()), Handle(None)):
            watchPeer(transport, False, self.settings)
        if hasattr(socket, "AF_UNIX"):
            ours, theirs = socket.socketpair(socket.AF_UNIX)
            with closing(ours), closing(theirs):
                watchPeer(Handle(ours), False, self.settings)

    def test_otherSystems(self) -> None:
        """Systems have some of the options, or none, or no Unix sockets."""
        for missing in OPTIONS[1:]:
            if hasattr(socket, missing):
                self.patch(socket, missing, None)
                delattr(socket, missing)
        watchPeer(Handle(self.socket), False, self.settings)
        if hasattr(socket, OPTIONS[0]):
            self.patch(socket, OPTIONS[0], None)
            delattr(socket, OPTIONS[0])
        if hasattr(socket, "AF_UNIX"):
            self.patch(socket, "AF_UNIX", None)
            del socket.AF_UNIX
        watchPeer(Handle(self.socket), False, self.settings)


class RealSocketTests(SynchronousTestCase):
    """A server's own sockets."""

    def test_accepted(self) -> None:
        """The socket of each connection that opens is watched, as its dialect needs."""
        poller = Poller()
        settings = Settings(pingInterval=20, pingTimeout=9)
        factory = HixieFactory(Echo(), None, settings, poller)
        port = Port(0, factory, 5, "127.0.0.1", poller)
        port.startListening()
        self.addCleanup(port.connectionLost, Failure(ConnectionDone()))
        for dialect, idiom in IDIOMS.items():
            with closing(socket.create_connection(port.socket.getsockname())) as client:
                port.doRead()
                client.sendall(buildHead(dialect) + idiom.preamble)
                deadline = monotonic() + 10
                while not factory.connections:
                    assert monotonic() < deadline
                    for reader in list(poller.readers):
                        reader.doRead()
                transport: Any
                (transport,) = (each for each in poller.readers if isinstance(each, Server))
                handle = transport.getHandle()
                assert handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                expected = {"TCP_USER_TIMEOUT": 29_000}
                if dialect in HIXIE:
                    expected |= {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 3, "TCP_KEEPCNT": 3}
                known = {n: value for n, value in expected.items() if hasattr(socket, n)}
                assert timers(handle) == {**timers(client), **known}
                factory.abortConnections()
                poller.advance(0)
                assert not factory.connections


class TimeCase(LoopbackCase):
    """Has clients that are slow to answer."""

    def text(self, dialect: str, text: str) -> bytes:
        """@return: what a server sends."""
        return IDIOMS[dialect].serverText(text)

    def answer(self, wire: Wire) -> None:
        """Let a client send anything."""
        wire.send(IDIOMS[wire.webSocket.dialect].clientText("x"))
        wire.take()

    def assertCut(self, wire: Wire) -> None:
        """A connection was ended, once, and its application got the reason."""
        self.clock.advance(0)
        assert wire.disconnected
        assert wire.lost
        assert self.calls.count(LOST) == 1
        assert type(self.ending) is WebSocketLost
        assert self.ending.code == CloseCode.ABNORMAL
        assert self.ending.reason == "no answer to a ping"


class PingTests(TimeCase):
    """Pings, and what happens to peers that do not answer."""

    def test_unanswered(self) -> None:
        """A silent peer is dropped when its time is over: with one log line, and counted."""
        for dialect in MODERN:
            self.serve(pingInterval=20, pingTimeout=10)
            wire = self.open(dialect)
            self.pass_(19.5)
            assert wire.take() == b""
            self.pass_(0.5)
            assert wire.take() == PING
            with capturedLogs() as events:
                self.pass_(9.5)
                assert not wire.ended
                self.pass_(0.5)
            assert ownLines(events)[:1] == [f"info: {wire.webSocket.id} does not answer a ping"]
            self.assertCut(wire)
            assert self.count("pings unanswered") == 1
            self.assertQuiet()

    def test_answered(self) -> None:
        """A peer that sends anything in time is pinged again and again, and stays."""
        for dialect in MODERN:
            self.serve(pingInterval=20, pingTimeout=10)
            wire = self.open(dialect)
            for _ in range(5):
                self.pass_(20)
                assert wire.take() == PING
                self.pass_(9.5)
                self.answer(wire)
                self.pass_(0.5)
            assert not wire.ended
            assert self.count("pings unanswered") == 0
            wire.lose()
            self.assertQuiet()

    def test_silentSince(self) -> None:
        """Data that came before the ping is no answer to it."""
        self.serve(pingInterval=20, pingTimeout=10)
        wire = self.open("rfc6455")
        self.pass_(19.5)
        self.answer(wire)
        self.pass_(10.5)
        self.assertCut(wire)

    def test_oldOnes(self) -> None:
        """Dialects without pings get none, and no heartbeat unless it is wanted."""
        for dialect in HIXIE:
            self.serve(pingInterval=2, pingTimeout=1)
            wire = self.open(dialect)
            self.pass_(100)
            assert wire.take() == b""
            assert not wire.ended
            wire.lose()
            self.assertQuiet()


class HeartbeatTests(TimeCase):
    """A text instead of pings."""

    def test_unanswered(self) -> None:
        """A peer that does not answer it is dropped like one that does not answer a ping."""
        for dialect in HIXIE:
            self.serve(heartbeat="♥", pingInterval=20, pingTimeout=10)
            wire = self.open(dialect)
            self.pass_(20)
            assert wire.take() == frame("♥")
            self.pass_(9.5)
            assert not wire.ended
            self.pass_(0.5)
            self.assertCut(wire)
            assert self.count("pings unanswered") == 1
            self.assertQuiet()

    def test_answered(self) -> None:
        """A peer that sends anything stays. The heartbeat is neither delivered nor counted."""
        for dialect in HIXIE:
            self.serve(heartbeat="♥", pingInterval=20, pingTimeout=10)
            wire = self.open(dialect)
            for _ in range(5):
                self.pass_(20)
                assert wire.take() == frame("♥")
                assert wire.webSocket.messagesSent == wire.webSocket.messagesReceived
                self.answer(wire)
                self.pass_(10)
            assert not wire.ended
            wire.lose()
            self.assertQuiet()

    def test_empty(self) -> None:
        """It may be empty."""
        self.serve(heartbeat="", pingInterval=20)
        wire = self.open("hixie-75")
        self.pass_(20)
        assert wire.take() == frame("")

    def test_modernOnes(self) -> None:
        """Dialects that have pings get those."""
        for dialect in MODERN:
            self.serve(heartbeat="♥", pingInterval=20)
            wire = self.open(dialect)
            self.pass_(20)
            assert wire.take() == PING

    def test_off(self) -> None:
        """Without an interval there is none."""
        self.serve(heartbeat="♥", pingInterval=0)
        wire = self.open("hixie-76")
        self.pass_(1000, 100)
        assert wire.take() == b""
        assert self.clock.getDelayedCalls() == []

    def test_whileClosing(self) -> None:
        """A connection that closes gets none."""
        self.serve(heartbeat="♥", pingInterval=3, pingTimeout=1, closeTimeout=10)
        for delay in (1, 3):
            wire = self.open("hixie-76")
            self.pass_(delay)
            wire.take()
            wire.webSocket.loseConnection()
            self.pass_(9.5)
            assert wire.take() == CLOSE
            assert not wire.ended
            wire.send(CLOSE)
            wire.lose()
            assert type(self.ending) is WebSocketDone
            assert self.count("pings unanswered") == 0
            self.assertQuiet()

    def test_whilePaused(self) -> None:
        """A peer that is not read from is not blamed, and does not get many pings when it reads."""
        self.serve(heartbeat="♥", pingInterval=20, pingTimeout=10)
        wire = self.open("hixie-76")
        wire.fill()
        self.pass_(600)
        assert not wire.ended
        assert wire.take() == b""
        wire.drain()
        assert len(wire.take()) <= 20 * len(frame("♥"))
        self.pass_(20)
        self.answer(wire)
        self.pass_(30)
        assert not wire.disconnected


class IdleTests(TimeCase):
    """Connections without messages."""

    def serveIdle(self, **settings: Any) -> None:
        """Make the server anew, with an idle time of twenty seconds."""
        self.serve(idleTimeout=20, pingInterval=0, **settings)

    def test_silent(self) -> None:
        """They are closed as going away, within twice the time, and it is logged and counted."""
        for dialect, idiom in IDIOMS.items():
            self.serveIdle()
            wire = self.open(dialect)
            self.pass_(19.5)
            assert not wire.take()
            self.pass_(0.5)
            farewell = wire.take()
            if dialect in MODERN:
                assert farewell == modernFrame(0x88, b"\x03\xe9nothing was said for too long")
            else:
                assert farewell == idiom.serverClose
            assert self.count("idle closed") == 1
            wire.send(idiom.clientClose)
            assert wire.ended
            wire.lose()
            assert self.calls == [STARTED, FINISHED, LOST]
            assert type(self.ending) is WebSocketDone
            self.assertQuiet()

    def test_deaf(self) -> None:
        """Peers that do not answer the close either are gone in the end, counted once."""
        for dialect in IDIOMS:
            self.serveIdle(lingerTimeout=3)
            self.open(dialect).stuck = True
            self.pass_(100)
            assert self.count("idle closed") == 1
            assert self.calls.count(LOST) == 1
            self.assertQuiet()

    def test_busy(self) -> None:
        """A message in either direction is enough."""
        self.record()
        self.serveIdle()
        for dialect in IDIOMS:
            for number in range(3):
                wire = self.open(dialect)
                for _ in range(5):
                    self.pass_(19)
                    if number != 1:
                        wire.send(IDIOMS[dialect].clientText("x"))
                    if number != 2:
                        wire.webSocket.sendTextMessage("x")
                assert not wire.ended
                assert self.count("idle closed") == 0
                self.pass_(40)
                assert wire.take()
                wire.lose()
                assert self.count("idle closed") == 1
                self.serveIdle()

    def test_pings(self) -> None:
        """Pings and heartbeats alone keep no connection open."""
        for dialect in IDIOMS:
            self.serve(idleTimeout=20, pingInterval=3, pingTimeout=100, heartbeat="♥")
            wire = self.open(dialect)
            self.pass_(40)
            assert self.count("idle closed") == 1
            wire.lose()
            self.assertQuiet()

    def test_off(self) -> None:
        """By default no connection is too idle."""
        self.serve(pingInterval=0)
        wire = self.open()
        self.pass_(100_000, 1000)
        assert not wire.ended
        assert self.clock.getDelayedCalls() == []

    def test_closing(self) -> None:
        """A connection that is already closing is not closed for that."""
        self.serveIdle(closeTimeout=50)
        wire = self.open()
        wire.webSocket.loseConnection()
        assert wire.take() == CLOSE
        self.pass_(45)
        assert wire.take() == b""
        assert self.count("idle closed") == 0


class TogetherTests(TimeCase):
    """Pings, heartbeats and idle times together."""

    def test_everyEnd(self) -> None:
        """
        However a connection ends, its timers end with it, and its application is notified once.
        """

        def closes(wire: TCPWire) -> None:
            wire.webSocket.loseConnection()

        def isClosed(wire: TCPWire) -> None:
            wire.send(IDIOMS[wire.webSocket.dialect].clientClose)

        def breaks(wire: TCPWire) -> None:
            wire.send(IDIOMS[wire.webSocket.dialect].breach)

        def pauses(wire: TCPWire) -> None:
            wire.fill()

        def nothing(wire: TCPWire) -> None:
            """It is left alone."""

        settings: Any = {"idleTimeout": 30, "pingInterval": 10, "pingTimeout": 5, "heartbeat": "♥"}
        for dialect in IDIOMS:
            for way in (closes, isClosed, breaks, pauses, nothing):
                for delay in (0, 10, 12):
                    with self.subTest(dialect=dialect, way=way.__name__, delay=delay):
                        self.serve(**settings)
                        producer = Producer()
                        wire = self.open(dialect)
                        wire.webSocket.attachProducer(producer)
                        self.pass_(delay)
                        way(wire)
                        self.pass_(150)
                        wire.lose()
                        assert self.calls.count(LOST) == 1
                        assert producer.calls.count("stop") == 1
                        self.assertQuiet()
