"""mypy and the applications of users."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]

WITH_OURS = """
from twisted.python.failure import Failure
from twisted.web.server import Request

from txhixie import Application, HixieFactory, HixieService, Settings, WebSocketTransport


class Visitor:
    transport: WebSocketTransport

    def negotiationStarted(self, transport: WebSocketTransport) -> None:
        self.transport = transport
        transport.attachProducer(transport)

    def negotiationFinished(self) -> None:
        request = self.transport.request
        where = b"" if request is None else request.path
        self.transport.sendTextMessages([self.transport.id, self.transport.dialect])
        self.transport.whenReceived(lambda: self.transport.sendTextMessage(where.decode()))

    def textMessageReceived(self, message: str) -> None:
        self.transport.pauseProducing()
        self.transport.resumeProducing()
        if self.transport.subprotocol is None:
            self.transport.loseConnection(4000, "goodbye")

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        self.transport.sendBytesMessage(data)

    def pongReceived(self, payload: bytes) -> None:
        self.transport.ping(payload)

    def connectionLost(self, reason: Failure) -> None:
        self.transport.detachProducer()


class App:
    def buildProtocol(self, request: Request) -> Visitor | None:
        return Visitor()


application: Application = App()
factory = HixieFactory(App())
service = HixieService(HixieFactory(App(), settings=Settings()), "tcp:0")
"""

WITH_TWISTEDS = """
from twisted.python.failure import Failure
from twisted.web.server import Request
from twisted.web.websocket import WebSocketTransport

from txhixie import HixieFactory


class Visitor:
    def negotiationStarted(self, transport: WebSocketTransport) -> None:
        self.transport = transport

    def negotiationFinished(self) -> None:
        self.transport.sendTextMessage("welcome")

    def textMessageReceived(self, message: str) -> None:
        self.transport.loseConnection(1000)

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        self.transport.sendBytesMessage(bytes(data))

    def pongReceived(self, payload: bytes) -> None:
        self.transport.ping(payload)

    def connectionLost(self, reason: Failure) -> None:
        self.transport.detachProducer()


class App:
    def buildProtocol(self, request: Request) -> Visitor:
        return Visitor()


factory = HixieFactory(App())
"""

WITH_COROUTINES = """
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.server import Request

from txhixie import Application, HixieFactory, WebSocketTransport


class Visitor:
    async def negotiationStarted(self, transport: WebSocketTransport) -> None:
        self.transport = transport

    async def negotiationFinished(self) -> None:
        self.transport.sendTextMessage("welcome")

    async def textMessageReceived(self, message: str) -> None:
        self.transport.sendTextMessage(message)

    def bytesMessageReceived(self, data: bytes | bytearray) -> Deferred[None]:
        return Deferred()

    def pongReceived(self, payload: bytes) -> None:
        pass

    async def connectionLost(self, reason: Failure) -> None:
        pass


class App:
    async def buildProtocol(self, request: Request) -> Visitor | None:
        return Visitor()


application: Application = App()
factory = HixieFactory(App())
"""

WITHOUT_CALLBACKS = """
from twisted.web.server import Request

from txhixie import HixieFactory


class App:
    def buildProtocol(self, request: Request) -> int:
        return 17


factory = HixieFactory(App())
"""


def check(folder: Path, source: str) -> str:
    """
    Check a user's file as mypy does without any configuration.

    @return: what mypy says.
    """
    if find_spec("mypy") is None:
        message = "mypy is missing, install it with: pip install mypy"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    file = folder / "app.py"
    file.write_text(source)
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file="),
            # Only findings in the user's file are shown.
            *("--follow-imports=silent", "--cache-dir", str(PROJECT / ".mypy_cache" / "contract")),
            str(file),
        ],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert not checked.stderr
    return checked.stdout


@pytest.mark.parametrize(
    "source",
    [WITH_OURS, WITH_TWISTEDS, WITH_COROUTINES],
    ids=["our-transport", "twisteds-transport", "coroutines"],
)
def test_applicationIsWellTyped(tmp_path: Path, source: str) -> None:
    """An application that is annotated, either way, passes C{mypy --strict}."""
    output = check(tmp_path, source)
    assert output.startswith("Success"), output


def test_noApplicationIsNot(tmp_path: Path) -> None:
    """An application that makes no protocols is an error in the user's file."""
    assert "app.py:12: error: Argument 1 to " in check(tmp_path, WITHOUT_CALLBACKS)
