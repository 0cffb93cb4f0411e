"""The supervisor, its workers and their reports, without processes."""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
from contextlib import closing
from typing import Any

import pytest
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IReactorProcess
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel, capturedLogs, eventAsJSON
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.loopback import ownLines
from txhixie.admin.report import Report
from txhixie.metrics import counter, gauge
from txhixie.server.adopting import Adopting, adoptable, familyOf
from txhixie.server.service import HixieService
from txhixie.tap import Options, makeService
from txhixie.twistd.composing import makeWorker
from txhixie.workers import child, service
from txhixie.workers.channel import ANSWERS, LOG, ORDERS, SOCKETS, decode, encode
from txhixie.workers.reports import WorkersReporter
from txhixie.workers.service import WorkersService
from txhixie.workers.worker import Worker

LOOPBACK = "tcp:0:interface=127.0.0.1"


class Port:
    """A port that the supervisor holds."""

    def __init__(self) -> None:
        self.reads = self.listens = True
        self._shouldShutdown = True

    def stopReading(self) -> None:
        self.reads = False

    def stopListening(self) -> None:
        self.listens = False

    def fileno(self) -> int:
        return 99


class Transport:
    """
    A process that does not exist.

    @ivar orders: the messages that it got.
    """

    def __init__(self, pid: int, protocol: Worker, descriptors: dict[int, Any]) -> None:
        self.pid: int | None = pid
        self.descriptors = descriptors
        self.orders: list[Any] = []
        self.signals: list[str] = []
        self.worker = protocol
        protocol.makeConnection(self)

    def writeToChild(self, number: int, data: bytes) -> None:
        assert number == ORDERS
        if self.pid is None:
            raise KeyError(number)
        self.orders.append(decode(data))

    def signalProcess(self, name: str) -> None:
        if self.pid is None:
            raise ProcessExitedAlready
        self.signals.append(name)

    def says(self, **message: Any) -> None:
        """Have the process send the supervisor a message."""
        self.worker.childDataReceived(ANSWERS, encode(message))

    def answers(self, answer: Any) -> None:
        """Have the process answer the last question."""
        self.says(number=self.orders[-1]["number"], answer=answer)

    def ends(self, number: int | None = None, status: int = 0) -> None:
        """Have the process end, by a signal or not."""
        self.pid = None
        isWell = number is None and not status
        error = ProcessDone(0) if isWell else ProcessTerminated(status or None, number)
        self.worker.processEnded(Failure(error))


@implementer(IReactorProcess)
class Reactor(MemoryReactorClock):
    """A reactor whose processes and ports do not exist."""

    def __init__(self) -> None:
        super().__init__()
        self.ports: list[Port] = []
        self.processes: list[Transport] = []
        self.isStopped = False

    def listenTCP(self, *arguments: Any, **more: Any) -> Any:
        self.ports.append(Port())
        return self.ports[-1]

    def spawnProcess(  # type: ignore[override]
        self, protocol: Any, *arguments: Any, **more: Any
    ) -> Any:
        pid = 100 + len(self.processes)
        self.processes.append(Transport(pid, protocol, more["childFDs"]))
        return self.processes[-1]

    def stop(self) -> None:
        self.isStopped = True


def report(served: int, *, problems: tuple[str, ...] = ()) -> dict[str, Any]:
    """@return: the report of a worker, as it is sent."""
    statistics = {"uptime": served, "connections": {"x": served}, "messages": {"sent": served}}
    metrics = [counter("served", "Meals.", served), gauge("guests", "People.", served)]
    return Report(metrics, statistics, [*problems]).toJSON()


class SupervisorCase(SynchronousTestCase):
    """Has a supervisor with three workers that are ready."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.patch(signal, "signal", lambda *arguments: None)
        self.service = WorkersService([LOOPBACK], 3, {"make": "x"}, 2.0, 10.0, self.reactor)
        self.reporter = WorkersReporter(self.service)
        self.service.privilegedStartService()
        self.service.startService()
        self.processes = self.reactor.processes
        for process in self.processes:
            process.says(ready=True)


class ServiceTests(SupervisorCase):
    """How workers are started and stopped."""

    def test_ports(self) -> None:
        """The supervisor listens and does not accept; each worker gets the sockets."""
        (port,) = self.reactor.ports
        assert (port.reads, port.listens, port._shouldShutdown) == (False, True, False)
        for number, process in enumerate(self.processes, 1):
            assert process.descriptors[SOCKETS] == 99
            (task,) = process.orders
            assert (task["worker"], task["sockets"], task["make"]) == (str(number), 1, "x")

    def test_stop(self) -> None:
        """
        When it stops, all workers are notified, and the ports are held as long as they accept.
        """
        stopped = self.service.stopService()
        self.successResultOf(self.service.reload())
        assert [process.orders[-1] for process in self.processes] == [{"stop": True}] * 3
        (port,) = self.reactor.ports
        self.reactor.advance(1.9)
        assert port.listens
        self.reactor.advance(0.1)
        assert not port.listens
        for process in self.processes:
            self.assertNoResult(stopped)
            process.ends()
        self.successResultOf(stopped)
        assert len(self.processes) == 3
        assert self.reactor.getDelayedCalls() == []

    def test_kill(self) -> None:
        """Workers that do not end are killed, some seconds after the time of their clients."""
        stopped = self.service.stopService()
        self.processes[0].ends()
        self.reactor.advance(16.9)
        assert self.processes[1].signals == []
        with capturedLogs() as events:
            self.reactor.advance(0.1)
        assert len(ownLines(events)) == 2
        for process in self.processes[1:]:
            assert process.signals == ["KILL"]
            process.ends(9)
        self.successResultOf(stopped)

    def test_abort(self) -> None:
        """All workers have to end their connections."""
        self.processes[0].ends(9)
        self.service.abort()
        assert [process.orders[-1] for process in self.processes[1:]] == [{"abort": True}] * 2

    def test_reload(self) -> None:
        """Workers reload one after the other; one that does not answer delays the rest only."""
        done = self.service.reload()
        asked = [process.orders[-1].get("ask") for process in self.processes]
        assert asked == ["reload", None, None]
        # Another signal meanwhile changes nothing.
        self.successResultOf(self.service.reload())
        self.processes[0].answers(True)
        with capturedLogs() as events:
            self.reactor.advance(30)
        assert ownLines(events) == ["warn: worker 2 did not reload"]
        self.assertNoResult(done)
        self.processes[2].answers(True)
        self.successResultOf(done)
        # A late answer is nobody's.
        self.processes[1].answers(True)

    def test_reloadWithout(self) -> None:
        """A worker that ends while it reloads, or is not ready, is not waited for."""
        done = self.service.reload()
        self.processes[0].ends(9)
        self.processes[1].answers(True)
        self.reactor.advance(0)
        self.processes[2].ends(9)
        self.successResultOf(done)

    def test_cannotStart(self) -> None:
        """If one of the first cannot start, the reactor stops, and the status will be 1."""
        registered: list[Any] = []
        self.patch(service, "atexit", type("", (), {"register": lambda *a: registered.append(a)}))
        reactor = Reactor()
        supervisor = WorkersService([LOOPBACK], 2, {}, 0.0, 1.0, reactor)
        supervisor.startService()
        with capturedLogs() as events:
            reactor.processes[1].says(failed="ImportError: no shop")
            reactor.processes[1].ends(status=1)
        assert ownLines(events)[-1] == "critical: worker 2 cannot start: ImportError: no shop"
        assert reactor.isStopped
        assert registered == [(service._exit, 1)]
        stopped = supervisor.stopService()
        assert reactor.processes[0].orders[-1] == {"stop": True}
        reactor.processes[0].ends()
        self.successResultOf(stopped)

    def test_noEndpoint(self) -> None:
        """A port that cannot be had is one line, and there are no workers."""
        with closing(socket.create_server(("127.0.0.1", 0))) as taken:
            port = taken.getsockname()[1]
            where = f"tcp:{port}:interface=127.0.0.1"
            supervisor = WorkersService([where], 2, {}, 0.0, 1.0)
            with capturedLogs() as events, pytest.raises(SystemExit) as caught:
                supervisor.privilegedStartService()
        assert caught.value.code == 1
        (line,) = ownLines(events)
        assert f"CannotListenError: Couldn't listen on 127.0.0.1:{port}" in line

    def test_stopWithout(self) -> None:
        """Without workers the ports close at once."""
        for process in self.processes:
            process.ends(9)
        self.successResultOf(self.service.stopService())
        assert not self.reactor.ports[0].listens
        assert self.reactor.getDelayedCalls() == []


class WorkerTests(SupervisorCase):
    """What the supervisor takes from a worker."""

    def test_log(self) -> None:
        """Its events are logged; what is none is printed, as a crash of Python is."""
        worker = self.processes[1].worker
        event = {
            "log_format": "hello",
            "log_level": LogLevel.info,
            "log_namespace": "shop",
            "log_time": 1.0,
        }
        with capturedLogs() as events:
            worker.childDataReceived(LOG, eventAsJSON(event).encode() + b'\n{"log_form')
            worker.childDataReceived(2, b"Fatal Python error\nno end")
            self.processes[1].ends(11)
        lines = [line for line in ownLines(events) if " prints: " in line]
        assert events[0]["worker"] == "2"
        assert lines == [
            "warn: worker 2 prints: Fatal Python error",
            'warn: worker 2 prints: {"log_form',
            "warn: worker 2 prints: no end",
        ]

    def test_endings(self) -> None:
        """The log says how it ended."""
        for ends, words in (
            ({"number": 9}, "it was ended by signal 9"),
            ({"status": 3}, "it ended with status 3"),
            ({}, "it ended"),
        ):
            process = self.processes[-1]
            process.ends(**ends)
            assert process.worker.ending == words
            self.reactor.advance(60)
            self.processes[-1].says(ready=True)
            self.reactor.advance(10)

    def test_gone(self) -> None:
        """A worker that is gone gets nothing, and asking fails."""
        process = self.processes[0]
        process.ends(9)
        process.worker.kill()
        process.worker.order({"abort": True})
        self.failureResultOf(process.worker.ask("report", 1))


class ReportsTests(SupervisorCase):
    """What all workers report together."""

    def reports(self, *answers: dict[str, Any] | None) -> Report:
        """@return: the report of all, if those that serve answer so; None does not answer."""
        running = [each for each in self.processes if each.pid is not None and each.worker.isReady]
        asked = self.reporter.reports()
        for process, answer in zip(running, answers, strict=True):
            if answer is not None:
                process.answers(answer)
        if None in answers:
            self.assertNoResult(asked)
            self.reactor.advance(2)
        made: Report = self.successResultOf(asked)
        return made

    def values(self, made: Report) -> dict[tuple[str, str], float]:
        """@return: values by the names of metric and worker."""
        return {
            (metric.name, sample.labels.get("worker", "")): sample.value
            for metric in made.metrics
            for sample in metric.samples
        }

    def test_sums(self) -> None:
        """Totals are sums, and gauges are kept apart."""
        made = self.reports(report(1), report(20), report(300))
        assert self.values(made) == {
            ("served", ""): 321,
            **{("guests", name): value for name, value in (("1", 1), ("2", 20), ("3", 300))},
            **{("txhixie_worker_up", name): 1 for name in "123"},
            **{("txhixie_worker_restarts", name): 0 for name in "123"},
        }
        workers = made.statistics.pop("workers")
        assert made.statistics == {
            "uptime": 300,
            "connections": {"x": 321},
            "messages": {"sent": 321},
        }
        assert workers["2"] == {"pid": 101, "restarts": 0, "connections": 20}
        assert (made.problems, made.warnings) == ([], [])

    def test_gone(self) -> None:
        """Totals never fall: those of a worker that is gone stay, and its connections do not."""
        self.reports(report(1), report(20), report(300))
        self.processes[1].ends(9)
        self.reactor.advance(0)
        made = self.reports(report(1), report(300))
        assert self.values(made)["served", ""] == 321
        assert ("guests", "2") not in self.values(made)
        assert made.statistics["messages"] == {"sent": 321}
        assert made.statistics["connections"] == {"x": 301}
        assert made.warnings == ["worker 2 does not serve"]
        self.processes[-1].says(ready=True)
        made = self.reports(report(1), report(300), report(5))
        assert self.values(made)["served", ""] == 326
        assert self.values(made)["txhixie_worker_restarts", "2"] == 1

    def test_last(self) -> None:
        """One that stops says in its last words what it has done since."""
        self.reports(report(1), report(20), report(300))
        self.processes[1].says(report=report(25))
        # Nobody wanted one of this one.
        self.processes[2].says(report={})
        self.processes[1].ends()
        self.reactor.advance(0)
        made = self.reports(report(1), report(300))
        assert self.values(made)["served", ""] == 326

    def test_silent(self) -> None:
        """One that does not answer is down, and its totals are as they were."""
        self.reports(report(1), report(20), report(300))
        made = self.reports(report(1), None, report(300))
        assert self.values(made)["served", ""] == 321
        assert self.values(made)["txhixie_worker_up", "2"] == 0
        assert made.warnings == ["worker 2 does not serve"]

    def test_health(self) -> None:
        """One that serves is enough; if none does, all that is wrong is said."""
        made = self.reports(report(1, problems=("no database",)), report(2), report(3))
        assert (made.problems, made.warnings) == ([], ["worker 1: no database"])
        bad = report(1, problems=("no database",))
        made = self.reports(bad, bad, None)
        assert made.problems == [
            "worker 1: no database",
            "worker 2: no database",
            "worker 3 does not serve",
        ]
        assert made.warnings == []


# In the worker


class Served:
    """What a worker would serve with, and the messages it got."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def abort(self) -> None:
        self.told.append("abort")

    def reload(self) -> None:
        self.told.append("reload")

    def report(self) -> dict[str, Any]:
        self.told.append("report")
        return {"all": "well"}

    def end(self) -> None:
        self.told.append("end")


def test_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker does what it is asked for, and ends once, however often it is asked."""
    said: list[Any] = []
    monkeypatch.setattr(child, "tell", said.append)
    served: Any = Served()
    orders = child.Orders(served, served.end)
    orders.dataReceived(encode({"ask": "reload", "number": 1}))
    orders.dataReceived(encode({"ask": "report", "number": 2}) + encode({"abort": True})[:3])
    orders.dataReceived(encode({"abort": True})[3:] + encode({"stop": True}) * 2)
    orders.stop()
    assert served.told == ["reload", "report", "abort", "end"]
    assert said == [{"number": 1, "answer": True}, {"number": 2, "answer": {"all": "well"}}]


def test_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long message is sent whole; without a supervisor nothing is sent, and nothing happens."""
    written: list[bytes] = []

    def write(descriptor: int, data: memoryview) -> int:
        assert descriptor == ANSWERS
        written.append(bytes(data[:1000]))
        return len(written[-1])

    monkeypatch.setattr(os, "write", write)
    child.tell({"text": "x" * 10_000})
    assert json.loads(b"".join(written)) == {"text": "x" * 10_000}

    def broken(descriptor: int, data: memoryview) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(os, "write", broken)
    child.tell({})


class MakeWorkerTests(SynchronousTestCase):
    """What a worker serves with, from the options of its supervisor."""

    def make(self, listening: socket.socket, *arguments: str) -> Any:
        """@return: what serves on a socket."""
        task = {"arguments": ["--workers", "4", *arguments], "directory": os.getcwd()}
        return makeWorker(task, [os.dup(listening.fileno())])

    def test_life(self) -> None:
        """It serves on the socket that it was given, which goes on to listen without it."""
        listening = socket.create_server(("127.0.0.1", 0))
        with closing(listening):
            serving = self.make(listening, "--admin", "9400", "--port", LOOPBACK, "--no-console")
            # Nobody stops it.
            self.addCleanup(gc.unfreeze)
            serving.start()
            listens, *_ = serving._service
            port = self.successResultOf(listens._waitingForPort)
            assert port.getHost().port == listening.getsockname()[1]
            names = {metric[0] for metric in serving.report()["metrics"]}
            assert {"txhixie_connections", "txhixie_reactor_lag_seconds"} <= names
            serving.reload()
            serving.abort()
            serving._reporter.stopService()
            serving._service.reloading.stop()
            port.stopReading()
            port.connectionLost(Failure(ProcessDone(0)))
            with closing(socket.create_connection(listening.getsockname())):
                pass

    def test_memory(self) -> None:
        """Workers share the memory that one process would have, unless a limit is given."""
        with closing(socket.create_server(("127.0.0.1", 0))) as listening:
            shared = self.make(listening)._service.factory.shared.budget.limit
            asked = self.make(listening, "--memory-limit", "5000")._service.factory
        options = Options()
        options.parseOptions([])
        alone: Any = makeService(options)
        assert isinstance(alone, HixieService)
        assert shared == pytest.approx(alone.factory.shared.budget.limit / 4, abs=4)
        assert asked.shared.budget.limit == 5000

    def test_noReports(self) -> None:
        """Without an admin endpoint nobody asks for reports."""
        with closing(socket.create_server(("127.0.0.1", 0))) as listening:
            assert self.make(listening).report() == {}

    def test_supervisor(self) -> None:
        """The service of the command line supervises; with an admin endpoint it is a part."""
        for arguments, kind in (((), "WorkersService"), (("--admin", "9400"), "AdminService")):
            options = Options()
            options.parseOptions(["--workers", "2", *arguments])
            assert type(makeService(options)).__name__ == kind


def test_adoptable() -> None:
    """Only what names a descriptor is described in another way."""
    assert adoptable("systemd:domain=INET6:index=0") == "tcp:0"
    assert adoptable("haproxy:systemd:domain=INET:index=1") == "haproxy:tcp:0"
    for description in ("tcp:3400", "unix:/run/systemd:x", "ssl:443:privateKey=k:certKey=c"):
        assert adoptable(description) == description


def test_notListening() -> None:
    """A descriptor of anything else is refused."""
    with closing(socket.socket()) as other, pytest.raises(OSError, match="not a socket that"):
        familyOf(other.fileno())


def test_reactorOfEndpoints() -> None:
    """What an endpoint asks of its reactor besides to listen is the reactor's."""
    reactor = Reactor()
    adopting = Adopting(reactor, 99)
    adopting.callLater(0, reactor.stop)
    reactor.advance(0)
    assert reactor.isStopped
