"""The client, with our server and with fake ones, without a network."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectError, ConnectionLost
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from tests.clients import URL, Attempt, Memory, Pair
from tests.loopback import (
    FINISHED,
    LOST,
    STARTED,
    Descriptor,
    Poller,
    Recorder,
    Recording,
    TCPWire,
    echo,
    ownLines,
)
from tests.support import MODERN, frame, heldBytes
from txhixie import (
    CloseCode,
    Echo,
    HandshakeRefused,
    HixieFactory,
    NoAnswer,
    NotWebSocket,
    OpeningError,
    OpeningTimedOut,
    Settings,
    State,
    UnsupportedMessage,
    WebSocketDone,
    WebSocketLost,
    WrongAnswer,
    WrongChallenge,
)
from txhixie.client.connect import Client
from txhixie.settings import DIALECT_NAMES
from txhixie.testing import CollectingProtocol, connectedPair

dialects = pytest.mark.parametrize("dialect", DIALECT_NAMES)


# With our own server


@dialects
def test_open(dialect: str) -> None:
    """The Deferred fires with the open WebSocket, after the application has been notified."""
    pair = Pair(dialect, origin="http://example.com")
    assert pair.recording.calls == [STARTED, FINISHED, "fired"]
    assert pair.outcome is pair.recording.transport
    assert (pair.outcome.dialect, pair.outcome.state) == (dialect, State.OPEN)
    assert (pair.outcome.request, pair.outcome.subprotocol) == (None, None)
    assert pair.served.transport.dialect == dialect
    assert pair.served.request.uri == b"/demo?x=1"
    assert pair.served.request.getHeader("host") == "example.com"


@dialects
def test_asked(dialect: str) -> None:
    """The server gets what the client asks for."""
    pair = Pair(
        dialect,
        Settings(subprotocols=("chat",), origins=("http://page.example",)),
        origin="http://page.example",
        subprotocols=["chat"],
        headers={"Cookie": "a=b"},
    )
    assert pair.outcome.subprotocol == pair.served.transport.subprotocol == "chat"
    assert pair.served.request.getCookie(b"a") == b"b"


@dialects
def test_messages(dialect: str) -> None:
    """Texts of any size go both ways."""
    pair = Pair(dialect)
    texts = ["", "h\u00e9llo", "x" * 100_000]
    for text in texts:
        pair.outcome.sendTextMessage(text)
    pair.exchange()
    assert pair.served.calls == [STARTED, FINISHED, *(f"text: {t}" for t in texts)]
    assert pair.recording.calls[3:] == [f"text: {t}" for t in texts]


@pytest.mark.parametrize("dialect", MODERN)
@pytest.mark.parametrize("isCompressed", [False, True])
def test_bytesAndPings(dialect: str, isCompressed: bool) -> None:
    """Bytes and pings go both ways, if the dialect has them, compressed or not."""
    settings = Settings(compression=isCompressed)
    pair = Pair(dialect, settings, settings=settings)
    pair.outcome.sendBytesMessage(b"\0\xff")
    pair.outcome.sendTextMessage("x" * 1000)
    pair.outcome.ping(b"?")
    received = pair.serving.protocol.webSocket
    pair.exchange()
    assert pair.served.calls[2:] == ["bytes: b'\\x00\\xff'", f"text: {'x' * 1000}"]
    assert sorted(pair.recording.calls[3:]) == ["pong: b'?'", f"text: {'x' * 1000}"]
    assert received is not None
    assert (received.bytesReceived < 100) == isCompressed


@pytest.mark.parametrize("dialect", ["hixie-75", "hixie-76"])
def test_noBytes(dialect: str) -> None:
    """The Hixie dialects carry no bytes in this direction either."""
    with pytest.raises(UnsupportedMessage):
        Pair(dialect).outcome.sendBytesMessage(b"")


def test_masked() -> None:
    """A client of RFC 6455 masks what it sends, each frame anew."""
    pair = Pair("rfc6455")
    for _ in range(2):
        pair.outcome.sendTextMessage("hello")
    sent = pair.wire.writes[-2:]
    assert [frame[:2] for frame in sent] == [b"\x81\x85"] * 2
    assert sent[0][2:6] != sent[1][2:6]


@dialects
@pytest.mark.parametrize("url", ["/", "wss://h/"])
def test_muchAtOnce(dialect: str, url: str) -> None:
    """A client may send as much as it likes to a server that answers: it reads meanwhile."""
    client = CollectingProtocol()
    settings = Settings(sendLimit=1 << 30)
    pair = connectedPair(Echo(), client, url=url, dialect=dialect, settings=settings)
    texts = [letter * 200_000 for letter in "abcdefgh"]
    for text in texts:
        pair.client.sendTextMessage(text)
    pair.advance()
    assert client.messages == texts


@dialects
def test_slowServer(dialect: str) -> None:
    """A client that answers a server that does not read closes when it has too much to send."""
    recording = Recording(None, {"textMessageReceived": echo})  # type: ignore[arg-type]
    server = Recorder()
    pair = connectedPair(server, recording, dialect=dialect)
    pair.server.pauseProducing()
    for _ in range(100):
        pair.server.sendTextMessage("x" * 50_000)
        pair.advance()
    pair.advance(60)
    assert recording.ending.code == CloseCode.POLICY
    assert pair.clock.getDelayedCalls() == []


@pytest.mark.parametrize("dialect", MODERN)
@pytest.mark.parametrize("isCompressed", [False, True])
def test_floodOfPings(dialect: str, isCompressed: bool) -> None:
    """
    A client stops reading from a server that sends pings and does not read, before much is held.
    """
    pair = Pair(dialect, settings=Settings(compression=isCompressed))
    pair.wire.fill()
    for _ in range(100):
        pair.wire.send(frame(0x89, b"x" * 125) * 100)
    assert pair.wire.producerState == "paused"
    assert heldBytes(pair.outcome._connection) < 100_000
    pair.wire.drain()
    pair.exchange()
    assert pair.wire.producerState == "producing"
    pair.outcome.sendTextMessage("still here")
    pair.exchange()
    assert pair.recording.calls[-1] == "text: still here"


@dialects
@pytest.mark.parametrize("by", ["client", "server"])
def test_close(dialect: str, by: str) -> None:
    """Either side closes, both see a clean end, and nothing is left."""
    pair = Pair(dialect)
    closing = pair.recording if by == "client" else pair.served
    closing.transport.loseConnection(4000, "bye")
    pair.exchange()
    assert pair.recording.calls[-1] == pair.served.calls[-1] == LOST
    assert type(pair.recording.ending) is type(pair.served.ending) is WebSocketDone
    if dialect in MODERN:
        assert (pair.recording.ending.code, pair.recording.ending.reason) == (4000, "bye")
    assert pair.outcome.state is State.CLOSED
    assert pair.clock.getDelayedCalls() == []


@pytest.mark.parametrize("dialect", MODERN)
@pytest.mark.parametrize("by", ["client", "server"])
def test_serverEndsTCP(dialect: str, by: str) -> None:
    """A server of RFC 6455 ends TCP first; the client waits for it, for a while."""
    pair = Pair(dialect)
    closing = pair.recording if by == "client" else pair.served
    closing.transport.loseConnection()
    # The server's end of TCP does not get through.
    for _ in range(2):
        pair.serving.send(pair.wire.take())
        pair.wire.send(pair.serving.take())
    assert pair.serving.ended
    assert not pair.wire.ended
    pair.clock.advance(1.9)
    assert not pair.wire.ended
    pair.clock.advance(0.2)
    assert pair.wire.halfClosed
    assert not pair.wire.disconnecting
    pair.clock.advance(2.1)
    assert pair.wire.disconnecting
    pair.clock.advance(0)
    assert type(pair.recording.ending) is WebSocketDone


@dialects
def test_lost(dialect: str) -> None:
    """A connection that is reset ends badly, once."""
    pair = Pair(dialect)
    pair.wire.lose(ConnectionLost())
    assert pair.recording.calls[-1] == LOST
    assert type(pair.recording.ending) is WebSocketLost
    pair.serving.lose()
    assert pair.clock.getDelayedCalls() == []


def test_pinged() -> None:
    """A client pings a silent server, and drops it if it does not answer."""
    pair = Pair("rfc6455", settings=Settings(pingInterval=5, pingTimeout=3))
    pair.clock.advance(5)
    pair.exchange()
    pair.clock.advance(3)
    assert pair.outcome.state is State.OPEN
    pair.clock.advance(5)
    pair.clock.advance(3)
    pair.clock.advance(0)
    assert pair.recording.ending.reason == "no answer to a ping"


@dialects
def test_refusedByServer(dialect: str) -> None:
    """Our server's refusal arrives with its status and its reason."""
    pair = Pair(dialect, Settings(origins=("http://other.example",)), origin="http://h")
    assert isinstance(pair.outcome, HandshakeRefused)
    assert pair.outcome.status == 403
    assert pair.outcome.body == b"this origin may not connect\n"
    assert pair.outcome.headers[b"content-type"] == [b"text/plain; charset=utf-8"]
    assert str(pair.outcome) == "the server answered 403 Forbidden"
    assert pair.recording.calls == ["fired"]


def test_applicationFails() -> None:
    """An error of the application closes the connection with 1011."""

    def fail(*_: object) -> None:
        raise RuntimeError("oops")

    with capturedLogs() as seen:
        pair = Pair("rfc6455", hooks={FINISHED: fail})
    assert pair.served.ending.code == 1011
    assert [e["log_failure"].value.args for e in seen if "log_failure" in e] == [("oops",)]


def test_logged() -> None:
    """Connections and messages are logged if the settings say so, as on the server."""
    with capturedLogs() as seen:
        pair = Pair("hixie-76", settings=Settings(logConnections=True, logMessages=True))
        pair.outcome.sendTextMessage("hi")
        pair.exchange()
        pair.outcome.loseConnection()
        pair.exchange()
    own = [event for event in seen if event.get("id") == pair.outcome.id]
    assert ownLines(own) == [
        f"info: {pair.outcome.id} opened: hixie-76 to 192.168.1.1:54321",
        f"info: {pair.outcome.id} sent 'hi'",
        f"info: {pair.outcome.id} received 'hi'",
        f"info: {pair.outcome.id} closed: 1005; 1 messages in, 1 out",
    ]


def test_several() -> None:
    """Connections of one client share timers, which end with the last of them."""
    clock = Clock()
    client = Client(Settings(), clock)
    wires, recordings = [], []
    for _ in range(3):
        memory = Memory(clock)
        recordings.append(Recording(None, {}))  # type: ignore[arg-type]
        client.connect(URL, recordings[-1], dialect="hixie-75", endpoint=memory)
        memory.wire.send(REPLY75)
        wires.append(memory.wire)
    assert len({recording.transport.id for recording in recordings}) == 3
    for wire in wires:
        wire.lose()
    assert clock.getDelayedCalls() == []


# With a server that the test plays

REPLY75 = (
    b"HTTP/1.1 101 Web Socket Protocol Handshake\r\n"
    b"Upgrade: WebSocket\r\n"
    b"Connection: Upgrade\r\n"
    b"WebSocket-Origin: http://example.com\r\n"
    b"WebSocket-Location: ws://example.com/demo?x=1\r\n"
    b"\r\n"
)


@dialects
@pytest.mark.parametrize("isCut", [False, True])
def test_early(dialect: str, isCut: bool) -> None:
    """
    Messages that come with the answer are delivered after the Deferred has fired, however the bytes
    are cut.
    """
    attempt = Attempt(dialect)
    server = Recorder(negotiationFinished=lambda it: it.transport.sendTextMessages(("a", "b")))
    protocol: Any = HixieFactory(server, reactor=attempt.clock).buildProtocol(None)
    serving = TCPWire(protocol, attempt.clock)
    serving.send(attempt.wire.take())
    answer = serving.take()
    if isCut:
        attempt.wire.dribble(answer)
    else:
        attempt.wire.send(answer)
    assert attempt.recording.calls == [STARTED, FINISHED, "fired", "text: a", "text: b"]


class Socket:
    """An endpoint whose socket takes as many bytes as the test says."""

    descriptor: Descriptor

    def __init__(self, reactor: Poller) -> None:
        self._reactor = reactor

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        protocol: Any = factory.buildProtocol(None)  # type: ignore[arg-type]
        self.descriptor = Descriptor(self._reactor, protocol)
        return succeed(protocol)


@pytest.mark.parametrize("room", [0, 10, 1000])
@pytest.mark.parametrize("says", [(), ("a", "b")])
def test_answeredEarly(room: int, says: tuple[str, ...]) -> None:
    """What is sent after an early answer does not overtake the rest of the request."""
    reactor = Poller()
    endpoint = Socket(reactor)
    attempt = Attempt("hixie-75", endpoint=endpoint, clock=reactor)
    socket = endpoint.descriptor
    socket.room = room
    reactor.turn()
    assert len(socket.taken) == min(room, len(REQUEST75))
    # There is room again, which the transport has not noticed yet.
    socket.room = 1000
    socket.protocol.dataReceived(REPLY75)
    attempt.outcome.sendTextMessages(says)
    attempt.outcome.loseConnection()
    for _ in range(3):
        reactor.turn()
    assert socket.take() == REQUEST75 + b"".join(b"\0%b\xff" % text.encode() for text in says)
    assert socket.halfClosed
    assert socket.producer is None


def test_lostWhileAsking() -> None:
    """A connection may be lost before the request is written."""
    reactor = Poller()
    endpoint = Socket(reactor)
    attempt = Attempt("hixie-75", endpoint=endpoint, clock=reactor)
    endpoint.descriptor.broken = True
    reactor.turn()
    assert isinstance(attempt.outcome, NoAnswer)
    assert reactor.getDelayedCalls() == []


REQUEST75 = (
    b"GET /demo?x=1 HTTP/1.1\r\n"
    b"Upgrade: WebSocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Host: example.com\r\n"
    b"Origin: http://example.com\r\n"
    b"\r\n"
)


WRONG: list[tuple[str, bytes, type[OpeningError]]] = [
    ("rfc6455", b"SSH-2.0-OpenSSH_9.2\r\n", NotWebSocket),
    ("rfc6455", b"\x15\x03\x01\0\x02\x02\x46", NotWebSocket),
    ("rfc6455", b"220 example.com ESMTP Postfix\r\n", NotWebSocket),
    ("rfc6455", b"HTTP/1.1 101 Switching Protocols\r\n\r\n", NotWebSocket),
    (
        "rfc6455",
        b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        WrongChallenge,
    ),
    ("rfc6455", b"HTTP/1.1 101 X\r\n" + b"a: b\r\n" * 101, NotWebSocket),
    ("rfc6455", b"HTTP/1.1 101 X\r\na: " + b"b" * 20_000, NotWebSocket),
    ("rfc6455", b"HTTP/1.1 101 X\r\n" + b"a: %b\r\n" % (b"b" * 9000) * 2, NotWebSocket),
    ("hixie-75", REPLY75.replace(b"Web Socket", b"WebSocket", 1), NotWebSocket),
    ("hixie-75", REPLY75.replace(b"ws://", b"wss://"), WrongAnswer),
    ("hixie-75", REPLY75.replace(b"Origin: http", b"Origin: https"), WrongAnswer),
    ("hixie-75", b"HTTP/1.1 100 Continue\r\n\r\n" + REPLY75, HandshakeRefused),
    (
        "hixie-76",
        b"HTTP/1.1 101 X\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Origin: http://example.com\r\n"
        b"Sec-WebSocket-Location: ws://example.com/demo?x=1\r\n\r\n" + b"x" * 16,
        WrongChallenge,
    ),
    ("hixie-76", REPLY75, WrongAnswer),
    *(
        (dialect, b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", HandshakeRefused)
        for dialect in DIALECT_NAMES
    ),
]


@pytest.mark.parametrize(("dialect", "answer", "error"), WRONG)
@pytest.mark.parametrize("isCut", [False, True])
def test_wrongAnswer(dialect: str, answer: bytes, error: type[OpeningError], isCut: bool) -> None:
    """Each wrong answer gives an error of its kind, as soon as it is detected, and ends TCP."""
    attempt = Attempt(dialect)
    for at in range(0, len(answer), 7 if isCut else len(answer)):
        if not attempt.wire.disconnecting:
            attempt.wire.send(answer[at : at + (7 if isCut else len(answer))])
    assert attempt.wire.disconnecting
    attempt.assertOver(error)


BIG = b"x" * 70_000


@pytest.mark.parametrize(
    ("answer", "isComplete", "body"),
    [
        (b"Content-Length: 5\r\n\r\nhello, and more", True, b"hello"),
        (b"Content-Length: 5\r\n\r\nhel", False, b"hel"),
        (b"\r\nuntil the end", False, b"until the end"),
        (b"Content-Length: 70000\r\n\r\n" + BIG, True, BIG[:65536]),
        (b"Content-Length: x\r\n\r\nhello", False, b"hello"),
        (b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x\r\nlo\r\n0\r\n\r\n", True, b"hello"),
        (b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nl", False, b"hell"),
        (b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\nx\r\n", True, b"hel"),
        (b"Transfer-Encoding: chunked\r\n\r\n11170\r\n" + BIG, True, BIG[:65536]),
    ],
)
@pytest.mark.parametrize("isCut", [False, True])
def test_refused(answer: bytes, isComplete: bool, body: bytes, isCut: bool) -> None:
    """A refusal comes with its status, headers and body, however that is sent."""
    attempt = Attempt()
    answer = b"HTTP/1.1 401 Who are you\r\nWWW-Authenticate: Basic\r\n" + answer
    for at in range(0, len(answer), 1000 if isCut else len(answer)):
        attempt.wire.send(answer[at : at + (1000 if isCut else len(answer))])
    assert (attempt.outcome is not None) == isComplete
    attempt.wire.lose()
    attempt.assertOver(HandshakeRefused)
    assert (attempt.outcome.status, attempt.outcome.body) == (401, body)
    assert attempt.outcome.headers[b"www-authenticate"] == [b"Basic"]
    assert str(attempt.outcome) == "the server answered 401 Who are you"


def test_noBody() -> None:
    """Some answers never have a body."""
    attempt = Attempt()
    attempt.wire.send(b"HTTP/1.1 304 Not Modified\r\n\r\n")
    attempt.assertOver(HandshakeRefused)


def test_interim() -> None:
    """Interim answers before the final one are skipped."""
    attempt = Attempt()
    attempt.wire.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
    assert attempt.outcome is None
    attempt.wire.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    attempt.assertOver(HandshakeRefused)
    assert str(attempt.outcome) == "the server answered 404 Not Found"


def test_interimOfSomethingElse() -> None:
    """What is not HTTP is no interim answer, and no part of one; nothing after it is accepted."""
    for answer, error in (
        (b"1 100\r\n\r\n", HandshakeRefused),
        (b"HTTP/1.1 100\r\n\r\n\r\n", NotWebSocket),
    ):
        attempt = Attempt()
        attempt.wire.send(answer)
        attempt.assertOver(error)


@dialects
@pytest.mark.parametrize(
    ("answer", "reason", "text"),
    [
        (b"", None, "the server ended the connection without an answer"),
        (b"HTTP/1.1 101 X\r\nU", None, "the server ended the connection after 17 bytes of an"),
        (b"", ConnectionLost(), "the server ended the connection without an answer: Connection"),
    ],
)
def test_noAnswer(dialect: str, answer: bytes, reason: Exception | None, text: str) -> None:
    """The Deferred fires if the server ends TCP instead of answering."""
    attempt = Attempt(dialect)
    if answer:
        attempt.wire.send(answer)
    attempt.wire.lose(reason)
    attempt.assertOver(NoAnswer)
    assert attempt.outcome.received == answer
    assert str(attempt.outcome).startswith(text)


def test_endsInTail() -> None:
    """It also fires if Hixie-76's 16 bytes do not come."""
    pair = Attempt("hixie-76")
    pair.wire.send(
        b"HTTP/1.1 101 X\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Origin: http://example.com\r\n"
        b"Sec-WebSocket-Location: ws://example.com/demo?x=1\r\n\r\n123456789012345"
    )
    assert pair.outcome is None
    pair.wire.lose()
    pair.assertOver(NoAnswer)


def test_errorOfTLS() -> None:
    """An error of the transport, such as those of TLS, is passed on."""

    class HandshakeFailed(Exception):
        pass

    attempt = Attempt()
    attempt.wire.lose(HandshakeFailed())
    attempt.assertOver(HandshakeFailed)


class Never:
    """An endpoint that does not connect."""

    def __init__(self) -> None:
        self.result: Deferred[Any] = Deferred()

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        self.factory = factory
        return self.result


def test_notConnected() -> None:
    """An error of connecting is passed on."""
    endpoint = Never()
    attempt = Attempt(endpoint=endpoint)
    endpoint.result.errback(ConnectError())
    assert isinstance(attempt.outcome, ConnectError)
    assert attempt.clock.getDelayedCalls() == []


class Broken:
    """An endpoint that raises."""

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        raise RuntimeError("broken")


def test_brokenEndpoint() -> None:
    """An exception of the endpoint is passed on, too."""
    attempt = Attempt(endpoint=Broken())
    assert str(attempt.outcome) == "broken"
    assert attempt.clock.getDelayedCalls() == []


def test_connectTimesOut() -> None:
    """The time for the handshake includes that for connecting."""
    endpoint = Never()
    attempt = Attempt(endpoint=endpoint, settings=Settings(handshakeTimeout=3))
    attempt.clock.advance(2.9)
    assert attempt.outcome is None
    attempt.clock.advance(0.1)
    assert isinstance(attempt.outcome, OpeningTimedOut)
    assert str(attempt.outcome) == "the WebSocket was not open within 3 s"
    assert endpoint.result.called


@dialects
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 101 X\r\n"])
def test_answerTimesOut(dialect: str, answer: bytes) -> None:
    """A server that does not complete its answer is given up."""
    attempt = Attempt(dialect)
    if answer and dialect != "hixie-75":
        attempt.wire.send(answer)
    attempt.clock.advance(10)
    attempt.assertOver(OpeningTimedOut)


def test_bodyTimesOut() -> None:
    """A refusal whose body does not end is still a refusal."""
    attempt = Attempt()
    attempt.wire.send(b"HTTP/1.1 404 X\r\n\r\nhel")
    attempt.clock.advance(10)
    attempt.assertOver(HandshakeRefused)
    assert attempt.outcome.body == b"hel"


@dialects
def test_cancel(dialect: str) -> None:
    """Cancelling the Deferred ends the attempt."""
    attempt = Attempt(dialect)
    attempt.deferred.cancel()
    attempt.assertOver(CancelledError)


def test_cancelConnecting() -> None:
    """It also works while connecting; a connection that is made nevertheless ends at once."""
    endpoint = Never()
    attempt = Attempt(endpoint=endpoint)
    protocol: Any = endpoint.factory.buildProtocol(None)  # type: ignore[arg-type]
    attempt.deferred.cancel()
    assert isinstance(attempt.outcome, CancelledError)
    assert endpoint.result.called
    # Twisted drops a connection if no protocol is built for it.
    assert endpoint.factory.buildProtocol(None) is None  # type: ignore[arg-type]
    wire = TCPWire(protocol, attempt.clock)
    assert wire.writes == []
    attempt.clock.advance(0)
    assert wire.lost
    assert attempt.clock.getDelayedCalls() == []


def test_cancelLate() -> None:
    """Once the WebSocket is open, cancelling changes nothing."""
    pair = Pair("rfc6455")
    pair.deferred.cancel()
    assert pair.outcome.state is State.OPEN


def test_withoutTLS(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the packages for TLS, C{wss} says what to install."""
    monkeypatch.setitem(sys.modules, "twisted.internet.ssl", None)
    attempt = Attempt(url="wss://example.com/")
    assert type(attempt.outcome) is OpeningError
    assert str(attempt.outcome).startswith("wss needs TLS: pip install 'txhixie[tls]'")
    assert attempt.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        ({"url": "http://h/"}, ValueError),
        ({"dialect": "hixie-77"}, ValueError),
        ({"subprotocols": "chat"}, TypeError),
        ({"headers": [("Host", "h")]}, ValueError),
    ],
)
def test_senseless(wish: dict[str, Any], error: type[Exception]) -> None:
    """Invalid arguments raise at once."""
    with pytest.raises(error):
        Attempt(**wish)
