"""
The messages between the supervisor and a worker: lines of JSON, through pipes of the worker.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Message = dict[str, Any]

# The worker's descriptors: its log goes to the first, orders come from the second, and answers go
# to the third. Those of the sockets follow.
LOG, ORDERS, ANSWERS, SOCKETS = 3, 4, 5, 6


def encode(message: Message) -> bytes:
    """
    Return a message as it is sent.
    """
    return json.dumps(message).encode() + b"\n"


def decode(line: bytes) -> Message:
    """
    Return the message of a line.
    """
    message: Message = json.loads(line)
    return message


class Lines:
    """
    Splits the bytes from a pipe into lines of any length.
    """

    def __init__(self, received: Callable[[bytes], object]) -> None:
        """
        @param received: called with each line, without its end.
        """
        self._received = received
        # The beginning of a line, in the pieces in which it came.
        self._pieces: list[bytes] = []

    def dataReceived(self, data: bytes) -> None:
        """
        Take the next bytes.
        """
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._pieces.append(line)
            whole, self._pieces = b"".join(self._pieces), []
            self._received(whole)
        if rest:
            self._pieces.append(rest)

    def end(self) -> None:
        """
        Take a last line that has no end.
        """
        if self._pieces:
            self.dataReceived(b"\n")
