"""The client with other servers: websocket-driver, ws, websockets and em-websocket."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_twisted  # type: ignore[import-untyped]
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.python.failure import Failure

from txhixie import HandshakeRefused, Settings, WebSocketDone, WebSocketLost, connect

from .server import PROJECT, Child, missing

NODE = PROJECT / ".peers" / "node" / "node_modules"
SERVERS = Path(__file__).parent / "servers"
MIB = 1 << 20
TEXTS = [
    "hello",
    "gr\u00fc\u00dfe \U0001f680 \u20ac",
    "",
    "a\0b",
    "x" * MIB,
    "\u20ac\U0001f680" * 50_000,
    "bye",
]
BLOBS = [b"", bytes(range(256)), bytes(range(256)) * (MIB // 256)]
# The longest time in seconds that anything may take.
LONG = 20

inReactor = cast("Callable[[Callable[..., Awaitable[None]]], Any]", pytest_twisted.ensureDeferred)


@dataclass(frozen=True)
class Peer:
    """
    A foreign server.

    @ivar command: starts it.
    @ivar dialects: the dialects that it speaks.
    @ivar options: the ways in which it can be started.
    @ivar subprotocols: the dialects in which it supports subprotocols.
    """

    command: tuple[str, ...]
    dialects: tuple[str, ...]
    options: tuple[str, ...] = ("plain",)
    subprotocols: tuple[str, ...] = ("hybi-08", "rfc6455")


PEERS = {
    "websocket-driver": Peer(
        ("node", str(SERVERS / "driver.js")), ("hixie-75", "hixie-76", "rfc6455")
    ),
    "ws": Peer(("node", str(SERVERS / "ws.js")), ("hybi-08", "rfc6455"), ("plain", "compressed")),
    "websockets": Peer(
        (sys.executable, str(SERVERS / "library.py")), ("rfc6455",), ("plain", "compressed")
    ),
    "em-websocket": Peer(
        ("ruby", str(SERVERS / "em.rb")),
        ("hixie-75", "hixie-76", "hybi-07", "hybi-08", "rfc6455"),
        subprotocols=(),
    ),
}
SERVED = [(name, option) for name, peer in PEERS.items() for option in peer.options]
CASES = [
    pytest.param((name, option), dialect, id=f"{name}-{option}-{dialect}")
    for name, option in SERVED
    for dialect in PEERS[name].dialects
]
SUBPROTOCOL_CASES = [
    pytest.param((name, "plain"), dialect, id=f"{name}-{dialect}")
    for name, peer in PEERS.items()
    for dialect in peer.subprotocols
    if dialect in peer.dialects
]


def checkInstalled(name: str) -> None:
    """Skip or fail a test whose server is not installed."""
    command = PEERS[name].command
    if name in ("ws", "websocket-driver") and not (NODE / name).is_dir():
        missing(f"{name} is missing, install it with: tests/interop/install-node-peers")
    if shutil.which(command[0]) is None:
        missing(f"{command[0]} is missing")
    if name == "em-websocket":
        found = subprocess.run(
            ["ruby", "-e", "require 'em-websocket'"], capture_output=True, timeout=LONG
        )
        if found.returncode:
            missing("em-websocket is missing, install it with: apt-get install ruby-em-websocket")


class Peers(Child):
    """
    A foreign server as a child process.

    @ivar port: where it listens.
    """

    def __init__(self, name: str, option: str) -> None:
        env = {**os.environ, "NODE_PATH": str(NODE)}
        super().__init__([*PEERS[name].command, option], env=env)
        try:
            self.port = self.wait(self._port, "the port", LONG)
        except BaseException:
            self.end()
            raise

    def _port(self) -> int | None:
        return next((int(line) for line in self.lines if line.strip().isdigit()), None)


@pytest.fixture(scope="module")
def running() -> Iterator[Callable[[tuple[str, str]], Peers]]:
    """Starts servers when they are first asked for."""
    started: dict[tuple[str, str], Peers] = {}

    def start(which: tuple[str, str]) -> Peers:
        checkInstalled(which[0])
        if which not in started:
            started[which] = Peers(*which)
        return started[which]

    yield start
    for server in started.values():
        server.end()


class Listener:
    """An application that puts its calls into a queue."""

    def __init__(self) -> None:
        self.received: DeferredQueue[Any] = DeferredQueue()

    def negotiationStarted(self, transport: Any) -> None:
        self.transport = transport

    def negotiationFinished(self) -> None:
        pass

    def textMessageReceived(self, message: str) -> None:
        self.received.put(message)

    def bytesMessageReceived(self, data: bytes) -> None:
        self.received.put(data)

    def pongReceived(self, payload: bytes) -> None:
        self.received.put(("pong", payload))

    def connectionLost(self, reason: Failure) -> None:
        self.received.put(reason.value)

    def next(self) -> Deferred[Any]:
        """@return: its next call."""
        return self.received.get().addTimeout(LONG, cast(Any, reactor))


async def opened(server: Peers, dialect: str, isCompressed: bool = False, **wish: Any) -> Listener:
    """@return: an open connection."""
    listener = Listener()
    await connect(
        f"ws://127.0.0.1:{server.port}/path?query",
        listener,
        dialect=dialect,
        settings=Settings(compression=isCompressed, maxMessage=4 * MIB, sendLimit=64 * MIB),
        **wish,
    )
    return listener


Start = Callable[[tuple[str, str]], Peers]


@pytest.mark.parametrize(("which", "dialect"), CASES)
@inReactor
async def test_messages(running: Start, which: tuple[str, str], dialect: str) -> None:
    """Texts and, if the dialect has them, bytes come back, up to 1 MiB; pings are answered."""
    client = await opened(running(which), dialect, which[1] == "compressed")
    assert client.transport.dialect == dialect
    messages: Sequence[str | bytes] = TEXTS
    if not dialect.startswith("hixie"):
        messages = [*TEXTS, *BLOBS]
    for message in messages:
        send = client.transport.sendBytesMessage
        if isinstance(message, str):
            send = client.transport.sendTextMessage
        send(message)
        assert await client.next() == message
    if client.transport.hasPing:
        client.transport.ping(b"?")
        assert await client.next() == ("pong", b"?")
    client.transport.loseConnection()
    await client.next()


@pytest.mark.parametrize(("which", "dialect"), CASES)
@inReactor
async def test_together(running: Start, which: tuple[str, str], dialect: str) -> None:
    """Many messages at once come back in order."""
    client = await opened(running(which), dialect, which[1] == "compressed")
    texts = [f"number {number} " + "x" * (number % 700) for number in range(3000)]
    client.transport.sendTextMessages(texts)
    for text in texts:
        assert await client.next() == text
    client.transport.abort()
    assert isinstance(await client.next(), WebSocketLost)


@pytest.mark.parametrize(("which", "dialect"), CASES)
@inReactor
async def test_clientCloses(running: Start, which: tuple[str, str], dialect: str) -> None:
    """The client closes with the closing handshake of the dialect."""
    client = await opened(running(which), dialect)
    client.transport.loseConnection(4000, "enough")
    ending = await client.next()
    assert type(ending) is WebSocketDone
    if not dialect.startswith("hixie"):
        assert ending.code == 4000


@pytest.mark.parametrize(("which", "dialect"), CASES)
@inReactor
async def test_serverCloses(running: Start, which: tuple[str, str], dialect: str) -> None:
    """The server closes, and the client gets its code and reason."""
    client = await opened(running(which), dialect)
    client.transport.sendTextMessage("close")
    ending = await client.next()
    # em-websocket ends TCP without the closing frame of Hixie-76.
    isRude = (which[0], dialect) == ("em-websocket", "hixie-76")
    assert type(ending) is (WebSocketLost if isRude else WebSocketDone)
    if not dialect.startswith("hixie"):
        assert (ending.code, ending.reason) == (4001, "asked")


@pytest.mark.parametrize(("which", "dialect"), SUBPROTOCOL_CASES)
@inReactor
async def test_subprotocol(running: Start, which: tuple[str, str], dialect: str) -> None:
    """A subprotocol is agreed on."""
    asked = ["other", "chat"]
    client = await opened(running(which), dialect, subprotocols=asked, origin="http://x.example")
    assert client.transport.subprotocol == "chat"
    client.transport.loseConnection()
    await client.next()


@pytest.mark.parametrize("name", ["ws", "websockets"])
@inReactor
async def test_refused(running: Start, name: str) -> None:
    """A refusal comes with status and body."""
    server = running((name, "plain"))
    with pytest.raises(HandshakeRefused) as raised:
        await connect(f"ws://127.0.0.1:{server.port}/refused", Listener())
    assert raised.value.status == 401
    assert raised.value.body.strip() == b"nope"


@pytest.mark.parametrize("name", PEERS)
@inReactor
async def test_serverDies(name: str) -> None:
    """A server that dies ends the connection badly."""
    checkInstalled(name)
    with Peers(name, "plain") as server:
        client = await opened(server, "rfc6455")
        client.transport.sendTextMessage("die")
        ending = await client.next()
    assert type(ending) is WebSocketLost
    assert ending.code == 1006
