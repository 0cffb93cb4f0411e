"""
The services of a worker process.
"""

from __future__ import annotations

from typing import Any

from txhixie.admin.reporter import Reporter
from txhixie.server.service import HixieService
from txhixie.workers.channel import Message


class Serving:
    """
    The service of a worker, which starts and stops on request.
    """

    def __init__(self, service: HixieService, reporter: Reporter | None) -> None:
        """
        @param reporter: makes its reports, if there are any.
        """
        self._service = service
        self._reporter = reporter

    def start(self) -> None:
        """
        Begin to accept clients.

        @raise SystemExit: if that is not possible; the reason is logged in one line.
        """
        self._service.privilegedStartService()
        self._service.startService()
        if self._reporter is not None:
            self._reporter.startService()

    def stop(self) -> Any:
        """
        Close all clients' connections.

        @return: a Deferred that fires when all are gone.
        """
        return self._service.stopService()

    def abort(self) -> None:
        """
        End all connections now.
        """
        self._service.abort()

    def reload(self) -> None:
        """
        Reload what may have changed.
        """
        self._service.reloading.reload()

    def report(self) -> Message:
        """
        Return the worker's report, as values for JSON; without a reporter, nothing.
        """
        return {} if self._reporter is None else self._reporter.report().toJSON()
