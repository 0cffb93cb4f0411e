"""
Why a client could not open a WebSocket. Each reason has its own class, with what the server said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# Bytes of an answer that a message quotes.
_QUOTED = 100


class OpeningError(Exception):
    """
    A server did not open the WebSocket that it was asked for. This is the base of all such errors.
    """


class HandshakeRefused(OpeningError):
    """
    The server answered with an HTTP status other than 101.

    @ivar status: the status.
    @ivar headers: the values of each header field, by its name in lower case.
    @ivar body: what arrived of the body, at most 64 KiB.
    """

    def __init__(
        self,
        status: int,
        headers: Mapping[bytes, Sequence[bytes]],
        body: bytes = b"",
        reason: bytes = b"",
    ) -> None:
        """
        @param reason: the phrase after the status.
        """
        phrase = reason.decode("utf-8", "replace")
        super().__init__(f"the server answered {status} {phrase}".rstrip())
        self.status = status
        self.headers = headers
        self.body = body


class NotWebSocket(OpeningError):
    """
    The answer is not in the dialect that was asked for.
    """


class WrongAnswer(OpeningError):
    """
    The server opened a different WebSocket: its answer names another location, origin, subprotocol
    or extension than the request.

    @ivar field: the field of the answer, as it is spelled in the dialect.
    @ivar value: its value, or C{None} if it is missing or sent more than once.
    """

    def __init__(self, field: bytes, value: bytes | None, expected: bytes | None = None) -> None:
        """
        @param expected: the value that it should have, if known.
        """
        name = field.decode("ascii")
        if value is None:
            message = f"the answer does not have exactly one {name}"
        else:
            message = f"the {name} of the answer is {quoted(value)}"
        if expected is not None:
            message += f", not {quoted(expected)}"
        super().__init__(message)
        self.field = field
        self.value = value


class WrongChallenge(OpeningError):
    """
    The server did not prove that it read the request: the 16 bytes of Hixie-76, or the
    C{Sec-WebSocket-Accept} of the later dialects, are not the ones that follow from the request.

    @ivar answer: what it sent.
    """

    def __init__(self, answer: bytes) -> None:
        super().__init__(f"the server answered the challenge with {quoted(answer)}")
        self.answer = answer


class NoAnswer(OpeningError):
    """
    The server ended the connection before its answer was complete.

    @ivar received: the bytes of the answer that had arrived, at most 64 KiB.
    """

    def __init__(self, received: bytes, why: str = "") -> None:
        """
        @param why: how the connection ended, if it was not in good order.
        """
        when = f"after {len(received)} bytes of an answer" if received else "without an answer"
        super().__init__(f"the server ended the connection {when}{why and f': {why}'}")
        self.received = received


class OpeningTimedOut(OpeningError):
    """
    The connection was not open within L{Settings.handshakeTimeout
    <txhixie.settings.Settings.handshakeTimeout>}.
    """


def quoted(value: bytes) -> str:
    """
    Return bytes from a server, quoted and shortened for a message of one line.
    """
    more = "..." if len(value) > _QUOTED else ""
    return f"{value[:_QUOTED]!r}".removeprefix("b") + more
