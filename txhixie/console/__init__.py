"""
The console: a page that shows what the server does, and opens WebSockets to try them out, in
browsers of every era.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs

from twisted.web.pages import notFound
from twisted.web.resource import IResource, Resource

from txhixie.dialects.connection import State
from txhixie.web.site import keepOutOfLog
from txhixie.websocket.counters import EVENTS
from txhixie.websocket.ratelimit import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.web.server import Request

    from txhixie.dialects.head import HandshakeError
    from txhixie.server.factory import HixieFactory
    from txhixie.websocket.websocket import WebSocket

# What the page may load, and from where. Browsers that do not know this field ignore it.
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; "
    b"img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_CSS, _JS = b"text/css; charset=utf-8", b"text/javascript; charset=utf-8"
_ASSETS = {
    "console.css": _CSS,
    "dark.css": _CSS,
    "basics.js": _JS,
    "log.js": _JS,
    "address.js": _JS,
    "rooms.js": _JS,
    "connection.js": _JS,
    "paths.js": _JS,
    "composer.js": _JS,
    "charts.js": _JS,
    "statistics.js": _JS,
    "start.js": _JS,
    "favicon.png": b"image/png",
}

# The minimum length of a token, so that it cannot be found by chance, and the maximum.
_SHORTEST, _LONGEST = 16, 64
# How many closed connections are remembered with the way they ended.
_KEPT = 100


class _Place(Resource):
    """
    A resource that has only the children it was given.
    """

    allowedMethods = (b"GET", b"HEAD")

    def getChild(self, path: bytes, request: Request) -> IResource:
        return notFound()


class _Answer(_Place):
    """
    Answers GET and HEAD with C{content}, which has to be taken for C{contentType}.
    """

    contentType = b"application/json"
    caching = b"no-store"

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"Content-Type", self.contentType)
        request.setHeader(b"Cache-Control", self.caching)
        request.setHeader(b"Content-Security-Policy", _POLICY)
        request.setHeader(b"X-Content-Type-Options", b"nosniff")
        request.setHeader(b"Referrer-Policy", b"no-referrer")
        return self.content(request)

    def render_HEAD(self, request: Request) -> bytes:
        length = len(self.render_GET(request))
        request.setHeader(b"Content-Length", b"%d" % length)
        return b""

    @abstractmethod
    def content(self, request: Request) -> bytes:
        """
        @return: the body of the answer.
        """


class _File(_Answer):
    """
    A file of this package, read once.
    """

    caching = b"no-cache"

    def __init__(self, name: str, contentType: bytes, isLogged: bool = False) -> None:
        """
        @param isLogged: whether requests for it are in the access log. The page has many parts.
        """
        super().__init__()
        self.contentType = contentType
        self._isLogged = isLogged
        self._content = files(__name__).joinpath(name).read_bytes()

    def content(self, request: Request) -> bytes:
        if not self._isLogged:
            keepOutOfLog(request)
        return self._content


class _Statistics(_Answer):
    """
    The totals of L{HixieFactory.statistics}.
    """

    def __init__(self, factory: HixieFactory) -> None:
        super().__init__()
        self._factory = factory

    def content(self, request: Request) -> bytes:
        # Every open console requests this once a second.
        keepOutOfLog(request)
        return json.dumps(self._factory.statistics()).encode()


class _Server(_Answer):
    """
    What does not change while the server runs: the paths of its applications, and the counted
    events.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        super().__init__()
        self._content = json.dumps({"paths": list(paths), "events": EVENTS}).encode()

    def content(self, request: Request) -> bytes:
        keepOutOfLog(request)
        return self._content


class _Connection(_Answer):
    """
    The result of the opening handshake that had C{?console=TOKEN}: the dialect of the open
    connection, how it ended, or why it was refused. A browser does not give its page all of this.
    """

    def __init__(self, factory: HixieFactory) -> None:
        super().__init__()
        # How closed and refused connections ended, by their tokens; the newest is the last.
        self._over: dict[bytes, dict[str, Any]] = {}
        self._open: dict[bytes, WebSocket] = {}
        # The tokens of the open connections, by their ids.
        self._tokens: dict[str, bytes] = {}
        factory.notifyOpened(self._noteOpened)
        factory.notifyGone(self._noteGone)
        factory.notifyRefused(self._noteRefused)

    def _noteOpened(self, webSocket: WebSocket) -> None:
        assert webSocket.request is not None
        token = _token(webSocket.request.args, b"console")
        if token is not None:
            self._open[token] = webSocket
            self._tokens[webSocket.id] = token

    def _noteGone(self, webSocket: WebSocket) -> None:
        token = self._tokens.pop(webSocket.id, None)
        if token is None or self._open.get(token) is not webSocket:
            return
        del self._open[token]
        ending = webSocket.ending
        if ending is None:
            return
        # Some old browsers do not answer a close, so the server may not consider its end orderly.
        self._keep(
            token,
            closed={
                "code": ending.code,
                "reason": printable(ending.reason),
                "byServer": webSocket.sentClose,
            },
        )

    def _noteRefused(self, target: bytes, error: HandshakeError) -> None:
        query = target.partition(b"?")[2]
        token = _token(parse_qs(query), b"console") if b"console=" in query else None
        if token is not None:
            self._keep(token, refused={"status": error.status, "text": printable(error.text)})

    def _keep(self, token: bytes, **fate: Any) -> None:
        self._over.pop(token, None)
        self._over[token] = fate
        if len(self._over) > _KEPT:
            del self._over[next(iter(self._over))]

    def content(self, request: Request) -> bytes:
        # A page that reconnects requests this after each attempt.
        keepOutOfLog(request)
        token = _token(request.args, b"token")
        if token is None:
            request.setResponseCode(400)
            wanted = f"token: {_SHORTEST} to {_LONGEST} characters"
            return json.dumps({"error": wanted}).encode()
        answer: dict[str, Any] = {"dialect": None, "closed": None, "refused": None}
        webSocket = self._open.get(token)
        if webSocket is None:
            answer.update(self._over.get(token, {}))
        elif webSocket.state is State.OPEN:
            answer["dialect"] = webSocket.dialect
        return json.dumps(answer).encode()


def _token(arguments: dict[bytes, list[bytes]], name: bytes) -> bytes | None:
    """
    Return the token in a query, if there is exactly one.
    """
    tokens = arguments.get(name, [])
    if len(tokens) != 1 or not _SHORTEST <= len(tokens[0]) <= _LONGEST:
        return None
    return tokens[0]


class Console(_Place):
    """
    The console of a server, to be put at C{/console}.

    Everybody who can reach it sees the totals of the server, but neither addresses nor messages.
    """

    def __init__(self, factory: HixieFactory, paths: Sequence[str] = ()) -> None:
        """
        @param factory: whose connections are shown.
        @param paths: the paths of its applications, which the page offers.
        """
        super().__init__()
        self._page = _File("index.html", b"text/html; charset=utf-8", isLogged=True)
        self.putChild(b"", self._page)
        for name, contentType in _ASSETS.items():
            self.putChild(name.encode(), _File(name, contentType))
        self.putChild(b"statistics", _Statistics(factory))
        self.putChild(b"server", _Server(paths))
        self.putChild(b"connection", _Connection(factory))

    def render(self, request: Request) -> bytes:
        """
        @return: the page, with or without a slash at the end of its address.
        """
        return cast(bytes, self._page.render(request))
