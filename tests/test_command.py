"""The command: at a terminal, in a pipe, and with servers that refuse or die."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

import txhixie
from tests.clients import Pair, exchange
from tests.interop.server import PROJECT, Server
from tests.loopback import Recorder, TCPWire, echo
from txhixie import HandshakeRefused, HixieFactory
from txhixie.command import screen as screenModule
from txhixie.command.conversation import Conversation
from txhixie.command.entering import Entering
from txhixie.command.main import Command, main, reasonOf
from txhixie.command.options import parse
from txhixie.command.screen import Screen

COMMAND = [sys.executable, "-m", "txhixie"]
URL = "ws://example.com/demo?x=1"
# The longest time in seconds that anything may take.
LONG = 20


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server for the processes."""
    with Server() as server:
        yield server


def run(
    *arguments: str, entered: str | bytes = b"", isOpen: bool = False
) -> subprocess.CompletedProcess[bytes]:
    """
    Run the command in a pipe.

    @param entered: its input.
    @param isOpen: whether the input goes on after that.
    """
    data = entered.encode() if isinstance(entered, str) else entered
    reading, writing = os.pipe()
    try:
        os.write(writing, data)
        if not isOpen:
            os.close(writing)
        return subprocess.run(
            [*COMMAND, *arguments], stdin=reading, capture_output=True, timeout=LONG, cwd=PROJECT
        )
    finally:
        os.close(reading)
        if isOpen:
            os.close(writing)


# In a pipe


@pytest.mark.parametrize("dialect", ["hixie-75", "hixie-76", "hybi-07", "hybi-08", "rfc6455"])
def test_one(server: Server, dialect: str) -> None:
    """C{-c} sends one message, prints the first that comes back, and nothing else."""
    done = run("--dialect", dialect, "-c", "gr\u00fc\u00dfe", server.url("/echo"), isOpen=True)
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, "gr\u00fc\u00dfe\n", b"")


def test_lines(server: Server) -> None:
    """All lines are sent and all answers printed before the end of the input closes."""
    lines = "".join(f"line {number}\n" for number in range(20_000)) + "no end"
    reading = subprocess.run(
        [*COMMAND, server.url("/echo")], input=lines.encode(), capture_output=True, timeout=LONG
    )
    assert reading.stdout.decode() == lines + "\n"
    assert (reading.returncode, reading.stderr) == (0, b"")


@pytest.mark.parametrize("isOpen", [False, True])
@pytest.mark.parametrize("dialect", ["hixie-76", "rfc6455"])
def test_count(server: Server, dialect: str, isOpen: bool) -> None:
    """C{--count} closes after as many messages, whether the input ends before or not."""
    done = run(
        *("--dialect", dialect, "--count", "2", server.url("/echo")),
        entered="a\r\nb\nc\n",
        isOpen=isOpen,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"a\nb\n", b"")


def test_binary(server: Server) -> None:
    """C{--binary} sends bytes, which come back as they are."""
    done = run("--binary", "-n", "1", server.url("/echo"), entered=b"\xff\x00\xfe\n")
    assert (done.returncode, done.stdout) == (0, b"\xff\x00\xfe\n")


def test_ping(server: Server) -> None:
    """C{--ping} prints how long the answers take."""
    done = run("--ping", "--count", "1", server.url("/echo"), isOpen=True)
    assert re.fullmatch(rb"pong 1: [0-9]+\.[0-9] ms\n", done.stdout)
    assert (done.returncode, done.stderr) == (0, b"")


def test_lineBuffered(server: Server) -> None:
    """A message is written at once, also to a pipe."""
    with subprocess.Popen(
        [*COMMAND, server.url("/echo")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for text in (b"one\n", b"two\n"):
            process.stdin.write(text)
            process.stdin.flush()
            assert select.select([process.stdout], [], [], LONG)[0]
            assert os.read(process.stdout.fileno(), 100) == text
        process.stdin.close()
        assert process.wait(LONG) == 0


def test_brokenPipe(server: Server) -> None:
    """It ends quietly if nothing reads its output any longer."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*COMMAND, "-n", "5", server.url("/echo")],
        input=b"a\nb\n",
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=LONG,
        cwd=PROJECT,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_refused(server: Server) -> None:
    """A refusal is one line on standard error, with the server's reason, and status 1."""
    url = server.url("/echo")
    done = run("--dialect", "hixie-76", "--subprotocol", "chat", "-c", "x", url)
    assert (done.returncode, done.stdout) == (1, b"")
    reason = "the server answered 400 Bad Request: this subprotocol is not spoken here"
    assert done.stderr.decode() == f"txhixie: {url}: {reason}\n"


def test_notThere() -> None:
    """A server that is not there gives one line, too."""
    done = run("-c", "x", "ws://127.0.0.1:1/")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"txhixie: ws://127.0.0.1:1/: Connection was refused")
    assert done.stderr.count(b"\n") == 1


def test_insecure() -> None:
    """TLS is checked unless C{--insecure} says otherwise."""
    with Server(secure=True) as server:
        done = run("-c", "x", server.url("/echo"))
        assert (done.returncode, done.stdout) == (1, b"")
        assert b"TLS: certificate verify failed" in done.stderr
        assert done.stderr.count(b"\n") == 1
        done = run("--insecure", "-c", "x", server.url("/echo"))
        assert (done.returncode, done.stdout, done.stderr) == (0, b"x\n", b"")


def test_interrupt(server: Server) -> None:
    """Ctrl-C closes, with status 130."""
    with subprocess.Popen(
        [*COMMAND, server.url("/echo")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=PROJECT,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"up\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(LONG) == 130
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_serverDies() -> None:
    """A server that dies is one line, and status 1."""
    with Server() as server:
        process = subprocess.Popen(
            [*COMMAND, server.url("/echo")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=PROJECT,
        )
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdin.write(b"up\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"up\n"
            server.process.kill()
            assert process.wait(LONG) == 1
            assert process.stderr.read() == b"txhixie: the connection is lost\n"


# At a terminal


class Terminal:
    """
    The command at a terminal.

    @ivar shown: what was written so far, escape sequences included.
    """

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        self.before = termios.tcgetattr(self._ours)
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=PROJECT,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "60", "LINES": "20"},
        )
        self._theirs = theirs
        self.shown = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)

    def enter(self, keys: str) -> None:
        """Press keys."""
        os.write(self._ours, keys.encode())

    def expect(self, text: str) -> None:
        """Wait until this is shown, and drop everything up to it."""
        deadline = monotonic() + LONG
        while text not in self.shown:
            ready, _, _ = select.select([self._ours], [], [], max(0, deadline - monotonic()))
            assert ready, f"{text!r} is not shown, but {self.shown!r}"
            self.shown += os.read(self._ours, 4096).decode("utf-8", "replace")
        self.shown = self.shown.partition(text)[2]

    def end(self, key: str = "") -> int:
        """
        Press a key until it ends; between two prompts it may have no effect.

        @return: the exit status. The terminal is as it was.
        """
        deadline = monotonic() + LONG
        while self.process.poll() is None and monotonic() < deadline:
            self.enter(key)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(0.3)
        status = self.process.wait(0)
        assert termios.tcgetattr(self._ours) == self.before
        return status


def test_terminal(server: Server) -> None:
    """Lines go in after a prompt, messages come out in colour, and Ctrl-D closes."""
    with Terminal("--dialect", "hixie-76", server.url("/echo")) as terminal:
        terminal.expect("\x1b[2mconnected (hixie-76)\x1b[0m")
        terminal.expect("> ")
        terminal.enter("hello\r")
        terminal.expect("\x1b[32m< \x1b[0mhello")
        # The history has it.
        terminal.enter("\x1b[A again\r")
        terminal.expect("\x1b[32m< \x1b[0mhello again")
        assert terminal.end("\x04") == 0


def test_terminalLost() -> None:
    """A lost server is reported on a separate line, and the terminal is restored."""
    with Server() as server, Terminal(server.url("/echo")) as terminal:
        terminal.expect("connected (rfc6455)")
        terminal.expect("> ")
        terminal.enter("half a line")
        terminal.expect("half a line")
        server.process.kill()
        terminal.expect("txhixie: the connection is lost\r\n")
        assert terminal.end() == 1


def test_terminalClosed() -> None:
    """When a server closes, its reason is shown."""
    with Server() as server, Terminal(server.url("/echo")) as terminal:
        terminal.expect("> ")
        server.process.send_signal(signal.SIGTERM)
        terminal.expect("closed by the server: 1001 the server is going down")
        assert terminal.end() == 0


# Without a process


class Talk:
    """A conversation with our server, without a network."""

    def __init__(self, *arguments: str, isTerminal: bool = False) -> None:
        self.events: list[str] = []
        clock = Clock()
        options = parse([*arguments, URL])
        self.conversation = Conversation(
            options,
            Screen(isTerminal),
            clock,
            lambda: self.events.append("enter"),
            lambda: self.events.append("over"),
        )
        self.pair = Pair(
            options.dialect,
            application=self.conversation,
            clock=clock,
            subprotocols=options.subprotocols,
        )

    def enter(self, line: bytes) -> Deferred[None]:
        """Enter a line."""
        result = self.conversation.entered(line)
        self.pair.exchange()
        return result

    def end(self) -> None:
        """End the input."""
        self.conversation.ended()
        self.pair.exchange()


def test_talk(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """
    Lines that are entered are sent, and messages that come are printed; then the command ends.
    """
    talk = Talk()
    assert talk.events == ["enter"]
    talk.enter(b"one \xff")
    talk.end()
    assert capsysbinary.readouterr() == ("one \ufffd\n".encode(), b"")
    assert (talk.events, talk.conversation.status) == (["enter", "over"], 0)


def test_talkAtTerminal(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """At a terminal nothing can control it, and it has no colours if they are not wanted."""
    monkeypatch.setenv("NO_COLOR", "1")
    talk = Talk("--dialect", "hixie-75", isTerminal=True)
    talk.enter(b"a\x1b[2Jb\nc")
    talk.end()
    assert capsys.readouterr() == ("connected (hixie-75)\n< a\\x1b[2Jb\n  c\n", "")


def test_talkInBytes(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """Bytes are shown in hexadecimal at a terminal."""
    monkeypatch.setenv("NO_COLOR", "1")
    talk = Talk("--binary", isTerminal=True)
    talk.pair.served.transport.sendBytesMessage(b"\0\xff")
    talk.pair.exchange()
    assert capsys.readouterr().out == "connected (rfc6455)\n< 2 bytes: 00 ff\n"


def test_talkBlocked() -> None:
    """The next line waits while the server does not read."""
    talk = Talk()
    assert talk.enter(b"one").called
    talk.pair.wire.fill()
    waiting = talk.enter(b"two")
    assert not waiting.called
    talk.pair.wire.drain()
    assert waiting.called


def test_closedEarly(capsys: pytest.CaptureFixture[str]) -> None:
    """A server that closes before everything has come fails the command."""
    talk = Talk("--count", "2")
    talk.pair.served.transport.loseConnection(4000, "no\nmore")
    talk.pair.exchange()
    assert capsys.readouterr().err == "txhixie: the server closed too early: 4000 no\\x0amore\n"
    assert talk.conversation.status == 1


def test_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """A server that is lost fails the command, too."""
    talk = Talk()
    talk.pair.wire.lose()
    assert capsys.readouterr().err == "txhixie: the connection is lost\n"
    assert talk.conversation.status == 1


def test_pinging(capsys: pytest.CaptureFixture[str]) -> None:
    """A ping goes out each second, and only its own answer counts."""
    talk = Talk("--ping", "--count", "2")
    talk.pair.served.transport.ping(b"")
    talk.pair.served.transport.sendTextMessage("ignored")
    talk.pair.exchange()
    talk.pair.clock.advance(1)
    talk.pair.exchange()
    assert capsys.readouterr().out == "pong 1: 0.0 ms\npong 2: 0.0 ms\n"
    assert talk.events == ["over"]


def test_tooMany(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """Nothing is printed after the last message that was asked for."""
    talk = Talk("--count", "1")
    talk.pair.served.transport.sendTextMessages(("a", "b"))
    talk.pair.exchange()
    assert capsysbinary.readouterr().out == b"a\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "the following arguments are required: URL"),
        (["--dialect", "hixie-77", URL], "invalid choice: 'hixie-77'"),
        (["--dialect", "hixie-76", "--ping", URL], "hixie-76 has no pings"),
        (["--dialect", "hixie-75", "--binary", URL], "hixie-75 has no bytes messages"),
        (["--header", "x", URL], "'x' is not like 'Cookie: a=b'"),
        (["--count", "0", URL], "'0' is not a whole number above 0"),
        (["--ping", "-c", "x", URL], "not allowed with argument"),
    ],
)
def test_wrongOptions(capsys: pytest.CaptureFixture[str], arguments: list[str], text: str) -> None:
    """Wrong options are named, with status 2."""
    with pytest.raises(SystemExit) as raised:
        parse(arguments)
    assert raised.value.code == 2
    assert text in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """C{--version} prints the version of the package."""
    with pytest.raises(SystemExit) as raised:
        main(["--version"])
    assert raised.value.code == 0
    assert capsys.readouterr().out == f"txhixie {txhixie.__version__}\n"


def test_headers() -> None:
    """A header field is split at its first colon."""
    options = parse(["-H", "Cookie: a=b:c", "--header", "X:y", URL])
    assert options.headers == (("Cookie", "a=b:c"), ("X", "y"))


class Reactor(MemoryReactorClock):
    """A reactor that runs as long as a scenario takes."""

    def __init__(self, scenario: Callable[[Any], object] = lambda reactor: None) -> None:
        super().__init__()
        # Twisted before 26.4 begins with True.
        self.hasStopped = False
        self._scenario = scenario

    def run(self) -> None:
        for call, args, kwargs in self.whenRunningHooks:
            call(*args, **kwargs)
        self._scenario(self)
        self.advance(0)

    def interrupt(self) -> Deferred[None] | None:
        """Simulate Ctrl-C."""
        ((call, _args, _kwargs),) = self.triggers["before"]["shutdown"]
        result: Deferred[None] | None = call()
        return result

    def serve(self) -> tuple[TCPWire, TCPWire]:
        """Connect the client to our server."""
        server = HixieFactory(Recorder(textMessageReceived=echo), reactor=self)
        wires = []
        for factory in (self.tcpClients[0][2], server):
            protocol: Any = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 80))
            wires.append(TCPWire(protocol, self))
        first, second = wires
        exchange(first, second)
        return first, second


LOCAL = "ws://127.0.0.1/"


def test_badURL(capsys: pytest.CaptureFixture[str]) -> None:
    """An invalid URL is a wrong option."""
    assert Command(parse(["http://h/"]), Reactor()).run() == 2
    assert capsys.readouterr().err.startswith("txhixie: 'http://h/' is not like ws://host:port")


def test_run(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """A message is sent and answered, and the reactor stops."""
    reactor = Reactor(lambda reactor: reactor.serve())
    assert Command(parse(["-c", "hi", LOCAL]), reactor).run() == 0
    assert capsysbinary.readouterr() == (b"hi\n", b"")
    assert reactor.hasStopped
    assert reactor.interrupt() is None


def test_runRefused(capsys: pytest.CaptureFixture[str]) -> None:
    """A server that cannot be connected is an error in one line."""

    def refuse(reactor: Any) -> None:
        reactor.tcpClients[0][2].clientConnectionFailed(None, Failure(ConnectError()))
        # Another address might be tried.
        reactor.advance(1)

    assert Command(parse(["-c", "x", LOCAL]), Reactor(refuse)).run() == 1
    assert capsys.readouterr().err == f"txhixie: {LOCAL}: An error occurred while connecting\n"


def test_interruptConnecting(capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C ends the attempt to connect."""
    stopping: list[object] = []
    reactor = Reactor(lambda reactor: stopping.append(reactor.interrupt()))
    assert Command(parse(["-k", "wss://127.0.0.1/"]), reactor).run() == 130
    assert [client[:2] for client in reactor.tcpClients] == [("127.0.0.1", 443)]
    assert stopping == [None]
    assert not reactor.hasStopped
    assert capsys.readouterr() == ("", "")


def test_interruptOpen() -> None:
    """Ctrl-C closes an open connection before the reactor stops."""
    stopping: list[Any] = []

    def scenario(reactor: Reactor) -> None:
        wires = reactor.serve()
        stopping.append(reactor.interrupt())
        assert not stopping[0].called
        exchange(*wires)
        assert stopping[0].called

    assert Command(parse(["--count", "2", "-c", "x", LOCAL]), Reactor(scenario)).run() == 130


class Threads:
    """A reactor with a single thread."""

    def callFromThread(self, call: Any, *args: Any, **kwargs: Any) -> None:
        call(*args, **kwargs)


def entering(isTerminal: bool) -> tuple[Entering, list[bytes]]:
    """@return: a reader of lines, and the list that it fills."""
    lines: list[bytes] = []
    made = Entering(Threads(), Screen(isTerminal), lines.append, lambda: lines.append(b"the end"))
    return made, lines


def test_enteringFromPipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines end with LF or CR LF, the last one with the input."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        os.write(writing, b"a\r\n\nb\xff\nc")
        os.close(writing)
        made, lines = entering(isTerminal=False)
        made._run()
        made.restore()
    assert lines == [b"a", b"", b"b\xff", b"c", b"the end"]


def test_enteringAtTerminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each line is read with a prompt, until the end of the input."""
    ours, theirs = pty.openpty()
    entered = iter(["a", "\udcff"])

    def ask(prompt: str) -> str:
        assert prompt == "> "
        for line in entered:
            return line
        raise EOFError

    with os.fdopen(theirs) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr("builtins.input", ask)
        made, lines = entering(isTerminal=True)
        made._run()
        made.restore()
    os.close(ours)
    assert lines == [b"a", b"\xff", b"the end"]


def test_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit status is that of the run."""
    monkeypatch.setattr(Command, "run", lambda self: 3)
    with pytest.raises(SystemExit) as raised:
        main([URL])
    assert raised.value.code == 3


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectError(string="no\nway."), "An error occurred while connecting: no way"),
        (ValueError(), "ValueError"),
        (HandshakeRefused(403, {}, b"", b"Forbidden"), "the server answered 403 Forbidden"),
        (
            HandshakeRefused(500, {}, b"\r\nfirst\nsecond", b"X"),
            "the server answered 500 X: first",
        ),
        (OSError([("a", "b", "c"), ("d", "", "e")]), "TLS: c; e"),
        (type("VerificationError", (Exception,), {})(), "TLS: the certificate is for another name"),
    ],
)
def test_reasons(error: Exception, text: str) -> None:
    """Every error is one line."""
    assert reasonOf(Failure(error)) == text


def test_aboveThePrompt(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """A message makes room for itself above the line that is being entered, if there is one."""
    monkeypatch.setenv("COLUMNS", "10")
    monkeypatch.setenv("LINES", "5")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(screenModule, "_entered", lambda: "half")
    screen = Screen(isTerminal=True)
    screen.isPrompting = True
    screen.message("\u6f22" * 5)
    assert capsys.readouterr().out == (
        "\x1b7\n\n\x1b[2A\x1b[2L\r< " + "\u6f22" * 5 + "\x1b8\x1b[2B"
    )
    screen.message("x" * 60)
    assert capsys.readouterr().out == "\r\x1b[K< " + "x" * 60 + "\r\n> half"
    screen.error("oh")
    assert capsys.readouterr() == ("\r\x1b[K", "txhixie: oh\n")


def test_module() -> None:
    """The console script and the module are the same."""
    text = (Path(PROJECT) / "pyproject.toml").read_text(encoding="utf-8")
    assert 'txhixie = "txhixie.command.main:main"' in text
