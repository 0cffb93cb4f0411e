"""
The pages of the admin endpoint.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.pages import notFound
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from txhixie.admin.report import Report

# Makes a report of this process, or of several.
Reports = Callable[[], Deferred[Report]]


class _Page(Resource):
    """
    Answers GET and HEAD with something about a report.
    """

    isLeaf = True
    allowedMethods = (b"GET", b"HEAD")

    _log = Logger()

    def __init__(self, reports: Reports) -> None:
        super().__init__()
        self._reports = reports

    def render_GET(self, request: Request) -> int:
        request.setHeader(b"Cache-Control", b"no-store")
        request.setHeader(b"X-Content-Type-Options", b"nosniff")
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        report = self._reports().addCallback(self._content, request)
        report.addErrback(self._failed, request)
        report.addCallback(self._answer, request, gone)
        return NOT_DONE_YET

    def _answer(self, content: bytes, request: Request, gone: list[Failure]) -> None:
        if gone:
            return
        request.setHeader(b"Content-Length", b"%d" % len(content))
        if request.method != b"HEAD":
            request.write(content)
        request.finish()

    def _failed(self, failure: Failure, request: Request) -> bytes:
        self._log.failure("making {page}", failure, page=type(self).__name__.strip("_").lower())
        request.setResponseCode(500)
        request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
        return b"the report could not be made; the log says why\n"

    @abstractmethod
    def _content(self, report: Report, request: Request) -> bytes:
        """
        Return the body of the answer.
        """


def _json(request: Request, values: Any) -> bytes:
    request.setHeader(b"Content-Type", b"application/json")
    return json.dumps(values).encode() + b"\n"


class _Metrics(_Page):
    def _content(self, report: Report, request: Request) -> bytes:
        from txhixie.admin.exposition import exposition

        accept = (request.getHeader(b"accept") or b"").decode("iso-8859-1")
        text, contentType = exposition(report.metrics, accept)
        request.setHeader(b"Content-Type", contentType.encode())
        return text


class _Statistics(_Page):
    def _content(self, report: Report, request: Request) -> bytes:
        return _json(request, report.statistics)


class _Health(_Page):
    def _content(self, report: Report, request: Request) -> bytes:
        status = "degraded" if report.warnings else "ok"
        if report.problems:
            request.setResponseCode(503)
            status = "unavailable"
        return _json(
            request, {"status": status, "problems": report.problems, "warnings": report.warnings}
        )


class AdminPages(Resource):
    """
    C{/metrics}, C{/health} and C{/statistics}.
    """

    def __init__(self, reports: Reports) -> None:
        """
        @param reports: makes the report that a page is made of.
        """
        super().__init__()
        self.putChild(b"metrics", _Metrics(reports))
        self.putChild(b"health", _Health(reports))
        self.putChild(b"statistics", _Statistics(reports))
        self.putChild(b"", self)

    def getChild(self, path: bytes, request: Request) -> IResource:
        """
        Return a page that says there is none.
        """
        return notFound()

    def render_GET(self, request: Request) -> bytes:
        """
        Return what pages there are.
        """
        request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
        return b"/metrics\n/health\n/statistics\n"
