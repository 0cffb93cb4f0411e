"""
The formats of the entries of a room.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from txhixie.backplane.contract import Entry

_CHANGES = {"open": "New Connection: ", "close": "Connection Closed: "}
# What ends a line in an event stream.
_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True, eq=False)
class Wording:
    """
    A format that clients may ask for.

    @ivar entry: makes a message of an entry.
    @ivar presence: makes a message of the id of the newest entry and of who is in a room.
    """

    entry: Callable[[Entry], str]
    presence: Callable[[str, Iterable[str]], str]


def _plainEntry(entry: Entry) -> str:
    _, event, sender, text = entry
    if event == "message":
        return f"{sender}: {text}" if sender else text
    if event == "gap":
        return f"Messages Missed: {text}" if text else "Messages Missed"
    return _CHANGES[event] + sender


def _plainPresence(entryId: str, members: Iterable[str]) -> str:
    return f"Present: {', '.join(members)}"


def _jsonEntry(entry: Entry) -> str:
    entryId, event, sender, text = entry
    return _json({"id": entryId, "event": event, "from": sender, "text": text})


def _jsonPresence(entryId: str, members: Iterable[str]) -> str:
    return _json({"id": entryId, "event": "presence", "members": list(members)})


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _asEvents(wording: Wording) -> Wording:
    """
    Return the wording for an event stream (HTML Living Standard, section 9.2.6). The id of an event
    is that of its entry.
    """

    def entry(entry: Entry) -> str:
        event = _event(wording.entry(entry))
        return f"id: {entry.id}\n{event}" if entry.id else event

    def presence(entryId: str, members: Iterable[str]) -> str:
        return _event(wording.presence(entryId, members))

    return Wording(entry, presence)


def _event(text: str) -> str:
    lines = "".join(f"data: {line}\n" for line in _LINE_END.split(text))
    return f"{lines}\n"


PLAIN = Wording(_plainEntry, _plainPresence)
# The values of ?format=, and their counterparts for event streams.
WORDINGS: dict[str, Wording] = {"text": PLAIN, "json": Wording(_jsonEntry, _jsonPresence)}
EVENTS: dict[Wording, Wording] = {each: _asEvents(each) for each in WORDINGS.values()}
