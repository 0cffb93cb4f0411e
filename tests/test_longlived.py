"""What exists when a server starts is no work for the garbage collector while it runs."""

from __future__ import annotations

import gc

from txhixie.server.longlived import LongLived


def test_longLived() -> None:
    """Everything is set aside from the start to the end, and garbage is collected before."""
    service = LongLived()
    before = gc.get_freeze_count()
    garbage: list[object] = []
    garbage.append(garbage)
    count = len(gc.get_objects())
    del garbage
    service.startService()
    try:
        assert gc.get_freeze_count() > before + count // 2
        assert len(gc.get_objects()) < count // 2
    finally:
        service.stopService()
    assert gc.get_freeze_count() == 0
