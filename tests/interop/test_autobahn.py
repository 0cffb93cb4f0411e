"""Server and client with the Autobahn TestSuite, the standard conformance test of RFC 6455."""

from __future__ import annotations

from pathlib import Path

import pytest

from .autobahn import MISSING, PARTS, WSTEST, runClient, runPart
from .server import Server, missing


@pytest.mark.parametrize(
    ("part", "secure", "count"),
    [("quick", False, 247), ("quick", True, 247), ("limits", True, 54)],
    ids=["ws", "wss", "limits-by-wss"],
)
def test_cases(tmp_path: Path, part: str, secure: bool, count: int) -> None:
    """
    Every case except those of compression passes, and closes as it should.
    """
    if not WSTEST.exists():
        missing(MISSING)
    with Server(*PARTS[part].options, secure=secure) as server:
        report = runPart(part, server.url("/echo"), tmp_path)
    assert len(report.results) == count
    assert report.failed == []
    assert report.unclean == []


@pytest.mark.parametrize(("part", "count"), [("quick", 247), ("limits", 54)])
def test_client(tmp_path: Path, part: str, count: int) -> None:
    """
    The client passes and closes as it should, too.
    """
    if not WSTEST.exists():
        missing(MISSING)
    report = runClient(part, tmp_path)
    assert len(report.results) == count
    assert report.failed == []
    assert report.unclean == []
