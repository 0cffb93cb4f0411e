"""
Relays messages between two WebSockets: each side of a relay is the protocol of one of them.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from txhixie.dialects.connection import UnsupportedMessage
from txhixie.dialects.events import CloseCode, mayBeSent
from txhixie.websocket.ended import WebSocketDone
from txhixie.websocket.websocket import WebSocket


class Side:
    """
    One side of a relay: the protocol of its WebSocket, and the producer for the other one.

    The side that is open first waits for the other. From then on each stops reading while the
    other cannot write.
    """

    __slots__ = ("_ending", "_lostAs", "_other", "_timer", "_transport", "_withoutBytes")

    def __init__(
        self,
        lostAs: tuple[int, str],
        withoutBytes: Callable[[Side, bytes], object],
    ) -> None:
        """
        @param lostAs: the close code and reason for the other side if this one is lost without a
            closing handshake.
        @param withoutBytes: called with bytes messages that the dialect of this side cannot carry.
        """
        self._lostAs = lostAs
        self._withoutBytes = withoutBytes
        self._transport: WebSocket | None = None
        self._ending: tuple[int, str] | None = None
        self._timer: IDelayedCall | None = None

    def relayTo(self, other: Side) -> None:
        """
        Relay messages between this side and another one.
        """
        self._other, other._other = other, self

    def closeUnlessJoined(self, clock: IReactorTime, seconds: float) -> None:
        """
        Close this side if the other one is not open in time.
        """
        if self._ending is None:
            self._timer = clock.callLater(seconds, self._notJoined)

    def _notJoined(self) -> None:
        self._timer = None
        self.close(CloseCode.GOING_AWAY, "the client is gone")

    def _stopTimer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    # The protocol

    def negotiationStarted(self, transport: WebSocket) -> None:
        """
        Wait for the other side, or join it.
        """
        self._transport = transport
        # Only the other side decides whether this side is read.
        transport.behaveAsStream()
        other = self._other
        if other._ending is not None:
            self.close(*other._ending)
        elif other._transport is None:
            transport.pauseProducing()
        else:
            other._stopTimer()
            # This resumes the other side once the opening handshake of this one is complete.
            transport.attachProducer(other)
            other._transport.attachProducer(self)

    def negotiationFinished(self) -> None:
        """
        Do nothing: messages that were sent waited for this.
        """

    def textMessageReceived(self, message: str) -> None:
        """
        Pass a message on.
        """
        transport = self._other._transport
        assert transport is not None
        transport.sendTextMessage(message)

    def bytesMessageReceived(self, data: bytes) -> None:
        """
        Pass a message on, if the other dialect can carry it.
        """
        self._other._sendBytes(data)

    def _sendBytes(self, data: bytes) -> None:
        assert self._transport is not None
        try:
            self._transport.sendBytesMessage(data)
        except UnsupportedMessage:
            self._transport.count("bytes not carried")
            self._withoutBytes(self, data)

    def pongReceived(self, payload: bytes) -> None:
        """
        Ignore it: pings and pongs concern only one connection.
        """

    def connectionLost(self, reason: Failure) -> None:
        """
        Close the other side, in the same way if that is possible.
        """
        self._stopTimer()
        ending = reason.value
        if not isinstance(ending, WebSocketDone):
            self._ending = self._lostAs
        elif mayBeSent(ending.code):
            self._ending = ending.code, ending.reason
        else:
            # No code was sent.
            self._ending = CloseCode.NORMAL, ""
        # No reference cycles are left at the end, so memory is freed at once.
        self._transport = None
        other = self._other
        if other._ending is None:
            other.close(*self._ending)
        else:
            del self._other, other._other

    def close(self, code: int, reason: str) -> None:
        """
        Close this side, if it is open.
        """
        if self._transport is not None:
            self._transport.loseConnection(code, reason)

    # The producer of what the other side sends

    def pauseProducing(self) -> None:
        """
        Stop reading: the other side cannot write.
        """
        if self._transport is not None:
            self._transport.pauseProducing()

    def resumeProducing(self) -> None:
        """
        Read again.
        """
        if self._transport is not None:
            self._transport.resumeProducing()

    def stopProducing(self) -> None:
        """
        Do nothing: L{connectionLost} of the other side follows, which knows the close code.
        """


# Bytes messages for a client whose dialect carries only text


def _drop(client: Side, data: bytes) -> None:
    pass


def _close(client: Side, data: bytes) -> None:
    for side in (client, client._other):
        side.close(CloseCode.UNSUPPORTED_DATA, "the client's dialect carries only text")


def _encode(client: Side, data: bytes) -> None:
    assert client._transport is not None
    client._transport.sendTextMessage(b64encode(data).decode("ascii"))


BYTES_POLICIES: dict[str, Callable[[Side, bytes], object]] = {
    "drop": _drop,
    "close": _close,
    "base64": _encode,
}


def makeRelay(bytesPolicy: str) -> tuple[Side, Side]:
    """
    Return the two sides of a relay: that of the client, and that of the back end.

    @param bytesPolicy: one of L{BYTES_POLICIES}.
    """
    client = Side((CloseCode.GOING_AWAY, "the client is gone"), BYTES_POLICIES[bytesPolicy])
    # Back ends speak RFC 6455, which carries bytes.
    backend = Side((CloseCode.BAD_GATEWAY, "the back end is gone"), _drop)
    client.relayTo(backend)
    return client, backend
