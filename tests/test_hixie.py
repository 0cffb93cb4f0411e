"""Hixie-75 and Hixie-76: handshakes and frames, byte for byte."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.support import (
    IDIOMS,
    Opened,
    buildHead,
    case,
    connect,
    cuts,
    feed,
    openConnection,
    parseHead,
    refusal,
)
from tests.vectors.hixie import (
    CHALLENGES,
    CLOSED,
    FRAMES,
    HANDSHAKES,
    KEYS,
    LENGTHS,
    REPLACEMENTS,
    STRICT,
    Challenge,
    Frames,
    Handshake,
    Outcome,
)
from txhixie.dialects.connection import UnsupportedMessage
from txhixie.dialects.events import CloseCode, Closed, Discarded, Event, Failed
from txhixie.dialects.head import HandshakeError
from txhixie.dialects.hixie import frameText
from txhixie.dialects.hixie_opening import challengeResponse, keyNumber, location
from txhixie.settings import Settings

NAMES = ("hixie-75", "hixie-76")
NONCE = IDIOMS["hixie-76"].preamble
ANSWER = b"8jKS'y:G*Co,Wxa-"
KEY1, KEY2 = b"Sec-WebSocket-Key1", b"Sec-WebSocket-Key2"

both = pytest.mark.parametrize("name", NAMES)


def outcome(events: list[Event]) -> Outcome:
    """
    Events in the form of the vectors.
    """
    assert all(isinstance(event, (str, Discarded, Closed, Failed)) for event in events)
    return tuple(
        CloseCode(event.code) if isinstance(event, Failed) else event  # type: ignore[misc]
        for event in events
    )


def reply(head: bytes, settings: Settings = Settings(), secure: bool = False) -> list[bytes]:
    """
    The lines of the head that accepts a request.
    """
    connection = connect(head, settings, secure)
    connection.accept()
    sent = connection.dataToSend()
    assert sent.endswith(b"\r\n\r\n")
    return sent[:-4].split(b"\r\n")


# The opening handshake


@pytest.mark.requirement("D-09", "H75-S-02", "H76-S-02", "H76-S-07", "H76-C-04", "KEY3-4")
@pytest.mark.parametrize("handshake", HANDSHAKES, ids=lambda handshake: handshake.client)
def test_handshake(handshake: Handshake) -> None:
    """
    Clients of the time get exactly the reply that they compare with.
    """
    head, separator, nonce = handshake.request.partition(b"\r\n\r\n")
    for pieces in cuts(nonce + b"\x00hi\xff"):
        connection = connect(head + separator, Settings(subprotocols=handshake.subprotocols))
        assert handshake.dialect == connection.dialect
        events = [*connection.accept(), *feed(connection, *pieces)]
        assert [Opened(), "hi"] == events
        assert handshake.reply == connection.dataToSend()
        assert connection.subprotocol == next(iter(handshake.subprotocols), None)


@pytest.mark.requirement("H75-S-01", "H75-C-07", "H75-C-08", "H75-C-09", "H75-S-06", "H75-S-08")
def test_reply75() -> None:
    """
    The reply to Hixie-75 begins with the 103 bytes that clients compare, and is there at once.
    """
    connection = connect(buildHead("hixie-75"))
    assert [Opened()] == connection.accept()
    invariant = bytes.fromhex(
        "48545450 2f312e31 20313031 20576562 20536f63 6b657420 50726f74 6f636f6c 2048616e"
        "64736861 6b650d0a 55706772 6164653a 20576562 536f636b 65740d0a 436f6e6e 65637469"
        "6f6e3a20 55706772 6164650d 0a576562 536f636b 65742d4f 72696769 6e3a20"
    )
    rest = b"http://example.com\r\nWebSocket-Location: ws://example.com/demo\r\n\r\n"
    assert len(invariant) == 103
    assert invariant + rest == connection.dataToSend()
    assert connection.dataToSend() == b""


@pytest.mark.requirement("H76-S-01", "H76-S-02", "H76-S-03", "H75-C-10")
@both
def test_replyFields(name: str) -> None:
    """
    Every field is there once, with one space after its colon, and none that was not asked for.
    """
    status, *fields = reply(buildHead(name))
    prefix = {"hixie-75": b"", "hixie-76": b"Sec-"}[name]
    phrase = {"hixie-75": b"Web Socket", "hixie-76": b"WebSocket"}[name]
    assert b"HTTP/1.1 101 %b Protocol Handshake" % phrase == status
    assert fields == [
        b"Upgrade: WebSocket",
        b"Connection: Upgrade",
        prefix + b"WebSocket-Origin: http://example.com",
        prefix + b"WebSocket-Location: ws://example.com/demo",
    ]


@pytest.mark.requirement("H75-S-02", "H76-S-02")
@both
def test_extraFields(name: str) -> None:
    """
    Further fields, such as cookies, come after those of the handshake.
    """
    connection = connect(buildHead(name))
    connection.accept([(b"Set-Cookie", b"a=b"), (b"Set-Cookie", b"c=d")])
    expected = b"ws://example.com/demo\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\n"
    assert connection.dataToSend().endswith(expected)


@pytest.mark.requirement("K-12", "H76-S-07", "H76-C-04", "KEY3-1", "KEY3-2", "B-24")
@pytest.mark.parametrize("challenge", CHALLENGES, ids=lambda challenge: challenge.source)
def test_challenge(challenge: Challenge) -> None:
    """
    The keys and the nonce, cut anywhere, give the published answer.
    """
    parts = (keyNumber(challenge.key1), keyNumber(challenge.key2))
    assert (challenge.part1, challenge.part2) == parts
    assert challenge.answer == challengeResponse(*parts, challenge.nonce)
    for pieces in cuts(challenge.nonce):
        connection = connect(
            buildHead("hixie-76", {KEY1: challenge.key1 + b" ", KEY2: challenge.key2})
        )
        assert connection.accept() == []
        assert connection.dataToSend().endswith(b"\r\n\r\n")
        assert [Opened()] == feed(connection, *pieces)
        assert challenge.answer == connection.dataToSend()


@pytest.mark.parametrize(
    ("key", "number"), [case(row.requirements, row.key, row.number, name=row.name) for row in KEYS]
)
def test_key(key: bytes, number: int | None) -> None:
    """
    A key holds the number that the draft says, or the request is refused before any reply.
    """
    if number is None:
        with pytest.raises(HandshakeError) as raised:
            keyNumber(key)
        assert raised.value.status == 400
        for field in (KEY1, KEY2):
            assert refusal(buildHead("hixie-76", {field: key})).status == 400
    else:
        assert number == keyNumber(key)
        connect(buildHead("hixie-76", {KEY1: key, KEY2: key}))


@pytest.mark.requirement("B-21", "K-07")
def test_zeroParts() -> None:
    """
    Keys of zero are answered like any other.
    """
    connection = connect(buildHead("hixie-76", {KEY1: b"0 x", KEY2: b"0 x"}))
    connection.accept()
    connection.dataToSend()
    feed(connection, bytes(8))
    # The MD5 sum of 16 zero bytes.
    assert bytes.fromhex("4ae71336e44bf9bf79d2752e234818a5") == connection.dataToSend()


@pytest.mark.requirement("B-27", "K-01")
def test_keysBeforeNonce() -> None:
    """
    Bad keys are refused although the nonce never came.
    """
    assert refusal(buildHead("hixie-76", {KEY2: b"1 2 3"})).status == 400


@pytest.mark.parametrize(
    "nonce",
    [
        case("B-24 KEY3-1", bytes.fromhex("0D 0A 0D 0A 00 FF FE 80")),
        case("KEY3-1", bytes(8)),
        case("KEY3-1", b"\xff\x00" * 4),
        case("KEY3-8", b"GET / HT"),
    ],
)
def test_nonce(nonce: bytes) -> None:
    """
    Any eight bytes are a nonce, and what follows them in the same segment are frames.
    """
    expected = challengeResponse(829309203, 259970620, nonce)
    for pieces in cuts(nonce + b"\x00hi\xff"):
        connection = connect(buildHead("hixie-76"))
        connection.accept()
        connection.dataToSend()
        assert [Opened(), "hi"] == feed(connection, *pieces)
        assert expected == connection.dataToSend()


@pytest.mark.requirement("KEY3-6", "B-26")
def test_framesBehindNonce() -> None:
    """
    Frames in the nonce's segment count against the limit like all others.
    """
    for length, passes in ((10, True), (11, False)):
        connection = connect(buildHead("hixie-76"), Settings(maxMessage=10))
        connection.accept()
        opened, event = feed(connection, NONCE + b"\x00" + b"x" * length + b"\xff")
        assert Opened() == opened
        assert passes is isinstance(event, str)


@pytest.mark.requirement("KEY3-4", "B-23")
def test_incompleteNonce() -> None:
    """
    Seven bytes of the nonce do not open a connection.
    """
    connection = connect(buildHead("hixie-76"))
    connection.accept()
    connection.dataToSend()
    assert feed(connection, NONCE[:3], NONCE[3:7]) == []
    assert connection.dataToSend() == b""
    assert not connection.clean


@pytest.mark.requirement("KEY3-7", "B-25")
def test_contentLength() -> None:
    """
    The nonce may be announced as a body of eight bytes, and is the nonce all the same.
    """
    connection = connect(buildHead("hixie-76", {}, [(b"Content-Length", b"8")]))
    connection.accept()
    assert [Opened()] == feed(connection, NONCE)
    assert connection.dataToSend().endswith(b"\r\n\r\n" + ANSWER)
    connect(buildHead("hixie-75", {}, [(b"Content-Length", b"0")]))


@pytest.mark.requirement("H75-S-07", "H75-C-01")
def test_early75() -> None:
    """
    In Hixie-75 the first byte after the head belongs to a frame.
    """
    for pieces in cuts(b"\x00hi\xff"):
        connection = connect(buildHead("hixie-75"))
        connection.accept()
        assert feed(connection, *pieces) == ["hi"]


# Host, origin and subprotocol


@pytest.mark.parametrize(
    ("host", "secure", "url"),
    [
        case("LOC-1", b"example.com", False, b"ws://example.com/demo"),
        case("LOC-1", b"example.com", True, b"wss://example.com/demo"),
        case("LOC-2", b"Example.COM", False, b"ws://example.com/demo"),
        case("LOC-3", b"example.com:8081", False, b"ws://example.com:8081/demo"),
        case("LOC-3", b"example.com:80", False, b"ws://example.com/demo"),
        case("LOC-3", b"example.com:80", True, b"wss://example.com:80/demo"),
        case("LOC-3", b"example.com:443", True, b"wss://example.com/demo"),
        case("LOC-3", b"example.com:443", False, b"ws://example.com:443/demo"),
        case("LOC-3", b"example.com:65535", False, b"ws://example.com:65535/demo"),
        case("LOC-2 B-31", b"[::1]:8000", False, b"ws://[::1]:8000/demo"),
        case("LOC-2 B-31", b"[2001:DB8::1]", False, b"ws://[2001:db8::1]/demo"),
        case("LOC-6", b"my_host-1.local", False, b"ws://my_host-1.local/demo"),
    ],
)
@both
def test_location(name: str, host: bytes, secure: bool, url: bytes) -> None:
    """
    The location is the URL the client had, default ports left out.
    """
    assert b"Location: " + url in reply(buildHead(name, {b"Host": host}), secure=secure)[-1]


@pytest.mark.requirement("LOC-4")
@pytest.mark.parametrize("target", [b"/", b"/?", b"/a%20b?x=1&y=%C3", b"//x/../y?a?b=/", b"/A"])
@both
def test_locationTarget(name: str, target: bytes) -> None:
    """
    The target is in the location as it was sent.
    """
    head = buildHead(name, requestLine=b"GET " + target + b" HTTP/1.1")
    assert reply(head)[-1].endswith(b"Location: ws://example.com" + target)


@pytest.mark.requirement("LOC-5", "LOC-1")
@both
def test_locationSetting(name: str) -> None:
    """
    The setting overrides what is known of host and transport.
    """
    settings = Settings(location="wss://chat.example.com")
    head = buildHead(name, {b"Host": b"10.0.0.1:8080"})
    assert reply(head, settings)[-1].endswith(b"Location: wss://chat.example.com/demo")


@pytest.mark.requirement("LOC-1")
@both
def test_forwardedScheme(name: str) -> None:
    """
    Neither a forwarding header nor the origin decides on the scheme.
    """
    head = buildHead(name, {b"Origin": b"https://example.com"}, [(b"X-Forwarded-Proto", b"https")])
    assert reply(head)[-1].endswith(b"Location: ws://example.com/demo")


@pytest.mark.parametrize(
    "host",
    [
        case("LOC-3 B-30", host, name=ascii(host))
        for host in (b"", b"a:b", b"h:99999", b"h:", b"h:0", b"h:65536", b":80", b"h:-1", b"h:8 ,")
    ]
    + [
        case("LOC-6", host, name=ascii(host))
        for host in (b"a b", b"a/b", b"u@h", b"h\x7f", b"h\tx", b"\xe9", b"[::1", b"::1", b"[x]")
    ]
    + [case("B-32 LOC-6", host, name=ascii(host)) for host in (b"h\rx", b"h\nx", b"h\0x")],
)
@both
def test_badHost(name: str, host: bytes) -> None:
    """
    A host that cannot be in a URL is refused.
    """
    for settings in (Settings(), Settings(location="ws://example.com")):
        assert refusal(buildHead(name, {b"Host": host}), settings).status == 400


@pytest.mark.parametrize(
    "origin",
    [
        case("LOC-6 B-32", origin, name=ascii(origin))
        for origin in (b"a\rb", b"a\nb", b"a\0b", b"a\x7fb", b"a\tb")
    ],
)
@both
def test_badOrigin(name: str, origin: bytes) -> None:
    """
    An origin that cannot be echoed is refused.
    """
    assert refusal(buildHead(name, {b"Origin": origin})).status == 400


@pytest.mark.requirement("H75-S-03", "H76-S-04")
@pytest.mark.parametrize("origin", [b"http://A.b", b"null", b"file://", b"random1", b"\xc3\xa9"])
@both
def test_originEchoed(name: str, origin: bytes) -> None:
    """
    An accepted origin is echoed byte for byte.
    """
    assert reply(buildHead(name, {b"Origin": origin}))[3].endswith(b"-Origin: " + origin)


@pytest.mark.parametrize(
    ("allowed", "origin", "passes"),
    [
        ((), b"http://evil.example", True),
        (("*",), b"http://evil.example", True),
        (("http://example.com",), b"http://example.com", True),
        (("http://EXAMPLE.com",), b"http://Example.com", True),
        (("http://example.com",), b"http://example.com.evil.example", False),
        (("http://example.com",), b"http://examplexcom", False),
        (("http://example.com",), b"https://example.com", False),
        (("http://*.example.com",), b"http://a.b.example.com", True),
        (("http://*.example.com",), b"http://example.com", False),
        (("http://*.example.com",), b"http://evil/.example.com", False),
        (("http://a", "http://localhost:*"), b"http://localhost:8080", True),
        (("http://a", "http://localhost:*"), b"http://b", False),
        (("http://a",), b"null", False),
        (("file://", "null"), b"null", True),
        (("file://", "null"), b"file://", True),
    ],
)
@pytest.mark.requirement("H75-S-03", "H76-S-04", "B-29")
@both
def test_origins(name: str, allowed: tuple[str, ...], origin: bytes, passes: bool) -> None:
    """
    If origins are listed, all others get 403.
    """
    head = buildHead(name, {b"Origin": origin})
    settings = Settings(origins=allowed)
    if passes:
        connect(head, settings)
    else:
        assert refusal(head, settings).status == 403


@pytest.mark.requirement("H76-S-04")
def test_missingOrigin() -> None:
    """
    A setting admits Hixie-76 clients that send no origin; none is echoed then.
    """
    settings = Settings(allowMissingOrigin=True, origins=("http://a",))
    lines = reply(buildHead("hixie-76", {b"Origin": None}), settings)
    assert not any(b"Origin" in line for line in lines)
    assert refusal(buildHead("hixie-75", {b"Origin": None}), settings).status == 400


OLD, NEW = b"WebSocket-Protocol", b"Sec-WebSocket-Protocol"


@pytest.mark.parametrize(
    ("name", "fields", "chosen"),
    [
        case("H75-S-04", "hixie-75", {OLD: b"a"}, "a"),
        case("H75-S-04 H75-C-04", "hixie-75", {OLD: b"b c"}, "b c"),
        case("H75-S-04", "hixie-75", {}, None),
        case("H76-S-05", "hixie-76", {NEW: b"a"}, "a"),
        case("H76-S-05", "hixie-76", {NEW: b"b c"}, "b c"),
        case("H76-S-05", "hixie-76", {NEW: b"d,e"}, "d,e", name="whole value first"),
        case("H76-S-05", "hixie-76", {NEW: b"x,a,b c"}, "a", name="first that is spoken"),
        case("H76-S-05", "hixie-76", {NEW: b"x , b c"}, "b c", name="spaces around commas"),
        case("H76-S-05", "hixie-76", {}, None),
        case("H76-S-06", "hixie-76", {OLD: b"a"}, "a", name="older name"),
        case("H76-S-06", "hixie-76", {OLD: b"a", NEW: b"b c"}, "b c", name="both names"),
    ],
)
def test_subprotocol(name: str, fields: Mapping[bytes, bytes], chosen: str | None) -> None:
    """
    One subprotocol is agreed on, or none if none was asked for.
    """
    settings = Settings(subprotocols=("a", "b c", "d,e"))
    head = buildHead(name, {}, fields.items())
    assert chosen == connect(head, settings).subprotocol
    field = {"hixie-75": OLD, "hixie-76": NEW}[name]
    expected = [] if chosen is None else [field + b": " + chosen.encode()]
    assert expected == reply(head, settings)[5:]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        case("H75-S-04 B-37", "hixie-75", [(OLD, b"x")]),
        case("H75-S-04 B-37", "hixie-75", [(OLD, b"")]),
        case("H75-S-04", "hixie-75", [(OLD, b"a,b")], name="no list in 75"),
        case("H75-S-04", "hixie-75", [(OLD, b"A")], name="case matters"),
        case("H75-S-04", "hixie-75", [(OLD, b"a"), (OLD, b"a")], name="75 twice"),
        case("H76-S-05 B-37", "hixie-76", [(NEW, b"x")]),
        case("H76-S-05 B-37", "hixie-76", [(NEW, b"")]),
        case("H76-S-05 B-37", "hixie-76", [(NEW, b"x,y")]),
        case("H76-S-05", "hixie-76", [(NEW, b"a"), (NEW, b"b")], name="76 twice"),
        case("H76-S-06", "hixie-76", [(OLD, b"x")]),
    ],
)
def test_subprotocolRefused(name: str, fields: list[tuple[bytes, bytes]]) -> None:
    """
    A client that asks for unknown subprotocols would close the connection anyway.
    """
    for spoken in ((), ("a", "b")):
        expected = Settings(subprotocols=spoken)
        assert refusal(buildHead(name, {}, fields), expected).status == 400


def test_locationNeedsHost() -> None:
    """
    The location cannot be determined without a host.
    """
    head = parseHead(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(HandshakeError, match="no Host"):
        location(head, Settings(), False)


# Frames


def check(name: str, data: bytes, expected: Outcome, settings: Settings = Settings()) -> None:
    """
    Check the result of data, whole and cut anywhere, and of a message that follows it.
    """
    ended = bool(expected) and isinstance(expected[-1], (Closed, CloseCode))
    for pieces in (*cuts(data), *cuts(data + b"\x00tail\xff")):
        connection = openConnection(name, settings)
        tail: Outcome = () if ended or sum(map(len, pieces)) == len(data) else ("tail",)
        assert expected + tail == outcome(feed(connection, *pieces))
        assert connection.dataToSend() == b""


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        case(row.requirements, name, row.data, expected)
        for row in FRAMES
        for name, expected in zip(NAMES, row[2:], strict=True)
    ],
)
def test_frames(name: str, data: bytes, expected: Outcome) -> None:
    """
    Frames mean what the drafts say, however they are cut.
    """
    check(name, data, expected)


@pytest.mark.parametrize("row", [case(row.requirements, row) for row in STRICT])
def test_strict(row: Frames) -> None:
    """
    The strict setting ends a connection on what is otherwise discarded or repaired.
    """
    check("hixie-75", row.data, row.hixie75, Settings(strict=True))
    check("hixie-76", row.data, row.hixie76, Settings(strict=True))


@pytest.mark.requirement("U-01", "U-02", "U-03", "B-49")
@pytest.mark.parametrize(("payload", "text"), REPLACEMENTS)
@both
def test_illFormedText(name: str, payload: bytes, text: str) -> None:
    """
    Ill-formed UTF-8 is repaired as a browser would do it.
    """
    check(name, b"\x00" + payload + b"\xff", (text,))


@pytest.mark.requirement("F-02", "F-06", "F-08")
@pytest.mark.parametrize(("length", "encoded"), LENGTHS)
@both
def test_lengths(name: str, length: int, encoded: bytes) -> None:
    """
    A length is read in base 128, and that number of bytes is discarded, whatever they are.
    """
    payload = (b"\x00A\xff" * length)[:length]
    check(name, b"\x80" + encoded + payload + b"\x00A\xff", (Discarded(0x80), "A"))


@pytest.mark.requirement("B-46", "F-05")
@pytest.mark.parametrize("frame", [b"\x05a\xff", b"\x80\x01a", b"\x80\x00"])
@both
def test_manyDiscarded(name: str, frame: bytes) -> None:
    """
    A thousand discarded frames are reported once.
    """
    connection = openConnection(name)
    events = feed(connection, *[frame] * 1000, b"\x00A\xff")
    assert [Discarded(frame[0]), "A"] == events


@pytest.mark.requirement("B-45")
@pytest.mark.parametrize("start", [b"\x80\xc0\x80\x00", b"\x00abc", b"\x80\x80", b"\x05abc"])
@both
def test_stall(name: str, start: bytes) -> None:
    """
    A frame of an allowed length may take its time, and the rest of it still counts.
    """
    connection = openConnection(name)
    events = feed(connection, start)
    assert not any(isinstance(event, (Failed, Closed)) for event in events)
    assert not connection.finished
    assert not connection.clean


@pytest.mark.parametrize(
    ("before", "after"),
    [
        case("L-01 L-02 B-41", b"\x00", b"\xff", name="text"),
        case("L-01 L-02", b"\x05", b"\xff", name="discarded by end"),
        case("L-01 L-02", b"\x80", b"", name="discarded by length"),
    ],
)
@both
def test_limit(name: str, before: bytes, after: bytes) -> None:
    """
    A frame of just the limit passes; one byte more ends the connection before the frame ends.
    """
    settings = Settings(maxMessage=10)
    for size, passes in ((10, True), (11, False)):
        length = bytes([size]) if before == b"\x80" else b""
        data = before + length + b"x" * size
        for pieces in cuts(data):
            events = feed(openConnection(name, settings), *pieces)
            failed = bool(events) and isinstance(events[-1], Failed)
            assert failed is not passes
            assert passes or outcome(events)[-1] == CloseCode.TOO_BIG
        for pieces in cuts(data + after + b"\x00hi\xff"):
            events = feed(openConnection(name, settings), *pieces)
            assert ("hi" in events) is passes


@pytest.mark.requirement("L-01")
@both
def test_limitOfEach(name: str) -> None:
    """
    The limit applies to one message, not to several in a segment.
    """
    connection = openConnection(name, Settings(maxMessage=10))
    assert feed(connection, (b"\x00" + b"x" * 10 + b"\xff") * 3) == ["x" * 10] * 3


@pytest.mark.requirement("CL-07")
def test_limitWhileClosing() -> None:
    """
    The limit stays in force while the peer's closing frame is awaited.
    """
    connection = openConnection("hixie-76", Settings(maxMessage=10))
    connection.sendClose()
    [event] = feed(connection, b"\x00" + b"x" * 11)
    assert isinstance(event, Failed)
    assert connection.finished


@pytest.mark.requirement("L-02", "CL-01")
@pytest.mark.parametrize(("name", "sent"), [("hixie-75", b""), ("hixie-76", b"\xff\x00")])
def test_failure(name: str, sent: bytes) -> None:
    """
    After a failure Hixie-76 sends its closing frame and waits for nothing; Hixie-75 sends none.
    """
    connection = openConnection(name)
    feed(connection, b"\x80" * 9)
    connection.sendClose(CloseCode.PROTOCOL_ERROR, "why")
    assert sent == connection.dataToSend()
    assert connection.finished
    assert not connection.clean


# Sending


@pytest.mark.requirement("F-01", "F-10", "F-11", "U-04", "U-05")
@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ("Hello", b"\x00Hello\xff"),
        ("", b"\x00\xff"),
        ("\u00ff\0\U0001f600\ufeff", b"\x00\xc3\xbf\x00\xf0\x9f\x98\x80\xef\xbb\xbf\xff"),
    ],
)
@both
def test_sendText(name: str, text: str, frame: bytes) -> None:
    """
    Text goes out as UTF-8 between its two bytes.
    """
    connection = openConnection(name)
    assert connection.sendText(text)
    assert frame == connection.dataToSend()
    assert frame == frameText(text)


@pytest.mark.requirement("F-12", "U-05", "U-06", "B-50")
@both
def test_sendNonsense(name: str) -> None:
    """
    A message that is not text raises, and nothing is sent; the connection stays usable.
    """
    connection = openConnection(name)
    with pytest.raises(UnicodeEncodeError):
        connection.sendText("a\ud800")
    with pytest.raises(TypeError):
        connection.sendText(b"\xff\x00evil")  # type: ignore[arg-type]
    with pytest.raises(UnsupportedMessage, match=f"{name} carries text only"):
        connection.sendBytes(b"\xff")
    assert connection.dataToSend() == b""
    connection.sendText("a")
    assert connection.dataToSend() == b"\x00a\xff"


@pytest.mark.requirement("F-01", "CL-08")
@both
def test_sendPing(name: str) -> None:
    """
    There is no ping to send.
    """
    connection = openConnection(name)
    connection.sendPing(b"x")
    assert connection.dataToSend() == b""


# The closing handshake


@pytest.mark.requirement("CL-01", "CL-06")
def test_close75() -> None:
    """
    Hixie-75 ends with TCP: clean between frames, unclean within one, and no frame is sent.
    """
    connection = openConnection("hixie-75")
    assert connection.clean
    feed(connection, b"\x00par")
    assert not connection.clean
    connection.sendClose(CloseCode.GOING_AWAY, "bye")
    assert connection.finished
    assert connection.clean
    assert connection.dataToSend() == b""


@pytest.mark.requirement("CL-02", "CL-03", "CL-08", "B-47")
@pytest.mark.parametrize("data", [b"\xff\x00", b"\xff\x00\xff\x00", b"\xff\x00\x00late\xff"])
def test_peerCloses76(data: bytes) -> None:
    """
    A closing frame is reported once and answered once, and the rest is not read.
    """
    for pieces in cuts(data):
        connection = openConnection("hixie-76")
        assert feed(connection, *pieces) == [CLOSED]
        assert not connection.finished
        connection.sendClose(CLOSED.code, CLOSED.reason)
        connection.sendClose()
        assert connection.dataToSend() == b"\xff\x00"
        assert connection.finished
        assert connection.clean


@pytest.mark.requirement("CL-02", "CL-08", "CL-07")
def test_serverCloses76() -> None:
    """
    Our closing frame is the last we send; the connection is over when the peer's has arrived.
    """
    connection = openConnection("hixie-76")
    connection.sendText("last")
    connection.sendClose()
    assert not connection.sendText("late")
    assert connection.dataToSend() == b"\x00last\xff\xff\x00"
    assert not connection.finished
    feed(connection, b"\x00ignored\xff")
    assert feed(connection, b"\xff\x00") == [CLOSED]
    assert connection.finished
    assert connection.clean
    assert connection.dataToSend() == b""


@pytest.mark.requirement("CL-06")
def test_lostWithoutClose76() -> None:
    """
    Hixie-76 is not clean without closing frames both ways.
    """
    connection = openConnection("hixie-76")
    assert not connection.clean
    connection.sendClose()
    assert not connection.clean


@pytest.mark.requirement("KEY3-4", "B-51", "CL-04")
def test_closeBeforeNonce() -> None:
    """
    A close before the nonce waits for the answer to it, and comes after earlier messages.
    """
    connection = connect(buildHead("hixie-76"))
    connection.accept()
    connection.dataToSend()
    connection.sendText("a")
    connection.sendClose()
    assert not connection.sendText("b")
    assert connection.dataToSend() == b""
    assert [Opened()] == feed(connection, NONCE)
    assert connection.dataToSend() == ANSWER + b"\x00a\xff\xff\x00"
    assert not connection.finished
