"""Ports for IPv4 and IPv6 clients: what is requested from the system."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import tcp, unix
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorSocket
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import alsoProvides

from txhixie.addresses import unmapped
from txhixie.server import listening
from txhixie.server.listening import EveryAddressEndpoint, prepare
from txhixie.settings import Settings


class Reactor:
    """A reactor that records its calls."""

    def __init__(self, adopts: bool) -> None:
        """
        @param adopts: whether it takes sockets that others made.
        """
        self.asked: list[Any] = []
        if adopts:
            alsoProvides(self, IReactorSocket)

    def listenTCP(self, port: int, factory: Any, backlog: int) -> str:
        """@return: a stand-in for a port."""
        self.asked.append((port, backlog))
        return "port"

    def adoptStreamPort(self, descriptor: int, family: int, factory: Any) -> str:
        """@return: a stand-in for a port with an adopted socket."""
        with closing(socket.socket(family, socket.SOCK_STREAM, fileno=os.dup(descriptor))) as made:
            listens = made.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            onlyIPv6 = made.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
            self.asked.append((made.getsockname()[0], listens, onlyIPv6))
        assert not os.get_blocking(descriptor)
        return "adopted"


class EveryAddressTests(SynchronousTestCase):
    """A port number is a port on all addresses, if the system allows it."""

    def listen(self, reactor: Reactor, port: int = 0) -> Deferred[Any]:
        """@return: the result of listening on a port."""
        return EveryAddressEndpoint(reactor, port).listen(ServerFactory())

    def refuse(self, number: int) -> None:
        """Let the system refuse sockets of IPv6."""

        def create(*arguments: Any, **options: Any) -> None:
            raise OSError(number, f"{os.strerror(number)} (while attempting)")

        self.patch(listening, "create_server", create)

    def test_dualStack(self) -> None:
        """If the system can, one socket takes clients of both, without blocking."""
        if not socket.has_dualstack_ipv6():
            pytest.skip("there is no IPv6 here: sysctl net.ipv6.conf.all.disable_ipv6=0")
        reactor = Reactor(adopts=True)
        assert self.successResultOf(self.listen(reactor)) == "adopted"
        assert reactor.asked == [("::", 1, 0)]

    def test_noIPv6(self) -> None:
        """Without IPv6, the port is for IPv4 alone."""
        self.patch(listening, "has_dualstack_ipv6", lambda: False)
        reactor = Reactor(adopts=True)
        assert self.successResultOf(self.listen(reactor, 3400)) == "port"
        assert reactor.asked == [(3400, 1024)]

    def test_noIPv6Address(self) -> None:
        """The same happens if the system knows IPv6, but has no address."""
        self.patch(listening, "has_dualstack_ipv6", lambda: True)
        for number in (EADDRNOTAVAIL, EAFNOSUPPORT):
            self.refuse(number)
            reactor = Reactor(adopts=True)
            assert self.successResultOf(self.listen(reactor, 3400)) == "port"

    def test_noSockets(self) -> None:
        """A reactor that adopts no sockets listens as it can."""
        assert self.successResultOf(self.listen(Reactor(adopts=False), 3400)) == "port"

    def test_refused(self) -> None:
        """A port that is not available gives an error of one line, which names the address once."""
        self.patch(listening, "has_dualstack_ipv6", lambda: True)
        for number in (EADDRINUSE, EACCES):
            self.refuse(number)
            error = self.failureResultOf(self.listen(Reactor(adopts=True), 3400), CannotListenError)
            reason = f"[Errno {number}] {os.strerror(number)}"
            assert str(error.value) == f"Couldn't listen on any:3400: {reason}."


class Accepted:
    """A socket that a port accepted."""

    def __init__(self, host: str) -> None:
        self.host = host

    def setblocking(self, flag: bool) -> None:
        """It does not."""

    def fileno(self) -> int:
        """@return: none that is read."""
        return -1

    def getsockname(self) -> tuple[str, int, int, int]:
        """@return: its address, as the system tells it of IPv6."""
        return (self.host, 3400, 0, 0)


class Unread:
    """A reactor that reads nothing."""

    def addReader(self, descriptor: Any) -> None:
        """Nothing to do."""


@pytest.mark.parametrize(
    ("host", "kind", "shown"),
    [
        ("::ffff:192.0.2.1", IPv4Address, "192.0.2.1"),
        ("2001:db8::1", IPv6Address, "2001:db8::1"),
        ("fe80::1%eth0", IPv6Address, "fe80::1%eth0"),
    ],
)
def test_showIPv4(host: str, kind: Any, shown: str) -> None:
    """An IPv4 client of an IPv6 socket is shown with its IPv4 address, and so is our side."""
    with listeningPort("::1") as port:
        prepare(port, Settings())
    made = port.transport(Accepted(host), Protocol(), (host, 54321, 0, 0), port, 0, Unread())
    assert made.getPeer() == kind("TCP", shown, 54321)
    assert "::ffff:" not in made.logstr
    if kind is IPv4Address:
        assert made.getHost() == IPv4Address("TCP", shown, 3400)


def test_prepareOthers() -> None:
    """A port other than TCP is unchanged."""
    something = object()
    assert prepare(something, Settings()) is something


@contextmanager
def listeningPort(host: str) -> Iterator[Any]:
    """Listen on a port of a reactor that does nothing."""
    idle: Any = Unread()
    port = tcp.Port(0, ServerFactory(), interface=host, reactor=idle)
    port.startListening()
    with closing(port.socket):
        yield port


def isWatched(port: Any) -> bool:
    """@return: whether connections count as having their options from the socket of a port."""
    host = port.socket.getsockname()[0]
    made = port.transport(Accepted(host), Protocol(), (host, 5, 0, 0), port, 0, Unread())
    return getattr(made, "isWatched", False)


onLinux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets them be inherited")


@onLinux
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_prepareOptions(host: str) -> None:
    """Connections inherit their options, and are marked accordingly."""
    settings = Settings(pingInterval=20, pingTimeout=9)
    with listeningPort(host) as port:
        assert not isWatched(port)
        assert prepare(port, settings) is port
        assert isWatched(port)
        with socket.create_connection(port.socket.getsockname()[:2]):
            accepted = port.socket.accept()[0]
            with closing(accepted):
                assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                timers = ("TCP_USER_TIMEOUT", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
                values = [
                    accepted.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
                    for name in timers
                ]
                assert values == [29_000, 20, 3, 3]


@onLinux
def test_prepareWithoutPings() -> None:
    """Without pings the timers of the system are unchanged."""
    with listeningPort("127.0.0.1") as port, closing(socket.socket()) as other:
        prepare(port, Settings(pingInterval=0))
        assert isWatched(port)
        name = socket.TCP_KEEPIDLE
        untouched = other.getsockopt(socket.IPPROTO_TCP, name)
        assert port.socket.getsockopt(socket.IPPROTO_TCP, name) == untouched


def test_prepareLate() -> None:
    """A client that is already waiting has no options, so each connection sets its own."""
    with (
        listeningPort("127.0.0.1") as port,
        socket.create_connection(port.socket.getsockname()),
    ):
        prepare(port, Settings())
        assert not isWatched(port)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_prepareElsewhere(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """On other systems each connection sets its own options."""
    monkeypatch.setattr(sys, "platform", "darwin")
    with listeningPort(host) as port:
        prepare(port, Settings())
        assert not isWatched(port)


@onLinux
def test_prepareFails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each connection also sets its own if the system refuses an option."""
    monkeypatch.setattr(socket, "TCP_KEEPCNT", 12345)
    with listeningPort("127.0.0.1") as port:
        prepare(port, Settings())
        assert not isWatched(port)


@onLinux
def test_prepareUnix(tmp_path: Path) -> None:
    """Unix sockets have no such options."""
    idle: Any = Unread()
    port = unix.Port(bytes(tmp_path / "socket"), ServerFactory(), reactor=idle)
    port.startListening()
    with closing(port.socket):
        assert prepare(port, Settings()).transport is unix.Server


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:201", "192.0.2.1"),
        ("0:0:0:0:0:ffff:192.0.2.1", "192.0.2.1"),
        *((text, None) for text in ("192.0.2.1", "::1", "::192.0.2.1", "x:y", "", "fe80::1%a")),
    ],
)
def test_unmapped(text: str, address: str | None) -> None:
    """Only an IPv4-mapped IPv6 address has an IPv4 address, however it is written."""
    assert unmapped(text) == address


def test_backlog(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many connections may wait to be accepted by a socket of IPv6 as by others."""
    asked: list[object] = []

    def createServer(address: object, **options: Any) -> None:
        asked.append(options["backlog"])
        raise OSError(EAFNOSUPPORT, "no IPv6")

    monkeypatch.setattr(listening, "has_dualstack_ipv6", lambda: True)
    monkeypatch.setattr(listening, "create_server", createServer)
    assert EveryAddressEndpoint(None, 0)._bind() is None
    assert asked == [listening._BACKLOG]
