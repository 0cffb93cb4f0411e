"""
How a connection ended. Applications get this as the reason in C{connectionLost}.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from txhixie.dialects.connection import Connection
from txhixie.dialects.events import CloseCode, Closed, Failed


class WebSocketDone(ConnectionDone):
    """
    A connection ended as its dialect says it should.

    @ivar code: the close code; L{txhixie.CloseCode.NO_STATUS} in dialects without close codes.
    @ivar reason: the reason that the closing side gave.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"{code} {reason}".rstrip())
        self.code = code
        self.reason = reason


class WebSocketLost(ConnectionLost):
    """
    A connection ended in any other way.

    @ivar code: the close code that names the fault; L{txhixie.CloseCode.ABNORMAL} if TCP ended
        without a closing handshake.
    @ivar reason: the fault in words, if it is known.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"{code} {reason}".rstrip())
        self.code = code
        self.reason = reason


def howItEnded(
    farewell: Closed | Failed | None, connection: Connection, reason: Failure
) -> WebSocketDone | WebSocketLost:
    """
    Return how a connection ended.

    @param farewell: what the peer said when it closed, or what was wrong.
    @param reason: how TCP ended.
    """
    clean = connection.clean and (connection.finished or reason.check(ConnectionDone))
    if clean and not isinstance(farewell, Failed):
        if farewell is None:
            return WebSocketDone(CloseCode.NO_STATUS)
        return WebSocketDone(farewell.code, farewell.reason)
    if farewell is None:
        return WebSocketLost(CloseCode.ABNORMAL, str(reason.value).rstrip("."))
    return WebSocketLost(farewell.code, farewell.reason)
