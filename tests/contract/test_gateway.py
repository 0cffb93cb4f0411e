"""The gateway on real sockets: over TLS to a back end over TLS, and otherwise over TCP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted  # type: ignore[import-untyped]
from twisted.internet.ssl import Certificate, optionsForClientTLS

from txhixie import Gateway, HixieFactory, Settings

from .application import Producer, Recorder, Recording
from .client import Client
from .network import FILLING, MOST_FILLINGS, Network
from .transports import listen, makePair
from .waiting import clock, inReactor, result, turns

MIB = 1 << 20
COUNT = 300


class Backend(Recorder):
    """
    A back end.

    @ivar url: where it listens.
    @ivar tls: how it is verified.
    """

    def __init__(self) -> None:
        super().__init__()
        self.url = ""
        self.tls: Any = None


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def backend(transport: str, certificate: tuple[Path, Path]) -> AsyncIterator[Backend]:
    """A back end that listens."""
    recorder = Backend()
    secure = transport == "tls"
    factory = HixieFactory(recorder, settings=Settings(sendLimit=64 * MIB))
    pair = makePair("tls" if secure else "tcp", Path(), clock(), certificate)
    port: Any = await listen(pair.server, factory)
    recorder.url = f"{'wss' if secure else 'ws'}://127.0.0.1:{port.getHost().port}"
    if secure:
        root = Certificate.loadPEM(certificate[1].read_bytes())
        recorder.tls = optionsForClientTLS("localhost", trustRoot=root)
    yield recorder
    await port.stopListening()
    await factory.closeConnections()


async def opened(
    network: Network, backend: Backend, dialect: str, **limits: Any
) -> tuple[Client, Recording]:
    """
    Open a connection through a gateway.

    @return: the client, and the application of the connection at the back end.
    """
    gateway: Any = Gateway(backend.url, tls=backend.tls, settings=Settings(**limits))
    await network.serve(gateway, **limits)
    client = await network.connect(dialect)
    await network.until(lambda: client.isOpen, "the opening handshake")
    return client, backend.made[0]


@inReactor
async def test_messages(network: Network, backend: Backend, dialect: str) -> None:
    """Messages of many sizes go both ways, in their order."""
    client, made = await opened(network, backend, dialect)
    texts = [f"{number} " + "x" * number**2 for number in range(COUNT)]
    client.send(*texts)
    for text in texts:
        made.transport.sendTextMessage(text)
    await network.delivered(made, COUNT)
    await network.arrived(client, COUNT)
    assert made.messages == texts
    assert client.messages == texts
    client.close()
    await network.lost(made)


@inReactor
async def test_clientDoesNotRead(network: Network, backend: Backend, dialect: str) -> None:
    """A client that reads nothing stops its back end; when it reads again nothing is missing."""
    client, made = await opened(network, backend, dialect, sendLimit=MIB)
    producer = Producer()
    made.transport.attachProducer(producer)
    client.stopReading()
    sent, isFull = 0, False
    while not isFull:
        sent += await network.fill(made, lambda: producer.calls[-1:] == ["pauseProducing"])
        # What is on its way may still move.
        await turns()
        isFull = producer.calls[-1] == "pauseProducing"
    assert 0 < sent < MOST_FILLINGS
    client.readOn()
    await network.until(lambda: producer.calls[-1] == "resumeProducing", "resumeProducing")
    await network.arrived(client, sent)
    assert client.messages == [FILLING] * sent
    assert network.counted("slow closed") == 0


@inReactor
async def test_backendDoesNotRead(network: Network, backend: Backend, dialect: str) -> None:
    """A back end that reads nothing stops its client; when it reads again nothing is missing."""
    client, made = await opened(network, backend, dialect, sendLimit=MIB)
    made.transport.pauseProducing()
    pump = client.pump([FILLING] * MOST_FILLINGS)
    await network.stuck(pump)
    assert made.messages == []
    made.transport.resumeProducing()
    await network.delivered(made, MOST_FILLINGS)
    assert made.messages == [FILLING] * MOST_FILLINGS


@inReactor
async def test_close(network: Network, backend: Backend, dialect: str) -> None:
    """The close code of the back end reaches the client, after everything that it sent."""
    client, made = await opened(network, backend, dialect)
    for _ in range(10):
        made.transport.sendTextMessage(FILLING)
    made.transport.loseConnection(4000, "bye")
    await network.closed(client, 4000)
    assert client.messages == [FILLING] * 10


@pytest.mark.parametrize("transport", ["tls"])
@inReactor
async def test_unverified(network: Network, backend: Backend, dialect: str) -> None:
    """A back end whose certificate is not trusted is not used."""
    gateway: Any = Gateway(backend.url)
    await network.serve(gateway)
    client = await network.connect(dialect)
    await network.ended(client)
    assert client.status == 502
    assert client.field(b"Retry-After")
    assert backend.made == []
    assert network.logged("certificate verify failed")


@inReactor
async def test_nobodyListens(network: Network, backend: Backend, dialect: str) -> None:
    """Without a back end a client is refused before the upgrade."""
    gateway: Any = Gateway("ws://127.0.0.1:1")
    await network.serve(gateway)
    client = await network.connect(dialect)
    await result(network.ended(client), "the end")
    assert client.status == 503
    assert client.field(b"Retry-After")
