"""
What C{twistd hixie} runs: its options, and the service made from them.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from twisted.application.service import IService, MultiService
from twisted.cred.credentials import IAnonymous, IUsernamePassword
from twisted.cred.strcred import AuthOptionMixin
from twisted.internet.endpoints import serverFromString
from twisted.python import usage
from twisted.python.reflect import ModuleNotFound, ObjectNotFound, namedAny

from txhixie import __version__
from txhixie.applications import SERVICES
from txhixie.applications.rooms import Rooms
from txhixie.applications.routes import Routes
from txhixie.backplane import makeBackplane
from txhixie.console import Console
from txhixie.console.announcing import Announcing
from txhixie.dialects.head import HandshakeError
from txhixie.gateway.commandline import Gateways, splitRoute
from txhixie.gateway.relay import BYTES_POLICIES
from txhixie.helptext import escapeOutput, helpText
from txhixie.metrics import gauge
from txhixie.server.factory import HixieFactory
from txhixie.server.longlived import LongLived
from txhixie.server.origins import readOrigins
from txhixie.server.reloading import oneLine
from txhixie.server.roomresource import RoomsResource
from txhixie.server.service import HixieService
from txhixie.settings import (
    DIALECT_NAMES,
    FLAG,
    NUMBER_OR_NONE,
    Kind,
    Settings,
    declarations,
)
from txhixie.web.auth import Authenticated, guarded, portalFor
from txhixie.web.site import Okay
from txhixie.websocket.memory import usableMemory

if TYPE_CHECKING:
    from txhixie.admin.pages import Reports
    from txhixie.admin.reporter import Reporter
    from txhixie.application import Application
    from txhixie.backplane.contract import Backplane
    from txhixie.workers.serving import Serving

# Where an endpoint description holds a port number.
_PORT = re.compile(r"(?:^|:)(?:(?:tcp6?|ssl):(?:port=)?|port=)([0-9]+)")
# Twisted wants the description within haproxy:... as it is; written escaped, it is meant too.
_ESCAPED_IN_HAPROXY = re.compile(r"haproxy:[a-z0-9]+\\:")


def numberOptions() -> dict[str, str]:
    """
    Return the settings whose option takes a number, by the name of the option.
    """
    return {
        each.metadata["option"]: name
        for name, each in declarations().items()
        if each.metadata["option"] and each.metadata["kind"].parse
    }


def _declared(isFlag: bool) -> list[str]:
    """
    Return the settings whose option is a flag, or takes one value as it is.
    """
    return [
        name
        for name, each in declarations().items()
        if each.metadata["option"] not in (None, "dialects")
        # These options may be given several times.
        and not isinstance(each.default, tuple)
        and (each.metadata["kind"] is FLAG) == isFlag
    ]


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
    _isWrong = False
    # Of Twisted's checkers, those that HTTP Basic or nothing at all will do for.
    supportedInterfaces = (IUsernamePassword, IAnonymous)
    optParameters: ClassVar[list[list[Any]]] = [
        [
            "dialects",
            None,
            ",".join(DIALECT_NAMES),
            "The dialects to speak, separated by commas.",
        ],
        [
            "origin-file",
            None,
            None,
            "A file of origins that may connect, one a line; # begins a comment. SIGHUP has it "
            "read anew.",
        ],
        [
            "backplane",
            None,
            "memory",
            "What carries the messages of rooms between processes, as a URL. memory: there is one "
            "process only; redis://[user:password@]host[:port][/db], rediss:// for TLS, "
            "redis+unix:///path?db=0, or redis+sentinel://host:port,host:port/master/db.",
        ],
        [
            "gateway-bytes",
            None,
            "drop",
            "What happens to bytes messages of a back end for clients whose dialect carries only "
            f"text, Hixie-75 and Hixie-76: {', '.join(BYTES_POLICIES)}.",
        ],
        [
            "admin",
            None,
            None,
            "Where to serve /metrics, /health and /statistics: a port number of the loopback "
            "interface, or an endpoint description such as tcp:9400 or unix:/run/hixie-admin.sock. "
            "Needs the extra txhixie[metrics].",
        ],
        [
            "workers",
            None,
            "0",
            "Processes that accept from the same ports, under one that starts and replaces them. "
            "Limits hold for each. 0: one process does everything.",
        ],
        *map(_parameter, _declared(isFlag=False)),
    ]

    optFlags: ClassVar[list[list[str | None]]] = [
        *map(_flag, _declared(isFlag=True)),
        [
            "publish",
            None,
            "Let plain HTTP say something in a room, by POST /broadcast/NAME: to clients that log "
            "in with --auth, or on this machine.",
        ],
        ["no-console", None, "Do not serve the console page at /console."],
    ]

    def __init__(self, isWorker: bool = False) -> None:
        """
        @param isWorker: whether the supervisor of this process has checked the endpoints, and
            listens on them.
        """
        super().__init__()
        self.isWorker = isWorker
        self["service"] = None
        self["route"] = []
        self["backend"] = []
        self["ports"] = []
        self["origin"] = []
        self["subprotocol"] = []
        self["trust-proxy"] = []

    def parseOptions(self, options: list[str] | None = None) -> None:
        """
        Parse a command line, and keep it: workers are given it, too.

        @raise usage.UsageError: if it is wrong.
        """
        self.arguments = [*(sys.argv[1:] if options is None else options)]
        self.directory = os.getcwd()
        try:
            super().parseOptions(options)
        except usage.UsageError:
            self._isWrong = True
            raise

    def getUsage(self, width: int | None = None) -> str:
        """
        Return the help; after an error, which is printed below this, only how to get it.
        """
        if self._isWrong:
            return "twistd hixie --help lists the options.\n"
        names = {option.rstrip("=") for option in self.longOpt}
        shorts = {long: name for name, long in self.synonyms.items() if len(name) == 1}
        meanings = {name: self.docs.get(name) or "" for name in sorted(names)}
        return helpText(meanings, self.defaults, shorts)

    def opt_service(self, name: str) -> None:
        """
        What answers WebSockets where no route leads: echo, broadcast, gateway (see --backend), or
        the dotted name of an application factory. [default: echo, or nothing if there is a route]
        """
        self["service"] = name

    opt_s = opt_service

    def opt_route(self, route: str) -> None:
        """
        What answers WebSockets at a path and below it, as /chat=my.module.Chat, /echo=echo or
        /tv=gateway:ws://127.0.0.1:9000. The longest path counts, and each has an application of
        its own. Repeatable.
        """
        self["route"].append(route)

    def opt_backend(self, url: str) -> None:
        """
        A server to which the service gateway connects each client by RFC 6455, as
        ws://127.0.0.1:9000/app. One without a path is asked for the path of the client. Several
        take turns. Repeatable.
        """
        self["backend"].append(url)

    def opt_port(self, description: str) -> None:
        """
        Where to listen: a port number, on all addresses of IPv4 and IPv6, or an endpoint
        description such as tcp:3400:interface=127.0.0.1 or unix:/run/hixie.sock. Repeatable.
        [default: 3400]
        """
        if _ESCAPED_IN_HAPROXY.match(description):
            description = description.replace("\\:", ":")
        self["ports"].append(_withPorts("--port", description))

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
        The network or address of a proxy whose Forwarded, and X-Forwarded-For, -Proto, -Host, -Port
        and -Prefix are believed, as 10.0.0.0/8; unix for Unix sockets. Repeatable. [default: none]
        """
        self["trust-proxy"].append(network)

    def postOptions(self) -> None:
        """
        Check all that can be checked before anything is started.

        @raise usage.UsageError: with one line that says what is wrong.
        """
        if not self["ports"]:
            self.opt_port("3400")
        for description in self["ports"]:
            if not isinstance(description, int) and not self.isWorker:
                _checkEndpoint("--port", description)
        if self["admin"] is not None and not self.isWorker:
            self["admin"] = _adminEndpoint(self["admin"])
        self["workers"] = _workers(self["workers"])
        settings = Settings(
            **{
                name: self._setting(each.metadata["option"], each.metadata["kind"])
                for name, each in declarations().items()
                if each.metadata["option"] is not None
            }
        )
        self["application"] = self._makeApplication(settings)
        if self["origin-file"] is not None:
            # What a daemon reads it by later is not relative to where it was started.
            self["origin-file"] = str(Path(self["origin-file"]).absolute())
        try:
            self["settings"] = replace(settings, origins=self.readOrigins())
        except (OSError, ValueError) as error:
            raise usage.UsageError(f"--origin-file: {oneLine(error)}") from error
        try:
            self["backplane"] = makeBackplane(self["backplane"], settings)
        except ValueError as error:
            raise usage.UsageError(f"--backplane: {error}") from error
        if hasattr(self["application"], "useBackplane"):
            self["application"].useBackplane(self["backplane"], settings)

    def _makeApplication(self, settings: Settings) -> Application:
        """
        Return what answers on all paths.

        @raise usage.UsageError: if the options for it make no sense.
        """
        policy, backends = self["gateway-bytes"], self["backend"]
        if policy not in BYTES_POLICIES:
            raise usage.UsageError(
                f"--gateway-bytes: {policy!r} is none of {', '.join(BYTES_POLICIES)}"
            )
        gateways = Gateways(backends, policy, settings)
        service, routes = self["service"], self["route"]
        isDivided = self["workers"] > 1 and self["backplane"].partition(":")[0] == "memory"
        if isDivided:
            _checkUndivided(service, routes)
        application = _routed(routes, _served(service, routes, gateways, isDivided), gateways)
        if backends and not gateways.areShared:
            raise usage.UsageError("--backend: it is only for --service gateway")
        return application

    def readOrigins(self) -> tuple[str, ...]:
        """
        Return the origins that may connect, those of a file as it is now.

        @raise OSError: if the file cannot be read.
        @raise ValueError: if it makes no sense.
        """
        path = self["origin-file"]
        return (*self["origin"], *(readOrigins(path) if path is not None else ()))

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


def _checkEndpoint(option: str, description: str) -> None:
    """
    @raise usage.UsageError: if a description is not one of an endpoint.
    """
    from twisted.internet import reactor

    try:
        serverFromString(reactor, description)
    except Exception as error:
        reason = oneLine(error)
        if description.startswith("systemd:") and isinstance(error, LookupError):
            reason = "systemd passed no such socket (LISTEN_FDS)"
        raise usage.UsageError(f"{option}: {description!r} is no endpoint: {reason}") from error


def _adminEndpoint(where: str) -> str:
    """
    Return the description of the endpoint that C{--admin} asks for.
    """
    if find_spec("prometheus_client") is None:
        raise usage.UsageError(
            "--admin: prometheus_client is missing; pip install 'txhixie[metrics]' installs it"
        )
    description = _withPorts("--admin", where)
    if isinstance(description, int):
        return f"tcp:{description}:interface=127.0.0.1"
    _checkEndpoint("--admin", description)
    return description


def _withPorts(option: str, description: str) -> int | str:
    """
    Return a number of a port as such, or a description of an endpoint.

    @raise usage.UsageError: if there is no such port.
    """
    isNumber = description.isascii() and description.isdigit()
    for number in [description] if isNumber else _PORT.findall(description):
        if len(number) > 5 or int(number) > 65535:
            raise usage.UsageError(f"{option}: there is no port {number}")
    return int(description) if isNumber else description


def _workers(text: object) -> int:
    """
    Return the number that C{--workers} asks for.
    """
    kind = NUMBER_OR_NONE
    assert kind.parse is not None
    try:
        count = int(kind.check(kind.parse(str(text))))
    except ValueError as error:
        raise usage.UsageError(f"--workers: {text!r}: {error}") from error
    if count and sys.platform == "win32":
        raise usage.UsageError("--workers: this system has no sockets that processes can share")
    return count


# Services that need a backplane to reach the clients of other processes.
_SHARED = frozenset({"broadcast"})
_UNSHARED = "broadcast needs a --backplane that all workers share; memory is of one worker only"


def _checkUndivided(service: str | None, routes: list[str]) -> None:
    """
    @raise usage.UsageError: if a service was asked for that would reach the clients of one worker
        only.
    """
    if _SHARED & {service, *(route.rpartition("=")[2] for route in routes)}:
        raise usage.UsageError(f"--workers: {_UNSHARED}")


class _Divided:
    """
    Refuses clients of a service that would reach only some of them.
    """

    def buildProtocol(self, request: object) -> NoReturn:
        """
        @raise HandshakeError: always.
        """
        raise HandshakeError(503, _UNSHARED)


def _served(
    service: str | None, routes: list[str], gateways: Gateways, isDivided: bool
) -> Application | None:
    """
    Return what answers where no route leads.

    @param service: the name of a service, if one was asked for.
    @param routes: the routes that were asked for.
    @param isDivided: whether there are several workers, and no backplane between them.
    """
    if service is None:
        if routes:
            return None
        service = "echo"
    if service not in SERVICES:
        return _application("--service", service, gateways)
    builtIn = {name: make() for name, make in SERVICES.items()}
    if isDivided:
        builtIn.update(dict.fromkeys(_SHARED, _Divided()))
    return Routes({f"/{name}": made for name, made in builtIn.items()}, builtIn[service])


def _routed(routes: list[str], default: Application | None, gateways: Gateways) -> Application:
    """
    Return what answers on all paths.
    """
    applications: dict[str, Application] = {}
    for route in routes:
        path, equals, name = splitRoute(route)
        if not equals:
            raise usage.UsageError(f"--route: {route!r} is not like /chat=my.module.Chat")
        if path in applications:
            raise usage.UsageError(f"--route: {path!r} is routed already")
        made = applications[path] = _application("--route", name, gateways)
        if name in SERVICES and isinstance(made, Rooms):
            try:
                made.setPath(path)
            except ValueError as error:
                raise usage.UsageError(f"--route: {error}") from error
    if default is not None and not applications:
        return default
    try:
        return Routes(applications, default)
    except ValueError as error:
        raise usage.UsageError(f"--route: {error}") from error


def _application(option: str, name: str, gateways: Gateways) -> Application:
    """
    Return a new application.

    @param option: what names it, for the errors.
    @param name: the name of a service, or the dotted name of an application or of something that
        makes one.
    """
    if name in SERVICES:
        return SERVICES[name]()
    try:
        gateway = gateways.make(name)
    except ValueError as error:
        raise usage.UsageError(f"{option}: {error}") from error
    if gateway is not None:
        return gateway
    if "." not in name:
        raise usage.UsageError(
            f"{option}: there is no {name!r}, only {', '.join(SERVICES)}, gateway "
            "and dotted names of your own"
        )
    try:
        application: Any = namedAny(name)
        if isinstance(application, type) or not hasattr(application, "buildProtocol"):
            application = application()
    except (ModuleNotFound, ObjectNotFound) as error:
        raise usage.UsageError(
            f"{option}: there is no {name}; the folder of {name.partition('.')[0]} has to be in "
            "PYTHONPATH"
        ) from error
    except Exception as error:
        raise usage.UsageError(f"{option}: {name}: {oneLine(error)}") from error
    if not callable(getattr(application, "buildProtocol", None)):
        raise usage.UsageError(f"{option}: {name} has no buildProtocol")
    made: Application = application
    return made


def _roomsOf(application: Application) -> list[Rooms]:
    """
    Return the rooms among what is served.
    """
    if isinstance(application, Routes):
        return [rooms for each in application.applications for rooms in _roomsOf(each)]
    return [application] if isinstance(application, Rooms) else []


def makeService(options: Options) -> IService:
    """
    @return: the service that C{options} ask for.
    """
    escapeOutput()
    if options["workers"]:
        return _supervising(options)
    service = _serving(options)
    if options["admin"] is None:
        return service
    reporter = _reporter(service, options)
    admin = _administered(service, reporter.reports, options["admin"])
    reporter.setServiceParent(admin)
    return admin


def _administered(service: IService, reports: Reports, endpoint: str) -> MultiService:
    from twisted.internet import reactor

    from txhixie.admin.service import AdminService

    return AdminService(service, reports, endpoint, reactor)


def _supervising(options: Options) -> IService:
    """
    Return the service that has workers serve.
    """
    from txhixie.workers.service import WorkersService

    settings: Settings = options["settings"]
    task = {
        "make": f"{__name__}.{makeWorker.__name__}",
        "arguments": options.arguments,
        "directory": options.directory,
    }
    service = WorkersService(
        options["ports"], options["workers"], task, settings.lameDuck, settings.drainTimeout
    )
    if options["admin"] is None:
        return service
    from txhixie.workers.reports import WorkersReporter

    return _administered(service, WorkersReporter(service).reports, options["admin"])


def makeWorker(task: dict[str, Any], sockets: Sequence[int]) -> Serving:
    """
    Return what one worker serves with.

    @param task: what its supervisor told it.
    @param sockets: the descriptors of the ports.
    """
    from txhixie.workers.serving import Serving

    options = Options(isWorker=True)
    # What the command line names is there.
    before = os.getcwd()
    os.chdir(task["directory"])
    options.parseOptions(task["arguments"])
    os.chdir(before)
    settings: Settings = options["settings"]
    if settings.memoryLimit is None:
        share = usableMemory() // 4 // options["workers"]
        options["settings"] = replace(settings, memoryLimit=share)
    service = _serving(options, sockets)
    return Serving(service, None if options["admin"] is None else _reporter(service, options))


def _reporter(service: HixieService, options: Options) -> Reporter:
    """
    Return what makes the reports of a process that serves. A part of the server that has metrics,
    or may be the reason why nothing is served, is added here.
    """
    from twisted.internet import reactor

    from txhixie.admin.reporter import Reporter

    reporter = Reporter(service.factory, __version__, reactor)
    backplane: Backplane = options["backplane"]
    reporter.checks.append(lambda: backplane.problem)
    if hasattr(backplane, "metrics"):
        reporter.metrics.append(backplane.metrics)
    allRooms = _roomsOf(options["application"])
    reporter.metrics.append(
        lambda: [gauge("txhixie_rooms", "Rooms with clients.", sum(map(len, allRooms)))]
    )
    return reporter


def _serving(options: Options, sockets: Sequence[int] = ()) -> HixieService:
    """
    Return the service that answers clients.

    @param sockets: descriptors of ports that listen already.
    """
    served: Application = options["application"]
    application = served
    paths = served.paths if isinstance(served, Routes) else ("/",)
    checkers = options.get("credCheckers")
    if checkers:
        application = Authenticated(application, portalFor(checkers))
    root = Okay()
    factory = HixieFactory(application, root, options["settings"])
    if not options["no-console"]:
        console = Console(factory, paths)
        root.putChild(b"console", guarded(console, checkers) if checkers else console)
    for rooms in _roomsOf(served):
        if rooms.path == "/":
            # The site is there.
            continue
        page = RoomsResource(rooms, factory, options["publish"], bool(checkers), root)
        root.place(rooms.path, guarded(page, checkers) if checkers else page)
    service = HixieService(factory, *options["ports"], descriptors=sockets)
    service.outlive(options["backplane"])
    LongLived().setServiceParent(service)
    if not options["no-console"] and os.environ.get("TXHIXIE_WORKER", "1") == "1":
        # Of several workers one is enough.
        Announcing().setServiceParent(service)
    if options["origin-file"] is not None:
        service.reloading.add(
            f"the origins in {options['origin-file']}",
            lambda: factory.changeOrigins(options.readOrigins()),
        )
    return service
