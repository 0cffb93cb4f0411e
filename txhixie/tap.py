"""
What C{twistd hixie} runs: its options, and the service made from them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.application.service import IService, MultiService
from twisted.application.strports import service as listeningService
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python import usage
from twisted.python.reflect import namedAny, safe_str

from txhixie.connection import Settings
from txhixie.console import Console
from txhixie.dialects import DIALECT_NAMES
from txhixie.factory import HixieFactory
from txhixie.services import SERVICES, Routes
from txhixie.web import Okay

if TYPE_CHECKING:
    from txhixie.factory import Application

_DEFAULTS = Settings()
_LOCATION = re.compile(r"wss?://(?:\[[0-9a-f:.]+\]|[0-9a-z._-]+)(?::([0-9]{1,5}))?")
# Where an endpoint description holds a port number.
_PORT = re.compile(r"(?:^|:)(?:tcp6?|ssl):(?:port=)?([0-9]+)")
# Twisted wants the description within haproxy:... as it is; written escaped, it is meant too.
_ESCAPED_IN_HAPROXY = re.compile(r"haproxy:[a-z0-9]+\\:")


def _bytesCount(value: str) -> int:
    if not value.isascii() or not value.isdigit() or int(value) == 0:
        raise ValueError("not a number of bytes")
    return int(value)


def _seconds(value: str) -> float:
    seconds = float(value)
    if not 0 < seconds < float("inf"):
        raise ValueError("not a number of seconds")
    return seconds


def _secondsOrNone(value: str) -> float:
    return 0.0 if float(value) == 0 else _seconds(value)


# Options whose values are numbers, and what makes them.
_NUMBERS: dict[str, Callable[[str], float]] = {
    "max-message": _bytesCount,
    "handshake-timeout": _seconds,
    "ping-interval": _secondsOrNone,
    "ping-timeout": _seconds,
}


class Options(usage.Options):
    """
    The command line of C{twistd hixie}.
    """

    synopsis = "[options]"
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
            "max-message",
            None,
            _DEFAULTS.maxMessage,
            "The largest message accepted, in bytes.",
        ],
        [
            "ping-interval",
            None,
            _DEFAULTS.pingInterval,
            "Seconds between keepalive pings, to clients that have them; 0: none.",
        ],
        [
            "ping-timeout",
            None,
            _DEFAULTS.pingTimeout,
            "Seconds that a pinged client has to send anything.",
        ],
        [
            "handshake-timeout",
            None,
            _DEFAULTS.handshakeTimeout,
            "Seconds a client may take to complete its opening handshake.",
        ],
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

    def opt_port(self, description: str) -> None:
        """
        Where to listen: a port number, or an endpoint description such as
        tcp:3400:interface=127.0.0.1 or unix:/run/hixie.sock. Repeatable. [default: 3400]
        """
        if description.isascii() and description.isdigit():
            description = f"tcp:{description}"
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

    def postOptions(self) -> None:
        """
        Check all that can be checked before anything is started.

        @raise usage.UsageError: with one line that says what is wrong.
        """
        from twisted.internet import reactor

        self["ports"] = self["ports"] or ["tcp:3400"]
        for description in self["ports"]:
            try:
                serverFromString(reactor, description)
            except Exception as error:
                raise usage.UsageError(
                    f"--port: {description!r} is no endpoint: {_oneLine(error)}"
                ) from error
        for name, number in _NUMBERS.items():
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
            subprotocols=tuple(self["subprotocols"]),
            maxMessage=self["max-message"],
            compression=bool(self["compression"]),
            pingInterval=self["ping-interval"],
            pingTimeout=self["ping-timeout"],
            handshakeTimeout=self["handshake-timeout"],
            logConnections=bool(self["log-connections"]),
            logMessages=bool(self["log-messages"]),
        )


def _oneLine(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {safe_str(error)}".split())


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
        raise usage.UsageError(f"--service: {name}: {_oneLine(error)}") from error
    if not callable(getattr(application, "buildProtocol", None)):
        raise usage.UsageError(f"--service: {name} has no buildProtocol")
    made: Application = application
    return made


class _CannotStart(SystemExit, Exception):
    """
    Ends the process, all has been said. It is an C{Exception}, too, so that C{twistd} removes its
    pidfile and a daemon's parent is told.
    """


class HixieService(MultiService):
    """
    Listens on some endpoints while it runs; its connections are closed in good order when it
    stops.
    """

    _log = Logger()

    def __init__(self, factory: HixieFactory, descriptions: list[str]) -> None:
        """
        @param descriptions: endpoint descriptions to listen on.
        """
        super().__init__()
        self.factory = factory
        for description in descriptions:
            listeningService(description, factory).setServiceParent(self)

    def privilegedStartService(self) -> None:
        """
        Start to listen.

        @raise SystemExit: if that cannot be; the reason is logged in one line.
        """
        self._start(super().privilegedStartService)

    def startService(self) -> None:
        """
        Start to listen, where nobody did it before with more privileges.

        @raise SystemExit: as L{privilegedStartService}.
        """
        self._start(super().startService)

    def _start(self, start: Callable[[], None]) -> None:
        try:
            start()
        except (CannotListenError, OSError, OverflowError) as error:
            self._log.critical("{error}", error=_oneLine(error))
            raise _CannotStart(1) from error

    def stopService(self) -> Deferred[Any]:
        """
        Stop to listen, and say good-bye to all clients.

        @return: fires when the last one is gone.
        """
        stopped = maybeDeferred(super().stopService)
        return DeferredList([stopped, self.factory.closeConnections()])


def makeService(options: Options) -> IService:
    """
    @return: the service that C{options} ask for.
    """
    routes = {name.encode(): made for name, made in options["applications"].items()}
    application = Routes(routes, options["application"])
    root = Okay()
    factory = HixieFactory(application, root, options["settings"])
    if not options["no-console"]:
        root.putChild(b"console", Console(factory))
    return HixieService(factory, options["ports"])
