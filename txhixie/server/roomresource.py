"""
Rooms for those without a WebSocket: event streams to listen, and POST to say something.
"""

from __future__ import annotations

import json
from inspect import isawaitable
from ipaddress import ip_address
from typing import Any, cast

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from txhixie.applications.rooms import Rooms
from txhixie.applications.wishes import nameOf, readQuery
from txhixie.applications.wording import EVENTS
from txhixie.backplane.contract import BackplaneError
from txhixie.dialects.head import HandshakeError, comeAgain
from txhixie.dialects.opening import checkOrigin
from txhixie.server.factory import HixieFactory
from txhixie.server.guests import Listener, Poster
from txhixie.server.resource import refuse

# The fields that proxies add to a request.
_FORWARDED = (b"forwarded", b"via", b"x-forwarded-for")
_LONGEST_KEY = 200
_STREAM = b"text/event-stream; charset=utf-8"


class RoomsResource(Resource):
    """
    Answers plain HTTP where rooms are: C{GET} with C{Accept: text/event-stream} listens to a room,
    C{GET} with C{?presence} says who is there, and C{POST} sends a message. The room is the next
    segment of the path, if there is one. The query is that of L{Rooms}, and C{Last-Event-ID} counts
    instead of C{since}.
    """

    isLeaf = True

    _log = Logger()

    def __init__(
        self,
        rooms: Rooms,
        factory: HixieFactory,
        publish: bool = False,
        fromAnywhere: bool = False,
        otherwise: IResource | None = None,
    ) -> None:
        """
        @param rooms: the rooms.
        @param factory: what serves this resource. Its settings apply, and when it closes its
            connections, event streams end.
        @param fromAnywhere: whether clients on other machines may use it, because they have already
            logged in.
        @param otherwise: answers a C{GET} or C{HEAD} that does not ask for a room; by default it is
            refused with 406.
        """
        super().__init__()
        self._rooms = rooms
        self._shared = factory.shared
        self._publish = publish
        self._fromAnywhere = fromAnywhere
        self._otherwise = otherwise
        self._listeners: dict[Listener, None] = {}
        self._keepingAlive = LoopingCall(self._keepAlive)
        self._keepingAlive.clock = self._shared.clock
        factory.notifyClosing(self._close)

    def render(self, request: Request) -> bytes | int:
        """
        Answer a request, or refuse it.
        """
        try:
            origin = request.getHeader(b"origin")
            if origin is not None:
                checkOrigin(origin, self._shared.settings)
                # As for WebSockets, pages of other origins may listen unless --origin says no.
                request.setHeader(b"Access-Control-Allow-Origin", origin)
                request.setHeader(b"Vary", b"Origin")
            # Hooks find it there in opening handshakes, too.
            cast(Any, request).avatar = request.getUser() if self._fromAnywhere else None
            answer: bytes | int = super().render(request)
        except HandshakeError as error:
            return refuse(request, error)
        return answer

    # Listening

    def render_GET(self, request: Request) -> bytes | int:
        """
        Let a client listen, or say who is there.

        @raise HandshakeError: if the request means nothing, or the room has no place.
        """
        isStream = b"text/event-stream" in _header(request, b"accept").lower()
        lastId = _header(request, b"last-event-id").decode("ascii", "replace") or None
        if not isStream and self._otherwise is not None and b"presence" not in request.uri:
            return cast("bytes | int", self._otherwise.render(request))
        name = nameOf(_segments(request))
        start, wording, wantsPresence = readQuery(request, lastId if isStream else None)
        if not isStream and not wantsPresence:
            raise HandshakeError(406, "text/event-stream is what there is, or ?presence")
        if request.method == b"HEAD":
            request.setHeader(b"Content-Type", _STREAM if isStream else b"application/json")
            return b""
        self._rooms.checkPlace(name)
        if not isStream:
            return self._answer(request, self._tellPresence(request, name))
        events = EVENTS[wording]
        listener = Listener(request, self._shared, name, events, wantsPresence)
        request.notifyFinish().addBoth(self._gone, listener)
        return self._answer(request, self._listen(listener, start))

    render_HEAD = render_GET

    async def _listen(self, listener: Listener, start: Any) -> None:
        await self._rooms.asked(listener)
        if listener.isLost:
            return
        room = self._rooms.enter(listener.room)
        if room is None:
            raise comeAgain("there are too many rooms")
        listener.entered = room
        if not self._listeners and self._shared.settings.pingInterval:
            self._keepingAlive.start(self._shared.settings.pingInterval, now=False)
        self._listeners[listener] = None
        listener.begin()
        room.listen(listener, start)

    def _gone(self, _: object, listener: Listener) -> None:
        listener.isLost = True
        listener.stream.lost()
        self._listeners.pop(listener, None)
        if not self._listeners and self._keepingAlive.running:
            self._keepingAlive.stop()
        if listener.entered is not None:
            listener.entered.forget(listener)
            leaving = Deferred.fromCoroutine(self._leave(listener))
            leaving.addErrback(lambda failure: self._log.failure("in a hook", failure))

    async def _leave(self, listener: Listener) -> None:
        gone = self._rooms.gone(listener)
        if isawaitable(gone):
            await gone

    def _keepAlive(self) -> None:
        for listener in list(self._listeners):
            listener.stream.keepAlive()

    def _close(self) -> None:
        for listener in list(self._listeners):
            listener.stream.end()

    async def _tellPresence(self, request: Request, name: str) -> None:
        members = await self._rooms.members(name)
        request.setHeader(b"Content-Type", b"application/json")
        request.setHeader(b"Cache-Control", b"no-store")
        _finish(request, json.dumps({"members": members}).encode())

    # Saying something

    def render_POST(self, request: Request) -> bytes | int:
        """
        Say something in a room. The answer is the id of the entry. With an C{Idempotency-Key}, a
        request that is repeated says it once.

        @raise HandshakeError: if that is not allowed, or the request means nothing.
        """
        if not self._publish:
            raise HandshakeError(403, "publishing is not allowed here")
        if not self._fromAnywhere and not _isLocal(request):
            raise HandshakeError(403, "only those on this machine may publish without logging in")
        name = nameOf(_segments(request))
        key = _header(request, b"idempotency-key").decode("ascii", "replace")
        if len(key) > _LONGEST_KEY or not key.isprintable():
            raise HandshakeError(400, f"an Idempotency-Key has up to {_LONGEST_KEY} characters")
        assert request.content is not None
        body = request.content.read()
        if len(body) > self._shared.settings.maxMessage:
            raise HandshakeError(413)
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            raise HandshakeError(400, "the body is not UTF-8") from None
        backplane = self._rooms.backplane
        if backplane.problem is not None:
            raise comeAgain(backplane.problem)
        if backplane.isFull:
            raise comeAgain("too much waits to be published")
        return self._answer(request, self._say(request, Poster(request, name), text, key))

    async def _say(self, request: Request, poster: Poster, text: str, key: str) -> None:
        await self._rooms.asked(poster)
        heard = self._rooms.heard(poster, text)
        if isawaitable(heard):
            heard = await heard
        if heard is False:
            answer = "\n".join(poster.answers) or "this message is not allowed here"
            raise HandshakeError(403, answer)
        entryId = await self._rooms.send(poster.room, heard, poster.id, key)
        request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
        _finish(request, str(entryId).encode())

    # Answers that take their time

    def _answer(self, request: Request, answering: Any) -> int:
        isGone: list[object] = []
        request.notifyFinish().addBoth(isGone.append)

        def failed(failure: Failure) -> None:
            error = failure.value
            if isinstance(error, BackplaneError):
                error = comeAgain(str(error))
            elif not isinstance(error, HandshakeError):
                self._log.failure("answering a request for a room", failure)
                error = HandshakeError(500)
            if not isGone:
                _finish(request, refuse(request, error))

        Deferred.fromCoroutine(answering).addErrback(failed)
        return NOT_DONE_YET


def _segments(request: Request) -> list[bytes]:
    """
    Return what follows the resource in the path, without a last empty segment.
    """
    found = list(request.postpath or ())
    return found[:-1] if found and not found[-1] else found


def _header(request: Request, name: bytes) -> bytes:
    values = request.requestHeaders.getRawHeaders(name, [])
    return values[-1].strip() if values else b""


def _isLocal(request: Request) -> bool:
    """
    Return whether a request comes from this machine, and not through a proxy.
    """
    if any(request.requestHeaders.hasHeader(name) for name in _FORWARDED):
        return False
    address = request.getClientAddress()
    if isinstance(address, UNIXAddress):
        return True
    try:
        found = ip_address(getattr(address, "host", ""))
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def _finish(request: Request, body: bytes) -> None:
    request.setHeader(b"Content-Length", b"%d" % len(body))
    request.write(body)
    request.finish()
