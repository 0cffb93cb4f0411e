"""
Peers that the network silently takes away.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic

from tests.abuse.attack import Target, attack
from tests.abuse.client import Client, openAll, pause
from tests.abuse.subject import openConnections
from tests.support import IDIOMS

_CLONE_NEWNET = 0x40000000
# Seconds: from the options, and what timers and the network may add.
_PING_INTERVAL = _PING_TIMEOUT = 1
_SLACK = 4


def _needsNamespaces() -> str:
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs root, to take a network away"
    return "" if shutil.which("ip") else "needs ip: apt-get install iproute2"


def _ip(command: str) -> None:
    done = subprocess.run(["ip", *command.split()], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {command}: {done.stderr.strip()}"


def _enter(descriptor: int) -> None:
    """
    Move this process into a network namespace.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class _Cable:
    """
    A network namespace, and the cable to it.

    @ivar host: the server's address at this end.
    """

    def __init__(self) -> None:
        number = os.getpid()
        self._name = f"txhixie-{number}"
        self._ours, self._theirs = f"hx{number}a", f"hx{number}b"
        # Link-local addresses, of this process alone.
        block = number % 16_000 * 4 + 256
        self.host, self._peer = (f"169.254.{n >> 8}.{n & 255}" for n in (block + 1, block + 2))

    @contextmanager
    def laid(self) -> Iterator[None]:
        """
        Create it, until the block ends.
        """
        _ip(f"netns add {self._name}")
        _ip(f"link add {self._ours} type veth peer name {self._theirs} netns {self._name}")
        try:
            _ip(f"addr add {self.host}/30 dev {self._ours}")
            _ip(f"link set {self._ours} up")
            _ip(f"-n {self._name} addr add {self._peer}/30 dev {self._theirs}")
            _ip(f"-n {self._name} link set {self._theirs} up")
            yield
        finally:
            _ip(f"link delete {self._ours}")
            _ip(f"netns delete {self._name}")

    @contextmanager
    def farEnd(self) -> Iterator[None]:
        """
        Create the sockets of the block at the far end.
        """
        with open("/proc/self/ns/net") as here, open(f"/run/netns/{self._name}") as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(here.fileno())

    def cut(self) -> None:
        """
        Lose everything that is sent from now on.
        """
        _ip(f"-n {self._name} link set {self._theirs} down")


@attack(
    *("--ping-interval", str(_PING_INTERVAL), "--ping-timeout", str(_PING_TIMEOUT)),
    memory=8,
    memoryByTLS=16,
    interface="0.0.0.0",
    whyNot=_needsNamespaces,
)
def deadPeers(target: Target) -> str:
    """
    The network to clients of every dialect is cut, idle ones and members of a broadcast.
    """
    others = openConnections(target.consolePort)
    speaker = Client(target.port, "rfc6455", "/broadcast", secure=target.secure)
    count = len(IDIOMS) * target.size(20, 1)
    cable = _Cable()
    with ExitStack() as stack:
        stack.enter_context(cable.laid())
        with cable.farEnd():
            peers = [
                client
                for path in ("/echo", "/broadcast")
                for client in openAll(target.port, count, path, cable.host, target.secure)
            ]
        for client in (*peers, speaker):
            # Otherwise the server's FIN would wait in the namespace.
            stack.callback(client.reset)
        cable.cut()
        started = monotonic()
        gone: dict[str, float] = {}
        limit = _PING_INTERVAL + _PING_TIMEOUT + _SLACK
        while len(gone) < len(IDIOMS) and monotonic() < started + limit:
            speaker.sendText("is anybody there?")
            speaker.receive()
            pause(0.1)
            left = openConnections(target.consolePort)
            for dialect in IDIOMS:
                own = dialect == speaker.dialect
                if left[dialect] == others[dialect] + own and dialect not in gone:
                    gone[dialect] = monotonic() - started
        remaining = {name: left[name] - others[name] for name in IDIOMS if name not in gone}
        assert not remaining, f"still connected after {limit} s: {remaining}"
    return "gone after: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in gone.items())
