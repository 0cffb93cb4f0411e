"""
Ports on sockets that listen already, whatever they are described as.
"""

from __future__ import annotations

import os
import re
import socket
from typing import Any, cast

from twisted.internet.interfaces import IListeningPort, IProtocolFactory

# What describes a socket that the process was started with.
_INHERITED = re.compile(r"^(haproxy:)?systemd:.*")


def adoptable(description: str) -> str:
    """
    Return a description of an endpoint that L{Adopting} can listen on: one that names no
    descriptor.
    """
    return _INHERITED.sub(r"\1tcp:0", description)


class Adopting:
    """
    Stands in for the reactor when an endpoint listens, and gives it a socket that listens already
    instead of a new one. So a description means here what it means in the process that made the
    socket: TLS, HAProxy's PROXY protocol and everything else around a port.
    """

    def __init__(self, reactor: Any, descriptor: int) -> None:
        """
        @param reactor: does the rest.
        @param descriptor: of the socket; it is closed when a port has it.
        """
        self._reactor = reactor
        self._descriptor = descriptor

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            # It does not provide the reactor's interfaces.
            raise AttributeError(name)
        return getattr(self._reactor, name)

    def listenTCP(self, port: object, factory: IProtocolFactory, *rest: Any, **more: Any) -> Any:
        """
        Listen on the socket.
        """
        return self._adopt(factory)

    def listenUNIX(self, path: object, factory: IProtocolFactory, *rest: Any, **more: Any) -> Any:
        """
        Listen on the socket. Its file is left to the process that made it.
        """
        return self._adopt(factory)

    def listenSSL(
        self, port: object, factory: IProtocolFactory, contextFactory: Any, *rest: Any, **more: Any
    ) -> Any:
        """
        Listen on the socket with TLS.
        """
        from twisted.protocols.tls import TLSMemoryBIOFactory

        return self._adopt(TLSMemoryBIOFactory(contextFactory, False, factory))

    def _adopt(self, factory: Any) -> IListeningPort:
        descriptor, family = self._descriptor, familyOf(self._descriptor)
        port: Any
        if family == getattr(socket, "AF_UNIX", None):
            from txhixie.server.unixport import SharedUnixPort

            port = SharedUnixPort._fromListeningDescriptor(self._reactor, descriptor, factory)
            port.startListening()
        else:
            port = self._reactor.adoptStreamPort(descriptor, family, factory)
        # The port has a descriptor of its own.
        os.close(descriptor)
        return cast(IListeningPort, port)


def keepOpen(port: Any) -> None:
    """
    Have a port close only its own descriptor when it stops, so that other processes can go on to
    accept from the same socket.
    """
    port._shouldShutdown = False


def familyOf(descriptor: int) -> int:
    """
    Return the address family of a socket that listens.

    @raise OSError: if it is none.
    """
    with socket.socket(fileno=os.dup(descriptor)) as listening:
        if not listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError(f"descriptor {descriptor} is not a socket that listens")
        return listening.family
