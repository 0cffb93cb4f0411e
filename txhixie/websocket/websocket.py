"""
One open WebSocket. Its application uses it as a transport, and TCP as a protocol.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

from txhixie.application import PushProducer, WebSocketProtocol
from txhixie.dialects.connection import Connection, State
from txhixie.dialects.events import CloseCode, Closed, Discarded, Failed, checkClose
from txhixie.websocket.delivery import Delivery
from txhixie.websocket.ended import WebSocketDone, WebSocketLost, howItEnded
from txhixie.websocket.hangup import Hangup
from txhixie.websocket.holding import Holding
from txhixie.websocket.liveness import Liveness
from txhixie.websocket.outgoing import Outgoing
from txhixie.websocket.pacing import MUCH, adaptRead, readFrame
from txhixie.websocket.producing import Attachment
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

# The most bytes of pongs that may wait for a peer that sends pings but does not read.
_MOST_ANSWERS = 64 * 1024


class Opener(Protocol):
    """
    The side that made the opening handshake, and takes part in the end.
    """

    def peerName(self) -> str:
        """
        Return the peer's address for the log.
        """

    def webSocketGone(self) -> None:
        """
        The application has heard of the end of the connection.
        """


@implementer(IPushProducer)
class WebSocket:
    """
    One connection, from the moment it is accepted. See
    L{txhixie.application.WebSocketTransport} for what applications do with it.

    The parts do the work: L{Delivery} calls the application, L{Outgoing} writes, L{Reading} pauses,
    L{Slowness} handles peers that do not read, L{Hangup} ends TCP, L{Liveness} finds dead peers.
    This class coordinates them, and keeps the current L{Stage}.

    @ivar messagesSent: messages sent or waiting to be sent.
    """

    __slots__ = (
        "__weakref__",
        "_attached",
        "_connection",
        "_delivery",
        "_farewell",
        "_hangup",
        "_holding",
        "_isBusy",
        "_liveness",
        "_lostBy",
        "_opener",
        "_outgoing",
        "_protocol",
        "_reading",
        "_readsAlways",
        "_request",
        "_sendLimit",
        "_shared",
        "_slowness",
        "_stage",
        "_transport",
        "_turn",
        "hasPing",
        "id",
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
        isBehind: bool = False,
        readsAlways: bool = False,
    ) -> None:
        """
        @param transport: TCP or TLS or such.
        @param reading: pauses that transport.
        @param connection: the dialect's connection.
        @param protocol: the application's object for this connection.
        @param name: the L{id}.
        @param isBehind: whether the transport may still hold what was written before.
        @param readsAlways: whether reading goes on while the peer does not read. If neither side
            reads, both may wait for each other forever.
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
        # The parts refer to this object weakly, so that it is freed as soon as it has ended.
        me = weakref.proxy(self)
        self._outgoing = Outgoing(transport, connection, shared.turn, me, isBehind)
        self._delivery = Delivery(protocol, connection, reading, shared.turn, me)
        self._attached: Attachment | None = None
        self._stage = Stage.OPENING
        # What arrives while this is set has to wait, or is dropped.
        self._isBusy = reading.isPaused
        self._slowness: Slowness | None = None
        self._holding: Holding | None = None
        self._readsAlways = readsAlways
        self._hangup: Hangup | None = None
        # How the connection ends: what the peer sent with its close, or what is wrong.
        self._farewell: Closed | Failed | None = None
        self._lostBy: Failure | None = None
        self._request = None if request is None else weakref.ref(request)
        self.id = name
        self.subprotocol = subprotocol
        self.hasPing = connection.hasPing
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
    def transport(self) -> ITransport:
        """
        The transport below. Only this object writes to it.
        """
        transport: ITransport = self._transport
        return transport

    @property
    def ending(self) -> WebSocketDone | WebSocketLost | None:
        """
        How the connection ended, or C{None} while TCP has not ended.
        """
        if self._lostBy is None:
            return None
        return howItEnded(self._farewell, self._connection, self._lostBy)

    @property
    def sentClose(self) -> bool:
        """
        Whether this side's part of the closing handshake was sent.
        """
        return self._connection.sentClose

    @property
    def bytesReceived(self) -> int:
        """
        Bytes received after the request head.
        """
        return self._delivery.bytesReceived

    @property
    def messagesReceived(self) -> int:
        """
        Messages delivered to the application.
        """
        return self._delivery.messagesReceived

    @property
    def bytesSent(self) -> int:
        """
        Bytes written after the request head, the answer to the handshake included.
        """
        return self._outgoing.bytesSent

    @property
    def backlog(self) -> int:
        """
        Bytes that were sent and wait to be written.
        """
        return self._outgoing.held

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
        Whether nothing is read, or nothing can be written.
        """
        return self._reading.isPaused or self._outgoing.isBlocked

    def _enter(self, stage: Stage) -> None:
        assert stage in MOVES[self._stage], f"{self._stage} -> {stage}"
        self._stage = stage
        self._delivery.isOpen = stage is _OPEN

    # The opening handshake, called by the opener

    def accepted(self, reply: bytes) -> None:
        """
        Tell the application that it has a connection, and send the head of the answer.
        """
        self._delivery.call(self._protocol.negotiationStarted, self)
        self._outgoing.writeHandshake(reply)

    def opened(self, answer: bytes, tailSize: int = 0) -> None:
        """
        Let messages pass: the opening handshake is complete.

        @param answer: the last part of our opening handshake.
        @param tailSize: the bytes of the peer's opening handshake after the head.
        """
        self._delivery.bytesReceived += tailSize
        self._outgoing.writeHandshake(answer)
        if self._stage is Stage.OPENING:
            self._enter(_OPEN)
        self._outgoing.release()
        self._liveness.watch(self, self._transport)
        if self._attached is not None and self._outgoing.isReady:
            self._attached.resume()
        self._delivery.call(self._protocol.negotiationFinished)

    # Sending

    def sendTextMessage(self, text: str) -> None:
        """
        Send a text message.
        """
        outgoing = self._outgoing
        if outgoing.backlog > self._sendLimit and not self._admits(text, str):
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

    def sendBytesMessage(self, data: bytes | bytearray | memoryview) -> None:
        """
        Send a bytes message.
        """
        if type(data) is not bytes:
            data = memoryview(data).tobytes()
        outgoing = self._outgoing
        if outgoing.backlog > self._sendLimit and not self._admits(data, bytes):
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

    def count(self, event: str) -> None:
        """
        Count one of the L{EVENTS <txhixie.websocket.counters.EVENTS>}.
        """
        self._shared.count(event)

    # A peer that does not read

    def behaveAsStream(self) -> None:
        """
        Leave backpressure to the application.
        """
        self._sendLimit = sys.maxsize
        self._readsAlways = True

    def _admits(self, message: str | bytes, kind: type) -> bool:
        """
        Return whether a message is sent although the backlog is over the limit.

        @param kind: its type.
        """
        if self._stage not in _BEFORE_CLOSING:
            return True
        if self._slowness is None:
            self._slowness = Slowness(self._shared, self._outgoing, weakref.proxy(self))
        if self._slowness.isSlow:
            if not isinstance(message, kind):
                raise TypeError(f"{message!r} is not of type {kind.__name__}")
            self._connection.checkMessage(message)
        isAdmitted = self._slowness.admits(message)
        if not isAdmitted:
            self._account()
        return isAdmitted

    def closeSlow(self) -> None:
        """
        Close the connection, because the peer does not read. The backlog is dropped, except for the
        part that the transport has.
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
        Tell the application how many messages for its peer were dropped.
        """
        self._shared.log.info("{id} missed {count} messages", id=self.id, count=count)
        # This method is not part of Twisted's interface. It is called if the application has it.
        tell = getattr(self._protocol, "messagesDropped", None)
        if tell is not None:
            self._delivery.call(tell, count)

    # Producers

    def attachProducer(self, producer: IPushProducer | PushProducer) -> None:
        """
        Pause C{producer} while the peer does not read.
        """
        if self._attached is None:
            self._attached = Attachment(weakref.proxy(self))
        self._attached.attach(producer)
        if self._lostBy is not None:
            self._attached.stop()
        elif not self._outgoing.isReady:
            self._attached.pause()

    def detachProducer(self) -> None:
        """
        Forget the attached producer.
        """
        if self._attached is not None:
            self._attached.detach()

    def outgoingBlocked(self) -> None:
        """
        Pause the producer. A server also stops reading: the peer has to read first.
        """
        if not self._readsAlways:
            self._pause(Pause.PEER)
        self._account()
        if self._attached is not None:
            self._attached.pause()

    def backlogChanged(self) -> None:
        """
        Report what waits to be written. A side that always reads stops reading if too many answers
        to pings are waiting as well.
        """
        self._account()
        if self._connection.unsent > self._outgoing.backlog + _MOST_ANSWERS:
            self._pause(Pause.PEER)

    def outgoingResumed(self) -> None:
        """
        Go on with a peer that reads again.
        """
        if self._slowness is not None:
            self._slowness.catchUp()
        if self._outgoing.isReady and self._attached is not None:
            self._attached.resume()
        if not self._outgoing.isBlocked:
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
            size += outgoing.held
        if size and self._lostBy is None:
            if self._holding is None:
                self._holding = Holding(self._shared, self)
            self._holding.update(size, self.messagesReceived if unfinished else -1)
        elif self._holding is not None:
            holding, self._holding = self._holding, None
            holding.end()
        readFrame(self._transport, self._connection.missing)

    def relieve(self) -> None:
        """
        Close the connection: all connections together use too much memory, and this one has the
        largest share.
        """
        self._shared.count("memory relieved")
        self._shared.log.info("{id} is closed because too much memory is in use", id=self.id)
        reason = "too much memory is in use"
        held = self._outgoing.held
        if self._stage not in _BEFORE_CLOSING:
            self._drop()
        elif self._connection.unfinished > held:
            self._fail(Failed(CloseCode.TOO_BIG, reason))
        else:
            self._giveUp(Failed(CloseCode.TRY_AGAIN_LATER, reason))
            if 2 * self._outgoing.held > held:
                # The transport already has most of it.
                self._drop()

    def _drop(self) -> None:
        """
        End the connection now, and free what it holds.
        """
        self._connection.stopReceiving()
        self.abort()
        self._account()

    def messageTimedOut(self) -> None:
        """
        Close the connection: the peer did not complete a message in time.
        """
        if self._stage in _BEFORE_CLOSING:
            self._fail(Failed(CloseCode.POLICY, "a message takes too long"))

    def _fail(self, failed: Failed) -> None:
        """
        Close the connection for a fault that is not in the received bytes.
        """
        self._connection.stopReceiving()
        self.happened(failed)
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
        self._delivery.goOn()

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
        turn.isEntered = True
        try:
            self._delivery.receive(data)
            if self._connection.unfinished or self._holding is not None:
                self._account()
            # The dialect itself may have something to send.
            if not self._outgoing.isUnsent:
                self._outgoing.flushSoon()
        finally:
            turn.leave()
        if began is not None:
            adaptRead(self._transport, size, self._shared.seconds() - began)

    def _receiveLater(self, data: bytes) -> None:
        """
        Take bytes while the connection is paused, or while other bytes are being handled.
        """
        if self._stage is not Stage.ENDING and self._stage is not Stage.LOST:
            self._reading.parked += data
            self._delivery.goOn()

    def caughtUp(self) -> None:
        """
        Resume reading, or report the end to the application: everything that waited is handled.
        """
        if self._connection.unfinished or self._holding is not None:
            self._account()
        if self._lostBy is not None:
            self._finish()
        elif self._stage is not Stage.ENDING:
            self._reading.restart()
            self._isBusy = self._reading.isPaused
            self._outgoing.flushSoon()

    # What the application and the peer do

    def happened(self, event: Closed | Failed | Discarded) -> object:
        """
        Handle an event of the connection.

        @return: what the application returned, if it was called.
        """
        match event:
            case Discarded(frameType):
                self._shared.log.debug(
                    "{id} sends frames that are discarded, of type 0x{type:02x}",
                    id=self.id,
                    type=frameType,
                )
            case Closed():
                # If we closed first, our reason counts.
                if self._farewell is None:
                    return self._peerCloses(event)
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

    def callbackRuns(self) -> None:
        """
        Stop reading while a callback of the application is awaited.
        """
        self._pause(Pause.CALLBACK)

    def callbackEnded(self) -> None:
        """
        Resume reading after a callback of the application.
        """
        if self._stage is not Stage.LOST:
            self._resume(Pause.CALLBACK)
        elif not self._delivery.isTelling:
            self._gone()

    def applicationFailed(self, failure: Failure) -> None:
        """
        Close the connection: the application raised an error.
        """
        self._shared.count("application errors")
        self._shared.log.failure("in the application of {id}", failure, id=self.id)
        self.loseConnection(CloseCode.INTERNAL_ERROR)

    # The closing handshake

    def loseConnection(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """
        Close with the dialect's closing handshake, after everything sent so far.
        """
        checkClose(code, reason)
        if self._stage not in _BEFORE_CLOSING:
            return
        self._turn.catchUp()
        if self._slowness is not None:
            self._slowness.sendNewest()
        self._close(code, reason)
        self._outgoing.flushSoon()

    def loseWriteConnection(self) -> None:
        """
        Begin the closing handshake, and go on receiving messages.
        """
        if self._stage is Stage.OPENING:
            self.loseConnection()
        if self._stage is not _OPEN or self.state is not State.OPEN:
            return
        self._turn.catchUp()
        self._connection.sendClose(CloseCode.NORMAL)
        # From now on, neither side answers pings.
        self._liveness.forget(self)
        self._outgoing.flushSoon()

    def _peerCloses(self, event: Closed) -> object:
        # This method is not part of Twisted's interface. An application that has it answers the
        # close itself.
        tell = getattr(self._protocol, "closeReceived", None)
        if tell is None or self._stage is not _OPEN or self.state is not State.OPEN:
            self._bidFarewell(event)
            return None
        self._farewell = event
        self._liveness.forget(self)
        return tell(event.code, event.reason)

    def fail(self, code: int, reason: str) -> None:
        """
        Close for a fault.
        """
        checkClose(code, reason)
        if self._stage in _BEFORE_CLOSING:
            self._fail(Failed(code, reason))

    def _bidFarewell(self, farewell: Closed | Failed) -> None:
        """
        Answer the peer's close, or report a fault to the peer. Nothing is sent after it.
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
        self._delivery.goOn()

    def closeTimedOut(self) -> None:
        """
        Take the next step if the peer did not answer the closing handshake in time, or if an
        application has not finished since the connection was lost.
        """
        if self._lostBy is not None:
            self._delivery.cancel()
            return
        self._shared.countLateClose(self._opener.peerName())
        isBlocked = self._outgoing.isBlocked
        if isBlocked and isinstance(self._farewell, Failed):
            self.abort()
            return
        self.hangUp(now=isBlocked or self._shared.isDraining, isLate=True)

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
        self.hangUp(waits=self._connection.peerEndsTCP)

    def hangUp(self, now: bool = False, isLate: bool = False, waits: bool = False) -> None:
        """
        End TCP in good order.

        @param now: do not wait for the peer to end its direction.
        @param isLate: whether it has already been counted that the peer did not do its part.
        @param waits: whether to wait for the peer to begin.
        """
        if self._stop():
            outgoing = self._outgoing
            self._hangup = Hangup(
                self._shared,
                self._transport,
                outgoing.end,
                weakref.proxy(self._opener),
                isHopeless=outgoing.isBlocked and isinstance(self._farewell, Failed),
                isLate=isLate,
            )
            if waits:
                self._hangup.wait()
            else:
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
        Ignore everything that the peer sends from now on.

        @return: whether it was not ignored before.
        """
        if self._stage in (Stage.ENDING, Stage.LOST) or self._lostBy is not None:
            return False
        self._enter(Stage.ENDING)
        self._shared.closing.cancel(self)
        self._delivery.drop()
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
        self._outgoing.lost()
        self._connection.stopSending()
        if self._attached is not None:
            self._attached.stop()
        if self._reading.has(Pause.APPLICATION) or not reason.check(ConnectionDone):
            # After an orderly end, held messages are still delivered, unless reading is paused.
            self._delivery.drop()
        self._reading.resume(Pause.APPLICATION)
        self._reading.resume(Pause.PEER)
        if self._delivery.isRunning:
            self._shared.closing.start(self)
        self._delivery.goOn()

    def _finish(self) -> None:
        """
        Make the last call, unless another call is still running.
        """
        if self._stage is Stage.LOST or self._delivery.isRunning:
            return
        ending = self.ending
        assert ending is not None
        self._enter(Stage.LOST)
        self._connection.abandon()
        if not self._outgoing.isHeld:
            self._shared.counters.countClosed(ending.code)
        if self._shared.settings.logConnections:
            self._shared.log.info(
                "{id} closed: {ending}; {received} messages in, {sent} out",
                id=self.id,
                ending=printable(f"{ending.code:d} {ending.reason}".rstrip()),
                received=self.messagesReceived,
                sent=self.messagesSent,
            )
        self._delivery.lastCall(self._protocol.connectionLost, Failure(ending))
        if self._delivery.isRunning:
            self._shared.closing.start(self)
        else:
            self._gone()

    def _gone(self) -> None:
        self._shared.closing.cancel(self)
        self._opener.webSocketGone()
        # Both refer to this object.
        del self._opener, self._protocol

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
