"""How much memory all connections may hold, and for how long a message may be unfinished."""

from __future__ import annotations

import os
import random
import resource
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.error import ConnectionAborted
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.loopback import (
    CLOSE,
    Descriptor,
    LoopbackCase,
    Poller,
    Recording,
    TCPWire,
    TLSWire,
    Wire,
    frame,
)
from tests.support import IDIOMS, MODERN, Deflater, buildHead, clientFrame
from tests.test_plain import posting
from txhixie import HixieProtocol
from txhixie.websocket import memory
from txhixie.websocket.budget import Budget


def begun(dialect: str, size: int) -> bytes:
    """@return: the beginning of a message with C{size} bytes of payload."""
    if dialect in MODERN:
        return clientFrame(1, b"x" * size)
    return b"\0" + b"x" * size


def rest(dialect: str) -> bytes:
    """@return: the end of a message."""
    return clientFrame(0x80, b"") if dialect in MODERN else b"\xff"


class Holder:
    """Holds a given number of bytes, and less if it has to."""

    def __init__(self, budget: Budget, name: str, order: list[str]) -> None:
        self.budget = budget
        self.name = name
        self.order = order

    def hold(self, size: int) -> None:
        """Hold this number of bytes."""
        self.budget.report(self, size)

    def relieve(self) -> None:
        self.order.append(self.name)
        self.hold(0)


class Stubborn(Holder):
    """Cannot hold less."""

    def relieve(self) -> None:
        self.order.append(self.name)


class BudgetTests(SynchronousTestCase):
    """The budget by itself."""

    def setUp(self) -> None:
        self.budget = Budget(1000)
        self.order: list[str] = []

    def holder(self, name: str, kind: type[Holder] = Holder) -> Holder:
        """@return: one that holds nothing yet."""
        return kind(self.budget, name, self.order)

    def test_sum(self) -> None:
        """What is held is the sum of the last reports."""
        holders = [self.holder(str(number)) for number in range(5)]
        sizes = dict.fromkeys(holders, 0)
        randomly = random.Random(1)
        for _ in range(1000):
            holder = randomly.choice(holders)
            sizes[holder] = randomly.choice((0, 1, 2, 100, 127, 128, 200))
            holder.hold(sizes[holder])
            assert self.budget.held == sum(sizes.values())
        for holder in holders:
            holder.hold(0)
        assert self.budget.held == 0
        assert self.order == []

    def test_exactly(self) -> None:
        """Holders may hold exactly the limit."""
        a, b = self.holder("a"), self.holder("b")
        a.hold(400)
        b.hold(600)
        assert self.order == []
        b.hold(601)
        assert (self.order, self.budget.held) == (["b"], 400)

    def test_largest(self) -> None:
        """The largest share goes first, whichever holder reports, and as many go as necessary."""
        a, b, c, d = map(self.holder, "abcd")
        a.hold(100)
        b.hold(500)
        c.hold(200)
        a.hold(301)
        assert self.order == ["b"]
        d.hold(900)
        assert self.order == ["b", "d"]
        assert self.budget.held == 501

    def test_oldest(self) -> None:
        """Of shares of about the same size, the oldest goes."""
        holders = [self.holder(name) for name in "abc"]
        for number, holder in enumerate(holders):
            holder.hold(300 + number)
        self.holder("d").hold(120)
        assert self.order == ["a"]

    def test_stubborn(self) -> None:
        """
        A holder that cannot hold less is asked once, and is not counted until it reports again.
        """
        stubborn = self.holder("a", Stubborn)
        stubborn.hold(2000)
        assert (self.order, self.budget.held) == (["a"], 0)
        self.holder("b").hold(1000)
        assert self.order == ["a"]
        stubborn.hold(1)
        assert self.order == ["a", "b"]

    def test_within(self) -> None:
        """What others report meanwhile is counted, and nothing is asked in between."""
        b = self.holder("b")

        class Passing(Holder):
            def relieve(self) -> None:
                super().relieve()
                b.hold(1100)
                self.order.append("done")

        self.holder("a", Passing).hold(1001)
        assert self.order == ["a", "done", "b"]
        assert self.budget.held == 0

    def test_failing(self) -> None:
        """An error affects nothing else."""

        class Failing(Holder):
            def relieve(self) -> None:
                self.hold(0)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            self.holder("a", Failing).hold(1001)
        self.holder("b").hold(1001)
        assert self.order == ["b"]

    def test_unlimited(self) -> None:
        """Without a limit nothing has to be freed."""
        budget = Budget(0)
        Holder(budget, "a", self.order).hold(1 << 60)
        assert (self.order, budget.held) == ([], 1 << 60)


class MessageTests(LoopbackCase):
    """Messages that are not complete."""

    def held(self) -> int:
        """@return: what all connections hold."""
        return self.factory.shared.budget.held

    def test_counted(self) -> None:
        """The part of a message that has arrived is held until it is complete, in every dialect."""
        for dialect in IDIOMS:
            for kind in (TCPWire, TLSWire):
                wire = self.open(dialect, kind=kind)
                wire.send(begun(dialect, 1000))
                assert self.held() == 1001
                wire.send(clientFrame(0, b"x") if dialect in MODERN else b"x")
                assert self.held() == 1002
                wire.send(rest(dialect))
                assert self.held() == 0

    def test_whole(self) -> None:
        """Whole messages are not held, however many come at once; neither are their answers."""
        reports: list[object] = []
        for dialect in IDIOMS:
            wire = self.open(dialect)
            self.factory.shared.budget.report = lambda *args: reports.append(args)  # type: ignore[method-assign]
            text = IDIOMS[dialect].clientText("x" * 10_000)
            wire.send(text)
            wire.send(text * 10)
            self.serve()
        assert reports == []

    def test_partOfAFrame(self) -> None:
        """The beginning of a frame is held, in whatever pieces it comes."""
        for dialect in MODERN:
            wire = self.open(dialect)
            data = IDIOMS[dialect].clientText("x" * 5000)
            for piece in (data[:1], data[1:2000], data[2000:4000]):
                wire.send(piece)
            assert 3900 < self.held() <= 4000
            wire.send(data[4000:] + data[:100])
            assert 80 < self.held() <= 100
            wire.send(data[100:])
            assert self.held() == 0

    def test_afterAnother(self) -> None:
        """The beginning of a frame after a complete message is held, too."""
        for dialect in IDIOMS:
            wire = self.open(dialect)
            wire.send(IDIOMS[dialect].clientText("whole") + begun(dialect, 700))
            assert self.held() == 701
            wire.lose()
            assert self.held() == 0

    def test_parked(self) -> None:
        """It is also held if it came while the application was paused."""
        wire = self.open("hixie-76")
        wire.webSocket.pauseProducing()
        wire.protocol.dataReceived(begun("hixie-76", 500))
        assert self.held() == 0
        before = wire.webSocket.bytesReceived
        wire.webSocket.resumeProducing()
        assert self.held() == 501
        assert wire.webSocket.bytesReceived - before == len(begun("hixie-76", 500))

    def inflated(self, wire: Wire, size: int) -> None:
        """Send the beginning of a compressed message that inflates to C{size} bytes."""
        wire.send(clientFrame(0x41, Deflater(level=9).compress(b"x" * size) + b"\0\0\xff\xff"))

    def test_compressed(self) -> None:
        """A compressed message counts with its inflated size."""
        self.serve(compression=True)
        offer = [(b"Sec-WebSocket-Extensions", b"permessage-deflate")]
        wire = self.connect(buildHead("rfc6455", extra=offer))
        self.inflated(wire, 100_000)
        assert self.held() == 100_001
        wire.send(clientFrame(0x80, b"\0"))
        assert self.held() == 0
        assert self.calls[-1] == "text: " + "x" * 100_000

    def test_closed(self) -> None:
        """Beyond the limit the largest is closed at once with 1009, and no other."""
        for dialect in IDIOMS:
            self.serve(memoryLimit=1000)
            large, small = self.open(dialect), self.open(dialect)
            small.send(begun(dialect, 300))
            large.send(begun(dialect, 698))
            assert large.take() == b""
            small.send(clientFrame(0, b"x") if dialect in MODERN else b"x")
            answer = large.take()
            assert self.held() < 310
            assert self.count("memory relieved") == self.count("failed 1009") == 1
            assert large.ended
            assert not small.ended
            if dialect in MODERN:
                assert answer[2:4] == (1009).to_bytes(2, "big")
            else:
                assert answer == IDIOMS[dialect].serverClose
            # What still comes does no harm.
            large.send(begun(dialect, 2000) + rest(dialect))
            large.lose()
            assert self.recorder.made[0].ending.code == 1009
            small.send(rest(dialect))

    def test_own(self) -> None:
        """
        The connection that exceeds the limit may be the largest, in the middle of other messages.
        """
        for dialect in IDIOMS:
            self.serve(memoryLimit=1000)
            wire = self.open(dialect)
            wire.send(IDIOMS[dialect].clientText("hi") + begun(dialect, 1001))
            assert IDIOMS[dialect].serverText("hi") in wire.take()
            assert wire.ended
            assert self.held() == 0
            assert "text: hi" in self.calls

    def test_bomb(self) -> None:
        """However many compressed messages come, no more is held than the limit."""
        self.serve(compression=True, memoryLimit=1 << 20)
        offer = [(b"Sec-WebSocket-Extensions", b"permessage-deflate")]
        for _ in range(30):
            wire = self.connect(buildHead("rfc6455", extra=offer))
            self.inflated(wire, 100_000)
            assert self.held() <= 1 << 20
        assert self.count("memory relieved") == 20

    def test_bodies(self) -> None:
        """Bodies of plain HTTP count as well; one is refused with 503."""
        self.serve(memoryLimit=1000)
        waiting = self.open()
        waiting.send(begun("hixie-76", 399))
        wire = self.connect(posting(b"Content-Length: 2000", body=b"x" * 500))
        wire.send(b"x" * 100)
        assert self.held() == 1000
        wire.send(b"x")
        assert wire.take().startswith(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: ")
        assert (self.held(), self.count("memory relieved"), waiting.ended) == (400, 1, False)
        for body in (b"x" * 2000, b"x" * 500):
            other = self.connect(posting(b"Content-Length: 2000", body=body))
            other.lose()
            assert self.held() == 400


class BacklogTests(LoopbackCase):
    """Data that peers do not read."""

    def held(self) -> int:
        """@return: what all connections hold."""
        return self.factory.shared.budget.held

    def test_counted(self) -> None:
        """Data that waits for a peer is held until the peer reads."""
        wire = self.open()
        wire.webSocket.sendTextMessage("x" * 98)
        assert self.held() == 0
        wire.fill()
        for number in (1, 2):
            wire.webSocket.sendTextMessage("x" * 98)
            assert self.held() == 100 * number
        wire.drain()
        assert self.held() == 0
        assert len(wire.take()) == 300

    def test_closed(self) -> None:
        """Beyond the limit the largest is closed with 1013, and its backlog is dropped at once."""
        for dialect in IDIOMS:
            self.serve(memoryLimit=1000)
            wires = [self.open(dialect) for _ in range(2)]
            for wire, size in zip(wires, (300, 600), strict=True):
                wire.fill()
                wire.webSocket.sendTextMessage("x" * size)
            wires[0].webSocket.sendTextMessage("x" * 200)
            assert self.held() < 510
            assert self.count("memory relieved") == 1
            wires[0].drain()
            assert wires[0].take() == b"".join(
                IDIOMS[dialect].serverText("x" * size) for size in (300, 200)
            )
            wires[1].drain()
            last = wires[1].take()
            assert b"x" * 600 not in last
            if dialect in MODERN:
                assert last[2:4] == (1013).to_bytes(2, "big")
            else:
                assert last == IDIOMS[dialect].serverClose
            wires[1].lose()
            assert self.recorder.made[1].ending.code == 1013
            assert self.held() == 0

    def test_early(self) -> None:
        """Messages that are sent before the handshake is complete count."""

        def greet(made: Recording, transport: Any) -> None:
            transport.sendTextMessage("x" * 98)

        self.record(negotiationStarted=greet)
        wire = self.connect(buildHead("hixie-76"))
        assert self.held() > 100
        wire.send(IDIOMS["hixie-76"].preamble)
        assert self.held() == 0

    def test_latest(self) -> None:
        """A message that is kept for a slow peer counts, too."""
        self.serve(sendLimit=10, slowPolicy="latest")
        wire = self.open()
        wire.fill()
        wire.webSocket.sendTextMessage("x" * 98)
        wire.webSocket.sendTextMessage("x" * 98)
        self.clock.advance(0)
        assert self.held() == 200
        for size in (500, 300):
            wire.webSocket.sendTextMessage("x" * size)
            assert self.held() == 200 + size
        wire.drain()
        assert self.held() == 0
        assert wire.take().endswith(frame("x" * 300))

    def test_slow(self) -> None:
        """What is dropped when a slow peer is closed no longer counts."""
        self.serve(sendLimit=100)
        wire = self.open()
        wire.fill()
        wire.webSocket.sendTextMessage("x" * 200)
        wire.webSocket.sendTextMessage("x")
        self.clock.advance(0)
        assert self.count("slow closed") == 1
        assert self.held() == 0
        wire.drain()
        assert wire.take() == CLOSE


class WrappedTests(LoopbackCase):
    """Data in a transport without a socket of ours, such as TLS."""

    def test_inTheTransport(self) -> None:
        """It counts until it is taken, and is aborted with the connection that holds most."""

        class Full(TLSWire):
            """Takes no more than one write."""

            def write(self, data: bytes) -> None:
                super().write(data)
                if self.producer is not None:
                    self.fill()

        self.serve(memoryLimit=1000)
        wires = [self.open(kind=Full) for _ in range(2)]
        budget = self.factory.shared.budget
        for wire in wires:
            wire.drain()
        wires[0].webSocket.sendTextMessage("x" * 598)
        assert budget.held == 600
        wires[0].drain()
        assert budget.held == 0
        wires[0].webSocket.sendTextMessage("x" * 598)
        wires[1].webSocket.sendTextMessage("x" * 398)
        assert budget.held == 1000
        wires[1].webSocket.sendTextMessage("x")
        assert [wire.disconnecting for wire in wires] == [True, False]
        assert budget.held == 403


class SocketTests(LoopbackCase):
    """Data that the transport already has, and its socket does not take."""

    clock: Poller

    def setUp(self) -> None:
        self.clock = Poller()
        self.serve(memoryLimit=1000)

    def blocked(self, room: int) -> Descriptor:
        """@return: a connection whose socket takes a limited number of bytes."""
        protocol = self.factory.buildProtocol(None)
        assert isinstance(protocol, HixieProtocol)
        descriptor = Descriptor(self.clock, protocol)
        protocol.dataReceived(buildHead("rfc6455"))
        descriptor.room = room
        return descriptor

    def test_inTheTransport(self) -> None:
        """It counts until it is taken."""
        descriptor = self.blocked(100)
        held = self.factory.shared.budget
        descriptor.webSocket.sendTextMessage("x" * 896)
        assert held.held == 800
        descriptor.room = 900
        self.clock.turn()
        assert held.held == 0

    def test_aborted(self) -> None:
        """If that is all that can be freed, the connection is ended at once, after its close."""
        first, second = self.blocked(0), self.blocked(0)
        first.webSocket.sendTextMessage("x" * 796)
        assert not first.aborted
        second.webSocket.sendTextMessage("x" * 396)
        assert (first.aborted, second.aborted) == (True, False)
        assert self.factory.shared.budget.held == 400
        assert self.count("memory relieved") == 1
        first.protocol.connectionLost(Failure(ConnectionAborted()))
        assert self.factory.shared.budget.held == 400
        assert self.recorder.made[0].ending.code == 1013

    def test_notAborted(self) -> None:
        """If more can be freed, it is closed as others are; if that is not enough, it ends."""
        first, second = self.blocked(100), self.blocked(0)
        for _ in range(6):
            first.webSocket.sendTextMessage("x" * 120)
        assert self.factory.shared.budget.held == 22 + 5 * 122
        second.webSocket.sendTextMessage("x" * 446)
        assert (first.aborted, second.aborted) == (False, False)
        assert self.factory.shared.budget.held == 22 + 450
        self.factory.shared.budget.report(first.webSocket, 990)
        assert (first.aborted, second.aborted) == (True, False)
        assert self.factory.shared.budget.held == 450


class TimeTests(LoopbackCase):
    """How long a message may be unfinished."""

    def test_tooLong(self) -> None:
        """A message that takes longer ends the connection with 1008, in every dialect."""
        for dialect in IDIOMS:
            self.serve(messageTimeout=20, pingInterval=0)
            wire = self.open(dialect)
            wire.send(begun(dialect, 10))
            self.pass_(10)
            wire.send(begun(dialect, 10) if dialect not in MODERN else clientFrame(0, b"x"))
            self.pass_(9.5)
            assert not wire.ended
            self.pass_(0.5)
            assert wire.ended
            assert self.count("failed 1008") == 1
            last = wire.take()
            if dialect in MODERN:
                assert last[2:4] == (1008).to_bytes(2, "big")
            else:
                assert last == IDIOMS[dialect].serverClose
            wire.lose()
            assert self.ending.code == 1008
            self.assertQuiet()

    def test_compressed(self) -> None:
        """The same holds for a compressed message."""
        self.serve(messageTimeout=20, compression=True, pingInterval=0)
        offer = [(b"Sec-WebSocket-Extensions", b"permessage-deflate")]
        wire = self.connect(buildHead("rfc6455", extra=offer))
        wire.send(clientFrame(0x41, Deflater().compress(b"x")))
        self.pass_(20)
        assert wire.ended

    def test_each(self) -> None:
        """Each message has its own time: the end of one may come with the beginning of the next."""
        for dialect in IDIOMS:
            self.serve(messageTimeout=20, pingInterval=0)
            wire = self.open(dialect)
            wire.send(begun(dialect, 10))
            for _ in range(5):
                self.pass_(15)
                wire.send(rest(dialect) + begun(dialect, 10))
            wire.send(rest(dialect))
            self.pass_(100)
            assert not wire.ended
            assert wire.webSocket.messagesReceived == 6

    def test_empty(self) -> None:
        """A message begins even if it has no payload yet."""
        for dialect in IDIOMS:
            self.serve(messageTimeout=20, pingInterval=0)
            wire = self.open(dialect)
            wire.send(begun(dialect, 0))
            self.pass_(20)
            assert wire.ended, dialect

    def test_never(self) -> None:
        """There may be no limit."""
        self.serve(messageTimeout=0, pingInterval=0)
        wire = self.open()
        wire.send(begun("hixie-76", 10))
        self.pass_(1000, step=10)
        assert not wire.ended

    def test_closing(self) -> None:
        """A connection that is closing has the time of a close."""
        self.serve(messageTimeout=20, closeTimeout=30, pingInterval=0)
        wire = self.open("rfc6455")
        wire.send(begun("rfc6455", 10))
        wire.webSocket.loseConnection()
        self.pass_(25)
        assert not wire.ended
        assert self.count("failed") == 0


class UsableTests(SynchronousTestCase):
    """How much memory there is."""

    def test_here(self) -> None:
        """This machine has some, and a server takes a quarter of it by default."""
        assert memory.usableMemory() > 1 << 26

    def test_unknown(self) -> None:
        """The machine may not report its memory."""
        for error in (AttributeError, ValueError, OSError):

            def sysconf(name: str, error: type[Exception] = error) -> int:
                raise error(name)

            self.patch(os, "sysconf", sysconf)
            assert memory.usableMemory.__wrapped__() >= 1 << 26

    def test_ofProcess(self) -> None:
        """The limit of the process counts that is in force, and not what it may be raised to."""
        for limits in ((1 << 20, resource.RLIM_INFINITY), (1 << 20, 1 << 30)):
            self.patch(resource, "getrlimit", lambda kind, limits=limits: limits)
            assert memory.usableMemory.__wrapped__() == 1 << 20

    def test_default(self) -> None:
        """The value of the machine is the default limit."""
        case = LoopbackCase()
        case.clock = Clock()
        case.serve()
        limit = memory.usableMemory() // 4
        holder = Holder(case.factory.shared.budget, "a", [])
        holder.hold(limit)
        assert holder.order == []
        holder.hold(limit + 1)
        assert holder.order == ["a"]


@pytest.mark.parametrize(
    ("own", "files", "limits"),
    [
        ("0::/a/b\n", {"a/b/memory.max": "300\n", "a/memory.max": "200\n"}, [300, 200]),
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "memory.max": "7\n"}, [7]),
        ("0::/\n", {}, []),
        ("0::/../outside\n", {}, []),
        (
            "5:cpu,memory:/a\n1:name=systemd:/b\n0::/c\n",
            {"memory/a/memory.limit_in_bytes": "9\n", "c/memory.max": "8\n", "b/memory.max": "1\n"},
            [9, 8],
        ),
        ("nonsense", {}, []),
    ],
)
def test_groups(own: str, files: dict[str, str], limits: list[int], tmp_path: Path) -> None:
    """The limits of control groups of both versions are found, and those of their parents."""
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert [*memory._ofGroups(tmp_path / "own", tmp_path / "groups")] == limits


def test_noGroups(tmp_path: Path) -> None:
    """Without control groups, they set no limit."""
    assert [*memory._ofGroups(tmp_path / "own", tmp_path / "groups")] == []
