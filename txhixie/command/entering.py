"""
Reads lines in a thread: from a terminal with history, or from a pipe.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Thread
from typing import Any

from twisted.internet.threads import blockingCallFromThread

from txhixie.command.screen import PROMPT, Screen

_SIZE = 1 << 16


class Entering:
    """
    Passes lines to the reactor's thread one by one, each when the one before it has been handled.
    """

    def __init__(
        self,
        reactor: Any,
        screen: Screen,
        entered: Callable[[bytes], object],
        ended: Callable[[], object],
    ) -> None:
        """
        @param entered: called with each line, without its end. It may return a Deferred.
        @param ended: called at the end of the input.
        """
        self._reactor = reactor
        self._screen = screen
        self._entered = entered
        self._ended = ended
        self._attributes = _terminalAttributes() if screen.isTerminal else None

    def start(self) -> None:
        """
        Start to read.
        """
        Thread(target=self._run, daemon=True).start()

    def restore(self) -> None:
        """
        Restore the terminal. The thread may still wait for a line.
        """
        if self._attributes is not None:
            import termios

            with suppress(termios.error):
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._attributes)

    def _run(self) -> None:
        for line in self._prompted() if self._screen.isTerminal else _piped():
            blockingCallFromThread(self._reactor, self._entered, line)
        self._reactor.callFromThread(self._ended)

    def _prompted(self) -> Iterator[bytes]:
        # It gives input() its history and key bindings.
        with suppress(ImportError):
            import readline  # noqa: F401
        while True:
            self._screen.isPrompting = True
            try:
                line = input(PROMPT)
            except EOFError:
                self._screen.isPrompting = False
                print()
                return
            self._screen.isPrompting = False
            yield line.encode("utf-8", "surrogateescape")


def _piped() -> Iterator[bytes]:
    """
    Yield the lines of standard input. Python's C{sys.stdin} is not used, because a thread that
    waits in it would disturb the end of the process.
    """
    rest = b""
    while data := os.read(sys.stdin.fileno(), _SIZE):
        *lines, rest = (rest + data).split(b"\n")
        yield from (line.removesuffix(b"\r") for line in lines)
    if rest:
        yield rest


def _terminalAttributes() -> Any:
    try:
        import termios
    except ImportError:
        return None
    return termios.tcgetattr(sys.stdin.fileno())
