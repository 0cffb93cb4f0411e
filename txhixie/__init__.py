"""
WebSockets for Twisted, in every dialect a browser ever shipped, on one port.
"""

from txhixie.auth import Authenticated
from txhixie.connection import CloseCode, State, UnsupportedMessage
from txhixie.ending import WebSocketDone, WebSocketLost
from txhixie.factory import HixieFactory
from txhixie.head import HandshakeError
from txhixie.protocol import HixieProtocol
from txhixie.services import Broadcast, Echo
from txhixie.settings import Settings

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
