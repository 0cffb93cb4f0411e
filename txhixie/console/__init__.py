"""
The console: a page that shows what the server does, and tries its WebSockets out, in browsers of
every era.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from importlib.resources import files
from typing import TYPE_CHECKING, cast
from weakref import WeakValueDictionary

from twisted.web.pages import notFound
from twisted.web.resource import IResource, Resource

from txhixie.dialects.connection import State
from txhixie.web.site import keepOutOfLog

if TYPE_CHECKING:
    from twisted.web.server import Request

    from txhixie.server.factory import HixieFactory
    from txhixie.websocket.websocket import WebSocket

# What the page may load, and from where. Browsers that do not know the field ignore it.
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; "
    b"img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_ASSETS = {
    "console.css": b"text/css; charset=utf-8",
    "console.js": b"text/javascript; charset=utf-8",
}

# Characters that a token has at least, so that nobody finds one by chance.
_TOKEN_LENGTH = 16


class _Place(Resource):
    """
    A resource without any children but those it was given.
    """

    allowedMethods = (b"GET", b"HEAD")

    def getChild(self, path: bytes, request: Request) -> IResource:
        return notFound()


class _Answer(_Place):
    """
    Answers GET and HEAD with C{content}, as nothing else than C{contentType}.
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

    def __init__(self, name: str, contentType: bytes) -> None:
        super().__init__()
        self.contentType = contentType
        self._content = files(__name__).joinpath(name).read_bytes()

    def content(self, request: Request) -> bytes:
        return self._content


class _Statistics(_Answer):
    """
    The sums of L{HixieFactory.statistics}.
    """

    def __init__(self, factory: HixieFactory) -> None:
        super().__init__()
        self._factory = factory

    def content(self, request: Request) -> bytes:
        # Every open console asks once a second.
        keepOutOfLog(request)
        return json.dumps(self._factory.statistics()).encode()


class _Dialect(_Answer):
    """
    The dialect of the connection that had C{?console=TOKEN} in its opening handshake. A browser
    does not tell its page.
    """

    def __init__(self, factory: HixieFactory) -> None:
        super().__init__()
        self._connections: WeakValueDictionary[bytes, WebSocket] = WeakValueDictionary()
        factory.notifyOpened(self._note)

    def _note(self, webSocket: WebSocket) -> None:
        assert webSocket.request is not None
        tokens = webSocket.request.args.get(b"console", [])
        if len(tokens) == 1 and len(tokens[0]) >= _TOKEN_LENGTH:
            self._connections[tokens[0]] = webSocket

    def content(self, request: Request) -> bytes:
        tokens = request.args.get(b"token", [])
        if len(tokens) != 1 or len(tokens[0]) < _TOKEN_LENGTH:
            request.setResponseCode(400)
            return json.dumps({"error": f"token: {_TOKEN_LENGTH} characters or more"}).encode()
        webSocket = self._connections.get(tokens[0])
        isOpen = webSocket is not None and webSocket.state is State.OPEN
        dialect = webSocket.dialect if webSocket is not None and isOpen else None
        return json.dumps({"dialect": dialect}).encode()


class Console(_Place):
    """
    The console of a server; its place is C{/console}.

    It shows everybody who can reach it the sums of the server, but neither addresses nor messages.
    """

    def __init__(self, factory: HixieFactory) -> None:
        """
        @param factory: whose connections are shown.
        """
        super().__init__()
        self._page = _File("index.html", b"text/html; charset=utf-8")
        self.putChild(b"", self._page)
        for name, contentType in _ASSETS.items():
            self.putChild(name.encode(), _File(name, contentType))
        self.putChild(b"statistics", _Statistics(factory))
        self.putChild(b"dialect", _Dialect(factory))

    def render(self, request: Request) -> bytes:
        """
        @return: the page, whether or not its address ends with a slash.
        """
        return cast(bytes, self._page.render(request))
