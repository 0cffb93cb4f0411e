"""
The commands of the documentation run as they are printed, except for ports and folders. Those that
are not run here are listed with the reason.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from configparser import RawConfigParser
from contextlib import closing
from pathlib import Path

import pytest

from tests.blocks import Command, blocks, commands
from tests.certificates import makeTLS, selfSigned
from tests.interop.server import PROJECT, Child, Server, missing
from tests.test_twistd import LOOPBACK, TWISTD, Activated, Client, connectTLS, environment
from txhixie import Settings

# The commands that are not run here, by how they begin, and why.
NOT_RUN = {
    "python3 -m venv": "makes a virtual environment: .ci/run does so",
    "podman": "needs podman and the internet: test_operations.py checks the Containerfile",
    "pip install": "needs the internet: .ci/run installs each extra",
    "pytest": "runs all tests: .ci/run does so",
    "trial": "runs all tests: .ci/run does so",
    "mypy": "takes long: .ci/run does so",
    "ruff": "is run by .ci/run",
    "sphinx-build": "takes long: .ci/run does so",
}

STARTED = re.compile(r"HixieFactory( \(\w+\))? starting on (\d+|'[^']+')")


class Started(Child):
    """
    A command line of C{twistd} that runs in a folder, on free ports.

    @ivar ports: where it listens: how (C{TLS}, C{PROXY} or nothing), and the number or the path.
    """

    def __init__(self, command: Command, folder: Path, others: Mapping[str, str]) -> None:
        """
        @param others: what options that name another server get instead.
        """
        words = command.words[1:]
        for option, value in others.items():
            words[words.index(option) + 1] = value
        for option in {"--admin", "--port"} & set(words):
            index = words.index(option) + 1
            if words[index].isdecimal():
                words[index] = LOOPBACK
        words = [local(word, folder) for word in words]
        if words[-1:] == ["hixie"] or ("hixie" in words and "--port" not in words):
            words += ["--port", LOOPBACK]
        variables = {name: str(folder / value) for name, value in command.variables.items()}
        path = Path(variables.get("PYTHONPATH", folder))
        super().__init__([*TWISTD, *words], cwd=str(folder), env=environment(path))
        count = max(1, words.count("--port"))
        try:
            self.ports = self.wait(lambda: self._listening(count), "to listen", 20)
        except BaseException:
            self.end()
            raise

    def waitFor(self, pattern: str) -> None:
        """Wait until a line has a match of a regular expression."""
        self.wait(lambda: re.search(pattern, "".join(self.lines)), repr(pattern), 20)

    def _listening(self, count: int) -> list[tuple[str, str]] | None:
        found = STARTED.findall("".join(self.lines))
        return found if len(found) >= count else None


def local(word: str, folder: Path) -> str:
    """@return: a word of a command with free ports of the loopback interface, and in a folder."""
    word = re.sub(r"(?<![\w.])/(etc|opt|run|var)/", rf"{folder}/\1/", word)
    interface = "" if "interface=" in word else ":interface=127.0.0.1"
    word = re.sub(r"\b(tcp|ssl):\d+", rf"\1:0{interface}", word)
    word = re.sub(r"\bport=\d+", f"port=0{interface}", word)
    return re.sub(r"^[\w.]+\.example\.com$", "127.0.0.1", word)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that has what the commands name."""
    (tmp_path / "examples").symlink_to(PROJECT / "examples")
    (tmp_path / "run").mkdir()
    certificates = tmp_path / "etc" / "txhixie" / "certificates"
    certificates.mkdir(parents=True)
    for path in selfSigned(tmp_path):
        (certificates / path.name).symlink_to(path)
    for block in blocks("python"):
        if name := re.match(r"# (\w+\.py)\n", block.text):
            (tmp_path / name[1]).write_text(block.text, encoding="utf-8")
    package = tmp_path / "my"
    package.mkdir()
    text = "\n".join(command.text for command in commands())
    classes = sorted(set(re.findall(r"\bmy\.module\.([A-Z]\w*)", text)))
    stubs = "".join(f"class {name}(Echo): pass\n" for name in classes)
    (package / "module.py").write_text(f"from txhixie import Echo\n{stubs}", encoding="utf-8")
    return tmp_path


def ofProgram(name: str) -> pytest.MarkDecorator:
    """@return: the parameter C{command}: all commands that start with a program."""
    found = [command for command in commands() if command.program == name]
    return pytest.mark.parametrize("command", found, ids=str)


@pytest.fixture
def redis() -> Iterator[str]:
    """The address of a Redis server."""
    pytest.importorskip("txredisapi", reason="pip install 'txhixie[redis]'")
    from tests.redis import RedisServer

    with RedisServer() as server:
        yield server.url


@pytest.fixture
def others(command: Command, request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """What options that name another server get instead: one that is there."""
    made = {}
    if "--backend" in command.words:
        made["--backend"] = f"ws://127.0.0.1:{request.getfixturevalue('feed').port}"
    if "--backplane" in command.words:
        made["--backplane"] = request.getfixturevalue("redis")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        if "--dest_port" in command.words:
            made["--dest_port"] = str(listening.getsockname()[1])
        yield made


@ofProgram("twistd")
def test_twistd(command: Command, folder: Path, others: dict[str, str]) -> None:
    """A server starts as it is printed, opens a WebSocket on each port, and ends in good order."""
    if "systemd:" in command.text:
        startFromSystemd(command.words[1:])
        return
    if "--admin" in command.words:
        pytest.importorskip("prometheus_client", reason="pip install 'txhixie[metrics]'")
    if "manhole" in command.text:
        pytest.importorskip("bcrypt", reason="pip install 'twisted[conch]'")
    if " tls:" in command.text:
        # Whether this Twisted has them.
        makeTLS("tls", folder)
    path = re.search(r"(?:path=|--route )(/\w+)", command.text)
    with Started(command, folder, others) as server:
        if "--backplane" in others:
            for purpose in ("commands", "news"):
                server.waitFor(rf"connected to \S+ for {purpose}")
        for how, where in server.ports:
            with closing(connect(how.strip(" ()"), where, folder)) as client:
                client.open("rfc6455", path[1] if path else "/")
        server.end(signal.SIGTERM)
        assert "Traceback" not in "".join(server.lines)


def connect(how: str, where: str, folder: Path) -> Client:
    """@return: a client of a port or a Unix socket, by TLS or the PROXY protocol."""
    if not where.isdecimal():
        return Client.to(Path(where.strip("'")))
    if how == "TLS":
        return connectTLS(int(where), folder)
    client = Client.to(int(where))
    if how == "PROXY":
        client.send(b"PROXY TCP4 192.0.2.1 192.0.2.99 56000 3400\r\n")
    return client


def startFromSystemd(words: Sequence[str]) -> None:
    """Start C{twistd} with a socket that it is handed, and see that it answers."""
    isIPv6 = "systemd:domain=INET6:index=0" in words
    family, host = (socket.AF_INET6, "::1") if isIPv6 else (socket.AF_INET, "127.0.0.1")
    with (
        socket.create_server((host, 0), family=family) as listening,
        Activated(listening, command=words) as server,
        closing(Client.to(server.port, host)) as client,
    ):
        client.open("rfc6455")
        client.talk("rfc6455")


def units() -> dict[str, RawConfigParser]:
    """@return: the units of systemd that the documentation prints, by their sections."""
    found = {}
    for block in blocks("ini"):
        unit = RawConfigParser(interpolation=None)
        unit.optionxform = str  # type: ignore[assignment, method-assign]
        unit.read_string(block.text, str(block))
        found[unit.sections()[0]] = unit
    return found


def test_unit() -> None:
    """The socket and the service go together: the domain, and the time to stop."""
    service, listening = units()["Service"]["Service"], units()["Socket"]["Socket"]
    # A number alone is an IPv6 socket.
    assert listening["ListenStream"].isdecimal()
    assert "domain=INET6:" in service["ExecStart"]
    assert int(service["TimeoutStopSec"]) > Settings().lameDuck + Settings().drainTimeout


def test_unitStarts() -> None:
    """What the service starts takes over the socket."""
    startFromSystemd(shlex.split(units()["Service"]["Service"]["ExecStart"])[1:])


FEED = """
from txhixie import WebSocketProtocol

class Feed:
    def buildProtocol(self, request):
        return Ten() if request.path == b"/feed" else Quiet()

class Quiet(WebSocketProtocol):
    pass

class Ten(WebSocketProtocol):
    def negotiationStarted(self, transport):
        self.transport = transport

    def negotiationFinished(self):
        for number in range(10):
            self.transport.sendTextMessage(str(number))
"""


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with TLS, too, that sends ten messages at C{/feed}."""
    folder = tmp_path_factory.mktemp("feed")
    (folder / "feed.py").write_text(FEED, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", environment(folder)["PYTHONPATH"])
        options = ("--service", "feed.Feed", "--route", "/echo=echo")
        with Server(*options, secure=True) as server:
            yield server


@ofProgram("txhixie")
def test_client(command: Command, feed: Server) -> None:
    """A client prints what it is meant to, and succeeds."""
    words = [re.sub(r"^ws://[^/]+", feed.url(""), word) for word in command.words[1:]]
    words = [re.sub(r"^wss://[^/]+", feed.url(""), word) for word in words]
    done = subprocess.run(
        [sys.executable, "-m", "txhixie", "--insecure", *words],
        input="" if "</dev/null" in command.text else "hello\n",
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    printed = done.stdout.splitlines()
    count = re.search(r"--count (\d+)", command.text)
    if count:
        assert len(printed) == int(count[1])
    else:
        assert printed == ["hello"]


def test_curl() -> None:
    """Programs take part in a room by curl: one hears what another says."""
    if shutil.which("curl") is None:
        missing("curl is missing, install it with: apt-get install curl")
    listening, *others = [command for command in commands() if command.program == "curl"]
    with Server("--service", "broadcast", "--publish") as server:

        def here(command: Command) -> list[str]:
            address = f"http://127.0.0.1:{server.port}"
            words = [word.replace("http://localhost:3400", address) for word in command.words]
            return [words[0], "-s", "--noproxy", "*", *words[1:]]

        def event() -> str | None:
            return next((line for line in stream.lines if "The build is done." in line), None)

        with Child(here(listening)) as stream:
            stream.wait(lambda: stream.lines or None, "the stream", 10)
            said, present = (
                subprocess.run(
                    here(other), capture_output=True, text=True, timeout=10, check=True
                ).stdout
                for other in others
            )
            entry = json.loads(stream.wait(event, "the entry", 10).removeprefix("data: "))
        assert entry["event"] == "message"
        assert said.strip() == entry["id"]
        assert json.loads(present) == {"members": []}


def test_notRun() -> None:
    """Every other command is listed with the reason, and is in C{.ci/run} if that is the reason."""
    script = (PROJECT / ".ci" / "run").read_text(encoding="utf-8")
    others = [c for c in commands() if c.program not in ("curl", "twistd", "txhixie")]
    for command in others:
        text = f"{command.program} {' '.join(command.words[1:])}"
        reasons = [reason for start, reason in NOT_RUN.items() if text.startswith(start)]
        assert reasons, f"{command.where}: {command} is not run, and not in NOT_RUN"
        if ".ci/run" in reasons[0]:
            program = rf"(?:\$bin/|README.*|^){command.program}\b"
            assert re.search(program, script, re.MULTILINE), command


def test_extras() -> None:
    """The extras in the C{pip install} commands exist."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = set(project["project"]["optional-dependencies"])
    named = [e for c in commands() if c.program == "pip" for e in re.findall(r"\[(\w+)\]", c.text)]
    assert {"test", "tls", "docs"} <= set(named) <= extras
