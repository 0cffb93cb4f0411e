"""
A connection of plain HTTP, and its end when the server stops.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.web.http import HTTPChannel, Request


class Stopping(Protocol):
    """
    An object that knows whether the server is about to stop.
    """

    isStopping: bool


class PlainConnection:
    """
    A connection that belongs to a site.

    @ivar dataReceived: takes what the client sends.
    @ivar connectionLost: call it when the connection is gone.
    """

    __slots__ = (
        "__weakref__",
        "_channel",
        "_made",
        "_makeRequest",
        "_stopping",
        "connectionLost",
        "dataReceived",
    )

    def __init__(self, channel: Any, stopping: Stopping) -> None:
        """
        @param channel: an HTTP channel, or Twisted's wrapper of one.
        @param stopping: while this is true, each answer is the last of its connection.
        """
        self._made = channel
        self.dataReceived = channel.dataReceived
        self.connectionLost = channel.connectionLost
        self._stopping = stopping
        self._makeRequest: Callable[..., Request] = channel.requestFactory
        self._channel: HTTPChannel | None = None
        # Both are freed as soon as the connection has ended, because neither keeps the other.
        me = weakref.proxy(self)
        channel.requestFactory = lambda channel, queued=None: me.makeRequest(channel)

    def end(self) -> None:
        """
        End the connection if it is known to be idle.
        """
        end = getattr(self._made, "end", None)
        if end is not None:
            end()

    def makeRequest(self, channel: HTTPChannel) -> Request:
        """
        Make a request, which may be the last one.
        """
        self._channel = channel
        request = self._makeRequest(channel)
        if self._stopping.isStopping:
            # As if the client had asked for it.
            request.requestHeaders.addRawHeader(b"Connection", b"close")
        return request

    def shutDown(self) -> None:
        """
        Finish the answers in progress, and then end the connection. If there are none, end it at
        once.
        """
        channel = self._channel
        if channel is None:
            return
        requests: list[Request] = channel.requests
        # A request has content once its head is complete.
        if requests and requests[0].content is not None:
            channel.persistent = False
            if not requests[0].startedWriting:
                requests[0].responseHeaders.setRawHeaders(b"Connection", [b"close"])
        elif requests or channel.persistent:
            channel.loseConnection()
