"""
A gateway without a network: the test is its clients and tells the time, and its back ends are
servers of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import (
    IHostnameResolver,
    IReactorPluggableNameResolver,
)
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.clients import carry
from tests.loopback import Recorder, Recording, TCPWire, echo
from tests.support import IDIOMS, buildHead
from txhixie import Gateway, HixieFactory, Settings

URL = "ws://10.0.0.1:9000"


@implementer(IHostnameResolver)
class _Literal:
    """Takes every name for an address."""

    def resolveHostName(  # type: ignore[override]
        self, receiver: Any, hostName: str, portNumber: int = 0, **_: Any
    ) -> Any:
        receiver.resolutionBegan(None)
        receiver.addressResolved(IPv4Address("TCP", hostName, portNumber))
        receiver.resolutionComplete()
        return receiver


@implementer(IReactorPluggableNameResolver)
class Reactor(MemoryReactorClock):
    """A reactor without a network."""

    def __init__(self) -> None:
        super().__init__()
        self.nameResolver = _Literal()

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        raise NotImplementedError


class World:
    """
    One gateway.

    @ivar backends: what answers at each address: a factory of ours, C{"down"}, C{"silent"} if it
        accepts connections only, C{"lost"} if no packet comes back, or the bytes that it answers.
    @ivar backend: the application at the first back end.
    @ivar asked: the addresses that the gateway connected to.
    @ivar links: for each connection that was made, the gateway's end and the back end's.
    """

    def __init__(
        self,
        *urls: str,
        application: Any = lambda gateway: gateway,
        settings: Mapping[str, Any] | None = None,
        serving: Mapping[str, Any] | None = None,
        bytesPolicy: str = "drop",
    ) -> None:
        """
        @param application: wraps the gateway.
        @param settings: those of the gateway and its server.
        @param serving: those of the back end.
        """
        self.clock = Reactor()
        limits = Settings(**settings or {})
        gateway = Gateway(
            *urls or [URL], bytesPolicy=bytesPolicy, settings=limits, reactor=self.clock
        )
        self.factory = HixieFactory(application(gateway), None, limits, self.clock)
        self.backend = Recorder(textMessageReceived=echo)
        serves = HixieFactory(self.backend, None, Settings(**serving or {}), self.clock)
        self.backends: dict[str, Any] = {"10.0.0.1": serves}
        self.asked: list[str] = []
        self.links: list[tuple[TCPWire, TCPWire]] = []
        self.clients: list[TCPWire] = []

    # The back ends

    def serve(self, address: str, **hooks: Any) -> Recorder:
        """Have a back end of ours at an address."""
        recorder = Recorder(**{"textMessageReceived": echo, **hooks})
        self.backends[address] = HixieFactory(recorder, None, Settings(), self.clock)
        return recorder

    def _connections(self) -> bool:
        """Answer the connections that the gateway opens."""
        waiting, self.clock.tcpClients[:] = self.clock.tcpClients[:], []
        factory: Any
        for host, _port, factory, _timeout, _bind in waiting:
            self.asked.append(host)
            answer = self.backends.get(host, "down")
            if answer == "down":
                factory.clientConnectionFailed(None, Failure(ConnectError()))
            elif answer != "lost":
                wire = TCPWire(factory.buildProtocol(None), self.clock)
                if isinstance(answer, HixieFactory):
                    protocol: Any = answer.buildProtocol(None)
                    self.links.append((wire, TCPWire(protocol, self.clock)))
                elif isinstance(answer, bytes):
                    wire.send(answer)
        return bool(waiting)

    def run(self) -> None:
        """Let everybody read until nothing more comes."""
        quiet = 0
        # What waited for the clock may have something to say.
        while quiet < 2:
            moved = [self._connections()]
            for wire, serving in self.links:
                moved += [carry(wire, serving), carry(serving, wire)]
            self.clock.advance(0)
            quiet = 0 if any(moved) else quiet + 1

    def pass_(self, seconds: float, step: float = 0.25) -> None:
        """Let time pass in small steps."""
        for _ in range(int(seconds / step)):
            self.clock.advance(step)
            self.run()

    @property
    def made(self) -> Recording:
        """The newest connection of the first back end."""
        return self.backend.made[-1]

    # The clients

    def connect(self, data: bytes) -> Any:
        """@return: a client that has sent something."""
        protocol: Any = self.factory.buildProtocol(None)
        wire = TCPWire(protocol, self.clock)
        self.clients.append(wire)
        wire.send(data)
        self.run()
        return wire

    def open(self, dialect: str, **head: Any) -> Any:
        """@return: a client whose opening handshake is complete."""
        wire = self.connect(buildHead(dialect, **head) + IDIOMS[dialect].preamble)
        answer = wire.take()
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        return wire

    def say(self, wire: Any, data: bytes) -> bytes:
        """Have a client say something. @return: what it is answered."""
        wire.send(data)
        self.run()
        return bytes(wire.take())

    def count(self, event: str) -> int:
        """@return: how often something happened at the server before the back ends."""
        counted: int = self.factory.statistics()["events"].get(event, 0)
        return counted

    def assertQuiet(self) -> None:
        """Nothing is left of any connection, and nobody waits for anything."""
        for wire in self.clients:
            if not wire.lost:
                wire.lose()
        self.pass_(5)
        assert all(wire.lost for link in self.links for wire in link)
        assert self.factory.connections == {}
        assert self.clock.getDelayedCalls() == []


def statusOf(answer: bytes) -> int:
    """@return: the status of an answer."""
    match = re.match(rb"HTTP/1\.1 ([0-9]{3}) ", answer)
    assert match is not None, answer
    return int(match[1])


def fieldsOf(answer: bytes) -> dict[bytes, list[bytes]]:
    """@return: the fields of an answer, by their names in lower case."""
    fields: dict[bytes, list[bytes]] = {}
    for line in answer.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]:
        name, _, value = line.partition(b": ")
        fields.setdefault(name.lower(), []).append(value)
    return fields
