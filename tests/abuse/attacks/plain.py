"""
Attacks with plain HTTP, the cheap half of the port.
"""

from __future__ import annotations

import os
import re
import select
from collections import Counter
from contextlib import suppress
from time import monotonic

from tests.abuse.attack import Target, attack
from tests.abuse.client import PATIENCE, Client, connected, openAll, tally
from tests.support import buildHead

# Seconds that the others may wait.
_SOON = 0.05
_BURST = 1 << 14
_TOKEN = "console-token-of-all"
# The server's limit in an attack that would use them up.
_FILES = 256


class _Pipeline:
    """
    A client that sends many requests at once, and reads the answers meanwhile.

    @ivar missing: how many are not answered.
    @ivar answers: how many were.
    """

    def __init__(self, port: int, request: bytes, size: int) -> None:
        """
        @param size: how many requests.
        """
        self.answers = 0
        self.missing = 0
        self._socket = connected(port)
        self._socket.setblocking(False)
        self._requests = request * size
        self._size = size
        self._last = b""
        self._unsent = memoryview(b"")
        self.begin()

    def fileno(self) -> int:
        return self._socket.fileno()

    def begin(self) -> None:
        """
        Send them, once more.
        """
        self.missing = self._size
        self._unsent = memoryview(self._requests)

    def goOn(self) -> int:
        """
        Send and receive what is possible.

        @return: what to wait for.
        """
        with suppress(BlockingIOError):
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        with suppress(BlockingIOError):
            data = self._socket.recv(1 << 18)
            assert data, "the server ends the connection"
            received = self._last + data
            self._last = received[-12:]
            self._count(received.count(b"HTTP/1.1 200 "))
        return select.EPOLLIN | (select.EPOLLOUT if self._unsent else 0)

    def _count(self, answers: int) -> None:
        self.answers += answers
        self.missing -= answers

    def close(self) -> None:
        """
        End it.
        """
        self._socket.close()


def _flooded(target: Target, *requests: bytes, burst: int = _BURST) -> str:
    """
    Send pipelined requests, and more of them as soon as all are answered.

    @param requests: one for each client.
    @param burst: bytes sent at once.
    """
    poll = select.epoll()
    clients = {}
    for request in requests:
        client = _Pipeline(target.port, request, burst // len(request))
        clients[client.fileno()] = client
        poll.register(client, select.EPOLLIN | select.EPOLLOUT)
    started = monotonic()
    waiting = set(clients)
    while waiting:
        ready = poll.poll(PATIENCE)
        assert ready, "nothing is answered"
        for descriptor, _ in ready:
            client = clients[descriptor]
            poll.modify(client, client.goOn())
            if not client.missing and monotonic() < started + target.size(4, 0):
                client.begin()
                poll.modify(client, client.goOn())
            elif not client.missing:
                waiting.discard(descriptor)
    took = monotonic() - started
    answers = sum(client.answers for client in clients.values())
    for client in clients.values():
        client.close()
    return f"{answers / took:,.0f} answers a second, {burst // len(requests[0])} at a time"


@attack(memory=32, wait=_SOON)
def statisticsFlood(target: Target) -> str:
    """
    16 KiB of pipelined requests for the console's statistics, with 5,000 WebSockets open.
    """
    clients = openAll(target.port, target.size(5_000, 200))
    answer = _flooded(target, b"GET /console/statistics HTTP/1.1\r\n\r\n")
    for client in clients:
        client.close()
    return answer


@attack(memory=32, wait=_SOON)
def dialectFlood(target: Target) -> str:
    """
    16 KiB of pipelined requests for the dialect of a connection, with 1,000 that have its token.
    """
    path = f"/echo?console={_TOKEN}"
    clients = [Client(target.port, path=path) for _ in range(target.size(1_000, 100))]
    answer = _flooded(target, f"GET /console/connection?token={_TOKEN} HTTP/1.1\r\n\r\n".encode())
    for client in clients:
        client.close()
    return answer


@attack(memory=16, wait=_SOON)
def pipelinedRequests(target: Target) -> str:
    """
    128 KiB of pipelined requests at a time, by each of ten clients.
    """
    requests = (
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"GET /console/basics.js HTTP/1.1\r\n\r\n",
        b"GET /console HTTP/1.1\r\n\r\n",
    )
    return _flooded(target, *requests, *requests, burst=target.size(1 << 17, 1 << 12))


def _openFiles(pid: int) -> Counter[str]:
    """
    @return: the files that a process has open.
    """
    kinds: Counter[str] = Counter()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(OSError):
            kinds[os.readlink(f"/proc/{pid}/fd/{name}").partition(":")[0]] += 1
    return kinds


# Nearly all of them are half a MiB, in memory.
@attack(memory=120, files=_FILES, wait=_SOON)
def manyBodies(target: Target) -> str:
    """
    As many clients as the server can have post half a MiB each, announced or in chunks, and stop
    in the middle.
    """
    size = 1 << 19
    part = b"x" * (size // 2)
    heads = (
        b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % size,
    )
    before = _openFiles(target.pid)
    clients = [connected(target.port) for _ in range(target.size(130, 50))]
    for number, client in enumerate(clients):
        client.sendall(heads[number % 2] + part)
    # Clients that come after them are served.
    assert b"200 OK" in _asked(target.port, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    after = _openFiles(target.pid)
    others = {kind: number for kind, number in (after - before).items() if kind != "socket"}
    assert not others, f"there are files more than before: {others}"
    for number, client in enumerate(clients):
        client.sendall(part + (b"\r\n0\r\n\r\n" if number % 2 else b""))
        assert b"200 OK" in client.recv(1 << 12)
        client.close()
    return f"{len(clients)} bodies at once, no file, all answered"


def _asked(port: int, request: bytes) -> bytes:
    """
    @return: the answer to a request.
    """
    answer = b""
    with connected(port) as client:
        client.sendall(request)
        while part := client.recv(1 << 16):
            answer += part
    return answer


@attack(memory=16, wait=_SOON)
def largeBodies(target: Target) -> str:
    """
    Bodies of a GiB, announced or in chunks.
    """
    end = monotonic() + target.size(3, 0)
    head = b"POST / HTTP/1.1\r\n"
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    statuses: list[str] = []
    while len(statuses) < 2 or monotonic() < end:
        announced = _asked(target.port, head + b"Content-Length: %d\r\n\r\n" % (1 << 30))
        statuses.append(announced[9:12].decode())
        with connected(target.port) as client:
            client.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
            # It is refused after a MiB, and what still comes is dropped.
            for _ in range(64):
                client.sendall(chunk)
            statuses.append(client.recv(1 << 12)[9:12].decode())
    assert set(statuses) == {"413"}, statuses
    return tally(statuses)


@attack(memory=24, wait=_SOON)
def largeForms(target: Target) -> str:
    """
    Forms of 1 MiB with as many fields as there is room for.
    """
    field = b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
    size = 1 << 20
    forms = {
        b"application/x-www-form-urlencoded": b"a=b&" * (size // 4),
        b"multipart/form-data; boundary=B": field * (size // len(field) - 1) + b"--B--\r\n",
    }
    end = monotonic() + target.size(3, 0)
    statuses: list[str] = []
    while not statuses or monotonic() < end:
        for kind, form in forms.items():
            head = b"POST / HTTP/1.1\r\nConnection: close\r\nContent-Type: %b\r\n" % kind
            request = head + b"Content-Length: %d\r\n\r\n" % len(form) + form
            statuses.append(_asked(target.port, request)[9:12].decode())
    assert set(statuses) == {"200"}, statuses
    return tally(statuses)


def _noTraceback(lines: list[str]) -> str:
    tracebacks = sum("Traceback" in line for line in lines)
    assert not tracebacks, f"{tracebacks} tracebacks"
    return f"{len(lines):,} lines logged"


@attack(memory=8, wait=_SOON, verify=_noTraceback)
def endlessContentLength(target: Target) -> str:
    """
    A Content-Length of 5,000 digits, in the first request of a connection and in the second.
    """
    end = monotonic() + target.size(2, 0)
    request = b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n"
    statuses: list[str] = []
    while not statuses or monotonic() < end:
        for before in (b"", b"GET / HTTP/1.1\r\n\r\n"):
            statuses.append(
                re.findall(rb"HTTP/1.1 (\d+)", _asked(target.port, before + request))[-1].decode()
            )
    assert set(statuses) == {"400"}, statuses
    return tally(statuses)


@attack("--request-timeout", "2", memory=24)
def slowRequests(target: Target) -> str:
    """
    1,000 clients send the body of a POST a byte at a time, or their second request.
    """
    beginnings = (
        b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\nGET /",
    )
    poll = select.epoll()
    clients = {}
    for number in range(target.size(1_000, 50)):
        made = connected(target.port)
        made.sendall(beginnings[number % 2])
        clients[made.fileno()] = made
        poll.register(made.fileno(), select.EPOLLIN)
    started = monotonic()
    statuses: list[str] = []
    while clients:
        for client in clients.values():
            with suppress(OSError):
                client.send(b"x")
        for descriptor, _ in poll.poll(0.1, 1000):
            data = clients[descriptor].recv(1 << 12)
            if b"HTTP/1.1 408 " in data:
                statuses.append("408")
            elif not data:
                poll.unregister(descriptor)
                clients.pop(descriptor).close()
        assert monotonic() < started + PATIENCE, f"{len(clients)} are still connected"
    return f"{tally(statuses)}; all gone after {monotonic() - started:.1f} s"


@attack("--max-connections", "200", memory=8)
def idleConnections(target: Target) -> str:
    """
    Plain HTTP keeps all connections that there may be, and WebSockets come.
    """
    room = 140
    clients = [connected(target.port) for _ in range(room)]
    for client in clients:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert b"200 OK" in client.recv(1 << 12)
    webSockets = openAll(target.port, room)
    refused = sum(client.status != 101 for client in webSockets)
    assert not refused, f"{refused} of {room} WebSockets are refused"
    for webSocket in webSockets:
        webSocket.close()
    for client in clients:
        client.close()
    return f"{room} WebSockets are opened"


@attack(
    "--origin", "http://*.*.example.com", "--origin", "http://example.com", memory=8, wait=_SOON
)
def longOrigins(target: Target) -> str:
    """
    An Origin of nearly 16 KiB, where --origin has two asterisks.
    """
    end = monotonic() + target.size(3, 0)
    statuses: list[str] = []
    origin = b"http://" + b"." * 15_000
    while not statuses or monotonic() < end:
        for dialect in ("hixie-75", "rfc6455"):
            statuses.append(
                _asked(target.port, buildHead(dialect, {b"Origin": origin}))[9:12].decode()
            )
    assert set(statuses) == {"403"}, statuses
    return tally(statuses)
