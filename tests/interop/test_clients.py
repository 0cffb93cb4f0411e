"""The server with the clients of other libraries: websockets, Twisted's own, and ws of Node."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest
import pytest_twisted  # type: ignore[import-untyped]
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.error import ConnectionDone
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from .server import PROJECT, Child, Server

if TYPE_CHECKING:
    from twisted.python.failure import Failure
    from twisted.web.websocket import WebSocketTransport
    from websockets.sync.client import ClientConnection

NODE = PROJECT / ".peers" / "node" / "node_modules"
MIB = 1 << 20
PIECES = ["grüße ", "", "🚀", " €"]
EVERY_BYTE = bytes(range(256))
TEXTS = ["hello", "grüße 🚀 €", "", "x" * MIB, "é€🚀x" * 104857 + "🚀xx", "bye"]
BLOBS = [b"", EVERY_BYTE, EVERY_BYTE * (MIB // 256)]
MESSAGES: list[str | bytes] = [*TEXTS, *BLOBS, "last"]
DOWN = (1001, "the server is going down")

T = TypeVar("T")
inReactor = cast("Callable[[Callable[..., Awaitable[None]]], Any]", pytest_twisted.ensureDeferred)


@pytest.fixture(scope="module", params=["plain", "compressed"])
def compressed(request: pytest.FixtureRequest) -> bool:
    """
    Whether server and client agree on permessage-deflate.
    """
    return bool(request.param == "compressed")


@pytest.fixture(scope="module")
def server(compressed: bool) -> Iterator[Server]:
    with Server(*(["--compression"] if compressed else [])) as server:
        yield server


def bytesReceived(server: Server) -> int:
    """
    What the server counted of what its clients sent.
    """
    return int(server.statistics()["bytes"]["received"])


# websockets


def library(server: Server, path: str = "/echo", **options: Any) -> ClientConnection:
    """
    A client of the websockets library. It offers compression unless it is told not to.
    """
    made: ClientConnection = connect(server.url(path), proxy=None, max_queue=None, **options)
    return made


def closeOf(client: ClientConnection) -> tuple[int, str]:
    """
    Read until the connection is closed, and return what the server gave for it.
    """
    with pytest.raises(ConnectionClosed) as raised:
        client.recv(10)
    assert raised.value.rcvd is not None
    return raised.value.rcvd.code, raised.value.rcvd.reason


def test_websockets(server: Server, compressed: bool) -> None:
    """Texts and bytes come back, whole or in fragments, up to 1 MiB; pings are answered."""
    before = bytesReceived(server)
    with library(server) as client:
        assert bool(client.protocol.extensions) == compressed
        for message in MESSAGES:
            client.send(message)
            assert client.recv(10) == message
        client.send(PIECES)
        assert client.recv(10) == "".join(PIECES)
        client.send([EVERY_BYTE] * 5)
        assert client.recv(10) == EVERY_BYTE * 5
        for payload in (b"", b"x" * 125):
            assert client.ping(payload).wait(10)
    sent = sum(len(text.encode()) for text in TEXTS) + sum(map(len, BLOBS))
    received = bytesReceived(server) - before
    assert received < sent / 10 if compressed else received > sent


def test_websocketsTogether(server: Server) -> None:
    """Many messages at once come back in their order, each as what it was."""
    messages: list[str | bytes] = []
    for number in range(300):
        messages += [f"number {number}", b"%d" % number, ""]
    with library(server) as client:
        for message in messages:
            client.send(message)
        assert [client.recv(10) for _ in messages] == messages


def test_websocketsDecline(server: Server) -> None:
    """A client that offers no compression is served without."""
    with library(server, compression=None) as client:
        assert client.protocol.extensions == []
        client.send("hello")
        assert client.recv(10) == "hello"


@pytest.mark.parametrize(
    ("path", "message", "text", "expected"),
    [
        ("/echo", "kill", True, (1000, "")),
        ("/echo", "x" * (MIB + 1), True, 1009),
        ("/echo", b"x" * (MIB + 1), False, 1009),
        ("/echo", b"\xff", True, 1007),
        ("/broadcast", b"x", False, 1003),
    ],
    ids=["kill", "large-text", "large-bytes", "no-utf-8", "bytes-in-broadcast"],
)
def test_websocketsClosed(
    server: Server, path: str, message: str | bytes, text: bool, expected: object
) -> None:
    """The server gives the code that is right for what was sent."""
    with library(server, path) as client:
        if path == "/broadcast":
            assert str(client.recv(10)).startswith("New Connection: ")
        client.send(message, text=text)
        code, reason = closeOf(client)
        assert expected in (code, (code, reason))


def test_websocketsClose(server: Server) -> None:
    """The server gives back the code that it was given."""
    for code in (1000, 1001, 1011, 3000, 4999):
        with library(server) as client:
            client.close(code, "grüße")
            assert client.protocol.close_rcvd_then_sent is False
            assert (client.close_code, client.close_reason) == (code, "grüße")


def test_websocketsHandshake() -> None:
    """A subprotocol that both speak is chosen; other origins are refused with 403."""
    with Server("--subprotocol", "chat", "--origin", "http://*.example.com") as server:
        names: list[Any] = ["superchat", "chat"]
        origin: Any = "http://www.example.com"
        with library(server, subprotocols=names, origin=origin) as client:
            assert client.subprotocol == "chat"
        with library(server, subprotocols=names[:1]) as client:
            assert client.subprotocol is None
        with pytest.raises(InvalidStatus) as raised:
            library(server, origin="http://www.example.org").__enter__()
        assert raised.value.response.status_code == 403


def test_websocketsShutdown() -> None:
    """A server that is stopped says so, in the words that Chromium shows as well."""
    with Server("--compression") as server, library(server) as client:
        server.process.send_signal(signal.SIGTERM)
        assert closeOf(client) == DOWN
        server.process.wait(10)


# Twisted's own


class Recorder:
    """
    A client's protocol that keeps what it is told.
    """

    transport: WebSocketTransport

    def __init__(self) -> None:
        self.received: DeferredQueue[object] = DeferredQueue()
        self.ended: Deferred[Failure] = Deferred()

    def buildProtocol(self, url: str) -> Recorder:
        return self

    def negotiationStarted(self, transport: WebSocketTransport) -> None:
        self.transport = transport

    def negotiationFinished(self) -> None:
        pass

    def textMessageReceived(self, message: str) -> None:
        self.received.put(message)

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        self.received.put(bytes(data))

    def pongReceived(self, payload: bytes) -> None:
        self.received.put(("pong", bytes(payload)))

    def connectionLost(self, reason: Failure) -> None:
        self.ended.callback(reason)


async def twistedClient(server: Server) -> Recorder:
    """
    A client of twisted.web.websocket, connected.
    """
    from twisted.internet import reactor
    from twisted.web.websocket import WebSocketClientEndpoint

    endpoint = WebSocketClientEndpoint.new(reactor, server.url("/echo"))
    return await endpoint.connect(Recorder())


async def within(deferred: Deferred[T], seconds: float = 10) -> T:
    """
    What the Deferred results in, if that is in time.
    """
    from twisted.internet import reactor

    return await deferred.addTimeout(seconds, reactor)


@inReactor
async def test_twisted(server: Server) -> None:
    """Texts and bytes of up to 1 MiB come back, and pings are answered."""
    client = await twistedClient(server)
    for text in TEXTS:
        client.transport.sendTextMessage(text)
        assert await within(client.received.get()) == text
    for data in BLOBS:
        client.transport.sendBytesMessage(data)
        assert await within(client.received.get()) == data
    client.transport.ping(b"hello")
    assert await within(client.received.get()) == ("pong", b"hello")
    client.transport.loseConnection(4000)
    with pytest.raises(ConnectionDone):
        await within(client.ended)


@inReactor
async def test_twistedClosed(server: Server) -> None:
    """The end that the server makes gets there, after all that was sent before."""
    client = await twistedClient(server)
    numbers = [f"number {number}" for number in range(100)]
    for text in (*numbers, "kill"):
        client.transport.sendTextMessage(text)
    with pytest.raises(ConnectionDone):
        await within(client.ended)
    assert [await within(client.received.get()) for _ in numbers] == numbers


# ws

SCRIPT = """
const WebSocket = require('ws');
const plan = JSON.parse(require('fs').readFileSync(0, 'utf-8'));
const report = (kind, data) => console.log(JSON.stringify([kind, data]));
const socket = new WebSocket(plan.url, {perMessageDeflate: plan.deflate});
let received = 0;
const proceed = () => {
    if (received !== plan.after) return;
    if (plan.close) socket.close(...plan.close);
};
socket.on('open', () => {
    report('extensions', socket.extensions);
    for (const text of plan.texts) socket.send(text);
    for (const data of plan.blobs) socket.send(Buffer.from(data, 'base64'));
    for (const [index, piece] of plan.pieces.entries()) {
        socket.send(piece, {fin: index === plan.pieces.length - 1});
        socket.ping('between ' + index);
    }
    proceed();
});
socket.on('message', (data, isBinary) => {
    report(isBinary ? 'bytes' : 'text', data.toString(isBinary ? 'base64' : 'utf-8'));
    received += 1;
    proceed();
});
socket.on('ping', (data) => report('ping', data.toString()));
socket.on('pong', (data) => report('pong', data.toString()));
socket.on('error', (error) => report('error', error.message));
socket.on('close', (code, reason) => report('close', [code, reason.toString()]));
"""


class Node(Child):
    """
    A process of Node that connects to a URL with the client of ws, and its events.
    """

    def __init__(
        self,
        url: str,
        *,
        texts: Sequence[str] = (),
        blobs: Sequence[bytes] = (),
        pieces: Sequence[str] = (),
        after: int = 0,
        close: tuple[int, str] | None = None,
        deflate: bool = True,
    ) -> None:
        """
        @param pieces: the fragments of a text, with pings between them.
        @param after: how many messages to wait for before closing.
        @param close: the close code and the reason, or L{None} to let the server close.
        """
        plan = {
            "url": url,
            "texts": list(texts),
            "blobs": [base64.b64encode(data).decode() for data in blobs],
            "pieces": list(pieces),
            "after": after,
            "close": close,
            "deflate": deflate,
        }
        self._events: list[tuple[str, Any]] = []
        super().__init__(
            ["node", "-e", SCRIPT],
            stdin=json.dumps(plan),
            env={**os.environ, "NODE_PATH": str(NODE)},
        )

    def collected(self, line: str) -> None:
        super().collected(line)
        if line.startswith("["):
            self._events.append(tuple(json.loads(line)))

    def events(self, *kinds: str) -> list[Any]:
        """
        What it told so far of some kinds of events, in order.
        """
        return [data for kind, data in self._events if kind in kinds]

    def waitFor(self, kind: str, count: int = 1) -> list[Any]:
        """
        Wait for that many events of a kind, and return the data of all.
        """

        def find() -> list[Any] | None:
            found = self.events(kind)
            return found if len(found) >= count else None

        return self.wait(find, f"{count} times {kind!r}", 15)


@pytest.fixture
def node() -> None:
    """
    Skips the test where ws is not installed, or fails it if the environment variable CI is set.
    """
    if shutil.which("node") is None or not (NODE / "ws").is_dir():
        message = "ws is missing, install it with: tests/interop/install-node-peers"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


@pytest.mark.usefixtures("node")
def test_ws(server: Server, compressed: bool) -> None:
    """Texts and bytes come back, whole or in fragments with pings between; so does the code."""
    with Node(
        server.url("/echo"),
        texts=TEXTS,
        blobs=BLOBS,
        pieces=PIECES,
        after=len(TEXTS) + len(BLOBS) + 1,
        close=(4001, "grüße"),
    ) as client:
        assert client.waitFor("close") == [[4001, "grüße"]]
        assert client.events("text") == [*TEXTS, "".join(PIECES)]
        assert [base64.b64decode(data) for data in client.events("bytes")] == BLOBS
        assert client.events("pong") == [f"between {number}" for number in range(len(PIECES))]
        (extensions,) = client.events("extensions")
        assert ("permessage-deflate" in extensions) == compressed
        assert client.events("error") == []


@pytest.mark.usefixtures("node")
def test_wsClosed(server: Server, compressed: bool) -> None:
    """The server's close comes after all that was sent, with its code."""
    numbers = [f"number {number}" for number in range(500)]
    with Node(server.url("/echo"), texts=[*numbers, "kill"], deflate=compressed) as client:
        assert client.waitFor("close") == [[1000, ""]]
        assert client.events("text") == numbers
        assert client.events("error") == []


@pytest.mark.usefixtures("node")
def test_wsKeepAlive() -> None:
    """Pings of the server are answered, so the connection stays, until the server goes down."""
    with (
        Server("--ping-interval", "0.1", "--ping-timeout", "0.2") as server,
        Node(server.url("/echo"), texts=["hello"]) as client,
    ):
        client.waitFor("text")
        client.waitFor("ping", 3)
        server.process.send_signal(signal.SIGTERM)
        assert client.waitFor("close") == [list(DOWN)]
        assert client.events("error") == []
        server.process.wait(10)
