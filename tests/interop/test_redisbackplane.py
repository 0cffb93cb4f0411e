"""The backplane on Redis, with a Redis server of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Any, cast

import pytest
from greenlet import greenlet  # type: ignore[import-untyped]
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.protocol import ClientCreator, Factory, Protocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from tests.backplanes import BackplaneMachine, System
from tests.redis import RedisServer, clock, happens, inReactor, soon, until, wait
from tests.test_metrics import values
from txhixie.backplane import makeBackplane
from txhixie.backplane.contract import BEGINNING, Backplane, BackplaneError, Entry, parseId
from txhixie.backplane.redis.backplane import RedisBackplane
from txhixie.backplane.redis.publishing import BURY, _Outbox, _Publication
from txhixie.backplane.redis.url import parseURL
from txhixie.settings import Settings


class Nodes:
    """
    Some backplane objects on one server.

    @ivar nodes: these, as the contract has them.
    @ivar backplanes: these.
    """

    def __init__(
        self, server: RedisServer, count: int = 3, history: int = 20, limit: int = 1000
    ) -> None:
        self.server = server
        self.history = history
        self.backplanes: list[RedisBackplane] = []
        self.nodes: Sequence[Backplane] = self.backplanes
        for _ in range(count):
            made = makeBackplane(server.url, Settings(history=history, publishLimit=limit))
            assert isinstance(made, RedisBackplane)
            made.startService()
            self.backplanes.append(made)

    def wait(self, deferred: Deferred[Any]) -> Any:
        """@return: what a Deferred fires with."""
        return wait(deferred)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition."""
        until(condition)

    def cut(self, node: int) -> None:
        """Cut all connections: Redis does not know whose is whose."""
        self.server.cut()

    def restart(self) -> None:
        """Kill the server and start it again."""
        self.server.restart()

    def close(self) -> None:
        """Stop all nodes."""
        wait(self.stop())

    def stop(self) -> Deferred[Any]:
        """Stop all nodes; the Deferred fires when that is done."""
        return soon(gatherResults([node.stopService() for node in self.backplanes]))


@pytest.fixture(scope="module")
def shared() -> Iterator[RedisServer]:
    """A server that several tests use."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def server(shared: RedisServer) -> RedisServer:
    """A server without any data."""
    shared.command("FLUSHALL")
    return shared


@pytest.fixture
def system(server: RedisServer) -> Iterator[Nodes]:
    """Three nodes that are connected."""
    nodes = Nodes(server)
    until(lambda: all(node.problem is None for node in nodes.backplanes))
    yield nodes
    nodes.close()


class RedisMachine(BackplaneMachine):
    """Three nodes on Redis."""

    server: RedisServer

    def makeSystem(self) -> System:
        """@return: three nodes."""
        self.server.command("FLUSHALL")
        return Nodes(self.server)


@inReactor
async def test_contract(server: RedisServer) -> None:
    """It does what every backplane has to do, while connections are cut and Redis is killed."""
    RedisMachine.server = server
    done: Deferred[None] = Deferred()

    def run() -> None:
        try:
            run_state_machine_as_test(
                RedisMachine,
                settings=settings(
                    max_examples=6,
                    stateful_step_count=25,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        except BaseException:
            clock.callLater(0, done.errback, Failure())
        else:
            clock.callLater(0, done.callback, None)

    # Hypothesis calls, and cannot await: it gets a stack of its own to wait on.
    greenlet(run).switch()
    await done


class Receiver:
    """
    What one receiver gets.

    @ivar entries: all of it.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def receive(self, entries: Sequence[Entry]) -> None:
        """Take entries."""
        self.entries += entries

    @property
    def told(self) -> list[str]:
        """What the entries say, in words."""
        return [f"{each.event} {each.sender}{each.text}" for each in self.entries]


async def listen(backplane: RedisBackplane) -> Receiver:
    """@return: a new receiver."""
    receiver = Receiver()
    await soon(backplane.subscribe("r", receiver.receive))
    return receiver


def say(backplane: RedisBackplane, *texts: str) -> Deferred[Any]:
    """Publish messages without waiting; the Deferred fires with their ids."""
    return gatherResults([backplane.publish("r", "message", "", text) for text in texts])


def numbers(start: int, end: int) -> list[str]:
    """@return: texts of messages."""
    return [str(number) for number in range(start, end)]


def isSubscribed(server: RedisServer, count: int) -> bool:
    """@return: whether this many connections listen to the room."""
    return bool(server.command("PUBSUB", "NUMSUB", "hixie:0:r")[1] == count)


@inReactor
async def test_together(system: Nodes) -> None:
    """What is published at once takes few batches, and is delivered in few calls."""
    calls: list[int] = []
    await soon(system.backplanes[0].subscribe("r", lambda entries: calls.append(len(entries))))
    ids = await soon(say(system.backplanes[1], *numbers(0, 1000)))
    await happens(lambda: sum(calls) == 1000)
    assert len(calls) <= 8
    assert [int(each.split("-")[1]) for each in ids] == [*range(1, 1001)]
    assert not system.backplanes[1].waiting
    measured = values(system.backplanes[1].metrics())
    assert measured["txhixie_publish_seconds_count", ()] == 5
    assert 0 < measured["txhixie_publish_seconds_sum", ()] < 100
    assert measured["txhixie_publish_waiting", ()] == 0
    assert measured["txhixie_backplane_reconnects_total", ()] == 0
    assert measured["txhixie_backplane_gaps_total", ()] == 0


@inReactor
async def test_lag(system: Nodes, server: RedisServer) -> None:
    """It is measured how long entries of a node take until they are delivered there."""
    backplane = system.backplanes[0]
    receiver = await listen(backplane)
    for text in "abc":
        await soon(say(backplane, text))
    await happens(lambda: len(receiver.entries) == 3)
    measured = values(backplane.metrics())
    assert measured["txhixie_backplane_lag_seconds_count", ()] == 3
    assert 0 < measured["txhixie_backplane_lag_seconds_sum", ()] < 100
    # It does not end before the entry is delivered.
    backplane._publishing._db = 9
    await soon(say(backplane, "d"))
    backplane._publishing._db = 0
    assert values(backplane.metrics())["txhixie_backplane_lag_seconds_count", ()] == 3
    await soon(say(backplane, "e"))
    await happens(lambda: len(receiver.entries) == 5)
    assert values(backplane.metrics())["txhixie_backplane_lag_seconds_count", ()] >= 4


@inReactor
async def test_large(system: Nodes) -> None:
    """Large messages go one by one, and arrive whole."""
    receiver = await listen(system.backplanes[0])
    texts = [letter * 1_000_000 for letter in "abcdefghijkl"]
    await soon(say(system.backplanes[1], *texts[:3]))
    await happens(lambda: len(receiver.entries) == 3)
    # They are read, too, and then few at a time.
    system.server.cut("pubsub")
    await soon(say(system.backplanes[1], *texts[3:]))
    await happens(lambda: len(receiver.entries) == 12)
    assert [each.text for each in receiver.entries] == texts


@inReactor
async def test_newsLost(system: Nodes, server: RedisServer) -> None:
    """What comes while there is no subscription is read from the stream."""
    receivers = [await listen(each) for each in system.backplanes]
    for number in range(4):
        await soon(say(system.backplanes[0], f"{number}"))
        server.cut("pubsub")
        # It is added before anybody listens again.
        await soon(say(system.backplanes[1], f"{number} cut"))
    expected = [f"message {n}{what}" for n in range(4) for what in ("", " cut")]
    for receiver in receivers:
        await happens(lambda receiver=receiver: len(receiver.entries) == 8)  # type: ignore[misc]
        assert receiver.told == expected
    assert sum(each.reconnects for each in system.backplanes) >= 3
    assert not any(each.gaps for each in system.backplanes)


@inReactor
async def test_newsMissing(system: Nodes, server: RedisServer) -> None:
    """An entry that the channel did not carry is noticed with the next, and read."""
    receiver = await listen(system.backplanes[0])
    await soon(say(system.backplanes[1], "1"))
    await happens(lambda: receiver.entries)
    system.backplanes[1]._publishing._db = 9
    await soon(say(system.backplanes[1], "2", "3"))
    system.backplanes[1]._publishing._db = 0
    await soon(say(system.backplanes[1], "4"))
    await happens(lambda: len(receiver.entries) == 4)
    assert receiver.told == ["message 1", "message 2", "message 3", "message 4"]


@inReactor
async def test_gap(system: Nodes, server: RedisServer) -> None:
    """Entries that were trimmed before they could be read are reported as a gap, and counted."""
    receiver = await listen(system.backplanes[0])
    await soon(say(system.backplanes[1], "first"))
    await happens(lambda: receiver.entries)
    server.cut("pubsub")
    ids = await soon(say(system.backplanes[1], *numbers(0, 100)))
    await happens(lambda: len(receiver.entries) > 20)
    assert receiver.entries[1] == Entry(ids[79], "gap", "", "80")
    assert receiver.told[2:] == [f"message {number}" for number in range(80, 100)]
    assert system.backplanes[0].gaps == 1


class Relay(Factory):
    """
    Passes everything on to a server, but answers only while the test wants it to.

    @ivar port: where it listens.
    @ivar isMute: whether answers are kept back.
    """

    noisy = False

    def __init__(self, server: int) -> None:
        self.isMute = False
        self._server = server
        self._clients: list[Protocol] = []
        self._listening = cast(Any, reactor).listenTCP(0, self, interface="127.0.0.1")
        self.port: int = self._listening.getHost().port

    def buildProtocol(self, address: object) -> Protocol:
        """@return: what takes a client's connection."""
        relay = self

        class Back(Protocol):
            def dataReceived(self, data: bytes) -> None:
                if not relay.isMute:
                    client.transport.write(data)  # type: ignore[union-attr]

        class Front(Protocol):
            def connectionMade(self) -> None:
                self.held: list[bytes] = []
                self.back: Back | None = None
                creator = ClientCreator(reactor, Back)
                creator.connectTCP("127.0.0.1", relay._server).addCallback(self.reached)

            def reached(self, back: Back) -> None:
                self.back = back
                back.transport.write(b"".join(self.held))  # type: ignore[union-attr]

            def dataReceived(self, data: bytes) -> None:
                if self.back is None:
                    self.held.append(data)
                else:
                    self.back.transport.write(data)  # type: ignore[union-attr]

            def connectionLost(self, reason: object = None) -> None:
                if self.back is not None:
                    self.back.transport.loseConnection()  # type: ignore[union-attr]

        client = Front()
        self._clients.append(client)
        return client

    def cut(self) -> None:
        """End all connections."""
        clients, self._clients = self._clients, []
        for client in clients:
            client.transport.loseConnection()  # type: ignore[union-attr]

    async def close(self) -> None:
        """Listen no more."""
        self.cut()
        await soon(self._listening.stopListening())


@inReactor
async def test_answerLost(server: RedisServer) -> None:
    """What was added, but whose answer was lost, is not added again, and its ids are known."""
    relay = Relay(server.port)
    node = RedisBackplane(parseURL(f"redis://127.0.0.1:{relay.port}"))
    node.startService()
    receiver = await listen(node)
    await soon(say(node, "0"))
    relay.isMute = True
    published = say(node, "1", "2", "3")
    await happens(lambda: server.command("XLEN", "hixie:{r}") == 2)
    relay.cut()
    relay.isMute = False
    ids = await soon(published)
    await happens(lambda: len(receiver.entries) == 4)
    assert receiver.told == ["message 0", "message 1", "message 2", "message 3"]
    assert ids == [each.id for each in receiver.entries[1:]]
    assert server.command("XLEN", "hixie:{r}") == 4
    await soon(node.stopService())
    await relay.close()


@inReactor
async def test_joinWhileAway(server: RedisServer) -> None:
    """Joining while Redis is away is announced once; the Deferred fires with that entry."""
    system = Nodes(server, count=2)
    here, there = system.backplanes
    receiver = await listen(there)
    await soon(here.publish("r", "open", "first"))
    server.kill()
    await happens(lambda: here.problem is not None)
    joined = [here.publish("r", event, "second") for event in ("open", "close", "open")]
    server.start()
    ids = [await soon(each) for each in joined]
    await happens(lambda: len(receiver.entries) == 4)
    assert receiver.told == ["open first", "open second", "close second", "open second"]
    assert ids == [entry.id for entry in receiver.entries[1:]]
    # The end of another node's lease is waited for each time that somebody asks for it.
    server.kill()
    await happens(lambda: here.problem is not None)
    asked = [here._publishing.repeat("r", BURY, {"lease": ""}) for _ in range(2)]
    assert not any(each.called for each in asked)
    server.start()
    for each in asked:
        await soon(each)
    await system.stop()


@inReactor
async def test_lateCommand(system: Nodes, server: RedisServer) -> None:
    """A batch that comes to Redis after its repeat, and even after the next batch, adds nothing."""
    node = system.backplanes[0]
    await soon(say(node, "1"))
    publishing = node._publishing
    fired: list[Deferred[str | None]] = [Deferred(), Deferred()]
    outboxes = [_Outbox("r") for _ in range(2)]
    for outbox, number, done in zip(outboxes, (1, 0), fired, strict=True):
        outbox.batch = [_Publication("message", "", b"again", "", done, False)]
        outbox.number = number
        publishing._outboxes["r"] = outbox
        publishing._sendSoon("r")
    assert await soon(fired[0]) == await soon(node.tail("r", 0))
    with pytest.raises(BackplaneError, match="STALE"):
        await soon(fired[1])
    assert server.command("XLEN", "hixie:{r}") == 1


@inReactor
async def test_frozen(system: Nodes, server: RedisServer) -> None:
    """Messages wait while Redis does not answer, and nobody is taken for dead afterwards."""
    receiver = await listen(system.backplanes[0])
    await soon(system.backplanes[1].publish("r", "open", "M"))
    server.freeze()
    published = say(system.backplanes[1], *numbers(0, 10))
    await deferLater(clock, 5)
    assert not published.called
    server.thaw()
    await soon(published)
    await deferLater(clock, 2)
    assert receiver.told == ["open M", *(f"message {number}" for number in range(10))]


@inReactor
async def test_deadNode(server: RedisServer) -> None:
    """
    The members of a node that is gone leave within 10 seconds, once; if it was not dead they come
    back with it.
    """
    nodes = Nodes(server)
    dead, *living = nodes.backplanes
    receivers = [await listen(each) for each in living]
    await soon(dead.publish("r", "open", "A", "hello"))
    await soon(dead.publish("r", "open", "B"))
    await soon(living[0].publish("r", "open", "C"))
    begin = monotonic()
    dead._leases.linkDown()
    news = ["open Ahello", "open B", "open C", "close A", "close B"]
    for receiver in receivers:
        await happens(lambda receiver=receiver: len(receiver.entries) >= 5)  # type: ignore[misc]
        assert receiver.told == news
    assert 3 < monotonic() - begin < 10
    assert await soon(living[0].members("r")) == ("C",)
    dead._leases.linkUp()
    news += ["open Ahello", "open B"]
    for receiver in receivers:
        await happens(lambda receiver=receiver: len(receiver.entries) >= 7)  # type: ignore[misc]
    assert await soon(living[0].members("r")) == ("A", "B", "C")
    # Its members leave with it, once.
    await soon(dead.publish("r", "close", "A"))
    await soon(dead.stopService())
    news += ["close A", "close B"]
    for receiver in receivers:
        await happens(lambda receiver=receiver: len(receiver.entries) >= 9)  # type: ignore[misc]
        assert receiver.told == news
    assert server.command("KEYS", f"hixie:node:{dead._leases._lease}*") == []
    for node in living:
        await soon(node.stopService())
    assert server.command("ZCARD", "hixie:{nodes}:leases") == 0


@inReactor
async def test_dataLost(system: Nodes, server: RedisServer) -> None:
    """If Redis loses its data, rooms get a gap, and members are entered again."""
    receiver = await listen(system.backplanes[0])
    await soon(system.backplanes[1].publish("r", "open", "M"))
    (before,) = await soon(say(system.backplanes[1], "1"))
    server.command("FLUSHALL")
    while await soon(system.backplanes[0].members("r")) != ("M",):
        pass
    (after,) = await soon(say(system.backplanes[1], "2"))
    await happens(lambda: len(receiver.entries) == 5)
    assert receiver.told == ["open M", "message 1", "gap ", "open M", "message 2"]
    assert parseId(after) > parseId(before)
    assert receiver.entries[2].id == f"{parseId(after)[0]}-0"
    # A client that resumes with an old id gets it, too.
    found = await soon(system.backplanes[2].read("r", before, 10))
    assert found == receiver.entries[2:]


@inReactor
async def test_lossAtRestart() -> None:
    """Entries that a restarted Redis has lost do not hide those that come in their place."""
    with RedisServer(isPersistent=False) as server:
        nodes = Nodes(server, 2)
        receiver = await listen(nodes.backplanes[0])
        ids = await soon(say(nodes.backplanes[1], "1", "2"))
        server.command("SAVE")
        ids += await soon(say(nodes.backplanes[1], "3", "4"))
        await happens(lambda: len(receiver.entries) == 4)
        server.restart()
        await soon(say(nodes.backplanes[1], "5", "6", "7"))
        await happens(lambda: len(receiver.entries) == 8)
        assert receiver.told[4:] == ["gap ", "message 5", "message 6", "message 7"]
        rest = receiver.entries[5:]
        assert await soon(nodes.backplanes[0].read("r", ids[1], 9)) == rest
        assert await soon(nodes.backplanes[0].read("r", ids[2], 9)) == receiver.entries[4:]
        await nodes.stop()


@inReactor
async def test_limit(system: Nodes, server: RedisServer) -> None:
    """While messages wait, the backplane says when there are too many. None is dropped."""
    node = system.backplanes[0]
    receiver = await listen(node)
    server.freeze()
    first = say(node, *numbers(0, 999))
    assert not node.isFull
    second = say(node, *numbers(999, 1500))
    assert node.isFull
    assert node.waiting == 1500
    server.thaw()
    await soon(gatherResults([first, second]))
    assert not node.isFull
    await happens(lambda: len(receiver.entries) == 1500)
    assert receiver.told == [f"message {number}" for number in range(1500)]


@inReactor
async def test_refusedForNow(system: Nodes, server: RedisServer) -> None:
    """While Redis takes nothing, messages wait, and the reason is known."""
    node = system.backplanes[0]
    receiver = await listen(node)
    server.command("CONFIG", "SET", "maxmemory", "1")
    published = say(node, "1", "2")
    await happens(lambda: node.problem)
    assert "OOM" in str(node.problem)
    later = say(node, "3")
    server.command("CONFIG", "SET", "maxmemory", "0")
    await soon(gatherResults([published, later]))
    await happens(lambda: len(receiver.entries) == 3)
    assert receiver.told == ["message 1", "message 2", "message 3"]
    assert node.problem is None


@inReactor
async def test_refused(system: Nodes, server: RedisServer) -> None:
    """What can never be added fails, and what is for other rooms is not affected."""
    node = system.backplanes[0]
    server.command("SET", "hixie:{r}:state", "not a hash")
    failing = node.publish("r", "message", "", "1")
    assert await soon(node.publish("other", "message", "", "1"))
    with pytest.raises(BackplaneError, match="WRONGTYPE"):
        await soon(failing)
    with pytest.raises(BackplaneError, match="WRONGTYPE"):
        await soon(node.tail("r", 1))


@inReactor
async def test_unreadable(system: Nodes, server: RedisServer) -> None:
    """A log that cannot be read is tried again; nothing is skipped."""
    node = system.backplanes[0]
    receiver = await listen(node)
    await soon(say(node, "1"))
    server.command("RENAME", "hixie:{r}", "away")
    server.command("SET", "hixie:{r}", "no stream")
    server.cut("pubsub")
    await happens(lambda: node._following._retrying is not None)
    server.command("RENAME", "away", "hixie:{r}")
    await soon(say(node, "2"))
    await happens(lambda: len(receiver.entries) == 2)
    assert receiver.told == ["message 1", "message 2"]


@inReactor
async def test_cancelled(system: Nodes, server: RedisServer) -> None:
    """A caller that does not wait any longer does not affect others."""
    node = system.backplanes[0]
    server.freeze()
    waiting: list[Deferred[Any]] = [
        *(node.publish("r", "message", "", "1"), node.subscribe("r", print)),
        *(node.read("r", BEGINNING, 1), node.tail("r", 1), node.members("r")),
    ]
    for each in waiting:
        each.addErrback(lambda failure: failure.trap(CancelledError))
        each.cancel()
    server.thaw()
    await soon(say(node, "2"))
    found = await soon(node.read("r", BEGINNING, 9))
    assert [each.text for each in found] == ["1", "2"]


@inReactor
async def test_scriptsGone(system: Nodes, server: RedisServer) -> None:
    """Scripts that Redis does not have are loaded again."""
    await soon(say(system.backplanes[0], "1"))
    server.command("SCRIPT", "FLUSH")
    assert await soon(say(system.backplanes[0], "2", "3"))


@inReactor
async def test_unsubscribed(system: Nodes, server: RedisServer) -> None:
    """The last receiver that leaves ends the subscription; one that has not begun is notified."""
    node = system.backplanes[0]
    receiver = await listen(node)
    node.unsubscribe("r", receiver.receive)
    node.unsubscribe("r", receiver.receive)
    await happens(lambda: isSubscribed(server, 0))
    beginning = node.subscribe("r", receiver.receive)
    node.unsubscribe("r", receiver.receive)
    with pytest.raises(BackplaneError, match="unsubscribed"):
        await soon(beginning)
    again = await listen(node)
    await soon(say(node, "1"))
    await happens(lambda: again.entries)
    assert receiver.entries == []


@inReactor
async def test_failingReceiver(system: Nodes) -> None:
    """A receiver that raises keeps nothing from the others; one that leaves gets no more."""
    node = system.backplanes[0]

    def failing(entries: Sequence[Entry]) -> None:
        node.unsubscribe("r", second.receive)
        raise ZeroDivisionError

    await soon(node.subscribe("r", failing))
    second, third = await listen(node), await listen(node)
    await soon(say(node, "1"))
    await happens(lambda: third.entries)
    assert second.entries == []


@inReactor
async def test_emptyRoom(system: Nodes, server: RedisServer) -> None:
    """Redis forgets a room some time after the last member left, and not before."""
    node = system.backplanes[0]
    keys = ("hixie:{r}", "hixie:{r}:state")
    await soon(say(node, "1"))
    assert all(3500 < server.command("TTL", key) <= 3600 for key in keys)
    await soon(node.publish("r", "open", "A"))
    assert [server.command("TTL", key) for key in keys] == [-1, -1]
    await soon(node.publish("r", "close", "A"))
    assert all(3500 < server.command("TTL", key) <= 3600 for key in keys)


@inReactor
async def test_stoppedWhileAway() -> None:
    """A backplane can be stopped while Redis is away; what waits fails."""
    with RedisServer() as server:
        node = Nodes(server, 1).backplanes[0]
        await happens(lambda: node.problem is None)
        server.kill()
        waiting: list[Deferred[Any]] = [
            *(node.publish("r", "open", "A"), node.subscribe("r", print)),
            *(node.read("r", BEGINNING, 1), node.tail("r", 1), node.members("r")),
        ]
        await happens(lambda: node.problem)
        stopped = node.stopService()
        waiting += [
            *(node.publish("r", "open", "A"), node.subscribe("r", print)),
            *(node.read("r", BEGINNING, 1), node.tail("r", 1), node.members("r")),
        ]
        await soon(stopped)
        for each in waiting:
            with pytest.raises(BackplaneError, match="the server has stopped"):
                await soon(each)
        assert node.problem == "the server has stopped"
