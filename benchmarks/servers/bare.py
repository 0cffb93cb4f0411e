"""
A Twisted TCP server that sends everything back, or to all clients: the reactor's own limit.
"""

from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from benchmarks.servers.options import ENDPOINT, options

loop: Any = reactor
clients: set["Echo"] = set()


class Echo(Protocol):
    transport: Any

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        clients.add(self)

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        clients.discard(self)


class Broadcast(Echo):
    def dataReceived(self, data: bytes) -> None:
        for client in clients:
            client.transport.write(data)


factory = Factory.forProtocol(Echo if options.mode == "echo" else Broadcast)
factory.noisy = False
serverFromString(loop, ENDPOINT).listen(factory)
loop.run()
