"""
Ports that both IPv4 and IPv6 clients reach, and the options of their connections.
"""

from __future__ import annotations

import os
from contextlib import closing
from errno import EADDRNOTAVAIL, EAFNOSUPPORT
from functools import partial
from socket import AF_INET6, create_server, has_dualstack_ipv6, socket
from typing import Any, TypeVar

from twisted.internet import tcp
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, execute
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IReactorSocket,
    IStreamServerEndpoint,
)
from zope.interface import implementer

from txhixie.addresses import unmapped
from txhixie.settings import Settings
from txhixie.websocket.liveness import watchAccepted

_Port = TypeVar("_Port")

# The number of connections that may wait to be accepted. The more can wait, the fewer are refused
# by the system.
_BACKLOG = 1024


@implementer(IStreamServerEndpoint)
class EveryAddressEndpoint:
    """
    A TCP port on all addresses of the system: for IPv6 and IPv4 with one socket, or for IPv4 alone
    if that is not possible.
    """

    def __init__(self, reactor: Any, port: int) -> None:
        """
        @param reactor: the reactor that listens.
        @param port: the number of the port; 0: any free port.
        """
        self._reactor = reactor
        self._port = port

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        Start listening.
        """
        return execute(self._listen, protocolFactory)

    def _listen(self, factory: IProtocolFactory) -> IListeningPort:
        port: IListeningPort
        listening = self._bind() if IReactorSocket.providedBy(self._reactor) else None
        if listening is None:
            port = self._reactor.listenTCP(self._port, factory, backlog=_BACKLOG)
        else:
            with closing(listening):
                listening.setblocking(False)
                # The reactor makes its own descriptor.
                port = self._reactor.adoptStreamPort(listening.fileno(), AF_INET6, factory)
        return port

    def _bind(self) -> socket | None:
        """
        Return a socket that listens, or C{None} if there is no IPv6, or if no IPv6 socket also
        takes IPv4.

        @raise CannotListenError: if the port is not available.
        """
        if not has_dualstack_ipv6():
            return None
        address = ("::", self._port)
        try:
            return create_server(address, family=AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)
        except OSError as error:
            if error.errno in (EADDRNOTAVAIL, EAFNOSUPPORT):
                return None
            # The original message contains the address a second time.
            plain = OSError(error.errno, os.strerror(error.errno or 0))
            raise CannotListenError("", self._port, plain) from error


class _IPv4Server(tcp.Server):
    """
    A connection of an IPv4 client, accepted by a socket of IPv6.
    """

    def getHost(self) -> IPv4Address:
        """
        Return our address as the client knows it.
        """
        host, port, *_ = self.socket.getsockname()
        return IPv4Address("TCP", unmapped(host) or host, port)


class _WatchedServer(tcp.Server):
    """
    A connection whose options were set on the socket that accepted it.
    """

    isWatched = True


class _WatchedIPv4Server(_IPv4Server):
    """
    A connection of an IPv4 client, whose options were set on the socket that accepted it.
    """

    isWatched = True


def _mapped(
    plain: type[tcp.Server],
    ofIPv4: type[tcp.Server],
    accepted: socket,
    protocol: Any,
    client: tuple[Any, ...],
    *rest: Any,
) -> tcp.Server:
    """
    Return the transport of a connection that a socket of IPv6 accepted.

    @param plain: makes it for an IPv6 client, with the arguments of C{tcp.Server}.
    @param ofIPv4: makes it for an IPv4 client.
    """
    host = unmapped(client[0])
    if host is None:
        return plain(accepted, protocol, client, *rest)
    return ofIPv4(accepted, protocol, (host, client[1]), *rest)


def prepare(port: _Port, settings: Settings) -> _Port:
    """
    Let a port that takes IPv4 clients with an IPv6 socket show their addresses as IPv4 addresses.
    If possible, set the options of all its connections on the socket.

    @return: the same port.
    """
    if not isinstance(port, tcp.Port):
        return port
    plain: type[tcp.Server] = tcp.Server
    ofIPv4: type[tcp.Server] = _IPv4Server
    if watchAccepted(port.socket, settings):
        plain, ofIPv4 = _WatchedServer, _WatchedIPv4Server
    if port.addressFamily == AF_INET6:
        port.transport = partial(_mapped, plain, ofIPv4)  # type: ignore[assignment]
    elif plain is _WatchedServer:
        port.transport = plain
    return port
