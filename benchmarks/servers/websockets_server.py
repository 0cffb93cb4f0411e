"""
websockets on asyncio, or with uvloop where the mode ends in C{+uvloop}; its broadcast is its own.
"""

import asyncio
import sys
from contextlib import suppress

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

mode, port = sys.argv[1:]
mode, _, uvloopWanted = mode.partition("+")
clients: set[ServerConnection] = set()


async def echo(connection: ServerConnection) -> None:
    with suppress(ConnectionClosed):
        async for message in connection:
            await connection.send(message)


async def toAll(connection: ServerConnection) -> None:
    clients.add(connection)
    with suppress(ConnectionClosed):
        async for message in connection:
            broadcast(clients, message)
    clients.discard(connection)


async def main() -> None:
    handler = echo if mode == "echo" else toAll
    async with serve(handler, "127.0.0.1", int(port), compression=None, ping_interval=None):
        await asyncio.Event().wait()


if uvloopWanted:
    import uvloop

    uvloop.run(main())
else:
    asyncio.run(main())
