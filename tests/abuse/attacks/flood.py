"""
Connections by the thousand.
"""

from __future__ import annotations

import select
import socket
from collections import Counter
from collections.abc import Iterator
from itertools import count
from time import monotonic

from benchmarks.process import raiseFileLimit
from tests.abuse.attack import Target, attack
from tests.abuse.client import PATIENCE, Client, connected, reset, tally
from tests.support import IDIOMS, buildHead

# Files that a process has open besides its connections.
_OTHER_FILES = 100
_HANDSHAKE_TIMEOUT = ("--handshake-timeout", "1")


class _Herd:
    """
    Connections that read only how the server ends them.
    """

    def __init__(self) -> None:
        self._poll = select.epoll()
        self.sockets: dict[int, socket.socket] = {}
        self._answers: dict[int, str] = {}
        self.outcomes: Counter[str] = Counter()

    def add(self, port: int, secure: bool = False) -> None:
        """
        Connect one more.
        """
        made = connected(port, secure=secure)
        made.setblocking(False)
        self.sockets[made.fileno()] = made
        self._poll.register(made.fileno(), select.EPOLLIN)

    def look(self, timeout: float = 0) -> None:
        """
        Find out which of them are ended.
        """
        for descriptor, _ in self._poll.poll(timeout, 1000):
            try:
                data = self.sockets[descriptor].recv(1 << 12)
            except BlockingIOError:
                # TLS itself had something to send.
                continue
            except OSError as error:
                self._answers.setdefault(descriptor, type(error).__name__)
                data = b""
            if data:
                self._answers[descriptor] = data[9:12].decode("ascii", "replace")
            else:
                self.outcomes[self._answers.pop(descriptor, "end")] += 1
                self.sockets.pop(descriptor).close()

    def send(self, data: bytes) -> None:
        """
        Send the same through all.
        """
        for made in self.sockets.values():
            try:
                made.send(data)
            except OSError:
                # A read shows that they are ended.
                continue

    def __str__(self) -> str:
        return tally(self.outcomes.elements())


@attack(*_HANDSHAKE_TIMEOUT, memory=16, memoryByTLS=80)
def slowHeads(target: Target) -> str:
    """
    2,000 clients send their request heads a byte at a time.
    """
    size = target.size(2_000, 100)
    herd = _Herd()
    for _ in range(size):
        herd.add(target.port, target.secure)
    started = monotonic()
    head = b"GET /echo HTTP/1.1\r\nX-" + b"a" * 10_000
    for at in count():
        herd.send(head[at : at + 1])
        herd.look(0.05)
        if not herd.sockets:
            break
        assert monotonic() < started + PATIENCE, f"{len(herd.sockets)} are still connected"
    return f"{herd}; all gone after {monotonic() - started:.1f} s"


@attack(*_HANDSHAKE_TIMEOUT, memory=24, memoryByTLS=80)
def silence(target: Target) -> str:
    """
    10,000 clients connect and send nothing.
    """
    herd = _Herd()
    started = monotonic()
    most = 0
    for _ in range(min(target.size(10_000, 200), raiseFileLimit() - _OTHER_FILES)):
        # Not even the beginning of TLS.
        herd.add(target.port)
        herd.look()
        most = max(most, len(herd.sockets))
    took = monotonic() - started
    while herd.sockets:
        herd.look(1.0)
        assert monotonic() < started + PATIENCE, f"{len(herd.sockets)} are still connected"
    return (
        f"connected within {took:.1f} s, {most:,} at once: {herd}; "
        f"all gone after {monotonic() - started:.1f} s"
    )


def _resets(port: int) -> Iterator[None]:
    """
    Connect and reset, at another stage each time.
    """
    for dialect in IDIOMS:
        head = buildHead(dialect, requestLine=b"GET /echo HTTP/1.1")
        for data in (b"", head[: len(head) // 2], head + IDIOMS[dialect].preamble):
            made = connected(port)
            made.send(data)
            reset(made)
            yield
        client = Client(port, dialect)
        client.send(IDIOMS[dialect].clientText("half a frame")[:-4])
        client.reset()
        yield


@attack(memory=8)
def resets(target: Target) -> str:
    """
    Clients connect and reset as fast as they can, silent, in the head, right after it, in a frame.
    """
    end = monotonic() + target.size(3, 0)
    number = 0
    while not number or monotonic() < end:
        number += sum(1 for _ in _resets(target.port))
    return f"{number:,} connections"
