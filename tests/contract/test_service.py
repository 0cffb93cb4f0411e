"""The service that listens, and that closes all connections when it stops."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import pytest_twisted  # type: ignore[import-untyped]
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    UNIXClientEndpoint,
)
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory
from zope.interface import implementer

from tests.support import IDIOMS, buildHead
from txhixie import HixieFactory, WebSocketDone

from .application import LOST, Recorder
from .client import Client
from .public import public
from .waiting import clock, inReactor, result, until


@implementer(IStreamServerEndpoint)
class Endpoint:
    """
    A user's endpoint, which keeps the port it listens on.
    """

    port: Any = None

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        Listen on a free port.
        """

        def listens(port: IListeningPort) -> IListeningPort:
            self.port = port
            return port

        endpoint: Any = TCP4ServerEndpoint(clock(), 0, interface="127.0.0.1")
        listening: Deferred[IListeningPort] = endpoint.listen(protocolFactory)
        return listening.addCallback(listens)


class Served:
    """
    A service with clients.

    @ivar recorder: its application.
    """

    def __init__(self, folder: Path) -> None:
        self.recorder = Recorder()
        self._path = str(folder / "socket")
        self._endpoint = Endpoint()
        # Any number of descriptions and endpoints, in any order.
        self.service = public("HixieService")(
            HixieFactory(self.recorder),
            "tcp:0:interface=127.0.0.1",
            self._endpoint,
            f"unix:{self._path}",
        )
        self.clients: list[Client] = []

    async def start(self) -> None:
        """
        Start the service.
        """
        self.service.privilegedStartService()
        self.service.startService()
        await until(lambda: self._endpoint.port, "the service listens")

    def ways(self) -> list[IStreamClientEndpoint]:
        """
        Return how to reach the endpoint that was passed, and the one that was described.
        """
        made = TCP4ClientEndpoint(clock(), "127.0.0.1", self._endpoint.port.getHost().port)
        described = UNIXClientEndpoint(clock(), self._path)
        return [made, described]

    async def open(self, dialect: str) -> None:
        """
        Open a connection to each endpoint.
        """
        request = buildHead(dialect) + IDIOMS[dialect].preamble
        for way in self.ways():
            connected: Any = way.connect(Factory.forProtocol(lambda: Client(dialect, request)))
            self.clients.append(await result(connected, "a client connects"))
        await until(lambda: all(client.isOpen for client in self.clients), "the handshakes")


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def served() -> AsyncIterator[Served]:
    """A service that runs, with descriptions and an endpoint as arguments."""
    with TemporaryDirectory(prefix="contract-") as folder:
        served = Served(Path(folder))
        await served.start()
        yield served
        if served.service.running:
            await result(served.service.stopService(), "stopService")


@inReactor
async def test_serviceListensOnAll(served: Served, dialect: str) -> None:
    """It listens on each endpoint, whether described or made."""
    await served.open(dialect)
    assert [client.status for client in served.clients] == [101, 101]


@inReactor
async def test_stoppingClosesInGoodOrder(served: Served, dialect: str) -> None:
    """Stopping closes all clients with 1001, and is done when all applications are notified."""
    await served.open(dialect)
    stopped = served.service.stopService()
    await result(stopped, "stopService")
    assert all(made.calls[-1] == LOST for made in served.recorder.made)
    assert all(isinstance(made.ending, WebSocketDone) for made in served.recorder.made)
    await until(lambda: all(client.ended for client in served.clients), "the end")
    for client in served.clients:
        assert client.endedWell
        codes = {"hixie-75": [], "hixie-76": [1005]}.get(dialect, [1001])
        assert [code for code, _ in client.closes] == codes


@inReactor
async def test_stoppedServiceDoesNotListen(served: Served, dialect: str) -> None:
    """A stopped service listens nowhere; it can be started again."""
    ways = served.ways()
    await result(served.service.stopService(), "stopService")
    for way in ways:
        with pytest.raises(ConnectError):
            await result(way.connect(Factory.forProtocol(lambda: Client(dialect, b""))), "refusal")
    await served.start()
    await served.open(dialect)
