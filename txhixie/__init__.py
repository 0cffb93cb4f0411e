"""
WebSockets for Twisted, in every dialect a browser ever shipped, on one port.
"""

from txhixie.applications.broadcast import Broadcast, Echo
from txhixie.dialects.connection import CloseCode, State, UnsupportedMessage
from txhixie.dialects.head import HandshakeError
from txhixie.server.ending import WebSocketDone, WebSocketLost
from txhixie.server.factory import HixieFactory
from txhixie.server.protocol import HixieProtocol
from txhixie.settings import Settings
from txhixie.web.auth import Authenticated

__all__ = [
    "Authenticated",
    "Broadcast",
    "CloseCode",
    "Echo",
    "HandshakeError",
    "HixieFactory",
    "HixieProtocol",
    "Settings",
    "State",
    "UnsupportedMessage",
    "WebSocketDone",
    "WebSocketLost",
]
