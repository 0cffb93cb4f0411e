"""
What C{twistd hixie} prints: the help, with the options in groups and most of them on one line; and
characters that the terminal does not have.

The full meanings of the options are in the reference. These lines are written here, so they exist
without docstrings, too (C{PYTHONOPTIMIZE=2}).
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from io import TextIOWrapper
from typing import Any

# The error handlers of a stream that raise for characters that it cannot encode.
_FAILING = ("strict", "surrogateescape")
_WIDTH, _COLUMN = 79, 30
_INTRODUCTION = (
    "Serve WebSockets and plain HTTP on one port. The built-in services are found under their "
    "names, as /echo. Each line ends with the default."
)
# By group and option: its argument, and a short description.
GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "What is served": {
        "service": ("NAME", "echo, broadcast, gateway or your own [echo]"),
        "route": ("PATH=NAME", "a service at a path, repeatable [none]"),
        "subprotocol": ("NAME", "one that the service speaks, repeatable [none]"),
        "no-console": ("", "do not serve the console at /console"),
        "backend": ("URL", "a server behind the gateway, repeatable [none]"),
        "gateway-bytes": ("POLICY", "for Hixie clients: drop, close or base64"),
    },
    "Where": {
        "port": ("WHERE", "a port number or endpoint, repeatable [3400]"),
        "location": ("URL", "where clients find this server"),
        "trust-proxy": ("NETWORK", "believe these proxies, repeatable [none]"),
        "workers": ("N", "processes that share the ports"),
        "admin": ("ENDPOINT", "where metrics and health are served"),
    },
    "Who may connect": {
        "origin": ("ORIGIN", "one that may connect, repeatable [every]"),
        "origin-file": ("FILE", "origins, one a line"),
        "auth": ("CHECKER", "how clients log in, as file:passwords [not]"),
        "dialects": ("NAMES", "the dialects to speak"),
    },
    "Rooms": {
        "backplane": ("URL", "what joins several processes"),
        "history": ("N", "entries that a room keeps"),
        "history-size": ("BYTES", "of all entries in memory, 0: no limit"),
        "max-rooms": ("N", "rooms at the same time"),
        "publish": ("", "let POST publish to rooms"),
        "publish-limit": ("N", "messages that may wait to be published"),
    },
    "Connections": {
        "max-connections": ("N", "connections in total"),
        "max-per-address": ("N", "connections of one address, 0: no limit"),
        "max-handshakes": ("N", "requests that are not complete"),
        "accept-rate": ("N", "connections accepted per second, 0: no limit"),
        "memory-limit": ("BYTES", "what all may hold, 0: no limit [1/4 of all]"),
    },
    "Requests": {
        "max-head": ("BYTES", "the largest request head"),
        "max-fields": ("N", "header fields in it"),
        "max-body": ("BYTES", "the largest body of plain HTTP"),
        "handshake-timeout": ("SECONDS", "for an opening handshake"),
        "request-timeout": ("SECONDS", "for a request of plain HTTP"),
    },
    "Messages": {
        "max-message": ("BYTES", "the largest message"),
        "max-fragments": ("N", "frames of a message"),
        "message-timeout": ("SECONDS", "for a message that has begun, 0: any"),
        "send-limit": ("BYTES", "unread by a client, over it: slow"),
        "slow-policy": ("POLICY", "close, drop or latest"),
        "compression": ("", "agree to permessage-deflate"),
    },
    "Keeping alive and closing": {
        "ping-interval": ("SECONDS", "between pings, 0: none"),
        "ping-timeout": ("SECONDS", "for the answer to a ping"),
        "heartbeat": ("TEXT", "sent where there are no pings"),
        "idle-timeout": ("SECONDS", "without a message, 0: any"),
        "close-timeout": ("SECONDS", "for the answer to a close"),
        "linger-timeout": ("SECONDS", "to read the rest after a close"),
        "lame-duck": ("SECONDS", "of serving on before a stop"),
        "drain": ("SECONDS", "for all clients to close at a stop"),
    },
    "Logging": {
        "log-connections": ("", "a line for each that opens or closes"),
        "log-messages": ("", "a line for each message"),
        "log-rate": ("N", "lines of a kind per second, 0: no limit"),
    },
    "Help": {
        "help": ("", "this text"),
        "help-auth": ("", "the ways to log in"),
        "help-auth-type": ("CHECKER", "one of them"),
        "version": ("", "the version of Twisted"),
    },
}


def helpText(
    meanings: Mapping[str, str], defaults: Mapping[str, Any], shorts: Mapping[str, str]
) -> str:
    """
    Return the help for the options.

    @param meanings: the meanings of all options, by name. They are shown for options without a line
        here.
    @param defaults: the defaults of the options that have one.
    @param shorts: the short names of options that have one.
    """
    lines = textwrap.wrap(_INTRODUCTION, _WIDTH)
    known = {name for group in GROUPS.values() for name in group}
    others = {name: ("", text) for name, text in meanings.items() if name not in known}
    for title, group in {**GROUPS, "Others": others}.items():
        entries = {name: entry for name, entry in group.items() if name in meanings}
        if entries:
            lines += ["", f"{title}:"]
        for name, (value, text) in entries.items():
            lines += _entry(name, value, text, defaults.get(name), shorts.get(name))
    return "\n".join(lines) + "\n"


def escapeOutput() -> None:
    """
    Write characters that the terminal cannot show as C{\\xNN} or such. Otherwise log lines with
    such characters are lost.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors in _FAILING:
            stream.reconfigure(errors="backslashreplace")


def _entry(name: str, value: str, text: str, default: Any, short: str | None) -> list[str]:
    """
    Return the lines of an option.
    """
    option = (f"-{short}, " if short else "") + f"--{name}" + (f"={value}" if value else "")
    if value and "[" not in text:
        text += f" [{_shown(default, value)}]"
    wrapped = textwrap.wrap(
        " ".join(text.split()), _WIDTH - _COLUMN, break_on_hyphens=False, break_long_words=False
    ) or [""]
    first = f"  {option}"
    if len(first) >= _COLUMN - 1:
        return [f"{first}  {wrapped[0]}", *(" " * _COLUMN + line for line in wrapped[1:])]
    return [f"{first:<{_COLUMN}}{wrapped[0]}", *(" " * _COLUMN + line for line in wrapped[1:])]


def _shown(default: Any, value: str) -> str:
    """
    Return a default with its unit.
    """
    if default is None:
        return "none"
    if value == "SECONDS":
        return f"{default:g} s"
    if value == "BYTES":
        for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
            if default and default % unit == 0:
                return f"{default // unit} {name}"
        return f"{default} B"
    return str(default)
