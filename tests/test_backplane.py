"""The backplane in memory, and what all backplanes share."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import settings
from twisted.internet.defer import Deferred

from tests.backplanes import BackplaneMachine, System
from txhixie.backplane import BACKPLANES, makeBackplane
from txhixie.backplane.contract import (
    BEGINNING,
    Backplane,
    BackplaneError,
    Entry,
    formatId,
    parseId,
)
from txhixie.backplane.local import LocalBackplane
from txhixie.settings import Settings


def result(deferred: Deferred[Any]) -> Any:
    """@return: what a Deferred has fired with; it raises what it failed with."""
    outcome: list[Any] = []
    deferred.addBoth(outcome.append)
    (value,) = outcome
    if hasattr(value, "raiseException"):
        value.raiseException()
    return value


class Clock:
    """Seconds that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def say(backplane: LocalBackplane, room: str, *texts: str) -> list[str]:
    """Publish messages, and return their ids."""
    return [result(backplane.publish(room, "message", "A", text)) for text in texts]


def texts(entries: Sequence[Entry]) -> list[str]:
    """@return: what entries say, gaps as such."""
    return [f"gap {entry.text}" if entry.event == "gap" else entry.text for entry in entries]


@pytest.mark.parametrize("text", ["", "1", "-", "1-", "-1", "1-2-3", "x-1", "+1-1", "1-\u0661",
                                  "1-1\n", "1" * 16 + "-1"])  # fmt: skip
def test_noId(text: str) -> None:
    """What is no id is refused."""
    with pytest.raises(ValueError, match="is no id of an entry"):
        parseId(text)


def test_id() -> None:
    """An id is an epoch and an offset."""
    assert parseId("1764100000000-17") == (1764100000000, 17)
    assert formatId(1764100000000, 17) == "1764100000000-17"
    assert parseId(BEGINNING) == (0, 0)


def test_unknownScheme() -> None:
    """A URL that no backplane goes by is refused in one line."""
    with pytest.raises(ValueError, match="there is no backplane 'nats', only memory"):
        makeBackplane("nats://host")
    with pytest.raises(ValueError, match="the backplane memory takes no address"):
        makeBackplane("memory://host")


def test_notInstalled() -> None:
    """If the libraries for a backplane are missing, one line says what to install."""
    program = (
        "import sys; sys.modules['txredisapi'] = None; from txhixie.backplane import makeBackplane;"
        "makeBackplane('redis://host')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ValueError: redis needs pip install txhixie[redis]: ")
    assert "txredisapi" in last


@pytest.mark.parametrize("url", ["memory", "memory:", "memory://"])
def test_memory(url: str) -> None:
    """The backplane of a single process needs no address, and takes its limits from settings."""
    assert "memory" in BACKPLANES
    backplane = makeBackplane(url, Settings(history=2))
    assert isinstance(backplane, LocalBackplane)
    ids = say(backplane, "r", "1", "2", "3")
    assert texts(result(backplane.read("r", BEGINNING, 9))) == ["2", "3"]
    assert texts(result(backplane.read("r", ids[0], 9))) == ["2", "3"]


def test_order() -> None:
    """Entries are delivered once, in the order of their ids, also those that receivers add."""
    backplane = LocalBackplane()
    seen: list[list[Entry]] = [[], []]

    def first(entries: Sequence[Entry]) -> None:
        seen[0].extend(entries)
        for entry in entries:
            if len(entry.text) < 3:
                say(backplane, "r", entry.text + "a", entry.text + "b")

    begin = result(backplane.subscribe("r", first))
    result(backplane.subscribe("r", seen[1].extend))
    say(backplane, "r", "x")
    assert seen[0] == seen[1]
    assert texts(seen[0]) == ["x", "xa", "xb", "xaa", "xab", "xba", "xbb"]
    epoch, offset = parseId(begin)
    assert [entry.id for entry in seen[0]] == [
        formatId(epoch, offset + number) for number in range(1, 8)
    ]


def test_failingReceiver(caplog: pytest.LogCaptureFixture) -> None:
    """A receiver that raises keeps nothing from the others."""
    backplane = LocalBackplane()
    seen: list[Entry] = []

    def fail(entries: Sequence[Entry]) -> None:
        raise ZeroDivisionError

    backplane.subscribe("r", fail)
    backplane.subscribe("r", seen.extend)
    say(backplane, "r", "1", "2")
    assert texts(seen) == ["1", "2"]


def test_unsubscribed() -> None:
    """A receiver that is not subscribed any more gets nothing."""
    backplane = LocalBackplane()
    seen: list[Entry] = []
    backplane.subscribe("r", seen.extend)
    say(backplane, "r", "1")
    say(backplane, "other", "x")
    backplane.unsubscribe("r", seen.extend)
    backplane.unsubscribe("r", seen.extend)
    backplane.unsubscribe("nowhere", seen.extend)
    say(backplane, "r", "2")
    assert texts(seen) == ["1"]


def test_members() -> None:
    """A client that comes and leaves is counted once."""
    backplane = LocalBackplane()
    assert result(backplane.members("r")) == ()
    assert result(backplane.publish("r", "close", "B")) is None
    first = result(backplane.publish("r", "open", "B"))
    assert result(backplane.publish("r", "open", "B")) is None
    result(backplane.publish("r", "open", "A"))
    assert result(backplane.members("r")) == ("A", "B")
    result(backplane.publish("r", "close", "B"))
    assert result(backplane.publish("r", "close", "B")) is None
    assert result(backplane.members("r")) == ("A",)
    entries = result(backplane.read("r", BEGINNING, 9))
    assert [(entry.event, entry.sender) for entry in entries] == [
        ("open", "B"),
        ("open", "A"),
        ("close", "B"),
    ]
    assert entries[0].id == first


def test_key() -> None:
    """A publication that is repeated with its key is there once; keys are those of a sender."""
    backplane = LocalBackplane(history=3)
    first = result(backplane.publish("r", "message", "A", "1", "k"))
    assert result(backplane.publish("r", "message", "A", "1", "k")) == first
    assert result(backplane.publish("r", "message", "B", "2", "k")) != first
    assert texts(result(backplane.read("r", BEGINNING, 9))) == ["1", "2"]
    say(backplane, "r", "3", "4")
    assert result(backplane.publish("r", "message", "A", "5", "k")) != first
    assert texts(result(backplane.read("r", BEGINNING, 9))) == ["3", "4", "5"]


def test_read() -> None:
    """The log is read from an id on, at most up to the limit."""
    backplane = LocalBackplane()
    ids = say(backplane, "r", *"12345")
    assert texts(result(backplane.read("r", ids[1], 9))) == ["3", "4", "5"]
    assert texts(result(backplane.read("r", ids[1], 2))) == ["3", "4"]
    assert result(backplane.read("r", ids[-1], 9)) == []
    assert texts(result(backplane.read("r", BEGINNING, 9))) == [*"12345"]
    assert result(backplane.read("nowhere", BEGINNING, 9)) == []


def test_gap() -> None:
    """A gap is reported before the rest, and its id leads on."""
    backplane = LocalBackplane(history=2)
    ids = say(backplane, "r", *"12345")
    entries = result(backplane.read("r", ids[0], 9))
    assert texts(entries) == ["gap 2", "4", "5"]
    assert entries[0] == Entry(ids[2], "gap", "", "2")
    assert texts(result(backplane.read("r", entries[0].id, 9))) == ["4", "5"]
    epoch, offset = parseId(ids[-1])
    for since, rest in (
        (formatId(epoch - 1, offset), ["gap ", "4", "5"]),
        (formatId(epoch + 1, 1), ["gap ", "4", "5"]),
        (formatId(epoch, offset + 1), ["gap "]),
    ):
        entries = result(backplane.read("r", since, 9))
        assert texts(entries) == rest
        assert texts(result(backplane.read("r", entries[0].id, 9))) == rest[1:]
    assert result(backplane.read("nowhere", ids[0], 9)) == [Entry(BEGINNING, "gap", "", "")]


def test_tail() -> None:
    """The newest entries are found, and no gap is in front of them."""
    backplane = LocalBackplane(history=3)
    assert result(backplane.tail("r", 1)) == BEGINNING
    ids = say(backplane, "r", *"12345")
    for count, expected in ((0, []), (1, ["5"]), (3, ["3", "4", "5"]), (9, ["3", "4", "5"])):
        since = result(backplane.tail("r", count))
        assert texts(result(backplane.read("r", since, 9))) == expected
    assert result(backplane.tail("r", 0)) == ids[-1]


def test_noHistory() -> None:
    """Without a history there is nothing to read, and what was missed is known to be so."""
    backplane = LocalBackplane(history=0)
    result(backplane.subscribe("r", lambda entries: None))
    ids = say(backplane, "r", "1", "2")
    assert result(backplane.read("r", ids[1], 9)) == []
    assert texts(result(backplane.read("r", ids[0], 9))) == ["gap 1"]


def test_historySize() -> None:
    """The histories of all rooms are bounded together: silent rooms lose theirs first."""
    backplane = LocalBackplane(historySize=100_000)
    for room in ("a", "b"):
        result(backplane.subscribe(room, lambda entries: None))
    say(backplane, "a", *("x" * 20_000 for _ in range(3)))
    say(backplane, "b", *("y" * 20_000 for _ in range(3)))
    assert len(result(backplane.read("a", BEGINNING, 9))) == 1
    assert len(result(backplane.read("b", BEGINNING, 9))) == 3
    say(backplane, "b", *("y" * 20_000 for _ in range(9)))
    assert len(result(backplane.read("a", BEGINNING, 9))) == 0
    assert len(result(backplane.read("b", BEGINNING, 9))) == 4
    # One that is larger than all of it is not kept, but delivered.
    seen: list[Entry] = []
    backplane.subscribe("a", seen.extend)
    say(backplane, "a", "z" * 100_000)
    assert len(seen) == 1
    assert result(backplane.read("a", BEGINNING, 9)) == []


def test_forgotten() -> None:
    """A room that has been empty for an hour is forgotten, and begins anew in another epoch."""
    clock = Clock()
    backplane = LocalBackplane(clock=clock)
    (old,) = say(backplane, "r", "1")
    clock.now += 3000
    say(backplane, "other", "1")
    assert texts(result(backplane.read("r", BEGINNING, 9))) == ["1"]
    clock.now += 1000
    say(backplane, "other", "2")
    assert result(backplane.read("r", BEGINNING, 9)) == []
    # The clock was set back.
    clock.now = 0
    (new,) = say(backplane, "r", "1")
    assert parseId(new)[0] > parseId(old)[0]
    assert texts(result(backplane.read("r", old, 9))) == ["gap ", "1"]


def test_usedRoom() -> None:
    """A room that somebody is in, or listens to, is not forgotten."""
    clock = Clock()
    backplane = LocalBackplane(clock=clock, maxRooms=1)
    say(backplane, "a", "1")
    result(backplane.publish("a", "open", "A"))
    say(backplane, "b", "1")
    result(backplane.subscribe("b", print))
    clock.now += 10_000
    for number in range(10):
        say(backplane, str(number), "1")
    for room in ("a", "b", "9"):
        assert texts(result(backplane.read(room, BEGINNING, 1))) == ["1"]
    assert result(backplane.read("8", BEGINNING, 1)) == []
    result(backplane.publish("a", "close", "A"))
    backplane.unsubscribe("b", print)
    assert result(backplane.read("a", BEGINNING, 1)) == []


def test_stopped() -> None:
    """Who is still in a room when the service stops leaves it; then nothing goes any more."""
    backplane = LocalBackplane()
    assert backplane.problem is None
    backplane.startService()
    seen: list[Entry] = []
    backplane.subscribe("r", seen.extend)
    result(backplane.publish("r", "open", "B"))
    result(backplane.publish("r", "open", "A"))
    backplane.stopService()
    assert [(each.event, each.sender) for each in seen[2:]] == [("close", "A"), ("close", "B")]
    assert backplane.problem == "the server has stopped"
    for deferred in (backplane.publish("r", "open", "C"), backplane.subscribe("r", print)):
        with pytest.raises(BackplaneError, match="the server has stopped"):
            result(deferred)
    backplane.startService()
    assert backplane.problem is None
    assert say(backplane, "r", "1") != [None]


class LocalSystem:
    """Three nodes that are one."""

    history = 8

    def __init__(self) -> None:
        self.nodes: Sequence[Backplane] = [LocalBackplane(history=self.history)] * 3

    def wait(self, deferred: Deferred[Any]) -> Any:
        """@return: what a Deferred has fired with."""
        return result(deferred)

    def until(self, condition: Callable[[], bool]) -> None:
        """Nothing has to be waited for."""
        assert condition()

    def cut(self, node: int) -> None:
        """There is nothing that could break."""

    def restart(self) -> None:
        """Nothing is restarted but the service itself: no member is there that had to leave."""

    def close(self) -> None:
        """Nothing remains."""


class LocalMachine(BackplaneMachine):
    """The backplane in memory."""

    def makeSystem(self) -> System:
        """@return: three nodes."""
        return LocalSystem()


TestLocalBackplane = LocalMachine.TestCase
TestLocalBackplane.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_noWorkForTheCollector() -> None:
    """The garbage collector does not go through the entries that are kept."""
    backplane = LocalBackplane()
    gc.collect()
    before = len(gc.get_objects())
    for number in range(900):
        backplane.publish("r", "message", "sender", str(number))
    gc.collect()
    assert len(gc.get_objects()) - before < 100
    last = result(backplane.read("r", BEGINNING, 900))[-1]
    assert isinstance(last, Entry)
    assert last.text == "899"
