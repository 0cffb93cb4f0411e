"""
Limits and policies. Each is declared once, with its default, its type, its option of C{twistd
hixie}, and its meaning. The command line and the reference are generated from these declarations.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import Field, dataclass, field, fields
from typing import Any

from txhixie.addresses import parseAuthority, parseNetwork

# Oldest first, under the names that people use.
DIALECT_NAMES = ("hixie-75", "hixie-76", "hybi-07", "hybi-08", "rfc6455")
SLOW_POLICIES = ("close", "drop", "latest")

_LOCATION = re.compile(r"(wss?)://([^/?#]+)((?:/[!\"$-;=@-~]*)?)")


@dataclass(frozen=True)
class Kind:
    """
    What a setting accepts.

    @ivar check: returns the value that is kept.
    @ivar parse: reads the value from the text of an option; C{None} for settings whose option is
        not a single number.
    """

    check: Callable[[Any], Any]
    parse: Callable[[str], float] | None = None


def _typed(value: Any, *types: type) -> Any:
    # A bool is an int in Python, but True is not a size.
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        names = " or ".join(each.__name__ for each in types)
        raise TypeError(f"not of type {names}")
    return value


def _number(value: Any) -> int:
    if _typed(value, int) < 1:
        raise ValueError("not a whole number above 0")
    return int(value)


def _numberOrNone(value: Any) -> int:
    return 0 if _typed(value, int) == 0 else _number(value)


def _memory(value: Any) -> int | None:
    return None if value is None else _numberOrNone(value)


def _seconds(value: Any) -> float:
    if not 0 < _typed(value, float, int) < float("inf"):
        raise ValueError("not a number of seconds")
    return float(value)


def _secondsOrNone(value: Any) -> float:
    return 0.0 if _typed(value, float, int) == 0 else _seconds(value)


def _flag(value: Any) -> bool:
    return bool(_typed(value, bool))


def _texts(value: Any) -> tuple[str, ...]:
    texts = tuple(_typed(value, tuple, list))
    for text in texts:
        if not _typed(text, str):
            raise ValueError("an empty one matches nothing")
    return texts


def _dialects(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    names = _texts(value)
    for name in names:
        _oneOf(DIALECT_NAMES)(name)
    if not names:
        raise ValueError("at least one dialect is needed")
    return names


def _oneOf(choices: tuple[str, ...]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if _typed(value, str) not in choices:
            raise ValueError(f"none of {', '.join(choices)}")
        return str(value)

    return check


def _location(value: Any) -> str | None:
    if value is None:
        return None
    match = _LOCATION.fullmatch(_typed(value, str))
    authority = parseAuthority(match[2].encode()) if match and match[2].isascii() else None
    if match is None or authority is None or match[2] != match[2].lower():
        raise ValueError("not like wss://chat.example.com:8443")
    # Clients compare without the default port.
    host, port = authority
    isDefault = port in (None, 443 if match[1] == "wss" else 80)
    suffix = "" if isDefault else f":{port}"
    return f"{match[1]}://{host.decode()}{suffix}{match[3].rstrip('/')}"


def _networks(value: Any) -> tuple[str, ...]:
    texts = _texts(value)
    for text in texts:
        if text != "unix":
            parseNetwork(text)
    return texts


def _text(value: Any) -> str | None:
    if value is None:
        return None
    try:
        _typed(value, str).encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"not text: {error.reason}") from None
    return str(value)


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError("not a whole number")
    return int(text)


def _real(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("not a number of seconds") from None


NUMBER = Kind(_number, _whole)
NUMBER_OR_NONE = Kind(_numberOrNone, _whole)
SECONDS = Kind(_seconds, _real)
SECONDS_OR_NONE = Kind(_secondsOrNone, _real)
MEMORY = Kind(_memory, _whole)
FLAG = Kind(_flag)
TEXTS = Kind(_texts)


def _setting(default: Any, kind: Kind, meaning: str, option: str | None = None) -> Any:
    """
    Declare a setting.

    @param meaning: what it does, for the person who sets it.
    @param option: the name of the option that sets it.
    """
    return field(default=default, metadata={"kind": kind, "meaning": meaning, "option": option})


@dataclass(frozen=True, slots=True)
class Settings:
    """
    What a server allows, and how long it waits.

    @raise TypeError: if a value is not of the type that the setting takes.
    @raise ValueError: if it has the right type, but is not valid.
    """

    origins: tuple[str, ...] = _setting(
        (),
        TEXTS,
        "Origins that may connect, such as http://example.com; * stands for any characters except "
        "slashes. Empty: every origin.",
        "origin",
    )
    allowMissingOrigin: bool = _setting(
        False, FLAG, "Whether a Hixie-76 client may leave out its Origin."
    )
    dialects: tuple[str, ...] | None = _setting(
        None, Kind(_dialects), "The dialects to speak; None: all.", "dialects"
    )
    location: str | None = _setting(
        None,
        Kind(_location),
        "Scheme, host and port under which clients know this server, such as "
        "wss://chat.example.com, if a proxy ends TLS or rewrites Host; None: taken from the "
        "transport and the Host field. A path in it is put before the path of each request.",
        "location",
    )
    trustedProxies: tuple[str, ...] = _setting(
        (),
        Kind(_networks),
        "Networks or addresses of proxies whose Forwarded, and X-Forwarded-For, -Proto, -Host, "
        "-Port and -Prefix are believed, such as 10.0.0.0/8; unix for Unix sockets.",
        "trust-proxy",
    )
    subprotocols: tuple[str, ...] = _setting(
        (), TEXTS, "Subprotocols that the application speaks.", "subprotocol"
    )
    strict: bool = _setting(
        False,
        FLAG,
        "Whether to close on what the Hixie drafts let a server discard or repair: frames other "
        "than text, and ill-formed UTF-8.",
    )
    maxMessage: int = _setting(
        1024 * 1024,
        NUMBER,
        "The largest message accepted, in bytes of payload.",
        "max-message",
    )
    maxHead: int = _setting(
        16 * 1024, NUMBER, "The largest request head accepted, in bytes.", "max-head"
    )
    maxFields: int = _setting(
        100, NUMBER, "Header fields that a request head may have.", "max-fields"
    )
    maxBody: int = _setting(
        1024 * 1024,
        NUMBER,
        "The largest body of a plain HTTP request, in bytes, unless a site of your own answers.",
        "max-body",
    )
    maxFragments: int = _setting(
        128 * 1024, NUMBER, "Frames that a message may come in.", "max-fragments"
    )
    compression: bool = _setting(
        False,
        FLAG,
        "Agree to permessage-deflate if a client offers it, or offer it as a client.",
        "compression",
    )
    sendLimit: int = _setting(
        1024 * 1024,
        NUMBER,
        "Bytes sent to a client but not yet accepted by the kernel, above which the client counts "
        "as slow. A single message may be larger. With TLS, what the transport was given does not "
        "count: how much of it the kernel has accepted is not known.",
        "send-limit",
    )
    slowPolicy: str = _setting(
        "close",
        Kind(_oneOf(SLOW_POLICIES)),
        "What happens to further messages for a slow client. close: its connection is closed; "
        "drop: they are dropped; latest: only the newest is sent.",
        "slow-policy",
    )
    memoryLimit: int | None = _setting(
        None,
        MEMORY,
        "Bytes that all connections together may hold: beginnings of messages and of bodies, and "
        "backlogs. Beyond it those that hold most are closed; 0: no limit. By default it is a "
        "quarter of the memory that the process may use.",
        "memory-limit",
    )
    maxConnections: int = _setting(
        20_000,
        NUMBER,
        "Connections in total, plain HTTP included. Further clients get 503, unless one of plain "
        "HTTP is idle: it is closed instead.",
        "max-connections",
    )
    maxPerAddress: int = _setting(
        0, NUMBER_OR_NONE, "Connections of one client address; 0: no limit.", "max-per-address"
    )
    maxHandshakes: int = _setting(
        1000,
        NUMBER,
        "Connections whose request is not complete. One more ends the oldest with 408.",
        "max-handshakes",
    )
    acceptRate: int = _setting(
        0,
        NUMBER_OR_NONE,
        "Connections accepted per second, the others wait; 0: no limit.",
        "accept-rate",
    )
    pingInterval: float = _setting(
        30.0,
        SECONDS_OR_NONE,
        "Seconds between keepalive pings, to clients that have pings; 0: none.",
        "ping-interval",
    )
    pingTimeout: float = _setting(
        30.0, SECONDS, "Seconds in which a pinged client has to send anything.", "ping-timeout"
    )
    heartbeat: str | None = _setting(
        None,
        Kind(_text),
        "A text sent instead of pings to clients without pings, which have to answer with any "
        "message.",
        "heartbeat",
    )
    idleTimeout: float = _setting(
        0.0,
        SECONDS_OR_NONE,
        "Seconds without a message in either direction after which a client is closed, at the "
        "latest after twice as long; 0: never.",
        "idle-timeout",
    )
    handshakeTimeout: float = _setting(
        10.0,
        SECONDS,
        "Seconds a client may take to complete its opening handshake.",
        "handshake-timeout",
    )
    requestTimeout: float = _setting(
        30.0,
        SECONDS,
        "Seconds a client may take to send a request of plain HTTP, its body included. The head of "
        "a connection's first request has the time of a handshake. Answers take as long as they "
        "like.",
        "request-timeout",
    )
    messageTimeout: float = _setting(
        300.0,
        SECONDS_OR_NONE,
        "Seconds a client may take to complete a message that it has begun; 0: any time.",
        "message-timeout",
    )
    closeTimeout: float = _setting(
        2.0,
        SECONDS,
        "Seconds a client has to answer a closing handshake, and then to end TCP.",
        "close-timeout",
    )
    lingerTimeout: float = _setting(
        30.0,
        SECONDS,
        "Seconds a closed client may take to read what was sent before the close.",
        "linger-timeout",
    )
    lameDuck: float = _setting(
        0.0,
        SECONDS_OR_NONE,
        "Seconds for which a stopping server still accepts connections, while it answers plain "
        "HTTP with Connection: close; 0: none.",
        "lame-duck",
    )
    drainTimeout: float = _setting(
        10.0, SECONDS, "Seconds all clients have to close when the server stops.", "drain"
    )
    history: int = _setting(
        1000,
        NUMBER_OR_NONE,
        "Entries of a room that are kept for clients that come late, or come back; 0: none.",
        "history",
    )
    historySize: int = _setting(
        16 * 1024 * 1024,
        NUMBER_OR_NONE,
        "Bytes that the entries kept for all rooms may take, with the backplane memory; 0: no "
        "limit. Beyond it the oldest ones go, first in the rooms that were silent for longest.",
        "history-size",
    )
    maxRooms: int = _setting(
        10_000,
        NUMBER,
        "Rooms that may have clients in this process at the same time. A client that would open "
        "one more gets 503.",
        "max-rooms",
    )
    publishLimit: int = _setting(
        10_000,
        NUMBER,
        "Messages that wait to be published, above which their senders are paused.",
        "publish-limit",
    )
    logRate: int = _setting(
        10,
        NUMBER_OR_NONE,
        "Log events of one kind per second, of the kinds that clients can cause; 0: no limit.",
        "log-rate",
    )
    logConnections: bool = _setting(
        False, FLAG, "Log each connection that opens or closes, at info level.", "log-connections"
    )
    logMessages: bool = _setting(False, FLAG, "Log each message, at info level.", "log-messages")

    def __post_init__(self) -> None:
        """
        Check all values.
        """
        for each in fields(self):
            value = getattr(self, each.name)
            try:
                checked = each.metadata["kind"].check(value)
            except (TypeError, ValueError) as error:
                raise type(error)(f"{each.name}: {value!r}: {error}") from None
            if checked is not value:
                object.__setattr__(self, each.name, checked)


def declarations() -> dict[str, Field[Any]]:
    """
    Return the declarations of all settings by name. Their metadata has C{kind}, C{meaning} and
    C{option}.
    """
    return {each.name: each for each in fields(Settings)}
