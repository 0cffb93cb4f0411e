"""The applications that the tutorial prints do what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.blocks import blocks
from tests.interop.server import PROJECT
from txhixie import HandshakeRefused
from txhixie.testing import CollectingProtocol, connectedPair


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the classes of the tutorial are called."""
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PROJECT / "examples"))
        for block in blocks("python"):
            if block.page == "docs/tutorial.md" and "class " in block.text:
                exec(compile(block.text, str(block), "exec"), names)
    return names


class Application:
    """An application that makes its protocols by a function."""

    def __init__(self, buildProtocol: Callable[[Any], Any]) -> None:
        self.buildProtocol = buildProtocol


class Database:
    """Keeps messages, and knows one visitor."""

    def __init__(self) -> None:
        self.stored: list[str] = []

    async def store(self, message: str) -> None:
        self.stored.append(message)

    async def knows(self, session: bytes | None) -> bool:
        return session == b"ann"


def test_rooms(page: dict[str, Any]) -> None:
    """Who is in a room hears what is said there; who sends bytes is closed, who left is gone."""
    rooms, clients = page["Rooms"](), [CollectingProtocol(), CollectingProtocol()]
    ann = connectedPair(rooms, clients[0], url="/lobby")
    bob = connectedPair(rooms, clients[1], url="/lobby", clock=ann.clock)
    bob.client.sendTextMessage("hello")
    bob.advance()
    bob.client.sendBytesMessage(b"hello")
    bob.advance(10)
    assert [client.messages for client in clients] == [["hello"], ["hello"]]
    assert clients[1].ended is not None
    assert len(rooms.rooms[b"/lobby"]) == 1


def test_archive(page: dict[str, Any]) -> None:
    """A message is stored before it is answered."""
    database, client = Database(), CollectingProtocol()
    pair = connectedPair(Application(lambda request: page["Archive"](database)), client)
    pair.client.sendTextMessage("hello")
    pair.advance()
    assert (database.stored, client.messages) == (["hello"], ["stored"])


def test_bridge(page: dict[str, Any]) -> None:
    """If one side does not read, the other one is not read."""
    left = connectedPair(page["Rooms"](), CollectingProtocol())
    right = connectedPair(page["Rooms"](), CollectingProtocol(), clock=left.clock)
    server: Any = right.server
    page["Bridge"]().connect(left.server, server)
    left.client.pauseProducing()
    for _ in range(100):
        left.server.sendTextMessage("x" * 10_000)
    left.advance()
    before = server.messagesReceived
    right.client.sendTextMessage("hello")
    right.advance()
    assert server.messagesReceived == before
    left.client.resumeProducing()
    left.advance()
    right.advance()
    assert server.messagesReceived == before + 1


def test_members(page: dict[str, Any]) -> None:
    """Members come in, others get the status and the text."""
    members = page["Members"](Database())
    headers = {"Cookie": "session=ann"}
    pair = connectedPair(members, CollectingProtocol(), headers=headers)
    pair.advance()
    assert pair.client.state.name == "OPEN"
    stranger = connectedPair(members, CollectingProtocol())
    stranger.advance()
    with pytest.raises(HandshakeRefused, match="403"):
        assert stranger.client
    assert len(members.room) == 1


@pytest.mark.parametrize("dialect", ["hixie-75", "hixie-76", "rfc6455"])
def test_versioned(page: dict[str, Any], dialect: str) -> None:
    """The application chooses the subprotocol."""
    asked = ["chat.v1", "chat.v2"] if dialect == "rfc6455" else ["chat.v2"]
    pair = connectedPair(
        page["Versioned"](), CollectingProtocol(), dialect=dialect, subprotocols=asked
    )
    pair.advance()
    assert pair.client.subprotocol == "chat.v2"
