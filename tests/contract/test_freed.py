"""A connection that has ended is freed at once. It does not wait for the garbage collector."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.support import buildHead
from txhixie import HandshakeRefused
from txhixie.client.connect import Client as OwnClient

from .application import Producer, Recorder
from .client import Client
from .network import Network
from .spreading import spread
from .waiting import inReactor, turns

# The modules with the classes of a server.
_MODULES = ("txhixie.", "twisted.web.", __name__)

_GET = b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n"
_HEAD76 = buildHead("hixie-76")


class Visitor:
    """
    An application that keeps everything it gets, as many do.
    """

    transport: Any

    def __init__(self, request: Any) -> None:
        self.request = request
        self.endings: list[Any] = []

    def negotiationStarted(self, transport: Any) -> None:
        """
        Keep the transport.
        """
        self.transport = transport

    def negotiationFinished(self) -> None:
        """
        Do nothing.
        """

    def textMessageReceived(self, message: str) -> Any:
        """
        Do what the client asks for.
        """
        self.transport.sendTextMessage(message)
        match message:
            case "close":
                self.transport.loseConnection()
            case "abort":
                self.transport.abort()
            case "produce":
                self.transport.attachProducer(Producer())
            case "leave":
                # Nothing fires it. It is cancelled when the client is gone.
                self.transport.loseConnection()
                return Deferred()
        return None

    def bytesMessageReceived(self, data: bytes) -> None:
        """
        Do nothing.
        """

    def pongReceived(self, payload: bytes) -> None:
        """
        Do nothing.
        """

    def connectionLost(self, reason: Any) -> None:
        """
        Keep the reason.
        """
        self.endings.append(reason)


def census() -> Counter[str]:
    """
    Return how many objects there are of each class of a server.
    """
    kinds = (type(each) for each in gc.get_objects())
    counts = Counter(kind.__name__ for kind in kinds if str(kind.__module__).startswith(_MODULES))
    # Twisted's connector and the client's transport refer to each other, and to this factory.
    del counts["_Attempt"]
    return counts


class Visiting(Recorder):
    """
    An application of L{Visitor}s. It does not keep them.
    """

    def buildProtocol(self, request: Any) -> Any:
        """
        Make a visitor, or refuse.
        """
        return None if b"refuse" in request.args else Visitor(request)


@pytest.fixture(autouse=True)
def _noCollector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def leavesNothing(network: Network, visit: Callable[[], Awaitable[object]]) -> None:
    """
    Check that nothing is left of what clients do.

    @param visit: makes a client come and leave. The first one may leave caches.
    """
    await network.serve(Visiting(), pingInterval=30, idleTimeout=300, closeTimeout=0.2)
    after = []
    for _ in range(2):
        await visit()
        await network.until(lambda: not network.factory._roster, "all are gone")
        await turns()
        after.append(census())
    assert after[1] - after[0] == {}


def closes(client: Client) -> None:
    """
    Close from the client's side.
    """
    client.close()


def aborts(client: Client) -> None:
    """
    Reset the connection.
    """
    client.abort()


def asks(*texts: str) -> Any:
    """
    Return a function that sends messages.
    """
    return lambda client: client.send(*texts)


ENDS = {
    "client-closes": [closes],
    "client-aborts": [aborts],
    "server-closes": [asks("close")],
    "server-aborts": [asks("abort")],
    "producer": [asks("produce"), closes],
    "callback-runs": [asks("leave"), closes],
    "callback-runs-abort": [asks("leave"), aborts],
}


@spread("steps", ENDS)
@inReactor
async def test_webSocket(network: Network, dialect: str, steps: list[Any]) -> None:
    """Every end of a WebSocket."""

    async def visit() -> None:
        client = await network.connect(dialect)
        await network.until(lambda: client.isOpen, "the opening handshake")
        for step in steps:
            step(client)
            await turns()

    await leavesNothing(network, visit)


@spread(
    "sent",
    {
        "nothing": b"",
        "half-a-head": _HEAD76[:40],
        "half-a-nonce": _HEAD76 + b"1234",
        "not-http": b"\x16\x03\x01",
        "bad-head": b"GET / HTTP/1.1\r\nHost\r\n\r\n",
        "plain": _GET % b"",
        "plain-twice": _GET % b"" + _GET % b"nothing-here",
        "plain-broken": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1234",
        "refused": buildHead("hixie-76", requestLine=b"GET /?refuse=1 HTTP/1.1") + b"12345678",
        "reused": _GET % b"" + buildHead("hixie-76") + b"12345678",
    },
)
@pytest.mark.parametrize("end", [closes, aborts])
@inReactor
async def test_otherConnections(network: Network, sent: bytes, end: Any) -> None:
    """Every state that a connection may reach."""

    async def visit() -> None:
        client = await network.connectWith("hixie-75", sent)
        await turns()
        end(client)
        await network.ended(client)

    await leavesNothing(network, visit)


@pytest.mark.parametrize("transport", ["tcp", "unix"])
@pytest.mark.parametrize("end", ["close", "abort", "loseConnection"])
@inReactor
async def test_client(network: Network, dialect: str, end: str) -> None:
    """A connection of our client, whichever side ends it."""
    client = OwnClient()

    async def visit() -> None:
        visitor = Visitor(None)
        endpoint = network.clientEndpoint()
        await client.connect("ws://localhost/", visitor, dialect=dialect, endpoint=endpoint)
        if end == "loseConnection":
            visitor.transport.loseConnection()
        else:
            visitor.transport.sendTextMessage(end)
        await network.until(lambda: visitor.endings, "the end")

    await leavesNothing(network, visit)


@pytest.mark.parametrize("transport", ["tcp", "unix"])
@inReactor
async def test_refusedClient(network: Network, dialect: str) -> None:
    """A connection of our client, if there is no WebSocket."""
    client = OwnClient()

    async def visit() -> None:
        with suppress(HandshakeRefused):
            await client.connect(
                "ws://localhost/?refuse=1",
                Visitor(None),
                dialect=dialect,
                endpoint=network.clientEndpoint(),
            )
        await network.until(lambda: not client._connections, "the end")

    await leavesNothing(network, visit)
