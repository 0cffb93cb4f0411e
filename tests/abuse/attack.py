"""
What an attack is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from tests.abuse.subject import cpuSeconds

# Attackers yield their core to the well-behaved clients, whose latency is measured.
_NICENESS = 19


@dataclass(frozen=True)
class Target:
    """
    What an attacker knows of the server.

    @ivar port: where to attack it.
    @ivar consolePort: the port of the console, for its statistics.
    @ivar secure: whether to attack over TLS.
    @ivar pid: its process.
    @ivar quick: whether the attack should be small.
    @ivar background: the CPU seconds per second that the well-behaved clients cost.
    """

    port: int
    consolePort: int
    secure: bool
    pid: int
    quick: bool
    background: float

    def size(self, full: int, quick: int) -> int:
        """
        @return: the size for an attack.
        """
        return quick if self.quick else full

    def cost(self, run: Callable[[], object]) -> float:
        """
        @return: the CPU seconds that C{run} costs the server.
        """
        used, started = cpuSeconds(self.pid), monotonic()
        run()
        idle = self.background * (monotonic() - started)
        return cpuSeconds(self.pid) - used - idle


def _nothing(log: list[str]) -> str:
    return ""


def _always() -> str:
    return ""


@dataclass(frozen=True)
class Attack:
    """
    @ivar run: attacks, in a separate process.
        @return: the result for the attacker.
        @raise AssertionError: if that is wrong.
    @ivar memory: MiB that the server may grow by.
    @ivar secure: whether all clients use TLS.
    @ivar options: of C{twistd hixie}.
    @ivar files: how many files the server may have open; 0: no limit.
    @ivar interface: where the server listens.
    @ivar niceness: how far it yields its core to others.
    @ivar wait: seconds that 99 % of the other clients' messages may wait; 0: any time.
    @ivar whyNot: returns why this cannot be tried here; empty if it can.
    @ivar verify: checks what the server logged, and returns a summary.
    """

    run: Callable[[Target], str]
    memory: float
    options: tuple[str, ...]
    secure: bool = False
    files: int = 0
    interface: str = "127.0.0.1"
    niceness: int = _NICENESS
    wait: float = 0.0
    whyNot: Callable[[], str] = _always
    verify: Callable[[list[str]], str] = _nothing

    @property
    def name(self) -> str:
        """
        What the attack is called.
        """
        name = re.sub("(?=[A-Z0-9])(?<![0-9])", "-", self.run.__name__).lower()
        return f"{name}-by-tls" if self.secure else name

    @property
    def description(self) -> str:
        """
        What it does, in one line.
        """
        words = (self.run.__doc__ or "").split()
        return " ".join([*words, "By TLS."] if self.secure else words)


# In the order in which they are run.
ATTACKS: dict[str, Attack] = {}


def attack(
    *options: str,
    memory: float,
    memoryByTLS: float = 0,
    files: int = 0,
    interface: str = "127.0.0.1",
    niceness: int = _NICENESS,
    wait: float = 0.0,
    whyNot: Callable[[], str] = _always,
    verify: Callable[[list[str]], str] = _nothing,
) -> Callable[[Callable[[Target], str]], Callable[[Target], str]]:
    """
    Make a function an L{Attack}, which documents the parameters.

    @param memoryByTLS: MiB that the server may grow by if the same is done over TLS; 0: not done.
    """

    def add(run: Callable[[Target], str]) -> Callable[[Target], str]:
        for secure, most in ((False, memory), (True, memoryByTLS)):
            if most:
                made = Attack(
                    run, most, options, secure, files, interface, niceness, wait, whyNot, verify
                )
                ATTACKS[made.name] = made
        return run

    return add
