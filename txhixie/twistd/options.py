"""
The options of C{twistd hixie}.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from twisted.cred.credentials import IAnonymous, IUsernamePassword
from twisted.cred.strcred import AuthOptionMixin
from twisted.python import usage

from txhixie.application import Application
from txhixie.backplane import makeBackplane
from txhixie.gateway.commandline import Gateways
from txhixie.gateway.relay import BYTES_POLICIES
from txhixie.server.origins import readOrigins
from txhixie.server.reloading import oneLine
from txhixie.settings import DIALECT_NAMES, FLAG, Kind, Settings, declarations
from txhixie.twistd.helptext import helpText
from txhixie.twistd.services import checkUndivided, routed, served
from txhixie.twistd.values import adminEndpoint, checkEndpoint, withPorts, workersCount

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
        self["ports"].append(withPorts("--port", description))

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
                checkEndpoint("--port", description)
        if self["admin"] is not None and not self.isWorker:
            self["admin"] = adminEndpoint(self["admin"])
        self["workers"] = workersCount(self["workers"])
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
            checkUndivided(service, routes)
        application = routed(routes, served(service, routes, gateways, isDivided), gateways)
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
