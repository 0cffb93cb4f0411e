"""Rooms: which client gets what, from which entry on, in which format; hooks, and limits."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.clients import Attempt, exchange
from tests.delaying import DelayedBackplane
from tests.loopback import TCPWire
from tests.support import IDIOMS
from tests.test_backplane import result
from txhixie import Broadcast, HandshakeError, HixieFactory, Settings
from txhixie.applications.rooms import Rooms
from txhixie.applications.visiting import Visitor
from txhixie.applications.wording import PLAIN, Wording
from txhixie.backplane.contract import BackplaneError, Entry, parseId
from txhixie.backplane.local import LocalBackplane
from txhixie.dialects.errors import HandshakeRefused

DIALECTS = tuple(IDIOMS)


class Narrow(TCPWire):
    """A connection that is full after each write, until the client reads."""

    _isFull = False

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.producer is not None and not self._isFull:
            self._isFull = True
            self.fill()

    def take(self) -> bytes:
        taken = super().take()
        if self._isFull:
            self._isFull = False
            self.drain()
        return taken


class Guest(Attempt):
    """A client of a room."""

    def __init__(
        self,
        house: House,
        dialect: str,
        path: str,
        kind: type[TCPWire] = TCPWire,
        isSlow: bool = False,
    ) -> None:
        """
        @param kind: the server's end of the connection.
        @param isSlow: whether the client sends its handshake, and reads nothing yet.
        """
        super().__init__(dialect, f"ws://example.com{path}", clock=house.clock)
        protocol: Any = house.factory.buildProtocol(None)
        self.serving = kind(protocol, self.clock)
        if isSlow:
            self.serving.send(self.wire.take())
        else:
            self.exchange()

    def exchange(self) -> None:
        """Let both sides read until nothing more comes."""
        exchange(self.wire, self.serving)

    @property
    def id(self) -> str:
        """What the server calls it."""
        return self.serving.webSocket.id

    def say(self, *texts: str) -> None:
        """Send messages."""
        for text in texts:
            self.outcome.sendTextMessage(text)
        self.exchange()

    def leave(self) -> None:
        """Close."""
        self.outcome.loseConnection()
        self.exchange()

    def heard(self) -> list[str]:
        """@return: the messages that have come since this was last asked."""
        self.clock.advance(0)
        self.exchange()
        calls, self.recording.calls[:] = self.recording.calls[:], []
        return [call.removeprefix("text: ") for call in calls if call.startswith("text: ")]

    def objects(self) -> list[dict[str, Any]]:
        """@return: the same as JSON."""
        return [json.loads(text) for text in self.heard()]

    @property
    def refusal(self) -> tuple[int, bytes]:
        """The status and the text that it was refused with."""
        assert isinstance(self.outcome, HandshakeRefused)
        return self.outcome.status, self.outcome.body.rstrip()


class House:
    """A server of rooms at C{/chat}."""

    def __init__(self, rooms: Rooms | None = None, **settings: Any) -> None:
        self.clock = Clock()
        self.rooms = Rooms("/chat") if rooms is None else rooms
        self.factory = HixieFactory(self.rooms, settings=Settings(**settings), reactor=self.clock)
        self._dialects = 0

    def guest(self, path: str = "/chat", dialect: str = "", **options: Any) -> Guest:
        """@return: a new client; of another dialect each time, if none is given."""
        if not dialect:
            dialect = DIALECTS[self._dialects % len(DIALECTS)]
            self._dialects += 1
        return Guest(self, dialect, path, **options)


def said(guest: Guest, *texts: str) -> list[str]:
    """@return: what others hear when a guest says something."""
    return [f"{guest.id}: {text}" for text in texts]


def came(*guests: Guest) -> list[str]:
    """@return: the news that guests came."""
    return [f"New Connection: {guest.id}" for guest in guests]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_rooms(dialect: str) -> None:
    """Rooms have nothing to do with each other; one is at the path itself."""
    house = House()
    red, blue, none = (house.guest(path, dialect) for path in ("/chat/red", "/chat/blue", "/chat"))
    second = house.guest("/chat/red/", dialect)
    far = house.guest("/elsewhere", dialect)
    red.say("h\u00e9")
    none.say("ho")
    assert red.heard() == [*came(red, second), *said(red, "h\u00e9")]
    assert second.heard() == [*came(second), *said(red, "h\u00e9")]
    assert blue.heard() == came(blue)
    assert none.heard() == [*came(none, far), *said(none, "ho")]
    assert sorted(house.rooms) == ["", "blue", "red"]
    red.leave()
    assert second.heard() == [f"Connection Closed: {red.id}"]
    for guest in (second, blue, none, far):
        guest.leave()
    assert (len(house.rooms), bool(house.rooms)) == (0, True)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/chat/r%20d", "r d"),
        ("/chat/gr%C3%BCn", "gr\u00fcn"),
        ("/c%68at/red", "red"),
        ("/chat/", ""),
        ("/chatter", ""),
        ("/chat/" + "x" * 64, "x" * 64),
        ("/chat/red?last=0", "red"),
        ("/chat/%F0%9F%98%80", "\U0001f600"),
    ],
)
def test_names(path: str, name: str) -> None:
    """The name of a room is the segment after the path of the rooms, decoded."""
    house = House()
    house.guest(path)
    assert list(house.rooms) == [name]


@pytest.mark.parametrize(
    "path",
    ["/chat/a/b", "/chat//a", "/chat/a%2Fb", "/chat/%00", "/chat/a%0A", "/chat/%FF",
     "/chat/%E2%80%AE", "/chat/" + "x" * 65],
)  # fmt: skip
def test_noRoom(path: str) -> None:
    """What cannot be a room's name is refused, and leaves nothing."""
    house = House()
    status, text = house.guest(path).refusal
    assert status == 404
    assert text.startswith(b"there is no such room: ")
    assert len(house.rooms) == 0


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("since=1", b"since: '1' is no id of an entry"),
        ("since=1-2&since=1-3", b"there is more than one since"),
        ("since=1-2&last=3", b"either since or last is wanted"),
        ("last=-1", b"last is a number of entries"),
        ("last=", b"last is a number of entries"),
        ("last=%D9%A1", b"last is a number of entries"),
        ("last=" + "9" * 16, b"last is a number of entries"),
        ("format=xml", b"format is one of text, json"),
    ],
)
def test_wrongQuery(query: str, text: bytes) -> None:
    """A query that means nothing is refused in one line."""
    assert House().guest(f"/chat?{query}").refusal == (400, text)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_last(dialect: str) -> None:
    """A client that comes late first gets the newest entries, then all that follows, each once."""
    house = House()
    first = house.guest(dialect=dialect)
    first.say("1", "2", "3")
    for count, before in ((0, []), (2, ["2", "3"]), (99, None)):
        late = house.guest(f"/chat?last={count}", dialect)
        first.say("4")
        expected = [*came(first), *said(first, "1", "2", "3")]
        if before is not None:
            expected = expected[len(expected) - count :]
        assert late.heard() == [*expected, *came(late), *said(first, "4")]
        late.leave()
        first.heard()
        house.rooms.backplane._logs.clear()  # type: ignore[attr-defined]
        house = House()
        first = house.guest(dialect=dialect)
        first.say("1", "2", "3")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_since(dialect: str) -> None:
    """A client that comes back gets what it missed, its own leaving included, and then the rest."""
    house = House()
    other = house.guest()
    guest = house.guest("/chat?format=json", dialect)
    other.say("1")
    *_, last = guest.objects()
    assert last == {"id": last["id"], "event": "message", "from": other.id, "text": "1"}
    guest.leave()
    other.say("2")
    again = house.guest(f"/chat?since={last['id']}&format=json", dialect)
    other.say("3")
    entries = again.objects()
    assert [(each["event"], each["from"], each["text"]) for each in entries] == [
        ("close", guest.id, ""),
        ("message", other.id, "2"),
        ("open", again.id, ""),
        ("message", other.id, "3"),
    ]
    epoch, offset = parseId(last["id"])
    assert [parseId(each["id"]) for each in entries] == [
        (epoch, offset + number) for number in range(1, 5)
    ]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_gap(dialect: str) -> None:
    """A client that comes back for more than is kept first gets the number of lost entries."""
    house = House(Rooms("/chat", LocalBackplane(history=3)))
    other = house.guest()
    guest = house.guest("/chat?format=json", dialect)
    (own,) = guest.objects()
    other.say(*"12345")
    for query, gap in (("", "Messages Missed: 3"), ("&format=json", None)):
        again = house.guest(f"/chat?since={own['id']}{query}", dialect)
        if gap:
            assert again.heard() == [gap, *said(other, "4", "5"), *came(again)]
            again.leave()
            other.say("6")
        else:
            first = again.objects()[0]
            assert (first["event"], first["from"], first["text"]) == ("gap", "", "6")
            assert parseId(first["id"])[1] == parseId(own["id"])[1] + 6
    gone = house.guest("/chat?since=1-1", dialect)
    assert gone.heard()[0] == "Messages Missed"


def test_beginning() -> None:
    """With since=0-0 everything that is kept is sent, and no gap."""
    house = House(Rooms("/chat", LocalBackplane(history=3)))
    first = house.guest()
    first.say(*"123")
    late = house.guest("/chat?since=0-0")
    assert late.heard() == [*said(first, "2", "3"), *came(late)]


def test_formats() -> None:
    """Members that want JSON and others hear the same; what has newlines or quotes is escaped."""
    house = House()
    plain, structured = house.guest(), house.guest("/chat?format=json")
    text = 'a"\\\n\u2028\U0001f600'
    plain.say(text)
    structured.exchange()
    structured.leave()
    assert plain.heard() == [
        *came(plain, structured),
        *said(plain, text),
        f"Connection Closed: {structured.id}",
    ]
    assert [(each["event"], each["from"], each["text"]) for each in structured.objects()] == [
        ("open", structured.id, ""),
        ("message", plain.id, text),
    ]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_presence(dialect: str) -> None:
    """A client that asks gets the current members, itself included, after the past."""
    house = House()
    a, b = house.guest(), house.guest()
    house.guest("/chat/other")
    b.leave()
    c = house.guest("/chat?presence", dialect)
    assert c.heard() == [*came(c), f"Present: {', '.join(sorted((a.id, c.id)))}"]
    d = house.guest("/chat?presence&format=json&last=1", dialect)
    objects = d.objects()
    assert [each["event"] for each in objects] == ["open", "open", "presence"]
    assert objects[-1] == {
        "id": objects[-2]["id"],
        "event": "presence",
        "members": sorted((a.id, c.id, d.id)),
    }
    found: list[tuple[str, ...]] = []
    house.rooms.members("").addCallback(found.append)
    assert found == [tuple(sorted((a.id, c.id, d.id)))]


def test_slowLatecomer() -> None:
    """The past is sent no faster than it is read, and entries of meanwhile come in their place."""
    house = House(sendLimit=200_000, slowPolicy="close")
    talker = house.guest()
    for number in range(100):
        talker.say(f"{number} " + "x" * 20_000)
    talker.heard()
    slow = house.guest("/chat?last=100", kind=Narrow, isSlow=True)
    for _ in range(10):
        house.clock.advance(0.1)
        talker.say("meanwhile")
    assert 0 < len(slow.serving.value()) < 200_000
    assert slow.serving.webSocket._outgoing.held < 200_000
    heard = slow.heard()
    assert [text.split()[1] for text in heard[:100]] == [*map(str, range(100))]
    assert heard[100:] == [*came(slow), *said(talker, *["meanwhile"] * 10)]
    talker.say("now")
    assert slow.heard() == said(talker, "now")
    assert slow.serving.webSocket._attached._producer is None  # type: ignore[union-attr]


# Hooks


def test_onJoin() -> None:
    """A hook refuses clients, greets them, and says what goes with the news."""
    greeted: list[tuple[str, str]] = []

    def onJoin(visitor: Visitor) -> Any:
        assert visitor.request is not None
        name = visitor.request.args.get(b"name", [b""])[0].decode()
        if name == "eve":
            raise HandshakeError(401, "not you")
        greeted.append((visitor.room, name))
        visitor.send(f"welcome, {name}")
        return {"": None, "bob": False}.get(name, name)

    house = House(Rooms("/chat", onJoin=onJoin))
    nobody = house.guest("/chat?format=json")
    alice = house.guest("/chat?name=alice")
    assert house.guest("/chat?name=bob").refusal == (403, b"this room is closed to you")
    assert house.guest("/chat?name=eve").refusal == (401, b"not you")
    assert alice.heard() == ["welcome, alice", *came(alice)]
    assert [(each["event"], each["text"]) for each in nobody.objects()] == [
        ("message", "welcome, "),
        ("open", ""),
        ("open", "alice"),
    ]
    assert greeted == [("", ""), ("", "alice"), ("", "bob")]


@pytest.mark.parametrize("isAsync", [False, True])
def test_onMessage(isAsync: bool) -> None:
    """A hook changes messages, swallows them, and answers the sender alone."""

    def onMessage(visitor: Visitor, message: str) -> Any:
        if message == "bye":
            visitor.close(4000, "bye")
        if message.startswith("/"):
            visitor.send(f"you are {visitor.id}")
            return False
        return message.upper() if message != "as it is" else None

    async def later(visitor: Visitor, message: str) -> Any:
        await succeed(None)
        return onMessage(visitor, message)

    house = House(Rooms("/chat", onMessage=later if isAsync else onMessage))
    a, b = house.guest(), house.guest()
    a.say("hi", "/who", "as it is")
    assert a.heard() == [*came(a, b), *said(a, "HI"), f"you are {a.id}", *said(a, "as it is")]
    assert b.heard() == [*came(b), *said(a, "HI", "as it is")]
    a.say("bye")
    assert b.heard() == [*said(a, "BYE"), f"Connection Closed: {a.id}"]


class HookTests(SynchronousTestCase):
    """What hooks do wrong, and that they take their time."""

    def test_slowMessages(self) -> None:
        """What a member says while a hook is asked waits, and stays in order; others go on."""
        asked: list[tuple[str, Deferred[str | None]]] = []

        def onMessage(visitor: Visitor, message: str) -> Deferred[str | None]:
            asked.append((message, Deferred()))
            return asked[-1][1]

        house = House(Rooms("/chat", onMessage=onMessage))
        a, b = house.guest(), house.guest()
        a.heard()
        a.say("1", "2")
        b.say("x")
        assert [message for message, _ in asked] == ["1", "x"]
        asked[1][1].callback(None)
        assert a.heard() == said(b, "x")
        asked[0][1].callback("one")
        asked[2][1].callback(None)
        assert a.heard() == said(a, "one", "2")

    def test_raised(self) -> None:
        """A hook that raises, or answers nonsense, ends that connection only."""

        def onMessage(visitor: Visitor, message: str) -> Any:
            if message == "1":
                raise ZeroDivisionError
            return 7 if message == "7" else "\ud800" if message == "s" else None

        house = House(Rooms("/chat", onMessage=onMessage))
        b = house.guest()
        for text, error in (("1", ZeroDivisionError), ("7", TypeError), ("s", UnicodeEncodeError)):
            a = house.guest()
            a.say(text)
            assert a.outcome.state.name == "CLOSED"
            assert len(self.flushLoggedErrors(error)) == 1
            assert f"Connection Closed: {a.id}" in b.heard()
        b.say("still here")
        assert b.heard() == said(b, "still here")

    def test_joinRaised(self) -> None:
        """A client that the hook for joining fails on is refused, and nothing remains of it."""

        def onJoin(visitor: Visitor) -> Any:
            raise ZeroDivisionError

        house = House(Rooms("/chat", onJoin=onJoin))
        assert house.guest().refusal[0] == 500
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
        assert len(house.rooms) == 0

    def test_slowJoin(self) -> None:
        """The handshake waits for the hook, and a client that is gone meanwhile never was here."""
        asked: list[Deferred[None]] = []

        def onJoin(visitor: Visitor) -> Deferred[None]:
            asked.append(Deferred())
            return asked[-1]

        house = House(Rooms("/chat", onJoin=onJoin))
        first, second = house.guest(), house.guest()
        assert first.outcome is None
        second.serving.lose()
        for each in asked:
            each.callback(None)
        house.clock.advance(0)
        assert first.heard() == came(first)

    def test_onLeave(self) -> None:
        """A hook is called for each client that leaves, and its text goes with the news."""
        left: list[str] = []

        def onLeave(visitor: Visitor) -> Any:
            left.append(visitor.id)
            if len(left) == 2:
                raise ZeroDivisionError
            return "gone fishing"

        house = House(Rooms("/chat", onLeave=onLeave))
        stays = house.guest("/chat?format=json")
        for _ in range(2):
            guest = house.guest()
            guest.leave()
            house.clock.advance(0)
            *_, last = stays.objects()
            assert (last["event"], last["from"]) == ("close", guest.id)
            assert last["text"] == ("gone fishing" if len(left) == 1 else "")
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1

    def test_hangingLeave(self) -> None:
        """A hook that never ends does not keep the others from hearing of the end."""
        house = House(Rooms("/chat", onLeave=lambda visitor: Deferred()), closeTimeout=2)
        stays, goes = house.guest(), house.guest()
        goes.leave()
        stays.heard()
        house.clock.advance(3)
        assert stays.heard() == [f"Connection Closed: {goes.id}"]


# The rest of the program


def test_send() -> None:
    """The program says things in a room, with or without a name; nobody has to be there."""
    house = House()
    guest, structured = house.guest("/chat/red"), house.guest("/chat/red?format=json")
    guest.heard()
    structured.heard()
    ids: list[str | None] = []
    for sender, text in (("", "bare"), ("clock", "tick")):
        house.rooms.send("red", text, sender).addCallback(ids.append)
    house.rooms.send("nobody", "x").addCallback(ids.append)
    house.clock.advance(0)
    assert guest.heard() == ["bare", "clock: tick"]
    objects = structured.objects()
    assert [each["id"] for each in objects] == ids[:2]
    assert [each["from"] for each in objects] == ["", "clock"]
    assert house.guest("/chat/nobody?last=1").heard()[0] == "x"


def test_sendMuch() -> None:
    """Much that is said at once goes out in one write for each member."""
    house = House()
    guest = house.guest("/chat/red", "hixie-76")
    guest.heard()
    writes: list[bytes] = []
    write = guest.serving.write
    guest.serving.write = lambda data: (writes.append(data), write(data))  # type: ignore
    for number in range(100):
        house.rooms.send("red", str(number))
    house.clock.advance(0)
    assert len(writes) == 1
    assert guest.heard() == [*map(str, range(100))]


@pytest.mark.parametrize(
    ("room", "text", "error"),
    [("a/b", "x", ValueError), ("x" * 65, "x", ValueError), ("a", "\ud800", UnicodeEncodeError),
     ("a", b"x", TypeError)],
)  # fmt: skip
def test_sendWrong(room: str, text: Any, error: type[Exception]) -> None:
    """What cannot be said raises, and nobody hears of it."""
    with pytest.raises(error):
        Rooms().send(room, text)


def test_key() -> None:
    """What is said again with its key is heard once."""
    house = House()
    guest = house.guest()
    guest.heard()
    ids: list[str | None] = []
    for _ in range(2):
        house.rooms.send("", "once", key="k").addCallback(ids.append)
    house.clock.advance(0)
    assert ids[0] == ids[1]
    assert guest.heard() == ["once"]


def test_paths() -> None:
    """Rooms of one path on one backplane are one, those of different paths are not."""
    backplane = LocalBackplane()
    one, same, other = (Rooms(path, backplane) for path in ("/a", "/a/", "/b"))
    guests = [House(rooms).guest("/a/red") for rooms in (one, same)]
    elsewhere = House(other).guest("/b/red")
    guests[0].say("hi")
    for guest in guests:
        assert guest.heard()[-1] == said(guests[0], "hi")[0]
    assert elsewhere.heard() == came(elsewhere)
    with pytest.raises(ValueError, match="'chat' is not a path like /chat"):
        Rooms("chat")


# Limits


def test_maxRooms() -> None:
    """The number of rooms has a limit; a room that exists takes more clients."""
    house = House(Rooms("/chat", maxRooms=2))
    first, second = house.guest("/chat/1"), house.guest("/chat/2")
    third = house.guest("/chat/3")
    assert third.refusal == (503, b"there are too many rooms")
    assert b"retry-after" in third.outcome.headers
    house.guest("/chat/2")
    assert len(house.rooms) == 2
    first.leave()
    house.guest("/chat/3")
    assert sorted(house.rooms) == ["2", "3"]
    second.say("x")


def test_maxRoomsAtOnce() -> None:
    """Clients that were admitted together are counted again when they come."""
    asked: list[Deferred[None]] = []

    def onJoin(visitor: Visitor) -> Deferred[None]:
        asked.append(Deferred())
        return asked[-1]

    house = House(Rooms("/chat", maxRooms=1, onJoin=onJoin))
    guests = [house.guest(f"/chat/{number}", "rfc6455") for number in range(3)]
    for each in asked:
        each.callback(None)
    for guest in guests:
        guest.exchange()
    assert guests[0].heard() == came(guests[0])
    for guest in guests[1:]:
        assert (guest.recording.ending.code, guest.recording.ending.reason) == (
            1013,
            "there are too many rooms",
        )
        guests[0].say("x")
    assert list(house.rooms) == ["0"]


def test_emptyRooms() -> None:
    """Rooms that are empty cost nothing in the application, and little in the backplane."""
    backplane = LocalBackplane(maxRooms=10)
    house = House(Rooms("/chat", backplane))
    for number in range(100):
        house.guest(f"/chat/{number}", "hixie-76").leave()
        house.clock.advance(0)
    assert len(house.rooms) == 0
    assert len(backplane._logs) == len(backplane._empty) == 10
    house.clock.advance(60)
    assert house.clock.getDelayedCalls() == []


def test_bytes() -> None:
    """Bytes end their sender's connection."""
    house = House()
    guest = house.guest(dialect="rfc6455")
    guest.outcome.sendBytesMessage(b"x")
    guest.exchange()
    assert guest.recording.ending.code == 1003


# A backplane that takes its time


def _until(house: House, backplane: DelayedBackplane, *guests: Guest) -> None:
    house.clock.advance(0)
    while backplane.step():
        house.clock.advance(0)
    for guest in guests:
        guest.exchange()


def test_slowBackplane() -> None:
    """Joins, messages and leaves go through in order although everything is answered later."""
    backplane = DelayedBackplane()
    house = House(Rooms("/chat", backplane))
    a = house.guest("/chat?presence&format=json")
    a.say("1", "2")
    assert a.heard() == []
    _until(house, backplane, a)
    b = house.guest("/chat?last=2")
    a.say("3")
    _until(house, backplane, a, b)
    events = [(each["event"], each.get("text")) for each in a.objects()]
    assert events[:1] == [("open", "")]
    assert ("presence", None) in events
    events.remove(("presence", None))
    assert events[1:] == [("message", "1"), ("message", "2"), ("open", ""), ("message", "3")]
    assert b.heard() == [*said(a, "1", "2"), *came(b), *said(a, "3")]
    b.leave()
    _until(house, backplane, a)
    assert [each["event"] for each in a.objects()] == ["close"]
    a.leave()
    _until(house, backplane)
    assert backplane.receivers == 0


def test_presenceMeanwhile() -> None:
    """Who comes, speaks and leaves while somebody is counted is counted."""
    log = LocalBackplane()
    backplane = DelayedBackplane(log)
    house = House(Rooms("/chat", backplane))
    log.publish("/chat", "open", "stays")
    log.publish("/chat", "open", "goes")
    guest = house.guest("/chat?presence")
    while not guest.heard():
        assert backplane.step()
    log.publish("/chat", "open", "comes")
    log.publish("/chat", "close", "goes")
    log.publish("/chat", "message", "comes", "hi")
    assert backplane.step(news=False)
    _until(house, backplane)
    heard = guest.heard()
    present = next(text for text in heard if text.startswith("Present: "))
    assert {"comes", "goes"} & {*present[9:].split(", ")} in ({"comes"}, {"goes"})
    assert "Connection Closed: goes" in heard[heard.index(present) :] or "goes" not in present
    # Now the news are there before the answer.
    late = house.guest("/chat?presence")
    while not late.heard():
        assert backplane.step()
    log.publish("/chat", "open", "later")
    log.publish("/chat", "message", "later", "ho")
    log.publish("/chat", "close", "comes")
    _until(house, backplane)
    present = next(text for text in late.heard() if text.startswith("Present: "))
    assert {*present[9:].split(", ")} == {"stays", "later", guest.id, late.id}


def test_goneBeforeSubscribed() -> None:
    """A client that is gone before the backplane answered leaves no trace."""
    backplane = DelayedBackplane()
    house = House(Rooms("/chat", backplane))
    a = house.guest()
    a.leave()
    _until(house, backplane)
    assert len(house.rooms) == backplane.receivers == 0
    b = house.guest("/chat?last=9")
    _until(house, backplane, b)
    assert b.heard() == came(b)


def test_full() -> None:
    """While too much waits to be published its senders are paused, and nothing is lost."""
    backplane = DelayedBackplane()
    house = House(Rooms("/chat", backplane))
    a = house.guest()
    _until(house, backplane, a)
    backplane.isFull = True
    a.say("1", "2")
    assert backplane.waiting == 1
    assert a.serving.webSocket.isPaused
    backplane.isFull = False
    _until(house, backplane, a)
    assert a.heard() == [*came(a), *said(a, "1", "2")]
    assert not a.serving.webSocket.isPaused


def test_down() -> None:
    """While the backplane does not work, clients have to try again later."""
    backplane = DelayedBackplane()
    house = House(Rooms("/chat", backplane))
    backplane.problem = "Redis does not answer"
    refused = house.guest()
    assert refused.refusal == (503, b"Redis does not answer")
    assert b"retry-after" in refused.outcome.headers
    backplane.problem = None
    assert house.guest().outcome.state.name == "OPEN"


@pytest.mark.parametrize("method", ["publish", "subscribe", "read", "tail", "members"])
def test_failing(method: str) -> None:
    """What fails for good closes the connection it is for, and says why."""
    backplane = DelayedBackplane()
    house = House(Rooms("/chat", backplane))
    backplane.failures[method] = BackplaneError("it is over")
    guest = house.guest("/chat?presence&last=3", "rfc6455")
    _until(house, backplane, guest)
    assert (guest.recording.ending.code, guest.recording.ending.reason) == (1013, "it is over")
    house.clock.advance(60)
    assert len(house.rooms) == 0


def test_crowd() -> None:
    """A room with many members of all dialects and both formats: all hear one order."""
    house = House()
    guests = [house.guest(f"/chat?format={('text', 'json')[n % 2]}") for n in range(200)]
    for guest in guests:
        guest.heard()
    for number, guest in enumerate(guests[:20]):
        guest.outcome.sendTextMessage(str(number))
    for guest in guests:
        guest.exchange()
    expected = [str(number) for number in range(20)]
    for number, guest in enumerate(guests):
        if number % 2:
            heard = [each["text"] for each in guest.objects()]
        else:
            heard = [text.split(": ")[1] for text in guest.heard()]
        assert heard == expected


def test_framedOnce() -> None:
    """An entry is put into words once for each format, however many members there are."""
    house = House()
    guests = [house.guest(dialect="rfc6455") for _ in range(20)]
    calls: list[str] = []

    def word(entry: Entry) -> str:
        calls.append(entry.text)
        return entry.text

    wording = Wording(word, PLAIN.presence)
    room = house.rooms.enter("")
    assert room is not None
    room._live = {wording: room._live[PLAIN]}
    guests[0].say("1", "2")
    assert calls == ["1", "2"]
    for guest in guests:
        assert guest.heard()[-2:] == ["1", "2"]


def test_broadcast() -> None:
    """The service broadcast is at /broadcast, and every path but those below it leads there."""
    house = House(Broadcast())
    paths = ("/", "/broadcast", "/demo", "/broadcast/red")
    guests = [house.guest(path) for path in paths]
    guests[0].say("hi")
    for guest in guests[:3]:
        assert guest.heard()[-1:] == said(guests[0], "hi")
    assert guests[3].heard() == came(guests[3])


_ACTIONS = ("come", "say", "step", "step", "news", "settle", "leave")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_anyOrder(data: st.DataObject) -> None:
    """However answers and news of two nodes interleave, clients hear the log without a hole."""
    log = LocalBackplane(history=10_000)
    backplanes = [DelayedBackplane(log), DelayedBackplane(log)]
    houses = [House(Rooms("/chat", backplane)) for backplane in backplanes]
    log.publish("/chat", "message", "early", "x")
    (start,) = result(log.read("/chat", "0-0", 9))
    guests: list[tuple[Guest, str]] = []
    heard: dict[Guest, list[dict[str, Any]]] = {}
    for _ in range(data.draw(st.integers(5, 40))):
        node = data.draw(st.integers(0, 1))
        match data.draw(
            st.sampled_from(["come", "say", "step", "step", "news", "settle", "leave"])
        ):
            case "come" if len(guests) < 8:
                query = data.draw(st.sampled_from(["", f"&since={start.id}", "&last=3"]))
                guest = houses[node].guest(f"/chat?format=json{query}", "hixie-76")
                guests.append((guest, query))
                heard[guest] = []
            case "say" if guests:
                data.draw(st.sampled_from(guests))[0].say("a", "b")
            case "step" | "news" as what:
                backplanes[node].step(what == "news")
            case "settle":
                houses[node].clock.advance(0)
            case "leave" if data.draw(st.booleans()) and guests:
                guest, query = guests.pop(data.draw(st.integers(0, len(guests) - 1)))
                heard[guest] += guest.objects()
                guest.leave()
                heard[guest] += guest.objects()
    for _ in range(3):
        for house, backplane in zip(houses, backplanes, strict=True):
            _until(house, backplane)
    everything = {each.id: each for each in result(log.read("/chat", "0-0", 10_000))}
    last = [*everything][-1]
    for guest, query in guests:
        heard[guest] += guest.objects()
        assert heard[guest][-1]["id"] == last
        own = next(each.id for each in everything.values() if each[1:3] == ("open", guest.id))
        if not query:
            assert heard[guest][0]["id"] == own
        elif "since" in query:
            assert parseId(heard[guest][0]["id"])[1] == parseId(start.id)[1] + 1
    for entries in heard.values():
        offsets = [parseId(each["id"])[1] for each in entries]
        assert offsets == [*range(offsets[0], offsets[0] + len(offsets))] if offsets else True
        for each in entries:
            entry = everything[each["id"]]
            assert (each["event"], each["from"], each["text"]) == entry[1:]


def resume(house: House, talk: Callable[[int], object], turns: int, messages: int) -> list[str]:
    """
    @return: what a client has heard that was cut off and came back with C{since} all the time.
    """
    heard: list[dict[str, Any]] = []
    since = "0-0"
    for turn in range(turns):
        dialect = DIALECTS[turn % len(DIALECTS)]
        guest = Guest(house, dialect, f"/chat?format=json&since={since}")
        for number in range(messages):
            talk(turn * messages + number)
            if number % 7 == turn % 7:
                heard += guest.objects()
        if turn % 3:
            heard += guest.objects()
        # Without a close; what is on its way is lost.
        guest.serving.lose()
        since = heard[-1]["id"]
    guest = Guest(house, "rfc6455", f"/chat?format=json&since={since}")
    heard += guest.objects()
    ids = [parseId(each["id"]) for each in heard]
    assert ids == [(ids[0][0], number) for number in range(1, len(ids) + 1)]
    return [each["text"] for each in heard if each["event"] == "message"]


def test_resume() -> None:
    """A client that comes back 100 times while 3,000 messages pass hears each once, in order."""
    house = House(Rooms("/chat", LocalBackplane(history=5000)))
    talker = house.guest()
    texts = resume(house, lambda number: talker.say(str(number)), 100, 30)
    assert texts == [*map(str, range(3000))]
