"""Metrics as data, and those of a factory, read by prometheus_client's own parser."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse
from twisted.internet.task import Clock

from tests.loopback import LoopbackCase
from tests.support import IDIOMS
from txhixie.admin.exposition import MetricsCollector, exposition
from txhixie.admin.lag import ReactorLag
from txhixie.admin.report import Totals, sumStatistics
from txhixie.metrics import Histogram, Metric, Sample, counter, fromJSON, gauge, toJSON
from txhixie.websocket.counters import Counters

Values = dict[tuple[str, tuple[str, ...]], float]


def values(metrics: Iterable[Metric]) -> Values:
    """@return: what Prometheus makes of metrics: values by name and values of the labels."""
    text, _ = exposition(metrics, "")
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in parse(text.decode())
        for sample in family.samples
    }


# The data


def test_kinds() -> None:
    """Gauges keep their name, and counters show that they are."""
    metrics = [
        gauge("open", "Doors.", {"front": 1, "back": 0}, "door"),
        counter("visits", "People.", 7),
    ]
    assert values(metrics) == {
        ("open", ("front",)): 1,
        ("open", ("back",)): 0,
        ("visits_total", ()): 7,
    }


def test_escaped() -> None:
    """A label may have any text."""
    text = 'a "b"\\c\nd ü'
    assert values([gauge("x", "y", {text: 1}, "z")]) == {("x", (text,)): 1}


def test_histogram() -> None:
    """A value counts in the bucket of its bound and in all above."""
    histogram = Histogram("took_seconds", "How long it took.", (0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7):
        histogram.observe(value)
    assert values([histogram.metric()]) == {
        ("took_seconds_bucket", ("0.1",)): 2,
        ("took_seconds_bucket", ("1.0",)): 3,
        ("took_seconds_bucket", ("+Inf",)): 4,
        ("took_seconds_count", ()): 4,
        ("took_seconds_sum", ()): 7.65,
    }


def test_json() -> None:
    """Metrics pass through JSON unharmed, what is infinite included."""
    histogram = Histogram("took_seconds", "How long it took.")
    metrics = [gauge("limit", "None.", float("inf")), histogram.metric()]
    assert fromJSON(json.loads(json.dumps(toJSON(metrics)))) == metrics


def test_openMetrics() -> None:
    """Prometheus is answered in the format that it asks for."""
    text, contentType = exposition([counter("x", "y", 1)], "application/openmetrics-text")
    assert contentType.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")


# Several processes


def test_totals() -> None:
    """Counters and histograms are added up, and gauges are kept apart."""
    totals = Totals("worker")
    for name, number in (("1", 1.0), ("2", 10.0)):
        histogram = Histogram("took_seconds", "How long it took.", (1.0,))
        histogram.observe(number)
        visits = counter("visits", "People.", {"a": number, name: 1}, "who")
        totals.update(name, [visits, gauge("open", "Doors.", number), histogram.metric()])
    assert values(totals.metrics()) == {
        ("visits_total", ("a",)): 11,
        ("visits_total", ("1",)): 1,
        ("visits_total", ("2",)): 1,
        ("open", ("1",)): 1,
        ("open", ("2",)): 10,
        ("took_seconds_bucket", ("1.0",)): 1,
        ("took_seconds_bucket", ("+Inf",)): 2,
        ("took_seconds_count", ()): 2,
        ("took_seconds_sum", ()): 11,
    }


def test_totalsOfTheGone() -> None:
    """A total never falls when a process is gone, or begins anew; its gauges go with it."""
    totals = Totals("worker")
    for count in (5, 7):
        totals.update("1", [counter("visits", "People.", count), gauge("open", "Doors.", 1)])
    assert values(totals.metrics()) == {("visits_total", ()): 7, ("open", ("1",)): 1}
    totals.remove("1")
    assert values(totals.metrics()) == {("visits_total", ()): 7}
    totals.remove("1")
    totals.update("1", [counter("visits", "People.", 2)])
    assert values(totals.metrics()) == {("visits_total", ()): 9}


def test_sumStatistics() -> None:
    """Statistics are added up name by name; the time is that of the oldest."""
    first = {"uptime": 5.0, "events": {"a": 1, "b": 2}}
    second = {"uptime": 3.0, "events": {"b": 1, "c": 1}}
    assert sumStatistics([first, second]) == {"uptime": 5.0, "events": {"a": 1, "b": 3, "c": 1}}
    assert sumStatistics([]) == {}


# The reactor


def test_lag() -> None:
    """What is measured is how late the reactor is; clocks that are set back do no harm."""
    clock = Clock()
    lag = ReactorLag(clock)
    lag.startService()
    clock.advance(0.25)
    clock.advance(0.25 + 0.3)
    clock.rightNow -= 10
    clock.callLater(0, lambda: None)
    clock.advance(10.2)
    measured = values(lag.metrics())
    assert measured["txhixie_reactor_lag_seconds_count", ()] == 2
    assert measured["txhixie_reactor_lag_seconds_bucket", ("0.001",)] == 1
    assert measured["txhixie_reactor_lag_seconds_bucket", ("0.25",)] == 1
    assert measured["txhixie_reactor_lag_seconds_bucket", ("0.5",)] == 2
    lag.stopService()
    assert clock.getDelayedCalls() == []


# A factory


class FactoryMetricsTests(LoopbackCase):
    """What is shown of a server after something happened that is known."""

    def values(self) -> Values:
        """@return: what Prometheus reads now."""
        return values(self.factory.metrics())

    def test_load(self) -> None:
        """Messages and bytes are counted exactly, by dialect, also of connections that ended."""
        sent: dict[str, int] = {}
        for number, dialect in enumerate(IDIOMS, 1):
            idiom = IDIOMS[dialect]
            wires = [self.open(dialect) for _ in range(number)]
            data = idiom.clientText("grüße")
            for wire in wires:
                for _ in range(3):
                    wire.send(data)
            sent[dialect] = 3 * number * len(data) + number * len(idiom.preamble)
            wires[0].lose()
        shown = self.values()
        for number, dialect in enumerate(IDIOMS, 1):
            label = (dialect,)
            assert shown["txhixie_connections", label] == number - 1
            assert shown["txhixie_handshakes_total", label] == number
            assert shown["txhixie_messages_received_total", label] == 3 * number
            assert shown["txhixie_messages_sent_total", label] == 3 * number
            assert shown["txhixie_bytes_received_total", label] == sent[dialect]
        statistics = self.factory.statistics()
        total = sum(
            value for (name, _), value in shown.items() if name == "txhixie_bytes_sent_total"
        )
        assert total == statistics["bytes"]["sent"] > 0
        assert shown["txhixie_accepted_connections", ()] == 10

    def test_closed(self) -> None:
        """Open connections that end are counted by their close code."""
        self.open("rfc6455").send(IDIOMS["rfc6455"].clientClose)
        self.open("hybi-08").send(IDIOMS["hybi-08"].breach)
        # Hixie-75 has no closing handshake.
        self.open("hixie-75").lose()
        self.open("rfc6455").lose()
        # Neither of these was ever open.
        self.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").lose()
        self.connect(b"GET /\r\n").lose()
        self.pass_(40)
        shown = self.values()
        closed = {label: value for (name, label), value in shown.items() if "_closed_" in name}
        assert closed == dict.fromkeys([("1000",), ("1002",), ("1005",), ("1006",)], 1)

    def test_refused(self) -> None:
        """Refusals are counted by status, faults by close code, and other events by name."""
        self.connect(b"GET /\r\n")
        self.connect(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 101)
        self.open().send(b"\x80" * 9)
        self.connect(b"\x16")
        shown = self.values()
        assert shown["txhixie_refused_total", ("400",)] == 1
        assert shown["txhixie_refused_total", ("431",)] == 1
        assert shown["txhixie_failed_total", ("1002",)] == 1
        assert shown["txhixie_events_total", ("not HTTP",)] == 1
        assert shown["txhixie_events_total", ("slow closed",)] == 0

    def test_backlog(self) -> None:
        """What waits for clients that do not read is shown, and what is dropped counted."""
        self.serve(sendLimit=100, slowPolicy="drop", pingInterval=0)
        wire = self.open()
        assert self.values()["txhixie_backlog_bytes", ()] == 0
        wire.fill()
        for _ in range(3):
            wire.webSocket.sendTextMessage("x" * 150)
            self.clock.advance(0)
        shown = self.values()
        assert shown["txhixie_backlog_bytes", ()] == shown["txhixie_held_bytes", ()] == 304
        assert shown["txhixie_dropped_total", ()] == 1
        wire.lose()
        assert self.values()["txhixie_backlog_bytes", ()] == 0

    def test_limits(self) -> None:
        """Limits stand beside what they limit."""
        self.serve(maxConnections=7, memoryLimit=0)
        shown = self.values()
        assert shown["txhixie_connections_limit", ()] == 7
        assert shown["txhixie_held_limit_bytes", ()] == float("inf")

    def test_registry(self) -> None:
        """A program that has a registry of its own shows a factory there."""
        registry = CollectorRegistry()
        registry.register(MetricsCollector(self.factory.metrics))
        self.open("hybi-07")
        assert b'txhixie_connections{dialect="hybi-07"} 1.0' in generate_latest(registry)


@pytest.mark.parametrize("codes", [range(3000, 3100), [1000, *range(4000, 4100)]])
def test_codesOfPeers(codes: Iterable[int]) -> None:
    """Peers can not make as many counters as there are codes."""
    counters = Counters()
    for _ in range(2):
        for code in codes:
            counters.countClosed(code)
    counters.countClosed(1001)
    closed = counters.closed()
    assert closed["1001"] == 1
    assert closed["other"] == 100
    assert len([name for name in closed if int(name if name != "other" else 0) >= 3000]) == 50


def test_sample() -> None:
    """A part that counts in its own way states its samples itself."""
    metric = Metric("x_seconds", "summary", "y", [Sample("_sum", {}, 2.5), Sample("_count", {}, 2)])
    assert values([metric]) == {("x_seconds_sum", ()): 2.5, ("x_seconds_count", ()): 2}
