"""Rooms by plain HTTP: event streams, publishing, and who is there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.delaying import DelayedBackplane
from tests.loopback import TCPWire
from tests.test_rooms import Guest, House, came, said
from txhixie import HixieFactory, Settings
from txhixie.applications.rooms import Rooms
from txhixie.applications.visiting import Visitor
from txhixie.backplane.contract import BackplaneError, parseId
from txhixie.backplane.local import LocalBackplane
from txhixie.server.roomresource import RoomsResource
from txhixie.web.site import Okay

_LOCAL = IPv4Address("TCP", "127.0.0.1", 1)


class Site(House):
    """A server of rooms at C{/chat}, by WebSockets and plain HTTP."""

    def __init__(
        self,
        rooms: Rooms | None = None,
        publish: bool = True,
        fromAnywhere: bool = False,
        otherwise: Any = None,
        **settings: Any,
    ) -> None:
        super().__init__(rooms)
        root = Okay()
        self.factory = HixieFactory(self.rooms, root, Settings(**settings), self.clock)
        self.resource = RoomsResource(self.rooms, self.factory, publish, fromAnywhere, otherwise)
        root.place("/chat", self.resource)

    def ask(
        self,
        target: str,
        *fields: str,
        method: str = "GET",
        body: bytes = b"",
        peer: Any = _LOCAL,
        kind: type[TCPWire] = TCPWire,
    ) -> Asked:
        """Send a request."""
        protocol: Any = self.factory.buildProtocol(None)
        wire = kind.__new__(kind)
        wire.__dict__["peerAddr"] = peer
        kind.__init__(wire, protocol, self.clock)
        wire.peerAddr = peer
        lines = [f"{method} {target} HTTP/1.1", "Host: example.com", *fields]
        if method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        wire.send("\r\n".join([*lines, "", ""]).encode() + body)
        return Asked(wire)

    def listen(self, target: str = "/chat", *fields: str, **options: Any) -> Asked:
        """Ask for an event stream."""
        return self.ask(target, "Accept: text/event-stream", *fields, **options)

    def post(
        self, body: bytes = b"hi", *fields: str, target: str = "/chat", **options: Any
    ) -> Asked:
        """Publish."""
        return self.ask(target, *fields, method="POST", body=body, **options)


class Asked:
    """A request, and what comes back."""

    def __init__(self, wire: TCPWire) -> None:
        self.wire = wire
        self._unread = b""
        self._received = b""

    @property
    def head(self) -> str:
        """The head of the answer."""
        return bytes(self.wire.value()).partition(b"\r\n\r\n")[0].decode()

    @property
    def status(self) -> int:
        """The status of the answer."""
        return int(self.head.split()[1])

    @property
    def body(self) -> bytes:
        """What there is of the body."""
        body = bytes(self.wire.value()).partition(b"\r\n\r\n")[2]
        if "chunked" not in self.head.lower():
            return body
        whole = b""
        while body:
            size, _, rest = body.partition(b"\r\n")
            whole += rest[: int(size, 16)]
            body = rest[int(size, 16) + 2 :]
        return whole

    def events(self) -> list[dict[str, Any]]:
        """@return: the events of a stream, as a browser reads them; comments are left out."""
        found = []
        for block in self.body.decode().split("\n\n"):
            event: dict[str, Any] = {}
            for line in block.split("\n"):
                name, _, value = line.partition(": ")
                if name == "data":
                    event["data"] = [*event.get("data", []), value]
                elif name == "id":
                    event["id"] = value
            if event:
                event["data"] = "\n".join(event["data"])
                found.append(event)
        return found

    def heard(self) -> list[str]:
        """@return: what the events say."""
        return [event["data"] for event in self.events()]


def test_listen() -> None:
    """A listener hears what members do, and nobody hears of it."""
    site = Site()
    guest = site.guest()
    listener = site.listen()
    guest.say("h\u00e9", "two\r\nlines\rand\none more")
    assert listener.status == 200
    assert "\r\ncontent-type: text/event-stream; charset=utf-8\r\n" in listener.head.lower()
    assert "\r\ncache-control: no-store\r\n" in listener.head.lower()
    assert guest.heard() == [*came(guest), *said(guest, "h\u00e9", "two\r\nlines\rand\none more")]
    assert listener.heard() == said(guest, "h\u00e9", "two\nlines\nand\none more")
    offsets = [parseId(event["id"])[1] for event in listener.events()]
    assert offsets == [2, 3]
    assert listener.body.startswith(b"retry: ")
    assert 1000 <= int(listener.body.split()[1]) <= 3000
    guest.leave()
    site.clock.advance(0)
    assert list(site.rooms) == [""]
    assert listener.heard()[-1] == f"Connection Closed: {guest.id}"
    listener.wire.lose()
    assert len(site.rooms) == 0


def test_manyListeners() -> None:
    """Listeners of either format, members and rooms do not get into each other's way."""
    site = Site()
    a, b = site.listen("/chat/red"), site.listen("/chat/red?format=json")
    c = site.listen("/chat/blue?format=json")
    guest = site.guest("/chat/red")
    guest.say('"', "2")
    assert a.heard() == [*came(guest), *said(guest, '"', "2")]
    assert [json.loads(each)["text"] for each in b.heard()] == ["", '"', "2"]
    assert [json.loads(each)["id"] for each in b.heard()] == [each["id"] for each in b.events()]
    assert c.heard() == []


@pytest.mark.parametrize("query", ["?last=2", "?since={id}", ""])
def test_past(query: str) -> None:
    """A listener begins in the past; after a reconnect with what it has seen last."""
    site = Site()
    guest = site.guest()
    first = site.listen()
    guest.say("1", "2", "3")
    lastId = first.events()[0]["id"]
    fields = () if query else (f"Last-Event-ID: {lastId}",)
    target = f"/chat{query.format(id=lastId)}"
    second = site.listen(target, *fields)
    guest.say("4")
    assert second.heard() == said(guest, "2", "3", "4")
    # What the browser has seen last goes before what the page once asked for.
    third = site.listen("/chat?last=99", f"Last-Event-ID: {lastId}")
    assert third.heard() == said(guest, "2", "3", "4")


def test_gap() -> None:
    """A listener gets a gap for what it missed for good."""
    site = Site(Rooms("/chat", LocalBackplane(history=2)))
    guest = site.guest()
    first = site.listen()
    guest.say(*"12345")
    again = site.listen("/chat", f"Last-Event-ID: {first.events()[0]['id']}")
    assert again.heard() == ["Messages Missed: 2", *said(guest, "4", "5")]
    assert again.events()[0]["id"] == first.events()[2]["id"]


def test_presence() -> None:
    """Who is there is an answer in JSON, or the beginning of a stream."""
    site = Site()
    guests = [site.guest(), site.guest()]
    ids = sorted(guest.id for guest in guests)
    answer = site.ask("/chat?presence")
    assert "\r\ncontent-type: application/json" in answer.head.lower()
    assert json.loads(answer.body) == {"members": ids}
    assert json.loads(site.ask("/chat/empty?presence").body) == {"members": []}
    (event,) = site.listen("/chat?presence").events()
    assert event == {"data": f"Present: {', '.join(ids)}"}


def test_refusals() -> None:
    """What cannot be answered is refused in one line, and nothing remains."""
    site = Site(maxMessage=5)
    for asked, status, text in (
        (site.listen("/chat/a/b"), 404, b"there is no such room"),
        (site.listen("/chat", "Last-Event-ID: x"), 400, b"since: 'x' is no id"),
        (site.listen("/chat?format=xml"), 400, b"format is one of"),
        (site.ask("/chat"), 406, b"text/event-stream is what there is"),
        (site.post(b"\xff"), 400, b"the body is not UTF-8"),
        (site.post(b"123456"), 413, b""),
        (site.post(b"x", "Idempotency-Key: " + "x" * 201), 400, b"an Idempotency-Key has"),
        (site.ask("/chat", method="PUT"), 501, b""),
    ):
        assert asked.status == status
        assert text in asked.body
    assert len(site.rooms) == 0


def test_otherwise() -> None:
    """A request that does not ask for a room can be answered by another resource."""
    site = Site(otherwise=Okay())
    assert site.ask("/chat").body == b"okay"
    assert site.ask("/chat/a/b").body == b"okay"
    assert site.ask("/chat", method="HEAD").body == b""
    assert site.listen().status == 200


def test_head() -> None:
    """A HEAD request ends."""
    site = Site()
    answer = site.listen(method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert len(site.rooms) == 0


def test_post() -> None:
    """What is posted is heard by all, and the answer is its id."""
    site = Site()
    guest, listener = site.guest("/chat/red"), site.listen("/chat/red")
    guest.heard()
    answer = site.post("h\u00e9".encode(), target="/chat/red")
    assert guest.heard() == ["h\u00e9"]
    assert answer.status == 200
    assert answer.body.decode() == listener.events()[-1]["id"]
    # A user's name, if there is one. Nobody has checked it here.
    site.post(b"ho", "Authorization: Basic Ym9iOng=", target="/chat/red")
    assert guest.heard() == ["bob: ho"]
    assert site.post(b"", target="/chat/red").status == 200
    assert guest.heard() == [""]


def test_postAgain() -> None:
    """A request that is repeated with its key says it once."""
    site = Site()
    guest = site.guest()
    guest.heard()
    first, second = (site.post(b"x", "Idempotency-Key: 1") for _ in range(2))
    assert first.body == second.body
    assert site.post(b"x", "Idempotency-Key: 2").body != first.body
    assert guest.heard() == ["x", "x"]


def test_postInEmptyRoom() -> None:
    """What is posted where nobody is can be read later."""
    site = Site()
    site.post(b"x", target="/chat/later")
    assert len(site.rooms) == 0
    assert site.listen("/chat/later?last=1").heard() == ["x"]


@pytest.mark.parametrize(
    ("peer", "fields", "isLocal"),
    [
        (IPv4Address("TCP", "127.0.0.1", 1), (), True),
        (IPv4Address("TCP", "127.8.8.8", 1), (), True),
        (IPv6Address("TCP", "::1", 1), (), True),
        (IPv6Address("TCP", "::ffff:127.0.0.1", 1), (), True),
        (UNIXAddress(b"/run/x"), (), True),
        (IPv4Address("TCP", "192.0.2.1", 1), (), False),
        (IPv6Address("TCP", "2001:db8::1", 1), (), False),
        (IPv4Address("TCP", "127.0.0.1", 1), ("X-Forwarded-For: 127.0.0.1",), False),
        (IPv4Address("TCP", "127.0.0.1", 1), ("Forwarded: for=127.0.0.1",), False),
        (IPv4Address("TCP", "127.0.0.1", 1), ("Via: 1.1 proxy",), False),
    ],
)
def test_whoMayPost(peer: Any, fields: tuple[str, ...], isLocal: bool) -> None:
    """Without logging in only this machine may publish, and not through a proxy."""
    site = Site()
    asked = site.post(b"x", *fields, peer=peer)
    assert asked.status == (200 if isLocal else 403)
    assert Site(fromAnywhere=True).post(b"x", *fields, peer=peer).status == 200
    assert Site(publish=False).post(b"x", *fields, peer=peer).status == 403


def test_origins() -> None:
    """Pages of other origins are held to the origins that may connect."""
    site = Site(origins=("http://a.example",))
    for ask in (site.listen, lambda target, field: site.post(b"x", field)):
        assert ask("/chat", "Origin: http://b.example").status == 403
        allowed = ask("/chat", "Origin: http://a.example")
        assert allowed.status == 200
        assert "\r\naccess-control-allow-origin: http://a.example\r\n" in allowed.head.lower()


def test_limits() -> None:
    """There is no room for listeners either beyond the limit."""
    site = Site(Rooms("/chat", maxRooms=1))
    site.guest("/chat/a")
    refused = site.listen("/chat/b")
    assert refused.status == 503
    assert "retry-after" in refused.head.lower()
    assert site.listen("/chat/a").status == 200


def test_down() -> None:
    """While the backplane does not work nobody listens, and nothing is published."""
    backplane = DelayedBackplane()
    site = Site(Rooms("/chat", backplane))
    backplane.problem = "Redis does not answer"
    for asked in (site.listen(), site.post()):
        assert asked.status == 503
        assert asked.body == b"Redis does not answer\n"
    backplane.problem = None
    backplane.isFull = True
    assert site.post().status == 503
    backplane.isFull = False
    backplane.failures["publish"] = BackplaneError("it is over")
    asked = site.post()
    assert asked.head == ""
    while backplane.step():
        pass
    assert (asked.status, asked.body) == (503, b"it is over\n")
    backplane.failures["subscribe"] = BackplaneError("it is over")
    listener = site.listen()
    while backplane.step():
        pass
    assert listener.body.endswith(b"\r\n") or listener.heard() == []
    site.clock.advance(0)
    assert len(site.rooms) == 0


def test_goneMeanwhile() -> None:
    """A client that is gone before its answer is there is forgotten."""
    backplane = DelayedBackplane()
    site = Site(Rooms("/chat", backplane))
    for asked in (site.listen(), site.post(), site.ask("/chat?presence")):
        asked.wire.lose()
    while backplane.step():
        pass
    assert len(site.rooms) == backplane.receivers == 0
    site.clock.advance(60)
    assert site.clock.getDelayedCalls() == []


def test_keepAlive() -> None:
    """An idle stream has a comment now and then, by one timer, as long as somebody listens."""
    site = Site(pingInterval=30)
    listeners = [site.listen(), site.listen()]
    before = [listener.body for listener in listeners]
    site.clock.pump([1] * 61)
    for listener, body in zip(listeners, before, strict=True):
        assert listener.body == body + b":\n\n" * 2
        listener.wire.lose()
    site.clock.advance(60)
    assert site.clock.getDelayedCalls() == []


def test_close() -> None:
    """When the server stops its streams end in good order."""
    site = Site()
    listener = site.listen()
    closed: list[None] = []
    site.factory.closeConnections().addCallback(closed.append)
    assert bytes(listener.wire.value()).endswith(b"0\r\n\r\n")
    site.clock.pump([0.1] * 5)
    assert closed == [None]
    assert len(site.rooms) == 0


class SlowCase(SynchronousTestCase):
    """Listeners that do not read."""

    def site(self, policy: str) -> tuple[Site, Guest, Asked]:
        """@return: a server, somebody who talks, and a listener whose transport is full."""
        site = Site(sendLimit=1000, slowPolicy=policy)
        guest, listener = site.guest(), site.listen()
        listener.wire.fill()
        for number in range(20):
            guest.say(f"{number} " + "x" * 200)
            site.clock.advance(0)
            site.clock.advance(0)
        guest.heard()
        return site, guest, listener

    def counted(self, site: Site, event: str) -> int:
        """@return: how often an event was counted."""
        events: dict[str, int] = site.factory.statistics()["events"]
        return events[event]

    def test_close(self) -> None:
        """With the policy close the connection ends."""
        site, guest, listener = self.site("close")
        assert self.counted(site, "slow closed") == 1
        assert listener.wire.lost
        assert site.factory.shared.budget.held == 0
        guest.leave()
        assert len(site.rooms) == 0

    def test_drop(self) -> None:
        """With the policy drop it misses what is over the limit, and hears what comes later."""
        site, guest, listener = self.site("drop")
        assert site.factory.shared.budget.held < 2000
        listener.wire.drain()
        heard = len(listener.heard())
        assert 4 < heard < 10
        assert self.counted(site, "messages dropped") == 20 - heard
        guest.say("now")
        assert listener.heard()[-1] == said(guest, "now")[0]
        assert site.factory.shared.budget.held == 0

    def test_latest(self) -> None:
        """With the policy latest it hears the newest when it reads again."""
        _, guest, listener = self.site("latest")
        listener.wire.drain()
        assert listener.heard()[-1] == f"{guest.id}: 19 " + "x" * 200
        assert len(listener.heard()) < 10

    def test_memory(self) -> None:
        """When all hold too much, a listener that holds most ends."""
        site = Site(sendLimit=1 << 20, memoryLimit=5000)
        guest, listener = site.guest(), site.listen()
        listener.wire.fill()
        guest.say(*("x" * 200 for _ in range(40)))
        site.clock.advance(0)
        assert self.counted(site, "memory relieved") == 1
        assert listener.wire.lost

    def test_past(self) -> None:
        """The past waits for the client to read, and is no backlog."""
        site = Site(sendLimit=200_000)
        guest = site.guest()
        for number in range(100):
            guest.say(f"{number} " + "x" * 20_000)
        guest.heard()

        class Full(TCPWire):
            def write(self, data: bytes) -> None:
                super().write(data)
                if b"xxxx" in data and self.producer is not None:
                    self.fill()

        listener = site.listen("/chat?last=100", kind=Full)
        for _ in range(5):
            site.clock.advance(1)
        assert len(listener.wire.value()) < 200_000
        for _ in range(60):
            listener.wire.drain()
            site.clock.advance(0)
        assert [text.split()[1] for text in listener.heard()] == [*map(str, range(100))]
        guest.say("now")
        listener.wire.drain()
        assert listener.heard()[-1] == said(guest, "now")[0]


class HookTests(SynchronousTestCase):
    """Hooks are asked about those without a WebSocket, too."""

    def test_join(self) -> None:
        """Who may not come may neither listen nor speak."""
        asked: list[str] = []

        def onJoin(visitor: Visitor) -> bool:
            assert visitor.request is not None
            asked.append(visitor.request.method.decode())
            visitor.send("welcome")
            return visitor.room == "open"

        left: list[str] = []
        site = Site(
            Rooms("/chat", onJoin=onJoin, onLeave=lambda visitor: left.append(visitor.room))
        )
        assert site.listen("/chat/closed").status == 403
        assert site.post(target="/chat/closed").status == 403
        assert site.post(target="/chat/open").status == 200
        listener = site.listen("/chat/open")
        assert listener.heard() == ["welcome"]
        assert asked == ["GET", "POST", "POST", "GET"]
        assert left == []
        listener.wire.lose()
        assert left == ["open"]

    def test_avatar(self) -> None:
        """A hook learns who has logged in, and nothing that was not checked."""
        avatars: list[object] = []

        def onJoin(visitor: Visitor) -> None:
            request: Any = visitor.request
            avatars.append(request.avatar)

        for fromAnywhere in (True, False):
            site = Site(Rooms("/chat", onJoin=onJoin), fromAnywhere=fromAnywhere)
            site.guest()
            site.listen("/chat", "Authorization: Basic Ym9iOng=")
            site.post(b"x", "Authorization: Basic Ym9iOng=")
        assert avatars == [None, b"bob", b"bob", None, None, None]

    def test_message(self) -> None:
        """What is posted is changed and refused as other messages are."""

        async def onMessage(visitor: Visitor, message: str) -> Any:
            if message == "no":
                visitor.send("not that")
                return False
            return message.upper()

        site = Site(Rooms("/chat", onMessage=onMessage))
        guest = site.guest()
        guest.heard()
        assert site.post(b"hi").status == 200
        refused = site.post(b"no")
        assert (refused.status, refused.body) == (403, b"not that\n")
        assert guest.heard() == ["HI"]

    def test_slowJoin(self) -> None:
        """A listener that is gone while a hook is asked never was here."""
        asked: list[Deferred[None]] = []

        def onJoin(visitor: Visitor) -> Deferred[None]:
            asked.append(Deferred())
            return asked[-1]

        site = Site(Rooms("/chat", onJoin=onJoin))
        listener, stays = site.listen(), site.listen()
        assert listener.head == ""
        listener.wire.lose()
        for each in asked:
            each.callback(None)
        assert listener.head == ""
        assert stays.status == 200
        assert list(site.rooms) == [""]

    def test_raised(self) -> None:
        """A hook that raises makes 500, and is logged."""

        def fail(*_: object) -> Any:
            raise ZeroDivisionError

        site = Site(Rooms("/chat", onJoin=fail))
        assert site.listen().status == site.post().status == 500
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 2
        site = Site(Rooms("/chat", onLeave=fail))
        site.listen().wire.lose()
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
        assert len(site.rooms) == 0

    def test_sentAway(self) -> None:
        """A hook can end a stream."""
        visitors: list[Visitor] = []
        site = Site(Rooms("/chat", onJoin=visitors.append))
        listener = site.listen()
        visitors[0].close()
        assert bytes(listener.wire.value()).endswith(b"0\r\n\r\n")
        assert len(site.rooms) == 0
