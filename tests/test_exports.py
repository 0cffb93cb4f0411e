"""The public names, which stay."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import txhixie


def test_face() -> None:
    """The package offers these names and no others."""
    expected = [
        "Application",
        "Authenticated",
        "BackplaneError",
        "Broadcast",
        "CloseCode",
        "Console",
        "Echo",
        "Gateway",
        "HandshakeError",
        "HandshakeRefused",
        "HixieFactory",
        "HixieProtocol",
        "HixieResource",
        "HixieService",
        "NoAnswer",
        "NotWebSocket",
        "OpeningError",
        "OpeningTimedOut",
        "Rooms",
        "RoomsResource",
        "Routes",
        "Settings",
        "State",
        "StreamApplication",
        "StreamClientEndpoint",
        "UnsupportedMessage",
        "Visitor",
        "WebSocketDone",
        "WebSocketLost",
        "WebSocketProtocol",
        "WebSocketTransport",
        "WrongAnswer",
        "WrongChallenge",
        "connect",
        "makeBackplane",
    ]
    assert expected == txhixie.__all__
    public = {
        name
        for name, value in vars(txhixie).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public == set(expected)


def test_documented() -> None:
    """Each has its own docstring."""
    for name in txhixie.__all__:
        value = getattr(txhixie, name)
        assert not isinstance(value, type) or "__doc__" in vars(value), name
        assert value.__doc__.strip(), name


def test_home() -> None:
    """Each is defined in a module of the package."""
    for name in txhixie.__all__:
        assert getattr(txhixie, name).__module__.startswith("txhixie."), name


def test_version() -> None:
    """The package knows its version, the one of the distribution."""
    assert re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+.*", txhixie.__version__)
    project = Path(txhixie.__file__).parent.parent / "pyproject.toml"
    assert 'path = "txhixie/__init__.py"' in project.read_text(encoding="utf-8")
