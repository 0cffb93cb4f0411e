"""
Clients without a network: connected to a server that the test plays, or to ours.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.loopback import Recorder, Recording, TCPWire, echo
from txhixie import HixieFactory, Settings, connect

DEFAULT = Settings()
URL = "ws://example.com/demo?x=1"


@implementer(IStreamClientEndpoint)
class Memory:
    """An endpoint without a network: the test is the server."""

    wire: TCPWire

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        protocol: Any = factory.buildProtocol(None)  # type: ignore[arg-type]
        self.wire = TCPWire(protocol, self._clock)
        return succeed(protocol)


def exchange(*wires: TCPWire) -> None:
    """Let both sides of a connection read until nothing more comes."""
    first, second = wires
    while True:
        moved = [carry(first, second), carry(second, first)]
        first.clock.advance(0)
        if not any(moved):
            return


def carry(source: TCPWire, target: TCPWire) -> bool:
    data = source.take()
    if data and not target.lost:
        target.send(data)
    if source.ended and not target.lost:
        target.lose()
        return True
    return bool(data)


class Attempt:
    """
    A client that tries to connect.

    @ivar outcome: the open WebSocket, or the error; C{None} as long as there is neither.
    @ivar recording: the client's application.
    """

    outcome: Any = None

    def __init__(
        self,
        dialect: str = "rfc6455",
        url: str = URL,
        endpoint: Any = None,
        hooks: Any = None,
        settings: Settings = DEFAULT,
        application: Any = None,
        clock: Clock | None = None,
        **wish: Any,
    ) -> None:
        """
        @param hooks: those of the L{Recording} that is the client's application.
        @param application: the client's application in its place.
        """
        self.clock = clock or Clock()
        self.memory = Memory(self.clock)
        self.recording = Recording(None, hooks or {})  # type: ignore[arg-type]
        self.deferred = connect(
            url,
            application or self.recording,
            dialect=dialect,
            endpoint=endpoint or self.memory,
            settings=settings,
            reactor=self.clock,
            **wish,
        )
        self.deferred.addBoth(self._fired)

    def _fired(self, outcome: Any) -> None:
        assert self.outcome is None
        self.outcome = outcome.value if isinstance(outcome, Failure) else outcome
        self.recording.calls.append("fired")

    @property
    def wire(self) -> TCPWire:
        """The client's end of TCP."""
        return self.memory.wire

    def assertOver(self, error: type[Exception]) -> None:
        """The attempt failed, TCP is gone, and nothing is waiting."""
        assert type(self.outcome) is error
        self.clock.advance(0)
        assert self.wire.lost
        assert self.recording.calls == ["fired"]
        assert self.clock.getDelayedCalls() == []


class Pair(Attempt):
    """A client and our server, which echoes."""

    def __init__(self, dialect: str, serving: Settings = DEFAULT, **options: Any) -> None:
        super().__init__(dialect, **options)
        self.server = Recorder(textMessageReceived=echo)
        factory = HixieFactory(self.server, settings=serving, reactor=self.clock)
        protocol: Any = factory.buildProtocol(None)
        self.serving = TCPWire(protocol, self.clock)
        self.exchange()

    def exchange(self) -> None:
        """Let both sides read until nothing more comes."""
        exchange(self.wire, self.serving)

    @property
    def served(self) -> Recording:
        """The server's side of the connection."""
        return self.server.made[0]
