"""
A message that arrives in pieces.
"""

from __future__ import annotations

# Pieces of at least the first size are kept as they come. Smaller ones are joined, up to the second
# size.
_LARGE, _JOINED = 4096, 2**16


class Pieces:
    """
    The bytes of a message that have arrived. Small pieces are joined, because each one would take
    many times its size in memory. Large ones are not joined, because a growing buffer is copied
    again and again.

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
        Return all bytes, and drop them.
        """
        pieces, self._pieces = self._pieces, []
        self.size = 0
        return b"".join(pieces)
