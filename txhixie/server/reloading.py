"""
Files that are read again on SIGHUP.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger
from twisted.python.reflect import safe_str

from txhixie.server.signals import HangUp


def oneLine(error: Exception) -> str:
    """
    Return an error as one line.
    """
    return " ".join(f"{type(error).__name__}: {safe_str(error)}".split())


class Reloading:
    """
    Reads files again on SIGHUP.
    """

    _log = Logger()

    def __init__(self) -> None:
        self._parts: list[tuple[str, Callable[[], object]]] = []
        self._hangUp = HangUp(self.reload)

    def add(self, what: str, reload: Callable[[], object]) -> None:
        """
        Add something to read again from now on.

        @param what: names it in the log.
        @param reload: reads it; if it raises, nothing may have changed.
        """
        self._parts.append((what, reload))

    def reload(self) -> None:
        """
        Read everything again, and log the result in one line.
        """
        done: list[str] = []
        kept: list[str] = []
        for what, reload in self._parts:
            try:
                reload()
            except Exception as error:
                kept.append(f"{what} ({oneLine(error)})")
            else:
                done.append(what)
        words = []
        if done:
            words.append(f"reloaded {', '.join(done)}")
        if kept:
            words.append(f"kept what it had of {', '.join(kept)}")
        log = self._log.warn if kept else self._log.info
        log("SIGHUP: {what}", what="; ".join(words) or "there is nothing to reload")

    def start(self) -> None:
        """
        Install the signal handler, on systems that have the signal.
        """
        self._hangUp.start()

    def stop(self) -> None:
        """
        Restore the earlier signal handler.
        """
        self._hangUp.stop()
