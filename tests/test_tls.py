"""TLS without a network: Twisted's TLS is the server, Python's is the client."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from twisted.internet.ssl import CertificateOptions, PrivateCertificate
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory

from tests.certificates import selfSigned
from tests.loopback import Descriptor, Poller, Recorder, echo, frame
from tests.support import IDIOMS, buildHead
from txhixie import HixieFactory
from txhixie.server.factory import NEGOTIATES


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> CertificateOptions:
    """The server's key and certificate."""
    key, certificate = selfSigned(tmp_path_factory.mktemp("certificate"))
    pair = PrivateCertificate.loadPEM(key.read_text() + certificate.read_text())
    options: CertificateOptions = pair.options()
    return options


class _Wire(StringTransport):
    """
    The TCP below the server's TLS.

    @ivar isFull: whether it pauses its producer after each write.
    """

    isFull = False

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.isFull and self.producer is not None:
            self.producer.pauseProducing()

    def setTcpNoDelay(self, enabled: bool) -> None:
        """It has no effect here, but twisted.web calls it."""

    def drain(self) -> None:
        """Ask for more again."""
        self.isFull = False
        if self.producer is not None:
            self.producer.resumeProducing()


class TLSClient:
    """
    A client of a server that has no network.

    @ivar wire: the server's end of TCP.
    @ivar tls: the client's end of TLS.
    """

    def __init__(
        self,
        certificate: CertificateOptions,
        factory: HixieFactory,
        clock: Clock,
        *protocols: str,
    ) -> None:
        """
        @param protocols: what it offers by ALPN.
        """
        wrapped = TLSMemoryBIOFactory(certificate, False, factory, clock)
        wrapped.doStart()
        self.server = wrapped.buildProtocol(None)
        assert self.server is not None
        self.wire = self._connect()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if protocols:
            context.set_alpn_protocols(protocols)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out)
        self._clock = clock
        self._shakeHands()

    def _connect(self) -> Any:
        """@return: the TCP below the server's TLS, which is connected to it."""
        wire = _Wire()
        assert self.server is not None
        self.server.makeConnection(wire)
        return wire

    def _shakeHands(self) -> None:
        for _ in range(10):
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.exchange()
            else:
                self.exchange()
                return
        raise AssertionError("the TLS handshake does not end")

    def exchange(self) -> None:
        """Give the server everything that the client has to send at once, and take its answer."""
        data = self._out.read()
        if data:
            self.server.dataReceived(data)
        self._clock.advance(0)
        self._in.write(self.wire.value())
        self.wire.clear()

    def send(self, *records: bytes) -> None:
        """Send TLS records, all at once."""
        for record in records:
            self.tls.write(record)
        self.exchange()

    def receive(self) -> bytes:
        """@return: what came since the last call."""
        self.exchange()
        received = b""
        while True:
            try:
                data = self.tls.read(65536)
            except ssl.SSLWantReadError:
                return received
            if not data:
                return received
            received += data


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [
        ([], None),
        (["http/1.1"], "http/1.1"),
        (["h2", "http/1.1"], "http/1.1"),
    ],
)
def test_alpn(certificate: CertificateOptions, offered: list[str], agreed: str | None) -> None:
    """A client that offers HTTP/1.1 by ALPN gets it; one that does not is served all the same."""
    clock = Clock()
    client = TLSClient(certificate, HixieFactory(Recorder(), reactor=clock), clock, *offered)
    assert client.tls.selected_alpn_protocol() == (agreed if NEGOTIATES else None)
    client.send(buildHead("hixie-76") + IDIOMS["hixie-76"].preamble)
    assert client.receive().startswith(b"HTTP/1.1 101 ")


@pytest.mark.skipif(not NEGOTIATES, reason="this version of Twisted does not negotiate")
def test_alpnWithoutHTTP(certificate: CertificateOptions) -> None:
    """A client that offers only what is not spoken here is refused (RFC 7301 section 3.2)."""
    clock = Clock()
    with pytest.raises(ssl.SSLError):
        TLSClient(certificate, HixieFactory(Recorder(), reactor=clock), clock, "h2")


@pytest.mark.parametrize("dialect", IDIOMS)
def test_recordsAfterPause(certificate: CertificateOptions, dialect: str) -> None:
    """TLS delivers all records of one read, also after a pause: they wait, in order."""
    clock = Clock()
    recorder = Recorder(textMessageReceived=lambda made, text: echo(made, text * 10))
    client = TLSClient(certificate, HixieFactory(recorder, reactor=clock), clock)
    idiom = IDIOMS[dialect]
    client.send(buildHead(dialect) + idiom.preamble)
    client.receive()
    texts = [letter * 12_000 for letter in "abc"]
    client.wire.isFull = True
    client.send(*map(idiom.clientText, texts))
    assert len(recorder.made[0].calls) == 3
    client.wire.drain()
    client.send(idiom.clientText("end"))
    assert recorder.made[0].calls[2:] == [f"text: {text}" for text in [*texts, "end"]]
    assert client.receive() == b"".join(
        map(idiom.serverText, [text * 10 for text in (*texts, "end")])
    )


def test_recordsAfterRefusal(certificate: CertificateOptions) -> None:
    """What comes in the same read after a request that twisted.web refuses is dropped."""
    clock = Clock()
    client = TLSClient(certificate, HixieFactory(Recorder(), reactor=clock), clock)
    client.send(b"o HTTP/://example.com\r\n\r\n", b"GET /demo HTTP/1.1\r\n\r\n")
    answer = client.receive()
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.count(b"HTTP/1.1") == 1


class _Socket(Descriptor):
    """The same TCP on a socket."""

    def value(self) -> bytes:
        """@return: what the socket took."""
        return bytes(self.taken)

    def clear(self) -> None:
        """Drop what was taken."""
        self.taken.clear()

    def setTcpNoDelay(self, enabled: bool) -> None:
        """As above."""


class DirectClient(TLSClient):
    """
    A client of a server whose TCP has a socket.

    @ivar poller: the server's reactor.
    """

    def __init__(
        self, certificate: CertificateOptions, recorder: Recorder, before: bytes = b""
    ) -> None:
        """
        @param before: a request that it sends before it opens a WebSocket.
        """
        self.poller = Poller()
        super().__init__(certificate, HixieFactory(recorder, reactor=self.poller), self.poller)
        self.send(before + buildHead("hixie-76") + IDIOMS["hixie-76"].preamble)
        self.exchange()
        assert b"HTTP/1.1 101 " in self.receive()
        self.webSocket: Any = recorder.made[0].transport

    def _connect(self) -> Any:
        server: Any = self.server
        return _Socket(self.poller, server)

    def exchange(self) -> None:
        self.poller.turn()
        super().exchange()
        self.poller.turn()


def test_direct(certificate: CertificateOptions) -> None:
    """What the socket takes is encrypted and written at once, without a turn of the reactor."""
    client = DirectClient(certificate, Recorder())
    for text in ("hello", "x" * 200_000):
        client.wire.clear()
        client.webSocket.sendTextMessage(text)
        assert not client.poller.writers
        assert len(client.wire.value()) > len(text)
        assert client.receive() == frame(text)


@pytest.mark.parametrize("room", [0, 1, 10, 5000, 40_000, 100_000])
def test_directRest(certificate: CertificateOptions, room: int) -> None:
    """What the socket does not take follows in order, and only then what was sent meanwhile."""
    client = DirectClient(certificate, Recorder())
    texts = ["a" * 5, "b" * 100_000, "", "c" * 5000, "d" * 40_000]
    client.wire.room = room
    for text in texts:
        client.webSocket.sendTextMessage(text)
    received = b""
    while client.poller.writers:
        client.wire.room = max(room, 1000)
        received += client.receive()
    client.wire.room = float("inf")
    client.webSocket.sendTextMessage("end")
    assert not client.poller.writers
    received += client.receive()
    assert received == b"".join(map(frame, [*texts, "end"]))


def test_directAfterOthers(certificate: CertificateOptions) -> None:
    """Data that TLS itself has to send first is not overtaken."""
    client = DirectClient(certificate, Recorder())
    client.wire.protocol._tlsConnection.send(frame("first"))
    client.wire.protocol._flushSendBIO()
    assert client.poller.writers
    client.webSocket.sendTextMessage("second")
    assert client.receive() == frame("first") + frame("second")


def test_directBroken(certificate: CertificateOptions) -> None:
    """The transport notices if the socket is broken."""
    recorder = Recorder()
    client = DirectClient(certificate, recorder)
    client.wire.broken = True
    client.webSocket.sendTextMessage("hello")
    client.poller.turn()
    assert recorder.made[0].calls[-1] == "connectionLost"


def test_directAfterEnd(certificate: CertificateOptions) -> None:
    """Nothing is written once TLS is over."""
    client = DirectClient(certificate, Recorder())
    client.wire.protocol._tlsConnection.shutdown()
    client.webSocket.sendTextMessage("hello")
    assert client.receive() == b""


def test_directLater(certificate: CertificateOptions) -> None:
    """
    After an earlier answer on the same connection, which the transport may still hold, everything
    takes the ordinary path.
    """
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    client = DirectClient(certificate, Recorder(), request)
    client.webSocket.sendTextMessage("hello")
    assert not client.wire.value()
    client.exchange()
    assert client.receive() == frame("hello")
