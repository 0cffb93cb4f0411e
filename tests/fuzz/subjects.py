"""
The tested side of a conversation: a server, or a client whose server the conversation plays.
"""

from __future__ import annotations

import weakref
from random import Random
from typing import Any, Protocol, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.fuzz import applications, wires
from tests.fuzz.scenario import Scenario
from tests.loopback import Recording
from txhixie import HixieFactory, HixieProtocol, WebSocketTransport
from txhixie.client.connect import Client
from txhixie.client.protocol import HixieClientProtocol
from txhixie.dialects.choosing import forClient
from txhixie.dialects.opening import ClientOpening, Wish
from txhixie.dialects.url import WebSocketURL

# Called by the client when its Deferred fires.
FIRED = "fired"

# Objects that a protocol refers to but does not own; twisted.web limits plain HTTP.
_SHARED = {
    *("_http", "_application", "_client", "_decided", "_opening"),
    *("factory", "transport", "_upgrade", "_kept"),
    *("webSocket", "dataReceived", "_hangup", "_reading"),
}
# Bytes of an answer that a client keeps for an error, as received and as a body.
_KEPT = 5 * 64 * 1024

# All protocols that exist, to check that they are freed.
alive: weakref.WeakSet[HixieProtocol | HixieClientProtocol] = weakref.WeakSet()


class Subject(Protocol):
    """
    A server or a client, with one connection.

    @ivar made: the recorder of the application's calls.
    """

    made: list[Recording]

    def connect(self) -> wires.Peer:
        """
        Make the connection.

        @return: its peer.
        """

    def own(self) -> list[object]:
        """
        @return: what the connection refers to.
        """

    def room(self, head: int) -> int:
        """
        @param head: the bytes of a head that it received.
        @return: how many bytes it may keep of that.
        """

    def problem(self) -> str:
        """
        @return: what is wrong after the end of the connection, if anything.
        """


class ServerSubject:
    """
    A server.
    """

    def __init__(self, scenario: Scenario, clock: wires.Reactor) -> None:
        self._wire, self._clock = scenario.wire, clock
        recorder, application = applications.make(scenario.application, clock)
        self.made = recorder.made
        self._factory = HixieFactory(application, None, scenario.makeSettings(), clock)

    def connect(self) -> wires.Peer:
        protocol = self._protocol = self._factory.buildProtocol(None)
        assert isinstance(protocol, HixieProtocol)
        alive.add(protocol)
        return wires.KINDS[self._wire](protocol, self._clock)

    def own(self) -> list[object]:
        return _own(self._protocol)

    def room(self, head: int) -> int:
        # A head is kept for applications, with a copy of its lines while it is read.
        return 3 * min(self._factory.settings.maxHead, head)

    def problem(self) -> str:
        if self._factory.connections or not self._factory.closeConnections().called:
            return "the factory still has the connection"
        return ""


class ClientSubject:
    """
    A client.
    """

    def __init__(self, scenario: Scenario, clock: wires.Reactor) -> None:
        self._wire, self._clock = scenario.wire, clock
        settings = scenario.makeSettings()
        recorder, _ = applications.make(scenario.application, clock)
        self.made = recorder.made
        self._recording: Recording = recorder.buildProtocol(None)  # type: ignore[arg-type]
        self._opening = openingOf(scenario)
        # A client reads on while its server does not read. So what it answers waits, up to the
        # limit. Its frames are larger than those of the server, as they are masked.
        self._answers = 4 * min(settings.sendLimit, len(scenario.data))
        self._client = Client(settings, clock)
        self._outcomes: list[WebSocketTransport | Failure] = []

    def connect(self) -> wires.Peer:
        endpoint = _Endpoint(self._wire, self._clock)
        result = self._client.open(self._opening, self._recording, endpoint)
        result.addBoth(self._fired)
        self._protocol = endpoint.protocol
        return endpoint.peer

    def _fired(self, result: WebSocketTransport | Failure) -> None:
        self._recording.calls.append(FIRED)
        self._outcomes.append(result)

    @property
    def refusal(self) -> BaseException | None:
        """
        Why there is no WebSocket, if there is none.
        """
        outcome = self._outcomes[0] if self._outcomes else None
        if not isinstance(outcome, Failure):
            return None
        # The traceback refers to the connection.
        return cast(BaseException, outcome.value).with_traceback(None)

    def own(self) -> list[object]:
        return _own(self._protocol)

    def room(self, head: int) -> int:
        return self._answers if self._protocol.webSocket is not None else _KEPT

    def problem(self) -> str:
        if len(self._outcomes) != 1:
            return f"the Deferred fired with {self._outcomes}"
        if self._client._connections:
            return "the client still has the connection"
        return ""


def _own(protocol: Any) -> list[object]:
    own = [value for name, value in vars(protocol).items() if name not in _SHARED]
    webSocket = protocol.webSocket
    if webSocket is not None:
        connection = webSocket._connection
        own += [connection, webSocket._delivery._held, webSocket._slowness]
        framing = getattr(connection, "_framing", None)
        for extension in framing.extensions if framing is not None else ():
            # What zlib keeps cannot be measured from outside.
            own.append(getattr(getattr(extension, "decoder", None), "unused_data", b""))
    return own


@implementer(IStreamClientEndpoint)
class _Endpoint:
    """
    Reaches the peer of a conversation.
    """

    protocol: HixieClientProtocol
    peer: wires.Peer

    def __init__(self, wire: str, clock: wires.Reactor) -> None:
        self._wire, self._clock = wire, clock

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        protocol: Any = factory.buildProtocol(None)  # type: ignore[arg-type]
        self.protocol = protocol
        alive.add(protocol)
        self.peer = wires.KINDS[self._wire](protocol, self._clock)
        return succeed(protocol)


def openingOf(scenario: Scenario) -> ClientOpening:
    """
    @return: the opening handshake of a client, the same one each time.
    """
    wish = Wish(
        WebSocketURL.parse("ws://example.com/demo?x=1"),
        "http://example.com",
        scenario.subprotocols,
    )
    return forClient(scenario.dialect)(wish, scenario.makeSettings(), Random(1))


def subjectOf(scenario: Scenario, clock: wires.Reactor) -> Subject:
    """
    @return: the tested side of a scenario.
    """
    kind = ClientSubject if scenario.dialect else ServerSubject
    return kind(scenario, clock)
