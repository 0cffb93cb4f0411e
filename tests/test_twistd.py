"""C{twistd hixie} as a child process: its ports, its options and its end, over real sockets."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection
from importlib.metadata import version
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from tempfile import TemporaryDirectory
from threading import Thread
from time import monotonic
from types import TracebackType
from typing import Self

import pytest

from tests.certificates import TLS, makeTLS, selfSigned
from tests.interop.server import PROJECT, Child, Server
from tests.loopback import ANSWER
from tests.support import IDIOMS, buildHead, frame
from txhixie import Settings
from txhixie.dialects.head import comeAgain

TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")
TWIST = (sys.executable, "-c", "from twisted.application.twist._twist import Twist; Twist.main()")
LOOPBACK = "tcp:0:interface=127.0.0.1"
MASK = b"\x37\xfa\x21\x3d"
HOST = b"chat.example.com:3400"
GET = b"GET /any HTTP/1.1\r\nHost: example.com\r\n\r\n"
# Seconds that a server may take to end, whatever its clients do.
QUICK = 5.0
# Before Twisted 26.10 twistd itself ends with 0, whatever is wrong with its options.
WRONG = 1 if tuple(map(int, version("twisted").split(".")[:2])) >= (26, 10) else 0

requirement = pytest.mark.requirement


def environment(path: Path = PROJECT) -> dict[str, str]:
    """
    @param path: what children find modules in, before the project.
    """
    paths = [str(path), str(PROJECT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


class Client:
    """
    A minimal client.

    @ivar received: what was read and not yet expected.
    @ivar ending: how it ended: C{EOF}, or the name of an error; empty before.
    @ivar goodbye: what it gets when the server stops.
    @ivar answer: what it then sends.
    """

    def __init__(self, connected: socket.socket) -> None:
        connected.settimeout(10)
        self.socket = connected
        self.received = b""
        self.ending = ""
        self.goodbye = b""
        self.answer = b""

    @classmethod
    def to(cls, address: int | Path, host: str = "127.0.0.1") -> Self:
        """
        Connect to a port of the loopback interface, or to a Unix socket. Servers log these a
        moment before they listen.
        """
        deadline = monotonic() + 10
        while True:
            if isinstance(address, Path):
                family = socket.AF_UNIX
            else:
                family = socket.AF_INET6 if ":" in host else socket.AF_INET
            connected = socket.socket(family)
            try:
                connected.connect(str(address) if isinstance(address, Path) else (host, address))
                return cls(connected)
            except (ConnectionRefusedError, FileNotFoundError):
                connected.close()
                if monotonic() > deadline:
                    raise

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> None:
        """
        Read once, and note if that was the end.
        """
        try:
            data = self.socket.recv(1 << 16)
        except (ConnectionError, ssl.SSLError) as error:
            self.ending = type(error).__name__
            return
        self.received += data
        if not data:
            self.ending = "EOF"
        elif self.answer and self.received == self.goodbye:
            self.send(self.answer)

    def take(self, size: int) -> bytes:
        """
        Read that many bytes.
        """
        while len(self.received) < size and not self.ending:
            self.receive()
        taken, self.received = self.received[:size], self.received[size:]
        return taken

    def takeHead(self) -> str:
        """
        Read to the empty line of an answer's head.
        """
        while b"\r\n\r\n" not in self.received and not self.ending:
            self.receive()
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        return head.decode("iso-8859-1")

    def expect(self, data: bytes) -> None:
        """
        Read as many bytes as C{data} has; they must be the same.
        """
        assert self.take(len(data)) == data

    def expectEnd(self) -> None:
        """
        Read to the end, which must come at once, and in good order.
        """
        assert self.take(1) == b""
        assert self.ending == "EOF"

    def open(self, dialect: str, path: str = "/echo", early: bytes = b"") -> str:
        """
        Complete an opening handshake.

        @param early: frames that go out in the same segment.
        @return: the head of the answer.
        """
        requestLine = f"GET {path} HTTP/1.1".encode()
        head = buildHead(dialect, {b"Host": HOST}, requestLine=requestLine)
        self.send(head + IDIOMS[dialect].preamble + early)
        answer = self.takeHead()
        assert answer.startswith("HTTP/1.1 101 ")
        if dialect == "hixie-76":
            self.expect(ANSWER)
        return answer

    def talk(self, dialect: str, text: str = "grüße 🚀") -> None:
        """
        Send a message that is echoed.
        """
        self.send(IDIOMS[dialect].clientText(text))
        self.expect(IDIOMS[dialect].serverText(text))

    def end(self, dialect: str) -> None:
        """
        Make the server end the connection in good order, and answer as the dialect requires.
        """
        idiom = IDIOMS[dialect]
        self.send(idiom.clientText("kill"))
        self.expect(idiom.serverClose)
        self.send(idiom.clientClose)
        self.expectEnd()

    def close(self) -> None:
        self.socket.close()


def readToEnd(clients: Iterable[Client], timeout: float = 10) -> None:
    """
    Let all clients read, and answer, until all are at the end; then they close.
    """
    deadline = monotonic() + timeout
    with DefaultSelector() as selector:
        for client in clients:
            selector.register(client.socket, EVENT_READ, client)
        while waiting := selector.get_map():
            ready = selector.select(max(0, deadline - monotonic()))
            assert ready, f"{len(waiting)} clients are not at the end after {timeout} s"
            for key, _ in ready:
                key.data.receive()
                if key.data.ending:
                    selector.unregister(key.fileobj)
                    key.data.close()


class Other(Server):
    """
    A server that is not started with C{twistd -n}.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._directory = TemporaryDirectory(prefix="hixie-")
        Child.__init__(self, command, cwd=self._directory.name, env=environment())
        try:
            self.port = int(self.waitForLog(r"HixieFactory starting on (\d+)", 15)[1])
        except BaseException:
            self.end()
            raise


class Everywhere(Other):
    """
    A server that listens on a free port of all addresses, of IPv4 and IPv6.
    """

    def __init__(self, *options: str, port: str = "0") -> None:
        if not socket.has_dualstack_ipv6():
            reason = "there is no IPv6 here: sysctl net.ipv6.conf.all.disable_ipv6=0"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)
        super().__init__([*TWISTD, "-n", "--pidfile=", "hixie", "--port", port, *options])


class Daemon:
    """
    C{twistd hixie} in the background. As a context manager it never outlives its block.
    """

    def __init__(self, folder: Path, *options: str, twistd: Sequence[str] = ()) -> None:
        """
        @param options: those of C{hixie}.
        @param twistd: more options of C{twistd}.
        """
        self.pidfile = folder / "hixie.pid"
        self._logfile = folder / "hixie.log"
        files = ("--pidfile", str(self.pidfile), "--logfile", str(self._logfile))
        self.started = subprocess.run(
            [*TWISTD, *files, *twistd, "hixie", *options],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=10,
            check=False,
            encoding="utf-8",
        )
        self._process = os.pidfd_open(int(self.pidfile.read_text())) if self.runs else -1

    @property
    def runs(self) -> bool:
        """
        Whether it has started.
        """
        return self.started.returncode == 0

    @property
    def log(self) -> str:
        """
        The log so far.
        """
        return self._logfile.read_text("utf-8")

    @property
    def port(self) -> int:
        """
        The port it listens on.
        """
        match = re.search(r"HixieFactory starting on (\d+)", self.log)
        assert match is not None
        return int(match[1])

    def send(self, number: int) -> None:
        """
        Send a signal.
        """
        signal.pidfd_send_signal(self._process, number)

    def wait(self) -> None:
        """
        Wait for the end of the process.
        """
        ended, _, _ = select.select([self._process], [], [], 10)
        assert ended, "the daemon does not end"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        print(f"Output:\n{self.started.stdout}\nLog:\n{self.log}")
        if self.runs:
            if not select.select([self._process], [], [], 0)[0]:
                self.send(signal.SIGKILL)
            os.close(self._process)


def outputs(
    commands: Iterable[Sequence[str]], env: Mapping[str, str]
) -> list[tuple[int, list[str]]]:
    """
    Run commands side by side.

    @return: the exit status and the lines of output of each.
    """
    with TemporaryDirectory(prefix="hixie-") as folder:
        running = [
            subprocess.Popen(
                command,
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
            )
            for command in commands
        ]
        try:
            texts = [process.communicate(timeout=60)[0] for process in running]
        finally:
            for process in running:
                process.kill()
                process.wait()
    return [
        (process.returncode, text.splitlines())
        for process, text in zip(running, texts, strict=True)
    ]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """
    One server for all tests without special options.
    """
    with Server() as server:
        yield server


# The end


def goingDown(client: Client, dialect: str, answers: bool = True) -> Client:
    """
    @param answers: whether the client does its part in the closing handshake.
    @return: the client, open.
    """
    client.open(dialect)
    if dialect == "hixie-76":
        client.goodbye = IDIOMS[dialect].serverClose
        client.answer = IDIOMS[dialect].clientClose
    elif dialect != "hixie-75":
        client.goodbye = frame(0x88, b"\x03\xe9the server is going down")
        client.answer = frame(0x88, b"\x03\xe9", MASK)
    if not answers:
        client.answer = b""
    return client


def halfWay(client: Client, data: bytes) -> Client:
    """
    @return: the client, which has sent only this part of its handshake.
    """
    if data:
        client.send(data)
    if b"\r\n\r\n" in data:
        assert client.takeHead().startswith("HTTP/1.1 101 ")
    else:
        client.goodbye = atNoTime(comeAgain("the server is going down").response())
    return client


def atNoTime(response: bytes) -> bytes:
    """
    @return: a response without the random number of seconds in Retry-After.
    """
    return re.sub(rb"(?<=\r\nRetry-After: )[0-9]+", b"", response)


def keepAlive(client: Client) -> Client:
    """
    @return: the client, with an answer to plain HTTP.
    """
    client.send(GET)
    assert client.takeHead().startswith("HTTP/1.1 200 ")
    client.expect(b"okay")
    return client


def clogged(client: Client) -> Client:
    """
    @return: the client, which sent messages until nothing moves, because it reads no answer.
    """
    client.open("hixie-76")
    message = IDIOMS["hixie-76"].clientText("x" * 65534)
    while select.select([], [client.socket], [], 0.3)[1]:
        client.socket.setblocking(False)
        with suppress(BlockingIOError):
            client.socket.send(message)
    return client


def crowd(port: int, stack: ExitStack) -> tuple[list[Client], list[Client]]:
    """
    A hundred clients, in all states.

    @return: those that do their part, and those that do not close. The last of these does not read
        what waits for it either.
    """
    head76 = buildHead("hixie-76")
    kinds: list[tuple[int, Callable[[Client], Client]]] = [
        (15, lambda client: goingDown(client, "hixie-75")),
        (18, lambda client: goingDown(client, "hixie-76")),
        (18, lambda client: goingDown(client, "hixie-76", answers=False)),
        (18, lambda client: goingDown(client, "rfc6455")),
        (6, lambda client: goingDown(client, "rfc6455", answers=False)),
        (2, lambda client: goingDown(client, "hybi-08")),
        (2, lambda client: goingDown(client, "hybi-07")),
        (2, keepAlive),
        (2, lambda client: halfWay(client, b"")),
        (3, lambda client: halfWay(client, b"GET /ech")),
        (3, lambda client: halfWay(client, buildHead("hixie-75")[:-2])),
        (3, lambda client: halfWay(client, head76)),
        (2, lambda client: halfWay(client, head76 + b"^n:ds[4")),
        (2, lambda client: halfWay(client, buildHead("rfc6455")[:-1])),
    ]
    deaf: list[Callable[[Client], Client]] = [
        lambda client: goingDown(client, "hixie-75"),
        lambda client: goingDown(client, "rfc6455"),
        keepAlive,
        clogged,
    ]
    connect = lambda: stack.enter_context(closing(Client.to(port)))  # noqa: E731
    return (
        [make(connect()) for count, make in kinds for _ in range(count)],
        [make(connect()) for make in deaf],
    )


def assertGone(clients: Iterable[Client], seconds: float) -> None:
    """
    All of them got what they should, and read the end of the stream after it.
    """
    for client in clients:
        assert (atNoTime(client.received), client.ending) == (client.goodbye, "EOF")
    print(f"It took {seconds:.2f} s to end.")
    assert seconds < QUICK


@requirement("CL-02", "CL-04", "CL-05", "CL-01")
def test_interrupt() -> None:
    """On Ctrl-C all of a hundred clients get a good-bye, and the process ends soon."""
    with Server() as server, ExitStack() as stack:
        clients, deaf = crowd(server.port, stack)
        assert len(clients) + len(deaf) == 100
        # The server would wait for this one until the drain time is over.
        deaf.pop().socket.close()
        began = monotonic()
        server.process.send_signal(signal.SIGINT)
        readToEnd(clients)
        # twistd ends with the signal that stopped it.
        assert server.process.wait(10) == -signal.SIGINT
        assertGone(clients, monotonic() - began)


@requirement("CL-02", "CL-04", "CL-05", "CL-01")
def test_terminate(tmp_path: Path) -> None:
    """On SIGTERM a server in the background does so, too, and removes its pidfile."""
    options = ("--port", LOOPBACK, "--drain", "3")
    with Daemon(tmp_path, *options) as daemon, ExitStack() as stack:
        clients, deaf = crowd(daemon.port, stack)
        assert len(clients) + len(deaf) == 100
        began = monotonic()
        daemon.send(signal.SIGTERM)
        readToEnd(clients)
        daemon.wait()
        assertGone(clients, monotonic() - began)
        assert not daemon.pidfile.exists()
        assert daemon.log.rstrip().endswith("Server Shut Down.")
        for word in ("Traceback", "Unhandled"):
            assert word not in daemon.log


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_secondSignal(second: signal.Signals) -> None:
    """A second signal ends it at once, whatever is still connected, and without errors."""
    with Server("--drain", "60", "--close-timeout", "60") as server, ExitStack() as stack:
        clients = [stack.enter_context(closing(Client.to(server.port))) for _ in range(3)]
        for client, dialect in zip(clients, ("hixie-76", "rfc6455", "hixie-76"), strict=True):
            goingDown(client, dialect, answers=False)
        clogged(stack.enter_context(closing(Client.to(server.port))))
        server.process.send_signal(signal.SIGTERM)
        for client in clients:
            client.expect(client.goodbye)
        server.process.send_signal(second)
        # twistd ends with the first signal that stopped it.
        assert server.process.wait(QUICK) == -signal.SIGTERM
        for client in clients:
            client.take(1)
            assert client.ending
    assert server.log.rstrip().endswith("Server Shut Down.")


def lastAnswer(client: Client) -> None:
    """
    Send one more request of plain HTTP: there is an answer, and then the end.
    """
    client.send(GET)
    head = client.takeHead()
    assert head.startswith("HTTP/1.1 200 ")
    assert "Connection: close" in head.split("\r\n")
    client.expect(b"okay")
    client.expectEnd()


RUNNERS = {
    "twistd": (*TWISTD, "-n", "--pidfile="),
    "twist": (*TWIST, "--log-format=text"),
}


@pytest.mark.parametrize("command", RUNNERS.values(), ids=RUNNERS)
def test_lameDuck(command: tuple[str, ...]) -> None:
    """For --lame-duck seconds after SIGTERM everything is served, plain HTTP for the last time."""
    options = ("--port", LOOPBACK, "--lame-duck", "2")
    with Other([*command, "hixie", *options]) as server, ExitStack() as stack:
        clients = [stack.enter_context(closing(Client.to(server.port)))]
        idle = keepAlive(stack.enter_context(closing(Client.to(server.port))))
        goingDown(clients[0], "hixie-76")
        server.process.send_signal(signal.SIGTERM)
        server.waitForLog("stopping in 2 s, and accepting until then$")
        clients.append(stack.enter_context(closing(Client.to(server.port))))
        goingDown(clients[1], "rfc6455")
        clients[0].talk("hixie-76")
        clients[1].talk("rfc6455")
        lastAnswer(idle)
        lastAnswer(stack.enter_context(closing(Client.to(server.port))))
        readToEnd(clients)
        for client in clients:
            assert (client.received, client.ending) == (client.goodbye, "EOF")
        server.process.wait(QUICK)


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_lameDuckNoMore(second: signal.Signals) -> None:
    """A second signal does not wait for that."""
    with Server("--lame-duck", "60") as server, closing(Client.to(server.port)) as client:
        client.open("hixie-76")
        server.process.send_signal(signal.SIGTERM)
        server.waitForLog("stopping in 60 s")
        server.process.send_signal(second)
        assert server.process.wait(QUICK) == -signal.SIGTERM
        readToEnd([client])
    assert server.log.rstrip().endswith("Server Shut Down.")


# A site that finishes its answers only when the server is already stopping.
LATE = """
from twisted.application.service import Application
from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from txhixie import Echo, HixieFactory, HixieService

class Late(Resource):
    isLeaf = True

    def render_GET(self, request):
        request.setHeader(b"Content-Length", b"9")
        if request.path == b"/begun":
            request.write(b"begun")
        rest = b"late" if request.path == b"/begun" else b"more late"
        def finish():
            request.write(rest)
            request.finish()
        reactor.addSystemEventTrigger("before", "shutdown", reactor.callLater, 0.3, finish)
        print("asked for", request.path, flush=True)
        return NOT_DONE_YET

application = Application("late")
service = HixieService(HixieFactory(Echo(), Late()), "tcp:0:interface=127.0.0.1")
service.setServiceParent(application)
"""


def test_answersInProgress(tmp_path: Path) -> None:
    """Answers of plain HTTP in progress at SIGTERM are finished, then the server ends."""
    script = tmp_path / "late.tac"
    script.write_text(LATE)
    get = "GET {} HTTP/1.1\r\nHost: x\r\n\r\n"
    with (
        Other([*TWISTD, "-n", "--pidfile=", "-y", str(script)]) as server,
        closing(Client.to(server.port)) as begun,
        closing(Client.to(server.port)) as waiting,
    ):
        begun.send(get.format("/begun").encode())
        assert "Connection: close" not in begun.takeHead().split("\r\n")
        waiting.send(get.format("/waiting").encode())
        server.waitForLog("asked for b'/waiting'")
        server.process.send_signal(signal.SIGTERM)
        begun.expect(b"begunlate")
        begun.expectEnd()
        assert "Connection: close" in waiting.takeHead().split("\r\n")
        waiting.expect(b"more late")
        waiting.expectEnd()
        server.process.wait(QUICK)


@pytest.mark.parametrize("dialect", IDIOMS)
@requirement("CL-04", "CL-07", "CL-08")
def test_orderlyEnd(server: Server, dialect: str) -> None:
    """
    A client that still sends while the server closes gets everything sent before, and no reset.
    """
    idiom = IDIOMS[dialect]
    texts = [f"number {number}" for number in range(100)]
    late = [idiom.clientText(f"{number} is late. " * 200) for number in range(200)]
    with closing(Client.to(server.port)) as client:
        client.open(dialect)
        client.send(b"".join(map(idiom.clientText, [*texts, "kill"])))
        for message in late:
            client.send(message)
        client.expect(b"".join(map(idiom.serverText, texts)) + idiom.serverClose)
        for message in late:
            client.send(message)
        client.send(idiom.clientClose)
        client.expectEnd()
        for message in late:
            client.send(message)


@requirement("CL-05", "B-53")
def test_silentEnd(server: Server) -> None:
    """A client that ignores the closing frame, but goes on, soon gets the end of the stream."""
    idiom = IDIOMS["hixie-76"]
    with closing(Client.to(server.port)) as client:
        client.open("hixie-76")
        client.send(idiom.clientText("kill"))
        client.expect(idiom.serverClose)
        began = monotonic()
        while not select.select([client.socket], [], [], 0.01)[0]:
            client.send(idiom.clientText("still here"))
        client.expectEnd()
        assert 1 < monotonic() - began < QUICK


# The command line


def test_wrongOptions(tmp_path: Path) -> None:
    """A wrong option gets one line that says so, below the usage, and exit status 1."""
    (tmp_path / "broken.py").write_text("import no_such_thing_at_all\n")
    wrong: list[tuple[tuple[str, ...], str]] = [
        (("--port", "x"), "--port: 'x' is no endpoint"),
        (("--port", "65536"), "--port: "),
        (("--service", "chat"), "--service: there is no 'chat', only echo, broadcast"),
        (("--service", "broken.App"), "No module named 'no_such_thing_at_all'"),
        (("--dialects", "hixie-77"), "--dialects: 'hixie-77': none of hixie-75"),
        (("--route", "chat=echo"), "--route: 'chat' is not a path like /chat"),
        (("--location", "chat.example.com"), "--location: 'chat.example.com'"),
        (("--max-message", "much"), "--max-message: 'much': not a whole number"),
        (("--nosuch",), "option --nosuch not recognized"),
        (("stray",), "Wrong number of arguments"),
    ]
    commands = [[*TWISTD, "-n", "--pidfile=", "hixie", *options] for options, _ in wrong]
    results = outputs(commands, environment(tmp_path))
    for (options, what), (status, lines) in zip(wrong, results, strict=True):
        assert status == WRONG, options
        assert what in lines[-1], options
        assert not [line for line in lines if "Traceback" in line], options
        assert len([line for line in lines if what in line]) == 1, options


def assertPortInUse(port: int, lines: Iterable[str], host: str = "127.0.0.1") -> None:
    """
    One line says what is wrong, and there is no traceback.
    """
    (line,) = (line for line in lines if "Error" in line)
    assert f"CannotListenError: Couldn't listen on {host}:{port}: " in line
    assert line.endswith("Address already in use.")
    for word in ("Traceback", "Unhandled", "#error"):
        assert not [line for line in lines if word in line]


def test_portInUse(server: Server, tmp_path: Path) -> None:
    """A port in use is one critical line in the log and exit status 1, and leaves no pidfile."""
    port = f"tcp:{server.port}:interface=127.0.0.1"
    pidfile = tmp_path / "hixie.pid"
    command = [*TWISTD, "-n", "--pidfile", str(pidfile), "hixie", "--port", port]
    ((status, lines),) = outputs([command], environment())
    assertPortInUse(server.port, lines)
    assert len([line for line in lines if "#critical" in line]) == 1
    assert status == 1
    assert not pidfile.exists()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_numberInUse(host: str) -> None:
    """A port number is in use if something listens there on any address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as taken:
        port = taken.getsockname()[1]
        command = [*TWISTD, "-n", "--pidfile=", "hixie", "--port", str(port)]
        ((status, lines),) = outputs([command], environment())
    assertPortInUse(port, lines, "any")
    assert status == 1


def test_portInUseOfTwist(server: Server) -> None:
    """C{twist} also reports it in one line."""
    port = f"tcp:{server.port}:interface=127.0.0.1"
    ((status, lines),) = outputs([[*TWIST, "hixie", "--port", port]], environment())
    assertPortInUse(server.port, lines)
    assert status == 1


def test_portInUseInBackground(server: Server, tmp_path: Path) -> None:
    """A server in the background logs it; the user who started it is notified at once."""
    with Daemon(tmp_path, "--port", f"tcp:{server.port}:interface=127.0.0.1") as daemon:
        assert daemon.started.returncode == 1
        assertPortInUse(server.port, daemon.log.splitlines())
        assert daemon.log.count("#critical") == 1
        assert "Traceback" not in daemon.started.stdout
        # The daemon ends after the process that started it.
        deadline = monotonic() + 10
        while daemon.pidfile.exists():
            assert monotonic() < deadline


@requirement("LOC-5")
def test_location() -> None:
    """--location is what clients get, whatever host they name."""
    with (
        Server("--location", "wss://chat.example.org") as server,
        closing(Client.to(server.port)) as client,
        closing(Client.to(server.port)) as older,
    ):
        answer = client.open("hixie-76", "/echo?x=1")
        assert "Sec-WebSocket-Location: wss://chat.example.org/echo?x=1" in answer.split("\r\n")
        answer = older.open("hixie-75", "/echo?x=1")
        assert "WebSocket-Location: wss://chat.example.org/echo?x=1" in answer.split("\r\n")


@requirement("LOC-5")
@pytest.mark.parametrize(
    "options", [("--location", "ws://h/chat"), ("--trust-proxy", "127.0.0.1")], ids=lambda o: o[0]
)
def test_rewrittenPath(options: tuple[str, str]) -> None:
    """Behind a proxy that removes a part of the path, clients get the whole path."""
    forwarded = [(b"Forwarded", b"for=192.0.2.1;host=h"), (b"X-Forwarded-Prefix", b"/chat")]
    with Server(*options) as server, closing(Client.to(server.port)) as client:
        requestLine = b"GET /echo?x=1 HTTP/1.1"
        client.send(buildHead("hixie-75", extra=forwarded, requestLine=requestLine))
        answer = client.takeHead()
        assert "WebSocket-Location: ws://h/chat/echo?x=1" in answer.split("\r\n")
        client.talk("hixie-75")


def test_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """--service takes the dotted name of an application, and then nothing else answers."""
    monkeypatch.setenv("PYTHONPATH", str(PROJECT / "examples"))
    text = IDIOMS["hixie-76"].serverText
    with Server("--service", "shout.Shout") as server:
        with closing(Client.to(server.port)) as client:
            client.open("hixie-76", "/any/path")
            client.expect(text("WELCOME"))
            client.send(IDIOMS["hixie-76"].clientText("grüße"))
            client.expect(text("GRÜSSE"))
        with closing(Client.to(server.port)) as client:
            client.open("hixie-76", "/echo")
            client.expect(text("WELCOME"))
    with (
        Server("--service", "rooms.Rooms") as server,
        closing(Client.to(server.port)) as one,
        closing(Client.to(server.port)) as two,
        closing(Client.to(server.port)) as elsewhere,
    ):
        one.open("hixie-75", "/red")
        elsewhere.open("hixie-75", "/blue")
        two.open("rfc6455", "/red")
        two.send(IDIOMS["rfc6455"].clientText("hello"))
        two.expect(IDIOMS["rfc6455"].serverText("hello"))
        one.expect(IDIOMS["hixie-75"].serverText("hello"))
        elsewhere.send(IDIOMS["hixie-75"].clientText("alone"))
        elsewhere.expect(IDIOMS["hixie-75"].serverText("alone"))


def test_route(monkeypatch: pytest.MonkeyPatch) -> None:
    """--route puts services at their paths, and other paths have none."""
    monkeypatch.setenv("PYTHONPATH", str(PROJECT / "examples"))
    with Server("--route", "/loud/er=shout.Shout", "--route", "/echo=echo") as server:
        with closing(Client.to(server.port)) as client:
            client.open("hixie-76", "/loud/er/x")
            client.expect(IDIOMS["hixie-76"].serverText("WELCOME"))
        with closing(Client.to(server.port)) as client:
            client.open("rfc6455", "/echo")
            client.talk("rfc6455")
        for path in (b"/", b"/loud", b"/broadcast"):
            with closing(Client.to(server.port)) as client:
                client.send(buildHead("rfc6455", requestLine=b"GET %b HTTP/1.1" % path))
                assert client.takeHead().startswith("HTTP/1.1 404 ")


# What it logs

# This would be a line of the log, if it could begin one.
FORGED = "2026-01-01T00:00:00+0000 [forged#critical] all is lost"
BREAKS = ("\n", "\r\n", "\r", "\x0b", "\x0c", "\x1b[2K\x1b[1G", "\x85", "\u2028", "\u202e", "\0")


def test_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that a client sends begins a line of the log, or controls a terminal."""
    (tmp_path / "failing.py").write_text(
        "class Failing:\n"
        "    def buildProtocol(self, request):\n"
        "        return self\n"
        "    def negotiationStarted(self, transport): pass\n"
        "    def negotiationFinished(self): pass\n"
        "    def textMessageReceived(self, message):\n"
        "        raise ValueError(message)\n"
        "    def connectionLost(self, reason): pass\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    options = ("--service", "failing.Failing", "--log-connections", "--log-messages")
    limits = ("--origin", "http://example.com", "--log-rate", "0")
    with Daemon(tmp_path, "--port", LOOPBACK, *options, *limits) as daemon:
        for broken in BREAKS:
            forged = f"{broken}{FORGED}{broken}"
            raw = forged.encode()
            field = raw.replace(b"\r", b" ").replace(b"\n", b" ")
            wholeLine = b"GET /" + field.replace(b" ", b"%20") + b" HTTP/1.1"
            requests = [
                wholeLine + b"\r\nHost: x\r\n\r\n",
                field + b"\r\n\r\n",
                buildHead("hixie-75", requestLine=wholeLine),
                buildHead("hixie-76", {b"Origin": field}),
                buildHead("hixie-75", extra=[(b"WebSocket-Protocol", field)]),
                buildHead("rfc6455", {b"Host": field}),
                b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: " + field + b"\r\n\r\n",
            ]
            for request in requests:
                with closing(Client.to(daemon.port)) as client:
                    client.send(request)
                    client.takeHead()
            with closing(Client.to(daemon.port)) as client:
                client.open("rfc6455", "/")
                client.send(IDIOMS["rfc6455"].clientText(forged))
                client.expect(frame(0x88, b"\x03\xf3"))
            with closing(Client.to(daemon.port)) as client:
                client.open("rfc6455", "/")
                client.send(frame(0x88, b"\x0f\xa0" + raw, MASK))
                client.takeHead()
        daemon.send(signal.SIGTERM)
        daemon.wait()
        lines = (tmp_path / "hixie.log").read_bytes().split(b"\n")
    record = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[(?!forged)")
    assert [line for line in lines if not record.match(line) and not line.startswith(b"\t")] == [
        b""
    ]
    ours = [line.decode() for line in lines if b" [txhixie." in line]
    for kind in ("refused", "opened:", "closed:", "received", "in the application of"):
        assert [line for line in ours if kind in line], kind
    assert [line for line in ours if not line.isprintable()] == []
    assert len([line for line in ours if "forged" in line]) >= 2 * len(BREAKS)


# Where it listens


def test_twist() -> None:
    """C{twist hixie} serves as well, and ends as well."""
    with (
        Other([*TWIST, "hixie", "--port", LOOPBACK]) as server,
        closing(Client.to(server.port)) as client,
    ):
        goingDown(client, "hixie-76").talk("hixie-76")
        server.process.send_signal(signal.SIGTERM)
        readToEnd([client])
        assert client.received == client.goodbye
        assert client.ending == "EOF"
        assert server.process.wait(QUICK) in (0, -signal.SIGTERM)


def test_ports() -> None:
    """It listens on all given ports, of any kind, with one broadcast for all."""
    with TemporaryDirectory(prefix="hixie-") as folder:
        path = Path(folder) / "s"
        with Server("-p", LOOPBACK, "--port", f"unix:{path}") as server:
            server.waitForLog(f"HixieFactory starting on '{path}'")
            ports = [int(port) for port in re.findall(r"starting on (\d+)", server.log)]
            assert len(set(ports)) == 2
            with ExitStack() as stack:
                made = [Client.to(ports[0]), Client.to(ports[1]), Client.to(path)]
                clients = [stack.enter_context(closing(client)) for client in made]
                for number, client in enumerate(clients):
                    client.open("hixie-75", "/broadcast")
                    for other in clients[: number + 1]:
                        joined = other.take(len(b"\0New Connection: 01234567890\xff"))
                        assert joined.startswith(b"\0New Connection: ")
                        assert joined.endswith(b"\xff")
                clients[0].send(b"\0hello\xff")
                for client in clients:
                    assert client.take(len(b"\x0001234567890: hello\xff")).endswith(b": hello\xff")


def test_unix() -> None:
    """A Unix socket serves WebSockets and plain HTTP, and is gone in the end."""
    with TemporaryDirectory(prefix="hixie-") as folder:
        path = Path(folder) / "s"
        with Server("--port", f"unix:{path}:mode=600") as server:
            for dialect in IDIOMS:
                with closing(Client.to(path)) as client:
                    client.open(dialect)
                    client.talk(dialect)
                    client.end(dialect)
            assert path.stat().st_mode & 0o777 == 0o600
            with closing(Client.to(path)) as client:
                keepAlive(keepAlive(client))
            with closing(Client.to(path)) as client:
                goingDown(client, "hixie-76")
                server.process.send_signal(signal.SIGTERM)
                readToEnd([client])
                assert (client.received, client.ending) == (client.goodbye, "EOF")
            server.process.wait(QUICK)
        assert not path.exists()


def connectTLS(port: int, folder: Path, name: str = "127.0.0.1", host: str = "127.0.0.1") -> Client:
    """
    @param name: the name that the certificate is checked for.
    @return: a client that accepts the certificate in a folder, and no other.
    """
    context = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    plain = Client.to(port, host).socket
    # An end of TCP without one of TLS is an error.
    return Client(context.wrap_socket(plain, server_hostname=name, suppress_ragged_eofs=False))


@pytest.mark.parametrize("kind", TLS)
@requirement("LOC-1")
def test_tls(tmp_path: Path, kind: str) -> None:
    """Over TLS, clients get a wss location, and the end is that of TLS, not just of TCP."""
    port = makeTLS(kind, tmp_path)

    def connect(port: int) -> Client:
        return connectTLS(port, tmp_path)

    with Server("--port", port) as server, ExitStack() as stack:
        tls = int(server.waitForLog(r"HixieFactory \(TLS\) starting on (\d+)")[1])
        answers = {}
        for dialect in IDIOMS:
            with closing(connect(tls)) as client:
                answers[dialect] = client.open(dialect)
                client.talk(dialect)
                client.talk(dialect, "x" * 100_000)
                client.end(dialect)
        location = f"WebSocket-Location: wss://{HOST.decode()}/echo"
        assert location in answers["hixie-75"].split("\r\n")
        assert f"Sec-{location}" in answers["hixie-76"].split("\r\n")
        with closing(connect(tls)) as client:
            keepAlive(keepAlive(client))

        # Not TLS on a TLS port, and TLS on a plain one.
        with closing(Client.to(tls)) as stranger:
            stranger.send(GET)
            stranger.take(1 << 16)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            connect(server.port)

        clients = [
            goingDown(stack.enter_context(closing(connect(tls))), dialect) for dialect in IDIOMS
        ]
        clients.append(keepAlive(stack.enter_context(closing(connect(tls)))))
        began = monotonic()
        server.process.send_signal(signal.SIGTERM)
        for client in clients:
            while not client.ending:
                client.receive()
            client.close()
        server.process.wait(10)
        assertGone(clients, monotonic() - began)


def test_tlsEveryAddress(tmp_path: Path) -> None:
    """
    tls: listens on IPv4 and IPv6 by itself, and shows IPv4 clients as such; names are checked.
    """
    port = makeTLS("tls", tmp_path).removesuffix(":interface=127.0.0.1")
    with Everywhere("--port", port, "--log-connections") as server:
        tls = int(server.waitForLog(r"HixieFactory \(TLS\) starting on (\d+)")[1])
        for host, shown in (("127.0.0.1", r"127\.0\.0\.1"), ("::1", r"\[::1\]")):
            for name in ("localhost", host):
                with closing(connectTLS(tls, tmp_path, name, host)) as client:
                    client.open("hixie-76")
                    client.talk("hixie-76")
                    number = client.socket.getsockname()[1]
                    server.waitForLog(rf"hixie-76 /echo from {shown}:{number}$")
    assert "::ffff:" not in server.log


@pytest.mark.parametrize("kind", TLS)
def test_renewedCertificates(tmp_path: Path, kind: str) -> None:
    """On SIGHUP certificates are read again; connections stay open, and no client is refused."""
    port = makeTLS(kind, tmp_path)
    with Server("--port", port) as server, ExitStack() as stack:
        tls = int(server.waitForLog(r"HixieFactory \(TLS\) starting on (\d+)")[1])
        old = stack.enter_context(closing(connectTLS(tls, tmp_path, "localhost")))
        old.open("hixie-76")
        for _ in range(2):
            selfSigned(tmp_path)
            with pytest.raises(ssl.SSLCertVerificationError):
                connectTLS(tls, tmp_path, "localhost")
            server.lines.clear()
            server.process.send_signal(signal.SIGHUP)
            server.waitForLog(rf"SIGHUP: reloaded the certificates of {re.escape(port)}$")
            with closing(connectTLS(tls, tmp_path, "localhost")) as client:
                client.open("rfc6455")
                client.talk("rfc6455")
                client.end("rfc6455")
        certificate = (tmp_path / "cert.pem").read_bytes()
        for file in ("cert.pem", "key.pem"):
            (tmp_path / file).write_text("-----BEGIN CERTIFICATE-----\nnone\n")
        server.process.send_signal(signal.SIGHUP)
        server.waitForLog(rf"#warn\] SIGHUP: kept what it had of the certificates of {kind}:.* \(")
        (tmp_path / "cert.pem").write_bytes(certificate)
        with closing(connectTLS(tls, tmp_path, "localhost")) as client:
            client.open("hixie-76")
            client.end("hixie-76")
        old.talk("hixie-76")
        old.end("hixie-76")
        old.close()
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(QUICK)
        server.waitForLog(r"Stopping factory <txhixie")
    assert server.log.count("Stopping factory <txhixie") == 1
    assert "Traceback" not in server.log


@pytest.mark.parametrize("command", RUNNERS.values(), ids=RUNNERS)
def test_hangUp(command: tuple[str, ...]) -> None:
    """SIGHUP ends no connection, and a line says that there is nothing to reload."""
    with (
        Other([*command, "hixie", "--port", LOOPBACK]) as server,
        closing(Client.to(server.port)) as client,
    ):
        client.open("hixie-76")
        for count in range(1, 4):
            server.process.send_signal(signal.SIGHUP)
            server.waitForLog(rf"(?s)(.*SIGHUP: there is nothing to reload){{{count}}}")
            client.talk("hixie-76")
        server.process.send_signal(signal.SIGTERM)
        client.expect(IDIOMS["hixie-76"].serverClose)
        server.process.send_signal(signal.SIGHUP)
        client.send(IDIOMS["hixie-76"].clientClose)
        client.expectEnd()
        assert server.process.wait(QUICK) in (0, -signal.SIGTERM)


def test_hangUpOfDaemon(tmp_path: Path) -> None:
    """A server in the background reads its origins again, by a path from where it was started."""
    origins = tmp_path / "origins"
    origins.write_text("http://old.example.com\n")
    (tmp_path / "run").mkdir()
    options = ("--port", LOOPBACK, "--origin-file", "origins")

    def status(port: int) -> str:
        with closing(Client.to(port)) as client:
            client.send(buildHead("hixie-76"))
            return client.takeHead().split()[1]

    with Daemon(tmp_path, *options, twistd=("--rundir", "run")) as daemon:
        assert status(daemon.port) == "403"
        origins.write_text("# new\nhttp://example.com\n")
        daemon.send(signal.SIGHUP)
        line = f"SIGHUP: reloaded the origins in {origins}\n"
        deadline = monotonic() + 10
        while line not in daemon.log:
            assert monotonic() < deadline, "it does not reload"
        assert status(daemon.port) == "101"
        daemon.send(signal.SIGTERM)
        daemon.wait()


@pytest.mark.parametrize("dialect", ["hixie-75", "hixie-76", "rfc6455"])
def test_orderlyEndByTLS(tmp_path: Path, dialect: str) -> None:
    """With TLS, too, nothing is lost that was sent before the close."""
    idiom = IDIOMS[dialect]
    texts = [f"number {number}" for number in range(100)]
    with Server("--port", makeTLS("ssl", tmp_path)) as server:
        tls = int(server.waitForLog(r"HixieFactory \(TLS\) starting on (\d+)")[1])
        with closing(connectTLS(tls, tmp_path)) as client:
            client.open(dialect)
            client.send(b"".join(map(idiom.clientText, [*texts, "kill"])))
            for number in range(200):
                client.send(idiom.clientText(f"{number} is late. " * 20))
            client.expect(b"".join(map(idiom.serverText, texts)) + idiom.serverClose)
            client.send(idiom.clientClose)
            client.expectEnd()


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("dialect", ["hixie-75", "hixie-76", "rfc6455"])
def test_largestMessage(dialect: str, secure: bool) -> None:
    """A client that reads gets the largest message echoed, and one that comes right after it."""
    pytest.importorskip("OpenSSL")
    idiom = IDIOMS[dialect]
    texts = ["x" * Settings().maxMessage, "bye"]
    with Server(secure=secure) as server:
        connected = Client.to(server.tlsPort or server.port).socket
        context = server.context()
        if context is not None:
            connected = context.wrap_socket(connected, server_hostname="127.0.0.1")
        with closing(Client(connected)) as client:
            client.open(dialect)
            # In one write, so that the end of the first and the second are in one record.
            client.send(b"".join(map(idiom.clientText, texts)))
            # Not all at once: pytest would take long to compare what differs.
            assert [client.take(len(idiom.serverText(text)))[-9:] for text in texts] == [
                idiom.serverText(text)[-9:] for text in texts
            ]
            client.end(dialect)


def writeMirror(folder: Path) -> None:
    """
    Write a module C{mirror} whose application sends each client its address.
    """
    (folder / "mirror.py").write_text(
        "class Mirror:\n"
        "    def buildProtocol(self, request):\n"
        "        made = Mirror()\n"
        "        made.peer = request.getClientAddress()\n"
        "        return made\n"
        "    def negotiationStarted(self, transport):\n"
        "        transport.sendTextMessage(f'{self.peer.host} {self.peer.port}')\n"
        "    def negotiationFinished(self): pass\n"
        "    def connectionLost(self, reason): pass\n"
    )


def test_haproxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the PROXY protocol, the application and the log see the client, not the proxy."""
    writeMirror(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    services = ("--service", "mirror.Mirror", "--route", "/echo=echo")
    options = ("--port", f"haproxy:{LOOPBACK}", *services, "--log-connections")
    with Server(*options) as server, ExitStack() as stack:
        port = int(server.waitForLog(r"HixieFactory \(PROXY\) starting on (\d+)")[1])
        for number, dialect in enumerate(IDIOMS):
            client = stack.enter_context(closing(Client.to(port)))
            header = f"PROXY TCP4 192.0.2.{number} 192.0.2.99 {56000 + number} 3400\r\n".encode()
            # The header in two segments, the rest of it together with the request.
            client.send(header[:9])
            client.send(header[9:] + buildHead(dialect) + IDIOMS[dialect].preamble)
            assert client.takeHead().startswith("HTTP/1.1 101 ")
            if dialect == "hixie-76":
                client.expect(ANSWER)
            client.expect(IDIOMS[dialect].serverText(f"192.0.2.{number} {56000 + number}"))
            server.waitForLog(rf"{dialect} .* 192\.0\.2\.{number}:{56000 + number}$")
        # HAProxy sends IPv4 addresses like this if its socket is IPv6.
        mapped = stack.enter_context(closing(Client.to(port)))
        mapped.send(b"PROXY TCP6 ::ffff:192.0.2.6 ::ffff:192.0.2.99 56006 3400\r\n")
        mapped.open("rfc6455", "/")
        mapped.expect(IDIOMS["rfc6455"].serverText("192.0.2.6 56006"))
        server.waitForLog(r"rfc6455 / from 192\.0\.2\.6:56006$")
        echo = stack.enter_context(closing(Client.to(port)))
        echo.send(b"PROXY TCP4 192.0.2.7 192.0.2.99 56007 3400\r\n")
        echo.open("hixie-76", "/echo")
        echo.talk("hixie-76")
        echo.end("hixie-76")
        web = stack.enter_context(closing(Client.to(port)))
        web.send(b"PROXY TCP4 192.0.2.8 192.0.2.99 56008 3400\r\n")
        keepAlive(keepAlive(web))
        server.waitForLog(r'"192\.0\.2\.8" .*"GET /any HTTP/1\.1" 200')
        # No client comes around the proxy.
        stranger = stack.enter_context(closing(Client.to(port)))
        stranger.send(GET)
        assert stranger.take(1 << 16) == b""


@pytest.mark.parametrize("port", ["0", "tcp6:0"])
def test_everyAddress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    """IPv4 and IPv6 clients use one port, and each is shown with its own address."""
    writeMirror(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    routes = ("--route", "/mirror=mirror.Mirror", "--route", "/echo=echo")
    options = (*routes, "--log-connections", "--log-rate", "0")
    with Everywhere(*options, port=port) as server:
        for host, shown in (("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")):
            for dialect, idiom in IDIOMS.items():
                with closing(Client.to(server.port, host)) as client:
                    client.open(dialect)
                    client.talk(dialect)
                    number = client.socket.getsockname()[1]
                    server.waitForLog(rf"{dialect} /echo from {re.escape(shown)}:{number}$")
                    client.end(dialect)
                with closing(Client.to(server.port, host)) as client:
                    client.open(dialect, "/mirror")
                    number = client.socket.getsockname()[1]
                    client.expect(idiom.serverText(f"{host} {number}"))
            with closing(Client.to(server.port, host)) as client:
                keepAlive(keepAlive(client))
            server.waitForLog(rf'"{host}" - - .*"GET /any HTTP/1\.1" 200')
            with closing(Client.to(server.port, host)) as client:
                client.send(buildHead("rfc6455"))
                assert client.takeHead().startswith("HTTP/1.1 404 ")
            server.waitForLog(rf"refused {re.escape(shown)}:\d+: 404")
    assert "::ffff:" not in server.log


def test_everyAddressLimits() -> None:
    """IPv4 clients of such a port are counted, and proxies trusted, by their IPv4 addresses."""
    options = ("--max-per-address", "1", "--trust-proxy", "127.0.0.0/8", "--log-connections")
    with Everywhere(*options) as server, ExitStack() as stack:

        def come(host: str, *fields: tuple[bytes, bytes]) -> str:
            client = stack.enter_context(closing(Client.to(server.port, host)))
            client.send(buildHead("hixie-75", extra=fields))
            return client.takeHead()

        forwarded = (b"X-Forwarded-For", b"::ffff:192.0.2.1")
        for status in ("101", "503"):
            for fields in ((), (forwarded,), ((b"X-Forwarded-For", b"2001:db8::1"),)):
                assert come("127.0.0.1", *fields).startswith(f"HTTP/1.1 {status} ")
            # This one is not trusted.
            assert come("::1", forwarded).startswith(f"HTTP/1.1 {status} ")
        server.waitForLog(r"from 192\.0\.2\.1 by 127\.0\.0\.1:\d+$")
    assert "::ffff:" not in server.log


def test_trustProxy() -> None:
    """Behind a trusted proxy the access log has the client of each request."""
    with (
        Server("--trust-proxy", "127.0.0.1") as server,
        closing(HTTPConnection("127.0.0.1", server.port, timeout=10)) as connection,
    ):
        for client in ("203.0.113.9", "2001:db8::9"):
            connection.request("GET", "/any", headers={"X-Forwarded-For": client})
            assert connection.getresponse().read() == b"okay"
            server.waitForLog(rf'"{client}" - - .*"GET /any HTTP/1\.1" 200')


# What systemd does between fork and exec: the socket is the first after the standard three.
HAND_OVER = """
import os, socket, sys
with socket.socket(socket.AF_UNIX) as giving:
    giving.connect(sys.argv[1])
    _, (listening,), _, _ = socket.recv_fds(giving, 1, 1)
os.dup2(listening, 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="x")
os.execv(sys.argv[2], sys.argv[2:])
"""
SYSTEMD = ("-n", "--pidfile=", "hixie", "--port", "systemd:domain=INET:index=0")


class Activated(Other):
    """
    A server that is handed a socket which listens already.
    """

    def __init__(
        self, listening: socket.socket, *options: str, command: Sequence[str] = SYSTEMD
    ) -> None:
        """
        @param command: the arguments of C{twistd}.
        """
        with TemporaryDirectory(prefix="hixie-") as folder, socket.socket(socket.AF_UNIX) as giving:
            giving.bind(f"{folder}/s")
            giving.listen()
            # The connection waits for the child as long as it takes to start.
            giving.settimeout(10)
            give = Thread(target=self._give, args=(giving, listening))
            give.start()
            try:
                twistd = (*TWISTD, *command, *options)
                super().__init__([sys.executable, "-c", HAND_OVER, f"{folder}/s", *twistd])
            finally:
                give.join()

    @staticmethod
    def _give(giving: socket.socket, listening: socket.socket) -> None:
        taking, _ = giving.accept()
        with taking:
            socket.send_fds(taking, [b"x"], [listening.fileno()])


def test_systemd() -> None:
    """A socket that already exists, as systemd passes it, is listened on."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        Activated(listening) as server,
        closing(Client.to(server.port)) as client,
        closing(Client.to(server.port)) as web,
    ):
        assert server.port == listening.getsockname()[1]
        client.open("hixie-76")
        client.talk("hixie-76")
        client.end("hixie-76")
        keepAlive(web)
        assert server.log.count("HixieFactory starting on") == 1


def test_systemdRestart() -> None:
    """A client that connects between two servers waits, and is served by the second."""
    request = buildHead("hixie-76", {b"Host": HOST}) + IDIOMS["hixie-76"].preamble
    with socket.create_server(("127.0.0.1", 0)) as listening, ExitStack() as stack:

        def come() -> Client:
            client = stack.enter_context(closing(Client.to(listening.getsockname()[1])))
            client.send(request)
            return client

        with Activated(listening, "--drain", "60", "--close-timeout", "60") as server:
            staying = stack.enter_context(closing(Client.to(server.port)))
            goingDown(staying, "hixie-76", answers=False)
            server.process.send_signal(signal.SIGTERM)
            server.waitForLog(r"Port \d+ Closed")
            waiting = [come()]
            server.process.send_signal(signal.SIGTERM)
            server.process.wait(QUICK)
        waiting.append(come())
        with Activated(listening) as server:
            waiting.append(come())
            for client in waiting:
                assert client.takeHead().startswith("HTTP/1.1 101 ")
                client.expect(ANSWER)
                client.talk("hixie-76")
                client.end("hixie-76")


# What comes over TCP


@pytest.mark.parametrize("dialect", IDIOMS)
@requirement("H75-S-07", "KEY3-6", "B-26")
def test_early(server: Server, dialect: str) -> None:
    """A message in the segment of the request is answered, as are those after it."""
    with closing(Client.to(server.port)) as client:
        client.open(dialect, early=IDIOMS[dialect].clientText("early"))
        client.expect(IDIOMS[dialect].serverText("early"))
        client.talk(dialect)
        client.end(dialect)


def test_keepAlive(server: Server) -> None:
    """Plain HTTP keeps its connection for any number of requests."""
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=10)) as connection:
        connection.connect()
        first = connection.sock
        for method, path, body in (
            ("GET", "/", None),
            ("POST", "/any", b"a body"),
            ("HEAD", "/any", None),
            ("GET", "/any/path?x=1", None),
        ):
            connection.request(method, path, body)
            response = connection.getresponse()
            assert response.status == 200
            assert response.headers.get_content_type() == "text/plain"
            assert response.read() == (b"" if method == "HEAD" else b"okay")
            assert connection.sock is first
        connection.request("GET", "/", headers={"Connection": "close"})
        assert connection.getresponse().read() == b"okay"


def test_pipelining(server: Server) -> None:
    """Requests that do not wait for answers are all answered, on one connection."""
    post = b"POST /any HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4\r\n\r\nbody"
    last = b"GET /last HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n"
    with closing(Client.to(server.port)) as client:
        client.send(GET * 20 + post + GET + last)
        for _ in range(23):
            assert client.takeHead().startswith("HTTP/1.1 200 ")
            client.expect(b"okay")
        client.expectEnd()
