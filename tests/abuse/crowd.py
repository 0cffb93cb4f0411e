"""
The well-behaved clients that an attack must not hurt.
"""

from __future__ import annotations

import selectors
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.connection import Connection
from time import perf_counter
from typing import NamedTuple

from tests.abuse.client import TEXT, Client, openAll

SIZE = 50
# Messages a second, of each.
_RATE = 20.0
# A message without an answer for this many seconds is missing.
_PATIENCE = 20.0


class Latency(NamedTuple):
    """
    Seconds from a message to its echo.

    @ivar samples: how many messages.
    """

    median: float
    p99: float
    worst: float
    samples: int

    @classmethod
    def of(cls, seconds: list[float]) -> Latency:
        """
        @return: the statistics of all measurements.
        """
        ordered = sorted(seconds) or [0.0]

        def at(part: float) -> float:
            return ordered[min(len(ordered) - 1, int(part * len(ordered)))]

        return cls(at(0.5), at(0.99), ordered[-1], len(seconds))


NOTHING = Latency.of([])


@dataclass
class _Member:
    """
    @ivar waiting: what it sent and when, until that is answered.
    """

    client: Client
    waiting: deque[tuple[str, float]] = field(default_factory=deque)


class Crowd:
    """
    Clients of all dialects, each of which sends messages to an echo at a fixed rate, whether or not
    earlier ones are answered.
    """

    def __init__(self, port: int, size: int, secure: bool = False) -> None:
        """
        @param secure: whether they use TLS.
        """
        self._selector = selectors.DefaultSelector()
        self._members = [_Member(client) for client in openAll(port, size, secure=secure)]
        for member in self._members:
            assert member.client.status == 101, f"a client gets {member.client.outcome}"
            member.client.socket.setblocking(False)
            self._selector.register(member.client, selectors.EVENT_READ, member)
        self._seconds: list[float] = []
        self._numbers = count()
        self._due = perf_counter()

    def run(self, pipe: Connection) -> None:
        """
        Go on until the pipe ends. Each number from it is for how many more seconds to measure; the
        answer is the L{Latency} since the last time.

        @raise AssertionError: if a client is disconnected or gets a wrong answer.
        """
        self._selector.register(pipe, selectors.EVENT_READ)
        pipe.send((True, None))
        end = float("inf")
        while True:
            self._sendDue()
            for key, _ in self._selector.select(max(0.0, self._due - perf_counter())):
                if key.data is not None:
                    self._receive(key.data)
                    continue
                try:
                    end = perf_counter() + pipe.recv()
                except EOFError:
                    return
            if perf_counter() > end:
                end = float("inf")
                pipe.send((True, Latency.of(self._seconds)))
                self._seconds.clear()

    def _sendDue(self) -> None:
        step = 1 / (_RATE * len(self._members))
        while (now := perf_counter()) >= self._due:
            # Messages that could not be sent in time are skipped.
            self._due = max(self._due + step, now - 10 * step)
            number = next(self._numbers)
            member = self._members[number % len(self._members)]
            text = f"number {number} ÷ 🚀"
            member.waiting.append((text, perf_counter()))
            member.client.sendText(text)
            late = now - member.waiting[0][1]
            assert late < _PATIENCE, f"{member.client.dialect}: no answer for {late:.0f} s"

    def _receive(self, member: _Member) -> None:
        for frame in member.client.receive():
            now = perf_counter()
            text, sent = member.waiting.popleft() if member.waiting else ("nothing", now)
            expected = (TEXT, text.encode())
            assert frame == expected, f"{member.client.dialect}: {frame!r} instead of {text!r}"
            self._seconds.append(now - sent)
        client = member.client
        assert not client.ending, f"a {client.dialect} client is disconnected: {client.outcome}"


def crowd(pipe: Connection, port: int, size: int, secure: bool) -> None:
    """
    The task of a worker.
    """
    Crowd(port, size, secure).run(pipe)
