"""
Awaitables that an application may return, which a test completes at any time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

from twisted.internet.defer import Deferred

from .waiting import clock

KINDS = ("coroutine", "deferred", "future", "object")


class Pending:
    """
    An awaitable result that is not there yet.

    @ivar awaitable: what the application returns, once.
    """

    def __init__(self, kind: str) -> None:
        """
        @param kind: one of L{KINDS}.
        """
        self._isCancelled = False
        self._future: asyncio.Future[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._deferred: Deferred[Any] = Deferred(lambda _: self._cancelled())
        self.awaitable: Any
        if kind == "deferred":
            self.awaitable = self._deferred
        elif kind == "coroutine":
            self.awaitable = self._wait()
        elif kind == "object":
            self.awaitable = _Awaitable(self._deferred)
        else:
            try:
                self._future = asyncio.get_running_loop().create_future()
            except RuntimeError:
                # The reactor is not asyncio's: a separate loop runs the future's callbacks.
                self._loop = asyncio.new_event_loop()
                self._future = self._loop.create_future()
                self._runLoop()
            self.awaitable = self._future

    async def _wait(self) -> Any:
        return await self._deferred

    def _cancelled(self) -> None:
        self._isCancelled = True

    def finish(self, value: object = None) -> None:
        """
        Complete it.
        """
        if self._future is None:
            self._deferred.callback(value)
        else:
            self._future.set_result(value)

    def fail(self, error: Exception) -> None:
        """
        Let it fail.
        """
        if self._future is None:
            self._deferred.errback(error)
        else:
            self._future.set_exception(error)

    def cancel(self) -> None:
        """
        Cancel it, as the application itself may do.
        """
        if self._future is None and self.awaitable is self._deferred:
            self._deferred.cancel()
        elif self._future is None:
            self._deferred.errback(asyncio.CancelledError())
        else:
            self._future.cancel()

    @property
    def isCancelled(self) -> bool:
        """
        Whether it was cancelled.
        """
        return self._isCancelled if self._future is None else self._future.cancelled()

    def _runLoop(self) -> None:
        """
        Run the separate loop whenever the reactor runs.
        """
        if self._loop is not None:
            self._loop.call_soon(self._loop.stop)
            self._loop.run_forever()
            clock().callLater(0, self._runLoop)

    def close(self) -> None:
        """
        Free its resources.
        """
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.close()


class _Awaitable:
    """
    An awaitable of no known kind.
    """

    def __init__(self, deferred: Deferred[Any]) -> None:
        self._deferred = deferred

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._deferred.__await__()
