"""The server with clients that fetch pages, too, and offer protocols by ALPN: curl and aiohttp."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator

import aiohttp
import pytest

from .flow import SIZES, Message, flow, inLoop
from .server import Server, missing

# From RFC 6455 section 1.3.
KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
MIB = 1 << 20


@pytest.fixture(params=["plain", "tls"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server("--log-connections", secure=request.param == "tls") as server:
        yield server


# curl


def curl(server: Server, *options: str) -> list[str]:
    """
    A command that trusts the server.
    """
    if shutil.which("curl") is None:
        missing("curl is missing, install it with: apt-get install curl")
    trust = ["--cacert", str(server.certificate)] if server.tlsPort else []
    return ["curl", "--silent", "--noproxy", "*", "--max-time", "20", *trust, *options]


def test_curl(server: Server) -> None:
    """Two pages use one connection, over TLS with HTTP/1.1 although HTTP/2 is offered, too."""
    url = server.url("/any", "http")
    tell = "%{http_code} %{http_version} %{num_connects}\n"
    command = curl(server, "--verbose", "--write-out", tell, url, url)
    done = subprocess.run(command, capture_output=True, timeout=30, check=False, encoding="utf-8")
    assert done.stdout == "okay200 1.1 1\nokay200 1.1 0\n"
    assert ("offers h2,http/1.1" in done.stderr) == bool(server.tlsPort)
    assert ("server accepted http/1.1" in done.stderr) == bool(server.tlsPort)


def test_curlUpgrade(server: Server) -> None:
    """curl gets the answer to an opening handshake, and the bytes of the frames after it."""
    fields = [
        *("--header", "Upgrade: websocket", "--header", "Connection: Upgrade"),
        *("--header", "Sec-WebSocket-Version: 13", "--header", f"Sec-WebSocket-Key: {KEY}"),
    ]
    url = server.url("/broadcast", "http")
    command = curl(server, "--include", "--no-buffer", *fields, url)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        made = server.waitForLog(r"(\S+) opened: rfc6455 /broadcast")[1]
        server.process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
    head, _, frames = output.decode("iso-8859-1").partition("\r\n\r\n")
    assert head.splitlines()[0] == "HTTP/1.1 101 Switching Protocols"
    assert f"Sec-WebSocket-Accept: {ACCEPT}" in head.splitlines()
    joined, goodbye = f"New Connection: {made}", "\x03\xe9the server is going down"
    assert frames == f"\x81{chr(len(joined))}{joined}\x88{chr(len(goodbye))}{goodbye}"
    server.process.wait(10)


# aiohttp


def session(server: Server) -> aiohttp.ClientSession:
    """
    A client with a pool of connections, with aiohttp's default ALPN.
    """
    context = server.context("http/1.1")
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context or True))


@inLoop
async def test_aiohttp(server: Server) -> None:
    """Pages load; texts and bytes of up to 1 MiB come back, and a ping is answered."""
    async with session(server) as pages:
        for _ in range(2):
            async with pages.get(server.url("/any", "http")) as answer:
                assert (answer.status, await answer.text()) == (200, "okay")
    url, agreed = server.url("/echo"), "http/1.1" if server.tlsPort else None
    async with session(server) as client, client.ws_connect(url, autoping=False) as socket:
        tls = socket.get_extra_info("ssl_object")
        assert (tls and tls.selected_alpn_protocol()) == agreed
        for text in ("grüße 🚀 €", "", "x" * MIB):
            await socket.send_str(text)
            assert await socket.receive_str() == text
        for data in (b"", bytes(range(256)) * (MIB // 256)):
            await socket.send_bytes(data)
            assert await socket.receive_bytes() == data
        await socket.ping(b"hello")
        assert await socket.receive() == (aiohttp.WSMsgType.PONG, b"hello", "")
        await socket.close(code=4000)
        assert socket.close_code == 4000


@pytest.mark.parametrize(("size", "count"), SIZES)
@inLoop
async def test_aiohttpFlow(server: Server, size: int, count: int) -> None:
    """A client that sends and receives at the same time gets all of it, and in order."""
    async with session(server) as client, client.ws_connect(server.url("/echo")) as socket:

        async def send(message: Message) -> None:
            if isinstance(message, str):
                await socket.send_str(message)
            else:
                await socket.send_bytes(message)

        async def receive() -> Message:
            received = await socket.receive()
            assert isinstance(received.data, str | bytes), received
            return received.data

        await flow(size, count, send, receive)


@inLoop
async def test_aiohttpReuse(server: Server) -> None:
    """A connection that loaded a page is used for a WebSocket by the same pool."""
    async with session(server) as client:
        async with client.get(server.url("/any", "http")) as answer:
            assert await answer.text() == "okay"
        async with client.ws_connect(server.url("/echo")) as socket:
            await socket.send_str("hello")
            assert await socket.receive_str() == "hello"
