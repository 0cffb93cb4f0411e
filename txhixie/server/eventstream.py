"""
An event stream (HTML Living Standard, section 9.2) as the answer to a request of plain HTTP.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

from twisted.internet.interfaces import IPushProducer
from twisted.web.server import Request
from zope.interface import implementer

from txhixie.applications.attending import Past
from txhixie.websocket.liveness import watchPeer
from txhixie.websocket.shared import Shared
from txhixie.websocket.slowness import Slowness

# The least number of milliseconds after which a client connects again, and the most that are added
# at random, so that not all clients come back at once.
_RETRY, _SPREAD = 1000, 2000


@lru_cache(maxsize=4)
def _encoded(texts: tuple[str, ...]) -> bytes:
    # All listeners are given the same texts.
    return "".join(texts).encode()


@implementer(IPushProducer)
class EventStream:
    """
    What one client is sent. If it does not read, the limits of WebSockets apply:
    L{Settings.sendLimit}, L{Settings.slowPolicy} and L{Settings.memoryLimit}.

    @ivar backlog: bytes that were sent and that the transport has not been given.
    @ivar isBlocked: whether the transport is full.
    @ivar past: what else is paused when it is.
    """

    isHeld = False

    def __init__(self, request: Request, shared: Shared, name: str) -> None:
        """
        @param name: what it is called in the log.
        """
        self._request = request
        self._shared = shared
        self._name = name
        self._slowness: Slowness | None = None
        self._unsent: list[bytes] = []
        self._isOver = False
        self.backlog = 0
        self.isBlocked = False
        self.past: Past | None = None

    @property
    def isReady(self) -> bool:
        """
        Whether what is sent is written at once.
        """
        return not self.isBlocked and not self._isOver

    def begin(self, fraction: float) -> None:
        """
        Send the head of the answer.

        @param fraction: a random number from 0 to 1, different for each client.
        """
        request = self._request
        request.setHeader(b"Content-Type", b"text/event-stream; charset=utf-8")
        request.setHeader(b"Cache-Control", b"no-store")
        # nginx would wait until it has more.
        request.setHeader(b"X-Accel-Buffering", b"no")
        request.registerProducer(self, True)
        watchPeer(cast(Any, request.channel).transport, False, self._shared.settings)
        self.write(b"retry: %d\n\n" % (_RETRY + _SPREAD * fraction))

    def send(self, events: tuple[str, ...]) -> None:
        """
        Send events.
        """
        data = _encoded(events)
        if data:
            self.write(data)

    def write(self, data: bytes) -> None:
        """
        Send bytes.
        """
        if self._isOver:
            return
        if self.backlog > self._shared.settings.sendLimit and not self._admits(data):
            self._account()
            return
        self._unsent.append(data)
        self.backlog += len(data)
        if self.isBlocked:
            self._account()
        else:
            self.flush()

    def flush(self) -> None:
        """
        Give the transport what was sent.
        """
        data = b"".join(self._unsent)
        self._unsent.clear()
        self.backlog = 0
        if data and not self._isOver:
            self._request.write(data)

    def keepAlive(self) -> None:
        """
        Send what means nothing, so that nobody on the way takes the stream for dead.
        """
        if not self.isBlocked:
            self.write(b":\n\n")

    # A client that does not read

    def _admits(self, data: bytes) -> bool:
        if self._slowness is None:
            self._slowness = Slowness(self._shared, self, self)
        return self._slowness.admits(data)

    def closeSlow(self) -> None:
        """
        End the stream: the client does not read.
        """
        self._shared.count("slow closed")
        self._shared.log.info("{id} does not read what it is sent", id=self._name)
        self.abort()

    def resend(self, message: str | bytes) -> None:
        """
        Send the newest events to a client that reads again.
        """
        assert isinstance(message, bytes)
        self.write(message)

    def missed(self, count: int) -> None:
        """
        Log how many times a client was not sent events.
        """
        self._shared.log.info("{id} missed {count} messages", id=self._name, count=count)

    def relieve(self) -> None:
        """
        End the stream: too much memory is in use in all, and it has the largest share.
        """
        self._shared.count("memory relieved")
        self._shared.log.info("{id} is closed because too much memory is in use", id=self._name)
        self.abort()

    def _account(self) -> None:
        kept = 0 if self._slowness is None else self._slowness.kept
        self._shared.budget.report(self, 0 if self._isOver else self.backlog + kept)

    # The transport's producer

    def pauseProducing(self) -> None:
        """
        Write no more: the transport is full.
        """
        self.isBlocked = True
        if self.past is not None:
            self.past.pauseProducing()

    def resumeProducing(self) -> None:
        """
        Go on: the transport has written everything.
        """
        self.isBlocked = False
        self.flush()
        if self._slowness is not None:
            self._slowness.catchUp()
        self._account()
        if self.past is not None and not self.isBlocked:
            self.past.resumeProducing()

    def stopProducing(self) -> None:
        """
        The connection is gone.
        """
        self.lost()

    # The end

    def lost(self) -> None:
        """
        Hold nothing more: the connection is gone, or the answer over.
        """
        self._isOver = True
        self._unsent.clear()
        self.backlog = 0
        self._account()

    def end(self) -> None:
        """
        End the answer in good order.
        """
        if not self._isOver:
            self.flush()
            self.lost()
            self._request.unregisterProducer()
            self._request.finish()

    def abort(self) -> None:
        """
        End the connection now.
        """
        if not self._isOver:
            self.lost()
            cast(Any, self._request.channel).transport.abortConnection()
