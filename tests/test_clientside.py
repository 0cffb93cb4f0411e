"""The same WebSocket serves clients: one of Hixie-76 and one of RFC 6455, each in a few lines."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tests.loopback import FINISHED, LOST, STARTED, Recorder, Recording, TCPWire, echo
from txhixie import HixieFactory, Settings, State, WebSocketDone
from txhixie.dialects.connection import Connection
from txhixie.dialects.hixie import Hixie76
from txhixie.dialects.hixie_opening import challengeResponse, keyNumber
from txhixie.dialects.rfc6455 import Rfc6455
from txhixie.dialects.rfc6455_opening import acceptKey
from txhixie.server.protocol import HixieProtocol
from txhixie.websocket.liveness import Liveness
from txhixie.websocket.reading import Reading
from txhixie.websocket.shared import Shared
from txhixie.websocket.websocket import WebSocket

END = b"\r\n\r\n"


class Client(Protocol):
    """
    What both clients have in common: the request, the answer's head, and a WebSocket after it.
    """

    request: bytes
    # Bytes of the answer after its head.
    tailSize = 0

    def __init__(self, clock: Clock, application: Recording) -> None:
        self._shared = Shared(Settings(), clock)
        self._application = application
        self._received = b""
        self.webSocket: WebSocket | None = None
        self.isGone = False

    def connection(self, settings: Settings) -> Connection:
        """@return: the client's side of the dialect."""
        raise NotImplementedError

    def check(self, head: bytes, tail: bytes) -> None:
        """Check the server's answer."""
        raise NotImplementedError

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self.request)

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(END)
        if not end or len(rest) < self.tailSize:
            return
        self.check(head, rest[: self.tailSize])
        webSocket = self.webSocket = WebSocket(
            self._shared,
            Liveness(self._shared),
            self.transport,
            Reading(self.transport),
            self.connection(self._shared.settings),
            self._application,
            self,
            name="client",
        )
        self.dataReceived = webSocket.dataReceived  # type: ignore[method-assign]
        webSocket.accepted(b"")
        webSocket.opened(b"")
        webSocket.dataReceived(rest[self.tailSize :])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.webSocket is not None:
            self.webSocket.connectionLost(reason)

    def peerName(self) -> str:
        """@return: the address of the server."""
        return "the server"

    def webSocketGone(self) -> None:
        """The connection is over."""
        self.isGone = True


class Hixie76Client(Client):
    """A client of Hixie-76."""

    tailSize = 16
    key1, key2, nonce = b"4 @1  46546xW%0l 1 5", b"12998 5 Y3 1  .P00", b"^n:ds[4U"
    request = (
        b"GET /demo HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: example.com\r\n"
        b"Origin: http://example.com\r\nSec-WebSocket-Key1: %b\r\nSec-WebSocket-Key2: %b\r\n\r\n%b"
    ) % (key1, key2, nonce)

    def connection(self, settings: Settings) -> Connection:
        return Hixie76(settings)

    def check(self, head: bytes, tail: bytes) -> None:
        assert b"Sec-WebSocket-Location: ws://example.com/demo" in head.split(b"\r\n")
        assert tail == challengeResponse(keyNumber(self.key1), keyNumber(self.key2), self.nonce)


class Rfc6455Client(Client):
    """A client of RFC 6455."""

    key = b64encode(b"0123456789abcdef")
    request = (
        b"GET /demo HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n" % key
    )

    def connection(self, settings: Settings) -> Connection:
        return Rfc6455(settings, isClient=True)

    def check(self, head: bytes, tail: bytes) -> None:
        assert b"Sec-WebSocket-Accept: " + acceptKey(self.key) in head.split(b"\r\n")


class Link(StringTransport):
    """The client's end of a connection in memory; the server's is a wire of the tests."""

    def __init__(self, wire: TCPWire) -> None:
        super().__init__()
        self._wire = wire

    def write(self, data: bytes) -> None:
        self._wire.send(data)

    def getPeer(self) -> IAddress:
        address: IAddress = self._wire.getHost()
        return address


class Pair:
    """A client and a server that echoes."""

    def __init__(self, kind: type[Client]) -> None:
        self.clock = Clock()
        self.server = Recorder(textMessageReceived=echo)
        factory = HixieFactory(self.server, reactor=self.clock)
        protocol = factory.buildProtocol(None)
        assert isinstance(protocol, HixieProtocol)
        self.wire: Any = TCPWire(protocol, self.clock)
        self.recording: Any = Recorder().buildProtocol(None)
        self.client: Any = kind(self.clock, self.recording)
        self.client.makeConnection(Link(self.wire))
        self.exchange()

    def exchange(self) -> None:
        """Let the client read until nothing more comes."""
        while data := self.wire.take():
            self.client.dataReceived(data)
        if self.wire.ended and not self.wire.lost:
            self.client.connectionLost(connectionDone)
            self.wire.lose()


clients = pytest.mark.parametrize("kind", [Hixie76Client, Rfc6455Client])


@clients
def test_messages(kind: type[Client]) -> None:
    """Messages go both ways, any number of them, of any size."""
    pair = Pair(kind)
    texts = ["", "h\u00e9llo", "x" * 100_000]
    for text in texts:
        pair.recording.transport.sendTextMessage(text)
    pair.exchange()
    assert pair.server.made[0].calls == [STARTED, FINISHED, *(f"text: {t}" for t in texts)]
    assert pair.recording.calls == [STARTED, FINISHED, *(f"text: {t}" for t in texts)]


def test_masked() -> None:
    """A client of RFC 6455 masks what it sends, each frame anew."""
    pair = Pair(Rfc6455Client)
    sent: list[bytes] = []
    pair.wire.send = sent.append
    for _ in range(2):
        pair.recording.transport.sendTextMessage("hello")
    assert [frame[:2] for frame in sent] == [b"\x81\x85"] * 2
    assert sent[0][2:6] != sent[1][2:6]


@clients
@pytest.mark.parametrize("by", ["client", "server"])
def test_close(kind: type[Client], by: str) -> None:
    """Either side closes, and both see a clean end."""
    pair = Pair(kind)
    closing = pair.recording if by == "client" else pair.server.made[0]
    closing.transport.loseConnection(4000, "bye")
    pair.exchange()
    pair.exchange()
    assert pair.recording.calls[-1] == pair.server.made[0].calls[-1] == LOST
    assert type(pair.recording.ending) is type(pair.server.made[0].ending) is WebSocketDone
    assert pair.recording.transport.state is State.CLOSED
    assert pair.client.isGone
