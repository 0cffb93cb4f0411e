"""What exists when a server starts is no work for the garbage collector while it runs."""

from __future__ import annotations

import gc
import subprocess
import sys
from platform import libc_ver

import pytest

from tests.interop.server import PROJECT
from txhixie.twistd.longlived import LongLived, keepMemory


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


PROGRAM = """
import resource, sys
from tests.interop.server import PROJECT
from txhixie.twistd.longlived import keepMemory
if sys.argv[1] == "keep":
    assert keepMemory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        texts = [bytes(1 << 20) for _ in range(4)]
        del texts
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.mark.skipif(libc_ver()[0] != "glibc", reason="this is not the C library of GNU")
def test_keepMemory() -> None:
    """Memory that was used for large messages is used again, without the system's help."""
    faults = {}
    for how in ("keep", "default"):
        command = [sys.executable, "-c", PROGRAM, how]
        output = subprocess.run(
            command, check=True, capture_output=True, text=True, env={"PYTHONPATH": str(PROJECT)}
        ).stdout
        faults[how] = int(output)
    assert faults["keep"] < 1000 < faults["default"]


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"])
def test_settingsOfTheirOwn(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the environment are left alone."""
    monkeypatch.setenv(name, "1")
    assert not keepMemory()
