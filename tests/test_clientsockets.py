"""The client on real sockets, in the reactor that is installed."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from OpenSSL.SSL import Error as SSLError
from twisted.internet.defer import CancelledError
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    UNIXClientEndpoint,
    serverFromString,
)
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import Certificate, optionsForClientTLS
from twisted.internet.task import deferLater

from tests.certificates import selfSigned
from tests.fuzz.answers import good
from tests.loopback import FINISHED, LOST, STARTED, Recorder, Recording, echo
from tests.test_sockets import MUCH, TCP, clock, inReactor, reach, serving
from txhixie import (
    HandshakeRefused,
    NoAnswer,
    NotWebSocket,
    OpeningError,
    OpeningTimedOut,
    Settings,
    WebSocketDone,
    WebSocketTransport,
    WrongAnswer,
    WrongChallenge,
    connect,
)
from txhixie.settings import DIALECT_NAMES

EXAMPLES = Path(__file__).parent.parent / "examples"
LARGE = Settings(maxMessage=MUCH, sendLimit=4 * MUCH)

dialects = pytest.mark.parametrize("dialect", DIALECT_NAMES)


async def opened(
    url: str, settings: Settings = LARGE, **options: Any
) -> tuple[WebSocketTransport, Recording]:
    """@return: an open WebSocket and its application."""
    recording = Recording(None, {})  # type: ignore[arg-type]
    return await connect(url, recording, settings=settings, **options), recording


async def close(webSocket: WebSocketTransport, recording: Recording) -> None:
    """Close from the client's side."""
    webSocket.loseConnection()
    await reach(lambda: recording.calls[-1] == LOST)
    assert type(recording.ending) is WebSocketDone


@dialects
@inReactor
async def test_echo(dialect: str) -> None:
    """More than a socket takes at once goes both ways, and no timer is left."""
    server = Recorder(textMessageReceived=echo)
    async with serving(server, maxMessage=MUCH, sendLimit=4 * MUCH) as running:
        port = running.port
        webSocket, recording = await opened(f"ws://127.0.0.1:{port}/", dialect=dialect)
        texts = ["x" * (MUCH - 1), "y", "z" * (MUCH - 1)]
        webSocket.sendTextMessages(texts)
        await reach(lambda: len(recording.calls) == 5)
        assert recording.calls[2:] == [f"text: {text}" for text in texts]
        await close(webSocket, recording)


@dialects
@inReactor
async def test_tls(dialect: str, tmp_path: Path) -> None:
    """The same by TLS, whose server name is checked."""
    key, certificate = selfSigned(tmp_path)
    address = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
    trusted = Certificate.loadPEM(certificate.read_bytes())
    server = Recorder(textMessageReceived=echo)
    async with serving(server, address, maxMessage=MUCH, sendLimit=4 * MUCH) as running:
        url = f"wss://localhost:{running.port}/"
        webSocket, recording = await opened(
            url, dialect=dialect, tls=optionsForClientTLS("localhost", trustRoot=trusted)
        )
        webSocket.sendTextMessage("x" * (MUCH - 1))
        await reach(lambda: len(recording.calls) == 3)
        await close(webSocket, recording)
        with pytest.raises(Exception, match="certificate verify failed"):
            await opened(url, dialect=dialect)
        with pytest.raises(Exception, match="VerificationError"):
            await opened(url, tls=optionsForClientTLS("other.example", trustRoot=trusted))
        await reach(lambda: len(running.factory.connections) == 0)


@inReactor
async def test_unix(tmp_path: Path) -> None:
    """An endpoint reaches the server in another way."""
    path = str(tmp_path / "socket")
    async with serving(Recorder(textMessageReceived=echo), f"unix:{path}") as running:
        webSocket, recording = await opened(
            "ws://chat.example/", dialect="hixie-76", endpoint=UNIXClientEndpoint(clock, path)
        )
        webSocket.sendTextMessage("hello")
        await reach(lambda: recording.calls == [STARTED, FINISHED, "text: hello"])
        await close(webSocket, recording)
    assert running.factory.connections == {}


class Mute(Protocol):
    """A server that never answers, or ends TCP as soon as it has been asked."""

    isEnding = False

    def dataReceived(self, data: bytes) -> None:
        if self.isEnding:
            assert self.transport is not None
            self.transport.loseConnection()


@pytest.mark.parametrize("scheme", ["ws", "wss"])
@inReactor
async def test_mute(scheme: str) -> None:
    """The Deferred always fires: in time, when it is cancelled, and when TCP ends."""
    factory = Factory.forProtocol(Mute)
    port: Any = await serverFromString(clock, TCP).listen(factory)
    url = f"{scheme}://127.0.0.1:{port.getHost().port}/"
    timers = set(clock.getDelayedCalls())
    try:
        with pytest.raises(OpeningTimedOut):
            await opened(url, Settings(handshakeTimeout=0.05))
        attempt = connect(url, Recording(None, {}))  # type: ignore[arg-type]
        await deferLater(clock, 0)
        attempt.cancel()
        with pytest.raises(CancelledError):
            await attempt
        Mute.isEnding = True
        with pytest.raises(NoAnswer):
            await opened(url)
        await reach(lambda: set(clock.getDelayedCalls()) <= timers)
    finally:
        Mute.isEnding = False
        await port.stopListening()


class Fake(Protocol):
    """
    A server that answers once, with what a test makes of the request: bytes, nothing, or the end of
    TCP instead of empty bytes.
    """

    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self._answer = answer
        self._received = b""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self._received += data
        if b"\r\n\r\n" not in self._received and data[:1] != TLS_HANDSHAKE:
            return
        answer = self._answer(self._received)
        if answer:
            self.transport.write(answer)
        elif answer is not None:
            self.transport.loseConnection()


TLS_HANDSHAKE = b"\x16"
REFUSAL = b"HTTP/1.1 403 Forbidden\r\nX-Why: rain\r\nContent-Length: 7\r\n\r\nnot now"


def _wrongChallenge(dialect: str, request: bytes) -> bytes:
    answer = good(dialect, request)
    return answer[:-16] + bytes(16) if dialect == "hixie-76" else answer.replace(b"=", b"!")


def _wrongAnswer(dialect: str, request: bytes) -> bytes:
    field = b"Sec-WebSocket-Protocol: x"
    if dialect.startswith("hixie"):
        return good(dialect, request).replace(b"Location: ws:", b"Location: wss:")
    return good(dialect, request).replace(b"\r\n\r\n", b"\r\n" + field + b"\r\n\r\n")


# What a fake server answers, and what the client makes of it.
FAKES: list[tuple[Callable[[str, bytes], bytes | None], type[OpeningError], str]] = [
    (lambda dialect, request: REFUSAL, HandshakeRefused, "the server answered 403 Forbidden"),
    (lambda dialect, request: b"220 mx ESMTP\r\n", NotWebSocket, "does not speak HTTP: '220 mx ES"),
    (lambda dialect, request: b"\x15\x03\x01\0\x02\x02\x46", NotWebSocket, "does not speak HTTP"),
    (
        lambda dialect, request: b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\n\r\n",
        *(NotWebSocket, "answer"),
    ),
    (_wrongChallenge, WrongChallenge, "answered the challenge with"),
    (_wrongAnswer, WrongAnswer, "of the answer is"),
    (lambda dialect, request: b"", NoAnswer, "ended the connection without an answer"),
    (lambda dialect, request: None, OpeningTimedOut, "the WebSocket was not open within 0.2 s"),
]


async def asked(
    answer: Callable[[bytes], bytes | None],
    dialect: str = "rfc6455",
    scheme: str = "ws",
    seconds: float = 10,
) -> WebSocketTransport:
    """
    @param seconds: for the handshake.
    @return: what a client gets of a fake server.
    """
    factory = Factory.forProtocol(lambda: Fake(answer))
    port: Any = await serverFromString(clock, TCP).listen(factory)
    timers = set(clock.getDelayedCalls())
    try:
        webSocket, recording = await opened(
            f"{scheme}://example.com/demo?x=1",
            Settings(handshakeTimeout=seconds),
            dialect=dialect,
            endpoint=TCP4ClientEndpoint(clock, "127.0.0.1", port.getHost().port),
        )
        webSocket.abort()
        await reach(lambda: recording.calls[-1] == LOST)
        return webSocket
    finally:
        await reach(lambda: set(clock.getDelayedCalls()) <= timers)
        await port.stopListening()


@pytest.mark.parametrize(
    ("dialect", "answer", "error", "text"),
    [
        (dialect, *fake)
        for dialect in DIALECT_NAMES
        for fake in FAKES
        # Hixie-75 has no challenge.
        if (dialect, fake[1]) != ("hixie-75", WrongChallenge)
    ],
)
@inReactor
async def test_fakeServer(
    dialect: str,
    answer: Callable[[str, bytes], bytes | None],
    error: type[OpeningError],
    text: str,
) -> None:
    """Each wrong answer has its own kind of error, with what the server sent."""
    seconds = 0.2 if error is OpeningTimedOut else 10
    with pytest.raises(OpeningError, match=re.escape(text)) as raised:
        await asked(lambda request: answer(dialect, request), dialect, seconds=seconds)
    assert type(raised.value) is error
    if isinstance(raised.value, HandshakeRefused):
        assert (raised.value.status, raised.value.body) == (403, b"not now")
        assert raised.value.headers[b"x-why"] == [b"rain"]


@dialects
@inReactor
async def test_rightServer(dialect: str) -> None:
    """The right answer gives no error."""
    assert (await asked(lambda request: good(dialect, request), dialect)).dialect == dialect


@dialects
@inReactor
async def test_noTLS(dialect: str) -> None:
    """A server without TLS gives an error of TLS, if TLS was asked for."""
    with pytest.raises(SSLError, match=r"wrong version number|unexpected message|packet length"):
        await asked(lambda request: REFUSAL, dialect, "wss")


@inReactor
async def test_nobody() -> None:
    """If nothing listens, it is a connection error."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(ConnectError, match="refused"):
        await opened(f"ws://127.0.0.1:{port}/")


@inReactor
async def test_reconnecting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The example connects again when it is refused or lost, until it is stopped."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    sys.modules.pop("reconnecting", None)
    import reconnecting  # type: ignore[import-not-found]

    assert len((EXAMPLES / "reconnecting.py").read_text().splitlines()) < 40
    delays: list[int] = []

    def delay(attempts: int) -> float:
        delays.append(attempts)
        return 0.001

    server = Recorder(negotiationFinished=lambda it: it.transport.sendTextMessage("news"))
    timers = set(clock.getDelayedCalls())
    async with serving(server) as running:
        port = running.port
        feeds = reconnecting.feedService(clock, f"ws://127.0.0.1:{port}/", delay)
        feeds.startService()
        for count in (1, 2):
            await reach(lambda: "connected\nnews\n" in capsys.readouterr().out)
            assert len(server.made) == count
            server.made[-1].transport.loseConnection(4000)
            await reach(lambda: server.made[-1].calls[-1] == LOST)
        server.decide = lambda made: None
        await reach(lambda: delays == [1, 1, 2, 3])
        assert "not connected: the server answered 404 Not Found" in capsys.readouterr().out
        server.decide = lambda made: made
        await reach(lambda: server.made[-1].calls[1:] == [FINISHED])
        await reach(lambda: "connected\nnews\n" in capsys.readouterr().out)
        assert delays[:4] == [1, 1, 2, 3]
        # A service that stops closes with the closing handshake.
        await feeds.stopService()
        await reach(lambda: server.made[-1].calls[-1] == LOST)
        assert type(server.made[-1].ending) is WebSocketDone
        attempts = len(server.made)
    assert len(server.made) == attempts
    await reach(lambda: set(clock.getDelayedCalls()) <= timers)


@inReactor
async def test_howTo(capsys: pytest.CaptureFixture[str]) -> None:
    """The client in the how-to runs as it is printed."""
    text = (EXAMPLES.parent / "docs" / "howto.md").read_text(encoding="utf-8")
    section = text.partition("## Be a client")[2].partition("\n## ")[0]
    names: dict[str, Any] = {"__name__": "howto"}
    exec(section.partition("```python\n")[2].partition("```")[0], names)
    server = Recorder(lambda made: made if made.request.uri == b"/echo" else None)
    async with serving(server) as running:
        url = f"ws://127.0.0.1:{running.port}"
        await names["main"](clock, f"{url}/echo")
        await reach(lambda: server.made[0].calls[1:] == [FINISHED, "text: hello", LOST])
        await names["main"](clock, f"{url}/other")
    assert capsys.readouterr().out.startswith("404 {")


class Source:
    """A push producer of C{count} messages."""

    def __init__(self, webSocket: WebSocketTransport, count: int) -> None:
        self._webSocket = webSocket
        self.left = count
        self._isPaused = False

    def resumeProducing(self) -> None:
        self._isPaused = False
        clock.callLater(0, self.produce)

    def produce(self) -> None:
        """Send until the server does not read."""
        while self.left and not self._isPaused:
            self.left -= 1
            self._webSocket.sendTextMessage("x" * 65536)

    def pauseProducing(self) -> None:
        self._isPaused = True

    def stopProducing(self) -> None:
        self.left = 0


@dialects
@inReactor
async def test_muchBothWays(dialect: str) -> None:
    """An echo of more than all buffers hold: the client reads from a server that waits for it."""
    count = 1000
    async with serving(Recorder(textMessageReceived=echo)) as running:
        url = f"ws://127.0.0.1:{running.port}/"
        webSocket, recording = await opened(url, Settings(), dialect=dialect)
        source = Source(webSocket, count)
        webSocket.attachProducer(source)
        source.produce()
        assert source.left
        for goal in range(count // 10, count + 1, count // 10):
            await reach(lambda goal=goal: len(recording.calls) >= 2 + goal)  # type: ignore[misc]
        await close(webSocket, recording)
