"""
WebSockets for Twisted, in every dialect a browser ever shipped, on one port.
"""

from txhixie.application import Application, WebSocketProtocol, WebSocketTransport
from txhixie.applications.broadcast import Broadcast
from txhixie.applications.echo import Echo
from txhixie.applications.rooms import Rooms
from txhixie.applications.routes import Routes
from txhixie.applications.stream import StreamApplication
from txhixie.applications.visiting import Visitor
from txhixie.backplane import makeBackplane
from txhixie.backplane.contract import BackplaneError
from txhixie.client.connect import connect
from txhixie.console import Console
from txhixie.dialects.connection import State, UnsupportedMessage
from txhixie.dialects.errors import (
    HandshakeRefused,
    NoAnswer,
    NotWebSocket,
    OpeningError,
    OpeningTimedOut,
    WrongAnswer,
    WrongChallenge,
)
from txhixie.dialects.events import CloseCode
from txhixie.dialects.head import HandshakeError
from txhixie.endpoints.client import StreamClientEndpoint
from txhixie.gateway.gateway import Gateway
from txhixie.server.factory import HixieFactory
from txhixie.server.protocol import HixieProtocol
from txhixie.server.resource import HixieResource
from txhixie.server.roomresource import RoomsResource
from txhixie.server.service import HixieService
from txhixie.settings import Settings
from txhixie.web.auth import Authenticated
from txhixie.websocket.ended import WebSocketDone, WebSocketLost

__version__ = "0.1.0"

__all__ = [
    "Application",
    "Authenticated",
    "BackplaneError",
    "Broadcast",
    "CloseCode",
    "Console",
    "Echo",
    "Gateway",
    "HandshakeError",
    "HandshakeRefused",
    "HixieFactory",
    "HixieProtocol",
    "HixieResource",
    "HixieService",
    "NoAnswer",
    "NotWebSocket",
    "OpeningError",
    "OpeningTimedOut",
    "Rooms",
    "RoomsResource",
    "Routes",
    "Settings",
    "State",
    "StreamApplication",
    "StreamClientEndpoint",
    "UnsupportedMessage",
    "Visitor",
    "WebSocketDone",
    "WebSocketLost",
    "WebSocketProtocol",
    "WebSocketTransport",
    "WrongAnswer",
    "WrongChallenge",
    "connect",
    "makeBackplane",
]
