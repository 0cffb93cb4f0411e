"""The public names that applications need."""

from __future__ import annotations

import pytest

from .application import Recorder, Recording
from .network import Network
from .public import public
from .waiting import inReactor

# What an application may use of its transport.
TRANSPORT = (
    "id",
    "dialect",
    "request",
    "subprotocol",
    "state",
    "sendTextMessage",
    "sendTextMessages",
    "sendBytesMessage",
    "ping",
    "loseConnection",
    "loseWriteConnection",
    "fail",
    "abort",
    "behaveAsStream",
    "transport",
    "attachProducer",
    "detachProducer",
    "whenReceived",
    "pauseProducing",
    "resumeProducing",
    "stopProducing",
)


@pytest.mark.parametrize(
    "name", ["HixieService", "Routes", "Console", "Application", "WebSocketTransport"]
)
def test_nameIsPublic(name: str) -> None:
    """What users need is a name of the package, with a docstring."""
    assert public(name).__doc__.strip()


def test_transportIsTypingProtocol() -> None:
    """C{WebSocketTransport} is a C{typing.Protocol} with what a transport has."""
    transport = public("WebSocketTransport")
    assert getattr(transport, "_is_protocol", False)
    members = {*dir(transport), *getattr(transport, "__annotations__", {})}
    assert sorted({*TRANSPORT} - members) == []


@inReactor
async def test_transportHasAllOfIt(network: Network, dialect: str) -> None:
    """Every application's transport has all of it, from negotiationStarted on."""
    missing: list[str] = []

    def check(made: Recording) -> None:
        missing.extend(name for name in TRANSPORT if not hasattr(made.transport, name))

    await network.serve(
        Recorder(negotiationStarted=check, negotiationFinished=check, connectionLost=check)
    )
    client, made = await network.open(dialect)
    assert made.transport.dialect == dialect
    client.close()
    await network.lost(made)
    assert missing == []
