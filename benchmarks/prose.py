"""
The text of the report.
"""

from __future__ import annotations

from benchmarks import promises

INTRODUCTION = """\
The server has one core to itself, the load generator another. The servers of a load are measured
in turn, round after round; figures are medians of the rounds, with the lowest and the highest.
Messages are counted per CPU second of the server, which is steadier than wall time.

An echo sends each message back to its sender. At depth 4 each client has four messages on their
way; at depth 1 it waits for each answer. Small messages at depth 1 show what a read and a write
cost, many at once show what a message costs, and large ones how often their bytes are copied.

A broadcast sends each message of one client to all clients, and each delivery is counted. A
handshake opens a WebSocket and closes it again.

The bare servers do not speak WebSocket. They send the bytes that they received, so they show
how fast Twisted and the kernel are by themselves.

"TLS" is TLS 1.3 with AES-128-GCM. With "deflate" the clients offer permessage-deflate, as browsers
do, and all servers but one compress: "txhixie rfc6455, not compressed" has the same clients without
that offer, so its column shows what compression costs.
"""
RATIOS = """\
How many times as many messages per CPU second as the peer, compared round by round, and in square
brackets per second of wall time. Bold is what txhixie sets out to reach, with the least that does.
"""
MISSED = """\
## What limits it

- A handshake is some hundred cheap calls of functions, of which no part stands out: see the
  profile below.
- The bare server sends on what it receives. An echo of 1 MiB copies each byte four or five times
  more: the reads are joined, unmasked, decoded to text, encoded again and put into a frame.
- The server in C does nothing but call `send`. Calling it from Python, and knowing what a client
  that does not read still has to get, costs about a microsecond for each client.
- How Python compares with Node depends on the processor, and Node's figures vary most from run to
  run.
"""
GROWTH = f"""\
The CPU time of an echo of 16 B at depth 1, and how many times that with the fewest connections,
compared round by round. txhixie's must stay within {promises.GROWTH:g} times.

The bare servers grow as well, and so does Node's: what belongs to thousands of connections does not
fit into the processor's caches, neither here nor in the kernel.
"""
ROOMS = f"""\
Each room is a path with a broadcast for 8 clients, and one of them sends 64 B at depth 1. This is
the CPU time of one delivery, and how many times that with the fewest rooms. It must stay within
{promises.GROWTH:g} times. There are 8 connections for each room, so this includes what more
connections cost.
"""
MEMORY = """\
Resident memory with that many connections, less that without, for each of them: when they are
open, and after one message was echoed on each. With "deflate" the message was compressed.
"""
PROFILE = """\
The part of the time that the functions of each part of the program take themselves, as Python's
profiler sees it. It makes calls look dearer than they are.

A handshake accepts a connection, reads a request, asks the application, answers, closes as the
dialect does and ends TCP. No part of that stands out: it is some hundred cheap calls.
"""
_SENT_LATE = "The last line is how late the generator sent them."
# Title and text by the mode of the load.
LATENCY = {
    "rate": (
        "Latency",
        f"""\
Milliseconds from when a message was due to its echo, by percentile. Messages are due at a fixed
rate, whether or not those before are answered. {_SENT_LATE}
""",
    ),
    "tail": (
        "Latency at half of capacity",
        f"""\
The same, at half of the messages per second that each server can handle with this number of
connections, which is measured first. The servers therefore have different rates. {_SENT_LATE}
""",
    ),
    "storm": (
        "Latency while others reconnect",
        f"""\
Milliseconds to an echo for a few clients while thousands of others connect, as after a restart:
as fast as the server takes them, and never more than 1,000 that wait for an answer. {_SENT_LATE}
""",
    ),
}
FIGURES = """\
Per CPU second of the server, and in square brackets per second of wall time.
"""
GENERATOR = """\
What the load generator drives a bare TCP server in C to, how much it can do itself in a second
without waits, what the fastest WebSocket server makes of it, and the part of the time that the
generator did not wait for that one. It never sleeps while it waits, so waking it costs nobody.
"""
