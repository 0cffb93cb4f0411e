"""
A connection of plain HTTP, and its end when the server stops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from txhixie.web.upgrading import Upgrader, letUpgrade

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IProtocol, ITransport
    from twisted.web.http import HTTPChannel, Request
    from twisted.web.server import Site


class Stopping(Protocol):
    """
    What knows whether the server is about to stop.
    """

    isStopping: bool


class PlainHTTP:
    """
    A connection that a site has.

    @ivar dataReceived: takes what the client sends.
    @ivar connectionLost: is told when the connection is gone.
    """

    __slots__ = ("_channel", "_makeRequest", "_stopping", "connectionLost", "dataReceived")

    def __init__(
        self, site: Site, transport: ITransport, upgrader: Upgrader, stopping: Stopping
    ) -> None:
        """
        @param upgrader: takes the connection back for an opening handshake.
        @param stopping: as long as this is so, each answer is the last of its connection.
        """
        protocol: IProtocol = site.buildProtocol(transport.getPeer())
        # A channel, or Twisted's wrapper of one.
        channel: Any = protocol
        self.dataReceived = protocol.dataReceived
        self.connectionLost = protocol.connectionLost
        self._stopping = stopping
        letUpgrade(protocol, upgrader)
        self._makeRequest: Callable[..., Request] = channel.requestFactory
        self._channel: HTTPChannel | None = None
        channel.requestFactory = self._request
        protocol.makeConnection(transport)

    def _request(self, channel: HTTPChannel, queued: Any = None) -> Request:
        self._channel = channel
        request = self._makeRequest(channel)
        if self._stopping.isStopping:
            # As if the client had asked for it.
            request.requestHeaders.addRawHeader(b"Connection", b"close")
        return request

    def shutDown(self) -> None:
        """
        Finish the answers in progress, and end the connection then; at once if there are none.
        """
        channel = self._channel
        if channel is None:
            return
        requests: list[Request] = channel.requests
        # There is content from when a head is complete.
        if requests and requests[0].content is not None:
            channel.persistent = False
            if not requests[0].startedWriting:
                requests[0].responseHeaders.setRawHeaders(b"Connection", [b"close"])
        elif requests or channel.persistent:
            channel.loseConnection()
