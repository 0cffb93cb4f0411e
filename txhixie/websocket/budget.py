"""
One budget of memory for what all connections of a factory hold: the beginnings of messages that are
not complete, and what was sent to peers who do not read it.
"""

from __future__ import annotations

from typing import Protocol


class Holder(Protocol):
    """
    A connection that holds something.
    """

    def relieve(self) -> None:
        """
        Hold less, and L{Budget.report} it: there is too much in all.
        """


class Budget:
    """
    Adds up what connections hold. When that is too much, the largest shares have to go, and of
    those about equally large the oldest: that of a peer who takes its time.

    A connection reports its share only when something is left over at the end of a read or a
    write. So messages that come whole, and go at once, cost nothing.

    @ivar limit: bytes that may be held in all; infinity: any number.
    @ivar held: bytes that are held in all.
    """

    def __init__(self, limit: int) -> None:
        """
        @param limit: bytes that may be held in all; 0: any number.
        """
        self.limit = limit or float("inf")
        self._isRelieving = False
        self._shares: dict[Holder, int] = {}
        # Holders by the number of bits of their share, the oldest first.
        self._sizes: list[dict[Holder, None]] = [{} for _ in range(64)]
        self.held = 0

    def report(self, holder: Holder, share: int) -> None:
        """
        Note how many bytes a connection holds now.
        """
        before = self._shares.get(holder, 0)
        if share == before:
            return
        self.held += share - before
        size, sizeBefore = share.bit_length(), before.bit_length()
        if size != sizeBefore:
            self._sizes[sizeBefore].pop(holder, None)
            self._sizes[size][holder] = None
        self._shares[holder] = share
        if not share:
            del self._shares[holder], self._sizes[0][holder]
        if self.held > self.limit and not self._isRelieving:
            self._relieve()

    def _relieve(self) -> None:
        self._isRelieving = True
        try:
            while self.held > self.limit:
                largest = next(filter(None, reversed(self._sizes)))
                holder = next(iter(largest))
                share = self._shares[holder]
                holder.relieve()
                if self._shares.get(holder) == share:
                    # There is nothing more that it could do.
                    self.report(holder, 0)
        finally:
            self._isRelieving = False
