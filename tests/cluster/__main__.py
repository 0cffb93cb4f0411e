"""
The command C{python -m tests.cluster}.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import sys
from time import monotonic
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from tests.cluster.run import Run


def main() -> None:
    """
    Run, print the figures, and end with status 1 if anything was wrong.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--clients", type=int, default=300)
    parser.add_argument("--rate", type=float, default=20, help="messages a second")
    options = parser.parse_args()
    begin = monotonic()

    def say(text: str) -> None:
        print(f"{monotonic() - begin:6.1f} s  {text}", file=sys.stderr, flush=True)

    run = Run(options.seed, 60 * options.minutes, options.clients, options.rate, say)
    # The children print their logs when they end.
    logs = io.StringIO()
    found: list[str] = []

    def perform(_: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(run.perform()).addCallback(found.extend)

    code = 1
    with contextlib.redirect_stdout(logs):
        try:
            react(perform, [])
        except SystemExit as ended:
            code = int(bool(ended.code))
    print(f"seed {options.seed}:", "; ".join(f"{k}: {v}" for k, v in run.figures.items()))
    if found or code:
        print(logs.getvalue())
    for problem in found[:20]:
        print(f"WRONG: {problem}")
    sys.exit(1 if found else code)


if __name__ == "__main__":
    main()
