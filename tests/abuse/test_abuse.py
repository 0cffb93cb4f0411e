"""
Attacks in small sizes: what the server answers, and that it gets over them. What they cost is for
C{python -m tests.abuse} to tell.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.abuse.__main__ import write
from tests.abuse.attacks import ATTACKS
from tests.abuse.run import perform
from tests.abuse.soak import Soak
from tests.abuse.subject import Subject, until


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(name: str) -> None:
    """
    The attacker gets the right answer, the other clients notice nothing but that it takes longer,
    and nothing is left of it: no descriptor, no object, no memory, no line of the log that the
    server did not mean.
    """
    outcome = perform(name, quick=True)
    if outcome.skipped and not os.environ.get("CI"):
        pytest.skip(outcome.skipped)
    assert outcome.skipped == ""
    assert outcome.problems == []
    assert outcome.answer
    assert outcome.during.samples > 0


def test_soak() -> None:
    """
    Clients that come and go, by TLS or not, rudely or not, all see the one order of a broadcast.
    """
    with Subject(secure=True) as subject:
        before = subject.holdings()
        soak = Soak(subject.port, subject.tlsPort, random.Random(1))
        soak.run(2.0, lambda: None)
        soak.finish()
        assert soak.departures.total() > 20
        assert soak.checked > 20 * soak.messages
        assert until(lambda: subject.descriptors() <= before.descriptors, 10)
        assert subject.holdings() == before


def test_write(tmp_path: Path) -> None:
    """
    The table goes where the document has a place for it; all else stays.
    """
    document = tmp_path / "document.md"
    document.write_text("before\n<!-- abuse -->\nold\n<!-- end of abuse -->\nafter\n")
    write(document, "new\n")
    expected = "before\n<!-- abuse -->\nnew\n<!-- end of abuse -->\nafter\n"
    assert document.read_text() == expected


def test_writeNowhere(tmp_path: Path) -> None:
    """
    A document without a place for the table is left alone.
    """
    document = tmp_path / "document.md"
    document.write_text("before\n")
    with pytest.raises(SystemExit, match="abuse"):
        write(document, "new\n")
    assert document.read_text() == "before\n"
