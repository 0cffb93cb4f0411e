"""Twisted's protocols over WebSockets, unmodified, on real sockets, with endpoint strings."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from twisted.application.internet import ClientService
from twisted.conch.insults.insults import ServerProtocol
from twisted.conch.manhole import Manhole
from twisted.conch.telnet import IAC, WILL, TelnetBootstrapProtocol, TelnetTransport
from twisted.cred.checkers import AllowAnonymousAccess
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols import amp, ftp
from twisted.protocols.basic import FileSender, LineReceiver
from twisted.python.failure import Failure

from tests.certificates import selfSigned
from tests.interop.server import Child
from tests.test_sockets import LONG, clock, inReactor, reach
from tests.test_stream import CASES
from tests.test_twistd import TWISTD, environment
from txhixie import HandshakeRefused

TCP = "tcp:0:interface=127.0.0.1"
cases = pytest.mark.parametrize(("dialect", "codec"), CASES)
bytesCases = pytest.mark.parametrize(
    ("dialect", "codec"), [case for case in CASES if case[1] != "text"]
)


class Served:
    """
    A factory that listens for WebSockets.

    @ivar port: the number of its port.
    """

    def __init__(self, port: Any, options: str) -> None:
        self.port: int = port.getHost().port
        self._options = options
        self._transports: list[Any] = []

    async def connect(
        self, protocol: Callable[[], Any], dialect: str = "rfc6455", options: str = ""
    ) -> Any:
        """@return: a protocol that is connected."""
        scheme = "wss" if "trustRoots" in self._options else "ws"
        where = f"{scheme}://localhost:{self.port}/:dialect={dialect}{self._options}{options}"
        endpoint = clientFromString(clock, where)
        connecting: Deferred[Any] = endpoint.connect(Factory.forProtocol(protocol))
        connected = await connecting.addTimeout(LONG, clock)
        self._transports.append(connected.transport)
        return connected

    async def end(self) -> None:
        """End all clients' connections."""
        for transport in self._transports:
            transport.abortConnection()
        await reach(lambda: all(transport.disconnected for transport in self._transports))


@asynccontextmanager
async def serving(
    factory: Any, where: str = TCP, options: str = "", clientOptions: str = ""
) -> AsyncIterator[Served]:
    """
    A factory that is served over WebSockets. In the end no timer is left.

    @param options: the options of the server's string.
    @param clientOptions: the options of all clients' strings.
    """
    timers = set(clock.getDelayedCalls())
    port: Any = await serverFromString(clock, f"ws:{where}{options}").listen(factory)
    served = Served(port, clientOptions)
    try:
        yield served
    finally:
        await port.stopListening()
        await served.end()
    await reach(lambda: set(clock.getDelayedCalls()) <= timers)


class Sum(amp.Command):
    """Adds two numbers."""

    arguments = [(b"a", amp.Integer()), (b"b", amp.Integer())]  # noqa: RUF012
    response = [(b"total", amp.Integer())]  # noqa: RUF012


class Ask(amp.Command):
    """Makes the other side call back."""

    arguments = [(b"name", amp.Unicode())]  # noqa: RUF012
    response = [(b"answer", amp.Unicode())]  # noqa: RUF012


class Adder(amp.AMP):
    """Adds, and calls back."""

    @Sum.responder
    def sum(self, a: int, b: int) -> dict[str, int]:
        return {"total": a + b}

    @Ask.responder
    def ask(self, name: str) -> Any:
        asking: Any = self.callRemote(Sum, a=len(name), b=1)
        return asking.addCallback(lambda result: {"answer": f"{name} {result['total']}"})


@bytesCases
@inReactor
async def test_amp(dialect: str, codec: str) -> None:
    """AMP calls in both directions, at the same time."""
    async with serving(Factory.forProtocol(Adder)) as served:
        client = await served.connect(Adder, dialect, f":codec={codec}")
        names = ["n\u00e4me" * count for count in range(1, 20)]
        answers = [client.callRemote(Ask, name=name) for name in names]
        for name, answer in zip(names, answers, strict=True):
            assert await answer == {"answer": f"{name} {len(name) + 1}"}


class Chat(LineReceiver):
    """Passes each line on to all members."""

    factory: Any

    def connectionMade(self) -> None:
        self.factory.members.append(self)

    def lineReceived(self, line: bytes) -> None:
        for member in self.factory.members:
            member.sendLine(line)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.members.remove(self)
        self.factory.endings.append(reason.value)


class Lines(LineReceiver):
    """Collects lines."""

    def connectionMade(self) -> None:
        self.lines: list[str] = []

    def lineReceived(self, line: bytes) -> None:
        self.lines.append(line.decode())


@inReactor
async def test_chat() -> None:
    """A chat of lines whose members speak every dialect and codec."""
    factory: Any = Factory.forProtocol(Chat)
    factory.members, factory.endings = [], []
    async with serving(factory) as served:
        members = [await served.connect(Lines, each, f":codec={codec}") for each, codec in CASES]
        said = []
        for member, case in zip(members, CASES, strict=True):
            said.append(f"hello from {case} \U0001f680")
            member.sendLine(said[-1].encode())
            await reach(lambda: all(each.lines == said for each in members))
        members[0].transport.loseConnection()
        members[-1].transport.abortConnection()
        await reach(lambda: len(factory.endings) == 2)
        assert {isinstance(each, ConnectionDone) for each in factory.endings} == {True, False}
        assert any(isinstance(each, ConnectionLost) for each in factory.endings)


@cases
@inReactor
async def test_ftp(dialect: str, codec: str, tmp_path: Path) -> None:
    """FTP's control connection; its data goes over separate connections."""
    (tmp_path / "hello.txt").write_bytes(b"hello" * 1000)
    realm = ftp.FTPRealm(str(tmp_path))
    factory = ftp.FTPFactory(Portal(realm, [AllowAnonymousAccess()]))
    async with serving(factory) as served:
        client = await served.connect(
            lambda: ftp.FTPClient("anonymous", "a@example.com"), dialect, f":codec={codec}"
        )
        listing = ftp.FTPFileListProtocol()
        await client.list(".", listing)
        assert [each["filename"] for each in listing.files] == ["hello.txt"]

        class File(Protocol):
            data = b""

            def dataReceived(self, data: bytes) -> None:
                self.data += data

        file = File()
        await client.retrieveFile("hello.txt", file)
        assert file.data == b"hello" * 1000
        assert await client.pwd() == ['257 "/"']
        await client.quit()
        await reach(lambda: client.transport.disconnected)


class Screen(Protocol):
    """The screen of a Telnet client."""

    shown = b""

    def dataReceived(self, data: bytes) -> None:
        self.shown += data


@bytesCases
@inReactor
async def test_manhole(dialect: str, codec: str) -> None:
    """A manhole over Telnet, whose negotiation is not text."""

    def telnet() -> TelnetTransport:
        return TelnetTransport(TelnetBootstrapProtocol, ServerProtocol, Manhole, {"six": 6})

    async with serving(Factory.forProtocol(telnet)) as served:
        screen = await served.connect(Screen, dialect, f":codec={codec}")
        await reach(lambda: b">>> " in screen.shown)
        assert IAC + WILL in screen.shown
        screen.transport.write(b"six * 7\r\n")
        await reach(lambda: b"42" in screen.shown)


class Echo(Protocol):
    """Sends everything back, and reads no faster than its peer."""

    transport: Any

    def connectionMade(self) -> None:
        self.transport.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.transport.unregisterProducer()


class Digester(Protocol):
    """
    Sends data as a pull producer, and hashes what comes back, with pauses.

    @ivar pauses: how often it paused reading.
    """

    transport: Any

    def __init__(self, file: Any, every: int) -> None:
        """
        @param every: the number of bytes after which reading pauses.
        """
        self.digest = sha256()
        self.received = self.pauses = 0
        self._file = file
        self._every = every

    def goesOn(self, before: int) -> bool:
        """
        @return: whether more was received.
        """
        return self.received > before

    def connectionMade(self) -> None:
        self.sent = FileSender().beginFileTransfer(self._file, self.transport)

    def dataReceived(self, data: bytes) -> None:
        self.digest.update(data)
        self.received += len(data)
        if self.received // self._every > self.pauses:
            self.pauses += 1
            self.transport.pauseProducing()
            clock.callLater(0.01, self.transport.resumeProducing)


async def carry(
    size: int, codec: str, dialect: str, *options: str, where: str = TCP
) -> tuple[float, int]:
    """
    Send C{size} bytes to an echo and back.

    @return: seconds, and how often reading was paused.
    """
    # UTF-8, whose characters are cut anywhere.
    piece = "h\u00e9llo \u20ac \U0001f680\n".encode() * 997
    data = piece * (size // len(piece) + 1)
    if codec != "text":
        data += b"\xff\xfe\xfd\x00\xff"
    async with serving(Factory.forProtocol(Echo), where, *options) as served:
        begun = clock.seconds()
        client = await served.connect(
            lambda: Digester(BytesIO(data), max(1, size // 20)), dialect, f":codec={codec}"
        )
        await client.sent
        while client.received < len(data):
            await reach(partial(client.goesOn, client.received))
        seconds = clock.seconds() - begun
        assert client.digest.digest() == sha256(data).digest()
    return seconds, client.pauses


@cases
@inReactor
async def test_producers(dialect: str, codec: str) -> None:
    """More than all buffers hold goes to a peer and back while readers pause."""
    _, pauses = await carry(5_000_000, codec, dialect)
    assert pauses > 10


@inReactor
async def test_tls(tmp_path: Path) -> None:
    """The same over TLS, whose certificate the client's string names; the protocols see TLS."""
    key, certificate = selfSigned(tmp_path)
    where = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
    trust = f":trustRoots={certificate}"
    for dialect, codec in CASES[::4]:
        await carry(2_000_000, codec, dialect, "", trust, where=where)
    async with serving(Factory.forProtocol(Protocol), where, "", trust) as served:
        client = await served.connect(Protocol)
        assert ISSLTransport.providedBy(client.transport)
        assert client.transport.getPeerCertificate() is not None
        plain = clientFromString(clock, f"wss://localhost:{served.port}/")
        with pytest.raises(Exception, match="certificate verify failed"):
            await plain.connect(Factory.forProtocol(Protocol))


@inReactor
async def test_serverOptions() -> None:
    """Path, origin and dialects of the server's string take effect."""
    options = r":path=/shell:origin=http\://a.example:dialects=rfc6455,hixie-76"
    async with serving(Factory.forProtocol(Echo), options=options) as served:
        for path, origin, dialect, status in (
            ("shell", "a", "rfc6455", 101),
            ("shell", "a", "hixie-76", 101),
            ("shell", "a", "hixie-75", 400),
            ("other", "a", "rfc6455", 404),
            ("shell", "b", "rfc6455", 403),
        ):
            where = rf"ws://127.0.0.1:{served.port}/{path}:origin=http\://{origin}.example"
            endpoint = clientFromString(clock, f"{where}:dialect={dialect}")
            connecting = endpoint.connect(Factory.forProtocol(Protocol))
            if status == 101:
                (await connecting).transport.abortConnection()
            else:
                with pytest.raises(HandshakeRefused) as refused:
                    await connecting
                assert refused.value.status == status


@inReactor
async def test_unix(tmp_path: Path) -> None:
    """A service on a Unix socket, which the client's string names besides the URL."""
    path = tmp_path / "socket"
    listening: Any = serverFromString(clock, f"ws:unix:{path}").listen(Factory.forProtocol(Echo))
    port = await listening
    endpoint = clientFromString(clock, rf"ws://localhost/:endpoint=unix\:{path}")
    screen: Any = await endpoint.connect(Factory.forProtocol(Screen))
    screen.transport.setTcpNoDelay(True)
    screen.transport.write(b"hello")
    await reach(lambda: screen.shown == b"hello")
    screen.transport.loseConnection()
    await reach(lambda: screen.transport.disconnected)
    await port.stopListening()


@inReactor
async def test_reconnecting() -> None:
    """Twisted's ClientService connects again."""
    factory: Any = Factory.forProtocol(Chat)
    factory.members, factory.endings = [], []
    timers = set(clock.getDelayedCalls())
    async with serving(factory) as served:
        endpoint = clientFromString(clock, f"ws://127.0.0.1:{served.port}/")
        service = ClientService(endpoint, Factory.forProtocol(Lines), lambda attempts: 0.001)
        service.startService()
        for count in range(3):
            await reach(lambda: factory.members)
            assert len(factory.endings) == count
            factory.members[0].transport.loseConnection()
            await reach(lambda: not factory.members)
        await service.stopService()
        await reach(lambda: not factory.members)
    await reach(lambda: set(clock.getDelayedCalls()) <= timers)


EXAMPLES = Path(__file__).parent.parent / "examples"
PAGE = EXAMPLES.parent / "docs" / "streams.md"


@inReactor
async def test_page(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The example runs unchanged, except for the ports, and the page's client connects to it."""
    text = (EXAMPLES / "line_chat.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 40
    local = "tcp:0:interface=127.0.0.1"
    changed = text.replace("tcp:2300", local).replace("tcp:3400", local)
    assert changed.count(local) == 2
    (tmp_path / "line_chat.py").write_text(changed, encoding="utf-8")
    names = blocks("Reach one")
    with Child([*TWISTD, "-noy", "line_chat.py"], cwd=str(tmp_path), env=environment()) as child:
        started = re.compile(r"HixieFactory starting on (\d+)")
        port = child.wait(lambda: started.search("\n".join(child.lines)), "port", 20)[1]
        await names["main"](clock, f"ws://127.0.0.1:{port}/")
    assert capsys.readouterr().out.startswith("1 here\nhello\n")


@inReactor
async def test_pageServer() -> None:
    """The page's server serves."""
    service = blocks("Serve one")["service"]
    port: Any = await serverFromString(clock, TCP).listen(service.factory)
    endpoint = clientFromString(clock, f"ws://127.0.0.1:{port.getHost().port}/")
    screen: Any = await endpoint.connect(Factory.forProtocol(Screen))
    screen.transport.write(b"hello")
    await reach(lambda: screen.shown == b"hello")
    screen.transport.loseConnection()
    await reach(lambda: screen.transport.disconnected)
    await port.stopListening()
    await service.factory.closeConnections()


def blocks(title: str) -> dict[str, Any]:
    """@return: what the code of a section of the page defines."""
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {title}")[2].partition("\n## ")[0]
    code = section.partition("```python\n")[2].partition("```")[0]
    assert 0 < len(code.splitlines()) < 40
    names: dict[str, Any] = {"__name__": "page"}
    exec(code, names)
    return names
