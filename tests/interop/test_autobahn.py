"""The server with the Autobahn TestSuite, the common measure of RFC 6455."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .autobahn import MISSING, PARTS, WSTEST, runPart
from .server import Server


def test_quick(tmp_path: Path) -> None:
    """
    Every case but those of limits and compression passes, and closes as it should.
    """
    if not WSTEST.exists():
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with Server(*PARTS["quick"].options) as server:
        report = runPart("quick", server.url("/echo"), tmp_path)
    assert len(report.results) == 247
    assert report.failed == []
    assert report.unclean == []
