"""
The past of a room, for one attendee.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from txhixie.applications.attending import Attendee
from txhixie.backplane.contract import Backplane, Entry, parseId

# Entries that are read at once, and characters that are sent at once.
_PAGE, _MUCH = 100, 64 * 1024


async def replay(
    backplane: Backplane,
    key: str,
    attendee: Attendee,
    since: str,
    delivered: Callable[[], str],
    isWanted: Callable[[], bool],
) -> str:
    """
    Send an attendee the log of a room, page by page and as fast as it reads, until it has
    everything that was delivered to the others.

    @param key: the name of the room on the backplane.
    @param since: the id of the entry after which to begin.
    @param delivered: returns the id of the last entry that the others have.
    @param isWanted: returns whether the attendee is still there.
    @return: the id of the last entry that it got. The others may not have it yet.
    """
    while True:
        entries = await backplane.read(key, since, _PAGE)
        if not isWanted():
            return since
        if entries:
            entries = _beginning(entries)
            attendee.sendAll(tuple(map(attendee.wording.entry, entries)))
            since = entries[-1].id
        if not entries or parseId(since) >= parseId(delivered()):
            return since
        await attendee.ready()


def _beginning(entries: Sequence[Entry]) -> Sequence[Entry]:
    """
    Return the first entries that are sent together, at least one.
    """
    size = 0
    for number, entry in enumerate(entries, 1):
        size += len(entry.text)
        if size >= _MUCH:
            return entries[:number]
    return entries
