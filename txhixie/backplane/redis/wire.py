"""
How entries look in Redis: in a stream, and in the news of a channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from txhixie.backplane.contract import Entry, Event, formatId, parseId
from txhixie.backplane.ordering import NOWHERE, Position, Step


def fromNews(news: bytes) -> list[Step]:
    """
    Return what a message on a channel tells: entries that follow each other.

    @param news: the id of the first entry, that of the entry before it, then event, length of the
        sender and length of the text of each; and after a line feed all senders and texts.
    """
    head, _, bodies = news.partition(b"\n")
    first, before, *words = head.decode("ascii").split(" ")
    epoch, offset = parseId(first)
    after = parseId(before)
    steps = []
    start = 0
    for event, senderLength, textLength in zip(*[iter(words)] * 3, strict=True):
        middle = start + int(senderLength)
        end = middle + int(textLength)
        entry = Entry(
            formatId(epoch, offset),
            cast("Event", event),
            bodies[start:middle].decode(),
            bodies[middle:end].decode(),
        )
        position = (epoch, offset)
        steps.append(Step(after, position, entry))
        after = position
        offset += 1
        start = end
    return steps


def fromStream(items: Sequence[Any]) -> list[Step]:
    """
    Return what an answer to XRANGE tells.
    """
    steps = []
    for name, fields in items:
        entryId = name.decode()
        epoch, offset = position = parseId(entryId)
        values = dict(zip(fields[::2], fields[1::2], strict=True))
        entry = Entry(
            entryId,
            cast("Event", values[b"event"].decode()),
            values[b"sender"].decode(),
            values[b"text"].decode(),
        )
        before = values.get(b"after")
        after = (epoch, offset - 1) if before is None else parseId(before.decode())
        steps.append(Step(after, position, entry))
    return steps


def fromState(values: Sequence[bytes | None]) -> Position:
    """
    Return where a log ends, from its epoch and offset.
    """
    epoch, offset = values
    return NOWHERE if epoch is None or offset is None else (int(epoch), int(offset))
