"""The server with the clients of other libraries: websockets, Twisted's own, and ws of Node."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest
import pytest_twisted  # type: ignore[import-untyped]
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.error import ConnectionDone
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from .flow import SIZES, flow, inLoop
from .server import PROJECT, Child, Server, missing

if TYPE_CHECKING:
    from twisted.python.failure import Failure
    from twisted.web.websocket import WebSocketTransport
    from websockets.asyncio.client import ClientConnection

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


@pytest.fixture(scope="module", params=["plain", "compressed", "tls"])
def manner(request: pytest.FixtureRequest) -> str:
    """
    The connection between server and clients.
    """
    return str(request.param)


@pytest.fixture(scope="module")
def compressed(manner: str) -> bool:
    """
    Whether server and client agree on permessage-deflate.
    """
    return manner == "compressed"


@pytest.fixture(scope="module")
def server(manner: str, compressed: bool) -> Iterator[Server]:
    options = ["--compression"] if compressed else []
    with Server(*options, secure=manner == "tls") as server:
        yield server


def bytesReceived(server: Server) -> int:
    """
    What the server counted of what its clients sent.
    """
    return int(server.statistics()["bytes"]["received"])


# websockets: its asyncio client. Its other client has two threads that share one TLS object, which
# sometimes fails in Python 3.11. It also does not read while it waits to send.


def library(server: Server, path: str = "/echo", **options: Any) -> connect:
    """
    A client of the websockets library. It offers compression unless that is switched off.
    """
    return connect(server.url(path), proxy=None, **{"ssl": server.context(), **options})


async def closeOf(client: ClientConnection) -> tuple[int, str]:
    """
    Read until the connection is closed, and return the server's code and reason.
    """
    with pytest.raises(ConnectionClosed) as raised:
        await client.recv()
    assert raised.value.rcvd is not None
    return raised.value.rcvd.code, raised.value.rcvd.reason


@inLoop
async def test_websockets(server: Server, compressed: bool) -> None:
    """Texts and bytes come back, whole or in fragments, up to 1 MiB; pings are answered."""
    before = bytesReceived(server)
    async with library(server) as client:
        assert bool(client.protocol.extensions) == compressed
        for message in MESSAGES:
            await client.send(message)
            assert await client.recv() == message
        await client.send(PIECES)
        assert await client.recv() == "".join(PIECES)
        await client.send([EVERY_BYTE] * 5)
        assert await client.recv() == EVERY_BYTE * 5
        for payload in (b"", b"x" * 125):
            assert await (await client.ping(payload)) >= 0
    sent = sum(len(text.encode()) for text in TEXTS) + sum(map(len, BLOBS))
    received = bytesReceived(server) - before
    assert received < sent / 10 if compressed else received > sent


@inLoop
async def test_websocketsTogether(server: Server) -> None:
    """Many messages at once come back in order, each with its type."""
    messages: list[str | bytes] = []
    for number in range(300):
        messages += [f"number {number}", b"%d" % number, ""]
    async with library(server) as client:
        for message in messages:
            await client.send(message)
        assert [await client.recv() for _ in messages] == messages


@pytest.mark.parametrize(("size", "count"), SIZES)
@inLoop
async def test_websocketsFlow(server: Server, size: int, count: int) -> None:
    """A client that sends and receives at the same time gets all of it, and in order."""
    async with library(server) as client:
        await flow(size, count, client.send, client.recv)


@inLoop
async def test_websocketsDecline(server: Server) -> None:
    """A client that offers no compression is served without."""
    async with library(server, compression=None) as client:
        assert client.protocol.extensions == []
        await client.send("hello")
        assert await client.recv() == "hello"


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
@inLoop
async def test_websocketsClosed(
    server: Server, path: str, message: str | bytes, text: bool, expected: object
) -> None:
    """The server sends the right code for the fault."""
    async with library(server, path) as client:
        if path == "/broadcast":
            assert str(await client.recv()).startswith("New Connection: ")
        # The close may come before all is sent.
        with suppress(ConnectionClosed):
            await client.send(message, text=text)
        code, reason = await closeOf(client)
        assert expected in (code, (code, reason))


@inLoop
async def test_websocketsClose(server: Server) -> None:
    """The server echoes the code of the client."""
    for code in (1000, 1001, 1011, 3000, 4999):
        async with library(server) as client:
            await client.close(code, "grüße")
            assert client.protocol.close_rcvd_then_sent is False
            assert (client.close_code, client.close_reason) == (code, "grüße")


@inLoop
async def test_websocketsHandshake() -> None:
    """A subprotocol that both speak is chosen; other origins are refused with 403."""
    with Server("--subprotocol", "chat", "--origin", "http://*.example.com") as server:
        names: list[Any] = ["superchat", "chat"]
        origin: Any = "http://www.example.com"
        async with library(server, subprotocols=names, origin=origin) as client:
            assert client.subprotocol == "chat"
        async with library(server, subprotocols=names[:1]) as client:
            assert client.subprotocol is None
        with pytest.raises(InvalidStatus) as raised:
            await library(server, origin="http://www.example.org")
        assert raised.value.response.status_code == 403


@pytest.mark.parametrize("offered", [(), ("http/1.1",), ("h2", "http/1.1")])
@inLoop
async def test_websocketsProtocol(offered: tuple[str, ...]) -> None:
    """Over TLS, HTTP/1.1 is agreed on, with clients that offer ALPN and with others."""
    with Server(secure=True) as server:
        async with library(server, ssl=server.context(*offered)) as client:
            tls = client.transport.get_extra_info("ssl_object")
            assert tls.selected_alpn_protocol() == ("http/1.1" if offered else None)
            await client.send("hello")
            assert await client.recv() == "hello"


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@inLoop
async def test_websocketsShutdown(secure: bool) -> None:
    """A server that is stopped says so, in the words that Chromium also shows."""
    with Server("--compression", secure=secure) as server:
        async with library(server) as client:
            server.process.send_signal(signal.SIGTERM)
            assert await closeOf(client) == DOWN
        server.process.wait(10)


# Twisted's own


class Recorder:
    """
    A client's protocol that records its calls.
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
    from twisted.internet.ssl import Certificate
    from twisted.web.client import BrowserLikePolicyForHTTPS
    from twisted.web.websocket import WebSocketClientEndpoint

    trusted = Certificate.loadPEM(server.certificate.read_bytes()) if server.tlsPort else None
    policy = BrowserLikePolicyForHTTPS(trusted)
    endpoint = WebSocketClientEndpoint.new(reactor, server.url("/echo"), policy)
    return await endpoint.connect(Recorder())


async def within(deferred: Deferred[T], seconds: float = 10) -> T:
    """
    The result of the Deferred, if it comes in time.
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
    """The server's close arrives, after everything that was sent before."""
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
const socket = new WebSocket(plan.url, {
    perMessageDeflate: plan.deflate,
    ca: plan.certificate,
    ALPNProtocols: ['http/1.1'],
});
let received = 0;
const proceed = () => {
    if (received !== plan.after) return;
    if (plan.close) socket.close(...plan.close);
};
socket.on('open', () => {
    report('extensions', socket.extensions);
    report('protocol', socket._socket.alpnProtocol);
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
    A process of Node that connects to a server's echo with the client of ws, and its events.
    """

    def __init__(
        self,
        server: Server,
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
            "url": server.url("/echo"),
            "certificate": server.certificate.read_text() if server.tlsPort else None,
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
        Its events of some kinds so far, in order.
        """
        return [data for kind, data in self._events if kind in kinds]

    def waitFor(self, kind: str, count: int = 1) -> list[Any]:
        """
        Wait for that many events of a kind, and return the data of all of them.
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
        missing("ws is missing, install it with: tests/interop/install-node-peers")


@pytest.mark.usefixtures("node")
def test_ws(server: Server, compressed: bool) -> None:
    """Texts and bytes come back, whole or in fragments with pings between, and so does the code."""
    with Node(
        server,
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
        assert client.events("protocol") == ["http/1.1" if server.tlsPort else None]
        assert client.events("error") == []


@pytest.mark.usefixtures("node")
def test_wsClosed(server: Server, compressed: bool) -> None:
    """The server's close comes after everything that was sent, with its code."""
    numbers = [f"number {number}" for number in range(500)]
    with Node(server, texts=[*numbers, "kill"], deflate=compressed) as client:
        assert client.waitFor("close") == [[1000, ""]]
        assert client.events("text") == numbers
        assert client.events("error") == []


@pytest.mark.usefixtures("node")
def test_wsKeepAlive() -> None:
    """Pings of the server are answered, so the connection stays until the server stops."""
    with (
        Server("--ping-interval", "0.1", "--ping-timeout", "0.2") as server,
        Node(server, texts=["hello"]) as client,
    ):
        client.waitFor("text")
        client.waitFor("ping", 3)
        server.process.send_signal(signal.SIGTERM)
        assert client.waitFor("close") == [list(DOWN)]
        assert client.events("error") == []
        server.process.wait(10)
