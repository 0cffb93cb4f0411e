"""
A client of any dialect over a socket or over TLS, as well-behaved as its user chooses.
"""

from __future__ import annotations

import errno
import select
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple

from tests.support import IDIOMS, Fields, buildHead, clientFrame

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
# The longest time in seconds that anything may take.
PATIENCE = 60.0
_READ = 1 << 18
# Repeated pieces are sent in chunks of about this many bytes.
_PIECE = 1 << 16
_CHALLENGE_RESPONSE = 16
# The most bytes in a TLS record.
_RECORD = 1 << 14
_ENDINGS = {errno.ECONNRESET: "reset", errno.EPIPE: "reset", errno.ETIMEDOUT: "timed out"}


class _TLSSocket(ssl.SSLSocket):
    """
    TLS that behaves like a socket: it knows how much it sent, to the record; it raises what sockets
    raise instead of waiting; and its stream ends as TCP does, without a TLS shutdown.
    """

    def send(self, data: Any, flags: int = 0) -> int:
        # A partial write has to be tried again, with at least the same data.
        try:
            return super().send(memoryview(data)[:_RECORD], flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def recv(self, buflen: int = _READ, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def shutdown(self, how: int) -> None:
        # The other side forgets its keys, and reads on without them.
        socket.socket.shutdown(self, how)


# The identity of the server does not matter here.
_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_tls.check_hostname = False
_tls.verify_mode = ssl.CERT_NONE
_tls.set_alpn_protocols(["http/1.1"])
_tls.sslsocket_class = _TLSSocket


class Frame(NamedTuple):
    """
    A frame from the server; in a Hixie dialect with the opcode that it would have in the others.
    """

    opcode: int
    payload: bytes


class Client:
    """
    A client whose opening handshake is complete, or was refused.

    @ivar isSecure: whether it uses TLS.
    @ivar status: the status that the handshake was answered with; 0 if it was not answered.
    @ivar farewell: the server's close: its code, or C{FF 00}; empty before.
    @ivar ending: how TCP ended, C{end} or the name of an error; empty before.
    @ivar reply: sends the answer to a ping.
    """

    def __init__(
        self,
        port: int,
        dialect: str = "rfc6455",
        path: str = "/echo",
        *,
        host: str = "127.0.0.1",
        secure: bool = False,
        extra: Fields = (),
        receiveBuffer: int = 0,
    ) -> None:
        """
        @param secure: whether it uses TLS.
        @param extra: more header fields.
        @param receiveBuffer: the size of the kernel's receive buffer, if not the default.
        """
        self.isSecure = secure
        self.dialect = dialect
        self.idiom = IDIOMS[dialect]
        self.status = 0
        self.farewell = ""
        self.ending = ""
        self.reply = self.send
        self._received = bytearray()
        self.socket = connected(port, host, receiveBuffer, secure)
        head = buildHead(dialect, extra=extra, requestLine=f"GET {path} HTTP/1.1".encode())
        self.send(head + self.idiom.preamble)
        self._takeAnswer()

    def fileno(self) -> int:
        return self.socket.fileno()

    def _takeAnswer(self) -> None:
        while b"\r\n\r\n" not in self._received and self._read():
            pass
        head, _, rest = bytes(self._received).partition(b"\r\n\r\n")
        self._received = bytearray(rest)
        self.status = int(head[9:12] or b"0")
        if self.status == 101 and self.dialect == "hixie-76":
            while len(self._received) < _CHALLENGE_RESPONSE and self._read():
                pass
            del self._received[:_CHALLENGE_RESPONSE]

    def send(self, data: bytes) -> None:
        """
        Send bytes, and note if that is no longer possible.
        """
        try:
            self.socket.sendall(data)
        except OSError as error:
            self.failed(error)

    def sendText(self, text: str) -> None:
        """
        Send a message.
        """
        self.send(self.idiom.clientText(text))

    def failed(self, error: OSError) -> None:
        """
        Note that TCP ended with an error.

        @raise TimeoutError: if it did not, but nothing came in time.
        """
        if isinstance(error, TimeoutError) and not error.errno:
            raise error
        self.ending = _ENDINGS.get(error.errno or 0, type(error).__name__)

    def _read(self) -> bool:
        """
        @return: whether there may be more to read.
        """
        try:
            data = self.socket.recv(_READ)
        except BlockingIOError:
            return False
        except OSError as error:
            self.failed(error)
            return False
        self._received += data
        if not data:
            self.ending = self.ending or "end"
        return bool(data)

    def receive(self) -> list[Frame]:
        """
        Read once, unless there is something to return already. Pings are answered.

        @return: the frames that are complete, pings aside.
        """
        frames = self._frames()
        if not frames:
            self._read()
            frames = self._frames()
        return frames

    def _frames(self) -> list[Frame]:
        if self.idiom.serverClose[:1] == b"\x88":
            return self._hybiFrames()
        return self._hixieFrames()

    def _hixieFrames(self) -> list[Frame]:
        data = self._received
        frames: list[Frame] = []
        position = 0
        while (start := position) < len(data):
            if data[start] == 0xFF:
                if len(data) > start + 1:
                    self.farewell = "FF 00"
                    frames.append(Frame(CLOSE, b""))
                    position = start + 2
                break
            assert data[start] == 0, f"the server sends a frame of type {data[start]}"
            end = data.find(b"\xff", start)
            if end < 0:
                break
            frames.append(Frame(TEXT, bytes(data[start + 1 : end])))
            position = end + 1
        del data[:position]
        return frames

    def _hybiFrames(self) -> list[Frame]:
        data = self._received
        frames: list[Frame] = []
        position = 0
        while len(data) >= position + 2:
            first, size = data[position], data[position + 1]
            start = position + 2
            if size > 125:
                start += 2 if size == 126 else 8
                size = int.from_bytes(data[position + 2 : start], "big")
                if len(data) < start:
                    break
            # It may be compressed; nothing here looks into those.
            assert first & 0xB0 == 0x80, f"the server sends a frame that begins with {first}"
            if len(data) < start + size:
                break
            position = start + size
            self._take(Frame(first & 0xF, bytes(data[start:position])), frames)
        del data[:position]
        return frames

    def _take(self, frame: Frame, frames: list[Frame]) -> None:
        if frame.opcode == PING:
            self.reply(clientFrame(0x80 | PONG, frame.payload))
            return
        if frame.opcode == CLOSE:
            self.farewell = str(int.from_bytes(frame.payload[:2], "big") or 1005)
        frames.append(frame)

    @property
    def outcome(self) -> str:
        """
        How the server ended it, in a word or two.
        """
        return self.farewell or (str(self.status) if self.status != 101 else self.ending) or "open"

    def readToEnd(self, seconds: float = PATIENCE) -> str:
        """
        Read, and drop, until TCP ends.

        @return: the L{outcome}.
        """
        self.socket.settimeout(seconds)
        while not self.ending:
            self.receive()
        return self.outcome

    def watchTCP(self) -> None:
        """
        Check the state of TCP after the end of TLS.

        @raise OSError: if it ended with an error.
        """
        socket.socket.recv(self.socket, 1)

    def close(self) -> None:
        """
        End TCP, without a closing handshake.
        """
        self.socket.close()

    def reset(self) -> None:
        """
        End TCP with a reset.
        """
        reset(self.socket)


def connected(
    port: int, host: str = "127.0.0.1", receiveBuffer: int = 0, secure: bool = False
) -> socket.socket:
    """
    @return: a socket that is connected, over TLS if requested.
    """
    made = socket.socket()
    if receiveBuffer:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receiveBuffer)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.settimeout(PATIENCE)
    made.connect((host, port))
    return _tls.wrap_socket(made, suppress_ragged_eofs=False) if secure else made


def reset(connection: socket.socket) -> None:
    """
    End TCP with a reset.
    """
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def exchange(
    client: Client,
    pieces: Iterable[bytes],
    enough: Callable[[list[Frame]], bool],
    idle: float = PATIENCE,
) -> None:
    """
    Send pieces as fast as the server takes them, and read its answers meanwhile, until that is
    enough or the server ends it.

    @param enough: gets what was received since the last call.
    @param idle: seconds without any progress after which this gives up.
    @raise TimeoutError: if nothing more comes and it was not enough.
    """
    remaining = iter(pieces)
    piece: bytes | memoryview | None = next(remaining, None)
    client.socket.setblocking(False)
    poll = select.poll()
    try:
        while not client.ending:
            poll.register(client, select.POLLIN | (select.POLLOUT if piece is not None else 0))
            ready = poll.poll(1000 * idle)
            if not ready:
                raise TimeoutError(f"nothing for {idle:g} s")
            if ready[0][1] & ~select.POLLOUT and enough(client.receive()):
                return
            if piece is not None and ready[0][1] & select.POLLOUT:
                try:
                    sent = client.socket.send(piece)
                except BlockingIOError:
                    # A part of a TLS record was sent.
                    continue
                except OSError as error:
                    client.failed(error)
                    break
                piece = memoryview(piece)[sent:] or next(remaining, None)
        while client._read():
            pass
        enough(client.receive())
    finally:
        client.socket.setblocking(True)


def bunches(piece: bytes, count: int) -> Iterator[bytes]:
    """
    @return: C{count} times C{piece}, many at a time.
    """
    each = max(1, _PIECE // len(piece))
    whole = piece * each
    for start in range(0, count, each):
        yield whole[: (count - start) * len(piece)]


def push(client: Client, pieces: Iterable[bytes], idle: float) -> int:
    """
    Send pieces and read nothing, until all are sent or the server stops reading.

    @param idle: the seconds without progress after which the server counts as stopped.
    @return: how many bytes the server, and the kernels, took.
    """
    taken = 0
    client.socket.settimeout(idle)
    with suppress(OSError):
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                sent = client.socket.send(rest)
                taken += sent
                rest = rest[sent:]
    client.socket.settimeout(PATIENCE)
    return taken


def openAll(
    port: int, count: int, path: str = "/echo", host: str = "127.0.0.1", secure: bool = False
) -> list[Client]:
    """
    @return: that many clients, of all dialects by turns.
    """
    names = [*IDIOMS]
    return [
        Client(port, names[n % len(names)], path, host=host, secure=secure) for n in range(count)
    ]


def tally(outcomes: Iterable[str]) -> str:
    """
    @return: the outcomes with how often each came, the most frequent first.
    """
    counted = Counter(outcomes).most_common()
    return ", ".join(what if count == 1 else f"{count:,} x {what}" for what, count in counted)


def pause(seconds: float) -> None:
    """
    Let time pass, as the schedule of an attack requires.
    """
    end = monotonic() + seconds
    while (left := end - monotonic()) > 0:
        select.select([], [], [], left)
