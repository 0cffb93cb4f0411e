"""
What an application may return instead of a result: anything that can be awaited.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from inspect import isawaitable, iscoroutine
from types import GeneratorType
from typing import Any

from twisted.internet.defer import Deferred


def deferredFrom(value: Any) -> Deferred[Any] | None:
    """
    Return a Deferred for anything that can be awaited: a Deferred, a coroutine, an asyncio Future
    or any other object with C{__await__}; C{None} for everything else.
    """
    if isinstance(value, Deferred):
        return value
    if not hasattr(type(value), "__await__") and not isinstance(value, GeneratorType):
        # This is the rule. What follows takes several times as long.
        return None
    if iscoroutine(value):
        return Deferred.fromCoroutine(value)
    if asyncio.isfuture(value):
        return Deferred.fromFuture(value)
    if isawaitable(value):
        return Deferred.fromCoroutine(_await(value))
    return None


async def _await(value: Awaitable[Any]) -> Any:
    return await value
