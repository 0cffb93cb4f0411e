"""What only shows when the parts of a connection, and several connections, work together."""

from __future__ import annotations

import gc
import os
import resource
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from tests.loopback import (
    FINISHED,
    HEAD75,
    HEAD76,
    KEY3,
    LOST,
    STARTED,
    Descriptor,
    LoopbackCase,
    Poller,
    Recording,
    TCPWire,
    TLSWire,
    Wire,
)
from tests.support import IDIOMS, MODERN, buildHead, clientFrame, heldBytes
from txhixie import CloseCode, HandshakeError, WebSocketDone, WebSocketLost

PLAIN = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
# A client that offers compression, which is accepted if the settings allow it.
OFFER = [(b"Sec-WebSocket-Extensions", b"permessage-deflate")]


def fails(made: Recording, *arguments: object) -> None:
    """A hook that raises an error."""
    raise ZeroDivisionError


class ErrorTests(LoopbackCase):
    """An application's error, and what its client sends after it in the same segment."""

    def variants(self) -> Iterator[tuple[str, bool]]:
        """Go through all dialects, and compression; each application raises an error."""
        for dialect, compression in [*((dialect, False) for dialect in IDIOMS), ("rfc6455", True)]:
            with self.subTest(dialect, compression=compression):
                self.serve(compression=compression)
                self.record(textMessageReceived=fails)
                yield dialect, compression

    def said(self, dialect: str, data: bytes) -> TCPWire:
        """@return: a client that sent something for which its application raised an error."""
        offer = OFFER if dialect in MODERN else ()
        wire = self.connect(buildHead(dialect, extra=offer) + IDIOMS[dialect].preamble)
        wire.take()
        wire.send(data)
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
        assert self.calls == [STARTED, FINISHED, "text: hello"]
        return wire

    def test_close(self) -> None:
        """
        The client's close is seen, and both sides are done; messages between are not delivered.
        """
        for dialect, _ in self.variants():
            idiom = IDIOMS[dialect]
            # Compressed data is read in smaller slices.
            between = idiom.clientText("x" * 10_000) + idiom.clientText("y")
            wire = self.said(dialect, idiom.clientText("hello") + between + idiom.clientClose)
            assert wire.ended
            wire.lose()
            assert self.calls[3:] == [LOST]
            assert type(self.ending) is WebSocketDone
            assert self.ending.code == (1000 if dialect in MODERN else CloseCode.NO_STATUS)
            assert self.count("closing timed out") == 0
            self.assertQuiet()

    def test_breach(self) -> None:
        """
        A breach of the protocol is seen as well, is counted, and decides how the connection ends.
        """
        for dialect, _ in self.variants():
            idiom = IDIOMS[dialect]
            between = idiom.clientText("x" * 10_000)
            wire = self.said(dialect, idiom.clientText("hello") + between + idiom.breach)
            assert wire.ended
            assert self.count("failed 1002") == 1
            wire.lose()
            assert self.calls[3:] == [LOST]
            assert type(self.ending) is WebSocketLost
            assert self.ending.code == CloseCode.PROTOCOL_ERROR
            self.assertQuiet()

    def test_pong(self) -> None:
        """A pong is no longer delivered, whichever side closed."""
        self.record(textMessageReceived=fails)
        self.said("rfc6455", clientFrame(0x81, b"hello") + clientFrame(0x8A, b"pong"))


class ReentrantTests(LoopbackCase):
    """Transports that pause and resume their producer while they are being written to."""

    class Eager(TCPWire):
        """Pauses its producer as soon as it has any data; counts how often it was asked to end."""

        ends = 0

        def write(self, data: bytes) -> None:
            super().write(data)
            if self.producer is not None:
                self.producer.pauseProducing()
                self.producer.resumeProducing()

        def loseWriteConnection(self) -> None:
            super().loseWriteConnection()
            self.ends += 1

    def test_endsOnce(self) -> None:
        """The last write is followed by one end, whichever side closed."""
        for dialect, idiom in IDIOMS.items():
            for weClose in (False, True):
                with self.subTest(dialect, weClose=weClose):
                    self.serve(closeTimeout=2)
                    wire = self.open(dialect, kind=self.Eager)
                    wire.send(idiom.clientText("hello"))
                    if weClose:
                        self.recorder.made[-1].transport.loseConnection()
                    wire.send(idiom.clientClose or idiom.breach)
                    assert wire.take().startswith(idiom.serverText("hello"))
                    assert wire.ends == 1
                    # It has no more time to end than others.
                    self.pass_(1.5)
                    assert not wire.disconnecting
                    self.pass_(0.5)
                    assert wire.disconnecting
                    self.assertQuiet()


class Broken(Descriptor):
    """A socket whose peer has reset the connection; no read has shown that yet."""

    def shutdown(self, how: int) -> None:
        raise OSError(107, "Transport endpoint is not connected")


class ResetTests(LoopbackCase):
    """A peer that has reset the connection when we end it."""

    clock: Poller

    def setUp(self) -> None:
        self.clock = Poller()
        self.serve()

    def test_reset(self) -> None:
        """That is no error: the connection ends as usual, and its loss is reported once."""
        for dialect, idiom in IDIOMS.items():
            with self.subTest(dialect):
                descriptor = Broken(self.clock, self.factory.buildProtocol(None))  # type: ignore[arg-type]
                descriptor.protocol.dataReceived(buildHead(dialect) + idiom.preamble)
                self.recorder.made[-1].transport.loseConnection()
                if idiom.clientClose:
                    descriptor.protocol.dataReceived(idiom.clientClose)
                assert descriptor.take().endswith(idiom.serverClose)
                descriptor.protocol.connectionLost(Failure(ConnectionLost()))
                assert self.calls == [STARTED, FINISHED, LOST]
                assert type(self.ending) is WebSocketDone
                self.assertQuiet()

    def test_stays(self) -> None:
        """If nothing reports the reset, the connection is ended in time."""
        descriptor = Broken(self.clock, self.factory.buildProtocol(None))  # type: ignore[arg-type]
        descriptor.protocol.dataReceived(buildHead("rfc6455"))
        descriptor.protocol.dataReceived(IDIOMS["rfc6455"].clientClose)
        assert not descriptor.disconnecting
        self.pass_(2)
        assert descriptor.disconnecting


class LingeringTests(LoopbackCase):
    """Clients that were refused, and stay."""

    def test_refused(self) -> None:
        """
        Whatever the reason of the refusal, and on every transport, they have a limited time to
        leave, and then to read, even if they go on sending.
        """

        def forbid(made: Recording) -> Any:
            raise HandshakeError(403)

        heads = {
            "forbidden": buildHead("rfc6455"),
            "no HTTP": b"GET /\r\n",
            "not HTTP": b"\x16\x03\x01",
            "no host": HEAD76.replace(b"Host: example.com\r\n", b""),
        }
        for name, head in heads.items():
            for kind in (TCPWire, TLSWire, Wire):
                with self.subTest(name, kind=kind.__name__):
                    self.serve(closeTimeout=2, lingerTimeout=5)
                    self.record(forbid)
                    stuck: type[Wire] = type("Stuck", (kind,), {"stuck": True})
                    wire: Wire = self.connect(head, stuck)
                    assert wire.ended
                    half = wire.halfClosed
                    assert half is (kind is TCPWire)
                    for _ in range(4 if half else 0):
                        assert not wire.disconnecting
                        wire.send(HEAD75)
                        self.clock.advance(0.5)
                    assert wire.disconnecting
                    self.pass_(4.5)
                    assert not wire.disconnected
                    self.pass_(0.5)
                    assert wire.disconnected
                    assert self.count("closing timed out") == 1
                    self.assertQuiet()


def at(address: object) -> type[TCPWire]:
    """@return: the transport of a client at that address."""

    class There(TCPWire):
        def getPeer(self) -> Any:
            return address

    return There


class NothingLeftTests(LoopbackCase):
    """A server whose clients are all gone."""

    def ways(self) -> dict[str, Callable[[type[TCPWire]], TCPWire]]:
        """@return: ways to connect, to be admitted or not, and to send something."""

        def talks(kind: type[TCPWire], dialect: str) -> TCPWire:
            idiom = IDIOMS[dialect]
            wire = self.connect(buildHead(dialect) + idiom.preamble, kind)
            wire.send(idiom.clientText("hello") + idiom.clientText("half of it")[:-3])
            return wire

        def decided(kind: type[TCPWire], decide: Callable[[Recording], Any]) -> TCPWire:
            self.recorder.decide = decide
            wire = self.connect(HEAD75, kind)
            self.recorder.decide = lambda made: made
            return wire

        def waits(made: Recording) -> Any:
            made.request.notifyFinish().addErrback(lambda failure: None)
            return Deferred()

        def clogged(kind: type[TCPWire], dialect: str) -> TCPWire:
            wire = talks(kind, dialect)
            assert wire.producer is not None
            wire.producer.pauseProducing()
            for _ in range(5):
                self.recorder.made[-1].transport.sendTextMessage("x" * 1000)
                self.clock.advance(0)
            return wire

        return {
            **{name: lambda kind, name=name: talks(kind, name) for name in IDIOMS},  # type: ignore[misc]
            **{f"{name}, clogged": lambda kind, name=name: clogged(kind, name) for name in IDIOMS},  # type: ignore[misc]
            "a nonce missing": lambda kind: self.connect(HEAD76 + KEY3[:3], kind),
            "plain HTTP": lambda kind: self.connect(PLAIN, kind),
            "a body missing": lambda kind: self.connect(
                PLAIN[:-2] + b"Content-Length: 9\r\n\r\nx", kind
            ),
            "not found": lambda kind: decided(kind, lambda made: None),
            "undecided": lambda kind: decided(kind, waits),
            "silent": lambda kind: self.connect(b"", kind),
            "begun": lambda kind: self.connect(b"GET / HTTP/1.1\r\nHost: x", kind),
            "malformed": lambda kind: self.connect(b"GET /\r\n", kind),
            "not HTTP": lambda kind: self.connect(b"\x16\x03\x01", kind),
        }

    def test_tables(self) -> None:
        """Nothing is kept of any connection, from any address, in whatever state it ended."""
        for policy in ("close", "drop", "latest"):
            with self.subTest(policy):
                self.serve(maxPerAddress=100, sendLimit=2000, slowPolicy=policy, idleTimeout=60)
                sizes = []
                for number in range(3):
                    wires = []
                    for each, connect in enumerate(self.ways().values()):
                        address: object = IPv4Address("TCP", f"10.{number}.{each}.1", 80)
                        if each % 2:
                            address = IPv6Address("TCP", f"2001:db8::{number}:{each}", 80)
                        wires.append(connect(at(address)))
                    for each, wire in enumerate(wires):
                        wire.lose((ConnectionDone, ConnectionLost, ConnectionAborted)[each % 3]())
                    self.assertQuiet()
                    self.recorder.made.clear()
                    self.clock.advance(10)
                    self.factory.shared.log.stop()
                    del wires, wire
                    gc.collect()
                    sizes.append(heldBytes(self.factory))
                assert len(set(sizes[1:])) == 1

    def test_admittedAgain(self) -> None:
        """There is then room for as many again, from one address and in total."""
        ways = self.ways()
        self.serve(maxPerAddress=len(ways), maxConnections=len(ways), maxHandshakes=len(ways))
        for _ in range(3):
            wires = [connect(TCPWire) for connect in ways.values()]
            assert self.count("refused 503") == 0
            assert self.count("handshakes evicted") == 0
            for wire in wires:
                wire.lose()
        self.assertQuiet()

    def test_acceptedAgain(self) -> None:
        """Another one is accepted, even if the descriptors allow no more than before."""
        inUse = len(os.listdir("/dev/fd"))
        self.patch(resource, "getrlimit", lambda kind: (inUse + 8, inUse + 8))
        poller = Poller()
        port: Any = FileDescriptor(poller)  # type: ignore[arg-type]
        port.startReading()
        self.factory.accepting.add(port)
        while port in poller.readers:
            wire = self.connect()
        wire.lose()
        assert port in poller.readers
        for name, connect in self.ways().items():
            with self.subTest(name):
                wire = connect(TCPWire)
                assert port not in poller.readers
                wire.lose()
                assert port in poller.readers
        assert self.count("accepting paused") == 1 + len(self.ways())
