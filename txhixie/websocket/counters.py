"""
The events that are counted, each by one name wherever it shows: statistics, console, metrics.
"""

from __future__ import annotations

# What happens with a number, an HTTP status or a close code, is counted under "NAME NUMBER", too.
EVENTS: dict[str, str] = {
    "refused": "requests that were refused, by HTTP status",
    "handshakes timed out": "connections that did not complete their handshake in time",
    "handshakes evicted": "connections ended for a newer one, before their handshake was complete",
    "not HTTP": "connections that began with something other than HTTP",
    "failed": "connections closed because the peer broke the protocol or a limit, by close code",
    "slow closed": "connections closed because the peer did not read",
    "messages dropped": "messages that slow peers were not sent",
    "pings unanswered": "connections ended because a ping or heartbeat was not answered",
    "idle closed": "connections closed because nothing was said",
    "closing timed out": "connections whose peer did not do its part in closing",
    "connections cut off": "connections ended by the server before their peers were done, to stop",
    "application errors": "exceptions that applications raised",
    "accepting paused": "times that no more connections were accepted, for their number or rate",
    "log events suppressed": "log events that were left out, because there were too many like them",
}
