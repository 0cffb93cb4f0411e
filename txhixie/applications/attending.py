"""
The listeners of a room, and what a room needs of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from txhixie.applications.wording import Wording


class Sender(Protocol):
    """
    Sends messages to an attendee.
    """

    def sendTextMessage(self, text: str) -> None:
        """
        Send a message.
        """


class Attendee(Protocol):
    """
    A listener of a room: it gets what happens there.
    """

    @property
    def id(self) -> str:
        """
        The id that stands for it in entries.
        """

    @property
    def wording(self) -> Wording:
        """
        The format of what it gets.
        """

    @property
    def wantsPresence(self) -> bool:
        """
        Whether it first gets a list of the clients in the room.
        """

    @property
    def transport(self) -> Sender:
        """
        The sender of single messages.
        """

    def sendAll(self, messages: tuple[str, ...]) -> None:
        """
        Send any number of messages.
        """

    def whenReceived(self, call: Callable[[], object]) -> None:
        """
        Call C{call} once everything that is being received has been handled, if the transport
        knows.
        """

    def whenSettled(self, call: Callable[[], object]) -> None:
        """
        Call C{call} once everything that came together has been handled, if the transport knows.
        """

    def catchUp(self) -> None:
        """
        Prepare to send the past, which may be long.
        """

    def ready(self) -> Deferred[None]:
        """
        Return a Deferred that fires once more of it can be sent.
        """

    def caughtUp(self) -> None:
        """
        The past has been sent.
        """

    def failed(self, reason: str) -> None:
        """
        End the attendee: the room does not work.
        """


@implementer(IPushProducer)
class Past:
    """
    The past while it is sent: a transport's producer.
    """

    def __init__(self, whenSettled: Callable[[Callable[[], object]], None]) -> None:
        self._whenSettled = whenSettled
        self._isPaused = False
        self._waiting: Deferred[None] | None = None

    def ready(self) -> Deferred[None]:
        """
        Return a Deferred that fires once the transport takes more.
        """
        ready = self._waiting = Deferred()
        # What was sent is written now.
        self._whenSettled(self._goOn)
        return ready

    def _goOn(self) -> None:
        if self._waiting is not None and not self._isPaused:
            ready, self._waiting = self._waiting, None
            ready.callback(None)

    def pauseProducing(self) -> None:
        """
        The peer has to read first.
        """
        self._isPaused = True

    def resumeProducing(self) -> None:
        """
        Resume.
        """
        self._isPaused = False
        self._goOn()

    def stopProducing(self) -> None:
        """
        The connection is gone.
        """
        self._waiting = None
