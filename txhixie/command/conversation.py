"""
The application of the command: it decides what is sent, what is printed, and when to close.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from txhixie import WebSocketDone, WebSocketTransport
from txhixie.command.options import Options
from txhixie.command.screen import Screen

# Seconds between pings.
_INTERVAL = 1.0
# Twisted's message about the end of TCP does not help the users of the command.
_CLEANLY = ": 1006 Connection was closed cleanly"


@implementer(IPushProducer)
class Conversation:
    """
    One connection of the command.

    @ivar status: the exit status, once the connection is gone.
    """

    status = 0

    def __init__(
        self,
        options: Options,
        screen: Screen,
        clock: Any,
        startEntering: Callable[[], object],
        over: Callable[[], object],
    ) -> None:
        """
        @param startEntering: called when lines may be entered.
        @param over: called when the connection is gone.
        """
        self._options = options
        self._screen = screen
        self._clock = clock
        self._startEntering = startEntering
        self._over = over
        self._transport: WebSocketTransport | None = None
        self._left = options.count
        # Everything that was asked for has arrived, and we close.
        self._isDone = False
        self._isOver = False
        self._hasEnded = False
        self._resumed: Deferred[None] | None = None
        self._pinged = 0
        self._pingedAt = 0.0

    # The connection

    def negotiationStarted(self, transport: WebSocketTransport) -> None:
        """
        Wait until the connection is open.
        """
        self._transport = transport

    def negotiationFinished(self) -> None:
        """
        Start the conversation.
        """
        transport, options = self._transport, self._options
        assert transport is not None
        transport.attachProducer(self)
        subprotocol = f", {transport.subprotocol}" if transport.subprotocol else ""
        self._screen.note(f"connected ({transport.dialect}{subprotocol})")
        if options.text is not None:
            self._send(options.text.encode("utf-8", "surrogateescape"))
        elif options.isPinging:
            self._ping()
        else:
            self._startEntering()

    def textMessageReceived(self, message: str) -> None:
        """
        Print a message.
        """
        self._received(message)

    def bytesMessageReceived(self, data: bytes) -> None:
        """
        Print a message of bytes.
        """
        self._received(data)

    def _received(self, message: str | bytes) -> None:
        if self._isDone or self._options.isPinging:
            return
        try:
            self._screen.message(message)
        except BrokenPipeError:
            self.status = 1
            self._finish()
        else:
            self._countDown()

    def _countDown(self) -> None:
        if self._left is not None:
            self._left -= 1
            if not self._left:
                self._finish()

    def pongReceived(self, payload: bytes) -> None:
        """
        Print the time of a ping, or note that the server has answered everything.
        """
        if self._hasEnded and payload == b"first":
            # A server may answer a ping before the messages that came before it, but not this ping.
            self._pingWith(b"last")
        elif self._hasEnded and payload == b"last":
            self._finish()
        elif self._options.isPinging and payload == b"%d" % self._pinged:
            seconds = self._clock.seconds() - self._pingedAt
            self._screen.result(f"pong {self._pinged}: {seconds * 1000:.1f} ms")
            self._countDown()
            if not self._isDone:
                self._clock.callLater(_INTERVAL, self._ping)

    def connectionLost(self, reason: Failure) -> None:
        """
        Print how the connection ended.
        """
        self._isOver = True
        self.resumeProducing()
        ending: Any = reason.value
        text = f"{ending.code:d} {ending.reason}".rstrip()
        isMissing = self._left is not None and self._left > 0 and not self._isDone
        if self._isDone and self._left == 0:
            pass
        elif not isinstance(ending, WebSocketDone):
            self._fail(f"the connection is lost: {text}".removesuffix(_CLEANLY))
        elif isMissing:
            self._fail(f"the server closed too early: {text}")
        elif not self._isDone:
            self._screen.note(f"closed by the server: {text}")
        self._over()

    def _fail(self, text: str) -> None:
        self.status = self.status or 1
        if self.status != 130:
            self._screen.error(text)

    # What is entered

    def entered(self, line: bytes) -> Deferred[None]:
        """
        Send a line.

        @return: fires when the next line may be sent.
        """
        self._send(line)
        if self._resumed is None:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._resumed.addCallback(waiting.callback)
        return waiting

    def _send(self, line: bytes) -> None:
        assert self._transport is not None
        if self._options.isBinary:
            self._transport.sendBytesMessage(line)
        else:
            self._transport.sendTextMessage(line.decode("utf-8", "replace"))

    def ended(self) -> None:
        """
        Close at the end of the input. The answers to lines from a program are waited for.
        """
        if self._left is not None or self._transport is None:
            return
        self._hasEnded = True
        if self._transport.hasPing and not self._screen.isTerminal:
            self._pingWith(b"first")
        else:
            self._finish()

    def interrupt(self) -> None:
        """
        Close at the user's request.
        """
        self.status = 130
        self._finish()

    # Closing and pinging

    def _finish(self) -> None:
        self._isDone = True
        if self._transport is not None:
            self._transport.loseConnection()

    def _ping(self) -> None:
        if not self._isOver:
            self._pinged += 1
            self._pingedAt = self._clock.seconds()
            self._pingWith(b"%d" % self._pinged)

    def _pingWith(self, payload: bytes) -> None:
        assert self._transport is not None
        self._transport.ping(payload)

    # The producer: lines wait while the server does not read

    def pauseProducing(self) -> None:
        """
        Pause the input of lines.
        """
        if self._resumed is None:
            self._resumed = Deferred()

    def resumeProducing(self) -> None:
        """
        Resume the input of lines.
        """
        resumed, self._resumed = self._resumed, None
        if resumed is not None:
            resumed.callback(None)

    def stopProducing(self) -> None:
        """
        The connection is gone.
        """
        self.resumeProducing()
