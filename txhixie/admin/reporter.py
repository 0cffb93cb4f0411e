"""
Makes the reports of one process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import IReactorTime

from txhixie.admin.exposition import buildMetrics, processMetrics
from txhixie.admin.lag import ReactorLag
from txhixie.admin.report import Report
from txhixie.metrics import Metric
from txhixie.server.factory import HixieFactory


class Reporter(MultiService):
    """
    Makes the reports of a process. Each part of the server adds what it knows.

    @ivar metrics: called for a report, each returns some metrics.
    @ivar checks: called for a report, each returns a line that says why the process does not serve,
        or C{None}.
    """

    def __init__(self, factory: HixieFactory, version: str, reactor: Any) -> None:
        """
        @param version: of this package.
        """
        super().__init__()
        lag = ReactorLag(IReactorTime(reactor))
        lag.setServiceParent(self)
        build = buildMetrics(version, reactor)
        self._factory = factory
        self.metrics: list[Callable[[], Iterable[Metric]]] = [
            factory.metrics,
            lag.metrics,
            lambda: build,
            processMetrics,
        ]
        self.checks: list[Callable[[], str | None]] = [self._stopping]

    def _stopping(self) -> str | None:
        return "the server is stopping" if self._factory.shared.isStopping else None

    def report(self) -> Report:
        """
        Return how things are now.
        """
        return Report(
            [metric for source in self.metrics for metric in source()],
            self._factory.statistics(),
            [problem for check in self.checks if (problem := check()) is not None],
        )

    def reports(self) -> Deferred[Report]:
        """
        Return L{report} as a Deferred.
        """
        return execute(self.report)
