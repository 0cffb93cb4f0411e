"""Which origins an asterisk stands for."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txhixie import Settings
from txhixie.dialects.opening import originAllowed


@pytest.mark.parametrize(
    ("pattern", "origin", "allowed"),
    [
        ("http://a.com", "http://a.com", True),
        ("http://a.com", "HTTP://A.COM", True),
        ("http://A.com", "http://a.com", True),
        ("http://a.com", "http://a.com:80", False),
        ("http://a.com", "http://aacom", False),
        ("*", "anything/at/all", True),
        ("http://*.com", "http://a.b.com", True),
        ("http://*.com", "http://.com", True),
        ("http://*.com", "http://com", False),
        ("http://*.com", "http://a/.com", False),
        ("http://*.com", "http://a.com/", False),
        ("*://a.com", "https://a.com", True),
        ("*://a.com", "://a.com", True),
        ("*a.com", "http://a.com", False),
        ("http://a*", "http://a", True),
        ("http://a*a", "http://a", False),
        ("http://a*a", "http://aa", True),
        ("http://*ab*bc*", "http://abc", False),
        ("http://*ab*bc*", "http://abbc", True),
        ("http://**", "http://a", True),
        ("null", "null", True),
    ],
)
def test_pattern(pattern: str, origin: str, allowed: bool) -> None:
    """An asterisk stands for any characters except slashes, also for none. Case is ignored."""
    assert originAllowed(origin, Settings(origins=("http://other", pattern))) is allowed


@given(st.text("ab*/", min_size=1, max_size=8), st.text("ab/", max_size=12))
def test_expression(pattern: str, origin: str) -> None:
    """That is what a regular expression finds."""
    expression = re.escape(pattern).replace(r"\*", "[^/]*")
    allowed = pattern == "*" or re.fullmatch(expression, origin) is not None
    assert originAllowed(origin, Settings(origins=(pattern,))) is allowed


def test_linear() -> None:
    """A pattern with twenty asterisks and a long origin finish; a regular expression would not."""
    origins = ("http://" + "*." * 20 + "example.com",)
    assert not originAllowed("http://" + "." * 16_000 + "x", Settings(origins=origins))
