"""The header field Forwarded: what each proxy reported, whatever precedes it."""

from __future__ import annotations

import re
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txhixie.web.forwarded import elements


def read(*lines: bytes) -> list[dict[bytes, bytes]]:
    """@return: the elements of a field, the nearest proxy's first."""
    return list(elements([*lines]))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        # The examples of RFC 7239 section 4.
        (b'for="_gazonk"', [{b"for": b"_gazonk"}]),
        (b'For="[2001:db8:cafe::17]:4711"', [{b"for": b"[2001:db8:cafe::17]:4711"}]),
        (
            b"for=192.0.2.60;proto=http;by=203.0.113.43",
            [{b"for": b"192.0.2.60", b"proto": b"http", b"by": b"203.0.113.43"}],
        ),
        (
            b"for=192.0.2.43, for=198.51.100.17",
            [{b"for": b"198.51.100.17"}, {b"for": b"192.0.2.43"}],
        ),
        # Separators in quotes.
        (b'for="a, b";by="x;y=z"', [{b"for": b"a, b", b"by": b"x;y=z"}]),
        (rb'for="a\"b";by="\\", for=c', [{b"for": b"c"}, {b"for": b'a"b', b"by": b"\\"}]),
        (rb'for="\\\""', [{b"for": b'\\"'}]),
        (b'for=""', [{b"for": b""}]),
        # Common, but not allowed.
        (b"for=192.0.2.1:80;host=h:81", [{b"for": b"192.0.2.1:80", b"host": b"h:81"}]),
        (b"for=[::1]:80", [{b"for": b"[::1]:80"}]),
        (b" for=a ; proto=b\t", [{b"for": b"a", b"proto": b"b"}]),
        # Empty elements.
        (b"", [{}]),
        (b";", [{}]),
        (b";;for=a;", [{b"for": b"a"}]),
        (b",for=a,", [{}, {b"for": b"a"}, {}]),
        (b"FOR=a;secret=b", [{b"for": b"a", b"secret": b"b"}]),
    ],
)
def test_elements(line: bytes, expected: list[dict[bytes, bytes]]) -> None:
    """Each element is what one proxy reported, the last one first."""
    assert read(line) == expected


def test_lines() -> None:
    """Several lines are one list; without any there is nothing."""
    assert read(b"for=a, for=b", b"for=c") == [{b"for": b"c"}, {b"for": b"b"}, {b"for": b"a"}]
    assert read() == []


@pytest.mark.parametrize(
    "line",
    [
        *(b"for", b"for=", b"=a", b"for a", b"for==a", b"for=a=b=\xff", b"f(r=a", b"for=a b"),
        *(b'for="a', b'for=a"', b'for="a"b', b'"for"=a', b'for="a\\"', b'for="a"";by=c'),
        *(b"for=a;for=b", b"for=a;FOR=a", b"for=\x00", b"for=a\x7f", b"for=\xe4"),
    ],
)
def test_malformed(line: bytes) -> None:
    """A malformed element ends the list; those of nearer proxies are kept."""
    assert read(line) == []
    assert read(b"for=first," + line + b", for=last") == [{b"for": b"last"}]


_TOKENS = st.from_regex(re.compile(rb"[a-z0-9_-]+"), fullmatch=True)


@given(
    st.binary(max_size=200) | st.text('for=;,"\\ab[]:_ ', max_size=100).map(str.encode),
    st.lists(st.dictionaries(_TOKENS, st.binary(min_size=1), max_size=4), min_size=1, max_size=4),
)
def test_appended(invented: bytes, said: list[dict[bytes, bytes]]) -> None:
    """Whatever a client sent, the values that proxies append are read as they wrote them."""
    written = [
        b";".join(
            b'%b="%b"' % (name, re.sub(rb'(["\\])', rb"\\\1", value))
            for name, value in each.items()
        )
        for each in said
    ]
    assert read(b",".join([invented, *written]))[: len(said)] == said[::-1]
    assert read(invented, *written)[: len(said)] == said[::-1]


@given(st.lists(st.binary() | st.text('for=;,"\\ab[]:_ ').map(str.encode)))
def test_anyBytes(lines: list[bytes]) -> None:
    """Any bytes are elements or none; nothing is raised."""
    for element in read(*lines):
        assert all(name == name.lower() for name in element)


@pytest.mark.parametrize(
    "piece", [b'"', b"\\", b'\\"', b'"\\', b",", b";", b"=", b'for="', b"for=a;", b" ", b"a"]
)
def test_linear(piece: bytes) -> None:
    """The time grows linearly with the length."""
    short, long = (b"for=a," + piece * (size // len(piece)) for size in (10_000, 100_000))

    def seconds(line: bytes) -> float:
        began = process_time()
        read(line)
        return process_time() - began

    assert min(seconds(long) for _ in range(3)) < 40 * min(seconds(short) for _ in range(5)) + 0.01
