"""Users' own tests with trial that open a real port: they leave nothing in the reactor."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .transports import TRANSPORTS

FOLDER = Path(__file__).parent
PROJECT = FOLDER.parents[1]

SCENARIOS = re.findall(r"async def (test_\w+)", (FOLDER / "usersuite.py").read_text())
CASES = dict(zip(TRANSPORTS, ("OverTCP", "OverTLS", "OverUnix"), strict=True))


@pytest.fixture(scope="module", params=TRANSPORTS)
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """trial's output for the user's tests over one transport."""
    folder = tmp_path_factory.mktemp("user")
    shutil.copy(FOLDER / "usersuite.py", folder / "test_user.py")
    reactor = "asyncio" if request.config.getoption("reactor") == "asyncio" else "default"
    run = subprocess.run(
        [
            *(sys.executable, "-m", "twisted.trial", "--reporter=verbose"),
            *("--reactor", reactor, f"test_user.{CASES[request.param]}"),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(PROJECT)])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return run.stdout


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nothingIsLeftInReactor(report: str, scenario: str) -> None:
    """A user's test passes, and trial finds the reactor clean."""
    print(report)
    assert re.findall(rf"^\s*{scenario} \.\.\.\s+\[(\w+)\]$", report, re.MULTILINE) == ["OK"]


def test_nothingIsLeftInTheEnd(report: str) -> None:
    """In total trial finds no error, neither after a test nor after the last."""
    print(report)
    assert "DirtyReactorAggregateError" not in report
    assert f"\nRan {len(SCENARIOS)} tests" in report
    assert "\nPASSED " in report
