"""Logging under a flood, and of what peers send."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txhixie.websocket.ratelimit import LimitedLogger, printable


class LimitedLoggerTests(SynchronousTestCase):
    """Three events of a kind pass each second."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.events: list[LogEvent] = []
        self.suppressed = 0
        self.log = self.limited(3)

    def limited(self, rate: int) -> LimitedLogger:
        """@return: a logger that lets C{rate} events of a kind pass, into the test's list."""
        logger = Logger("test", observer=cast(ILogObserver, self.events.append))
        return LimitedLogger(logger, self.clock, rate, self.count)

    def count(self) -> None:
        """Count what is suppressed."""
        self.suppressed += 1

    def lines(self) -> list[str]:
        """@return: what was logged since the last call."""
        lines = [formatEvent(event) for event in self.events]
        self.events.clear()
        return lines

    def flood(self, count: int) -> None:
        """Emit this number of events at once."""
        for number in range(count):
            self.log.info("event {number}", number=number)

    def test_passes(self) -> None:
        """Up to the limit all pass, unchanged, and no timer is left."""
        self.log.emit(LogLevel.info, "a {peer}", peer="P")
        self.log.debug("b {kind}", kind=1)
        self.log.info("c")
        self.log.warn("d {number}", number=2)
        levels = [event["log_level"] for event in self.events]
        assert levels == [LogLevel.info, LogLevel.debug, LogLevel.info, LogLevel.warn]
        assert {event["log_namespace"] for event in self.events} == {"test"}
        assert self.lines() == ["a P", "b 1", "c", "d 2"]
        assert self.clock.getDelayedCalls() == []
        assert self.suppressed == 0

    def test_suppresses(self) -> None:
        """Events above the limit are counted, and reported in one event when the second is over."""
        self.flood(10)
        assert self.lines() == ["event 0", "event 1", "event 2"]
        assert self.suppressed == 7
        self.clock.advance(0.99)
        assert self.lines() == []
        self.clock.advance(0.01)
        (event,) = self.events
        assert event["log_level"] == LogLevel.info
        assert event["suppressed"] == 7
        assert self.lines() == ["7 more like it: event {number}"]
        assert self.clock.getDelayedCalls() == []

    def test_nextSecond(self) -> None:
        """Each second lets the same number pass, whenever it begins."""
        for second in range(5):
            self.flood(4)
            assert len(self.lines()) == 3
            self.clock.advance(1 + second / 4)
            assert self.lines() == ["1 more like it: event {number}"]
        self.clock.advance(100)
        assert self.lines() == []

    def test_kinds(self) -> None:
        """Each kind has its own limit; one timer reports all of them, at their own levels."""
        for _ in range(5):
            self.log.info("i")
            self.log.warn("w")
            self.log.emit(LogLevel.error, "e")
        self.log.debug("d")
        assert len(self.lines()) == 10
        assert len(self.clock.getDelayedCalls()) == 1
        self.clock.advance(1)
        levels = [event["log_level"] for event in self.events]
        assert levels == [LogLevel.info, LogLevel.warn, LogLevel.error]
        assert self.lines() == [f"2 more like it: {kind}" for kind in "iwe"]

    def test_failure(self) -> None:
        """Failures pass with their tracebacks, by default the current one, and are limited."""
        given = Failure(KeyError("given"))
        self.log.failure("in {place}", given, place="P")
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            for _ in range(3):
                self.log.failure("in {place}", level=LogLevel.error, place="Q")
        failures = [event["log_failure"] for event in self.events]
        assert failures[0] is given
        assert [failure.type for failure in failures[1:]] == [ZeroDivisionError] * 2
        assert [event["log_level"] for event in self.events[:2]] == [
            LogLevel.critical,
            LogLevel.error,
        ]
        assert self.lines() == ["in P", "in Q", "in Q"]
        self.log.stop()
        assert self.lines() == ["1 more like it: in {place}"]

    def test_lateTimer(self) -> None:
        """If the timer is late, the next event of any kind first reports what was suppressed."""
        self.flood(5)
        self.lines()
        self.clock.rightNow += 1.5
        self.log.info("other")
        assert self.lines() == ["2 more like it: event {number}", "other"]
        assert self.clock.getDelayedCalls() == []

    def test_clockSetBack(self) -> None:
        """A clock that is set back does not keep events from passing."""
        self.flood(5)
        self.lines()
        self.clock.rightNow -= 500
        self.flood(5)
        assert self.lines() == [
            "2 more like it: event {number}",
            *("event 0", "event 1", "event 2"),
        ]
        self.clock.advance(1)
        assert self.lines() == ["2 more like it: event {number}"]

    def test_stop(self) -> None:
        """
        When it stops, it reports what was suppressed, and leaves no timer; it can be used again.
        """
        self.flood(5)
        self.lines()
        self.log.stop()
        assert self.lines() == ["2 more like it: event {number}"]
        assert self.clock.getDelayedCalls() == []
        self.log.stop()
        assert self.lines() == []
        self.flood(4)
        self.clock.advance(1)
        assert self.lines()[-1] == "1 more like it: event {number}"

    def test_noLimit(self) -> None:
        """A rate of 0 lets all pass."""
        self.log = self.limited(0)
        self.flood(1000)
        assert len(self.lines()) == 1000
        assert self.suppressed == 0
        assert self.clock.getDelayedCalls() == []

    def test_observerLogs(self) -> None:
        """An observer may log itself, also while it gets the number of suppressed events."""

        def observe(event: LogEvent) -> None:
            self.events.append(event)
            if "suppressed" in event:
                self.log.info("observed")

        logger = Logger("test", observer=cast(ILogObserver, observe))
        self.log = LimitedLogger(logger, self.clock, 1)
        self.flood(3)
        self.clock.advance(1)
        assert self.lines() == ["event 0", "2 more like it: event {number}", "observed"]
        assert self.clock.getDelayedCalls() == []

    def test_nothingKept(self) -> None:
        """The kinds of one second are dropped in the next."""
        for number in range(1000):
            self.log.info(str(number))
        self.clock.advance(1)
        self.log.info("last")
        assert self.log._counts == {"last": 1}


PLAIN = "abc \u00e9 \u4e16\u754c \U0001f600 'quoted' \"twice\" {braces} %s"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        (b"", ""),
        (PLAIN, PLAIN),
        (PLAIN.encode(), PLAIN),
        ("a\r\nb\tc\0", "a\\x0d\\x0ab\\x09c\\x00"),
        ("\x1b[31m\x7f\x85\x9b", "\\x1b[31m\\x7f\\x85\\x9b"),
        (b"a\r\n\x1b[0m", "a\\x0d\\x0a\\x1b[0m"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\u200e\u202e\u2066\u061c\ufeff", "\\u200e\\u202e\\u2066\\u061c\\ufeff"),
        ("\ud800x\udfff", "\\ud800x\\udfff"),
        ("\U000e0041\U0010ffff", "\\U000e0041\\U0010ffff"),
        (b"\xff\xfeok\xc3", "\\xff\\xfeok\\xc3"),
        (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),
        ("\u2028".encode(), "\\u2028"),
    ],
)
def test_printable(text: str | bytes, shown: str) -> None:
    """Text is unchanged, except for what would break a line, reorder it or control a terminal."""
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("abcd", 4, "abcd"),
        ("abcde", 4, "abcd... and 1 more"),
        (b"abcde", 4, "abcd... and 1 more"),
        ("\n" * 10, 2, "\\x0a\\x0a... and 8 more"),
        ("\u00e9\u00e9".encode(), 3, "\u00e9\\xc3... and 1 more"),
        ("x" * 201, 200, "x" * 200 + "... and 1 more"),
        ("a", 0, "... and 1 more"),
    ],
)
def test_printableLimit(text: str | bytes, limit: int, shown: str) -> None:
    """Text above the limit is cut, and the number of missing characters is added."""
    assert printable(text, limit) == shown


def test_printableDefault() -> None:
    """By default 200 are shown, however many there are."""
    assert printable(b"x" * 10**7) == "x" * 200 + "... and 9999800 more"


# All kinds of text, with more special characters than random text has.
_TEXTS = st.text(st.characters() | st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"]))


@given(_TEXTS | st.binary(), st.integers(0, 50))
def test_printableAlways(text: str | bytes, limit: int) -> None:
    """The result is one line of printable characters that can be encoded, of bounded length."""
    shown = printable(text, limit)
    assert shown.isprintable()
    assert shown.splitlines() in ([shown], [])
    shown.encode("utf-8")
    assert len(shown) <= 10 * limit + len(f"... and {len(text)} more")


@given(st.text(st.characters(exclude_characters="\\")))
def test_printableTellsApart(text: str) -> None:
    """Nothing is lost: escaped characters can be decoded again."""
    shown = printable(text, len(text))
    restored = shown.encode("ascii", "backslashreplace").decode("unicode_escape")
    assert restored == text
