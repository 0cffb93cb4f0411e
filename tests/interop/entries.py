"""An application whose clients see numbered entries as JSON, and may ask for those they missed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twisted.python.failure import Failure
    from twisted.web.server import Request
    from twisted.web.websocket import WebSocketTransport


class Entries:
    """
    Sends every message to everybody, as an entry. The message C{abort} makes an entry, and ends the
    connection of its sender before it is delivered; C{silence} is not answered at all.
    """

    def __init__(self) -> None:
        self.entries: list[str] = []
        self.members: list[Member] = []

    def buildProtocol(self, request: Request) -> Member:
        (since,) = request.args.get(b"since", [b"0"])
        return Member(self, int(since))

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

    def __init__(self, room: Entries, since: int) -> None:
        self._room = room
        self._since = since

    def negotiationStarted(self, transport: WebSocketTransport) -> None:
        self.transport = transport

    def negotiationFinished(self) -> None:
        for entry in self._room.entries[self._since :]:
            self.transport.sendTextMessage(entry)
        self._room.members.append(self)
        if not self._since:
            self._room.add("open", None)

    def textMessageReceived(self, message: str) -> None:
        if message == "silence":
            return
        if message == "abort":
            self._room.members.remove(self)
            self.transport.abortConnection()  # type: ignore[attr-defined]
        self._room.add("message", message)

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        pass

    def pongReceived(self, payload: bytes) -> None:
        pass

    def connectionLost(self, reason: Failure) -> None:
        if self in self._room.members:
            self._room.members.remove(self)
