"""
Whether a conversation went as the drafts require, and the same however its data was cut.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.fuzz import clients, subjects, wires
from tests.fuzz.oracle import HybiReader, Reading, readHixie
from tests.fuzz.problems import Wrong
from tests.fuzz.replies import Malformed, Reply, readReply
from tests.fuzz.runner import Conversation, Cutter, Log, Outcome, cutter
from tests.fuzz.scenario import Scenario
from tests.loopback import FINISHED
from tests.support import IDIOMS, Served, buildHead, parseHead
from txhixie.dialects.choosing import choose
from txhixie.dialects.events import Closed, Event, Failed, Pong

# Seconds that a conversation may take, and this much for each byte.
_SECONDS, _SECONDS_A_BYTE = 0.5, 200e-6
_GOOD_HEADS = {buildHead(dialect): dialect for dialect in IDIOMS}
# The longest time of a flood relative to one of a quarter of the size.
_FLOOD, _GROWTH = 60_000, 10


@dataclass(frozen=True)
class Finding:
    """
    A fault that was found.

    @ivar kind: in a few words.
    @ivar details: what was observed.
    @ivar scenario: the scenario that shows it.
    @ivar expected: what the stream means by the drafts, if that is known.
    """

    kind: str
    details: str
    scenario: Scenario
    expected: Reading | None = None

    @property
    def signature(self) -> str:
        """
        What findings of the same fault have in common.
        """
        frames = [line for line in self.details.splitlines() if "/txhixie/" in line]
        return f"{self.kind}: {frames[-1] if frames else ''}"


class Judge:
    """
    Runs conversations, and reports what is wrong with them.

    @ivar conversations: how many there were.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self.conversations = 0

    def hold(self, scenario: Scenario, cut: Cutter, weigh: bool = False) -> Outcome:
        """
        Run one conversation.
        """
        self.conversations += 1
        return Conversation(scenario, cut, self._log, weigh).hold()

    def judge(self, scenario: Scenario, outcome: Outcome | None = None) -> Finding | None:
        """
        @param outcome: how the scenario went, if it has been run already.
        @return: the first thing that is wrong, if any.
        """
        first = outcome or self.hold(scenario, cutter(scenario.cut), weigh=True)
        reading = None
        try:
            for kind, details in first.problems:
                return Finding(kind, details, scenario)
            if _isCutOff(scenario):
                return None
            reply = _readOutput(scenario, first)
            _checkAccepted(scenario, first, reply)
            stream = _stream(scenario, reply)
            if stream is not None:
                reading = _read(scenario, reply, stream)
                _checkCalls(scenario, first, reply, reading)
                if "trustedProxies" not in scenario.settings:
                    _checkEvents(scenario, reading, stream)
            self._checkCut(scenario, first, reply)
            self._checkTime(scenario, first)
        except Malformed as error:
            return Finding("malformed output", f"{error}", scenario, reading)
        except Wrong as error:
            return Finding(error.kind, error.details, scenario, reading)
        return None

    def _checkCut(self, scenario: Scenario, first: Outcome, reply: Reply) -> None:
        """
        Run it again with its data cut in another way.
        """
        second = self.hold(scenario, cutter(scenario.cut + 1))
        other = _readOutput(scenario, second)
        pairs: list[tuple[object, object]] = [
            (first.problems, second.problems),
            (first.calls, second.calls),
        ]
        if scenario.application in ("closing", "failing"):
            # Data received before the application closed is still answered.
            pairs.append((reply.messages, other.messages))
        else:
            # A pong may be sent before the answers to messages that came with the ping.
            pairs += [(first.ending, second.ending), (reply, other)]
        if not reply.dialect:
            pairs.append((first.output, second.output))
        for before, after in pairs:
            if before != after:
                raise Wrong("depends on the cut", f"{before!r} but {after!r}")

    def _checkTime(self, scenario: Scenario, first: Outcome) -> None:
        allowed = _SECONDS + _SECONDS_A_BYTE * len(scenario.data)
        if first.seconds > allowed:
            # The machine may have been busy with something else.
            again = [self.hold(scenario, cutter(scenario.cut)).seconds for _ in range(3)]
            if min(again) > allowed:
                raise Wrong("slow", f"{min(again):.2f} s for {len(scenario.data)} bytes")

    def judgeFlood(self, scenario: Scenario) -> Finding | None:
        """
        Check that the time grows no faster than the data.
        """
        data = [step for step in scenario.steps if isinstance(step, bytes) and step]
        if not data:
            return None
        settings = {**scenario.settings, "maxMessage": 1 << 20, "maxFragments": 1 << 20}
        floods = [
            replace(
                scenario,
                settings=settings,
                steps=(*data[:-1], data[-1] * (size // len(data[-1]) + 1)),
            )
            for size in (_FLOOD // 4, _FLOOD)
        ]
        few, many = (min(self._floodSeconds(flood) for _ in range(2)) for flood in floods)
        if many < 0.25 or many < _GROWTH * few:
            return None
        few, many = (min(self._floodSeconds(flood) for _ in range(5)) for flood in floods)
        if many < _GROWTH * few:
            return None
        return Finding("quadratic", f"{few:.3f} s, four times as much {many:.3f} s", floods[1])

    def _floodSeconds(self, flood: Scenario) -> float:
        return self.hold(
            flood, lambda data: (data[at : at + 40] for at in range(0, len(data), 40))
        ).seconds

    def judgeLeaks(self, scenario: Scenario) -> Finding | None:
        """
        Check that no finished connection still exists.
        """
        gc.collect()
        left = len(subjects.alive)
        subjects.alive.clear()
        return Finding("leak", f"{left} connections stay in memory", scenario) if left else None


def _isCutOff(scenario: Scenario) -> bool:
    """
    Whether the connection may be given up while the peer reads nothing. How far the server got
    until then depends on when it had to stop reading, and its last answer may be incomplete.
    """
    if "stall" not in scenario.actions:
        return False
    return bool(
        scenario.actions & {"wait", "end", "reset"}
        or scenario.settings.keys() & {"sendLimit", "compression"}
    )


def _readOutput(scenario: Scenario, outcome: Outcome) -> Reply:
    if scenario.dialect:
        return clients.readOutput(scenario, outcome)
    return readReply(outcome.output, scenario.data)


def _checkAccepted(scenario: Scenario, outcome: Outcome, reply: Reply) -> None:
    """
    A good request from a client of any dialect is answered by that dialect.
    """
    if scenario.dialect:
        clients.checkAccepted(scenario, outcome)
        return
    head, end, _ = scenario.data.partition(b"\r\n\r\n")
    dialect = _GOOD_HEADS.get(head + end)
    settings = scenario.makeSettings()
    if (
        dialect is None
        or scenario.actions
        or scenario.application in ("later", "refusing", "guarded")
        or settings.dialects is not None
        or settings.origins
        or settings.maxHead < len(head) + 4
        or settings.maxFields < 10
    ):
        return
    if reply.dialect != dialect:
        raise Wrong("refused", f"a good request of {dialect}: {outcome.output[:200]!r}")


def _stream(scenario: Scenario, reply: Reply) -> bytes | None:
    """
    @return: the frames that a client sent to a server that accepted it, or a server to a client.
    """
    if not reply.dialect:
        return None
    if scenario.dialect:
        return clients.answerOf(scenario).stream
    rest = scenario.data.lstrip(b"\r\n").partition(b"\r\n\r\n")[2]
    return rest[8:] if reply.dialect == "hixie-76" else rest


def _read(scenario: Scenario, reply: Reply, stream: bytes) -> Reading:
    settings = scenario.makeSettings()
    if reply.dialect.startswith("hixie"):
        closes = reply.dialect == "hixie-76"
        return readHixie(stream, closes, settings.strict, settings.maxMessage)
    if scenario.dialect:
        answer = clients.answerOf(scenario)
        return HybiReader(
            settings.maxMessage,
            settings.maxFragments,
            answer.windowBits,
            answer.takeover,
            isMasked=False,
        ).read(stream)
    return HybiReader(
        settings.maxMessage, settings.maxFragments, reply.windowBits, reply.takeover
    ).read(stream)


def _checkCalls(scenario: Scenario, outcome: Outcome, reply: Reply, reading: Reading) -> None:
    """
    Check that the application got what the frames mean, or the beginning of it if something else
    happened to the connection.
    """
    told = [call for call in outcome.calls if call.startswith(("text:", "bytes:", "pong:"))]
    meant = [call for event in reading.events for call in _asCall(event)]
    _checkBegins("told", told, meant)
    if scenario.application != "eager" and "heartbeat" not in scenario.settings:
        sent = [f"text: {m}" if isinstance(m, str) else f"bytes: {m!r}" for m in reply.messages]
        _checkBegins("sent", sent, [call for call in told if not call.startswith("pong:")])
    _checkBegins("pongs", reply.pongs, reading.pongs)
    if scenario.actions or scenario.application != "echo" or FINISHED not in outcome.calls:
        return
    hixie = reply.dialect.startswith("hixie")
    if told != meant or reply.pongs != reading.pongs:
        raise Wrong("misunderstood", f"the last events are missing: {told!r}, {meant!r}")
    if outcome.ending is None:
        raise Wrong("wrong end", "no end was reported")
    name, code, _ = outcome.ending
    farewell = reading.events[-1] if reading.events else None
    if reading.faults:
        allowed = reading.faults | ({1005, 1006} if reading.unfinished else set())
        wrong = code not in allowed or (name != "WebSocketLost" and code not in (1005, 1006))
        silent = not hixie and code > 1006 and reply.close != code
    elif isinstance(farewell, Closed):
        wrong = (name, code) != ("WebSocketDone", farewell.code)
        silent = reply.close != (0 if farewell.code == 1005 else farewell.code)
    else:
        wrong, silent = code not in (1005, 1006), reply.close is not None
    if wrong or silent:
        raise Wrong(
            "wrong end", f"{outcome.ending}, {reply.close}, after {farewell!r}, {reading.faults}"
        )


def _asCall(event: Event) -> list[str]:
    if isinstance(event, str):
        return [f"text: {event}"]
    if isinstance(event, bytes):
        return [f"bytes: {event!r}"]
    return [f"pong: {event.payload!r}"] if isinstance(event, Pong) else []


def _checkBegins(what: str, actual: Sequence[object], meant: Sequence[object]) -> None:
    if actual != meant[: len(actual)]:
        raise Wrong("misunderstood", f"{what} {actual!r} for {meant!r}")


def _checkEvents(scenario: Scenario, reading: Reading, stream: bytes) -> None:
    """
    Check that the dialect alone makes the right events of the same frames.
    """
    connection = clients.connectionOf(scenario) if scenario.dialect else _served(scenario, stream)
    events: list[Event] = []
    for segment in cutter(scenario.cut)(stream):
        events += connection.receiveData(segment)
        connection.dataToSend()
    last = events[-1] if events else None
    if isinstance(last, Failed):
        del events[-1]
        if last.code not in reading.faults:
            raise Wrong("misunderstood", f"{last} instead of {reading.faults}")
    elif reading.faults and not reading.unfinished:
        raise Wrong("misunderstood", f"{reading.faults} was not found")
    if events != reading.events:
        raise Wrong("misunderstood", f"{events!r} instead of {reading.events!r}")


def _served(scenario: Scenario, stream: bytes) -> Served:
    """
    @return: the server's connection of a scenario, right before the frames.
    """
    settings = scenario.makeSettings()
    data = scenario.data.lstrip(b"\r\n")
    head, end, rest = data.partition(b"\r\n\r\n")
    parsed = parseHead(head + end)
    dialect = choose(parsed, settings.dialects)
    assert dialect is not None
    connection = Served(dialect(parsed, settings, scenario.wire in wires.SECURE))
    connection.accept()
    connection.receiveData(rest[: len(rest) - len(stream)])
    return connection
