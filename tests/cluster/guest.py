"""
A client of the room, which notes everything it is sent.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from twisted.python.failure import Failure
    from twisted.web.websocket import WebSocketTransport


class Seen(NamedTuple):
    """
    An entry as a client sees it. A client that asked for texts does not see its id.
    """

    event: str
    sender: str
    text: str
    id: str = ""


class Guest:
    """
    One client.

    @ivar number: which one.
    @ivar isPlain: whether it is sent texts, and not JSON.
    @ivar id: what stands for it in the room.
    @ivar seen: everything that it has been sent, in order.
    @ivar said: the texts that it has sent, in order.
    @ivar isLost: whether its connection is gone.
    """

    def __init__(self, number: int, isPlain: bool) -> None:
        self.number = number
        self.isPlain = isPlain
        self.id = ""
        self.seen: list[Seen] = []
        self.said: list[str] = []
        self.isLost = False
        self._transport: WebSocketTransport | None = None

    def say(self, text: str) -> None:
        """
        Send a message.
        """
        if self._transport is not None and not self.isLost:
            self.said.append(text)
            self._transport.sendTextMessage(text)

    def leave(self) -> None:
        """
        Close the connection.
        """
        if self._transport is not None:
            self._transport.loseConnection()

    # What the connection tells

    def negotiationStarted(self, transport: WebSocketTransport) -> None:
        self._transport = transport

    def negotiationFinished(self) -> None:
        pass

    def textMessageReceived(self, message: str) -> None:
        entry = _plain(message) if self.isPlain else _json(message)
        if not self.seen:
            # The first thing that a member is sent is that it has come.
            self.id = entry.sender
        self.seen.append(entry)

    def bytesMessageReceived(self, data: bytes) -> None:
        raise AssertionError("there are only texts")

    def pongReceived(self, payload: bytes) -> None:
        pass

    def connectionLost(self, reason: Failure) -> None:
        self.isLost = True


def _json(message: str) -> Seen:
    found = json.loads(message)
    return Seen(found["event"], found["from"], found["text"], found["id"])


def _plain(message: str) -> Seen:
    what, _, rest = message.partition(": ")
    if what == "New Connection":
        return Seen("open", rest, "")
    if what == "Connection Closed":
        return Seen("close", rest, "")
    if what == "Messages Missed":
        return Seen("gap", "", rest)
    return Seen("message", what, rest)
