"""
What a factory counts, as metrics. All of it is read when somebody asks, so a message costs nothing.
"""

from __future__ import annotations

from txhixie.metrics import Metric, counter, gauge
from txhixie.server.roster import Roster
from txhixie.websocket.counters import EVENTS
from txhixie.websocket.shared import Shared

# These have metrics of their own.
_OWN = ("refused", "failed", "messages dropped")


def factoryMetrics(roster: Roster, shared: Shared) -> list[Metric]:
    """
    Return the metrics of a factory.
    """
    return [*_connectionMetrics(roster, shared), *_trafficMetrics(roster), *_eventMetrics(shared)]


def _connectionMetrics(roster: Roster, shared: Shared) -> list[Metric]:
    settings, budget = shared.settings, shared.budget
    return [
        gauge("txhixie_connections", "Open WebSockets.", roster.dialects, "dialect"),
        gauge(
            "txhixie_accepted_connections",
            "Connections of all kinds: WebSockets, plain HTTP, handshakes in progress.",
            len(roster),
        ),
        gauge(
            "txhixie_connections_limit",
            "Connections that there may be: --max-connections.",
            settings.maxConnections,
        ),
        gauge("txhixie_backlog_bytes", "Bytes sent that wait to be written.", roster.backlog),
        gauge(
            "txhixie_held_bytes",
            "Bytes of unfinished messages and bodies and of backlogs, as --memory-limit counts.",
            budget.held,
        ),
        gauge("txhixie_held_limit_bytes", "Bytes that may be held: --memory-limit.", budget.limit),
    ]


def _trafficMetrics(roster: Roster) -> list[Metric]:
    def counted(name: str, meaning: str, key: str) -> Metric:
        values = {dialect: each[key] for dialect, each in sums.items()}
        return counter(name, meaning, values, "dialect")

    sums = roster.sums()
    return [
        counter("txhixie_handshakes", "WebSockets that were opened.", roster.handshakes, "dialect"),
        counted("txhixie_messages_received", "Messages delivered.", "messagesReceived"),
        counted("txhixie_messages_sent", "Messages sent.", "messagesSent"),
        counted("txhixie_bytes_received", "Bytes received after request heads.", "bytesReceived"),
        counted("txhixie_bytes_sent", "Bytes written to WebSockets.", "bytesSent"),
    ]


def _eventMetrics(shared: Shared) -> list[Metric]:
    counters = shared.counters
    counts = counters.counts()
    others = {event: counts[event] for event in EVENTS if event not in _OWN}
    return [
        counter(
            "txhixie_refused", "Requests that were refused.", counters.numbers("refused"), "status"
        ),
        counter(
            "txhixie_closed", "WebSockets that ended, by close code.", counters.closed(), "code"
        ),
        counter(
            "txhixie_failed",
            "WebSockets closed because the peer broke the protocol or a limit.",
            counters.numbers("failed"),
            "code",
        ),
        counter(
            "txhixie_dropped",
            "Messages that were not sent to slow peers.",
            counts["messages dropped"],
        ),
        counter("txhixie_events", "Other events, as in the statistics.", others, "event"),
    ]
