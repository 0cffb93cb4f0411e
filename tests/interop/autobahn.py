"""
The Autobahn TestSuite against the server, or against any other server that echoes, or against the
client::

    python -m tests.interop.autobahn --cases all --report /tmp/report -- --some-server-option
    python -m tests.interop.autobahn --cases limits --tls
    python -m tests.interop.autobahn --client

C{tests/interop/install-autobahn} installs it. The exit status is 0 only if everything passed.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import NamedTuple

from .fuzzed import AGENT
from .server import PROJECT, Child, Server

WSTEST = PROJECT / ".peers" / "autobahn" / "bin" / "wstest"
MISSING = "The Autobahn TestSuite is missing, install it with: tests/interop/install-autobahn"
PASSED = ("OK", "NON-STRICT", "INFORMATIONAL")
CLEAN = ("OK", "INFORMATIONAL")


@dataclass(frozen=True, slots=True)
class Part:
    """
    A part of the TestSuite: its cases as patterns, how many these are in release 25.10.1,
    the options the server needs for them, and a limit of time in seconds.
    """

    cases: tuple[str, ...]
    count: int
    timeout: float
    excluded: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


PARTS = {
    "quick": Part(("*",), 247, 600, excluded=("9.*", "12.*", "13.*")),
    "limits": Part(("9.*",), 54, 1800, options=("--max-message", str(32 << 20))),
    "compression": Part(("12.*", "13.*"), 216, 7200, options=("--compression",)),
}


class Result(NamedTuple):
    """
    A case, and how the TestSuite rates its messages and its close. A case without a result is
    C{MISSING}.
    """

    case: str
    behavior: str = "MISSING"
    close: str = "MISSING"

    @property
    def group(self) -> int:
        """
        The section of the TestSuite that has the case.
        """
        return int(self.case.partition(".")[0])


@dataclass(frozen=True, slots=True)
class Report:
    """
    The results of a part, in the order of the cases, and how many seconds it took.
    """

    part: str
    seconds: float
    results: tuple[Result, ...]

    @property
    def failed(self) -> list[Result]:
        """
        The cases that failed, are not implemented or have no result.
        """
        return [result for result in self.results if result.behavior not in PASSED]

    @property
    def unclean(self) -> list[Result]:
        """
        The cases that closed with a wrong code, from the wrong side or not at all.
        """
        return [result for result in self.results if result.close not in CLEAN]

    @property
    def passed(self) -> bool:
        """
        Whether all cases of the part ran, and none failed or closed badly.
        """
        return len(self.results) == PARTS[self.part].count and not (self.failed or self.unclean)

    def summary(self) -> Iterator[str]:
        """
        Lines of text: numbers for each section, then the cases that are not simply OK.
        """
        yield f"{self.part}: {len(self.results)} cases in {self.seconds:.0f} s"
        yield "section" + "".join(f"{name:>15}" for name in (*PASSED, "FAILED", "UNCLEAN"))
        for group in (*sorted({result.group for result in self.results}), None):
            results = [result for result in self.results if group in (result.group, None)]
            counts = Counter(result.behavior for result in results)
            numbers = [counts[behavior] for behavior in PASSED]
            numbers.append(len(results) - sum(numbers))
            numbers.append(len([result for result in results if result.close not in CLEAN]))
            yield f"{group or 'all':<7}" + "".join(f"{number:>15}" for number in numbers)
        lists: dict[str, list[str]] = {}
        for case, behavior, close in self.results:
            if behavior != "OK":
                lists.setdefault(behavior, []).append(case)
            if close not in (*CLEAN, "MISSING"):
                lists.setdefault(f"close: {close}", []).append(case)
        for title, cases in sorted(lists.items()):
            yield f"{title} ({len(cases)}): {' '.join(cases)}"


class Fuzzer(Child):
    """
    The TestSuite as a client or a server; prints its progress on stderr.
    """

    def __init__(self, part: str, specification: Path, mode: str = "fuzzingclient") -> None:
        self._part = part
        self._done = 0
        others = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        super().__init__(
            # As a server it would also serve its reports.
            [str(WSTEST), "-m", mode, "-s", str(specification), "-u", "0"],
            cwd=str(specification.parent),
            env={**others, "PYTHONUNBUFFERED": "1"},
        )

    def collected(self, line: str) -> None:
        """
        Take a line of output, and drop it if it is only about progress.
        """
        if match := re.match(r"Running test case ID (\S+)", line):
            self._done += 1
            self._tell(match[1])
        else:
            super().collected(line)

    def _tell(self, case: str) -> None:
        total = PARTS[self._part].count
        text = f"{self._part}: {self._done} of {total}, case {case}"
        if sys.stderr.isatty():
            print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)
            if self._done == total:
                print(file=sys.stderr)
        elif self._done * 10 // total > (self._done - 1) * 10 // total:
            print(text, file=sys.stderr, flush=True)

    def cases(self) -> list[str]:
        """
        The cases which were to run, as announced at the start.
        """
        announced = [line for line in self.lines if line.startswith("Cases = ")]
        return re.findall(r"'([\d.]+)'", announced[0]) if announced else []


def runPart(part: str, url: str, directory: Path) -> Report:
    """
    Run a part against the echo service at C{url}. Details of each case, as HTML and as
    JSON, are written to a folder of C{directory} named like the part.
    """
    output = (directory / part).resolve()
    index = output / "index.json"
    index.unlink(missing_ok=True)
    specification = {
        "outdir": str(output),
        "servers": [{"agent": "server", "url": url}],
        "cases": PARTS[part].cases,
        "exclude-cases": PARTS[part].excluded,
    }
    started = monotonic()
    with TemporaryDirectory(prefix="autobahn-") as scratch:
        path = Path(scratch) / "specification.json"
        path.write_text(json.dumps(specification))
        with Fuzzer(part, path) as fuzzer:
            fuzzer.process.wait(PARTS[part].timeout)
    return _read(part, monotonic() - started, index, "server", fuzzer.cases())


def runClient(part: str, directory: Path) -> Report:
    """
    Run a part against our client, which echoes, as L{runPart} does.
    """
    output = (directory / part).resolve()
    index = output / "index.json"
    index.unlink(missing_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    url = f"ws://127.0.0.1:{port}"
    specification = {
        "outdir": str(output),
        "url": url,
        "cases": PARTS[part].cases,
        "exclude-cases": PARTS[part].excluded,
    }
    started = monotonic()
    with TemporaryDirectory(prefix="autobahn-") as scratch:
        path = Path(scratch) / "specification.json"
        path.write_text(json.dumps(specification))
        with Fuzzer(part, path, "fuzzingserver") as fuzzer:
            _waitForPort(port)
            command = [sys.executable, "-m", "tests.interop.fuzzed", url, *PARTS[part].options]
            subprocess.run(command, cwd=PROJECT, timeout=PARTS[part].timeout, check=True)
    return _read(part, monotonic() - started, index, AGENT, fuzzer.cases())


def _waitForPort(port: int) -> None:
    deadline = monotonic() + 15
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if monotonic() > deadline:
                raise
            sleep(0.05)
        else:
            return


def _read(part: str, seconds: float, index: Path, agent: str, cases: list[str]) -> Report:
    """
    Read the report that the TestSuite wrote.
    """
    if not index.exists():
        raise RuntimeError("The TestSuite ended without a report.")
    found = json.loads(index.read_text()).get(agent, {})
    results = {
        case: Result(case, value["behavior"], value["behaviorClose"])
        for case, value in found.items()
    }
    return Report(part, seconds, tuple(results.get(case, Result(case)) for case in cases))


@contextmanager
def quiet() -> Iterator[None]:
    """
    Hold back what is printed, and print it only after an error.
    """
    printed = StringIO()
    try:
        with redirect_stdout(printed):
            yield
    except BaseException:
        sys.stderr.write(printed.getvalue())
        raise


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the parts asked for, each with a new server, and return the exit status.
    """
    parser = ArgumentParser(prog="python -m tests.interop.autobahn", description=__doc__)
    parser.add_argument("--cases", choices=[*PARTS, "all"], default="quick")
    parser.add_argument("--tls", action="store_true", help="connect to our own server by wss")
    parser.add_argument("--client", action="store_true", help="test our client, not our server")
    parser.add_argument("--url", help="an echo service that runs already")
    parser.add_argument("--report", type=Path, help="keep the detailed reports in this folder")
    parser.add_argument("options", nargs="*", help="more options for twistd hixie, after --")
    chosen = parser.parse_args(arguments)
    if not WSTEST.exists():
        parser.error(MISSING)
    passed = True
    out = sys.stdout
    with ExitStack() as stack:
        directory = chosen.report or Path(stack.enter_context(TemporaryDirectory()))
        for part in PARTS if chosen.cases == "all" else [chosen.cases]:
            with quiet(), ExitStack() as running:
                url = chosen.url
                if url is None and not chosen.client:
                    options = (*PARTS[part].options, *chosen.options)
                    server = Server(*options, secure=chosen.tls)
                    url = running.enter_context(server).url("/echo")
                report = runPart(part, url, directory) if url else runClient(part, directory)
                print(*report.summary(), sep="\n", file=out, flush=True)
                passed = passed and report.passed
    return 0 if passed else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.TimeoutExpired as error:
        sys.exit(str(error))
