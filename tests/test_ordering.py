"""Entries of a room come out in the order of its log, whatever the news lose, repeat or delay."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from txhixie.backplane.contract import Entry, formatId, parseId
from txhixie.backplane.ordering import HELD, NOWHERE, Ordering, Position, Step


def log(*epochs: tuple[int, int]) -> list[Step]:
    """@return: a log, from each epoch and how many entries it has."""
    steps: list[Step] = []
    after = NOWHERE
    for epoch, count in epochs:
        for offset in range(1, count + 1):
            position = epoch, offset
            entryId = formatId(*position)
            steps.append(Step(after, position, Entry(entryId, "message", "A", entryId)))
            after = position
    return steps


def ids(entries: list[Entry]) -> list[str]:
    """@return: the ids of entries, with a word for gaps."""
    return [f"gap {each.id} {each.text}" if each.event == "gap" else each.id for each in entries]


def test_live() -> None:
    """News that follow each other come out at once, over the end of an epoch, too."""
    steps = log((5, 2), (9, 2))
    ordering = Ordering()
    assert ids(ordering.heard(steps[:1]) + ordering.heard(steps[1:])) == [
        *("5-1", "5-2", "9-1", "9-2")
    ]
    assert not ordering.isReading


def test_repeated() -> None:
    """News that were there before are dropped."""
    steps = log((5, 4))
    ordering = Ordering((5, 2))
    assert ids(ordering.heard(steps)) == ["5-3", "5-4"]
    assert ordering.heard(steps) == []
    assert not ordering.isReading


def test_missed() -> None:
    """After a hole in the news, everything waits for the log; then it comes in order, once."""
    steps = log((5, 6))
    ordering = Ordering((5, 1))
    assert ordering.heard(steps[3:4]) == []
    assert ordering.isReading
    assert ordering.heard(steps[4:]) == []
    assert ids(ordering.read(steps[1:5], (5, 5))) == ["5-2", "5-3", "5-4", "5-5", "5-6"]
    assert not ordering.isReading


def test_missedAgain() -> None:
    """If news are missing after what was read, the log is read again."""
    steps = log((5, 6))
    ordering = Ordering((5, 1), isReading=True)
    assert ordering.heard(steps[5:]) == []
    assert ids(ordering.read(steps[1:3], (5, 3))) == ["5-2", "5-3"]
    assert ordering.isReading
    assert ids(ordering.read(steps[3:], (5, 6))) == ["5-4", "5-5", "5-6"]
    assert not ordering.isReading


def test_pages() -> None:
    """The log can be read in parts; news wait for the last one."""
    steps = log((5, 5))
    ordering = Ordering(isReading=True)
    ordering.heard(steps[4:])
    assert ids(ordering.read(steps[:2], (5, 4), isAll=False)) == ["5-1", "5-2"]
    assert ordering.isReading
    assert ids(ordering.read(steps[2:4], (5, 4))) == ["5-3", "5-4", "5-5"]


def test_trimmed() -> None:
    """What the log does not have any more is a gap, with the id of the last lost entry."""
    steps = log((5, 6))
    ordering = Ordering((5, 1), isReading=True)
    assert ids(ordering.read(steps[3:], (5, 6))) == ["gap 5-3 2", "5-4", "5-5", "5-6"]
    assert ordering.gaps == 1


def test_allTrimmed() -> None:
    """If nothing is kept, everything up to the end of the log is a gap."""
    ordering = Ordering((5, 1), isReading=True)
    assert ids(ordering.read([], (5, 6))) == ["gap 5-6 5"]
    assert ordering.position == (5, 6)
    assert ids(ordering.read([], (8, 2))) == ["gap 8-2 "]


def test_lostByTheLog() -> None:
    """If the log has lost what we had, and goes on in a later epoch, that is a gap, too."""
    kept, new = log((5, 3), (9, 2))[:3], log((5, 3), (9, 2))[3:]
    ordering = Ordering((5, 5))
    assert ordering.heard(new) == []
    assert ids(ordering.read(new, (9, 2))) == ["gap 9-0 ", "9-1", "9-2"]
    assert ids(Ordering(kept[-1].position).heard(new)) == ["9-1", "9-2"]
    # The id of such a gap leads on.
    assert ids(Ordering((9, 0)).heard(new)) == ["9-1", "9-2"]


def test_heldTooMany() -> None:
    """A limited number of news is held; later ones are read from the log."""
    steps = log((5, HELD + 3))
    ordering = Ordering(isReading=True)
    for step in steps[1:]:
        assert ordering.heard([step]) == []
    assert len(ordering.read(steps[:1], (5, 1))) == HELD + 1
    assert ordering.isReading
    assert len(ordering.read(steps[HELD + 1 :], (5, HELD + 3))) == 2
    assert not ordering.isReading


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_anyNews(data: st.DataObject) -> None:
    """Whatever news come, in whatever order, all of the log comes out once and in its order."""
    epochs = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
    steps = log(*enumerate(epochs, 1))
    ordering = Ordering()
    given: list[Position] = []
    end = 0
    while end < len(steps) or ordering.isReading:
        if ordering.isReading and data.draw(st.booleans()):
            start = len(given)
            page = steps[start : min(end, start + data.draw(st.integers(1, 5)))]
            last = steps[end - 1].position
            found = ordering.read(page, last, isAll=start + len(page) == end)
        else:
            start = data.draw(st.integers(max(0, end - 3), end))
            end = min(len(steps), max(end, start + data.draw(st.integers(1, 4))))
            # Some of it is lost.
            heard = [each for each in steps[start:end] if data.draw(st.integers(0, 3))]
            found = ordering.heard(heard)
            if end == len(steps):
                found += ordering.heard(steps[-1:])
        given += [parseId(each.id) for each in found]
        assert given == [each.position for each in steps[: len(given)]]
    assert len(given) == len(steps)
    assert not ordering.gaps
