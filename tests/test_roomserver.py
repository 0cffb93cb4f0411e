"""Rooms of C{twistd hixie} as a child process, over real sockets, by TCP and TLS."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.certificates import makeTLS
from tests.interop.server import Server
from tests.support import IDIOMS
from tests.test_twistd import LOOPBACK, QUICK, Client, connectTLS

_HOST = b"Host: chat.example.com\r\n"


def post(client: Client, body: str, *fields: str) -> tuple[str, str]:
    """@return: the status line and body of the answer to a POST to the room red."""
    head = ["POST /broadcast/red HTTP/1.1", "Host: x", f"Content-Length: {len(body.encode())}"]
    client.send("\r\n".join([*head, *fields, "", ""]).encode() + body.encode())
    answer = client.takeHead()
    length = re.search(r"content-length: (\d+)", answer, re.IGNORECASE)
    return answer.partition("\r\n")[0], client.take(int(length[1]) if length else 0).decode()


@pytest.mark.parametrize("isSecure", [False, True], ids=["tcp", "tls"])
def test_everybody(tmp_path: Path, isSecure: bool) -> None:
    """Members of every dialect, a listener and a cron job are in one room, until SIGTERM."""
    port = makeTLS("ssl", tmp_path) if isSecure else LOOPBACK
    with Server("--port", port, "--publish") as server, ExitStack() as stack:
        clients: list[Client] = []
        number = server.port
        if isSecure:
            number = int(server.waitForLog(r"HixieFactory \(TLS\) starting on (\d+)")[1])

        def connect() -> Client:
            made = connectTLS(number, tmp_path) if isSecure else Client.to(number)
            clients.append(stack.enter_context(closing(made)))
            return made

        members = {dialect: connect() for dialect in IDIOMS}
        for dialect, member in members.items():
            member.open(dialect, "/broadcast/red")
        listener = connect()
        listener.send(
            b"GET /broadcast/red HTTP/1.0\r\nAccept: text/event-stream\r\n" + _HOST + b"\r\n"
        )
        assert "text/event-stream" in listener.takeHead()
        status, entryId = post(connect(), "gr\u00fc\u00dfe")
        assert status == "HTTP/1.1 200 OK"

        def reads(client: Client, data: bytes) -> None:
            while data not in client.received:
                client.receive()
                assert not client.ending

        for dialect, member in members.items():
            reads(member, IDIOMS[dialect].serverText("gr\u00fc\u00dfe"))
        members["hixie-75"].send(IDIOMS["hixie-75"].clientText("ho"))
        reads(listener, f"id: {entryId}\ndata: gr\u00fc\u00dfe\n\n".encode())
        reads(listener, b": ho\n\n")
        late = connect()
        late.open("rfc6455", f"/broadcast/red?since={entryId}")
        reads(late, b": ho")

        server.process.send_signal(signal.SIGTERM)
        while not listener.ending:
            listener.receive()
        assert listener.ending == "EOF"
        # How WebSockets end is tested elsewhere.
        for client in clients:
            client.close()
        server.process.wait(QUICK)


@pytest.mark.parametrize(
    ("options", "fields", "status"),
    [
        ((), (), "403"),
        (("--publish",), (), "200"),
        (("--publish", "--auth", "memory:ann:secret"), (), "401"),
        (("--publish", "--auth", "memory:ann:secret"), ("Authorization: Basic YW5uOnNlY3JldA==",),
         "200"),
    ],
)  # fmt: skip
def test_publish(options: tuple[str, ...], fields: tuple[str, ...], status: str) -> None:
    """Publishing is allowed by an option, and with --auth to those who log in."""
    with Server(*options) as server, closing(Client.to(server.port)) as client:
        answer, body = post(client, "hi", *fields)
        assert answer.split()[1] == status
        if status == "200":
            assert re.fullmatch(r"\d+-1", body)


@pytest.mark.parametrize("options", [("--max-rooms", "2"), ("--max-rooms", "2", "--history", "0")])
def test_maxRooms(options: tuple[str, ...]) -> None:
    """--max-rooms limits the number of rooms, and one that is left makes room."""
    connect: Callable[[int], Client] = Client.to
    with Server(*options) as server, ExitStack() as stack:
        clients = [stack.enter_context(closing(connect(server.port))) for _ in range(3)]
        for number, client in enumerate(clients[:2]):
            client.open("hixie-75", f"/broadcast/{number}")
        with pytest.raises(AssertionError):
            clients[2].open("hixie-75", "/broadcast/2")
        clients[0].close()
        server.wait(lambda: _opens(server.port) or None, "a place for a room", 10)


def _opens(port: int) -> bool:
    with closing(Client.to(port)) as client:
        try:
            client.open("rfc6455", "/broadcast/new")
        except AssertionError:
            return False
        return True
