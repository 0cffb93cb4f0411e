"""
The loads that servers are measured with.
"""

from __future__ import annotations

from dataclasses import dataclass

_MAIN = "txhixie-76 txhixie-13 bare autobahn twisted.web websockets websockets+uvloop picows ws"
_MOST = f"txhixie-75 {_MAIN} driver bare-c"
_ALL = f"txhixie-07 txhixie-08 {_MOST}"
_GROWING = "txhixie-75 txhixie-76 txhixie-13 bare ws bare-c"
_ROOMS = "rooms-75 rooms-76 rooms-13"
_TLS = "txhixie-76 txhixie-13 autobahn twisted.web websockets ws"
_DEFLATE = "txhixie-13 plain-13 autobahn ws"
_TAIL = "txhixie-76 txhixie-13 websockets picows ws"
_STORM = "txhixie-75 txhixie-76 txhixie-13 autobahn twisted.web websockets ws"

# The members of each room.
_MEMBERS = 8


@dataclass(frozen=True)
class Load:
    """
    One load.

    @ivar mode: the mode of the generator, or one of these:
         - C{memory}: what idle connections take;
         - C{growth}: an echo with several numbers of connections in turn;
         - C{rooms}: broadcasts in several numbers of rooms in turn;
         - C{profile}: handshakes, and where the server spends its time;
         - C{tail}: the mode C{rate} of the generator at half of what a server can do;
         - C{storm}: that mode while many other clients connect.
    @ivar servers: the names of the servers measured, separated by spaces.
    @ivar rate: messages a second on each connection, in the modes C{rate} and C{storm}.
    @ivar storm: how many clients connect, in mode C{storm}.
    """

    name: str
    mode: str
    connections: int
    size: int
    depth: int
    servers: str
    rate: float = 50
    rooms: int = 1
    storm: int = 0
    deflate: bool = False
    tls: bool = False

    @property
    def serverMode(self) -> str:
        """
        What the server does: C{echo} or C{broadcast}.
        """
        return "broadcast" if self.mode in ("broadcast", "rooms") else "echo"

    @property
    def title(self) -> str:
        """
        The load in words.
        """
        size, count = self.size, f"{self.connections:,}"
        shortSize = f"{size >> 20} MiB" if size >> 20 else f"{size >> 10} KiB"
        shortSize = shortSize if size >> 10 else f"{size} B"
        what = f"{shortSize}{' of JSON' if self.deflate else ''}, depth {self.depth}"
        title = {
            "echo": f"echo {what}, {count} connections",
            "growth": f"growth, {count} connections",
            "rooms": f"{self.rooms:,} rooms",
            "broadcast": f"broadcast {what}, {count} clients",
            "rate": f"{count} connections, {self.rate:g} messages/s each",
            "tail": f"{count} connections, half of capacity",
            "storm": f"{count} connections, {self.rate:g} messages/s each, {self.storm:,} come",
            "handshakes": f"handshakes, {count} at once",
            "profile": "where the time of a handshake goes",
            "memory": f"{count} idle connections",
        }[self.mode]
        return f"{title}{', deflate' if self.deflate else ''}{', TLS' if self.tls else ''}"


def loads(quick: bool) -> list[Load]:
    """
    @return: all loads, or those of a quick run. Neighbours that differ only in depth run on the
        same connections, and the loads of C{growth} and C{rooms} run in turn.
    """
    clients, idle, everyDialect = (200, 1000, _MOST) if quick else (1000, 8000, _ALL)
    deflated = 200 if quick else 1000
    storm = 1000 if quick else 10_000
    rooms = (8, 128) if quick else (8, 128, 1000)
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
        Load("profile", "profile", 16, 16, 1, "txhixie-75 txhixie-76 txhixie-13"),
        Load("tail", "tail", 64, 16, 1, _TAIL),
        Load("broadcast-100", "broadcast", 100, 64, 1, _MAIN),
        Load("broadcast", "broadcast", clients, 64, 1, f"{_MAIN} bare-c"),
        Load("broadcast-16", "broadcast", clients, 64, 16, f"{_MAIN} bare-c"),
        Load("deflate", "broadcast", deflated, 1024, 1, _DEFLATE, deflate=True),
        Load("tls-echo", "echo", 64, 16, 1, _TLS, tls=True),
        Load("tls-echo-64k", "echo", 8, 65536, 4, _TLS, tls=True),
        Load("tls-broadcast", "broadcast", 200, 64, 1, _TLS, tls=True),
        *(Load(f"growth-{count}", "growth", count, 16, 1, _GROWING) for count in (64, 1000, 8000)),
        *(
            Load(f"rooms-{count}", "rooms", count * _MEMBERS, 64, 1, _ROOMS, rooms=count)
            for count in rooms
        ),
        Load("storm", "storm", 50, 16, 1, _STORM, rate=20, storm=storm),
        Load("memory", "memory", idle, 16, 1, weighed),
        Load("memory-deflate", "memory", deflated, 1024, 1, "txhixie-13 autobahn ws", deflate=True),
    ]
    skipped = ("echo-1k", "echo-1m", "broadcast-100", "growth-8000") if quick else ()
    return [load for load in found if load.name not in skipped]
