"""How much is read at a time from peers that keep the server busy, and from others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import SynchronousTestCase

from tests.loopback import Descriptor, LoopbackCase, Poller, Recording, frame
from tests.support import buildHead, clientFrame
from txhixie import HixieProtocol
from txhixie.websocket.pacing import FIRST, adaptRead, readFrame


class AdaptTests(SynchronousTestCase):
    """The result of a read."""

    def after(self, bufferSize: int, *reads: tuple[int, float]) -> int:
        """@return: how much is read after reads with these sizes in bytes and times in seconds."""
        transport = SimpleNamespace(bufferSize=bufferSize)
        for size, seconds in reads:
            adaptRead(transport, size, seconds)
        size = transport.bufferSize
        assert isinstance(size, int)
        return size

    def test_tooLong(self) -> None:
        """After a read that took too long, the next one is expected to take the right time."""
        assert self.after(65536, (65536, 0.02)) == 16384
        assert self.after(65536, (32768, 0.02)) == 8192
        assert self.after(16384, (16384, 0.0101)) == 8110

    def test_least(self) -> None:
        """The size has a minimum, because each read has a fixed cost."""
        assert self.after(65536, (65536, 3)) == 4096
        assert self.after(4096, (4096, 3)) == 4096

    def test_quick(self) -> None:
        """If reads are quick, and full or nearly full, more is read, up to Twisted's size."""
        assert self.after(16384, (16384, 0.001)) == 32768
        assert self.after(16384, *[(65536, 0.001)] * 5) == 65536

    def test_inBetween(self) -> None:
        """The size stays the same for quick reads, and for reads that are not full."""
        assert self.after(16384, (16384, 0.009), (16384, 0.0026)) == 16384
        assert self.after(16384, *[(8192, 0.001)] * 3) == 16384

    def test_wrapped(self) -> None:
        """A transport may be wrapped, and may have no size to set."""
        wrapper: Any = ProtocolWrapper(WrappingFactory(ServerFactory()), Protocol())
        wrapper.transport = SimpleNamespace(bufferSize=65536)
        adaptRead(wrapper, 65536, 0.02)
        assert wrapper.transport.bufferSize == 16384
        adaptRead(object(), 65536, 0.02)


class FrameTests(SynchronousTestCase):
    """How much of a large frame is read."""

    def after(self, bufferSize: int, *missing: int) -> int:
        """@return: how much is read at each of these numbers of missing bytes."""
        transport = SimpleNamespace(bufferSize=bufferSize)
        for count in missing:
            readFrame(transport, count)
        size = transport.bufferSize
        assert isinstance(size, int)
        return size

    def test_rest(self) -> None:
        """The rest of a frame is read at once, and nothing after it."""
        assert self.after(16384, 65537) == 65537
        assert self.after(16384, 100_000, 70_000) == 70_000

    def test_most(self) -> None:
        """The size has a maximum, because a read takes memory."""
        assert self.after(16384, 2**20) == 2**20
        assert self.after(16384, 2**20 + 1) == 2**20
        assert self.after(16384, 2**62) == 2**20

    def test_small(self) -> None:
        """A rest that fits into an ordinary read changes nothing."""
        for size in (4096, 16384, 65536):
            assert self.after(size, 0) == size
            assert self.after(size, 65536) == size

    def test_end(self) -> None:
        """After it, little is read at first: the time of the next messages is not known."""
        assert self.after(65536, 2**20, 0) == 4096
        assert self.after(65536, 100_000, 65536) == 4096

    def test_wrapped(self) -> None:
        """If bytes pass through something else, nothing changes; some transports have no size."""
        wrapper: Any = ProtocolWrapper(WrappingFactory(ServerFactory()), Protocol())
        wrapper.transport = SimpleNamespace(bufferSize=65536)
        readFrame(wrapper, 2**20)
        assert wrapper.transport.bufferSize == 65536
        readFrame(object(), 2**20)


class ConnectionTests(LoopbackCase):
    """How a connection uses it."""

    clock: Poller

    def setUp(self) -> None:
        self.clock = Poller()
        self.serve()

    def test_slowApplication(self) -> None:
        """Less is read at a time while the application is slow, and more afterwards."""

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
        """A small read is no measure, however long it takes."""
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

    def largeFrame(self, dialect: str, pieces: list[bytes]) -> list[int]:
        """@return: how much is read after each piece of a stream."""
        self.record()
        protocol = self.factory.buildProtocol(None)
        assert isinstance(protocol, HixieProtocol)
        descriptor = Descriptor(self.clock, protocol)
        protocol.dataReceived(buildHead(dialect))
        sizes = []
        for piece in pieces:
            protocol.dataReceived(piece)
            sizes.append(descriptor.bufferSize)
        return sizes

    def test_largeFrame(self) -> None:
        """The rest of a large frame is read at once; a peer of Hixie does not say how large."""
        data = clientFrame(0x82, b"x" * 200_000)
        pieces = [data[:1000], data[1000:50_000], data[50_000:199_000], data[199_000:]]
        missing = [len(data) - 1000, len(data) - 50_000]
        assert self.largeFrame("rfc6455", pieces) == [*missing, 8192, 8192]
        assert (
            max(self.largeFrame("hixie-76", [b"12345678", *[b"\0" + b"x" * 60_000] * 4])) == 65536
        )

    def test_largeFragment(self) -> None:
        """The rest of a large fragment is read at once, too."""
        data = clientFrame(0x02, b"x" * 200_000)
        sizes = self.largeFrame("rfc6455", [data[:1000], data[1000:], clientFrame(0x80, b"")])
        assert sizes == [len(data) - 1000, 8192, 8192]

    def test_claimed(self) -> None:
        """A frame that is too large according to its header is not waited for."""
        data = clientFrame(0x82, b"x")[:1] + b"\xff" + (2**40).to_bytes(8, "big") + b"mask"
        before, after = self.largeFrame("rfc6455", [b"", data])
        assert before == after
