"""How many clients are admitted, and which handshakes make room for newer ones."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.loopback import HEAD75, HEAD76, KEY3, LoopbackCase, TCPWire, Wire
from tests.support import IDIOMS, buildHead, heldBytes
from txhixie import HandshakeError
from txhixie.dialects.head import comeAgain
from txhixie.server.admission import Admission

PLAIN = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
# The first request is answered, and the second is on its way.
BUSY = PLAIN + b"GET"
MALFORMED = b"GET /\r\n"
COME_AGAIN = re.compile(
    rb"HTTP/1\.1 503 Service Unavailable\r\n"
    rb"Retry-After: ([0-9]+)\r\n"
    rb"Content-Type: text/plain; charset=utf-8\r\n"
    rb"Content-Length: [0-9]+\r\n"
    rb"Connection: close\r\n"
    rb"\r\n"
    rb"(.+)\n"
)


def at(address: IPv4Address | UNIXAddress) -> type[TCPWire]:
    """@return: the transport of a client at that address."""

    class There(TCPWire):
        def getPeer(self) -> IPv4Address | UNIXAddress:
            return address

    return There


def by(host: str) -> type[TCPWire]:
    """@return: the transport of a client of that host."""
    return at(IPv4Address("TCP", host, 54321))


class AdmissionCase(LoopbackCase):
    """Has clients that are refused."""

    def assertTurnedAway(self, wire: Wire, text: bytes) -> None:
        """A client was asked to try again later, and then the connection ends."""
        match = COME_AGAIN.fullmatch(wire.take())
        assert match is not None
        assert 5 <= int(match[1]) <= 15
        assert match[2] == text
        assert wire.ended

    def isIn(self, wire: Wire) -> bool:
        """@return: whether a client got its answer."""
        return wire.take()[:12] in (b"HTTP/1.1 101", b"HTTP/1.1 200")


class CountTests(SynchronousTestCase):
    """Which clients are counted, and when refused clients may try again."""

    def test_spread(self) -> None:
        """Clients get different times, from 5 to 15 seconds, so that not all come at once."""
        seconds = {int(dict(comeAgain("x").headers)[b"Retry-After"]) for _ in range(1000)}
        assert seconds == set(range(5, 16))

    def test_nothingKept(self) -> None:
        """Addresses of clients that are gone are not remembered, with a limit or without."""
        for perAddress in (0, 1, 2):
            with self.subTest(perAddress=perAddress):
                admission = Admission(10, perAddress)
                before = heldBytes(admission)
                for number in range(1000):
                    host = f"10.0.{number >> 8}.{number & 255}"
                    admission.admit(host)
                    admission.release(host)
                assert heldBytes(admission) == before

    def test_severalOfOne(self) -> None:
        """
        If several have one address, each that leaves makes room for one, and the last for all.
        """
        admission = Admission(10, 2)
        before = heldBytes(admission)
        for _ in range(2):
            admission.admit("10.0.0.1")
        for _ in range(3):
            with pytest.raises(HandshakeError, match="from this address"):
                admission.admit("10.0.0.1")
            admission.release("10.0.0.1")
            admission.admit("10.0.0.1")
        for _ in range(2):
            admission.release("10.0.0.1")
        assert heldBytes(admission) == before

    def test_network(self) -> None:
        """IPv6 clients of one network of 64 bits count as one, and those of another do not."""
        admission = Admission(10, 1)
        before = heldBytes(admission)
        admission.admit("2001:db8::1")
        for host in ("2001:db8::1", "2001:db8::ffff:2"):
            with pytest.raises(HandshakeError, match="from this address"):
                admission.admit(host)
        admission.admit("2001:db8:0:1::1")
        admission.release("2001:db8::1")
        admission.admit("2001:db8::3")
        for host in ("2001:db8::3", "2001:db8:0:1::1"):
            admission.release(host)
        assert heldBytes(admission) == before

    def test_mapped(self) -> None:
        """An IPv4 address is the same one if it comes through IPv6."""
        admission = Admission(10, 1)
        admission.admit("10.0.0.1")
        with pytest.raises(HandshakeError, match="from this address"):
            admission.admit("::ffff:10.0.0.1")
        admission.release("::ffff:10.0.0.1")
        admission.admit("10.0.0.1")

    def test_withoutAddress(self) -> None:
        """Clients that have no address are counted only in total."""
        admission = Admission(3, 1)
        before = heldBytes(admission)
        for _ in range(2):
            for _ in range(3):
                admission.admit("")
            assert heldBytes(admission) == before
            with pytest.raises(HandshakeError, match="too many connections'"):
                admission.admit("")
            for _ in range(3):
                admission.release("")


class InAllTests(AdmissionCase):
    """The limit on the total number of connections."""

    def ways(self) -> dict[str, Callable[[], TCPWire]]:
        """@return: ways to be admitted, each of which connects."""

        def answered(decide: Callable[..., object], data: bytes) -> TCPWire:
            recorder = self.recorder
            self.record(decide)
            wire = self.connect(data)
            self.factory.application = recorder
            return wire

        def refuse(made: object) -> None:
            raise HandshakeError(403)

        return {
            **{name: lambda name=name: self.open(name) for name in IDIOMS},  # type: ignore[misc]
            "a nonce missing": lambda: self.connect(HEAD76),
            "plain HTTP": lambda: self.connect(BUSY),
            "not found": lambda: answered(lambda made: None, HEAD75),
            "forbidden": lambda: answered(refuse, HEAD75),
            "undecided": lambda: answered(lambda made: Deferred(), HEAD75),
            "malformed keys": lambda: self.connect(HEAD76.replace(b"Key1: 4 @1", b"Key1: 4@1")),
        }

    def test_exactly(self) -> None:
        """As many clients as the limit allows are admitted; the next is refused and counted."""
        self.serve(maxConnections=len(IDIOMS) + 1)
        wires = [self.connect(buildHead(name) + IDIOMS[name].preamble) for name in IDIOMS]
        wires.append(self.connect(BUSY))
        assert all(map(self.isIn, wires))
        for number, data in enumerate((HEAD75, HEAD76 + KEY3, buildHead("rfc6455"), PLAIN), 1):
            self.assertTurnedAway(self.connect(data), b"too many connections")
            assert self.count("refused") == self.count("refused 503") == number
        # Nothing happens to the others.
        assert not any(wire.ended for wire in wires)

    def test_released(self) -> None:
        """An admitted client is counted until its connection is gone, however that happens."""
        for name in self.ways():
            with self.subTest(name):
                self.serve(maxConnections=1)
                wire = self.ways()[name]()
                refused = self.connect(HEAD75)
                self.assertTurnedAway(refused, b"too many connections")
                refused.lose()
                self.assertTurnedAway(self.connect(PLAIN), b"too many connections")
                wire.lose()
                assert self.isIn(self.connect(HEAD75))
                self.assertTurnedAway(self.connect(HEAD75), b"too many connections")

    def test_notCounted(self) -> None:
        """
        Clients with an incomplete request are not counted, and neither are clients refused before
        that.
        """
        self.serve(maxConnections=1, maxFields=10)
        for data in (b"", b"GET / HTTP/1.1\r\n", MALFORMED, b"\x16\x03", HEAD75[:-2]):
            self.connect(data)
        self.connect(PLAIN[:-2] + b"X: y\r\n" * 11 + b"\r\n")
        assert self.isIn(self.connect(HEAD75))

    def test_log(self) -> None:
        """The application never hears of refused clients."""
        self.serve(maxConnections=1)
        self.open()
        for _ in range(3):
            self.connect(HEAD76 + KEY3)
        assert len(self.recorder.made) == 1


class PerAddressTests(AdmissionCase):
    """The limit on connections of one address."""

    text = b"too many connections from this address"

    def test_exactly(self) -> None:
        """Only the address with too many clients is refused."""
        self.serve(maxPerAddress=2)
        wires = [self.connect(HEAD75, by("192.0.2.1")), self.connect(PLAIN, by("192.0.2.1"))]
        assert all(map(self.isIn, wires))
        for data in (HEAD75, PLAIN):
            self.assertTurnedAway(self.connect(data, by("192.0.2.1")), self.text)
        assert self.isIn(self.connect(HEAD75, by("192.0.2.2")))
        wires[0].lose()
        assert self.isIn(self.connect(HEAD75, by("192.0.2.1")))
        self.assertTurnedAway(self.connect(HEAD75, by("192.0.2.1")), self.text)
        assert self.count("refused 503") == 3

    def test_inAll(self) -> None:
        """The limit on all holds as well, and clients over it are not counted by address."""
        self.serve(maxConnections=2, maxPerAddress=2)
        first = self.connect(HEAD75, by("192.0.2.1"))
        self.connect(HEAD75, by("192.0.2.2"))
        for _ in range(3):
            wire = self.connect(HEAD75, by("192.0.2.1"))
            self.assertTurnedAway(wire, b"too many connections")
            wire.lose()
        first.lose()
        assert self.isIn(self.connect(HEAD75, by("192.0.2.1")))

    def test_turnedAwayGone(self) -> None:
        """Refused clients make no room when they leave."""
        self.serve(maxPerAddress=1)
        self.connect(HEAD75)
        for _ in range(3):
            wire = self.connect(HEAD75)
            self.assertTurnedAway(wire, self.text)
            wire.lose()

    def test_unlimited(self) -> None:
        """By default there is no limit."""
        assert all(self.isIn(self.connect(HEAD75)) for _ in range(100))

    def test_unix(self) -> None:
        """Unix sockets have no address to count by."""
        self.serve(maxPerAddress=1)
        kind = at(UNIXAddress(None))
        assert all(self.isIn(self.connect(HEAD75, kind)) for _ in range(3))

    def test_proxy(self) -> None:
        """
        Behind a trusted proxy the client counts; a client that only pretends to have a proxy counts
        itself.
        """
        self.serve(maxPerAddress=1, trustedProxies=("192.0.2.1",))

        def request(client: bytes) -> bytes:
            return HEAD75[:-2] + b"X-Forwarded-For: " + client + b"\r\n\r\n"

        for client in (b"198.51.100.1", b"198.51.100.2"):
            wire = self.connect(request(client), by("192.0.2.1"))
            assert self.isIn(wire)
            self.assertTurnedAway(self.connect(request(client), by("192.0.2.1")), self.text)
            wire.lose()
            assert self.isIn(self.connect(request(client), by("192.0.2.1")))
        assert self.isIn(self.connect(request(b"198.51.100.3"), by("192.0.2.9")))
        self.assertTurnedAway(self.connect(request(b"198.51.100.4"), by("192.0.2.9")), self.text)


class EvictionTests(AdmissionCase):
    """The limit on handshakes: one more, and the oldest has to go."""

    def evicted(self, data: bytes) -> TCPWire:
        """@return: a connection that began with C{data} and had to make room for another."""
        self.serve(maxHandshakes=2)
        oldest, other = self.connect(data), self.connect()
        oldest.take()
        assert not oldest.disconnecting
        newest = self.connect()
        assert oldest.disconnecting
        assert not other.ended
        assert not newest.ended
        assert self.count("handshakes evicted") == 1
        return oldest

    def test_silent(self) -> None:
        """One that said nothing is just closed."""
        assert self.evicted(b"").take() == b""
        assert self.count("refused") == 0

    def test_begun(self) -> None:
        """A client whose request has begun is answered that it took too long."""
        for data in (b"GET / HTTP/1.1\r\n", HEAD76[:-2], PLAIN[:-2]):
            answer = self.evicted(data).take()
            assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
            assert b"\r\nConnection: close\r\n" in answer
            assert self.count("refused 408") == 1

    def test_refused(self) -> None:
        """A client that was refused and stays gets nothing more."""
        for data in (MALFORMED, b"\x16\x03\x01"):
            assert self.evicted(data).take() == b""
            assert self.count("refused 408") == 0

    def test_turnedAway(self) -> None:
        """A refused client gets nothing more either."""
        self.serve(maxHandshakes=1, maxConnections=1)
        self.open()
        away = self.connect(HEAD75)
        self.assertTurnedAway(away, b"too many connections")
        self.connect()
        assert away.disconnecting
        assert away.take() == b""

    def test_stuck(self) -> None:
        """A client that does not even read that is aborted in the end."""
        self.serve(maxHandshakes=1, handshakeTimeout=1000, lingerTimeout=5)
        oldest = self.connect(b"GET / HTTP/1.1\r\n")
        oldest.stuck = True
        newest = self.connect()
        self.pass_(4.5)
        assert not oldest.disconnected
        self.pass_(1)
        assert oldest.disconnected
        newest.lose()
        self.assertQuiet()

    def test_admitted(self) -> None:
        """No admitted client has to go, whatever it waits for."""
        self.serve(maxHandshakes=1)
        wires = [self.open(name) for name in IDIOMS]
        wires += [self.connect(PLAIN), self.connect(HEAD76), self.connect(HEAD76 + KEY3[:7])]
        self.record(lambda made: Deferred())
        wires.append(self.connect(HEAD75))
        self.record(lambda made: None)
        wires.append(self.connect(HEAD75))
        flood = [self.connect() for _ in range(20)]
        assert not any(wire.disconnecting for wire in wires)
        assert [wire.disconnecting for wire in flood] == [True] * 19 + [False]
        assert self.count("handshakes evicted") == 19

    def test_order(self) -> None:
        """The oldest goes first; a client that is gone or admitted makes room without harm."""
        self.serve(maxHandshakes=3)
        first, second, third = (self.connect() for _ in range(3))
        fourth = self.connect()
        assert first.disconnecting
        second.lose()
        fifth = self.connect()
        third.send(HEAD75)
        sixth = self.connect()
        assert self.count("handshakes evicted") == 1
        self.connect()
        assert [wire.disconnecting for wire in (third, fourth, fifth, sixth)] == [
            *(False, True),
            *(False, False),
        ]

    def test_nothingLeft(self) -> None:
        """Nothing is left of clients that had to go."""
        self.serve(maxHandshakes=5)
        wires = [self.connect(data) for data in (b"", b"GET", MALFORMED, b"GET / HTTP/1.1\r\n") * 5]
        self.clock.advance(0)
        assert [wire.lost for wire in wires] == [True] * 15 + [False] * 5
        for wire in wires:
            wire.lose()
        self.assertQuiet()

    def test_timeout(self) -> None:
        """
        Without newer ones each has its full time, and gets an answer if its request has begun.
        """
        wires = [self.connect(data) for data in (b"", b"GET / HTTP/1.1\r\n", HEAD76)]
        wires[2].take()
        self.pass_(10)
        assert [wire.take()[:12] for wire in wires] == [b"", b"HTTP/1.1 408", b""]
        assert all(wire.ended for wire in wires)
        assert self.count("handshakes timed out") == 3
        assert self.count("handshakes evicted") == 0
