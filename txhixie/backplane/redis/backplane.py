"""
Rooms on a Redis server.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from txhixie.backplane.contract import BackplaneError, Entry, Event, Receiver, parseId
from txhixie.backplane.redis import keys, reading
from txhixie.backplane.redis.connecting import endpointFor
from txhixie.backplane.redis.connection import LinkLost
from txhixie.backplane.redis.following import Following
from txhixie.backplane.redis.leases import Leases
from txhixie.backplane.redis.link import Link
from txhixie.backplane.redis.publishing import Publishing
from txhixie.backplane.redis.refusals import explain
from txhixie.backplane.redis.url import RedisURL, parseURL
from txhixie.metrics import Histogram, Metric, counter, gauge
from txhixie.settings import Settings

# Seconds that a stopping backplane waits for what it has sent to be answered.
STOP_TIMEOUT = 3.0

_T = TypeVar("_T")
_DEFAULT = Settings()


class RedisBackplane(Service):
    """
    Rooms on a Redis server, for many processes. See
    L{Backplane<txhixie.backplane.contract.Backplane>} for what it does.

    There are two connections, one for the news of rooms and one for everything else. Either is
    made again when it is lost. What was published meanwhile is sent then, and what was missed is
    read.
    """

    def __init__(
        self,
        url: RedisURL,
        history: int = _DEFAULT.history,
        publishLimit: int = _DEFAULT.publishLimit,
        reactor: Any = None,
    ) -> None:
        """
        @param history: entries of each room that are kept.
        @param publishLimit: publications that may wait before L{isFull} is set.
        @raise ValueError: if a certificate that the URL names makes no sense.
        @raise OSError: if one cannot be read.
        """
        if reactor is None:
            from twisted.internet import reactor
        self._url = url
        self._reactor = reactor
        self._publishLimit = publishLimit
        self._problem: str | None = "the server has not started yet"
        self._isStopped = False
        nobody = keys.channel("", url.db)
        self._commands = Link("commands", url, endpointFor(url, reactor), reactor, nobody)
        self._news = Link(
            *("news", url, endpointFor(url, reactor), reactor, nobody),
            onMessage=lambda channel, message: self._following.heard(channel, message),
            onSubscribed=lambda channel: self._following.subscribed(channel),
        )
        self._following = Following(self._news, self._commands, url.db, reactor)
        self._publishing = Publishing(
            *(self._commands, secrets.token_hex(8), url.db, history, reactor),
            least=lambda: self._following.latest,
        )
        self._seconds = Histogram(
            "txhixie_publish_seconds",
            "What the backplane, and the way to it and back, took for a batch of publications.",
        )
        self._publishing.onAnswered = self._answered
        self._lag = Histogram(
            "txhixie_backplane_lag_seconds",
            "From when something was published by this process until it was delivered here, by the "
            "way that it takes to any other process.",
        )
        self._following.onDelivered = self._lag.observe
        self._leases = Leases(self._commands, self._publishing, reactor)
        # Questions that are asked again when there is a connection.
        self._asking: list[tuple[Callable[[], Awaitable[Any]], Deferred[Any]]] = []
        self._commands.onUp = self._commandsUp
        self._commands.onDown = self._commandsDown
        self._news.onUp = self._newsUp
        self._news.onDown = self._following.newsDown

    @property
    def problem(self) -> str | None:
        """
        Why nothing can be published at the moment, in one line.
        """
        return (
            self._problem
            or self._commands.problem
            or self._news.problem
            or self._publishing.problem
        )

    @property
    def isFull(self) -> bool:
        """
        Whether the number of waiting publications is so high that senders should be paused.
        """
        return self._publishing.waiting >= self._publishLimit

    @property
    def reconnects(self) -> int:
        """
        How often a connection was made again.
        """
        return sum(max(0, link.connects - 1) for link in (self._commands, self._news))

    @property
    def gaps(self) -> int:
        """
        How often entries of a room were lost to this node.
        """
        return self._following.gaps

    @property
    def waiting(self) -> int:
        """
        Publications that are not known to be in a log yet.
        """
        return self._publishing.waiting

    def metrics(self) -> list[Metric]:
        """
        Return what was counted and measured until now.
        """
        return [
            self._seconds.metric(),
            self._lag.metric(),
            gauge(
                "txhixie_publish_waiting",
                "Publications that are not known to be in a log yet.",
                self.waiting,
            ),
            counter(
                "txhixie_backplane_reconnects",
                "Connections to the backplane that were made again.",
                self.reconnects,
            ),
            counter(
                "txhixie_backplane_gaps",
                "Times that entries of a room were lost to this process.",
                self.gaps,
            ),
        ]

    def startService(self) -> None:
        """
        Connect, and keep trying.
        """
        super().startService()
        self._problem = None
        self._commands.start()
        self._news.start()

    def stopService(self) -> Deferred[None]:
        """
        Publish what waits, have all members leave, and disconnect.
        """
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        for room, members in self._leases.rooms.items():
            for member in members:
                self.publish(room, "close", member).addErrback(lambda failure: None)
        self._isStopped = True
        self._problem = "the server has stopped"
        if self._commands.problem is None and not self._publishing.isIdle:
            idle: Deferred[None] = Deferred()
            self._publishing.onIdle = lambda: None if idle.called else idle.callback(None)
            self._commands.onDown = self._publishing.onIdle
            idle.addTimeout(STOP_TIMEOUT, self._reactor)
            await idle.addErrback(lambda failure: None)
        ended = self._leases.end()
        ended.addTimeout(STOP_TIMEOUT, self._reactor).addErrback(lambda failure: None)
        await ended
        self._publishing.stop()
        self._following.stop()
        asking, self._asking = self._asking, []
        for _, fired in asking:
            fired.errback(BackplaneError(self._problem))
        await self._commands.stop()
        await self._news.stop()

    def publish(
        self, room: str, event: Event, sender: str, text: str = "", key: str = ""
    ) -> Deferred[str | None]:
        """
        Add an entry to the log of a room.
        """
        if self._isStopped:
            return fail(BackplaneError(self._problem))
        if event == "open":
            self._leases.opened(room, sender, text)
        published = self._publishing.publish(room, event, sender, text, key)
        if event == "close":
            self._leases.closed(room, sender, published)
        return published

    def subscribe(self, room: str, receiver: Receiver) -> Deferred[str]:
        """
        Call a receiver with the entries of a room.
        """
        if self._isStopped:
            return fail(BackplaneError(self._problem))
        return self._following.subscribe(room, receiver)

    def unsubscribe(self, room: str, receiver: Receiver) -> None:
        """
        Stop calling a receiver.
        """
        self._following.unsubscribe(room, receiver)

    def read(self, room: str, since: str, limit: int) -> Deferred[Sequence[Entry]]:
        """
        Read the log of a room.
        """
        return self._ask(lambda: reading.read(self._commands, room, since, limit))

    def tail(self, room: str, count: int) -> Deferred[str]:
        """
        Find the newest entries of a room.
        """
        return self._ask(lambda: reading.tail(self._commands, room, count))

    def members(self, room: str) -> Deferred[tuple[str, ...]]:
        """
        Find out who is in a room.
        """
        return self._ask(lambda: self._members(room))

    async def _members(self, room: str) -> tuple[str, ...]:
        found = await self._commands.call("HKEYS", keys.members(room))
        return tuple(sorted(each.decode() for each in found))

    # Questions

    def _ask(self, question: Callable[[], Awaitable[_T]]) -> Deferred[_T]:
        """
        Ask Redis a question, and repeat it on another connection if one is lost.
        """
        if self._isStopped:
            return fail(BackplaneError(self._problem))
        fired: Deferred[_T] = Deferred()
        self._asking.append((question, fired))
        if self._commands.problem is None:
            self._askAll()
        return fired

    def _askAll(self) -> None:
        asking, self._asking = self._asking, []
        for question, fired in asking:
            Deferred.fromCoroutine(_awaiting(question)).addCallbacks(
                fired.callback, self._unanswered, errbackArgs=(question, fired)
            )

    def _unanswered(
        self, failure: Failure, question: Callable[[], Awaitable[Any]], fired: Deferred[Any]
    ) -> None:
        if not failure.check(LinkLost):
            fired.errback(BackplaneError(explain(failure, True)))
        elif self._isStopped:
            fired.errback(BackplaneError(self._problem))
        else:
            self._asking.append((question, fired))

    # Called by the parts

    def _answered(self, room: str, lastId: str | None, sent: float) -> None:
        self._seconds.observe(self._reactor.seconds() - sent)
        if lastId is not None:
            self._following.expect(room, parseId(lastId), sent)

    def _commandsUp(self) -> None:
        if self._news.problem is None and self._news.run != self._commands.run:
            # One of the two is connected to a server that is no longer the master.
            self._news.drop("it is connected to another server than the commands are")
        self._leases.linkUp()
        self._publishing.connected()
        self._following.commandsUp()
        self._askAll()

    def _commandsDown(self) -> None:
        self._leases.linkDown()
        self._publishing.disconnected()

    def _newsUp(self) -> None:
        if self._commands.problem is None and self._news.run != self._commands.run:
            self._commands.drop("it is connected to another server than the news are")
        self._following.newsUp()


async def _awaiting(question: Callable[[], Awaitable[_T]]) -> _T:
    return await question()


def fromURL(url: str, settings: Settings) -> RedisBackplane:
    """
    Return the backplane that a URL names.

    @raise ValueError: if it makes no sense, with one line that says why.
    """
    try:
        return RedisBackplane(parseURL(url), settings.history, settings.publishLimit)
    except OSError as error:
        raise ValueError(f"{error.filename}: {error.strerror}") from error
