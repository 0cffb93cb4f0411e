"""
Looks below the wrappers of Twisted's transports, such as TLS.
"""

from __future__ import annotations

from socket import socket
from typing import Any, cast

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import ISSLTransport, ISystemHandle
from twisted.protocols.policies import ProtocolWrapper


def bareTransport(transport: Any) -> Any:
    """
    Return the transport below all wrappers, such as those for TLS or the PROXY protocol.
    """
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport


def ownSocket(transport: Any) -> socket | None:
    """
    Return the socket of a transport if nothing between us and it needs to see what is sent.
    """
    if (
        isinstance(transport, FileDescriptor)
        and ISystemHandle.providedBy(transport)
        and not ISSLTransport.providedBy(transport)
    ):
        return cast(socket, transport.getHandle())
    return None
