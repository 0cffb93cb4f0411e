"""
What C{twistd hixie} runs: its options, and the service made from them.
"""

from __future__ import annotations

import re
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
from txhixie.server.factory import HixieFactory
from txhixie.server.service import HixieService, oneLine
from txhixie.settings import DIALECT_NAMES, FLAG, Kind, Settings, declarations
from txhixie.web.auth import Authenticated, guarded, portalFor
from txhixie.web.site import Okay

if TYPE_CHECKING:
    from txhixie.application import Application

# Where an endpoint description holds a port number.
_PORT = re.compile(r"(?:^|:)(?:tcp6?|ssl):(?:port=)?([0-9]+)")
# Twisted wants the description within haproxy:... as it is; written escaped, it is meant too.
_ESCAPED_IN_HAPROXY = re.compile(r"haproxy:[a-z0-9]+\\:")


# Connections that may wait to be accepted, if only a port number is given.
_BACKLOG = 1024


def numberOptions() -> dict[str, str]:
    """
    Return the settings whose option takes a number, by the name of the option.
    """
    return {
        each.metadata["option"]: name
        for name, each in declarations().items()
        if each.metadata["option"] and each.metadata["kind"].parse
    }


def _parameter(name: str) -> list[Any]:
    """
    Return the option of a setting, as C{usage.Options} wants it.
    """
    declaration = declarations()[name]
    return [
        declaration.metadata["option"],
        None,
        declaration.default,
        declaration.metadata["meaning"],
    ]


def _flag(name: str) -> list[str | None]:
    declaration = declarations()[name]
    return [declaration.metadata["option"], None, declaration.metadata["meaning"]]


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
        *map(_parameter, ("location", "slowPolicy", "heartbeat", *numberOptions().values())),
    ]

    optFlags: ClassVar[list[list[str | None]]] = [
        *map(_flag, ("compression", "logConnections", "logMessages")),
        ["no-console", None, "Do not serve the console page at /console."],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["ports"] = []
        self["origin"] = []
        self["subprotocol"] = []
        self["trust-proxy"] = []

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
        self["origin"].append(origin)

    def opt_subprotocol(self, name: str) -> None:
        """
        A subprotocol that the application speaks. Repeatable.
        """
        self["subprotocol"].append(name)

    def opt_trust_proxy(self, network: str) -> None:
        """
        The network or address of a proxy whose X-Forwarded-For, -Proto and -Host are believed, as
        10.0.0.0/8; unix for Unix sockets. Repeatable. [default: none]
        """
        self["trust-proxy"].append(network)

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
        self["applications"] = {name: make() for name, make in SERVICES.items()}
        self["application"] = self["applications"].get(self["service"]) or _application(
            self["service"]
        )
        self["settings"] = Settings(
            **{
                name: self._setting(each.metadata["option"], each.metadata["kind"])
                for name, each in declarations().items()
                if each.metadata["option"] is not None
            }
        )

    def _setting(self, option: str, kind: Kind) -> Any:
        """
        Return the value that an option gives its setting.

        @raise usage.UsageError: if it is not one.
        """
        value = self[option]
        try:
            if kind.parse is not None and value is not None:
                value = kind.parse(str(value))
            elif kind is FLAG:
                value = bool(value)
            elif option == "dialects":
                value = [name.strip() for name in value.split(",")]
            return kind.check(value)
        except ValueError as error:
            raise usage.UsageError(f"--{option}: {self[option]!r}: {error}") from error


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
