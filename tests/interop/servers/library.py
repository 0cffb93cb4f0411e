"""An echo of the websockets library: C{library.py [compressed]}. It prints its port."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        if message == "close":
            await connection.close(4001, "asked")
        elif message == "die":
            os._exit(1)
        else:
            await connection.send(message)


def choose(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return Subprotocol("chat") if "chat" in offered else None


def refuse(connection: ServerConnection, request: Request) -> Response | None:
    return connection.respond(401, "nope") if request.path == "/refused" else None


async def main() -> None:
    compression = "deflate" if sys.argv[1:] == ["compressed"] else None
    async with serve(
        echo,
        "127.0.0.1",
        0,
        select_subprotocol=choose,
        compression=compression,
        max_size=1 << 26,
        process_request=refuse,
    ) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
