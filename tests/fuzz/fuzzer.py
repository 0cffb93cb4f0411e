"""
The loop: choose a conversation, change it, run it, and keep it if it took a new path.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from pathlib import Path

from tests.fuzz import branches
from tests.fuzz.generator import Generator
from tests.fuzz.judge import Finding, Judge
from tests.fuzz.runner import Log, cutter
from tests.fuzz.scenario import Scenario, Step
from tests.fuzz.seeds import clientSeeds, seeds

# How many conversations there are for each that is examined closely.
_LEAKS, _FLOODS, _WEIGHS = 1000, 1500, 6
# How long to make a finding smaller, in conversations.
_SMALLER = 600


class Fuzzer:
    """
    Looks for conversations that go wrong.

    @ivar inputs: how many scenarios were tried.
    @ivar bytes: the bytes that their peers sent.
    @ivar arcs: the known paths through the code.
    @ivar corpus: the scenarios that took a new path.
    @ivar findings: one finding of each kind.
    """

    def __init__(
        self, seed: int, log: Log, directory: Path | None = None, isForClient: bool = False
    ) -> None:
        """
        @param isForClient: whether a client is tested, instead of a server.
        @param directory: where the corpus is kept; read from there first.
        """
        self._random = random.Random(seed)
        self._generator = Generator(self._random, isForClient)
        self._directory = directory
        self.judge = Judge(log)
        self.inputs = 0
        self.bytes = 0
        self.arcs: set[tuple[int, int]] = set()
        self.corpus: list[Scenario] = []
        self.findings: dict[str, Finding] = {}
        self._started = clientSeeds() if isForClient else seeds()
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            files = sorted(directory.glob("*.json"))
            self._started += [Scenario.load(file.read_text("ascii")) for file in files]

    def step(self) -> Finding | None:
        """
        Try one scenario.

        @return: new findings.
        """
        scenario = self._next()
        self.inputs += 1
        self.bytes += len(scenario.data)
        branches.taken()
        outcome = self.judge.hold(scenario, cutter(scenario.cut), weigh=self.inputs % _WEIGHS == 0)
        new = branches.taken() - self.arcs
        if new:
            self.arcs |= new
            self._keep(scenario)
        finding = self.judge.judge(scenario, outcome)
        if finding is None and self.inputs % _LEAKS == 0:
            finding = self.judge.judgeLeaks(scenario)
        if finding is None and self.inputs % _FLOODS == 0:
            finding = self.judge.judgeFlood(scenario)
        if finding is None or finding.signature in self.findings:
            return None
        self.findings[finding.signature] = finding
        return finding

    def _next(self) -> Scenario:
        if self._started:
            return self._started.pop()
        if not self.corpus or not self._random.randrange(4):
            return self._generator.new()
        # New ones first: they are the least tried.
        places = (int(self._random.expovariate(8 / len(self.corpus))) for _ in range(2))
        one, other = (self.corpus[-1 - place % len(self.corpus)] for place in places)
        return self._generator.change(one, other)

    def _keep(self, scenario: Scenario) -> None:
        self.corpus.append(scenario)
        if self._directory is not None:
            text = scenario.dump()
            name = hashlib.sha256(text.encode()).hexdigest()[:16]
            (self._directory / f"{name}.json").write_text(text, "ascii")

    def smaller(self, finding: Finding) -> Finding:
        """
        @return: the same finding with a smaller scenario.
        """
        tries = _SMALLER
        size = 1 << 12
        while size and tries > 0:
            for scenario in self._parts(finding.scenario, size):
                tries -= 1
                found = self.judge.judge(scenario)
                if found is not None and found.signature == finding.signature:
                    finding = found
                    break
                if tries <= 0:
                    break
            else:
                size //= 2
        return finding

    def _parts(self, scenario: Scenario, size: int) -> list[Scenario]:
        """
        @return: the scenario without some of its bytes, steps or settings.
        """
        parts = [
            replace(scenario, settings={k: v for k, v in scenario.settings.items() if k != name})
            for name in scenario.settings
        ]
        steps = scenario.steps
        smaller: list[tuple[Step, ...]] = [
            (*steps[:at], *steps[at + 1 :]) for at in range(len(steps))
        ]
        for at, step in enumerate(steps):
            if isinstance(step, bytes) and len(step) > size:
                for start in range(0, len(step), size):
                    rest = step[:start] + step[start + size :]
                    smaller.append((*steps[:at], rest, *steps[at + 1 :]))
        return parts + [replace(scenario, steps=steps) for steps in smaller]
