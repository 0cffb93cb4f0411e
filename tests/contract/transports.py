"""
The transports of clients: TCP, TLS, or a Unix socket.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    SSL4ServerEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
    wrapClientTLS,
)
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)

from .client import BUFFER

TRANSPORTS = ("tcp", "tls", "unix")


@dataclass(frozen=True)
class Pair:
    """
    Where a server listens, and how a client gets there.

    @ivar server: the server's endpoint.
    @ivar client: makes the client's endpoint, once the server listens on a port.
    """

    server: IStreamServerEndpoint
    client: Callable[[IListeningPort], IStreamClientEndpoint]


def makePair(transport: str, folder: Path, reactor: Any, certificate: tuple[Path, Path]) -> Pair:
    """
    @param transport: one of L{TRANSPORTS}.
    @param folder: where the Unix socket is made.
    @param certificate: the files of the server's key and certificate.
    """

    def tcpClient(port: IListeningPort) -> IStreamClientEndpoint:
        client = TCP4ClientEndpoint(reactor, "127.0.0.1", cast(Any, port.getHost()).port)
        return cast(IStreamClientEndpoint, client)

    if transport == "tcp":
        return Pair(TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"), tcpClient)
    if transport == "unix":
        path = str(folder / "socket")
        return Pair(
            cast(IStreamServerEndpoint, UNIXServerEndpoint(reactor, path)),
            lambda _: cast(IStreamClientEndpoint, UNIXClientEndpoint(reactor, path)),
        )
    serverOptions, clientOptions = _tlsOptions(certificate)
    return Pair(
        SSL4ServerEndpoint(reactor, 0, serverOptions, interface="127.0.0.1"),
        lambda port: wrapClientTLS(clientOptions, tcpClient(port)),
    )


@cache
def _tlsOptions(certificate: tuple[Path, Path]) -> tuple[Any, Any]:
    """
    Return the TLS options of servers with this certificate, and of clients that trust it.
    """
    from twisted.internet.ssl import Certificate, PrivateCertificate, optionsForClientTLS

    key, chain = (file.read_bytes() for file in certificate)
    return (
        PrivateCertificate.loadPEM(key + chain).options(),
        optionsForClientTLS("localhost", trustRoot=Certificate.loadPEM(chain)),
    )


def listen(endpoint: IStreamServerEndpoint, factory: IProtocolFactory) -> Deferred[IListeningPort]:
    """
    Listen, with buffers in the kernel as small as those of clients (see L{BUFFER}).
    """

    def shrink(port: Any) -> IListeningPort:
        # Accepted sockets inherit it.
        with socket.socket(fileno=os.dup(port.fileno())) as listening:
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                listening.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        return cast(IListeningPort, port)

    return endpoint.listen(factory).addCallback(shrink)
