"""
Ports on Unix sockets that other processes use, too. Systems without such sockets cannot import
this.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp, unix


class SharedUnixPort(unix.Port):
    """
    A port on a Unix socket whose file belongs to another process. Twisted's own port changes the
    mode of the file, and removes it when it stops.
    """

    _preexistingSocket: Any

    def startListening(self) -> None:
        """
        Listen on the socket as it is.
        """
        factory: Any = self.factory
        factory.doStart()
        self.socket, self._preexistingSocket = self._preexistingSocket, None
        self.fileno = self.socket.fileno  # type: ignore[method-assign]
        # To shut it down would be to shut it down for all.
        self._shouldShutdown = False
        self.connected = True
        self.numberAccepts = 1
        self.startReading()

    def connectionLost(self, reason: Any) -> None:
        """
        Stop listening in this process.
        """
        tcp.Port.connectionLost(self, reason)
