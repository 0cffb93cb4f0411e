"""What a server that stops partly, or starts again, still does; and limits above the usual."""

from __future__ import annotations

import os
import resource
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol

from tests.loopback import LoopbackCase, Poller, Recorder
from tests.test_sockets import LONG, Client, clock, inReactor, reach, serving


class AgainTests(LoopbackCase):
    """A factory that starts again."""

    def test_newOnesStay(self) -> None:
        """New connections are not cut off when the time of the old ones is over."""
        self.serve(drainTimeout=10, pingInterval=0)
        self.factory.doStart()
        old = self.open()
        old.stuck = True
        gone = self.factory.closeConnections()
        self.factory.doStop()
        self.factory.doStart()
        new = self.open()
        self.pass_(11)
        assert old.disconnected
        assert not new.disconnected
        assert self.successResultOf(gone) is None
        self.factory.doStop()

    def port(self, left: int) -> Any:
        """@return: a port of the server, with this number of descriptors left."""
        inUse = len(os.listdir("/dev/fd"))
        self.patch(resource, "getrlimit", lambda kind: (inUse + left, inUse + left))
        port: Any = FileDescriptor(Poller())  # type: ignore[arg-type]
        port.numberAccepts = 100
        return self.factory.accepting.add(port)

    def test_measuredAnew(self) -> None:
        """The number accepted at once depends on the descriptors that are left this time."""
        fresh = self.port(100_000).numberAccepts
        self.serve()
        assert self.port(8).numberAccepts < fresh
        self.factory.accepting.clear()
        assert self.port(100_000).numberAccepts == fresh

    def test_unlimited(self) -> None:
        """The total number does, too, if it is not limited this time."""
        self.port(8)
        self.factory.accepting.clear()
        self.patch(resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY,) * 2)
        port: Any = FileDescriptor(Poller())  # type: ignore[arg-type]
        self.factory.accepting.add(port)
        for _ in range(20):
            self.connect()
        assert self.count("accepting paused") == 0


@inReactor
async def test_portStoppedWhilePaused() -> None:
    """A port that stops while accepting is paused does not affect the others."""
    async with serving(Recorder(), acceptRate=10) as running:
        other: Any = clock.listenTCP(0, running.factory, interface="127.0.0.1")
        running.factory.accepting.add(other)
        endpoint = TCP4ClientEndpoint(clock, "127.0.0.1", other.getHost().port)
        await connectProtocol(endpoint, Protocol()).addTimeout(LONG, clock)
        await reach(lambda: running.count("accepting paused"))
        await other.stopListening()
        client: Client = await running.open("rfc6455")
        await client.end()


class CountTests(LoopbackCase):
    """Connections whose peer did not do its part in closing."""

    def test_once(self) -> None:
        """A peer that does nothing at all counts as one."""
        wire = self.open()
        wire.stuck = True
        self.recorder.made[-1].transport.loseConnection()
        self.pass_(100)
        assert wire.lost
        assert self.count("closing timed out") == 1

    def test_error(self) -> None:
        """An exception in C{buildProtocol} counts as one that an application raised."""

        def fail(made: object) -> None:
            raise ZeroDivisionError

        self.record(fail)
        self.connect(
            b"GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
            b"Host: x\r\nOrigin: http://x\r\n\r\n"
        )
        self.flushLoggedErrors(ZeroDivisionError)
        assert self.count("application errors") == 1


class PlainTests(LoopbackCase):
    """Limits on the head of plain HTTP above the library's limits."""

    def test_size(self) -> None:
        """A head within the limit is answered."""
        self.serve(maxHead=100_000)
        wire = self.connect(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 50_000 + b"\r\n\r\n")
        assert wire.take().endswith(b"okay")

    def test_fields(self) -> None:
        """A head with many fields is answered, too."""
        self.serve(maxFields=1000)
        wire = self.connect(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 800 + b"\r\n")
        assert wire.take().endswith(b"okay")
