"""
What is measured: the servers, the loads, and what txhixie has to reach.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from benchmarks.process import HERE, compiled

_TWISTD = (
    *(sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile="),
    # No pings while a measurement rests; their deadlines are kept as always.
    *("hixie", "--port", "tcp:{port}:interface=127.0.0.1", "--ping-interval", "600"),
)


@dataclass(frozen=True)
class Subject:
    """
    A server, spoken to in one dialect.

    @ivar label: its name in tables.
    @ivar dialect: as C{load/load.c} calls it.
    @ivar command: how it is started, see L{benchmarks.process.Server}.
    """

    name: str
    label: str
    dialect: str
    command: tuple[str, ...]

    @property
    def isOurs(self) -> bool:
        """
        Whether this is txhixie.
        """
        return self.command == _TWISTD


def _script(name: str, label: str, file: str, dialect: str = "rfc6455") -> Subject:
    file, plus, variant = file.partition("+")
    interpreter = "node" if file.endswith(".js") else sys.executable
    command = (interpreter, str(HERE / "servers" / file), "{mode}" + plus + variant, "{port}")
    return Subject(name, label, dialect, command)


def subjects() -> dict[str, Subject]:
    """
    @return: all servers by name.
    """
    bareC = (compiled("servers/bare.c"), "{mode}", "{port}")
    found = (
        Subject("txhixie-75", "txhixie hixie-75", "hixie-75", _TWISTD),
        Subject("txhixie-76", "txhixie hixie-76", "hixie-76", _TWISTD),
        Subject("txhixie-07", "txhixie hybi-07", "hybi-07", _TWISTD),
        Subject("txhixie-08", "txhixie hybi-08", "hybi-08", _TWISTD),
        Subject("txhixie-13", "txhixie rfc6455", "rfc6455", _TWISTD),
        _script("bare", "bare Twisted TCP", "bare.py", "tcp"),
        _script("autobahn", "Autobahn", "autobahn_server.py"),
        _script("twisted.web", "twisted.web", "twisted_web_server.py"),
        _script("websockets", "websockets", "websockets_server.py"),
        _script("websockets+uvloop", "websockets, uvloop", "websockets_server.py+uvloop"),
        _script("picows", "picows", "picows_server.py"),
        _script("ws", "Node ws", "ws_server.js"),
        _script("driver", "websocket-driver hixie-76", "websocket_driver_server.js", "hixie-76"),
        Subject("bare-c", "bare TCP in C", "tcp", bareC),
    )
    return {subject.name: subject for subject in found}


_MAIN = "txhixie-76 txhixie-13 bare autobahn twisted.web websockets websockets+uvloop picows ws"
_MOST = f"txhixie-75 {_MAIN} driver bare-c"
_GROWING = "txhixie-75 txhixie-76 txhixie-13 bare ws"
_ALL = f"txhixie-07 txhixie-08 {_MOST}"


@dataclass(frozen=True)
class Load:
    """
    What the servers are put under.

    @ivar mode: that of the generator; or C{memory}, which is none of its; or C{growth}, an echo
        with several numbers of connections in turn.
    @ivar servers: the names of the servers measured, separated by spaces.
    @ivar rate: messages a second on each connection, in mode C{rate}.
    """

    name: str
    mode: str
    connections: int
    size: int
    depth: int
    servers: str
    rate: float = 50

    @property
    def title(self) -> str:
        """
        The load in words.
        """
        size, count = self.size, f"{self.connections:,}"
        shortSize = f"{size >> 20} MiB" if size >> 20 else f"{size >> 10} KiB"
        what = f"{shortSize if size >> 10 else f'{size} B'}, depth {self.depth}"
        return {
            "echo": f"echo {what}, {count} connections",
            "growth": f"growth, {count} connections",
            "broadcast": f"broadcast {what}, {count} clients",
            "rate": f"{count} connections, {self.rate:g} messages/s each",
            "handshakes": f"handshakes, {count} at once",
            "memory": f"{count} idle connections",
        }[self.mode]


def loads(quick: bool) -> list[Load]:
    """
    @return: all loads, or those of a quick run. Such as follow one another and differ in depth
        only run on the same connections, and those of C{growth} in turn.
    """
    clients, idle, everyDialect = (200, 1000, _MOST) if quick else (1000, 8000, _ALL)
    weighed = "txhixie-76 txhixie-13 autobahn" if quick else f"txhixie-75 {_MAIN}"
    found = [
        Load("echo-64", "echo", 64, 16, 1, everyDialect),
        Load("echo-1000", "echo", 1000, 16, 1, _MOST),
        Load("pipeline", "echo", 8, 16, 256, _MOST),
        Load("echo-1k", "echo", 8, 1024, 4, _MAIN),
        Load("echo-64k", "echo", 8, 65536, 4, _MOST),
        Load("echo-1m", "echo", 8, 2**20, 1, _MOST),
        Load("rate", "rate", 100, 16, 1, _MAIN),
        Load("handshakes", "handshakes", 16, 16, 1, everyDialect),
        Load("broadcast-100", "broadcast", 100, 64, 1, _MAIN),
        Load("broadcast", "broadcast", clients, 64, 1, f"{_MAIN} bare-c"),
        Load("broadcast-16", "broadcast", clients, 64, 16, f"{_MAIN} bare-c"),
        *(Load(f"growth-{count}", "growth", count, 16, 1, _GROWING) for count in (64, 1000, 8000)),
        Load("memory", "memory", idle, 16, 1, weighed),
    ]
    skipped = ("echo-1k", "echo-1m", "broadcast-100", "growth-8000") if quick else ()
    return [load for load in found if load.name not in skipped]


# How many times a peer's messages per CPU second, at least: by load, ours, peer.
_BROADCAST = {"autobahn": 3.5, "ws": 0.8, "websockets": 1.2}
PROMISES: dict[tuple[str, str], dict[str, float]] = {
    ("echo-64", "txhixie-76"): {"bare": 1.2, "autobahn": 4, "twisted.web": 3.5, "ws": 0.8},
    ("echo-64", "txhixie-13"): {"autobahn": 2.2, "twisted.web": 2, "websockets": 1.5},
    ("pipeline", "txhixie-76"): {"autobahn": 30, "ws": 8, "picows": 5},
    ("pipeline", "txhixie-13"): {"autobahn": 3, "websockets": 2.5, "ws": 0.9},
    ("echo-64k", "txhixie-76"): {"bare": 0.5, "ws": 2, "autobahn": 3},
    ("echo-64k", "txhixie-13"): {"websockets": 1, "autobahn": 3},
    ("broadcast", "txhixie-76"): _BROADCAST,
    ("broadcast", "txhixie-13"): _BROADCAST,
    ("broadcast-16", "txhixie-76"): {"autobahn": 8, "ws": 3},
    ("broadcast-16", "txhixie-13"): {"autobahn": 8, "ws": 3},
    **{("handshakes", f"txhixie-{x}"): {"autobahn": 3} for x in ("75", "76", "07", "08", "13")},
}
# KiB of an idle connection, at most.
MEMORY_PROMISES = {"txhixie-75": 4.0, "txhixie-76": 4.0, "txhixie-13": 7.0}
# The cost of a message with more connections, at most, in terms of that with 64.
GROWTH_PROMISE = 1.3
