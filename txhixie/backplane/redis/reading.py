"""
Reads the logs of rooms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from txhixie.backplane.contract import BEGINNING, Entry, formatId, parseId
from txhixie.backplane.ordering import NOWHERE, Ordering, Position, Step
from txhixie.backplane.redis import keys
from txhixie.backplane.redis.link import Link
from txhixie.backplane.redis.wire import fromState, fromStream


class Found(NamedTuple):
    """
    Part of a log.

    @ivar newest: where the log ended before it was read.
    @ivar isAll: whether the log ends here.
    """

    steps: list[Step]
    newest: Position
    isAll: bool


async def newest(link: Link, room: str) -> Position:
    """
    Return where a log ends.
    """
    return fromState(await link.call("HMGET", keys.state(room), "epoch", "offset"))


async def after(link: Link, room: str, position: Position, limit: int) -> Found:
    """
    Return at most C{limit} entries after one.
    """
    epoch, offset = position
    # Both are sent at once. The end is looked up first, so nothing is thought to be missing that
    # was added in between.
    asked = link.call("HMGET", keys.state(room), "epoch", "offset")
    items = link.call("XRANGE", keys.stream(room), formatId(epoch, offset + 1), "+", "COUNT", limit)
    try:
        end = fromState(await asked)
    except Exception:
        # Both fail together.
        items.addErrback(lambda failure: None)
        raise
    steps = fromStream(await items)
    return Found(steps, end, len(steps) < limit)


async def read(link: Link, room: str, since: str, limit: int) -> Sequence[Entry]:
    """
    Do what L{Backplane.read<txhixie.backplane.contract.Backplane.read>} promises.
    """
    position = parseId(since)
    found = await after(link, room, position, limit)
    if found.steps or found.newest >= position:
        entries = Ordering(position, isReading=True).read(*found)
        if since == BEGINNING and entries and entries[0].event == "gap":
            del entries[0]
        return entries
    # What comes after that id is not known here: it is from a log that was lost.
    if found.newest == NOWHERE:
        return [Entry(BEGINNING, "gap", "", "")]
    if found.newest[0] == position[0]:
        return [Entry(formatId(*found.newest), "gap", "", "")]
    found = await after(link, room, NOWHERE, limit)
    entries = [step.entry for step in found.steps]
    epoch, offset = found.steps[0].position if found.steps else found.newest
    lost = formatId(epoch, offset - 1 if found.steps else offset)
    return [Entry(lost, "gap", "", ""), *entries]


async def tail(link: Link, room: str, count: int) -> str:
    """
    Do what L{Backplane.tail<txhixie.backplane.contract.Backplane.tail>} promises.
    """
    end = await newest(link, room)
    if not count:
        return formatId(*end)
    items = await link.call("XREVRANGE", keys.stream(room), "+", "-", "COUNT", count)
    if not items:
        return formatId(*end)
    # The offset before it leads to it, even if it is the first of its epoch.
    epoch, offset = parseId(items[-1][0].decode())
    return formatId(epoch, offset - 1)
