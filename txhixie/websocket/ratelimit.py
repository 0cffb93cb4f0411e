"""
Logging that stays safe whatever peers send, and however much they cause to be logged.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure


class LimitedLogger:
    """
    Logs at most C{rate} events of each kind per second, then logs how many were suppressed. Events
    of one kind have the same format.

    The second begins with an event, so a timer runs only after events were suppressed.
    """

    def __init__(
        self,
        log: Logger,
        clock: IReactorTime,
        rate: int,
        onSuppressed: Callable[[], object] = lambda: None,
    ) -> None:
        """
        @param log: emits the events.
        @param rate: the number of events of each kind that pass per second; 0: all.
        @param onSuppressed: called for each event that does not pass.
        """
        self._log = log
        self._clock = clock
        self._rate = rate
        self._onSuppressed = onSuppressed
        self._began = clock.seconds()
        # The events of this second, by their format; and the levels of the formats with suppressed
        # events.
        self._counts: dict[str, int] = {}
        self._suppressed: dict[str, LogLevel] = {}
        self._timer: IDelayedCall | None = None

    def emit(self, level: LogLevel, logFormat: str, **values: object) -> None:
        """
        Emit an event, as C{Logger.emit} does.
        """
        if self.passes(logFormat, level):
            self._log.emit(level, logFormat, **values)

    def debug(self, logFormat: str, **values: object) -> None:
        """
        Emit an event at debug level.
        """
        self.emit(LogLevel.debug, logFormat, **values)

    def info(self, logFormat: str, **values: object) -> None:
        """
        Emit an event at info level.
        """
        self.emit(LogLevel.info, logFormat, **values)

    def warn(self, logFormat: str, **values: object) -> None:
        """
        Emit an event at warn level.
        """
        self.emit(LogLevel.warn, logFormat, **values)

    def failure(
        self,
        logFormat: str,
        failure: Failure | None = None,
        level: LogLevel = LogLevel.critical,
        **values: object,
    ) -> None:
        """
        Emit a failure with its traceback, as C{Logger.failure} does.
        """
        if self.passes(logFormat, level):
            self._log.failure(logFormat, failure, level, **values)

    def stop(self) -> None:
        """
        Log now how many events were suppressed, and stop the timer. A later event may start a new
        one.
        """
        self._tell()

    def _tell(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        counts, self._counts = self._counts, {}
        suppressed, self._suppressed = self._suppressed, {}
        for kind, level in suppressed.items():
            self._log.emit(
                level,
                "{suppressed} more like it: {kind}",
                suppressed=counts[kind] - self._rate,
                kind=kind,
            )

    def passes(self, kind: str, level: LogLevel = LogLevel.info) -> bool:
        """
        Count an event that is emitted elsewhere.

        @param kind: what events of its kind have in common.
        @return: whether it may be emitted.
        """
        if not self._rate:
            return True
        now = self._clock.seconds()
        # Clocks are set back at times.
        if not 0 <= now - self._began < 1:
            self._began = now
            self._tell()
        count = self._counts.get(kind, 0) + 1
        self._counts[kind] = count
        if count <= self._rate:
            return True
        self._suppressed[kind] = level
        if self._timer is None:
            self._timer = self._clock.callLater(self._began + 1 - now, self._secondOver)
        self._onSuppressed()
        return False

    def _secondOver(self) -> None:
        self._timer = None
        self._tell()


def printable(text: str | bytes, limit: int = 200) -> str:
    """
    Return a peer's text for a line of the log: short, and without characters that would break the
    line, reorder it or control a terminal. All characters that Python considers unprintable, and
    bytes that are not UTF-8, become C{\\xNN}, C{\\uNNNN} or C{\\UNNNNNNNN}.

    @param limit: how many characters, or bytes, of C{text} are shown. The number of the others is
        added.
    """
    shown = text[:limit]
    if isinstance(shown, bytes):
        shown = shown.decode("utf-8", "backslashreplace")
    if not shown.isprintable():
        shown = "".join(map(_escaped, shown))
    missing = len(text) - limit
    return f"{shown}... and {missing} more" if missing > 0 else shown


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
