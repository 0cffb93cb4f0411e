"""
Several applications on one port.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from twisted.web.server import Request

    from txhixie.application import Application, WebSocketProtocol


class Routes:
    """
    Passes a request on to one of several applications, by the first segment of its path.
    """

    def __init__(self, routes: Mapping[bytes, Application], default: Application) -> None:
        """
        @param routes: applications by path segment.
        @param default: the application for all other paths.
        """
        self._routes = dict(routes)
        self._default = default

    def buildProtocol(
        self, request: Request
    ) -> WebSocketProtocol | Awaitable[WebSocketProtocol | None] | None:
        """
        Return what the application returns.
        """
        segment = request.path[1:].split(b"/", 1)[0]
        return self._routes.get(segment, self._default).buildProtocol(request)
