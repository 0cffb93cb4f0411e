"""
The fuzzer with a client: a short run, and that it finds planted faults.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz import subjects
from tests.fuzz.answers import good, readAnswer
from tests.fuzz.fuzzer import Fuzzer
from tests.fuzz.judge import Judge
from tests.fuzz.replies import Malformed
from tests.fuzz.report import describe
from tests.fuzz.runner import Log
from tests.fuzz.scenario import Action, Scenario, Step
from tests.fuzz.subjects import openingOf
from tests.fuzz.test_fuzz import PROJECT, found
from tests.support import IDIOMS, frame
from txhixie import NotWebSocket
from txhixie.client.connect import Client, _Attempt
from txhixie.client.protocol import HixieClientProtocol
from txhixie.dialects.hixie_opening import ClientOpening75, ClientOpening76
from txhixie.dialects.opening import ClientOpening
from txhixie.dialects.rfc6455 import Rfc6455
from txhixie.dialects.rfc6455_opening import ClientOpening13
from txhixie.websocket.deadlines import Deadlines
from txhixie.websocket.websocket import WebSocket

dialects = pytest.mark.parametrize("dialect", IDIOMS)


def scenario(
    dialect: str, *steps: Step, subprotocols: tuple[str, ...] = (), **settings: Any
) -> Scenario:
    """
    A conversation with a client that echoes, after a good answer.
    """
    made = Scenario(settings, "tcp", "echo", (), 3, dialect, subprotocols)
    answer = good(dialect, openingOf(made).request(), subprotocols[0] if subprotocols else "")
    return replace(made, steps=(answer, *steps))


def hello(dialect: str = "hixie-76") -> Scenario:
    """
    One that goes well.
    """
    idiom = IDIOMS[dialect]
    return scenario(dialect, idiom.serverText("hello"), idiom.serverClose or b"\0bye\xff")


# The run


def test_seeds(log: Log) -> None:
    """
    The vectors are fine, and so are a few hundred conversations made of them.
    """
    fuzzer = Fuzzer(1, log, isForClient=True)
    for _ in range(250):
        finding = fuzzer.step()
        assert finding is None, describe(finding)
    assert fuzzer.bytes > 30_000


def test_command(tmp_path: Path) -> None:
    """
    The command is guided by the code that is reached, and keeps what reached new code.
    """
    options = ("--side", "client", "--bytes", "200000", "--corpus", str(tmp_path))
    command = [sys.executable, "-m", "tests.fuzz", *options]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    cells = [cell.strip() for cell in result.stdout.splitlines()[-1].split("|")[1:-1]]
    arcs, corpus, findings = cells[-3:]
    assert int(arcs.replace(",", "")) > 300
    assert int(corpus) == len(list((tmp_path / "corpus-of-client").iterdir())) > 30
    assert findings == "0"


@dialects
def test_kept(dialect: str) -> None:
    """
    A conversation is read from a file as it was written, including an old one without clients.
    """
    made = scenario(dialect, Action("wait", 1), subprotocols=("chat",))
    assert Scenario.load(made.dump()) == made
    old = Scenario({}, "tcp", "echo", (b"x",), 3)
    text = old.dump()
    for line in (',\n "dialect": ""', ',\n "subprotocols": []'):
        assert line in text
        text = text.replace(line, "")
    assert Scenario.load(text) == old


# The independent reader of answers


@dialects
def test_goodAnswer(dialect: str, log: Log) -> None:
    """
    It accepts a good answer, and so does the client.
    """
    for subprotocols in ((), ("chat",)):
        conversation = scenario(dialect, b"\x81\x01x", subprotocols=subprotocols)
        request = openingOf(conversation).request()
        assert readAnswer(dialect, conversation.data, request).stream == b"\x81\x01x"
        assert Judge(log).judge(conversation) is None


WRONG = [
    ("hixie-75", b"Web Socket", b"WebSocket"),
    ("hixie-75", b"http://example", b"http://examplf"),
    ("hixie-75", b"demo?x=1", b"demo?x=2"),
    ("hixie-75", b"\r\nWebSocket-Origin: ", b"\r\n: x\r\nWebSocket-Origin: "),
    ("hixie-76", b" 101 ", b" 102 "),
    ("hixie-76", b"Upgrade: WebSocket", b"Upgrade: websocket"),
    ("hixie-76", b"Connection: Upgrade", b"Connection: Upgrade, x"),
    ("hixie-76", b"\r\n\r\n", b"\r\n\r\n!"),
    ("rfc6455", b"HTTP/1.1", b"HTTP/1.0"),
    ("rfc6455", b"Accept: ", b"Accept: x"),
    ("rfc6455", b"Upgrade: websocket", b"Upgrade: h2c"),
    ("rfc6455", b"Connection: Upgrade", b"Connection: close"),
    ("rfc6455", b"\r\nUpgrade", b"\r\nUp grade"),
    ("rfc6455", b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: x\r\n\r\n"),
    ("rfc6455", b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
    *((dialect, b"\r\n\r\n", b"\r\n") for dialect in IDIOMS),
]


@pytest.mark.parametrize(("dialect", "old", "new"), WRONG)
def test_wrongAnswer(dialect: str, old: bytes, new: bytes) -> None:
    """
    It accepts no wrong answer.
    """
    conversation = scenario(dialect)
    answer = conversation.data.replace(old, new, 1)
    assert answer != conversation.data
    with pytest.raises(Malformed):
        readAnswer(dialect, answer, openingOf(conversation).request())


# Planted faults


@dialects
def test_nothingWrong(dialect: str, log: Log) -> None:
    """
    Without a fault, nothing is found.
    """
    assert found(log, hello(dialect)) == "nothing"


@pytest.mark.parametrize(
    ("dialect", "opening", "check"),
    [
        ("hixie-75", ClientOpening75, "check"),
        ("hixie-76", ClientOpening76, "check"),
        ("hixie-76", ClientOpening76, "complete"),
        ("rfc6455", ClientOpening13, "check"),
    ],
)
def test_findsLeniency(
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
    dialect: str,
    opening: type[ClientOpening],
    check: str,
) -> None:
    """
    A client that accepts a wrong answer is found,
    """
    conversation = hello(dialect)
    data = conversation.data
    end = data.index(b"\r\n\r\n") + 4
    start = data[: end - 6] if check == "check" else data[: end - 4]
    rest = data[end:] if check == "check" else b"x" + data[end + 1 :]
    wrong = replace(conversation, steps=(start + b"\r\n\r\n" + rest,))
    assert found(log, wrong) == "nothing"
    monkeypatch.setattr(opening, check, lambda self, answer: None)
    assert found(log, wrong) == "malformed output"


@dialects
def test_findsRefusal(log: Log, monkeypatch: pytest.MonkeyPatch, dialect: str) -> None:
    """
    one that refuses a good answer,
    """
    monkeypatch.setattr(HixieClientProtocol, "_open", _refuse)
    assert found(log, hello(dialect)) == "refused"


def _refuse(self: HixieClientProtocol, rest: bytes) -> None:
    self.giveUp(NotWebSocket("no"))


def test_findsWrongError(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    one that fails with an error of another kind,
    """
    refused = replace(hello(), steps=(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n",))
    assert found(log, refused) == "nothing"
    monkeypatch.setattr(
        HixieClientProtocol, "_refused", lambda self, body: self.giveUp(ValueError("no"))
    )
    assert found(log, refused) == "wrong error"


def test_findsSilence(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    a Deferred that never fires,
    """
    monkeypatch.setattr(_Attempt, "_decided", lambda self, outcome: self._timer.cancel())
    assert found(log, hello()) == "connections"


def test_findsException(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    an exception while the answer is read,
    """

    def fail(self: HixieClientProtocol, line: bytes) -> None:
        raise IndexError(line)

    monkeypatch.setattr(HixieClientProtocol, "lineReceived", fail)
    assert found(log, hello()) == "exception"


@pytest.mark.parametrize(
    ("plant", "kinds"),
    [
        ((Deadlines, "rest", lambda self: None), {"timers"}),
        ((Client, "gone", lambda self, protocol: None), {"connections", "timers"}),
    ],
)
def test_findsRemains(
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
    plant: tuple[type, str, Callable[..., object]],
    kinds: set[str],
) -> None:
    """
    what is left behind,
    """
    monkeypatch.setattr(*plant)
    assert found(log, hello()) in kinds


def test_findsLeaks(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    connections that are kept, also if they were never opened,
    """
    judge = Judge(log)
    for conversation in (hello(), replace(hello(), steps=(b"SSH-2.0-x\r\n",))):
        subjects.alive.clear()
        judge.judge(conversation)
        assert judge.judgeLeaks(conversation) is None
    kept: list[HixieClientProtocol] = []
    made = HixieClientProtocol.connectionMade

    def keeps(self: HixieClientProtocol) -> None:
        kept.append(self)
        made(self)

    monkeypatch.setattr(HixieClientProtocol, "connectionMade", keeps)
    judge.judge(hello())
    leak = judge.judgeLeaks(hello())
    assert leak is not None
    assert leak.kind == "leak"


def test_findsMissingMask(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    frames without a mask,
    """
    monkeypatch.setattr(Rfc6455, "sendText", lambda self, text: self._send(frame(0x81, b"A")))
    assert found(log, hello("rfc6455")) == "malformed output"


def test_findsMisreading(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    messages that are read wrongly,
    """
    receive = WebSocket.dataReceived
    monkeypatch.setattr(
        WebSocket,
        "dataReceived",
        lambda self, data: receive(self, data.replace(b"l", b"L")),
    )
    assert found(log, hello("hybi-07")) == "misunderstood"


def test_findsDependenceOnTheCut(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    and an answer that is taken only if it comes in one piece.
    """
    receive = HixieClientProtocol.dataReceived

    def impatient(self: HixieClientProtocol, data: bytes) -> None:
        receive(self, data)
        if self._head is None:
            self.giveUp(NotWebSocket("too slow"))

    monkeypatch.setattr(HixieClientProtocol, "dataReceived", impatient)
    kinds = {found(log, replace(hello("hixie-75"), cut=cut)) for cut in range(8)}
    assert kinds & {"depends on the cut", "refused"}
