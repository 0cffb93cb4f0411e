"""Each event is counted once where it happens, and nothing else is counted with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred

from tests.gateways import World
from tests.loopback import (
    FINISHED,
    HEAD75,
    HEAD76,
    KEY3,
    LOST,
    STARTED,
    LoopbackCase,
    Poller,
    Recording,
    TCPWire,
    Wire,
)
from tests.support import IDIOMS, buildHead
from txhixie import HandshakeError
from txhixie.websocket.counters import EVENTS

PLAIN = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def fails(made: Recording, *arguments: object) -> Any:
    """A hook that has an error in it."""
    raise ZeroDivisionError


class CountersTests(LoopbackCase):
    """One such event, whatever the client and the clock do afterwards."""

    def assertCounted(self, *expected: str) -> None:
        """These events were counted, once each, and nothing else."""
        events = self.factory.statistics()["events"]
        counted = {name: count for name, count in events.items() if count}
        assert counted == dict.fromkeys(expected, 1)

    def assertRefused(self, wire: Wire, status: int, *others: str) -> None:
        """A client was refused with a status, and stays refused, whatever it sends."""
        expected = ("refused", f"refused {status}", *others)
        assert wire.take().startswith(b"HTTP/1.1 %d " % status)
        self.assertCounted(*expected)
        for data in (b"x" * 20_000, b"\r\n\r\n", HEAD75):
            wire.send(data)
        assert wire.take() == b""
        wire.lose()
        self.pass_(100)
        self.assertCounted(*expected)

    def dialects(self, **settings: Any) -> Iterator[str]:
        """Go through all dialects, with a server for each."""
        for dialect in IDIOMS:
            with self.subTest(dialect):
                self.serve(**settings)
                yield dialect

    def clogged(self, dialect: str) -> TCPWire:
        """@return: a client that reads nothing."""
        wire = self.open(dialect)
        assert wire.producer is not None
        wire.producer.pauseProducing()
        return wire

    def send(self, *texts: str) -> None:
        """Let the newest client's application send, with some time after each message."""
        for text in texts:
            self.recorder.made[-1].transport.sendTextMessage(text)
            self.clock.advance(0)

    def test_all(self) -> None:
        """There is a test of each event."""
        tested = {name.lower() for name in dir(self)}
        for name in EVENTS:
            assert f"test_{name.replace(' ', '').lower()}" in tested, name

    def test_bytesNotCarried(self) -> None:
        """Bytes of a back end for a client whose dialect carries only text."""
        for dialect in ("hixie-75", "hixie-76"):
            with self.subTest(dialect):
                world = World()
                self.factory = world.factory
                world.open(dialect)
                world.made.transport.sendBytesMessage(b"x")
                world.run()
                self.assertCounted("bytes not carried")

    # Requests

    def test_refused(self) -> None:
        """A request that is refused for its syntax, its size or what it asks for."""
        for data, status in (
            (b"GET /\r\n", 400),
            (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 101, 431),
            (b"GET / HTTP/1.1\r\n" + b"a" * 20_000, 431),
            (b"GET / HTTP/1.1\r\n" + b"a" * 20_000 + b"\r\n", 431),
            (HEAD76.replace(b"GET", b"PUT"), 405),
            (buildHead("rfc6455", {b"Sec-WebSocket-Version": b"14"}), 426),
        ):
            with self.subTest(status):
                self.serve()
                self.assertRefused(self.connect(data), status)

    def test_refusedByApplication(self) -> None:
        """An application that refuses, at once or later."""

        def forbid(made: Recording) -> Any:
            raise HandshakeError(403)

        for decide, status in ((lambda made: None, 404), (forbid, 403), (fails, 500)):
            for isLate in (False, True):
                for dialect in self.dialects():
                    decision: Deferred[Any] = Deferred()
                    decision.addCallback(decide)
                    self.record((lambda made, d=decision: d) if isLate else decide)
                    wire = self.connect(buildHead(dialect) + IDIOMS[dialect].preamble)
                    if isLate:
                        self.assertCounted()
                        decision.callback(self.recorder.made[0])
                    failed = ["application errors"] if decide is fails else []
                    self.assertRefused(wire, status, *failed)
                    self.flushLoggedErrors(ZeroDivisionError)

    def test_refusedAndStays(self) -> None:
        """A client that was refused, and stays, does not count as one whose time ran out."""

        class Stuck(TCPWire):
            stuck = True

        def forbid(made: Recording) -> Any:
            raise HandshakeError(403)

        for dialect in self.dialects():
            self.record(forbid)
            wire = self.connect(buildHead(dialect), Stuck)
            self.pass_(31.5)
            self.assertCounted("refused", "refused 403")
            self.pass_(100)
            self.assertCounted("refused", "refused 403", "closing timed out")
            assert wire.lost

    def test_refusedForRoom(self) -> None:
        """One client more than the limit, in total or from one address."""
        for limit in ("maxConnections", "maxPerAddress"):
            for dialect in self.dialects(**{limit: 1, "pingInterval": 0}):
                self.open(dialect)
                self.assertRefused(self.connect(buildHead(dialect)), 503)

    def test_refusedBody(self) -> None:
        """A body of plain HTTP that is too large."""
        self.serve(maxBody=10)
        wire = self.connect(PLAIN[:-2] + b"Content-Length: 50\r\n\r\n" + b"x" * 11)
        wire.send(b"x" * 39)
        self.assertRefused(wire, 413)

    def test_refusedAtTheEnd(self) -> None:
        """A request that is not complete when the server stops."""
        for data in (b"GET / HT", HEAD75[:-2]):
            self.serve()
            wire = self.connect(data)
            self.factory.closeConnections()
            self.assertRefused(wire, 503)

    def test_handshakesTimedOut(self) -> None:
        """A client that sends nothing, or nothing more, in time."""
        for data, others in (
            (b"", ()),
            (b"GET / HTTP/1.1\r\n", ("refused", "refused 408")),
            (HEAD75[:-2], ("refused", "refused 408")),
            (HEAD76, ()),
            (HEAD76 + KEY3[:7], ()),
        ):
            self.serve()
            wire = self.connect(data)
            self.pass_(9.5)
            self.assertCounted()
            self.pass_(0.5)
            self.assertCounted("handshakes timed out", *others)
            wire.send(HEAD75)
            wire.lose()
            self.pass_(100)
            self.assertCounted("handshakes timed out", *others)

    def test_handshakesTimedOutUndecided(self) -> None:
        """An application that does not decide in time."""
        for dialect in self.dialects():
            self.record(lambda made: Deferred())
            wire = self.connect(buildHead(dialect) + IDIOMS[dialect].preamble)
            self.pass_(10)
            self.assertRefused(wire, 503, "handshakes timed out")

    def test_handshakesEvicted(self) -> None:
        """A client that made room for a newer one, whatever it sent before."""
        for data, others in (
            (b"", ()),
            (b"GET / HTTP/1.1\r\n", ("refused", "refused 408")),
            (b"GET /\r\n", ("refused", "refused 400")),
            (b"\x16\x03\x01", ("not HTTP",)),
        ):
            self.serve(maxHandshakes=1, handshakeTimeout=1000)
            wire = self.connect(data)
            self.connect()
            self.assertCounted("handshakes evicted", *others)
            wire.lose()
            self.pass_(100)
            self.assertCounted("handshakes evicted", *others)

    def test_notHTTP(self) -> None:
        """A client that begins with something other than HTTP, in one piece or several."""
        for first in (b"\x16", b"\x16\x03\x01" * 1000, b"<policy-file-request/>\0", b"\0", b"\xff"):
            self.serve()
            wire = self.connect(first)
            self.assertCounted("not HTTP")
            wire.dribble(b"GET / HTTP/1.1\r\n\r\n")
            wire.lose()
            self.pass_(100)
            self.assertCounted("not HTTP")
            assert wire.take() == b""

    # Open connections

    def test_failed(self) -> None:
        """A breach of the protocol or a limit, however it goes on."""
        for dialect in self.dialects(maxMessage=100):
            idiom = IDIOMS[dialect]
            for number, (breach, code) in enumerate(
                ((idiom.breach, 1002), (idiom.clientText("x" * 101), 1009))
            ):
                self.serve(maxMessage=100)
                wire = self.open(dialect)
                wire.send(breach + idiom.breach)
                for _ in range(3):
                    wire.send(idiom.breach + idiom.clientClose)
                assert wire.ended, number
                wire.lose()
                self.pass_(100)
                self.assertCounted("failed", f"failed {code}")

    def test_failedAfterClose(self) -> None:
        """It is counted if it comes instead of an answer to our close, too."""
        for dialect in self.dialects():
            idiom = IDIOMS[dialect]
            wire = self.open(dialect)
            self.recorder.made[-1].transport.loseConnection()
            wire.send(idiom.breach + idiom.breach)
            assert wire.ended
            wire.lose()
            # After its own end Hixie-75 stops reading.
            self.assertCounted(*(() if dialect == "hixie-75" else ("failed", "failed 1002")))

    def test_slowClosed(self) -> None:
        """A client that does not read, however much more is sent to it, and however it ends."""
        for dialect in self.dialects(sendLimit=100, closeTimeout=1000):
            wire = self.clogged(dialect)
            self.send(*["x" * 101] * 3)
            self.assertCounted("slow closed")
            self.send(*["x" * 101] * 5)
            wire.send(IDIOMS[dialect].clientClose)
            assert wire.producer is not None
            wire.producer.resumeProducing()
            wire.lose()
            self.assertCounted("slow closed")

    def test_slowClosedBeforeOpen(self) -> None:
        """A client that is sent too much before it opens."""
        for dialect in self.dialects(sendLimit=100):

            def started(made: Recording, transport: Any) -> None:
                for _ in range(5):
                    transport.sendTextMessage("x" * 101)

            self.record(negotiationStarted=started)
            wire = self.connect(buildHead(dialect) + IDIOMS[dialect].preamble)
            self.assertCounted("slow closed")
            wire.lose()

    def test_messagesDropped(self) -> None:
        """A message that a slow client does not get; which one depends on the policy."""
        for policy, kept in (("drop", ()), ("latest", ("kept",))):
            for dialect in self.dialects(sendLimit=100, slowPolicy=policy):
                wire = self.clogged(dialect)
                self.send("x" * 101, "", *kept)
                self.assertCounted()
                self.send("one more")
                self.assertCounted("messages dropped")
                assert wire.producer is not None
                wire.producer.resumeProducing()
                self.send("x" * 101, "", "x")
                wire.lose()
                self.assertCounted("messages dropped")

    def test_messagesDroppedTogether(self) -> None:
        """Each of several messages that are sent together is counted."""
        for dialect in self.dialects(sendLimit=100, slowPolicy="drop"):
            self.clogged(dialect)
            self.send("x" * 101, "")
            self.recorder.made[-1].transport.sendTextMessages(("1", "2", "3"))
            assert self.count("messages dropped") == 3

    def test_pingsUnanswered(self) -> None:
        """A client that sends nothing when it is pinged, or sent the heartbeat."""
        for dialect in self.dialects(pingInterval=10, pingTimeout=5, heartbeat="?"):
            wire = self.open(dialect)
            self.pass_(14.5)
            self.assertCounted()
            self.pass_(0.5)
            self.assertCounted("pings unanswered")
            assert wire.disconnected
            self.pass_(100)
            self.assertCounted("pings unanswered")

    def test_idleEvicted(self) -> None:
        """An idle connection of plain HTTP that makes room for another client."""
        self.serve(maxConnections=1)
        self.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertCounted()
        self.open()
        self.assertCounted("idle evicted")

    def test_memoryRelieved(self) -> None:
        """A client with the largest part of a message when too much memory is in use."""
        for dialect in self.dialects(memoryLimit=100):
            wire = self.open(dialect)
            whole = IDIOMS[dialect].clientText("x" * 200)
            wire.send(whole[:80])
            self.assertCounted()
            wire.send(whole[80:150])
            self.assertCounted("memory relieved", "failed", "failed 1009")

    def test_idleClosed(self) -> None:
        """An idle client that leaves when the server closes the connection."""
        for dialect in self.dialects(idleTimeout=10, pingInterval=0, closeTimeout=50):
            wire = self.open(dialect)
            self.pass_(10)
            self.assertCounted("idle closed")
            self.pass_(40)
            wire.send(IDIOMS[dialect].clientClose)
            wire.lose()
            self.pass_(100)
            self.assertCounted("idle closed")

    def test_closingTimedOut(self) -> None:
        """A client that does not answer our close, but ends TCP."""
        for dialect in self.dialects():
            if dialect == "hixie-75":
                # It has no closing handshake.
                continue
            wire = self.open(dialect)
            self.recorder.made[-1].transport.loseConnection()
            self.pass_(1.5)
            self.assertCounted()
            self.pass_(0.5)
            self.assertCounted("closing timed out")
            wire.lose()
            self.pass_(100)
            self.assertCounted("closing timed out")

    def test_closingTimedOutUnread(self) -> None:
        """A client that has closed, and does not read what it was sent before."""
        for dialect in self.dialects():
            wire = self.open(dialect)
            wire.stuck = True
            wire.send(IDIOMS[dialect].clientClose)
            if dialect == "hixie-75":
                self.recorder.made[-1].transport.loseConnection()
            self.pass_(31.5)
            self.assertCounted()
            self.pass_(0.5)
            self.assertCounted("closing timed out")
            self.pass_(100)
            self.assertCounted("closing timed out")
            assert wire.lost

    def test_closingTimedOutFailed(self) -> None:
        """
        A client that broke the protocol, and does not read the close: it has no more time then.
        """

        class Clogged(TCPWire):
            """Is full whenever it was given something."""

            def write(self, data: bytes) -> None:
                super().write(data)
                if self.producer is not None:
                    self.producer.pauseProducing()

        for dialect in self.dialects():
            idiom = IDIOMS[dialect]
            wire = self.open(dialect, kind=Clogged)
            assert wire.producer is not None
            wire.producer.resumeProducing()
            wire.send(idiom.clientText("x") + idiom.breach)
            self.assertCounted("failed", "failed 1002")
            self.pass_(1.5)
            assert not wire.disconnected
            self.pass_(0.5)
            assert wire.disconnected
            self.assertCounted("failed", "failed 1002", "closing timed out")

    def test_connectionsCutOff(self) -> None:
        """A client that is still there when the time to drain is up."""
        for dialect in self.dialects(drainTimeout=1):
            wire = self.open(dialect)
            wire.stuck = True
            self.factory.closeConnections()
            self.pass_(0.5)
            self.assertCounted()
            self.pass_(0.5)
            self.assertCounted("connections cut off")
            self.pass_(100)
            self.assertCounted("connections cut off")

    def test_applicationErrors(self) -> None:
        """An error in any callback of an application."""
        for name in (STARTED, FINISHED, "textMessageReceived", LOST):
            for dialect in self.dialects():
                idiom = IDIOMS[dialect]
                self.record(**{name: fails})
                wire = self.connect(buildHead(dialect) + idiom.preamble)
                wire.send(idiom.clientText("1") + idiom.clientText("2"))
                wire.send(idiom.clientText("3"))
                if idiom.clientClose:
                    wire.send(idiom.clientClose)
                wire.lose()
                self.assertCounted("application errors")
                assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1

    def test_acceptingPaused(self) -> None:
        """
        A pause, though several are accepted before it takes effect, and each pause is counted.
        """
        self.serve(acceptRate=10)
        self.factory.accepting.add(FileDescriptor(Poller()))  # type: ignore[arg-type]
        for _ in range(3):
            self.connect().lose()
        self.assertCounted("accepting paused")
        self.pass_(10)
        self.connect().lose()
        assert self.count("accepting paused") == 2

    def test_logEventsSuppressed(self) -> None:
        """A log event that is suppressed, because there were too many like it in its second."""
        self.serve(logRate=1)
        for _ in range(2):
            self.connect(b"\x16").lose()
        assert self.count("log events suppressed") == 1
        # Events of another kind pass.
        self.connect(b"GET /\r\n").lose()
        assert self.count("log events suppressed") == 1
        self.pass_(1)
        self.connect(b"\x16").lose()
        assert self.count("log events suppressed") == 1
