"""
Whether what the clients saw is what they should have seen.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

from tests.cluster.guest import Guest, Seen
from txhixie.backplane.contract import parseId


def problems(guests: Sequence[Guest]) -> list[str]:
    """
    Return what is wrong, one line each; nothing if all is well.

    The log is what those saw together who see ids. Everybody must have seen the part of it from
    its own coming on, and those who are still there to the end.
    """
    entries: dict[str, Seen] = {}
    for guest in guests:
        for each in () if guest.isPlain else guest.seen:
            if entries.setdefault(each.id, each) != each:
                return [f"client {guest.number} has {each}, others have {entries[each.id]}"]
    log = [entries[each] for each in sorted(entries, key=parseId)]
    found = [*_order(log), *_senders(log, guests)]
    bare = [each._replace(id="") for each in log]
    starts = {each.sender: index for index, each in reversed(list(enumerate(log)))
              if each.event == "open"}  # fmt: skip
    for guest in guests:
        if not guest.seen:
            found += [f"client {guest.number} has seen nothing"]
            continue
        start = starts.get(guest.id)
        if start is None:
            found += [f"the coming of client {guest.number} is not in the log"]
            continue
        whole = bare if guest.isPlain else log
        end = start + len(guest.seen) if guest.isLost else len(log)
        if guest.seen != whole[start:end]:
            found += [f"client {guest.number} {_difference(guest.seen, whole[start:end])}"]
    return found


def _difference(seen: Sequence[Seen], expected: Sequence[Seen]) -> str:
    for index, (one, other) in enumerate(zip(seen, expected, strict=False)):
        if one != other:
            return f"has {one} at {index}, and not {other}"
    return f"has seen {len(seen)} entries and not {len(expected)}"


def _order(log: Sequence[Seen]) -> list[str]:
    """
    Ids count on, or begin anew in a later epoch.
    """
    found = []
    for one, other in pairwise(log):
        before, after = parseId(one.id), parseId(other.id)
        isNext = after == (before[0], before[1] + 1)
        if not isNext and not (after[0] > before[0] and after[1] == 1):
            found.append(f"{other.id} comes after {one.id}")
    found += [f"{each} is a gap" for each in log if each.event == "gap"]
    return found


def _senders(log: Sequence[Seen], guests: Sequence[Guest]) -> list[str]:
    """
    The messages of each are there once and in order: all of those who are still there, and a
    beginning of the others'.
    """
    said: dict[str, list[str]] = defaultdict(list)
    for each in log:
        if each.event == "message":
            said[each.sender].append(each.text)
    found = []
    for guest in guests:
        heard = said.pop(guest.id, [])
        expected = guest.said[: len(heard)] if guest.isLost else guest.said
        if heard != expected:
            found.append(
                f"client {guest.number} said {len(guest.said)} texts, {len(heard)} are in the log, "
                f"and not the same: {sorted(set(expected) ^ set(heard))[:3]}"
            )
    found += [f"somebody who is not there said {texts[:3]}" for texts in said.values()]
    changes = Counter((each.event, each.sender) for each in log if each.event != "message")
    found += [f"{what} happened {count} times" for what, count in changes.items() if count > 1]
    for guest in guests:
        closes = changes["close", guest.id]
        if closes != guest.isLost:
            found.append(f"leaving of client {guest.number} was reported {closes} times")
    return found
