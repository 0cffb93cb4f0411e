"""The examples run unchanged, except for the port."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import cached_property
from pathlib import Path

import pytest

from tests.interop.server import PROJECT, Child, Server
from tests.support import IDIOMS
from tests.test_twistd import TWISTD, Client, environment

EXAMPLES = PROJECT / "examples"


class Example(Child):
    """
    An example as a child process, on a free port.
    """

    def __init__(self, name: str, folder: Path, **replacements: str) -> None:
        """
        @param replacements: what replaces other texts of the example.
        """
        text = (EXAMPLES / name).read_text(encoding="utf-8")
        for old, new in replacements.items():
            assert old in text
            text = text.replace(old, new)
        changed = re.sub(r'"tcp:3400"|"localhost", 8080', self._onFreePort, text, count=1)
        assert changed != text
        copy = folder / name
        copy.write_text(changed, encoding="utf-8")
        isTac = "application = Application(" in text
        start = (*TWISTD, "-noy", str(copy)) if isTac else (sys.executable, str(copy))
        super().__init__(start, cwd=str(folder), env=environment())

    @cached_property
    def port(self) -> int:
        """The port."""
        started = re.compile(r"(?:Factory|Site)\S* starting on (\d+)")
        return int(self.wait(lambda: started.search("\n".join(self.lines)), "port", 20)[1])

    @staticmethod
    def _onFreePort(match: re.Match[str]) -> str:
        return '"tcp:0:interface=127.0.0.1"' if match[0].startswith('"tcp') else '"localhost", 0'


@pytest.fixture(scope="module", params=["static_site.py", "klein_site.py", "flask_site.py"])
def example(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Example]:
    """An example that runs."""
    needed = request.param.partition("_")[0]
    if needed != "static":
        pytest.importorskip(needed, reason=f"pip install {needed}")
    folder = tmp_path_factory.mktemp("example")
    (folder / "index.html").write_text("a page of files")
    with Example(request.param, folder) as running:
        yield running


def body(client: Client, head: str) -> bytes:
    """@return: the body of an answer, which may be chunked."""
    length = re.search(r"(?i)content-length: (\d+)", head)
    if length is not None:
        return client.take(int(length[1]))
    taken = b""
    while not taken.endswith(b"0\r\n\r\n"):
        byte = client.take(1)
        assert byte, taken
        taken += byte
    return taken


@pytest.mark.parametrize("dialect", IDIOMS)
def test_webSocket(example: Example, dialect: str) -> None:
    """A page, and then a WebSocket on the same connection, in every dialect."""
    with closing(Client.to(example.port)) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = client.takeHead()
        assert head.startswith("HTTP/1.1 200 ")
        assert b"a page of " in body(client, head)
        client.open(dialect)
        client.talk(dialect)
        client.end(dialect)


@pytest.mark.parametrize("dialect", IDIOMS)
def test_gateway(tmp_path: Path, dialect: str) -> None:
    """The gateway lets clients of every dialect use a server at another port."""
    assert len((EXAMPLES / "gateway.py").read_text(encoding="utf-8").splitlines()) < 40
    with (
        Server("--dialects", "rfc6455", "--route", "/app=echo") as backend,
        Example(
            "gateway.py", tmp_path, **{"127.0.0.1:9000": f"127.0.0.1:{backend.port}"}
        ) as example,
        closing(Client.to(example.port)) as client,
    ):
        client.open(dialect, "/tv")
        client.talk(dialect)
        client.end(dialect)
