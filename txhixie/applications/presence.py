"""
Who is in a room.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from twisted.internet.defer import Deferred

from txhixie.backplane.contract import Backplane, Entry, Event

_T = TypeVar("_T")


class Presence:
    """
    Finds out who is in a room, as of the entries that have been delivered, although those may come
    before or after the backplane's answer.
    """

    __slots__ = ("_backplane", "_counts", "_key")

    def __init__(self, backplane: Backplane, key: str) -> None:
        """
        @param key: the name of the room on the backplane.
        """
        self._backplane = backplane
        self._key = key
        # For each pending question, who came and left since it was asked.
        self._counts: tuple[dict[str, Event], ...] = ()

    def note(self, entries: Iterable[Entry]) -> None:
        """
        Note an entry that is delivered.
        """
        for changes in self._counts:
            changes.update(
                {each.sender: each.event for each in entries if each.event in ("open", "close")}
            )

    def count(self) -> Deferred[list[str]]:
        """
        Return a Deferred that fires with the ids of the members, sorted.
        """
        changes: dict[str, Event] = {}
        self._counts += (changes,)
        asked = self._backplane.members(self._key)
        asked.addBoth(self._answered, changes)
        return asked.addCallback(_changed, changes)

    def _answered(self, answer: _T, changes: dict[str, Event]) -> _T:
        # Several entries may be equal.
        self._counts = tuple(each for each in self._counts if each is not changes)
        return answer


def _changed(members: tuple[str, ...], changes: dict[str, Event]) -> list[str]:
    """
    Return the members after some changes. If the answer had them already, they change nothing.
    """
    found = set(members)
    for sender, event in changes.items():
        if event == "close":
            found.discard(sender)
        else:
            found.add(sender)
    return sorted(found)
