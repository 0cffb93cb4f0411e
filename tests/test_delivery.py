"""In which order an application is called."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from txhixie.dialects.events import Closed
from txhixie.websocket.delivery import Delivery
from txhixie.websocket.reading import Pause, Reading
from txhixie.websocket.turn import Turn


def test_addedWhileSuspended() -> None:
    """A call that is added while messages begin to wait comes after them."""
    calls: list[str] = []
    reading = Reading(StringTransport())

    def received(message: str) -> None:
        calls.append(message)
        if message == "first":
            reading.pause(Pause.APPLICATION)
            delivery.call(calls.append, "added")

    protocol: Any = SimpleNamespace(textMessageReceived=received)
    connection: Any = SimpleNamespace(receiveData=lambda data: ["first", "second"])
    owner: Any = SimpleNamespace(caughtUp=lambda: None)
    delivery = Delivery(protocol, connection, reading, Turn(Clock()), owner)
    delivery.isOpen = True
    delivery.receive(b"two messages")
    assert calls == ["first"]
    reading.resume(Pause.APPLICATION)
    delivery.goOn()
    assert calls == ["first", "second", "added"]


def test_closeAfterMessages() -> None:
    """Messages to a connection that is closing are dropped. The peer's close after them is not."""
    happened: list[object] = []
    closed = Closed(1000, "")
    connection: Any = SimpleNamespace(receiveData=lambda data: ["text", b"bytes", closed])
    owner: Any = SimpleNamespace(caughtUp=lambda: None, happened=happened.append)
    reading = Reading(StringTransport())
    protocol: Any = SimpleNamespace()
    delivery = Delivery(protocol, connection, reading, Turn(Clock()), owner)
    delivery.receive(b"two messages and a close")
    assert happened == [closed]
    assert delivery.messagesReceived == 0


def test_resumedWithin() -> None:
    """What an application resumes while it is called is delivered after what waited before."""
    calls: list[str] = []
    reading = Reading(StringTransport())

    def received(message: str) -> None:
        calls.append(message)
        if message == "first":
            reading.pause(Pause.APPLICATION)
        elif message == "second":
            delivery.goOn()

    messages = {b"early": ["first", "second", "third"], b"parked": ["fourth"]}
    protocol: Any = SimpleNamespace(textMessageReceived=received)
    connection: Any = SimpleNamespace(receiveData=messages.__getitem__)
    owner: Any = SimpleNamespace(caughtUp=lambda: None)
    delivery = Delivery(protocol, connection, reading, Turn(Clock()), owner)
    delivery.isOpen = True
    delivery.receive(b"early")
    reading.parked = b"parked"
    reading.resume(Pause.APPLICATION)
    delivery.goOn()
    assert calls == ["first", "second", "third", "fourth"]
