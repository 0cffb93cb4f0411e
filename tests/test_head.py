"""A request head as a value, and the answer that refuses it."""

from __future__ import annotations

import pytest

from tests.support import buildHead, case, parseHead
from txhixie.dialects.head import HandshakeError, RequestHead


@pytest.mark.requirement("D-03")
def test_parse() -> None:
    """
    Names lose their case, values the white space around them, and repeated fields stay apart.
    """
    raw = b"GET /demo?a=b HTTP/1.1\r\nHOST: example.com\r\nX:\t 1  2 \t\r\nEmpty:\r\nx: a:b\r\n\r\n"
    head = parseHead(raw)
    assert (head.method, head.target, head.version) == (b"GET", b"/demo?a=b", b"HTTP/1.1")
    assert head.fields == {b"host": [b"example.com"], b"x": [b"1  2", b"a:b"], b"empty": [b""]}
    assert raw == head.raw
    assert head.flaw == ""


@pytest.mark.parametrize(
    "raw",
    [
        case("D-05 B-04", b"GET /demo\r\n\r\n", name="two words"),
        case("D-05 B-04", b"GET /demo HTTP/1.1 x\r\n\r\n", name="four words"),
        case("D-05 B-04", b"GET  /demo HTTP/1.1\r\n\r\n", name="two spaces"),
        case("D-05", b"\r\n\r\n", name="nothing"),
        case("B-33", b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", name="folded by space"),
        case("B-33", b"GET / HTTP/1.1\r\nA: b\r\n\tc: d\r\n\r\n", name="folded by tab"),
        case("B-33", b"GET / HTTP/1.1\r\nAb\r\n\r\n", name="no colon"),
        case("B-33", b"GET / HTTP/1.1\r\n: b\r\n\r\n", name="empty name"),
        case("B-33", b"GET / HTTP/1.1\r\nA : b\r\n\r\n", name="space before colon"),
        case("B-33", b"GET / HTTP/1.1\r\nA(: b\r\n\r\n", name="no token"),
        case("B-34", b"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n", name="bare LF"),
        case("B-32 LOC-6", b"GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n", name="bare CR"),
        case("B-32 LOC-6", b"GET / HTTP/1.1\r\nA: b\0\r\n\r\n", name="NUL"),
        case("K-13", b"GET / HTTP/1.1\r\nA: b\x1fc\r\n\r\n", name="control character"),
    ],
)
def test_flaw(raw: bytes) -> None:
    """
    Bad syntax is reported and not raised, and refuses an upgrade with 400.
    """
    head = parseHead(raw)
    assert head.flaw
    assert head.raw == raw
    with pytest.raises(HandshakeError) as raised:
        head.checkUpgrade()
    assert (400, head.flaw) == (raised.value.status, raised.value.text)


def test_firstFlaw() -> None:
    """
    Of several flaws the first is reported.
    """
    assert "request line" in parseHead(b"GET\r\nA\r\nB: \0\r\n\r\n").flaw


def test_single() -> None:
    """
    A field that may be sent once is its value, or absent, or an error.
    """
    head = parseHead(b"GET / HTTP/1.1\r\nA: b\r\nC: d\r\nc: d\r\n\r\n")
    assert head.single(b"a") == b"b"
    assert head.single(b"b") is None
    with pytest.raises(HandshakeError, match="more than one c header field"):
        head.single(b"c")


@pytest.mark.requirement("D-07", "D-08")
def test_tokens() -> None:
    """
    A list is read over all lines of its field, whatever the case and the white space.
    """
    head = parseHead(b"GET / HTTP/1.1\r\nA: b ,\tC,,d e\r\nB: x\r\nA: F\r\n\r\n")
    assert list(head.tokens(b"a")) == [b"b", b"c", b"", b"d e", b"f"]
    assert list(head.tokens(b"c")) == []


@pytest.mark.requirement("D-07")
@pytest.mark.parametrize(
    ("upgrade", "asks"),
    [
        (b"WebSocket", True),
        (b"websocket", True),
        (b"h2c, WEBSOCKET", True),
        (b"h2c", False),
        (b"websockets", False),
        (b"web socket", False),
        (b"", False),
        (None, False),
    ],
)
def test_asksForUpgrade(upgrade: bytes | None, asks: bool) -> None:
    """
    Only a request with the word websocket in its Upgrade list asks for one.
    """
    assert asks is parseHead(buildHead("hixie-75", {b"Upgrade": upgrade})).asksForUpgrade


@pytest.mark.parametrize(
    ("requestLine", "status"),
    [
        case("D-04 B-01", b"POST /demo HTTP/1.1", 405),
        case("D-04", b"get /demo HTTP/1.1", 405),
        case("D-06 B-02", b"GET /demo HTTP/1.0", 400),
        case("D-06", b"GET /demo HTTP/2.0", 400),
        case("D-06", b"GET /demo http/1.1", 400),
        case("D-05 B-03", b"GET * HTTP/1.1", 400),
        case("D-05 B-03", b"GET /demo#part HTTP/1.1", 400),
        case("D-05", b"GET demo HTTP/1.1", 400),
        case("D-05 LOC-6 B-32", b"GET /de\rmo HTTP/1.1", 400),
        case("D-05 LOC-6", b"GET /de\tmo HTTP/1.1", 400),
        case("D-05 LOC-6", b"GET /de\x7fmo HTTP/1.1", 400),
        case("D-05", "GET /d\u00e9mo HTTP/1.1".encode(), 400),
    ],
)
def test_requestLine(requestLine: bytes, status: int) -> None:
    """
    A WebSocket is opened with GET, an absolute path and HTTP/1.1.
    """
    with pytest.raises(HandshakeError) as raised:
        parseHead(buildHead("hixie-75", requestLine=requestLine)).checkUpgrade()
    assert status == raised.value.status
    assert (b"Allow: GET\r\n" in raised.value.response()) is (status == 405)


@pytest.mark.requirement("D-05")
def test_targets() -> None:
    """
    Every printable ASCII character but the number sign may be in a target.
    """
    target = b"/" + bytes(byte for byte in range(0x21, 0x7F) if byte != ord("#"))
    RequestHead(b"GET", target, b"HTTP/1.1", {b"connection": [b"upgrade"]}, b"").checkUpgrade()


@pytest.mark.parametrize(
    ("connection", "accepted"),
    [
        case("D-08", b"Upgrade", True),
        case("D-08 B-07", b"keep-alive, Upgrade", True),
        case("D-08 B-07", b"UPGRADE", True),
        case("D-08 B-06 H75-S-05", b"close", False),
        case("D-08 B-06", b"no-upgrade", False),
        case("D-08 B-06", None, False),
    ],
)
def test_connectionField(connection: bytes | None, accepted: bool) -> None:
    """
    The Connection list has to hold the word upgrade.
    """
    head = parseHead(buildHead("hixie-75", {b"Connection": connection}))
    assert head.lostField == (None if accepted else "Connection")


@pytest.mark.requirement("D-05")
@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        (b"http://h/echo?x", b"/echo?x", b"h"),
        (b"WSS://h:8443", b"/", b"h:8443"),
        (b"https://[::1]:1?x", b"/?x", b"[::1]:1"),
        (b"/echo", b"/echo", b"example.com"),
        (b"ftp://h/echo", b"ftp://h/echo", b"example.com"),
    ],
)
def test_originForm(target: bytes, path: bytes, host: bytes) -> None:
    """
    The host of an absolute target replaces the Host field (RFC 9112 section 3.2.2).
    """
    head = parseHead(buildHead("rfc6455", requestLine=b"GET " + target + b" HTTP/1.1"))
    changed = head.inOriginForm()
    assert (changed.target, changed.fields[b"host"]) == (path, [host])
    assert head.isAbsolute is (target != path)


@pytest.mark.requirement("D-08")
def test_connectionLines() -> None:
    """
    Several Connection lines are one list.
    """
    parseHead(
        buildHead("hixie-75", {b"Connection": b"close"}, [(b"connection", b"Upgrade")])
    ).checkUpgrade()


@pytest.mark.parametrize(
    ("error", "response"),
    [
        (
            HandshakeError(400, "sch\u00f6n"),
            b"HTTP/1.1 400 Bad Request\r\n"
            b"Content-Type: text/plain; charset=utf-8\r\n"
            b"Content-Length: 7\r\n"
            b"Connection: close\r\n"
            b"\r\n"
            b"sch\xc3\xb6n\n",
        ),
        (
            HandshakeError(426, headers=[(b"Upgrade", b"websocket"), (b"A", b"b")]),
            b"HTTP/1.1 426 Upgrade Required\r\n"
            b"Upgrade: websocket\r\n"
            b"A: b\r\n"
            b"Content-Type: text/plain; charset=utf-8\r\n"
            b"Content-Length: 17\r\n"
            b"Connection: Upgrade, close\r\n"
            b"\r\n"
            b"Upgrade Required\n",
        ),
        (
            HandshakeError(499, "\ud800"),
            b"HTTP/1.1 499 Refused\r\n"
            b"Content-Type: text/plain; charset=utf-8\r\n"
            b"Content-Length: 2\r\n"
            b"Connection: close\r\n"
            b"\r\n"
            b"?\n",
        ),
    ],
    ids=["text", "headers", "unknown status"],
)
def test_response(error: HandshakeError, response: bytes) -> None:
    """
    A refusal is a whole HTTP answer that announces the end of the connection.
    """
    assert response == error.response()


@pytest.mark.parametrize("status", [101, 200, 399, 600])
def test_noErrorStatus(status: int) -> None:
    """
    A refusal with a status that is no error is a mistake.
    """
    with pytest.raises(ValueError, match=f"{status} is not"):
        HandshakeError(status)
