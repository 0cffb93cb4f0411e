"""Echo and broadcast, on transports that offer no more than Twisted's own."""

from __future__ import annotations

import contextlib
from asyncio import CancelledError
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.loopback import CLOSE, HANDSHAKES, LoopbackCase, TCPWire, Wire, frame
from tests.support import IDIOMS
from txhixie import Broadcast, Echo
from txhixie.applications import SERVICES

if TYPE_CHECKING:
    from twisted.web.server import Request
    from twisted.web.websocket import WebSocketProtocol, WebSocketTransport

    from txhixie.application import Application


class Client:
    """
    A minimal transport, with a service's protocol on it.

    @ivar received: the messages that were sent to the client.
    @ivar closed: the codes it was closed with.
    @ivar whenSent: called with each message sent to it.
    """

    def __init__(self, application: Application, name: str = "") -> None:
        self.received: list[str | bytes] = []
        self.closed: list[int] = []
        self.whenSent: Callable[[str], object] = lambda message: None
        if name:
            self.id = name
        made = application.buildProtocol(cast("Request", None))
        self.protocol = cast("WebSocketProtocol", made)
        self.protocol.negotiationStarted(cast("WebSocketTransport", self))

    def join(self) -> Client:
        """Open the connection."""
        self.protocol.negotiationFinished()
        return self

    def say(self, *messages: str) -> None:
        """Send messages to the service."""
        for message in messages:
            self.protocol.textMessageReceived(message)

    def leave(self, reason: Exception | None = None) -> None:
        """Lose the connection."""
        self.protocol.connectionLost(Failure(reason or ConnectionDone()))

    def sendTextMessage(self, text: str) -> None:
        self.received.append(text)
        self.whenSent(text)

    def sendBytesMessage(self, data: bytes) -> None:
        self.received.append(data)

    def loseConnection(self, code: int = 1000) -> None:
        self.closed.append(code)


class EchoTests(SynchronousTestCase):
    """The service echo."""

    def test_echo(self) -> None:
        """Every message comes back."""
        client = Client(Echo()).join()
        texts = ["hello", "", "\0", "h\u00e9\u20ac\U0001f600", "x" * (1 << 20), "Kill", " kill"]
        client.say(*texts)
        client.protocol.bytesMessageReceived(bytearray(b"a\0\xff"))
        assert client.received == [*texts, b"a\0\xff"]
        assert type(client.received[-1]) is bytes
        assert client.closed == []

    def test_kill(self) -> None:
        """The message kill ends the connection, and does not come back."""
        client = Client(Echo()).join()
        client.say("kill")
        client.leave()
        assert (client.received, client.closed) == ([], [1000])

    def test_pong(self) -> None:
        """A pong is ignored."""
        for application in (Echo(), Broadcast()):
            client = Client(application)
            client.protocol.pongReceived(b"x")
            assert client.received == []

    def test_each(self) -> None:
        """Clients are independent of each other."""
        echo = Echo()
        clients = [Client(echo).join() for _ in range(3)]
        clients[1].say("hi")
        assert [client.received for client in clients] == [[], ["hi"], []]


class BroadcastTests(SynchronousTestCase):
    """The service broadcast."""

    def setUp(self) -> None:
        self.broadcast = Broadcast()

    def client(self, name: str) -> Client:
        """@return: a client whose transport has an id."""
        return Client(self.broadcast, name)

    def test_story(self) -> None:
        """Every member gets the joins, the messages, and the departures."""
        a = self.client("A").join()
        b = self.client("B").join()
        a.say("hi")
        b.say("ho", "kill")
        a.leave()
        b.say("bye")
        b.leave(ConnectionLost())
        assert a.received == [
            "New Connection: A",
            "New Connection: B",
            "A: hi",
            "B: ho",
            "B: kill",
        ]
        assert b.received == [
            *a.received[1:],
            "Connection Closed: A",
            "B: bye",
        ]
        assert (a.closed, b.closed) == ([], [])

    def test_neverOpened(self) -> None:
        """A client that never opened gets nothing, and no other client gets anything about it."""
        a = self.client("A").join()
        b = self.client("B")
        a.say("hi")
        b.leave()
        assert a.received == ["New Connection: A", "A: hi"]
        assert b.received == []

    def test_bytes(self) -> None:
        """Bytes, which not every member could get, end their sender's connection."""
        a, b = self.client("A").join(), self.client("B").join()
        a.protocol.bytesMessageReceived(b"hi")
        assert a.closed == [1003]
        assert b.received == ["New Connection: B"]

    def test_ownIds(self) -> None:
        """On transports without ids, members get distinct ones."""
        clients = [Client(self.broadcast).join() for _ in range(100)]
        news = cast("list[str]", clients[0].received)
        assert len(set(news)) == 100
        for line in news:
            assert line.startswith("New Connection: ")
            assert 4 < len(line.removeprefix("New Connection: ")) <= 16

    def test_failingMember(self) -> None:
        """A member whose transport raises does not affect the others."""
        a, b, c = (self.client(name).join() for name in "ABC")

        def fail(message: str) -> None:
            raise ZeroDivisionError

        b.whenSent = fail
        a.say("1", "2")
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 2
        assert a.received[-2:] == c.received[-2:] == ["A: 1", "A: 2"]

    def test_raisedInDelivery(self) -> None:
        """An exception that is not an Error interrupts one delivery: the next one reaches all."""
        for error in (CancelledError, SystemExit, GeneratorExit):
            with self.subTest(error.__name__):
                self.broadcast = Broadcast()
                a, b, c = (self.client(name).join() for name in "ABC")

                def breakOff(message: str, error: Any = error) -> None:
                    if message == "A: break":
                        raise error

                b.whenSent = breakOff
                with contextlib.suppress(error):
                    a.say("break")
                c.say("hello")
                for client in (a, b, c):
                    assert client.received[-1] == "C: hello"

    def test_lostInDelivery(self) -> None:
        """
        If a member is lost while a message is delivered, the announcement comes after the message.
        """
        for number, lost in enumerate("ABC"):
            self.broadcast = Broadcast()
            clients = [self.client(name).join() for name in "ABC"]
            member = clients[number]
            for client in clients:
                client.received.clear()

            def leaveOnce(message: str, member: Client = member) -> None:
                if message == "A: hi":
                    member.leave()

            member.whenSent = leaveOnce
            clients[0].say("hi", "ho")
            for client in clients:
                if client is member:
                    assert client.received == ["A: hi"]
                else:
                    assert client.received == ["A: hi", f"Connection Closed: {lost}", "A: ho"]

    def test_otherLostInDelivery(self) -> None:
        """The same holds if the lost member is not the receiver."""
        for lost in (0, 2):
            self.broadcast = Broadcast()
            clients = [self.client(name).join() for name in "ABC"]

            def leave(message: str, other: Client = clients[lost]) -> None:
                if message == "A: hi":
                    other.leave()

            clients[1].whenSent = leave
            clients[0].say("hi", "ho")
            expected = ["A: hi", f"Connection Closed: {'ABC'[lost]}", "A: ho"]
            for number in {0, 1, 2} - {lost}:
                assert clients[number].received[-3:] == expected

    def test_sayInDelivery(self) -> None:
        """What is sent while a message is delivered comes after it, for all."""
        clients = [self.client(name).join() for name in "ABC"]

        def answer(message: str) -> None:
            if message.startswith("A: "):
                clients[1].say("you said " + message[3:])

        clients[1].whenSent = answer
        clients[0].say("hi", "ho")
        expected = ["A: hi", "B: you said hi", "A: ho", "B: you said ho"]
        for client in clients:
            assert client.received[-4:] == expected

    def test_joinInDelivery(self) -> None:
        """A member that joins while a message is delivered gets what comes after it."""
        a, b, c = (self.client(name) for name in "ABC")
        a.join()
        b.join()
        a.whenSent = lambda message: c.join() if message == "B: hi" else None
        b.say("hi", "ho")
        assert a.received[-3:] == b.received[-3:] == ["B: hi", "New Connection: C", "B: ho"]
        assert c.received == ["New Connection: C", "B: ho"]

    def test_joinAndLeaveInDelivery(self) -> None:
        """A member that joins and leaves at once is announced twice, and is not kept."""
        a, b, c = (self.client(name) for name in "ABC")
        a.join()
        b.join()

        def comeAndGo(message: str) -> None:
            if message == "B: hi":
                c.join()
                c.leave()

        a.whenSent = comeAndGo
        b.say("hi", "ho")
        assert a.received == [
            "New Connection: A",
            "New Connection: B",
            "B: hi",
            "New Connection: C",
            "Connection Closed: C",
            "B: ho",
        ]
        assert b.received == a.received[1:]
        assert c.received in ([], ["New Connection: C"])

    def test_sameOrder(self) -> None:
        """However many members send at once, all get the same messages in one order."""
        clients = [self.client(str(number)).join() for number in range(5)]
        for client in clients:
            client.received.clear()
        for number, client in enumerate(clients):

            def answer(message: str, client: Client = client, number: int = number) -> None:
                if len(message) < 12 + number:
                    client.say(message)

            client.whenSent = answer
        clients[0].say("x")
        assert len(clients[0].received) > 50
        for client in clients:
            assert client.received == clients[0].received


class OnThePortTests(LoopbackCase):
    """The services in a server."""

    def test_broadcast(self) -> None:
        """Clients of both dialects get the same, with the ids that the server uses."""
        self.serve(Broadcast())
        wires = [self.open("hixie-75"), self.connect(HANDSHAKES["hixie-76"][0])]
        ids = [wire.webSocket.id for wire in wires]
        self.clock.advance(0)
        wires[0].send(frame("h\u00e9"))
        wires[1].send(CLOSE)
        wires[1].lose()
        wires[0].send(frame("ho"))
        news = frame(f"New Connection: {ids[1]}")
        said = frame(f"{ids[0]}: h\u00e9")
        closed = frame(f"Connection Closed: {ids[1]}") + frame(f"{ids[0]}: ho")
        own = frame(f"New Connection: {ids[0]}")
        assert wires[0].take() == own + news + said + closed
        assert wires[1].take() == HANDSHAKES["hixie-76"][1] + news + said + CLOSE

    def test_joinInBatch(self) -> None:
        """
        A member that joins amid messages that go out together gets its own join, and what follows.
        """
        self.serve(Broadcast())
        wires = [self.open(), self.open("rfc6455")]
        self.clock.advance(0)
        for wire in wires:
            wire.take()
        names = list(self.factory.connections)
        newcomers: list[TCPWire] = []

        def talk() -> None:
            wires[0].send(frame("1") + frame("2"))
            newcomers.append(self.connect(HANDSHAKES["hixie-75"][0]))
            wires[0].send(frame("3") + frame("4"))

        self.factory.shared.turn.run(talk)
        self.clock.advance(0)
        (newcomer,) = {*self.factory.connections} - {*names}
        texts = [f"{names[0]}: {number}" for number in range(1, 5)]
        texts.insert(2, f"New Connection: {newcomer}")
        for wire, dialect in zip(wires, ("hixie-76", "rfc6455"), strict=True):
            assert wire.take() == b"".join(map(IDIOMS[dialect].serverText, texts))
        assert newcomers[0].take() == HANDSHAKES["hixie-75"][1] + b"".join(map(frame, texts[2:]))

    def test_leaveInBatch(self) -> None:
        """The others get a departure in order; the member that left gets nothing more."""
        self.serve(Broadcast())
        wires = [self.open(), self.open()]
        names = list(self.factory.connections)
        self.clock.advance(0)
        for wire in wires:
            wire.take()

        def talk() -> None:
            wires[0].send(frame("1") + frame("2"))
            wires[1].lose()
            wires[0].send(frame("3") + frame("4"))

        self.factory.shared.turn.run(talk)
        self.clock.advance(0)
        texts = [f"{names[0]}: {number}" for number in range(1, 5)]
        texts.insert(2, f"Connection Closed: {names[1]}")
        assert wires[0].take() == b"".join(map(frame, texts))
        assert wires[1].take() == b""

    def test_lastWords(self) -> None:
        """Messages that come with the close are delivered, also to their senders."""
        self.serve(Broadcast())
        wires = [self.open(), self.open()]
        self.clock.advance(0)
        for wire in wires:
            wire.take()
        name = wires[0].webSocket.id
        wires[0].send(frame("1") + frame("2") + CLOSE)
        said = frame(f"{name}: 1") + frame(f"{name}: 2")
        assert wires[0].take() == said + CLOSE
        assert wires[1].take() == said
        wires[0].lose()
        self.clock.advance(0)
        assert wires[1].take() == frame(f"Connection Closed: {name}")

    def test_lostAsItIsWrittenTo(self) -> None:
        """
        If a member's transport ends while it is written to, all get the departure in one order.
        """

        class Ending(Wire):
            def write(self, data: bytes) -> None:
                super().write(data)
                if b": hi\xff" in data:
                    self.lose()

        self.serve(Broadcast())
        wires: list[Wire] = [self.open(), self.open(kind=Ending), self.open()]
        self.clock.advance(0)
        for wire in wires:
            wire.take()
        names = [wire.webSocket.id for wire in wires]
        wires[0].send(frame("hi"))
        wires[2].send(frame("ho"))
        rest = frame(f"Connection Closed: {names[1]}") + frame(f"{names[2]}: ho")
        assert wires[0].take() == wires[2].take() == frame(f"{names[0]}: hi") + rest

    def members(self, count: int, dialect: str = "hixie-76") -> list[TCPWire]:
        """@return: members of a new broadcast who know of each other."""
        self.serve(Broadcast())
        wires = [self.open(dialect) for _ in range(count)]
        self.clock.advance(0)
        for wire in wires:
            wire.take()
            wire.writes.clear()
        return wires

    def test_leaveTogether(self) -> None:
        """If members leave together, the others get it in one write each, in one order."""
        wires = self.members(30)
        leaving, staying = wires[:20], wires[20:]
        names = [wire.webSocket.id for wire in leaving]
        for wire in leaving:
            wire.lose()
        assert [wire.writes for wire in wires] == [[]] * 30
        self.clock.advance(0)
        news = b"".join(frame(f"Connection Closed: {name}") for name in names)
        assert [wire.writes for wire in staying] == [[news]] * 10
        assert [wire.writes for wire in leaving] == [[]] * 20

    def test_joinTogether(self) -> None:
        """The same holds for members that join together, each of whom first gets its own join."""
        for dialect in IDIOMS:
            text = IDIOMS[dialect].serverText
            (first,) = self.members(1, dialect)
            wires = [self.open(dialect) for _ in range(20)]
            for wire in wires:
                wire.writes.clear()
            assert first.writes == []
            self.clock.advance(0)
            news = [text(f"New Connection: {wire.webSocket.id}") for wire in wires]
            assert first.writes == [b"".join(news)]
            for number, wire in enumerate(wires):
                assert wire.writes == [b"".join(news[number:])]

    def test_comeAndGoTogether(self) -> None:
        """Members that join and leave together with others are announced in that order."""
        (first,) = self.members(1)
        a = self.open()
        a.lose()
        b = self.open()
        self.clock.advance(0)
        names = [wire.webSocket.id for wire in (a, b)]
        own = frame(f"New Connection: {names[1]}")
        gone = frame(f"New Connection: {names[0]}") + frame(f"Connection Closed: {names[0]}")
        assert first.take() == gone + own
        assert b.take() == own

    def test_saidMeanwhile(self) -> None:
        """Messages that are sent after others left come after that, in the same write."""
        wires = self.members(4)
        names = [wire.webSocket.id for wire in wires]
        wires[0].lose()
        wires[1].send(frame("hi"))
        wires[2].lose()
        before = frame(f"Connection Closed: {names[0]}") + frame(f"{names[1]}: hi")
        assert wires[1].writes == wires[3].writes == [before]
        self.clock.advance(0)
        assert wires[3].writes == [before, frame(f"Connection Closed: {names[2]}")]

    def test_sayAndLeave(self) -> None:
        """Messages of a member that is being closed are delivered before it leaves."""
        wires = self.members(2)
        names = [wire.webSocket.id for wire in wires]
        wires[0].send(frame("1"))
        wires[0].send(frame("2") + CLOSE)
        said = [frame(f"{names[0]}: {text}") for text in "12"]
        assert wires[0].take() == said[0] + said[1] + CLOSE
        assert wires[1].take() == said[0] + said[1]

    def test_allLeave(self) -> None:
        """When all leave, nothing is left, and nothing is waiting."""
        for wire in self.members(3):
            wire.lose()
        assert not [call for call in self.clock.getDelayedCalls() if not call.getTime()]
        self.assertQuiet()


def test_table() -> None:
    """The built-in services have their names."""
    assert {"echo": Echo, "broadcast": Broadcast} == SERVICES
