"""
Visitors of rooms who come by plain HTTP.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.web.server import Request

from txhixie.applications.attending import Past
from txhixie.applications.room import Room
from txhixie.applications.wording import Wording
from txhixie.backplane.contract import Entry
from txhixie.server.eventstream import EventStream
from txhixie.websocket.shared import Shared


class Listener:
    """
    A client that listens to an event stream: a visitor that does not appear in the room.
    """

    def __init__(
        self,
        request: Request,
        shared: Shared,
        room: str,
        wording: Wording,
        wantsPresence: bool,
    ) -> None:
        self.id = secrets.token_urlsafe(8)
        self.request: Request | None = request
        self.room = room
        self.wording = wording
        self.wantsPresence = wantsPresence
        self.stream = EventStream(request, shared, self.id)
        self.entered: Room | None = None
        self.isLost = False
        self._shared = shared
        self._early: list[str] = []
        self._past: Past | None = None

    # What a hook is given

    def send(self, text: str) -> None:
        """
        Send a message to this visitor alone.
        """
        message = self.wording.entry(Entry("", "message", "", text))
        if self.entered is None:
            self._early.append(message)
        else:
            self.stream.send((message,))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """
        Send the visitor away.
        """
        self.stream.end()

    # What the room asks of it

    def begin(self) -> None:
        """
        Begin the answer.
        """
        self.stream.begin(random.random())
        self.stream.send(tuple(self._early))

    @property
    def transport(self) -> Listener:
        """
        What sends a single message.
        """
        return self

    def sendTextMessage(self, text: str) -> None:
        """
        Send a message.
        """
        self.stream.send((text,))

    def sendAll(self, messages: tuple[str, ...]) -> None:
        """
        Send any number of messages.
        """
        self.stream.send(messages)

    def whenReceived(self, call: Callable[[], object]) -> None:
        """
        Call C{call} once everything that is being received has been handled.
        """
        self._shared.turn.whenReceived(call)

    def whenSettled(self, call: Callable[[], object]) -> None:
        """
        Call C{call} once everything that came together has been handled.
        """
        self._shared.turn.whenSettled(call)

    def catchUp(self) -> None:
        """
        Prepare for much to be sent.
        """
        self._past = self.stream.past = Past(self.whenSettled)

    def ready(self) -> Deferred[None]:
        """
        Return a Deferred that fires once more can be sent of the past.
        """
        assert self._past is not None
        return self._past.ready()

    def caughtUp(self) -> None:
        """
        The past has been sent.
        """
        self._past = self.stream.past = None

    def failed(self, reason: str) -> None:
        """
        End: the room does not work.
        """
        self.stream.end()


class Poster:
    """
    A client that sends one message, and is gone: a visitor that does not appear in the room.

    @ivar answers: what a hook has sent to it.
    """

    def __init__(self, request: Request, room: str) -> None:
        self.id = request.getUser().decode("utf-8", "replace")
        self.request: Request | None = request
        self.room = room
        self.answers: list[str] = []

    def send(self, text: str) -> None:
        """
        Send a message to this visitor alone.
        """
        self.answers.append(text)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """
        There is nothing to close.
        """
