"""
The back ends of a gateway, and which of them is asked next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from txhixie.dialects.url import WebSocketURL

# Seconds for which a back end that failed is set aside.
ASIDE = 10.0


@dataclass(slots=True, eq=False)
class Backend:
    """
    One back end.

    @ivar name: its URL without the query, for the log: a query may hold a secret.
    @ivar asideUntil: the time until which it is set aside; 0 if it did not fail.
    """

    name: str
    asideUntil: float
    _server: str
    _path: str
    _query: str

    @classmethod
    def parse(cls, text: str) -> Backend:
        """
        @param text: a URL such as C{"ws://127.0.0.1:9000/app"}.
        @raise ValueError: if it is not the URL of a WebSocket.
        """
        url = WebSocketURL.parse(text)
        scheme = "wss" if url.isSecure else "ws"
        server = f"{scheme}://{url.authority.decode('ascii')}"
        path, _, query = url.target.decode("ascii").partition("?")
        if "/" not in text.partition("://")[2].partition("?")[0]:
            path = ""
        return cls(server + path, 0.0, server, path, query)

    def urlFor(self, target: str) -> str:
        """
        Return the URL to open for a client: with the path of the back end if it has one, or else
        with that of the client, and with the queries of both.

        @param target: path and query that the client asked for.
        """
        path, _, query = target.partition("?")
        queries = "&".join(filter(None, (self._query, query)))
        return f"{self._server}{self._path or path}{queries and '?' + queries}"


class Backends:
    """
    Takes turns, so that all back ends get the same number of clients. Those that failed are set
    aside for L{ASIDE} seconds.
    """

    def __init__(self, urls: Iterable[str], seconds: Callable[[], float]) -> None:
        """
        @param seconds: returns the time.
        @raise ValueError: if one of the URLs means nothing, or there is none.
        """
        self._all = [*map(Backend.parse, urls)]
        if not self._all:
            raise ValueError("a gateway needs a back end")
        self._seconds = seconds
        self._count = 0

    def candidates(self) -> list[Backend]:
        """
        Return the back ends to ask for the next client, in this order. If all are set aside, one of
        them may work again, so all are returned.
        """
        now = self._seconds()
        usable = [each for each in self._all if each.asideUntil <= now] or self._all
        start = self._count % len(usable)
        self._count += 1
        return usable[start:] + usable[:start]

    def failed(self, backend: Backend) -> None:
        """
        Set a back end aside.
        """
        backend.asideUntil = self._seconds() + ASIDE

    def answered(self, backend: Backend) -> bool:
        """
        Note that a back end works.

        @return: whether it had failed before.
        """
        before, backend.asideUntil = backend.asideUntil, 0.0
        return before > 0
