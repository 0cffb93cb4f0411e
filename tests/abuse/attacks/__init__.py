"""
All attacks. Each module of this package adds its own to L{ATTACKS}.
"""

from tests.abuse.attack import ATTACKS
from tests.abuse.attacks import dead, files, flood, frames, linear, logs, memory, plain, rush, slow

__all__ = [
    "ATTACKS",
    "dead",
    "files",
    "flood",
    "frames",
    "linear",
    "logs",
    "memory",
    "plain",
    "rush",
    "slow",
]
