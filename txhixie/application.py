"""
The interfaces between an application and its connections.

They extend those of C{twisted.web.websocket}, so an application written for that module fits here
unchanged.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from twisted.internet.interfaces import IPushProducer, ITransport
    from twisted.python.failure import Failure
    from twisted.web.server import Request

    from txhixie.dialects.connection import State


class PushProducer(Protocol):
    """
    Twisted's C{IPushProducer}, for the type checker.
    """

    def pauseProducing(self) -> None:
        """
        Produce nothing for a while.
        """

    def resumeProducing(self) -> None:
        """
        Go on producing.
        """

    def stopProducing(self) -> None:
        """
        Stop producing.
        """


class WebSocketTransport(Protocol):
    """
    One open WebSocket, as its application sees it: Twisted's C{WebSocketTransport}, and more.

    It is also a push producer, so another connection's L{attachProducer} takes it.
    """

    @property
    def id(self) -> str:
        """
        A short opaque string, unique and never used again.
        """

    @property
    def dialect(self) -> str:
        """
        The name of the dialect that the peer speaks, such as C{"rfc6455"}.
        """

    @property
    def hasPing(self) -> bool:
        """
        Whether the dialect has pings.
        """

    @property
    def subprotocol(self) -> str | None:
        """
        The subprotocol agreed on, or C{None}.
        """

    @property
    def request(self) -> Request | None:
        """
        The request that opened the connection. It is dropped once the opening handshake is
        complete, unless the application keeps a reference to it; then this is C{None}.
        """

    @property
    def state(self) -> State:
        """
        The C{readyState} of the connection.
        """

    @property
    def transport(self) -> ITransport:
        """
        The transport below: TCP, TLS or such. Use it only to look at it, such as for addresses, the
        peer's certificate and options of TCP.
        """

    def sendTextMessage(self, text: str) -> None:
        """
        Send a text message. Before the opening handshake is complete it waits. Once the
        connection is closing it is dropped. L{Settings.slowPolicy} decides what happens if the
        peer does not read.

        @raise TypeError: if C{text} is not a C{str}.
        @raise UnicodeEncodeError: if C{text} has lone surrogates; nothing is sent then.
        """

    def sendTextMessages(self, texts: Iterable[str]) -> None:
        """
        Send several text messages at once. Connections of one dialect that get the same tuple share
        its frames, which makes it fast to send many messages to many peers.

        @raise TypeError: as L{sendTextMessage}, and if C{texts} itself is a C{str}.
        @raise UnicodeEncodeError: as L{sendTextMessage}; some of the messages may be sent then.
        """

    def sendBytesMessage(self, data: bytes | bytearray | memoryview) -> None:
        """
        Send a bytes message, like L{sendTextMessage}.

        @param data: bytes or any other object with a buffer, such as an array. It is copied.
        @raise TypeError: if C{data} has no buffer.
        @raise txhixie.UnsupportedMessage: in dialects without bytes messages (Hixie-75, Hixie-76).
        """

    def ping(self, payload: bytes = b"") -> None:
        """
        Send a ping. Nothing happens in dialects without pings (Hixie-75, Hixie-76).

        @raise ValueError: if C{payload} has more than 125 bytes (RFC 6455 section 5.5).
        """

    def loseConnection(self, code: int = 1000, reason: str = "") -> None:
        """
        Send everything sent so far, then close with the dialect's closing handshake.

        @param code: the close code, in dialects that have close codes.
        @param reason: the reason, likewise; only its first 123 bytes of UTF-8 are sent.
        @raise TypeError: if C{code} is not an C{int} or C{reason} is not a C{str}.
        @raise ValueError: if C{code} may not be sent (RFC 6455 section 7.4).
        """

    def loseWriteConnection(self) -> None:
        """
        Send everything sent so far, then begin the closing handshake, but go on receiving messages
        until the peer answers it. The answer may take any time. Hixie-75 has no closing handshake:
        there, and before the opening handshake is complete, this is L{loseConnection}.
        """

    def fail(self, code: int, reason: str) -> None:
        """
        Close because what the peer sent makes no sense, or because of another fault. This is
        counted and logged, and the connection ends with L{txhixie.WebSocketLost}.

        @param code: the close code, as for L{loseConnection}.
        @param reason: the reason, likewise.
        @raise ValueError: as L{loseConnection}.
        """

    def abort(self) -> None:
        """
        End the connection now: nothing more is sent, and no message is delivered.
        """

    def behaveAsStream(self) -> None:
        """
        Leave backpressure to the application, as TCP does. Nothing is dropped, however much waits
        for the peer: L{Settings.sendLimit} and L{Settings.slowPolicy} no longer apply to this
        connection, only L{Settings.memoryLimit} does. Messages are also received while the peer
        does not read; otherwise two sides that send much would wait for each other.
        """

    def attachProducer(self, producer: IPushProducer | PushProducer) -> None:
        """
        Pause C{producer} while the peer does not read what it is sent, and until the opening
        handshake is complete. It is stopped when the connection is lost.

        @raise TypeError: if C{producer} is not a push producer.
        @raise RuntimeError: if a producer is attached already.
        """

    def detachProducer(self) -> None:
        """
        Forget the attached producer.
        """

    def whenReceived(self, call: Callable[[], object]) -> None:
        """
        Call C{call} once everything that is being received has been handled, and before anything
        sent meanwhile is written. If nothing is being received, call it at once.
        """

    def whenSettled(self, call: Callable[[], object]) -> None:
        """
        Call C{call} once the reactor has delivered everything that came together with what is being
        handled, on all connections. Use this for events that many connections may have at once,
        such as their opening or their end.
        """

    def pauseProducing(self) -> None:
        """
        Stop reading: no message is delivered until L{resumeProducing}.
        """

    def resumeProducing(self) -> None:
        """
        Go on reading after L{pauseProducing}.
        """

    def stopProducing(self) -> None:
        """
        Close the connection, as L{loseConnection} does.
        """


class WebSocketProtocol(Protocol):
    """
    What handles one connection: Twisted's C{WebSocketProtocol}.

    Every method may return C{None}, or an awaitable: a Deferred, a coroutine or an asyncio
    Future. The next call of the same connection waits for it, and nothing more is read meanwhile.
    An error closes the connection with the code 1011.

    The methods here do nothing. A subclass may override some of them.

    If there is a method C{messagesDropped(count)}, it is called when the peer was too slow and
    missed messages.

    If there is a method C{closeReceived(code, reason)}, it is called when the peer begins the
    closing handshake. The answer then waits until the application calls C{loseConnection}, and
    messages that the application sends before that still go out. Hixie-75 has no closing handshake.
    """

    def negotiationStarted(self, transport: Any, /) -> object:
        """
        The connection is accepted. What is sent now waits for the opening handshake.

        @param transport: a L{WebSocketTransport}. The parameter may be annotated with it or with
            Twisted's C{WebSocketTransport}.
        """
        return None

    def negotiationFinished(self) -> object:
        """
        The opening handshake is complete.
        """
        return None

    def textMessageReceived(self, message: str, /) -> object:
        """
        The peer sent a text message.
        """
        return None

    def bytesMessageReceived(self, data: bytes, /) -> object:
        """
        The peer sent a bytes message.
        """
        return None

    def pongReceived(self, payload: bytes, /) -> object:
        """
        The peer answered a ping.
        """
        return None

    def connectionLost(self, reason: Failure, /) -> object:
        """
        The connection is gone. This is called once, after everything else.

        @param reason: a L{txhixie.WebSocketDone} or L{txhixie.WebSocketLost}.
        """
        return None


class Application(Protocol):
    """
    Answers WebSocket requests. This is Twisted's C{WebSocketServerFactory}, but it may also refuse
    a request, and may answer later.

    If there are methods C{startFactory()} and C{stopFactory()}, they are called when the first port
    of a L{txhixie.HixieFactory} begins to listen, and when the last one has stopped.
    """

    def buildProtocol(
        self, request: Request, /
    ) -> WebSocketProtocol | Awaitable[WebSocketProtocol | None] | None:
        """
        Return what handles a new connection, or C{None} to refuse it with 404; or an awaitable of
        either.

        Header fields that are set with C{request.setHeader}, and cookies that are added with
        C{request.addCookie}, go out with the answer. C{Sec-WebSocket-Protocol} chooses the
        subprotocol, in every dialect.

        @raise txhixie.HandshakeError: to refuse the connection with another status.
        """


def startFactories(*applications: Application | None) -> None:
    """
    Call C{startFactory} of applications: a port listens.
    """
    _tell("startFactory", applications)


def stopFactories(*applications: Application | None) -> None:
    """
    Call C{stopFactory} of applications: no port listens any longer.
    """
    _tell("stopFactory", applications)


def _tell(name: str, applications: Iterable[Application | None]) -> None:
    for application in applications:
        call = getattr(application, name, None)
        if call is not None:
            call()
