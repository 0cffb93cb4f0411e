"""
How often Python looks for circles of objects that nobody needs.
"""

from __future__ import annotations

import gc

# So many more objects have to be made than dropped before the collector looks at the new ones.
# It looks at all after a hundred times as many.
_NEW_OBJECTS = 10_000


def collectLessOften() -> None:
    """
    Raise the first threshold of Python's garbage collector, for a process that only serves. A full
    collection looks at every object of every connection, and nobody is served meanwhile: for tens
    of milliseconds with a few thousand connections. With Python's default, thousands of clients
    that come at once cause several. A connection leaves no circles behind, so there is little
    to find.

    A threshold that is higher already stays, and so does a collector that is switched off.
    """
    first, *others = gc.get_threshold()
    if 0 < first < _NEW_OBJECTS:
        gc.set_threshold(_NEW_OBJECTS, *others)
