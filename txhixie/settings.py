"""
Limits and policies: what every part of a server goes by.
"""

from __future__ import annotations

from dataclasses import dataclass

SLOW_POLICIES = ("close", "drop", "latest")


@dataclass(frozen=True, slots=True)
class Settings:
    """
    What a server allows, and how long it waits.

    @ivar origins: the origins that may connect, exact or with C{*} for any run of characters
        other than a slash; empty: every origin.
    @ivar allowMissingOrigin: whether a Hixie-76 client may leave out its C{Origin}.
    @ivar dialects: the names of the dialects that are spoken, or C{None} for all there are.
    @ivar location: scheme, host and port that clients know this server by, as
        C{"wss://chat.example.com"}, for proxies that end TLS or rewrite C{Host}; C{None}: taken
        from the transport and the C{Host} field.
    @ivar trustedProxies: the networks of proxies whose C{X-Forwarded-For}, C{-Proto} and C{-Host}
        are believed, as C{"10.0.0.0/8"} or a single address; C{"unix"} for Unix sockets.
    @ivar subprotocols: the subprotocols that applications speak.
    @ivar strict: close on what the drafts let a server discard or mend: frames other than text,
        and ill-formed UTF-8.
    @ivar maxMessage: bytes of payload in a message or discarded frame; one of exactly this size
        passes.
    @ivar maxHead: bytes of a request head.
    @ivar maxFields: header fields of a request head.
    @ivar maxBody: bytes of the body of a plain HTTP request, unless a site of its own answers them.
    @ivar maxFragments: frames that a message may come in.
    @ivar compression: whether permessage-deflate is agreed to where a client offers it.
    @ivar sendLimit: bytes of backlog, from which on a peer counts as slow: of what was sent to it
        and has not gone to the system. A single message may be larger.
    @ivar slowPolicy: what a slow peer gets of further messages: C{"close"}, its connection is
        closed and the backlog given up; C{"drop"}, none of them; C{"latest"}, the newest only.
    @ivar maxConnections: connections whose request head is complete, plain HTTP included.
    @ivar maxPerAddress: connections of one client address; 0: any number.
    @ivar maxHandshakes: connections whose request head is not complete, or was refused for their
        number; one more ends the oldest.
    @ivar acceptRate: connections accepted per second, the others wait; 0: any number.
    @ivar pingInterval: seconds between keepalive pings, in dialects that have them; 0: none.
    @ivar pingTimeout: seconds that a pinged peer has to send anything at all.
    @ivar heartbeat: a text sent to clients whose dialect has no pings in place of them, or C{None}.
    @ivar idleTimeout: seconds without a message either way until a connection is closed, at the
        latest after twice as long; 0: it never is.
    @ivar handshakeTimeout: seconds from the connection to the end of the opening handshake.
    @ivar closeTimeout: seconds the peer has to answer a closing handshake, and then to end TCP.
    @ivar lingerTimeout: seconds a closed peer may take to read what was sent before the close.
    @ivar drainTimeout: seconds that all peers have to close when the server stops.
    @ivar logRate: events of a kind that are logged per second, of those that peers can cause; 0:
        any number. How many more there were is logged then.
    @ivar logConnections: whether every connection that opens or closes is logged, at info level.
    @ivar logMessages: whether every message is logged, at info level.
    """

    origins: tuple[str, ...] = ()
    allowMissingOrigin: bool = False
    dialects: tuple[str, ...] | None = None
    location: str | None = None
    trustedProxies: tuple[str, ...] = ()
    subprotocols: tuple[str, ...] = ()
    strict: bool = False
    maxMessage: int = 1024 * 1024
    maxHead: int = 16 * 1024
    maxFields: int = 100
    maxBody: int = 1024 * 1024
    maxFragments: int = 128 * 1024
    compression: bool = False
    sendLimit: int = 1024 * 1024
    slowPolicy: str = "close"
    maxConnections: int = 20_000
    maxPerAddress: int = 0
    maxHandshakes: int = 1000
    acceptRate: int = 0
    pingInterval: float = 30.0
    pingTimeout: float = 30.0
    heartbeat: str | None = None
    idleTimeout: float = 0.0
    handshakeTimeout: float = 10.0
    closeTimeout: float = 2.0
    lingerTimeout: float = 30.0
    drainTimeout: float = 10.0
    logRate: int = 10
    logConnections: bool = False
    logMessages: bool = False
