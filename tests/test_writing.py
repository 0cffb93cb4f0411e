"""
Writing to a socket directly, and what happens when the socket takes less.
"""

from __future__ import annotations

from typing import cast

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IPushProducer
from twisted.trial.unittest import SynchronousTestCase

from tests.loopback import (
    ANSWER,
    CLOSE,
    HEAD76,
    KEY3,
    LOST,
    REPLY76,
    Descriptor,
    Poller,
    Producer,
    Recorder,
    echo,
    frame,
)
from txhixie import HixieFactory, HixieProtocol, Settings, State


class DirectTests(SynchronousTestCase):
    """
    A connection on its own socket.
    """

    def setUp(self) -> None:
        self.poller = Poller()
        self.recorder = Recorder(textMessageReceived=echo)
        self.factory = HixieFactory(self.recorder, None, Settings(), self.poller)

    def open(self) -> Descriptor:
        """
        @return: the transport of a new connection that is open.
        """
        protocol = self.factory.buildProtocol(None)
        assert isinstance(protocol, HixieProtocol)
        descriptor = Descriptor(self.poller, protocol)
        protocol.dataReceived(HEAD76 + KEY3)
        assert descriptor.take() == REPLY76 + ANSWER
        return descriptor

    def test_atOnce(self) -> None:
        """What the socket takes is written at once, without a turn of the reactor."""
        descriptor = self.open()
        descriptor.protocol.dataReceived(frame("hello"))
        assert frame("hello") == descriptor.take()
        assert not self.poller.writers

    def test_rest(self) -> None:
        """What it does not take follows in order, and only then what was sent meanwhile."""
        descriptor = self.open()
        descriptor.room = 3
        descriptor.webSocket.sendTextMessage("first")
        assert frame("first")[:3] == descriptor.take()
        descriptor.webSocket.sendTextMessage("second")
        descriptor.webSocket.sendTextMessage("third")
        descriptor.room = 5
        self.poller.turn()
        rest = frame("first")[3:] + frame("second") + frame("third")
        assert rest[:5] == descriptor.take()
        descriptor.room = float("inf")
        self.poller.turn()
        assert rest[5:] == descriptor.take()
        assert not self.poller.writers
        descriptor.webSocket.sendTextMessage("fourth")
        assert frame("fourth") == descriptor.take()

    def test_everyRoom(self) -> None:
        """However little the socket takes at a time, nothing is lost, doubled or disordered."""
        texts = ["", "a", "bc" * 9, "def"]
        expected = b"".join(map(frame, texts))
        for room in range(1, len(expected) + 1):
            descriptor = self.open()
            descriptor.room = room
            for text in texts:
                descriptor.webSocket.sendTextMessage(text)
            got = descriptor.take()
            while self.poller.writers:
                descriptor.room = room
                self.poller.turn()
                got += descriptor.take()
            assert expected == got
            assert len(expected) == descriptor.webSocket.bytesSent - len(REPLY76 + ANSWER)

    def test_backpressure(self) -> None:
        """While the socket takes nothing, its peer is not read and the producer is paused."""
        descriptor = self.open()
        producer = Producer()
        descriptor.webSocket.attachProducer(cast(IPushProducer, producer))
        descriptor.room = 0
        descriptor.webSocket.sendTextMessage("hello")
        assert producer.calls == ["pause"]
        assert descriptor not in self.poller.readers
        descriptor.room = float("inf")
        self.poller.turn()
        assert producer.calls == ["pause", "resume"]
        assert descriptor in self.poller.readers
        assert frame("hello") == descriptor.take()

    def test_close(self) -> None:
        """What was sent before a close is written before the end of the stream."""
        descriptor = self.open()
        descriptor.room = 0
        descriptor.webSocket.sendTextMessage("hello")
        descriptor.webSocket.sendTextMessage("good-bye")
        descriptor.webSocket.loseConnection()
        descriptor.protocol.dataReceived(CLOSE)
        self.poller.turn()
        assert not descriptor.halfClosed
        descriptor.room = float("inf")
        while self.poller.writers:
            self.poller.turn()
        assert frame("hello") + frame("good-bye") + CLOSE == descriptor.take()
        assert descriptor.halfClosed

    def test_closeUnread(self) -> None:
        """A peer that neither reads nor answers a close is given up in the end."""
        descriptor = self.open()
        descriptor.room = 0
        descriptor.webSocket.sendTextMessage("hello")
        descriptor.webSocket.loseConnection()
        for _ in range(40):
            self.poller.advance(1)
            self.poller.turn()
        assert descriptor.aborted

    def test_error(self) -> None:
        """A failure to write is a lost connection, once."""
        descriptor = self.open()
        descriptor.broken = True
        descriptor.webSocket.sendTextMessage("hello")
        descriptor.webSocket.sendTextMessage("again")
        assert descriptor.webSocket.state is State.OPEN
        self.poller.turn()
        (made,) = self.recorder.made
        assert made.calls.count(LOST) == 1
        assert isinstance(made.ending, ConnectionLost)
        assert not self.poller.writers
        assert not self.factory.connections

    def test_broadcast(self) -> None:
        """One write for each connection carries all that one segment made."""
        self.factory.application = Recorder(
            textMessageReceived=lambda made, text: self.factory.broadcastTextMessage(text)
        )
        descriptors = [self.open() for _ in range(3)]
        descriptors[0].protocol.dataReceived(frame("1") + frame("2"))
        for descriptor in descriptors:
            assert [frame("1") + frame("2")] == descriptor.writes[-1:]

    def test_notThroughTLS(self) -> None:
        """Where something is between us and the socket, it is not bypassed."""
        protocol = self.factory.buildProtocol(None)
        assert isinstance(protocol, HixieProtocol)
        descriptor = Descriptor(self.poller, protocol, secure=True)
        protocol.dataReceived(HEAD76 + KEY3)
        assert descriptor.take() == b""
        self.poller.turn()
        assert descriptor.take().endswith(ANSWER)
