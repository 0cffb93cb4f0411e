"""How connections are closed, by applications, by the server, and by unfriendly clients."""

from __future__ import annotations

import pytest

from tests.support import IDIOMS, MODERN
from txhixie import WebSocketDone, WebSocketLost

from .application import FINISHED, LOST, STARTED, TEXT, Recorder, Recording
from .awaitables import Pending
from .client import Client
from .network import FILLING, Network
from .spreading import spread
from .waiting import inReactor, result, turns

# loseConnection


@spread(
    "code, reason",
    {
        "none": (4000, None),
        "bytes": (4000, b"bytes"),
        "int": (4000, 17),
        "code-text": ("1000", ""),
        "code-bytes": (b"1000", ""),
        "code-none": (None, ""),
        "code-float": (1000.0, ""),
    },
)
@inReactor
async def test_wrongCloseIsTypeError(
    network: Network, dialect: str, code: object, reason: object
) -> None:
    """A code that is no int, or a reason that is no str, is a TypeError and changes nothing."""
    await network.serve(Recorder())
    client, made = await network.open(dialect)
    with pytest.raises(TypeError):
        made.transport.loseConnection(code, reason)
    await staysUsable(network, client, made)


@spread("code", [1005, -1, 0, 999, 1006, 1015, 2999, 5000])
@inReactor
async def test_forbiddenCodeIsValueError(network: Network, dialect: str, code: int) -> None:
    """A code that may not be sent is a ValueError and changes nothing."""
    await network.serve(Recorder())
    client, made = await network.open(dialect)
    with pytest.raises(ValueError, match=str(code)):
        made.transport.loseConnection(code, "a reason")
    await staysUsable(network, client, made)


async def staysUsable(network: Network, client: Client, made: Recording) -> None:
    """
    Check that a connection works, and can be closed.
    """
    await network.answers(client)
    made.transport.loseConnection(4000, "right")
    await network.closed(client, 4000)
    assert all(reason in ("right", "") for _, reason in client.closes)
    await network.lost(made)
    assert isinstance(made.ending, WebSocketDone)


@inReactor
async def test_wrongCloseBeforeOpening(network: Network, dialect: str) -> None:
    """A wrong close is an error before the connection is open, too, and changes nothing."""
    errors: list[type[BaseException]] = []

    def close(made: Recording) -> None:
        for code, reason in ((4000, None), (1005, "")):
            try:
                made.transport.loseConnection(code, reason)
            except (TypeError, ValueError) as error:
                errors.append(type(error))

    await network.serve(Recorder(negotiationStarted=close))
    client, made = await network.open(dialect)
    assert errors == [TypeError, ValueError]
    await staysUsable(network, client, made)


# abort


@inReactor
async def test_abortIsTheLastWord(network: Network, dialect: str) -> None:
    """After abort nothing more is sent, and no message of the same read is delivered."""

    def abort(made: Recording, message: str) -> None:
        made.transport.abort()
        made.transport.sendTextMessage("too late")
        made.transport.sendTextMessages(("too", "late"))
        made.transport.ping()
        made.transport.loseConnection()
        made.transport.abort()

    await network.serve(Recorder(textMessageReceived=abort))
    client, made = await network.open(dialect)
    client.send("1", "2", "3")
    await network.until(lambda: made.isLost and client.ended, "the end")
    await turns()
    assert made.calls == [STARTED, FINISHED, TEXT, LOST]
    assert (client.messages, client.closes, client.pings) == ([], [], [])
    assert isinstance(made.ending, WebSocketLost)
    assert made.ending.code == 1006
    await network.goesOn(dialect)


@inReactor
async def test_abortFromNegotiationStarted(network: Network, dialect: str) -> None:
    """An application may abort before the connection is open: it is notified of the loss, once."""
    await network.serve(Recorder(negotiationStarted=lambda made: made.transport.abort()))
    client = await network.connect(dialect, "1")
    await network.ended(client)
    made = network.recorder.made[0]
    await network.lost(made)
    await turns()
    assert made.calls == [STARTED, LOST]


@inReactor
async def test_abortOfFullConnection(network: Network, dialect: str) -> None:
    """Abort does not wait for a client that does not read."""
    await network.serve(Recorder(), sendLimit=1 << 26, closeTimeout=20, lingerTimeout=20)
    client, made = await network.open(dialect)
    client.stopReading()
    await network.fill(made, lambda: made.transport.messagesSent > 50)
    made.transport.abort()
    await network.lost(made)


# Clients that request much and read nothing


def sendMuch(made: Recording, message: str) -> None:
    """A hook that sends 8 MiB for each message."""
    for _ in range(128):
        made.transport.sendTextMessage(FILLING)


ENDINGS = [
    pytest.param(dialect, end, id=f"{dialect}-{end}")
    for dialect in IDIOMS
    for end in ("clientClose", "breach")
    if getattr(IDIOMS[dialect], end)
]
GREEDY = {"closeTimeout": 0.01, "lingerTimeout": 0.01}


async def gone(network: Network, made: Recording) -> None:
    """
    Check that a client that does not read is gone in time, and nothing is left of it.
    """
    await network.until(lambda: made.isLost, "the greedy client is gone", sum(GREEDY.values()) + 1)
    await network.until(lambda: not network.factory.connections, "nothing is left of it")
    assert made.calls.count(LOST) == 1


@pytest.mark.parametrize(("dialect", "end"), ENDINGS)
@inReactor
async def test_greedyClientThatEndsIsGone(network: Network, dialect: str, end: str) -> None:
    """A client that requests much, ends in the same segment and reads nothing is gone in time."""
    await network.serve(Recorder(textMessageReceived=sendMuch), **GREEDY)
    client, made = await network.open(dialect)
    client.stopReading()
    client.sendRaw(IDIOMS[dialect].clientText("much") + getattr(IDIOMS[dialect], end))
    await gone(network, made)


@pytest.mark.parametrize(("dialect", "end"), ENDINGS)
@inReactor
async def test_greedyClientOfPausedApplicationIsGone(
    network: Network, dialect: str, end: str
) -> None:
    """The same holds if its messages had to wait for an application that was paused."""
    await network.serve(Recorder(textMessageReceived=sendMuch), **GREEDY)
    client, made = await network.open(dialect)
    client.stopReading()
    made.transport.pauseProducing()
    client.sendRaw(IDIOMS[dialect].clientText("much") * 2 + getattr(IDIOMS[dialect], end))
    await turns()
    made.transport.resumeProducing()
    await gone(network, made)


@inReactor
async def test_greedyClientThatIsClosedIsGone(network: Network, dialect: str) -> None:
    """The same holds if the application closes after it sent much."""

    def sendAndClose(made: Recording, message: str) -> None:
        sendMuch(made, message)
        made.transport.loseConnection()

    await network.serve(Recorder(textMessageReceived=sendAndClose), sendLimit=1 << 26, **GREEDY)
    client, made = await network.open(dialect)
    client.stopReading()
    client.send("much")
    await gone(network, made)


@pytest.mark.parametrize("dialect", MODERN)
@inReactor
async def test_greedyClientThatPingsIsGone(network: Network, dialect: str) -> None:
    """The same holds if it closes after pings, whose answers wait for earlier data."""
    await network.serve(Recorder(textMessageReceived=sendMuch), sendLimit=1 << 26, **GREEDY)
    client, made = await network.open(dialect)
    client.stopReading()
    idiom = IDIOMS[dialect]
    client.sendRaw(
        idiom.clientText("much") + bytes.fromhex("898037fa213d") * 100 + idiom.clientClose
    )
    await gone(network, made)


@pytest.mark.parametrize("transport", ["tcp", "unix"])
@inReactor
async def test_greedyClientThatEndsItsStreamIsGone(network: Network, dialect: str) -> None:
    """The same holds if it ends its direction of the stream, where directions end separately."""
    await network.serve(Recorder(textMessageReceived=sendMuch), **GREEDY)
    client, made = await network.open(dialect)
    client.stopReading()
    client.send("much")
    client.transport.loseWriteConnection()
    await gone(network, made)


@pytest.mark.parametrize(("dialect", "end"), ENDINGS)
@inReactor
async def test_clientThatReadsGetsAllBeforeTheEnd(network: Network, dialect: str, end: str) -> None:
    """A client that ends like this but reads gets everything that it requested, and a good end."""
    await network.serve(Recorder(textMessageReceived=sendMuch), sendLimit=1 << 26)
    client, made = await network.open(dialect)
    client.sendRaw(IDIOMS[dialect].clientText("much") + getattr(IDIOMS[dialect], end))
    await network.closed(client, 1000 if end == "clientClose" else 1002)
    await network.lost(made)
    assert client.messages == [FILLING] * 128


# The server


@inReactor
async def test_closeConnectionsWaitsForApplications(network: Network, dialect: str) -> None:
    """closeConnections fires after connectionLost of the last application."""
    order: list[str] = []
    await network.serve(Recorder(connectionLost=lambda made: order.append("lost")))
    clients = [(await network.open(dialect))[0] for _ in range(5)]
    closed = network.factory.closeConnections().addCallback(lambda _: order.append("closed"))
    await result(closed, "closeConnections")
    await turns()
    assert order == ["lost"] * 5 + ["closed"]
    for client in clients:
        await network.closed(client, 1001)


@inReactor
async def test_closeConnectionsWaitsForCallbacks(network: Network, dialect: str) -> None:
    """It waits for a callback that is still running, too, and for what comes after it."""
    order: list[str] = []
    pending = Pending("deferred")
    await network.serve(
        Recorder(
            textMessageReceived=lambda made, message: pending.awaitable,
            connectionLost=lambda made: order.append("lost"),
        ),
        closeTimeout=20,
    )
    client, made = await network.open(dialect)
    client.send("1")
    await network.delivered(made, 1)
    closed = network.factory.closeConnections().addCallback(lambda _: order.append("closed"))
    await network.until(lambda: client.closes or client.ended, "the close")
    await turns()
    assert order == []
    pending.finish()
    await result(closed, "closeConnections")
    await turns()
    assert order == ["lost", "closed"]


@inReactor
async def test_closeConnectionsIsHeldUpByNoError(network: Network, dialect: str) -> None:
    """An application that raises in connectionLost delays no others."""
    order: list[str] = []

    def lost(made: Recording) -> None:
        order.append("lost")
        raise ValueError("raised by a test")

    await network.serve(Recorder(connectionLost=lost))
    for _ in range(3):
        await network.open(dialect)
    closed = network.factory.closeConnections().addCallback(lambda _: order.append("closed"))
    await result(closed, "closeConnections")
    assert order == ["lost"] * 3 + ["closed"]
    assert len(network.takeErrors()) == 3


@inReactor
async def test_connectionsAreWhatApplicationsHave(network: Network, dialect: str) -> None:
    """C{factory.connections} maps ids to the transports of the applications."""
    await network.serve(Recorder())
    ends = [await network.open(dialect) for _ in range(3)]
    connections = network.factory.connections
    assert dict(connections) == {made.transport.id: made.transport for _, made in ends}
    assert all(connections[made.transport.id] is made.transport for _, made in ends)
    client, made = ends.pop()
    client.close()
    await network.until(lambda: made.isLost and len(connections) == 2, "connectionLost")
    assert dict(connections) == {made.transport.id: made.transport for _, made in ends}
