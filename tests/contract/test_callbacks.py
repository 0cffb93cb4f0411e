"""Callbacks that return an awaitable, or that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.support import IDIOMS, MODERN
from txhixie import State, WebSocketDone, WebSocketLost

from .application import (
    BYTES,
    DROPPED,
    FINISHED,
    LOST,
    PONG,
    STARTED,
    TEXT,
    Recorder,
    Recording,
    raises,
)
from .awaitables import KINDS, Pending
from .client import Client
from .network import FILLING, Network
from .spreading import spread
from .waiting import inReactor, turns

# The callbacks during a connection, with the dialects that have them; they may all return the same.
CALLBACKS = [
    pytest.param(dialect, callback, id=f"{dialect}-{callback}")
    for dialect in IDIOMS
    for callback in (STARTED, FINISHED, TEXT, BYTES, PONG, DROPPED)
    if dialect in MODERN or callback not in (BYTES, PONG)
]
inEachCallback = pytest.mark.parametrize(("dialect", "callback"), CALLBACKS)
ofEachKind = spread("kind", KINDS)
withEachError = spread("error", [SystemExit, asyncio.CancelledError, ValueError])

# The messages that an application has received when L{provoke} calls the callback.
MESSAGES_BEFORE: dict[str, list[str | bytes]] = {TEXT: ["first"], BYTES: [b"first"]}


@pytest.fixture
def kind() -> str:
    """What applications return, if the kind makes no difference."""
    return "coroutine"


@pytest.fixture
def pending(kind: str) -> Iterator[Pending]:
    """Something that a callback returns, and that the test completes."""
    pending = Pending(kind)
    yield pending
    pending.close()


class Once:
    """
    A hook that returns an awaitable the first time it is called, and nothing later.
    """

    def __init__(self, pending: Pending) -> None:
        self.isCalled = False
        self._pending = pending

    def __call__(self, made: Recording, *arguments: object) -> Any:
        """
        Return the awaitable, once.
        """
        if self.isCalled:
            return None
        self.isCalled = True
        return self._pending.awaitable


async def serveFor(network: Network, callback: str, **hooks: Any) -> None:
    """
    Start a server whose connections can be L{provoke}d.
    """
    limits = {"slowPolicy": "drop", "sendLimit": len(FILLING)} if callback == DROPPED else {}
    await network.serve(Recorder(**hooks), **limits)


async def provoke(network: Network, dialect: str, callback: str) -> Client:
    """
    Make a new connection call the callback, and send the messages C{1} and C{2} after what causes
    the call.
    """
    if callback in (STARTED, FINISHED):
        return await network.connect(dialect, "1", "2")
    client, made = await network.open(dialect)
    match callback:
        case "textMessageReceived":
            client.send("first")
        case "bytesMessageReceived":
            client.sendBytes(b"first")
        case "pongReceived":
            client.sendPong(b"first")
        case _:
            client.stopReading()
            await network.fill(made, lambda: network.counted("messages dropped"))
            client.readOn()
            await network.until(lambda: DROPPED in made.calls, DROPPED)
    client.send("1", "2")
    return client


# One after the other


@inEachCallback
@inReactor
async def test_callbackIsAwaited(
    network: Network, dialect: str, callback: str, pending: Pending
) -> None:
    """While what a callback returned is awaited, no other is called; afterwards all are."""
    hook = Once(pending)
    await serveFor(network, callback, **{callback: hook})
    await provoke(network, dialect, callback)
    await network.until(lambda: hook.isCalled, callback)
    made = network.recorder.made[0]
    await turns()
    before = {STARTED: [STARTED], FINISHED: [STARTED, FINISHED]}
    assert made.calls == before.get(callback, [STARTED, FINISHED, callback])
    pending.finish("the result does not matter")
    await network.until(lambda: made.messages[-2:] == ["1", "2"], "the messages")
    between = [] if callback in before else [callback]
    assert made.calls == [STARTED, FINISHED, *between, TEXT, TEXT]


@ofEachKind
@inReactor
async def test_anyAwaitableIsAwaited(network: Network, dialect: str, pending: Pending) -> None:
    """A callback may return a coroutine, a Deferred, a future, or anything else to await."""
    await network.serve(Recorder(textMessageReceived=Once(pending)))
    client, made = await network.open(dialect)
    client.send("1", "2")
    await network.delivered(made, 1)
    await turns()
    assert made.messages == ["1"]
    pending.finish()
    await network.delivered(made, 2)


@inReactor
async def test_messagesAreHandledOneByOne(network: Network, dialect: str) -> None:
    """A message of the same read is delivered when the one before it has been handled."""
    steps: list[str] = []
    waiting: list[Deferred[None]] = []

    async def handle(made: Recording, message: str) -> None:
        steps.append(f"begin {message}")
        wait: Deferred[None] = Deferred()
        waiting.append(wait)
        await wait
        steps.append(f"end {message}")

    await network.serve(Recorder(textMessageReceived=handle))
    client, _ = await network.open(dialect)
    client.send(*"123")
    client.send(*"45")
    for _ in range(5):
        await network.until(lambda: waiting, "the next message")
        await turns()
        assert len(waiting) == 1
        waiting.pop().callback(None)
    await network.until(lambda: len(steps) == 10, "all messages")
    assert steps == [f"{step} {number}" for number in "12345" for step in ("begin", "end")]


@inReactor
async def test_handledAtOnceGoesOnAtOnce(network: Network, dialect: str) -> None:
    """A thousand messages whose coroutines do not wait are handled, in order."""

    async def echo(made: Recording, message: str) -> None:
        made.transport.sendTextMessage(message)

    await network.serve(Recorder(textMessageReceived=echo))
    client, _ = await network.open(dialect)
    texts = [str(number) for number in range(1000)]
    client.send(*texts)
    await network.arrived(client, len(texts))
    assert client.messages == texts


@inReactor
async def test_readingIsPausedMeanwhile(network: Network, dialect: str, pending: Pending) -> None:
    """While a message is handled nothing is read: a slow application slows its client down."""
    await network.serve(Recorder(textMessageReceived=Once(pending)))
    client, made = await network.open(dialect)
    texts = [f"{number} {FILLING}" for number in range(64)]
    pump = client.pump(texts)
    await network.stuck(pump)
    assert len(made.messages) == 1
    assert made.transport.bytesReceived <= 512 * 1024
    pending.finish()
    await network.delivered(made, len(texts))
    assert made.messages == texts


@inReactor
async def test_resumeDoesNotOvertake(network: Network, dialect: str, pending: Pending) -> None:
    """An application that pauses and resumes while it handles a message gets no other."""
    await network.serve(Recorder(textMessageReceived=Once(pending)))
    client, made = await network.open(dialect)
    client.send("1", "2")
    await network.delivered(made, 1)
    client.send("3")
    made.transport.pauseProducing()
    made.transport.resumeProducing()
    await turns()
    assert made.messages == ["1"]
    pending.finish()
    await network.delivered(made, 3)
    assert made.messages == ["1", "2", "3"]


@inReactor
async def test_pauseOutlastsTheCallback(network: Network, dialect: str, pending: Pending) -> None:
    """An application that paused while it handled a message resumes by itself."""
    await network.serve(Recorder(textMessageReceived=Once(pending)))
    client, made = await network.open(dialect)
    client.send("1", "2")
    await network.delivered(made, 1)
    made.transport.pauseProducing()
    pending.finish()
    await turns()
    assert made.messages == ["1"]
    made.transport.resumeProducing()
    await network.delivered(made, 2)


@inReactor
async def test_othersDoNotWait(network: Network, dialect: str, pending: Pending) -> None:
    """One connection's slow callback delays no other connection."""
    await network.serve(Recorder(textMessageReceived=Once(pending)))
    client, made = await network.open(dialect)
    bystander, _ = await network.open(dialect)
    client.send("1", "2")
    await network.delivered(made, 1)
    await network.answers(bystander)
    await network.goesOn(dialect)
    assert made.messages == ["1"]
    pending.finish()
    await network.delivered(made, 2)


@inReactor
async def test_sendingDoesNotWait(network: Network, dialect: str) -> None:
    """What a coroutine sends is written at once, before and after it waits."""
    waiting: Deferred[None] = Deferred()

    async def answer(made: Recording, message: str) -> None:
        made.transport.sendTextMessage("before")
        await waiting
        made.transport.sendTextMessage("after")

    await network.serve(Recorder(textMessageReceived=answer))
    client, _ = await network.open(dialect)
    client.send("1")
    await network.arrived(client, 1)
    await turns()
    assert client.messages == ["before"]
    waiting.callback(None)
    await network.arrived(client, 2)
    assert client.messages == ["before", "after"]


@inReactor
async def test_messagesBeforeCloseAreDelivered(
    network: Network, dialect: str, pending: Pending
) -> None:
    """Everything that a client sent before its close is delivered; the answer comes after that."""
    await network.serve(Recorder(textMessageReceived=Once(pending)))
    client, made = await network.open(dialect)
    idiom = IDIOMS[dialect]
    client.sendRaw(b"".join(map(idiom.clientText, "123")) + idiom.clientClose)
    await network.delivered(made, 1)
    if not idiom.clientClose:
        client.close()
    await turns()
    assert made.calls == [STARTED, FINISHED, TEXT]
    assert client.closes == []
    pending.finish()
    await network.lost(made)
    assert made.messages == ["1", "2", "3"]
    assert made.calls == [STARTED, FINISHED, TEXT, TEXT, TEXT, LOST]
    assert isinstance(made.ending, WebSocketDone)


@inReactor
async def test_closeWhileHandling(network: Network, dialect: str, pending: Pending) -> None:
    """
    A callback closes and then waits: the close is sent at once, and nothing more is delivered.
    """

    def close(made: Recording, message: str) -> Any:
        made.transport.loseConnection(4001, "enough")
        return pending.awaitable

    await network.serve(Recorder(textMessageReceived=close), closeTimeout=20)
    client, made = await network.open(dialect)
    client.send("1", "2")
    await network.until(lambda: client.closes or client.ended, "the close")
    await turns()
    assert made.calls == [STARTED, FINISHED, TEXT]
    pending.finish()
    await network.closed(client, 4001)
    await network.lost(made)
    assert made.calls == [STARTED, FINISHED, TEXT, LOST]


# Errors


@inEachCallback
@inReactor
async def test_failureOfAwaitedEndsConnection(
    network: Network, dialect: str, callback: str, pending: Pending
) -> None:
    """An error in what a callback returned ends that connection with 1011; the server goes on."""
    hook = Once(pending)
    await serveFor(network, callback, **{callback: hook})
    client = await provoke(network, dialect, callback)
    await network.until(lambda: hook.isCalled, callback)
    made = network.recorder.made[0]
    pending.fail(ValueError("raised by a test"))
    await network.closed(client, 1011)
    await network.lost(made)
    await network.oneApplicationError(made, ValueError)
    assert made.messages == MESSAGES_BEFORE.get(callback, [])
    await network.goesOn(dialect)


@pytest.mark.parametrize("how", ["fail", "cancel"])
@ofEachKind
@inReactor
async def test_failureOfAnyAwaitableEndsConnection(
    network: Network, dialect: str, how: str, pending: Pending
) -> None:
    """An error in any kind of awaitable does the same, and so does its cancellation."""
    await network.serve(Recorder(textMessageReceived=Once(pending)))
    client, made = await network.open(dialect)
    client.send("1", "2")
    await network.delivered(made, 1)
    if how == "fail":
        pending.fail(ValueError("raised by a test"))
    else:
        pending.cancel()
    await network.closed(client, 1011)
    await network.lost(made)
    await network.oneApplicationError(made, ValueError if how == "fail" else BaseException)
    assert made.messages == ["1"]


@inEachCallback
@inReactor
async def test_errorEndsConnection(network: Network, dialect: str, callback: str) -> None:
    """Even a SystemExit in a plain callback ends only that connection, with 1011."""

    def raiseInFirst(made: Recording, *arguments: object) -> None:
        if made is network.recorder.made[0]:
            raise SystemExit("raised by a test")

    await serveFor(network, callback, **{callback: raiseInFirst})
    client = await provoke(network, dialect, callback)
    await network.closed(client, 1011)
    made = network.recorder.made[0]
    await network.lost(made)
    await network.oneApplicationError(made, SystemExit)
    assert made.messages == MESSAGES_BEFORE.get(callback, [])
    await network.goesOn(dialect)


@withEachError
@inReactor
async def test_anyErrorEndsConnection(
    network: Network, dialect: str, error: type[BaseException]
) -> None:
    """Whatever a plain callback raises, all other connections go on."""
    await network.serve(Recorder(textMessageReceived=raises(error)))
    bystander, _ = await network.open(dialect)
    client, made = await network.open(dialect)
    client.send("1", "2")
    await network.closed(client, 1011)
    await network.lost(made)
    await network.oneApplicationError(made, error)
    assert made.messages == ["1"]
    await network.answers(bystander)


@withEachError
@inReactor
async def test_errorInConnectionLostIsLogged(
    network: Network, dialect: str, error: type[BaseException]
) -> None:
    """Whatever connectionLost raises is logged and counted; the server goes on."""
    await network.serve(Recorder(connectionLost=raises(error)))
    client, made = await network.open(dialect)
    client.close()
    await network.lost(made)
    await network.oneApplicationError(made, error)
    await network.goesOn(dialect)


@pytest.mark.parametrize("how", ["fail", "cancel"])
@ofEachKind
@inReactor
async def test_failureOfAwaitedConnectionLostIsLogged(
    network: Network, dialect: str, how: str, pending: Pending
) -> None:
    """A failure of what connectionLost returns is treated the same, and so is its cancellation."""
    await network.serve(Recorder(connectionLost=Once(pending)))
    client, made = await network.open(dialect)
    client.close()
    await network.lost(made)
    if how == "fail":
        pending.fail(ValueError("raised by a test"))
    else:
        pending.cancel()
    await network.oneApplicationError(made, ValueError if how == "fail" else BaseException)
    await network.goesOn(dialect)


# A connection that is lost meanwhile


# What the running callback returned, and which side ends its connection.
whenLost = spread(
    "kind, how",
    {f"{kind}-{how}": (kind, how) for kind in KINDS for how in ("application", "client")},
    first=["coroutine-application", "coroutine-client"],
)


async def lose(network: Network, client: Client, made: Recording, how: str) -> None:
    """
    End a connection without a closing handshake.

    @param how: which side ends it.
    """
    if how == "application":
        made.transport.abort()
    else:
        client.abort()
        await turns(3)
        # Nothing is read: only sending shows that the client is gone.
        for _ in range(3):
            made.transport.sendTextMessage("is anybody there?")
            await turns(3)
    await network.until(lambda: made.transport.state is State.CLOSED, "the loss")


@whenLost
@inReactor
async def test_callbackMayFinishAfterLoss(
    network: Network, dialect: str, how: str, pending: Pending
) -> None:
    """A callback that runs when its connection is lost may finish; connectionLost comes then."""
    await network.serve(Recorder(textMessageReceived=Once(pending)), closeTimeout=20)
    client, made = await network.open(dialect)
    client.send("1", "2")
    await network.delivered(made, 1)
    await lose(network, client, made, how)
    await turns()
    assert made.calls == [STARTED, FINISHED, TEXT]
    assert not pending.isCancelled
    pending.finish()
    await network.lost(made)
    await turns()
    assert made.calls == [STARTED, FINISHED, TEXT, LOST]
    assert isinstance(made.ending, WebSocketLost)


@whenLost
@inReactor
async def test_callbackIsCancelledAfterLoss(
    network: Network, dialect: str, how: str, pending: Pending
) -> None:
    """It is cancelled when closeTimeout is over; connectionLost comes then, once."""
    await network.serve(Recorder(textMessageReceived=Once(pending)), closeTimeout=0.01)
    client, made = await network.open(dialect)
    client.send("1", "2")
    await network.delivered(made, 1)
    await lose(network, client, made, how)
    await network.until(lambda: pending.isCancelled, "the cancellation")
    await network.lost(made)
    await turns()
    assert made.calls == [STARTED, FINISHED, TEXT, LOST]
    # It may be logged or not.
    network.takeErrors()


@inReactor
async def test_whatCallbackSendsAfterLossIsDropped(network: Network, dialect: str) -> None:
    """A callback that goes on after the loss may send and close: nothing happens."""
    waiting: Deferred[None] = Deferred()
    done = []

    async def handle(made: Recording, message: str) -> None:
        await waiting
        made.transport.sendTextMessage("too late")
        made.transport.ping()
        made.transport.loseConnection()
        made.transport.abort()
        done.append(message)

    await network.serve(Recorder(textMessageReceived=handle), closeTimeout=20)
    client, made = await network.open(dialect)
    client.send("1")
    await network.delivered(made, 1)
    made.transport.abort()
    await network.until(lambda: made.transport.state is State.CLOSED, "the loss")
    waiting.callback(None)
    await network.lost(made)
    assert made.calls == [STARTED, FINISHED, TEXT, LOST]
    assert done == ["1"]
