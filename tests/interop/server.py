"""The server as a child process, for the tests with real peers."""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

import pytest

from tests.certificates import selfSigned

PROJECT = Path(__file__).resolve().parents[2]

T = TypeVar("T")


def missing(message: str) -> NoReturn:
    """
    Skip a test that needs a missing program; fail it if the environment variable CI is set.
    """
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


class Child:
    """
    A child process whose output lines a thread collects. They are printed at the end, for pytest to
    show with a failure. As a context manager it never outlives its block.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        stdin: str = "",
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=env,
            encoding="utf-8",
            errors="backslashreplace",
        )
        self._collector = threading.Thread(target=self._collect, daemon=True)
        self._collector.start()
        assert self.process.stdin is not None
        with suppress(BrokenPipeError), self.process.stdin as pipe:
            pipe.write(stdin)

    def _collect(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                with self._changed:
                    self.collected(line)
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        print(f"Output of {type(self).__name__} {self.process.pid}:\n{self.transcript()}")

    def collected(self, line: str) -> None:
        """
        Take a line of output, in the collecting thread.
        """
        self.lines.append(line)

    def wait(self, find: Callable[[], T | None], what: str, timeout: float) -> T:
        """
        Wait until C{find}, tried after each line, returns something other than None. The test fails
        when the time is over or the output ends.
        """
        deadline = monotonic() + timeout
        with self._changed:
            while (found := find()) is None:
                if self._ended:
                    pytest.fail(f"{what}: not before the process ended")
                if not self._changed.wait(deadline - monotonic()):
                    pytest.fail(f"{what}: not within {timeout} s")
        return found

    def transcript(self) -> str:
        """
        The last 100 lines of the output so far, long ones cut.
        """
        return "".join(f"| {line.rstrip()[:200]}\n" for line in self.lines[-100:])

    def end(self, number: int = signal.SIGKILL, timeout: float = 10) -> int:
        """
        Send a signal, wait for the exit and return its code.
        """
        self.process.send_signal(number)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            pytest.fail(f"still running {timeout} s after signal {number}")
        finally:
            self._collector.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()


class Server(Child):
    """
    C{twistd -n hixie} on a free port of the loopback interface, in a temporary
    directory, with more options as given.

    @ivar port: the port of plain TCP.
    @ivar tlsPort: the port of TLS; 0 if there is none.
    """

    tlsPort = 0

    def __init__(
        self,
        *options: str,
        secure: bool = False,
        port: str = "tcp:0:interface=127.0.0.1",
        timeout: float = 15,
    ) -> None:
        """
        @param secure: whether to listen with TLS, too. If so, the URLs of the server use TLS.
        @param port: where to listen, as an endpoint of TCP.
        """
        self._directory = tempfile.TemporaryDirectory(prefix="hixie-")
        if secure:
            key, self.certificate = selfSigned(Path(self._directory.name))
            tls = port.replace("tcp:", "ssl:", 1)
            options = ("--port", f"{tls}:privateKey={key}:certKey={self.certificate}", *options)
        path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
        super().__init__(
            [
                *(sys.executable, "-c", "from twisted.scripts.twistd import run; run()"),
                *("-n", "--pidfile=", "hixie", "--port", port),
                *options,
            ],
            cwd=self._directory.name,
            env={**os.environ, "PYTHONPATH": path},
        )
        try:
            self.port = int(self.waitForLog(r"HixieFactory starting on (\d+)", timeout)[1])
            if secure:
                pattern = r"HixieFactory \(TLS\) starting on (\d+)"
                self.tlsPort = int(self.waitForLog(pattern, timeout)[1])
        except BaseException:
            self.end()
            raise

    @property
    def log(self) -> str:
        """
        The log so far.
        """
        return "".join(self.lines)

    def waitForLog(self, pattern: str, timeout: float = 10) -> re.Match[str]:
        """
        Wait until the log has a match of the regular expression.
        """
        return self.wait(
            lambda: re.search(pattern, self.log, re.MULTILINE), f"log of {pattern!r}", timeout
        )

    def url(self, path: str, scheme: str = "ws") -> str:
        """
        The address of a path on this server.

        @param scheme: C{ws} or C{http}, with or without TLS.
        """
        if self.tlsPort:
            return f"{scheme}s://127.0.0.1:{self.tlsPort}{path}"
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def context(self, *protocols: str) -> ssl.SSLContext | None:
        """
        What a TLS client needs to trust the server; None if there is no TLS.

        @param protocols: what the client offers by ALPN.
        """
        if not self.tlsPort:
            return None
        context = ssl.create_default_context(cafile=str(self.certificate))
        if protocols:
            context.set_alpn_protocols(protocols)
        return context

    def statistics(self) -> dict[str, Any]:
        """
        What the server counted.
        """
        opener = build_opener(ProxyHandler({}), HTTPSHandler(context=self.context()))
        with opener.open(self.url("/console/statistics", "http"), timeout=10) as response:
            counted: dict[str, Any] = json.load(response)
        return counted

    def end(self, number: int = signal.SIGKILL, timeout: float = 10) -> int:
        """
        End the process and remove its directory.
        """
        try:
            return super().end(number, timeout)
        finally:
            self._directory.cleanup()

    def stop(self, number: int = signal.SIGTERM, timeout: float = 5) -> int:
        """
        Stop the server, check that it logged no failure, and return its exit code.
        """
        code = self.end(number, timeout)
        for word in ("Traceback", "Unhandled"):
            assert word not in self.log
        return code

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.stop()
        else:
            self.end()
