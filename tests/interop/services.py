"""Applications for the tests of the console."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from txhixie import Rooms, Visitor

if TYPE_CHECKING:
    from twisted.python.failure import Failure
    from twisted.web.server import Request

    from txhixie import WebSocketTransport


class Entries:
    """
    Sends every message to all clients, as a numbered entry in JSON. Clients may ask for entries
    that they missed. The message C{abort} becomes an entry, too, but its sender's connection ends
    before that.
    """

    def __init__(self) -> None:
        self.entries: list[str] = []
        self.members: list[Member] = []

    def buildProtocol(self, request: Request) -> Member:
        (since,) = request.args.get(b"since", [b"0"])
        return Member(self, int(since), b"presence" in request.args)

    def add(self, event: str, text: str | None) -> None:
        """
        Add an entry, and send it to all.
        """
        number = str(len(self.entries) + 1)
        entry = json.dumps({"id": number, "event": event, "from": "someone", "text": text})
        self.entries.append(entry)
        for member in self.members:
            member.transport.sendTextMessage(entry)


class Member:
    """
    One client.
    """

    transport: WebSocketTransport

    def __init__(self, room: Entries, since: int, wantsPresence: bool) -> None:
        self._room = room
        self._since = since
        self._wantsPresence = wantsPresence

    def negotiationStarted(self, transport: WebSocketTransport) -> None:
        self.transport = transport

    def negotiationFinished(self) -> None:
        for entry in self._room.entries[self._since :]:
            self.transport.sendTextMessage(entry)
        self._room.members.append(self)
        if not self._since:
            self._room.add("open", None)
        if self._wantsPresence:
            members = {"id": "9", "event": "presence", "members": ["one", "two"]}
            self.transport.sendTextMessage(json.dumps(members))

    def textMessageReceived(self, message: str) -> None:
        if message == "abort":
            self._room.members.remove(self)
            self.transport.abort()
        self._room.add("message", message)

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        pass

    def pongReceived(self, payload: bytes) -> None:
        pass

    def connectionLost(self, reason: Failure) -> None:
        if self in self._room.members:
            self._room.members.remove(self)


# The visitors of the rooms below.
_visitors: set[Visitor] = set()


def _sendAway(speaker: Visitor, message: str) -> None:
    if message == "go":
        for visitor in _visitors - {speaker}:
            visitor.close(1001)


# Rooms in which somebody who says C{go} ends the connections of all others.
gathering = Rooms(
    "/broadcast", onJoin=_visitors.add, onMessage=_sendAway, onLeave=_visitors.discard
)


class Silent:
    """
    Never sends anything.
    """

    def buildProtocol(self, request: Request) -> Silent:
        return self

    def negotiationStarted(self, transport: WebSocketTransport) -> None:
        pass

    def negotiationFinished(self) -> None:
        pass

    def textMessageReceived(self, message: str) -> None:
        pass

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        pass

    def pongReceived(self, payload: bytes) -> None:
        pass

    def connectionLost(self, reason: Failure) -> None:
        pass
