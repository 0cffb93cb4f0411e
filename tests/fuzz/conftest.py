"""
What the tests of the fuzzer share.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuzz.runner import Log


@pytest.fixture
def log() -> Iterator[Log]:
    """
    Collects what is logged.
    """
    with Log() as log:
        yield log
