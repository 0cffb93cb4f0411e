"""
One open WebSocket: to its application the transport, to TCP the protocol.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from txhixie.application import WebSocketProtocol
from txhixie.dialects.connection import Connection, State
from txhixie.dialects.events import (
    CloseCode,
    Closed,
    Discarded,
    Event,
    Failed,
    Pong,
    mayBeSent,
)
from txhixie.websocket.awaiting import deferredFrom
from txhixie.websocket.ended import WebSocketDone, WebSocketLost
from txhixie.websocket.hangup import Hangup
from txhixie.websocket.holding import Holding
from txhixie.websocket.liveness import Liveness
from txhixie.websocket.outgoing import Outgoing
from txhixie.websocket.pacing import MUCH, adaptRead
from txhixie.websocket.ratelimit import printable
from txhixie.websocket.reading import Pause, Reading
from txhixie.websocket.shared import Shared
from txhixie.websocket.slowness import Slowness
from txhixie.websocket.stage import MOVES, Stage

if TYPE_CHECKING:
    from twisted.web.server import Request

# Looking up a member of an enum is slow enough to show in the cost of a message.
_OPEN = Stage.OPEN
_BEFORE_CLOSING = (Stage.OPENING, Stage.OPEN)

_PRODUCER_METHODS = ("pauseProducing", "resumeProducing", "stopProducing")


class Opener(Protocol):
    """
    What made the opening handshake, and takes part in the end.
    """

    def peerName(self) -> str:
        """
        Return the peer's address for the log.
        """

    def webSocketGone(self) -> None:
        """
        The application has heard of the end of the connection.
        """


@dataclass(frozen=True, slots=True)
class _Call:
    """
    A call of the application that waits its turn among the events.
    """

    method: Callable[..., object]
    args: tuple[object, ...] = ()


@implementer(IPushProducer)
class WebSocket:
    """
    One connection, from the moment it is accepted. See
    L{txhixie.application.WebSocketTransport} for what applications do with it.

    The parts do the work: L{Outgoing} writes, L{Reading} pauses, L{Slowness} deals with peers that
    do not read, L{Hangup} ends TCP, L{Liveness} finds dead peers. What is left here is the order of
    things: one L{Stage}, and the application's methods called one after the other.

    @ivar bytesReceived: bytes received after the request head.
    @ivar messagesReceived: messages delivered to the application.
    @ivar messagesSent: messages sent or waiting to be sent.
    """

    __slots__ = (
        "__weakref__",
        "_connection",
        "_farewell",
        "_hangup",
        "_held",
        "_holding",
        "_isBusy",
        "_isDelayed",
        "_isTelling",
        "_liveness",
        "_lostBy",
        "_opener",
        "_outgoing",
        "_producer",
        "_protocol",
        "_reading",
        "_request",
        "_running",
        "_sendLimit",
        "_shared",
        "_slowness",
        "_stage",
        "_transport",
        "_turn",
        "bytesReceived",
        "hasPing",
        "id",
        "messagesReceived",
        "messagesSent",
        "seenBytes",
        "seenMessages",
        "subprotocol",
    )

    def __init__(
        self,
        shared: Shared,
        liveness: Liveness,
        transport: Any,
        reading: Reading,
        connection: Connection,
        protocol: WebSocketProtocol,
        opener: Opener,
        *,
        name: str,
        subprotocol: str | None = None,
        request: Request | None = None,
    ) -> None:
        """
        @param transport: TCP or TLS or such.
        @param reading: pauses that transport.
        @param connection: the dialect's connection.
        @param protocol: the application's object for this connection.
        @param name: the L{id}.
        """
        self._shared = shared
        self._liveness = liveness
        self._turn = shared.turn
        self._sendLimit = shared.settings.sendLimit
        self._transport = transport
        self._reading = reading
        self._connection = connection
        self._protocol = protocol
        self._opener = opener
        self._outgoing = Outgoing(transport, connection, shared.turn, self)
        self._stage = Stage.OPENING
        # What arrives has to wait, or is dropped.
        self._isBusy = reading.isPaused
        # The application is being called; and something came up meanwhile.
        self._isTelling = False
        self._isDelayed = False
        # Events that were read and wait for the application.
        self._held: Iterator[Event | _Call] | None = None
        # What a callback of the application returned, until it is done.
        self._running: Deferred[Any] | None = None
        self._slowness: Slowness | None = None
        self._holding: Holding | None = None
        self._producer: IPushProducer | None = None
        self._hangup: Hangup | None = None
        # How the connection ends: what the peer said, or what is wrong.
        self._farewell: Closed | Failed | None = None
        self._lostBy: Failure | None = None
        self._request = None if request is None else weakref.ref(request)
        self.id = name
        self.subprotocol = subprotocol
        self.hasPing = connection.hasPing
        self.bytesReceived = 0
        self.messagesReceived = 0
        self.messagesSent = 0
        self.seenBytes = -1
        self.seenMessages = 0

    # What the connection is

    @property
    def dialect(self) -> str:
        """
        The name of the dialect.
        """
        return self._connection.dialect

    @property
    def request(self) -> Request | None:
        """
        The request that opened the connection, as long as the application keeps it.
        """
        return None if self._request is None else self._request()

    @property
    def state(self) -> State:
        """
        The C{readyState}.
        """
        if self._lostBy is not None:
            return State.CLOSED
        return State.CONNECTING if self._outgoing.isHeld else self._connection.state

    @property
    def bytesSent(self) -> int:
        """
        Bytes written after the request head, the answer to the handshake included.
        """
        return self._outgoing.bytesSent

    @property
    def isClosing(self) -> bool:
        """
        Whether a close was sent, or the connection is gone.
        """
        return self._stage not in _BEFORE_CLOSING

    @property
    def isEnding(self) -> bool:
        """
        Whether TCP is ending, or is gone.
        """
        return self._stage in (Stage.ENDING, Stage.LOST)

    @property
    def isPaused(self) -> bool:
        """
        Whether nothing is read.
        """
        return self._reading.isPaused

    def _enter(self, stage: Stage) -> None:
        assert stage in MOVES[self._stage], f"{self._stage} -> {stage}"
        self._stage = stage

    # The opening handshake, called by the opener

    def accepted(self, reply: bytes) -> None:
        """
        Tell the application that it has a connection, and send the head of the answer.
        """
        self._deliver(_Call(self._protocol.negotiationStarted, (self,)))
        self._outgoing.writeHandshake(reply)

    def opened(self, answer: bytes) -> None:
        """
        Let messages pass: the opening handshake is complete.

        @param answer: the end of our part of it.
        """
        self._outgoing.writeHandshake(answer)
        if self._stage is Stage.OPENING:
            self._enter(_OPEN)
        self._outgoing.release()
        self._liveness.watch(self, self._transport)
        if self._producer is not None and self._outgoing.isReady:
            self._callProducer(self._producer.resumeProducing)
        self._deliver(_Call(self._protocol.negotiationFinished))

    # Sending

    def sendTextMessage(self, text: str) -> None:
        """
        Send a text message.
        """
        outgoing = self._outgoing
        if outgoing.backlog > self._sendLimit and not self._admits(text):
            return
        size = self._connection.sendText(text)
        if size:
            self.messagesSent += 1
            outgoing.backlog += size
            if not outgoing.isUnsent:
                outgoing.isUnsent = True
                self._turn.flushSoon(outgoing)

    def sendTextMessages(self, texts: Iterable[str]) -> None:
        """
        Send several text messages at once.
        """
        if type(texts) is not tuple:
            if isinstance(texts, str):
                raise TypeError("sendTextMessages takes several str, not one")
            texts = tuple(texts)
        outgoing = self._outgoing
        if outgoing.backlog > self._sendLimit:
            for text in texts:
                self.sendTextMessage(text)
            return
        size = self._connection.sendTexts(texts)
        if size:
            self.messagesSent += len(texts)
            outgoing.backlog += size
            outgoing.flushSoon()

    def sendBytesMessage(self, data: bytes) -> None:
        """
        Send a bytes message.
        """
        if type(data) is not bytes:
            data = memoryview(data).tobytes()
        outgoing = self._outgoing
        if outgoing.backlog > self._sendLimit and not self._admits(data):
            return
        size = self._connection.sendBytes(data)
        if size:
            self.messagesSent += 1
            outgoing.backlog += size
            outgoing.flushSoon()

    def ping(self, payload: bytes = b"") -> None:
        """
        Send a ping.
        """
        self._connection.sendPing(payload)
        self._outgoing.flushSoon()

    def whenReceived(self, call: Callable[[], object]) -> None:
        """
        Call C{call} once everything that is being received has been handled.
        """
        self._turn.whenReceived(call)

    def whenSettled(self, call: Callable[[], object]) -> None:
        """
        Call C{call} once the reactor has delivered everything that came together.
        """
        self._turn.whenSettled(call)

    # A peer that does not read

    def _admits(self, message: str | bytes) -> bool:
        """
        Return whether a message is sent although the backlog is over the limit.
        """
        if self._stage not in _BEFORE_CLOSING:
            return True
        if self._slowness is None:
            self._slowness = Slowness(self._shared, self._outgoing, self)
        if self._slowness.isSlow:
            self._connection.checkMessage(message)
        isAdmitted = self._slowness.admits(message)
        if not isAdmitted:
            self._account()
        return isAdmitted

    def closeSlow(self) -> None:
        """
        Close the connection: the peer does not read. The backlog is given up, except for what the
        transport has.
        """
        if self._stage not in _BEFORE_CLOSING:
            return
        self._shared.count("slow closed")
        self._shared.log.info("{id} does not read what it is sent", id=self.id)
        self._giveUp(Failed(CloseCode.POLICY, "what was sent is not read"))

    def _giveUp(self, farewell: Failed) -> None:
        self._outgoing.giveUp()
        self._slowness = None
        self._bidFarewell(farewell)
        self._outgoing.flushSoon()
        self._account()

    def resend(self, message: str | bytes) -> None:
        """
        Send the newest message to a peer that reads again.
        """
        if isinstance(message, str):
            self.sendTextMessage(message)
        else:
            self.sendBytesMessage(message)

    def missed(self, count: int) -> None:
        """
        Tell the application how many messages its peer was not sent.
        """
        self._shared.log.info("{id} missed {count} messages", id=self.id, count=count)
        # This method is not one of Twisted's. An application that wants to know has it.
        tell = getattr(self._protocol, "messagesDropped", None)
        if tell is not None:
            self._deliver(_Call(tell, (count,)))

    # Producers

    def attachProducer(self, producer: IPushProducer) -> None:
        """
        Pause C{producer} while the peer does not read.
        """
        for method in _PRODUCER_METHODS:
            if not callable(getattr(producer, method, None)):
                raise TypeError(f"{producer!r} is not a push producer: it has no {method}")
        if self._lostBy is not None:
            self._callProducer(producer.stopProducing)
            return
        if self._producer is not None:
            raise RuntimeError("a producer is attached already")
        self._producer = producer
        if not self._outgoing.isReady:
            self._callProducer(producer.pauseProducing)

    def detachProducer(self) -> None:
        """
        Forget the attached producer.
        """
        self._producer = None

    def _callProducer(self, method: Callable[[], object]) -> None:
        try:
            method()
        except BaseException:
            self._protocolFailed(Failure())

    def outgoingBlocked(self) -> None:
        """
        Read no more, and pause the producer: the peer has to read first.
        """
        self._pause(Pause.PEER)
        self._account()
        if self._producer is not None:
            self._callProducer(self._producer.pauseProducing)

    def backlogChanged(self) -> None:
        """
        Report what waits to be written.
        """
        self._account()

    def outgoingResumed(self) -> None:
        """
        Go on with a peer that reads again.
        """
        if self._slowness is not None:
            self._slowness.catchUp()
        if self._outgoing.isReady and self._producer is not None:
            self._callProducer(self._producer.resumeProducing)
        if self._holding is not None:
            self._account()
        if self._outgoing.isReady:
            self._resume(Pause.PEER)

    # Too much, or for too long

    def _account(self) -> None:
        """
        Report what is held.
        """
        outgoing, slowness = self._outgoing, self._slowness
        unfinished = self._connection.unfinished
        size = unfinished + (0 if slowness is None else slowness.kept)
        if not outgoing.isReady:
            size += outgoing.backlog
        if size and self._lostBy is None:
            if self._holding is None:
                self._holding = Holding(self._shared, self)
            self._holding.update(size, self.messagesReceived if unfinished else -1)
        elif self._holding is not None:
            holding, self._holding = self._holding, None
            holding.end()

    def relieve(self) -> None:
        """
        Close the connection: too much memory is in use in all, and it has the largest share.
        """
        self._shared.count("memory relieved")
        self._shared.log.info("{id} is closed because too much memory is in use", id=self.id)
        reason = "too much memory is in use"
        backlog = self._outgoing.backlog
        if self._stage not in _BEFORE_CLOSING:
            self._drop()
        elif self._connection.unfinished > backlog:
            self._fail(Failed(CloseCode.TOO_BIG, reason))
        else:
            self._giveUp(Failed(CloseCode.TRY_AGAIN_LATER, reason))
            if 2 * self._outgoing.backlog > backlog:
                # Most of it is the transport's already.
                self._drop()

    def _drop(self) -> None:
        """
        End the connection now, and hold nothing.
        """
        self._connection.stopReceiving()
        self.abort()
        self._account()

    def messageTimedOut(self) -> None:
        """
        Close the connection: the peer did not complete a message that it had begun.
        """
        if self._stage in _BEFORE_CLOSING:
            self._fail(Failed(CloseCode.POLICY, "a message takes too long"))

    def _fail(self, failed: Failed) -> None:
        """
        Close the connection for a fault, though nothing that was read shows it.
        """
        self._connection.stopReceiving()
        self._happened(failed)
        self._outgoing.flushSoon()
        self._account()

    # Reading

    def pauseProducing(self) -> None:
        """
        Stop reading.
        """
        self._pause(Pause.APPLICATION)

    def resumeProducing(self) -> None:
        """
        Go on reading.
        """
        self._resume(Pause.APPLICATION)

    def stopProducing(self) -> None:
        """
        Close the connection.
        """
        self.loseConnection()

    def _pause(self, reason: Pause) -> None:
        # A closing connection is read, so that the peer's close is seen.
        if self._stage in _BEFORE_CLOSING:
            self._reading.pause(reason)
            self._isBusy = True

    def _resume(self, reason: Pause) -> None:
        self._reading.resume(reason)
        self._goOn()

    def dataReceived(self, data: bytes) -> None:
        """
        Take bytes from the transport.
        """
        turn = self._turn
        if self._isBusy or turn.isEntered:
            self._receiveLater(data)
            return
        size = len(data)
        began = self._shared.seconds() if size >= MUCH else None
        turn.isEntered = self._isTelling = True
        try:
            self.bytesReceived += size
            connection = self._connection
            self._tell(iter(connection.receiveData(data)))
            self._isTelling = False
            if connection.unfinished or self._holding is not None:
                self._account()
            if self._isDelayed:
                self._goOn()
            # The dialect may have something to send of its own.
            if not self._outgoing.isUnsent:
                self._outgoing.flushSoon()
        finally:
            self._isTelling = False
            turn.leave()
        if began is not None:
            adaptRead(self._transport, size, self._shared.seconds() - began)

    def _receiveLater(self, data: bytes) -> None:
        """
        Take bytes while the connection is paused, or something is being received already.
        """
        if self._stage is not Stage.ENDING and self._stage is not Stage.LOST:
            self._reading.parked += data
            self._goOn()

    def _deliver(self, call: _Call) -> None:
        """
        Call the application after everything that waits for it.
        """
        self._held = chain(self._held or (), (call,))
        self._goOn()

    def _goOn(self) -> None:
        """
        Handle what waits, unless it still has to wait.
        """
        if self._isTelling:
            self._isDelayed = True
        else:
            self._turn.run(self._handleWaiting)

    def _handleWaiting(self) -> None:
        reading = self._reading
        self._isTelling = True
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
        self._isTelling = self._isDelayed = False
        if self._connection.unfinished or self._holding is not None:
            self._account()
        if self._lostBy is not None:
            self._finish()
        elif self._stage is not Stage.ENDING:
            reading.restart()
            self._isBusy = reading.isPaused
            self._outgoing.flushSoon()

    # Telling the application

    def _tell(self, events: Iterator[Event | _Call]) -> None:
        """
        Tell the application what happened. An error it makes ends this connection only.
        """
        protocol, reading = self._protocol, self._reading
        try:
            for event in events:
                if type(event) is str:
                    if self._stage is not _OPEN:
                        continue
                    self.messagesReceived += 1
                    result = protocol.textMessageReceived(event)
                elif type(event) is bytes:
                    if self._stage is not _OPEN:
                        continue
                    self.messagesReceived += 1
                    result = protocol.bytesMessageReceived(event)
                else:
                    result = self._happened(event)
                if result is not None:
                    self._await(result)
                if reading.isSuspended:
                    self._held = events
                    return
        except BaseException:
            self._protocolFailed(Failure())
            # How the connection ends may still be among the events. No message is told now.
            self._tell(events)

    def _happened(self, event: object) -> object:
        match event:
            case _Call(method, args):
                return method(*args)
            case Pong(payload) if self._stage is _OPEN:
                return self._protocol.pongReceived(payload)
            case Discarded(frameType):
                self._shared.log.debug(
                    "{id} sends frames that are discarded, of type 0x{type:02x}",
                    id=self.id,
                    type=frameType,
                )
            case Closed():
                # If we closed first, our own reason counts.
                if self._farewell is None:
                    self._bidFarewell(event)
            case Failed():
                self._shared.count("failed", event.code)
                self._shared.log.info(
                    "{id} is closed for a fault: {code} {reason}",
                    id=self.id,
                    code=int(event.code),
                    reason=printable(event.reason),
                )
                self._bidFarewell(event)
        return None

    def _await(self, result: object) -> None:
        """
        Wait for what a callback returned, if it can be awaited, before the next one is called.
        """
        running = deferredFrom(result)
        if running is None:
            return
        self._running = running
        running.addErrback(self._protocolFailed)
        running.addCallback(self._callbackDone, running)
        if self._running is running:
            self._pause(Pause.CALLBACK)

    def _callbackDone(self, _: object, running: Deferred[Any]) -> None:
        # One that did not end when it was cancelled is waited for no longer.
        if self._running is running:
            self._running = None
            if self._stage is not Stage.LOST:
                self._resume(Pause.CALLBACK)
            elif not self._isTelling:
                self._gone()

    def _protocolFailed(self, failure: Failure) -> None:
        if self._lostBy is not None and failure.check(CancelledError):
            # We cancelled it ourselves.
            return
        self._shared.count("application errors")
        self._shared.log.failure("in the application of {id}", failure, id=self.id)
        self.loseConnection(CloseCode.INTERNAL_ERROR)

    # The closing handshake

    def loseConnection(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """
        Close with the dialect's closing handshake, after everything sent so far.
        """
        if not isinstance(code, int):
            raise TypeError(f"a close code is an int, not {type(code).__name__}")
        if not isinstance(reason, str):
            raise TypeError(f"the reason of a close is a str, not {type(reason).__name__}")
        if not mayBeSent(code):
            raise ValueError(f"{code} is not a close code that may be sent")
        if self._stage not in _BEFORE_CLOSING:
            return
        self._turn.catchUp()
        if self._slowness is not None:
            self._slowness.sendNewest()
        self._close(code, reason)
        self._outgoing.flushSoon()

    def _bidFarewell(self, farewell: Closed | Failed) -> None:
        """
        Answer the peer's close, or say what is wrong, as the last thing that is sent.
        """
        self._turn.catchUp()
        self._farewell = farewell
        self._close(farewell.code, farewell.reason)

    def _close(self, code: int, reason: str) -> None:
        if self._stage in _BEFORE_CLOSING:
            self._enter(Stage.CLOSING)
        self._connection.sendClose(code, reason)
        self._shared.closing.start(self)
        self._reading.resumeAll()
        self._goOn()

    def closeTimedOut(self) -> None:
        """
        Take the next step with a peer that did not answer the closing handshake in time, or with
        an application that has not finished since the connection was lost.
        """
        if self._lostBy is not None:
            self._cancelCallback()
            return
        self._shared.countLateClose(self._opener.peerName())
        isBlocked = self._outgoing.isBlocked
        if isBlocked and isinstance(self._farewell, Failed):
            self.abort()
            return
        self.hangUp(now=isBlocked or self._shared.isDraining)

    def _cancelCallback(self) -> None:
        running = self._running
        if running is not None:
            self._held = None
            self._reading.parked = b""
            running.cancel()
            self._callbackDone(None, running)

    def shutDown(self) -> None:
        """
        Close because the server stops.
        """
        self.loseConnection(CloseCode.GOING_AWAY, "the server is going down")

    # The end of TCP

    def outgoingFinished(self) -> None:
        """
        End TCP: the closing handshake is over.
        """
        self.hangUp()

    def hangUp(self, now: bool = False) -> None:
        """
        End TCP in good order.

        @param now: do not wait for the peer to end its direction.
        """
        if self._stop():
            self._hangup = Hangup(
                self._shared, self._transport, self._outgoing.end, self._opener.peerName
            )
            self._hangup.start()
        if now and self._hangup is not None:
            self._hangup.letGo()

    def abort(self) -> None:
        """
        End the connection now.
        """
        self._stop()
        self._outgoing.stopProducing()
        self._connection.stopSending()
        if self._lostBy is None:
            self._transport.abortConnection()

    def _stop(self) -> bool:
        """
        Take nothing more from the peer.

        @return: whether it was taken until now.
        """
        if self._stage in (Stage.ENDING, Stage.LOST) or self._lostBy is not None:
            return False
        self._enter(Stage.ENDING)
        self._shared.closing.cancel(self)
        self._held = None
        self._isBusy = True
        self._reading.release()
        return True

    def connectionLost(self, reason: Failure) -> None:
        """
        Tell the application how the connection ended, after everything that came before.
        """
        if self._lostBy is not None:
            return
        self._lostBy = reason
        self._isBusy = True
        if self._holding is not None:
            self._account()
        self._liveness.forget(self)
        self._shared.closing.cancel(self)
        if self._hangup is not None:
            self._hangup.cancel()
        self._outgoing.stopProducing()
        self._connection.stopSending()
        producer, self._producer = self._producer, None
        if producer is not None:
            self._callProducer(producer.stopProducing)
        if self._reading.has(Pause.APPLICATION):
            # It may never be resumed.
            self._held = None
            self._reading.parked = b""
            self._reading.resume(Pause.APPLICATION)
        self._reading.resume(Pause.PEER)
        if self._running is not None:
            self._shared.closing.start(self)
        self._goOn()

    def _howItEnded(self, reason: Failure) -> WebSocketDone | WebSocketLost:
        farewell, connection = self._farewell, self._connection
        clean = connection.clean and (connection.finished or reason.check(ConnectionDone))
        if clean and not isinstance(farewell, Failed):
            if farewell is None:
                return WebSocketDone(CloseCode.NO_STATUS)
            return WebSocketDone(farewell.code, farewell.reason)
        if farewell is None:
            return WebSocketLost(CloseCode.ABNORMAL, str(reason.value).rstrip("."))
        return WebSocketLost(farewell.code, farewell.reason)

    def _finish(self) -> None:
        """
        Make the last call, unless another one is still running.
        """
        if self._stage is Stage.LOST or self._running is not None:
            return
        assert self._lostBy is not None
        ending = self._howItEnded(self._lostBy)
        self._enter(Stage.LOST)
        self._connection.abandon()
        if self._shared.settings.logConnections:
            self._shared.log.info(
                "{id} closed: {ending}; {received} messages in, {sent} out",
                id=self.id,
                ending=printable(f"{ending.code:d} {ending.reason}".rstrip()),
                received=self.messagesReceived,
                sent=self.messagesSent,
            )
        self._isTelling = True
        self._tell(iter((_Call(self._protocol.connectionLost, (Failure(ending),)),)))
        self._isTelling = False
        if self._running is None:
            self._gone()
        else:
            self._shared.closing.start(self)

    def _gone(self) -> None:
        self._shared.closing.cancel(self)
        self._opener.webSocketGone()

    # What Liveness calls

    def sendHeartbeat(self, text: str) -> None:
        """
        Send a text that is not one of the application's messages.
        """
        self._connection.sendText(text)
        self._outgoing.flushSoon()

    def peerDied(self) -> None:
        """
        End the connection: the peer did not answer.
        """
        self._shared.count("pings unanswered")
        self._farewell = Failed(CloseCode.ABNORMAL, "no answer to a ping")
        self._shared.log.info("{id} does not answer a ping", id=self.id)
        self.abort()

    def idleTooLong(self) -> None:
        """
        Close the connection: no message was sent or received for too long.
        """
        self._shared.count("idle closed")
        self._shared.log.info("{id} is closed because nothing was said", id=self.id)
        self.loseConnection(CloseCode.GOING_AWAY, "nothing was said for too long")
