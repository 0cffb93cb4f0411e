"""
A server of the websockets library that logs visitors in by a cookie: C{library.py PORT}. It prints
its port, and does what C{node.js} does.
"""

from __future__ import annotations

import asyncio
import re
import sys

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response


def sessionOf(request: Request) -> str:
    found = re.search(r"session=(\w+)", request.headers.get("Cookie", ""))
    return found[1] if found else ""


def process(connection: ServerConnection, request: Request) -> Response | None:
    path, _, query = request.path.partition("?")
    if path == "/login":
        response = connection.respond(200, "<title>Hello</title>")
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "text/html"
        response.headers["Set-Cookie"] = f"session={query}; Path=/; HttpOnly"
        return response
    if path == "/app" and not sessionOf(request):
        return connection.respond(403, "who?")
    return None


def seen(connection: ServerConnection, request: Request, response: Response) -> None:
    if response.status_code == 101 and request.path == "/app":
        response.headers["Set-Cookie"] = "seen=1"


async def handle(connection: ServerConnection) -> None:
    request = connection.request
    assert request is not None
    if request.path == "/app":
        address, origin = (request.headers.get(name) for name in ("X-Forwarded-For", "Origin"))
        await connection.send(f"hello {sessionOf(request)} at {address} from {origin}")
    async for message in connection:
        word, _, number = message.partition(" ") if isinstance(message, str) else ("", "", "")
        if word == "close":
            await connection.close(4001, "asked")
        elif word == "bytes":
            await connection.send(b"\0\xff")
        elif word == "flood":
            for _ in range(int(number)):
                await connection.send("x" * 65536)
        else:
            await connection.send(message)


async def main() -> None:
    async with serve(
        handle,
        "127.0.0.1",
        int(sys.argv[1]),
        process_request=process,
        process_response=seen,
        compression=None,
        max_size=1 << 22,
        backlog=4096,
    ) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
