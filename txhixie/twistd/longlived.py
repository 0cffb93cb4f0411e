"""
Prepares a process to serve for a long time.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress

from twisted.application.service import Service

# Parameters of mallopt(3), and their values in bytes. The C library gives back to the system what
# is free at the end of its memory if it is more than the first. What is larger than the second, it
# gets from the system each time.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = (-1, 8 << 20), (-3, 4 << 20)


class LongLived(Service):
    """
    Takes what exists when the server starts out of the garbage collector's work. Otherwise each of
    its full runs goes through all modules as well, and so keeps all clients waiting for longer.
    Also has the C library keep some free memory.
    """

    def startService(self) -> None:
        """
        Set aside everything that exists.
        """
        super().startService()
        keepMemory()
        gc.collect()
        gc.freeze()

    def stopService(self) -> None:
        """
        Let it be collected again.
        """
        super().stopService()
        gc.unfreeze()


def keepMemory() -> bool:
    """
    Have the C library keep a few MiB that are free. By default it gives them back after a large
    message, and then the system clears the same pages for the next one.

    @return: whether it does that. Nothing happens if it is not that of GNU, or if the environment
        has settings for it.
    """
    if sys.platform != "linux" or any(
        name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ
    ):
        return False
    with suppress(ImportError, OSError, AttributeError):
        from ctypes import CDLL

        setOption = CDLL(None).mallopt
        return all(setOption(*option) for option in (_TRIM_THRESHOLD, _MMAP_THRESHOLD))
    return False
