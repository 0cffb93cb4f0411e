"""Plain HTTP within limits: heads, bodies, times, and how much is handled at once."""

from __future__ import annotations

import tempfile
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from tests.loopback import (
    HEAD75,
    REPLY75,
    LoopbackCase,
    Recording,
    TCPWire,
    TLSWire,
    Wire,
    echo,
    frame,
    ownLines,
)
from tests.support import IDIOMS, buildHead
from tests.test_web import Echoing, Waiting, answers
from txhixie.web.pace import Pace
from txhixie.web.site import Okay

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def posting(*fields: bytes, body: bytes = b"") -> bytes:
    """@return: a request with a body."""
    return b"\r\n".join([b"POST / HTTP/1.1", b"Host: x", *fields, b"", body])


def turn(clock: Clock) -> None:
    """Let one turn of the reactor pass: due calls are made, and calls that they schedule wait."""
    for call in list(clock.calls):
        if call.getTime() <= clock.seconds():
            clock.calls.remove(call)
            call.func(*call.args, **call.kw)


class PlainCase(LoopbackCase):
    """Has connections of plain HTTP."""

    def assertRefused(self, wire: Wire, status: int) -> None:
        """The last answer to a client is the refusal, as every refused client gets it."""
        last = answers(wire.take())[-1]
        assert last.status == status
        assert last.headers[b"connection"] == b"close"
        assert wire.ended
        assert self.count("refused") == self.count(f"refused {status}") == 1
        # What it still sends is dropped.
        wire.send(GET * 3)
        assert wire.take() == b""
        wire.lose()
        self.assertQuiet()

    def statuses(self, wire: Wire) -> list[int]:
        """@return: the statuses of the answers so far."""
        return [answer.status for answer in answers(wire.take())]


class HeadTests(PlainCase):
    """How large a head may be: the first of a connection, and later ones."""

    # What comes before the head.
    BEFORE = (b"", GET, posting(b"Content-Length: 3", body=b"abc"))

    def lastIs(self, status: int, head: bytes, **settings: Any) -> None:
        """A head gets the same answer in each position."""
        for before in self.BEFORE:
            self.serve(**settings)
            wire = self.connect(before)
            wire.send(head)
            if status != 200:
                self.assertRefused(wire, status)
            else:
                assert set(self.statuses(wire)) == {200}
                assert not wire.ended
                wire.lose()

    def test_tooManyFields(self) -> None:
        """One field more than the limit is refused, even before the empty line."""
        head = b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10
        self.lastIs(200, head + b"\r\n", maxFields=10)
        self.lastIs(431, head + b"X: y\r\n", maxFields=10)

    def test_tooLarge(self) -> None:
        """One byte more is refused, in one line or in several, whether or not the line ends."""
        rest = 500 - len(b"GET / HTTP/1.1\r\nX: \r\n\r\n")
        head = b"GET / HTTP/1.1\r\nX: " + b"y" * rest + b"\r\n\r\n"
        self.lastIs(200, head, maxHead=500)
        self.lastIs(431, head.replace(b"X: ", b"X: y"), maxHead=500)
        self.lastIs(431, b"GET / HTTP/1.1\r\n" + b"X: yyyy\r\n" * 60, maxHead=500)
        self.lastIs(431, b"GET /" + b"y" * 600, maxHead=500)

    def test_aboveTwisteds(self) -> None:
        """Settings above the limits of twisted.web hold as well."""
        line = b"GET /?" + b"y" * 20_000 + b" HTTP/1.1\r\n\r\n"
        fields = b"GET / HTTP/1.1\r\n" + b"X: yyyy\r\n" * 600 + b"\r\n"
        self.lastIs(200, line, maxHead=65536)
        self.lastIs(200, fields, maxFields=1000)

    def test_eachByItself(self) -> None:
        """Earlier requests do not count."""
        self.serve(maxHead=200, maxFields=5)
        wire = self.connect()
        for _ in range(20):
            wire.send(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5 + b"\r\n")
        assert self.statuses(wire) == [200] * 20

    def test_ownSite(self) -> None:
        """The limits hold for a site that an application brings."""
        self.lastIs(431, b"GET /" + b"y" * 600, maxHead=500, site=Site(Echoing()))

    def test_digits(self) -> None:
        """A Content-Length of thousands of digits is malformed. It is logged in one line."""
        head = posting(b"Content-Length: " + b"9" * 5000)
        for before in self.BEFORE:
            self.serve()
            wire = self.connect(before)
            with capturedLogs() as events:
                wire.send(head)
            (line,) = ownLines(events)
            assert line.startswith("info: refused 192.168.1.1:54321: 400 ")
            assert [event["log_level"].name for event in events] == ["info"]
            self.assertRefused(wire, 400)

    def test_head(self) -> None:
        """No refusal of a HEAD request has a body, whatever came before."""
        fault = b" / HTTP/1.1\r\nno colon\r\n\r\n"
        for before in (b"", b"HEAD / HTTP/1.1\r\n\r\n", GET):
            for method in (b"HEAD", b"GET"):
                wire = self.connect(before)
                wire.take()
                wire.send(method + fault)
                _, _, body = wire.take().partition(b"\r\n\r\n")
                assert body == (b"Bad Request\n" if method == b"GET" else b"")

    def test_afterAFault(self) -> None:
        """A fault in the middle of a head gets one answer, and nothing is answered after it."""
        for fault in (b"no colon", b"Content-Length: " + b"9" * 50, b"Transfer-Encoding: x"):
            self.serve(site=Echoing())
            wire = self.connect(GET + b"GET / HTTP/1.1\r\n" + fault + b"\r\nX: y\r\n\r\n" + GET)
            first, second = answers(wire.take())
            assert (first.status, second.status) == (200, 400)
            assert wire.ended
            assert self.count("refused") == 1


class BodyTests(PlainCase):
    """How large a body may be, and where it is kept."""

    def test_inMemory(self) -> None:
        """No body is put into a file, however large, or of whatever length."""

        def refuse(*args: object, **kwargs: object) -> None:
            raise AssertionError("a file")

        self.patch(tempfile, "TemporaryFile", refuse)
        self.serve(site=Echoing())
        body = b"x" * 500_000
        chunked = b"7a120\r\n" + body + b"\r\n0\r\n\r\n"
        for request in (
            posting(b"Content-Length: 500000", body=body),
            posting(b"Transfer-Encoding: chunked", body=chunked),
        ):
            (answer,) = answers(self.connect(request).take())
            assert answer.body == b"POST / " + body

    def test_announced(self) -> None:
        """A body that is announced to be too large is refused before it comes, in any request."""
        for before in HeadTests.BEFORE:
            for fields in ((), (b"Expect: 100-continue",)):
                self.serve(maxBody=1000)
                wire = self.connect(before + posting(b"Content-Length: 1001", *fields))
                self.assertRefused(wire, 413)

    def test_tooLong(self) -> None:
        """A body without a length is refused as soon as it is too large; the site is not asked."""
        waiting = Waiting()
        self.serve(site=waiting, maxBody=1000)
        chunk = b"64\r\n" + b"x" * 100 + b"\r\n"
        wire = self.connect(posting(b"Transfer-Encoding: chunked", body=chunk * 10))
        assert wire.take() == b""
        wire.send(chunk + b"0\r\n\r\n" + GET)
        assert waiting.requests == []
        self.assertRefused(wire, 413)

    def test_expected(self) -> None:
        """A client that sends Expect gets a 100 Continue."""
        wire = self.connect(posting(b"Content-Length: 3", b"Expect: 100-continue"))
        assert wire.take() == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.send(b"abc")
        assert self.statuses(wire) == [200]

    def test_dropped(self) -> None:
        """The received part of a refused body is not kept until the client is gone."""
        self.serve(maxBody=1000)
        wire = self.connect(posting(b"Transfer-Encoding: chunked", body=b"64\r\n" + b"x" * 100))
        channel: Any = wire.protocol._http
        (request,) = channel._channel.requests
        wire.send(b"\r\nfffff\r\n" + b"x" * 1000)
        assert self.statuses(wire) == [413]
        assert request.content.closed


class Looking(Okay):
    """Looks at the arguments that requests have."""

    def __init__(self, arguments: list[Any]) -> None:
        super().__init__()
        self.arguments = arguments

    def render(self, request: Request) -> bytes:
        self.arguments.append(request.args)
        return super().render(request)


class FormTests(PlainCase):
    """Forms, which take long to read."""

    FORM = posting(
        b"Content-Type: application/x-www-form-urlencoded", b"Content-Length: 3", body=b"a=1"
    )

    def test_notRead(self) -> None:
        """The default site does not parse them."""
        arguments: list[Any] = []
        self.serve(site=Looking(arguments))
        assert self.statuses(self.connect(self.FORM)) == [200]
        assert arguments == [{}]

    def test_read(self) -> None:
        """A site with an application's own resources does."""
        arguments: list[Any] = []
        root = Resource()
        root.putChild(b"", Looking(arguments))
        self.serve(site=root)
        assert self.statuses(self.connect(self.FORM)) == [200]
        assert arguments == [{b"a": [b"1"]}]


class Slow(Resource):
    """Takes a while for each request."""

    isLeaf = True

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self._clock = clock
        self._seconds = seconds
        self.count = 0

    def render(self, request: Request) -> bytes:
        self.count += 1
        # Nothing happens meanwhile.
        self._clock.rightNow += self._seconds
        return b"x" * 100


class PaceTests(PlainCase):
    """How many requests are answered at once."""

    def slow(self, seconds: float) -> Slow:
        """@return: the resource of a server whose requests take a given time."""
        slow = Slow(self.clock, seconds)
        self.serve(site=slow)
        return slow

    def perTurn(self, slow: Slow, turns: int) -> list[int]:
        """@return: how many requests are answered in each of the next turns of the reactor."""
        counts = []
        for _ in range(turns):
            before = slow.count
            turn(self.clock)
            counts.append(slow.count - before)
        return counts

    def test_pipelined(self) -> None:
        """After five milliseconds all others have a turn, however many requests have come."""
        for kind in (TCPWire, TLSWire):
            for request in (GET, posting(b"Content-Length: 1", body=b"x")):
                slow = self.slow(0.002)
                wire = self.connect(request * 10, kind)
                assert slow.count == 3
                assert self.perTurn(slow, 4) == [3, 3, 1, 0]
                assert self.statuses(wire) == [200] * 10

    def test_quick(self) -> None:
        """Requests that take less are answered at once."""
        slow = self.slow(0.0001)
        self.connect(GET * 20)
        assert slow.count == 20

    def test_notRead(self) -> None:
        """Meanwhile nothing is read from the client, but TLS may deliver what it already has."""
        slow = self.slow(0.02)
        wire = self.connect(GET * 3)
        assert wire.producerState == "paused"
        wire.protocol.dataReceived(GET * 2)
        assert slow.count == 1
        assert wire.producerState == "paused"
        assert self.perTurn(slow, 5) == [1, 1, 1, 1, 0]
        assert wire.producerState == "producing"
        assert self.statuses(wire) == [200] * 5

    def test_several(self) -> None:
        """Several such clients take turns, which together are no longer than a turn of one."""
        slow = self.slow(0.004)
        wires = [self.connect(GET * 4) for _ in range(3)]
        assert slow.count == 2
        assert self.perTurn(slow, 6) == [2, 2, 2, 2, 2, 0]
        assert [self.statuses(wire) for wire in wires] == [[200] * 4] * 3

    def test_inBetween(self) -> None:
        """A client that comes meanwhile does not wait for all of them."""
        slow = self.slow(0.004)
        wires = [self.connect(GET * 8) for _ in range(3)]
        newer = self.connect(GET)
        assert newer.take() == b""
        turn(self.clock)
        newest = self.connect(GET)
        assert self.statuses(newest) == [200]
        assert slow.count == 5
        assert newer.take() == b""
        assert self.perTurn(slow, 2) == [2, 2]
        # The rest of a turn is used by the next one.
        assert self.perTurn(slow, 1) == [2]
        assert self.statuses(newer) == [200]
        assert self.statuses(wires[0]) == [200] * 5

    def test_gone(self) -> None:
        """A client that is gone has no turn."""
        slow = self.slow(0.02)
        wires = [self.connect(GET * 3) for _ in range(2)]
        for wire in wires:
            wire.lose()
        assert slow.count == 1
        self.clock.advance(0)
        assert slow.count == 1
        self.assertQuiet()

    def test_full(self) -> None:
        """A client that does not read its answers gets no more of them."""
        slow = self.slow(0)
        wire = self.connect(GET)
        wire.fill()
        wire.protocol.dataReceived(GET * 5)
        assert slow.count == 1
        wire.drain()
        assert slow.count == 6
        wire.send(GET)
        assert slow.count == 7

    def test_fullInBetween(self) -> None:
        """
        A client whose answers fill the transport while requests are handled gets no more either.
        """
        slow = self.slow(0)

        class Small(TCPWire):
            def write(self, data: bytes) -> None:
                super().write(data)
                if slow.count == 3 and self.producer is not None:
                    self.fill()

        wire = self.connect(GET * 6, Small)
        assert slow.count == 3
        wire.drain()
        assert slow.count == 6
        assert self.statuses(wire) == [200] * 6

    def test_fullAndWaiting(self) -> None:
        """A client is answered only if it reads, and if it has its turn."""
        slow = self.slow(0.02)
        wire = self.connect(GET * 3)
        wire.fill()
        assert self.perTurn(slow, 2) == [0, 0]
        wire.drain()
        assert slow.count == 2
        wire.fill()
        wire.drain()
        assert slow.count == 2
        assert self.perTurn(slow, 2) == [1, 0]

    def test_upgrade(self) -> None:
        """An opening handshake after such requests has its turn, and what follows it waits."""
        slow = self.slow(0.02)
        decision: Deferred[Recording] = Deferred()
        recorder = self.record(lambda made: decision, textMessageReceived=echo)
        wire = self.connect(GET * 3 + HEAD75 + frame("hi"))
        assert slow.count == 1
        assert self.perTurn(slow, 4) == [1, 1, 0, 0]
        assert self.statuses(wire) == [200] * 3
        assert wire.producerState == "paused"
        wire.send(frame("ho"))
        self.clock.advance(0)
        assert wire.producerState == "paused"
        decision.callback(recorder.made[0])
        self.clock.advance(0)
        assert wire.take() == REPLY75 + frame("hi") + frame("ho")
        wire.lose()
        self.assertQuiet()

    def test_fullWhileWaiting(self) -> None:
        """A client that waits for its turn is not read from, though it reads answers meanwhile."""
        slow = self.slow(0.02)
        wire = self.connect(GET)
        turn(self.clock)
        self.connect(GET * 2)
        for _ in range(3):
            wire.fill()
            wire.drain()
            wire.protocol.dataReceived(GET)
            assert wire.producerState == "paused"
        assert slow.count == 2
        assert self.perTurn(slow, 5) == [1, 1, 1, 1, 0]
        assert self.statuses(wire) == [200] * 4

    def test_late(self) -> None:
        """Requests after one that is answered later come after it."""
        waiting = Waiting()
        self.serve(site=waiting)
        wire = self.connect(GET + posting(b"Content-Length: 2", body=b"hi") + GET)
        for number in range(3):
            (request,) = waiting.requests
            waiting.requests.clear()
            assert wire.take() == b""
            request.write(b"%d" % number)
            request.finish()
            assert wire.take().endswith(b"\r\n1\r\n%d\r\n0\r\n\r\n" % number)
        assert waiting.requests == []


class HandshakeTests(LoopbackCase):
    """Clients that come all at once take turns, too."""

    def slow(self) -> None:
        """Let the server take two milliseconds for each handshake."""

        def decide(made: Recording) -> Recording:
            self.clock.rightNow += 0.002
            return made

        self.record(decide, textMessageReceived=echo)

    def opened(self) -> int:
        """@return: how many are open."""
        return len(self.factory.connections)

    def test_together(self) -> None:
        """After five milliseconds others have their turn."""
        self.slow()
        wires = [self.connect(HEAD75) for _ in range(10)]
        counts = [self.opened()]
        while self.opened() < 10:
            turn(self.clock)
            counts.append(self.opened())
        assert counts == [3, 6, 9, 10]
        for wire in wires:
            wire.send(frame("hi"))
            assert wire.take() == REPLY75 + frame("hi")

    def test_order(self) -> None:
        """New clients wait after those that already wait, also if TLS delivers their data."""
        for dialect in IDIOMS:
            self.slow()
            idiom = IDIOMS[dialect]
            for _ in range(3):
                self.connect(HEAD75)
            wire = self.connect(buildHead(dialect)[:50], TLSWire)
            assert wire.producerState == "paused"
            wire.protocol.dataReceived(buildHead(dialect)[50:] + idiom.preamble[:3])
            wire.protocol.dataReceived(idiom.preamble[3:] + idiom.clientText("hi"))
            assert wire.take() == b""
            self.clock.advance(0)
            assert wire.take().endswith(idiom.serverText("hi"))
            assert wire.producerState == "producing"

    def test_gone(self) -> None:
        """A client that is gone, or refused, meanwhile has no turn."""
        self.slow()
        self.serve(maxHandshakes=2)
        self.slow()
        for _ in range(3):
            self.connect(HEAD75)
        lost, evicted, other = (self.connect(HEAD75) for _ in range(3))
        lost.lose()
        self.connect()
        assert evicted.ended
        turns: list[TCPWire] = []
        for wire in (lost, evicted):
            wire.protocol.goOn = partial(turns.append, wire)  # type: ignore[method-assign]
        self.clock.advance(0)
        assert turns == []
        assert self.opened() == 4
        assert other.take() == REPLY75
        assert evicted.take() == b""

    def test_plain(self) -> None:
        """Plain HTTP has the same turns, and is counted once."""
        slow = Slow(self.clock, 0.002)
        self.serve(site=slow)
        self.slow()
        for data in (GET, HEAD75, GET, HEAD75):
            self.connect(data)
        assert (slow.count, self.opened()) == (2, 1)
        turn(self.clock)
        assert (slow.count, self.opened()) == (2, 2)


class TurnsTests(SynchronousTestCase):
    """Taking turns by itself."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.pace = Pace(self.clock)

    def test_forgotten(self) -> None:
        """A connection that another one removes during its turn has no turn."""
        pace = self.pace
        happened: list[str] = []

        class Busy:
            def __init__(self, name: str, forgets: Busy | None = None) -> None:
                self.name = name
                self.forgets = forgets

            def goOn(self) -> None:
                happened.append(self.name)
                if self.forgets is not None:
                    pace.forget(self.forgets)

        b = Busy("b")
        pace.begin()
        for each in (Busy("a", b), b, Busy("c")):
            pace.wait(each)
        self.clock.advance(0)
        assert happened == ["a", "c"]
        assert self.clock.getDelayedCalls() == []

    def test_rest(self) -> None:
        """Without waiting connections there is no timer, and the whole time is available again."""
        busy: Any = object()
        self.pace.rest()
        assert self.pace.begin()
        self.pace.wait(busy)
        self.clock.rightNow += 1
        assert self.pace.isOver
        self.pace.end()
        self.pace.rest()
        assert len(self.clock.getDelayedCalls()) == 1
        assert not self.pace.begin()
        self.pace.forget(busy)
        self.pace.rest()
        assert self.clock.getDelayedCalls() == []
        assert self.pace.begin()
        assert not self.pace.isOver

    def test_within(self) -> None:
        """Work that begins within another connection's time is a part of that time."""
        assert self.pace.begin()
        self.clock.rightNow += 0.003
        assert self.pace.begin()
        assert not self.pace.isOver
        self.clock.rightNow += 0.003
        assert self.pace.isOver
        self.pace.end()
        assert self.pace.begin()
        self.pace.end()
        self.pace.end()
        assert not self.pace.begin()
        self.clock.advance(0)
        assert self.pace.begin()

    def test_setBack(self) -> None:
        """A clock that is set back gives no connection more time."""
        self.pace.begin()
        self.clock.rightNow -= 100
        self.pace.end()
        self.pace.begin()
        self.clock.rightNow += 0.006
        assert self.pace.isOver


class TimeTests(PlainCase):
    """How long a request may take to arrive."""

    def setUp(self) -> None:
        super().setUp()
        self.serve(requestTimeout=20)

    def trickle(self, wire: Wire, data: bytes) -> float:
        """@return: after how many seconds a client that sends a byte per second is cut off."""
        for number in range(len(data)):
            wire.send(data[number : number + 1])
            self.clock.advance(1)
            if wire.ended:
                return number + 1
        raise AssertionError("it is not cut off")

    def test_slowBody(self) -> None:
        """A body that takes too long is refused, in any request, with any coding."""
        chunked = posting(b"Transfer-Encoding: chunked", body=b"fff\r\n")
        for before in HeadTests.BEFORE:
            for request in (posting(b"Content-Length: 1000"), chunked):
                self.serve(requestTimeout=20)
                wire = self.connect(before + request)
                assert self.trickle(wire, b"x" * 100) == 20
                self.assertRefused(wire, 408)

    def test_slowHead(self) -> None:
        """A later head that takes too long with its body is refused, too."""
        for before in HeadTests.BEFORE[1:]:
            self.serve(requestTimeout=20)
            wire = self.connect(before)
            assert self.trickle(wire, posting(b"Content-Length: 1000")) == 20
            self.assertRefused(wire, 408)

    def test_behind(self) -> None:
        """The time of a request that came with another begins when that is answered."""
        waiting = Waiting()
        self.serve(site=waiting, requestTimeout=20)
        wire = self.connect(GET + b"GET / HTTP/1.1\r\n")
        self.pass_(100)
        waiting.requests[0].setHeader(b"Content-Length", b"0")
        waiting.requests[0].finish()
        self.pass_(19)
        assert not wire.ended
        self.pass_(1)
        self.assertRefused(wire, 408)

    def test_each(self) -> None:
        """Each request has the whole time."""
        wire = self.connect(GET)
        for _ in range(5):
            wire.send(GET[:5])
            self.pass_(15)
            wire.send(GET[5:])
        assert self.statuses(wire) == [200] * 6
        assert not wire.ended

    def test_answer(self) -> None:
        """An answer may take any time, and may stream; so may its beginning."""
        waiting = Waiting()
        self.serve(site=waiting, requestTimeout=20)
        wire = self.connect(GET)
        self.pass_(100)
        for _ in range(5):
            waiting.requests[0].write(b"data: x\n\n")
            self.pass_(100)
            assert wire.take().endswith(b"data: x\n\n\r\n")
        assert not wire.ended

    def test_idle(self) -> None:
        """A connection without a request is closed after twisted.web's time, without an answer."""
        wire = self.connect(GET)
        wire.take()
        # Some clients send an empty line after a body. It is no request.
        wire.send(b"\r\n")
        self.pass_(59.5)
        assert not wire.ended
        with capturedLogs() as events:
            self.pass_(0.5)
        assert wire.ended
        assert wire.take() == b""
        assert events == []
        wire.lose()
        self.assertQuiet()

    def test_first(self) -> None:
        """The first head has the time of a handshake."""
        self.serve(requestTimeout=5, handshakeTimeout=10)
        wire = self.connect(GET[:-2])
        self.pass_(9.5)
        assert not wire.ended
        self.pass_(0.5)
        assert self.statuses(wire) == [408]


class IdleTests(PlainCase):
    """Idle connections make room."""

    def test_webSocket(self) -> None:
        """
        With all slots taken, the connection that was idle for the longest time makes room for a new
        one.
        """
        self.serve(maxConnections=3)
        wires = [self.connect(GET) for _ in range(3)]
        wires[0].send(GET)
        for ends in (1, 2, 0):
            wire = self.connect(HEAD75)
            assert wire.take().startswith(b"HTTP/1.1 101 ")
            assert wires[ends].disconnecting
        assert self.count("idle evicted") == 3
        assert b"503" in self.connect(HEAD75).take()
        # Those that went count once: there is room for one more when one leaves.
        for evicted in wires:
            evicted.lose()
        assert b"503" in self.connect(HEAD75).take()

    def test_busy(self) -> None:
        """One that is not idle stays."""
        waiting = Waiting()
        for busy in (
            GET + b"GET",
            posting(b"Content-Length: 3", body=b"ab"),
            posting(b"Transfer-Encoding: chunked", body=b"2\r\nab\r\n"),
        ):
            self.serve(maxConnections=1)
            wire = self.connect(busy)
            assert b"503" in self.connect(HEAD75).take()
            assert not wire.ended
        self.serve(site=waiting, maxConnections=1)
        wire = self.connect(GET)
        assert b"503" in self.connect(HEAD75).take()
        waiting.requests[0].finish()
        assert self.connect(HEAD75).take().startswith(b"HTTP/1.1 101 ")

    def test_again(self) -> None:
        """Each is idle again after its next request; connections that are gone do not count."""
        self.serve(maxConnections=2)
        first, second = self.connect(GET), self.connect(GET)
        first.send(GET[:5])
        second.lose()
        self.connect(HEAD75)
        assert b"503" in self.connect(HEAD75).take()
        first.send(GET[5:])
        assert self.connect(HEAD75).take().startswith(b"HTTP/1.1 101 ")
        assert first.disconnecting

    def test_perAddress(self) -> None:
        """No connection has to go for a client that is refused anyway."""
        self.serve(maxConnections=1, maxPerAddress=1)
        wire = self.connect(GET)
        assert b"503" in self.connect(HEAD75).take()
        assert not wire.ended

    def test_draining(self) -> None:
        """No connection has to go while the server stops."""
        self.serve(maxConnections=1)
        wire = self.connect(GET)
        self.factory.admission.close()
        assert b"503" in self.connect(HEAD75).take()
        assert not wire.ended

    def test_handshakes(self) -> None:
        """
        A connection that had to go counts as a handshake until it is gone, so the total is limited.
        """
        self.serve(maxConnections=1, maxHandshakes=1)
        wire = self.connect(GET)
        wire.stuck = True
        webSocket = self.connect(HEAD75)
        assert wire.disconnecting
        self.connect()
        assert self.count("handshakes evicted") == 1
        assert not webSocket.ended


class OwnConnectionsTests(PlainCase):
    """Sites that make their own connections."""

    def test_own(self) -> None:
        """Their connections are used unchanged."""
        made: list[HTTPChannel] = []

        class Own(Site):
            def buildProtocol(self, addr: object) -> Any:
                channel: Any = super().buildProtocol(addr)
                made.append(channel)
                return channel

        self.serve(site=Own(Echoing(), reactor=self.clock), maxHead=100)
        wire = self.connect(GET)
        wire.send(b"GET /" + b"y" * 200 + b" HTTP/1.1\r\n\r\n")
        assert self.statuses(wire) == [200, 200]
        assert len(made) == 1
        wire.lose()
        self.assertQuiet()
