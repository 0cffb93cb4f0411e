"""
Runs a conversation, and finds what is wrong with it without a decoder.
"""

from __future__ import annotations

import random
import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from time import process_time as processTime
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from zope.interface import implementer

from tests.fuzz import applications, wires
from tests.fuzz.scenario import Action, Scenario
from tests.fuzz.subjects import FIRED, ClientSubject, subjectOf
from tests.loopback import FINISHED, LOST, STARTED, Recording, Wire
from tests.support import heldBytes

# How the data is cut: given a stream, its segments.
Cutter = Callable[[bytes], Iterator[bytes]]

# What is not counted: the tester's own, which keeps all that was ever written and received.
_TESTERS = (Recording, wires.Reactor, wires.Socket, Wire)
# Strings and tables that exist in every connection.
_OVERHEAD = 1000
_ORDER = re.compile(f"({STARTED} ({FINISHED} ((text|bytes|pong) )*)?({LOST} )?)?")
_CLIENTS_ORDER = re.compile(f"{FIRED} |{STARTED} {FINISHED} {FIRED} ((text|bytes|pong) )*{LOST} ")
_DATE = re.compile(rb"Date: [^\r]*\r\n")


@dataclass
class Outcome:
    """
    How a conversation went.

    @ivar calls: the application's calls.
    @ivar output: what the server or the client sent.
    @ivar refusal: the reason why a client has no WebSocket.
    @ivar ending: the exception at the end, by class name, code and reason.
    @ivar problems: what must not happen, as a kind and details.
    @ivar seconds: of processor time.
    """

    calls: list[str] = field(default_factory=list)
    output: bytes = b""
    ending: tuple[str, int, str] | None = None
    refusal: BaseException | None = None
    problems: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0


@implementer(ILogObserver)
class Log:
    """
    Observes what is logged while conversations are held.
    """

    def __init__(self) -> None:
        self.errors: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        text = formatEvent(event)
        failure = event.get("log_failure")
        planned = failure is not None and failure.check(applications.Planned)
        if event["log_level"] >= LogLevel.error and not planned:
            trace = failure.getTraceback() if failure is not None else ""
            self.errors.append(f"{text}\n{trace}")
        elif "Unable to format event" in text:
            self.errors.append(text)

    def __enter__(self) -> Log:
        globalLogPublisher.addObserver(self)
        return self

    def __exit__(self, *exception: object) -> None:
        globalLogPublisher.removeObserver(self)

    def take(self) -> list[str]:
        """
        @return: the errors since the last call.
        """
        errors, self.errors = self.errors, []
        return errors


def cutter(seed: int) -> Cutter:
    """
    @return: what cuts a stream: not at all, into single bytes, or anywhere.
    """
    generator = random.Random(seed)
    style = generator.randrange(4)

    def cut(data: bytes) -> Iterator[bytes]:
        if style == 0:
            yield data
            return
        if style == 1 and len(data) <= 4000:
            places = list(range(1, len(data)))
        else:
            count = generator.randrange(1, 4 if style == 2 else 30)
            places = sorted(generator.randrange(len(data) + 1) for _ in range(count))
        start = 0
        for place in [*places, len(data)]:
            if place > start:
                yield data[start:place]
                start = place

    return cut


class Conversation:
    """
    One run of a scenario.
    """

    def __init__(self, scenario: Scenario, cut: Cutter, log: Log, weigh: bool = False) -> None:
        """
        @param weigh: whether to measure the memory that is held.
        """
        self.outcome = Outcome()
        self._scenario = scenario
        self._cut = cut
        self._log = log
        self._largest = 0
        self._weigh = weigh
        self._settings = scenario.makeSettings()
        self._clock = wires.Reactor()
        self._subject = subjectOf(scenario, self._clock)

    def hold(self) -> Outcome:
        """
        Go through all of it, to the end of the connection.
        """
        outcome = self.outcome
        began = processTime()
        try:
            self._hold()
        except Exception:
            self._problem("exception", traceback.format_exc())
        outcome.seconds = processTime() - began
        for error in self._log.take():
            self._problem("logged", error)
        for made in self._subject.made:
            outcome.calls += made.calls
            if made.ending is not None:
                ending = made.ending
                outcome.ending = (type(ending).__name__, int(ending.code), ending.reason)
        if isinstance(self._subject, ClientSubject):
            outcome.refusal = self._subject.refusal
        order = "".join(f"{call.partition(':')[0]} " for call in outcome.calls)
        if not (_CLIENTS_ORDER if self._scenario.dialect else _ORDER).fullmatch(order):
            self._problem("order of calls", order[:300])
        if outcome.calls[:1] == [STARTED] and outcome.calls[-1] != LOST:
            self._problem("order of calls", "the end was not reported")
        return outcome

    def _hold(self) -> None:
        timers = len(self._clock.getDelayedCalls())
        peer = self._subject.connect()
        peer.settle()
        steps: Any
        for isData, steps in groupby(self._scenario.steps, lambda step: isinstance(step, bytes)):
            if isData:
                self._send(b"".join(steps), peer)
            else:
                for step in steps:
                    self._act(step, peer)
        peer.read(0)
        peer.settle()
        peer.lose(ConnectionDone())
        self._clock.advance(0)
        self.outcome.output = _DATE.sub(b"", peer.output)
        self._checkNothingLeft(timers)

    def _send(self, data: bytes, peer: wires.Peer) -> None:
        segments = list(self._cut(data))
        # Measuring memory takes longer than all the rest.
        every = len(segments) // 16 + 1
        for at, segment in enumerate(segments, 1):
            if peer.lost:
                return
            peer.send(segment)
            peer.settle()
            self._largest = max(self._largest, len(segment))
            if self._weigh and at % every == 0:
                self._checkWeight()

    def _act(self, action: Action, peer: wires.Peer) -> None:
        match action:
            case Action("wait", seconds):
                self._wait(seconds, peer)
            case Action("stall"):
                peer.stall()
            case Action("read", amount):
                peer.read(amount)
                peer.settle()
            case Action("end"):
                peer.lose(ConnectionDone())
            case Action("reset"):
                peer.lose(ConnectionLost())
            case _:
                raise ValueError(action)

    def _wait(self, seconds: float, peer: wires.Peer) -> None:
        """
        Let time pass, and stop whenever a call is due, as a reactor does.
        """
        end = self._clock.seconds() + seconds
        while (now := self._clock.seconds()) < end:
            due = [call.getTime() for call in self._clock.getDelayedCalls()]
            self._clock.advance(max(0.0, min([*due, end]) - now))
            peer.settle()

    def _checkWeight(self) -> None:
        held = heldBytes(*self._subject.own(), without=_TESTERS)
        settings = self._settings
        data = self._scenario.data
        head = data.find(b"\r\n\r\n") + 4 if b"\r\n\r\n" in data else len(data)
        # Besides a head there may be a message that is partly read, its answers while the peer
        # reads nothing, and a segment that waits while the application decides.
        bound = self._subject.room(head) + 2 * settings.maxMessage
        bound += self._largest + _OVERHEAD
        stalled = "stall" in self._scenario.actions
        if held > bound + (3 * len(data) if stalled else 0):
            self._problem("memory", f"{held} bytes are held, of {bound}")

    def _checkNothingLeft(self, timers: int) -> None:
        # Frequent log events are counted for the rest of the second, for all connections.
        left = [str(call) for call in self._clock.getDelayedCalls()]
        left = [call for call in left if "LimitedLogger" not in call]
        if len(left) > timers:
            self._problem("timers", f"left behind: {left}")
        problem = self._subject.problem()
        if problem:
            self._problem("connections", problem)

    def _problem(self, kind: str, details: str) -> None:
        self.outcome.problems.append((kind, details))
