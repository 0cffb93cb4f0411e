"""
The command C{python -m tests.abuse}.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.process import raiseFileLimit
from tests.abuse.attacks import ATTACKS
from tests.abuse.crowd import SIZE, Latency
from tests.abuse.run import Outcome, perform
from tests.abuse.subject import serverLog

_START, _END = "<!-- abuse -->\n", "<!-- end of abuse -->\n"
_HEADER = (
    "attack",
    "server's CPU",
    "memory: peak, kept",
    "descriptors before, after",
    f"{SIZE} others: median, 99 %",
    "answer",
)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _latency(latency: Latency) -> str:
    return f"{1e3 * latency.median:.1f}, {1e3 * latency.p99:.1f} ms"


def _cells(outcome: Outcome) -> list[str]:
    attack = outcome.attack
    name = f"`{attack.name}`: {attack.description}"
    if outcome.skipped:
        return [name, "", "", "", "", f"not tried: {outcome.skipped}"]
    before, after = outcome.descriptors
    counted = ", ".join(f"{what} {count:,}" for what, count in sorted(outcome.events.items()))
    wrong = [f"**{problem}**" for problem in outcome.problems]
    answers = [outcome.answer, f"counted: {counted}" if counted else "", *wrong]
    return [
        name,
        f"{outcome.cpu:.2f} s of {outcome.seconds:.1f}",
        f"{outcome.peak:+.1f}, {outcome.kept:+.1f} MiB (at most {attack.memory:g})",
        f"{before}, {after}",
        f"{_latency(outcome.quiet)}; during it {_latency(outcome.during)}",
        "; ".join(filter(None, answers)),
    ]


def _table(outcomes: Iterable[Outcome]) -> str:
    rows = [list(_HEADER), ["---"] * len(_HEADER), *map(_cells, outcomes)]
    escaped = ([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows)
    return "".join(f"| {' | '.join(row)} |\n" for row in escaped)


def write(file: Path, table: str) -> None:
    """
    Put the table where the document has a place for it.
    """
    text = file.read_text(encoding="utf-8")
    before, start, rest = text.partition(_START)
    _, end, after = rest.partition(_END)
    if not start or not end:
        sys.exit(f"{file} has no {_START.strip()} with {_END.strip()} after it")
    file.write_text(before + start + table + end + after, encoding="utf-8")


def _perform(name: str, quick: bool) -> Outcome:
    _say(f"{name} ...")
    started = time.monotonic()
    with serverLog() as log:
        outcome = perform(name, quick)
    for problem in outcome.problems:
        _say(f"  ! {problem}")
    if outcome.problems:
        _say(log.getvalue())
    _say(f"  {' | '.join(_cells(outcome)[1:])} ({time.monotonic() - started:.0f} s)")
    return outcome


def main() -> None:
    """
    Attack, and print the results.
    """
    parser = argparse.ArgumentParser("python -m tests.abuse", description="Attack txhixie.")
    parser.add_argument("names", metavar="NAME", nargs="*", help="these attacks only")
    parser.add_argument("--list", action="store_true", help="tell what attacks there are")
    parser.add_argument("--quick", action="store_true", help="small attacks, in half a minute")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into a document")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(ATTACKS):
        parser.error(f"no {', '.join(sorted(unknown))}; choose from {', '.join(ATTACKS)}")
    if arguments.list:
        for attack in ATTACKS.values():
            print(f"{attack.name}: {attack.description}")
        return
    raiseFileLimit()
    outcomes = [_perform(name, arguments.quick) for name in arguments.names or ATTACKS]
    table = _table(outcomes)
    print(table, end="")
    if arguments.write is not None:
        write(arguments.write, table)
    sys.exit(any(outcome.problems for outcome in outcomes))


if __name__ == "__main__":
    main()
