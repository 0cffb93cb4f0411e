"""
The applications of the conversations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

from tests.loopback import FINISHED, STARTED, Producer, Recorder, Recording, echo
from txhixie import HandshakeError
from txhixie.application import Application
from txhixie.web.auth import Authenticated, portalFor


class Planned(Exception):
    """
    The exception of the failing application.
    """


def _echoBytes(recording: Recording, data: bytes) -> None:
    recording.transport.sendBytesMessage(data)


_ECHO: dict[str, Any] = {
    "textMessageReceived": echo,
    "bytesMessageReceived": _echoBytes,
}


def _later(clock: Clock) -> Recorder:
    def decide(made: Recording) -> Deferred[Recording]:
        call: IDelayedCall
        decision: Deferred[Recording] = Deferred(lambda cancelled: call.cancel())
        call = clock.callLater(1, decision.callback, made)
        return decision

    return Recorder(decide, **_ECHO)


def _eager(clock: Clock) -> Recorder:
    def started(recording: Recording, transport: Any) -> None:
        transport.sendTextMessage("first")
        transport.attachProducer(Producer())

    def finished(recording: Recording) -> None:
        recording.transport.ping(b"now")
        recording.transport.sendTextMessage("second \u20ac")

    hooks: dict[str, Any] = {**_ECHO, STARTED: started, FINISHED: finished}
    return Recorder(**hooks)


def _closing(clock: Clock) -> Recorder:
    def received(recording: Recording, message: str) -> None:
        echo(recording, message)
        if len(recording.calls) > 4:
            recording.transport.loseConnection(3000, "enough")

    return Recorder(bytesMessageReceived=_echoBytes, textMessageReceived=received)


def _failing(clock: Clock) -> Recorder:
    def received(recording: Recording, message: str) -> None:
        if len(message) < 2:
            raise Planned(message)
        echo(recording, message)

    return Recorder(bytesMessageReceived=_echoBytes, textMessageReceived=received)


def _refusing(clock: Clock) -> Recorder:
    def decide(made: Recording) -> None:
        if b"x=" in made.request.uri:
            raise HandshakeError(403, "not you", [(b"X-Reason", b"x")])

    return Recorder(decide)


KINDS: dict[str, Callable[[Clock], Recorder]] = {
    "echo": lambda clock: Recorder(**_ECHO),
    "guarded": lambda clock: Recorder(**_ECHO),
    "later": _later,
    "eager": _eager,
    "closing": _closing,
    "failing": _failing,
    "refusing": _refusing,
}

# The applications of a client.
CLIENTS = ("echo", "eager", "closing", "failing")

# Credentials for applications with a login.
AUTHORIZATION = b"Basic dXNlcjpwYXNzd29yZA=="


def make(kind: str, clock: Clock) -> tuple[Recorder, Application]:
    """
    @param kind: a key of L{KINDS}.
    @return: the recorder of its calls, and the application as the server sees it.
    """
    recorder = KINDS[kind](clock)
    if kind == "guarded":
        checker = InMemoryUsernamePasswordDatabaseDontUse(user=b"password")
        return recorder, Authenticated(recorder, portalFor([checker]))
    return recorder, recorder
