"""What an application adds to the answer of the opening handshake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support import HIXIE, IDIOMS, MODERN

from .application import Recorder, Recording
from .awaitables import Pending
from .client import Client
from .network import Network
from .spreading import spread
from .waiting import inReactor

PROTOCOL = b"Sec-WebSocket-Protocol"

# The field by which clients ask for a subprotocol, and learn which one it is.
PROTOCOL_FIELDS = {
    dialect: b"WebSocket-Protocol" if dialect == "hixie-75" else PROTOCOL for dialect in IDIOMS
}


def setting(*fields: tuple[bytes, bytes]) -> Callable[[Recording], Recording]:
    """
    Return an application's decision that sets header fields.
    """

    def decide(made: Recording) -> Recording:
        for name, value in fields:
            made.request.setHeader(name, value)
        return made

    return decide


async def refused(network: Network, dialect: str, status: int, **options: Any) -> Client:
    """
    Connect a client, and check that it is refused.
    """
    client = await network.connect(dialect, **options)
    await network.ended(client)
    assert client.status == status
    assert client.endedWell
    assert network.counted(f"refused {status}") == 1
    return client


def asking(dialect: str, *names: bytes) -> dict[str, Any]:
    """
    Return how a client asks for subprotocols.
    """
    return {"extra": [(PROTOCOL_FIELDS[dialect], b", ".join(names))]}


# Header fields


@inReactor
async def test_fieldsGoOut(network: Network, dialect: str) -> None:
    """Fields that buildProtocol sets are in the answer, next to cookies."""

    def decide(made: Recording) -> Recording:
        made.request.setHeader(b"X-Served-By", b"the left one")
        made.request.setHeader(b"Cache-Control", b"no-store")
        made.request.addCookie(b"visit", b"first")
        return made

    await network.serve(Recorder(decide))
    client, _ = await network.open(dialect)
    assert client.field(b"X-Served-By") == [b"the left one"]
    assert client.field(b"Cache-Control") == [b"no-store"]
    assert client.field(b"Set-Cookie") == [b"visit=first"]
    await network.answers(client)


@inReactor
async def test_lastValueGoesOut(network: Network, dialect: str) -> None:
    """A field that is set twice is sent once, as for requests of twisted.web."""
    await network.serve(Recorder(setting((b"X-Try", b"first"), (b"x-try", b"second"))))
    client, _ = await network.open(dialect)
    assert client.field(b"X-Try") == [b"second"]


@inReactor
async def test_fieldsOfSlowDecision(network: Network, dialect: str) -> None:
    """A buildProtocol that takes its time may set fields until it is done."""
    pending = Pending("deferred")

    async def decide(made: Recording) -> Recording:
        await pending.awaitable
        made.request.setHeader(b"X-Late", b"yes")
        return made

    await network.serve(Recorder(decide))
    client = await network.connect(dialect)
    await network.until(lambda: network.recorder.made, "buildProtocol")
    pending.finish()
    await network.until(lambda: client.isOpen, "the opening handshake")
    assert client.field(b"X-Late") == [b"yes"]


@inReactor
async def test_fieldsHoldNoOthers(network: Network, dialect: str) -> None:
    """The end of a line in a value does not begin another field."""
    await network.serve(Recorder(setting((b"X-Text", b"one\r\nX-Smuggled: two\nX-Other: 3"))))
    client, _ = await network.open(dialect)
    assert len(client.field(b"X-Text")) == 1
    assert client.field(b"X-Smuggled") == client.field(b"X-Other") == []


@spread(
    "name",
    [
        b"Upgrade",
        b"cOnNeCtIoN",
        b"Content-Length",
        b"Transfer-Encoding",
        b"Sec-WebSocket-Accept",
        b"sec-websocket-extensions",
        b"Sec-WebSocket-Anything",
        b"WebSocket-Origin",
        b"websocket-location",
    ],
)
@inReactor
async def test_fieldOfHandshakeIsRefused(network: Network, dialect: str, name: bytes) -> None:
    """A field that belongs to the handshake is not an application's: 500, and a line in the log."""
    await network.serve(Recorder(setting((b"X-Fine", b"fine"), (name, b"1"))))
    await refused(network, dialect, 500)
    assert network.recorder.made[0].calls == []
    lines = [line for line in network.lines() if name.decode().lower() in line.lower()]
    assert lines, "nothing in the log names the field"
    network.takeErrors()


# Subprotocols


@inReactor
async def test_applicationChoosesSubprotocol(network: Network, dialect: str) -> None:
    """An application chooses the subprotocol by the same field in every dialect."""
    await network.serve(Recorder(setting((PROTOCOL, b"chat"))))
    client, made = await network.open(dialect, **asking(dialect, b"chat"))
    assert client.field(PROTOCOL_FIELDS[dialect]) == [b"chat"]
    assert len([name for name, _ in client.fields if name.lower().endswith(b"-protocol")]) == 1
    assert made.transport.subprotocol == "chat"


@pytest.mark.parametrize("dialect", MODERN)
@pytest.mark.parametrize("asked", [b"superchat, chat", b"chat,superchat"])
@inReactor
async def test_applicationChoosesAmongSeveral(network: Network, dialect: str, asked: bytes) -> None:
    """It may choose any that the client asked for, whatever the settings prefer."""
    await network.serve(Recorder(setting((PROTOCOL, b"chat"))), subprotocols=("superchat",))
    client, made = await network.open(dialect, **asking(dialect, asked))
    assert client.field(PROTOCOL) == [b"chat"]
    assert made.transport.subprotocol == "chat"


@inReactor
async def test_applicationOverridesSettings(network: Network, dialect: str) -> None:
    """Settings that have other subprotocols do not keep an application from its choice."""
    await network.serve(Recorder(setting((PROTOCOL, b"chat"))), subprotocols=("superchat",))
    client, made = await network.open(dialect, **asking(dialect, b"chat"))
    assert client.field(PROTOCOL_FIELDS[dialect]) == [b"chat"]
    assert made.transport.subprotocol == "chat"


@pytest.mark.parametrize("asked", [(), (b"superchat",)], ids=["none", "other"])
@inReactor
async def test_choiceNobodyAskedForIsRefused(
    network: Network, dialect: str, asked: tuple[bytes, ...]
) -> None:
    """A subprotocol that the client did not ask for is 500, and a line in the log names it."""
    await network.serve(Recorder(setting((PROTOCOL, b"chatter"))), subprotocols=("superchat",))
    await refused(network, dialect, 500, **(asking(dialect, *asked) if asked else {}))
    assert network.recorder.made[0].calls == []
    assert network.logged("chatter")
    network.takeErrors()


@inReactor
async def test_settingsChooseOtherwise(network: Network, dialect: str) -> None:
    """If an application chooses nothing, the settings do."""
    await network.serve(Recorder(), subprotocols=("chat",))
    client, made = await network.open(dialect, **asking(dialect, b"chat"))
    assert client.field(PROTOCOL_FIELDS[dialect]) == [b"chat"]
    assert made.transport.subprotocol == "chat"


@pytest.mark.parametrize("dialect", HIXIE)
@inReactor
async def test_hixieClientWithoutItsSubprotocolIsRefused(network: Network, dialect: str) -> None:
    """A Hixie client that asked for a subprotocol that nobody chose gets 400."""
    await network.serve(Recorder())
    await refused(network, dialect, 400, **asking(dialect, b"chat"))


@pytest.mark.parametrize("dialect", MODERN)
@inReactor
async def test_otherClientGoesWithoutSubprotocol(network: Network, dialect: str) -> None:
    """Any other client is served, without one."""
    await network.serve(Recorder())
    client, made = await network.open(dialect, **asking(dialect, b"chat"))
    assert client.field(PROTOCOL) == []
    assert made.transport.subprotocol is None
