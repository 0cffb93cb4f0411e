"""Many processes that share ports: how they are started, replaced, stopped and reported on."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, eventAsJSON, formatEvent
from twisted.python import usage

from tests.certificates import makeTLS
from tests.interop.server import Server
from tests.loopback import ownLines
from tests.support import IDIOMS, buildHead
from tests.test_admin import Administered, parsed
from tests.test_twistd import (
    TWIST,
    TWISTD,
    Client,
    Daemon,
    Other,
    assertPortInUse,
    connectTLS,
    environment,
    outputs,
    readToEnd,
)
from txhixie.workers.channel import Lines, Message, decode, encode
from txhixie.workers.logs import logAgain
from txhixie.workers.slot import Slot

LOOPBACK = "tcp:0:interface=127.0.0.1"
COMMAND = (*TWISTD, "-n", "--pidfile=", "hixie")


# What passes between the processes


def test_lines() -> None:
    """Messages arrive whole, however they are cut, and however long they are."""
    messages: list[Message] = [{"ask": "report", "number": 1}, {"text": "ü\n" * 100_000}, {}]
    data = b"".join(map(encode, messages))
    for size in (1, 7, 1 << 16, len(data)):
        received: list[bytes] = []
        lines = Lines(received.append)
        for start in range(0, len(data), size) if size > 1 else range(40):
            lines.dataReceived(data[start : start + size])
        expected = messages if size > 1 else messages[:1]
        assert [decode(line) for line in received] == expected


def test_lastLine() -> None:
    """What a process printed last, without an end of the line, is not lost."""
    received: list[bytes] = []
    lines = Lines(received.append)
    lines.dataReceived(b"a\nb")
    lines.end()
    lines.end()
    assert received == [b"a", b"b"]


def test_logAgain() -> None:
    """An event of a worker is logged as it was, and names the worker."""
    event = {
        "log_format": "{who} is here",
        "log_level": LogLevel.warn,
        "log_namespace": "chat.Room",
        "log_time": 12.5,
        "who": "Ann",
    }
    with capturedLogs() as events:
        logAgain(eventAsJSON(event).encode(), "2")
    (again,) = events
    assert formatEvent(again) == "Ann is here"
    assert again["worker"] == "2"
    assert again["log_system"] == "worker 2, chat.Room#warn"
    assert (again["log_time"], again["log_level"]) == (12.5, LogLevel.warn)


# When workers are replaced


class FakeWorker:
    """A process that does not exist."""

    pid = 7

    def __init__(self, clock: Clock) -> None:
        self.isReady = False
        self.ending = ""
        self.readySince = clock.seconds()
        self.orders: list[object] = []
        self.killed = 0

    def order(self, message: object) -> None:
        self.orders.append(message)

    def kill(self) -> None:
        self.killed += 1


class Office:
    """What has one slot, and counts."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.spawned: list[FakeWorker] = []
        self.failed = 0
        self.error: OSError | None = None
        self.slot = Slot("2", self, self.clock)
        self.slot.start()

    def spawn(self, slot: Slot) -> Any:
        if self.error is not None:
            raise self.error
        self.spawned.append(FakeWorker(self.clock))
        return self.spawned[-1]

    def ready(self, slot: Slot) -> None: ...

    def reported(self, worker: object, report: object) -> None: ...

    def ended(self, worker: object) -> None: ...

    def cannotStart(self) -> None:
        self.failed += 1

    def becomesReady(self) -> None:
        worker: Any = self.spawned[-1]
        worker.isReady, worker.readySince = True, self.clock.seconds()
        self.slot.workerReady(worker)

    def ends(self, why: str = "it was ended by signal 9") -> None:
        worker: Any = self.spawned[-1]
        worker.ending = worker.ending or why
        self.slot.workerEnded(worker)

    def pauses(self, happens: Callable[[], object], times: int) -> list[float]:
        """@return: seconds from each of several ends to the next start."""
        pauses = []
        for _ in range(times):
            happens()
            before, began = len(self.spawned), self.clock.seconds()
            while len(self.spawned) == before and self.clock.seconds() < began + 100:
                self.clock.advance(0 if self.clock.seconds() == began else 0.25)
                if len(self.spawned) == before:
                    self.clock.advance(0.25)
            pauses.append(self.clock.seconds() - began)
        return pauses


def test_replaced() -> None:
    """A worker that has served is replaced at once, however often, if it served for a while."""
    office = Office()

    def serves() -> None:
        office.becomesReady()
        office.clock.advance(10)
        office.ends()

    with capturedLogs() as events:
        assert office.pauses(serves, 3) == [0, 0, 0]
    assert ownLines(events)[0] == (
        "warn: worker 2 is gone: it was ended by signal 9; another starts now"
    )
    assert office.slot.restarts == 3


def test_crashes() -> None:
    """Workers that end soon after they were ready are replaced more and more slowly."""
    office = Office()

    def crashes() -> None:
        office.becomesReady()
        office.ends()

    with capturedLogs():
        pauses = office.pauses(crashes, 9)
    assert pauses[0] == 0
    assert all(before <= after for before, after in pairwise(pauses))
    assert 25 < pauses[-1] <= 31
    assert office.failed == 0


def test_cannotStart() -> None:
    """If the first one cannot start that is the end, and there is one line that says why."""
    office = Office()
    with capturedLogs() as events:
        office.ends("ImportError: no module")
        office.clock.advance(1000)
    assert ownLines(events) == ["critical: worker 2 cannot start: ImportError: no module"]
    assert (office.failed, len(office.spawned)) == (1, 1)
    assert office.clock.getDelayedCalls() == []


def test_cannotStartAnother() -> None:
    """One that cannot start later is tried some times, and then after a SIGHUP."""
    office = Office()
    office.becomesReady()
    office.clock.advance(10)
    with capturedLogs() as events:
        office.ends()
        for _ in range(10):
            office.clock.advance(40)
            if office.slot.worker is not None:
                office.ends("ImportError: no module")
    lines = ownLines(events)
    assert lines[1] == (
        "critical: worker 2 cannot start: ImportError: no module; the next attempt is in 0.5 s"
    )
    assert lines[-1] == (
        "critical: worker 2 cannot start: ImportError: no module; SIGHUP tries again"
    )
    assert len(lines) == len(office.spawned) == 6
    assert (office.failed, office.clock.getDelayedCalls()) == (0, [])
    office.slot.retry()
    assert len(office.spawned) == 7
    office.slot.retry()
    assert len(office.spawned) == 7


def test_neverReady() -> None:
    """A worker that does not get ready is killed, and that is why it could not start."""
    office = Office()
    office.clock.advance(60)
    assert office.spawned[0].killed == 1
    with capturedLogs() as events:
        office.ends("it was ended by signal 9")
    assert ownLines(events) == ["critical: worker 2 cannot start: it was not ready after 60 s"]


def test_noProcess() -> None:
    """If the system has no process to give, another attempt follows."""
    office = Office()
    office.becomesReady()
    office.clock.advance(10)
    office.error = OSError("no more processes")
    with capturedLogs() as events:
        office.ends()
        office.clock.advance(0)
    assert "OSError: no more processes; the next attempt" in ownLines(events)[-1]
    office.error = None
    office.clock.advance(1)
    assert len(office.spawned) == 2


def test_stopped() -> None:
    """A slot that is stopped starts nothing more."""
    office = Office()
    office.becomesReady()
    office.slot.stop()
    assert office.spawned[0].orders == [{"stop": True}]
    office.ends()
    office.slot.retry()
    office.clock.advance(1000)
    assert len(office.spawned) == 1


# Options


@pytest.mark.parametrize("value", ["-1", "x", "1.5", ""])
def test_wrongNumber(value: str) -> None:
    """A number of workers that is none is one line."""
    with pytest.raises(usage.UsageError, match=r"^--workers: "):
        parsed("--workers", value)


@pytest.mark.parametrize(
    "options",
    [("--service", "broadcast"), ("--route", "/news=broadcast"), ("-s", "broadcast")],
)
def test_backplane(options: Sequence[str]) -> None:
    """Several workers that broadcast need a way to each other; one does not."""
    with pytest.raises(usage.UsageError) as caught:
        parsed("--workers", "2", *options)
    assert str(caught.value) == (
        "--workers: broadcast needs a --backplane that all workers share; "
        "memory is of one worker only"
    )
    for count in ("0", "1"):
        assert parsed("--workers", count, *options)["workers"] == int(count)


# Real processes


class Workers(Administered):
    """
    A server with some workers, all of which serve when it is made.
    """

    def __init__(self, *options: str, count: int = 3) -> None:
        super().__init__("--workers", str(count), *options)
        for number in range(1, count + 1):
            self.waitForLog(rf"worker {number} serves", 30)

    def statistics(self) -> dict[str, Any]:
        """@return: what all workers counted."""
        status, text = self.get("/statistics")
        assert status == 200
        statistics: dict[str, Any] = json.loads(text)
        return statistics

    @property
    def pids(self) -> list[int]:
        """The processes of the workers."""
        return [worker["pid"] for worker in self.statistics()["workers"].values()]

    def fill(self, stack: ExitStack, dialect: str = "rfc6455") -> list[Client]:
        """@return: enough open clients for every worker to have some."""
        clients: list[Client] = []
        while len(clients) < 300:
            for _ in range(10):
                client = stack.enter_context(closing(Client.to(self.port)))
                client.open(dialect)
                clients.append(client)
            workers = self.statistics()["workers"].values()
            if all(worker["connections"] for worker in workers):
                return clients
        pytest.fail("one worker accepts nobody")

    def found(self, pattern: str) -> list[str]:
        """@return: all that a pattern finds in the log."""
        return re.findall(pattern, self.log)

    def until(self, condition: Callable[[], bool], seconds: float) -> float:
        """
        Wait for a condition.

        @return: how long it took.
        """
        began = monotonic()
        while not condition():
            assert monotonic() - began < seconds
            Event().wait(0.02)
        return monotonic() - began


def isGone(pid: int) -> bool:
    """@return: whether there is no such process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    """Three workers for all tests that do not harm them."""
    with Workers() as server:
        yield server


def test_knownLoad(workers: Workers) -> None:
    """What one scrape shows after a known load over three workers is exact."""
    before = workers.metrics()

    def added(name: str, dialect: str) -> float:
        return shown[name, dialect] - before[name, dialect]

    with ExitStack() as stack:
        clients = {dialect: workers.fill(stack, dialect) for dialect in IDIOMS}
        received = {}
        for number, dialect in enumerate(IDIOMS, 1):
            received[dialect] = 0
            for client in clients[dialect]:
                for _ in range(number):
                    client.talk(dialect)
                    received[dialect] += len(IDIOMS[dialect].clientText("grüße 🚀"))
        shown = workers.metrics()
        for number, dialect in enumerate(IDIOMS, 1):
            count = len(clients[dialect])
            open_ = [shown["txhixie_connections", f"{dialect},{each}"] for each in "123"]
            assert sum(open_) == count
            assert added("txhixie_handshakes_total", dialect) == count
            assert added("txhixie_messages_received_total", dialect) == number * count
            assert added("txhixie_messages_sent_total", dialect) == number * count
            preamble = len(IDIOMS[dialect].preamble) * count
            counted = added("txhixie_bytes_received_total", dialect)
            assert counted == received[dialect] + preamble
        sums = workers.statistics()
        assert sums["connections"] == {name: len(each) for name, each in clients.items()}
        total = sum(map(len, clients.values()))
        assert sum(worker["connections"] for worker in sums["workers"].values()) == total
    assert [shown["txhixie_worker_up", each] for each in "123"] == [1, 1, 1]


def test_refusedByDivision(workers: Workers) -> None:
    """If only the clients of one worker could hear each other, all clients are refused."""
    with closing(Client.to(workers.port)) as client:
        client.send(buildHead("rfc6455", requestLine=b"GET /broadcast HTTP/1.1"))
        assert client.takeHead().startswith("HTTP/1.1 503 ")


def test_environment(workers: Workers) -> None:
    """A worker knows its number, and is shown under its name."""
    for number, pid in enumerate(workers.pids, 1):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        assert command[-3:-1] == [b"txhixie.workers.child", b"%d" % number]
        assert b"TXHIXIE_WORKER=%d" % number in Path(f"/proc/{pid}/environ").read_bytes()


class Load:
    """
    Clients that talk all the time, in a thread.

    @ivar echoes: how often each was answered.
    @ivar lost: those whose connection ended.
    """

    def __init__(self, clients: list[Client]) -> None:
        self.clients = clients
        self.echoes = [0] * len(clients)
        self.lost: set[int] = set()
        self.wrong: list[BaseException] = []
        self._end = Event()
        self._thread = Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._end.is_set():
                for number, client in enumerate(self.clients):
                    if number not in self.lost:
                        self._talk(number, client)
        except BaseException as error:
            self.wrong.append(error)

    def _talk(self, number: int, client: Client) -> None:
        idiom = IDIOMS["rfc6455"]
        text = f"{number}: {self.echoes[number]}"
        with suppress(ConnectionError):
            client.send(idiom.clientText(text))
        echo = idiom.serverText(text)
        taken = client.take(len(echo))
        if client.ending:
            self.lost.add(number)
        else:
            assert taken == echo
            self.echoes[number] += 1

    def end(self) -> None:
        self._end.set()
        self._thread.join(20)
        assert not self.wrong


def test_killed() -> None:
    """A worker that is killed under load is replaced, and the clients of others see nothing."""
    with Workers() as server, ExitStack() as stack:
        clients = server.fill(stack)
        load = Load(clients)
        try:
            server.until(lambda: min(load.echoes) > 3, 20)
            before = server.statistics()
            pids, sums = server.pids, before["workers"]
            os.kill(pids[1], signal.SIGKILL)
            took = server.until(lambda: len(server.found("worker 2 serves")) == 2, 10)
            # That is meant of a machine with nothing else to do.
            isQuiet = os.getloadavg()[0] < (os.cpu_count() or 1)
            assert took < (2 if isQuiet else 10), f"replaced after {took:.1f} s"
            print(f"replaced after {took:.2f} s")
            echoes = [*load.echoes]
            server.until(lambda: len(load.lost) == sums["2"]["connections"], 10)
            left = [each for each in range(len(clients)) if each not in load.lost]
            server.until(lambda: all(load.echoes[each] > echoes[each] + 2 for each in left), 20)
        finally:
            load.end()
        assert len(load.lost) == sums["2"]["connections"]
        shown = server.metrics()
        assert shown["txhixie_worker_restarts_total", "2"] == 1
        assert shown["txhixie_handshakes_total", "rfc6455"] == len(clients)
        assert server.statistics()["messages"]["sent"] >= before["messages"]["sent"]
        # The new one serves, too.
        server.fill(stack)
        assert server.get("/health")[0] == 200
        assert "worker 2 is gone: it was ended by signal 9; another starts now" in server.log


def test_terminate() -> None:
    """SIGTERM lets the clients of all workers go in good order, and leaves no process."""
    with Workers("--drain", "5") as server, ExitStack() as stack:
        clients = server.fill(stack)
        idiom = IDIOMS["rfc6455"]
        for client in clients:
            reason = b"the server is going down"
            client.goodbye = bytes([0x88, len(reason) + 2]) + b"\x03\xe9" + reason
            client.answer = idiom.clientClose
        pids = server.pids
        began = monotonic()
        server.process.send_signal(signal.SIGTERM)
        readToEnd(clients)
        assert {client.ending for client in clients} == {"EOF"}
        assert {client.received for client in clients} == {clients[0].goodbye}
        server.process.wait(10)
        assert monotonic() - began < 5
        assert all(map(isGone, pids))
        for number in "123":
            assert server.found(rf"\[worker {number}, .*(Main loop terminated)")


def test_oneTerminated() -> None:
    """One worker that has to end does so in good order; the others accept meanwhile."""
    with Workers("--drain", "5", count=2) as server, ExitStack() as stack:
        clients = server.fill(stack)
        (pid, other), connections = server.pids, server.statistics()["workers"]["1"]
        os.kill(pid, signal.SIGTERM)
        server.waitForLog(r"worker 1 is gone: it ended; another starts now")
        assert [isGone(each) for each in (pid, other)] == [True, False]
        idiom = IDIOMS["rfc6455"]
        left = 0
        for client in clients:
            client.send(idiom.clientText("x"))
            left += client.take(3) == idiom.serverText("x")
        assert len(clients) - left == connections["connections"]
        for _ in range(20):
            with closing(Client.to(server.port)) as client:
                client.open("rfc6455")


def test_drainTimeout() -> None:
    """Clients that do not go are cut off after that time, by all workers."""
    with Workers("--drain", "1", "--close-timeout", "30", count=2) as server, ExitStack() as stack:
        server.fill(stack)
        pids = server.pids
        began = monotonic()
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(10)
        assert 1 <= monotonic() - began < 4
        assert all(map(isGone, pids))


def test_secondSignal() -> None:
    """A second signal ends all clients of all workers at once."""
    with Workers("--drain", "60", "--close-timeout", "60", count=2) as server, ExitStack() as stack:
        server.fill(stack)
        server.process.send_signal(signal.SIGTERM)
        server.waitForLog("worker 1.*Received SIGTERM|worker 1.*Port .* Closed")
        server.process.send_signal(signal.SIGTERM)
        began = monotonic()
        server.process.wait(10)
        assert monotonic() - began < 4


def test_groupSignal() -> None:
    """A signal to all processes, as a terminal or systemd sends it, is one signal only."""
    with Workers("--drain", "5", count=2) as server, ExitStack() as stack:
        clients = server.fill(stack)
        pids = server.pids
        for pid in (*pids, server.process.pid):
            os.kill(pid, signal.SIGINT)
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        for client in clients:
            assert client.take(4) == b"\x88\x1a\x03\xe9"
            client.send(IDIOMS["rfc6455"].clientClose)
        server.process.wait(10)
        assert "cut off" not in server.log


def test_hangUp(tmp_path: Path) -> None:
    """SIGHUP has the workers read things anew, one after the other, and nobody notices."""
    origins = tmp_path / "origins"
    origins.write_text("http://example.com\n")
    with Workers("--origin-file", str(origins)) as server, ExitStack() as stack:
        clients = server.fill(stack)
        origins.write_text("http://example.org\n")
        server.process.send_signal(signal.SIGHUP)
        for number in "123":
            server.waitForLog(rf"\[worker {number}, .*SIGHUP: reloaded the origins in ")
        assert server.found(r"\[worker (\d), .*SIGHUP: reloaded") == ["1", "2", "3"]
        for client in clients:
            client.talk("rfc6455")
        for _ in range(10):
            with closing(Client.to(server.port)) as client:
                client.send(buildHead("rfc6455"))
                assert client.takeHead().startswith("HTTP/1.1 403 ")


def test_supervisorKilled() -> None:
    """Workers whose supervisor is gone let their clients go, and give the port up."""
    with Workers("--drain", "5", count=2) as server, ExitStack() as stack:
        clients = server.fill(stack)
        pids = server.pids
        server.process.kill()
        for client in clients:
            assert client.take(4) == b"\x88\x1a\x03\xe9"
            client.send(IDIOMS["rfc6455"].clientClose)
        server.until(lambda: all(map(isGone, pids)), 10)
        with socket.create_server(("127.0.0.1", server.port)):
            pass


def test_hung() -> None:
    """A worker that does not answer keeps no scrape waiting for long, and is shown as down."""
    with Workers() as server:
        pid = server.pids[0]
        os.kill(pid, signal.SIGSTOP)
        try:
            began = monotonic()
            shown = server.metrics()
            assert monotonic() - began < 5
            assert [shown["txhixie_worker_up", each] for each in "123"] == [0, 1, 1]
            status, text = server.get("/health")
            assert (status, json.loads(text)) == (
                200,
                {
                    "status": "degraded",
                    "problems": [],
                    "warnings": ["worker 1 does not serve"],
                },
            )
        finally:
            os.kill(pid, signal.SIGCONT)
        server.until(lambda: json.loads(server.get("/health")[1])["status"] == "ok", 10)


# What cannot start


BROKEN = (
    "import os\n"
    "if {condition}:\n"
    "    raise RuntimeError('no database')\n"
    "from txhixie import Echo as Shop\n"
)


def test_portInUse() -> None:
    """A port in use is one line, and no worker is started."""
    with Server() as server:
        options = ("--port", f"tcp:{server.port}:interface=127.0.0.1", "--workers", "3")
        ((code, lines),) = outputs([[*COMMAND, *options]], environment())
        assert code == 1
        assertPortInUse(server.port, lines)
        assert "worker 1" not in "".join(lines)


def test_cannotStartReally(tmp_path: Path) -> None:
    """If workers cannot start there is one line that says why, and the process ends."""
    (tmp_path / "shop.py").write_text(BROKEN.format(condition="'TXHIXIE_WORKER' in os.environ"))
    options = ("--port", LOOPBACK, "--workers", "3", "--service", "shop.Shop")
    ((code, lines),) = outputs([[*COMMAND, *options]], environment(tmp_path))
    assert code == 1
    wrong = [line for line in lines if "no database" in line]
    assert len(wrong) == 1
    assert wrong[0].endswith(
        "cannot start: UsageError: --service: shop.Shop: RuntimeError: no database"
    )
    assert "Traceback" not in "".join(lines)


def test_wrongApplication(tmp_path: Path) -> None:
    """What is wrong in any process is found before there are workers."""
    (tmp_path / "shop.py").write_text(BROKEN.format(condition="True"))
    options = ("--port", LOOPBACK, "--workers", "3", "--service", "shop.Shop")
    ((_, lines),) = outputs([[*COMMAND, *options]], environment(tmp_path))
    assert lines[-1].endswith("--service: shop.Shop: RuntimeError: no database")


def test_cannotStartLater(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If only the successor cannot start, the others go on; SIGHUP tries again."""
    flag = tmp_path / "broken"
    condition = f"os.path.exists({str(flag)!r})"
    (tmp_path / "shop.py").write_text(BROKEN.format(condition=condition))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Workers("--service", "shop.Shop", count=2) as server:
        flag.touch()
        os.kill(server.pids[0], signal.SIGKILL)
        server.waitForLog("worker 1 cannot start: .*no database; the next attempt is in 0.5 s")
        assert json.loads(server.get("/health")[1])["status"] == "degraded"
        with closing(Client.to(server.port)) as client:
            client.open("rfc6455")
            client.talk("rfc6455")
        flag.unlink()
        server.process.send_signal(signal.SIGHUP)
        server.until(lambda: json.loads(server.get("/health")[1])["status"] == "ok", 20)


# Where they listen, and how they are started


@pytest.mark.parametrize("kind", ["ssl", "tls"])
def test_tls(tmp_path: Path, kind: str) -> None:
    """Workers speak TLS, and read certificates anew."""
    port = makeTLS(kind, tmp_path)
    with Workers("--port", port, count=2) as server:
        number = int(server.found(r"Workers \(TLS\) starting on (\d+)")[0])
        for _ in range(5):
            with closing(connectTLS(number, tmp_path)) as client:
                client.open("hixie-76")
                client.talk("hixie-76")
                client.talk("hixie-76", "x" * 100_000)
        makeTLS(kind, tmp_path)
        server.process.send_signal(signal.SIGHUP)
        server.waitForLog(r"\[worker 2, .*SIGHUP: reloaded the certificates")
        with closing(connectTLS(number, tmp_path)) as client:
            client.open("rfc6455")


def test_unixSocket(tmp_path: Path) -> None:
    """They share a Unix socket, whose file is there until the end and not longer."""
    path = tmp_path / "hixie.sock"
    with Workers("--port", f"unix:{path}:mode=600", count=2) as server:
        assert path.stat().st_mode & 0o777 == 0o600
        os.kill(server.pids[0], signal.SIGKILL)
        server.until(lambda: len(server.found("worker 1 serves")) == 2, 10)
        for _ in range(10):
            with closing(Client.to(path)) as client:
                client.open("rfc6455")
                client.talk("rfc6455")
        assert server.stop() == -signal.SIGTERM
    assert not path.exists()


def test_everyAddress() -> None:
    """A number is a port of IPv4 and IPv6, and IPv4 clients are shown as such."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("there is no IPv6 here: sysctl net.ipv6.conf.all.disable_ipv6=0")
    with Other([*COMMAND, "--port", "0", "--workers", "2", "--log-connections"]) as server:
        for host, shown in (("127.0.0.1", r"127\.0\.0\.1"), ("::1", r"\[::1\]")):
            with closing(Client.to(server.port, host)) as client:
                client.open("rfc6455")
                client.talk("rfc6455")
                server.waitForLog(rf"opened: rfc6455 /echo from {shown}:\d+$")


def test_haproxy() -> None:
    """Behind the PROXY protocol workers see the client, not the proxy."""
    with Workers("--port", f"haproxy:{LOOPBACK}", "--log-connections", count=2) as server:
        port = int(server.found(r"Workers \(PROXY\) starting on (\d+)")[0])
        client = Client.to(port)
        client.send(b"PROXY TCP4 192.0.2.7 192.0.2.99 56007 3400\r\n")
        client.open("hixie-76")
        client.talk("hixie-76")
        server.waitForLog(r"opened: hixie-76 /echo from 192\.0\.2\.7:56007$")
        client.close()


@pytest.mark.parametrize("reactor", ["asyncio", "poll"])
def test_reactor(reactor: str) -> None:
    """Workers have the reactor that their supervisor has."""
    command = [*TWISTD, "-n", "--pidfile=", "--reactor", reactor, "hixie"]
    options = ["--port", LOOPBACK, "--workers", "2"]
    with Other([*command, *options]) as server, closing(Client.to(server.port)) as client:
        client.open("hybi-08")
        client.talk("hybi-08")


def test_daemon(tmp_path: Path) -> None:
    """A daemon's workers log to its file, and end with it."""
    options = ("--port", LOOPBACK, "--workers", "2")
    with Daemon(tmp_path, *options) as daemon:
        deadline = monotonic() + 20
        while "worker 2 serves" not in daemon.log or "worker 1 serves" not in daemon.log:
            assert monotonic() < deadline
            Event().wait(0.02)
        with closing(Client.to(daemon.port)) as client:
            client.open("rfc6455")
            client.talk("rfc6455")
        daemon.send(signal.SIGTERM)
        daemon.wait()
        assert "Traceback" not in daemon.log


def test_jsonLog() -> None:
    """Logs of workers are in the format that was asked for, and name the worker."""
    command = [*TWIST, "--log-format=json", "hixie", "--port", LOOPBACK, "--workers", "2"]
    with Other(command) as server:
        server.waitForLog('"worker": "2"')
        server.waitForLog('"worker": "1"')
        for line in server.lines:
            event = json.loads(line.lstrip("\x1e"))
            assert "log_namespace" in event


def test_notEnding() -> None:
    """A worker that does not end is killed after the time of its clients."""
    with Workers("--drain", "0.5", count=2) as server:
        pids = server.pids
        os.kill(pids[0], signal.SIGSTOP)
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(12)
        assert "worker 1 does not end, and is killed" in server.log
        assert all(map(isGone, pids))
