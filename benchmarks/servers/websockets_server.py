"""
websockets on asyncio, or with uvloop; it uses the library's broadcast.
"""

import asyncio
import ssl
from contextlib import suppress

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from benchmarks.servers.options import BACKLOG, options

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
    tls = None
    if options.tls:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.tls)
    async with serve(
        echo if options.mode == "echo" else toAll,
        "127.0.0.1",
        options.port,
        compression="deflate" if options.deflate else None,
        ping_interval=None,
        ssl=tls,
        backlog=BACKLOG,
    ):
        await asyncio.Event().wait()


if options.uvloop:
    import uvloop

    uvloop.run(main())
else:
    asyncio.run(main())
