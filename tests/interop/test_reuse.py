"""HTTP clients that open a WebSocket on the connection of a page."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..support import IDIOMS
from .proxies import NODE, missing
from .relay import Relay
from .server import Child, Server

PROGRAMS = Path(__file__).parent / "reuse"
TEXTS = ["x", "é€🚀x" * 1_000]
PYTHON = "{} is missing, install it with: pip install {}"


@contextmanager
def used(*options: str) -> Iterator[str]:
    """
    The host and port of a server. In the end, a page and a WebSocket have used one connection.
    """
    with Server(*options) as server, Relay(server.port) as relay:
        try:
            yield f"127.0.0.1:{relay.port}"
        finally:
            assert relay.requests() == [["/page", "/socket"]]


def run(*command: str) -> None:
    """
    Run a program that loads the page and gets the texts echoed, and check its output.
    """
    with used() as host:
        arguments = [*command, f"http://{host}/page", f"ws://{host}/socket", *TEXTS]
        with Child(arguments, env={**os.environ, "NODE_PATH": str(NODE)}) as child:
            child.process.wait(30)
        expected = ["page: okay", *(f"text: {text}" for text in TEXTS), "close: 4000"]
        assert [line.rstrip("\n") for line in child.lines] == expected


@pytest.mark.parametrize("dialect", IDIOMS)
def test_curl(dialect: str, tmp_path: Path) -> None:
    """
    curl asks for a WebSocket of each dialect. It sends the nonce of Hixie-76 as a body.
    """
    curl = shutil.which("curl") or missing("curl is missing, install it with: apt-get install curl")
    idiom = IDIOMS[dialect]
    options = ["--silent", "--show-error", "--http1.1", "--noproxy", "*", "--max-time", "10"]
    request = []
    for name, value in idiom.fields:
        if name != b"Host":
            request += ["--header", f"{name.decode()}: {value.decode()}"]
    if idiom.preamble:
        (tmp_path / "nonce").write_bytes(idiom.preamble)
        request += ["--request", "GET", "--data-binary", f"@{tmp_path}/nonce"]
    with used("--service", "tests.interop.greeting.Greeting", "--close-timeout", "0.1") as host:
        first = [*options, f"http://{host}/page", "--next"]
        second = [*options, *request, f"http://{host}/socket"]
        result = subprocess.run([curl, *first, *second], capture_output=True, timeout=20)
        # The frames are the body of the answer; it ends with the connection.
        frames = idiom.serverText("127.0.0.1") + idiom.serverClose
        assert result.stdout.startswith(b"okay")
        assert result.stdout.endswith(frames)
        assert (result.returncode, result.stderr) == (0, b"")


def test_java() -> None:
    """
    Java's own client does so, after it asked for HTTP/2 with the page.
    """
    java = shutil.which("java") or missing(
        "java is missing, install it with: apt-get install openjdk-17-jdk-headless"
    )
    run(java, str(PROGRAMS / "Reuse.java"))


def test_nodeAgent() -> None:
    """
    ws of Node does so, with an agent that keeps connections.
    """
    node = shutil.which("node")
    if node is None or not (NODE / "ws").is_dir():
        node = missing("ws is missing, install it with: tests/interop/install-node-peers")
    run(node, str(PROGRAMS / "agent.js"))


def test_aiohttp() -> None:
    """
    A session of aiohttp does so.
    """
    try:
        import aiohttp
    except ImportError:
        missing(PYTHON.format("aiohttp", "aiohttp"))

    async def converse(host: str) -> None:
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            async with session.get(f"http://{host}/page") as response:
                assert await response.text() == "okay"
            async with session.ws_connect(f"ws://{host}/socket") as client:
                for text in TEXTS:
                    await client.send_str(text)
                    assert await client.receive_str(timeout=10) == text
                await client.close(code=4000)
                assert client.close_code == 4000

    with used() as host:
        asyncio.run(converse(host))


def test_httpx() -> None:
    """
    A client of httpx does so, with httpx-ws.
    """
    try:
        import httpx
        from httpx_ws import WebSocketSession, connect_ws
    except ImportError:
        missing(PYTHON.format("httpx-ws", "httpx-ws"))
    with used() as host, httpx.Client(trust_env=False) as client:
        assert client.get(f"http://{host}/page").text == "okay"
        session: WebSocketSession
        with connect_ws(f"http://{host}/socket", client) as session:
            for text in TEXTS:
                session.send_text(text)
                assert session.receive_text(timeout=10) == text
            session.close(4000)
