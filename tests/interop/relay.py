"""A listener that passes everything on to a server, and records what went over each connection."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

_REQUEST = re.compile(rb"(?:GET|POST) (\S+) HTTP/1\.1\r\n")
# Requests are among the first bytes of a connection.
_KEPT = 1 << 16


class Relay:
    """
    Is between the proxy or client and the server, to show which connections are used again.

    @ivar port: where it listens, on the loopback interface.
    """

    def __init__(self, server: int) -> None:
        """
        @param server: the port of the server.
        """
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._kept: list[bytearray] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                kept = bytearray()
                self._kept.append(kept)
                server = socket.create_connection(("127.0.0.1", self._server))
                for source, sink, note in ((client, server, kept), (server, client, None)):
                    arguments = (source, sink, note)
                    threading.Thread(target=self._pass, args=arguments, daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, note: bytearray | None) -> None:
        with suppress(OSError):
            sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := source.recv(_KEPT):
                if note is not None and len(note) < _KEPT:
                    note += data
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def requests(self) -> list[list[str]]:
        """
        The targets of the requests on each connection so far, in their order.
        """
        return [
            [target.decode() for target in _REQUEST.findall(bytes(kept))] for kept in self._kept
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Data on its way is dropped when both sides end.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
