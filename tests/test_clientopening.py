"""The client's half of each opening handshake, in bytes."""

from __future__ import annotations

from base64 import b64decode
from random import Random
from typing import Any

import pytest

from tests.support import case, clientFrame
from tests.vectors.hixie import CHALLENGES, Challenge
from txhixie import NotWebSocket, OpeningError, WrongAnswer, WrongChallenge
from txhixie.dialects import hixie_opening
from txhixie.dialects.choosing import CLIENTS, DIALECTS, forClient
from txhixie.dialects.head import ResponseHead
from txhixie.dialects.hixie_opening import keyNumber, makeKey
from txhixie.dialects.opening import ClientOpening, Wish
from txhixie.dialects.url import WebSocketURL
from txhixie.settings import DIALECT_NAMES, Settings

# RFC 6455 section 1.3.
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


class Fixed(Random):
    """A random generator that always returns the same."""

    def __init__(self, data: bytes) -> None:
        super().__init__(1)
        self._data = data

    def randbytes(self, n: int) -> bytes:
        assert n == len(self._data)
        return self._data


def opening(
    dialect: str,
    url: str = "ws://example.com/demo",
    settings: Settings = Settings(),
    random: Random | None = None,
    **wish: Any,
) -> ClientOpening:
    """@return: the opening of a client that asks for something."""
    data = KEY if random is None else b""
    return forClient(dialect)(
        Wish(WebSocketURL.parse(url), **wish), settings, random or Fixed(_nonce(dialect, data))
    )


def _nonce(dialect: str, key: bytes) -> bytes:
    return b"^n:ds[4U" if dialect == "hixie-76" else b64decode(key)


def head(*lines: bytes) -> ResponseHead:
    """@return: the head of an answer."""
    return ResponseHead.parse([*lines])


def changed(lines: tuple[bytes, ...], old: bytes, new: bytes | None) -> list[bytes]:
    """@return: the lines with one of them changed, or left out."""
    assert old in lines
    return [kept for line in lines if (kept := new if line == old else line) is not None]


def test_table() -> None:
    """Every dialect has both halves."""
    assert set(CLIENTS) == {each.dialect for each in DIALECTS} == set(DIALECT_NAMES)
    with pytest.raises(ValueError, match="'hixie-77' is none of hixie-75, hixie-76"):
        forClient("hixie-77")


# The URL


@pytest.mark.parametrize(
    ("text", "location", "authority", "origin"),
    [
        ("ws://example.com", b"ws://example.com/", b"example.com", b"http://example.com"),
        ("WS://Example.COM:80/A", b"ws://example.com/A", b"example.com", b"http://example.com"),
        ("wss://h:443/?", b"wss://h/?", b"h", b"https://h"),
        ("wss://h:80/", b"wss://h:80/", b"h:80", b"https://h:80"),
        ("ws://h?a=b", b"ws://h/?a=b", b"h", b"http://h"),
        ("ws://[::1]:8000/", b"ws://[::1]:8000/", b"[::1]:8000", b"http://[::1]:8000"),
        ("ws://h/%41 b\u00fc", b"ws://h/%41%20b%C3%BC", b"h", b"http://h"),
        (
            "ws://b\u00fccher.example:1/",
            *[b"ws://xn--bcher-kva.example:1/"],
            *[b"xn--bcher-kva.example:1", b"http://xn--bcher-kva.example:1"],
        ),
    ],
)
def test_url(text: str, location: bytes, authority: bytes, origin: bytes) -> None:
    """A URL is compared in one form: H75-C-02, H75-C-03."""
    url = WebSocketURL.parse(text)
    assert (url.location, url.authority, url.origin) == (location, authority, origin)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://example.com/",
        "example.com",
        "ws:/h/",
        "ws:///path",
        "ws://h/#fragment",
        "ws://user:secret@h/",
        "ws://h:0/",
        "ws://h:65536/",
        "ws://h:/",
        "ws://h/a\r\nb",
        "ws://a b/",
        "ws://\u00fc..example/",
    ],
)
def test_noURL(text: str) -> None:
    """Anything that is not the URL of a WebSocket is refused before anything is sent."""
    with pytest.raises(ValueError, match=r"not|no proper|control"):
        WebSocketURL.parse(text)


@pytest.mark.parametrize("dialect", DIALECT_NAMES)
@pytest.mark.parametrize(
    "wish",
    [
        {"headers": ((b"Host", b"other"),)},
        {"headers": ((b"sec-websocket-Key1", b"1 2"),)},
        {"headers": ((b"WebSocket-Protocol", b"x"),)},
        {"headers": ((b"Cookie", b"a\r\nb: c"),)},
        {"headers": ((b"A B", b"c"),)},
        {"origin": "http://a b"},
        {"origin": "http://h\u00fc"},
        {"subprotocols": ("",)},
        {"subprotocols": ("a\r\nb",)},
        {"subprotocols": ("a", "a")},
    ],
)
def test_noWish(dialect: str, wish: Any) -> None:
    """No argument can break or shadow the request."""
    with pytest.raises(ValueError, match="not"):
        opening(dialect, **wish)


# Hixie-75

REPLY75 = (
    b"HTTP/1.1 101 Web Socket Protocol Handshake",
    b"Upgrade: WebSocket",
    b"Connection: Upgrade",
    b"WebSocket-Origin: http://example.com",
    b"WebSocket-Location: ws://example.com/demo",
    b"WebSocket-Protocol: a b",
)


@pytest.mark.requirement("H75-C-01", "H75-C-04")
def test_request75() -> None:
    """The request is the draft's, byte for byte."""
    client = opening(
        "hixie-75",
        "ws://Example.com:8080/demo?x=1",
        origin="http://Page.example",
        subprotocols=("a b",),
        headers=((b"Cookie", b"a=b"),),
    )
    assert client.request() == (
        b"GET /demo?x=1 HTTP/1.1\r\n"
        b"Upgrade: WebSocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Host: example.com:8080\r\n"
        b"Origin: http://page.example\r\n"
        b"WebSocket-Protocol: a b\r\n"
        b"Cookie: a=b\r\n"
        b"\r\n"
    )


@pytest.mark.requirement("H75-C-09", "H75-C-10")
@pytest.mark.parametrize(
    "extra", [(), (b"server:x",), (b"Odd name: y", b"Set-Cookie: a=b"), (b"Empty:",)]
)
def test_reply75(extra: tuple[bytes, ...]) -> None:
    """After the first 85 bytes fields come in any order and case, with or without a space."""
    client = opening("hixie-75", subprotocols=("a b",))
    client.check(head(*REPLY75[:3], *extra, b"webSOCKET-protocol:a b", *REPLY75[3:5]))
    assert client.subprotocol == "a b"
    assert client.connection().dialect == "hixie-75"


def test_unasked75() -> None:
    """A subprotocol that was not asked for is ignored."""
    client = opening("hixie-75")
    client.check(head(*REPLY75))
    assert client.subprotocol is None


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        case("H75-C-07", REPLY75[0], b"HTTP/1.1 101 WebSocket Protocol Handshake", NotWebSocket),
        case("H75-C-07", REPLY75[0], b"HTTP/1.0 101 Web Socket Protocol Handshake", NotWebSocket),
        case("H75-C-08", REPLY75[1], b"Upgrade: websocket", NotWebSocket),
        case("H75-C-08", REPLY75[1], b"upgrade: WebSocket", NotWebSocket),
        case("H75-C-08", REPLY75[1], b"Date: now\r\nUpgrade: WebSocket", NotWebSocket),
        case("H75-C-08", REPLY75[2], None, NotWebSocket),
        case("H75-C-09", REPLY75[5], b"no colon", NotWebSocket),
        case("H75-C-09", REPLY75[5], b": no name", NotWebSocket),
        case("H75-C-09", REPLY75[5], b"a\nb: c", NotWebSocket),
        case("H75-C-09", REPLY75[5], b"a\rb: c", NotWebSocket),
        case("H75-C-10", REPLY75[3], b"WebSocket-Origin:  http://example.com", WrongAnswer),
        case("H75-C-10", REPLY75[3], b"WebSocket-Origin: http://example.com ", WrongAnswer),
        case("H75-C-10", REPLY75[3], b"WebSocket-Origin: http://Example.com", WrongAnswer),
        case("H75-C-10", REPLY75[3], b"Sec-WebSocket-Origin: http://example.com", WrongAnswer),
        case("H75-C-10", REPLY75[4], b"WebSocket-Location: wss://example.com/demo", WrongAnswer),
        case("H75-C-10", REPLY75[4], b"WebSocket-Location: ws://example.com:80/demo", WrongAnswer),
        case("H75-C-10", REPLY75[4], None, WrongAnswer),
        case("H75-C-10", REPLY75[5], REPLY75[4], WrongAnswer),
        case("H75-C-10", REPLY75[5], b"WebSocket-Protocol: A b", WrongAnswer),
        case("H75-C-10", REPLY75[5], None, WrongAnswer),
    ],
)
def test_wrong75(old: bytes, new: bytes | None, error: type[OpeningError]) -> None:
    """Every check of the draft fails with an error of its kind."""
    client = opening("hixie-75", subprotocols=("a b",))
    with pytest.raises(error):
        client.check(head(*changed(REPLY75, old, new)))


# Hixie-76

REPLY76 = (
    b"HTTP/1.1 101 WebSocket Protocol Handshake",
    b"Upgrade: WebSocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Origin: http://example.com",
    b"Sec-WebSocket-Location: ws://example.com/demo",
    b"Sec-WebSocket-Protocol: sample",
)


@pytest.mark.requirement("H76-C-02")
@pytest.mark.parametrize("seed", range(200))
def test_keys(seed: int) -> None:
    """A key is made as the draft says, and holds its number."""
    key, number = makeKey(Random(seed))
    assert keyNumber(key) == number
    spaces = key.count(b" ")
    digits = bytes(byte for byte in key if byte in b"0123456789")
    noise = [byte for byte in key if byte not in b"0123456789 "]
    assert 1 <= spaces <= 12
    assert key.strip(b" ") == key
    assert digits == b"%d" % (number * spaces)
    assert number * spaces < 2**32
    assert 1 <= len(noise) <= 12
    assert all(0x21 <= byte <= 0x2F or 0x3A <= byte <= 0x7E for byte in noise)


def test_chance() -> None:
    """No two requests have the same keys, nonce and order of fields."""
    requests = [
        forClient("hixie-76")(Wish(WebSocketURL.parse("ws://h/")), Settings()).request()
        for _ in range(20)
    ]
    assert len(set(requests)) == 20
    orders = {tuple(line.partition(b":")[0] for line in each.split(b"\r\n")) for each in requests}
    assert len(orders) > 5


@pytest.mark.requirement("H76-C-01")
def test_request76() -> None:
    """The fields are those of the draft, in any order; the nonce follows the head."""
    client = opening("hixie-76", subprotocols=("sample",), headers=((b"Cookie", b"a=b"),))
    start, _, nonce = client.request().partition(b"\r\n\r\n")
    assert nonce == b"^n:ds[4U"
    line, *fields = start.split(b"\r\n")
    assert line == b"GET /demo HTTP/1.1"
    assert sorted(field for field in fields if b"-Key" not in field) == [
        b"Connection: Upgrade",
        b"Cookie: a=b",
        b"Host: example.com",
        b"Origin: http://example.com",
        b"Sec-WebSocket-Protocol: sample",
        b"Upgrade: WebSocket",
    ]
    assert sorted(field[:20] for field in fields if b"-Key" in field) == [
        b"Sec-WebSocket-Key1: ",
        b"Sec-WebSocket-Key2: ",
    ]


@pytest.mark.requirement("H76-C-04")
@pytest.mark.parametrize("challenge", CHALLENGES, ids=lambda each: each.source)
def test_challenge(monkeypatch: pytest.MonkeyPatch, challenge: Challenge) -> None:
    """Of the 16 bytes after the head only the published ones are right."""
    keys = iter([(challenge.key1, challenge.part1), (challenge.key2, challenge.part2)])
    monkeypatch.setattr(hixie_opening, "makeKey", lambda _random: next(keys))
    client = opening("hixie-76", random=Fixed(challenge.nonce))
    assert b"Sec-WebSocket-Key1: " + challenge.key1 + b"\r\n" in client.request()
    client.check(head(*REPLY76))
    client.complete(challenge.answer)
    assert client.connection().dialect == "hixie-76"
    for at in (0, 15):
        wrong = bytearray(challenge.answer)
        wrong[at] ^= 1
        with pytest.raises(WrongChallenge) as raised:
            client.complete(bytes(wrong))
        assert raised.value.answer == wrong


@pytest.mark.requirement("H76-C-04")
@pytest.mark.parametrize(
    "changes",
    [
        (REPLY76[0], b"HTTP/1.0 101 whatever"),
        (REPLY76[0], b"X 101 "),
        (REPLY76[2], b"Connection: UPGRADE"),
        (REPLY76[3], b"SEC-websocket-ORIGIN:http://example.com"),
    ],
)
def test_reply76(changes: tuple[bytes, bytes]) -> None:
    """Version and phrase are free, and fields come in any order and case."""
    client = opening("hixie-76", subprotocols=("sample",))
    line, *fields = changed(REPLY76, *changes)
    client.check(head(line, *reversed(fields), b"Other: x"))
    assert client.subprotocol == "sample"


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        case("H76-C-04", REPLY76[0], b"HTTP/1.1 101", NotWebSocket),
        case("H76-C-04", REPLY76[1], b"Upgrade: websocket", NotWebSocket),
        case("H76-C-04", REPLY76[1], None, NotWebSocket),
        case("H76-C-04", REPLY76[2], REPLY76[1], NotWebSocket),
        case("H76-C-04", REPLY76[2], b"Connection: keep-alive, Upgrade", NotWebSocket),
        case("H76-C-04", REPLY76[5], b": no name", NotWebSocket),
        case("H76-C-04", REPLY76[5], REPLY76[2], NotWebSocket),
        case("H76-C-04", REPLY76[3], b"WebSocket-Origin: http://example.com", WrongAnswer),
        case("H76-C-04", REPLY76[3], b"Sec-WebSocket-Origin: null", WrongAnswer),
        case("H76-C-04", REPLY76[4], b"Sec-WebSocket-Location: ws://example.com/", WrongAnswer),
        case("H76-C-04", REPLY76[5], REPLY76[4], WrongAnswer),
        case("H76-C-04", REPLY76[5], b"Sec-WebSocket-Protocol: None", WrongAnswer),
        case("H76-C-04", REPLY76[5], None, WrongAnswer),
    ],
)
def test_wrong76(old: bytes, new: bytes | None, error: type[OpeningError]) -> None:
    """Every check of the draft fails with an error of its kind."""
    client = opening("hixie-76", subprotocols=("sample",))
    with pytest.raises(error):
        client.check(head(*changed(REPLY76, old, new)))


def test_saidWrong() -> None:
    """An error contains what the server sent, and what it should have sent."""
    client = opening("hixie-76")
    with pytest.raises(WrongAnswer) as raised:
        client.check(head(*REPLY76[:4], b"Sec-WebSocket-Location: ws://other/\x1b" + b"x" * 500))
    assert raised.value.field == b"Sec-WebSocket-Location"
    assert raised.value.value == b"ws://other/\x1b" + b"x" * 500
    assert str(raised.value) == (
        "the Sec-WebSocket-Location of the answer is "
        f"'ws://other/\\x1b{'x' * 88}'..., not 'ws://example.com/demo'"
    )


@pytest.mark.parametrize("dialect", ["hixie-75", "hixie-76"])
def test_oneSubprotocol(dialect: str) -> None:
    """The Hixie dialects ask for one subprotocol at most."""
    with pytest.raises(ValueError, match="asks for one subprotocol"):
        opening(dialect, subprotocols=("a", "b"))


# Versions 7, 8 and 13

REPLY13 = (
    b"HTTP/1.1 101 Switching Protocols",
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Accept: " + ACCEPT,
)
VERSIONS = [
    ("hybi-07", b"7", b"Sec-WebSocket-Origin"),
    ("hybi-08", b"8", b"Sec-WebSocket-Origin"),
    ("rfc6455", b"13", b"Origin"),
]
versions = pytest.mark.parametrize("dialect", [dialect for dialect, *_ in VERSIONS])


@pytest.mark.parametrize(("dialect", "version", "origin"), VERSIONS)
def test_request13(dialect: str, version: bytes, origin: bytes) -> None:
    """The request is that of RFC 6455, with the version and the origin of the draft."""
    client = opening(
        dialect,
        origin="http://example.com",
        subprotocols=("chat", "superchat"),
        headers=((b"Cookie", b"a=b"),),
    )
    assert client.request() == (
        b"GET /demo HTTP/1.1\r\n"
        b"Host: example.com\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Key: " + KEY + b"\r\n"
        b"Sec-WebSocket-Version: " + version + b"\r\n" + origin + b": http://example.com\r\n"
        b"Sec-WebSocket-Protocol: chat, superchat\r\n"
        b"Cookie: a=b\r\n"
        b"\r\n"
    )


@versions
def test_reply13(dialect: str) -> None:
    """The answer of RFC 6455 opens a client's connection, which masks what it sends."""
    client = opening(dialect, subprotocols=("chat", "superchat"))
    client.check(head(*REPLY13, b"Sec-WebSocket-Protocol: superchat"))
    connection = client.connection()
    assert (connection.dialect, client.subprotocol) == (dialect, "superchat")
    connection.sendText("hello")
    sent = connection.dataToSend()
    assert sent[:2] == clientFrame(0x81, b"hello")[:2]
    assert len(sent) == 2 + 4 + 5


@versions
@pytest.mark.parametrize(
    "lines",
    [
        REPLY13,
        (*REPLY13[:1], b"upgrade: WebSocket", b"connection: keep-alive, upgrade", REPLY13[3]),
        (b"HTTP/1.1 101", *REPLY13[1:]),
    ],
)
def test_lenient13(dialect: str, lines: tuple[bytes, ...]) -> None:
    """Case, lists and the phrase are free; no subprotocol is an answer, too."""
    client = opening(dialect, subprotocols=("chat",))
    client.check(head(*lines))
    assert client.subprotocol is None


@versions
@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (REPLY13[0], b"HTTP/1.0 101 Switching Protocols", NotWebSocket),
        (REPLY13[1], b"Upgrade: h2c", NotWebSocket),
        (REPLY13[1], b"Upgrade: websocket, h2c", NotWebSocket),
        (REPLY13[1], b"no colon", NotWebSocket),
        (REPLY13[1], None, NotWebSocket),
        (REPLY13[2], b"Connection: close", NotWebSocket),
        (REPLY13[2], b"Connection: no-upgrade", NotWebSocket),
        (REPLY13[3], b"Sec-WebSocket-Accept: " + KEY, WrongChallenge),
        (REPLY13[3], b"Sec-WebSocket-Accept: " + ACCEPT.lower(), WrongChallenge),
        (REPLY13[3], b"Sec-WebSocket-Accept: %b, %b" % (ACCEPT, ACCEPT), WrongChallenge),
        (REPLY13[3], None, WrongChallenge),
    ],
)
def test_wrong13(dialect: str, old: bytes, new: bytes | None, error: type[OpeningError]) -> None:
    """Every check of RFC 6455 section 4.1 fails with an error of its kind."""
    with pytest.raises(error):
        opening(dialect).check(head(*changed(REPLY13, old, new)))


@versions
@pytest.mark.parametrize(
    "lines",
    [
        [b"Sec-WebSocket-Protocol: other"],
        [b"Sec-WebSocket-Protocol: Chat"],
        [b"Sec-WebSocket-Protocol: chat, superchat"],
        [b"Sec-WebSocket-Protocol: chat", b"Sec-WebSocket-Protocol: superchat"],
        [b"Sec-WebSocket-Protocol:"],
        [b"Sec-WebSocket-Extensions: permessage-deflate"],
        [b"Sec-WebSocket-Extensions: x-other"],
    ],
)
def test_unasked13(dialect: str, lines: list[bytes]) -> None:
    """Only what was asked for can be agreed on."""
    client = opening(dialect, subprotocols=("chat", "superchat"))
    with pytest.raises(WrongAnswer):
        client.check(head(*REPLY13, *lines))


COMPRESSING = Settings(compression=True)


def test_offer() -> None:
    """Compression is offered if so set."""
    request = opening("rfc6455", settings=COMPRESSING).request()
    assert (
        b"\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    ) in request
    assert b"Extensions" not in opening("rfc6455").request()


@pytest.mark.parametrize(
    ("answer", "isAgreed"),
    [
        (b"permessage-deflate", True),
        (b"permessage-deflate; server_max_window_bits=12", True),
        (b"permessage-deflate; client_max_window_bits=9", True),
        (b"permessage-deflate; client_max_window_bits=15", True),
        (b"permessage-deflate; client_no_context_takeover", True),
        (b"permessage-deflate; server_max_window_bits=10; client_max_window_bits=9", True),
        (b"permessage-deflate; server_max_window_bits=9; server_no_context_takeover", True),
        (b"permessage-deflate; client_max_window_bits", False),
        (b"permessage-deflate; client_max_window_bits=16", False),
        # RFC 7692 allows it, but zlib does not have it.
        (b"permessage-deflate; client_max_window_bits=8", False),
        (b"permessage-deflate; server_max_window_bits=7", False),
        (b"permessage-deflate; server_max_window_bits=12; x=y", False),
        (b"permessage-deflate, permessage-deflate", False),
        (b"permessage-deflate; server_max_window_bits=12, x-other", False),
        (b"x-other", False),
        (b";;;", False),
    ],
)
def test_agreed(answer: bytes, isAgreed: bool) -> None:
    """An answer that does not fit the offer fails; one that fits enables compression."""
    client = opening("rfc6455", settings=COMPRESSING)
    reply = head(*REPLY13, b"Sec-WebSocket-Extensions: " + answer)
    if not isAgreed:
        with pytest.raises(WrongAnswer, match="Sec-WebSocket-Extensions of the answer is"):
            client.check(reply)
        return
    client.check(reply)
    connection = client.connection()
    connection.sendText("x" * 1000)
    assert len(connection.dataToSend()) < 50


def test_declined() -> None:
    """A server need not compress."""
    client = opening("rfc6455", settings=COMPRESSING)
    client.check(head(*REPLY13))
    connection = client.connection()
    connection.sendText("x" * 1000)
    assert len(connection.dataToSend()) > 1000
