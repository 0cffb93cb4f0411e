"""The gateway, between clients of every dialect and servers of ours, without a network."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from tests.gateways import URL, World, fieldsOf, statusOf
from tests.loopback import FINISHED, LOST, STARTED, Recording, ownLines
from tests.support import HIXIE, IDIOMS, MODERN, buildHead, clientFrame, frame
from txhixie import Gateway, HandshakeError, Routes, WebSocketDone, WebSocketLost
from txhixie.gateway.backends import ASIDE, Backend
from txhixie.gateway.relay import Side

dialects = pytest.mark.parametrize("dialect", IDIOMS)
modern = pytest.mark.parametrize("dialect", MODERN)
hixie = pytest.mark.parametrize("dialect", HIXIE)
SUBPROTOCOL = {
    "hixie-75": b"WebSocket-Protocol",
    **dict.fromkeys((*MODERN, "hixie-76"), b"Sec-WebSocket-Protocol"),
}


# What a client says and hears


@dialects
def test_messages(dialect: str) -> None:
    """Messages go both ways in their order, to a back end that sees a client of RFC 6455."""
    world = World()
    idiom = IDIOMS[dialect]
    wire = world.open(dialect)
    texts = ["", "h\u00e9llo", "x" * 100_000]
    assert world.say(wire, b"".join(map(idiom.clientText, texts))) == b"".join(
        map(idiom.serverText, texts)
    )
    assert world.made.transport.dialect == "rfc6455"
    assert world.made.calls == [STARTED, FINISHED, *(f"text: {text}" for text in texts)]
    world.assertQuiet()


@dialects
def test_firstMessages(dialect: str) -> None:
    """The back end's early messages and their answers come after the opening handshake."""
    world = World()
    world.serve("10.0.0.1", negotiationStarted=lambda made, _: made.transport.sendTextMessage("hi"))
    idiom = IDIOMS[dialect]
    wire = world.connect(buildHead(dialect) + idiom.preamble + idiom.clientText("early"))
    expected = idiom.serverText("hi") + idiom.serverText("early")
    assert wire.take().endswith(expected)


@modern
def test_bytes(dialect: str) -> None:
    """Bytes stay bytes where the client's dialect has them."""
    world = World()
    wire = world.open(dialect)
    world.say(wire, clientFrame(0x82, b"\0\xff"))
    assert world.made.calls[-1] == "bytes: b'\\x00\\xff'"
    world.made.transport.sendBytesMessage(b"\xff\0")
    world.run()
    assert wire.take() == frame(0x82, b"\xff\0")


@modern
def test_pings(dialect: str) -> None:
    """Each side is answered by the gateway, and its pings get no further."""
    world = World()
    wire = world.open(dialect)
    assert world.say(wire, clientFrame(0x89, b"?")) == frame(0x8A, b"?")
    world.made.transport.ping(b"!")
    world.run()
    assert world.made.calls[2:] == ["pong: b'!'"]
    assert wire.take() == b""


@hixie
@pytest.mark.parametrize(("policy", "sent"), [("drop", []), ("base64", ["AP8="]), ("close", None)])
def test_bytesForHixie(dialect: str, policy: str, sent: list[str] | None) -> None:
    """Bytes for a client that can have none are dropped, encoded or the end; they are counted."""
    world = World(bytesPolicy=policy)
    idiom = IDIOMS[dialect]
    wire = world.open(dialect)
    world.made.transport.sendBytesMessage(b"\0\xff")
    world.made.transport.sendTextMessage("after")
    world.run()
    assert world.count("bytes not carried") == 1
    if sent is None:
        assert wire.take() == idiom.serverClose
        assert (world.made.ending.code, world.made.calls[-1]) == (1003, LOST)
    else:
        assert wire.take() == b"".join(map(idiom.serverText, [*sent, "after"]))
    world.assertQuiet()


# What is passed on of the request


@dialects
def test_request(dialect: str) -> None:
    """Path, query, origin, cookies, credentials and other fields are passed on."""
    world = World()
    world.open(
        dialect,
        requestLine=b"GET /tv/1?a=%20b&c HTTP/1.1",
        extra=[
            (b"Cookie", b"session=1; other=2"),
            (b"Authorization", b"Basic YTpi"),
            (b"User-Agent", b"TV/1.0"),
        ],
    )
    request = world.made.request
    assert request.uri == b"/tv/1?a=%20b&c"
    names = ("origin", "cookie", "authorization", "user-agent", "host")
    assert [request.getHeader(name) for name in names] == [
        "http://example.com",
        "session=1; other=2",
        "Basic YTpi",
        "TV/1.0",
        "10.0.0.1:9000",
    ]
    told = [request.getHeader(f"x-forwarded-{name}") for name in ("for", "proto", "host")]
    assert told == ["192.168.1.1", "http", "example.com"]
    assert not request.requestHeaders.hasHeader("sec-websocket-origin")


@dialects
def test_madeUp(dialect: str) -> None:
    """What a client says about itself, or about its own connection, is not passed on."""
    world = World()
    world.open(
        dialect,
        changes={b"Connection": b"Upgrade, X-Hop"},
        extra=[
            *((name, b"1.2.3.4") for name in (b"X-Forwarded-For", b"X_Forwarded_For")),
            *((name, b"x") for name in (b"Forwarded", b"X-Forwarded-Host", b"X-Real-IP")),
            *((name, b"x") for name in (b"X-Hop", b"TE", b"Keep-Alive", b"Proxy-Authorization")),
        ],
    )
    headers = world.made.request.requestHeaders
    assert headers.getRawHeaders("x-forwarded-for") == ["192.168.1.1"]
    assert headers.getRawHeaders("x-forwarded-host") == ["example.com"]
    for name in ("x_forwarded_for", "forwarded", "x-real-ip", "x-hop", "te", "keep-alive"):
        assert not headers.hasHeader(name), name
    assert not headers.hasHeader("proxy-authorization")


def test_behindProxy() -> None:
    """What a trusted proxy says about the client is passed on."""
    world = World(settings={"trustedProxies": ("192.168.1.1",)})
    world.open(
        "rfc6455",
        extra=[
            (b"X-Forwarded-For", b"203.0.113.7"),
            (b"X-Forwarded-Proto", b"https"),
            (b"X-Forwarded-Host", b"tv.example"),
        ],
    )
    request = world.made.request
    told = [request.getHeader(f"x-forwarded-{name}") for name in ("for", "proto", "host")]
    assert told == ["203.0.113.7", "https", "tv.example"]


@pytest.mark.parametrize(
    ("url", "target", "asked"),
    [
        ("ws://h:9000", "/tv?x=1", "ws://h:9000/tv?x=1"),
        ("ws://h:9000", "/", "ws://h:9000/"),
        ("ws://h:9000", "//other/x", "ws://h:9000//other/x"),
        ("ws://h:9000/", "/tv?x=1", "ws://h:9000/?x=1"),
        ("ws://h:9000/app", "/tv", "ws://h:9000/app"),
        ("ws://h:9000/app?a=1", "/tv?x=1", "ws://h:9000/app?a=1&x=1"),
        ("ws://h:9000/app?a=/", "/tv", "ws://h:9000/app?a=/"),
        ("ws://h:9000?a=/", "/tv?x=?", "ws://h:9000/tv?a=/&x=?"),
        ("wss://[::1]/app", "/", "wss://[::1]/app"),
        ("WSS://H:443", "/tv", "wss://h/tv"),
    ],
)
def test_path(url: str, target: str, asked: str) -> None:
    """A back end with a path is asked for that, one without for the client's; queries are kept."""
    assert Backend.parse(url).urlFor(target) == asked


@dialects
def test_subprotocol(dialect: str) -> None:
    """The back end chooses the subprotocol, and the client gets it."""
    world = World(serving={"subprotocols": ("chat",)})
    field = SUBPROTOCOL[dialect]
    asked = b"chat" if dialect in HIXIE else b"other, chat"
    head = buildHead(dialect, extra=[(field, asked)])
    answer = world.connect(head + IDIOMS[dialect].preamble).take()
    assert statusOf(answer) == 101
    assert fieldsOf(answer)[field.lower()] == [b"chat"]
    assert world.made.request.getHeader("sec-websocket-protocol") == asked.decode()
    assert world.made.transport.subprotocol == "chat"


@modern
def test_noSubprotocol(dialect: str) -> None:
    """It may also choose none."""
    world = World()
    world.open(dialect, extra=[(SUBPROTOCOL[dialect], b"chat")])
    assert world.made.transport.subprotocol is None


@hixie
def test_missingSubprotocol(dialect: str) -> None:
    """A Hixie client needs the one it asked for: else it is refused, and the back end let go."""
    world = World()
    head = buildHead(dialect, extra=[(SUBPROTOCOL[dialect], b"chat")])
    assert statusOf(world.connect(head + IDIOMS[dialect].preamble).take()) == 400
    assert world.made.ending.code == 1001
    world.assertQuiet()


@hixie
@pytest.mark.parametrize(
    "field", [(b"protocol", b"two words"), (b"Origin", b"file:///a b"), (b"Origin", b"\xe4")]
)
def test_notInRFC6455(dialect: str, field: tuple[bytes, bytes]) -> None:
    """What RFC 6455 cannot say is refused before a back end is asked."""
    world = World()
    name, value = field
    if name == b"protocol":
        head = buildHead(dialect, extra=[(SUBPROTOCOL[dialect], value)])
    else:
        head = buildHead(dialect, changes={name: value})
    assert statusOf(world.connect(head + IDIOMS[dialect].preamble).take()) == 400
    assert world.asked == []


@dialects
def test_cookies(dialect: str) -> None:
    """Cookies that the back end sets reach the client."""

    def decide(made: Recording) -> Recording:
        made.request.addCookie(b"a", b"1", path=b"/")
        made.request.addCookie(b"b", b"2")
        made.request.setHeader(b"X-Other", b"x")
        return made

    world = World()
    world.backend.decide = decide
    answer = world.connect(buildHead(dialect) + IDIOMS[dialect].preamble).take()
    assert fieldsOf(answer)[b"set-cookie"] == [b"a=1; Path=/", b"b=2"]
    assert b"x-other" not in fieldsOf(answer)


# Refusals


@dialects
def test_refused(dialect: str) -> None:
    """A client is refused as the back end refuses it, and the back end still counts as working."""

    def decide(made: Recording) -> object:
        raise HandshakeError(401, "who?", [(b"WWW-Authenticate", b"Basic"), (b"X-Y", b"z")])

    world = World(URL, "ws://10.0.0.2:9000")
    world.backend.decide = decide
    answer = world.connect(buildHead(dialect) + IDIOMS[dialect].preamble).take()
    assert statusOf(answer) == 401
    assert fieldsOf(answer)[b"www-authenticate"] == [b"Basic"]
    assert b"x-y" not in fieldsOf(answer)
    assert world.asked == ["10.0.0.1"]
    world.assertQuiet()


REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"


@dialects
@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("down", 503),
        ("silent", 503),
        ("lost", 503),
        (BUSY, 503),
        (REDIRECT, 502),
        (b"SSH-2.0-x\r\n", 502),
        (b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\n\r\n", 502),
    ],
)
def test_backendFails(dialect: str, answer: Any, status: int) -> None:
    """A client of a back end that fails gets 502 or 503 before the upgrade, and when to come."""
    world = World()
    world.backends["10.0.0.1"] = answer
    with capturedLogs() as events:
        wire = world.connect(buildHead(dialect) + IDIOMS[dialect].preamble)
        world.pass_(5.5)
    told = wire.take()
    assert statusOf(told) == status
    assert 5 <= int(fieldsOf(told)[b"retry-after"][0]) <= 15
    start = f"warn: the back end {URL} failed, and is set aside for 10 s: "
    assert [line.startswith(start) for line in ownLines(events)] == [True, False]
    assert world.count("handshakes timed out") == 0
    world.assertQuiet()


# Several back ends

THREE = [f"ws://10.0.0.{number}:9000" for number in (1, 2, 3)]


def three() -> World:
    """@return: a gateway with three back ends."""
    world = World(*THREE)
    for number in (2, 3):
        world.serve(f"10.0.0.{number}")
    return world


def test_turns() -> None:
    """They take turns."""
    world = three()
    for _ in range(6):
        world.open("hixie-76")
    assert world.asked == [f"10.0.0.{number}" for number in (1, 2, 3) * 2]


@pytest.mark.parametrize("failing", ["down", "silent", BUSY, REDIRECT])
def test_setAside(failing: Any) -> None:
    """If one fails, the next is asked; it is left alone for a while, and then asked again."""
    world = three()
    working, world.backends["10.0.0.1"] = world.backends["10.0.0.1"], failing
    first = world.connect(buildHead("hixie-75"))
    world.pass_(3)
    assert statusOf(first.take()) == 101
    assert world.asked == ["10.0.0.1", "10.0.0.2"]
    world.asked.clear()
    for _ in range(4):
        world.open("hixie-75")
    assert sorted(world.asked) == ["10.0.0.2", "10.0.0.2", "10.0.0.3", "10.0.0.3"]
    world.pass_(ASIDE)
    world.backends["10.0.0.1"] = working
    with capturedLogs() as events:
        for _ in range(3):
            world.open("hixie-75")
    assert "10.0.0.1" in world.asked
    assert ownLines(events) == ["info: the back end ws://10.0.0.1:9000 works again"]


def test_allSetAside() -> None:
    """If all have failed, all are tried: one of them may be back."""
    world = three()
    for number in (1, 2, 3):
        world.backends[f"10.0.0.{number}"] = "down"
    wire = world.connect(buildHead("hixie-75"))
    world.pass_(2)
    assert statusOf(wire.take()) == 503
    assert len(world.asked) == 3
    world.serve("10.0.0.3")
    wire = world.connect(buildHead("hixie-75"))
    world.pass_(2)
    assert statusOf(wire.take()) == 101


# The end


@dialects
@pytest.mark.parametrize(("code", "reason"), [(4001, "bye"), (1001, ""), (3000, "\u20ac" * 41)])
def test_backendCloses(dialect: str, code: int, reason: str) -> None:
    """The code and reason of the back end reach the client, after all messages."""
    world = World()
    idiom = IDIOMS[dialect]
    wire = world.open(dialect)
    world.made.transport.sendTextMessage("last")
    world.made.transport.loseConnection(code, reason)
    world.run()
    close = frame(0x88, code.to_bytes(2, "big") + reason.encode())
    assert wire.take() == idiom.serverText("last") + (
        close if dialect in MODERN else idiom.serverClose
    )
    world.assertQuiet()


@modern
def test_clientCloses(dialect: str) -> None:
    """The code and reason of the client reach the back end, after all messages."""
    world = World()
    wire = world.open(dialect)
    world.say(wire, clientFrame(0x81, b"last") + clientFrame(0x88, b"\x0f\xa1bye"))
    assert world.made.calls[2:] == ["text: last"]
    wire.lose()
    world.run()
    assert world.made.calls[3:] == [LOST]
    assert type(world.made.ending) is WebSocketDone
    assert (world.made.ending.code, world.made.ending.reason) == (4001, "bye")
    world.assertQuiet()


@dialects
def test_clientClosesWithoutCode(dialect: str) -> None:
    """A close without a code is a normal one for the back end."""
    world = World()
    wire = world.open(dialect)
    if dialect != "hixie-75":
        world.say(wire, clientFrame(0x88, b"") if dialect in MODERN else b"\xff\0")
    wire.lose()
    world.run()
    assert type(world.made.ending) is WebSocketDone
    assert world.made.ending.code == 1000


@dialects
def test_clientLost(dialect: str) -> None:
    """A client that is lost has gone away, for the back end."""
    world = World()
    wire = world.open(dialect)
    wire.lose(ConnectionResetError())
    world.run()
    assert (type(world.made.ending), world.made.ending.code) == (WebSocketDone, 1001)
    world.assertQuiet()


@dialects
def test_backendLost(dialect: str) -> None:
    """A back end that is lost is a bad gateway, for the client."""
    world = World()
    idiom = IDIOMS[dialect]
    wire = world.open(dialect)
    world.links[0][1].lose(ConnectionResetError())
    world.links[0][0].lose(ConnectionResetError())
    world.run()
    close = frame(0x88, (1014).to_bytes(2, "big") + b"the back end is gone")
    assert wire.take() == (close if dialect in MODERN else idiom.serverClose)
    assert type(world.made.ending) is WebSocketLost
    world.assertQuiet()


# Peers that do not read


@dialects
def test_clientDoesNotRead(dialect: str) -> None:
    """The back end is not read while the client does not read, and nothing is lost."""
    world = World(settings={"sendLimit": 100})
    wire = world.open(dialect)
    (ours, theirs) = world.links[0]
    wire.fill()
    assert ours.producerState == "paused"
    for number in range(100):
        world.made.transport.sendTextMessage(f"{number}" * 100)
    world.run()
    assert wire.take() == b""
    wire.drain()
    assert ours.producerState == "producing"
    world.run()
    texts = [f"{number}" * 100 for number in range(100)]
    assert wire.take() == b"".join(map(IDIOMS[dialect].serverText, texts))
    assert world.count("slow closed") == 0
    assert not theirs.lost


@dialects
def test_backendDoesNotRead(dialect: str) -> None:
    """The client is not read while the back end does not read, and nothing is lost."""
    world = World(settings={"sendLimit": 100})
    wire = world.open(dialect)
    (ours, _) = world.links[0]
    ours.fill()
    assert wire.producerState == "paused"
    texts = [f"{number}" * 100 for number in range(100)]
    world.say(wire, b"".join(map(IDIOMS[dialect].clientText, texts)))
    assert world.made.calls[2:] == []
    ours.drain()
    assert wire.producerState == "producing"
    world.run()
    assert world.made.calls[2:] == [f"text: {text}" for text in texts]


@dialects
def test_stalledClientCloses(dialect: str) -> None:
    """A client that does not read may still go, and its back end hears of it."""
    world = World()
    wire = world.open(dialect)
    wire.fill()
    world.made.transport.sendTextMessage("never read")
    world.run()
    wire.lose(ConnectionResetError())
    world.run()
    assert world.made.ending.code == 1001
    world.assertQuiet()


# The opening handshake, step by step


def test_lateNonce() -> None:
    """The 101 of Hixie-76 does not wait for the nonce, but the back end's messages do."""
    world = World()
    world.serve("10.0.0.1", negotiationStarted=lambda made, _: made.transport.sendTextMessage("hi"))
    wire = world.connect(buildHead("hixie-76"))
    assert statusOf(wire.take()) == 101
    assert world.links[0][0].producerState == "paused"
    answer = world.say(wire, IDIOMS["hixie-76"].preamble)
    assert answer[16:] == b"\0hi\xff"


@pytest.mark.parametrize("ends", ["client", "time"])
def test_noNonce(ends: str) -> None:
    """If the nonce never comes, the back end is let go."""
    world = World()
    wire = world.connect(buildHead("hixie-76"))
    if ends == "client":
        wire.lose(ConnectionResetError())
    world.pass_(15)
    assert type(world.made.ending) is WebSocketDone
    assert world.made.ending.code in (1000, 1001)
    world.assertQuiet()


def test_backendClosesBeforeNonce() -> None:
    """A back end that closes before the nonce comes is heard after it."""
    world = World()
    wire = world.connect(buildHead("hixie-76"))
    wire.take()
    world.made.transport.sendTextMessage("hi")
    world.made.transport.loseConnection(4000)
    world.run()
    assert wire.take() == b""
    assert world.say(wire, IDIOMS["hixie-76"].preamble)[16:] == b"\0hi\xff\xff\0"
    world.assertQuiet()


@dialects
@pytest.mark.parametrize("backend", ["lost", "silent"])
def test_clientGoesMeanwhile(dialect: str, backend: str) -> None:
    """If the client goes while a back end is asked, that ends, and nothing is set aside."""
    world = World()
    world.backends["10.0.0.1"], serves = backend, world.backends["10.0.0.1"]
    with capturedLogs() as events:
        wire = world.connect(buildHead(dialect) + IDIOMS[dialect].preamble)
        wire.lose(ConnectionResetError())
        world.run()
    assert ownLines(events) == []
    world.backends["10.0.0.1"] = serves
    world.open(dialect)
    world.assertQuiet()


@dialects
def test_serverStopsMeanwhile(dialect: str) -> None:
    """If the server stops while a back end is asked, the client gets 503, and the asking ends."""
    world = World()
    world.backends["10.0.0.1"] = "lost"
    wire = world.connect(buildHead(dialect) + IDIOMS[dialect].preamble)
    stopped: list[object] = []
    world.factory.closeConnections().addCallback(stopped.append)
    world.run()
    assert statusOf(wire.take()) == 503
    world.assertQuiet()
    assert stopped == [None]


def test_nobodyComes() -> None:
    """If a client does not get its side after all, the back end is let go after a while."""

    class Refusing:
        def __init__(self, gateway: Gateway) -> None:
            self.gateway = gateway

        def buildProtocol(self, request: Any) -> Deferred[Any]:
            return self.gateway.buildProtocol(request).addCallback(lambda _: None)

    world = World(application=Refusing)
    assert statusOf(world.connect(buildHead("hixie-75")).take()) == 404
    assert world.made.calls == [STARTED, FINISHED]
    world.pass_(11)
    assert world.made.ending.code == 1001
    world.assertQuiet()


def test_lateClient() -> None:
    """A client that is accepted after its back end is gone hears of that."""
    waiting: Deferred[None] = Deferred()

    class Slow:
        def __init__(self, gateway: Gateway) -> None:
            self.gateway = gateway

        async def buildProtocol(self, request: Any) -> Any:
            made = await self.gateway.buildProtocol(request)
            await waiting
            return made

    world = World(application=Slow)
    wire = world.connect(buildHead("rfc6455"))
    for end in world.links[0]:
        end.lose(ConnectionResetError())
    waiting.callback(None)
    world.run()
    assert wire.take().endswith(frame(0x88, (1014).to_bytes(2, "big") + b"the back end is gone"))
    world.assertQuiet()


def test_route() -> None:
    """A gateway may answer at one path only."""
    world = World(application=lambda gateway: Routes({"/tv": gateway}))
    world.open("hixie-76", requestLine=b"GET /tv/1 HTTP/1.1")
    assert world.made.request.path == b"/tv/1"
    assert statusOf(world.connect(buildHead("hixie-75")).take()) == 404


@pytest.mark.parametrize(
    ("backends", "policy", "message"),
    [
        ((), "drop", "needs a back end"),
        (("http://h",), "drop", "'http://h'"),
        (("ws://h", "ws://"), "drop", "'ws://'"),
        ((URL,), "keep", "'keep' is none of drop, close, base64"),
    ],
)
def test_wrong(backends: tuple[str, ...], policy: str, message: str) -> None:
    """A gateway that makes no sense is none."""
    with pytest.raises(ValueError, match=message):
        Gateway(*backends, bytesPolicy=policy)


@dialects
@pytest.mark.parametrize("ends", ["client", "backend"])
def test_nothingIsLeft(dialect: str, ends: str) -> None:
    """Memory is free at once after the end: no part of a relay refers to itself."""
    world = World()
    gc.collect()
    gc.disable()
    try:
        before = sides()
        wire = world.open(dialect)
        assert sides() == before + 2
        if ends == "client":
            wire.lose()
        else:
            world.made.transport.loseConnection()
            world.run()
        world.assertQuiet()
        assert sides() == before
    finally:
        gc.enable()


def sides() -> int:
    """@return: how many sides of relays are in memory."""
    return sum(type(each) is Side for each in gc.get_objects())
