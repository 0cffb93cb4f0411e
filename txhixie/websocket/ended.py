"""
How a connection ended, as its application is told.
"""

from __future__ import annotations

from twisted.internet.error import ConnectionDone, ConnectionLost


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
