"""
What every backplane has to do, as a state machine that hypothesis drives. The tests of a backplane
derive their own from L{BackplaneMachine}.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from twisted.internet.defer import Deferred

from txhixie.backplane.contract import BEGINNING, Backplane, Entry, parseId

ROOMS = ("a", "b")

_rooms = st.sampled_from(ROOMS)
_nodes = st.integers(0, 2)


class System(Protocol):
    """
    Some nodes on one backplane.

    @ivar nodes: their backplane objects, started. A backplane for a single process has the same one
        several times.
    @ivar history: entries of a room that are kept at least.
    """

    nodes: Sequence[Backplane]
    history: int

    def wait(self, deferred: Deferred[Any]) -> Any:
        """@return: what a Deferred fires with; an error is raised."""

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition."""

    def cut(self, node: int) -> None:
        """Break the connections of a node, if it has some; it makes new ones."""

    def restart(self) -> None:
        """Restart what the nodes are connected to, if anything, without loss."""

    def close(self) -> None:
        """Stop everything."""


class _Watcher:
    """
    What one receiver has got.

    @ivar began: the id that it began after.
    """

    def __init__(self, system: System, node: int, room: str) -> None:
        self.entries: list[Entry] = []
        self.node, self.room = node, room
        self.began: str = system.wait(system.nodes[node].subscribe(room, self.receive))

    def receive(self, entries: Sequence[Entry]) -> None:
        """Take entries."""
        assert entries
        self.entries += entries

    def hasGot(self, count: int) -> bool:
        """@return: whether it has got this many entries."""
        return len(self.entries) >= count

    def isAt(self, entryId: str) -> bool:
        """@return: whether it has got an entry, or began after it."""
        newest = self.entries[-1].id if self.entries else self.began
        return parseId(newest) >= parseId(entryId)


class BackplaneMachine(RuleBasedStateMachine):
    """
    Nodes that publish, come, go, listen and read, while connections break.
    """

    system: System

    def makeSystem(self) -> System:
        """@return: three nodes."""
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        """Watch each room from its first entry on."""
        self.system = self.makeSystem()
        self.observers = {room: _Watcher(self.system, 0, room) for room in ROOMS}
        self.watchers: list[_Watcher] = []
        # What should be in the logs: publications in flight, and those by the id they got.
        self.flying: list[tuple[str, tuple[str, str, str], Deferred[str | None]]] = []
        self.expected: dict[str, dict[str, tuple[str, str, str]]] = {room: {} for room in ROOMS}
        self.said: dict[tuple[str, str], list[str]] = defaultdict(list)
        self.present: dict[str, set[str]] = {room: set() for room in ROOMS}
        # The id of what was first published with a key, once it is known.
        self.keys: dict[tuple[str, str], list[str | None]] = {}
        self.count = 0

    def teardown(self) -> None:
        """Stop everything."""
        if hasattr(self, "system"):
            self.settle()
            self.system.close()

    def settle(self) -> None:
        """Wait until everything published is in the logs, and everybody has got it."""
        flying, self.flying = self.flying, []
        for room, content, deferred in flying:
            entryId = self.system.wait(deferred)
            assert entryId not in self.expected[room]
            self.expected[room][entryId] = content
        for room, observer in self.observers.items():
            self.system.until(partial(observer.hasGot, len(self.expected[room])))
        for watcher in self.watchers:
            self.system.until(partial(watcher.isAt, self.newest(watcher.room)))

    def newest(self, room: str) -> str:
        """@return: the id of the newest entry."""
        observer = self.observers[room]
        return observer.entries[-1].id if observer.entries else observer.began

    # What happens

    @rule(node=_nodes, room=_rooms, count=st.integers(1, 3))
    def say(self, node: int, room: str, count: int) -> None:
        """Publish messages, all at once, without waiting for them unless they become many."""
        if len(self.flying) + count > self.system.history:
            self.settle()
        for _ in range(count):
            self.count += 1
            sender, text = f"sender {node}", f"{self.count} \u20ac\n"
            deferred = self.system.nodes[node].publish(room, "message", sender, text)
            self.flying.append((room, ("message", sender, text), deferred))
            self.said[room, sender].append(text)

    @rule(node=_nodes, room=_rooms, key=st.sampled_from("xy"))
    def sayOnce(self, node: int, room: str, key: str) -> None:
        """Publish a message with a key, perhaps again."""
        sender = f"once {node} {key}"
        deferred = self.system.nodes[node].publish(room, "message", sender, "once", key)
        if (room, sender) in self.keys:
            again = self.system.wait(deferred)
            self.settle()
            (first,) = self.keys[room, sender]
            if again == first:
                return
            # The first one was trimmed meanwhile, and forgotten with its key.
            ids = [entry.id for entry in self.observers[room].entries]
            assert ids.index(str(first)) <= len(ids) - self.system.history
            self.expected[room][again] = ("message", sender, "once")
            self.keys[room, sender] = [again]
        else:
            deferred.addCallback(self.note, self.keys.setdefault((room, sender), []))
            self.flying.append((room, ("message", sender, "once"), deferred))
        self.said[room, sender].append("once")

    @staticmethod
    def note(entryId: str | None, found: list[str | None]) -> str | None:
        """Note what a Deferred fires with."""
        found.append(entryId)
        return entryId

    @rule(
        node=_nodes, room=_rooms, number=st.integers(0, 2), event=st.sampled_from(["open", "close"])
    )
    def move(self, node: int, room: str, number: int, event: Any) -> None:
        """Have a member come or go, which may be news or not."""
        sender = f"member {node} {number}"
        deferred = self.system.nodes[node].publish(room, event, sender)
        present = self.present[room]
        if (event == "open") == (sender in present):
            assert self.system.wait(deferred) is None
            return
        present.symmetric_difference_update({sender})
        self.flying.append((room, (event, sender, ""), deferred))

    @rule(room=_rooms)
    def trim(self, room: str) -> None:
        """Publish more than is kept, while everybody listens: so nobody misses anything."""
        self.settle()
        self.say(1, room, 1)
        self.settle()
        self.say(1, room, self.system.history + 2)
        self.settle()

    @rule(node=_nodes, room=_rooms)
    def watch(self, node: int, room: str) -> None:
        """Begin to listen."""
        self.watchers.append(_Watcher(self.system, node, room))

    @rule(data=st.data())
    def watchNoMore(self, data: st.DataObject) -> None:
        """Cease to listen."""
        if not self.watchers:
            return
        watcher = self.watchers.pop(data.draw(st.integers(0, len(self.watchers) - 1)))
        self.system.nodes[watcher.node].unsubscribe(watcher.room, watcher.receive)
        heard = len(watcher.entries)
        self.say(watcher.node, watcher.room, 1)
        self.settle()
        assert len(watcher.entries) == heard
        self.checkWatcher(watcher, isOver=True)

    @rule(node=_nodes)
    def cut(self, node: int) -> None:
        """Break a node's connections."""
        self.system.cut(node)

    @rule()
    def restart(self) -> None:
        """Restart what the nodes are connected to."""
        self.system.restart()

    # What must hold

    @rule()
    def check(self) -> None:
        """Every receiver has got what it should have got, and nothing else."""
        self.settle()
        for room, observer in self.observers.items():
            entries = observer.entries
            contents = {each.id: (each.event, each.sender, each.text) for each in entries}
            assert contents == self.expected[room]
            heard = defaultdict(list)
            for entry in entries:
                if entry.event == "message":
                    heard[entry.sender].append(entry.text)
            for sender, texts in heard.items():
                assert texts == self.said[room, sender]
        for watcher in self.watchers:
            self.checkWatcher(watcher)

    def checkWatcher(self, watcher: _Watcher, isOver: bool = False) -> None:
        """What a receiver has got is what the observer has got since it began."""
        log = self.observers[watcher.room].entries
        missed = [each for each in log if parseId(each.id) <= parseId(watcher.began)]
        end = len(missed) + len(watcher.entries) if isOver else len(log)
        assert watcher.entries == log[len(missed) : end]

    @rule(node=_nodes, room=_rooms, back=st.integers(0, 30), limit=st.integers(1, 30))
    def read(self, node: int, room: str, back: int, limit: int) -> None:
        """Read a part of a log, or get the number of lost entries."""
        self.settle()
        log = self.observers[room].entries
        back = min(back, len(log))
        start = len(log) - back
        since = log[start - 1].id if start else self.observers[room].began
        if since == BEGINNING:
            return
        found = self.system.wait(self.system.nodes[node].read(room, since, limit))
        rest = log[start:]
        if found and found[0].event == "gap":
            assert back > self.system.history
            lost = next(number for number, each in enumerate(rest, 1) if each.id == found[0].id)
            isKnown = parseId(since)[0] == parseId(found[0].id)[0]
            assert found[0] == Entry(rest[lost - 1].id, "gap", "", str(lost) if isKnown else "")
            assert back - lost >= self.system.history
            found, rest = found[1:], rest[lost:]
        assert list(found) == rest[:limit]

    @rule(node=_nodes, room=_rooms, limit=st.integers(1, 30))
    def readAll(self, node: int, room: str, limit: int) -> None:
        """Read a log from its beginning; a gap is not reported."""
        self.settle()
        found = self.system.wait(self.system.nodes[node].read(room, BEGINNING, limit))
        log = self.observers[room].entries
        if log:
            start = log.index(found[0])
            assert start == 0 or len(log) - start >= self.system.history
            assert list(found) == log[start : start + limit]

    @rule(node=_nodes, room=_rooms, ahead=st.sampled_from([(0, 1), (1, 0), (-1, 0)]))
    def readElsewhere(self, node: int, room: str, ahead: tuple[int, int]) -> None:
        """An id that is not of this log, or not yet, leads to a gap."""
        self.settle()
        epoch, offset = parseId(self.newest(room))
        if epoch + ahead[0] < 0:
            return
        since = f"{epoch + ahead[0]}-{offset + ahead[1]}"
        found = self.system.wait(self.system.nodes[node].read(room, since, 5))
        assert found[0].event == "gap"
        again = self.system.wait(self.system.nodes[node].read(room, found[0].id, 5))
        assert list(again) == list(found[1:])
        if ahead == (0, 1):
            assert found[0].id == self.newest(room)

    @rule(node=_nodes, room=_rooms, count=st.integers(0, 30))
    def tail(self, node: int, room: str, count: int) -> None:
        """Find the newest entries."""
        self.settle()
        backplane = self.system.nodes[node]
        log = self.observers[room].entries
        since = self.system.wait(backplane.tail(room, count))
        found = list(self.system.wait(backplane.read(room, since, 100)))
        assert found == log[len(log) - len(found) :]
        assert len(found) <= count
        assert len(found) >= min(count, len(log), self.system.history)

    @rule(node=_nodes, room=_rooms)
    def members(self, node: int, room: str) -> None:
        """Find out who is there."""
        self.settle()
        found = self.system.wait(self.system.nodes[node].members(room))
        assert found == tuple(sorted(self.present[room]))

    @invariant()
    def order(self) -> None:
        """
        At any moment what receivers have got has no hole and no repeat: offsets count on, or begin
        anew in a later epoch.
        """
        for watcher in [*getattr(self, "watchers", []), *getattr(self, "observers", {}).values()]:
            epoch, offset = parseId(watcher.began)
            for entry in watcher.entries:
                before = epoch, offset
                epoch, offset = parseId(entry.id)
                isNext = (epoch, offset) == (before[0], before[1] + 1)
                assert isNext or (epoch > before[0] and offset == 1)
