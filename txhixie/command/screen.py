"""
What the command prints: for people at a terminal, or for programs in a pipe.
"""

from __future__ import annotations

import os
import shutil
import sys
from unicodedata import east_asian_width

from txhixie.websocket.ratelimit import printable

_GREEN, _DIM, _PLAIN = "\x1b[32m", "\x1b[2m", "\x1b[0m"
PROMPT = "> "
# The most characters of a message that are shown at a terminal.
_MOST = 100_000


class Screen:
    """
    Prints messages, and at a terminal also what happens.

    @ivar isTerminal: whether a person reads.
    @ivar isPrompting: whether a line is being entered.
    """

    def __init__(self, isTerminal: bool) -> None:
        self.isTerminal = isTerminal
        self.isPrompting = False
        self._hasColours = isTerminal and not os.environ.get("NO_COLOR")

    def message(self, message: str | bytes) -> None:
        """
        Print a message, and in a pipe nothing else.

        @raise BrokenPipeError: if nothing reads the output any longer.
        """
        if not self.isTerminal:
            data = message.encode() if isinstance(message, str) else message
            sys.stdout.buffer.write(data + b"\n")
            sys.stdout.buffer.flush()
        elif isinstance(message, str):
            # A server must not control the terminal.
            lines = [printable(line, _MOST) for line in message.split("\n")]
            self._print("< ", "\n  ".join(lines), _GREEN)
        else:
            self._print("< ", f"{len(message)} bytes: {message[:_MOST].hex(' ')}", _GREEN)

    def result(self, text: str) -> None:
        """
        Print a line that the user asked for.
        """
        self._print("", text, _PLAIN)

    def note(self, text: str) -> None:
        """
        Print what happens, at a terminal only.
        """
        if self.isTerminal:
            self._print("", text, _DIM)

    def error(self, text: str) -> None:
        """
        Print an error to standard error.
        """
        if self.isPrompting:
            self.endPrompt()
        print(f"txhixie: {printable(text, _MOST)}", file=sys.stderr, flush=True)

    def endPrompt(self) -> None:
        """
        Leave the line that is being entered.
        """
        self.isPrompting = False
        sys.stdout.write("\r\x1b[K")
        sys.stdout.flush()

    def _print(self, mark: str, text: str, colour: str) -> None:
        if self._hasColours:
            start, end = (colour + mark + _PLAIN, "") if mark else (colour, _PLAIN)
        else:
            start, end = mark, ""
        shown = f"{start}{text}{end}"
        if self.isPrompting:
            sys.stdout.write(_above(shown, _rows(mark + text)))
        else:
            sys.stdout.write(shown + "\n")
        sys.stdout.flush()


def _rows(text: str) -> int:
    """
    Return how many rows of the terminal a text takes.
    """
    columns = shutil.get_terminal_size().columns
    return sum(max(1, -(-_width(line) // columns)) for line in text.split("\n"))


def _width(line: str) -> int:
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in line)


def _above(text: str, rows: int) -> str:
    """
    Return a function that prints a text above the line that is being entered, and keeps that line.
    """
    text = text.replace("\n", "\r\n")
    if rows >= shutil.get_terminal_size().lines:
        # The line scrolls out of sight, and is written again.
        return f"\r\x1b[K{text}\r\n{PROMPT}{_entered()}"
    # Save the position; make room below, and insert rows; print; restore the position, and move
    # down as many rows.
    return f"\x1b7{chr(10) * rows}\x1b[{rows}A\x1b[{rows}L\r{text}\x1b8\x1b[{rows}B"


def _entered() -> str:
    try:
        import readline
    except ImportError:
        return ""
    return readline.get_line_buffer()
