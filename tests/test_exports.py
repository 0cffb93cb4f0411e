"""The public face: what is named here stays."""

from __future__ import annotations

from types import ModuleType

import txhixie


def test_face() -> None:
    """The package offers these names and no others."""
    expected = [
        "Application",
        "Authenticated",
        "Broadcast",
        "CloseCode",
        "Console",
        "Echo",
        "HandshakeError",
        "HixieFactory",
        "HixieProtocol",
        "HixieResource",
        "HixieService",
        "Routes",
        "Settings",
        "State",
        "UnsupportedMessage",
        "WebSocketDone",
        "WebSocketLost",
        "WebSocketProtocol",
        "WebSocketTransport",
    ]
    assert expected == txhixie.__all__
    public = {
        name
        for name, value in vars(txhixie).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public == set(expected)


def test_documented() -> None:
    """Each has a docstring of its own."""
    for name in txhixie.__all__:
        value = getattr(txhixie, name)
        assert "__doc__" in vars(value), name
        assert value.__doc__.strip(), name


def test_home() -> None:
    """Each lives in a module of the package."""
    for name in txhixie.__all__:
        assert getattr(txhixie, name).__module__.startswith("txhixie."), name
