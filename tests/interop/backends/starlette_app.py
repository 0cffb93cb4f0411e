"""
A Starlette application under uvicorn that logs visitors in by its signed session cookie:
C{starlette_app.py PORT}. It prints its port, and does what C{node.js} does.
"""

from __future__ import annotations

import asyncio
import socket
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect


async def login(request: Request) -> HTMLResponse:
    request.session["user"] = request.url.query
    return HTMLResponse("<title>Hello</title>")


async def app(webSocket: WebSocket) -> None:
    user = webSocket.session.get("user")
    if user is None:
        # Before it is accepted, this refuses it with 403.
        await webSocket.close()
        return
    await webSocket.accept(headers=[(b"set-cookie", b"seen=1")])
    address, origin = (webSocket.headers.get(name) for name in ("x-forwarded-for", "origin"))
    await webSocket.send_text(f"hello {user} at {address} from {origin}")
    await talk(webSocket)


async def echo(webSocket: WebSocket) -> None:
    await webSocket.accept()
    await talk(webSocket)


async def talk(webSocket: WebSocket) -> None:
    try:
        while True:
            message = await webSocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            word, _, number = (text or "").partition(" ")
            if text is None:
                await webSocket.send_bytes(message["bytes"])
            elif word == "close":
                await webSocket.close(4001, "asked")
                return
            elif word == "bytes":
                await webSocket.send_bytes(b"\0\xff")
            elif word == "flood":
                for _ in range(int(number)):
                    await webSocket.send_text("x" * 65536)
            else:
                await webSocket.send_text(text)
    except WebSocketDisconnect:
        pass


application = Starlette(
    routes=[
        Route("/login", login),
        WebSocketRoute("/app", app),
        WebSocketRoute("/echo", echo),
    ],
    middleware=[Middleware(SessionMiddleware, secret_key="not a secret")],
)


async def main() -> None:
    listening = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=4096)
    config = uvicorn.Config(application, log_level="warning", ws_max_size=1 << 22)
    print(listening.getsockname()[1], flush=True)
    await uvicorn.Server(config).serve(sockets=[listening])


asyncio.run(main())
