"""The tests of this folder with the other reactor."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
PROJECT = FOLDER.parents[1]

# What does not depend on a reactor, and this test.
WITHOUT_REACTOR = ("test_reactors.py", "test_settings.py", "test_typing.py")


def test_otherReactor(pytestconfig: pytest.Config) -> None:
    """All of them pass with asyncio's reactor, or with the default one where that is in use."""
    other = "default" if pytestconfig.getoption("reactor") == "asyncio" else "asyncio"
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short"),
        *("--reactor", other, str(FOLDER.relative_to(PROJECT))),
        *(f"--ignore={FOLDER.relative_to(PROJECT) / name}" for name in WITHOUT_REACTOR),
    ]
    try:
        run = subprocess.run(
            command, cwd=PROJECT, capture_output=True, text=True, timeout=600, check=False
        )
    except subprocess.TimeoutExpired as expired:
        pytest.fail(f"not done within {expired.timeout} s:\n{expired.stdout or b''!s:.2000}")
    assert run.returncode == 0, f"{run.stdout[-20_000:]}\n{run.stderr[-2000:]}"
