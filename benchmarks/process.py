"""
The processes of a benchmark: the servers on one core, the load generator on another.
"""

from __future__ import annotations

import json
import os
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "txhixie-benchmarks"
NODE_PACKAGES = {"ws": "8", "websocket-driver": "0.7"}
# The processors for the servers and for the load generator.
SERVER_CORE, LOAD_CORE = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
# The longest time in seconds that anything may take.
_PATIENCE = 90.0
_TICKS = os.sysconf("SC_CLK_TCK")


class BenchmarkError(Exception):
    """
    Something could not be measured; the text says what and why.
    """


def raiseFileLimit() -> int:
    """
    @return: how many files this process and its children may open from now on.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else sys.maxsize


def compiled(source: str) -> str:
    """
    @param source: a C file of this package, or a folder with such files.
    @return: the program made from it.
    """
    place = HERE / source
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    program = CACHE / place.stem
    newest = max(file.stat().st_mtime for file in files)
    if not program.exists() or program.stat().st_mtime < newest:
        CACHE.mkdir(parents=True, exist_ok=True)
        units = [file for file in files if file.suffix == ".c"]
        libraries = ("-Wl,--as-needed", "-lssl", "-lcrypto", "-lz")
        subprocess.run(["cc", "-O2", "-o", program, *units, *libraries], check=True)
    return str(program)


def certificate() -> str:
    """
    @return: a file with a private key and its certificate, for the servers that use TLS.
    """
    file = CACHE / "server.pem"
    if not file.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        names = ("-subj", "/CN=localhost", "-days", "3650")
        parts = [CACHE / "server.key", CACHE / "server.crt"]
        subprocess.run(
            ["openssl", "req", "-x509", *key, *names, "-keyout", parts[0], "-out", parts[1]],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        file.write_bytes(b"".join(part.read_bytes() for part in parts))
    return str(file)


def installNodePackages(packages: Mapping[str, str] = NODE_PACKAGES) -> None:
    """
    Install what the servers on Node need, unless it is there.

    @param packages: versions by name.
    @raise BenchmarkError: if that is not possible.
    """
    if all((CACHE / "node_modules" / name).is_dir() for name in packages):
        return
    wanted = [f"{name}@{version}" for name, version in packages.items()]
    command = ["npm", "install", "--silent", "--prefix", str(CACHE), *wanted]
    try:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchmarkError(f"npm install: {error}") from error


class Server:
    """
    A server on its core; it starts in the background until L{wait} is called.
    """

    def __init__(self, name: str, command: Callable[[int], Sequence[str]]) -> None:
        """
        @param command: makes the command that starts it, for a port.
        """
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._log = CACHE / f"{name}.log"
        words = command(self.port)
        paths = [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        extra = {"PYTHONPATH": os.pathsep.join(paths), "NODE_PATH": str(CACHE / "node_modules")}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["taskset", "-c", str(SERVER_CORE), *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=CACHE,
                env={**os.environ, **extra},
            )
        self.pid = self._process.pid

    def wait(self) -> None:
        """
        Wait until it accepts connections.

        @raise BenchmarkError: with its last output, if it does not.
        """
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)
        self.stop()
        lines = self._log.read_text(errors="replace").splitlines()
        words = [line for line in lines if "Error" in line] or ["it does not start"]
        raise BenchmarkError(words[-1].strip())

    def cpuSeconds(self) -> float:
        """
        @return: the CPU time used so far, to the clock tick.
        """
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def residentKiB(self) -> int:
        """
        @return: the resident set's size.
        """
        return int(Path(f"/proc/{self.pid}/status").read_text().split("VmRSS:")[1].split()[0])

    def end(self) -> None:
        """
        Let it end in good order.
        """
        self._process.terminate()
        self._process.wait(_PATIENCE)

    def stop(self) -> None:
        """
        End it at once.
        """
        self._process.kill()
        self._process.wait()


def settle(servers: Iterable[Server]) -> None:
    """
    Wait until servers are idle.
    """
    deadline = time.monotonic() + _PATIENCE
    before, used = -1.0, 0.0
    while time.monotonic() < deadline and used > before:
        time.sleep(0.06)
        before, used = used, sum(server.cpuSeconds() for server in servers)


@dataclass(frozen=True)
class Sample:
    """
    One measurement.

    @ivar units: messages, deliveries or handshakes.
    @ivar wall: the seconds they took.
    @ivar busy: the part of those seconds in which the load generator did not just wait.
    @ivar serverCpu: the server's CPU seconds.
    @ivar latency: seconds by percentile, counted from the time at which a message was due.
    @ivar late: how late the generator itself was, in the same form.
    """

    units: float
    wall: float
    busy: float
    serverCpu: float
    latency: dict[str, float] = field(default_factory=dict)
    late: dict[str, float] = field(default_factory=dict)

    @property
    def perCpuSecond(self) -> float:
        """
        Units per CPU second of the server.
        """
        return self.units / self.serverCpu

    @property
    def perSecond(self) -> float:
        """
        Units per second.
        """
        return self.units / self.wall


class Generator:
    """
    The load generator with its connections to one server, all open.

    @ivar server: the server.
    """

    def __init__(self, server: Server, mode: str, **options: object) -> None:
        """
        @param mode: C{echo}, C{broadcast}, C{rate} or C{handshakes}.
        @param options: options of C{load/load.c}; C{False} and C{True} become 0 and 1.
        @raise BenchmarkError: if the connections cannot be opened.
        """
        self.server = server
        everything = {"port": server.port, "pid": server.pid, **options}
        words = [
            word
            for name, value in everything.items()
            for word in (f"--{name}", str(int(value) if isinstance(value, bool) else value))
        ]
        self._process = subprocess.Popen(
            ["taskset", "-c", str(LOAD_CORE), compiled("load"), mode, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def run(self, warmUp: float, seconds: float, depth: int) -> Sample:
        """
        Measure once.

        @raise BenchmarkError: if the server does not do what it should.
        """
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"run {warmUp} {seconds} {depth}\n")
            self._process.stdin.flush()
        return Sample(**json.loads(self._answer()))

    def _answer(self) -> str:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        if not select.select([self._process.stdout], [], [], _PATIENCE)[0]:
            self.close()
            raise BenchmarkError("the load generator does not come to an end")
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError(self._process.stderr.read().strip() or "it ended")
        return line

    def close(self) -> None:
        """
        Drop all connections.
        """
        self._process.kill()
        self._process.communicate()
