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
        """Write down what ran out, and when."""
        self.expired.append((item, self.clock.seconds()))

    def at(self, seconds: float) -> None:
        """Let time pass up to a moment, in small steps."""
        self.clock.pump([0.25] * int((seconds - self.clock.seconds()) * 4))

    def test_each(self) -> None:
        """Each has its full time, and is told of once."""
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
        """A cancelled one is not told of."""
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
        """The timer stays for those to come, until it is let go of when nobody waits."""
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
        """One that is started anew makes none of the others late, whatever its place among them."""
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
        """One that is cancelled makes none of the others early or late."""
        for item in "abc":
            self.deadlines.start(item)
            self.at(self.clock.seconds() + 0.25)
        self.deadlines.cancel("b")
        self.at(10)
        assert self.expired == [("a", 2), ("c", 2.5)]

    def test_error(self) -> None:
        """An error as one runs out is logged, and the others run out in time."""

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
        """All can begin anew when none is left."""
        for moment in (2, 12, 22):
            self.deadlines.start("a")
            self.at(moment + 8)
            assert self.expired.pop() == ("a", moment)

    def test_startWhenExpired(self) -> None:
        """One that starts another wait as its own runs out does not delay the others."""
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
        """One that cancels the rest as it runs out has them cancelled."""

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
        """When the time of many is up at once, others have their turn in between."""
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
