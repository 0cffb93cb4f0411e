"""What an application may do with the closing handshake, without a network."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITCPTransport
from twisted.logger import capturedLogs

from tests.clients import Attempt, exchange
from tests.loopback import FINISHED, LOST, STARTED, Recording, TCPWire, ownLines
from txhixie import HixieFactory, Settings, State, WebSocketDone, WebSocketLost
from txhixie.settings import DIALECT_NAMES

dialects = pytest.mark.parametrize("dialect", DIALECT_NAMES)
closing = pytest.mark.parametrize("dialect", DIALECT_NAMES[1:])


class Asked(Recording):
    """Answers a close itself."""

    answer: Any = None

    def closeReceived(self, code: int, reason: str) -> Any:
        self.calls.append(f"close: {code} {reason}".rstrip())
        return self.answer(self) if self.answer is not None else None


class Sides(Attempt):
    """
    A client and a server whose applications are L{Asked}.

    @ivar made: the server's application.
    """

    def __init__(self, dialect: str, answer: Any = None, **settings: Any) -> None:
        self.asked = Asked(None, {})  # type: ignore[arg-type]
        super().__init__(dialect, application=self.asked)
        self.made = Asked(None, {})  # type: ignore[arg-type]
        self.made.answer = answer
        self.factory = HixieFactory(self, settings=Settings(**settings), reactor=self.clock)
        protocol: Any = self.factory.buildProtocol(None)
        self.serving = TCPWire(protocol, self.clock)
        self.exchange()
        self.made.calls.clear()
        self.asked.calls.clear()

    def buildProtocol(self, request: Any) -> Asked:
        """The server's application."""
        return self.made

    def exchange(self) -> None:
        """Let both sides read until nothing more comes."""
        exchange(self.wire, self.serving)

    def finish(self) -> None:
        """Let time pass until both sides are gone, and no timer is left."""
        for _ in range(20):
            self.exchange()
            self.clock.advance(1)
        assert self.clock.getDelayedCalls() == []


@closing
def test_answer(dialect: str) -> None:
    """The answer to a close waits for the application, and what it sends is written before it."""
    sides = Sides(dialect)
    sides.asked.transport.sendTextMessage("last")
    sides.asked.transport.loseWriteConnection()
    sides.asked.transport.loseWriteConnection()
    sides.asked.transport.sendTextMessage("too late")
    sides.exchange()
    code = "1005" if dialect == "hixie-76" else "1000"
    assert sides.made.calls == ["text: last", f"close: {code}"]
    assert sides.asked.transport.state is State.CLOSING
    assert sides.made.transport.state is State.OPEN
    sides.clock.advance(300)
    sides.made.transport.sendTextMessage("still here")
    sides.exchange()
    assert sides.asked.calls == ["text: still here"]
    sides.made.transport.loseConnection()
    sides.finish()
    assert sides.asked.calls == ["text: still here", LOST]
    assert sides.made.calls[-1] == LOST
    assert type(sides.asked.ending) is type(sides.made.ending) is WebSocketDone
    assert str(sides.made.ending.code) == code


@closing
def test_ordinaryClose(dialect: str) -> None:
    """The peer may begin as usual: then it waits for the answer only for a limited time."""
    sides = Sides(dialect)
    sides.asked.transport.loseConnection(4000, "enough")
    sides.exchange()
    expected = "close: 1005" if dialect == "hixie-76" else "close: 4000 enough"
    assert sides.made.calls == [expected]
    sides.finish()
    assert sides.made.calls == [expected, LOST]
    assert type(sides.asked.ending) is WebSocketLost


@closing
def test_awaited(dialect: str) -> None:
    """The method may be a coroutine, like all others; and it may raise."""
    waiting: Deferred[None] = Deferred()

    async def answer(made: Asked) -> None:
        await waiting
        made.transport.sendTextMessage("bye")
        made.transport.loseConnection()

    sides = Sides(dialect, answer)
    sides.asked.transport.loseWriteConnection()
    sides.exchange()
    assert len(sides.made.calls) == 1
    waiting.callback(None)
    sides.finish()
    assert sides.asked.calls == ["text: bye", LOST]
    assert type(sides.made.ending) is WebSocketDone

    def fail(made: Asked) -> None:
        raise ZeroDivisionError

    sides = Sides(dialect, fail)
    sides.asked.transport.loseWriteConnection()
    with capturedLogs() as events:
        sides.finish()
    assert sides.asked.calls == sides.made.calls[1:] == [LOST]
    assert sides.factory.statistics()["events"]["application errors"] == 1
    assert any("log_failure" in event for event in events)


@dialects
def test_stops(dialect: str) -> None:
    """A server that stops does not wait for an application that never answers."""
    sides = Sides(dialect)
    sides.asked.transport.loseWriteConnection()
    sides.exchange()
    gone: list[object] = []
    sides.factory.closeConnections().addCallback(gone.append)
    sides.finish()
    assert gone == [None]
    assert sides.made.calls[-1] == sides.asked.calls[-1] == LOST


@dialects
def test_ownCloseFirst(dialect: str) -> None:
    """An application that closed itself is not asked about the peer's answer."""
    sides = Sides(dialect)
    sides.made.transport.loseConnection()
    sides.finish()
    assert sides.made.calls == [LOST]


@dialects
def test_early(dialect: str) -> None:
    """Before the connection is open there is nothing to half-close: it ends."""

    class Hasty(Asked):
        def negotiationStarted(self, transport: Any) -> None:
            super().negotiationStarted(transport)
            transport.loseWriteConnection()

    asked = Hasty(None, {})  # type: ignore[arg-type]
    attempt = Attempt(dialect, application=asked)
    protocol: Any = HixieFactory(_Silent(), reactor=attempt.clock).buildProtocol(None)
    serving = TCPWire(protocol, attempt.clock)
    for _ in range(20):
        exchange(attempt.wire, serving)
        attempt.clock.advance(1)
    assert asked.calls == [STARTED, FINISHED, LOST]
    assert attempt.clock.getDelayedCalls() == []


class _Silent:
    def buildProtocol(self, request: Any) -> Recording:
        return Recording(request, {})


@dialects
def test_fail(dialect: str) -> None:
    """A connection that cannot go on is closed, counted and logged, and delivers nothing more."""
    sides = Sides(dialect)
    for code in (1005, 1006, 999):
        with pytest.raises(ValueError, match="not a close code"):
            sides.made.transport.fail(code, "")
    assert sides.made.transport.state is State.OPEN
    fail = sides.made.transport.fail
    sides.made._hooks["textMessageReceived"] = lambda made, text: fail(4001, "no\nway")
    for text in ("one", "two"):
        sides.asked.transport.sendTextMessage(text)
    with capturedLogs() as events:
        sides.finish()
    assert sides.made.calls == ["text: one", LOST]
    assert type(sides.made.ending) is WebSocketLost
    assert (sides.made.ending.code, sides.made.ending.reason) == (4001, "no\nway")
    (line,) = [line for line in ownLines(events) if "fault" in line]
    assert "is closed for a fault: 4001" in line
    assert "\n" not in line
    assert sides.factory.statistics()["events"]["failed"] == 1
    sides.made.transport.fail(4001, "again")
    assert sides.factory.statistics()["events"]["failed"] == 1
    if not dialect.startswith("hixie"):
        assert sides.asked.calls == ["close: 4001 no\nway", LOST]


@dialects
def test_below(dialect: str) -> None:
    """An application may look at the transport below."""
    sides = Sides(dialect)
    for recording, wire in ((sides.asked, sides.wire), (sides.made, sides.serving)):
        assert recording.transport.transport is wire
        assert ITCPTransport.providedBy(recording.transport.transport)


@dialects
def test_behaveAsStream(dialect: str) -> None:
    """Nothing is dropped, and reading goes on, whatever the limits say."""
    sides = Sides(dialect, sendLimit=1000, slowPolicy="drop")
    sides.made.transport.behaveAsStream()
    sides.serving.fill()
    for number in range(100):
        sides.made.transport.sendTextMessage(f"{number:1000}")
        sides.clock.advance(0)
    sides.asked.transport.sendTextMessage("hello")
    sides.exchange()
    assert sides.made.calls == ["text: hello"]
    sides.serving.drain()
    sides.exchange()
    assert sides.asked.calls == [f"text: {number:1000}" for number in range(100)]
