"""When connections are accepted, and how waiting connections get accepted."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import ExitStack, closing
from typing import Any
from unittest.mock import patch

from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.protocol import ServerFactory
from twisted.internet.tcp import Port as TCPPort
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.loopback import HEAD75, Poller
from txhixie import Echo, HixieFactory, Settings
from txhixie.server.accepting import Accepting, ControlledEndpoint, descriptorLimit


@implementer(IListeningPort)
class Port(FileDescriptor):
    """A port whose clients exist only as numbers, as many as needed."""

    numberAccepts = 100

    def __init__(self, reactor: Poller, accepting: Accepting) -> None:
        super().__init__(reactor)  # type: ignore[arg-type]
        self.reads = reactor
        self.accepting = accepting
        self.startReading()

    @property
    def listens(self) -> bool:
        """Whether it accepts connections."""
        return self in self.reads.readers  # type: ignore[comparison-overlap]

    def flood(self) -> int:
        """@return: how many connections it accepts in one turn, if there is no limit."""
        if not self.listens:
            return 0
        count = self.numberAccepts
        for _ in range(count):
            self.accepting.connected()
        # As Twisted's own ports do.
        if count == self.numberAccepts:
            self.numberAccepts += 20
        else:
            self.numberAccepts = max(1, count)
        return count

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 80)

    def startListening(self) -> None:
        """A fake port always does."""

    def stopListening(self) -> None:
        """Nothing to do."""


class Plain(FileDescriptor):
    """A port that does not show how often it accepts."""

    def __init__(self, reactor: Poller) -> None:
        super().__init__(reactor)  # type: ignore[arg-type]
        self.startReading()


class AcceptingCase(SynchronousTestCase):
    """Has ports, and counts how often they stop."""

    def setUp(self) -> None:
        self.poller = Poller()
        self.pauses = 0

    def _paused(self) -> None:
        self.pauses += 1

    def accept(self, rate: float = 0, descriptors: int | None = None) -> Port:
        """@return: a port that is under control."""
        self.accepting = Accepting(self.poller, rate, self._paused, lambda: descriptors)
        return self.accepting.add(Port(self.poller, self.accepting))


class RateTests(AcceptingCase):
    """A limit on connections per second."""

    def test_one(self) -> None:
        """With ten per second, the next one waits a tenth of a second."""
        port = self.accept(10)
        assert port.numberAccepts == 1
        self.accepting.connected()
        assert not port.listens
        self.poller.advance(0.09)
        assert not port.listens
        self.poller.advance(0.02)
        assert port.listens
        assert self.pauses == 1
        assert self.poller.getDelayedCalls() == []

    def test_flood(self) -> None:
        """A flood is accepted as fast as the limit allows, and not faster."""
        for rate in (0.5, 1, 7, 10, 100, 1000):
            with self.subTest(rate=rate):
                port = self.accept(rate)
                count = 0
                for _ in range(2000):
                    count += port.flood()
                    self.poller.advance(0.01)
                # Twisted's ports may accept a few more after they are asked to stop.
                assert 0.95 * 20 * rate <= count <= 20 * rate + max(1, rate / 5) + 20

    def test_atOnce(self) -> None:
        """What the rate allows in a tenth of a second may come at once, without a pause."""
        port = self.accept(100)
        for _ in range(9):
            self.accepting.connected()
            assert port.listens
        assert self.poller.getDelayedCalls() == []
        self.accepting.connected()
        assert not port.listens
        assert self.pauses == 1

    def test_calm(self) -> None:
        """Clients that come slower than that never wait, and a long calm gains nothing."""
        port = self.accept(10)
        for _ in range(100):
            self.poller.advance(0.11)
            assert port.listens
            self.accepting.connected()
        self.poller.advance(1000)
        self.accepting.connected()
        assert not port.listens

    def test_unlimited(self) -> None:
        """Without a rate nothing waits, and ports keep their own behaviour."""
        port = self.accept()
        assert port.numberAccepts == 100
        assert sum(port.flood() for _ in range(10)) == sum(range(100, 300, 20))
        assert self.pauses == 0
        assert self.poller.getDelayedCalls() == []

    def test_goneMeanwhile(self) -> None:
        """Clients that leave are no reason to accept sooner."""
        port = self.accept(10)
        self.accepting.connected()
        self.accepting.disconnected()
        assert not port.listens
        self.poller.advance(0.1)
        assert port.listens

    def test_notListening(self) -> None:
        """Connections that do not come from a controlled port have no rate."""
        self.accepting = Accepting(self.poller, 10, self._paused, lambda: None)
        self.accepting.connected()
        assert self.poller.getDelayedCalls() == []
        assert self.pauses == 0


class CapacityTests(AcceptingCase):
    """No more connections than there are descriptors for."""

    def test_exactly(self) -> None:
        """A quarter of the descriptors is left for other things, but not more than 128."""
        for descriptors, capacity, atOnce in (
            *((4, 3, 1), (100, 75, 12), (512, 384, 64), (1000, 872, 64)),
            *((100_000, 99_872, 64),),
        ):
            with self.subTest(descriptors=descriptors):
                self.pauses = 0
                port = self.accept(descriptors=descriptors)
                assert port.numberAccepts == atOnce
                for _ in range(capacity - 1):
                    self.accepting.connected()
                assert port.listens
                self.accepting.connected()
                assert not port.listens
                # What it still accepts in the same turn is no second pause.
                self.accepting.connected()
                self.accepting.disconnected()
                assert not port.listens
                assert self.pauses == 1
                self.accepting.disconnected()
                assert port.listens

    def test_connectionsBefore(self) -> None:
        """Connections that exist already are not counted against the descriptors that are left."""
        self.accepting = Accepting(self.poller, 0, self._paused, lambda: 4)
        for _ in range(10):
            self.accepting.connected()
        port = self.accepting.add(Port(self.poller, self.accepting))
        for _ in range(3):
            assert port.listens
            self.accepting.connected()
        assert not port.listens

    def test_flood(self) -> None:
        """However many come, there is always a descriptor for each."""
        for descriptors in (16, 100, 200, 500, 1000, 5000):
            with self.subTest(descriptors=descriptors):
                port = self.accept(descriptors=descriptors)
                assert sum(port.flood() for _ in range(500)) < descriptors

    def test_withRate(self) -> None:
        """When the rate would allow more, there still have to be descriptors."""
        port = self.accept(10, 4)
        for _ in range(3):
            self.accepting.connected()
            self.poller.advance(0.5)
        assert not port.listens
        self.accepting.disconnected()
        assert port.listens

    def test_unknown(self) -> None:
        """If the number of descriptors is not known, there is no limit."""
        port = self.accept(descriptors=None)
        for _ in range(100_000):
            self.accepting.connected()
        assert port.listens

    def test_measuredAnew(self) -> None:
        """A server that starts again counts again."""
        left = iter((4, 8))
        self.accepting = Accepting(self.poller, 0, self._paused, lambda: next(left))
        self.accepting.add(Port(self.poller, self.accepting))
        # A second port is no reason to count again.
        self.accepting.add(Port(self.poller, self.accepting))
        self.accepting.clear()
        port = self.accepting.add(Port(self.poller, self.accepting))
        for _ in range(5):
            self.accepting.connected()
        assert port.listens
        self.accepting.connected()
        assert not port.listens


class PortsTests(AcceptingCase):
    """What is under control."""

    def test_several(self) -> None:
        """All ports stop, and go on, together."""
        ports = [self.accept(10)]
        ports.append(self.accepting.add(Port(self.poller, self.accepting)))
        self.accepting.connected()
        assert [port.listens for port in ports] == [False, False]
        self.poller.advance(0.1)
        assert [port.listens for port in ports] == [True, True]
        # They do not keep the number that they grew to.
        ports[0].numberAccepts = 50
        self.accepting.connected()
        self.poller.advance(0.1)
        assert [port.numberAccepts for port in ports] == [1, 1]

    def test_plain(self) -> None:
        """A port that does not show how often it accepts stops, too."""
        self.accepting = Accepting(self.poller, 10, self._paused, lambda: None)
        port = self.accepting.add(Plain(self.poller))
        assert not hasattr(port, "numberAccepts")
        self.accepting.connected()
        assert not self.poller.readers
        self.poller.advance(0.1)
        assert self.poller.readers
        assert not hasattr(port, "numberAccepts")

    def test_others(self) -> None:
        """Something that is not a descriptor is left alone."""
        self.accepting = Accepting(self.poller, 10, self._paused, lambda: 4)
        port = object()
        assert self.accepting.add(port) is port
        for _ in range(10):
            self.accepting.connected()
        assert self.pauses == 0

    def test_clear(self) -> None:
        """Ports that stop listening are released for good: none of them starts again."""
        port = self.accept(10)
        self.accepting.connected()
        self.accepting.clear()
        assert self.poller.getDelayedCalls() == []
        self.accepting.disconnected()
        self.poller.advance(1)
        assert not port.listens
        self.accepting.clear()

    def test_clearFull(self) -> None:
        """
        Connections that do not come from a port are no reason to pause one that is added later.
        """
        self.accept(descriptors=4)
        self.accepting.clear()
        for _ in range(5):
            self.accepting.connected()
        assert self.pauses == 0
        port = self.accepting.add(Port(self.poller, self.accepting))
        assert port.listens

    def test_clearReading(self) -> None:
        """Connections that do not wait are no reason either."""
        port = self.accept(10)
        self.accepting.clear()
        self.accepting.connected()
        assert port.listens

    def test_addedWhilePaused(self) -> None:
        """A port that is added while accepting is paused waits with the others."""
        for rate, descriptors in ((10, None), (0, 4)):
            with self.subTest(rate=rate):
                port = self.accept(rate, descriptors)
                while port.listens:
                    self.accepting.connected()
                added = self.accepting.add(Port(self.poller, self.accepting))
                assert not added.listens
                assert self.pauses == 1
                self.accepting.disconnected()
                self.poller.advance(0.1)
                assert (port.listens, added.listens) == (True, True)
                assert port.numberAccepts == added.numberAccepts
                self.pauses = 0

    def test_addedAfterClear(self) -> None:
        """Ports that are added after a pause was cut short listen, and are paused again."""
        for rate, descriptors in ((10, None), (0, 4)):
            with self.subTest(rate=rate):
                port = self.accept(rate, descriptors)
                while port.listens:
                    self.accepting.connected()
                self.accepting.clear()
                for _ in range(2):
                    added = self.accepting.add(Port(self.poller, self.accepting))
                    assert added.listens
                for _ in range(1 if rate else 3):
                    assert added.listens
                    self.accepting.connected()
                assert not added.listens
                assert self.pauses == 2
                assert not port.listens
                self.accepting.disconnected()
                self.poller.advance(0.1)
                assert added.listens
                assert not port.listens
                self.pauses = 0

    def test_allGoneWhileCleared(self) -> None:
        """A client that leaves while no port listens is not counted when one listens again."""
        port = self.accept(descriptors=4)
        for _ in range(3):
            self.accepting.connected()
        self.accepting.clear()
        for _ in range(3):
            self.accepting.disconnected()
        port = self.accepting.add(Port(self.poller, self.accepting))
        for _ in range(2):
            self.accepting.connected()
        assert port.listens
        self.accepting.connected()
        assert not port.listens

    def test_endpoint(self) -> None:
        """An endpoint's port is put under control when it listens."""
        self.accepting = Accepting(self.poller, 0, self._paused, lambda: 4)
        made = Port(self.poller, self.accepting)
        asked: list[object] = []

        class Endpoint:
            def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
                asked.append(factory)
                return succeed(made)

        factory = ServerFactory()
        endpoint: Any = Endpoint()
        listening = ControlledEndpoint(endpoint, self.accepting, Settings()).listen(factory)
        assert self.successResultOf(listening) is made
        assert asked == [factory]
        for _ in range(3):
            self.accepting.connected()
        assert not made.listens


class DescriptorLimitTests(SynchronousTestCase):
    """How many descriptors there are."""

    def test_real(self) -> None:
        """Each descriptor that is opened reduces the number by one."""
        before = descriptorLimit()
        with open(os.devnull):
            after = descriptorLimit()
        assert before is None or after == before - 1

    def test_unknown(self) -> None:
        """It may not be known, or not be limited."""
        import resource

        self.patch(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
        assert descriptorLimit() is None
        self.patch(resource, "getrlimit", lambda _: (10**6, 10**6))
        assert (descriptorLimit() or 0) > 900_000

        def listdir(path: str) -> list[str]:
            raise FileNotFoundError(path)

        self.patch(os, "listdir", listdir)
        assert descriptorLimit() is None

    def test_soft(self) -> None:
        """The soft limit counts, because a process may not open more."""
        import resource

        limits = []
        for pair in ((500, 1000), (501, 1000), (501, 2000)):
            self.patch(resource, "getrlimit", lambda _, pair=pair: pair)
            limits.append(descriptorLimit())
        assert limits[0] is not None
        assert limits == [limits[0], limits[0] + 1, limits[0] + 1]

    def test_elsewhere(self) -> None:
        """Some systems have none of it."""
        with patch.dict(sys.modules, {"resource": None}):
            assert descriptorLimit() is None


class RealPortTests(SynchronousTestCase):
    """A server on a real port, whose reactor is a L{Poller}."""

    def test_waitingGetIn(self) -> None:
        """All connections that have to wait for the rate are accepted in their turn."""
        poller = Poller()
        factory = HixieFactory(Echo(), None, Settings(acceptRate=20), poller)
        port = TCPPort(0, factory, 100, "127.0.0.1", poller)
        port.startListening()
        self.addCleanup(port.connectionLost, Failure(ConnectionDone()))
        assert factory.accepting.add(port) is port
        with ExitStack() as stack:
            clients = [
                stack.enter_context(closing(socket.create_connection(port.socket.getsockname())))
                for _ in range(30)
            ]
            for client in clients:
                client.sendall(HEAD75)
            turns = 0
            while len(factory.connections) < len(clients):
                for reader in list(poller.readers):
                    # The system notifies a waiting port and waiting connections alike.
                    reader.doRead()
                poller.advance(0.01)
                turns += 1
                assert turns < 1000
            # The first two at once, then one every twentieth of a second.
            assert 130 <= turns <= 150
            for client in clients:
                assert client.recv(1 << 12).startswith(b"HTTP/1.1 101 ")
            events = factory.statistics()["events"]
            assert events["accepting paused"] > 10
            assert events["refused"] == 0
            factory.abortConnections()
            poller.advance(0)
            assert not factory.connections
