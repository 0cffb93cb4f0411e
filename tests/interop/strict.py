"""
Clients that are as strict about the server's answer as the browsers of each dialect were.

They use no code of txhixie: they implement the drafts, over any connected socket.
"""

from __future__ import annotations

import base64
import random
import socket
import ssl
from collections.abc import Callable, Mapping
from hashlib import md5, sha1
from http.client import HTTPConnection
from io import BufferedReader
from itertools import count
from urllib.parse import urlsplit

from ..support import clientFrame

ORIGIN = "http://example.com"
FIN, TEXT, CLOSE = 0x80, 0x1, 0x8
# A single byte, and 100 KB of characters of all lengths.
TEXTS = ("x", "é€🚀x" * 10_240)
SECONDS = 10

_pages = count(1)


class Refused(Exception):
    """
    A client of this dialect does not accept the answer.
    """


def dial(
    port: int, context: ssl.SSLContext | None = None, source: str = "127.0.0.1"
) -> socket.socket:
    """
    A new connection to a port of the loopback interface.

    @param context: makes it a TLS connection.
    @param source: the address that it comes from.
    """
    connection = socket.create_connection(("127.0.0.1", port), SECONDS, (source, 0))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context is None:
        return connection
    return context.wrap_socket(connection, server_hostname="127.0.0.1")


def loadPages(connection: socket.socket, number: int = 3) -> None:
    """
    Load pages, one after the other, and keep the connection.
    """
    client = HTTPConnection("127.0.0.1", connection.getpeername()[1])
    client.sock = connection
    for _ in range(number):
        # No cache has it.
        client.request("GET", f"/page/{next(_pages)}")
        with client.getresponse() as response:
            assert (response.status, response.read()) == (200, b"okay")
            assert not response.will_close


class StrictClient:
    """
    One client, from its request on.
    """

    def __init__(self, connection: socket.socket, stream: BufferedReader, url: str) -> None:
        """
        Open a WebSocket.

        @param connection: to the host and port of the URL, and over TLS if it is a C{wss} one.
        @param stream: reads from that connection.
        @raise Refused: if the answer lacks something that a client of the dialect requires.
        """
        parts = urlsplit(url)
        self.url = url
        self.host = parts.netloc
        self.target = parts.path + (f"?{parts.query}" if parts.query else "")
        self.connection = connection
        self.stream = stream
        self.open()

    def open(self) -> None:
        """
        Send the request, and check the answer.
        """
        raise NotImplementedError

    def sendRequest(self, *fields: str, body: bytes = b"") -> None:
        """
        Send a request, in one piece.
        """
        lines = [f"GET {self.target} HTTP/1.1", *fields, "", ""]
        self.connection.sendall("\r\n".join(lines).encode("latin-1") + body)

    def readHead(self) -> bytes:
        """
        Read the head of the answer.
        """
        lines = []
        while line := self.stream.readline():
            lines.append(line)
            if line == b"\r\n":
                break
        return b"".join(lines)

    def fields(self, head: bytes) -> dict[bytes, list[bytes]]:
        """
        The fields of the answer, their names in lower case.
        """
        lines = head.split(b"\r\n")
        if len(lines) < 3 or lines[-2:] != [b"", b""]:
            raise Refused(f"no head: {head!r}")
        fields: dict[bytes, list[bytes]] = {}
        for line in lines[1:-2]:
            name, colon, value = line.partition(b":")
            if not name or not colon or b"\r" in line or b"\n" in line:
                raise Refused(f"no field: {line!r}")
            fields.setdefault(name.lower(), []).append(value.removeprefix(b" "))
        return fields

    def require(self, head: bytes, values: Mapping[str, str]) -> None:
        """
        Check that the answer has each of these fields once, with exactly this value.
        """
        fields = self.fields(head)
        for name, value in values.items():
            found = fields.get(name.encode(), [])
            if found != [value.encode()]:
                raise Refused(f"{name} is {found}, not {value!r}, in {head!r}")

    def sendText(self, text: str) -> None:
        """
        Send a message.
        """
        raise NotImplementedError

    def receiveText(self) -> str:
        """
        Receive a message.
        """
        raise NotImplementedError

    def close(self) -> None:
        """
        Close by the rules of the dialect, and check that the other side does its part.
        """
        raise NotImplementedError


class Hixie75(StrictClient):
    """
    By draft-hixie-thewebsocketprotocol-75: the first 85 bytes have to be exact.
    """

    FIRST = (
        b"HTTP/1.1 101 Web Socket Protocol Handshake\r\n"
        b"Upgrade: WebSocket\r\n"
        b"Connection: Upgrade\r\n"
    )

    def open(self) -> None:
        self.sendRequest(
            "Upgrade: WebSocket",
            "Connection: Upgrade",
            f"Host: {self.host}",
            f"Origin: {ORIGIN}",
        )
        head = self.readHead()
        if not head.startswith(self.FIRST):
            raise Refused(f"other first lines: {head!r}")
        self.require(head, {"websocket-origin": ORIGIN, "websocket-location": self.url})

    def sendText(self, text: str) -> None:
        self.connection.sendall(b"\x00" + text.encode() + b"\xff")

    def receiveText(self) -> str:
        frame = bytearray()
        while not frame.endswith(b"\xff"):
            some = self.stream.peek(1)
            assert some, f"the connection ended after {bytes(frame[:100])!r}"
            end = some.find(b"\xff") + 1 or len(some)
            frame += self.stream.read(end)
        assert frame.startswith(b"\x00")
        return frame[1:-1].decode()

    def close(self) -> None:
        # There is no closing handshake: TCP ends, and everything in between.
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.unwrap()
        else:
            self.connection.shutdown(socket.SHUT_WR)
            assert self.stream.read() == b""


class Hixie76(Hixie75):
    """
    By draft-hixie-thewebsocketprotocol-76, with new keys each time.
    """

    def open(self) -> None:
        (key1, number1), (key2, number2) = self._key(), self._key()
        nonce = random.randbytes(8)
        self.sendRequest(
            "Upgrade: WebSocket",
            "Connection: Upgrade",
            f"Host: {self.host}",
            f"Origin: {ORIGIN}",
            f"Sec-WebSocket-Key1: {key1}",
            f"Sec-WebSocket-Key2: {key2}",
            body=nonce,
        )
        head = self.readHead()
        if head.split(b" ")[1:2] != [b"101"] or head.split(b"\r\n")[0].count(b" ") < 2:
            raise Refused(f"no 101: {head!r}")
        self.require(
            head,
            {
                "upgrade": "WebSocket",
                "sec-websocket-origin": ORIGIN,
                "sec-websocket-location": self.url,
            },
        )
        connection = self.fields(head)[b"connection"]
        if [value.lower() for value in connection] != [b"upgrade"]:
            raise Refused(f"connection is {connection}, in {head!r}")
        challenge = number1.to_bytes(4, "big") + number2.to_bytes(4, "big") + nonce
        answer = self.stream.read(16)
        if answer != md5(challenge, usedforsecurity=False).digest():
            raise Refused(f"a wrong answer: {answer!r}")

    def _key(self) -> tuple[str, int]:
        """
        A key, and the number in it (draft 76 section 4.1, steps 16 to 23).
        """
        spaces = random.randint(1, 12)
        number = random.randint(0, 0xFFFFFFFF // spaces)
        key = [*str(number * spaces)]
        noise = [*map(chr, (*range(0x21, 0x30), *range(0x3A, 0x7F)))]
        for _ in range(random.randint(1, 12)):
            key.insert(random.randint(0, len(key)), random.choice(noise))
        for _ in range(spaces):
            key.insert(random.randint(1, len(key) - 1), " ")
        return "".join(key), number

    def close(self) -> None:
        self.connection.sendall(b"\xff\x00")
        assert self.stream.read() == b"\xff\x00"


class Hybi(StrictClient):
    """
    By RFC 6455.
    """

    VERSION = 13
    ORIGIN_FIELD = "Origin"
    GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

    def open(self) -> None:
        key = base64.b64encode(random.randbytes(16))
        self.sendRequest(
            f"Host: {self.host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"{self.ORIGIN_FIELD}: {ORIGIN}",
            f"Sec-WebSocket-Key: {key.decode()}",
            f"Sec-WebSocket-Version: {self.VERSION}",
        )
        head = self.readHead()
        if not head.startswith(b"HTTP/1.1 101 "):
            raise Refused(f"no 101: {head!r}")
        accept = base64.b64encode(sha1(key + self.GUID, usedforsecurity=False).digest())
        self.require(head, {"sec-websocket-accept": accept.decode()})
        fields = self.fields(head)
        for name, value in ((b"upgrade", b"websocket"), (b"connection", b"upgrade")):
            if [found.lower() for found in fields.get(name, [])] != [value]:
                raise Refused(f"{name!r} is not {value!r}, in {head!r}")
        for name in (b"sec-websocket-extensions", b"sec-websocket-protocol"):
            if name in fields:
                raise Refused(f"{name!r}, which was not asked for, in {head!r}")

    def sendText(self, text: str) -> None:
        self.connection.sendall(clientFrame(FIN | TEXT, text.encode()))

    def receiveText(self) -> str:
        first, payload = self._read()
        assert first == FIN | TEXT
        return payload.decode()

    def _read(self) -> tuple[int, bytes]:
        """
        Read a frame from the server, which has no mask.
        """
        head = self.stream.read(2)
        assert len(head) == 2, f"the connection ended after {head!r}"
        first, size = head
        assert size < 128
        if size > 125:
            size = int.from_bytes(self.stream.read(2 if size == 126 else 8), "big")
        return first, self.stream.read(size)

    def close(self) -> None:
        goodbye = b"\x03\xe8bye"
        self.connection.sendall(clientFrame(FIN | CLOSE, goodbye))
        assert self._read() == (FIN | CLOSE, goodbye)
        assert self.stream.read() == b""


class Hybi08(Hybi):
    """
    Version 8, of 2011.
    """

    VERSION = 8
    ORIGIN_FIELD = "Sec-WebSocket-Origin"


class Hybi07(Hybi08):
    """
    Version 7.
    """

    VERSION = 7


CLIENTS: dict[str, Callable[[socket.socket, BufferedReader, str], StrictClient]] = {
    "hixie-75": Hixie75,
    "hixie-76": Hixie76,
    "hybi-07": Hybi07,
    "hybi-08": Hybi08,
    "rfc6455": Hybi,
}


def converse(dialect: str, connection: socket.socket, url: str) -> None:
    """
    Open a WebSocket, get some texts echoed, and close it.

    @raise Refused: if it does not open.
    """
    with connection.makefile("rb") as stream:
        client = CLIENTS[dialect](connection, stream, url)
        for text in TEXTS:
            client.sendText(text)
            assert client.receiveText() == text
        client.close()
