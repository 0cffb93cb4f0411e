"""
A log of every message.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

from twisted.logger import Logger

from txhixie.dialects.connection import Connection, State
from txhixie.dialects.events import Event

# Characters or bytes of a message that are logged.
_SHOWN = 200


def logged(connection: Connection, name: str) -> Connection:
    """
    Return a connection that logs each message it sends or receives, and does the same otherwise.

    @param name: names it in the log.
    """
    return cast(Connection, _Logged(connection, name))


class _Logged:
    """
    A connection around another one.
    """

    _log = Logger()

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def receiveData(self, data: bytes) -> Iterator[Event]:
        for event in self._connection.receiveData(data):
            if isinstance(event, str | bytes) and self._connection.state is State.OPEN:
                self._logMessage("received", event)
            yield event

    def sendText(self, text: str) -> int:
        return self._sent(self._connection.sendText(text), text)

    def sendTexts(self, texts: Iterable[str]) -> int:
        return sum(map(self.sendText, texts))

    def sendBytes(self, data: bytes) -> int:
        return self._sent(self._connection.sendBytes(data), data)

    def _sent(self, size: int, message: str | bytes) -> int:
        if size:
            self._logMessage("sent", message)
        return size

    def _logMessage(self, direction: str, message: str | bytes) -> None:
        rest = len(message) - _SHOWN
        self._log.info(
            "{id} {direction} {content!r}{more}",
            id=self._name,
            direction=direction,
            content=message[:_SHOWN],
            more=f"... and {rest} more" if rest > 0 else "",
        )
