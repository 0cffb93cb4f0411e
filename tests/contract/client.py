"""
A client of each dialect that can stop reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.support import HIXIE, IDIOMS, Deflater, clientFrame

# The size of the kernel's buffers for a socket, so that they are full soon.
BUFFER = 128 * 1024

# What comes after the head of a Hixie-76 answer.
_CHALLENGE_RESPONSE = 16


class Client(Protocol):
    """
    A client. It answers the server's closing handshake and pings by itself.

    @ivar status: the status of the answer to the opening handshake; 0 before it is there.
    @ivar fields: the header fields of that answer.
    @ivar isOpen: whether the opening handshake succeeded.
    @ivar messages: the messages it received.
    @ivar pings: the payloads of the pings it received.
    @ivar closes: the code and reason of each closing frame it received.
    @ivar answersPings: whether it answers pings.
    @ivar ended: whether the connection is over.
    @ivar hook: called whenever it has read something.
    @ivar broken: what is wrong with the bytes that the server sent, if anything.
    """

    transport: Any

    def __init__(self, dialect: str, request: bytes) -> None:
        """
        @param request: what it sends first.
        """
        self.dialect = dialect
        self.status = 0
        self.fields: list[tuple[bytes, bytes]] = []
        self.isOpen = False
        self.messages: list[str | bytes] = []
        self.pings: list[bytes] = []
        self.closes: list[tuple[int, str]] = []
        self.answersPings = True
        self.ended = False
        self.hook: Callable[[], object] = lambda: None
        self.broken = ""
        self.reason: BaseException | None = None
        self.deflater: Deflater | None = None
        self._idiom = IDIOMS[dialect]
        self._request = request
        self._received = bytearray()
        # How far a Hixie frame was searched for its end.
        self._searched = 0

    # Sending

    def send(self, *texts: str) -> None:
        """
        Send text messages, all at once.
        """
        self.transport.write(b"".join(map(self._idiom.clientText, texts)))

    def sendBytes(self, data: bytes) -> None:
        """
        Send a bytes message.
        """
        self.transport.write(clientFrame(0x82, data))

    def sendPong(self, payload: bytes) -> None:
        """
        Send a pong.
        """
        self.transport.write(clientFrame(0x8A, payload))

    def sendRaw(self, data: bytes) -> None:
        """
        Send bytes unchanged.
        """
        self.transport.write(data)

    def close(self) -> None:
        """
        Close with the closing handshake, or by the end of TCP in a dialect without one.
        """
        if self._idiom.clientClose:
            self.transport.write(self._idiom.clientClose)
        else:
            self.transport.loseConnection()

    def abort(self) -> None:
        """
        End the connection without a close.
        """
        if self.transport is not None and not self.ended:
            self.transport.abortConnection()

    def pump(self, texts: Iterable[str]) -> Pump:
        """
        Send text messages only as fast as the server takes them.
        """
        return Pump(self.transport, map(self._idiom.clientText, texts))

    # Reading

    def stopReading(self) -> None:
        """
        Stop reading.
        """
        self.transport.pauseProducing()

    def readOn(self) -> None:
        """
        Read again.
        """
        with suppress(AttributeError):
            # The transport may be gone.
            self.transport.resumeProducing()

    # What the transport calls

    def connectionMade(self) -> None:
        bare = self.transport
        while isinstance(bare, ProtocolWrapper):
            bare = bare.transport
        for option in (SO_RCVBUF, SO_SNDBUF):
            bare.getHandle().setsockopt(SOL_SOCKET, option, BUFFER)
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        if self.broken:
            return
        self._received += data
        try:
            if not self.status:
                self._readHead()
            if self.status == 101 and not self.isOpen:
                self._readChallengeResponse()
            if self.isOpen:
                self._readFrames()
        except (AssertionError, UnicodeDecodeError) as error:
            self.broken = str(error)
            self.transport.abortConnection()
        self.hook()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended = True
        self.reason = reason.value

    @property
    def endedWell(self) -> bool:
        """
        Whether the connection ended in good order, not by a reset.
        """
        return self.ended and isinstance(self.reason, ConnectionDone)

    def _readHead(self) -> None:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        first, *lines = bytes(self._received[:end]).split(b"\r\n")
        del self._received[: end + 4]
        self.status = int(first.split(b" ")[1])
        for line in lines:
            name, _, value = line.partition(b":")
            self.fields.append((name, value.strip()))

    def field(self, name: bytes) -> list[bytes]:
        """
        Return the values of a header field of the answer.
        """
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def _readChallengeResponse(self) -> None:
        size = _CHALLENGE_RESPONSE if self.dialect == "hixie-76" else 0
        if len(self._received) >= size:
            del self._received[:size]
            self.isOpen = True

    def _readFrames(self) -> None:
        frames = _hixieFrames if self.dialect in HIXIE else _frames
        at = 0
        for kind, payload, end in frames(self._received, self._searched):
            at = end
            self._frameReceived(kind, payload)
        del self._received[:at]
        self._searched = len(self._received)

    def _frameReceived(self, kind: int, payload: bytes) -> None:
        if kind & 0x40:
            assert self.deflater is not None, "a compressed frame that nobody agreed to"
            payload = self.deflater.decompress(payload)
            kind &= ~0x40
        match kind:
            case 0x81:
                self.messages.append(payload.decode())
            case 0x82:
                self.messages.append(payload)
            case 0x88:
                code = int.from_bytes(payload[:2], "big") if payload else 1005
                self.closes.append((code, payload[2:].decode()))
                self.transport.write(
                    self._idiom.clientClose if self.dialect in HIXIE else clientFrame(0x88, payload)
                )
            case 0x89:
                self.pings.append(payload)
                if self.answersPings:
                    self.sendPong(payload)
            case _:
                raise AssertionError(f"a frame that begins with 0x{kind:02x}")


def _hixieFrames(received: bytearray, searched: int) -> Iterator[tuple[int, bytes, int]]:
    """
    Go through the frames of a Hixie dialect that have come in whole.

    @return: what each would be in RFC 6455, its payload, and where it ends.
    """
    at = 0
    while len(received) > at:
        if received[at] == 0xFF:
            if len(received) < at + 2:
                return
            assert received[at + 1] == 0, "a closing frame that is not empty"
            at += 2
            yield 0x88, b"", at
            continue
        assert received[at] == 0, f"a frame of type 0x{received[at]:02x}"
        end = received.find(b"\xff", max(at, searched))
        if end < 0:
            return
        start, at = at + 1, end + 1
        yield 0x81, bytes(received[start:end]), at


def _frames(received: bytearray, searched: int) -> Iterator[tuple[int, bytes, int]]:
    """
    Go through the frames that have come in whole.

    @return: the first byte of each, its payload, and where it ends.
    """
    at = 0
    while len(received) >= at + 2:
        size = received[at + 1]
        assert size < 128, "a frame of a server is masked"
        start = at + 2
        if size >= 126:
            start += 2 if size == 126 else 8
            if len(received) < start:
                return
            size = int.from_bytes(received[at + 2 : start], "big")
        if len(received) < start + size:
            return
        kind, at = received[at], start + size
        yield kind, bytes(received[start:at]), at


@implementer(IPushProducer)
class Pump:
    """
    Sends frames only as fast as the transport takes them.

    @ivar sent: how many frames it has sent.
    @ivar isWaiting: whether the transport is full.
    @ivar isDone: whether it has sent all.
    @ivar isStopped: whether the connection ended before that.
    """

    def __init__(self, transport: Any, frames: Iterable[bytes]) -> None:
        self.sent = 0
        self.isWaiting = False
        self.isDone = False
        self.isStopped = False
        self._transport = transport
        self._frames = iter(frames)
        transport.registerProducer(self, True)
        self.resumeProducing()

    def pauseProducing(self) -> None:
        """
        Wait.
        """
        self.isWaiting = True

    def resumeProducing(self) -> None:
        """
        Send until the transport is full.
        """
        self.isWaiting = False
        while not (self.isWaiting or self.isDone or self.isStopped):
            frame = next(self._frames, None)
            if frame is None:
                self.isDone = True
                self._transport.unregisterProducer()
            else:
                self.sent += 1
                self._transport.write(frame)

    def stopProducing(self) -> None:
        """
        Stop: the connection has ended.
        """
        self.isStopped = True
