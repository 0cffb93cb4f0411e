"""Settings: which values they accept, and which they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from txhixie import Settings
from txhixie.dialects.choosing import DIALECTS
from txhixie.settings import DIALECT_NAMES, declarations


def make(name: str, value: Any) -> Settings:
    """@return: settings with one value that is given."""
    return Settings(**{name: value})


def test_dialectNames() -> None:
    """Every dialect has its name among the settings."""
    assert {dialect.dialect for dialect in DIALECTS} == {*DIALECT_NAMES}


def test_defaults() -> None:
    """The defaults are unchanged by the checks."""
    for name, declaration in declarations().items():
        kept = declaration.metadata["kind"].check(declaration.default)
        assert (type(kept), kept) == (type(declaration.default), declaration.default), name


@pytest.mark.parametrize("name", declarations())
def test_wrongType(name: str) -> None:
    """A value of a wrong type is a TypeError that names the setting."""
    with pytest.raises(TypeError, match=f"^{name}: "):
        make(name, object())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("origins", value) for value in ("http://a", 7, ["http://a", 7])),
        *(("subprotocols", value) for value in ("chat", [b"chat"])),
        *(("maxMessage", value) for value in ("1MB", 1.5, True, None)),
        *(("pingInterval", value) for value in ("5", True, None)),
        *(("compression", value) for value in (1, "yes", None)),
        ("slowPolicy", None),
        ("dialects", "rfc6455"),
        ("heartbeat", b"ping"),
    ],
)
def test_types(name: str, value: Any) -> None:
    """Values that only look alike are refused as well."""
    with pytest.raises(TypeError, match=f"^{name}: "):
        make(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("maxMessage", value) for value in (0, -1)),
        *(("maxPerAddress", value) for value in (-1,)),
        *(("pingTimeout", value) for value in (0, -5, float("nan"), float("inf"))),
        *(("pingInterval", value) for value in (-5, float("nan"), float("inf"))),
        *(("dialects", value) for value in (("rfc6544",), (), ("",))),
        *(("origins", value) for value in (("",), ("http://a", ""))),
        *(("location", value) for value in ("h", "http://h", "wss://H", "wss://h:0", "wss://h/#x")),
        *(("trustedProxies", value) for value in (("everybody",), ("10.0.0.1/8",))),
        ("slowPolicy", "wait"),
        ("heartbeat", "\ud800"),
    ],
)
def test_values(name: str, value: Any) -> None:
    """An invalid value is a ValueError that names the setting."""
    with pytest.raises(ValueError, match=f"^{name}: "):
        make(name, value)


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("origins", ["http://a", "http://b"], ("http://a", "http://b")),
        ("dialects", ["rfc6455"], ("rfc6455",)),
        ("pingInterval", 5, 5.0),
        ("location", "wss://h:443", "wss://h"),
        ("location", "ws://h:443", "ws://h:443"),
        ("location", "wss://[::1]:8443/chat/", "wss://[::1]:8443/chat"),
        ("trustedProxies", ("unix", "::1"), ("unix", "::1")),
    ],
)
def test_kept(name: str, value: Any, kept: Any) -> None:
    """Values are kept in one form."""
    made = getattr(make(name, value), name)
    assert (type(made), made) == (type(kept), kept)
