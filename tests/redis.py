"""A Redis server of its own for tests: on a free port, in a temporary directory."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self, cast

import hiredis
import pytest
import pytest_twisted  # type: ignore[import-untyped]
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.interop.server import Child, missing

clock = cast(Any, reactor)
# Seconds that something may take at most.
PATIENCE = 20.0


inReactor = cast("Callable[[Callable[..., Awaitable[None]]], Any]", pytest_twisted.ensureDeferred)


def soon(deferred: Deferred[Any]) -> Deferred[Any]:
    """@return: a Deferred that fails if it does not fire in time."""
    return deferred.addTimeout(PATIENCE, clock)


def wait(deferred: Deferred[Any]) -> Any:
    """@return: what a Deferred fires with; for those who cannot await it."""
    return pytest_twisted.blockon(soon(deferred))


async def happens(condition: Callable[[], object]) -> None:
    """Let the reactor run until a condition holds."""
    end = monotonic() + PATIENCE
    while not condition():
        assert monotonic() < end, "it did not happen in time"
        await deferLater(clock, 0.002)


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition; for those who cannot await it."""
    pytest_twisted.blockon(Deferred.fromCoroutine(happens(condition)))


def freePort() -> int:
    """@return: a TCP port of the loopback interface that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


# The server to test with.
_PROGRAM = os.environ.get("REDIS_SERVER", "redis-server")


class _Process(Child):
    """A run of the server."""


class RedisServer:
    """
    A server that writes an append-only file and loses nothing it has acknowledged, so that it can
    be killed and started again.

    @ivar url: its address as a backplane.
    """

    def __init__(self, *options: str, port: int | None = None, isPersistent: bool = True) -> None:
        """
        @param options: more options for C{redis-server}.
        @param port: where to listen; 0: not on TCP; None: on a free port.
        """
        if shutil.which(_PROGRAM) is None:
            missing(f"{_PROGRAM} is missing: apt install redis-server")
        self._directory = tempfile.TemporaryDirectory(prefix="redis-")
        self.path = str(Path(self._directory.name, "socket"))
        self.port = freePort() if port is None else port
        self.url = f"redis://127.0.0.1:{self.port}"
        durable = ("--appendonly", "yes", "--appendfsync", "always") if isPersistent else ()
        self._command = [
            *(_PROGRAM, "--bind", "127.0.0.1", "--port", str(self.port), "--save", ""),
            *("--dir", self._directory.name, "--unixsocket", self.path),
            *durable,
            *options,
        ]
        self.password = ""
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = _Process(self._command)
        end = monotonic() + 10
        while True:
            with suppress(OSError):
                answer = self.command("PING")
                if isinstance(answer, hiredis.ReplyError) and "LOADING" in str(answer):
                    continue
                return
            if self._process.process.poll() is not None or monotonic() > end:
                pytest.fail(f"redis-server does not start: {self._process.transcript()}")

    def command(self, *words: str) -> Any:
        """@return: what it answers; an error is returned, too."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(self.path)
            client.sendall(hiredis.pack_command(tuple(words)))  # type: ignore[arg-type]
            reader = hiredis.Reader()
            while (answer := reader.gets()) is False:
                data = client.recv(65536)
                if not data:
                    raise ConnectionError("no answer")
                reader.feed(data)
            return answer

    def cut(self, kind: str = "") -> None:
        """Cut the connections of its clients, or only those of a kind: normal or pubsub."""
        for each in [kind] if kind else ["normal", "pubsub"]:
            self.command("CLIENT", "KILL", "TYPE", each)

    def kill(self) -> None:
        """End it at once."""
        self._process.end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop its process, without ending it."""
        self._process.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process.process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start()

    def close(self) -> None:
        """End it and remove its files."""
        if self._process.process.poll() is None:
            self.kill()
        self._directory.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
