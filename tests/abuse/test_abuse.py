"""
Small attacks: what the server answers, and that it recovers. C{python -m tests.abuse} measures what
they cost.
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
    The attacker gets the right answer, the other clients notice only that it takes longer, and
    nothing is left over: no descriptor, no object, no memory, no unintended line of the log.
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
    Clients that come and go, with or without TLS, orderly or not, all see the one order of a
    broadcast.
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
    The table is written to its place in the document; the rest is unchanged.
    """
    document = tmp_path / "document.md"
    document.write_text("before\n<!-- abuse -->\nold\n<!-- end of abuse -->\nafter\n")
    write(document, "new\n")
    expected = "before\n<!-- abuse -->\nnew\n<!-- end of abuse -->\nafter\n"
    assert document.read_text() == expected


def test_writeNowhere(tmp_path: Path) -> None:
    """
    A document without a place for the table is unchanged.
    """
    document = tmp_path / "document.md"
    document.write_text("before\n")
    with pytest.raises(SystemExit, match="abuse"):
        write(document, "new\n")
    assert document.read_text() == "before\n"
