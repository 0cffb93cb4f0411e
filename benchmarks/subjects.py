"""
The servers that are measured.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from benchmarks.process import HERE, certificate, compiled

# txhixie.
TWISTD = (
    *(sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile="),
    # No pings while a measurement pauses; their deadlines are kept as always.
    *("hixie", "--ping-interval", "600"),
)


@dataclass(frozen=True)
class Subject:
    """
    A server, as measured in one dialect.

    @ivar label: its name in tables.
    @ivar dialect: its name for C{load/load.c}.
    @ivar program: the command that is started.
    @ivar isOurs: whether this is txhixie.
    @ivar isPlain: whether it does not compress where the others do.
    """

    name: str
    label: str
    dialect: str
    program: tuple[str, ...]
    isOurs: bool = False
    isPlain: bool = False

    def command(self, mode: str, port: int, deflate: bool, tls: bool) -> list[str]:
        """
        @param mode: C{echo} or C{broadcast}.
        @return: the command that starts it.
        """
        if self.program == TWISTD:
            endpoint = f"tcp:{port}:interface=127.0.0.1:backlog=1024"
            if tls:
                endpoint = endpoint.replace("tcp", "ssl", 1) + f":privateKey={certificate()}"
            return [*TWISTD, "--port", endpoint, *(["--compression"] if deflate else [])]
        words = [*self.program, mode, str(port)]
        if deflate:
            words.append("--deflate")
        if tls:
            words += ["--tls", certificate()]
        return words


def _python(file: str, *options: str) -> tuple[str, ...]:
    return sys.executable, str(HERE / "servers" / file), *options


def _node(file: str) -> tuple[str, ...]:
    return "node", str(HERE / "servers" / file)


def _ours(name: str, dialect: str, program: tuple[str, ...] = TWISTD) -> Subject:
    return Subject(name, f"txhixie {dialect}", dialect, program, isOurs=True)


def _peer(name: str, label: str, program: tuple[str, ...], dialect: str = "rfc6455") -> Subject:
    return Subject(name, label, dialect, program)


def subjects() -> dict[str, Subject]:
    """
    @return: all servers by name.
    """
    rooms = _python("rooms_server.py")
    found = (
        _ours("txhixie-75", "hixie-75"),
        _ours("txhixie-76", "hixie-76"),
        _ours("txhixie-07", "hybi-07"),
        _ours("txhixie-08", "hybi-08"),
        _ours("txhixie-13", "rfc6455"),
        _ours("rooms-75", "hixie-75", rooms),
        _ours("rooms-76", "hixie-76", rooms),
        _ours("rooms-13", "rfc6455", rooms),
        _peer("bare", "bare Twisted TCP", _python("bare.py"), "tcp"),
        _peer("autobahn", "Autobahn", _python("autobahn_server.py")),
        _peer("twisted.web", "twisted.web", _python("twisted_web_server.py")),
        _peer("websockets", "websockets", _python("websockets_server.py")),
        _peer(
            "websockets+uvloop", "websockets, uvloop", _python("websockets_server.py", "--uvloop")
        ),
        _peer("picows", "picows", _python("picows_server.py")),
        _peer("ws", "Node ws", _node("ws_server.js")),
        _peer(
            "driver", "websocket-driver hixie-76", _node("websocket_driver_server.js"), "hixie-76"
        ),
        Subject("plain-13", "txhixie rfc6455, not compressed", "rfc6455", TWISTD, isPlain=True),
        _peer("bare-c", "bare TCP in C", (compiled("servers/bare.c"),), "tcp"),
    )
    return {subject.name: subject for subject in found}
