"""
Findings in words, and as vectors for C{tests/vectors}.
"""

from __future__ import annotations

from tests.fuzz.judge import Finding
from tests.fuzz.oracle import Reading
from txhixie.dialects.events import CloseCode

# How many characters of a step are printed; the file has all of them.
_WIDE = 300


def describe(finding: Finding) -> str:
    """
    @return: what is wrong, how to reproduce it, and a vector if the frames are the cause.
    """
    scenario = finding.scenario
    steps = "".join(f"\n    {repr(step)[:_WIDE]}" for step in scenario.steps)
    text = (
        f"FOUND {finding.kind}\n{finding.details.rstrip()}\n"
        f"  settings {scenario.settings}, by {scenario.wire}, to {scenario.application}, "
        f"cut {scenario.cut}:{steps}"
    )
    return text if finding.expected is None else f"{text}\n  {vector(finding, finding.expected)}"


def vector(finding: Finding, expected: Reading) -> str:
    """
    @return: a row for a table of C{Frames}, as the independent decoder reads it. If several close
        codes are right, it is the lowest.
    """
    outcome = [repr(event) for event in expected.events]
    if expected.faults and not expected.unfinished:
        outcome.append(f"CloseCode.{CloseCode(min(expected.faults)).name}")
    stream = finding.scenario.data.lstrip(b"\r\n").partition(b"\r\n\r\n")[2]
    events = ", ".join(outcome) + ("," if len(outcome) == 1 else "")
    pongs = f", {tuple(expected.pongs)!r}" if expected.pongs else ""
    return f'Frames("fuzz", bytes.fromhex("{stream.hex(" ")}"), ({events}){pongs}),'
