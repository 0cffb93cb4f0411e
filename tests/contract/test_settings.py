"""Invalid settings: an error where they are made, which names the field."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from txhixie import Settings

# Values of a wrong type, by the right type of a field.
WRONG_TYPES: dict[type, list[Any]] = {
    tuple: ["http://a", b"http://a", 5, None, {"a": 1}, ("a", 1), ["a", b"b"], (None,)],
    int: ["1MB", "5", 1.5, None, [1]],
    float: ["30", None, [1.0], 1j],
    bool: ["yes", "", None, 2, []],
    str: [5, b"drop", None, ["drop"]],
}

TUPLES = ["origins", "dialects", "trustedProxies", "subprotocols"]
WHOLE, SECONDS, FLAGS = (
    [field.name for field in fields(Settings) if field.type in (kind, kind.__name__)]
    for kind in (int, float, bool)
)


def cases() -> list[Any]:
    """
    Return each field with each value that is of the wrong type for it.
    """
    kinds = {tuple: TUPLES, int: WHOLE, float: SECONDS, bool: FLAGS, str: ["slowPolicy"]}
    rows = [
        (name, value)
        for kind, names in kinds.items()
        for name in names
        for value in WRONG_TYPES[kind]
    ]
    # Optional settings may be None.
    rows = [row for row in rows if row != ("dialects", None)]
    rows += [("location", 5), ("location", b"ws://a"), ("heartbeat", 5), ("heartbeat", b"beat")]
    return [pytest.param(name, value, id=f"{name}-{value!r}") for name, value in rows]


@pytest.mark.parametrize(("name", "value"), cases())
def test_wrongTypeIsTypeError(name: str, value: object) -> None:
    """A value of another type is a TypeError that names the field."""
    with pytest.raises(TypeError, match=name):
        Settings(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dialects", ("rfc6544",)),
        ("dialects", ("rfc6455", "RFC6455")),
        ("slowPolicy", "drip"),
        ("slowPolicy", ""),
        ("trustedProxies", ("10.0.0.0/33",)),
        ("trustedProxies", ("127.0.0.1", "somewhere")),
        ("location", "example.com"),
        ("location", "http://example.com"),
        ("location", "ws://"),
        ("location", "ws://example.com/path?query"),
        ("location", "ws://example.com:99999"),
        ("location", "wss://exa mple.com"),
        ("location", ""),
        *((name, -1) for name in WHOLE),
        *((name, -5) for name in SECONDS),
        *((name, float("nan")) for name in SECONDS),
    ],
)
def test_wrongValueIsValueError(name: str, value: object) -> None:
    """An invalid value is a ValueError that names the field."""
    with pytest.raises(ValueError, match=name):
        Settings(**{name: value})  # type: ignore[arg-type]


def test_replacedValueIsChecked() -> None:
    """The same if settings are made from others."""
    with pytest.raises(ValueError, match="pingInterval"):
        replace(Settings(), pingInterval=-5)
    with pytest.raises(TypeError, match="origins"):
        replace(Settings(), origins="http://a")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("origins", ["http://a", "http://*.b"]),
        ("dialects", ["rfc6455", "hixie-76"]),
        ("trustedProxies", ["10.0.0.0/8", "::1", "unix"]),
        ("subprotocols", ["chat"]),
        ("origins", []),
    ],
)
def test_listBecomesTuple(name: str, value: list[str]) -> None:
    """A list is accepted for a tuple, and copied: settings do not change later."""
    given = [*value]
    settings = Settings(**{name: given})  # type: ignore[arg-type]
    given.append("http://later")
    assert getattr(settings, name) == tuple(value)
    assert hash(settings) == hash(Settings(**{name: tuple(value)}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pingInterval", 5),
        ("handshakeTimeout", 0.25),
        ("dialects", None),
        ("location", None),
        ("location", "wss://chat.example.com:8443"),
        ("location", "ws://[::1]:8080"),
        ("heartbeat", ""),
        ("trustedProxies", ("127.0.0.1", "unix", "10.0.0.0/8", "::/0")),
        *((name, 0) for name in ("maxPerAddress", "acceptRate", "pingInterval", "logRate")),
    ],
)
def test_rightValueIsKept(name: str, value: object) -> None:
    """Every valid value is kept unchanged."""
    assert getattr(Settings(**{name: value}), name) == value  # type: ignore[arg-type]
