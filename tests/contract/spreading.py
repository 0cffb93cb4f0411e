"""
Tests with many values. A value has the same effect over every transport, so all values are tried in
every dialect over TCP, and only the first one also over TLS and a Unix socket.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest

from .transports import TRANSPORTS


def spread(
    names: str, values: Mapping[str, Any] | Sequence[Any], first: Collection[str] = ()
) -> pytest.MarkDecorator:
    """
    Parametrise a test.

    @param names: the names of its arguments, as in C{pytest.mark.parametrize}.
    @param values: the values by their names in the test's ID; or values whose text is their name.
    @param first: the name of the value that is tried over all transports; by default the first
        value.
    """
    named = values if isinstance(values, Mapping) else {_name(value): value for value in values}
    everywhere = first or [next(iter(named))]
    isSingle = "," not in names
    return pytest.mark.parametrize(
        f"transport, {names}",
        [
            pytest.param(transport, *((value,) if isSingle else value), id=f"{transport}-{name}")
            for name, value in named.items()
            for transport in TRANSPORTS
            if transport == "tcp" or name in everywhere
        ],
    )


def _name(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode()
    return getattr(value, "__name__", None) or str(value)
