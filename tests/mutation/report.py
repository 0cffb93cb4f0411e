"""
The results of the mutants, as Markdown or JSON.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from tests.mutation.running import KILLED, SURVIVED, TIMED_OUT, UNCOVERED, Result
from tests.mutation.suite import PROJECT

VERDICTS = (KILLED, SURVIVED, UNCOVERED, TIMED_OUT)


def nameOf(result: Result) -> str:
    """
    @return: the file of a mutant.
    """
    return result.mutant.path.relative_to(PROJECT).as_posix()


def place(result: Result) -> str:
    """
    @return: where a mutant is, and what is changed.
    """
    return f"{nameOf(result)}:{result.mutant.line}: {result.mutant.kind}"


def markdown(results: Sequence[Result]) -> str:
    """
    @return: how many mutants of each file were killed, and all others in detail.
    """
    counts: dict[str, Counter[str]] = {}
    for result in results:
        counts.setdefault(nameOf(result), Counter())[result.verdict] += 1
    total = sum(counts.values(), Counter[str]())
    lines = ["| file | " + " | ".join(VERDICTS) + " |", "|---|" + "---|" * len(VERDICTS)]
    for name, counter in [*sorted(counts.items()), ("all", total)]:
        lines.append(f"| {name} | " + " | ".join(str(counter[v]) for v in VERDICTS) + " |")
    for verdict in (SURVIVED, TIMED_OUT, UNCOVERED):
        found = [result for result in results if result.verdict == verdict]
        if found:
            lines += ["", f"## {verdict.capitalize()}"]
        for result in found:
            lines += ["", f"{place(result)}", "", "```diff", _diff(result), "```"]
    return "\n".join(lines) + "\n"


def asJson(results: Sequence[Result]) -> str:
    """
    @return: all results.
    """
    rows = [
        {
            "file": nameOf(result),
            "line": result.mutant.line,
            "kind": result.mutant.kind,
            "verdict": result.verdict,
            "detail": result.detail,
            "tests": result.tests,
            "seconds": round(result.seconds, 2),
            "diff": _diff(result),
        }
        for result in results
    ]
    return json.dumps(rows, indent=1) + "\n"


def _diff(result: Result) -> str:
    return result.mutant.diff(nameOf(result))
