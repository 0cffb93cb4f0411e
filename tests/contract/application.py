"""
Applications and producers that record what happens to them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted.python.failure import Failure
    from twisted.web.server import Request

STARTED = "negotiationStarted"
FINISHED = "negotiationFinished"
TEXT = "textMessageReceived"
BYTES = "bytesMessageReceived"
PONG = "pongReceived"
DROPPED = "messagesDropped"
LOST = "connectionLost"

# A message that begins with this is echoed and not recorded, in every test.
ECHO = "echo "

Hook = Callable[..., Any]


class Recording:
    """
    The application of one connection. It records each callback, then returns what the test's hook
    for it returns.

    @ivar calls: the names of its callbacks, as they were called.
    @ivar messages: the messages it received.
    @ivar ending: the exception that C{connectionLost} got.
    @ivar requestsEnded: how often C{notifyFinish} of its request fired, if a test asked for it.
    """

    transport: Any = None
    ending: Any = None
    requestsEnded = 0

    def __init__(self, request: Request, hooks: dict[str, Hook]) -> None:
        self.request = request
        self.calls: list[str] = []
        self.messages: list[str | bytes] = []
        self._hooks = hooks

    def _called(self, name: str, *arguments: object) -> Any:
        self.calls.append(name)
        hook = self._hooks.get(name)
        return None if hook is None else hook(self, *arguments)

    def negotiationStarted(self, transport: Any) -> Any:
        """
        Keep the transport.
        """
        self.transport = transport
        return self._called(STARTED)

    def negotiationFinished(self) -> Any:
        """
        Record that the connection is open.
        """
        return self._called(FINISHED)

    def textMessageReceived(self, message: str) -> Any:
        """
        Record a message, or echo it.
        """
        if message.startswith(ECHO):
            self.transport.sendTextMessage(message)
            return None
        self.messages.append(message)
        return self._called(TEXT, message)

    def bytesMessageReceived(self, data: bytes | bytearray) -> Any:
        """
        Record a message.
        """
        self.messages.append(bytes(data))
        return self._called(BYTES, data)

    def pongReceived(self, payload: bytes) -> Any:
        """
        Record a pong.
        """
        return self._called(PONG, payload)

    def messagesDropped(self, count: int) -> Any:
        """
        Record that messages were not sent.
        """
        return self._called(DROPPED, count)

    def connectionLost(self, reason: Failure) -> Any:
        """
        Record the end.
        """
        self.ending = reason.value
        return self._called(LOST)

    @property
    def isLost(self) -> bool:
        """
        Whether C{connectionLost} was called.
        """
        return LOST in self.calls


class Recorder:
    """
    An application of L{Recording}s.

    @ivar made: all of them, in order.
    """

    def __init__(
        self, decide: Callable[[Recording], Any] = lambda made: made, **hooks: Hook
    ) -> None:
        """
        @param decide: turns a L{Recording} into what C{buildProtocol} returns.
        @param hooks: by the names of callbacks, called with the L{Recording} and the arguments.
        """
        self.made: list[Recording] = []
        self._decide = decide
        self._hooks = hooks

    def buildProtocol(self, request: Request) -> Any:
        """
        Make a recording.
        """
        made = Recording(request, self._hooks)
        self.made.append(made)
        return self._decide(made)


@implementer(IPushProducer)
class Producer:
    """
    A producer that records how it is called.

    @ivar calls: the names of its methods, as they were called.
    """

    def __init__(self, **hooks: Callable[[], object]) -> None:
        """
        @param hooks: by the names of methods, what they do.
        """
        self.calls: list[str] = []
        self._hooks = hooks

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self._hooks:
            self._hooks[name]()

    def pauseProducing(self) -> None:
        """
        Record it.
        """
        self._called("pauseProducing")

    def resumeProducing(self) -> None:
        """
        Record it.
        """
        self._called("resumeProducing")

    def stopProducing(self) -> None:
        """
        Record it.
        """
        self._called("stopProducing")


def raises(error: type[BaseException]) -> Hook:
    """
    Return a hook that raises an error.
    """

    def hook(*arguments: object) -> None:
        raise error("raised by a test")

    return hook
