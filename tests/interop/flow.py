"""Tests with clients of asyncio, and messages in both directions at the same time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec

P = ParamSpec("P")
Message = str | bytes

# The size and number of messages: together more than all buffers on the way hold.
SIZES = [(1_000, 2_000), (70_000, 30), (70_000, 300), (1_000_000, 20)]


def inLoop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """
    Make a test of a coroutine, which has a minute.
    """

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def limited() -> None:
            async with asyncio.timeout(60):
                await test(*args, **kwargs)

        asyncio.run(limited())

    return run


async def flow(
    size: int,
    count: int,
    send: Callable[[Message], Awaitable[None]],
    receive: Callable[[], Awaitable[Message]],
) -> None:
    """
    Send texts and bytes alternately to an echo, and check that all come back, in order.

    @param size: the size of each message.
    @param count: the number of messages.
    """
    chance = random.Random(size)
    messages: list[Message] = []
    for _ in range(count // 2):
        messages += [chance.randbytes(size // 2).hex(), chance.randbytes(size)]

    async def sendAll() -> None:
        for message in messages:
            await send(message)

    async with asyncio.TaskGroup() as group:
        group.create_task(sendAll())
        for number, message in enumerate(messages):
            same = await receive() == message
            assert same, f"message {number} is another"
