"""
How often Python looks for reference cycles.
"""

from __future__ import annotations

import gc

# The collector looks at new objects when this many more have been made than freed. It looks at all
# objects after a hundred times as many.
_NEW_OBJECTS = 10_000


def collectLessOften() -> None:
    """
    Raise the first threshold of Python's garbage collector, for a process that only serves. A full
    collection looks at every object of every connection, and nothing is served meanwhile: for tens
    of milliseconds with a few thousand connections. With Python's default, thousands of clients
    that come at once cause several such collections. A connection leaves no cycles behind, so there
    is little to find.

    A threshold that is already higher is kept, and a collector that is switched off stays off.
    """
    first, *others = gc.get_threshold()
    if 0 < first < _NEW_OBJECTS:
        gc.set_threshold(_NEW_OBJECTS, *others)
