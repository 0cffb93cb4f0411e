"""
Records what an application does: a transport that collects what is sent to it, and a protocol that
collects what it receives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from zope.interface import implementer

from txhixie.application import PushProducer, WebSocketProtocol, WebSocketTransport
from txhixie.dialects.choosing import forClient
from txhixie.dialects.connection import State
from txhixie.dialects.events import checkClose
from txhixie.dialects.opening import Wish
from txhixie.dialects.url import WebSocketURL
from txhixie.settings import Settings
from txhixie.testing.wire import CLIENT, End, addresses
from txhixie.websocket.ended import WebSocketDone, WebSocketLost
from txhixie.websocket.producing import checkProducer

if TYPE_CHECKING:
    from twisted.python.failure import Failure
    from twisted.web.server import Request

_NOWHERE = Wish(WebSocketURL.parse("ws://example.com/"))
_numbers = count(1)


@implementer(IPushProducer)
class CollectingTransport:
    """
    A L{txhixie.WebSocketTransport} that collects what an application does with it, and raises what
    a real one would raise. It is open, but never calls the application or the producer: the test
    does that.

    @ivar id: unique.
    @ivar dialect: the name of the dialect.
    @ivar hasPing: whether the dialect has pings.
    @ivar subprotocol: as given.
    @ivar request: as given.
    @ivar messages: what was sent, texts as C{str}, bytes as C{bytes}. Messages that are sent after
        the closing handshake began are dropped, as in a real transport.
    @ivar pings: the payloads of the pings sent.
    @ivar closed: the code and the reason that the connection was closed with, or C{None}.
    @ivar isFailed: whether it was closed with L{fail}.
    @ivar transport: the transport below, which is not connected to anything.
    @ivar isAborted: whether the connection was aborted.
    @ivar isPaused: whether the application has paused reading.
    @ivar producer: the producer that is attached, or C{None}.
    """

    def __init__(
        self,
        dialect: str = "rfc6455",
        *,
        subprotocol: str | None = None,
        request: Request | None = None,
    ) -> None:
        """
        @raise ValueError: if there is no dialect of that name.
        """
        # Decides what may be sent.
        self._connection = forClient(dialect)(_NOWHERE, Settings()).connection()
        self.id = f"collecting-{next(_numbers)}"
        self.dialect = dialect
        self.hasPing = self._connection.hasPing
        self.subprotocol = subprotocol
        self.request = request
        self.messages: list[str | bytes] = []
        self.pings: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.isFailed = False
        # Twisted's interfaces are not types for mypy.
        self.transport: Any = End(Clock(), *addresses(_NOWHERE.url, CLIENT))
        self.isAborted = False
        self.isPaused = False
        self.producer: IPushProducer | PushProducer | None = None

    @property
    def state(self) -> State:
        """
        The C{readyState} of the connection.
        """
        return self._connection.state

    def sendTextMessage(self, text: str) -> None:
        """
        Collect a text message.
        """
        if self._connection.sendText(text):
            self.messages.append(text)
        self._connection.dropUnsent()

    def sendTextMessages(self, texts: Iterable[str]) -> None:
        """
        Collect several text messages.
        """
        if isinstance(texts, str):
            raise TypeError("sendTextMessages takes several str, not one")
        for text in texts:
            self.sendTextMessage(text)

    def sendBytesMessage(self, data: bytes | bytearray | memoryview) -> None:
        """
        Collect a bytes message.
        """
        data = memoryview(data).tobytes()
        if self._connection.sendBytes(data):
            self.messages.append(data)
        self._connection.dropUnsent()

    def ping(self, payload: bytes = b"") -> None:
        """
        Collect a ping, if the dialect has pings.
        """
        self._connection.sendPing(payload)
        if self._connection.dropUnsent():
            self.pings.append(payload)

    def loseConnection(self, code: int = 1000, reason: str = "") -> None:
        """
        Note how the connection is closed. The test calls C{connectionLost} of the application if
        the application needs to be notified of the end.
        """
        checkClose(code, reason)
        if self.closed is None and not self.isAborted:
            self.closed = code, reason
            self._connection.sendClose(code, reason)

    def loseWriteConnection(self) -> None:
        """
        Note that the connection is closed, like L{loseConnection}.
        """
        self.loseConnection()

    def fail(self, code: int, reason: str) -> None:
        """
        Note that the connection is closed for a fault.
        """
        self.isFailed = self.isFailed or self.state is State.OPEN
        self.loseConnection(code, reason)

    def behaveAsStream(self) -> None:
        """
        Do nothing: no peer is slow here.
        """

    def abort(self) -> None:
        """
        Note that the connection is aborted.
        """
        self.isAborted = True
        self._connection.abandon()

    def attachProducer(self, producer: IPushProducer | PushProducer) -> None:
        """
        Keep a producer.
        """
        checkProducer(producer)
        if self.producer is not None:
            raise RuntimeError("a producer is attached already")
        self.producer = producer

    def detachProducer(self) -> None:
        """
        Forget the producer.
        """
        self.producer = None

    def whenReceived(self, call: Callable[[], object]) -> None:
        """
        Call C{call} at once: nothing is being received.
        """
        call()

    def whenSettled(self, call: Callable[[], object]) -> None:
        """
        Call C{call} at once: nothing else comes together with this.
        """
        call()

    def pauseProducing(self) -> None:
        """
        Note that reading is paused.
        """
        self.isPaused = True

    def resumeProducing(self) -> None:
        """
        Note that reading goes on.
        """
        self.isPaused = False

    def stopProducing(self) -> None:
        """
        Close the connection.
        """
        self.loseConnection()


class CollectingProtocol(WebSocketProtocol):
    """
    A protocol that collects its calls, such as the client of a L{connectedPair
    <txhixie.testing.pair.connectedPair>}. It sends nothing by itself.

    @ivar transport: its transport.
    @ivar messages: what was received, texts as C{str}, bytes as C{bytes}.
    @ivar pongs: the payloads of the pongs.
    @ivar ended: the L{txhixie.WebSocketDone} or L{txhixie.WebSocketLost} at the end, or C{None}.
    """

    transport: WebSocketTransport

    def __init__(self) -> None:
        self.messages: list[str | bytes] = []
        self.pongs: list[bytes] = []
        self.ended: WebSocketDone | WebSocketLost | None = None

    def negotiationStarted(self, transport: WebSocketTransport) -> object:
        self.transport = transport
        return None

    def textMessageReceived(self, message: str) -> object:
        self.messages.append(message)
        return None

    def bytesMessageReceived(self, data: bytes) -> object:
        self.messages.append(data)
        return None

    def pongReceived(self, payload: bytes) -> object:
        self.pongs.append(payload)
        return None

    def connectionLost(self, reason: Failure) -> object:
        self.ended = cast(WebSocketDone | WebSocketLost, reason.value)
        return None
