"""What happens to messages for a peer that does not read, on every kind of transport."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.logger import capturedLogs
from twisted.python.failure import Failure

from tests.loopback import (
    FINISHED,
    LOST,
    STARTED,
    Descriptor,
    LoopbackCase,
    Poller,
    Producer,
    Recorder,
    Recording,
    TCPWire,
    ownLines,
)
from tests.support import HIXIE, IDIOMS, MODERN, Deflater, buildHead, frame, heldBytes
from txhixie import (
    CloseCode,
    HixieProtocol,
    State,
    UnsupportedMessage,
    WebSocketLost,
)
from txhixie.websocket.websocket import WebSocket

# More than Twisted's transports hold before they pause their producer.
LIMIT = 100_000
SLOW_POLICIES = ("close", "drop", "latest")
SLOW = "what was sent is not read"


class Peer:
    """
    A client that may stop to read.

    @ivar protocol: the server's end.
    """

    protocol: HixieProtocol
    # Whether its transport takes everything, and then pauses its producer.
    holdsBack = True

    @property
    def webSocket(self) -> WebSocket:
        """The server's WebSocket."""
        webSocket = self.protocol.webSocket
        assert webSocket is not None
        return webSocket

    def stop(self) -> None:
        """Stop reading."""
        raise NotImplementedError

    def read(self, size: float = float("inf")) -> bytes:
        """@return: what can be read until nothing more comes, or C{size} bytes of it."""
        raise NotImplementedError

    def send(self, data: bytes) -> None:
        """Send something."""
        self.protocol.dataReceived(data)

    def lose(self, reason: Exception) -> None:
        """The connection is gone."""
        self.protocol.connectionLost(Failure(reason))

    @property
    def aborted(self) -> bool:
        """Whether the server ended the connection and dropped what is unread."""
        raise NotImplementedError

    @property
    def isRead(self) -> bool:
        """Whether the server reads what is sent."""
        raise NotImplementedError

    @property
    def ended(self) -> bool:
        """Whether the server will send nothing more."""
        raise NotImplementedError


class SocketPeer(Peer):
    """At the other end of a socket, with nothing between it and the protocol."""

    secure = False
    holdsBack = False

    def __init__(self, poller: Poller, protocol: HixieProtocol) -> None:
        self.protocol = protocol
        self._poller = poller
        self._descriptor = Descriptor(poller, protocol, self.secure)

    def stop(self) -> None:
        self._descriptor.room = 0

    def read(self, size: float = float("inf")) -> bytes:
        self._descriptor.room = size
        self._poller.turn()
        while self._descriptor in self._poller.writers and self._descriptor.room:
            self._poller.turn()
        return self._descriptor.take()

    @property
    def aborted(self) -> bool:
        return self._descriptor.aborted

    @property
    def isRead(self) -> bool:
        return self._descriptor in self._poller.readers

    @property
    def ended(self) -> bool:
        return bool(self._descriptor.halfClosed or self._descriptor.disconnecting)


class TLSPeer(SocketPeer):
    """With TLS: what is sent goes to the transport, which pauses its producer."""

    secure = True
    holdsBack = True


class WirePeer(Peer):
    """On a transport that pauses its producer as soon as it has any data."""

    class _Wire(TCPWire):
        reads = True

        def write(self, data: bytes) -> None:
            super().write(data)
            if not self.reads and self.producer is not None:
                self.producer.pauseProducing()

    def __init__(self, poller: Poller, protocol: HixieProtocol) -> None:
        self.protocol = protocol
        self._wire = self._Wire(protocol, poller)
        self._unread = b""

    def stop(self) -> None:
        self._wire.reads = False

    def read(self, size: float = float("inf")) -> bytes:
        data = self._unread + self._wire.take()
        if len(data) <= size:
            self._wire.reads = True
            if self._wire.producer is not None:
                self._wire.producer.resumeProducing()
            data += self._wire.take()
        size = int(min(size, len(data)))
        self._unread = data[size:]
        return data[:size]

    def send(self, data: bytes) -> None:
        self._wire.send(data)

    @property
    def aborted(self) -> bool:
        return self._wire.disconnected

    @property
    def isRead(self) -> bool:
        return self._wire.producerState == "producing"

    @property
    def ended(self) -> bool:
        return self._wire.ended


class Telling(Recording):
    """An application that is notified of messages that its client missed."""

    def messagesDropped(self, count: int) -> None:
        """Record it like the other calls."""
        self._called("messagesDropped", f"dropped: {count}", count)


class Teller(Recorder):
    """An application of L{Telling}s."""

    def buildProtocol(self, request: Any) -> Any:
        made = Telling(request, self._hooks)
        self.made.append(made)
        return made


class SlowCase(LoopbackCase):
    """Has clients that may stop to read."""

    clock: Poller
    # The kind that is tested, shown when a test fails.
    case = ""
    kinds: tuple[Any, ...] = (SocketPeer, TLSPeer, WirePeer)

    def setUp(self) -> None:
        self.clock = Poller()
        self.serve()

    def peers(self, *dialects: str, **settings: Any) -> Iterator[Any]:
        """
        Go through all kinds of clients, with a server for each.

        @param dialects: their dialects; by default all.
        """
        for dialect in dialects or IDIOMS:
            for kind in self.kinds:
                self.case = f"{dialect} by {kind.__name__}"
                self.clock = Poller()
                self.serve(**{"sendLimit": LIMIT, **settings})
                self.factory.application = self.recorder = Teller()
                yield self.peer(kind, dialect)

    def peer(self, kind: Any, dialect: str) -> Any:
        """@return: a client that is open."""
        peer = kind(self.clock, self.factory.buildProtocol(None))
        peer.send(buildHead(dialect) + IDIOMS[dialect].preamble)
        assert peer.read().startswith(b"HTTP/1.1 101 ")
        return peer

    def fill(self, peer: Peer) -> bytes:
        """
        Send as much as the limit allows to a peer that does not read.

        @return: what it would read.
        """
        peer.stop()
        before = b""
        if peer.holdsBack:
            # What such a transport was given does not count.
            peer.webSocket.sendTextMessage("y" * LIMIT)
            before = self.framed(peer, "y" * LIMIT)
        message = self.framed(peer, "x" * (LIMIT - 10))
        text = "x" * (2 * LIMIT - 10 - len(message))
        expected = self.framed(peer, text)
        assert len(expected) == LIMIT
        peer.webSocket.sendTextMessage(text)
        return before + expected

    def given(self, peer: Peer, filled: bytes) -> bytes:
        """@return: the part of what L{fill} sent that the transport was given."""
        return self.framed(peer, "y" * LIMIT) if peer.holdsBack else filled

    def clog(self, peer: Peer) -> bytes:
        """
        Make a peer slow: send it more than the limit allows, and let it have a turn to read.

        @return: what it would read.
        """
        filled = self.fill(peer)
        for text in ("over", "and over"):
            peer.webSocket.sendTextMessage(text)
        self.clock.advance(0)
        return filled + self.framed(peer, "over", "and over")

    def framed(self, peer: Peer, *texts: str) -> bytes:
        """@return: messages as the server frames them."""
        return b"".join(map(IDIOMS[peer.webSocket.dialect].serverText, texts))

    def farewell(self, peer: Peer) -> bytes:
        """@return: the close that a slow peer gets."""
        if peer.webSocket.dialect in MODERN:
            return frame(0x88, b"\x03\xf0" + SLOW.encode())
        return IDIOMS[peer.webSocket.dialect].serverClose

    def assertReads(self, peer: Peer, expected: bytes) -> None:
        """This is what can be read."""
        self.assertSame(peer.read(), expected)

    def assertSame(self, got: bytes, expected: bytes) -> None:
        """The same, but a failure shows only the end of it."""
        if got != expected:
            shown = f"{len(got)} bytes {got[-80:]!r}, not {len(expected)} {expected[-80:]!r}"
            self.fail(f"{self.case}: {shown}")

    def assertFine(self, peer: Peer) -> None:
        """Nothing happened to a client, and it is still served."""
        assert peer.webSocket.state is State.OPEN, self.case
        peer.webSocket.sendTextMessage("still here")
        self.assertReads(peer, self.framed(peer, "still here"))
        assert self.count("slow closed") == 0, self.case


class LimitTests(SlowCase):
    """How much may wait."""

    def test_large(self) -> None:
        """A single message may have any size, even if the peer reads nothing."""
        for peer in self.peers():
            peer.stop()
            text = "x" * (10 * LIMIT)
            peer.webSocket.sendTextMessage(text)
            assert peer.webSocket.state is State.OPEN
            self.assertReads(peer, self.framed(peer, text))
            assert self.count("slow closed") == 0

    def test_largeAgain(self) -> None:
        """Data that was read no longer counts: the next message may have any size as well."""
        for peer in self.peers():
            for size in (10 * LIMIT, 5, 3 * LIMIT):
                peer.stop()
                peer.webSocket.sendTextMessage("x" * size)
                self.assertReads(peer, self.framed(peer, "x" * size))
            self.assertFine(peer)

    def test_largeInPieces(self) -> None:
        """The same holds if a message is read piece by piece."""
        for peer in self.peers():
            peer.stop()
            text = "x" * (5 * LIMIT)
            peer.webSocket.sendTextMessage(text)
            expected, got = self.framed(peer, text), b""
            while len(got) < len(expected):
                got += peer.read(LIMIT // 3)
            self.assertSame(got, expected)
            self.assertReads(peer, b"")
            self.assertFine(peer)

    def test_several(self) -> None:
        """Messages sent together are counted, and those over the limit are checked one by one."""
        for peer in self.peers(slowPolicy="drop"):
            filled = self.fill(peer)
            peer.webSocket.sendTextMessages(("one", "two"))
            peer.webSocket.sendTextMessages(("three", "four"))
            self.clock.advance(0)
            peer.webSocket.sendTextMessages(("five", "six"))
            assert self.count("messages dropped") == 2
            self.assertReads(peer, filled + self.framed(peer, "one", "two", "three", "four"))
            assert peer.webSocket.messagesSent == 5 + peer.holdsBack

    @pytest.mark.requirement("L-08")
    def test_exactly(self) -> None:
        """With a backlog of exactly the limit a message passes; with a byte more, none does."""
        for peer in self.peers():
            filled = self.fill(peer)
            peer.webSocket.sendTextMessage("one more")
            self.clock.advance(0)
            assert peer.webSocket.state is State.OPEN
            assert self.count("slow closed") == 0
            self.assertReads(peer, filled + self.framed(peer, "one more"))
            self.assertFine(peer)
        for peer in self.peers():
            self.fill(peer)
            peer.webSocket.sendTextMessage("one more")
            peer.webSocket.sendTextMessage("another")
            assert self.count("slow closed") == 0
            self.clock.advance(0)
            assert self.count("slow closed") == 1

    def test_slowly(self) -> None:
        """A peer that reads a little at a time, but keeps up, is not slow."""
        for peer in self.peers():
            expected = got = b""
            for number in range(100):
                peer.stop()
                for text in (f"{number} " * 500, "x" * number):
                    peer.webSocket.sendTextMessage(text)
                    expected += self.framed(peer, text)
                got += peer.read(5000)
            got += peer.read()
            self.assertSame(got, expected)
            self.assertFine(peer)

    def test_atOnce(self) -> None:
        """However much is sent in one call, a peer that reads well is not slow."""
        texts = ["x" * 65_536] * 50

        def send(webSocket: WebSocket) -> None:
            for text in texts:
                webSocket.sendTextMessage(text)

        for peer in self.peers():
            self.factory.shared.turn.run(send, peer.webSocket)
            assert self.count("slow closed") == 0, self.case
            self.assertReads(peer, self.framed(peer, *texts))
            self.assertFine(peer)

    def test_gathered(self) -> None:
        """The same holds for small messages that are written when the read has been handled."""
        self.kinds = (SocketPeer, WirePeer)
        texts = ["x" * 1000] * 1000

        def send(webSocket: WebSocket) -> None:
            for text in texts:
                webSocket.sendTextMessage(text)

        for peer in self.peers():
            self.factory.shared.turn.run(send, peer.webSocket)
            self.assertReads(peer, self.framed(peer, *texts))
            self.assertFine(peer)

    def test_gatheredOverTheLimit(self) -> None:
        """Messages over the limit do not wait for the end of the current read."""
        self.kinds = (SocketPeer, WirePeer)

        def send(peer: Peer) -> None:
            (made,) = self.recorder.made
            made.transport.sendTextMessage("x" * (LIMIT + 1))
            assert peer.read() == b""
            made.transport.sendTextMessage("more")
            self.assertReads(peer, self.framed(peer, "x" * (LIMIT + 1)))

        for peer in self.peers():
            self.factory.shared.turn.run(send, peer)
            self.assertReads(peer, self.framed(peer, "more"))

    def test_producer(self) -> None:
        """A producer is paused long before its client is slow, and resumes after that."""
        for peer in self.peers(slowPolicy="drop"):
            producer = Producer()
            attached: Any = producer
            peer.webSocket.attachProducer(attached)
            clogged = self.clog(peer)
            assert producer.calls == ["pause"]
            for text in "abc":
                peer.webSocket.sendTextMessage(text)
            self.assertReads(peer, clogged)
            assert producer.calls[-1] == "resume"
            assert producer.calls.count("pause") == producer.calls.count("resume")
            self.assertFine(peer)
            peer.lose(ConnectionAborted())
            assert producer.calls[-1] == "stop"

    def test_implements(self) -> None:
        """A connection is a producer, so that another connection can pause it."""
        for peer in self.peers("rfc6455"):
            assert IPushProducer.providedBy(peer.webSocket)


class CloseTests(SlowCase):
    """The policy close."""

    def slow(self, peer: Peer) -> bytes:
        """
        Make a peer slow.

        @return: the data that the transport has for it.
        """
        filled = self.fill(peer)
        with capturedLogs() as events:
            for text in ("one more", "another", "and another"):
                peer.webSocket.sendTextMessage(text)
            self.clock.advance(0)
        line = f"info: {peer.webSocket.id} does not read what it is sent"
        assert ownLines(events) == [line]
        assert self.count("slow closed") == 1
        assert self.count("messages dropped") == 0
        assert peer.webSocket.state > State.OPEN
        return self.given(peer, filled)

    def test_readsAgain(self) -> None:
        """Its backlog is dropped: it reads what had been written, the close, and nothing more."""
        for peer in self.peers():
            clogged = self.slow(peer)
            assert heldBytes(peer.webSocket._connection) < LIMIT
            self.assertReads(peer, clogged + self.farewell(peer))
            assert not peer.aborted

    def test_neverReads(self) -> None:
        """One that still does not read is aborted after the time to close."""
        for peer in self.peers(closeTimeout=3):
            self.slow(peer)
            self.pass_(2.5)
            assert not peer.aborted
            self.pass_(0.5)
            assert peer.aborted

    def test_told(self) -> None:
        """The application is notified once that messages were lost, with the code 1008."""
        for peer in self.peers():
            self.slow(peer)
            self.pass_(2)
            peer.lose(ConnectionAborted())
            assert self.calls == [STARTED, FINISHED, LOST]
            assert type(self.ending) is WebSocketLost
            assert (self.ending.code, self.ending.reason) == (CloseCode.POLICY, SLOW)

    def test_answered(self) -> None:
        """The same code is given if the peer then answers the close: it missed something."""
        for peer in self.peers():
            self.slow(peer)
            peer.read()
            if close := IDIOMS[peer.webSocket.dialect].clientClose:
                peer.send(close)
            peer.lose(ConnectionDone())
            assert type(self.ending) is WebSocketLost, self.case
            assert self.ending.code == CloseCode.POLICY

    def test_noMessages(self) -> None:
        """It gets no more messages."""
        for peer in self.peers():
            self.slow(peer)
            self.clock.advance(0)
            peer.send(IDIOMS[peer.webSocket.dialect].clientText("hi"))
            peer.read()
            self.clock.advance(0)
            assert "text: hi" not in self.calls

    def test_closingAlready(self) -> None:
        """A peer that is already being closed is not closed for that, and reads everything."""
        for peer in self.peers():
            filled = self.fill(peer)
            peer.webSocket.sendTextMessage("last")
            peer.webSocket.loseConnection()
            for text in "abc":
                peer.webSocket.sendTextMessage(text)
            self.clock.advance(0)
            expected = filled + self.framed(peer, "last")
            self.assertReads(peer, expected + IDIOMS[peer.webSocket.dialect].serverClose)
            assert self.count("slow closed") == 0

    def test_fromMessage(self) -> None:
        """This also happens while a segment with messages is handled."""

        def answer(made: Recording, message: str) -> None:
            for _ in range(5):
                made.transport.sendTextMessage("x" * LIMIT)

        for peer in self.peers():
            self.factory.application = self.recorder = Recorder(textMessageReceived=answer)
            peer = self.peer(type(peer), peer.webSocket.dialect)
            peer.stop()
            peer.send(IDIOMS[peer.webSocket.dialect].clientText("hi") * 3)
            assert self.calls == [STARTED, FINISHED, *["text: hi"] * 3]
            assert self.count("slow closed") == 0
            self.clock.advance(0)
            assert self.count("slow closed") == 1
            assert peer.read().endswith(self.farewell(peer))

    def test_bytes(self) -> None:
        """Bytes messages count like texts."""
        for peer in self.peers(*MODERN):
            filled = self.fill(peer)
            peer.webSocket.sendBytesMessage(b"one more")
            peer.webSocket.sendBytesMessage(b"another")
            self.clock.advance(0)
            assert self.count("slow closed") == 1
            self.assertReads(peer, self.given(peer, filled) + self.farewell(peer))
        for peer in self.peers(*MODERN):
            for size in (10 * LIMIT, 5):
                peer.stop()
                peer.webSocket.sendBytesMessage(b"x" * size)
                self.assertReads(peer, frame(0x82, b"x" * size))
            self.assertFine(peer)


class AfterwardsTests(SlowCase):
    """What is sent after a burst over the limit, with each policy, when the clock advances."""

    def everyPeer(self, *policies: str) -> Iterator[Any]:
        """Go through all kinds of clients under some policies, or under all."""
        for policy in policies or SLOW_POLICIES:
            for peer in self.peers(slowPolicy=policy):
                self.case += f", {policy}"
                yield peer

    @property
    def transport(self) -> Any:
        """The newest client's recording."""
        return self.recorder.made[-1].transport

    def assertForgiven(self, peer: Any) -> None:
        """A client behaves as one that was never slow: it gets as much."""
        self.clock.advance(0)
        self.assertReads(peer, b"")
        dropped = self.count("messages dropped")
        clogged = self.clog(peer)
        self.assertReads(peer, clogged)
        assert self.count("messages dropped") == dropped, self.case
        self.assertFine(peer)

    def test_readAtOnce(self) -> None:
        """A peer that reads everything as it comes is neither closed nor misses anything."""
        texts = ["x" * 65_536] * 20
        for peer in self.everyPeer():
            for _ in range(3):
                self.factory.shared.turn.run(lambda: [*map(self.transport.sendTextMessage, texts)])
                self.assertReads(peer, self.framed(peer, *texts))
                self.clock.advance(0)
                self.assertFine(peer)
            assert self.count("messages dropped") == 0

    def test_readBeforeJudged(self) -> None:
        """The same holds for one that reads everything in the turn that it is given."""
        texts = ["x" * LIMIT] * 5
        for peer in self.everyPeer():
            for _ in range(3):
                peer.stop()
                for text in texts:
                    self.transport.sendTextMessage(text)
                self.assertReads(peer, self.framed(peer, *texts))
                self.clock.advance(0)
                self.assertFine(peer)
            assert self.count("messages dropped") == 0

    def test_readInPart(self) -> None:
        """
        The same holds for one that reads so much in that turn that the rest is within the limit.
        """
        # For other transports it is not known what they have written yet.
        self.kinds = (SocketPeer,)
        texts = ["x" * LIMIT] * 3
        for peer in self.everyPeer():
            peer.stop()
            for text in texts:
                self.transport.sendTextMessage(text)
            expected = self.framed(peer, *texts)
            got = peer.read(len(expected) - 50_000)
            self.clock.advance(0)
            self.transport.sendTextMessage("more")
            self.assertSame(got + peer.read(), expected + self.framed(peer, "more"))
            self.clock.advance(0)
            self.assertFine(peer)
            assert self.count("messages dropped") == 0

    def test_aTurn(self) -> None:
        """That turn is complete: timers, then everything that can be read and written."""
        self.kinds = (SocketPeer, TLSPeer)
        texts = ["x" * LIMIT] * 3
        for peer in self.everyPeer():
            peer.stop()
            for text in texts:
                self.transport.sendTextMessage(text)
            # The timers of a reactor's turn, but not timers that they start.
            calls: list[Any] = [*self.clock.getDelayedCalls()]
            for call in calls:
                if call.getTime() <= self.clock.seconds():
                    function, arguments = call.func, call.args
                    call.cancel()
                    function(*arguments)
            self.assertReads(peer, self.framed(peer, *texts))
            self.clock.advance(0)
            self.assertFine(peer)

    def test_closedMeanwhile(self) -> None:
        """
        A peer that is closed before that turn is over is closed for no other reason, and reads all.
        """
        for peer in self.everyPeer():
            filled = self.fill(peer)
            for text in ("over", "and over"):
                self.transport.sendTextMessage(text)
            self.transport.loseConnection()
            self.clock.advance(0)
            expected = filled + self.framed(peer, "over", "and over")
            self.assertReads(peer, expected + IDIOMS[peer.webSocket.dialect].serverClose)
            assert self.count("slow closed") == 0

    def test_goneMeanwhile(self) -> None:
        """A peer that is gone before it is over is not judged."""
        for peer in self.everyPeer():
            self.fill(peer)
            for text in ("over", "and over"):
                self.transport.sendTextMessage(text)
            peer.lose(ConnectionAborted())
            self.clock.advance(0)
            assert self.count("slow closed") == 0
            self.assertQuiet()

    def test_slowOnce(self) -> None:
        """
        A peer that was slow once, and reads everything, gets everything again, any number of times.
        """
        for peer in self.everyPeer("drop", "latest"):
            for _ in range(3):
                clogged = self.clog(peer)
                for text in "abc":
                    self.transport.sendTextMessage(text)
                newest = self.framed(peer, "c") if self.case.endswith("latest") else b""
                self.assertReads(peer, clogged + newest)
                self.assertForgiven(peer)

    def test_slowByALargeOne(self) -> None:
        """The same holds if a single message is over the limit, and is read piece by piece."""
        large = "x" * (5 * LIMIT)
        for peer in self.everyPeer("drop", "latest"):
            for _ in range(2):
                filled = self.fill(peer)
                for text in ("over", large):
                    self.transport.sendTextMessage(text)
                self.clock.advance(0)
                for text in "ab":
                    self.transport.sendTextMessage(text)
                newest = self.framed(peer, "b") if self.case.endswith("latest") else b""
                expected = filled + self.framed(peer, "over", large) + newest
                got = peer.read(len(filled) + 1000)
                while len(got) < len(expected):
                    more = peer.read(LIMIT // 3)
                    assert more, self.case
                    got += more
                self.assertSame(got, expected)
                self.assertForgiven(peer)

    def test_slowUntilTheLimit(self) -> None:
        """A peer that reads again is slow as long as what is left to write is over the limit."""
        # For other transports it is not known what they have written yet.
        self.kinds = (SocketPeer,)
        texts = ("x" * LIMIT, "more")
        for left, dropped in ((LIMIT + 1, 3), (LIMIT, 1), (1, 1)):
            for peer in self.everyPeer("drop"):
                filled = self.fill(peer)
                for text in ("over", "x" * 3 * LIMIT):
                    self.transport.sendTextMessage(text)
                expected = filled + self.framed(peer, "over", "x" * 3 * LIMIT)
                self.clock.advance(0)
                self.transport.sendTextMessage("dropped")
                got = peer.read(len(expected) - left)
                for text in texts:
                    self.transport.sendTextMessage(text)
                assert self.count("messages dropped") == dropped, self.case
                more = b"" if dropped == 3 else self.framed(peer, *texts)
                self.assertSame(got + peer.read(), expected + more)
                self.assertForgiven(peer)

    def test_slowReadsInPart(self) -> None:
        """
        A peer that reads again gets new messages, although it has not read everything that waits.
        """
        for peer in self.everyPeer("drop"):
            clogged = self.clog(peer)
            self.transport.sendTextMessage("dropped")
            got = peer.read(len(clogged) - 5)
            self.transport.sendTextMessage("sent")
            self.assertSame(got + peer.read(), clogged + self.framed(peer, "sent"))
            self.assertForgiven(peer)

    def test_closeIsSeen(self) -> None:
        """What a slow client sends while it is being closed is read, including its own close."""
        for peer in self.peers(slowPolicy="close"):
            self.clog(peer)
            assert self.count("slow closed") == 1
            before = self.transport.bytesReceived
            said = IDIOMS[peer.webSocket.dialect].clientText("x")
            said += IDIOMS[peer.webSocket.dialect].clientClose
            assert peer.isRead, self.case
            peer.send(said)
            self.clock.advance(0)
            assert self.transport.bytesReceived == before + len(said), self.case
            # Now there is nothing to wait for but the end.
            peer.read()
            assert peer.ended, self.case

    def test_readWhileClosing(self) -> None:
        """After our close the client's data is read, although it does not read itself."""
        for peer in self.peers():
            filled = self.fill(peer)
            assert not peer.isRead, self.case
            self.transport.loseConnection()
            assert peer.isRead, self.case
            before = self.transport.bytesReceived
            said = IDIOMS[peer.webSocket.dialect].clientClose
            peer.send(said or b"\0x\xff")
            assert self.transport.bytesReceived > before, self.case
            self.assertReads(peer, filled + IDIOMS[peer.webSocket.dialect].serverClose)
            assert peer.ended, self.case


class DropTests(SlowCase):
    """The policy drop."""

    def test_dropped(self) -> None:
        """Messages over the limit are dropped and counted; the application gets the number once."""
        for peer in self.peers(slowPolicy="drop"):
            clogged = self.clog(peer)
            for text in "abcd":
                peer.webSocket.sendTextMessage(text)
            assert self.count("messages dropped") == 4
            assert peer.webSocket.messagesSent == 3 + peer.holdsBack
            assert self.calls == [STARTED, FINISHED]
            self.assertReads(peer, clogged)
            assert self.calls == [STARTED, FINISHED, "dropped: 4"]
            self.assertFine(peer)
            # The next time is counted separately.
            self.clog(peer)
            for text in "ab":
                peer.webSocket.sendTextMessage(text)
            peer.read()
            assert self.calls[2:] == ["dropped: 4", "dropped: 2"]
            assert self.count("messages dropped") == 6
            self.assertFine(peer)
            peer.lose(ConnectionAborted())
            assert self.calls[-1] == LOST

    def test_untold(self) -> None:
        """An application without the callback is not called."""
        for peer in self.peers(slowPolicy="drop"):
            self.factory.application = self.recorder = Recorder()
            peer = self.peer(type(peer), peer.webSocket.dialect)
            self.clog(peer)
            for text in "abc":
                peer.webSocket.sendTextMessage(text)
            peer.read()
            assert self.calls == [STARTED, FINISHED]
            self.assertFine(peer)

    def test_failing(self) -> None:
        """An error in that callback ends only this connection, with the code 1011."""

        def fail(*arguments: object) -> None:
            raise ZeroDivisionError

        for peer in self.peers(slowPolicy="drop"):
            other = self.peer(type(peer), peer.webSocket.dialect)
            self.factory.application = self.recorder = Teller(messagesDropped=fail)
            peer = self.peer(type(peer), peer.webSocket.dialect)
            clogged = self.clog(peer)
            for text in "abc":
                peer.webSocket.sendTextMessage(text)
            end = IDIOMS[peer.webSocket.dialect].serverClose.replace(b"\x03\xe8", b"\x03\xf3")
            self.assertReads(peer, clogged + end)
            assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
            assert self.count("application errors") == 1
            self.assertFine(other)

    def test_never(self) -> None:
        """A peer that never reads takes no more memory, however many messages are sent."""
        for peer in self.peers(slowPolicy="drop"):
            self.clog(peer)
            for number in range(1000):
                peer.webSocket.sendTextMessage(f"{number} " * 1000)
            assert heldBytes(peer.webSocket._connection) < LIMIT + 4000
            assert self.count("messages dropped") == 1000
            peer.lose(ConnectionAborted())
            assert self.calls == [STARTED, FINISHED, LOST]
            assert type(self.ending) is WebSocketLost

    def test_errors(self) -> None:
        """A message that cannot be sent still raises."""
        for policy in ("drop", "latest"):
            for peer in self.peers(slowPolicy=policy):
                clogged = self.clog(peer)
                with pytest.raises(UnicodeEncodeError):
                    peer.webSocket.sendTextMessage("\ud800")
                if peer.webSocket.dialect in HIXIE:
                    with pytest.raises(UnsupportedMessage):
                        peer.webSocket.sendBytesMessage(b"b")
                self.assertReads(peer, clogged)
                self.assertFine(peer)


class LatestTests(SlowCase):
    """The policy latest."""

    def test_newest(self) -> None:
        """The newest comes after the backlog, those between are missed, and then all come."""
        for peer in self.peers(slowPolicy="latest"):
            for dropped in (3, 6):
                clogged = self.clog(peer)
                for text in "abcd":
                    peer.webSocket.sendTextMessage(text)
                self.assertReads(peer, clogged + self.framed(peer, "d"))
                assert self.calls[-1] == "dropped: 3"
                assert self.count("messages dropped") == dropped
                self.assertFine(peer)
            assert self.calls == [STARTED, FINISHED, "dropped: 3", "dropped: 3"]

    def test_nothingMissed(self) -> None:
        """A single message that had to wait is not missed."""
        for peer in self.peers(slowPolicy="latest"):
            clogged = self.clog(peer)
            peer.webSocket.sendTextMessage("a")
            self.assertReads(peer, clogged + self.framed(peer, "a"))
            assert self.calls == [STARTED, FINISHED]
            assert self.count("messages dropped") == 0

    def test_bytes(self) -> None:
        """A text may replace bytes, and bytes a text."""
        for peer in self.peers(*MODERN, slowPolicy="latest"):
            clogged = self.clog(peer)
            peer.webSocket.sendTextMessage("a")
            peer.webSocket.sendBytesMessage(b"b")
            self.assertReads(peer, clogged + frame(0x82, b"b"))
            clogged = self.clog(peer)
            peer.webSocket.sendBytesMessage(b"a")
            peer.webSocket.sendTextMessage("b")
            self.assertReads(peer, clogged + self.framed(peer, "b"))

    def test_compressed(self) -> None:
        """Skipped messages were never compressed: an inflater continues with the next one."""
        for peer in self.peers("rfc6455", slowPolicy="latest", compression=True):
            offer = [(b"Sec-WebSocket-Extensions", b"permessage-deflate")]
            peer = type(peer)(self.clock, self.factory.buildProtocol(None))
            peer.send(buildHead("rfc6455", extra=offer))
            assert b"\r\nSec-WebSocket-Extensions: permessage-deflate" in peer.read()
            inflater = Deflater()
            # It does not compress to less than the limit.
            noise = "".join(map(chr, Random(7).choices(range(0x100, 0xD000), k=LIMIT)))
            got: list[str] = []
            sent = [noise, *([noise] if peer.holdsBack else []), "over"]
            for _ in range(3):
                peer.stop()
                for text in sent:
                    peer.webSocket.sendTextMessage(text)
                self.clock.advance(0)
                for text in ("missed", "missed", "missed", "the newest"):
                    peer.webSocket.sendTextMessage(text)
                data = peer.read()
                while data:
                    payload, data = splitFrame(data)
                    got.append(inflater.decompress(payload).decode())
            assert self.count("messages dropped") == 9
            assert got == [*sent, "the newest"] * 3

    def test_thenClose(self) -> None:
        """The newest is sent before a close, like everything that was sent before it."""
        for peer in self.peers(slowPolicy="latest"):
            clogged = self.clog(peer)
            for text in "ab":
                peer.webSocket.sendTextMessage(text)
            peer.webSocket.loseConnection()
            expected = clogged + self.framed(peer, "b")
            self.assertReads(peer, expected + IDIOMS[peer.webSocket.dialect].serverClose)

    def test_newerWhenTold(self) -> None:
        """What an application sends in that callback comes after the newest message."""

        def again(made: Recording, count: int) -> None:
            made.transport.sendTextMessage(f"{count} were missed")

        for peer in self.peers(slowPolicy="latest"):
            self.factory.application = self.recorder = Teller(messagesDropped=again)
            peer = self.peer(type(peer), peer.webSocket.dialect)
            clogged = self.clog(peer)
            for text in "ab":
                peer.webSocket.sendTextMessage(text)
            self.assertReads(peer, clogged + self.framed(peer, "b", "1 were missed"))

    def test_failingWhenTold(self) -> None:
        """An error in it does not reach the transport."""

        def fail(*arguments: object) -> None:
            raise ZeroDivisionError

        for peer in self.peers(slowPolicy="latest"):
            self.factory.application = self.recorder = Teller(messagesDropped=fail)
            peer = self.peer(type(peer), peer.webSocket.dialect)
            self.clog(peer)
            for text in "abcd":
                peer.webSocket.sendTextMessage(text)
            end = IDIOMS[peer.webSocket.dialect].serverClose.replace(b"\x03\xe8", b"\x03\xf3")
            assert peer.read().endswith(end)
            assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1

    def test_slowAgain(self) -> None:
        """A large newest message may fill the backlog again."""
        for peer in self.peers(slowPolicy="latest"):
            clogged = self.clog(peer)
            large = "y" * 2 * LIMIT
            for text in ("a", large):
                peer.webSocket.sendTextMessage(text)
            got = peer.read(len(clogged) + 100_000)
            peer.webSocket.sendTextMessage("b")
            self.clock.advance(0)
            for text in "cd":
                peer.webSocket.sendTextMessage(text)
            got += peer.read()
            # By then a part may have been read, so that there was room for one.
            got = got.replace(self.framed(peer, "c"), b"")
            self.assertSame(got, clogged + self.framed(peer, large, "b", "d"))
            self.assertFine(peer)


def splitFrame(data: bytes) -> tuple[bytes, bytes]:
    """@return: the payload of a server's first frame, and what follows the frame."""
    start, size = 2, data[1]
    if size > 125:
        start += 2 if size == 126 else 8
        size = int.from_bytes(data[2:start], "big")
    assert len(data) >= start + size
    return data[start : start + size], data[start + size :]


class ConnectingTests(SlowCase):
    """Messages that are sent before the handshake is complete."""

    def opening(self, peer: Any, *sizes: int) -> bytes:
        """
        Let an application send before its client is open.

        @return: what the client reads.
        """

        def started(made: Recording, transport: Any) -> None:
            for size in sizes:
                transport.sendTextMessage("x" * size)

        dialect = peer.webSocket.dialect
        self.factory.application = self.recorder = Recorder(negotiationStarted=started)
        self.opened = type(peer)(self.clock, self.factory.buildProtocol(None))
        self.opened.send(buildHead(dialect))
        got: bytes = self.opened.read()
        if IDIOMS[dialect].preamble:
            self.opened.send(IDIOMS[dialect].preamble)
            got += self.opened.read()
        return got

    def test_early(self) -> None:
        """Up to the limit they wait; one may be of any size."""
        for sizes in ((10 * LIMIT,), (LIMIT // 2, LIMIT // 4, 10 * LIMIT)):
            for peer in self.peers():
                text = self.framed(peer, *("x" * size for size in sizes))
                got = self.opening(peer, *sizes)
                assert got.endswith(text)
                assert self.count("slow closed") == 0
                self.assertFine(self.opened)

    def test_tooMany(self) -> None:
        """
        A peer that is sent more before it opens is closed after its handshake, with any policy.
        """
        for policy in ("close", "drop", "latest"):
            for peer in self.peers(slowPolicy=policy):
                got = self.opening(peer, *[LIMIT] * 10)
                assert got.startswith(b"HTTP/1.1 101 ")
                assert got.endswith(self.farewell(peer))
                assert self.count("slow closed") == 1

    def test_oneByOne(self) -> None:
        """The same holds if the answer is written, but the client's handshake is not complete."""
        for policy in SLOW_POLICIES:
            for peer in self.peers("hixie-76", slowPolicy=policy):
                self.factory.application = self.recorder = Recorder()
                self.opened = type(peer)(self.clock, self.factory.buildProtocol(None))
                self.opened.send(buildHead("hixie-76"))
                assert self.opened.read()
                (made,) = self.recorder.made
                for _ in range(100):
                    made.transport.sendTextMessage("x" * (LIMIT // 2))
                    self.clock.advance(0)
                assert self.count("slow closed") == 1
                self.opened.send(IDIOMS["hixie-76"].preamble)
                assert self.opened.read().endswith(self.farewell(peer))
