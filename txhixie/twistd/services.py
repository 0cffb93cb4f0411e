"""
The applications that options name.
"""

from __future__ import annotations

from typing import Any, NoReturn

from twisted.python import usage
from twisted.python.reflect import ModuleNotFound, ObjectNotFound, namedAny

from txhixie.application import Application
from txhixie.applications import SERVICES
from txhixie.applications.rooms import Rooms
from txhixie.applications.routes import Routes
from txhixie.dialects.head import HandshakeError
from txhixie.gateway.commandline import Gateways, splitRoute
from txhixie.server.reloading import oneLine

# Services that need a backplane to reach the clients of other processes.
_SHARED = frozenset({"broadcast"})
_UNSHARED = "broadcast needs a --backplane that all workers share; memory is of one worker only"


def checkUndivided(service: str | None, routes: list[str]) -> None:
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


def served(
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
        return _named("--service", service, gateways)
    builtIn = {name: make() for name, make in SERVICES.items()}
    if isDivided:
        builtIn.update(dict.fromkeys(_SHARED, _Divided()))
    return Routes({f"/{name}": made for name, made in builtIn.items()}, builtIn[service])


def routed(routes: list[str], default: Application | None, gateways: Gateways) -> Application:
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
        made = applications[path] = _named("--route", name, gateways)
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


def _named(option: str, name: str, gateways: Gateways) -> Application:
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
