"""A server on real sockets, in the installed reactor: what a fast wire cannot show."""

from __future__ import annotations

import os
import re
import resource
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_twisted  # type: ignore[import-untyped]
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol, serverFromString
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure

from tests.loopback import FINISHED, LOST, STARTED, Recorder, Recording, echo
from tests.support import IDIOMS, buildHead, frame
from txhixie import (
    CloseCode,
    HandshakeError,
    HixieFactory,
    Settings,
    WebSocketDone,
    WebSocketLost,
)
from txhixie.server.accepting import ControlledEndpoint

# The longest time in seconds that anything may take.
LONG = 10
# More than a socket takes at once.
MUCH = 4_000_000
TCP, UNIX = "tcp:0:interface=127.0.0.1", "unix:server"
# What clients get when a server stops.
GOODBYE = frame(0x88, b"\x03\xe9the server is going down")
GOODBYES = {"hixie-75": b"", "hixie-76": b"\xff\0"}

clock = cast(Any, reactor)
inReactor = cast("Callable[[Callable[..., Awaitable[None]]], Any]", pytest_twisted.ensureDeferred)


class Client(Protocol):
    """
    A minimal client.

    @ivar received: bytes that arrived and were not taken yet.
    @ivar ending: how the connection ended; C{None} before.
    """

    def __init__(self) -> None:
        self.received = b""
        self.ending: BaseException | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ending = reason.value

    def send(self, data: bytes) -> None:
        """Send something."""
        assert self.transport is not None
        self.transport.write(data)

    async def take(self, size: int) -> bytes:
        """@return: that many bytes, or what came before the end."""
        await reach(lambda: len(self.received) >= size or self.ending is not None)
        taken, self.received = self.received[:size], self.received[size:]
        return taken

    async def takeHead(self) -> bytes:
        """@return: everything up to the end of a head."""
        await reach(lambda: b"\r\n\r\n" in self.received or self.ending is not None)
        return await self.take(self.received.find(b"\r\n\r\n") + 4)

    async def expect(self, data: bytes) -> None:
        """These bytes come next."""
        got = await self.take(len(data))
        if got != data:
            shown = f"{len(got)} bytes {got[-80:]!r}, not {len(data)} {data[-80:]!r}"
            raise AssertionError(shown)

    async def expectEnd(self) -> None:
        """Nothing but the end comes, in good order."""
        await reach(lambda: self.ending is not None)
        assert self.received == b""
        assert type(self.ending) is ConnectionDone

    async def open(self, dialect: str) -> None:
        """Complete an opening handshake."""
        self.send(buildHead(dialect) + IDIOMS[dialect].preamble)
        head = await self.takeHead()
        assert head.startswith(b"HTTP/1.1 101 ")
        if dialect == "hixie-76":
            await self.take(16)

    async def talk(self, dialect: str, text: str = "still here") -> None:
        """Send a message, and get its echo."""
        self.send(IDIOMS[dialect].clientText(text))
        await self.expect(IDIOMS[dialect].serverText(text))

    async def end(self) -> None:
        """End the connection."""
        assert self.transport is not None
        self.transport.loseConnection()
        await reach(lambda: self.ending is not None)


async def reach(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    late = clock.seconds() + LONG
    while not condition():
        assert clock.seconds() < late, "it takes too long"
        await deferLater(clock, 0.001)


class Running:
    """
    A server that listens.

    @ivar factory: the server.
    """

    def __init__(self, factory: HixieFactory, address: str) -> None:
        self.factory = factory
        self._address = address
        self._port: Any = None
        self._clients: list[Client] = []

    async def listen(self) -> None:
        """Start to listen."""
        endpoint = serverFromString(reactor, self._address)
        controlled = ControlledEndpoint(endpoint, self.factory.accepting, self.factory.settings)
        self._port = await controlled.listen(self.factory)

    @property
    def port(self) -> int:
        """The number of the port."""
        return int(self._port.getHost().port)

    async def connect(self) -> Client:
        """@return: a client that the system accepted; the server may not have noticed it yet."""
        host = self._port.getHost()
        name = getattr(host, "name", None)
        where = f"unix:{name.decode()}" if name else f"tcp:127.0.0.1:{host.port}"
        client = Client()
        self._clients.append(client)
        connected: Deferred[Client] = connectProtocol(clientFromString(reactor, where), client)
        await connected.addTimeout(LONG, clock)
        return client

    async def open(self, dialect: str) -> Client:
        """@return: a client that is open."""
        client = await self.connect()
        await client.open(dialect)
        return client

    async def stop(self) -> None:
        """Stop to listen."""
        self.factory.accepting.clear()
        port, self._port = self._port, None
        if port is not None:
            await port.stopListening()

    async def end(self) -> None:
        """Stop, and end all connections."""
        await self.stop()
        gone = self.factory.closeConnections()
        self.factory.abortConnections()
        await gone.addTimeout(LONG, clock)
        for client in self._clients:
            await client.end()

    def count(self, event: str) -> int:
        """@return: how often an event happened."""
        counted: int = self.factory.statistics()["events"].get(event, 0)
        return counted


@asynccontextmanager
async def serving(
    application: Any, address: str = TCP, *, errors: int = 0, **settings: Any
) -> AsyncIterator[Running]:
    """
    A server that listens. In the end it has left no timer behind.

    @param errors: how many errors it logs.
    """
    timers = set(clock.getDelayedCalls())
    running = Running(HixieFactory(application, settings=Settings(**settings)), address)
    with capturedLogs() as events:
        await running.listen()
        try:
            yield running
        finally:
            await running.end()
    logged = [event for event in events if event["log_level"] >= LogLevel.error]
    assert len(logged) == errors, logged
    assert set(clock.getDelayedCalls()) <= timers


def forbids(made: Recording) -> Any:
    """Refuse with 403, and a text that is longer than a socket takes at once."""
    raise HandshakeError(403, "no " * (MUCH // 3))


def closes(made: Recording, message: str) -> None:
    """Close."""
    made.transport.loseConnection()


def fails(made: Recording) -> Any:
    """Raise an error."""
    raise ZeroDivisionError


def comesLater(made: Recording) -> Any:
    """Refuse with 503, and a time to try again."""
    raise HandshakeError(503, "busy", [(b"Retry-After", b"7")])


REFUSALS: dict[str, tuple[Callable[[Recording], Any], HandshakeError]] = {
    "404": (lambda made: None, HandshakeError(404, "nothing answers here")),
    "403": (forbids, HandshakeError(403, "no " * (MUCH // 3))),
    "500": (fails, HandshakeError(500)),
    "503": (comesLater, HandshakeError(503, "busy", [(b"Retry-After", b"7")])),
}


@pytest.fixture(params=[TCP, UNIX], ids=["tcp", "unix"])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where a server listens. The path of a Unix socket has to be short."""
    monkeypatch.chdir(tmp_path)
    return str(request.param)


@pytest.mark.parametrize("isLate", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("status", REFUSALS)
@pytest.mark.parametrize("dialect", IDIOMS)
@inReactor
async def test_refused(address: str, dialect: str, status: str, isLate: bool) -> None:
    """
    A client that an application refuses gets the whole answer, though it has sent more data.
    """
    decide, error = REFUSALS[status]
    decisions: list[Deferred[Any]] = []

    def later(made: Recording) -> Any:
        decisions.append(Deferred())
        return decisions[-1].addCallback(lambda _: decide(made))

    idiom = IDIOMS[dialect]
    recorder = Recorder(later if isLate else decide)
    async with serving(recorder, address, errors=int(status == "500")) as running:
        client = await running.connect()
        client.send(buildHead(dialect) + idiom.preamble + idiom.clientText("hello"))
        if isLate:
            await reach(lambda: decisions)
            decisions[0].callback(None)
        await client.expect(error.response())
        await client.expectEnd()
        assert running.count(f"refused {status}") == 1
    assert [made.calls for made in recorder.made] == [[]]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 101, b"431"),
        (b"GET / HTTP/1.1\r\na: " + b"x" * 20_000, b"431"),
        (buildHead("hixie-76", {b"Host": None}), b"400"),
        (buildHead("rfc6455", {b"Sec-WebSocket-Version": b"14"}), b"426"),
    ],
    ids=["no HTTP", "fields", "size", "no host", "version"],
)
@inReactor
async def test_refusedBefore(address: str, head: bytes, status: bytes) -> None:
    """A client that is refused before the application is asked gets it, too."""
    recorder = Recorder()
    async with serving(recorder, address) as running:
        client = await running.connect()
        client.send(head + b"x" * 1000)
        answer = await client.takeHead()
        assert answer.startswith(b"HTTP/1.1 " + status)
        size = re.search(rb"\r\nContent-Length: ([0-9]+)\r\n", answer)
        assert size is not None
        assert (await client.take(int(size[1]))).endswith(b"\n")
        await client.expectEnd()
    assert recorder.made == []


@pytest.mark.parametrize("size", [10, MUCH])
@inReactor
async def test_refusedAndLingers(size: int) -> None:
    """A refused client that stays, or does not even read why, is gone in the end."""

    def decide(made: Recording) -> Any:
        if made.request.path == b"/demo":
            raise HandshakeError(403, "x" * size)
        return made

    settings: Any = {"maxConnections": 1, "closeTimeout": 0.05, "lingerTimeout": 0.05}
    async with serving(Recorder(decide), **settings) as running:
        with closing(socket.create_connection(("127.0.0.1", running.port), LONG)) as lingering:
            lingering.sendall(buildHead("rfc6455"))
            await reach(lambda: running.count("refused 403"))
            # There is no room for other clients as long as it is there.
            late = clock.seconds() + LONG
            answer = b""
            while not answer.startswith(b"HTTP/1.1 101 "):
                assert clock.seconds() < late, "it stays"
                client = await running.connect()
                client.send(buildHead("hixie-75", requestLine=b"GET /other HTTP/1.1"))
                answer = await client.takeHead()
            assert running.count("closing timed out") == int(size == MUCH)


# Ends


@pytest.mark.parametrize("dialect", IDIOMS)
@inReactor
async def test_resetWhileEnding(dialect: str) -> None:
    """A peer that has reset when we end is no error, and its application is notified once."""
    idiom = IDIOMS[dialect]
    recorder = Recorder(textMessageReceived=closes)
    async with serving(recorder) as running:
        with closing(socket.create_connection(("127.0.0.1", running.port), LONG)) as raw:
            raw.sendall(buildHead(dialect) + idiom.preamble)
            await reach(lambda: FINISHED in recorder.made[0].calls if recorder.made else False)
            raw.sendall(idiom.clientText("last words") + idiom.clientClose)
            # What was sent can still be read, and a reset follows it.
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        (made,) = recorder.made
        await reach(lambda: LOST in made.calls)
    assert made.calls == [STARTED, FINISHED, "text: last words", LOST]


@pytest.mark.parametrize("dialect", IDIOMS)
@inReactor
async def test_faultAndErrorAtOnce(address: str, dialect: str) -> None:
    """
    An application's error, and the peer's close after it in one segment, give one orderly end.
    """
    idiom = IDIOMS[dialect]
    recorder = Recorder(textMessageReceived=lambda made, text: 1 / 0)
    async with serving(recorder, address, errors=1) as running:
        client = await running.open(dialect)
        client.send(idiom.clientText("hello") + idiom.clientClose)
        await client.expect(idiom.serverClose)
        await client.expectEnd()
        (made,) = recorder.made
        await reach(lambda: LOST in made.calls)
        assert running.count("closing timed out") == 0
    assert type(made.ending) is WebSocketDone
    assert made.ending.code == (1000 if b"\x03\xe8" in idiom.serverClose else 1005)


# Room


# How clients may begin, and the answers that they get.
WAYS = {
    **{
        dialect: (buildHead(dialect) + idiom.preamble, b"HTTP/1.1 101 ")
        for dialect, idiom in IDIOMS.items()
    },
    "plain HTTP": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200 "),
    "no HTTP": (b"GET /\r\n", b"HTTP/1.1 400 "),
    "refused": (buildHead("rfc6455", {b"Sec-WebSocket-Version": b"14"}), b"HTTP/1.1 426 "),
}


@pytest.fixture
def fewDescriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulates the number of descriptors that are left."""
    left = len(os.listdir("/dev/fd")) + 16
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (left, left))


async def fill(running: Running) -> list[Client]:
    """@return: as many clients as there is room for."""
    clients = []
    while not running.count("accepting paused"):
        clients.append(await running.open("rfc6455"))
    return clients


@pytest.mark.usefixtures("fewDescriptors")
@inReactor
async def test_endingMakesRoom() -> None:
    """
    With as many connections as there are descriptors, each that ends makes room for one that waits,
    whatever it was, any number of times.
    """
    async with serving(Recorder()) as running:
        clients = await fill(running)
        assert len(clients) > 3
        for data, answer in [*WAYS.values()] * 3:
            client = await running.connect()
            client.send(data)
            await clients.pop(0).end()
            assert (await client.takeHead()).startswith(answer)
            clients.append(client)
        assert running.count("accepting paused") > len(WAYS)


@pytest.mark.usefixtures("fewDescriptors")
@inReactor
async def test_listensAnewWhilePaused() -> None:
    """A server that listens again while there are too many connections accepts others."""
    async with serving(Recorder(textMessageReceived=echo)) as running:
        clients = await fill(running)
        await running.stop()
        await running.listen()
        # There are fewer descriptors now, and one port.
        newcomer = await running.open("rfc6455")
        for client in (*clients, newcomer):
            await client.talk("rfc6455")


@pytest.mark.parametrize("dialect", IDIOMS)
@inReactor
async def test_startsAnew(address: str, dialect: str) -> None:
    """A server that closed all connections, and stopped, serves as before when it starts again."""
    async with serving(Recorder(textMessageReceived=echo), address) as running:
        for _ in range(3):
            client = await running.open(dialect)
            await client.talk(dialect)
            gone = running.factory.closeConnections()
            await client.expect(GOODBYES.get(dialect, GOODBYE))
            client.send(IDIOMS[dialect].clientClose or b"\0x\xff")
            await client.expectEnd()
            await gone.addTimeout(LONG, clock)
            turnedAway = await running.connect()
            turnedAway.send(buildHead(dialect))
            assert (await turnedAway.takeHead()).startswith(b"HTTP/1.1 503 ")
            await running.stop()
            await running.listen()
        assert running.count("refused") == running.count("refused 503") == 3


# Peers that do not read


@pytest.mark.parametrize("dialect", IDIOMS)
@inReactor
async def test_burst(address: str, dialect: str) -> None:
    """A client that reads well gets all of a burst over the limit, and what comes after it."""
    texts = [f"{number} " * 500 for number in range(30)]

    def burst(made: Recording, message: str) -> None:
        for text in texts:
            made.transport.sendTextMessage(text)

    idiom = IDIOMS[dialect]
    async with serving(Recorder(textMessageReceived=burst), address, sendLimit=1000) as running:
        client = await running.open(dialect)
        for _ in range(5):
            client.send(idiom.clientText("go"))
            await client.expect(b"".join(map(idiom.serverText, texts)))
        assert running.count("slow closed") == 0


@pytest.mark.parametrize("policy", ["drop", "latest"])
@pytest.mark.parametrize("dialect", IDIOMS)
@inReactor
async def test_slowOnce(address: str, dialect: str, policy: str) -> None:
    """A client that was slow for a while gets everything again as soon as it reads."""
    recorder = Recorder(textMessageReceived=echo)
    settings: Any = {"sendLimit": 100_000, "slowPolicy": policy}
    async with serving(recorder, address, **settings) as running:
        client = await running.open(dialect)
        (made,) = recorder.made
        end = IDIOMS[dialect].serverText("end of it")
        for _ in range(2):
            dropped = running.count("messages dropped")
            assert client.transport is not None
            client.transport.pauseProducing()  # type: ignore[attr-defined]
            while running.count("messages dropped") < dropped + 5:
                made.transport.sendTextMessage("x" * 50_000)
                await deferLater(clock, 0)
            client.transport.resumeProducing()  # type: ignore[attr-defined]
            client.send(IDIOMS[dialect].clientText("end of it"))
            await reach(lambda: client.received.endswith(end))
            client.received = b""
            for number in range(10):
                await client.talk(dialect, f"{number}")
                made.transport.sendTextMessage("y" * 60_000)
                await client.expect(IDIOMS[dialect].serverText("y" * 60_000))


@pytest.mark.parametrize("dialect", IDIOMS)
@inReactor
async def test_slowGoes(address: str, dialect: str) -> None:
    """A slow client that leaves while it is being closed is gone at once."""
    recorder = Recorder()
    settings: Any = {"sendLimit": 100_000, "closeTimeout": 1000}
    async with serving(recorder, address, **settings) as running:
        client = await running.open(dialect)
        (made,) = recorder.made
        transport: Any = client.transport
        transport.pauseProducing()
        while not running.count("slow closed"):
            made.transport.sendTextMessage("x" * 50_000)
            await deferLater(clock, 0)
        client.send(IDIOMS[dialect].clientClose or b"\0x\xff")
        transport.loseWriteConnection()
        await reach(lambda: LOST in made.calls)
        assert type(made.ending) is WebSocketLost
        assert made.ending.code == CloseCode.POLICY
