"""
What serves the room.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process import HERE, BenchmarkError, Server
from benchmarks.subjects import TWISTD

PACKAGES = {"ws": "8", "redis": "4", "socket.io": "4", "@socket.io/redis-streams-adapter": "0.3"}


@dataclass(frozen=True)
class Setup:
    """
    What serves the room.

    @ivar nodes: how many servers, each with a port.
    @ivar workers: C{--workers} of txhixie.
    @ivar isPeer: whether it is socket.io.
    """

    label: str
    nodes: int = 1
    workers: int = 0
    isPeer: bool = False

    @property
    def hasRedis(self) -> bool:
        """
        Whether a Redis joins the servers.
        """
        return self.label != MEMORY

    def command(self, port: int, redis: int) -> list[str]:
        """
        @param redis: the port of Redis.
        @return: the command that starts a node.
        """
        if self.isPeer:
            return ["node", str(HERE / "servers" / "socketio_server.js"), str(port), str(redis)]
        words = [*TWISTD, "--service", "broadcast", "--workers", str(self.workers)]
        words += ["--port", f"tcp:{port}:interface=127.0.0.1:backlog=1024"]
        return [*words, "--backplane", f"redis://127.0.0.1:{redis}" if redis else "memory"]


MEMORY = "txhixie, memory"
SETUPS = (
    Setup(MEMORY),
    Setup("txhixie, 1 node", 1),
    Setup("txhixie, 2 nodes", 2),
    Setup("txhixie, 3 nodes", 3),
    Setup("txhixie, 1 worker", workers=1),
    Setup("txhixie, 2 workers", workers=2),
    Setup("socket.io, 1 node", 1, isPeer=True),
    Setup("socket.io, 2 nodes", 2, isPeer=True),
    Setup("socket.io, 3 nodes", 3, isPeer=True),
)


def cpuSeconds(pid: int) -> float:
    """
    @return: the CPU seconds of all threads of a process.
    """
    # As in clock_getcpuclockid.
    return time.clock_gettime(~pid << 3 | 2) if pid else 0


def tree(pid: int) -> Iterator[int]:
    """
    @return: a process and those it started.
    """
    yield pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from tree(int(child))


def settle(server: Server, children: int) -> None:
    """
    Wait until a server is idle and has its workers.
    """
    for _ in range(300):
        pids = [*tree(server.pid)]
        before = sum(map(cpuSeconds, pids))
        time.sleep(0.1)
        if len(pids) > children and sum(map(cpuSeconds, pids)) - before < 0.004:
            return
    raise BenchmarkError("a server is not idle")


@contextmanager
def running(setup: Setup) -> Iterator[tuple[list[Server], Server | None]]:
    """
    Run the servers.

    @return: the nodes, and Redis if it is needed.
    """
    with ExitStack() as stack:

        def start(name: str, command: Callable[[int], list[str]]) -> Server:
            server = Server(name, command)
            stack.callback(server.stop)
            return server

        port, redis = 0, None
        if setup.hasRedis:
            quick = ("--save", "", "--bind", "127.0.0.1")
            redis = start("nodes-redis", lambda port: ["redis-server", "--port", str(port), *quick])
            redis.wait()
            port = redis.port
        nodes = [
            start(f"nodes-{number}", lambda own: setup.command(own, port))
            for number in range(setup.nodes)
        ]
        for node in nodes:
            node.wait()
            settle(node, setup.workers)
        yield nodes, redis
