"""
Puts the news of a room, and what is read from its log, into the order of the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from txhixie.backplane.contract import Entry, formatId

# An id as numbers: epoch and offset. Later entries have greater ones.
Position = tuple[int, int]

# The beginning of an unknown log.
NOWHERE: Position = (0, 0)
# The largest number of entries held while the log is read. If more come, the log is read again.
HELD = 1000


class Step(NamedTuple):
    """
    An entry, and where it stands in the log.

    @ivar after: the position of the entry before it.
    """

    after: Position
    position: Position
    entry: Entry


class Ordering:
    """
    Where a reader of a log stands. It knows which entry has to come next, so it notices what is
    missing and what it has had.

    @ivar position: of the last entry that was given out, or known to be lost.
    @ivar isReading: whether entries are missing, so the log has to be read from C{position} on.
    @ivar gaps: how often entries turned out to be lost.
    """

    __slots__ = ("_held", "_isHeldFull", "gaps", "isReading", "position")

    def __init__(self, position: Position = NOWHERE, isReading: bool = False) -> None:
        self.position = position
        self.isReading = isReading
        self.gaps = 0
        self._held: list[Step] = []
        self._isHeldFull = False

    def heard(self, steps: Sequence[Step]) -> list[Entry]:
        """
        Take news, which may be old, or not the next.

        @return: the entries that are next. If some are missing, L{isReading} is set.
        """
        if self.isReading:
            self._hold(steps)
            return []
        entries = []
        for index, step in enumerate(steps):
            if step.position <= self.position:
                continue
            if not self._isNext(step):
                self.isReading = True
                self._hold(steps[index:])
                break
            self.position = step.position
            entries.append(step.entry)
        return entries

    def read(self, steps: Sequence[Step], newest: Position, isAll: bool = True) -> list[Entry]:
        """
        Take what was read of the log, from L{position} on.

        @param newest: the end of the log, looked up before the entries were read.
        @param isAll: whether it was read to its end. If not, it has to be read further.
        @return: the entries that are next, and a C{gap} where some are lost.
        """
        entries = []
        for step in steps:
            if step.position <= self.position:
                continue
            if not self._isNext(step):
                entries.append(self._gap(step))
            self.position = step.position
            entries.append(step.entry)
        if not steps and newest > self.position:
            # Not even the last entry is kept.
            entries.append(self._lost(newest, _distance(self.position, newest)))
            self.position = newest
        if not isAll:
            return entries
        held, self._held = self._held, []
        isFull, self._isHeldFull = self._isHeldFull, False
        self.isReading = False
        entries += self.heard(held)
        self.isReading |= isFull
        return entries

    def _isNext(self, step: Step) -> bool:
        epoch, offset = self.position
        return step.after == self.position or step.position == (epoch, offset + 1)

    def _gap(self, step: Step) -> Entry:
        """
        Return what stands for the entries that are missing before one.
        """
        if step.after > self.position:
            return self._lost(step.after, _distance(self.position, step.after))
        # The log has lost what we had. It goes on from an earlier entry.
        epoch, offset = step.position
        return self._lost((epoch, offset - 1), "")

    def _lost(self, last: Position, number: str) -> Entry:
        self.gaps += 1
        return Entry(formatId(*last), "gap", "", number)

    def _hold(self, steps: Sequence[Step]) -> None:
        if len(self._held) + len(steps) <= HELD:
            self._held += steps
        else:
            self._isHeldFull = True


def _distance(start: Position, end: Position) -> str:
    """
    Return how many entries are after one, up to another, or nothing if that is not known.
    """
    return str(end[1] - start[1]) if start[0] == end[0] else ""
