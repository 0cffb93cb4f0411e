"""The same application objects in Twisted's own WebSocketResource and in HixieFactory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory
from twisted.internet.testing import StringTransport
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.websocket import WebSocketResource
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Request,
    TextMessage,
)

from tests.loopback import (
    CLOSE,
    FINISHED,
    HANDSHAKES,
    LOST,
    STARTED,
    LoopbackCase,
    Recorder,
    TCPWire,
    frame,
)
from txhixie import Broadcast, Echo, Rooms, StreamApplication

if TYPE_CHECKING:
    from txhixie.application import Application


class HixieClient:
    """A Hixie-76 client of HixieFactory."""

    def __init__(self, wire: TCPWire) -> None:
        self._wire = wire

    def say(self, text: str) -> None:
        """Send a message."""
        self._wire.send(frame(text))

    def heard(self) -> list[str]:
        """@return: the messages since the last call."""
        data = self._wire.take().removesuffix(CLOSE)
        return [text.decode() for text in data.replace(b"\0", b"").split(b"\xff")[:-1]]

    def close(self) -> None:
        """Close in good order."""
        self._wire.send(CLOSE)
        self._wire.lose()

    @property
    def ended(self) -> bool:
        """Whether the server closed."""
        return bytes(self._wire.value()).endswith(CLOSE)


class ModernClient:
    """An RFC 6455 client of Twisted's WebSocketResource."""

    def __init__(self, site: Site, target: str = "/demo") -> None:
        self._transport = StringTransport()
        self._channel: Any = site.buildProtocol(self._transport.getPeer())
        self._channel.makeConnection(self._transport)
        self._websocket = WSConnection(ConnectionType.CLIENT)
        self.ended = False
        self._send(Request(host="example.com", target=target))
        accepted, *self._early = self._events()
        assert isinstance(accepted, AcceptConnection)

    def _send(self, event: Event) -> None:
        self._channel.dataReceived(self._websocket.send(event))

    def _events(self) -> list[Event]:
        data = self._transport.value()
        self._transport.clear()
        if data:
            self._websocket.receive_data(data)
        return list(self._websocket.events())

    def say(self, text: str) -> None:
        """Send a message."""
        self._send(TextMessage(text))

    def heard(self) -> list[Any]:
        """@return: the messages since the last call."""
        events, self._early = self._early + self._events(), []
        self.ended = any(isinstance(event, CloseConnection) for event in events)
        messages = [event for event in events if isinstance(event, Message)]
        assert all(message.message_finished for message in messages)
        return [message.data for message in messages]

    def sayBytes(self, data: bytes) -> None:
        """Send bytes."""
        self._send(BytesMessage(data))

    def close(self) -> None:
        """Close in good order."""
        self._send(CloseConnection(1000))
        assert self._transport.disconnecting
        self.lose(ConnectionDone())

    def lose(self, reason: Exception) -> None:
        """End the connection."""
        self._channel.connectionLost(Failure(reason))


def _newest(rooms: Rooms) -> str:
    ids: list[str] = []
    rooms.backplane.tail("/demo", 0).addCallback(ids.append)
    return ids[0]


class PortabilityTests(LoopbackCase):
    """One application, two servers."""

    def modern(self, application: Application, target: str = "/demo") -> ModernClient:
        """@return: a client of Twisted's own server of an application."""
        root = Resource()
        root.putChild(b"demo", WebSocketResource(application))  # type: ignore[arg-type]
        return ModernClient(Site(root, reactor=self.clock), target)

    def hixie(self, application: Application) -> HixieClient:
        """@return: a client of ours, of the same."""
        self.factory.application = application
        wire = self.connect(HANDSHAKES["hixie-76"][0])
        assert wire.value().startswith(HANDSHAKES["hixie-76"][1])
        wire._taken = len(HANDSHAKES["hixie-76"][1])
        return HixieClient(wire)

    def test_callbacks(self) -> None:
        """Both call the same methods in the same order."""
        recorder = Recorder()
        for connect in (self.modern, self.hixie):
            client: Any = connect(recorder)
            client.say("h\u00e9llo")
            client.say("")
            client.close()
        modern, hixie = recorder.made
        expected = [STARTED, FINISHED, "text: h\u00e9llo", "text: ", LOST]
        assert modern.calls == hixie.calls == expected
        for made in recorder.made:
            assert isinstance(made.ending, ConnectionDone)
            assert made.request.path == b"/demo"

    def test_lost(self) -> None:
        """Both report a broken connection as broken."""
        recorder = Recorder()
        self.modern(recorder).lose(ConnectionLost())
        self.hixie(recorder)._wire.lose(ConnectionLost())
        for made in recorder.made:
            assert made.calls == [STARTED, FINISHED, LOST]
            assert isinstance(made.ending, ConnectionLost)

    def test_transport(self) -> None:
        """Everything that Twisted's transport offers to applications, ours offers, too."""
        recorder = Recorder()
        self.modern(recorder)
        self.hixie(recorder)
        names = {name for name in dir(recorder.made[0].transport) if not name.startswith("_")}
        interface = {"sendTextMessage", "sendBytesMessage", "loseConnection", "ping"}
        interface |= {"attachProducer", "detachProducer"}
        assert interface <= names
        for name in interface:
            assert callable(getattr(recorder.made[1].transport, name))

    def test_echo(self) -> None:
        """Echo echoes, and ends at kill."""
        echo = Echo()
        for connect in (self.modern, self.hixie):
            client: Any = connect(echo)
            client.say("h\u00e9llo")
            client.say("")
            assert client.heard() == ["h\u00e9llo", ""]
            assert not client.ended
            client.say("kill")
            assert client.heard() == []
            assert client.ended

    def test_echoBytes(self) -> None:
        """If there are bytes messages, it echoes them as well."""
        client = self.modern(Echo())
        client.sayBytes(b"\0\xff")
        assert client.heard() == [b"\0\xff"]

    def test_broadcast(self) -> None:
        """One broadcast has members on both servers, who get the same messages."""
        broadcast = Broadcast()
        first = self.modern(broadcast)
        second = self.hixie(broadcast)
        third = self.modern(broadcast)
        second.say("hi")
        first.say("ho")
        third.close()
        sequences = [first.heard(), second.heard()]
        assert sequences[0][1:] == sequences[1]
        ids = [line.removeprefix("New Connection: ") for line in sequences[0][:3]]
        assert sequences[1] == [
            f"New Connection: {ids[1]}",
            f"New Connection: {ids[2]}",
            f"{ids[1]}: hi",
            f"{ids[0]}: ho",
            f"Connection Closed: {ids[2]}",
        ]
        assert ids[1] in self.factory.connections
        second.close()
        assert first.heard() == [f"Connection Closed: {ids[1]}"]

    def test_past(self) -> None:
        """Twisted's server has the past of a room, too."""
        rooms = Rooms(onMessage=lambda visitor, message: message.upper())
        first = self.modern(rooms)
        first.say("1")
        first.say("2")
        late = self.modern(rooms, "/demo?last=2&presence")
        first.say("3")
        came, *said = first.heard()
        heard = late.heard()
        assert [*heard[:3], heard[4]] == said
        assert heard[3].startswith("Present: ")
        assert said[0].endswith(": 1")
        name = came.removeprefix("New Connection: ")
        late = self.modern(rooms, f"/demo?since={_newest(rooms)}&format=json")
        first.say("x")
        events = [json.loads(text) for text in late.heard()]
        assert [(each["event"], each["text"]) for each in events] == [
            ("open", ""),
            ("message", "X"),
        ]
        assert events[1]["from"] == name

    def test_stream(self) -> None:
        """A protocol of bytes is served by both, and may pause its transport."""
        made: list[Any] = []

        class Lines(LineReceiver):
            delimiter = b"\n"

            def connectionMade(self) -> None:
                made.append(self)

            def lineReceived(self, line: bytes) -> None:
                assert self.transport is not None
                if line == b"quit":
                    self.transport.loseConnection()
                else:
                    self.sendLine(line.upper())

        application = StreamApplication(Factory.forProtocol(Lines))
        for connect in (self.modern, self.hixie):
            client: Any = connect(application)
            client.say("h\u00e9l")
            client.say("lo\nyou\n")
            assert client.heard() == ["H\u00e9LLO\n", "YOU\n"]
            transport = made[-1].transport
            transport.pauseProducing()
            transport.resumeProducing()
            assert transport.getPeer().host == "192.168.1.1"
            client.say("quit\n")
            self.clock.advance(0)
            assert client.heard() == []
            assert client.ended

    def test_broadcastToTheClosed(self) -> None:
        """A member whose server raises on a late send does not affect the others."""
        broadcast = Broadcast()
        first = self.modern(broadcast)
        second = self.hixie(broadcast)
        first._send(CloseConnection(1000))
        second.say("hi")
        assert [line.split(": ")[1] for line in second.heard()][-1] == "hi"
        self.flushLoggedErrors()
