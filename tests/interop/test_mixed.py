"""A browser of every era, and clients of every dialect, in one broadcast."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any

from ..support import frame
from .chromium import ChromiumTab, chromium
from .phantom import Phantom, Step, phantomCommand
from .server import Server
from .test_phantomjs import Hixie75, joined

KIB64 = 1 << 16
LARGE = "é€🚀x" * 6553 + "🚀xx"
MASK = b"\x37\xfa\x21\x3d"
FIN, TEXT, CLOSE, PING, PONG = 0x80, 0x1, 0x8, 0x9, 0xA

# How a page becomes a member.
JOIN = """(url) => {
    window.seen = [];
    window.ended = null;
    window.socket = new WebSocket(url);
    socket.onmessage = (event) => seen.push(event.data);
    socket.onclose = (event) => { ended = [event.code, event.wasClean]; };
}"""


class Hybi:
    """
    A minimal client of version 7 or 8.
    """

    ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

    def __init__(self, port: int, path: str, version: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._stream = self._socket.makefile("rb")
        self.messages: list[str] = []
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{port}\r\n"
            "Upgrade: websocket\r\n"
            "Connection: keep-alive, Upgrade\r\n"
            "Sec-WebSocket-Origin: http://example.com\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Sec-WebSocket-Version: {version}\r\n\r\n".encode()
        )
        head = [line.decode().rstrip("\r\n") for line in iter(self._stream.readline, b"\r\n")]
        assert head[0] == "HTTP/1.1 101 Switching Protocols"
        assert dict(line.split(": ", 1) for line in head[1:]) == {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": self.ACCEPT,
        }

    def send(self, text: str, fragments: int = 1) -> None:
        """
        Send a message, with a ping after every fragment but the last.
        """
        data = text.encode()
        size = len(data) // fragments + 1
        pieces = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
        for number, piece in enumerate(pieces):
            last = number == len(pieces) - 1
            firstByte = (FIN if last else 0) | (0 if number else TEXT)
            self._socket.sendall(frame(firstByte, piece, MASK))
            if not last:
                self._socket.sendall(frame(FIN | PING, b"%d" % number, MASK))

    def _read(self) -> tuple[int, bytes]:
        """
        Read a frame from the server: whole and not masked.
        """
        opcode, size = self._stream.read(2)
        assert opcode & 0xF0 == FIN
        assert size < 128
        if size > 125:
            size = int.from_bytes(self._stream.read(2 if size == 126 else 8), "big")
        return opcode & 0xF, self._stream.read(size)

    def waitFor(self, count: int) -> list[str]:
        """
        Read until there are that many messages, and return all.
        """
        while len(self.messages) < count:
            opcode, data = self._read()
            if opcode == TEXT:
                self.messages.append(data.decode())
            else:
                assert opcode == PONG
        return self.messages

    def leave(self) -> None:
        """
        Close in good order.
        """
        self._socket.sendall(frame(FIN | CLOSE, b"\x03\xe8bye", MASK))
        assert self._read() == (CLOSE, b"\x03\xe8bye")
        assert self._stream.read() == b""

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


class Page(ChromiumTab):
    """
    Chromium as a member.
    """

    def join(self, url: str) -> None:
        self.page.evaluate(JOIN, url)

    def waitFor(self, count: int) -> list[str]:
        """
        Wait for that many messages, and return all.
        """
        self.wait(f"seen.length >= {count}")
        seen: list[str] = self.evaluate("seen")
        return seen

    def send(self, text: str) -> None:
        self.page.evaluate("(text) => socket.send(text)", text)


def texts(name: str) -> list[str]:
    """
    The texts of a member.
    """
    assert len(LARGE.encode()) == KIB64
    return [f"hello from {name}", "grüße 🚀 €", "", LARGE]


def connections(server: Server) -> dict[str, int]:
    """
    How many connections of each dialect the server counts.
    """
    counted: dict[str, int] = server.statistics()["connections"]
    return counted


def test_everybody() -> None:
    """
    Chromium, two PhantomJS, and clients of Hixie-75 and of the versions 8 and 7 get the same
    messages in the same order, each from its own join on, while all of them send at once, and while
    one after another leaves.
    """
    phantomCommand()
    members = ["chromium", "phantom", "hixie-75", "version 8", "other phantom", "version 7"]
    said = len(members) * len(texts(""))
    with ExitStack() as stack:
        server = stack.enter_context(Server())
        url = server.url("/broadcast")
        browser = stack.enter_context(chromium())

        def openPhantom(name: str, *more: Step) -> Phantom:
            # It gets its own join, and everything that follows.
            everybody = len(members) - members.index(name)
            speak: Step = {"after": everybody, "send": texts(name)}
            leave: Step = {"after": everybody + said + gone[name], "close": True}
            page = server.url("/any", "http")
            return stack.enter_context(
                Phantom("page.js", page=page, url=url, steps=[speak, leave, *more])
            )

        # How many leave before this one.
        order = ["phantom", "hixie-75", "version 7", "other phantom", "version 8"]
        gone = {name: number for number, name in enumerate(order)}

        new = stack.enter_context(closing(Page(browser, server.url("/any", "http"))))
        new.join(url)
        new.waitFor(1)
        phantom = openPhantom("phantom")
        new.waitFor(2)
        old = stack.enter_context(closing(Hixie75(server.port, "/broadcast")))
        new.waitFor(3)
        version8 = stack.enter_context(closing(Hybi(server.port, "/broadcast", 8)))
        new.waitFor(4)
        other = openPhantom("other phantom")
        new.waitFor(5)
        # The two browsers wait for the join of the last one.
        version7 = stack.enter_context(closing(Hybi(server.port, "/broadcast", 7)))
        ids = [joined(message) for message in new.waitFor(6)[:6]]
        assert len(set(ids)) == 6
        assert connections(server) == {
            "hixie-75": 1,
            "hixie-76": 2,
            "hybi-07": 1,
            "hybi-08": 1,
            "rfc6455": 1,
        }

        for number in range(len(texts(""))):
            new.send(texts("chromium")[number])
            old.send(texts("hixie-75")[number])
            version8.send(texts("version 8")[number])
            version7.send(texts("version 7")[number], fragments=3)

        # Only the browsers read before everything is sent.
        leaving: dict[str, Callable[[], Any]] = {
            "phantom": lambda: phantom.waitFor("close"),
            "hixie-75": old.close,
            "version 7": version7.leave,
            "other phantom": lambda: other.waitFor("close"),
            "version 8": version8.leave,
        }
        readers: dict[str, Callable[[int], list[str]]] = {
            "chromium": new.waitFor,
            "phantom": lambda count: phantom.waitFor("message", count),
            "hixie-75": old.waitFor,
            "version 8": version8.waitFor,
            "other phantom": lambda count: other.waitFor("message", count),
            "version 7": version7.waitFor,
        }
        seen: dict[str, list[str]] = {}
        for number, name in enumerate(order):
            position = members.index(name)
            total = len(members) - position + said + number
            seen[name] = list(readers[name](total))
            assert len(seen[name]) == total
            leaving[name]()
            new.waitFor(len(members) + said + number + 1)

        everything = new.waitFor(len(members) + said + len(order))
        for name, member in zip(members, ids, strict=True):
            own = [message for message in everything if message.startswith(f"{member}: ")]
            assert own == [f"{member}: {text}" for text in texts(name)]
        assert everything[len(members) + said :] == [
            f"Connection Closed: {ids[members.index(name)]}" for name in order
        ]
        for name, messages in seen.items():
            start = members.index(name)
            assert messages == everything[start : start + len(messages)]
        assert new.evaluate("ended") is None
        assert new.problems() == []
        assert set(connections(server).values()) == {0, 1}


def test_clean() -> None:
    """
    Chromium gets everything that was sent before the server's close, and reports a clean close.
    """
    numbers = [f"number {number}" for number in range(200)]
    with (
        Server() as server,
        chromium() as browser,
        closing(Page(browser, server.url("/any", "http"))) as page,
    ):
        page.join(server.url("/echo"))
        page.wait("socket.readyState === 1")
        page.page.evaluate("(texts) => texts.forEach((t) => socket.send(t))", [*numbers, "kill"])
        page.wait("ended")
        assert page.evaluate("ended") == [1000, True]
        assert page.waitFor(len(numbers)) == numbers
        assert page.problems() == []
