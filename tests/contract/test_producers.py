"""Producers that an application attaches to its transport, correct or not."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from txhixie import WebSocketDone

from .application import FINISHED, LOST, STARTED, Producer, Recorder, Recording, raises
from .client import Client
from .network import FILLING, Network
from .spreading import spread
from .waiting import inReactor, turns

MIB = 1 << 20

PAUSE, RESUME, STOP = "pauseProducing", "resumeProducing", "stopProducing"


def join(one: Recording, other: Recording) -> None:
    """Make a bridge of two connections: each is the other's producer."""
    one.transport.attachProducer(other.transport)
    other.transport.attachProducer(one.transport)


async def openBridge(
    network: Network, dialect: str, **limits: Any
) -> list[tuple[Client, Recording]]:
    """
    Open two connections that are joined by an application that passes on messages from each to the
    other, and closes each when the other is lost.
    """
    made: list[Recording] = []

    def other(recording: Recording) -> Recording:
        return made[1] if recording is made[0] else made[0]

    await network.serve(
        Recorder(
            textMessageReceived=lambda here, text: other(here).transport.sendTextMessage(text),
        ),
        **limits,
    )
    ends = [await network.open(dialect) for _ in range(2)]
    made += [recording for _, recording in ends]
    join(*made)
    return ends


# A bridge


@inReactor
async def test_bridgeToSlowClient(network: Network, dialect: str) -> None:
    """A bridge to a client that reads late loses nothing, and holds a few MiB at most."""
    (sender, here), (receiver, _) = await openBridge(network, dialect)
    receiver.stopReading()
    texts = [f"{number} " + "x" * 60_000 for number in range(300)]
    pump = sender.pump(texts)
    await network.stuck(pump)
    assert here.transport.bytesReceived < 4 * MIB
    receiver.readOn()
    await network.arrived(receiver, len(texts), 15)
    assert receiver.messages == texts


@inReactor
async def test_bridgeInBothDirections(network: Network, dialect: str) -> None:
    """A bridge that both sides fill before either of them reads loses nothing."""
    (one, _), (other, _) = await openBridge(network, dialect)
    texts = {client: [f"{number} {FILLING}" for number in range(60)] for client in (one, other)}
    pumps = []
    for client in (one, other):
        client.stopReading()
        pumps.append(client.pump(texts[client]))
    for pump in pumps:
        await network.stuck(pump)
    one.readOn()
    other.readOn()
    for client, sender in ((one, other), (other, one)):
        await network.arrived(client, len(texts[sender]), 15)
        assert client.messages == texts[sender]


@inReactor
async def test_bridgeClosesWithEitherEnd(network: Network, dialect: str) -> None:
    """
    When one end of a bridge is lost, the other is closed through its producer: with code 1000.
    """
    (leaver, gone), (other, left) = await openBridge(network, dialect)
    leaver.close()
    await network.closed(other, 1000)
    await network.until(lambda: gone.isLost and left.isLost, "connectionLost")
    assert isinstance(left.ending, WebSocketDone)
    assert gone.calls == left.calls == [STARTED, FINISHED, LOST]


# Of the wrong kind


@spread(
    "producer",
    {
        "pull": SimpleNamespace(resumeProducing=print, stopProducing=print),
        "none": None,
        "object": object(),
        "no-stop": SimpleNamespace(pauseProducing=print, resumeProducing=print),
        "no-resume": SimpleNamespace(pauseProducing=print, stopProducing=print),
        "not-callable": SimpleNamespace(
            pauseProducing=None, resumeProducing=print, stopProducing=print
        ),
    },
)
@inReactor
async def test_wrongProducerIsTypeError(network: Network, dialect: str, producer: object) -> None:
    """An object that is not a push producer is a TypeError, and not attached; another can be."""
    await network.serve(Recorder())
    client, made = await network.open(dialect)
    with pytest.raises(TypeError):
        made.transport.attachProducer(producer)
    made.transport.attachProducer(Producer())
    await network.answers(client)


@inReactor
async def test_secondProducerIsRuntimeError(network: Network, dialect: str) -> None:
    """Only one producer is attached at a time; the first stays."""
    await network.serve(Recorder())
    client, made = await network.open(dialect)
    first, second = Producer(), Producer()
    made.transport.attachProducer(first)
    with pytest.raises(RuntimeError):
        made.transport.attachProducer(second)
    client.close()
    await network.lost(made)
    assert (first.calls, second.calls) == ([STOP], [])


# That raise


@pytest.mark.parametrize(
    ("method", "error"), [(PAUSE, ValueError), (RESUME, asyncio.CancelledError)]
)
@inReactor
async def test_errorOfProducerEndsItsConnection(
    network: Network, dialect: str, method: str, error: type[BaseException]
) -> None:
    """An error in a producer ends its connection with 1011; all others go on."""
    await network.serve(Recorder(), sendLimit=64 * MIB)
    bystander, _ = await network.open(dialect)
    client, made = await network.open(dialect)
    producer = Producer(**{method: raises(error)})
    made.transport.attachProducer(producer)
    client.stopReading()
    await network.fill(made, lambda: PAUSE in producer.calls)
    client.readOn()
    await network.closed(client, 1011)
    await network.lost(made)
    await network.oneApplicationError(made, error)
    await network.answers(bystander)
    await network.goesOn(dialect)


@inReactor
async def test_errorOnAttachingEndsItsConnection(network: Network, dialect: str) -> None:
    """A producer that is paused when it is attached, and then raises, ends its connection, too."""

    def attachToFirst(made: Recording) -> None:
        if made is network.recorder.made[0]:
            made.transport.attachProducer(Producer(pauseProducing=raises(ValueError)))

    await network.serve(Recorder(negotiationStarted=attachToFirst))
    client = await network.connect(dialect)
    await network.closed(client, 1011)
    made = network.recorder.made[0]
    await network.lost(made)
    await network.oneApplicationError(made, ValueError)
    await network.goesOn(dialect)


@pytest.mark.parametrize(
    ("how", "error"), [("close", asyncio.CancelledError), ("abort", ValueError)]
)
@inReactor
async def test_errorInStopHidesNothing(
    network: Network, dialect: str, how: str, error: type[BaseException]
) -> None:
    """When stopProducing raises, connectionLost and notifyFinish are still called, once."""

    def ended(made: Recording) -> None:
        made.requestsEnded += 1

    def decide(made: Recording) -> Recording:
        made.request.notifyFinish().addErrback(lambda _: ended(made))
        return made

    await network.serve(Recorder(decide))
    bystander, _ = await network.open(dialect)
    client, made = await network.open(dialect)
    made.transport.attachProducer(Producer(stopProducing=raises(error)))
    getattr(client, how)()
    await network.until(lambda: made.isLost and made.requestsEnded, "connectionLost, notifyFinish")
    await network.oneApplicationError(made, error)
    assert made.calls == [STARTED, FINISHED, LOST]
    assert made.requestsEnded == 1
    await network.answers(bystander)


# That send


@inReactor
async def test_sendingOnResumeDoesNotLiftTheBlock(network: Network, dialect: str) -> None:
    """If a producer sends on resume, a client that still does not read is not read from."""
    await network.serve(Recorder(), sendLimit=64 * MIB)
    client, made = await network.open(dialect)
    calls: list[str] = []

    def resume() -> None:
        if calls.count(RESUME) == 1:
            client.stopReading()
            for _ in range(64):
                made.transport.sendTextMessage(FILLING)

    producer = Producer(resumeProducing=resume)
    calls = producer.calls
    made.transport.attachProducer(producer)
    client.stopReading()
    sent = await network.fill(made, lambda: calls)
    client.readOn()
    await network.until(lambda: RESUME in calls, "resumeProducing")
    await turns()
    assert calls[-1] == PAUSE
    client.send("unread")
    await turns()
    assert made.messages == []
    client.readOn()
    await network.delivered(made, 1)
    await network.until(lambda: len(client.messages) == sent + 64, "what was sent")
    assert calls[-1] == RESUME


# That come late


@pytest.mark.parametrize("how", ["close", "abort"])
@inReactor
async def test_producerAttachedInConnectionLostIsStopped(
    network: Network, dialect: str, how: str
) -> None:
    """A producer that is attached in connectionLost is stopped at once, and nothing else."""
    producer = Producer()
    await network.serve(
        Recorder(connectionLost=lambda made: made.transport.attachProducer(producer))
    )
    client, made = await network.open(dialect)
    getattr(client, how)()
    await network.lost(made)
    assert producer.calls == [STOP]


@inReactor
async def test_producerAttachedLaterIsStopped(network: Network, dialect: str) -> None:
    """The same holds for each one that is attached to a connection that was lost earlier."""
    await network.serve(Recorder())
    client, made = await network.open(dialect)
    client.close()
    await network.lost(made)
    producers = [Producer(), Producer()]
    for producer in producers:
        made.transport.attachProducer(producer)
    assert [producer.calls for producer in producers] == [[STOP], [STOP]]


@inReactor
async def test_errorInStopOfLateProducer(network: Network, dialect: str) -> None:
    """An error in stopProducing of a late producer is logged and counted; the server goes on."""

    def attachFaulty(made: Recording) -> None:
        made.transport.attachProducer(Producer(stopProducing=raises(ValueError)))

    await network.serve(Recorder(connectionLost=attachFaulty))
    client, made = await network.open(dialect)
    client.close()
    await network.lost(made)
    await network.oneApplicationError(made, ValueError)
    await network.goesOn(dialect)
