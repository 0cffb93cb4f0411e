"""Messages that arrive in pieces."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from txhixie.dialects.pieces import Pieces

sizes = st.lists(st.sampled_from([0, 1, 100, 4095, 4096, 65536]), max_size=40)


@given(sizes)
def test_all(sizes: list[int]) -> None:
    """Whatever their sizes, they are returned in order, once."""
    pieces = Pieces()
    expected = b""
    for number, size in enumerate(sizes):
        data = bytes([number]) * size
        pieces.add(data)
        expected += data
        assert pieces.size == len(expected)
    assert pieces.take() == expected
    assert pieces.size == 0
    assert pieces.take() == b""


def test_memory() -> None:
    """Small pieces take about as much memory as they have bytes, whatever is between them."""
    for large in (b"", b"x" * 4096):
        pieces = Pieces()
        tracemalloc.start()
        for number in range(50_000):
            pieces.add(b"%c" % (number % 256))
            if number % 100 == 0:
                pieces.add(bytes(large))
        taken = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert taken < 1.5 * pieces.size + 100_000


def test_large() -> None:
    """Large pieces are kept as they are."""
    pieces = Pieces()
    data = b"x" * 5000
    pieces.add(data)
    assert pieces.take() is data
