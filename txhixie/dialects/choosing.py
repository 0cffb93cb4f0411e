"""
The table of dialects, and which of them a request speaks.
"""

from __future__ import annotations

from txhixie.dialects.connection import Connection
from txhixie.dialects.head import HandshakeError, RequestHead
from txhixie.dialects.hixie import Hixie75, Hixie76
from txhixie.dialects.rfc6455 import Hybi07, Hybi08, Rfc6455

# In the order they are asked whether they recognize a request: a version number wins over the
# keys of Hixie-76, and those over Hixie-75, which has nothing of its own. A dialect plugs in here.
DIALECTS: tuple[type[Connection], ...] = (Hybi07, Hybi08, Rfc6455, Hixie76, Hixie75)

# Oldest first, as people name them.
DIALECT_NAMES: tuple[str, ...] = ("hixie-75", "hixie-76", "hybi-07", "hybi-08", "rfc6455")


def choose(head: RequestHead, enabled: tuple[str, ...] | None = None) -> type[Connection] | None:
    """
    Choose the dialect of a request by its header fields alone.

    @param enabled: the names of the dialects that are spoken; C{None} for all.
    @return: the dialect, or C{None} for plain HTTP.
    @raise HandshakeError: if it asks for a WebSocket that cannot be had.
    """
    if not head.asksForUpgrade:
        return None
    head.checkUpgrade()
    for dialect in DIALECTS:
        if dialect.recognizes(head):
            if enabled is not None and dialect.dialect not in enabled:
                raise dialect.switchedOff(enabled)
            return dialect
    raise HandshakeError(400, "this dialect of the WebSocket protocol is not spoken here")
