"""
The built-in applications.

They use only Twisted's C{WebSocketProtocol} and C{WebSocketTransport}, so they also run in
C{twisted.web.websocket.WebSocketResource}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from txhixie.applications.broadcast import Broadcast
from txhixie.applications.echo import Echo

if TYPE_CHECKING:
    from txhixie.application import Application

# The names for --service. Add a new service here.
SERVICES: dict[str, Callable[[], Application]] = {"echo": Echo, "broadcast": Broadcast}
