"""
One attack on one server, with all measurements.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from tests.abuse.attack import Attack, Target
from tests.abuse.attacks import ATTACKS
from tests.abuse.crowd import NOTHING, SIZE, Latency, crowd
from tests.abuse.subject import AbuseError, Holdings, Subject, until
from tests.abuse.workers import Worker

# The longest time in seconds of an attack, and of the server's recovery.
_PATIENCE, _RECOVERY = 150.0, 40.0
# MiB that the server may be larger afterwards, or half of what it may grow by: memory that is free,
# but not in whole pages. A thousand clients at once leave six MiB of it, and the next thousand
# nothing more.
_LEFTOVER = 10.0
# In a quick attack the others may wait this many times as long, because a single moment in which
# the machine does something else matters more there.
_SLACK = 4
# With TLS it is ten MiB that they leave, and the next thousand nothing more either.
_LEFTOVER_BY_TLS = 16.0
_LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[[\w.#-]*\] ")
_CONTROL = re.compile("[\0-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass
class Outcome:
    """
    The result of an attack.

    @ivar skipped: why it was not tried; empty if it was.
    @ivar problems: what the server should not have done.
    @ivar answer: the result for the attacker.
    @ivar cpu: the CPU seconds that it cost the server.
    @ivar seconds: how long it took.
    @ivar peak: MiB that the server grew by, at the most.
    @ivar kept: MiB that it is larger afterwards.
    @ivar descriptors: how many were open before, and afterwards.
    @ivar quiet: the well-behaved clients' latency before.
    @ivar during: and during the attack.
    @ivar events: what the server counted.
    """

    attack: Attack
    skipped: str = ""
    problems: list[str] = field(default_factory=list)
    answer: str = ""
    cpu: float = 0.0
    seconds: float = 0.0
    peak: float = 0.0
    kept: float = 0.0
    descriptors: tuple[int, int] = (0, 0)
    quiet: Latency = NOTHING
    during: Latency = NOTHING
    events: Counter[str] = field(default_factory=Counter)


def perform(name: str, quick: bool) -> Outcome:
    """
    Attack a new server.

    @param name: of one of L{ATTACKS}.
    @param quick: whether a small attack will do.
    """
    attack = ATTACKS[name]
    outcome = Outcome(attack, attack.whyNot())
    if outcome.skipped:
        return outcome
    try:
        with Subject(
            *attack.options,
            secure=attack.secure,
            files=attack.files,
            interface=attack.interface,
        ) as subject:
            _Round(subject, outcome, quick).run()
    except (AbuseError, AssertionError, pytest.fail.Exception) as error:
        outcome.problems.append(str(error))
    return outcome


class _Round:
    """
    An attack with what happens before and after it.
    """

    def __init__(self, subject: Subject, outcome: Outcome, quick: bool) -> None:
        self._subject = subject
        self._outcome = outcome
        self._attack = outcome.attack
        self._quick = quick

    def run(self) -> None:
        """
        @raise AbuseError: if it cannot go on.
        """
        subject, outcome = self._subject, self._outcome
        with ExitStack() as stack:
            # With these gone, the server should be as it was at first.
            secure = self._attack.secure
            well = stack.enter_context(Worker(crowd, subject.busyPort, SIZE, secure))
            well.answer(_PATIENCE)
            before = subject.holdings()
            # Anything that came while it began should not be measured.
            well.ask(0.0, _PATIENCE)
            used = subject.cpuSeconds()
            seconds = 0.3 if self._quick else 1.5
            outcome.quiet = well.ask(seconds, _PATIENCE)
            background = (subject.cpuSeconds() - used) / seconds
            events = subject.events()
            subject.resetPeak()
            resident, own = subject.residentKiB(), subject.ownKiB()
            logged = len(subject.lines)
            self._assault(background)
            outcome.during = well.ask(0.0, _PATIENCE)
            outcome.peak = (subject.peakKiB() - resident) / 1024
            self._recover(before, own)
            outcome.events = subject.events() - events
            well.ask(0.0, _PATIENCE)
        self._judge(logged)

    def _assault(self, background: float) -> None:
        subject, outcome = self._subject, self._outcome
        attack = self._attack
        ports = (subject.busyPort, subject.port)
        target = Target(*ports, attack.secure, subject.pid, self._quick, background)
        used, started = subject.cpuSeconds(), time.monotonic()
        try:
            with Worker(_attack, attack.name, target, niceness=attack.niceness) as attacker:
                outcome.answer = attacker.answer(_PATIENCE)
        except AbuseError as error:
            outcome.problems.append(str(error))
        outcome.seconds = time.monotonic() - started
        outcome.cpu = subject.cpuSeconds() - used - background * outcome.seconds

    def _recover(self, before: Holdings, own: int) -> None:
        """
        Wait until the server is as it was.
        """
        subject, outcome = self._subject, self._outcome
        until(lambda: subject.descriptors() <= before.descriptors, _RECOVERY)
        after = subject.holdings()
        outcome.descriptors = before.descriptors, after.descriptors
        outcome.kept = (subject.ownKiB() - own) / 1024
        if after.descriptors > before.descriptors:
            more = after.descriptors - before.descriptors
            outcome.problems.append(f"{more} descriptors more than before")
        leaked = Counter(after.objects) - Counter(before.objects)
        if leaked:
            outcome.problems.append(f"objects are left: {dict(leaked)}")
        leftover = _LEFTOVER_BY_TLS if self._attack.secure else _LEFTOVER
        if outcome.kept > max(leftover, self._attack.memory / 2):
            outcome.problems.append(f"{outcome.kept:.1f} MiB more than before")

    def _judge(self, logged: int) -> None:
        outcome, attack = self._outcome, self._attack
        if outcome.peak > attack.memory:
            outcome.problems.append(f"{outcome.peak:.1f} MiB at the peak, not {attack.memory:g}")
        wait = attack.wait * (_SLACK if self._quick else 1)
        if wait and outcome.during.p99 > wait:
            waited = f"{1e3 * outcome.during.p99:.0f} ms, not {1e3 * wait:.0f}"
            outcome.problems.append(f"the others wait {waited}")
        lines = self._subject.lines[logged:]
        for line in lines:
            if not _LOG_LINE.match(line) or _CONTROL.search(line.removesuffix("\n")):
                outcome.problems.append(f"a line of the log is {line!r:.200}")
                break
        try:
            seen = attack.verify(lines)
        except AssertionError as error:
            outcome.problems.append(str(error))
        else:
            outcome.answer = "; ".join(filter(None, [outcome.answer, seen]))


def _attack(pipe: object, name: str, target: Target) -> str:
    """
    The task of an attacker.
    """
    return ATTACKS[name].run(target)
