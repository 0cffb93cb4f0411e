"""
The stages of a connection.
"""

from __future__ import annotations

from enum import Enum


class Stage(Enum):
    """
    The stages of a connection. Any of them may be skipped, but none comes back: see L{MOVES}.
    """

    OPENING = "the opening handshake is not complete"
    OPEN = "messages pass in both directions"
    CLOSING = "a close was sent or is about to be; messages are neither sent nor delivered"
    ENDING = "TCP is ending; what arrives is dropped"
    LOST = "the connection is gone, and the application has been notified"

    # Enum's own looks up the name, and shows in the cost of a handshake.
    __hash__ = object.__hash__


MOVES: dict[Stage, frozenset[Stage]] = {
    Stage.OPENING: frozenset({Stage.OPEN, Stage.CLOSING, Stage.ENDING, Stage.LOST}),
    Stage.OPEN: frozenset({Stage.CLOSING, Stage.ENDING, Stage.LOST}),
    Stage.CLOSING: frozenset({Stage.ENDING, Stage.LOST}),
    Stage.ENDING: frozenset({Stage.LOST}),
    Stage.LOST: frozenset(),
}
