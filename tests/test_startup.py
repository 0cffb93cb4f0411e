"""What a new user sees of C{twistd hixie}: the start, the help, and the errors."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from tests.certificates import selfSigned
from tests.interop.server import Child
from tests.newcomer import firstCommand
from tests.test_twistd import TWISTD, WRONG, Client, environment

# No user may write there, not even root.
READ_ONLY = "/proc/self"


def printed(*arguments: str, **variables: str) -> list[str]:
    """
    The lines that a command line of C{twistd} prints before it ends.
    """
    done = subprocess.run(
        [*TWISTD, *arguments],
        env={**environment(), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=30,
        check=False,
    )
    assert done.returncode in (0, WRONG)
    return done.stdout.splitlines()


def test_firstCommand() -> None:
    """
    The README's command serves in a read-only folder, and without HOME.
    """
    variables = environment()
    variables.pop("HOME", None)
    with Child(
        [*TWISTD, *firstCommand(), "--port", "tcp:0:interface=127.0.0.1"],
        cwd=READ_ONLY,
        env=variables,
    ) as child:
        port = int(
            child.wait(
                lambda: re.search(
                    r"the console is at http://127\.0\.0\.1:(\d+)/console$",
                    "".join(child.lines),
                    re.MULTILINE,
                ),
                "the console's address",
                15,
            )[1]
        )
        with closing(Client.to(port).socket) as connected:
            connected.sendall(b"GET /console HTTP/1.0\r\n\r\n")
            assert connected.recv(100).startswith(b"HTTP/1.0 200 OK\r\n")


def test_consoles(tmp_path: Path) -> None:
    """
    Each TCP port has a line with the console's address; without a console there is none.
    """
    key, certificate = selfSigned(tmp_path)
    ports = (
        "0",
        f"unix:{tmp_path / 'socket'}",
        f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}",
    )
    options = [word for port in ports for word in ("--port", port)]
    for more, count in (((), 2), (("--no-console",), 0)):
        command = [*TWISTD, "-n", "--pidfile=", "hixie", *options, *more]
        with Child(command, cwd=str(tmp_path), env=environment()) as child:
            started = child.wait(
                lambda: re.search(r"HixieFactory starting on (\d+)", "".join(child.lines)),
                "a port",
                15,
            )
            with closing(Client.to(int(started[1])).socket) as connected:
                connected.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert connected.recv(100)
            child.end(signal.SIGTERM)
        found = re.findall(
            r"(?m)the console is at (\w+)://([\w.]+):\d+/console$", "".join(child.lines)
        )
        assert found == [("http", "localhost"), ("https", "127.0.0.1")][:count]


def test_help() -> None:
    """
    The help has a line for each option, with its default and unit, and fits on two screens. It is
    the same without docstrings.
    """
    lines = printed("hixie", "--help")
    assert len(lines) <= 80
    assert max(map(len, lines)) <= 79
    # Options without a line of their own.
    assert "Others:" not in lines
    text = "\n".join(lines)
    for line in (
        "  -p, --port=WHERE            a port number or endpoint, repeatable [3400]",
        "  --max-message=BYTES         the largest message [1 MiB]",
        "  --handshake-timeout=SECONDS for an opening handshake [10 s]",
    ):
        assert " ".join(line.split()) in " ".join(text.split())
    assert printed("hixie", "--help", PYTHONOPTIMIZE="2") == lines


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (
            ("--service", "nowhere.Chat"),
            "--service: there is no nowhere.Chat; the folder of nowhere has to be in PYTHONPATH",
        ),
        (
            ("--route", "/chat=txhixie.Nothing"),
            "--route: txhixie.Nothing: AttributeError: module 'txhixie' has no attribute 'Nothing'",
        ),
        (
            ("--port", "systemd:domain=INET:index=0"),
            "--port: 'systemd:domain=INET:index=0' is no endpoint: systemd passed no such socket "
            "(LISTEN_FDS)",
        ),
        (("--port", "x"), "--port: 'x' is no endpoint: ValueError: Unknown endpoint type: 'x'"),
        (("--max-message", "x"), "--max-message: 'x': "),
        (("--no-such-option",), "option --no-such-option not recognized"),
    ],
)
def test_wrongOptions(options: tuple[str, ...], error: str) -> None:
    """
    The error is the last line, after a hint at the help, and without the help itself.
    """
    usage, hint, empty, last = printed("-n", "--pidfile=", "hixie", *options)
    assert usage.startswith("Usage: twistd ")
    assert hint == "twistd hixie --help lists the options."
    assert empty == ""
    assert f": {error}" in last


@pytest.mark.parametrize(
    "variables",
    [{"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "ascii"}],
)
def test_asciiTerminal(variables: Mapping[str, str], tmp_path: Path) -> None:
    """
    On a terminal that is not UTF-8, no log line is lost.
    """
    command = [*TWISTD, "-n", "--pidfile=", "hixie", "--port", "tcp:0:interface=127.0.0.1"]
    script = tmp_path / "greeting.py"
    script.write_text(
        "from twisted.logger import Logger\n"
        "class Greeting:\n"
        "    def __init__(self): Logger().info('gr\\u00fc\\u00dfe \\U0001f680')\n"
        "    def buildProtocol(self, request): return None\n",
        "utf-8",
    )
    # It is made before logging starts; earlier log events are kept.
    with Child(
        [*command, "--service", "greeting.Greeting"],
        cwd=str(tmp_path),
        env={**environment(tmp_path), **variables},
    ) as child:
        child.wait(
            lambda: "gr\\xfc\\xdfe \\U0001f680" in "".join(child.lines) or None, "the line", 15
        )
