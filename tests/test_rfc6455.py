"""RFC 6455, hybi-07 and hybi-08: handshakes, frames and compression, byte for byte."""

from __future__ import annotations

import random
import runpy
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Mapping

import pytest
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from tests.support import (
    MODERN,
    Deflater,
    Opened,
    buildHead,
    case,
    clientFrame,
    compressing,
    connect,
    cuts,
    feed,
    frame,
    heldBytes,
    openConnection,
    refusal,
)
from tests.vectors.hixie import Handshake
from tests.vectors.rfc6455 import (
    ACCEPT,
    BAD,
    BAD_DEFLATED,
    CLOSE_CODES,
    DEFLATED,
    DEFLATED_HELLO,
    GOOD,
    HANDSHAKES,
    ILL_FORMED,
    KEY,
    UNFINISHED,
    Frames,
    Outcome,
)
from txhixie.dialects import messages
from txhixie.dialects.connection import Connection, State
from txhixie.dialects.events import CloseCode, Closed, Event, Failed, Pong, mayBeSent
from txhixie.dialects.rfc6455_opening import acceptKey
from txhixie.settings import Settings

VERSION, KEY_FIELD = b"Sec-WebSocket-Version", b"Sec-WebSocket-Key"
PROTOCOL, EXTENSIONS = b"Sec-WebSocket-Protocol", b"Sec-WebSocket-Extensions"
OLD_ORIGIN, ORIGIN = b"Sec-WebSocket-Origin", b"Origin"

MiB = 1024 * 1024

all3 = pytest.mark.parametrize("name", MODERN)


def outcome(events: list[Event]) -> Outcome:
    """
    Events in the form of the vectors.
    """
    assert all(isinstance(event, (str, bytes, Pong, Closed, Failed)) for event in events)
    return tuple(
        CloseCode(event.code) if isinstance(event, Failed) else event  # type: ignore[misc]
        for event in events
    )


def serverFrames(data: bytes) -> list[tuple[int, bytes]]:
    """
    The first bytes and the payloads of the frames that a server sent.
    """
    frames = []
    while data:
        start, size = 2, data[1]
        if size > 125:
            start += 2 if size == 126 else 8
            size = int.from_bytes(data[2:start], "big")
        frames.append((data[0], data[start : start + size]))
        assert len(data) >= start + size
        data = data[start + size :]
    return frames


def end(connection: Connection, events: list[Event]) -> None:
    """
    Answer the event that ended a connection, if one did.
    """
    if events and isinstance(events[-1], (Closed, Failed)):
        connection.sendClose(events[-1].code, events[-1].reason)


def show(vector: Frames, connect: Callable[[], Connection]) -> None:
    """
    Check a vector, however its data is cut.
    """
    for pieces in cuts(vector.data):
        connection = connect()
        events = feed(connection, *pieces)
        end(connection, events)
        assert vector.outcome == outcome(events)
        sent = serverFrames(connection.dataToSend())
        pongs = [(0x8A, pong) for pong in vector.pongs]
        assert pongs == sent[: len(pongs)]
        sent = sent[len(pongs) :]
        match vector.outcome[-1] if vector.outcome else None:
            case Closed(CloseCode.NO_STATUS):
                assert sent == [(0x88, b"")]
            case Closed(code, reason):
                assert sent == [(0x88, code.to_bytes(2, "big") + reason.encode())]
            case CloseCode() as code:
                [(first, payload)] = sent
                assert (first, payload[:2]) == (0x88, code.to_bytes(2, "big"))
                assert len(payload) <= 125
            case _:
                assert sent == []
                assert State.OPEN is connection.state
                continue
        assert connection.finished
        assert State.CLOSED is connection.state
        assert connection.clean is isinstance(vector.outcome[-1], Closed)
        assert feed(connection, clientFrame(0x81, b"late"), clientFrame(0x89)) == []
        assert connection.dataToSend() == b""


def vectors(rows: list[Frames]) -> pytest.MarkDecorator:
    """
    A test of vectors.
    """
    return pytest.mark.parametrize("vector", rows, ids=lambda row: row.source)


def test_accelerated(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The library's C part is in use here, and its absence is noticed.
    """
    assert messages.ACCELERATED
    monkeypatch.setitem(sys.modules, "websockets.speedups", None)
    assert runpy.run_path(messages.__file__)["ACCELERATED"] is False


# The opening handshake


@pytest.mark.requirement("HY-02")
def test_acceptKey() -> None:
    """
    The published key gets the published answer.
    """
    assert acceptKey(KEY) == ACCEPT


@pytest.mark.requirement("D-09", "HY-01", "HY-02", "HY-05", "HY-09")
@pytest.mark.parametrize("handshake", HANDSHAKES, ids=lambda handshake: handshake.client)
def test_handshake(handshake: Handshake) -> None:
    """
    Clients of the time get exactly the reply that they check, and may send frames right after it.
    """
    for pieces in cuts(clientFrame(0x81, b"hi")):
        connection = connect(handshake.request, Settings(subprotocols=handshake.subprotocols))
        assert handshake.dialect == connection.dialect
        assert [Opened()] == connection.accept()
        assert handshake.reply == connection.dataToSend()
        assert connection.subprotocol == next(iter(handshake.subprotocols), None)
        assert feed(connection, *pieces) == ["hi"]


@pytest.mark.requirement("HY-05")
@all3
def test_extraFields(name: str) -> None:
    """
    Further fields, such as cookies, come after those of the handshake.
    """
    connection = connect(buildHead(name))
    connection.accept([(b"Set-Cookie", b"a=b"), (b"Set-Cookie", b"c=d")])
    expected = b"Accept: " + ACCEPT + b"\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\n"
    assert connection.dataToSend().endswith(expected)


@pytest.mark.requirement("HY-01", "HY-06", "B-11", "D-11")
@pytest.mark.parametrize("version", [b"25", b"0", b"4", b"6", b"9", b"12", b"14", b"013", b"255"])
@all3
def test_otherVersion(name: str, version: bytes) -> None:
    """
    An unknown version gets the list of the versions that are spoken.
    """
    answer = refusal(buildHead(name, {VERSION: version})).response()
    assert answer.startswith(b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\n")
    assert b"\r\nSec-WebSocket-Version: 13, 8, 7\r\n" in answer


@pytest.mark.requirement("HY-06", "D-13")
@pytest.mark.parametrize(
    ("name", "version", "enabled", "listed"),
    [
        ("rfc6455", b"13", ("hybi-07", "hybi-08"), b"8, 7"),
        ("rfc6455", b"25", ("hybi-07", "hybi-08", "hixie-76"), b"8, 7"),
        ("rfc6455", b"25", ("hybi-07", "rfc6455"), b"13, 7"),
        ("hybi-08", b"8", ("hixie-75", "rfc6455"), b"13"),
        ("hybi-07", b"7", ("rfc6455", "hybi-08"), b"13, 8"),
        ("hybi-07", b"7", ("hixie-75", "hixie-76"), None),
        ("hybi-08", b"8", ("hixie-76",), None),
        ("rfc6455", b"13", ("hixie-75", "hixie-76"), None),
        ("rfc6455", b"25", ("hixie-75", "hixie-76"), None),
    ],
)
def test_switchedOff(
    name: str, version: bytes, enabled: tuple[str, ...], listed: bytes | None
) -> None:
    """
    A version that is switched off is treated as unknown, as long as others are left.
    """
    error = refusal(buildHead(name, {VERSION: version}), Settings(dialects=enabled))
    fields = () if listed is None else ((b"Upgrade", b"websocket"), (VERSION, listed))
    assert (426 if listed else 400, fields) == (error.status, error.headers)


@pytest.mark.requirement("HY-10")
@pytest.mark.parametrize("name", ["hixie-75", "hixie-76"])
def test_noVersionsForHixie(name: str) -> None:
    """
    A client of Hixie-75 or -76 gets no list of versions.
    """
    error = refusal(buildHead(name), Settings(dialects=MODERN))
    assert (error.status, error.headers) == (400, ())


@pytest.mark.requirement("D-11", "B-11")
@pytest.mark.parametrize(
    "version", [None, b"", b"thirteen", b"13, 8", b"-13", b"+13", b"1 3", b"13.0", b"1\xb3", b"0xd"]
)
@all3
def test_badVersion(name: str, version: bytes | None) -> None:
    """
    A version that is not a number is refused.
    """
    assert refusal(buildHead(name, {VERSION: version})).status == 400


@pytest.mark.requirement("HY-04", "D-11")
@pytest.mark.parametrize(
    "key",
    [
        *(None, b"", b"x", KEY[:-1], KEY[:-2], b"=" * 24, KEY + b"==", b"A" + KEY, KEY * 2),
        *(
            b"dGhlIHNhbXBsZSBub25jZQ--",
            b"dGhlIHNhbXBsZS Bub25jZQ==",
            b"dGhlIHNhbXBsZSBub25jZ\xe9==",
        ),
        # 15 bytes and 17.
        *(b"AAAAAAAAAAAAAAAAAAAA", b"AAAAAAAAAAAAAAAAAAAAAAA="),
    ],
)
@all3
def test_badKey(name: str, key: bytes | None) -> None:
    """
    A key that is not 16 bytes in base64 is refused.
    """
    assert refusal(buildHead(name, {KEY_FIELD: key})).status == 400


@pytest.mark.parametrize(
    ("changes", "extra"),
    [
        case("D-12 B-13", {}, [(VERSION, b"13")], name="two versions"),
        case("D-12 B-13 HY-04", {}, [(KEY_FIELD, KEY)], name="two keys"),
        case("D-12 B-13", {}, [(b"host", b"example.com")], name="two hosts"),
        case("D-12 B-13", {OLD_ORIGIN: None}, [(ORIGIN, b"a"), (ORIGIN, b"a")], name="two origins"),
        case("B-30", {b"Host": None}, [], name="no host"),
        case("", {}, [(b"Content-Length", b"8")], name="a body"),
        case("", {}, [(b"Content-Length", b"0"), (b"Content-Length", b"0")], name="two lengths"),
        case("", {}, [(b"Transfer-Encoding", b"chunked")], name="chunks"),
    ],
)
@all3
def test_refused(
    name: str, changes: Mapping[bytes, bytes | None], extra: Iterable[tuple[bytes, bytes]]
) -> None:
    """
    A request needs these fields exactly once, otherwise it is refused.
    """
    assert refusal(buildHead(name, changes, extra)).status == 400


@pytest.mark.requirement("D-12", "B-13")
@pytest.mark.parametrize("name", ["hybi-07", "hybi-08"])
def test_oldOriginTwice(name: str) -> None:
    """
    The older field of the origin may be sent once.
    """
    assert refusal(buildHead(name, extra=[(OLD_ORIGIN, b"http://example.com")])).status == 400


@all3
def test_noBody(name: str) -> None:
    """
    A body may be announced to be empty.
    """
    connect(buildHead(name, extra=[(b"Content-Length", b"0")]))


GOOD_ORIGIN, OTHER_ORIGIN = b"http://a", b"http://b"


@pytest.mark.requirement("HY-03")
@pytest.mark.parametrize(
    ("name", "old", "new", "passes"),
    [
        ("rfc6455", None, GOOD_ORIGIN, True),
        ("rfc6455", None, OTHER_ORIGIN, False),
        ("rfc6455", GOOD_ORIGIN, OTHER_ORIGIN, False),
        ("rfc6455", OTHER_ORIGIN, GOOD_ORIGIN, True),
        ("rfc6455", OTHER_ORIGIN, None, True),
        *(
            (name, old, new, passes)
            for name in ("hybi-07", "hybi-08")
            for old, new, passes in (
                (GOOD_ORIGIN, None, True),
                (OTHER_ORIGIN, None, False),
                (None, GOOD_ORIGIN, True),
                (None, OTHER_ORIGIN, False),
                (GOOD_ORIGIN, OTHER_ORIGIN, True),
                (OTHER_ORIGIN, GOOD_ORIGIN, False),
                (b"", GOOD_ORIGIN, False),
            )
        ),
        *((name, None, None, True) for name in MODERN),
    ],
)
def test_origin(name: str, old: bytes | None, new: bytes | None, passes: bool) -> None:
    """
    The origin is read from the field of the version; older versions may have it in the newer field.
    A client without an origin is not a browser, and passes.
    """
    fields = [(OLD_ORIGIN, old), (ORIGIN, new)]
    extra = [(field, value) for field, value in fields if value is not None]
    head = buildHead(name, {OLD_ORIGIN: None, ORIGIN: None})
    head = head.removesuffix(b"\r\n") + b"".join(b"%b: %b\r\n" % pair for pair in extra) + b"\r\n"
    settings = Settings(origins=("http://a",))
    if passes:
        connect(head, settings)
    else:
        assert refusal(head, settings).status == 403


@pytest.mark.requirement("HY-05")
@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ([], None),
        ([b"a"], "a"),
        ([b"x, b , a"], "b"),
        ([b"x", b"b,a"], "b"),
        ([b"x,y"], None),
        ([b""], None),
        ([b",,a"], "a"),
        ([b"A"], None),
        ([b"ab"], None),
    ],
)
@all3
def test_subprotocol(name: str, asked: list[bytes], chosen: str | None) -> None:
    """
    The client's first choice that the server speaks is confirmed, or none.
    """
    head = buildHead(name, extra=[(PROTOCOL, value) for value in asked])
    connection = connect(head, Settings(subprotocols=("a", "b")))
    connection.accept()
    assert chosen == connection.subprotocol
    field = b"" if chosen is None else b"Sec-WebSocket-Protocol: %b\r\n" % chosen.encode()
    assert connection.dataToSend().endswith(ACCEPT + b"\r\n" + field + b"\r\n")


@pytest.mark.requirement("D-09", "B-10", "HY-09")
def test_newestWins() -> None:
    """
    A request of RFC 6455 with the keys of Hixie-76 is still one, and has no nonce.
    """
    connection = connect(buildHead("hixie-76", extra=[(VERSION, b"13"), (KEY_FIELD, KEY)]))
    assert connection.dialect == "rfc6455"
    assert [Opened()] == connection.accept()
    assert feed(connection, clientFrame(0x81, b"hi")) == ["hi"]


# Frames received


@pytest.mark.requirement("HY-02", "HY-08")
@vectors(GOOD)
@all3
def test_good(name: str, vector: Frames) -> None:
    """
    Frames become messages, and frames that need an answer get it.
    """
    show(vector, lambda: openConnection(name))


@pytest.mark.requirement("HY-07", "B-43", "B-44")
@vectors(BAD)
@all3
def test_bad(name: str, vector: Frames) -> None:
    """
    A fault ends the connection with its code, after earlier messages.
    """
    show(vector, lambda: openConnection(name))


@pytest.mark.requirement("HY-07")
@pytest.mark.parametrize("payload", ILL_FORMED, ids=bytes.hex)
def test_illFormed(payload: bytes) -> None:
    """
    Ill-formed text is a fault, in a fragment even before the message ends.
    """
    for data in (
        clientFrame(0x81, payload),
        clientFrame(0x01, payload),
        clientFrame(0x01, b"A") + clientFrame(0x00, payload),
        b"".join(clientFrame(bool(at) ^ 1, payload[at : at + 1]) for at in range(len(payload))),
    ):
        code = (CloseCode.INVALID_DATA,)
        show(Frames("8.1", data, code), lambda: openConnection("rfc6455"))


@pytest.mark.requirement("HY-07")
@pytest.mark.parametrize("payload", UNFINISHED, ids=bytes.hex)
def test_unfinishedCharacter(payload: bytes) -> None:
    """
    A character may continue in the next fragment, but not after the last.
    """
    connection = openConnection("rfc6455")
    assert feed(connection, clientFrame(0x01, payload), clientFrame(0x00)) == []
    assert outcome(feed(connection, clientFrame(0x80))) == (CloseCode.INVALID_DATA,)
    [event] = feed(openConnection("rfc6455"), clientFrame(0x81, payload))
    assert isinstance(event, Failed)
    assert event.code == CloseCode.INVALID_DATA


@pytest.mark.requirement("HY-07", "HY-08")
@pytest.mark.parametrize(("code", "valid"), CLOSE_CODES.items())
def test_closeCode(code: int, valid: bool) -> None:
    """
    The codes that may be sent are echoed, all others are a fault.
    """
    assert valid is mayBeSent(code)
    event: Closed | CloseCode = Closed(code, "") if valid else CloseCode.PROTOCOL_ERROR
    data = clientFrame(0x88, code.to_bytes(2, "big"))
    show(Frames("7.4", data, (event,)), lambda: openConnection("rfc6455"))


def test_everyCloseCode() -> None:
    """
    The application and a client may send the same codes.
    """
    for code in range(5010):
        connection = openConnection("rfc6455")
        [event] = feed(connection, clientFrame(0x88, code.to_bytes(2, "big")))
        assert mayBeSent(code) is isinstance(event, Closed)


@pytest.mark.requirement("HY-07", "L-01", "L-02")
@pytest.mark.parametrize("compressed", [False, True])
def test_limit(compressed: bool) -> None:
    """
    The limit applies to a message, not to a frame, and a header is enough to exceed it.
    """
    settings = Settings(maxMessage=10, compression=compressed)
    for data, expected in (
        (clientFrame(0x82, b"0123456789"), [b"0123456789"]),
        (clientFrame(0x01, b"01234") + clientFrame(0x80, b"56789"), ["0123456789"]),
        (clientFrame(0x01, b"0123456789") + clientFrame(0x00) + clientFrame(0x80), ["0123456789"]),
        (clientFrame(0x82, b"0123456789") * 2, [b"0123456789"] * 2),
        # By the payload, and far above the limit, by the header alone.
        (clientFrame(0x82, bytes(11)), [CloseCode.TOO_BIG]),
        (b"\x82\xfe\x08\x00", [CloseCode.TOO_BIG]),
        (clientFrame(0x02, b"0123456789") + clientFrame(0x00, b"0"), [CloseCode.TOO_BIG]),
        (clientFrame(0x02, b"0123456789") + b"\x00\xfe\x08\x00", [CloseCode.TOO_BIG]),
        (
            clientFrame(0x01, b"01234") + clientFrame(0x00) + clientFrame(0x80, b"567890"),
            [CloseCode.TOO_BIG],
        ),
    ):
        for pieces in cuts(data):
            head = buildHead("rfc6455", extra=[(EXTENSIONS, b"permessage-deflate")])
            connection = connect(head, settings)
            connection.accept()
            assert tuple(expected) == outcome(feed(connection, *pieces))


@pytest.mark.requirement("HY-07", "L-01")
@pytest.mark.parametrize("opcode", [0x81, 0x82])
@all3
def test_limitByOne(name: str, opcode: int) -> None:
    """
    A message of exactly the limit passes; one that is a byte larger does not, text or bytes.
    """
    for size, passes in ((1000, True), (1001, False), (1125, False), (1126, False)):
        connection = openConnection(name, Settings(maxMessage=1000))
        (event,) = feed(connection, clientFrame(opcode, b"x" * size))
        if passes:
            assert event in ("x" * 1000, b"x" * 1000)
        else:
            assert outcome([event]) == (CloseCode.TOO_BIG,)


@pytest.mark.requirement("HY-07", "HY-08", "L-01")
def test_limitAndControlFrames() -> None:
    """
    Control frames have their own limit: they do not count as part of a message.
    """
    ping, pong = clientFrame(0x89, b"x" * 125), clientFrame(0x8A, b"y" * 125)
    connection = openConnection("rfc6455", Settings(maxMessage=10))
    assert feed(connection, ping, pong) == [Pong(b"y" * 125)]
    data = clientFrame(0x01, b"01234567") + ping + pong + clientFrame(0x80, b"89")
    assert feed(connection, data) == [Pong(b"y" * 125), "0123456789"]
    [event] = feed(connection, clientFrame(0x88, b"\x03\xe8" + b"z" * 123))
    assert event == Closed(1000, "z" * 123)


@pytest.mark.requirement("HY-07", "L-01")
@pytest.mark.parametrize("first", [b"", b"x"])
def test_fragments(first: bytes) -> None:
    """
    The number of fragments is limited, empty ones included; control frames do not count.
    """
    data = clientFrame(0x01, first) + (clientFrame(0x00) + clientFrame(0x8A)) * 3
    settings = Settings(maxFragments=5)
    connection = openConnection("rfc6455", settings)
    for _ in range(2):
        assert [Pong(b"")] * 3 + [first.decode()] == feed(connection, data, clientFrame(0x80))
    expected = (Pong(b""), Pong(b""), Pong(b""), CloseCode.POLICY)
    vector = Frames("10.4", data + clientFrame(0x00) * 2, expected)
    show(vector, lambda: openConnection("rfc6455", settings))


@pytest.mark.requirement("L-01")
@pytest.mark.parametrize(
    ("settings", "last"),
    [
        case("", Settings(maxMessage=30_000), clientFrame(0x00, b"x" * 20_000), name="size"),
        case("", Settings(maxFragments=1), clientFrame(0x00, b"x" * 20_000), name="fragments"),
        case("", Settings(), clientFrame(0x00, b"x" * 20_000 + b"\xff"), name="text"),
        case("", Settings(), clientFrame(0x81, b"x" * 20_000), name="order"),
        case("", Settings(), clientFrame(0x88, b"\x03\xe8"), name="close"),
    ],
)
def test_nothingKept(settings: Settings, last: bytes) -> None:
    """
    After the end, nothing is kept of the unfinished message.
    """
    connection = openConnection("rfc6455", settings)
    before = heldBytes(connection)
    events = feed(connection, clientFrame(0x01, b"x" * 20_000) + last)
    assert isinstance(events.pop(), (Closed, Failed))
    assert heldBytes(connection) - before <= 512


@pytest.mark.requirement("L-01")
@pytest.mark.parametrize(
    "data",
    [
        case("", clientFrame(0x81, b"x" * 20_000), name="text"),
        case("", clientFrame(0x82, b"x" * 20_000), name="bytes"),
        case("", clientFrame(0x01, b"x" * 20_000) + clientFrame(0x80, b"x" * 500), name="end"),
        case("", clientFrame(0x01) + clientFrame(0x80, b"x" * 20_000), name="fragment"),
    ],
)
def test_deliveredIsNotKept(data: bytes) -> None:
    """
    Nothing is kept of a delivered message while the peer sends nothing more.
    """
    connection = openConnection("rfc6455")
    feed(connection, clientFrame(0x81, b"x"))
    before = heldBytes(connection)
    assert len(feed(connection, data)) == 1
    assert heldBytes(connection) - before <= 16


@pytest.mark.parametrize(
    "data",
    [clientFrame(0x01, b"x" * 20_000), clientFrame(0x02, b"x" * 20_001)[:-1]],
    ids=["fragment", "frame"],
)
def test_keptOnce(data: bytes) -> None:
    """
    An unfinished message is kept only once.
    """
    connection = openConnection("rfc6455")
    before = heldBytes(connection)
    feed(connection, data)
    assert 20_000 <= heldBytes(connection) - before < 30_000
    assert 20_000 < connection.unfinished < 20_020


# Frames sent


@pytest.mark.requirement("HY-02")
@all3
def test_sent(name: str) -> None:
    """
    Sent messages are framed as in section 5.7.
    """
    connection = openConnection(name)
    connection.sendText("Hello")
    connection.sendPing(b"Hello")
    connection.sendBytes(bytes(256))
    connection.sendBytes(bytes(65536))
    connection.sendPing()
    assert connection.hasPing
    assert connection.dataToSend() == (
        bytes.fromhex("81 05 48 65 6c 6c 6f 89 05 48 65 6c 6c 6f 82 7e 01 00")
        + bytes(256)
        + bytes.fromhex("82 7f 00 00 00 00 00 01 00 00")
        + bytes(65536)
        + bytes.fromhex("89 00")
    )


@pytest.mark.parametrize("compressed", [False, True])
def test_badSends(compressed: bool) -> None:
    """
    A message that cannot be sent raises, and nothing is written.
    """
    settings = Settings()
    connection = compressing(settings) if compressed else openConnection("rfc6455", settings)
    connection.sendPing(b"x" * 125)
    connection.dataToSend()
    with pytest.raises(ValueError, match="125"):
        connection.sendPing(b"x" * 126)
    with pytest.raises(UnicodeEncodeError):
        connection.sendText("\ud800")
    with pytest.raises(TypeError, match="not bytes"):
        connection.sendText(b"x")  # type: ignore[arg-type]
    assert connection.dataToSend() == b""
    assert connection.sendText("A")


@pytest.mark.parametrize(
    ("reason", "sent"),
    [
        ("x" * 123, b"x" * 123),
        ("x" * 124, b"x" * 123),
        ("\u00e9" * 100, "\u00e9".encode() * 61),
        ("x" + "\U0001f600" * 40, b"x" + "\U0001f600".encode() * 30),
        ("\ud800", b"?"),
    ],
)
def test_reason(reason: str, sent: bytes) -> None:
    """
    A long reason is cut between characters.
    """
    connection = openConnection("rfc6455")
    connection.sendClose(4000, reason)
    assert frame(0x88, b"\x0f\xa0" + sent) == connection.dataToSend()


# Closing


@pytest.mark.requirement("HY-08")
@pytest.mark.parametrize("compressed", [False, True])
def test_answersFirst(compressed: bool) -> None:
    """
    Messages before a close or a fault, even in the same read, are answered before our close.
    """
    sequence = clientFrame(0x81, b"A") + clientFrame(0x89, b"1") + clientFrame(0x82, b"B")
    for last, answer in (
        (clientFrame(0x88, b"\x0f\xa0bye"), b"\x0f\xa0bye"),
        (clientFrame(0x88), b""),
        (frame(0x81, b"x"), b"\x03\xea"),
        (clientFrame(0x81, b"\xff"), b"\x03\xef"),
    ):
        for pieces in cuts(sequence + last):
            connection = compressing(Settings()) if compressed else openConnection("rfc6455")
            expand = Deflater().decompress if compressed else bytes
            sent: list[tuple[int, bytes]] = []
            for piece in pieces:
                for event in connection.receiveData(piece):
                    if isinstance(event, str):
                        assert connection.sendText("re: " + event)
                    elif isinstance(event, bytes):
                        assert connection.sendBytes(b"re: " + event)
                    else:
                        end(connection, [event])
                sent += serverFrames(connection.dataToSend())
            messages = [(first & 0xF, expand(data)) for first, data in sent if first & 0xF < 3]
            assert messages == [(1, b"re: A"), (2, b"re: B")]
            assert sent.index((0x8A, b"1")) < sent.index(sent[-2])
            assert sent[-1][0] == 0x88
            assert sent[-1][1][: max(2, len(answer))].startswith(answer)
            assert connection.finished


@pytest.mark.requirement("HY-08")
def test_ourAnswerInsteadOfTheEcho() -> None:
    """
    If an application closes while the peer's close is waiting, one close frame is sent.
    """
    connection = openConnection("rfc6455")
    data = clientFrame(0x81, b"A") + clientFrame(0x88, b"\x03\xe8")
    for event in connection.receiveData(data):
        connection.sendClose(3000)
        assert event in ("A", Closed(1000, ""))
    assert frame(0x88, b"\x03\xe8") == connection.dataToSend()
    assert connection.finished
    assert connection.clean


@pytest.mark.requirement("HY-08")
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("answer", "event"),
    [
        (clientFrame(0x88, b"\x0b\xb8"), Closed(3000, "")),
        (clientFrame(0x88, b"\x03\xe8bye"), Closed(1000, "bye")),
        (clientFrame(0x88), Closed(1005, "")),
        (frame(0x88, b"\x0b\xb8"), None),
        (clientFrame(0x88, b"\x00"), None),
        (clientFrame(0x83), None),
    ],
)
def test_weClose(compressed: bool, answer: bytes, event: Closed | None) -> None:
    """
    Nothing is sent after our close frame, not even a pong; then the peer's answer is the end, and
    any fault is the end too.
    """
    data = clientFrame(0x89, b"1") + clientFrame(0x81, b"late") + answer + clientFrame(0x89)
    for pieces in cuts(data):
        connection = compressing(Settings()) if compressed else openConnection("rfc6455")
        connection.sendText("first")
        connection.sendClose(3000, "enough")
        connection.sendClose(1000)
        assert serverFrames(connection.dataToSend())[1:] == [(0x88, b"\x0b\xb8enough")]
        assert (connection.state, connection.finished) == (State.CLOSING, False)
        late, last = feed(connection, *pieces)
        assert late == "late"
        assert not connection.sendText("late")
        assert not connection.sendBytes(b"late")
        connection.sendPing()
        end(connection, [last])
        assert connection.dataToSend() == b""
        assert (connection.state, connection.finished) == (State.CLOSED, True)
        if event is None:
            assert isinstance(last, Failed)
        else:
            assert event == last
        assert connection.clean is (event is not None)


@pytest.mark.requirement("HY-07", "HY-08")
@pytest.mark.parametrize("compressed", [False, True])
def test_faultAfterOurClose(compressed: bool) -> None:
    """
    A fault instead of an answer to our close has its own code, not the one we sent.
    """
    for code in (1000, 1009, 4000):
        for breach in (frame(0x81, b"x"), clientFrame(0x83), clientFrame(0x80)):
            connection = compressing(Settings()) if compressed else openConnection("rfc6455")
            connection.sendClose(code)
            assert connection.dataToSend() == frame(0x88, code.to_bytes(2, "big"))
            assert outcome(feed(connection, breach)) == (CloseCode.PROTOCOL_ERROR,)
            assert connection.dataToSend() == b""
            assert connection.finished
            assert not connection.clean


# Compression


@pytest.mark.parametrize(
    ("offers", "agreed"),
    [
        ([], None),
        ([b"permessage-deflate"], "server_no_context_takeover"),
        (
            [b"permessage-deflate; client_max_window_bits"],
            "server_no_context_takeover; client_max_window_bits=12",
        ),
        (
            [b"permessage-deflate;client_max_window_bits=9 ; server_max_window_bits=9"],
            "server_no_context_takeover; server_max_window_bits=9; client_max_window_bits=9",
        ),
        (
            [b'permessage-deflate; client_max_window_bits="15"; server_max_window_bits=15'],
            "server_no_context_takeover; server_max_window_bits=15; client_max_window_bits=12",
        ),
        (
            [b"permessage-deflate; server_no_context_takeover; client_no_context_takeover"],
            "server_no_context_takeover; client_no_context_takeover",
        ),
        ([b"x; y=z", b"permessage-deflate, permessage-deflate"], "server_no_context_takeover"),
        (
            [b"permessage-deflate; foo, permessage-deflate; server_max_window_bits=10"],
            "server_no_context_takeover; server_max_window_bits=10",
        ),
        ([b"x-webkit-deflate-frame"], None),
        ([b"permessage-deflate; foo"], None),
        ([b"permessage-deflate; server_max_window_bits"], None),
        ([b"permessage-deflate; server_max_window_bits=8"], None),
        ([b"permessage-deflate; server_max_window_bits=16"], None),
        ([b"permessage-deflate; client_max_window_bits=010"], None),
        ([b"permessage-deflate; client_no_context_takeover=1"], None),
        ([b"permessage-deflate; server_no_context_takeover; server_no_context_takeover"], None),
    ],
)
@all3
def test_negotiation(name: str, offers: list[bytes], agreed: str | None) -> None:
    """
    The first acceptable offer is confirmed, and none if compression is off.
    """
    head = buildHead(name, extra=[(EXTENSIONS, offer) for offer in offers])
    for compression in (True, False):
        connection = connect(head, Settings(compression=compression))
        connection.accept()
        field = b"" if agreed is None else b"\r\n%b: permessage-deflate; " % EXTENSIONS
        expected = field + (agreed or "").encode() if compression else b""
        assert connection.dataToSend().endswith(ACCEPT + expected + b"\r\n\r\n")
        if agreed is None or not compression:
            [event] = feed(connection, clientFrame(0xC1, DEFLATED_HELLO))
            assert outcome([event]) == (CloseCode.PROTOCOL_ERROR,)
        else:
            echo(connection.connection, agreed)


def echo(connection: Connection, agreed: str) -> None:
    """
    Send messages both ways as agreed. Their parts repeat within some windows and beyond others, so
    a side that uses another window than agreed fails.
    """
    parameters = dict((part + "=15").split("=")[:2] for part in agreed.split("; "))
    peer = Deflater(
        int(parameters.get("client_max_window_bits", 15)),
        int(parameters.get("server_max_window_bits", 15)),
        "client_no_context_takeover" not in parameters,
        "server_no_context_takeover" not in parameters,
    )
    noise = random.Random(1).randbytes(40_000)
    sizes = (400, 400, 3000, 3000, 20_000, 20_000, 40_000)
    for data in (b"", *(noise[:size] for size in sizes), noise[:20_000] * 2):
        payload = peer.compress(data)
        assert [data] == feed(connection, clientFrame(0xC2, payload))
        assert connection.sendBytes(data)
        assert connection.sendText(data.hex())
        (first, sent), (second, sentText) = serverFrames(connection.dataToSend())
        assert (first, second) == (0xC2, 0xC1)
        assert data == peer.decompress(sent)
        assert data.hex().encode() == peer.decompress(sentText)


@pytest.mark.parametrize(
    "offer",
    [
        *(b";", b"=", b"permessage-deflate;", b"permessage-deflate; =", b"a b", b"a; b=c d"),
        *(b'a; b="', b"a\xe9", b"a" * 10_000, b"permessage-deflate; server_max_window_bits=1 2"),
    ],
)
def test_malformedOffer(offer: bytes) -> None:
    """
    An invalid offer is refused, or ignored if compression is off.
    """
    head = buildHead("rfc6455", extra=[(EXTENSIONS, offer)])
    assert refusal(head, Settings(compression=True)).status == 400
    connect(head)


@vectors(DEFLATED)
def test_deflated(vector: Frames) -> None:
    """
    Compressed messages are read, however they were compressed, and so is the next one.
    """
    again = vector._replace(
        data=vector.data + clientFrame(0xC1, DEFLATED_HELLO), outcome=(*vector.outcome, "Hello")
    )
    show(again, lambda: compressing(Settings()))


@pytest.mark.requirement("HY-07")
@vectors(BAD_DEFLATED)
def test_badDeflated(vector: Frames) -> None:
    """
    A fault in compressed messages ends the connection like any other.
    """
    show(vector, lambda: compressing(Settings()))


# A message in fragments.
SPLIT_HELLO = clientFrame(0x42, DEFLATED_HELLO[:3]) + clientFrame(0x80, DEFLATED_HELLO[3:])


@pytest.mark.requirement("HY-07")
def test_badDeflatedAlone() -> None:
    """
    Nothing may follow the end of a stream, not even if each message has its own stream.
    """
    ended = bytes.fromhex("f3 48 cd c9 c9 07 00")
    for payload, expected in (
        (ended + b"\0", b"Hello"),
        (ended + b"garbage", CloseCode.PROTOCOL_ERROR),
        (ended + bytes(100), CloseCode.PROTOCOL_ERROR),
    ):
        connection = compressing(Settings(), b"permessage-deflate; client_no_context_takeover")
        data = clientFrame(0xC2, DEFLATED_HELLO) + clientFrame(0xC2, payload)
        assert outcome(feed(connection, data)) == (b"Hello", expected)


@pytest.mark.requirement("HY-07")
@pytest.mark.parametrize("first", [clientFrame(0xC2, DEFLATED_HELLO), SPLIT_HELLO])
def test_brokenNoTakeover(first: bytes) -> None:
    """
    A client that agreed to compress each message independently, and does not, breaks the protocol.
    """
    again = clientFrame(0xC2, bytes.fromhex("f2 00 11 00 00"))
    for offer, expected in (
        (b"permessage-deflate", b"Hello"),
        (b"permessage-deflate; server_no_context_takeover", b"Hello"),
        (b"permessage-deflate; client_no_context_takeover", CloseCode.PROTOCOL_ERROR),
    ):
        connection = compressing(Settings(), offer)
        assert outcome(feed(connection, first, again)) == (b"Hello", expected)


@pytest.mark.requirement("HY-07", "L-01")
@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("size", [1, 100, 3000, 70_000])
@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_limitInflated(level: int, size: int, pieces: int) -> None:
    """
    A message of exactly the limit passes, although compression made it larger; one byte more does
    not.
    """
    noise = random.Random(2).randbytes(size + 1)
    for data in (noise, bytes(size + 1)):
        for length, passes in ((size, True), (size + 1, False)):
            payload = Deflater(level=level).compress(data[:length])
            step = -(-len(payload) // pieces)
            parts = [payload[at : at + step] for at in range(0, len(payload), step)]
            frames = [clientFrame(0x00, part) for part in parts]
            frames[0] = clientFrame(0x42, parts[0])
            frames.append(clientFrame(0x80, b""))
            connection = compressing(Settings(maxMessage=size))
            expected = data[:length] if passes else CloseCode.TOO_BIG
            assert (expected,) == outcome(feed(connection, *frames))


@pytest.mark.requirement("HY-07", "L-01")
def test_limitSmallWindow() -> None:
    """
    The limit also holds for a message that was compressed with a small window, and grew by more.
    """
    noise = random.Random(2).randbytes(70_001)
    for length, expected in ((70_000, noise[:70_000]), (70_001, CloseCode.TOO_BIG)):
        payload = Deflater(9, level=1).compress(noise[:length])
        assert len(payload) > length + 125
        connection = compressing(Settings(maxMessage=70_000))
        assert outcome(feed(connection, clientFrame(0xC2, payload))) == (expected,)


def measure(connection: Connection, data: bytes) -> tuple[list[int | CloseCode], int]:
    """
    Let a connection receive data in reads of 64 KiB, and drop each message.

    @return: the sizes of the messages and the code of a fault, and the peak of memory.
    """
    results: list[int | CloseCode] = []
    tracemalloc.start()
    try:
        for at in range(0, len(data), 65536):
            for event in connection.receiveData(data[at : at + 65536]):
                if isinstance(event, Failed):
                    results.append(CloseCode(event.code))
                else:
                    assert isinstance(event, (str, bytes))
                    results.append(len(event))
                del event
        return results, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.requirement("HY-07", "L-01")
@pytest.mark.parametrize("limit", [4096, MiB, 4 * MiB])
@pytest.mark.parametrize("opcode", [0x01, 0x02])
def test_bomb(limit: int, opcode: int) -> None:
    """
    A GiB of zeros, in a message of a MiB, takes no more than the limit and is refused.
    """
    compressor = zlib.compressobj(9, wbits=-15)
    part = compressor.compress(bytes(64 * MiB)) + compressor.flush(zlib.Z_FULL_FLUSH)
    payload = (part * 16).removesuffix(b"\0\0\xff\xff")
    assert len(payload) < MiB
    for data in (
        clientFrame(0xC0 | opcode, payload),
        clientFrame(0x40 | opcode, payload[:3000]) + clientFrame(0x80, payload[3000:]),
    ):
        results, peak = measure(compressing(Settings(maxMessage=limit)), data)
        assert results == [CloseCode.TOO_BIG]
        assert peak < 2 * limit + 5 * MiB


@pytest.mark.requirement("L-01")
def test_nothingKeptOfABomb() -> None:
    """
    A connection that refused a message keeps neither its remaining data nor the window.
    """
    compressor = zlib.compressobj(9, wbits=-15)
    payload = compressor.compress(bytes(512 * MiB)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    bomb = clientFrame(0xC1, payload)
    connection = compressing(Settings())
    tracemalloc.start()
    try:
        (failed,) = connection.receiveData(bomb)
        assert isinstance(failed, Failed)
        assert failed.code == CloseCode.TOO_BIG
        connection.dataToSend()
        connection.abandon()
        assert tracemalloc.get_traced_memory()[0] < 20_000
    finally:
        tracemalloc.stop()


@pytest.mark.requirement("L-01")
def test_manyBombs() -> None:
    """
    Messages within the limit are inflated a few at a time, however many are in a read.
    """
    peer = Deflater(level=9)
    bomb = clientFrame(0xC2, peer.compress(bytes(MiB)))
    bombs = bomb + b"".join(clientFrame(0xC2, peer.compress(bytes(MiB))) for _ in range(57))
    assert len(bombs) < 65536
    results, peak = measure(compressing(Settings()), bombs)
    assert results == [MiB] * 58
    assert peak < 12 * MiB


@pytest.mark.requirement("L-01")
def test_finalBlockFlood() -> None:
    """
    After a final block, no data accumulates that is never read.
    """
    compressor = zlib.compressobj(wbits=-15)
    final = compressor.compress(b"Hello") + compressor.flush() + b"\x00"
    noise = random.Random(3).randbytes(60_000)
    data = clientFrame(0xC2, final) + clientFrame(0xC2, noise) * 200
    _, peak = measure(compressing(Settings(maxMessage=65536)), data)
    assert peak < 2 * MiB


@pytest.mark.parametrize(
    "factory",
    [
        ClientPerMessageDeflateFactory(),
        ClientPerMessageDeflateFactory(client_max_window_bits=9, server_max_window_bits=9),
        ClientPerMessageDeflateFactory(True, True),
        None,
    ],
    ids=["usual", "small windows", "no takeover", "none"],
)
def test_otherImplementation(factory: ClientPerMessageDeflateFactory | None) -> None:
    """
    A foreign client opens a connection, sends messages and closes.
    """
    client = ClientProtocol(
        parse_uri("ws://example.com/demo"), extensions=[factory] if factory else None
    )
    client.send_request(client.connect())
    connection = connect(b"".join(client.data_to_send()), Settings(compression=True))
    connection.accept()
    texts = ["", "Hello", "Hello" * 9000, "".join(map(chr, range(0x400, 0x1400)))] * 2
    for text in texts:
        client.receive_data(connection.dataToSend())
        client.send_text(text.encode())
        assert [text] == feed(connection, *client.data_to_send())
        assert connection.sendText(text)
    client.receive_data(connection.dataToSend())
    assert client.handshake_exc is None
    assert bool(client.extensions) is (factory is not None)
    received = [event for event in client.events_received() if isinstance(event, Frame)]
    assert [(Opcode.TEXT, text.encode()) for text in texts] == [
        (event.opcode, event.data) for event in received
    ]
    client.send_close(1000, "bye")
    events = feed(connection, *client.data_to_send())
    assert [Closed(1000, "bye")] == events
    end(connection.connection, events)
    client.receive_data(connection.dataToSend())
    client.receive_eof()
    assert (client.close_code, client.close_reason) == (1000, "bye")
    assert connection.clean
