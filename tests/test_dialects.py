"""Which dialect a request speaks, and which requests are refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from tests.support import IDIOMS, buildHead, case, connect, parseHead, refusal
from txhixie.dialects.choosing import DIALECTS, choose
from txhixie.dialects.head import HandshakeError
from txhixie.settings import DIALECT_NAMES, Settings

Changes = Mapping[bytes, bytes | None]
Extra = Iterable[tuple[bytes, bytes]]

KEY1, KEY2 = b"Sec-WebSocket-Key1", b"Sec-WebSocket-Key2"
RFC_KEY = (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ==")
RFC_VERSION = (b"Sec-WebSocket-Version", b"13")


def test_table() -> None:
    """
    Every dialect has a unique name, and tests that know how it is spoken.
    """
    assert {dialect.dialect for dialect in DIALECTS} == set(DIALECT_NAMES) == set(IDIOMS)
    assert len(DIALECTS) == len(DIALECT_NAMES)


@pytest.mark.requirement("D-09")
@pytest.mark.parametrize("name", DIALECT_NAMES)
def test_chosen(name: str) -> None:
    """
    The request of each dialect is recognized.
    """
    dialect = choose(parseHead(buildHead(name)))
    assert dialect is not None
    assert name == dialect.dialect


@pytest.mark.requirement("D-13")
@pytest.mark.parametrize("name", DIALECT_NAMES)
def test_switchedOff(name: str) -> None:
    """
    A dialect that is switched off is refused by name, and nothing else speaks for it.
    """
    other = "hixie-75" if name != "hixie-75" else "hixie-76"
    error = refusal(buildHead(name), Settings(dialects=(other,)))
    assert error.status == 400
    assert name in error.text
    assert name == connect(buildHead(name), Settings(dialects=(name,))).dialect


@pytest.mark.requirement("D-07", "B-05")
@pytest.mark.parametrize("upgrade", [None, b"h2c"])
@pytest.mark.parametrize("requestLine", [b"GET /demo HTTP/1.1", b"POST /demo HTTP/1.0", b"x"])
def test_plainHTTP(upgrade: bytes | None, requestLine: bytes) -> None:
    """
    Requests that do not ask for a WebSocket are plain HTTP.
    """
    head = buildHead("hixie-75", {b"Upgrade": upgrade}, requestLine=requestLine)
    assert choose(parseHead(head)) is None


@pytest.mark.requirement("D-07", "B-05")
@pytest.mark.parametrize("name", DIALECT_NAMES[1:])
@pytest.mark.parametrize("requestLine", [b"POST /demo HTTP/1.0", b"x"])
def test_plainHTTPWithKeys(name: str, requestLine: bytes) -> None:
    """
    A request other than GET is plain HTTP, whatever fields it has.
    """
    head = buildHead(name, {b"Upgrade": None}, requestLine=requestLine)
    assert choose(parseHead(head)) is None


@pytest.mark.requirement("D-07")
@pytest.mark.parametrize(
    ("name", "status"),
    [("hixie-76", 400), ("hybi-07", 426), ("hybi-08", 426), ("rfc6455", 426)],
)
@pytest.mark.parametrize(
    ("field", "value"),
    [("Upgrade", None), ("Upgrade", b"h2c"), ("Connection", None), ("Connection", b"close")],
)
def test_lostField(name: str, status: int, field: str, value: bytes | None) -> None:
    """
    A handshake from which a proxy removed Upgrade or Connection is refused, with the reason.
    """
    error = refusal(buildHead(name, {field.encode(): value}))
    assert error.status == status
    assert f"the {field} header field" in error.text
    assert ((b"Upgrade", b"websocket") in error.headers) is (status == 426)


@pytest.mark.requirement("D-05", "B-03")
@pytest.mark.parametrize("name", DIALECT_NAMES)
@pytest.mark.parametrize(
    "target", [b"http://example.com/demo", b"WS://example.com:80", b"ws://a?x"]
)
def test_absoluteForm(name: str, target: bytes) -> None:
    """
    Only Hixie clients may not send a whole URL, because real ones never do.
    """
    head = parseHead(buildHead(name, requestLine=b"GET " + target + b" HTTP/1.1"))
    if name.startswith("hixie"):
        with pytest.raises(HandshakeError) as raised:
            choose(head)
        assert raised.value.status == 400
    else:
        dialect = choose(head)
        assert dialect is not None
        assert dialect.dialect == name


@pytest.mark.parametrize(
    ("name", "changes", "extra", "chosen"),
    [
        case("D-07", "hixie-76", {b"Upgrade": b"websocket"}, (), "hixie-76"),
        case("D-07", "hixie-75", {b"Upgrade": b"h2c, websocket"}, (), "hixie-75"),
        case("B-07", "hixie-75", {b"Connection": b"keep-alive, Upgrade"}, (), "hixie-75"),
        case("B-07", "hixie-76", {b"Connection": b"UPGRADE"}, (), "hixie-76"),
        case("D-09", "hixie-76", {}, [(b"Sec-WebSocket-Draft", b"0")], "hixie-76"),
        case("H76-S-08", "hixie-76", {}, [(b"Sec-WebSocket-Extensions", b"a")], "hixie-76"),
        case("H76-S-08", "hixie-76", {}, [(b"X", b"y"), (b"X", b"y")], "hixie-76"),
        case("H75-S-04", "hixie-75", {}, [(b"WebSocket-Protocol", b"a")], "hixie-75"),
    ],
)
def test_variations(name: str, changes: Changes, extra: Extra, chosen: str) -> None:
    """
    Spelling, lists and unknown fields do not change the dialect.
    """
    settings = Settings(subprotocols=("a",))
    assert chosen == connect(buildHead(name, changes, extra), settings).dialect


@pytest.mark.parametrize(
    ("name", "changes", "extra", "status"),
    [
        case("D-09 D-14 K-01 B-08", "hixie-76", {KEY1: None}, (), 400, name="second key only"),
        case("D-09 D-14 K-01 B-08", "hixie-76", {KEY2: None}, (), 400, name="first key only"),
        case("D-09 B-12", "hixie-76", {}, [(b"Sec-WebSocket-Draft", b"2")], 400, name="draft 2"),
        case("D-09", "hixie-76", {}, [(b"Sec-WebSocket-Draft", b"")], 400, name="draft empty"),
        case("D-09", "hixie-75", {}, [(b"Sec-WebSocket-Draft", b"0")], 400, name="draft, no key"),
        case("D-10", "hixie-75", {}, [(b"Sec-WebSocket-Protocol", b"a")], 400, name="75 protocol"),
        case("D-10", "hixie-75", {}, [(b"Sec-WebSocket-X", b"a")], 400, name="75 Sec- field"),
        case("D-10 B-28", "hixie-75", {b"Origin": None}, (), 400, name="75 without origin"),
        case("D-10 B-30", "hixie-75", {b"Host": None}, (), 400, name="75 without host"),
        case("B-29 H76-S-04", "hixie-76", {b"Origin": None}, (), 403, name="76 without origin"),
        case("B-30", "hixie-76", {b"Host": None}, (), 400, name="76 without host"),
        case("D-12 B-13", "hixie-76", {}, [(KEY1, b"1 2")], 400, name="two first keys"),
        case("D-12 B-13", "hixie-76", {}, [(KEY2.lower(), b"1 2")], 400, name="two second keys"),
        case("D-12 B-13", "hixie-75", {}, [(b"host", b"b")], 400, name="75 two hosts"),
        case("D-12 B-13", "hixie-76", {}, [(b"Host", b"example.com")], 400, name="76 two hosts"),
        case("D-12 B-13", "hixie-75", {}, [(b"Origin", b"b")], 400, name="75 two origins"),
        case("D-12 B-13", "hixie-76", {}, [(b"Origin", b"b")], 400, name="76 two origins"),
        case("KEY3-7", "hixie-75", {}, [(b"Content-Length", b"8")], 400, name="75 with a body"),
        case("B-25 KEY3-7", "hixie-76", {}, [(b"Content-Length", b"9")], 400, name="length 9"),
        case("KEY3-7", "hixie-76", {}, [(b"Content-Length", b"0")], 400, name="length 0"),
        case(
            "B-25 KEY3-7",
            "hixie-76",
            {},
            [(b"Transfer-Encoding", b"chunked")],
            400,
            name="chunked",
        ),
        case("D-09 D-11", "hixie-75", {}, [RFC_KEY], 400, name="key without version"),
        case("D-09 D-11", "hixie-75", {}, [RFC_VERSION], 400, name="version without key"),
        case("D-09 D-11 B-09", "hixie-76", {}, [RFC_VERSION], 400, name="76 and version"),
        case("D-09 D-11", "hixie-76", {}, [RFC_KEY], 400, name="76 and key"),
        case(
            "D-11 B-11",
            "hixie-75",
            {},
            [RFC_KEY, (b"Sec-WebSocket-Version", b"25")],
            426,
            name="unknown version",
        ),
        case(
            "D-11 B-11",
            "hixie-75",
            {},
            [RFC_KEY, (b"Sec-WebSocket-Version", b"thirteen")],
            400,
            name="version in words",
        ),
        case(
            "D-11 B-11",
            "hixie-75",
            {},
            [RFC_KEY, (b"Sec-WebSocket-Version", b"")],
            400,
            name="empty version",
        ),
    ],
)
def test_refused(name: str, changes: Changes, extra: Extra, status: int) -> None:
    """
    A damaged or ambiguous request is refused before anything is sent, and never treated as another
    dialect.
    """
    assert status == refusal(buildHead(name, changes, extra)).status


@pytest.mark.requirement("D-09", "B-10")
def test_newestWins() -> None:
    """
    A complete request of RFC 6455 is one, even with the keys of Hixie-76 in it.
    """
    dialect = connect(buildHead("hixie-76", {}, [RFC_KEY, RFC_VERSION])).dialect
    assert dialect not in ("hixie-75", "hixie-76")


@pytest.mark.parametrize(
    ("requestLine", "status"),
    [
        case("D-04 B-01", b"POST /demo HTTP/1.1", 405),
        case("D-06 B-02", b"GET /demo HTTP/1.0", 400),
        case("D-05 B-03", b"GET * HTTP/1.1", 400),
        case("D-05 B-04", b"GET /demo", 400),
    ],
)
@pytest.mark.parametrize("name", DIALECT_NAMES)
def test_requestLine(name: str, requestLine: bytes, status: int) -> None:
    """
    Every dialect demands a proper request line.
    """
    assert status == refusal(buildHead(name, requestLine=requestLine)).status


@pytest.mark.requirement("D-08", "B-06", "H75-S-05")
@pytest.mark.parametrize("name", ["hixie-75", "hixie-76"])
def test_noConnectionUpgrade(name: str) -> None:
    """
    Hixie demands the Connection field, too.
    """
    assert refusal(buildHead(name, {b"Connection": b"close"})).status == 400
