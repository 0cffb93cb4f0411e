"""
How entries of a room are put into words.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from txhixie.backplane.contract import Entry

# Makes a message of an entry.
Wording = Callable[[Entry], str]

_CHANGES = {"open": "New Connection: ", "close": "Connection Closed: "}


def plainly(entry: Entry) -> str:
    """
    Return an entry as a line for people.
    """
    _, event, sender, text = entry
    if event == "message":
        return f"{sender}: {text}" if sender else text
    if event == "gap":
        return f"Messages Missed: {text}" if text else "Messages Missed"
    return _CHANGES[event] + sender


def asJSON(entry: Entry) -> str:
    """
    Return an entry as a JSON object.
    """
    entryId, event, sender, text = entry
    return _json({"id": entryId, "event": event, "from": sender, "text": text})


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def presence(wording: Wording, entryId: str, members: Iterable[str]) -> str:
    """
    Return who is in a room, in words that go with a wording of entries.

    @param entryId: of the newest entry that counts.
    """
    if wording is asJSON:
        return _json({"id": entryId, "event": "presence", "members": list(members)})
    return f"Present: {', '.join(members)}"


# What ?format= may be.
WORDINGS: dict[str, Wording] = {"text": plainly, "json": asJSON}
