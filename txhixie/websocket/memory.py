"""
How much memory this process may use.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

# What is assumed if the system does not report a limit.
_UNKNOWN = 1 << 30
_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


@lru_cache(maxsize=1)
def usableMemory() -> int:
    """
    Return how many bytes of memory this process may use: the machine's memory, or the limit of its
    control group or of the process (C{RLIMIT_AS}, C{RLIMIT_DATA}) if that is smaller.
    """
    return min([*_physical(), *_ofGroups(_OWN_GROUPS, _GROUPS), *_ofProcess()], default=_UNKNOWN)


def _physical() -> Iterator[int]:
    with suppress(AttributeError, ValueError, OSError):
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _ofProcess() -> Iterator[int]:
    with suppress(ImportError):
        import resource

        for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
            limit = resource.getrlimit(kind)[0]
            if limit != resource.RLIM_INFINITY:
                yield limit


def _ofGroups(own: Path, groups: Path) -> Iterator[int]:
    """
    @param own: the file that names the process's groups.
    @param groups: the folder of the groups.
    @return: the limits of the groups and of their parents.
    """
    with suppress(OSError, ValueError):
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            isFirst = "memory" in controllers.split(",")
            if controllers and not isFirst:
                continue
            # Version 1 of control groups, or version 2.
            root = groups / "memory" if isFirst else groups
            name = "memory.limit_in_bytes" if isFirst else "memory.max"
            place = root / path.lstrip("/")
            for each in (place, *place.parents):
                with suppress(OSError, ValueError):
                    # It may be the word max.
                    yield int((each / name).read_text())
                if each == root:
                    break
