"""The server with PhantomJS 1.9.8, a real browser that speaks Hixie-76."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from .phantom import Phantom, Step, phantomCommand
from .server import Server

MIB = 1 << 20
TEXTS = ["hello", "grüße 🚀 €", "", "x" * (MIB - 5), "", "é€🚀x" * 104857 + "🚀xx", "bye"]


@pytest.fixture
def server() -> Iterator[Server]:
    phantomCommand()
    with Server() as server:
        yield server


def openPage(server: Server, path: str, *steps: Step) -> Phantom:
    """
    A browser that opens a page of the server, whose WebSocket connects to the path.
    """
    page = server.url("/any", "http")
    return Phantom("page.js", page=page, url=server.url(path), steps=steps)


class Hixie75:
    """
    The oldest client: no keys, no closing handshake.
    """

    REPLY = (
        b"HTTP/1.1 101 Web Socket Protocol Handshake\r\n"
        b"Upgrade: WebSocket\r\n"
        b"Connection: Upgrade\r\n"
    )

    def __init__(self, port: int, path: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._stream = self._socket.makefile("rb")
        self.messages: list[str] = []
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
            f"Host: 127.0.0.1:{port}\r\nOrigin: http://example.com\r\n\r\n".encode()
        )
        assert self._stream.read(len(self.REPLY)) == self.REPLY
        self.fields = dict(
            line.decode().rstrip("\r\n").split(": ", 1)
            for line in iter(self._stream.readline, b"\r\n")
        )

    def send(self, text: str) -> None:
        self._socket.sendall(b"\x00" + text.encode() + b"\xff")

    def waitFor(self, count: int) -> list[str]:
        """
        Read until there are that many messages, and return all.
        """
        while len(self.messages) < count:
            assert self._stream.read(1) == b"\x00"
            frame = bytearray()
            while (byte := self._stream.read(1)) != b"\xff":
                assert byte, "the connection ended within a frame"
                frame += byte
            self.messages.append(frame.decode())
        return self.messages

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


def joined(message: str) -> str:
    """
    The ID in the announcement of a new connection.
    """
    match = re.fullmatch(r"New Connection: (\S+)", message)
    assert match, message
    return match[1]


def texts(name: str) -> list[str]:
    """
    The texts of a member of the broadcast.
    """
    return [f"{name} {word}" for word in ("hello", "grüße 🚀 €", "")]


def assertSaid(said: list[str], members: dict[str, str]) -> None:
    """
    Each member, by its ID, sent all of its texts in order, and nothing else.
    """
    for member, name in members.items():
        own = [message for message in said if message.startswith(f"{member}: ")]
        assert own == [f"{member}: {text}" for text in texts(name)]
    assert len(said) == sum(len(texts(name)) for name in members.values())


@pytest.mark.parametrize("script", ["page.js", "direct.js"])
def test_echo(server: Server, script: str) -> None:
    """
    Texts come back unchanged up to 1 MiB of UTF-8, with an origin of http or file.
    """
    assert len(TEXTS[5].encode()) == MIB
    page = server.url("/any", "http")
    steps: list[Step] = [{"after": 0, "send": TEXTS}, {"after": len(TEXTS), "close": True}]
    with Phantom(script, page=page, url=server.url("/echo"), steps=steps) as phantom:
        origins = phantom.waitFor("open")
        assert origins == [server.url("", "http") if script == "page.js" else "file://"]
        phantom.waitFor("close")
        assert phantom.waitFor("message") == TEXTS
        assert not [event for event in phantom.events if event.kind == "error"]


def test_kill(server: Server) -> None:
    """
    After "kill" the server closes, without waiting long for an answer to its FF 00.
    """
    with openPage(server, "/echo", {"after": 0, "send": ["kill"]}) as phantom:
        phantom.waitFor("close")
        assert phantom.at("close") - phantom.at("open") < 5


def test_broadcast(server: Server) -> None:
    """
    Three browsers get the same messages in the same order, each from its own join on.
    """
    with ExitStack() as stack:
        first = stack.enter_context(
            openPage(server, "/broadcast", {"after": 3, "send": texts("first")})
        )
        first.waitFor("message")
        second = stack.enter_context(
            openPage(
                server,
                "/broadcast",
                {"after": 2, "send": texts("second")},
                {"after": 11, "close": True},
            )
        )
        second.waitFor("message")
        third = stack.enter_context(
            openPage(server, "/broadcast", {"after": 1, "send": texts("third")})
        )

        second.waitFor("close")
        third.waitFor("message", 11)
        third.end()
        seen = first.waitFor("message", 14)
        members = [joined(message) for message in seen[:3]]
        assert len(set(members)) == 3
        assertSaid(seen[3:12], dict(zip(members, ["first", "second", "third"], strict=True)))
        assert seen[12:] == [f"Connection Closed: {member}" for member in members[1:]]
        assert second.waitFor("message") == seen[1:12]
        assert third.waitFor("message") == seen[2:13]


def test_broadcastWithHixie75(server: Server) -> None:
    """
    Two browsers with Hixie-76 and a client with Hixie-75 share one broadcast.
    """
    with ExitStack() as stack:
        first = stack.enter_context(
            openPage(server, "/broadcast", {"after": 3, "send": texts("first")})
        )
        first.waitFor("message")
        old = stack.enter_context(closing(Hixie75(server.port, "/broadcast")))
        assert old.fields["WebSocket-Origin"] == "http://example.com"
        assert old.fields["WebSocket-Location"] == server.url("/broadcast")
        old.waitFor(1)
        second = stack.enter_context(
            openPage(server, "/broadcast", {"after": 1, "send": texts("second")})
        )
        old.waitFor(2)
        for text in texts("old"):
            old.send(text)

        old.waitFor(11)
        old.close()
        seen = first.waitFor("message", 13)
        members = [joined(message) for message in seen[:3]]
        assert len(set(members)) == 3
        assertSaid(seen[3:12], dict(zip(members, ["first", "old", "second"], strict=True)))
        assert seen[12:] == [f"Connection Closed: {members[1]}"]
        assert old.messages == seen[1:12]
        assert second.waitFor("message", 11) == seen[2:]


def test_plain(server: Server) -> None:
    """
    Plain HTTP to any path on the same port is answered with 200 and a text.
    """
    with Phantom("plain.js", page=server.url("/any", "http")) as phantom:
        assert phantom.waitFor("text") == ["okay"]
        assert phantom.waitFor("status") == ["200"]


def test_terminate(server: Server) -> None:
    """
    On SIGTERM the server closes the connection of a browser and exits soon.
    """
    with openPage(server, "/echo", {"after": 0, "send": ["hello"]}) as phantom:
        phantom.waitFor("message")
        # twistd ends with the signal that stopped it.
        assert server.stop() == -signal.SIGTERM
        phantom.waitFor("close", timeout=5)
