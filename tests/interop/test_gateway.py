"""The gateway in front of servers of others, which know only RFC 6455 and read a session cookie."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

from tests.abuse.client import PATIENCE, Client, Frame, openAll
from tests.abuse.crowd import crowd
from tests.abuse.workers import Worker
from tests.support import HIXIE, IDIOMS

from .ghost import freePort
from .phantom import Phantom
from .proxies import NODE
from .server import Child, Server, missing

BACKENDS = Path(__file__).parent / "backends"
PROGRAMS = {
    "ws": ("node", str(BACKENDS / "node.js")),
    "websockets": (sys.executable, str(BACKENDS / "library.py")),
    "starlette": (sys.executable, str(BACKENDS / "starlette_app.py")),
}
TEXT, BYTES = 1, 2
ROUNDS = 60
MIB = 1 << 20


def checkInstalled(name: str) -> None:
    """Skip or fail a test whose back end is not installed."""
    if name == "ws" and not (shutil.which("node") and (NODE / "ws").is_dir()):
        missing("ws is missing, install it with: tests/interop/install-node-peers")
    if name == "starlette":
        for module in ("starlette", "uvicorn", "itsdangerous"):
            if importlib.util.find_spec(module) is None:
                missing(f"{module} is missing, install it with: pip install {module}")


class Backend(Child):
    """
    A back end as a child process.

    @ivar port: where it listens.
    """

    def __init__(self, name: str, port: int = 0) -> None:
        checkInstalled(name)
        env = {**os.environ, "NODE_PATH": str(NODE)}
        super().__init__([*PROGRAMS[name], str(port or freePort())], env=env)
        try:
            self.port = self.wait(self._port, "the port", 20)
        except BaseException:
            self.end()
            raise

    def _port(self) -> int | None:
        return next((int(line) for line in self.lines if line.strip().isdigit()), None)

    def logIn(self, name: str) -> tuple[tuple[bytes, bytes]]:
        """
        Return the header field of somebody who is logged in.
        """
        opener = build_opener(ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.port}/login?{name}", timeout=10) as answer:
            cookie = answer.headers["Set-Cookie"].partition(";")[0]
        return ((b"Cookie", cookie.encode()),)


@pytest.fixture(scope="module", params=PROGRAMS)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """A back end."""
    with Backend(request.param) as running:
        yield running


@pytest.fixture(scope="module")
def server(backend: Backend) -> Iterator[Server]:
    """A gateway before it."""
    with gateway(backend, "--gateway-bytes", "base64") as running:
        yield running


def gateway(backend: Backend, *options: str) -> Server:
    """
    Return a gateway that asks a back end for the paths of its clients.
    """
    url = f"ws://127.0.0.1:{backend.port}"
    return Server("--service", "gateway", "--backend", url, "--no-console", *options)


def take(client: Client, count: int = 1) -> list[Frame]:
    """
    Read that many frames.
    """
    frames: list[Frame] = []
    while len(frames) < count:
        assert not client.ending, (client.dialect, client.outcome)
        frames += client.receive()
    return frames


def expectClose(client: Client, code: int) -> None:
    """
    See that the server closes a connection, and do the client's part.
    """
    while not client.ending and not client.farewell:
        client.receive()
    client.send(client.idiom.clientClose)
    expected = {"hixie-75": "end", "hixie-76": "FF 00"}.get(client.dialect, str(code))
    assert client.readToEnd(10) == expected
    client.close()


# Those who are logged in


@pytest.mark.parametrize("dialect", IDIOMS)
def test_session(backend: Backend, server: Server, dialect: str) -> None:
    """
    Clients of every dialect use an application that knows them by their cookie: messages of any
    size, and its close.
    """
    client = Client(server.port, dialect, "/app", extra=backend.logIn("alice"))
    (greeting,) = take(client)
    assert greeting == (TEXT, b"hello alice at 127.0.0.1 from http://example.com")
    texts = ["h\u00e9llo", "", "x" * MIB, "\u20ac\U0001f680" * 1000]
    for text in texts:
        client.sendText(text)
    assert [frame.payload.decode() for frame in take(client, len(texts))] == texts
    client.sendText("bytes")
    expected = (TEXT, b"AP8=") if dialect in HIXIE else (BYTES, b"\0\xff")
    assert take(client) == [expected]
    client.sendText("close")
    expectClose(client, 4001)


@pytest.mark.parametrize("dialect", IDIOMS)
def test_nobody(backend: Backend, server: Server, dialect: str) -> None:
    """Those who are not logged in are refused before the upgrade, as the back end refuses them."""
    assert Client(server.port, dialect, "/app").status == 403
    assert Client(server.port, dialect, "/app", extra=backend.logIn("bob")).status == 101
    assert "set aside" not in server.log


def test_phantom(backend: Backend, server: Server) -> None:
    """
    PhantomJS, which speaks Hixie-76, logs in at a page of the back end, and uses its application.
    """
    page = f"http://127.0.0.1:{backend.port}"
    texts = ["gr\u00fc\u00dfe \U0001f680", "", "x" * MIB]
    with Phantom(
        "page.js",
        page=f"{page}/login?phantom",
        url=server.url("/app"),
        steps=[{"after": 1, "send": texts}, {"after": 4, "send": ["close"]}],
    ) as browser:
        heard = browser.waitFor("message", 4)
        assert heard == [f"hello phantom at 127.0.0.1 from {page}", *texts]
        browser.waitFor("close")


# Back ends that come and go


@pytest.mark.parametrize("name", PROGRAMS)
def test_restart(name: str) -> None:
    """
    When a back end is killed its clients are closed, and new ones get 503 until it is back.
    """
    with Backend(name) as backend, gateway(backend) as server:
        clients = [Client(server.port, dialect) for dialect in IDIOMS]
        backend.end(signal.SIGKILL)
        for client in clients:
            expectClose(client, 1014)
        assert [Client(server.port, dialect).status for dialect in IDIOMS] == [503] * len(IDIOMS)
        with Backend(name, backend.port):
            for dialect in IDIOMS:
                client = Client(server.port, dialect)
                client.sendText("back")
                assert take(client) == [(TEXT, b"back")]
            server.waitForLog("the back end .* failed, and is set aside")
            server.waitForLog("the back end .* works again")


def test_several() -> None:
    """Of three back ends one is killed: the others get its clients, and nobody is refused."""
    with ExitStack() as stack:
        backends = [stack.enter_context(Backend(name)) for name in PROGRAMS]
        options = [
            word for each in backends for word in ("--backend", f"ws://127.0.0.1:{each.port}")
        ]
        server = stack.enter_context(Server("--service", "gateway", *options))
        before = openAll(server.port, 9)
        backends[0].end(signal.SIGKILL)
        lost = [client for client in before if not answers(client)]
        assert len(lost) == 3
        assert all(map(answers, openAll(server.port, 10)))


def answers(client: Client) -> bool:
    """
    Return whether a client gets an echo, and not the end.
    """
    assert client.status == 101
    client.sendText("there?")
    while not client.ending and not client.farewell:
        if Frame(TEXT, b"there?") in client.receive():
            return True
    return False


@pytest.mark.parametrize("dialect", IDIOMS)
def test_tls(dialect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A back end by TLS has to be trusted, by the system or by a file that SSL_CERT_FILE names."""
    with Server("--service", "echo", secure=True) as backend:
        options = ("--service", "gateway", "--backend", backend.url(""))
        with Server(*options) as server:
            assert Client(server.port, dialect).status == 502
            server.waitForLog("certificate verify failed")
        monkeypatch.setenv("SSL_CERT_FILE", str(backend.certificate))
        with Server(*options) as server:
            client = Client(server.port, dialect)
            client.sendText("safe")
            assert take(client) == [(TEXT, b"safe")]


# Many


def test_thousand(server: Server) -> None:
    """A thousand clients of all dialects, each with a connection of its own to the back end."""
    clients = openAll(server.port, 1000)
    assert {client.status for client in clients} == {101}
    for number, client in enumerate(clients):
        client.sendText(f"number {number}")
    for number, client in enumerate(clients):
        assert take(client) == [(TEXT, f"number {number}".encode())]
    for client in clients:
        client.close()


def test_memory(backend: Backend) -> None:
    """A client that does not read stops its back end, and the gateway holds next to nothing."""
    with gateway(backend) as server:
        one = Client(server.port, "hixie-76")
        one.sendText("hello")
        take(one)
        before = residentKiB(server)
        stalled = []
        for dialect in IDIOMS:
            client = Client(server.port, dialect, receiveBuffer=MIB // 8)
            client.sendText("flood 1600")
            stalled.append(client)
        quietSince(server)
        grown = residentKiB(server) - before
        assert grown < 8 * 1024, f"{grown} KiB"
        for client in stalled:
            count = 0
            while count < 1600:
                count += len(client.receive())
                assert not client.ending, client.outcome
        assert residentKiB(server) - before < 12 * 1024


def test_stalled() -> None:
    """One client of a hundred that does not read changes next to nothing for the others."""
    with (
        Backend("websockets") as backend,
        gateway(backend) as server,
        Worker(crowd, server.port, 99, False) as others,
    ):
        others.answer(PATIENCE)
        others.ask(1.0, PATIENCE)
        quiet, stalled = [], []
        for _ in range(ROUNDS):
            quiet.append(others.ask(0.3, PATIENCE).p99)
            client = Client(server.port, "hixie-76", receiveBuffer=MIB // 8)
            client.sendText("flood 1600")
            # Until everything on the way is full.
            others.ask(0.3, PATIENCE)
            stalled.append(others.ask(0.3, PATIENCE).p99)
            client.reset()
            others.ask(0.1, PATIENCE)
            ratio = usual(stalled) / usual(quiet)
            if len(quiet) >= 8 and ratio <= 1.2:
                break
        print(f"p99 {1e3 * usual(quiet):.2f} ms, {1e3 * usual(stalled):.2f} ms: {ratio:.2f}")
        assert ratio <= 1.2


def usual(seconds: list[float]) -> float:
    """
    Return the lower quartile: the machine does something else at times.
    """
    return sorted(seconds)[len(seconds) // 4]


def residentKiB(server: Server) -> int:
    """
    Return the size of a process.
    """
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1])


def quietSince(server: Server) -> None:
    """
    Wait until a process has nothing to do any longer.
    """
    path = Path(f"/proc/{server.process.pid}/stat")
    used, since = "", time.monotonic()
    end = since + PATIENCE
    while time.monotonic() < since + 0.5:
        assert time.monotonic() < end
        now = " ".join(path.read_text().rpartition(")")[2].split()[11:13])
        if now != used:
            used, since = now, time.monotonic()
        time.sleep(0.02)
