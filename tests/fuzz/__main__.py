"""
C{python -m tests.fuzz}: look for conversations that go wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from itertools import count
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

from tests.fuzz import branches

# This has to run before anything imports the watched modules.
branches.watch()

from twisted.logger import globalLogBeginner  # noqa: E402

from tests.fuzz.fuzzer import Fuzzer  # noqa: E402
from tests.fuzz.report import describe  # noqa: E402
from tests.fuzz.runner import Log  # noqa: E402
from tests.fuzz.scenario import Scenario  # noqa: E402

# A run ends after this many different findings.
_ENOUGH = 10
_MEGABYTE = 1_000_000


def main() -> int:
    """
    @return: the exit status: 1 if something was found.
    """
    arguments = _parser().parse_args()
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)
    directory = arguments.corpus or Path(tempfile.gettempdir()) / "txhixie-fuzz"
    with Log() as log:
        isForClient = arguments.side == "client"
        corpus = "corpus-of-client" if isForClient else "corpus"
        fuzzer = Fuzzer(arguments.seed, log, directory / corpus, isForClient)
        if arguments.reproduce is not None:
            return _reproduce(fuzzer, arguments.reproduce)
        return _run(fuzzer, directory, arguments.seconds, arguments.bytes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "--side", choices=("server", "client"), default="server", help="what is tested"
    )
    parser.add_argument("--seconds", type=float, help="how long to run (default: 60)")
    parser.add_argument("--bytes", type=int, help="how much to send instead")
    parser.add_argument("--seed", type=int, default=1, help="what chance begins with")
    parser.add_argument("--corpus", type=Path, help="where the corpus and findings are kept")
    parser.add_argument("--reproduce", type=Path, help="a file with a finding, to try it again")
    return parser


def _reproduce(fuzzer: Fuzzer, file: Path) -> int:
    scenario, judge = Scenario.load(file.read_text("ascii")), fuzzer.judge
    finding = judge.judge(scenario) or judge.judgeFlood(scenario) or judge.judgeLeaks(scenario)
    print("it goes well" if finding is None else describe(finding))
    return 0 if finding is None else 1


def _run(fuzzer: Fuzzer, directory: Path, seconds: float | None, size: int | None) -> int:
    if seconds is None:
        seconds = 60.0 if size is None else float("inf")
    began = told = time.monotonic()
    try:
        while time.monotonic() - began < seconds and len(fuzzer.findings) < _ENOUGH:
            if size is not None and fuzzer.bytes >= size:
                break
            finding = fuzzer.step()
            if finding is not None:
                finding = fuzzer.smaller(finding)
                file = _newFile(directory)
                file.write_text(finding.scenario.dump(), "ascii")
                print(f"{describe(finding)}\n{file}\n", flush=True)
            if time.monotonic() - told >= 10:
                told = time.monotonic()
                print(_progress(fuzzer, told - began), flush=True)
    except KeyboardInterrupt:
        pass
    print(_progress(fuzzer, time.monotonic() - began))
    print(_row(fuzzer, time.monotonic() - began))
    return 1 if fuzzer.findings else 0


def _newFile(directory: Path) -> Path:
    files = (directory / f"finding-{number}.json" for number in count(1))
    return next(file for file in files if not file.exists())


def _progress(fuzzer: Fuzzer, seconds: float) -> str:
    return (
        f"{seconds:.0f} s: {fuzzer.bytes / _MEGABYTE:.1f} MB, {fuzzer.inputs} inputs, "
        f"{fuzzer.inputs / max(seconds, 1e-9):.0f}/s, {fuzzer.judge.conversations} conversations, "
        f"{len(fuzzer.arcs)} arcs, {len(fuzzer.corpus)} in the corpus, "
        f"{len(fuzzer.findings)} findings, "
        f"{getrusage(RUSAGE_SELF).ru_maxrss // 1024} MiB of memory"
    )


def _row(fuzzer: Fuzzer, seconds: float) -> str:
    """
    @return: a row of a table: minutes, MB, inputs, conversations, arcs, corpus, findings.
    """
    cells = (
        f"{seconds / 60:.1f}",
        f"{fuzzer.bytes / _MEGABYTE:.1f}",
        f"{fuzzer.inputs:,}",
        f"{fuzzer.judge.conversations:,}",
        f"{len(fuzzer.arcs):,}",
        f"{len(fuzzer.corpus):,}",
        f"{len(fuzzer.findings)}",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
