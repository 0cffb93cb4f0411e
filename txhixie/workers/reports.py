"""
The reports of all workers, combined.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import DeferredList, inlineCallbacks

from txhixie.admin.report import Report, Totals, sumStatistics
from txhixie.metrics import Metric, counter, gauge
from txhixie.workers.channel import Message
from txhixie.workers.service import WorkersService
from txhixie.workers.worker import Worker

# Seconds a worker may take to report.
_PATIENCE = 2.0
# The statistics that do not count after a worker is gone.
_PRESENT = ("uptime", "connections")


class WorkersReporter:
    """
    Asks all workers for each report. Totals include those of workers that are gone, as of their
    last report.
    """

    def __init__(self, service: WorkersService) -> None:
        self._service = service
        self._totals = Totals("worker")
        self._latest: dict[str, Report] = {}
        # The statistics of workers that are gone.
        self._gone: dict[str, Any] = {}
        service.notify(self._reported, self._ended)

    def _reported(self, worker: Worker, message: Message) -> None:
        if message:
            report = Report.fromJSON(message)
            self._latest[worker.name] = report
            self._totals.update(worker.name, report.metrics)

    def _ended(self, worker: Worker) -> None:
        self._totals.remove(worker.name)
        latest = self._latest.pop(worker.name, None)
        if latest is not None:
            counted = {
                name: value for name, value in latest.statistics.items() if name not in _PRESENT
            }
            self._gone = sumStatistics([self._gone, counted])

    @inlineCallbacks
    def reports(self) -> Any:
        """
        Ask all workers.

        @return: fires with the L{Report} of all.
        """
        workers = [worker for worker in self._service.workers if worker.isReady]
        asked = [worker.ask("report", _PATIENCE) for worker in workers]
        answers = yield DeferredList(asked, consumeErrors=True)
        answered: dict[str, Report] = {}
        for worker, (isAnswer, answer) in zip(workers, answers, strict=True):
            if isAnswer:
                self._reported(worker, answer)
                answered[worker.name] = Report.fromJSON(answer)
        return Report(
            [*self._totals.metrics(), *self._ownMetrics(answered)],
            self._statistics(),
            *self._health(answered),
        )

    def _ownMetrics(self, answered: Mapping[str, Report]) -> list[Metric]:
        slots = self._service.slots
        return [
            gauge(
                "txhixie_worker_up",
                "Whether a worker serves, and answers.",
                {slot.name: float(slot.name in answered) for slot in slots},
                "worker",
            ),
            counter(
                "txhixie_worker_restarts",
                "Processes that replaced a worker.",
                {slot.name: slot.restarts for slot in slots},
                "worker",
            ),
        ]

    def _statistics(self) -> dict[str, Any]:
        reports = [report.statistics for report in self._latest.values()]
        workers = {
            slot.name: {
                "pid": slot.pid,
                "restarts": slot.restarts,
                "connections": self._connections(slot.name),
            }
            for slot in self._service.slots
        }
        return {**sumStatistics([self._gone, *reports]), "workers": workers}

    def _connections(self, name: str) -> int:
        latest = self._latest.get(name)
        return 0 if latest is None else sum(latest.statistics["connections"].values())

    def _health(self, answered: Mapping[str, Report]) -> tuple[list[str], list[str]]:
        """
        Return the problems of all, and the warnings. One worker that serves is enough to serve.
        """
        wrong = []
        for slot in self._service.slots:
            report = answered.get(slot.name)
            if report is None:
                wrong.append(f"worker {slot.name} does not serve")
            else:
                wrong += [f"worker {slot.name}: {problem}" for problem in report.problems]
        if any(not report.problems for report in answered.values()):
            return [], wrong
        return wrong, []
