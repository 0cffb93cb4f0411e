"""
A connection to Redis that is made again whenever it is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import random
from typing import Any

from twisted.application.internet import ClientService, backoffPolicy
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from txhixie.backplane.redis.connecting import SentinelEndpoint
from txhixie.backplane.redis.connection import Connection, LinkLost, Watched
from txhixie.backplane.redis.refusals import Refused, explain
from txhixie.backplane.redis.url import RedisURL

# Seconds between pings, and for each answer. A frozen Redis gets some time to recover.
PING_INTERVAL = 2.0
ANSWER_TIMEOUT = 10.0
# Seconds until the next attempt to connect, at most 2 and a fifth.
_delay = backoffPolicy(0.1, 2.0, 1.5, lambda: random() / 5)
# Streams began with this version.
_OLDEST = 5


class Link:
    """
    A connection that is made again whenever it is lost. It is up when Redis has accepted the login
    and is a usable server.

    @ivar problem: why it is not up, in one line; C{None} if it is.
    @ivar run: identifies the run of Redis that it is, or was last, connected to.
    @ivar connects: how often it came up.
    @ivar failures: how often it could not be made.
    @ivar onUp: called when it comes up.
    @ivar onDown: called when it is lost after that.
    """

    _log = Logger()

    def __init__(
        self,
        purpose: str,
        url: RedisURL,
        endpoint: IStreamClientEndpoint,
        reactor: Any,
        channel: bytes,
        onMessage: Callable[[bytes, bytes], object] = lambda channel, message: None,
        onSubscribed: Callable[[bytes], object] | None = None,
    ) -> None:
        """
        @param purpose: what it is for, for the log.
        @param channel: nobody's; it shows whether channels may be used.
        @param onMessage: called with each channel and message that comes.
        @param onSubscribed: called for each channel that a SUBSCRIBE is answered for; C{None} on a
            link that is not for news.
        """
        self.problem: str | None = "not connected yet"
        self.run = ""
        self.connects = self.failures = 0
        self.onUp: Callable[[], object] = lambda: None
        self.onDown: Callable[[], object] = lambda: None
        self._purpose = purpose
        self._url = url
        self._reactor = reactor
        self._channel = channel
        self._onSubscribed = onSubscribed
        self._connection: Connection | None = None
        self._pinged: float | None = None
        self._pinging = LoopingCall(self._ping)
        self._pinging.clock = reactor
        self._isStopping = False
        # Consecutive connections that failed.
        self._refusals = 0
        self._endpoint = endpoint
        factory = Factory()
        factory.noisy = False
        factory.protocol = lambda: Connection(self._made, onMessage, self._subscribed)
        self._service = ClientService(
            Watched(endpoint, url, self._failed), factory, self._retryDelay, reactor
        )

    def start(self) -> None:
        """
        Connect, and keep trying.
        """
        self._isStopping = False
        self._service.startService()

    def stop(self) -> Deferred[Any]:
        """
        Disconnect.
        """
        self._isStopping = True
        stopped: Deferred[Any] = self._service.stopService()
        if isinstance(self._endpoint, SentinelEndpoint):
            endpoint = self._endpoint
            stopped.addCallback(lambda _: endpoint.stop())
        return stopped

    def call(self, *command: Any) -> Deferred[Any]:
        """
        Send a command.

        @return: fires with the answer. It fails with C{LinkLost} if there is no connection or it is
            lost, and with C{CommandRefused} if Redis answers with an error.
        """
        if self._connection is None:
            return fail(LinkLost("not connected"))
        result: Deferred[Any] = self._connection.execute_command(*command)
        return result

    def switch(self, command: str, channels: Sequence[bytes]) -> None:
        """
        Send SUBSCRIBE or UNSUBSCRIBE, if there is a connection.
        """
        if self._connection is not None and channels:
            self._connection.switch(command, channels).addErrback(self._switchRefused)

    def drop(self, problem: str) -> None:
        """
        Give the connection up, and make a new one.

        @param problem: why.
        """
        if self._connection is not None:
            self._hasProblem(problem)
            self._connection.transport.abortConnection()

    # Connecting

    def _retryDelay(self, attempts: int) -> float:
        # The service counts an attempt as a success as soon as TCP is connected.
        return _delay(max(attempts, self._refusals))

    def _made(self, connection: Connection) -> None:
        self._refusals += 1
        greeted = Deferred.fromCoroutine(self._greet(connection))
        greeted.addTimeout(ANSWER_TIMEOUT, self._reactor)

        def refused(failure: Failure) -> None:
            # TLS reports its errors there.
            isLost = failure.check(LinkLost)
            self._failed((isLost and connection.reason) or failure)
            connection.transport.abortConnection()

        greeted.addCallbacks(self._cameUp, refused, callbackArgs=(connection,)).addErrback(
            lambda failure: self._log.failure("connecting to {url}", failure, url=self._url)
        )

    async def _greet(self, connection: Connection) -> str:
        """
        Log in, and see whether this is a server we can work with.

        @return: what identifies its run.
        @raise Refused: if not.
        """
        call = connection.execute_command
        if self._url.password:
            names = [self._url.user] if self._url.user else []
            await call("AUTH", *names, self._url.password)
        if self._url.db:
            await call("SELECT", self._url.db)
        server = _fields(await call("INFO", "server"))
        version = server.get("redis_version", "")
        if int(version.partition(".")[0] or 0) < _OLDEST:
            raise Refused(f"it is Redis {version}, and streams need 5.0 or newer")
        replication = _fields(await call("INFO", "replication"))
        if replication.get("role") == "slave" and replication.get("slave_read_only") != "0":
            raise Refused("it is a replica, which is read-only; name the master instead")
        # Says so if Redis has not loaded its data yet.
        await call("PING")
        # Scripts are not undone if they fail halfway, so they must not fail because a permission is
        # missing.
        await call("PUBLISH", self._channel, b"")
        if self._onSubscribed is not None:
            await connection.switch("SUBSCRIBE", [self._channel])
        return server["run_id"]

    def _cameUp(self, run: str, connection: Connection) -> None:
        self._connection = connection
        connection.onLost = self._lost
        self.run = run
        self.connects += 1
        self._refusals = 0
        self.problem = None
        self._pinged = None
        self._pinging.start(PING_INTERVAL, now=False)
        self._log.info("connected to {url} for {purpose}", url=self._url, purpose=self._purpose)
        self.onUp()

    def _lost(self) -> None:
        self._connection = None
        if self._pinging.running:
            self._pinging.stop()
        if not self._isStopping and self.problem is None:
            self._hasProblem("the connection was lost")
        self.onDown()

    def _failed(self, failure: Failure) -> None:
        self.failures += 1
        if not self._isStopping:
            self._hasProblem(explain(failure, bool(self._url.password)))

    def _hasProblem(self, problem: str) -> None:
        """
        Note a problem, and log it unless it is the same as before.
        """
        if problem != self.problem:
            self._log.error(
                "the backplane {url} cannot be used for {purpose}: {problem}; trying again",
                url=self._url,
                purpose=self._purpose,
                problem=problem,
            )
        self.problem = problem

    def _switchRefused(self, failure: Failure) -> None:
        if not failure.check(LinkLost):
            self.drop(explain(failure, bool(self._url.password)))

    # While connected

    def _subscribed(self, channel: bytes) -> None:
        if self._onSubscribed is not None and self.problem is None:
            self._onSubscribed(channel)

    def _ping(self) -> None:
        now = self._reactor.seconds()
        if self._pinged is None:
            self._pinged = now
            self.call("PING").addCallbacks(self._ponged, lambda failure: None)
        elif now - self._pinged > ANSWER_TIMEOUT:
            self.drop(f"it has not answered for {ANSWER_TIMEOUT:g} seconds")

    def _ponged(self, answer: object) -> None:
        self._pinged = None


def _fields(info: bytes) -> dict[str, str]:
    """
    Return what an answer to INFO says.
    """
    lines = info.decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)
