"""
A backplane as one on a network: it answers later, and news come by another way than answers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from txhixie.backplane.contract import BackplaneError, Entry, Event, Receiver
from txhixie.backplane.local import LocalBackplane


class DelayedBackplane(LocalBackplane):
    """
    One node of several that share a log.

    @ivar failures: what methods fail with, by name.
    """

    problem: str | None = None

    def __init__(self, log: LocalBackplane | None = None) -> None:
        super().__init__()
        self.isFull = False
        self.failures: dict[str, BackplaneError] = {}
        self._shared = LocalBackplane() if log is None else log
        self._requests: deque[Callable[[], object]] = deque()
        self._news: deque[Callable[[], object]] = deque()
        self._taps: dict[tuple[str, Receiver], Receiver | None] = {}

    @property
    def waiting(self) -> int:
        """Requests that are not answered."""
        return len(self._requests)

    @property
    def receivers(self) -> int:
        """Subscriptions."""
        return len(self._taps)

    def step(self, news: bool = True) -> bool:
        """
        Answer a request; or deliver news, which go first if they are wanted.

        @return: whether there was one.
        """
        for queue in (self._news, self._requests) if news else (self._requests, self._news):
            if queue:
                queue.popleft()()
                return True
        return False

    def _later(self, name: str, call: Callable[[], Deferred[Any]]) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()

        def answered() -> None:
            if name in self.failures:
                answer.errback(self.failures[name])
            else:
                call().addCallbacks(answer.callback, answer.errback)

        self._requests.append(answered)
        return answer

    def publish(
        self, room: str, event: Event, sender: str, text: str = "", key: str = ""
    ) -> Deferred[str | None]:
        return self._later("publish", lambda: self._shared.publish(room, event, sender, text, key))

    def subscribe(self, room: str, receiver: Receiver) -> Deferred[str]:
        self._taps[room, receiver] = None

        def subscribed() -> Deferred[str]:
            if (room, receiver) not in self._taps:
                raise AssertionError("it was unsubscribed")

            def received(entries: Sequence[Entry]) -> None:
                self._news.append(lambda: self._deliver(room, receiver, entries))

            self._taps[room, receiver] = received
            return self._shared.subscribe(room, received)

        def start() -> Deferred[str]:
            if (room, receiver) in self._taps:
                return subscribed()
            gone: Deferred[str] = Deferred()
            gone.errback(BackplaneError("it was unsubscribed"))
            return gone

        return self._later("subscribe", start)

    def _deliver(self, room: str, receiver: Receiver, entries: Sequence[Entry]) -> None:
        if (room, receiver) in self._taps:
            receiver(entries)

    def unsubscribe(self, room: str, receiver: Receiver) -> None:
        received = self._taps.pop((room, receiver), None)
        if received is not None:
            self._shared.unsubscribe(room, received)

    def read(self, room: str, since: str, limit: int) -> Deferred[Sequence[Entry]]:
        return self._later("read", lambda: self._shared.read(room, since, limit))

    def tail(self, room: str, count: int) -> Deferred[str]:
        return self._later("tail", lambda: self._shared.tail(room, count))

    def members(self, room: str) -> Deferred[tuple[str, ...]]:
        return self._later("members", lambda: self._shared.members(room))
