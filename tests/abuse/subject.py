"""
The attacked server, and how it is measured.
"""

from __future__ import annotations

import io
import json
import os
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import ProxyHandler, build_opener

from benchmarks.process import SERVER_CORE
from tests.abuse.client import PATIENCE, Client
from tests.interop.server import Server

# Many connections may wait to be accepted: Twisted's 50 would slow attackers down.
_PORT = "tcp:0:backlog=4096:interface={}"


class AbuseError(Exception):
    """
    The server did not behave as it should, or something could not be measured.
    """


def cpuSeconds(pid: int) -> float:
    """
    @return: the CPU time that a process used so far.
    """
    # The clock of clock_getcpuclockid(3), which Python does not have.
    return time.clock_gettime(~pid << 3 | 2)


@contextmanager
def serverLog() -> Iterator[io.StringIO]:
    """
    Keep the logs that servers of the block print at the end, so that tests can show them with a
    failure.
    """
    log = io.StringIO()
    with redirect_stdout(log):
        yield log


@contextmanager
def fileLimit(count: int) -> Iterator[None]:
    """
    Start child processes with a limit on open files; 0: no limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count or hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def until(condition: Callable[[], bool], timeout: float) -> bool:
    """
    Wait for a condition that has no notification.

    @return: whether it came true in time.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class Holdings(NamedTuple):
    """
    What the server holds.

    @ivar objects: by class.
    """

    descriptors: int
    objects: dict[str, int]


class Subject(Server):
    """
    A server on its core.

    @ivar pid: its process.
    """

    def __init__(
        self,
        *options: str,
        secure: bool = False,
        files: int = 0,
        interface: str = "127.0.0.1",
    ) -> None:
        """
        @param secure: whether to listen with TLS, too.
        @param files: how many files it may have open, if limited.
        @param interface: the address to listen at.
        """
        census = ("--service", "tests.abuse.census.Census")
        routes = ("--route", "/echo=echo", "--route", "/broadcast=broadcast")
        with fileLimit(files):
            super().__init__(
                *census, *routes, *options, secure=secure, port=_PORT.format(interface)
            )
        self.pid = self.process.pid
        os.sched_setaffinity(self.pid, {SERVER_CORE})

    @property
    def busyPort(self) -> int:
        """
        Where clients connect: over TLS, if it listens with TLS.
        """
        return self.tlsPort or self.port

    def _status(self, name: str) -> int:
        return int(Path(f"/proc/{self.pid}/status").read_text().split(f"{name}:")[1].split()[0])

    def residentKiB(self) -> int:
        """
        @return: the resident set's size.
        """
        return self._status("VmRSS")

    def ownKiB(self) -> int:
        """
        @return: the resident memory that does not belong to a file: the system drops and reads
            again parts of files at any time.
        """
        return self._status("RssAnon")

    def peakKiB(self) -> int:
        """
        @return: the largest resident set since L{resetPeak}.
        """
        return self._status("VmHWM")

    def resetPeak(self) -> None:
        """
        Reset the peak to the present size.
        """
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def cpuSeconds(self) -> float:
        """
        @return: the CPU time used so far.
        """
        return cpuSeconds(self.pid)

    def descriptors(self) -> int:
        """
        @return: how many files are open.
        """
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def holdings(self) -> Holdings:
        """
        @return: the objects that the server holds, without those of this request.
        """
        client = Client(self.port, "hixie-76", "/census")
        frames = client.receive()
        while not frames:
            frames = client.receive()
        # Without the object of this connection.
        descriptors = self.descriptors() - 1
        objects = Counter(json.loads(frames[0].payload))
        objects -= Counter({"HixieProtocol": 1, "Hixie76": 1, "Server": 1})
        client.send(client.idiom.clientClose)
        client.readToEnd()
        client.close()
        # The server notices that a moment later.
        until(lambda: self.descriptors() <= descriptors, PATIENCE)
        return Holdings(descriptors, dict(objects))

    def events(self) -> Counter[str]:
        """
        @return: what the server counted, by name.
        """
        return Counter(statistics(self.port).get("events", {}))


def openConnections(port: int) -> Counter[str]:
    """
    @return: how many connections a server counts, by dialect.
    """
    return Counter(statistics(port)["connections"])


def statistics(port: int) -> dict[str, Any]:
    """
    @return: what a server's console shows.
    """
    url = f"http://127.0.0.1:{port}/console/statistics"
    with build_opener(ProxyHandler({})).open(url, timeout=PATIENCE) as response:
        answer: dict[str, Any] = json.load(response)
    return answer
