"""
A message that arrives in pieces.
"""

from __future__ import annotations

# Pieces with as many bytes are kept as they come; smaller ones are joined up to as many.
_LARGE, _JOINED = 4096, 2**16


class Pieces:
    """
    The bytes of a message as far as they have arrived. Small pieces are joined, as each would take
    many times its memory. Large ones are not: a buffer that grows is copied again and again.

    @ivar size: how many bytes there are.
    """

    __slots__ = ("_pieces", "size")

    def __init__(self) -> None:
        self._pieces: list[bytes | bytearray] = []
        self.size = 0

    def add(self, data: bytes) -> None:
        """
        Add a piece.
        """
        self.size += len(data)
        pieces = self._pieces
        if len(data) >= _LARGE:
            pieces.append(data)
            return
        last = pieces[-1] if pieces else None
        if type(last) is bytearray and len(last) < _JOINED:
            last += data
        else:
            pieces.append(bytearray(data))

    def take(self) -> bytes:
        """
        Return all bytes, and hold them no longer.
        """
        pieces, self._pieces = self._pieces, []
        self.size = 0
        return b"".join(pieces)
