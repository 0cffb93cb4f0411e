"""
A log of every message, for those who look for what their clients say.
"""

from __future__ import annotations

from collections.abc import Iterator

from twisted.logger import Logger

from txhixie.dialects.connection import Event
from txhixie.server.protocol import HixieProtocol

# As much of a message as is logged.
_SHOWN = 200


class LoggedProtocol(HixieProtocol):
    """
    A connection that logs every message.
    """

    _log = Logger()

    def sendTextMessage(self, text: str) -> None:
        sent = self.messagesSent
        super().sendTextMessage(text)
        if self.messagesSent != sent:
            self._logMessage("sent", text)

    def sendTextMessages(self, texts: tuple[str, ...]) -> None:
        for text in texts:
            self.sendTextMessage(text)

    def sendBytesMessage(self, data: bytes) -> None:
        sent = self.messagesSent
        super().sendBytesMessage(data)
        if self.messagesSent != sent:
            self._logMessage("sent", data)

    def _tell(self, events: Iterator[Event]) -> None:
        super()._tell(self._logged(events))

    def _logged(self, events: Iterator[Event]) -> Iterator[Event]:
        for event in events:
            if isinstance(event, str | bytes) and not self._closing:
                self._logMessage("received", event)
            yield event

    def _logMessage(self, direction: str, message: str | bytes) -> None:
        rest = len(message) - _SHOWN
        self._log.info(
            "{id} {direction} {content!r}{more}",
            id=self.id,
            direction=direction,
            content=message[:_SHOWN],
            more=f"... and {rest} more" if rest > 0 else "",
        )
