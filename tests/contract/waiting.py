"""
Waiting for things in the reactor, never for longer than a bound.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, TypeVar, cast

import pytest_twisted  # type: ignore[import-untyped]
from twisted.internet import defer
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime

T = TypeVar("T")

# Seconds until a condition has to hold, and until a test has to end.
PATIENCE = 5.0
LONGEST = 30.0

# How often a condition did not hold in time. The next gets less time then, down to this: if nothing
# works, hundreds of tests fail, and should not take an hour.
_SHORTEST = 0.5
_failures = 0


def _patience() -> float:
    return max(_SHORTEST, PATIENCE / (1 + _failures))


def _failed(what: str, seconds: float) -> AssertionError:
    global _failures
    _failures += 1
    return AssertionError(f"{what}: not within {seconds:.3g} s")


def clock() -> IReactorTime:
    """
    Return the reactor that runs the tests.
    """
    from twisted.internet import reactor

    return cast(IReactorTime, reactor)


def pause(seconds: float) -> Deferred[None]:
    """
    Return a Deferred that fires after some time.
    """
    waiting: Deferred[None] = Deferred()
    clock().callLater(seconds, waiting.callback, None)
    return waiting


async def turns(count: int = 20) -> None:
    """
    Let the reactor run several times. Each time it handles everything that can be read or written,
    so an event that has not happened after this will not happen by itself.
    """
    for _ in range(count):
        await pause(0)


async def until(holds: Callable[[], object], what: str, within: float | None = None) -> None:
    """
    Wait until a condition holds.

    @param what: names the condition in the error.
    @param within: seconds; by default L{PATIENCE}, or less after failures.
    @raise AssertionError: if it does not hold in time.
    """
    within = _patience() if within is None else within
    end = clock().seconds() + within
    while not holds():
        if clock().seconds() > end:
            raise _failed(what, within)
        await pause(0.001)


async def result(awaitable: Awaitable[T], what: str) -> T:
    """
    Wait for a result, with the bound of L{until}.
    """

    async def wait() -> T:
        return await awaitable

    patience = _patience()
    try:
        return await ensureDeferred(wait()).addTimeout(patience, clock())
    except defer.TimeoutError:
        raise _failed(what, patience) from None


def inReactor(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Any]:
    """
    Let pytest run an C{async} test in the reactor, and end it if it takes too long.
    """

    @wraps(test)
    async def bounded(**arguments: Any) -> None:
        await ensureDeferred(test(**arguments)).addTimeout(LONGEST, clock())

    return cast("Callable[..., Any]", pytest_twisted.ensureDeferred(bounded))
