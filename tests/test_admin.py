"""The admin endpoint: metrics, health and statistics, of a process and over real sockets."""

from __future__ import annotations

import json
import signal
import sys
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPResponse
from importlib.util import find_spec
from pathlib import Path
from time import monotonic

import pytest
from prometheus_client import REGISTRY, Counter
from prometheus_client.parser import text_string_to_metric_families as parse
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Site
from twisted.web.test.requesthelper import DummyRequest

from tests.interop.server import Server
from tests.support import IDIOMS
from tests.test_twistd import TWISTD, Client, Other, assertPortInUse, environment, outputs
from txhixie import HixieFactory
from txhixie.admin.pages import AdminPages
from txhixie.admin.report import Report
from txhixie.admin.reporter import Reporter
from txhixie.metrics import gauge
from txhixie.tap import Options

LOOPBACK = "tcp:0:interface=127.0.0.1"


def parsed(*arguments: str) -> Options:
    """@return: the options of a command line."""
    options = Options()
    options.parseOptions([*arguments])
    return options


class PagesTests(SynchronousTestCase):
    """What the pages make of a report."""

    report = Report(
        metrics=[gauge("txhixie_x", "A thing.", 7)],
        statistics={"uptime": 3},
    )

    def request(
        self, path: bytes, reports: Deferred[Report] | None = None, method: bytes = b"GET"
    ) -> DummyRequest:
        """@return: a request, after what could be answered was."""
        root = AdminPages(lambda: succeed(self.report) if reports is None else reports)
        request = DummyRequest([path])
        request.method = method
        resource = Site(root).getResourceFor(request)
        resource.render(request)
        return request

    def answer(self, path: bytes, reports: Deferred[Report] | None = None) -> tuple[int, bytes]:
        """@return: the status and body of an answer."""
        request = self.request(path, reports)
        assert request.finished == 1
        return request.responseCode or 200, b"".join(request.written)

    def test_metrics(self) -> None:
        """Metrics are text that Prometheus reads."""
        _, body = self.answer(b"metrics")
        (family,) = parse(body.decode())
        assert [sample.value for sample in family.samples] == [7]

    def test_statistics(self) -> None:
        """Statistics are JSON."""
        status, body = self.answer(b"statistics")
        assert (status, json.loads(body)) == (200, {"uptime": 3})

    def test_health(self) -> None:
        """What serves is well or degraded; what does not is unavailable."""
        for problems, warnings, status, word in (
            ([], [], 200, "ok"),
            ([], ["one worker is away"], 200, "degraded"),
            (["stopping"], [], 503, "unavailable"),
            (["stopping"], ["one worker is away"], 503, "unavailable"),
        ):
            report = Report(problems=problems, warnings=warnings)
            code, body = self.answer(b"health", succeed(report))
            expected = {"status": word, "problems": problems, "warnings": warnings}
            assert (code, json.loads(body)) == (status, expected)

    def test_later(self) -> None:
        """A report may take its time."""
        reports: Deferred[Report] = Deferred()
        request = self.request(b"health", reports)
        assert request.written == []
        reports.callback(self.report)
        assert request.finished == 1

    def test_clientIsGone(self) -> None:
        """A client that does not wait for the report does no harm."""
        reports: Deferred[Report] = Deferred()
        request = self.request(b"metrics", reports)
        request.processingFailed(ConnectionError())
        reports.callback(self.report)
        assert not request.finished
        assert not request.written

    def test_failure(self) -> None:
        """A report that cannot be made is an answer, and is logged."""
        status, body = self.answer(b"metrics", fail(ZeroDivisionError()))
        assert status == 500
        assert b"the log says why" in body
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1


class ReporterTests(SynchronousTestCase):
    """What a process reports."""

    def test_parts(self) -> None:
        """A part of the server adds metrics, and may be why nothing is served."""
        from twisted.internet import reactor

        reporter = Reporter(HixieFactory(None), "1.2.3", reactor)
        assert self.successResultOf(reporter.reports()).problems == []
        reporter.metrics.append(lambda: [gauge("txhixie_rooms", "Rooms.", 2)])
        reporter.checks += [lambda: None, lambda: "there is no backplane"]
        report = reporter.report()
        names = [metric.name for metric in report.metrics]
        assert "txhixie_rooms" in names
        assert len(names) == len(set(names))
        assert report.problems == ["there is no backplane"]
        (build,) = [each for each in report.metrics if each.name == "txhixie_build_info"]
        assert build.samples[0].labels["version"] == "1.2.3"

    def test_ownMetrics(self) -> None:
        """What an application counts by prometheus_client is shown, too."""
        visits = Counter("shop_visits", "People.")
        self.addCleanup(REGISTRY.unregister, visits)
        visits.inc(3)
        from twisted.internet import reactor

        report = Reporter(HixieFactory(None), "", reactor).report()
        (metric,) = [each for each in report.metrics if each.name == "shop_visits"]
        assert [(sample.suffix, sample.value) for sample in metric.samples] == [("_total", 3)]

    def test_stopping(self) -> None:
        """A server that stops should get no more clients."""
        from twisted.internet import reactor

        factory = HixieFactory(None)
        reporter = Reporter(factory, "", reactor)
        factory.windDown()
        assert reporter.report().problems == ["the server is stopping"]


# Options


@pytest.mark.parametrize(
    ("where", "endpoint"),
    [
        ("9400", "tcp:9400:interface=127.0.0.1"),
        ("tcp:9400", "tcp:9400"),
        ("unix:/run/admin.sock", "unix:/run/admin.sock"),
    ],
)
def test_endpoint(where: str, endpoint: str) -> None:
    """A number is a port that other machines do not reach."""
    assert parsed("--admin", where)["admin"] == endpoint


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("70000", "--admin: there is no port 70000"),
        ("tcp:70000", "--admin: there is no port 70000"),
        (
            "x",
            "--admin: 'x' is no endpoint: ValueError: Unknown endpoint type: 'x'",
        ),
    ],
)
def test_wrongEndpoint(where: str, line: str) -> None:
    """What is no endpoint is said in one line."""
    with pytest.raises(usage.UsageError) as caught:
        parsed("--admin", where)
    assert str(caught.value) == line


def test_missingLibrary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without prometheus_client the line says how to install it; others need no such thing."""
    monkeypatch.setattr(
        "txhixie.twistd.values.find_spec",
        lambda name: None if name[:4] == "prom" else find_spec(name),
    )
    with pytest.raises(usage.UsageError, match=r"pip install 'txhixie\[metrics\]'"):
        parsed("--admin", "9400")
    assert parsed()["admin"] is None


def test_importedLate() -> None:
    """A server without the option runs where prometheus_client is not installed."""
    code = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from txhixie.tap import Options, makeService\n"
        "options = Options(); options.parseOptions([]); makeService(options)\n"
    )
    assert outputs([[sys.executable, "-c", code]], environment()) == [(0, [])]


# Real sockets


class Administered(Server):
    """
    A server with an admin endpoint.

    @ivar admin: the port of the endpoint.
    """

    def __init__(self, *options: str) -> None:
        super().__init__("--admin", LOOPBACK, *options)
        self.admin = int(self.waitForLog(r"OwnSite starting on (\d+)")[1])

    def get(self, path: str) -> tuple[int, str]:
        """@return: the status and body of an admin page."""
        with closing(HTTPConnection("127.0.0.1", self.admin, timeout=10)) as connection:
            connection.request("GET", path)
            answer: HTTPResponse = connection.getresponse()
            return answer.status, answer.read().decode()

    def metrics(self) -> dict[tuple[str, str], float]:
        """@return: values by name and values of the labels."""
        status, text = self.get("/metrics")
        assert status == 200
        return {
            (sample.name, ",".join(sample.labels.values())): sample.value
            for family in parse(text)
            for sample in family.samples
        }


def test_knownLoad() -> None:
    """What a scrape shows after a known load over real sockets is exact."""
    with Administered() as server, ExitStack() as stack:
        expected = {}
        for number, dialect in enumerate(IDIOMS, 1):
            clients = [stack.enter_context(closing(Client.to(server.port))) for _ in range(number)]
            for client in clients:
                client.open(dialect)
                for each in range(10):
                    client.talk(dialect, str(each))
            clients[0].end(dialect)
            # Its last message asked for the end.
            expected[dialect] = 10 * number + 1
        shown = server.metrics()
        for number, dialect in enumerate(IDIOMS, 1):
            assert shown["txhixie_handshakes_total", dialect] == number
            assert shown["txhixie_messages_received_total", dialect] == expected[dialect]
            assert shown["txhixie_messages_sent_total", dialect] == 10 * number
        assert shown["process_open_fds", ""] > 15
        assert shown["txhixie_reactor_lag_seconds_count", ""] >= 0
        code, text = server.get("/statistics")
        assert (code, json.loads(text)["messages"]["sent"]) == (200, 10 * 15)
        assert server.get("/health")[0] == 200
        assert server.get("/nothing")[0] == 404
    assert '"GET /' not in server.log


def test_lameDuck() -> None:
    """A server that stops is unhealthy from the first moment, and shows how its clients go."""
    with Administered("--lame-duck", "1", "--drain", "5") as server:
        with closing(Client.to(server.port)) as client:
            client.open("hixie-76")
            server.process.send_signal(signal.SIGTERM)
            server.waitForLog("stopping in 1 s")
            status, text = server.get("/health")
            assert (status, json.loads(text)["problems"]) == (503, ["the server is stopping"])
            assert server.metrics()["txhixie_connections", "hixie-76"] == 1
            client.talk("hixie-76")
            client.expect(b"\xff\x00")
            # It drains, and is still to be asked.
            assert server.get("/health")[0] == 503
            client.send(b"\xff\x00")
            client.expectEnd()
        began = monotonic()
        server.process.wait(10)
        assert monotonic() - began < 5


def test_portInUse() -> None:
    """An admin port that is in use is said in one line, and the process ends."""
    with Administered() as server:
        command = [*TWISTD, "-n", "--pidfile=", "hixie", "--port", LOOPBACK]
        ((code, lines),) = outputs([[*command, "--admin", str(server.admin)]], environment())
        assert code == 1
        assertPortInUse(server.admin, lines)


def test_unixSocket(tmp_path: Path) -> None:
    """The endpoint may be a Unix socket."""
    path = tmp_path / "admin.sock"
    command = [*TWISTD, "-n", "--pidfile=", "hixie", "--port", LOOPBACK]
    with Other([*command, "--admin", f"unix:{path}"]), closing(Client.to(path)) as client:
        client.send(b"GET /health HTTP/1.0\r\n\r\n")
        assert client.takeHead().startswith("HTTP/1.0 200 ")
