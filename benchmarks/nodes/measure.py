"""
The measurements.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass

from benchmarks.nodes.setups import Setup, cpuSeconds, running, settle, tree
from benchmarks.process import CACHE, HERE, LOAD_CORE, BenchmarkError, Generator

# Members of the room in the loads, the number of those that send, messages a second where the rate
# is fixed, and messages under way where it is not.
FEW, MANY, SENDERS, RATE, DEPTH = 30, 300, 12, 100, 24
# Rooms and members of each, where memory is measured.
ROOMS, MEMBERS = 800, 10


@dataclass(frozen=True)
class Sample:
    """
    One measurement.

    @ivar messages: how many were sent, and delivered to all members.
    @ivar wall: the seconds they took.
    @ivar p50: the median of seconds until a member had a message.
    @ivar p99: the 99th percentile.
    @ivar nodes: CPU seconds of all nodes.
    @ivar busiest: CPU seconds of the busiest process, Redis or a node.
    @ivar redis: CPU seconds of Redis.
    @ivar clients: CPU seconds of all clients.
    """

    members: int
    messages: float
    wall: float
    p50: float
    p99: float
    nodes: float
    busiest: float
    redis: float
    clients: float

    @property
    def deliveries(self) -> float:
        """
        How many times a member got a message.
        """
        return self.messages * self.members


class Members:
    """
    The members of the room, all connected.
    """

    def __init__(self, setup: Setup, count: int, ports: list[int]) -> None:
        kind = "socket.io" if setup.isPeer else "txhixie"
        words = [kind, str(count), str(SENDERS), *map(str, ports)]
        self._count = count
        self._process = subprocess.Popen(
            ["taskset", "-c", str(LOAD_CORE), "node", str(HERE / "load" / "members.js"), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "NODE_PATH": str(CACHE / "node_modules")},
        )
        self._answer()

    def run(self, load: str, seconds: float, amount: int, pids: list[int], redis: int) -> Sample:
        """
        Measure once.

        @param pids: the processes of the nodes.
        @param redis: that of Redis, or 0.
        """
        assert self._process.stdin is not None
        everybody = [self._process.pid, redis, *pids]
        before = [*map(cpuSeconds, everybody)]
        self._process.stdin.write(f"{load} {seconds} {amount}\n")
        self._process.stdin.flush()
        answer = self._answer()
        after = [*map(cpuSeconds, everybody)]
        own, ofRedis, *used = (new - old for new, old in zip(after, before, strict=True))
        cpu = {"nodes": sum(used), "busiest": max(ofRedis, *used), "redis": ofRedis, "clients": own}
        return Sample(self._count, **answer, **cpu)

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError("the clients ended")
        answer: dict[str, float] = json.loads(line)
        return answer

    def close(self) -> None:
        """
        Drop all connections.
        """
        self._process.kill()
        self._process.communicate()


def measured(setup: Setup, seconds: float) -> tuple[Sample, Sample, Sample]:
    """
    Measure a setup once.

    @return: few members at a fixed rate, many at that rate, and many at full load.
    """
    with running(setup) as (nodes, redis):
        pids = [pid for node in nodes for pid in tree(node.pid)]
        redisPid = redis.pid if redis else 0
        samples = []
        for count, loads in ((FEW, ("rate",)), (MANY, ("rate", "full"))):
            members = Members(setup, count, [node.port for node in nodes])
            try:
                # Nobody hears that somebody has come any longer.
                for node in nodes:
                    settle(node, 0)
                for load in loads:
                    amount = RATE if load == "rate" else DEPTH
                    members.run(load, seconds / 4, amount, pids, redisPid)
                    samples.append(members.run(load, seconds, amount, pids, redisPid))
            finally:
                members.close()
        few, many, full = samples
        return few, many, full


def weighed(setup: Setup) -> tuple[float, float]:
    """
    @return: resident KiB that a node and Redis take for each member of small rooms.
    """
    with running(setup) as ((node,), redis):
        assert redis is not None

        def opened(count: int, rooms: int) -> Generator:
            options = {"path": "/broadcast", "dialect": "rfc6455", "rooms": rooms, "size": 64}
            generator = Generator(node, "broadcast", connections=count, **options)
            generator.run(0, 0.001, 1)
            settle(node, 0)
            return generator

        # What they need once is there when it begins.
        opened(50, 5).close()
        settle(node, 0)
        before = node.residentKiB(), redis.residentKiB()
        generator = opened(ROOMS * MEMBERS, ROOMS)
        after = node.residentKiB(), redis.residentKiB()
        generator.close()
    count = ROOMS * MEMBERS
    return (after[0] - before[0]) / count, (after[1] - before[1]) / count
