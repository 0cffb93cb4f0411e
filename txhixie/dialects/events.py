"""
The events that a connection reports in every dialect, and close codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias


class CloseCode(IntEnum):
    """
    Close codes (RFC 6455 section 7.4.1). No Hixie dialect sends them; there they only tell the
    application what happened.
    """

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS = 1005
    ABNORMAL = 1006
    INVALID_DATA = 1007
    POLICY = 1008
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014


def mayBeSent(code: int) -> bool:
    """
    Return whether a close frame may carry C{code} (RFC 6455 section 7.4).
    """
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def checkClose(code: object, reason: object) -> None:
    """
    Check what an application closes a connection with.

    @raise TypeError: if the code is not an C{int} or the reason is not a C{str}.
    @raise ValueError: if the code may not be sent.
    """
    if not isinstance(code, int):
        raise TypeError(f"a close code is an int, not {type(code).__name__}")
    if not isinstance(reason, str):
        raise TypeError(f"the reason of a close is a str, not {type(reason).__name__}")
    if not mayBeSent(code):
        raise ValueError(f"{code} is not a close code that may be sent")


@dataclass(frozen=True, slots=True)
class Pong:
    """
    The peer answered a ping, or sent an unsolicited pong.

    @ivar payload: the ping's payload.
    """

    payload: bytes


@dataclass(frozen=True, slots=True)
class Discarded:
    """
    The peer sent a frame of a kind that the dialect reads but does not deliver. Only the first
    such frame of a connection is reported.

    @ivar frameType: its type byte.
    """

    frameType: int


@dataclass(frozen=True, slots=True)
class Closed:
    """
    The peer closed the connection: no event follows. Answer with L{Connection.sendClose
    <txhixie.dialects.connection.Connection.sendClose>}.

    @ivar code: the close code that the peer sent, or L{CloseCode.NO_STATUS}.
    @ivar reason: the reason that the peer sent.
    """

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """
    The peer broke the protocol or a limit: nothing more is read. End the connection with
    L{Connection.sendClose <txhixie.dialects.connection.Connection.sendClose>}.

    @ivar code: the close code that names the fault.
    @ivar reason: the fault in words.
    """

    code: int
    reason: str


# A text message is its str and a bytes message its bytes. These two come by the million, so no
# object is made around them.
Event: TypeAlias = str | bytes | Pong | Discarded | Closed | Failed
