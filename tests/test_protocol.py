"""
One connection from its first byte to its last, without a network.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.protocols.haproxy._wrapper import HAProxyWrappingFactory

from tests.loopback import (
    ANSWER,
    CLOSE,
    FINISHED,
    HANDSHAKES,
    HEAD75,
    HEAD76,
    KEY3,
    LOST,
    REPLY75,
    REPLY76,
    STARTED,
    LoopbackCase,
    Producer,
    Recording,
    TCPWire,
    TLSWire,
    Wire,
    echo,
    frame,
    ownLines,
)
from tests.support import IDIOMS, buildHead, heldBytes
from txhixie import (
    Broadcast,
    CloseCode,
    Echo,
    HandshakeError,
    State,
    UnsupportedMessage,
    WebSocketDone,
    WebSocketLost,
)

requirement = pytest.mark.requirement


def sends(*texts: str) -> Callable[[Recording], None]:
    """A hook that sends messages."""

    def send(recording: Recording, *arguments: object) -> None:
        for text in texts:
            recording.transport.sendTextMessage(text)

    return send


def fails(recording: Recording, *arguments: object) -> None:
    """A hook that has an error in it."""
    raise ZeroDivisionError


def closes(recording: Recording, *arguments: object) -> None:
    """A hook that closes."""
    recording.transport.loseConnection()


class FirstBytesTests(LoopbackCase):
    """Clients of other protocols try every open port."""

    def probe(self, data: bytes) -> tuple[bytes, list[str]]:
        """@return: the answer to what is no HTTP, and what is logged."""
        with capturedLogs() as events:
            wire = self.connect()
            wire.dribble(data)
            self.clock.advance(20)
            self.clock.advance(20)
        assert wire.ended
        assert self.recorder.made == []
        wire.lose()
        self.assertQuiet()
        return wire.take(), ownLines(events)

    @requirement("D-02", "B-39")
    def test_tlsHello(self) -> None:
        """A TLS client on a plain port gets no reply and costs one debug line."""
        reply, lines = self.probe(bytes.fromhex("16030100a5010000a1030352362c1012cf23"))
        assert reply == b""
        assert len(lines) == 1, lines
        assert re.search("^debug: .*192.168.1.1.* TLS$", lines[0])

    @requirement("D-01", "B-40")
    def test_flashPolicy(self) -> None:
        """A Flash player that asks for its policy is closed silently, with a debug line."""
        reply, lines = self.probe(b"<policy-file-request/>\0")
        assert reply == b""
        assert len(lines) == 1, lines
        assert re.search("^debug: ", lines[0])

    @requirement("B-39")
    def test_randomBinary(self) -> None:
        """Random bytes end the connection at one debug line, whatever they begin with."""
        for first in (*range(256), *b"\r\r"):
            reply, lines = self.probe(bytes([first]) + bytes(range(128, 160)) * 4)
            assert reply == b""
            assert len(lines) == 1, lines
            assert re.search("^debug: ", lines[0])

    @requirement("B-39")
    def test_sshBanner(self) -> None:
        """A client of another line protocol gets a 400 at its first line, at one debug line."""
        for banner in (b"SSH-2.0-OpenSSH_9.6\r\n", b"HELO mail\r\n", b"GET /\r\n"):
            reply, lines = self.probe(banner)
            assert reply.startswith(b"HTTP/1.1 400 Bad Request\r\n"), reply
            assert len(lines) == 1, lines
            assert re.search("^debug: refused 192.168.1.1:54321: 400 ", lines[0])

    def test_silent(self) -> None:
        """A connection without a byte ends after the handshake timeout, at one debug line."""
        reply, lines = self.probe(b"")
        assert reply == b""
        assert re.search(r"^debug: .*$", "\n".join(lines))

    def test_portScan(self) -> None:
        """A connection that is closed at once costs no line at all."""
        with capturedLogs() as events:
            self.connect().lose()
        assert ownLines(events) == []
        self.assertQuiet()

    def test_emptyLinesFirst(self) -> None:
        """Empty lines before the request line are ignored, as HTTP demands."""
        assert self.connect(b"\r\n\r\n" + HEAD75).take() == REPLY75


class HeadLimitTests(LoopbackCase):
    """How much of a request head is read."""

    def head(self, size: int) -> bytes:
        """@return: C{HEAD75} filled up to a size."""
        lines = HEAD75[:-2]
        return lines + b"X: " + b"x" * (size - len(lines) - 7) + b"\r\n\r\n"

    def assertRefused(self, wire: Wire, status: bytes) -> None:
        """The client got an error, then the end."""
        assert b"HTTP/1.1 " + status == wire.take()[:12]
        assert wire.ended

    @requirement("L-05", "B-35")
    def test_size(self) -> None:
        """A head of exactly the limit passes, one byte more is refused with 431."""
        for limit in (1000, 16 * 1024):
            for send in (TCPWire.send, TCPWire.dribble):
                self.serve(maxHead=limit)
                wire = self.connect()
                send(wire, self.head(limit))
                assert wire.take() == REPLY75
                wire = self.connect()
                send(wire, self.head(limit + 1))
                self.assertRefused(wire, b"431")

    @requirement("L-05", "B-35")
    def test_large(self) -> None:
        """A limit above the libraries' limit on lines holds in every dialect."""
        self.serve(maxHead=100_000)
        for dialect, idiom in IDIOMS.items():
            size = 100_000 - len(buildHead(dialect)) - len(b"X: \r\n")
            for excess, status in ((0, b"101"), (1, b"431")):
                head = buildHead(dialect, extra=[(b"X", b"x" * (size + excess))])
                assert len(head) == 100_000 + excess
                for piece in (len(head), 10_000):
                    with self.subTest(dialect, excess=excess, piece=piece):
                        wire = self.connect()
                        for at in range(0, len(head), piece):
                            wire.send(head[at : at + piece])
                        wire.send(idiom.preamble)
                        assert wire.take()[9:12] == status
                        assert wire.ended is bool(excess)

    @requirement("L-05", "B-35")
    def test_sizeOfManyLines(self) -> None:
        """The limit applies to all lines together."""
        self.serve(maxHead=1000)
        self.assertRefused(self.connect(HEAD75[:-2] + b"X: 34\r\n" * 200), b"431")

    @requirement("L-05", "B-35")
    def test_neverEndingLine(self) -> None:
        """A line without end is refused when it exceeds the limit, not when it ends."""
        wire = self.connect(b"GET /")
        for _ in range(16):
            wire.send(b"x" * 1024)
        self.assertRefused(wire, b"431")

    @requirement("L-05", "B-35")
    def test_longLineAtOnce(self) -> None:
        """A line of more than the limit is refused when it comes in one segment, too."""
        self.assertRefused(self.connect(b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\n\r\n"), b"431")

    @requirement("L-05")
    def test_fields(self) -> None:
        """As many fields as the limit pass, one more is refused with 431."""
        for limit in (5, 100):
            self.serve(maxFields=limit)
            more = b"".join(b"X-%d: x\r\n" % number for number in range(limit - 4))
            for send in (TCPWire.send, TCPWire.dribble):
                wire = self.connect()
                send(wire, HEAD75[:-2] + more + b"\r\n")
                assert wire.take() == REPLY75
                wire = self.connect()
                send(wire, HEAD75[:-2] + more + b"Y: y\r\n\r\n")
                self.assertRefused(wire, b"431")

    @requirement("L-05")
    def test_anyRequest(self) -> None:
        """The limits hold for plain HTTP as well."""
        self.assertRefused(self.connect(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 101), b"431")

    def test_restOfRefused(self) -> None:
        """What follows a refused head is dropped."""
        wire = self.connect(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1000 + b"\r\n" + HEAD75)
        self.assertRefused(wire, b"431")
        wire.send(HEAD75)
        assert wire.take() == b""
        wire = self.connect(HEAD75.replace(b"Host", b"Hose") + b"x" * 10_000)
        self.assertRefused(wire, b"400")
        assert heldBytes(wire.protocol._rest, wire.protocol._early) == 0


class HandshakeTimeTests(LoopbackCase):
    """How long a client may take."""

    @requirement("L-03", "B-34", "B-36")
    def test_slowHead(self) -> None:
        """A byte per second does not gain time: the limit applies to the whole handshake."""
        for head in (HEAD75, HEAD75.replace(b"\r\n", b"\n")):
            wire = self.connect()
            for byte in head[:9]:
                wire.send(bytes([byte]))
                self.clock.advance(1)
            assert not wire.ended
            self.clock.advance(1)
            assert wire.ended
            assert wire.take() == b""

    @requirement("B-34")
    def test_bareLineFeeds(self) -> None:
        """A head with bare LF as line ends is never complete."""
        wire = self.connect(HEAD75.replace(b"\r\n", b"\n"))
        self.clock.advance(9.9)
        assert not wire.ended
        self.clock.advance(0.1)
        assert wire.ended
        assert wire.take() == b""
        assert self.recorder.made == []

    @requirement("KEY3-5", "L-03", "B-22")
    def test_missingKey3(self) -> None:
        """
        A client that sends no key3 gets the head of the answer at once, and is closed in time.
        """
        with capturedLogs() as events:
            wire = self.connect(HEAD76)
            assert wire.take() == REPLY76
            for byte in KEY3[:7]:
                self.clock.advance(1.4)
                wire.send(bytes([byte]))
            assert not wire.ended
            self.clock.advance(0.2)
        assert wire.ended
        wire.send(KEY3)
        wire.lose()
        assert wire.take() == b""
        assert self.calls == [STARTED, LOST]
        assert isinstance(self.ending, WebSocketLost)
        assert ownLines(events)[:1] == ["debug: 192.168.1.1:54321 did not complete a handshake"]

    @requirement("KEY3-5", "B-23")
    def test_endInKey3(self) -> None:
        """A FIN or RST before the eighth byte of key3 is the end, without an open connection."""
        for reason in (ConnectionDone(), ConnectionLost()):
            wire = self.connect(HEAD76 + KEY3[:7])
            wire.lose(reason)
            assert wire.take() == REPLY76
            assert self.calls == [STARTED, LOST]
            assert isinstance(self.ending, WebSocketLost)
            self.assertQuiet()

    @requirement("L-03")
    def test_tooLate(self) -> None:
        """Data that comes after the time is over is not answered, whatever it is."""
        for first, rest in ((b"", b"Q\r\n"), (b"", HEAD75), (HEAD75[:20], HEAD75[20:])):
            wire = self.connect(first)
            self.clock.advance(10)
            assert wire.halfClosed
            wire.take()
            wire.send(rest)
            assert wire.take() == b""
            wire.lose()
        assert self.recorder.made == []
        self.assertQuiet()

    @requirement("L-03")
    def test_setting(self) -> None:
        """The time is a setting, and no longer applies after the handshake."""
        self.serve(handshakeTimeout=3)
        wires = [self.connect(HEAD76), self.connect(), self.open("hixie-75"), self.open()]
        self.clock.advance(2.9)
        assert [wire.ended for wire in wires] == [False] * 4
        self.clock.advance(0.1)
        assert [wire.ended for wire in wires] == [True, True, False, False]
        self.clock.advance(100000)
        assert [wire.ended for wire in wires] == [True, True, False, False]


class OpeningTests(LoopbackCase):
    """The opening handshake on the wire, and messages around it."""

    @requirement("KEY3-3", "H75-S-08")
    def test_oneWrite(self) -> None:
        """When the whole handshake has arrived, the whole answer is one write."""
        for request, reply in HANDSHAKES.values():
            assert [reply] == self.connect(request).writes

    @requirement("KEY3-3", "B-22")
    def test_lateKey3(self) -> None:
        """
        Without key3 the head of the answer goes out at once, and the 16 bytes in one write later.
        """
        wire = self.connect(HEAD76)
        assert wire.writes == [REPLY76]
        assert self.calls == [STARTED]
        wire.send(KEY3)
        assert wire.writes == [REPLY76, ANSWER]
        assert self.calls == [STARTED, FINISHED]

    @requirement("KEY3-2", "KEY3-3", "B-24")
    def test_splitKey3(self) -> None:
        """Key3 may be cut anywhere."""
        for cut in range(9):
            wire = self.connect(HEAD76 + KEY3[:cut])
            wire.send(KEY3[cut:])
            assert wire.take() == REPLY76 + ANSWER
            assert (1 if cut == 8 else 2) == len(wire.writes)
            assert self.calls == [STARTED, FINISHED]

    @requirement("KEY3-2", "B-24")
    def test_byteByByte(self) -> None:
        """All may come one byte at a time."""
        for request, reply in HANDSHAKES.values():
            wire = self.connect()
            wire.dribble(request + frame("h\u00e9llo"))
            assert reply + frame("héllo") == wire.take()
            assert self.calls == [STARTED, FINISHED, "text: héllo"]

    @requirement("KEY3-8", "B-24")
    def test_key3IsNoRequest(self) -> None:
        """Key3 is used unchanged, even where HTTP would see line ends or another request in it."""
        for key3 in (b"\r\n\r\n\0\xff\xfe\x80", b"GET / HT", b"\xff\0\xff\0\xff\0\xff\0"):
            wire = self.connect(HEAD76 + key3 + frame("hi"))
            reply = wire.take()
            assert reply[:-20] == REPLY76
            assert frame("hi") == reply[-4:]
            assert self.calls == [STARTED, FINISHED, "text: hi"]

    @requirement("KEY3-6", "H75-S-07", "B-26")
    def test_earlyFrames(self) -> None:
        """Frames in the segment of the handshake arrive right after the opening."""
        for request, reply in HANDSHAKES.values():
            wire = self.connect(request + frame("hi") + frame("ho"))
            assert [reply + frame("hi") + frame("ho")] == wire.writes
            assert self.calls == [STARTED, FINISHED, "text: hi", "text: ho"]

    @requirement("KEY3-6", "B-26")
    def test_framesWithLateKey3(self) -> None:
        """Frames in the segment of a late key3 arrive as well."""
        wire = self.connect(HEAD76)
        wire.send(KEY3 + frame("hi"))
        assert [REPLY76, ANSWER + frame("hi")] == wire.writes

    @requirement("KEY3-6", "L-02")
    def test_earlyFramesCount(self) -> None:
        """The limit on messages holds for early ones."""
        self.serve(maxMessage=4)
        wire = self.connect(HEAD76 + KEY3 + frame("hello"))
        assert wire.take() == REPLY76 + ANSWER + CLOSE
        assert wire.ended
        assert self.calls == [STARTED, FINISHED]

    @requirement("B-38")
    def test_pipelinedHandshakes(self) -> None:
        """A second handshake after the first is a frame of type 0x47, which is discarded."""
        for request, reply in HANDSHAKES.values():
            wire = self.connect(request * 2)
            assert reply == wire.take()
            wire.send(b"\xff" + frame("hi"))
            assert frame("hi") == wire.take()

    @requirement("KEY3-4", "B-51")
    def test_sendsInOrder(self) -> None:
        """Messages that are sent during the handshake arrive in order, after its answer."""
        self.record(
            negotiationStarted=sends("1", "2"),
            negotiationFinished=sends("3", "4"),
            textMessageReceived=echo,
        )
        frames = b"".join(map(frame, "12345"))
        for request, reply in HANDSHAKES.values():
            assert [reply + frames] == self.connect(request + frame("5")).writes
        wire = self.connect(HEAD76)
        self.recorder.made[-1].transport.sendTextMessage("2\u00bd")
        assert wire.take() == REPLY76
        wire.send(KEY3)
        assert ANSWER + b"".join(map(frame, ["1", "2", "2½", "3", "4"])) == wire.take()

    @requirement("KEY3-4")
    def test_closeWhileConnecting(self) -> None:
        """A close in C{negotiationStarted} happens after the handshake, after earlier messages."""

        def bye(recording: Recording, transport: Any) -> None:
            transport.sendTextMessage("bye")
            transport.loseConnection()
            transport.sendTextMessage("too late")

        self.record(negotiationStarted=bye)
        wire = self.connect(HEAD76)
        assert wire.take() == REPLY76
        assert not wire.ended
        wire.send(KEY3 + frame("not read") + CLOSE)
        assert ANSWER + frame("bye") + CLOSE == wire.take()
        assert wire.ended
        wire = self.connect(HEAD75 + frame("not read"))
        assert REPLY75 + frame("bye") == wire.take()
        assert wire.ended
        assert "text: not read" not in self.calls

    def test_closeWaitsForKey3(self) -> None:
        """A close while key3 is missing does not wait for it forever."""
        wire = self.connect(HEAD76)
        self.recorder.made[-1].transport.loseConnection()
        self.pass_(2)
        assert wire.ended
        assert wire.take() == REPLY76
        wire.lose()
        assert self.calls == [STARTED, LOST]
        self.assertQuiet()

    def test_headerFields(self) -> None:
        """Lower-case names and a Content-Length for key3 are what real clients send."""
        lines = HEAD76.split(b"\r\n")
        lower = [lines[0], *(line[:6].lower() + line[6:] for line in lines[1:])]
        request = b"\r\n".join([lower[0], b"content-length: 8", *lower[1:]])
        assert self.connect(request + KEY3).writes == [REPLY76 + ANSWER]

    def test_refused(self) -> None:
        """A handshake that no dialect accepts gets its HTTP error, and the end."""
        wire = self.connect(HEAD76.replace(b"GET", b"PUT") + KEY3)
        assert wire.take().startswith(b"HTTP/1.1 405 Method Not Allowed\r\nAllow: GET")
        assert wire.ended
        assert self.recorder.made == []
        wire.lose()
        self.assertQuiet()

    def test_switchedOff(self) -> None:
        """A dialect that is switched off is refused."""
        self.serve(dialects=("hixie-76",))
        assert self.connect(HEAD75).take().startswith(b"HTTP/1.1 400 ")
        assert self.connect(HEAD76 + KEY3).take() == REPLY76 + ANSWER

    @requirement("L-07")
    def test_tcpOptions(self) -> None:
        """TCP keepalive finds peers that vanished, and small messages are sent without delay."""
        wire = self.connect()
        assert wire.getTcpKeepAlive()
        assert wire.getTcpNoDelay()

    def test_tls(self) -> None:
        """A client that came over TLS gets a C{wss} location."""
        for request, reply in HANDSHAKES.values():
            wire = self.connect(request, TLSWire)
            assert reply.replace(b"ws://", b"wss://") == wire.take()
            request_ = self.recorder.made[-1].request
            assert request_.isSecure()

    def test_haproxy(self) -> None:
        """With HAProxy's PROXY protocol the peer is the client, and all else is the same."""
        wrapper = HAProxyWrappingFactory(self.factory).buildProtocol(None)
        wire = TCPWire(wrapper, self.clock)  # type: ignore[arg-type]
        wire.send(b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 80\r\n" + HEAD76)
        assert wire.take() == REPLY76
        wire.send(KEY3 + frame("hi") + CLOSE)
        assert wire.take() == ANSWER + frame("hi") + CLOSE
        assert self.recorder.made[0].request.getClientAddress().host == "203.0.113.7"
        assert wire.halfClosed
        wire.lose()
        assert self.calls == [STARTED, FINISHED, "text: hi", LOST]
        self.assertQuiet()


class SendingTests(LoopbackCase):
    """What applications send."""

    def test_unsupported(self) -> None:
        """Bytes are refused before anything is written, and the connection goes on."""
        for dialect in HANDSHAKES:
            wire = self.open(dialect)
            with pytest.raises(UnsupportedMessage):
                wire.webSocket.sendBytesMessage(b"hi")
            with pytest.raises(TypeError):
                wire.webSocket.sendTextMessage(b"hi")  # type: ignore[arg-type]
            with pytest.raises(UnicodeEncodeError):
                wire.webSocket.sendTextMessage("\ud800")
            assert wire.take() == b""
            assert wire.webSocket.messagesSent == 0
            wire.send(frame("hi"))
            assert frame("hi") == wire.take()

    def test_several(self) -> None:
        """Several messages that are sent together arrive as separate messages, in one write."""
        for logMessages in (False, True):
            self.serve(logMessages=logMessages)
            wires = [self.open(dialect) for dialect in HANDSHAKES]
            texts = ("a", "", "b")
            for wire in wires:
                wire.take()
                wire.writes.clear()
                self.factory.shared.turn.run(wire.webSocket.sendTextMessages, texts)
                assert wire.writes == [b"".join(map(frame, texts))]
                assert wire.webSocket.messagesSent == 3
                wire.webSocket.loseConnection()
                wire.take()
                wire.webSocket.sendTextMessages(texts)
                assert wire.take() == b""
                assert wire.webSocket.messagesSent == 3

    def test_notSent(self) -> None:
        """What is sent after a close is not counted as sent."""
        for dialect in IDIOMS:
            wire = self.open(dialect)
            wire.webSocket.loseConnection()
            wire.take()
            wire.webSocket.sendTextMessage("late")
            wire.webSocket.sendTextMessages(["late", "later"])
            if wire.webSocket.hasPing:
                wire.webSocket.sendBytesMessage(b"late")
            assert wire.take() == b""
            assert wire.webSocket.messagesSent == 0

    def test_ping(self) -> None:
        """A ping does nothing in dialects without pings."""
        for dialect in HANDSHAKES:
            wire = self.open(dialect)
            wire.webSocket.ping(b"hi")
            assert wire.take() == b""

    def test_beforeTheHandshake(self) -> None:
        """Before the request is complete there is no WebSocket."""
        wire = self.connect(HEAD76[:20])
        assert wire.protocol.webSocket is None
        assert wire.value() == b""

    @requirement("CL-04")
    def test_allBeforeClose(self) -> None:
        """Everything that was sent before the close is written before it."""
        for dialect, close in (("hixie-75", b""), ("hixie-76", CLOSE)):
            wire = self.open(dialect)
            texts = ["x" * 100_000] * 3
            for text in texts:
                wire.webSocket.sendTextMessage(text)
            wire.webSocket.loseConnection()
            assert b"".join(map(frame, texts)) + close == wire.take()

    @requirement("B-51", "CL-04")
    def test_afterClose(self) -> None:
        """A send after the close is a silent no-op, and so is another close."""
        for dialect in HANDSHAKES:
            for isLost in (False, True):
                wire = self.open(dialect)
                if isLost:
                    wire.lose()
                else:
                    wire.webSocket.loseConnection()
                wire.take()
                wire.webSocket.sendTextMessage("hi")
                wire.webSocket.ping()
                wire.webSocket.loseConnection()
                assert wire.take() == b""
                assert wire.webSocket.messagesSent == 0

    def test_sendAtLoss(self) -> None:
        """A send in C{connectionLost} is a silent no-op."""
        self.record(connectionLost=sends("hi"))
        wire = self.open()
        wire.lose()
        assert wire.take() == b""
        assert self.calls == [STARTED, FINISHED, LOST]


class DecidingTests(LoopbackCase):
    """An application may refuse a client, and decide later."""

    def assertRefused(self, wire: Wire, status: bytes) -> None:
        """The client got an error and the end, the application nothing more."""
        self.clock.advance(0)
        assert b"HTTP/1.1 " + status == wire.take()[:12]
        assert wire.ended
        wire.send(KEY3)
        wire.lose()
        assert wire.take() == b""
        assert self.calls == []
        self.assertQuiet()

    def outcomes(self) -> dict[bytes, Callable[[Recording], Any]]:
        """The possible decisions of an application, by the first bytes of the status."""

        def refuse(made: Recording) -> Any:
            raise HandshakeError(402, "pay first")

        def crash(made: Recording) -> Any:
            raise ZeroDivisionError

        return {b"101": lambda made: made, b"404": lambda made: None, b"402": refuse, b"500": crash}

    def assertOutcome(self, status: bytes, wire: Wire) -> None:
        """The client got the application's decision."""
        if status == b"101":
            self.clock.advance(0)
            assert REPLY76 + ANSWER + frame("hi") == wire.take()
            assert self.calls == [STARTED, FINISHED, "text: hi"]
            wire.lose()
        else:
            self.assertRefused(wire, status)
        assert [status == b"500"] == [bool(self.flushLoggedErrors(ZeroDivisionError))]

    def test_atOnce(self) -> None:
        """The application decides in C{buildProtocol}."""
        for status, decide in self.outcomes().items():
            self.record(decide, textMessageReceived=echo)
            self.assertOutcome(status, self.connect(HEAD76 + KEY3 + frame("hi")))

    def test_firedDeferred(self) -> None:
        """The application returns a Deferred that has its result."""
        for status, decide in self.outcomes().items():

            def fired(made: Recording, decide: Any = decide) -> Any:
                return succeed(made).addCallback(decide)

            self.record(fired, textMessageReceived=echo)
            self.assertOutcome(status, self.connect(HEAD76 + KEY3 + frame("hi")))

    def test_laterDeferred(self) -> None:
        """The application returns a Deferred that fires later; bytes that arrive meanwhile wait."""
        for cut in (0, 3, 8, 11, 12):
            data = KEY3 + frame("hi")
            for status, decide in self.outcomes().items():
                decision: Deferred[Any] = Deferred()
                decision.addCallback(decide)
                made = self.record(lambda made, d=decision: d, textMessageReceived=echo).made
                wire = self.connect(HEAD76 + data[:cut])
                if data[cut:]:
                    wire.send(data[cut:])
                self.clock.advance(9)
                assert wire.take() == b""
                assert wire.producerState == "paused"
                assert made[0].calls == []
                decision.callback(made[0])
                assert wire.producerState == "producing"
                self.assertOutcome(status, wire)

    def test_coroutine(self) -> None:
        """The application's C{buildProtocol} is a coroutine that waits or does not."""
        for wait in (False, True):
            for status, decide in self.outcomes().items():
                event: Deferred[None] = Deferred()

                async def build(made: Recording, event: Any = event, decide: Any = decide) -> Any:
                    await event
                    return decide(made)

                if not wait:
                    event.callback(None)
                self.record(build, textMessageReceived=echo)
                wire = self.connect(HEAD76 + KEY3 + frame("hi"))
                if wait:
                    assert wire.take() == b""
                    event.callback(None)
                self.assertOutcome(status, wire)

    def test_oneWrite(self) -> None:
        """If a complete handshake waits for its decision, the answer is one write."""
        decision: Deferred[Any] = Deferred()
        made = self.record(lambda made: decision).made
        wire = self.connect(HEAD76 + KEY3)
        decision.callback(made[0])
        assert wire.writes == [REPLY76 + ANSWER]

    def test_refusalHeaders(self) -> None:
        """A refusal carries its text and header fields."""

        def refuse(made: Recording) -> Any:
            raise HandshakeError(401, "who?", [(b"WWW-Authenticate", b"Basic realm=x")])

        self.record(refuse)
        reply = self.connect(HEAD75).take()
        assert reply.startswith(b"HTTP/1.1 401 Unauthorized\r\n"), reply
        assert b"\r\nWWW-Authenticate: Basic realm=x\r\n" in reply
        assert b"\r\nConnection: close\r\n" in reply
        assert reply.endswith(b"\r\nContent-Length: 5\r\nConnection: close\r\n\r\nwho?\n")

    def test_refusedWhileWaiting(self) -> None:
        """What a client sends that was refused after a slow decision is not kept."""
        decision: Deferred[Any] = Deferred()
        self.record(lambda made: decision)
        wire = self.connect(HEAD76 + KEY3)
        decision.callback(None)
        assert wire.take().startswith(b"HTTP/1.1 404 ")
        before = heldBytes(wire.protocol)
        for _ in range(100):
            wire.protocol.dataReceived(b"x" * 1000)
        assert heldBytes(wire.protocol) - before < 1000

    def test_lostInCallback(self) -> None:
        """
        If a connection is lost while its application is called, the application is notified
        afterwards.
        """
        for dialect, idiom in IDIOMS.items():
            wire = self.open(dialect)
            application = wire.webSocket._protocol
            told: list[str] = []

            def received(text: str, wire: Any = wire, told: list[str] = told) -> None:
                wire.lose(ConnectionLost())
                told.append(text)

            self.patch(application, "textMessageReceived", received)
            self.patch(application, "connectionLost", lambda reason, told=told: told.append("lost"))
            wire.send(idiom.clientText("hello"))
            assert told == ["hello", "lost"]

    def test_gone(self) -> None:
        """A client that is gone cancels the decision about it, and no application is notified."""
        for reason in (ConnectionDone(), ConnectionLost()):
            decision: Deferred[Any] = Deferred()
            self.record(lambda made, d=decision: d)
            wire = self.connect(HEAD76 + KEY3)
            wire.lose(reason)
            assert decision.called
            assert self.calls == []
            assert wire.take() == b""
            self.assertQuiet()

    def test_goneCoroutine(self) -> None:
        """A coroutine is cancelled where it waits."""
        waits: list[BaseException] = []

        async def build(made: Recording) -> Any:
            try:
                await Deferred()
            except CancelledError as error:
                waits.append(error)
                raise

        self.record(build)
        self.connect(HEAD75).lose()
        assert len(waits) == 1

    def test_timeout(self) -> None:
        """A decision that takes longer than the handshake timeout gives a 503, and is cancelled."""
        decision: Deferred[Any] = Deferred()
        self.record(lambda made: decision)
        wire = self.connect(HEAD76 + KEY3)
        self.clock.advance(10)
        assert decision.called
        self.assertRefused(wire, b"503")

    def test_quietly(self) -> None:
        """What scanners and slow clients cause is logged for debugging only, with the reason."""
        for data, wait, reason in (
            (b"hello\r\n", 0, "this is not HTTP"),
            (HEAD76[:20], 10, "the request took too long"),
        ):
            with capturedLogs() as events:
                wire = self.connect(data)
                self.clock.advance(wait)
            assert reason.encode() in wire.take()
            (event,) = (each for each in events if each["log_namespace"].startswith("txhixie."))
            assert event["log_level"] is LogLevel.debug
            assert reason in (formatEvent(event) or "")

    def test_timeoutWhileEnding(self) -> None:
        """A handshake whose connection is ending already is not counted as timed out."""
        self.record(negotiationStarted=lambda made, transport: transport.loseConnection())
        wire = self.connect(HEAD76)
        wire.stuck = True
        self.clock.advance(4)
        assert wire.webSocket.isEnding
        self.clock.advance(7)
        assert self.factory.statistics()["events"].get("handshakes timed out", 0) == 0

    def test_serverStops(self) -> None:
        """A server that stops does not wait for decisions either."""
        decision: Deferred[Any] = Deferred()
        self.record(lambda made: decision)
        wire = self.connect(HEAD76 + KEY3)
        self.factory.closeConnections()
        assert decision.called
        self.assertRefused(wire, b"503")

    def test_deafToCancellation(self) -> None:
        """A decision that comes although it was cancelled changes nothing."""
        for result in (True, False, ZeroDivisionError()):
            decision: Deferred[Any] = Deferred(lambda decision: decision.callback(None))
            late: Deferred[Any] = Deferred()
            decision.addCallback(lambda _, late: late, late)
            made = self.record(lambda made, d=decision: d).made
            wire = self.connect(HEAD76 + KEY3)
            self.clock.advance(10)
            if isinstance(result, Exception):
                late.errback(result)
            else:
                late.callback(made[0] if result else None)
            self.assertRefused(wire, b"503")
            assert self.flushLoggedErrors() == []

    def test_failingCanceller(self) -> None:
        """
        An application whose Deferred fails to be cancelled does not keep other connections from
        ending.
        """

        def canceller(decision: Deferred[Any]) -> None:
            raise ZeroDivisionError

        self.record(lambda made: Deferred(canceller))
        wires = [self.connect(HEAD76), self.connect(HEAD76)]
        self.clock.advance(10)
        assert [wire.ended for wire in wires] == [True, True]
        self.flushLoggedErrors(ZeroDivisionError)

    def test_cookies(self) -> None:
        """Cookies that the application adds to the request are set, after the fixed fields."""

        def build(made: Recording) -> Recording:
            made.request.addCookie(b"id", b"17")
            made.request.addCookie("who", "me", path="/")
            return made

        self.record(build)
        cookies = b"Set-Cookie: id=17\r\nSet-Cookie: who=me; Path=/\r\n\r\n"
        assert REPLY75[:-2] + cookies == self.connect(HEAD75).take()
        assert REPLY76[:-2] + cookies + ANSWER == self.connect(HEAD76 + KEY3).take()


class ClosingTests(LoopbackCase):
    """The closing handshake, and the end of TCP."""

    def assertOver(self, wire: Wire, kind: type[Exception], code: int) -> None:
        """The application is notified once, and nothing is left."""
        wire.lose()
        assert self.calls.count(LOST) == 1
        assert self.calls[-1] == LOST
        assert (type(self.ending), self.ending.code) == (kind, code)
        self.assertQuiet()

    def test_exceptions(self) -> None:
        """The application's reasons are Twisted's, with a code and a reason."""
        assert issubclass(WebSocketDone, ConnectionDone)
        assert issubclass(WebSocketLost, ConnectionLost)
        for kind in (WebSocketDone, WebSocketLost):
            error = kind(CloseCode.TOO_BIG, "too big")
            assert (error.code, error.reason) == (1009, "too big")
            assert "1009 too big" in str(error)
            assert str(kind(1005)).endswith("1005.")

    @requirement("CL-02", "CL-03", "CL-08")
    def test_peerCloses(self) -> None:
        """The peer's FF 00 is answered with one, then our direction of TCP ends."""
        wire = self.open()
        wire.send(CLOSE)
        assert wire.take() == CLOSE
        assert wire.halfClosed
        assert not wire.disconnecting
        assert LOST not in self.calls
        self.assertOver(wire, WebSocketDone, CloseCode.NO_STATUS)

    @requirement("CL-03")
    def test_messageThenClose(self) -> None:
        """The echo of a message is written before the answer to the FF 00 that follows it."""
        wire = self.open()
        wire.send(frame("hi") + CLOSE + frame("dropped") + CLOSE)
        assert [frame("hi") + CLOSE] == wire.writes[1:]
        assert self.calls == [STARTED, FINISHED, "text: hi"]
        self.assertOver(wire, WebSocketDone, CloseCode.NO_STATUS)

    @requirement("CL-03", "CL-08")
    def test_closeInHandshakeSegment(self) -> None:
        """FF 00 right after key3 opens and closes."""
        wire = self.connect(HEAD76 + KEY3 + CLOSE)
        assert wire.take() == REPLY76 + ANSWER + CLOSE
        assert wire.ended
        self.assertOver(wire, WebSocketDone, CloseCode.NO_STATUS)

    @requirement("CL-01", "CL-06")
    def test_end75(self) -> None:
        """The end of TCP is how Hixie-75 closes."""
        wire = self.open("hixie-75")
        wire.send(frame("hi"))
        assert frame("hi") == wire.take()
        self.assertOver(wire, WebSocketDone, CloseCode.NO_STATUS)
        assert wire.take() == b""

    @requirement("CL-06", "B-52")
    def test_end76(self) -> None:
        """In Hixie-76 the end of TCP without FF 00 is a loss."""
        wire = self.open()
        self.assertOver(wire, WebSocketLost, CloseCode.ABNORMAL)

    @requirement("CL-06", "B-52")
    def test_endInFrame(self) -> None:
        """
        The end of TCP within a frame is a loss in both dialects; the partial frame is dropped.
        """
        for dialect in HANDSHAKES:
            for partial in (b"\0hel", b"\x80\x05hel", b"\x80\x85", b"\x01hel"):
                wire = self.open(dialect)
                wire.send(partial)
                self.assertOver(wire, WebSocketLost, CloseCode.ABNORMAL)
                assert self.calls == [STARTED, FINISHED, LOST]

    @requirement("B-52")
    def test_reset(self) -> None:
        """A RST is a loss, in whatever state it comes, and is reported once."""
        for dialect in HANDSHAKES:
            wire = self.open(dialect)
            wire.lose(ConnectionLost())
            self.assertOver(wire, WebSocketLost, CloseCode.ABNORMAL)
        for rest in (b"GET", HEAD75[:-2]):
            wire = self.connect(rest)
            wire.lose(ConnectionLost())
            self.assertQuiet()
        self.open()
        wire = self.open()
        wire.webSocket.loseConnection()
        wire.lose(ConnectionLost())
        assert WebSocketLost is type(self.ending)

    @requirement("CL-08")
    def test_resetAfterClose(self) -> None:
        """
        With FF 00 in both directions the connection was closed in good order, however TCP ends.
        """
        wire = self.open()
        wire.send(CLOSE)
        wire.lose(ConnectionLost())
        self.assertOver(wire, WebSocketDone, CloseCode.NO_STATUS)

    @requirement("CL-01")
    def test_weClose75(self) -> None:
        """A close in Hixie-75 ends TCP and writes nothing."""
        wire = self.open("hixie-75")
        wire.webSocket.loseConnection()
        assert wire.take() == b""
        assert wire.halfClosed
        wire.send(frame("dropped"))
        self.assertOver(wire, WebSocketDone, CloseCode.NO_STATUS)
        assert self.calls == [STARTED, FINISHED, LOST]

    @requirement("CL-02", "CL-04", "CL-08")
    def test_weClose76(self) -> None:
        """A close in Hixie-76 sends FF 00, and TCP ends once the peer sent its own."""
        wire = self.open()
        wire.webSocket.loseConnection()
        assert wire.take() == CLOSE
        self.clock.advance(1.9)
        assert not wire.ended
        wire.send(CLOSE)
        assert wire.ended
        assert wire.take() == b""
        self.assertOver(wire, WebSocketDone, CloseCode.NO_STATUS)

    @requirement("CL-08")
    def test_bothClose(self) -> None:
        """If both send FF 00 at once, it is sent once."""
        wire = self.open()
        wire.webSocket.loseConnection()
        wire.send(frame("on its way") + CLOSE)
        assert wire.take() == CLOSE
        self.assertOver(wire, WebSocketDone, CloseCode.NO_STATUS)
        assert self.calls == [STARTED, FINISHED, LOST]

    @requirement("L-04", "CL-04", "CL-05", "B-53")
    def test_silentPeer(self) -> None:
        """A peer that knows no closing handshake is waited for, for two seconds."""
        wire = self.open()
        wire.webSocket.loseConnection()
        self.clock.advance(1.9)
        assert not wire.ended
        self.clock.advance(0.1)
        assert wire.halfClosed
        assert not wire.disconnecting
        self.clock.advance(2)
        assert wire.disconnecting
        self.clock.advance(0)
        self.assertOver(wire, WebSocketLost, CloseCode.ABNORMAL)
        assert wire.take() == CLOSE

    @requirement("L-04")
    def test_closeTimeout(self) -> None:
        """The time is a setting."""
        self.serve(closeTimeout=5)
        wire = self.open()
        wire.webSocket.loseConnection()
        self.clock.advance(4.9)
        assert not wire.ended
        self.clock.advance(0.1)
        assert wire.ended

    @requirement("L-04", "B-53")
    def test_eachHasItsOwnTime(self) -> None:
        """Waiting for one peer does not give others more time."""
        first, second = self.open(), self.open()
        first.webSocket.loseConnection()
        self.clock.advance(1)
        second.webSocket.loseConnection()
        self.clock.advance(1)
        assert [first.ended, second.ended] == [True, False]
        self.clock.advance(1)
        assert [first.ended, second.ended] == [True, True]

    def test_linger(self) -> None:
        """A peer that reads nothing is cut off, after its time to read what was sent."""
        wire = self.open()
        wire.stuck = True
        wire.send(CLOSE)
        self.pass_(2)
        assert wire.disconnecting
        self.pass_(29.5)
        assert not wire.disconnected
        self.pass_(0.5)
        assert wire.disconnected
        self.clock.advance(0)
        self.assertOver(wire, WebSocketDone, CloseCode.NO_STATUS)

    def test_refusedLinger(self) -> None:
        """The same holds for refused clients."""
        self.serve(closeTimeout=1, lingerTimeout=5)
        wire = self.connect(b"SSH-2.0\r\n")
        wire.stuck = True
        assert wire.halfClosed
        self.pass_(6.5)
        assert wire.disconnected
        self.assertQuiet()

    def test_withoutHalfClose(self) -> None:
        """If only both directions can be ended, they are."""
        for kind in (Wire, TLSWire):
            wire: Wire = self.open(kind=kind)
            wire.send(CLOSE)
            assert not wire.halfClosed
            assert wire.disconnecting
            assert wire.take() == CLOSE
            self.assertOver(wire, WebSocketDone, CloseCode.NO_STATUS)

    def test_lingerWithoutHalfClose(self) -> None:
        """In that case, too, the peer has its time to read, no more and no less."""
        for dialect in HANDSHAKES:
            wire: Wire = self.open(dialect, kind=TLSWire)
            wire.stuck = True
            wire.webSocket.loseConnection()
            wire.send(CLOSE)
            assert wire.disconnecting
            self.pass_(29.5)
            assert not wire.disconnected
            self.pass_(0.5)
            assert wire.disconnected
            wire.lose()
            self.assertQuiet()

    @requirement("CL-07", "B-53", "L-04")
    def test_talkativePeer(self) -> None:
        """What a peer sends after our close has no effect on the application, or on the time."""
        wire = self.open()
        wire.stuck = True
        wire.webSocket.loseConnection()
        for _ in range(4):
            assert not wire.ended
            wire.send(frame("still here"))
            self.clock.advance(0.5)
        assert wire.ended
        for _ in range(4):
            assert not wire.disconnecting
            wire.send(frame("still here") + CLOSE)
            self.clock.advance(0.5)
        assert wire.disconnecting
        assert wire.take() == CLOSE
        assert self.calls == [STARTED, FINISHED]
        assert wire.webSocket.messagesReceived == 0

    @requirement("CL-07")
    def test_limitAfterClose(self) -> None:
        """The limit on messages stays in force after our close."""
        self.serve(maxMessage=4)
        wire = self.open()
        wire.webSocket.loseConnection()
        wire.send(b"\0hello")
        assert wire.ended
        assert wire.take() == CLOSE

    @requirement("CL-03", "CL-07")
    def test_drained(self) -> None:
        """A peer that sends after the end of our direction is read and ignored."""
        for dialect in HANDSHAKES:
            wire = self.open(dialect)
            wire.webSocket.loseConnection()
            wire.send(CLOSE)
            assert wire.halfClosed
            wire.take()
            for data in (frame("hi"), CLOSE, b"\x80\xff\xff\xff\x7f", b"\0" * 5_000_000):
                wire.send(data)
            assert wire.producerState == "producing"
            assert wire.take() == b""
            assert self.calls == [STARTED, FINISHED]

    def test_kill(self) -> None:
        """
        Messages in the same segment as the one that made the application close are not delivered.
        """
        self.serve(Echo())
        for dialect, close in (("hixie-75", b""), ("hixie-76", CLOSE)):
            wire = self.open(dialect)
            wire.send(frame("a") + frame("kill") + frame("b"))
            assert [frame("a") + close] == wire.writes[1:]
            assert wire.webSocket.messagesReceived == 2

    @requirement("CL-04")
    def test_killFromOutside(self) -> None:
        """Messages after a close are not delivered, whichever side closed."""
        for dialect in HANDSHAKES:
            wire = self.open(dialect)
            wire.webSocket.loseConnection()
            wire.send(frame("a"))
            assert "text: a" not in self.calls

    def test_abort(self) -> None:
        """An abort sends nothing."""
        wire = self.open()
        wire.webSocket.abort()
        assert wire.disconnected
        assert wire.take() == b""
        self.clock.advance(0)
        self.assertOver(wire, WebSocketLost, CloseCode.ABNORMAL)


class LimitTests(LoopbackCase):
    """How large a message may be."""

    def setUp(self) -> None:
        super().setUp()
        self.serve(maxMessage=300)

    def assertTooBig(self, dialect: str, data: bytes) -> None:
        """The data ends the connection in the dialect's way, and the application learns why."""
        wire = self.open(dialect)
        wire.send(data)
        assert (CLOSE if dialect == "hixie-76" else b"") == wire.take()
        assert wire.ended
        wire.send(frame("hi"))
        wire.lose()
        assert self.calls == [STARTED, FINISHED, LOST]
        assert WebSocketLost is type(self.ending)
        assert self.ending.code == CloseCode.TOO_BIG
        assert "300 bytes" in self.ending.reason
        self.assertQuiet()

    @requirement("L-01")
    def test_exactly(self) -> None:
        """A message of exactly the limit passes; the limit is in bytes."""
        for dialect in HANDSHAKES:
            for text in ("x" * 300, "\u20ac" * 100):
                wire = self.open(dialect)
                wire.send(frame(text))
                assert frame(text) == wire.take()
                wire.dribble(frame(text))
                assert frame(text) == wire.take()
                wire.send(b"\x80\x82\x2c" + b"x" * 300 + frame("hi"))
                assert frame("hi") == wire.take()

    @requirement("L-01", "L-02")
    def test_oneOver(self) -> None:
        """One byte more ends the connection, though the message has not ended."""
        for dialect in HANDSHAKES:
            for data in (b"\0" + b"x" * 301, frame("x" * 301), b"\x01" + b"x" * 301):
                self.assertTooBig(dialect, data)

    @requirement("L-02", "B-44")
    def test_announced(self) -> None:
        """A length above the limit ends the connection at once."""
        for dialect in HANDSHAKES:
            self.assertTooBig(dialect, b"\x80\x82\x2d")

    @requirement("B-45")
    def test_stalled(self) -> None:
        """A frame may take any time."""
        for dialect in HANDSHAKES:
            wire = self.open(dialect)
            wire.send(b"\x80\x05abc")
            self.clock.advance(100_000)
            assert not wire.ended
            wire.send(b"de" + frame("hi"))
            assert frame("hi") == wire.take()

    def test_default(self) -> None:
        """Without a setting the limit is a mebibyte."""
        self.serve()
        wire = self.open()
        wire.send(frame("x" * (1 << 20)))
        assert len(wire.take()) == (1 << 20) + 2
        wire.send(frame("x" * ((1 << 20) + 1)))
        assert wire.take() == CLOSE

    def test_refusedHead(self) -> None:
        """What a refused client still sends is read and dropped, however much it is."""
        wire = self.connect(HEAD76.replace(b"GET", b"PUT"))
        wire.take()
        for _ in range(100):
            wire.send(b"\0" + b"x" * 65536)
        assert wire.take() == b""

    def test_discardedLoggedOnce(self) -> None:
        """Discarded frames cost one debug line per connection."""
        with capturedLogs() as events:
            wire = self.open()
            wire.send(b"\x05a\xff" * 1000 + frame("hi"))
        assert frame("hi") == wire.take()
        lines = [line for line in ownLines(events) if "discarded" in line]
        assert len(lines) == 1
        assert re.search(r"^debug: .* 0x05$", lines[0])


class ApplicationErrorTests(LoopbackCase):
    """An application that raises errors."""

    def test_everyCallback(self) -> None:
        """An error in any callback is logged and ends only its connection."""
        for name in (STARTED, FINISHED, "textMessageReceived", LOST):
            for dialect, close in (("hixie-75", b""), ("hixie-76", CLOSE)):
                self.record(textMessageReceived=echo)
                other = self.open()
                self.record(**{name: fails})
                wire = self.connect(HANDSHAKES[dialect][0] + frame("1") + frame("2"))
                assert (name in ("textMessageReceived", LOST)) == ("text: 1" in self.calls)
                assert (name == LOST) == ("text: 2" in self.calls)
                if name == LOST:
                    wire.lose()
                else:
                    assert HANDSHAKES[dialect][1] + close == wire.take()
                    wire.send(CLOSE)
                    assert wire.ended
                    wire.lose()
                assert self.calls.count(LOST) == 1
                assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
                other.send(frame("hi"))
                assert frame("hi") == other.take()
                other.lose()
                self.assertQuiet()

    def test_broadcastGoesOn(self) -> None:
        """A message that makes its receiver fail is still sent to the others."""

        def tellAll(recording: Recording, message: str) -> None:
            self.factory.broadcastTextMessage(message)
            raise ZeroDivisionError

        self.record(textMessageReceived=tellAll)
        wires = [self.open(), self.open()]
        wires[0].send(frame("hi"))
        assert [frame("hi") + CLOSE, frame("hi")] == [wire.take() for wire in wires]
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1


class BackpressureTests(LoopbackCase):
    """A peer that does not read what it is sent."""

    def attach(self, wire: Wire) -> Producer:
        """@return: a producer, attached by the application."""
        producer = Producer()
        wire.webSocket.attachProducer(producer)
        return producer

    def test_pause(self) -> None:
        """While the peer does not read, nothing is read from it, and the producer is paused."""
        for dialect in HANDSHAKES:
            wire = self.open(dialect)
            assert wire.streaming
            producer = self.attach(wire)
            wire.fill()
            assert wire.producerState == "paused"
            assert producer.calls == ["pause"]
            wire.send(frame("hi"))
            assert wire.take() == b""
            wire.drain()
            assert producer.calls == ["pause", "resume"]
            self.clock.advance(0)
            assert frame("hi") == wire.take()

    def test_attachWhilePaused(self) -> None:
        """A producer that is attached later is paused at once."""
        wire = self.open()
        wire.fill()
        assert self.attach(wire).calls == ["pause"]

    def test_attachInHandshake(self) -> None:
        """A producer that is attached before the connection opens is paused until it does."""
        producer = Producer()
        decision: Deferred[Any] = Deferred()

        def attach(recording: Recording, transport: Any) -> None:
            transport.attachProducer(producer)

        made = self.record(lambda made: decision, negotiationStarted=attach).made
        self.connect(HEAD76 + KEY3)
        decision.callback(made[0])
        assert producer.calls == ["pause", "resume"]

    def test_detach(self) -> None:
        """A detached producer gets no more calls, and another may be attached."""
        wire = self.open()
        producer = self.attach(wire)
        with pytest.raises(RuntimeError):
            self.attach(wire)
        wire.webSocket.detachProducer()
        wire.fill()
        wire.drain()
        assert producer.calls == []
        assert self.attach(wire).calls == []
        wire.lose()
        assert producer.calls == []

    def test_stopAtLoss(self) -> None:
        """A producer is stopped once when the connection is lost, however that happens."""

        def closeBoth(wire: Wire) -> None:
            wire.webSocket.loseConnection()
            wire.send(CLOSE)

        def closeUnread(wire: Wire) -> None:
            wire.fill()
            wire.webSocket.loseConnection()
            self.pass_(10)

        ways: dict[str, Callable[[Wire], object]] = {
            "a FIN": lambda wire: None,
            "the peer's close": lambda wire: wire.send(CLOSE),
            "our close": lambda wire: wire.webSocket.loseConnection(),
            "a close that is answered": closeBoth,
            "a peer that does not read": closeUnread,
        }
        for dialect in HANDSHAKES:
            for name, way in ways.items():
                wire = self.open(dialect)
                producer = self.attach(wire)
                way(wire)
                wire.lose()
                stops = [call for call in producer.calls if call == "stop"]
                assert stops == ["stop"], f"{dialect}, {name}"
                assert producer.calls[-1] == "stop"

    def test_stopBeforeOpen(self) -> None:
        """A producer is stopped if the connection never opens."""
        producer = Producer()

        def attach(recording: Recording, transport: Any) -> None:
            transport.attachProducer(producer)

        self.record(negotiationStarted=attach)
        self.connect(HEAD76).lose()
        assert producer.calls == ["pause", "stop"]

    def test_stopWithoutProducer(self) -> None:
        """Without a producer there is nothing to stop."""
        wire = self.open()
        wire.protocol.stopProducing()
        assert not wire.ended

    def test_closeWhilePaused(self) -> None:
        """
        A close while the peer does not read waits, and then drops what is still unread.
        """
        wire = self.open()
        wire.fill()
        wire.webSocket.loseConnection()
        wire.send(frame("hi"))
        self.pass_(2)
        assert wire.halfClosed
        assert wire.producerState == "producing"
        assert wire.producer is None
        assert wire.producerState == "producing"
        self.clock.advance(0)
        assert wire.take() == CLOSE
        wire.lose()
        assert self.calls == [STARTED, FINISHED, LOST]
        self.assertQuiet()

    def test_pausedInDelivery(self) -> None:
        """An application that pauses gets the rest of a segment when it resumes."""

        def pause(recording: Recording, message: str) -> None:
            recording.transport.sendTextMessage(message)
            recording.transport.pauseProducing()

        self.record(textMessageReceived=pause)
        wire = self.open()
        wire.send(frame("1") + frame("2"))
        wire.send(frame("3"))
        assert wire.take() == frame("1")
        assert self.calls[2:] == ["text: 1"]
        wire.webSocket.resumeProducing()
        self.clock.advance(0)
        assert wire.take() == frame("2")
        wire.webSocket.resumeProducing()
        self.clock.advance(0)
        assert frame("3") == wire.take()


class FactsTests(LoopbackCase):
    """The attributes of a connection."""

    def test_counters(self) -> None:
        """Bytes count from the end of the request head, messages as the application sees them."""
        for dialect, (request, reply) in HANDSHAKES.items():
            nonce = 8 if dialect == "hixie-76" else 0
            wire = self.connect(request)
            webSocket = wire.webSocket
            assert (webSocket.bytesReceived, webSocket.bytesSent) == (nonce, len(reply))
            assert (webSocket.messagesReceived, webSocket.messagesSent) == (0, 0)
            wire.send(frame("h\u00e9") + frame("b") + b"\0c")
            assert (webSocket.messagesReceived, webSocket.messagesSent) == (2, 2)
            assert webSocket.bytesReceived == nonce + 10
            assert webSocket.bytesSent == len(reply) + 8

    def test_identity(self) -> None:
        """An id is short, unique, and set from C{negotiationStarted} on."""
        ids: list[str] = []
        self.record(negotiationStarted=lambda made, transport: ids.append(transport.id))
        wires = [self.open(dialect) for dialect in HANDSHAKES for _ in range(50)]
        assert ids == [wire.webSocket.id for wire in wires]
        assert len(set(ids)) == 100
        for each in ids:
            assert re.search("^[A-Za-z0-9_-]{6,16}$", each)

    def test_dialect(self) -> None:
        """The dialect has the same name as everywhere."""
        for dialect in HANDSHAKES:
            assert dialect == self.open(dialect).webSocket.dialect

    def test_subprotocol(self) -> None:
        """The subprotocol is what both sides agreed on."""
        self.serve(subprotocols=("chat", "log"))
        for dialect, head, prefix in (
            ("hixie-75", HEAD75, b""),
            ("hixie-76", HEAD76, b"Sec-"),
        ):
            assert self.open(dialect).webSocket.subprotocol is None
            wire = self.connect(head[:-2] + prefix + b"WebSocket-Protocol: log\r\n\r\n" + KEY3)
            assert wire.webSocket.subprotocol == "log"
            assert prefix + b"WebSocket-Protocol: log\r\n" in wire.take()

    def test_state(self) -> None:
        """The state is the browsers' C{readyState}."""
        states: list[int] = []

        def note(recording: Recording, *arguments: object) -> None:
            states.append(recording.transport.state)

        self.record(negotiationStarted=note, negotiationFinished=note, connectionLost=note)
        wire = self.connect()
        seen = []
        for step in (
            lambda: wire.send(HEAD76),
            lambda: wire.send(KEY3),
            lambda: wire.webSocket.loseConnection(),
            wire.lose,
        ):
            step()
            seen.append(wire.webSocket.state)
        assert seen == [*State]
        assert states == [0, 1, 3]
        assert list(State) == [State.CONNECTING, State.OPEN, State.CLOSING, State.CLOSED]

    def test_request(self) -> None:
        """The request is what twisted.web would have made of it."""
        wire = self.connect(HEAD75[:-2] + b"Cookie: a=b; c=d\r\n\r\n")
        request = wire.webSocket.request
        assert request is not None
        assert request is self.recorder.made[0].request
        assert request.path == b"/demo"
        assert request.args == {b"x": [b"1"]}
        assert request.getCookie(b"a") == b"b"
        assert request.getClientAddress().host == "192.168.1.1"

    def test_requestDropped(self) -> None:
        """A request that the application does not keep exists until the connection is open."""
        paths: list[bytes] = []

        def forget(recording: Recording) -> Recording:
            del recording.request
            return recording

        self.record(
            forget, negotiationStarted=lambda made, transport: paths.append(transport.request.path)
        )
        wire = self.connect(HEAD75)
        assert paths == [b"/demo"]
        assert wire.webSocket.request is None


class LogTests(LoopbackCase):
    """The log."""

    def test_openAndClose(self) -> None:
        """With the setting the opening and the end of a connection are an info line each."""
        self.serve(logConnections=True)
        with capturedLogs() as events:
            wire = self.open()
            wire.send(frame("hi") + frame("ho"))
            wire.send(CLOSE)
            wire.lose()
        opened, closed = ownLines(events)
        name = wire.webSocket.id
        assert f"info: {name} opened: hixie-76 /demo from 192.168.1.1:54321" == opened
        assert re.search(f"^info: {name} closed: 1005; 2 messages in, 2 out$", closed)

    def test_refusal(self) -> None:
        """A refused handshake is an info line with the reason."""
        with capturedLogs() as events:
            self.connect(HEAD76.replace(b"Host", b"Most") + KEY3)
        (line,) = ownLines(events)
        assert re.search("^info: refused 192.168.1.1:54321: 400 .*Host", line)

    def test_messages(self) -> None:
        """With the setting each message is an info line, in order."""
        self.serve(logMessages=True)
        with capturedLogs() as events:
            wire = self.open()
            wire.send(frame("h\u00e9\n") + frame("ho"))
        name = wire.webSocket.id
        assert [
            f"info: {name} {direction} {message!r}"
            for message in ("hé\n", "ho")
            for direction in ("received", "sent")
        ] == ownLines(events)

    def test_droppedMessages(self) -> None:
        """Messages that are not delivered are not logged as received."""
        self.serve(Echo(), logMessages=True)
        with capturedLogs() as events:
            wire = self.open()
            wire.send(frame("kill") + frame("dropped"))
            wire.webSocket.sendTextMessage("too late")
        assert [f"info: {wire.webSocket.id} received 'kill'"] == ownLines(events)

    def test_messagesOff(self) -> None:
        """Without it no message is in any line."""
        with capturedLogs() as events:
            self.open().send(frame("secret"))
        assert "secret" not in "\n".join(ownLines(events))

    def test_hostileTarget(self) -> None:
        """What a client sends cannot forge log lines or format strings."""
        with capturedLogs() as events:
            self.connect(HEAD75.replace(b"/demo", b"/{id.__class__}%s"))
            self.connect(HEAD75.replace(b"Upgrade\r\n", b"Up\x0bgrade\r\n"))
        for line in ownLines(events):
            assert "\n" not in line
            assert "Unable to format" not in line


class GatheringTests(LoopbackCase):
    """Several connections at once."""

    def test_oneWriteEach(self) -> None:
        """Everything that one segment makes the application send to one connection is one write."""
        self.serve(Broadcast())
        wires = [self.open("hixie-75"), self.open(), self.open()]
        self.clock.advance(0)
        for wire in wires:
            wire.take()
            wire.writes.clear()
        wires[0].send(frame("a") + frame("b") + frame("c"))
        name = wires[0].webSocket.id
        expected = b"".join(frame(f"{name}: {text}") for text in "abc")
        for wire in wires:
            assert [expected] == wire.writes

    def test_whenReceived(self) -> None:
        """
        A call that waits for the end of what is received is made then, before anything is written.
        """
        order: list[str] = []

        def wait(recording: Recording, message: str) -> None:
            order.append(message)
            recording.transport.whenReceived(lambda: later(recording, message))

        def later(recording: Recording, message: str) -> None:
            order.append(f"after {message}")
            recording.transport.sendTextMessage(message)
            if message == "1":
                # There is nothing to wait for then.
                recording.transport.whenReceived(lambda: order.append("after that"))

        self.record(textMessageReceived=wait)
        wire = self.open()
        wire.send(frame("1") + frame("2"))
        assert order == ["1", "2", "after 1", "after 2", "after that"]
        assert wire.writes[1:] == [frame("1") + frame("2")]
        wire.webSocket.whenReceived(lambda: wire.webSocket.sendTextMessage("3"))
        assert wire.writes[2:] == [frame("3")]

    def test_whenReceivedBeforeClose(self) -> None:
        """Messages that wait are still sent to a client that closes, or is closed."""

        def wait(recording: Recording, message: str) -> None:
            recording.transport.whenReceived(lambda: recording.transport.sendTextMessage(message))
            if message == "enough":
                recording.transport.loseConnection()

        self.record(textMessageReceived=wait)
        for end, last in (
            (CLOSE, b""),
            (b"\xff" + b"\xff" * 20, b""),
            (frame("enough"), frame("enough")),
        ):
            wire = self.open()
            wire.send(frame("1") + end)
            assert wire.writes[1:] == [frame("1") + last + CLOSE]

    def test_whenSettled(self) -> None:
        """A call can wait until everything that came together is handled."""
        order: list[str] = []

        def note(recording: Recording, message: str) -> None:
            order.append(message)
            recording.transport.whenSettled(lambda: order.append(f"after {message}"))
            recording.transport.whenSettled(lambda: recording.transport.sendTextMessage(message))

        self.record(textMessageReceived=note)
        wires = [self.open(), self.open()]
        for number, wire in enumerate(wires):
            wire.writes.clear()
            wire.send(frame(f"a{number}") + frame(f"b{number}"))
        assert order == ["a0", "b0", "a1", "b1"]
        self.clock.advance(0)
        assert order[4:] == ["after a0", "after b0", "after a1", "after b1"]
        assert [wire.writes for wire in wires] == [
            [frame(f"a{number}") + frame(f"b{number}")] for number in (0, 1)
        ]

    def test_whenReceivedFails(self) -> None:
        """An error there is logged, and does not affect what else is sent."""

        def wait(recording: Recording, message: str) -> None:
            recording.transport.sendTextMessage(message)
            recording.transport.whenReceived(lambda: 1 / 0)

        self.record(textMessageReceived=wait)
        wire = self.open()
        wire.send(frame("1") + frame("2"))
        assert wire.writes[1:] == [frame("1") + frame("2")]
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 2

    def test_orderOfClose(self) -> None:
        """The close of another connection is written after what was sent to it before."""
        target = self.open()

        def tellOther(recording: Recording, message: str) -> None:
            target.webSocket.sendTextMessage(message)
            if message == "2":
                target.webSocket.loseConnection()

        self.record(textMessageReceived=tellOther)
        self.open().send(frame("1") + frame("2") + frame("3"))
        assert [frame("1") + frame("2") + CLOSE] == target.writes[1:]

    def test_lostMeanwhile(self) -> None:
        """A connection that is lost while others are written to does not affect them."""
        wires = [self.open(), self.open()]

        def loseOther(recording: Recording, message: str) -> None:
            for wire in wires:
                wire.webSocket.sendTextMessage(message)
            wires[0].lose()

        self.record(textMessageReceived=loseOther)
        self.open().send(frame("hi"))
        assert [b"", frame("hi")] == [wire.take() for wire in wires]


HEAD_6455 = (
    b"GET /chat HTTP/1.1\r\n"
    b"Host: server.example.com\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Origin: http://example.com\r\n"
    b"Sec-WebSocket-Protocol: chat, superchat\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"\r\n"
)
TEXT, BYTES, CLOSING, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A


def masked(kind: int, payload: bytes = b"") -> bytes:
    """@return: a frame as an RFC 6455 client sends it, with a mask that changes nothing."""
    return bytes([kind, 0x80 | len(payload), 0, 0, 0, 0]) + payload


def plain(kind: int, payload: bytes = b"") -> bytes:
    """@return: a frame as an RFC 6455 server sends it."""
    return bytes([kind, len(payload)]) + payload


class Rfc6455Tests(LoopbackCase):
    """What RFC 6455 has and Hixie lacks: bytes, pings and close codes."""

    def openModern(self) -> TCPWire:
        """@return: an open RFC 6455 connection."""
        wire = self.connect(HEAD_6455)
        assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in wire.take()
        return wire

    def test_bytes(self) -> None:
        """Bytes messages go both ways, and are counted."""
        self.record(bytesMessageReceived=lambda made, data: made.transport.sendBytesMessage(data))
        wire = self.openModern()
        wire.send(masked(BYTES, b"a\xff\0") + masked(TEXT, b"hi"))
        assert self.calls == [STARTED, FINISHED, "bytes: b'a\\xff\\x00'", "text: hi"]
        assert plain(BYTES, b"a\xff\x00") == wire.take()
        assert (wire.webSocket.messagesReceived, wire.webSocket.messagesSent) == (
            2,
            1,
        )

    def test_bytesLogged(self) -> None:
        """Bytes messages are logged like texts, cut where they are long."""
        self.serve(logMessages=True)
        self.record(bytesMessageReceived=lambda made, data: made.transport.sendBytesMessage(data))
        wire = self.openModern()
        with capturedLogs() as events:
            wire.send(masked(BYTES, b"a\xff\n"))
            wire.webSocket.sendBytesMessage(b"x" * 300)
        name = wire.webSocket.id
        assert ownLines(events) == [
            rf"info: {name} received b'a\xff\n'",
            rf"info: {name} sent b'a\xff\n'",
            f"info: {name} sent b'{'x' * 200}'... and 100 more",
        ]

    def test_bytesAfterClose(self) -> None:
        """Bytes messages are not delivered once the application closed."""
        self.record(bytesMessageReceived=closes)
        wire = self.openModern()
        wire.send(masked(BYTES, b"abc") + masked(BYTES, b"def"))
        assert self.calls == [STARTED, FINISHED, "bytes: b'abc'"]

    def test_errors(self) -> None:
        """An error with a bytes message or a pong closes the connection with the code 1011."""
        for kind, name in ((BYTES, "bytesMessageReceived"), (PONG, "pongReceived")):
            self.record(**{name: fails})
            wire = self.openModern()
            wire.send(masked(kind, b"abc") + masked(TEXT, b"hi"))
            assert plain(CLOSING, b"\x03\xf3") == wire.take()
            assert len(self.calls) == 3
            assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1

    def test_pings(self) -> None:
        """The peer's ping is answered, and its answer to ours is delivered."""
        wire = self.openModern()
        wire.send(masked(PING, b"?"))
        assert plain(PONG, b"?") == wire.take()
        wire.webSocket.ping(b"!")
        assert plain(PING, b"!") == wire.take()
        wire.send(masked(PONG, b"!"))
        assert self.calls == [STARTED, FINISHED, "pong: b'!'"]

    def test_peerCloses(self) -> None:
        """The peer's close code and reason are echoed, and reported to the application."""
        wire = self.openModern()
        wire.send(masked(TEXT, b"hi") + masked(CLOSING, b"\x0f\xa0bye"))
        assert plain(TEXT, b"hi") + plain(CLOSING, b"\x0f\xa0bye") == wire.take()
        assert wire.halfClosed
        wire.lose()
        assert WebSocketDone is type(self.ending)
        assert (self.ending.code, self.ending.reason) == (4000, "bye")
        self.assertQuiet()

    def test_weClose(self) -> None:
        """Our close code and reason are sent, and the peer's answer is reported."""
        wire = self.openModern()
        wire.webSocket.loseConnection(3000, "enough")
        assert plain(CLOSING, b"\x0b\xb8enough") == wire.take()
        wire.send(masked(CLOSING, b"\x0b\xb8"))
        assert wire.ended
        wire.lose()
        assert (self.ending.code, self.ending.reason) == (3000, "")

    def test_invalidCode(self) -> None:
        """A code that must not be sent raises, in every dialect."""
        for wire in (self.openModern(), self.open("hixie-75"), self.open("hixie-76")):
            for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000):
                with pytest.raises(ValueError, match=f"^{code} "):
                    wire.webSocket.loseConnection(code)
            assert wire.take() == b""
            wire.send(masked(PONG))
            assert not wire.ended

    def test_protocolError(self) -> None:
        """A breach of the protocol is closed with 1002, and is a loss."""
        wire = self.openModern()
        wire.send(plain(TEXT, b"hi"))
        assert wire.take()[2:4] == b"\x03\xea"
        assert wire.ended
        wire.lose()
        assert WebSocketLost is type(self.ending)
        assert self.ending.code == CloseCode.PROTOCOL_ERROR

    def test_keepalive(self) -> None:
        """Peers with pings get one now and then, and are dropped if they send nothing."""
        self.serve(pingInterval=20, pingTimeout=10)
        alive, dead = self.openModern(), self.openModern()
        other = self.open()
        with capturedLogs() as events:
            self.pass_(20)
            assert plain(PING) == alive.take()
            assert plain(PING) == dead.take()
            self.pass_(9.5)
            alive.send(masked(PONG))
            self.pass_(0.5)
        assert dead.disconnected
        assert not alive.ended
        assert [f"info: {dead.webSocket.id} does not answer a ping"] == ownLines(events)[:1]
        self.clock.advance(0)
        assert WebSocketLost is type(self.recorder.made[1].ending)
        assert self.recorder.made[1].ending.code == CloseCode.ABNORMAL
        self.pass_(20)
        assert plain(PING) == alive.take()
        assert not other.ended
        assert other.take() == b""
        alive.lose()
        other.lose()
        self.assertQuiet()

    def test_keepaliveOff(self) -> None:
        """An interval of zero is none."""
        self.serve(pingInterval=0)
        wire = self.openModern()
        self.pass_(1000, 100)
        assert wire.take() == b""

    def test_keepaliveWhileClosing(self) -> None:
        """A closing connection gets no more pings, and ends in its own way and time."""
        self.serve(pingInterval=3, pingTimeout=1, closeTimeout=10)
        for weClose, delay in ((True, 1), (True, 3), (False, 1), (False, 3)):
            wire = self.openModern()
            self.pass_(delay)
            assert wire.take() == (plain(PING) if delay == 3 else b"")
            if weClose:
                wire.webSocket.loseConnection(4000)
                self.pass_(9.5)
                assert not wire.ended
            wire.send(masked(CLOSING, b"\x0f\xa0"))
            assert wire.take() == plain(CLOSING, b"\x0f\xa0")
            self.pass_(9.5)
            assert not wire.disconnecting
            wire.lose()
            assert type(self.ending) is WebSocketDone
            assert self.ending.code == 4000
            self.assertQuiet()

    def test_keepaliveWhilePaused(self) -> None:
        """A peer that is not read from is not blamed for its silence."""
        self.serve(pingInterval=20, pingTimeout=10)
        wire = self.openModern()
        wire.fill()
        self.pass_(100)
        assert not wire.ended
