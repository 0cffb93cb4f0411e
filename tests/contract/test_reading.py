"""An application that reads slower than its client sends."""

from __future__ import annotations

from itertools import islice

import pytest
from twisted.internet.interfaces import IPushProducer

from tests.support import MODERN
from txhixie import State, WebSocketDone

from .application import FINISHED, LOST, STARTED, TEXT, Recorder, Recording
from .network import FILLING, Network
from .waiting import clock, inReactor, turns


def pauseAtEach(made: Recording, message: str) -> None:
    """A hook that pauses after each message."""
    made.transport.pauseProducing()


@inReactor
async def test_transportIsPushProducer(network: Network, dialect: str) -> None:
    """An application's transport is an IPushProducer, before it is open, too."""
    provided = []
    await network.serve(
        Recorder(
            negotiationStarted=lambda made: provided.append(
                IPushProducer.providedBy(made.transport)
            )
        )
    )
    _, made = await network.open(dialect)
    assert [*provided, IPushProducer.providedBy(made.transport)] == [True, True]


@inReactor
async def test_pauseHoldsBackMessages(network: Network, dialect: str) -> None:
    """A paused application gets no message, of the same read or of later ones, until it resumes."""
    await network.serve(
        Recorder(
            textMessageReceived=lambda made, message: (
                made.transport.pauseProducing() if message == "1" else None
            )
        )
    )
    client, made = await network.open(dialect)
    client.send("1", "2", "3")
    await network.delivered(made, 1)
    client.send("4")
    await turns()
    assert made.messages == ["1"]
    made.transport.resumeProducing()
    await network.delivered(made, 4)
    client.send("5")
    await network.delivered(made, 5)
    assert made.messages == ["1", "2", "3", "4", "5"]


@inReactor
async def test_resumeDeliversUpToNextPause(network: Network, dialect: str) -> None:
    """An application that pauses in each callback gets one message for each resume."""
    await network.serve(Recorder(textMessageReceived=pauseAtEach))
    client, made = await network.open(dialect)
    client.send(*"12345")
    for count in range(1, 6):
        await network.delivered(made, count)
        await turns()
        assert made.messages == [*"12345"][:count]
        made.transport.resumeProducing()


@inReactor
async def test_pausingTwiceTakesOneResume(network: Network, dialect: str) -> None:
    """Pausing again, or resuming without a pause, changes nothing."""
    await network.serve(Recorder())
    client, made = await network.open(dialect)
    made.transport.resumeProducing()
    made.transport.pauseProducing()
    made.transport.pauseProducing()
    client.send("1")
    await turns()
    assert made.messages == []
    made.transport.resumeProducing()
    made.transport.resumeProducing()
    await network.delivered(made, 1)
    client.send("2")
    await network.delivered(made, 2)
    assert made.messages == ["1", "2"]


@inReactor
async def test_pauseFromNegotiationStarted(network: Network, dialect: str) -> None:
    """Messages that come with the opening handshake wait, too."""
    await network.serve(Recorder(negotiationStarted=lambda made: made.transport.pauseProducing()))
    await network.connect(dialect, "1", "2")
    await network.until(lambda: network.recorder.made, "the application")
    made = network.recorder.made[0]
    await turns()
    assert made.messages == []
    made.transport.resumeProducing()
    await network.delivered(made, 2)
    assert made.calls == [STARTED, FINISHED, TEXT, TEXT]
    assert made.messages == ["1", "2"]


@inReactor
async def test_pausedMessagesWaitInKernel(network: Network, dialect: str) -> None:
    """Data that a client sends to a paused application is not read: it stays with the client."""
    await network.serve(Recorder())
    client, made = await network.open(dialect)
    made.transport.pauseProducing()
    texts = [f"{number} {FILLING}" for number in range(64)]
    pump = client.pump(texts)
    await network.stuck(pump)
    assert made.messages == []
    assert made.transport.bytesReceived <= 256 * 1024
    made.transport.resumeProducing()
    await network.delivered(made, len(texts))
    assert made.messages == texts


@inReactor
async def test_pauseDoesNotTouchSending(network: Network, dialect: str) -> None:
    """A paused application can send."""
    await network.serve(Recorder())
    client, made = await network.open(dialect)
    made.transport.pauseProducing()
    made.transport.sendTextMessage("1")
    made.transport.ping(b"2")
    made.transport.sendTextMessage("3")
    await network.arrived(client, 2)
    assert client.messages == ["1", "3"]
    assert client.pings == ([b"2"] if dialect in MODERN else [])


@inReactor
async def test_resumeKeepsOrderOfWhatWaits(network: Network, dialect: str) -> None:
    """
    Messages that are sent after a pause of reading do not overtake what waits for a slow client.
    """
    await network.serve(Recorder(), sendLimit=1 << 26)
    client, made = await network.open(dialect)
    client.stopReading()
    texts = [f"{number} {FILLING}" for number in range(200)]
    waiting = iter(texts)

    def sendNext() -> None:
        made.transport.pauseProducing()
        made.transport.resumeProducing()
        for text in islice(waiting, 1):
            made.transport.sendTextMessage(text)

    for text in islice(waiting, 100):
        made.transport.sendTextMessage(text)
        await turns(1)
    # The kernel has room now, but the transport has not noticed it yet.
    client.hook = sendNext
    client.readOn()
    await network.arrived(client, len(texts), 10)
    assert client.messages == texts


@inReactor
async def test_slowEchoToSlowClient(network: Network, dialect: str) -> None:
    """An echo that pauses after each message loses nothing from a client that reads slowly."""

    def echoSlowly(made: Recording, message: str) -> None:
        made.transport.sendTextMessage(message)
        made.transport.pauseProducing()
        clock().callLater(0, made.transport.resumeProducing)

    def readSlowly() -> None:
        client.stopReading()
        clock().callLater(0.001, client.readOn)

    await network.serve(Recorder(textMessageReceived=echoSlowly))
    client, _ = await network.open(dialect)
    client.hook = readSlowly
    texts = [f"{number} " + "x" * 8000 for number in range(500)]
    client.pump(texts)
    await network.arrived(client, len(texts), 10)
    assert client.messages == texts


@inReactor
async def test_stopClosesAsLoseConnectionDoes(network: Network, dialect: str) -> None:
    """Stopping the transport closes the connection with the dialect's handshake, and code 1000."""
    await network.serve(Recorder())
    client, made = await network.open(dialect)
    made.transport.sendTextMessage("last")
    made.transport.stopProducing()
    made.transport.sendTextMessage("too late")
    await network.closed(client, 1000)
    await network.lost(made)
    assert client.messages == ["last"]
    assert made.calls == [STARTED, FINISHED, LOST]
    assert isinstance(made.ending, WebSocketDone)


@pytest.mark.parametrize("close", ["loseConnection", "stopProducing"])
@inReactor
async def test_closeWhilePaused(network: Network, dialect: str, close: str) -> None:
    """A paused connection can be closed in good order; what waited is no longer delivered."""
    await network.serve(Recorder(textMessageReceived=pauseAtEach))
    client, made = await network.open(dialect)
    client.send("1", "2")
    await network.delivered(made, 1)
    getattr(made.transport, close)()
    await network.closed(client, 1000)
    await network.lost(made)
    assert made.messages == ["1"]
    assert isinstance(made.ending, WebSocketDone)


@inReactor
async def test_lateCallsDoNothing(network: Network, dialect: str) -> None:
    """Pausing, resuming or stopping a connection that is gone does nothing."""
    await network.serve(Recorder())
    client, made = await network.open(dialect)
    client.close()
    await network.lost(made)
    for method in ("pauseProducing", "resumeProducing", "stopProducing"):
        getattr(made.transport, method)()
    await turns()
    assert made.calls == [STARTED, FINISHED, LOST]
    assert made.transport.state is State.CLOSED


@pytest.mark.parametrize("dialect", MODERN)
@inReactor
async def test_pausedClientIsNotBlamed(network: Network, dialect: str) -> None:
    """A client whose pongs are not read does not count as dead; other silent clients do."""

    def pauseFirst(made: Recording) -> None:
        if made is network.recorder.made[0]:
            made.transport.pauseProducing()

    await network.serve(
        Recorder(negotiationFinished=pauseFirst), pingInterval=0.02, pingTimeout=0.02
    )
    _, made = await network.open(dialect)
    for _ in range(2):
        silent, _ = await network.open(dialect)
        silent.answersPings = False
        await network.ended(silent)
    assert not made.isLost
