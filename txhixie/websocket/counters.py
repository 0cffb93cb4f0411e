"""
The events that are counted. Each has one name wherever it shows: statistics, console, metrics.
"""

from __future__ import annotations

EVENTS: dict[str, str] = {
    "refused": "requests that were refused, by HTTP status",
    "handshakes timed out": "connections that did not complete their handshake in time",
    "handshakes evicted": "connections ended for a newer one before their handshake was complete",
    "idle evicted": "idle connections of plain HTTP that were closed to make room for another",
    "not HTTP": "connections that began with something other than HTTP",
    "failed": "connections closed because the peer broke the protocol or a limit, by close code",
    "slow closed": "connections closed because the peer did not read",
    "messages dropped": "messages that were not sent to slow peers",
    "memory relieved": "connections closed because all together held too much memory",
    "pings unanswered": "connections ended because a ping or heartbeat was not answered",
    "idle closed": "connections closed because no message was sent or received",
    "closing timed out": "connections whose peer did not do its part in closing",
    "connections cut off": "connections that the stopping server ended before they were closed",
    "bytes not carried": "bytes messages of a back end for clients whose dialect carries only text",
    "application errors": "exceptions that applications raised",
    "accepting paused": "times that accepting stopped because of too many connections, or too fast",
    "log events suppressed": "log events that were left out because too many were like them",
}


# Close codes from here on are for applications to choose, so peers choose them, too. That many
# different ones are counted each, the rest together.
_FOR_APPLICATIONS, _MOST_CODES = 3000, 50


class Counters:
    """
    Counts how often each of L{EVENTS} happened, and how connections ended.
    """

    def __init__(self) -> None:
        self._counts = dict.fromkeys(EVENTS, 0)
        self._numbers: dict[str, dict[int, int]] = {}
        self._closed: dict[str, int] = {}

    def count(self, event: str, number: int | None = None) -> None:
        """
        Count an event.

        @param event: one of L{EVENTS}.
        @param number: the HTTP status or close code, in events that have one. It is counted under
            C{"EVENT NUMBER"}, too.
        """
        self._counts[event] += 1
        if number is not None:
            numbers = self._numbers.setdefault(event, {})
            numbers[int(number)] = numbers.get(int(number), 0) + 1

    def counts(self) -> dict[str, int]:
        """
        Return how often each event happened.
        """
        numbered = {
            f"{event} {number}": count
            for event, numbers in self._numbers.items()
            for number, count in numbers.items()
        }
        return {**self._counts, **numbered}

    def numbers(self, event: str) -> dict[str, int]:
        """
        Return how often an event happened with each number.
        """
        return {str(number): count for number, count in self._numbers.get(event, {}).items()}

    def countClosed(self, code: int) -> None:
        """
        Count an open connection that ended.
        """
        name = str(int(code))
        if code >= _FOR_APPLICATIONS and name not in self._closed:
            known = [each for each in self._closed if each >= str(_FOR_APPLICATIONS)]
            if len(known) >= _MOST_CODES:
                name = "other"
        self._closed[name] = self._closed.get(name, 0) + 1

    def closed(self) -> dict[str, int]:
        """
        Return how many connections ended with each close code; those of codes that came when
        there were too many different ones already are under C{"other"}.
        """
        return dict(self._closed)
