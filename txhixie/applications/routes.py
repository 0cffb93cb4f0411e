"""
Several applications on one port.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from txhixie.application import startFactories, stopFactories

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from twisted.web.server import Request

    from txhixie.application import Application, WebSocketProtocol
    from txhixie.backplane.contract import Backplane
    from txhixie.settings import Settings

# A path has no query and no fragment. No path needs white space or empty segments.
_PATH = re.compile(r"/|(?:/[^/?#\s]+)+/?")


class Routes:
    """
    Passes each request to one of several applications, by its path.

    A route is the beginning of a path, in whole segments: C{"/chat"} takes C{/chat}, C{/chat/} and
    C{/chat/red}, but not C{/chatter}. If several routes fit, the longest one counts. Escapes in
    paths, such as C{%20}, are decoded before the comparison.

    @ivar paths: the paths that lead to the applications, one for each.
    """

    def __init__(
        self, routes: Mapping[str, Application], default: Application | None = None
    ) -> None:
        """
        @param routes: applications by path.
        @param default: the application for all other paths; C{None} refuses them with 404.
        @raise ValueError: if a route is not a path, or two routes are the same.
        """
        self._routes: dict[tuple[bytes, ...], Application] = {}
        for path, application in routes.items():
            segments = _segments(path)
            if segments in self._routes:
                raise ValueError(f"{path!r} is routed already")
            self._routes[segments] = application
        self._default = default
        self.paths = tuple(routes)
        if default is not None and default not in routes.values():
            self.paths += ("/",)
        self._depth = max(map(len, self._routes), default=0)

    def startFactory(self) -> None:
        """
        Start the applications.
        """
        startFactories(*self._routes.values(), self._default)

    def stopFactory(self) -> None:
        """
        Stop the applications.
        """
        stopFactories(*self._routes.values(), self._default)

    def buildProtocol(
        self, request: Request
    ) -> WebSocketProtocol | Awaitable[WebSocketProtocol | None] | None:
        """
        Return what the application returns, or C{None} if no application answers.
        """
        application = self._find(request.path)
        return None if application is None else application.buildProtocol(request)

    @property
    def applications(self) -> tuple[Application, ...]:
        """
        The applications, each once.
        """
        found = {id(each): each for each in self._routes.values()}
        if self._default is not None:
            found[id(self._default)] = self._default
        return tuple(found.values())

    def useBackplane(self, backplane: Backplane, settings: Settings) -> None:
        """
        Have those applications use a backplane that have the method, too.
        """
        for application in self.applications:
            use = getattr(application, "useBackplane", None)
            if use is not None:
                use(backplane, settings)

    def _find(self, path: bytes) -> Application | None:
        # At most as many segments of the path as the longest route has.
        raw = path[1:].split(b"/", self._depth)[: self._depth]
        segments = tuple(map(unquote_to_bytes, raw))
        for end in range(len(segments), -1, -1):
            application = self._routes.get(segments[:end])
            if application is not None:
                return application
        return self._default


def _segments(path: str) -> tuple[bytes, ...]:
    """
    Return the decoded segments of a route.

    @raise ValueError: if it is not a path.
    """
    if not _PATH.fullmatch(path):
        raise ValueError(f"{path!r} is not a path like /chat")
    segments = path.strip("/").split("/")
    return tuple(unquote_to_bytes(segment) for segment in segments if segment)
