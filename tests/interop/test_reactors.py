"""The contract of applications with the other reactor."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
FOLDER = "tests/contract"

# What does not depend on a reactor.
WITHOUT_REACTOR = ("test_settings.py", "test_typing.py")


def test_otherReactor(pytestconfig: pytest.Config) -> None:
    """The contract also holds with asyncio's reactor, or the default one if that one is in use."""
    other = "default" if pytestconfig.getoption("reactor") == "asyncio" else "asyncio"
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short"),
        *("--reactor", other, FOLDER),
        *(f"--ignore={FOLDER}/{name}" for name in WITHOUT_REACTOR),
    ]
    try:
        run = subprocess.run(
            command, cwd=PROJECT, capture_output=True, text=True, timeout=600, check=False
        )
    except subprocess.TimeoutExpired as expired:
        pytest.fail(f"not done within {expired.timeout} s:\n{expired.stdout or b''!s:.2000}")
    assert run.returncode == 0, f"{run.stdout[-20_000:]}\n{run.stderr[-2000:]}"
