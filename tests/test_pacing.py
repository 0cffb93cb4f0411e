"""How much is read at a time from a peer that keeps the server busy, or does not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import SynchronousTestCase

from tests.loopback import Descriptor, LoopbackCase, Poller, Recording, frame
from tests.support import buildHead
from txhixie import HixieProtocol
from txhixie.websocket.pacing import FIRST, adaptRead


class AdaptTests(SynchronousTestCase):
    """What comes of a read."""

    def after(self, bufferSize: int, *reads: tuple[int, float]) -> int:
        """@return: how much is read after reads of so many bytes that took so many seconds."""
        transport = SimpleNamespace(bufferSize=bufferSize)
        for size, seconds in reads:
            adaptRead(transport, size, seconds)
        size = transport.bufferSize
        assert isinstance(size, int)
        return size

    def test_tooLong(self) -> None:
        """One that took too long is followed by one that should not, by what is known."""
        assert self.after(65536, (65536, 0.02)) == 16384
        assert self.after(65536, (32768, 0.02)) == 8192
        assert self.after(16384, (16384, 0.0101)) == 8110

    def test_least(self) -> None:
        """There is an end to that: each read has its own cost."""
        assert self.after(65536, (65536, 3)) == 4096
        assert self.after(4096, (4096, 3)) == 4096

    def test_quick(self) -> None:
        """Where reads are quick, and full or nearly, more is read: up to what Twisted reads."""
        assert self.after(16384, (16384, 0.001)) == 32768
        assert self.after(16384, *[(65536, 0.001)] * 5) == 65536

    def test_inBetween(self) -> None:
        """The size stays the same for quick reads, and for reads that are not full."""
        assert self.after(16384, (16384, 0.009), (16384, 0.0026)) == 16384
        assert self.after(16384, *[(8192, 0.001)] * 3) == 16384

    def test_wrapped(self) -> None:
        """A transport may be wrapped, and may be one that cannot be told."""
        wrapper: Any = ProtocolWrapper(WrappingFactory(ServerFactory()), Protocol())
        wrapper.transport = SimpleNamespace(bufferSize=65536)
        adaptRead(wrapper, 65536, 0.02)
        assert wrapper.transport.bufferSize == 16384
        adaptRead(object(), 65536, 0.02)


class ConnectionTests(LoopbackCase):
    """What a connection makes of it."""

    clock: Poller

    def setUp(self) -> None:
        self.clock = Poller()
        self.serve()

    def test_slowApplication(self) -> None:
        """It is read less at a time while its application takes long, and more afterwards."""

        def take(recording: Recording, message: str) -> None:
            self.clock.advance(float(message.strip("x")))

        self.record(textMessageReceived=take)
        protocol = self.factory.buildProtocol(None)
        assert isinstance(protocol, HixieProtocol)
        descriptor = Descriptor(self.clock, protocol)
        protocol.dataReceived(buildHead("hixie-75"))
        sizes = []
        for message in ("x" * 5000 + "0.05", "0.05", "x" * 5000 + "0", "x" * 9000 + "0"):
            protocol.dataReceived(frame(message))
            sizes.append(descriptor.bufferSize)
        assert sizes == [4096, 4096, 8192, 16384]

    def test_first(self) -> None:
        """A socket's first read is small. Nothing is changed in a transport of another kind."""
        sizes: list[int] = []
        for secure in (False, True):
            protocol = self.factory.buildProtocol(None)
            assert isinstance(protocol, HixieProtocol)
            sizes.append(Descriptor(self.clock, protocol, secure).bufferSize)
        assert sizes == [FIRST, FileDescriptor.bufferSize]

    def test_little(self) -> None:
        """A read of little says nothing, however long it takes."""
        self.record(textMessageReceived=lambda made, message: self.clock.advance(0.05))
        protocol = self.factory.buildProtocol(None)
        assert isinstance(protocol, HixieProtocol)
        descriptor = Descriptor(self.clock, protocol)
        protocol.dataReceived(buildHead("hixie-75"))
        before = descriptor.bufferSize
        protocol.dataReceived(frame("x" * 4093))
        assert descriptor.bufferSize == before
        protocol.dataReceived(frame("x" * 4094))
        assert descriptor.bufferSize == 4096
