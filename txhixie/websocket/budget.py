"""
One memory budget for everything that the connections of a factory hold: the beginnings of
incomplete messages, and data that peers have not read.
"""

from __future__ import annotations

from typing import Protocol


class Holder(Protocol):
    """
    A connection that holds something.
    """

    def relieve(self) -> None:
        """
        Hold less, and L{Budget.report} it: the total is over the limit.
        """


class Budget:
    """
    Adds up what connections hold. When the total is over the limit, the largest shares have to go.
    Among shares of about the same size the oldest goes first, as it belongs to the slowest peer.

    A connection reports its share only when something is left over at the end of a read or a write.
    Messages that arrive whole and leave at once cost nothing.

    @ivar limit: the largest total, in bytes; infinity: no limit.
    @ivar held: bytes that are held in total.
    """

    def __init__(self, limit: int) -> None:
        """
        @param limit: the largest total, in bytes; 0: no limit.
        """
        self.limit = limit or float("inf")
        self._isRelieving = False
        self._shares: dict[Holder, int] = {}
        # Holders by the number of bits of their share. In each group, the oldest is the first.
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
                    # This holder cannot free anything more.
                    self.report(holder, 0)
        finally:
            self._isRelieving = False
