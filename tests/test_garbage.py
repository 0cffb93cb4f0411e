"""How often Python looks for garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from txhixie.server.garbage import collectLessOften
from txhixie.tap import Options, makeService


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Whatever a test sets is undone."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.mark.parametrize(
    ("before", "after"), [(1, 10_000), (700, 10_000), (10_001, 10_001), (0, 0)]
)
def test_threshold(before: int, after: int) -> None:
    """The first threshold is raised, unless it is higher, or collection is switched off."""
    gc.set_threshold(before, 11, 12)
    others = gc.get_threshold()[1:]
    collectLessOften()
    assert gc.get_threshold() == (after, *others)


def test_service() -> None:
    """The command does so."""
    gc.set_threshold(700)
    options = Options()
    options.parseOptions(["--port", "0"])
    makeService(options)
    assert gc.get_threshold()[0] == 10_000
