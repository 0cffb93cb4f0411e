"""
A service that reports which objects the server holds: what is left over after an attack.
"""

from __future__ import annotations

import ctypes
import gc
import json
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from twisted.internet import tcp
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.web import http

from txhixie import HixieProtocol
from txhixie.dialects.connection import Connection

if TYPE_CHECKING:
    from twisted.python.failure import Failure
    from twisted.web.server import Request
    from twisted.web.websocket import WebSocketProtocol, WebSocketTransport

_COUNTED = (
    *(HixieProtocol, Connection, tcp.Connection, TLSMemoryBIOProtocol),
    *(http.HTTPChannel, http.Request),
)


def count() -> dict[str, int]:
    """
    Collect garbage, and return free memory to the system, so that the resident memory is the memory
    in use.

    @return: how many objects there are of each class that a connection has.
    """
    gc.collect()
    # GNU's C library has this function.
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    kinds = (type(thing) for thing in gc.get_objects())
    return Counter(kind.__name__ for kind in kinds if issubclass(kind, _COUNTED))


class Census:
    """
    Sends each client the L{count} as JSON, its own connection included, and closes.
    """

    def buildProtocol(self, request: Request) -> WebSocketProtocol:
        """
        @return: the protocol of a new client.
        """
        return _Teller()


class _Teller:
    def negotiationStarted(self, transport: WebSocketTransport) -> None:
        self._transport = transport

    def negotiationFinished(self) -> None:
        self._transport.sendTextMessage(json.dumps(count()))
        self._transport.loseConnection()

    def textMessageReceived(self, message: str) -> None:
        pass

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        pass

    def pongReceived(self, payload: bytes) -> None:
        pass

    def connectionLost(self, reason: Failure) -> None:
        pass
