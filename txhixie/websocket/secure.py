"""
Writes to TLS at once. Twisted's TLS transport collects small writes until the next turn of the
reactor, and then the transport below waits for the reactor again. Together that takes longer than
encrypting a small message.

What we rely on in Twisted that its documentation does not promise:

 - C{TLSMemoryBIOProtocol.write} encrypts at once, and gives the result to the transport below;
   C{BufferingTLSTransport} differs from it only by an attribute C{write} that collects;
 - C{_appSendBuffer} has what could not be encrypted yet;
 - C{dataBuffer} and C{_tempDataBuffer} of the transport below have what is not sent yet.

This module is imported only where TLS is used, as it needs pyOpenSSL.
"""

from __future__ import annotations

from socket import socket
from typing import Any

from OpenSSL.SSL import Error
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOProtocol

from txhixie.websocket.transports import ownSocket

# The most bytes that are encrypted at a time, and how many bytes encryption may add.
_AT_ONCE, _MORE = 2**15, 2**12


class SecureWriter:
    """
    Encrypts, and sends the result at once, unless older data is still waiting.
    """

    __slots__ = ("_below", "_connection", "_socket", "_tls")

    def __init__(self, tls: Any, below: Any, handle: socket) -> None:
        """
        @param tls: the transport of TLS. It must be empty, and nothing else may write to it.
        @param below: the transport that C{tls} writes to.
        @param handle: the socket of C{below}.
        """
        self._tls = tls
        self._below = below
        self._socket = handle
        self._connection = tls.getHandle()

    def write(self, data: bytes) -> None:
        """
        Write, as the transport does.
        """
        tls, below, connection = self._tls, self._below, self._connection
        while data and not (
            below.dataBuffer or below._tempDataBuffer or tls._appSendBuffer or tls.disconnecting
        ):
            part = data[:_AT_ONCE]
            try:
                data = data[connection.send(part) :]
                encrypted = connection.bio_read(len(part) + _MORE)
            except Error:
                # The transport will get the same error, and handles it.
                break
            try:
                sent = self._socket.send(encrypted)
            except OSError:
                # The transport below will get the same error.
                sent = 0
            if sent != len(encrypted):
                below.write(encrypted[sent:])
        if data:
            TLSMemoryBIOProtocol.write(tls, data)


def secureWriter(transport: Any) -> SecureWriter | None:
    """
    Return a writer for a transport of TLS, or C{None} if the transport is of an unknown kind.
    """
    if type(transport) not in (BufferingTLSTransport, TLSMemoryBIOProtocol):
        return None
    below = transport.transport
    handle = ownSocket(below)
    known = (transport, "_appSendBuffer"), (below, "dataBuffer"), (below, "_tempDataBuffer")
    if handle is None or not all(hasattr(each, name) for each, name in known):
        return None
    return SecureWriter(transport, below, handle)
