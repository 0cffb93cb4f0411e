"""What an application's buildProtocol returns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from txhixie import HandshakeError

from .application import FINISHED, STARTED, TEXT, Recorder, Recording
from .awaitables import KINDS, Pending
from .network import Network
from .spreading import spread
from .waiting import inReactor, turns

ofEachKind = spread("kind", KINDS)


@pytest.fixture
def kind() -> str:
    """What buildProtocol returns, if the kind makes no difference."""
    return "coroutine"


@pytest.fixture
def pending(kind: str) -> Iterator[Pending]:
    """Something that buildProtocol returns, and that the test completes."""
    pending = Pending(kind)
    yield pending
    pending.close()


# How an awaitable may fail or refuse, and the status that a client gets.
OUTCOMES: dict[str, tuple[Callable[[Pending], None], int]] = {
    "none": (lambda pending: pending.finish(None), 404),
    "refused": (lambda pending: pending.fail(HandshakeError(403)), 403),
    "error": (lambda pending: pending.fail(ValueError("raised by a test")), 500),
    "cancelled": (lambda pending: pending.cancel(), 500),
}


class Impostor:
    """Something that is not a protocol."""


class Halfling:
    """Something that lacks a required callback."""

    def negotiationStarted(self, transport: object) -> None:
        """Do nothing."""

    def negotiationFinished(self) -> None:
        """Do nothing."""

    def textMessageReceived(self, message: str) -> None:
        """Do nothing."""


def makeImpostor(made: Recording) -> object:
    """Return no protocol."""
    return Impostor()


def makeHalfling(made: Recording) -> object:
    """Return half a protocol."""
    return Halfling()


NO_PROTOCOLS = spread(
    "make, name",
    {
        "impostor": (makeImpostor, "Impostor"),
        "lacks-callback": (makeHalfling, "Halfling"),
        "text": (lambda made: "a protocol", "a protocol"),
    },
)


# An awaitable


@ofEachKind
@inReactor
async def test_protocolMayComeLater(network: Network, dialect: str, pending: Pending) -> None:
    """A client waits for an application that takes its time, and loses nothing meanwhile."""
    await network.serve(Recorder(lambda made: pending.awaitable))
    client = await network.connect(dialect, "1", "2")
    await network.until(lambda: network.recorder.made, "buildProtocol")
    made = network.recorder.made[0]
    client.send("3")
    await turns()
    assert (client.status, made.calls) == (0, [])
    pending.finish(made)
    await network.until(lambda: client.isOpen, "the opening handshake")
    await network.delivered(made, 3)
    assert made.calls == [STARTED, FINISHED, TEXT, TEXT, TEXT]
    assert made.messages == ["1", "2", "3"]
    await network.answers(client)


@ofEachKind
@inReactor
async def test_protocolMayBeThereAlready(network: Network, dialect: str, pending: Pending) -> None:
    """An awaitable that is already complete is treated like its result."""

    def decide(made: Recording) -> Any:
        pending.finish(made)
        return pending.awaitable

    await network.serve(Recorder(decide))
    client, _ = await network.open(dialect)
    await network.answers(client)


@spread(
    "kind, outcome, status",
    {
        f"{kind}-{name}": (kind, outcome, status)
        for kind in KINDS
        for name, (outcome, status) in OUTCOMES.items()
        if kind == "coroutine" or name == "cancelled"
    },
)
@inReactor
async def test_refusalMayComeLater(
    network: Network,
    dialect: str,
    pending: Pending,
    outcome: Callable[[Pending], None],
    status: int,
) -> None:
    """An awaitable may refuse a client, or fail, as buildProtocol itself may."""
    await network.serve(Recorder(lambda made: pending.awaitable))
    client = await network.connect(dialect)
    await network.until(lambda: network.recorder.made, "buildProtocol")
    outcome(pending)
    await network.ended(client)
    assert client.status == status
    assert client.endedWell
    assert network.counted(f"refused {status}") == 1
    assert len(network.takeErrors()) == (1 if status == 500 else 0)
    assert network.recorder.made[0].calls == []


@ofEachKind
@pytest.mark.parametrize("dialect", ["hixie-76"])
@inReactor
async def test_decisionIsCancelledWithItsClient(
    network: Network, dialect: str, pending: Pending
) -> None:
    """The decision about a client is cancelled if it takes too long."""
    await network.serve(Recorder(lambda made: pending.awaitable), handshakeTimeout=0.2)
    client = await network.connect(dialect)
    await network.ended(client)
    assert client.status == 503
    await network.until(lambda: pending.isCancelled, "the cancellation")
    assert network.recorder.made[0].calls == []


# Something that is no protocol


@NO_PROTOCOLS
@inReactor
async def test_noProtocolIsRefused(
    network: Network, dialect: str, make: Callable[[Recording], object], name: str
) -> None:
    """An object that is not a protocol gives 500, and a line in the log that names it."""
    results: list[Callable[[Recording], object]] = [make]
    await network.serve(Recorder(lambda made: results.pop()(made) if results else made))
    client = await network.connect(dialect)
    await network.ended(client)
    assert client.status == 500
    assert client.endedWell
    assert network.counted("refused 500") == 1
    assert network.logged(name)
    network.takeErrors()
    await network.goesOn(dialect)


@NO_PROTOCOLS
@inReactor
async def test_noProtocolIsRefusedLater(
    network: Network,
    dialect: str,
    pending: Pending,
    make: Callable[[Recording], object],
    name: str,
) -> None:
    """An awaitable whose result is not a protocol does, too."""
    await network.serve(Recorder(lambda made: pending.awaitable))
    client = await network.connect(dialect)
    await network.until(lambda: network.recorder.made, "buildProtocol")
    pending.finish(make(network.recorder.made[0]))
    await network.ended(client)
    assert client.status == 500
    assert network.logged(name)
    network.takeErrors()


@spread("error", [SystemExit, asyncio.CancelledError, ValueError])
@inReactor
async def test_errorInBuildProtocolIsRefusal(
    network: Network, dialect: str, error: type[BaseException]
) -> None:
    """Whatever buildProtocol raises gives 500, and is logged; the server goes on."""
    errors = [error("raised by a test")]

    def decide(made: Recording) -> Recording:
        if errors:
            raise errors.pop()
        return made

    await network.serve(Recorder(decide))
    client = await network.connect(dialect)
    await network.ended(client)
    assert client.status == 500
    ((_, logged),) = network.takeErrors()
    assert isinstance(logged, error)
    client = await network.connect(dialect)
    await network.until(lambda: client.isOpen, "the opening handshake")
    await network.answers(client)
