"""
The tests of a user who opens real ports. C{test_trial.py} runs them with C{trial}.

Each test listens, connects clients, waits until they are gone, and stops listening, the last two in
either order. After that nothing may be left in the reactor.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource

from tests.certificates import selfSigned
from tests.contract.application import ECHO, Recorder, Recording
from tests.contract.client import Client
from tests.contract.transports import makePair
from tests.contract.waiting import until
from tests.support import IDIOMS, buildHead
from txhixie import HandshakeError, HixieFactory, Settings


class Faulty(Resource):
    """A page that cannot be rendered."""

    isLeaf = True

    def render_GET(self, request: object) -> bytes:
        """Fail."""
        raise ValueError("raised by a page")


class Browser(Protocol):
    """A client of plain HTTP that keeps its connection for as long as it can."""

    transport: Any

    def __init__(self) -> None:
        self.received = b""
        self.gone: Deferred[None] = Deferred()

    async def ask(self, count: int) -> None:
        """Ask for a page several times, and wait for the errors."""
        wanted = self.received.count(b"HTTP/1.1 500 ") + count
        self.transport.write(b"GET /page HTTP/1.1\r\nHost: example.com\r\n\r\n" * count)
        await until(lambda: self.received.count(b"HTTP/1.1 500 ") == wanted, "the answers")

    async def leave(self) -> None:
        """Close the connection."""
        self.transport.loseConnection()
        await self.gone

    def dataReceived(self, data: bytes) -> None:
        """Keep what is received."""
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell."""
        self.gone.callback(None)


async def over(*clients: Client) -> None:
    """Wait until connections are over."""
    await until(lambda: all(client.ended for client in clients), "the end")


class Scenarios:
    """
    What is tested over each transport.
    """

    transport: ClassVar[str]

    async def listen(self, factory: HixieFactory) -> None:
        """Listen until the test is over."""
        case: Any = self
        temporary = TemporaryDirectory(prefix="contract-")
        case.addCleanup(temporary.cleanup)
        folder = Path(temporary.name)
        pair = makePair(self.transport, folder, reactor, selfSigned(folder))
        self.port: Any = await pair.server.listen(factory)
        case.addCleanup(self.port.stopListening)
        self.endpoint: Any = pair.client(self.port)

    async def come(self, dialect: str) -> Client:
        """Connect a client, which sends its opening handshake."""
        request = buildHead(dialect) + IDIOMS[dialect].preamble
        client: Client = await self.endpoint.connect(
            Factory.forProtocol(lambda: Client(dialect, request))
        )
        return client

    async def echo(self, dialect: str) -> Client:
        """Connect a client, and get a message echoed."""
        client = await self.come(dialect)
        await until(lambda: client.isOpen, "the opening handshake")
        client.send(ECHO)
        await until(lambda: client.messages, "the echo")
        return client

    async def test_clientLeaves(self) -> None:
        """Clients come, get an echo, and close."""
        await self.listen(HixieFactory(Recorder()))
        for dialect in IDIOMS:
            client = await self.echo(dialect)
            client.close()
            await over(client)

    async def test_clientAborts(self) -> None:
        """Clients come, get an echo, and abort."""
        recorder = Recorder()
        await self.listen(HixieFactory(recorder))
        for dialect in IDIOMS:
            (await self.echo(dialect)).abort()
        await until(lambda: all(made.isLost for made in recorder.made), "connectionLost")

    async def test_serverCloses(self) -> None:
        """An application closes its connections."""

        def close(made: Recording, message: str) -> None:
            made.transport.loseConnection()

        await self.listen(HixieFactory(Recorder(textMessageReceived=close)))
        for dialect in IDIOMS:
            client = await self.echo(dialect)
            client.send("bye")
            await over(client)

    async def test_refusals(self) -> None:
        """Twenty clients are refused."""
        await self.listen(HixieFactory(Recorder(lambda made: None)))
        await self.beRefused(20)

    async def test_logLimit(self) -> None:
        """Twenty clients are refused while one line per second may be logged."""

        def refuse(made: Recording) -> None:
            raise HandshakeError(403)

        await self.listen(HixieFactory(Recorder(refuse), settings=Settings(logRate=1)))
        await self.beRefused(20)

    async def beRefused(self, count: int) -> None:
        """Connect this often, in every dialect in turn."""
        dialects = [*IDIOMS] * count
        for dialect in dialects[:count]:
            client = await self.come(dialect)
            await over(client)
            assert client.status in (403, 404)

    async def test_errorsInSite(self) -> None:
        """A page fails; its reader keeps the connection for a while."""
        await self.listen(HixieFactory(Recorder(), Faulty()))
        browser = await self.browse()
        await browser.ask(20)
        await browser.leave()

    async def test_errorsInSiteAfterStop(self) -> None:
        """A page fails, and goes on failing after the port is closed."""
        await self.listen(HixieFactory(Recorder(), Faulty(), Settings(logRate=1)))
        browser = await self.browse()
        await browser.ask(1)
        await self.port.stopListening()
        await browser.ask(20)
        await browser.leave()

    async def browse(self) -> Browser:
        """Connect a browser, and expect pages to fail."""
        case: Any = self
        case.addCleanup(case.flushLoggedErrors, ValueError)
        browser: Browser = await self.endpoint.connect(Factory.forProtocol(Browser))
        return browser

    async def test_refusalsAfterStop(self) -> None:
        """Twenty clients connect, the port is closed, and then they are refused."""
        await self.listen(HixieFactory(Recorder(lambda made: None), settings=Settings(logRate=1)))
        idiom = IDIOMS["hixie-76"]
        clients = []
        for _ in range(20):
            client: Client = await self.endpoint.connect(
                Factory.forProtocol(lambda: Client("hixie-76", b""))
            )
            clients.append(client)
        await self.port.stopListening()
        for client in clients:
            client.sendRaw(buildHead("hixie-76") + idiom.preamble)
        await over(*clients)

    async def test_clientsLeaveAfterStop(self) -> None:
        """Clients are connected when the port is closed, and then their applications fail."""

        def fail(made: Recording) -> None:
            raise ValueError("raised by an application")

        recorder = Recorder(connectionLost=fail)
        await self.listen(HixieFactory(recorder, settings=Settings(logRate=1)))
        clients = [await self.echo(dialect) for dialect in IDIOMS]
        await self.port.stopListening()
        for client in clients:
            client.close()
        await until(lambda: all(made.isLost for made in recorder.made), "connectionLost")
        await over(*clients)
        self.flushLoggedErrors(ValueError)  # type: ignore[attr-defined]

    async def test_closeConnections(self) -> None:
        """The factory closes its connections."""
        factory = HixieFactory(Recorder())
        await self.listen(factory)
        clients = [await self.echo(dialect) for dialect in IDIOMS]
        await factory.closeConnections()
        await over(*clients)

    async def test_nobodyComes(self) -> None:
        """No client comes."""
        await self.listen(HixieFactory(Recorder()))


class OverTCP(Scenarios, TestCase):
    """Clients use TCP."""

    transport = "tcp"


class OverTLS(Scenarios, TestCase):
    """Clients use TLS."""

    transport = "tls"


class OverUnix(Scenarios, TestCase):
    """Clients use a Unix socket."""

    transport = "unix"
