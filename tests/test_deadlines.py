"""Equal waits on one timer."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txhixie.websocket.deadlines import Deadlines


class DeadlinesTests(SynchronousTestCase):
    """Each item has two seconds."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.expired: list[tuple[str, float]] = []
        self.deadlines: Deadlines[str] = Deadlines(self.clock, 2, self.expire)

    def expire(self, item: str) -> None:
        """Record what expired, and when."""
        self.expired.append((item, self.clock.seconds()))

    def at(self, seconds: float) -> None:
        """Let time pass up to a moment, in small steps."""
        self.clock.pump([0.25] * int((seconds - self.clock.seconds()) * 4))

    def test_each(self) -> None:
        """Each item has its full time, and expires once."""
        self.deadlines.start("a")
        self.at(0.5)
        self.deadlines.start("b")
        self.deadlines.start("c")
        self.at(1.75)
        assert self.expired == []
        self.at(10)
        assert self.expired == [("a", 2), ("b", 2.5), ("c", 2.5)]
        assert self.clock.getDelayedCalls() == []

    def test_oneTimer(self) -> None:
        """However many wait, there is one timer."""
        for number in range(1000):
            self.deadlines.start(str(number))
        assert len(self.clock.getDelayedCalls()) == 1

    def test_cancel(self) -> None:
        """A cancelled item does not expire."""
        self.deadlines.start("a")
        self.at(1)
        self.deadlines.start("b")
        self.deadlines.cancel("a")
        self.at(2.75)
        assert self.expired == []
        self.deadlines.cancel("b")
        self.deadlines.cancel("b")
        self.at(10)
        assert self.expired == []
        assert self.clock.getDelayedCalls() == []

    def test_rest(self) -> None:
        """The timer is kept for later items, until it is released when nothing waits."""
        self.deadlines.start("a")
        self.deadlines.cancel("a")
        self.at(1)
        self.deadlines.start("b")
        self.deadlines.rest()
        (timer,) = self.clock.getDelayedCalls()
        assert timer.getTime() == 2
        self.at(2.75)
        assert self.expired == []
        self.at(3)
        assert self.expired == [("b", 3)]
        self.deadlines.start("c")
        self.deadlines.cancel("c")
        self.deadlines.rest()
        assert self.clock.getDelayedCalls() == []
        self.deadlines.rest()

    def test_startAgain(self) -> None:
        """A second start gives the full time again."""
        self.deadlines.start("a")
        self.at(1)
        self.deadlines.start("a")
        self.at(10)
        assert self.expired == [("a", 3)]

    def test_startAgainAmongOthers(self) -> None:
        """Starting an item again delays none of the others, whatever its position."""
        for again in "abc":
            with self.subTest(again):
                self.expired.clear()
                began = self.clock.seconds()
                for item in "abc":
                    self.deadlines.start(item)
                    self.at(self.clock.seconds() + 0.25)
                self.deadlines.start(again)
                self.at(began + 10)
                due = {"a": 2.0, "b": 2.25, "c": 2.5, again: 2.75}
                expected = sorted((seconds, item) for item, seconds in due.items())
                assert [(at - began, item) for item, at in self.expired] == expected
                assert self.clock.getDelayedCalls() == []

    def test_cancelAmongOthers(self) -> None:
        """Cancelling an item makes none of the others early or late."""
        for item in "abc":
            self.deadlines.start(item)
            self.at(self.clock.seconds() + 0.25)
        self.deadlines.cancel("b")
        self.at(10)
        assert self.expired == [("a", 2), ("c", 2.5)]

    def test_error(self) -> None:
        """An error when an item expires is logged, and the others expire in time."""

        def fail(item: str) -> None:
            self.expire(item)
            if item == "a":
                raise ZeroDivisionError

        self.deadlines = Deadlines(self.clock, 2, fail)
        for item in "abc":
            self.deadlines.start(item)
        self.at(1)
        self.deadlines.start("d")
        self.at(10)
        assert self.expired == [("a", 2), ("b", 2), ("c", 2), ("d", 3)]
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
        assert self.clock.getDelayedCalls() == []

    def test_reuse(self) -> None:
        """Items can be started again when none is left."""
        for moment in (2, 12, 22):
            self.deadlines.start("a")
            self.at(moment + 8)
            assert self.expired.pop() == ("a", moment)

    def test_startWhenExpired(self) -> None:
        """An item that starts another wait when it expires does not delay the others."""
        self.deadlines = Deadlines(self.clock, 2, self.expireAndRestart)
        self.deadlines.start("a")
        self.at(1)
        self.deadlines.start("b")
        self.at(6)
        assert self.expired == [("a", 2), ("b", 3), ("a", 4), ("b", 5), ("a", 6)]

    def expireAndRestart(self, item: str) -> None:
        """Wait again."""
        self.expire(item)
        self.deadlines.start(item)

    def test_cancelOthersWhenExpired(self) -> None:
        """An item that cancels the rest when it expires prevents them from expiring."""

        def cancelAll(item: str) -> None:
            self.expire(item)
            for other in "abc":
                self.deadlines.cancel(other)

        self.deadlines = Deadlines(self.clock, 2, cancelAll)
        for item in "abc":
            self.deadlines.start(item)
        self.at(10)
        assert self.expired == [("a", 2)]
        assert self.clock.getDelayedCalls() == []

    def test_many(self) -> None:
        """When many items expire at once, others have their turn in between."""
        took = 0.002

        def expire(item: str) -> None:
            self.expire(item)
            self.clock.rightNow += took

        self.deadlines = Deadlines(self.clock, 2, expire)
        for item in "abcdefg":
            self.deadlines.start(item)
        self.clock.rightNow = 2.0
        seen = []
        while self.clock.calls:
            call = self.clock.calls.pop()
            call.func()
            seen.append("".join(item for item, _ in self.expired))
        assert seen == ["abc", "abcdef", "abcdefg"]
