"""
A server on the loopback interface, its clients, and what it logged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from twisted.internet.interfaces import IListeningPort, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from tests.support import IDIOMS, buildHead
from txhixie import HixieFactory, Settings

from .application import ECHO, Recorder, Recording
from .client import Client, Pump
from .transports import Pair, listen
from .waiting import result, turns, until

# The data that fills the kernel and the transport, and the largest amount.
FILLING = "x" * 65536
MOST_FILLINGS = 400


class Network:
    """
    One server and its clients.

    @ivar factory: the server's factory.
    @ivar recorder: its application.
    @ivar log: all log events.
    """

    factory: Any
    recorder: Recorder

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._port: IListeningPort | None = None
        self._clients: list[Client] = []
        self.log: list[LogEvent] = []
        self._observer = cast(Any, self.log.append)
        globalLogPublisher.addObserver(self._observer)

    # Setting up

    async def serve(self, recorder: Recorder, **limits: Any) -> None:
        """
        Start the server.

        @param limits: fields of L{Settings}.
        """
        self.recorder = recorder
        self.factory = HixieFactory(recorder, settings=Settings(**limits))
        self._port = await listen(self._pair.server, self.factory)

    async def connect(
        self,
        dialect: str,
        *texts: str,
        changes: Mapping[bytes, bytes | None] | None = None,
        extra: Iterable[tuple[bytes, bytes]] = (),
    ) -> Client:
        """
        Connect a client, and send its opening handshake.

        @param texts: messages that it sends with the handshake, in the same segment.
        @param changes: header fields, as in L{buildHead}.
        @param extra: likewise.
        """
        idiom = IDIOMS[dialect]
        request = buildHead(dialect, changes, extra) + idiom.preamble
        request += b"".join(map(idiom.clientText, texts))
        return await self.connectWith(dialect, request)

    async def connectWith(self, dialect: str, request: bytes) -> Client:
        """
        Connect a client, and send bytes.

        @param request: what it sends first.
        """
        endpoint: Any = self.clientEndpoint()
        connected = endpoint.connect(Factory.forProtocol(lambda: Client(dialect, request)))
        client: Client = await result(connected, "a client connects")
        self._clients.append(client)
        return client

    def clientEndpoint(self) -> IStreamClientEndpoint:
        """
        Return how clients reach the server.
        """
        assert self._port is not None
        return self._pair.client(self._port)

    async def open(self, dialect: str, **options: Any) -> tuple[Client, Recording]:
        """
        Connect a client, and wait until its connection is open.

        @param options: as in L{connect}.
        @return: the client, and its connection's application.
        """
        count = len(self.recorder.made)
        client = await self.connect(dialect, **options)
        await self.until(lambda: client.isOpen, "the opening handshake")
        made = self.recorder.made[count]
        await self.until(lambda: made.calls[1:], "negotiationFinished")
        return client, made

    # Waiting

    async def until(
        self, holds: Callable[[], object], what: str, within: float | None = None
    ) -> None:
        """
        Wait until a condition holds, and fail at once if a client gets malformed bytes.
        """

        def check() -> object:
            for client in self._clients:
                assert not client.broken, f"the server sent a broken stream: {client.broken}"
            return holds()

        try:
            await until(check, what, within)
        except AssertionError as error:
            raise AssertionError(f"{error}{self._errors()}") from None

    def _errors(self) -> str:
        """
        Return what else may be the cause of a failure.
        """
        errors = [error for _, error in self.takeErrors()]
        return f" (logged: {errors!r:.200})" if errors else ""

    async def arrived(self, client: Client, count: int, within: float | None = None) -> None:
        """
        Wait until a client has received at least C{count} messages.
        """
        await self.until(lambda: len(client.messages) >= count, f"{count} messages arrive", within)

    async def delivered(self, made: Recording, count: int) -> None:
        """
        Wait until an application has received at least C{count} messages.
        """
        await self.until(lambda: len(made.messages) >= count, f"message {count} is delivered")

    async def lost(self, made: Recording) -> None:
        """
        Wait until an application has been notified that its connection is lost.
        """
        await self.until(lambda: made.isLost, "connectionLost")

    async def ended(self, client: Client) -> None:
        """
        Wait until a client's connection has ended, whichever side ended it.
        """
        await self.until(lambda: client.ended, "the end of the connection")

    async def closed(self, client: Client, code: int) -> None:
        """
        Wait until the server has closed a connection in good order.

        @param code: the close code that it gives, in dialects with codes.
        """
        await self.ended(client)
        assert client.endedWell, client.reason
        match client.dialect:
            case "hixie-75":
                expected = []
            case "hixie-76":
                expected = [1005]
            case _:
                expected = [code]
        assert [code for code, _ in client.closes] == expected

    async def answers(self, *clients: Client) -> None:
        """
        Check that connections work, with an echo on each.
        """
        for number, client in enumerate(clients):
            text = f"{ECHO}{number} {id(client)}"
            client.send(text)
            await self._answered(client, text)
            client.messages.remove(text)

    async def _answered(self, client: Client, text: str) -> None:
        await self.until(lambda: text in client.messages, "an echo")

    async def goesOn(self, dialect: str) -> None:
        """
        Check that the server serves new clients.
        """
        client, _ = await self.open(dialect)
        await self.answers(client)

    async def fill(self, made: Recording, isFull: Callable[[], object]) -> int:
        """
        Send messages to a client that does not read, until a condition holds.

        @return: how many messages.
        """
        for count in range(MOST_FILLINGS):
            if isFull():
                return count
            made.transport.sendTextMessage(FILLING)
            await turns(2)
        raise AssertionError("the kernel is never full")

    async def stuck(self, pump: Pump) -> None:
        """
        Wait until a client cannot send any more, because the server does not read.
        """
        sent = -1
        while sent != pump.sent or not pump.isWaiting:
            assert not pump.isStopped, f"the connection ended{self._errors()}"
            assert not pump.isDone, f"the server has read everything{self._errors()}"
            sent = pump.sent
            await turns()

    # What the server counted and logged

    def counted(self, event: str) -> int:
        """
        Return how often an event happened.
        """
        count: int = self.factory.statistics()["events"].get(event, 0)
        return count

    def lines(self) -> list[str]:
        """
        Return the lines of the log.
        """
        return [formatEvent(event) or "" for event in self.log]

    def logged(self, text: str) -> bool:
        """
        Return whether a line of the log has a text.
        """
        return any(text in line for line in self.lines())

    def takeErrors(self) -> list[tuple[str, BaseException]]:
        """
        Return the errors that were logged since the last call, each with its line.
        """
        errors = []
        for event in self.log[:]:
            # The reactors still log through the older of Twisted's interfaces.
            failure = event.get("log_failure") or event.get("failure")
            if failure is not None:
                self.log.remove(event)
                errors.append((formatEvent(event) or "", failure.value))
        return errors

    async def oneApplicationError(self, made: Recording, error: type[BaseException]) -> None:
        """
        Check that one error of an application was counted, and logged with the connection's id.
        """
        await self.until(lambda: self.counted("application errors"), "the error is counted")
        await turns()
        assert self.counted("application errors") == 1
        ((line, logged),) = self.takeErrors()
        assert f"in the application of {made.transport.id}" in line
        assert isinstance(logged, error)

    # The end

    async def end(self) -> None:
        """
        End everything.
        """
        globalLogPublisher.removeObserver(self._observer)
        if self._port is not None:
            await self._port.stopListening()  # type: ignore[misc]
            self.factory.abortConnections()
        for client in self._clients:
            client.abort()
        await turns(3)
