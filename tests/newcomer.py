"""
Follows the README as a newcomer: C{python -m tests.newcomer WHEEL PYTHON...}. With each Python it
installs the wheel, and runs the server and the client as a user without an account, a home and a
locale, in a folder in which nothing can be written. Only root can become such a user; the others
stay who they are.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic

from tests.interop.server import PROJECT, Child

# A user without an account.
_USER = "54321"
_BECOME = ("setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups")
# Parts of a Python that are not needed for a new venv.
_UNUSED = shutil.ignore_patterns("test", "site-packages", "*.a")
# More variables, for a locale that Python takes for UTF-8, and for one that it takes for ASCII.
_LOCALES: tuple[dict[str, str], ...] = ({}, {"PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"})
_TEXT = "gr\u00fc\u00dfe \u20ac"


def firstCommand() -> list[str]:
    """@return: the arguments of C{twistd} in the README's first command."""
    readme = (PROJECT / "README.md").read_text("utf-8")
    found = re.search(r"&& \.venv/bin/twistd (.*)", readme)
    assert found
    return found[1].split()


class Newcomer:
    """
    A user, and a venv with the wheel.
    """

    def __init__(self, work: Path, wheel: str, python: str) -> None:
        """
        @param work: an empty folder that everybody can read.
        """
        self._become: tuple[str, ...] = ()
        self._variables = {"PATH": os.defpath, "LC_ALL": "C"}
        if os.getuid() == 0:
            self._become = _BECOME
            if subprocess.run([*_BECOME, python, "-c", ""], capture_output=True).returncode:
                python = self._copied(python, work / "python")
        self._bin = work / "venv" / "bin"
        # The others are for pip alone.
        variables = {**os.environ, **self._variables, "PATH": os.environ["PATH"]}
        subprocess.run([python, "-m", "venv", work / "venv"], env=variables, check=True)
        install = (self._bin / "pip", "install", "-q", "--root-user-action=ignore", wheel)
        subprocess.run(install, env=variables, check=True)
        self._folder = work / "folder"
        self._folder.mkdir()
        self._folder.chmod(0o555)

    def _copied(self, python: str, target: Path) -> str:
        """@return: a copy of a Python that only root can read."""
        asked = "import sys; print(sys.base_prefix, '%d.%d' % sys.version_info[:2])"
        prefix, version = subprocess.check_output([python, "-c", asked], text=True).split()
        for part in ("bin", "lib"):
            shutil.copytree(Path(prefix, part), target / part, symlinks=True, ignore=_UNUSED)
        self._variables["LD_LIBRARY_PATH"] = str(target / "lib")
        return str(target / "bin" / f"python{version}")

    def _run(self, locale: dict[str, str], *command: str | Path) -> str:
        """@return: the standard output of a command that has nothing to complain about."""
        done = subprocess.run(
            [*self._become, *command],
            cwd=self._folder,
            env={**self._variables, **locale},
            capture_output=True,
            encoding="utf-8",
            timeout=30,
        )
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def follow(self, locale: dict[str, str]) -> None:
        """
        Start the server, look at its pages, say something, and press Ctrl-C.
        """
        options = ("--port", "tcp:0:interface=127.0.0.1", "--log-messages")
        with Child(
            [*self._become, str(self._bin / "twistd"), *firstCommand(), *options],
            cwd=str(self._folder),
            env={**self._variables, **locale},
        ) as server:
            console = re.compile(r"the console is at (http://(127\.0\.0\.1:\d+)/console)$", re.M)
            found = server.wait(lambda: console.search("".join(server.lines)), "a start", 30)
            curl = ("curl", "-sSf", "--noproxy", "*")
            assert self._run(locale, *curl, f"http://{found[2]}/") == "okay"
            assert "<title>txhixie console</title>" in self._run(locale, *curl, found[1])
            for text in ("hello", _TEXT):
                client = (self._bin / "txhixie", "-c", text, f"ws://{found[2]}/echo")
                assert self._run(locale, *client) == f"{text}\n"
            # Twisted 26.10 ends by the signal itself.
            assert server.end(signal.SIGINT) in (0, -signal.SIGINT)
        log = "".join(server.lines)
        shown = ascii(_TEXT) if locale else repr(_TEXT)
        for line in (
            *(r"GET / HTTP/1.1\" 200", r"GET /console HTTP/1.1\" 200", "received 'hello'$"),
            *("sent 'hello'$", f"received {re.escape(shown)}$", f"sent {re.escape(shown)}$"),
            *("Received SIGINT, shutting down.$", r"Server Shut Down\.\s*\Z"),
        ):
            assert len(re.findall(line, log, re.M)) == 1, line
        assert not re.search("Traceback|Unhandled|Error", log)
        assert [*self._folder.iterdir()] == []


def main(wheel: str, pythons: list[str]) -> None:
    """
    Follow the README with each Python.
    """
    for python in dict.fromkeys(pythons):
        begin = monotonic()
        with tempfile.TemporaryDirectory(prefix="newcomer-") as folder:
            Path(folder).chmod(0o755)
            newcomer = Newcomer(Path(folder), wheel, python)
            for locale in _LOCALES:
                newcomer.follow(locale)
        print(f"{python}: all is well, after {monotonic() - begin:.1f} s")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
