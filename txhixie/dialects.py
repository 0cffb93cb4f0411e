"""
The table of dialects, and which of them a request speaks.
"""

from __future__ import annotations

from txhixie.connection import Connection
from txhixie.head import HandshakeError, RequestHead
from txhixie.hixie import Hixie75, Hixie76

# In the order they are asked whether they recognize a request. A dialect plugs in here.
DIALECTS: tuple[type[Connection], ...] = (Hixie76, Hixie75)

DIALECT_NAMES: tuple[str, ...] = tuple(dialect.dialect for dialect in DIALECTS)


def choose(head: RequestHead, enabled: tuple[str, ...] | None = None) -> type[Connection] | None:
    """
    Choose the dialect of a request by its header fields alone.

    @param enabled: the names of the dialects that are spoken; L{None} for all.
    @return: the dialect, or L{None} for plain HTTP.
    @raise HandshakeError: if it asks for a WebSocket that cannot be had.
    """
    if not head.asksForUpgrade:
        return None
    head.checkUpgrade()
    for dialect in DIALECTS:
        if dialect.recognizes(head):
            if enabled is not None and dialect.dialect not in enabled:
                raise HandshakeError(400, f"{dialect.dialect} is switched off here")
            return dialect
    raise HandshakeError(400, "this dialect of the WebSocket protocol is not spoken here")
