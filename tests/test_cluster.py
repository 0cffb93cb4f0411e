"""The comparison of what clients saw notices everything that may be wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cluster.guest import Guest
from tests.cluster.verdict import problems


def told(guest: Guest, *entries: tuple[str, str, str, str]) -> None:
    """Have a client be sent entries, from id, event, sender and text."""
    for entryId, event, sender, text in entries:
        if guest.isPlain:
            words = {"open": "New Connection: ", "close": "Connection Closed: "}
            message = words.get(event, "") + (f"{sender}: {text}" if text else sender)
        else:
            message = f'{{"id":"{entryId}","event":"{event}","from":"{sender}","text":"{text}"}}'
        guest.textMessageReceived(message)


LOG = (
    ("5-1", "open", "A", ""),
    ("5-2", "open", "B", ""),
    ("5-3", "message", "A", "a1"),
    ("5-4", "open", "C", ""),
    ("5-5", "message", "C", "c1"),
    ("7-1", "message", "B", "b1"),
    ("7-2", "close", "C", ""),
    ("7-3", "message", "A", "a2"),
)


def crowd() -> list[Guest]:
    """@return: clients that have seen what they should; C is gone."""
    guests = [Guest(number, isPlain=number == 1) for number in range(3)]
    for guest, start, end in zip(guests, (0, 1, 3), (8, 8, 5), strict=True):
        told(guest, *LOG[start:end])
    for guest, texts in zip(guests, (["a1", "a2"], ["b1"], ["c1", "c2"]), strict=True):
        guest.said = texts
    guests[2].isLost = True
    return guests


def test_right() -> None:
    """Nothing is wrong."""
    assert [guest.id for guest in crowd()] == ["A", "B", "C"]
    assert problems(crowd()) == []


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda a, b, c: b.seen.pop(), "client 1 has seen 6 entries and not 7"),
        (lambda a, b, c: b.seen.pop(2), "client 1 has .* at 2, and not"),
        (lambda a, b, c: b.seen.append(b.seen[-1]), "client 1 has seen 8 entries"),
        (lambda a, b, c: b.seen.reverse(), "client 1 has"),
        (lambda a, b, c: c.seen.pop(0), "client 2 has .* at 0, and not"),
        (lambda a, b, c: a.seen.pop(4), "client 0 has .* at 4, and not"),
        (lambda a, b, c: a.seen.pop(5), "7-2 comes after 5-5"),
        (lambda a, b, c: a.seen.append(a.seen[2]._replace(id="7-4")), "client 0 said 2 texts, 3"),
        (lambda a, b, c: a.said.append("a3"), "client 0 said 3 texts, 2 are in the log"),
        (lambda a, b, c: a.said.reverse(), "client 0 said 2 texts, 2 are in the log, and not"),
        (lambda a, b, c: c.said.clear(), "client 2 said 0 texts, 1 are in the log"),
        (
            lambda a, b, c: told(a, ("7-4", "close", "C", "")),
            "leaving of client 2 was reported 2",
        ),
        (
            lambda a, b, c: told(a, ("7-4", "close", "B", "")),
            "leaving of client 1 was reported 1",
        ),
        (lambda a, b, c: told(a, ("7-4", "gap", "", "3")), "is a gap"),
        (lambda a, b, c: told(a, ("7-4", "message", "X", "x")), "not there said \\['x'\\]"),
        (lambda a, b, c: told(c, ("7-1", "message", "B", "other")), "client 2 has .* others have"),
        (lambda a, b, c: b.seen.clear(), "client 1 has seen nothing"),
    ],
)
def test_wrong(spoil: Callable[[Guest, Guest, Guest], object], problem: str) -> None:
    """Each thing that goes wrong is reported."""
    guests = crowd()
    spoil(*guests)
    with pytest.raises(AssertionError, match=problem):
        assert problems(guests) == [], problems(guests)
