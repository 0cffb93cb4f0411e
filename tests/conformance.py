"""
Writes C{docs/conformance.md}: which tests show which requirement.

Run it with C{python -m tests.conformance}; with C{--json} it prints what the tests claim instead.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.requirements import DEVIATIONS, REQUIREMENTS

PROJECT = Path(__file__).resolve().parents[1]
DOCUMENT = PROJECT / "docs" / "conformance.md"

# The test files that show a requirement, and with how many tests each.
Claims = dict[str, dict[str, int]]

_OPENING = """\
# Conformance

Each row is a requirement on a server of these dialects, taken from the drafts and RFC 6455, or
from what clients do where those are silent; `python -m tests.conformance` writes this table. The
ID is what the tests that show it are marked with: D telling the dialects apart, H75 and H76 the
handshakes from the client (C) or server (S), LOC the location, K and KEY3 keys and nonce, F
frames, CL closing, U text, L limits, HY RFC 6455 and the drafts before it, B bad input.

| ID | Requirement | Tests | Deviation |
|---|---|---|---|
"""


class _Collector:
    """
    A pytest plugin that records what the collected tests claim.
    """

    def __init__(self) -> None:
        self.claims: Claims = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            marks = item.iter_markers("requirement")
            for identifier in sorted({name for mark in marks for name in mark.args}):
                files = self.claims.setdefault(identifier, {})
                files[item.path.name] = files.get(item.path.name, 0) + 1


def collect() -> Claims:
    """
    Collect all tests except those with real peers, which may be missing here.
    """
    collector = _Collector()
    # Warnings and summaries would get into the output.
    arguments = ["--collect-only", "-p", "no:terminal", "-p", "no:cacheprovider"]
    tests = PROJECT / "tests"
    status = pytest.main(
        [*arguments, f"--rootdir={PROJECT}", f"--ignore={tests / 'interop'}", str(tests)],
        plugins=[collector],
    )
    if status != pytest.ExitCode.OK:
        sys.exit(f"the tests cannot be collected: {status!r}")
    return collector.claims


def render(claims: Mapping[str, Mapping[str, int]]) -> str:
    """
    The document.
    """
    rows = []
    for identifier, requirement in REQUIREMENTS.items():
        files = claims.get(identifier, {})
        tests = ", ".join(sorted(files))
        reason = DEVIATIONS.get(identifier, "")
        rows.append(f"| {identifier} | {requirement} | {tests} | {reason} |")
    return _OPENING + "\n".join(rows) + "\n"


if __name__ == "__main__":
    claims = collect()
    if "--json" in sys.argv[1:]:
        print(json.dumps(claims))
    else:
        DOCUMENT.write_text(render(claims), encoding="utf-8")
