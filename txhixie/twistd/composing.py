"""
Makes the services that options ask for.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twisted.application.service import IService, MultiService

from txhixie import __version__
from txhixie.applications.rooms import Rooms
from txhixie.applications.routes import Routes
from txhixie.console import Console
from txhixie.console.announcing import Announcing
from txhixie.metrics import gauge
from txhixie.server.factory import HixieFactory
from txhixie.server.roomresource import RoomsResource
from txhixie.server.service import HixieService
from txhixie.settings import Settings
from txhixie.twistd.helptext import escapeOutput
from txhixie.twistd.longlived import LongLived
from txhixie.twistd.options import Options
from txhixie.web.auth import Authenticated, guarded, portalFor
from txhixie.web.site import Okay
from txhixie.websocket.memory import usableMemory

if TYPE_CHECKING:
    from txhixie.admin.pages import Reports
    from txhixie.admin.reporter import Reporter
    from txhixie.application import Application
    from txhixie.backplane.contract import Backplane
    from txhixie.workers.serving import Serving


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
