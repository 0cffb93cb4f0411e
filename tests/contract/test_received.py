"""Calls that an application schedules for the end of a read."""

from __future__ import annotations

import asyncio

from .application import Recorder, Recording
from .network import Network
from .spreading import spread
from .waiting import inReactor

ERRORS = spread("error", [SystemExit, asyncio.CancelledError, ValueError])


@ERRORS
@inReactor
async def test_errorAfterReceivingHoldsUpNobody(
    network: Network, dialect: str, error: type[BaseException]
) -> None:
    """Whatever a call raises is logged; the other calls and all that was sent go on."""
    order: list[str] = []

    def fail() -> None:
        order.append("fail")
        raise error("raised by a test")

    def handle(made: Recording, message: str) -> None:
        other = network.recorder.made[1]
        made.transport.sendTextMessage("before")
        other.transport.sendTextMessage("to the other")
        made.transport.whenReceived(lambda: order.append("first"))
        made.transport.whenReceived(fail)
        made.transport.whenReceived(lambda: order.append("last"))
        made.transport.whenReceived(lambda: made.transport.sendTextMessage("from a call"))
        made.transport.sendTextMessage("after")
        order.append("received")

    await network.serve(Recorder(textMessageReceived=handle))
    client, made = await network.open(dialect)
    bystander, _ = await network.open(dialect)
    client.send("go")
    await network.arrived(client, 3)
    await network.arrived(bystander, 1)
    assert order == ["received", "first", "fail", "last"]
    assert client.messages == ["before", "after", "from a call"]
    assert bystander.messages == ["to the other"]
    ((_, logged),) = network.takeErrors()
    assert isinstance(logged, error)
    await network.answers(client, bystander)
    await network.goesOn(dialect)
    assert not made.isLost


@ERRORS
@inReactor
async def test_errorInCallAtOnce(
    network: Network, dialect: str, error: type[BaseException]
) -> None:
    """
    A call that is made at once, because nothing is being received, does not raise to its caller.
    """
    await network.serve(Recorder())
    client, made = await network.open(dialect)

    def fail() -> None:
        made.transport.sendTextMessage("sent")
        raise error("raised by a test")

    made.transport.whenReceived(fail)
    await network.arrived(client, 1)
    ((_, logged),) = network.takeErrors()
    assert isinstance(logged, error)
    await network.answers(client)
