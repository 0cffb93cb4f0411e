"""
The results that txhixie has to reach.
"""

from __future__ import annotations

_BROADCAST: dict[str, float] = {"ws": 1, "websockets": 1.25, "bare-c": 0.75}
_MANY_BROADCASTS: dict[str, float] = {"autobahn": 8, "ws": 3}
_ECHO_64K = {"picows": 0.75, "websockets": 1.3}
_ECHO_1M = {"bare": 0.7, "websockets": 1, "picows": 0.5}
_TLS: dict[str, float] = {"autobahn": 1, "twisted.web": 1}

# How many times a peer's messages per CPU second, at least: by load, ours, peer.
RATIOS: dict[tuple[str, str], dict[str, float]] = {
    ("echo-64", "txhixie-76"): {"bare": 1.3, "autobahn": 4.1, "twisted.web": 3.5, "ws": 0.9},
    ("echo-64", "txhixie-13"): {
        "bare": 1,
        "autobahn": 3.2,
        "twisted.web": 2.8,
        "websockets": 1.6,
        "ws": 0.75,
    },
    ("pipeline", "txhixie-76"): {"autobahn": 30, "ws": 8, "picows": 5},
    ("pipeline", "txhixie-13"): {"autobahn": 12, "websockets": 8, "ws": 4, "picows": 2.5},
    ("echo-1k", "txhixie-13"): {"picows": 1, "ws": 1.7, "websockets": 3},
    ("deflate", "txhixie-13"): {"autobahn": 10, "ws": 5, "plain-13": 0.8},
    **{("handshakes", f"txhixie-{x}"): {"autobahn": 3} for x in ("75", "76")},
    **{("handshakes", f"txhixie-{x}"): {"autobahn": 2.5} for x in ("07", "08", "13")},
    **{
        (load, f"txhixie-{x}"): least
        for load, least in {
            "echo-64k": _ECHO_64K,
            "echo-1m": _ECHO_1M,
            "broadcast": _BROADCAST,
            "broadcast-16": _MANY_BROADCASTS,
            "tls-echo": _TLS,
            "tls-echo-64k": _TLS,
            "tls-broadcast": _TLS,
        }.items()
        for x in ("76", "13")
    },
}
# KiB of an idle connection, at most, by load and server: before the first message ...
FRESH_MEMORY = {
    ("memory", "txhixie-75"): 2.8,
    ("memory", "txhixie-76"): 2.8,
    ("memory", "txhixie-13"): 4,
}
# ... and after one.
USED_MEMORY = {("memory-deflate", "txhixie-13"): 16}
# The cost of a message with more connections or rooms, at most, relative to that with the fewest.
GROWTH = 1.2
# Milliseconds of the 99th percentile of latency, at most, by load.
LATENCY = {"storm": 50}
