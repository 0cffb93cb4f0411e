"""
One opening handshake of a server, from its request until the WebSocket is open.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITCPTransport
from twisted.python.failure import Failure
from twisted.web.server import Site

from txhixie.application import Application, WebSocketProtocol
from txhixie.dialects.choosing import choose
from txhixie.dialects.head import HandshakeError, RequestHead
from txhixie.dialects.opening import ServerOpening
from txhixie.web.proxies import Forwarded
from txhixie.web.request import UpgradeRequest
from txhixie.websocket.awaiting import deferredFrom
from txhixie.websocket.liveness import Liveness
from txhixie.websocket.messagelog import logged
from txhixie.websocket.ratelimit import printable
from txhixie.websocket.reading import Reading
from txhixie.websocket.shared import Shared
from txhixie.websocket.websocket import WebSocket

# The callbacks that every protocol needs. A protocol without the others can still serve peers that
# only listen.
_CALLBACKS = ("negotiationStarted", "negotiationFinished", "connectionLost")


class Server(Protocol):
    """
    The parts of a server that an opening handshake uses.
    """

    site: Site
    shared: Shared
    liveness: Liveness

    def newId(self) -> str:
        """
        Return an id that no connection had before.
        """


class Owner(Protocol):
    """
    The connection that the request came on.
    """

    @property
    def isOver(self) -> bool:
        """
        Whether the connection is ending, or lost.
        """

    def peerName(self) -> str:
        """
        Return the peer's address for the log.
        """

    def keep(self, request: UpgradeRequest) -> None:
        """
        Keep a request, and tell it when the connection is gone.
        """

    def waitForDecision(self) -> None:
        """
        Read nothing until the application has decided.
        """

    def refuse(self, error: HandshakeError) -> None:
        """
        Answer with an error, and end the connection.
        """

    def accept(self, webSocket: WebSocket, reply: bytes) -> None:
        """
        Answer, and pass the bytes after the request head to this object.

        @param reply: the head of the answer.
        """

    def opened(self, webSocket: WebSocket) -> None:
        """
        Give the transport's bytes to the WebSocket from now on.
        """

    def webSocketGone(self) -> None:
        """
        The application has been notified of the end of the connection.
        """


class Upgrade:
    """
    Asks the application about a request. If it accepts, the WebSocket is made and the opening
    handshake is completed.
    """

    __slots__ = (
        "_decision",
        "_isBehind",
        "_opening",
        "_owner",
        "_reading",
        "_request",
        "_server",
        "_tail",
        "_transport",
        "_webSocket",
    )

    def __init__(
        self,
        owner: Owner,
        server: Server,
        transport: ITCPTransport,
        reading: Reading,
        isBehind: bool = False,
    ) -> None:
        """
        @param reading: pauses the transport.
        @param isBehind: whether the transport may still hold an answer to an earlier request.
        """
        self._owner = owner
        self._server = server
        self._transport = transport
        self._reading = reading
        self._isBehind = isBehind
        # The application's decision, while it is pending.
        self._decision: Deferred[Any] | None = None
        # Set once the application has accepted.
        self._opening: ServerOpening | None = None
        self._request: UpgradeRequest | None = None
        self._webSocket: WebSocket | None = None
        self._tail = b""

    @property
    def isPending(self) -> bool:
        """
        Whether the application has not decided yet.
        """
        return self._decision is not None

    def cancel(self) -> None:
        """
        Stop waiting for the application's decision.
        """
        decision, self._decision = self._decision, None
        if decision is not None:
            try:
                decision.cancel()
            except BaseException:
                # It must not keep the other connections from their end.
                self._server.shared.log.failure("cancelling a decision of the application")

    # The application's decision

    def ask(self, head: RequestHead, told: Forwarded, application: Application | None) -> None:
        """
        Ask the application about an opening handshake.

        @param told: what a proxy reported about the client.
        """
        server, settings = self._server, self._server.shared.settings
        try:
            dialect = choose(head, settings.dialects)
            if dialect is None or application is None:
                raise HandshakeError(405, "this is no proxy", [(b"Allow", b"GET, HEAD, POST")])
            head = told.applied(head.inOriginForm())
            request = UpgradeRequest(
                head, server.site, self._transport, told, dialect.dialect, self._owner.keep
            )
            opening = dialect(head, settings, request.isSecure())
            request.subprotocols = opening.requested
            answer = application.buildProtocol(request)
        except HandshakeError as error:
            self._owner.refuse(error)
        except BaseException:
            self._fail(Failure())
        else:
            self._decide(answer, opening, request)

    def _decide(self, answer: object, opening: ServerOpening, request: UpgradeRequest) -> None:
        """
        Accept or refuse the connection. If the application answers later, nothing more is read
        until then.
        """
        decision = deferredFrom(answer)
        if decision is None:
            self._accept(answer, opening, request)
            return
        self._decision = decision
        decision.addCallbacks(self._accept, self._fail, callbackArgs=(opening, request))
        log = self._server.shared.log
        decision.addErrback(lambda failure: log.failure("accepting", failure))
        if self._decision is not None:
            self._owner.waitForDecision()

    def _takeDecision(self) -> bool:
        """
        Note that the application has decided.

        @return: whether the client is still there.
        """
        self._decision = None
        return not self._owner.isOver

    def _accept(self, answer: object, opening: ServerOpening, request: UpgradeRequest) -> None:
        if not self._takeDecision():
            return
        try:
            if answer is None:
                raise HandshakeError(404, "nothing answers here")
            fields = _answerFields(opening, request)
            opening.checkSubprotocol()
            protocol = _checked(answer)
        except Exception:
            self._fail(Failure())
            return
        self._opening, self._request = opening, request
        turn = self._server.shared.turn
        turn.run(self._answer, protocol, opening, opening.reply(fields))

    def _answer(self, protocol: WebSocketProtocol, opening: ServerOpening, reply: bytes) -> None:
        server = self._server
        name = server.newId()
        connection = opening.connection()
        if server.shared.settings.logMessages:
            connection = logged(connection, name)
        self._webSocket = webSocket = WebSocket(
            server.shared,
            server.liveness,
            self._transport,
            self._reading,
            connection,
            protocol,
            self._owner,
            name=name,
            subprotocol=opening.subprotocol,
            request=self._request,
            isBehind=self._isBehind,
        )
        self._owner.accept(webSocket, reply)

    def _fail(self, failure: Failure) -> None:
        """
        Refuse the connection: the application refused it, or raised an error.
        """
        if not self._takeDecision():
            return
        if failure.check(HandshakeError):
            self._owner.refuse(cast(HandshakeError, failure.value))
            return
        shared = self._server.shared
        shared.count("application errors")
        shared.log.failure(
            "asking the application about {peer}: {error}",
            failure,
            peer=self._owner.peerName(),
            error=printable(failure.getErrorMessage()),
        )
        self._owner.refuse(HandshakeError(500))

    # The rest of the opening handshake

    def receive(self, data: bytes) -> None:
        """
        Take the bytes after the request head: the rest of the opening handshake, and messages.
        """
        opening, webSocket = self._opening, self._webSocket
        if opening is None or webSocket is None:
            return
        missing = opening.tailSize - len(self._tail)
        self._tail += data[:missing]
        if len(self._tail) < opening.tailSize or webSocket.isEnding:
            return
        answer = opening.complete(self._tail)
        self._owner.opened(webSocket)
        if self._server.shared.settings.logConnections:
            self._log(webSocket)
        webSocket.opened(answer, opening.tailSize)
        self._request = None
        if data[missing:]:
            webSocket.dataReceived(data[missing:])

    def _log(self, webSocket: WebSocket) -> None:
        assert self._request is not None
        self._server.shared.log.info(
            "{id} opened: {dialect} {target} from {peer}",
            id=webSocket.id,
            dialect=webSocket.dialect,
            target=printable(self._request.uri),
            peer=self._owner.peerName(),
        )


def _answerFields(opening: ServerOpening, request: UpgradeRequest) -> list[tuple[bytes, bytes]]:
    """
    Return the fields that an application added to the answer, after applying its choice of a
    subprotocol.

    @raise ValueError: if it chose one that the client did not ask for, or added a field that
        belongs to the handshake.
    """
    if request.chosenSubprotocol is not None:
        opening.chooseSubprotocol(request.chosenSubprotocol)
    return request.answerFields()


def _checked(answer: Any) -> WebSocketProtocol:
    """
    Return what C{buildProtocol} returned.

    @raise TypeError: if it is not a protocol.
    """
    for callback in _CALLBACKS:
        if not callable(getattr(answer, callback, None)):
            raise TypeError(f"buildProtocol returned {answer!r}, which has no {callback}")
    return cast(WebSocketProtocol, answer)
