"""The end of a server with many clients: in batches, and in time."""

from __future__ import annotations

from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionDone
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.iweb import INonQueuedRequestFactory
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from zope.interface import provider

from tests.loopback import (
    CLOSE,
    HEAD75,
    HEAD76,
    KEY3,
    Descriptor,
    LoopbackCase,
    Poller,
    TCPWire,
    TLSWire,
    frame,
    ownLines,
)
from txhixie import HixieProtocol
from txhixie.server.service import HixieService

PLAIN = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class BatchTests(LoopbackCase):
    """Not all clients are closed at once."""

    def openMany(self, count: int) -> list[TCPWire]:
        """@return: this number of open clients."""
        return [self.open("hixie-76") for _ in range(count)]

    def told(self, wires: list[TCPWire]) -> int:
        """@return: how many clients were sent a close since the last call."""
        return sum(wire.take() == CLOSE for wire in wires)

    def answer(self, wires: list[TCPWire]) -> None:
        """Let clients do their part, and leave."""
        for wire in wires:
            wire.send(CLOSE)
            wire.lose()

    def test_thousand(self) -> None:
        """A thousand clients are closed a hundred at a time, all within a second."""
        self.serve(drainTimeout=10)
        wires = self.openMany(1000)
        gone = self.factory.closeConnections()
        batches = [self.told(wires)]
        for _ in range(9):
            self.clock.advance(0.1)
            batches.append(self.told(wires))
        assert batches == [100] * 10
        self.assertNoResult(gone)
        self.answer(wires)
        assert self.successResultOf(gone) is None
        self.assertQuiet()

    def test_inTime(self) -> None:
        """All clients get their close in most of the time, for any number of them and any time."""
        for drain, count in ((1.0, 1000), (0.25, 300), (0.1, 300)):
            with self.subTest(drain=drain, count=count):
                self.serve(drainTimeout=drain, closeTimeout=100, maxConnections=count)
                wires = self.openMany(count)
                self.factory.closeConnections()
                most = told = self.told(wires)
                self.clock.pump([0.1] * int(drain * 8))
                told += self.told(wires)
                assert told == count
                assert most <= max(100, count * 0.1 / (drain * 0.8) + 1)
                assert not any(wire.disconnected for wire in wires)
                self.answer(wires)
                self.clock.advance(0.1)
                self.assertQuiet()

    def test_hundred(self) -> None:
        """As few as a hundred are closed at once."""
        wires = self.openMany(100)
        self.factory.closeConnections()
        assert self.told(wires) == 100

    def test_goneMeanwhile(self) -> None:
        """A client that leaves before its turn gets no close, and does not delay the rest."""
        wires = self.openMany(250)
        gone = self.factory.closeConnections()
        for wire in wires[200:]:
            wire.lose()
        self.clock.advance(0.1)
        self.clock.advance(0.1)
        assert self.count("refused") == 0
        assert self.told(wires) == 200
        self.answer(wires[:200])
        assert self.successResultOf(gone) is None
        self.assertQuiet()

    def test_allGoneMeanwhile(self) -> None:
        """When no client is left there is nothing to wait for."""
        wires = self.openMany(250)
        gone = self.factory.closeConnections()
        for wire in wires:
            wire.lose()
        assert self.successResultOf(gone) is None
        self.assertQuiet()

    def test_talkMeanwhile(self) -> None:
        """Clients that have not been closed yet are served as before."""
        wires = self.openMany(150)
        self.factory.closeConnections()
        (last,) = (wire for wire in wires[-1:] if not wire.take())
        last.send(frame("hi"))
        assert last.take() == frame("hi")

    def test_notOpen(self) -> None:
        """Connections that are not open do not wait for a batch."""
        self.openMany(300)
        wires = [self.connect(data) for data in (b"", b"GET", PLAIN, HEAD76)]
        self.factory.closeConnections()
        assert [wire.ended for wire in wires] == [True, True, True, False]

    def test_cutOff(self) -> None:
        """A client that is still there when the time is over is cut off, and counted."""
        self.serve(drainTimeout=4)
        wires = self.openMany(5)
        for wire in wires:
            wire.stuck = True
        gone = self.factory.closeConnections()
        wires[0].lose()
        self.pass_(3.5)
        assert self.count("connections cut off") == 0
        self.pass_(0.5)
        self.clock.advance(0)
        assert self.successResultOf(gone) is None
        assert self.count("connections cut off") == 4
        self.assertQuiet()

    def test_nobody(self) -> None:
        """Without connections nothing is cut off, and nothing is logged."""
        with capturedLogs() as events:
            self.factory.abortConnections()
        assert ownLines(events) == []
        assert self.count("connections cut off") == 0


class NewcomerTests(LoopbackCase):
    """Clients that come while the server stops."""

    def test_turnedAway(self) -> None:
        """They get 503 with a time to try again, until the server has started again."""
        staying = self.open()
        self.factory.doStart()
        gone = self.factory.closeConnections()
        for number, data in enumerate((HEAD75, HEAD76 + KEY3, PLAIN), 1):
            wire = self.connect(data)
            answer = wire.take()
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nRetry-After: " in answer
            assert b"\r\nConnection: close\r\n" in answer
            assert wire.ended
            wire.lose()
            assert self.count("refused 503") == number
        staying.send(CLOSE)
        staying.lose()
        assert self.successResultOf(gone) is None
        self.factory.doStop()
        self.factory.doStart()
        for data in (HEAD75, HEAD76 + KEY3):
            assert self.connect(data).take().startswith(b"HTTP/1.1 101 ")
        assert self.connect(PLAIN).take().startswith(b"HTTP/1.1 200 ")
        self.factory.doStop()

    def test_serviceAgain(self) -> None:
        """A service that starts again admits clients again."""
        service = HixieService(self.factory)
        for _ in range(2):
            service.startService()
            self.factory.doStart()
            wire = self.connect(HEAD75)
            assert wire.take().startswith(b"HTTP/1.1 101 ")
            stopped = service.stopService()
            assert self.connect(HEAD75).take().startswith(b"HTTP/1.1 503 ")
            self.factory.doStop()
            self.pass_(10)
            self.successResultOf(stopped)

    def test_serviceOfWaitingPort(self) -> None:
        """A port that paused because of the rate does not accept more after a stop."""
        self.serve(acceptRate=10)
        service = HixieService(self.factory)
        service.startService()
        port: Any = FileDescriptor(Poller())  # type: ignore[arg-type]
        port.numberAccepts = 100
        self.factory.accepting.add(port)
        for _ in range(20):
            self.factory.accepting.connected()
        assert self.clock.getDelayedCalls() != []
        stopped = service.stopService()
        self.assertQuiet()
        self.successResultOf(stopped)


class Halves(Resource):
    """Answers in two halves, each when the test says so; the second may be much to read."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []

    def render(self, request: Request) -> int:
        """Keep the request."""
        self.requests.append(request)
        request.setHeader(b"Content-Length", b"8")
        return NOT_DONE_YET

    def write(self) -> None:
        """Write a half."""
        self.requests[-1].write(b"half")

    def finish(self) -> None:
        """Write a half, and be done."""
        self.write()
        self.requests.pop().finish()


class PlainTests(LoopbackCase):
    """Plain HTTP while the server stops."""

    def setUp(self) -> None:
        super().setUp()
        self.site = Halves()
        self.serve(site=self.site, drainTimeout=4)

    def test_unanswered(self) -> None:
        """A request that is not answered yet gets its answer, which says that it is the last."""
        wire = self.connect(PLAIN)
        gone = self.factory.closeConnections()
        assert not wire.ended
        self.site.write()
        self.site.finish()
        head, _, body = wire.take().partition(b"\r\n\r\n")
        assert b"\r\nConnection: close" in head
        assert body == b"halfhalf"
        assert wire.ended
        self.clock.advance(0)
        assert self.successResultOf(gone) is None
        self.assertQuiet()

    def test_halfAnswered(self) -> None:
        """An answer that has begun is finished."""
        wire = self.connect(PLAIN)
        self.site.write()
        gone = self.factory.closeConnections()
        assert wire.take().endswith(b"\r\n\r\nhalf")
        assert not wire.ended
        self.site.finish()
        assert wire.take() == b"half"
        self.clock.advance(0)
        assert self.successResultOf(gone) is None

    def test_body(self) -> None:
        """A request whose body is still arriving is read to the end, and answered."""
        wire = self.connect(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbo")
        gone = self.factory.closeConnections()
        assert not wire.ended
        wire.send(b"dy")
        self.site.write()
        self.site.finish()
        assert wire.take().endswith(b"halfhalf")
        self.clock.advance(0)
        assert self.successResultOf(gone) is None

    def test_pipelined(self) -> None:
        """Requests that wait after it are not answered."""
        wire = self.connect(PLAIN + PLAIN)
        gone = self.factory.closeConnections()
        self.site.write()
        self.site.finish()
        assert wire.take().count(b"HTTP/1.1 ") == 1
        assert self.site.requests == []
        self.clock.advance(0)
        assert self.successResultOf(gone) is None

    def test_idle(self) -> None:
        """Connections without a request, or with a part of a head, end at once."""
        for more in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"):
            for kind in (TCPWire, TLSWire):
                self.serve(site=self.site)
                wire = self.connect(PLAIN, kind)
                self.site.write()
                self.site.finish()
                wire.send(more)
                gone = self.factory.closeConnections()
                assert wire.ended
                assert wire.producer is None
                self.clock.advance(0)
                assert self.successResultOf(gone) is None

    def test_over(self) -> None:
        """A connection that had its last answer ends by itself."""
        wire = self.connect(b"GET / HTTP/1.0\r\n\r\n")
        self.site.write()
        wire.stuck = True
        self.site.finish()
        assert wire.ended
        self.factory.closeConnections()
        wire.lose()
        self.assertQuiet()

    def test_cutOff(self) -> None:
        """An answer that takes longer than the drain time is cut off, and counted."""
        wire = self.connect(PLAIN)
        self.site.write()
        gone = self.factory.closeConnections()
        self.pass_(3.5)
        assert not wire.ended
        self.pass_(0.5)
        self.clock.advance(0)
        assert wire.ended
        assert self.successResultOf(gone) is None
        assert self.count("connections cut off") == 1

    def test_ownSite(self) -> None:
        """All of it holds for a custom site, too."""
        for requestFactory in (None, OwnRequest, makeRequest):
            self.serve(site=Site(self.site, requestFactory=requestFactory, reactor=self.clock))
            wire = self.connect(PLAIN)
            gone = self.factory.closeConnections()
            self.site.write()
            self.site.finish()
            assert b"\r\nConnection: close" in wire.take()
            self.clock.advance(0)
            assert self.successResultOf(gone) is None


class OwnRequest(Request):
    """A request of a custom site."""


@provider(INonQueuedRequestFactory)
def makeRequest(channel: HTTPChannel) -> Request:
    """@return: a request, as a function makes it."""
    return OwnRequest(channel)


class LameDuckTests(LoopbackCase):
    """The time between the signal and the end."""

    def setUp(self) -> None:
        super().setUp()
        self.serve(lameDuck=5)
        self.service = HixieService(self.factory)
        self.service.startService()
        self.addCleanup(self.service.reloading.stop)

    def test_webSockets(self) -> None:
        """Until it is over, WebSockets go on, and new ones are opened."""
        wire = self.open()
        with capturedLogs() as events:
            stopped = self.service.stopService()
        assert ownLines(events) == ["info: stopping in 5 s, and accepting until then"]
        self.pass_(4.5)
        new = self.open()
        for each in (wire, new):
            each.send(frame("hello"))
            assert each.take() == frame("hello")
        self.assertNoResult(stopped)
        self.pass_(0.5)
        for each in (wire, new):
            assert each.take() == CLOSE
            each.send(CLOSE)
            each.lose()
        assert self.connect(HEAD75).take().startswith(b"HTTP/1.1 503 ")
        self.pass_(10)
        self.successResultOf(stopped)
        assert not self.service.running

    def test_plain(self) -> None:
        """Plain HTTP is answered as usual, once on each connection."""
        wires = [self.connect(), self.connect(PLAIN), self.connect(b"GET / HT")]
        assert b"Connection" not in wires[1].take()
        self.service.stopService()
        assert not any(wire.ended for wire in wires)
        wires.append(self.connect())
        for wire, data in zip(wires, (PLAIN, PLAIN + PLAIN, PLAIN[8:], PLAIN), strict=True):
            wire.send(data)
            answer = wire.take()
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert answer.count(b"HTTP/1.1 ") == 1
            assert b"\r\nConnection: close\r\n" in answer
            assert wire.ended

    def test_again(self) -> None:
        """A service that starts again answers as before."""
        stopped = self.service.stopService()
        self.pass_(5)
        self.successResultOf(stopped)
        self.service.startService()
        self.factory.doStart()
        assert b"Connection" not in self.connect(PLAIN).take()
        self.factory.doStop()

    def test_secondSignal(self) -> None:
        """A second signal ends it at once."""
        wire = self.open()
        stopped = self.service.stopService()
        self.service.abort()
        self.clock.advance(0)
        assert wire.lost
        self.successResultOf(stopped)
        self.assertQuiet()

    def test_secondSignalLater(self) -> None:
        """A second signal also works when that time is over, while clients are being closed."""
        wire = self.open()
        wire.stuck = True
        stopped = self.service.stopService()
        self.pass_(5)
        self.assertNoResult(stopped)
        self.service.abort()
        self.clock.advance(0)
        self.successResultOf(stopped)
        self.assertQuiet()


class BacklogTests(LoopbackCase):
    """What is unread when the server stops."""

    clock: Poller

    def setUp(self) -> None:
        self.clock = Poller()
        self.serve(drainTimeout=8)

    def slow(self) -> Descriptor:
        """@return: a client that has not read what was sent to it."""
        protocol = self.factory.buildProtocol(None)
        assert isinstance(protocol, HixieProtocol)
        descriptor = Descriptor(self.clock, protocol)
        protocol.dataReceived(HEAD76 + KEY3)
        descriptor.take()
        descriptor.room = 0
        for text in ("first", "second"):
            protocol.webSocket.sendTextMessage(text)
        return descriptor

    def turns(self, seconds: float) -> None:
        """Let time pass, and write everything that can be written."""
        for _ in range(int(seconds * 2)):
            self.clock.advance(0.5)
            self.clock.turn()

    def test_delivered(self) -> None:
        """A client that reads in time gets all of it, and then the close."""
        for delay in (0, 1, 3, 7):
            self.serve(drainTimeout=8)
            descriptor = self.slow()
            gone = self.factory.closeConnections()
            self.turns(delay)
            descriptor.room = float("inf")
            while self.clock.writers:
                self.clock.turn()
            assert descriptor.take() == frame("first") + frame("second") + CLOSE
            assert not descriptor.aborted
            if not gone.called:
                descriptor.protocol.dataReceived(CLOSE)
                descriptor.protocol.connectionLost(Failure(ConnectionDone()))
            assert self.successResultOf(gone) is None
            self.assertQuiet()

    def test_cutOff(self) -> None:
        """A client that does not is cut off when the time is over."""
        descriptor = self.slow()
        self.factory.closeConnections()
        self.turns(7.5)
        assert not descriptor.aborted
        self.turns(0.5)
        assert descriptor.aborted
        assert descriptor.take() == b""
        assert self.count("connections cut off") == 1
