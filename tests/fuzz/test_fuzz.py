"""
A short run of the fuzzer, and that it finds planted faults.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from tests.fuzz import subjects
from tests.fuzz.fuzzer import Fuzzer
from tests.fuzz.generator import Generator
from tests.fuzz.judge import Finding, Judge
from tests.fuzz.oracle import HybiReader, Reading, decodeText, readHixie
from tests.fuzz.report import describe
from tests.fuzz.runner import Log, cutter
from tests.fuzz.scenario import Action, Scenario, Step
from tests.support import IDIOMS, buildHead, clientFrame
from tests.vectors import hixie, rfc6455
from txhixie import HixieFactory, HixieProtocol
from txhixie.dialects.events import CloseCode, Event
from txhixie.dialects.hixie import HixieConnection
from txhixie.dialects.hixie_opening import Opening76
from txhixie.dialects.rfc6455 import Rfc6455
from txhixie.websocket.deadlines import Deadlines
from txhixie.websocket.websocket import WebSocket

PROJECT = Path(__file__).parent.parent.parent


def scenario(dialect: str, *steps: Step, wire: str = "tcp", **settings: Any) -> Scenario:
    """
    A conversation with an echo.
    """
    opening = (buildHead(dialect), IDIOMS[dialect].preamble)
    return Scenario(settings, wire, "echo", (*opening, *steps), 3)


# The run


def test_seeds(log: Log) -> None:
    """
    The vectors are fine, and so are a few hundred conversations made of them.
    """
    fuzzer = Fuzzer(1, log)
    for _ in range(500):
        finding = fuzzer.step()
        assert finding is None, describe(finding)
    assert fuzzer.bytes > 100_000


def test_command(tmp_path: Path) -> None:
    """
    The command is guided by the code that is reached, and keeps what reached new code.
    """
    command = [sys.executable, "-m", "tests.fuzz", "--bytes", "200000", "--corpus", str(tmp_path)]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    cells = [cell.strip() for cell in result.stdout.splitlines()[-1].split("|")[1:-1]]
    arcs, corpus, findings = cells[-3:]
    assert int(arcs.replace(",", "")) > 300
    assert int(corpus) == len(list((tmp_path / "corpus").iterdir())) > 30
    assert findings == "0"


def test_scenarioKept() -> None:
    """
    A conversation is read from a file as it was written.
    """
    generator = Generator(random.Random(5))
    for _ in range(100):
        made = generator.new()
        assert Scenario.load(made.dump()) == made


@pytest.mark.parametrize("seed", range(40))
def test_cut(seed: int) -> None:
    """
    However a stream is cut, all of it is there.
    """
    stream = random.Random(seed).randbytes(seed * 7 + 1)
    segments = list(cutter(seed)(stream))
    assert b"".join(segments) == stream
    assert b"" not in segments


# The independent decoders, checked against the vectors


def outcome(reading: Reading) -> list[Event | CloseCode]:
    """
    What a stream means, in the form of the vectors.
    """
    assert not reading.unfinished or not reading.faults
    return [*reading.events, *map(CloseCode, reading.faults)]


@pytest.mark.parametrize("strict", [False, True])
def test_hixieOracle(strict: bool) -> None:
    """
    The decoder of the Hixie dialects reads the vectors as they are meant.
    """
    for vector in hixie.STRICT if strict else hixie.FRAMES:
        for closes, meant in ((False, vector.hixie75), (True, vector.hixie76)):
            assert outcome(readHixie(vector.data, closes, strict, 1 << 20)) == [*meant]


@pytest.mark.parametrize("windowBits", [0, 15])
def test_hybiOracle(windowBits: int) -> None:
    """
    The decoder of the later dialects does, too.
    """
    plain = (*rfc6455.GOOD, *rfc6455.BAD)
    for vector in (*rfc6455.DEFLATED, *rfc6455.BAD_DEFLATED) if windowBits else plain:
        reading = HybiReader(1 << 20, 1 << 17, windowBits).read(vector.data)
        events = [event for event in vector.outcome if not isinstance(event, CloseCode)]
        assert reading.events == events
        assert reading.faults >= {*vector.outcome} - {*events}, vector.source
        assert tuple(reading.pongs) == vector.pongs


def test_textOracle() -> None:
    """
    The decoder of text does, too.
    """
    for payload, text in hixie.REPLACEMENTS:
        assert decodeText(payload)[0] == text
    for payload in rfc6455.ILL_FORMED:
        assert decodeText(payload)[1], payload
    for payload in rfc6455.UNFINISHED:
        assert decodeText(payload)[1:] != (False, 0), payload


# Planted faults


def found(log: Log, conversation: Scenario) -> str:
    """
    The kind of what is wrong with a conversation.
    """
    finding = Judge(log).judge(conversation)
    return "nothing" if finding is None else finding.kind


HELLO = scenario("hixie-76", b"\0hello\xff", b"\0more\xff")


def raises(self: WebSocket, data: bytes) -> None:
    """Does not accept question marks."""
    if b"?" in data:
        raise IndexError(data)


def logs(self: WebSocket, data: bytes) -> None:
    """Complains."""
    self._shared._log.error("something is odd")


Receive = Callable[[WebSocket, bytes], None]


@pytest.mark.parametrize(("plant", "kind"), [(raises, "exception"), (logs, "logged")])
def test_findsErrors(log: Log, monkeypatch: pytest.MonkeyPatch, plant: Receive, kind: str) -> None:
    """
    An exception is found, and so is a logged error.
    """
    _before(monkeypatch, plant)
    assert found(log, scenario("hixie-76", b"\0??\xff")) == kind


def _before(monkeypatch: pytest.MonkeyPatch, plant: Receive) -> None:
    receive = WebSocket.dataReceived

    def planted(self: WebSocket, data: bytes) -> None:
        plant(self, data)
        receive(self, data)

    monkeypatch.setattr(WebSocket, "dataReceived", planted)


def test_findsTimers(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A timer that is left behind is found,
    """
    monkeypatch.setattr(Deadlines, "rest", lambda self: None)
    assert found(log, HELLO) == "timers"


def test_findsConnections(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    a connection that the factory does not forget,
    """
    monkeypatch.setattr(HixieFactory, "disconnected", lambda self, protocol: None)
    assert found(log, HELLO) in ("connections", "timers")


def test_findsCallsOutOfOrder(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    an application that is notified twice of the end,
    """
    lost = HixieProtocol.connectionLost

    def twice(self: HixieProtocol, *reason: Any) -> None:
        assert self.webSocket is not None
        self.webSocket._protocol.connectionLost(*reason)
        lost(self, *reason)

    monkeypatch.setattr(HixieProtocol, "connectionLost", twice)
    assert found(log, HELLO) in ("exception", "order of calls")


def test_findsMemory(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    bytes that are kept,
    """

    def keeps(self: WebSocket, data: bytes) -> None:
        vars(self._opener)["kept"] = bytes(20_000)

    _before(monkeypatch, keeps)
    assert found(log, scenario("hixie-75", b"\0A\xff", maxMessage=20, maxHead=300)) == "memory"


def test_findsLeaks(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    connections that are kept,
    """
    subjects.alive.clear()
    kept: list[WebSocket] = []
    _before(monkeypatch, lambda self, data: kept.append(self))
    judge = Judge(log)
    judge.judge(HELLO)
    leak = judge.judgeLeaks(HELLO)
    assert leak is not None
    assert leak.kind == "leak"


def test_findsQuadraticWork(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    work that grows faster than the data, measured by a clock that counts nothing else,
    """
    clock = Clock()
    monkeypatch.setattr("tests.fuzz.runner.processTime", clock.seconds)

    def looksAtAllAgain(self: WebSocket, data: bytes) -> None:
        clock.advance(self.bytesReceived * 1e-8)

    _before(monkeypatch, looksAtAllAgain)
    flood = Judge(log).judgeFlood(scenario("hixie-75", b"\0x\xff"))
    assert flood is not None
    assert flood.kind == "quadratic"


def test_findsSlowWork(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    work that takes too long for so little data,
    """
    clock = Clock()
    monkeypatch.setattr("tests.fuzz.runner.processTime", clock.seconds)
    _before(monkeypatch, lambda self, data: clock.advance(1))
    assert found(log, scenario("hixie-76", b"\0A\xff")) == "slow"


def test_findsWrongAnswer(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    a wrong answer to the challenge,
    """
    monkeypatch.setattr(
        "txhixie.dialects.hixie_opening.challengeResponse", lambda *parts: bytes(16)
    )
    assert found(log, HELLO) == "malformed output"


def test_findsMalformedFrames(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    malformed frames,
    """
    monkeypatch.setattr(Rfc6455, "sendText", lambda self, text: self._send(b"\xa1\x01A"))
    assert found(log, scenario("rfc6455", clientFrame(0x81, b"A"))) == "malformed output"


def test_findsRefusal(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    a good request that is refused,
    """
    monkeypatch.setattr(Opening76, "recognizes", classmethod(lambda cls, head: False))
    assert found(log, HELLO) == "refused"


def test_findsMisreading(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    text that is read wrongly,
    """
    monkeypatch.setattr(HixieConnection, "_readWholeTexts", lambda *arguments: 0)
    read = HixieConnection._readText

    def capitals(self: HixieConnection, data: bytes, position: int, events: list[Event]) -> int:
        position = read(self, data, position, events)
        events[:] = [event.upper() if isinstance(event, str) else event for event in events]
        return position

    monkeypatch.setattr(HixieConnection, "_readText", capitals)
    assert found(log, HELLO) == "misunderstood"


def test_findsMissedFault(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    a limit that does not hold,
    """
    create = HixieConnection.__init__

    def generous(self: HixieConnection, *arguments: Any) -> None:
        create(self, *arguments)
        self._maxMessage *= 2

    monkeypatch.setattr(HixieConnection, "__init__", generous)
    big = scenario("hixie-75", b"\0" + b"x" * 30 + b"\xff", maxMessage=20)
    assert found(log, big) == "misunderstood"


def test_findsOvertaking(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    data that came during a pause and is overtaken by later data,
    """
    texts = [b"\0" + letter * 100 + b"\xff" for letter in (b"a", b"b", b"c")]
    steps: list[Step] = [Action("stall"), *texts, Action("read"), b"\0later\xff"]
    paused = scenario("hixie-76", *steps, wire="records")
    ways = [replace(paused, cut=cut) for cut in range(8)]
    assert {found(log, way) for way in ways} == {"nothing"}

    def overtakes(self: WebSocket, data: bytes) -> None:
        self._reading.parked = data + self._reading.parked
        self._delivery.goOn()

    monkeypatch.setattr(WebSocket, "_receiveLater", overtakes)
    assert "misunderstood" in {found(log, way) for way in ways}


def test_findsDependenceOnTheCut(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    and an answer that depends on how the data was cut.
    """
    receive = Rfc6455.receiveData

    def talks(self: Rfc6455, data: bytes) -> Iterable[Event]:
        if len(data) < 3:
            self.sendText("short")
        return receive(self, data)

    monkeypatch.setattr(Rfc6455, "receiveData", talks)
    talk = scenario("rfc6455", Action("wait", 0), clientFrame(0x0A))
    kinds = {found(log, Scenario({}, "tcp", "eager", talk.steps, cut)) for cut in range(8)}
    assert "depends on the cut" in kinds


def test_smaller(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A finding is reported with the smallest scenario that shows it, and as a vector.
    """
    _before(monkeypatch, raises)
    fuzzer = Fuzzer(1, log)
    big = scenario(
        "hixie-75", b"\0" + b"x" * 200 + b"?" + b"y" * 100 + b"\xff", Action("wait", 1), strict=True
    )
    finding = fuzzer.judge.judge(big)
    assert finding is not None
    small = fuzzer.smaller(finding)
    assert small.signature == finding.signature
    assert small.scenario.settings == {}
    assert len(small.scenario.data.partition(b"\r\n\r\n")[2]) < 20
    assert "FOUND exception" in describe(small)


def test_vector() -> None:
    """
    A finding in the frames comes with a row for the vectors.
    """
    conversation = scenario("hixie-75", b"\0A\xff\x80\xff\xff\xff\x7f")
    stream = conversation.data.partition(b"\r\n\r\n")[2]
    expected = readHixie(stream, False, False, 1 << 20)
    text = describe(Finding("misunderstood", "so", conversation, expected))
    assert text.endswith(
        'Frames("fuzz", bytes.fromhex("00 41 ff 80 ff ff ff 7f"), (\'A\', CloseCode.TOO_BIG)),'
    )
