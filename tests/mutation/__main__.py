"""
C{python -m tests.mutation}: check whether the fast tests detect small changes to the package.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.mutation.mutants import Mutant, mutantsOf, pick
from tests.mutation.report import asJson, markdown, place
from tests.mutation.running import Children, Result, prepare, tryAll
from tests.mutation.suite import PACKAGE, PROJECT

# Left out unless named: the command line and the console.
LEFT_OUT = ("__main__.py", "console", "tap.py", "twistd")


def main() -> int:
    """
    @return: the exit status: 1 if the tests fail without a mutation.
    """
    parser = _parser()
    arguments = parser.parse_args()
    try:
        mutants = _mutants(arguments)
    except ValueError as error:
        parser.error(str(error))
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as directory:
        children = Children(Path(directory))
        start = time.monotonic()
        try:
            suite = prepare(children, arguments.sockets)
            print(f"{len(suite.seconds)} tests, {time.monotonic() - start:.0f} s", flush=True)

            def done(result: Result) -> None:
                results.append(result)
                print(
                    f"[{len(results)}/{len(mutants)}] {result.verdict:11} {place(result)} "
                    f"({result.tests} tests, {result.seconds:.1f} s) {result.detail}",
                    flush=True,
                )

            tryAll(children, suite, mutants, arguments.jobs, arguments.thorough, done)
        except RuntimeError as error:
            print(error, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("interrupted; what is known so far:")
        finally:
            children.stop()
    order = {id(mutant): position for position, mutant in enumerate(mutants)}
    results.sort(key=lambda result: order[id(result.mutant)])
    print(f"\n{markdown(results)}\n{time.monotonic() - start:.0f} s")
    if arguments.write is not None:
        isJson = arguments.write.suffix == ".json"
        text = asJson(results) if isJson else markdown(results)
        arguments.write.write_text(text, encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="files or folders")
    parser.add_argument("--count", type=int, default=500, help="how many mutants (default: 500)")
    parser.add_argument("--seed", type=int, default=1, help="what chance begins with")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (default: 2)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="FILE:LINE", help="all mutants of a line"
    )
    parser.add_argument(
        "--thorough",
        action="store_true",
        help="run the other tests, too, when those of a line pass",
    )
    parser.add_argument(
        "--sockets",
        action="store_true",
        help="run tests/contract, too, which is slow; for mutants that survive the others",
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="write a .md or .json file")
    return parser


def _mutants(arguments: argparse.Namespace) -> list[Mutant]:
    """
    @return: the mutants that were asked for.
    @raise ValueError: if there are none.
    """
    mutants: list[Mutant] = []
    for only in arguments.only:
        name, _, line = only.rpartition(":")
        for path in sources([Path(name)]):
            found = [m for m in mutantsOf(path) if m.line == int(line)]
            mutants += filter(Mutant.isValid, found)
    if not arguments.only:
        paths = sources(arguments.paths)
        mutants = pick(paths, PROJECT, arguments.count, arguments.seed)
    if not mutants:
        raise ValueError("nothing to mutate")
    return mutants


def sources(paths: list[Path]) -> list[Path]:
    """
    @param paths: files or folders of the package; if empty, all of it that serves WebSockets.
    @return: the files.
    @raise ValueError: if the package has nothing with that name.
    """
    found: set[Path] = set()
    for path in paths:
        absolute = path.resolve()
        files = {absolute} if absolute.is_file() else set(absolute.rglob("*.py"))
        if not files or not absolute.is_relative_to(PACKAGE):
            raise ValueError(f"{path} is no file or folder of {PACKAGE.name}")
        found |= files
    if not paths:
        found = {
            path
            for path in PACKAGE.rglob("*.py")
            if path.relative_to(PACKAGE).parts[0] not in LEFT_OUT
        }
    return sorted(found)


if __name__ == "__main__":
    sys.exit(main())
