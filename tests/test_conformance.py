"""Every requirement is shown by a test or has a reason why not, and the document says so."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conformance import DOCUMENT, PROJECT, Claims, render
from tests.requirements import DEVIATIONS, REQUIREMENTS


@pytest.fixture(scope="module")
def claims() -> Claims:
    """
    What all tests claim, whichever of them run now: a separate process collects them.
    """
    command = [sys.executable, "-m", "tests.conformance", "--json"]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    found: Claims = json.loads(result.stdout.splitlines()[-1])
    return found


def test_everyRequirement(claims: Claims) -> None:
    """
    Every requirement has a test, or a reason for doing otherwise.
    """
    assert [name for name in REQUIREMENTS if name not in claims and name not in DEVIATIONS] == []


def test_knownRequirements(claims: Claims) -> None:
    """
    Every ID in a test or a reason belongs to a requirement.
    """
    assert {*claims, *DEVIATIONS} - set(REQUIREMENTS) == set()


def test_document(claims: Claims) -> None:
    """
    The document is up to date; C{python -m tests.conformance} updates it.
    """
    assert DOCUMENT.read_text(encoding="utf-8") == render(claims)
