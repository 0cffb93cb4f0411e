"""
The tables of dialects, and which of them a request speaks.
"""

from __future__ import annotations

from txhixie.dialects.head import HandshakeError, RequestHead
from txhixie.dialects.hixie_opening import (
    ClientOpening75,
    ClientOpening76,
    Opening75,
    Opening76,
)
from txhixie.dialects.opening import ClientOpening, ServerOpening
from txhixie.dialects.rfc6455_opening import (
    ClientOpening07,
    ClientOpening08,
    ClientOpening13,
    Opening07,
    Opening08,
    Opening13,
)

# Dialects are asked in this order whether they recognize a request: a version number wins over the
# keys of Hixie-76, and the keys win over Hixie-75, which has no fields that mark it. Add a new
# dialect here.
DIALECTS: tuple[type[ServerOpening], ...] = (Opening07, Opening08, Opening13, Opening76, Opening75)

CLIENTS: dict[str, type[ClientOpening]] = {
    opening.dialect: opening
    for opening in (
        ClientOpening75,
        ClientOpening76,
        ClientOpening07,
        ClientOpening08,
        ClientOpening13,
    )
}


def forClient(name: str) -> type[ClientOpening]:
    """
    Return the client's half of a dialect's opening handshake.

    @raise ValueError: if there is no dialect of that name.
    """
    try:
        return CLIENTS[name]
    except KeyError:
        raise ValueError(f"{name!r} is none of {', '.join(CLIENTS)}") from None


def choose(head: RequestHead, enabled: tuple[str, ...] | None = None) -> type[ServerOpening] | None:
    """
    Choose the dialect of a request by its header fields alone.

    @param enabled: the names of the dialects to speak; C{None} for all.
    @return: the dialect's opening handshake, or C{None} for plain HTTP.
    @raise HandshakeError: if it asks for a WebSocket in a way that is not served.
    """
    if not head.isHandshake:
        return None
    head.checkUpgrade()
    for dialect in DIALECTS:
        if dialect.recognizes(head):
            dialect.checkUpgrade(head)
            if enabled is not None and dialect.dialect not in enabled:
                raise dialect.switchedOff(enabled)
            return dialect
    raise HandshakeError(400, "this dialect of the WebSocket protocol is not spoken here")
