"""
What C{twistd hixie} runs: its options, and the service made from them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.application.service import IService
from twisted.cred.credentials import IAnonymous, IUsernamePassword
from twisted.cred.strcred import AuthOptionMixin
from twisted.internet.endpoints import serverFromString
from twisted.python import usage
from twisted.python.reflect import namedAny

from txhixie.applications import SERVICES
from txhixie.applications.routes import Routes
from txhixie.console import Console
from txhixie.dialects.choosing import DIALECT_NAMES
from txhixie.server.factory import HixieFactory
from txhixie.server.service import HixieService, oneLine
from txhixie.settings import SLOW_POLICIES, Settings
from txhixie.web.auth import Authenticated, guarded, portalFor
from txhixie.web.proxies import TrustedProxies
from txhixie.web.site import Okay

if TYPE_CHECKING:
    from txhixie.application import Application

_DEFAULTS = Settings()
_LOCATION = re.compile(r"wss?://(?:\[[0-9a-f:.]+\]|[0-9a-z._-]+)(?::([0-9]{1,5}))?")
# Where an endpoint description holds a port number.
_PORT = re.compile(r"(?:^|:)(?:tcp6?|ssl):(?:port=)?([0-9]+)")
# Twisted wants the description within haproxy:... as it is; written escaped, it is meant too.
_ESCAPED_IN_HAPROXY = re.compile(r"haproxy:[a-z0-9]+\\:")


def _number(value: str) -> int:
    if not value.isascii() or not value.isdigit() or int(value) == 0:
        raise ValueError("not a whole number above 0")
    return int(value)


def _numberOrNone(value: str) -> int:
    return 0 if value == "0" else _number(value)


def _seconds(value: str) -> float:
    seconds = float(value)
    if not 0 < seconds < float("inf"):
        raise ValueError("not a number of seconds")
    return seconds


def _secondsOrNone(value: str) -> float:
    return 0.0 if float(value) == 0 else _seconds(value)


# Connections that may wait to be accepted, where only a port number is given.
_BACKLOG = 1024

# Options whose values are numbers: the setting, what makes it, and what it means.
_NUMBERS: dict[str, tuple[str, Callable[[str], float], str]] = {
    "max-message": ("maxMessage", _number, "The largest message accepted, in bytes."),
    "max-fragments": ("maxFragments", _number, "Frames that a message may come in."),
    "max-head": ("maxHead", _number, "The largest request head accepted, in bytes."),
    "max-fields": ("maxFields", _number, "Header fields that a request head may have."),
    "max-body": ("maxBody", _number, "The largest body of a plain HTTP request, in bytes."),
    "max-connections": (
        "maxConnections",
        _number,
        "Connections in all. Further clients are told to come again (503).",
    ),
    "max-per-address": (
        "maxPerAddress",
        _numberOrNone,
        "Connections of one client address; 0: any number.",
    ),
    "max-handshakes": (
        "maxHandshakes",
        _number,
        "Connections whose request is not complete. One more ends the oldest (408).",
    ),
    "accept-rate": (
        "acceptRate",
        _numberOrNone,
        "Connections accepted per second, the others wait; 0: any number.",
    ),
    "handshake-timeout": (
        "handshakeTimeout",
        _seconds,
        "Seconds a client may take to complete its opening handshake.",
    ),
    "ping-interval": (
        "pingInterval",
        _secondsOrNone,
        "Seconds between keepalive pings, to clients that have them; 0: none.",
    ),
    "ping-timeout": (
        "pingTimeout",
        _seconds,
        "Seconds that a pinged client has to send anything.",
    ),
    "idle-timeout": (
        "idleTimeout",
        _secondsOrNone,
        "Seconds without a message either way until a client is let go, at the latest after twice "
        "as long; 0: it never is.",
    ),
    "close-timeout": (
        "closeTimeout",
        _seconds,
        "Seconds a client has to answer a closing handshake, and then to end TCP.",
    ),
    "linger-timeout": (
        "lingerTimeout",
        _seconds,
        "Seconds a closed client may take to read what was sent before the close.",
    ),
    "drain": (
        "drainTimeout",
        _seconds,
        "Seconds that all clients have to close when the server stops.",
    ),
    "log-rate": (
        "logRate",
        _numberOrNone,
        "Log events of a kind per second, of those that clients can cause; 0: any number.",
    ),
    "send-limit": (
        "sendLimit",
        _number,
        "Bytes waiting to be sent, from which on a client counts as slow.",
    ),
}


def numberOptions() -> dict[str, str]:
    """
    @return: the settings by the options that give them a number.
    """
    return {name: setting for name, (setting, _, _) in _NUMBERS.items()}


class Options(usage.Options, AuthOptionMixin):
    """
    The command line of C{twistd hixie}.
    """

    synopsis = "[options]"
    # Of Twisted's checkers, those that HTTP Basic or nothing at all will do for.
    supportedInterfaces = (IUsernamePassword, IAnonymous)
    longdesc = (
        "Serve WebSockets and plain HTTP on one port. The services echo and broadcast are "
        "always found under /echo and /broadcast."
    )

    optParameters: ClassVar[list[list[Any]]] = [
        [
            "service",
            "s",
            "echo",
            "What answers WebSockets on all other paths: "
            + ", ".join(SERVICES)
            + ", or the dotted name of an application factory.",
        ],
        [
            "dialects",
            None,
            ",".join(DIALECT_NAMES),
            "The dialects to speak, separated by commas.",
        ],
        [
            "location",
            None,
            None,
            "Scheme, host and port that clients know this server by, as wss://chat.example.com, "
            "where a proxy ends TLS or rewrites Host.",
        ],
        [
            "slow-policy",
            None,
            _DEFAULTS.slowPolicy,
            "What a slow client gets of further messages: close, its connection is closed; drop, "
            "none of them; latest, the newest only.",
        ],
        [
            "heartbeat",
            None,
            None,
            "A text sent in place of pings to clients that have none, to be answered with any.",
        ],
        *(
            [name, None, getattr(_DEFAULTS, setting), text]
            for name, (setting, _, text) in _NUMBERS.items()
        ),
    ]

    optFlags: ClassVar[list[list[str | None]]] = [
        ["compression", None, "Agree to permessage-deflate where a client offers it."],
        ["log-connections", None, "Log each connection that opens or closes, at info level."],
        ["log-messages", None, "Log each message, at info level."],
        ["no-console", None, "Do not serve the console page at /console."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["ports"] = []
        self["origins"] = []
        self["subprotocols"] = []
        self["trusted-proxies"] = []

    def opt_port(self, description: str) -> None:
        """
        Where to listen: a port number, or an endpoint description such as
        tcp:3400:interface=127.0.0.1 or unix:/run/hixie.sock. Repeatable. [default: 3400]
        """
        if description.isascii() and description.isdigit():
            # The more can wait to be accepted, the fewer are turned away by the system.
            description = f"tcp:{description}:backlog={_BACKLOG}"
        if _ESCAPED_IN_HAPROXY.match(description):
            description = description.replace("\\:", ":")
        for number in _PORT.findall(description):
            if int(number) > 65535:
                raise usage.UsageError(f"--port: there is no port {number}")
        self["ports"].append(description)

    opt_p = opt_port

    def opt_origin(self, origin: str) -> None:
        """
        An origin that may connect, as http://example.com; * stands for any run of characters but
        slashes. Repeatable. [default: every origin]
        """
        self["origins"].append(_notEmpty("--origin", origin))

    def opt_subprotocol(self, name: str) -> None:
        """
        A subprotocol that the application speaks. Repeatable.
        """
        self["subprotocols"].append(_notEmpty("--subprotocol", name))

    def opt_trust_proxy(self, network: str) -> None:
        """
        The network or address of a proxy whose X-Forwarded-For, -Proto and -Host are believed, as
        10.0.0.0/8; unix for Unix sockets. Repeatable. [default: none]
        """
        self["trusted-proxies"].append(network)

    def postOptions(self) -> None:
        """
        Check all that can be checked before anything is started.

        @raise usage.UsageError: with one line that says what is wrong.
        """
        from twisted.internet import reactor

        if not self["ports"]:
            self.opt_port("3400")
        for description in self["ports"]:
            try:
                serverFromString(reactor, description)
            except Exception as error:
                raise usage.UsageError(
                    f"--port: {description!r} is no endpoint: {oneLine(error)}"
                ) from error
        for name, (_, number, _) in _NUMBERS.items():
            try:
                self[name] = number(str(self[name]))
            except ValueError as error:
                raise usage.UsageError(f"--{name}: {self[name]!r}: {error}") from error
        self["applications"] = {name: make() for name, make in SERVICES.items()}
        self["application"] = self["applications"].get(self["service"]) or _application(
            self["service"]
        )
        self["settings"] = Settings(
            origins=tuple(self["origins"]),
            dialects=_dialects(self["dialects"]),
            location=_location(self["location"]),
            trustedProxies=_trustedProxies(self["trusted-proxies"]),
            subprotocols=tuple(self["subprotocols"]),
            compression=bool(self["compression"]),
            slowPolicy=_slowPolicy(self["slow-policy"]),
            heartbeat=_heartbeat(self["heartbeat"]),
            logConnections=bool(self["log-connections"]),
            logMessages=bool(self["log-messages"]),
            **{setting: self[name] for name, (setting, _, _) in _NUMBERS.items()},
        )


def _notEmpty(option: str, value: str) -> str:
    if not value:
        raise usage.UsageError(f"{option}: an empty one matches nobody")
    return value


def _dialects(value: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in value.split(","))
    for name in names:
        if name not in DIALECT_NAMES:
            raise usage.UsageError(
                f"--dialects: there is no {name!r}, only {', '.join(DIALECT_NAMES)}"
            )
    return names


def _location(value: str | None) -> str | None:
    if value is None:
        return None
    match = _LOCATION.fullmatch(value)
    if match is None or not 1 <= int(match[1] or 1) <= 65535:
        raise usage.UsageError(f"--location: {value!r} is not like wss://chat.example.com:8443")
    # Clients compare without the port that goes without saying.
    defaultPort = ":443" if value.startswith("wss:") else ":80"
    return value.removesuffix(defaultPort)


def _trustedProxies(names: list[str]) -> tuple[str, ...]:
    try:
        TrustedProxies.parse(names)
    except ValueError as error:
        raise usage.UsageError(f"--trust-proxy: {error}") from error
    return tuple(names)


def _heartbeat(text: str | None) -> str | None:
    try:
        (text or "").encode("utf-8")
    except UnicodeEncodeError as error:
        raise usage.UsageError(f"--heartbeat: {text!r} is not text: {error.reason}") from error
    return text


def _slowPolicy(value: str) -> str:
    if value not in SLOW_POLICIES:
        raise usage.UsageError(f"--slow-policy: {value!r} is none of {', '.join(SLOW_POLICIES)}")
    return value


def _application(name: str) -> Application:
    """
    @param name: the dotted name of an application, or of something that makes one.
    """
    if "." not in name:
        raise usage.UsageError(
            f"--service: there is no {name!r}, only {', '.join(SERVICES)} "
            "and dotted names of your own"
        )
    try:
        application: Any = namedAny(name)
        if isinstance(application, type) or not hasattr(application, "buildProtocol"):
            application = application()
    except Exception as error:
        raise usage.UsageError(f"--service: {name}: {oneLine(error)}") from error
    if not callable(getattr(application, "buildProtocol", None)):
        raise usage.UsageError(f"--service: {name} has no buildProtocol")
    made: Application = application
    return made


def makeService(options: Options) -> IService:
    """
    @return: the service that C{options} ask for.
    """
    routes = {name.encode(): made for name, made in options["applications"].items()}
    application: Application = Routes(routes, options["application"])
    checkers = options.get("credCheckers")
    if checkers:
        application = Authenticated(application, portalFor(checkers))
    root = Okay()
    factory = HixieFactory(application, root, options["settings"])
    if not options["no-console"]:
        console = Console(factory)
        root.putChild(b"console", guarded(console, checkers) if checkers else console)
    return HixieService(factory, *options["ports"])
