"""What all connections of a server share."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet import reactor as installed
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Site

from tests.loopback import (
    ANSWER,
    CLOSE,
    HANDSHAKES,
    HEAD76,
    KEY3,
    LOST,
    REPLY76,
    LoopbackCase,
    Poller,
    Recorder,
    Recording,
    Wire,
    echo,
    frame,
    ownLines,
)
from txhixie import Echo, HixieFactory, State, WebSocketDone, WebSocketLost
from txhixie.server import factory
from txhixie.settings import DIALECT_NAMES
from txhixie.websocket.counters import EVENTS

requirement = pytest.mark.requirement

PLAIN = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class ConnectionsTests(LoopbackCase):
    """The factory knows its open connections."""

    def test_mapping(self) -> None:
        """A connection is known by its id from its opening to its end."""
        wire = self.connect(HEAD76)
        assert dict(self.factory.connections) == {}
        wire.send(KEY3)
        other = self.open("hixie-75")
        assert dict(self.factory.connections) == {
            wire.webSocket.id: wire.webSocket,
            other.webSocket.id: other.webSocket,
        }
        wire.lose()
        assert list(self.factory.connections) == [other.webSocket.id]

    def test_knownToTheApplication(self) -> None:
        """It is known in C{negotiationFinished}, and no longer in C{connectionLost}."""
        known: list[bool] = []

        def note(recording: object) -> None:
            known.append(bool(self.factory.connections))

        self.record(negotiationFinished=note, connectionLost=note)
        self.open().lose()
        assert known == [True, False]

    def test_readOnly(self) -> None:
        """The mapping cannot be changed from outside."""
        with pytest.raises(TypeError):
            self.factory.connections["x"] = self.open().protocol  # type: ignore[index]

    def test_others(self) -> None:
        """Plain HTTP, refused and unfinished connections are not in it."""
        for data in (PLAIN, HEAD76, b"GET", b"SSH-2.0\r\n", HEAD76[:-2] + b"Origin: x\r\n\r\n"):
            self.connect(data)
        assert dict(self.factory.connections) == {}


class SendingTests(LoopbackCase):
    """Messages through the factory."""

    def test_toOne(self) -> None:
        """A message to one connection."""
        wires = [self.open(dialect) for dialect in HANDSHAKES]
        for wire in wires:
            self.factory.sendTextMessage(wire.webSocket.id, "for " + wire.webSocket.id)
        for wire in wires:
            assert wire.take() == frame("for " + wire.webSocket.id)

    def test_toNobody(self) -> None:
        """A message to a connection that is not open is an error of the caller."""
        wire = self.open()
        name = wire.webSocket.id
        wire.lose()
        for connectionId in (name, "", "x"):
            with pytest.raises(KeyError):
                self.factory.sendTextMessage(connectionId, "hi")

    def test_toAll(self) -> None:
        """A message to all, or to all but one; each gets it in one write."""
        wires = [self.open(dialect) for dialect in (*HANDSHAKES, *HANDSHAKES)]
        self.factory.broadcastTextMessage("all")
        self.factory.broadcastTextMessage("some", exclude=wires[1].webSocket.id)
        self.factory.broadcastTextMessage("all", exclude="nobody")
        for number, wire in enumerate(wires):
            texts = ["all", "all"] if number == 1 else ["all", "some", "all"]
            assert wire.writes[1:] == [frame(text) for text in texts]

    def test_closingOnesSkipped(self) -> None:
        """Connections that are closing do not get it, and cause no error."""
        closing, other = self.open(), self.open()
        closing.webSocket.loseConnection()
        self.factory.broadcastTextMessage("hi")
        assert (closing.take(), other.take()) == (CLOSE, frame("hi"))

    def test_lostMeanwhile(self) -> None:
        """A connection that is lost while another is written to causes no error."""
        wires = [self.open() for _ in range(3)]

        class Cutting(Wire):
            def write(self, data: bytes) -> None:
                super().write(data)
                wires[2].lose()

        cutting = self.open(kind=Cutting)
        self.factory.broadcastTextMessage("hi")
        assert [wire.take() for wire in (*wires[:2], cutting)] == [frame("hi")] * 3
        assert wires[2].webSocket.id not in self.factory.connections

    def test_fromAMessage(self) -> None:
        """What several calls send while a segment is read is written once per connection."""

        def answer(recording: object, message: str) -> None:
            self.factory.broadcastTextMessage("1")
            self.factory.sendTextMessage(wires[1].webSocket.id, "2")

        self.record(textMessageReceived=answer)
        wires = [self.open(), self.open()]
        wires[0].send(frame("go"))
        assert [wire.writes[1:] for wire in wires] == [[frame("1")], [frame("1") + frame("2")]]

    def test_gather(self) -> None:
        """What is sent in a turn is written after it, even if the turn fails."""
        wire = self.open()

        def sendAndFail() -> None:
            wire.webSocket.sendTextMessage("1")
            self.factory.shared.turn.run(wire.webSocket.sendTextMessage, "2")
            assert wire.take() == b""
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            self.factory.shared.turn.run(sendAndFail)
        assert wire.writes[1:] == [frame("1") + frame("2")]
        wire.webSocket.sendTextMessage("3")
        assert wire.writes[2:] == [frame("3")]


class CloseConnectionsTests(LoopbackCase):
    """The end of a server."""

    def test_twiceInBatches(self) -> None:
        """A second call changes nothing; both Deferreds fire."""
        wires = [self.open("hixie-75") for _ in range(150)]
        gone = [self.factory.closeConnections(), self.factory.closeConnections()]
        for wire in wires:
            wire.lose()
        assert [self.successResultOf(each) for each in gone] == [None, None]
        self.assertQuiet()

    def test_none(self) -> None:
        """Without connections it is over at once."""
        assert self.successResultOf(self.factory.closeConnections()) is None
        self.assertQuiet()

    @requirement("CL-04", "CL-01")
    def test_answered(self) -> None:
        """Every Hixie-76 client gets its FF 00, Hixie-75 clients the end of TCP."""
        modern, old = self.open("hixie-76"), self.open("hixie-75")
        gone = self.factory.closeConnections()
        assert (modern.take(), old.take()) == (CLOSE, b"")
        assert old.halfClosed
        assert not modern.ended
        modern.send(CLOSE)
        assert modern.halfClosed
        modern.lose()
        self.assertNoResult(gone)
        old.lose()
        assert self.successResultOf(gone) is None
        assert [type(made.ending) for made in self.recorder.made] == [WebSocketDone] * 2
        self.assertQuiet()

    def test_silent(self) -> None:
        """Connections that do not end are cut off when the drain time is over."""
        wires = [self.open(dialect) for dialect in HANDSHAKES]
        for wire in wires:
            wire.stuck = True
        gone = self.factory.closeConnections()
        self.pass_(9.5)
        assert [wire.disconnected for wire in wires] == [False, False]
        self.pass_(0.5)
        assert [wire.disconnected for wire in wires] == [True, True]
        self.clock.advance(0)
        assert self.successResultOf(gone) is None
        assert [made.calls.count(LOST) for made in self.recorder.made] == [1, 1]
        assert type(self.ending) is WebSocketLost
        self.assertQuiet()

    def test_everyKind(self) -> None:
        """Plain HTTP, half-open and undecided connections end as well, with a reason."""
        kinds = [PLAIN, b"", b"GET / HT", HEAD76, HEAD76 + KEY3[:4], b"SSH-2.0\r\n"]
        wires = [self.connect(data) for data in kinds]
        gone = self.factory.closeConnections()
        assert [wire.take()[:13] for wire in wires[1:3]] == [b"HTTP/1.1 503 "] * 2
        # Connections that lack only the nonce have the time of a close.
        assert [wire.ended for wire in wires] == [True, True, True, False, False, True]
        self.pass_(3)
        assert self.successResultOf(gone) is None
        assert all(wire.lost for wire in wires)
        self.assertQuiet()

    def test_undecided(self) -> None:
        """A client that an application has not decided about is released."""
        decision: Deferred[None] = Deferred()
        self.record(lambda made: decision)
        self.connect(HEAD76)
        gone = self.factory.closeConnections()
        self.pass_(3)
        assert self.successResultOf(gone) is None
        assert decision.called
        assert self.calls == []

    def test_sendsGoFirst(self) -> None:
        """Messages that were sent before are written before the close."""
        wire = self.open()
        wire.webSocket.sendTextMessage("bye")
        self.factory.closeConnections()
        assert wire.take() == frame("bye") + CLOSE

    def test_closingAlready(self) -> None:
        """Connections that are already closing close once."""
        wire = self.open()
        wire.webSocket.loseConnection()
        gone = self.factory.closeConnections()
        assert wire.take() == CLOSE
        wire.send(CLOSE)
        wire.lose()
        assert self.successResultOf(gone) is None

    def test_twice(self) -> None:
        """Everything that waits for the end is notified."""
        wire = self.open()
        first, second = self.factory.closeConnections(), self.factory.closeConnections()
        wire.send(CLOSE)
        wire.lose()
        assert self.successResultOf(first) is None
        assert self.successResultOf(second) is None
        self.assertQuiet()

    def test_hundred(self) -> None:
        """A hundred clients, of which every other answers, end within five seconds."""
        wires = [self.open() for _ in range(100)]
        gone = self.factory.closeConnections()
        assert [wire.take() for wire in wires] == [CLOSE] * 100
        for wire in wires[::2]:
            wire.send(CLOSE)
            wire.lose()
        self.pass_(5)
        assert self.successResultOf(gone) is None


class EventsTests(LoopbackCase):
    """The events that are counted."""

    def ways(self) -> dict[str, Callable[[], object]]:
        """@return: functions that make each event happen once; new servers have limits."""

        def slow(policy: str) -> None:
            self.serve(sendLimit=10, slowPolicy=policy)
            wire = self.open()
            wire.fill()
            for _ in range(3):
                wire.webSocket.sendTextMessage("x" * 11)
                self.clock.advance(0)

        def silent(**settings: Any) -> None:
            self.serve(**settings)
            self.open(dialect="rfc6455")
            self.pass_(20)

        def evicts() -> None:
            self.serve(maxHandshakes=1)
            self.connect()
            self.connect()

        def makesRoom() -> None:
            self.serve(maxConnections=1)
            self.connect(b"GET / HTTP/1.1\r\n\r\n")
            self.open()

        def holdsTooMuch() -> None:
            self.serve(memoryLimit=100)
            self.open().send(b"\0" + b"x" * 101)

        def paused() -> None:
            self.serve(acceptRate=10)
            self.factory.accepting.add(FileDescriptor(Poller()))  # type: ignore[arg-type]
            self.connect()

        def fails() -> None:
            self.record(textMessageReceived=lambda made, text: 1 / 0)
            self.open().send(frame("hi"))
            self.flushLoggedErrors(ZeroDivisionError)

        def waits() -> None:
            self.connect()
            self.pass_(10)

        def closesLate() -> None:
            self.open().webSocket.loseConnection()
            self.pass_(2)

        def floods() -> None:
            self.serve(logRate=1)
            self.connect(b"GET /\r\n")
            self.connect(b"GET /\r\n")

        def cutOff() -> None:
            self.open()
            self.factory.abortConnections()

        def notCarried() -> None:
            self.open().webSocket.count("bytes not carried")

        return {
            "bytes not carried": notCarried,
            "refused": lambda: self.connect(b"GET /\r\n"),
            "handshakes timed out": waits,
            "handshakes evicted": evicts,
            "idle evicted": makesRoom,
            "not HTTP": lambda: self.connect(b"\x16\x03\x01"),
            "failed": lambda: self.open().send(b"\x80" * 9),
            "slow closed": lambda: slow("close"),
            "messages dropped": lambda: slow("drop"),
            "memory relieved": holdsTooMuch,
            "pings unanswered": lambda: silent(pingInterval=10, pingTimeout=10),
            "idle closed": lambda: silent(idleTimeout=20, pingInterval=0),
            "closing timed out": closesLate,
            "connections cut off": cutOff,
            "application errors": fails,
            "accepting paused": paused,
            "log events suppressed": floods,
        }

    def test_every(self) -> None:
        """Each event is counted when it happens, under its name, and nothing else is."""
        assert {*self.ways()} == {*EVENTS}
        for name, happens in self.ways().items():
            with self.subTest(name):
                self.serve()
                happens()
                assert self.count(name) == 1

    def test_names(self) -> None:
        """At first nothing has happened; events that never happened are listed, too."""
        assert self.factory.statistics()["events"] == dict.fromkeys(EVENTS, 0)

    def test_numbers(self) -> None:
        """Statuses and close codes are counted each, and in total."""
        self.connect(b"GET /\r\n")
        self.connect(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 101)
        self.open().send(b"\x80" * 9)
        events = self.factory.statistics()["events"]
        counted = {name: count for name, count in events.items() if count}
        assert counted == {
            "refused": 2,
            "refused 400": 1,
            "refused 431": 1,
            "failed": 1,
            "failed 1002": 1,
        }

    def test_flood(self) -> None:
        """Of a flood a few events are logged each second, and then the number of the others."""
        self.serve(logRate=2)
        with capturedLogs() as events:
            for _ in range(7):
                self.connect(HEAD76.replace(b"Host: example.com\r\n", b""))
            self.clock.advance(1)
        refused, again, more = ownLines(events)
        assert (
            refused
            == again
            == ("info: refused 192.168.1.1:54321: 400 there is no Host header field")
        )
        assert more == "info: 5 more like it: refused {peer}: {status} {text}"
        assert self.count("refused") == 7
        assert self.count("log events suppressed") == 5

    def test_floodAtTheEnd(self) -> None:
        """When the server stops, the number is logged at once."""
        self.serve(logRate=1)
        self.factory.doStart()
        with capturedLogs() as events:
            for _ in range(3):
                self.connect(b"GET /\r\n").lose()
            self.factory.doStop()
        assert "2 more like it: refused" in "\n".join(ownLines(events))
        self.assertQuiet()

    def test_unknown(self) -> None:
        """There are no events of other names."""
        with pytest.raises(KeyError):
            self.factory.shared.count("no such event")

    def test_snapshot(self) -> None:
        """A result does not change later."""
        before = self.factory.statistics()["events"]
        self.connect(b"GET /\r\n")
        assert before == dict.fromkeys(EVENTS, 0)


class FactoryTests(LoopbackCase):
    """Making, starting and stopping."""

    def test_defaults(self) -> None:
        """Without a reactor the installed one is the clock, and the site answers okay."""
        factory = HixieFactory(Echo())
        assert factory.shared.clock is installed
        assert isinstance(factory.site, Site)
        assert dict(factory.connections) == {}

    def test_site(self) -> None:
        """Start and stop are passed to the site; it starts once for several ports."""
        calls: list[str] = []

        class Noting(Site):
            def startFactory(self) -> None:
                calls.append("start")

            def stopFactory(self) -> None:
                calls.append("stop")

        self.serve(site=Noting(Resource(), reactor=self.clock))
        self.factory.doStart()
        self.factory.doStart()
        assert calls == ["start"]
        self.factory.doStop()
        assert calls == ["start"]
        self.factory.doStop()
        assert calls == ["start", "stop"]
        self.assertQuiet()

    def test_ownSite(self) -> None:
        """The site made for a resource leaves no timer behind."""
        self.factory.doStart()
        self.factory.doStop()
        self.assertQuiet()

    def test_anyOrigin(self) -> None:
        """Without origins the log says so, in one line."""
        for origins, expected in (((), 1), (("http://example.com",), 0)):
            self.serve(origins=origins)
            with capturedLogs() as events:
                self.factory.startFactory()
            lines = [line for line in ownLines(events) if "Origin" in line]
            assert lines == ["info: every Origin is accepted"] * expected
            self.factory.stopFactory()

    def test_notAccelerated(self) -> None:
        """If RFC 6455 will be slow, the log says so, in one line."""
        for accelerated, expected in ((True, 0), (False, 1)):
            self.patch(factory, "ACCELERATED", accelerated)
            with capturedLogs() as events:
                self.factory.startFactory()
            lines = [line for line in ownLines(events) if "RFC 6455" in line]
            assert [line[:6] for line in lines] == ["warn: "] * expected
            self.factory.stopFactory()

    @requirement("H75-S-03", "B-29")
    def test_origins(self) -> None:
        """With origins others are refused with 403."""
        for origin, accepted in (
            ("http://example.com", True),
            ("http://*.com", True),
            ("http://example.org", False),
            ("https://example.com", False),
        ):
            self.serve(origins=(origin,))
            for request, reply in HANDSHAKES.values():
                answer = self.connect(request).take()
                assert answer == reply if accepted else answer[9:12] == b"403"

    def test_location(self) -> None:
        """The location may be set for a proxy."""
        self.serve(location="wss://chat.example.com:8443")
        reply = REPLY76.replace(b"ws://example.com/", b"wss://chat.example.com:8443/") + ANSWER
        assert self.connect(HEAD76 + KEY3).take() == reply

    def test_statistics(self) -> None:
        """Totals over all connections, past and present."""
        self.record(textMessageReceived=echo)
        self.clock.advance(5)
        first, second = self.open("hixie-75"), self.open("hixie-76")
        for wire in (first, second):
            wire.send(frame("hi") + frame("ho"))
        first.lose()
        self.connect(PLAIN)
        statistics = self.factory.statistics()
        assert statistics["uptime"] == 5
        assert statistics["connections"] == {
            name: int(name == "hixie-76") for name in DIALECT_NAMES
        }
        assert statistics["messages"] == {"received": 4, "sent": 4}
        webSockets = (first.webSocket, second.webSocket)
        assert statistics["bytes"] == {
            "received": sum(webSocket.bytesReceived for webSocket in webSockets),
            "sent": sum(webSocket.bytesSent for webSocket in webSockets),
        }

    def test_madeLater(self) -> None:
        """Time is counted from the making of a factory, whatever its clock showed."""
        self.clock.advance(1000.25)
        self.serve(logRate=1, acceptRate=10)
        port = FileDescriptor(Poller())  # type: ignore[arg-type]
        self.factory.accepting.add(port)
        self.clock.advance(5)
        assert self.factory.statistics()["uptime"] == 5
        wire = self.connect()
        assert self.count("accepting paused") == 1
        with capturedLogs() as events:
            for _ in range(3):
                self.connect(b"GET /\r\n").lose()
            self.clock.advance(0.75)
            assert len(ownLines(events)) == 1
            self.clock.advance(0.25)
            assert len(ownLines(events)) == 2
        self.clock.advance(8.75)
        assert not wire.ended
        self.clock.advance(0.25)
        assert wire.ended
        assert self.factory.statistics()["uptime"] == 15

    def test_startAgain(self) -> None:
        """A factory that closed all connections, and was stopped, can do so again and again."""
        self.serve(drainTimeout=10)
        for _ in range(3):
            self.factory.doStart()
            wires = [self.open() for _ in range(150)]
            gone = self.factory.closeConnections()
            assert [wire.take() for wire in wires].count(CLOSE) == 100
            for wire in wires[:100]:
                wire.send(CLOSE)
                wire.lose()
            self.assertNoResult(gone)
            # The others have not been closed yet.
            for wire in wires[100:]:
                wire.lose()
            assert self.successResultOf(gone) is None
            self.factory.doStop()
            self.assertQuiet()
        assert self.count("connections cut off") == 0

    def test_logAfterStop(self) -> None:
        """
        The number of events suppressed after the factory stopped is logged, and no timer is left.
        """
        self.serve(drainTimeout=10, logRate=1)
        self.factory.doStart()
        wire = self.open()
        gone = self.factory.closeConnections()
        self.factory.doStop()
        for _ in range(3):
            self.factory.shared.log.info("again")
        assert self.clock.getDelayedCalls() != []
        wire.take()
        wire.send(CLOSE)
        wire.lose()
        assert self.successResultOf(gone) is None
        self.assertQuiet()

    def test_notifyRefused(self) -> None:
        """Observers learn of refused handshakes, and not of refused pages."""
        refused: list[tuple[bytes, int]] = []
        self.factory.notifyRefused(lambda target, error: refused.append((target, error.status)))
        self.connect(PLAIN + b"GET / HTTP/1.1\r\nno field\r\n\r\n")
        self.connect(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n")
        assert self.count("refused 400") == self.count("refused 413") == 1
        assert refused == []
        self.record(lambda made: None)
        self.connect(HEAD76.replace(b"/demo", b"/demo?x=1") + KEY3)
        assert refused == [(b"/demo?x=1", 404)]

    def test_lastCallback(self) -> None:
        """A connection whose application takes its time with the end is waited for."""
        done: Deferred[None] = Deferred()

        class Late(Recording):
            def connectionLost(self, reason: Failure) -> Any:
                return done

        self.record(lambda made: Late(made.request, {}))
        wire = self.open()
        gone = self.factory.closeConnections()
        wire.send(CLOSE)
        wire.lose()
        self.assertNoResult(gone)
        done.callback(None)
        assert self.successResultOf(gone) is None

    def test_logAfterRestart(self) -> None:
        """A factory that was stopped and started again goes on to log once a second."""
        self.serve(logRate=1)
        for call in (self.factory.doStart, self.factory.doStop, self.factory.doStart):
            call()
        wire = self.open()
        with capturedLogs() as events:
            for _ in range(3):
                self.factory.shared.log.info("again")
            wire.lose()
            assert len(ownLines(events)) == 1
            self.clock.advance(1)
            assert len(ownLines(events)) == 2

    def test_startAgainEarly(self) -> None:
        """
        A factory that starts again before all are gone serves new ones, and lets the old ones end.
        """
        self.serve(drainTimeout=10)
        self.factory.doStart()
        old = [self.open() for _ in range(150)]
        gone = self.factory.closeConnections()
        self.factory.doStop()
        self.factory.doStart()
        new = self.open()
        self.clock.advance(0.1)
        assert [wire.take() for wire in old] == [CLOSE] * 150
        for wire in old:
            wire.send(CLOSE)
            wire.lose()
        new.send(frame("hello"))
        assert new.take() == frame("hello")
        assert self.successResultOf(gone) is None
        new.lose()
        self.factory.doStop()
        self.assertQuiet()

    def test_statisticsOften(self) -> None:
        """
        Frequent calls do not add up the totals each time; open connections are always current.
        """
        wire = self.open()

        def received() -> int:
            number: int = self.factory.statistics()["messages"]["received"]
            return number

        assert received() == 0
        wire.send(frame("hi"))
        clock = self.clock

        def slowly() -> float:
            clock.rightNow += 0.001
            return clock.rightNow

        self.factory.shared.seconds = slowly
        assert received() == 1
        wire.send(frame("hi"))
        assert received() == 1
        wire.lose()
        assert received() == 1
        assert self.factory.statistics()["connections"]["hixie-76"] == 0
        clock.advance(0.1)
        assert received() == 2
        # Clocks are set back at times.
        clock.rightNow -= 10
        self.open().send(frame("hi"))
        assert received() == 3

    def test_newId(self) -> None:
        """Ids are short, and have 64 bits that nobody can guess."""
        ids = {self.factory.newId() for _ in range(10_000)}
        assert len(ids) == 10_000
        assert {len(urlsafe_b64decode(each + "=")) for each in ids} == {8}

    def test_twoFactories(self) -> None:
        """Factories do not know each other's connections."""
        first = self.factory
        self.open()
        self.serve(Recorder())
        self.open()
        self.factory.broadcastTextMessage("hi")
        assert (len(first.connections), len(self.factory.connections)) == (1, 1)
        (webSocket,) = first.connections.values()
        assert webSocket.messagesSent == 0
        assert webSocket.state is State.OPEN
