"""
Where a server spends the time of a handshake.
"""

from __future__ import annotations

import pstats
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What a file or a function of C belongs to: the first pattern that is found counts.
_PARTS = {
    "system calls": r"'_socket\.socket'|socket\.close|'select\.epoll'",
    "Python's functions in C": r"^~ ",
    "txhixie/dialects": r"/txhixie/dialects/",
    "txhixie/server": r"/txhixie/server/",
    "txhixie/websocket": r"/txhixie/websocket/",
    "the rest of txhixie": r"/txhixie/",
    "Twisted": r"/twisted/",
    "websockets": r"/websockets/",
    "Python's library": "",
}


@dataclass(frozen=True)
class Profile:
    """
    What one handshake takes.

    @ivar calls: the calls of functions.
    @ivar shares: the part of the time that each part of the program takes itself, by name.
    """

    calls: float
    shares: dict[str, float]

    @classmethod
    def read(cls, file: Path, handshakes: float) -> Profile:
        """
        @param file: what cProfile saved.
        @param handshakes: how many there were.
        """
        calls, times = 0, defaultdict[str, float](float)
        for name, seconds, count in _functions(file):
            calls += count
            times[_part(name)] += seconds
        total = sum(times.values())
        return cls(calls / handshakes, {part: times[part] / total for part in _PARTS})


def profiled(command: list[str], file: Path) -> list[str]:
    """
    @param command: starts twistd.
    @param file: where it saves its profile when it ends.
    """
    place = command.index("hixie")
    options = ("--profile", str(file), "--profiler", "cProfile", "--savestats")
    return [*command[:place], *options, *command[place:]]


def _functions(file: Path) -> Iterator[tuple[str, float, int]]:
    """
    @return: the place and name of each function, its own seconds, and how often it was called.
    """
    stats: Any = pstats.Stats(str(file))
    for (place, _, name), (_, count, seconds, _, _) in stats.stats.items():
        yield f"{place} {name}", seconds, count


def _part(name: str) -> str:
    return next(part for part, pattern in _PARTS.items() if re.search(pattern, name))
