"""
Logs where the console is.
"""

from __future__ import annotations

from typing import Any, TypeVar

from twisted.application.service import IServiceCollection, Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

_P = TypeVar("_P", bound=IListeningPort)

# Addresses that stand for all addresses of a system.
_EVERYWHERE = ("", "0.0.0.0", "::")


class Announcing(Service):
    """
    Logs the address of the console on each port of its parent, once the port listens.
    """

    _log = Logger()

    def startService(self) -> None:
        """
        Wait for the ports.
        """
        super().startService()
        for each in IServiceCollection(self.parent):
            # Twisted's services have no public access to their ports.
            listening: Deferred[IListeningPort] | None = getattr(each, "_waitingForPort", None)
            if listening is not None:
                listening.addCallback(self._announce)

    def _announce(self, port: _P) -> _P:
        address: Any = port.getHost()
        host = getattr(address, "host", None)
        if host is not None:
            scheme = "https" if getattr(port, "_type", "") == "TLS" else "http"
            if host in _EVERYWHERE:
                host = "localhost"
            elif ":" in host:
                host = f"[{host}]"
            self._log.info(
                "the console is at {url}", url=f"{scheme}://{host}:{address.port}/console"
            )
        return port
