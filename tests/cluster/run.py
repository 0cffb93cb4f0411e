"""
A run: nodes, clients, messages and what goes wrong meanwhile.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.cluster.guest import Guest
from tests.cluster.verdict import problems
from tests.interop.server import Server
from tests.redis import RedisServer
from txhixie.client.connect import Client
from txhixie.settings import DIALECT_NAMES

NODES = 3
# The number of clients that connect at a time.
_TOGETHER = 30
# Seconds for which Redis is frozen, and until it is started again.
_FROZEN, _DOWN = 5.0, 2.0
# Seconds between two things that go wrong.
_REST = 3.0
# Seconds in which everybody has to get everything in the end, and a dead node be noticed.
_PATIENCE, _NOTICED = 60.0, 10.0


def pause(seconds: float) -> Deferred[None]:
    """
    Return a Deferred that fires after some time.
    """
    return deferLater(reactor, seconds)


class Run:
    """
    One run.

    @ivar figures: what was counted and measured.
    """

    def __init__(
        self, seed: int, seconds: float, clients: int, rate: float, say: Callable[[str], object]
    ) -> None:
        """
        @param rate: messages a second, of all clients together.
        @param say: called with what happens.
        """
        self._random = random.Random(seed)
        self._seconds = seconds
        self._rate = rate
        self._say = say
        self._isOver = False
        self._nodes: list[Server] = []
        self._guests = [Guest(number, number % 4 == 1) for number in range(clients)]
        self._problems: list[str] = []
        self.figures: dict[str, str] = {}

    async def perform(self) -> list[str]:
        """
        Run.

        @return: what went wrong and should not have; nothing if all is well.
        """
        with RedisServer() as redis:
            try:
                for _ in range(NODES):
                    node = Server("--service", "broadcast", "--backplane", redis.url)
                    self._nodes.append(node)
                    for purpose in ("commands", "news"):
                        node.waitForLog(f"connected to .* for {purpose}")
                await self._connect()
                talking = Deferred.fromCoroutine(self._talk())
                watching = Deferred.fromCoroutine(self._watch())
                await self._disturb(redis)
                self._isOver = True
                await talking
                await self._settle()
                await watching
                found = problems(self._guests)
                self._count()
                for guest in self._guests:
                    guest.leave()
                return [*self._problems, *found]
            finally:
                for node in self._nodes:
                    if node.process.poll() is None:
                        node.end()

    async def _connect(self) -> None:
        client = Client()
        # The first one sees everything from the beginning, and the ids.
        for start in [0, *range(1, len(self._guests), _TOGETHER)]:
            await gatherResults(
                [
                    client.connect(
                        self._nodes[guest.number % NODES].url(
                            "/broadcast" + ("" if guest.isPlain else "?format=json")
                        ),
                        guest,
                        dialect=DIALECT_NAMES[guest.number // NODES % len(DIALECT_NAMES)],
                    )
                    for guest in self._guests[start : start + _TOGETHER if start else 1]
                ]
            )
            if not start:
                await self._until(lambda: self._guests[0].seen, "the first has come")
        await self._until(lambda: all(guest.seen for guest in self._guests), "all have come")

    async def _talk(self) -> None:
        """
        Have clients say something, at random.
        """
        count = 0
        begin = monotonic()
        while not self._isOver:
            await pause(0.02)
            while count < (monotonic() - begin) * self._rate:
                count += 1
                guest = self._random.choice(self._guests)
                # Some say several things at once.
                for _ in range(self._random.choice((1, 1, 1, 4))):
                    guest.say(f"{count} {len(guest.said)} \u20ac")

    async def _watch(self) -> None:
        """
        Measure the longest time for which a client heard nothing: the first that is still there.
        """
        longest, heard, last = 0.0, (0, 0), monotonic()
        while not self._isOver:
            await pause(0.01)
            now = monotonic()
            guest = next(each for each in self._guests if not each.isLost)
            if (guest.number, len(guest.seen)) != heard:
                longest = max(longest, now - last)
                heard, last = (guest.number, len(guest.seen)), now
        self.figures["longest silence"] = f"{longest:.1f} s"

    # What goes wrong

    async def _disturb(self, redis: RedisServer) -> None:
        begin = monotonic()
        ways: list[Callable[[RedisServer], Coroutine[Any, Any, None]]] = [
            *(self._kill, self._freeze, self._cut, self._killNode)
        ]
        self._random.shuffle(ways)
        await pause(_REST)
        done = {way.__name__[1:]: 0 for way in ways}
        while True:
            for way in ways:
                await way(redis)
                done[way.__name__[1:]] += 1
                await pause(_REST)
                if monotonic() - begin > self._seconds and all(done.values()):
                    self.figures["went wrong"] = ", ".join(f"{k} {v}" for k, v in done.items())
                    return
            ways = [way for way in ways if way != self._killNode]
            self._random.shuffle(ways)

    async def _kill(self, redis: RedisServer) -> None:
        self._say("Redis is killed")
        redis.kill()
        await pause(self._random.uniform(0, _DOWN))
        redis.start()
        self._say("Redis is started again")

    async def _freeze(self, redis: RedisServer) -> None:
        self._say("Redis is frozen")
        redis.freeze()
        await pause(_FROZEN)
        redis.thaw()
        self._say("Redis goes on")

    async def _cut(self, redis: RedisServer) -> None:
        for _ in range(5):
            kind = self._random.choice(("normal", "pubsub", ""))
            self._say(f"connections are cut: {kind or 'all'}")
            redis.cut(kind)
            await pause(self._random.uniform(0, 1))

    async def _killNode(self, redis: RedisServer) -> None:
        index = self._random.randrange(NODES)
        self._say(f"node {index} is killed")
        killed = monotonic()
        self._nodes[index].end()
        dead = [guest for guest in self._guests if guest.number % NODES == index]
        watcher = next(guest for guest in self._guests if guest.number % NODES != index)
        ids = {guest.id for guest in dead}

        def areGone() -> bool:
            return ids <= {each.sender for each in watcher.seen if each.event == "close"}

        await self._until(areGone, "the clients of a dead node are gone")
        took = monotonic() - killed
        self.figures["a dead node's clients closed"] = f"after {took:.1f} s"
        if took > _NOTICED:
            self._problems.append(f"it took {took:.1f} s to notice that a node died")

    # The end

    async def _settle(self) -> None:
        """
        Wait until everybody has everything.
        """
        begin = monotonic()
        living = [guest for guest in self._guests if not guest.isLost]
        count = sum(len(guest.said) for guest in living)
        ids = {guest.id for guest in living}

        def isThere() -> bool:
            heard = sum(each.event == "message" and each.sender in ids for each in living[0].seen)
            whole = len(living[0].seen)
            return (
                heard >= count
                and all(each.seen[-1][:3] == living[0].seen[-1][:3] for each in living)
                and whole > 0
            )

        await self._until(isThere, "everybody has everything", isFatal=False)
        # What came twice would come now.
        await pause(1)
        self.figures["all there after the end"] = f"{monotonic() - begin - 1:.1f} s"

    def _count(self) -> None:
        living = [guest for guest in self._guests if not guest.isLost]
        self.figures["clients"] = f"{len(self._guests)}, {len(living)} to the end"
        said = sum(len(guest.said) for guest in self._guests)
        lasting = sum(len(guest.said) for guest in living)
        self.figures["messages"] = f"{said:,}, {lasting:,} of clients that stayed"
        self.figures["entries"] = f"{len(living[0].seen):,}"
        self.figures["deliveries"] = f"{sum(len(each.seen) for each in self._guests):,}"

    async def _until(self, holds: Callable[[], object], what: str, isFatal: bool = True) -> None:
        end = monotonic() + _PATIENCE
        while not holds():
            if monotonic() > end:
                if isFatal:
                    raise AssertionError(f"not within {_PATIENCE:g} s: {what}")
                self._problems.append(f"not within {_PATIENCE:g} s: {what}")
                return
            await pause(0.05)
