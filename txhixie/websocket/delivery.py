"""
Calls an application: one method after the other, each waiting for the one before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txhixie.application import WebSocketProtocol
from txhixie.dialects.connection import Connection
from txhixie.dialects.events import Closed, Discarded, Event, Failed, Pong
from txhixie.websocket.awaiting import deferredFrom
from txhixie.websocket.reading import Reading
from txhixie.websocket.turn import Turn

# A call of the application that is queued among the events.
_Call = partial[object]


class Owner(Protocol):
    """
    The connection that a L{Delivery} belongs to.
    """

    def happened(self, event: Closed | Failed | Discarded) -> object:
        """
        Handle an event of the connection.

        @return: what the application returned, if it was called.
        """

    def applicationFailed(self, failure: Failure) -> None:
        """
        Handle an error of the application.
        """

    def callbackRuns(self) -> None:
        """
        A callback returned an awaitable.
        """

    def callbackEnded(self) -> None:
        """
        The awaitable has finished, or is no longer waited for.
        """

    def caughtUp(self) -> None:
        """
        Everything that was held is handled, or has to wait again.
        """


class Delivery:
    """
    Delivers what is received to the application, in order. Events are held while reading is
    suspended or a callback has not finished.

    @ivar isOpen: whether messages are delivered; otherwise they are dropped.
    @ivar isTelling: whether the application is being called.
    @ivar bytesReceived: bytes received after the request head.
    @ivar messagesReceived: messages delivered to the application.
    """

    __slots__ = (
        "_connection",
        "_held",
        "_isDelayed",
        "_owner",
        "_protocol",
        "_reading",
        "_running",
        "_turn",
        "bytesReceived",
        "isOpen",
        "isTelling",
        "messagesReceived",
    )

    def __init__(
        self,
        protocol: WebSocketProtocol,
        connection: Connection,
        reading: Reading,
        turn: Turn,
        owner: Owner,
    ) -> None:
        self._protocol = protocol
        self._connection = connection
        self._reading = reading
        self._turn = turn
        self._owner = owner
        self.isOpen = False
        self.isTelling = False
        # Something was received while the application was being called.
        self._isDelayed = False
        self._held: Iterator[Event | _Call] | None = None
        # What a callback returned, until it is done.
        self._running: Deferred[Any] | None = None
        self.bytesReceived = 0
        self.messagesReceived = 0

    @property
    def isRunning(self) -> bool:
        """
        Whether a callback has not finished.
        """
        return self._running is not None

    def receive(self, data: bytes) -> None:
        """
        Deliver what is in C{data}, within a turn.
        """
        self.isTelling = True
        try:
            self.bytesReceived += len(data)
            self._tell(iter(self._connection.receiveData(data)))
        finally:
            self.isTelling = False
        if self._isDelayed:
            self.goOn()

    def call(self, method: Callable[..., object], *args: object) -> None:
        """
        Call the application after all held events.
        """
        call = iter((partial(method, *args),))
        self._held = call if self._held is None else chain(self._held, call)
        self.goOn()

    def lastCall(self, method: Callable[..., object], *args: object) -> None:
        """
        Call the application for the last time, whatever is still held.
        """
        self.drop()
        self.isTelling = True
        self._tell(iter((partial(method, *args),)))
        self.isTelling = False
        del self._protocol

    def drop(self) -> None:
        """
        Drop what was received and not delivered.
        """
        self._held = None
        self._reading.parked = b""

    def goOn(self) -> None:
        """
        Deliver what is held, unless it has to wait.
        """
        if self.isTelling:
            self._isDelayed = True
        else:
            self._turn.run(self._deliverWaiting)

    def _deliverWaiting(self) -> None:
        reading = self._reading
        self.isTelling = True
        try:
            while not reading.isSuspended:
                if self._held is not None:
                    events, self._held = self._held, None
                elif reading.parked and reading.isFree:
                    data, reading.parked = reading.parked, b""
                    self.bytesReceived += len(data)
                    events = iter(self._connection.receiveData(data))
                else:
                    break
                self._tell(events)
        finally:
            self.isTelling = self._isDelayed = False
        self._owner.caughtUp()

    def _tell(self, events: Iterator[Event | _Call]) -> None:
        """
        Call the application for each event. If it raises, only this connection ends.
        """
        protocol, reading = self._protocol, self._reading
        try:
            for event in events:
                if type(event) is str:
                    if not self.isOpen:
                        continue
                    self.messagesReceived += 1
                    result = protocol.textMessageReceived(event)
                elif type(event) is bytes:
                    if not self.isOpen:
                        continue
                    self.messagesReceived += 1
                    result = protocol.bytesMessageReceived(event)
                else:
                    result = self._happened(event)
                if result is not None:
                    self._await(result)
                if reading.isSuspended:
                    # A call may have been added meanwhile. It comes after these events.
                    self._held = events if self._held is None else chain(events, self._held)
                    return
        except BaseException:
            self._owner.applicationFailed(Failure())
            # The end of the connection may still be among the events. No message is delivered now.
            self._tell(events)

    def _happened(self, event: object) -> object:
        match event:
            case partial():
                return event()
            case Pong(payload):
                return self._protocol.pongReceived(payload) if self.isOpen else None
            case Closed() | Failed() | Discarded():
                return self._owner.happened(event)
        return None

    # Callbacks that are awaited

    def _await(self, result: object) -> None:
        running = deferredFrom(result)
        if running is None:
            return
        self._running = running
        # The bound method keeps the owner until the callback has finished.
        running.addErrback(self._callbackFailed, running, self._owner.applicationFailed)
        running.addCallback(self._callbackDone, running)
        if self._running is running:
            self._owner.callbackRuns()

    def _callbackFailed(
        self, failure: Failure, running: Deferred[Any], failed: Callable[[Failure], object]
    ) -> None:
        # If nobody waits for it any longer, we cancelled it ourselves.
        if self._running is running or not failure.check(CancelledError, asyncio.CancelledError):
            failed(failure)

    def _callbackDone(self, _: object, running: Deferred[Any]) -> None:
        if self._running is running:
            self._running = None
            self._owner.callbackEnded()

    def cancel(self) -> None:
        """
        Stop waiting for a callback, and drop what is held for it.
        """
        running, self._running = self._running, None
        if running is not None:
            self.drop()
            running.cancel()
            self._owner.callbackEnded()
