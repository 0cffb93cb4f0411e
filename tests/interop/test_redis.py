"""Nodes on a real Redis, as processes, with real clients."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.cluster.guest import Guest, Seen
from tests.interop.server import PROJECT, Child, Server
from tests.redis import RedisServer, clock, freePort, happens, inReactor, soon
from txhixie import connect
from txhixie.backplane import makeBackplane
from txhixie.backplane.contract import Entry, parseId
from txhixie.dialects.errors import HandshakeRefused
from txhixie.settings import DIALECT_NAMES


def test_cluster() -> None:
    """
    Three nodes, 60 clients in all dialects: Redis is killed, frozen and cut, and a node is killed.
    All see the same, without gap or repeat, and each sender's messages in order.
    """
    command = (*("-m", "tests.cluster"), *("--minutes", "0.1", "--clients", "60", "--seed", "1"))
    done = subprocess.run(
        [sys.executable, *command], cwd=PROJECT, capture_output=True, text=True, timeout=240
    )
    print(done.stderr, done.stdout)
    assert done.returncode == 0
    assert "clients: 60, 40 to the end" in done.stdout


def hasTexts(guest: Guest, count: int) -> bool:
    """@return: whether a client has got this many texts."""
    return sum(bool(each.text) for each in guest.seen) == count


def health(path: Path) -> tuple[int, str]:
    """@return: status and body of what a server answers at its admin endpoint."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b"")).decode()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), body


def saidIn(entries: Iterable[Seen]) -> list[str]:
    """@return: the texts of the messages among these entries."""
    return [each.text for each in entries if each.event == "message"]


async def visit(url: str, dialect: str, count: int) -> list[Seen]:
    """@return: what a client hears that is cut off as soon as it has got this many messages."""
    guest = Guest(0, isPlain=False)
    connected: Any = await soon(connect(url, guest, dialect=dialect))
    await happens(lambda: len(saidIn(guest.seen)) >= count)
    # Without a close; what is on its way is lost.
    connected.transport.abortConnection()
    return guest.seen


async def join(server: Server, number: int = 0) -> Guest:
    """@return: a client that has come to the room."""
    guest = Guest(number, isPlain=False)
    await soon(connect(server.url("/broadcast?format=json"), guest, dialect=DIALECT_NAMES[number]))
    await happens(lambda: guest.seen)
    return guest


@inReactor
async def test_absent(tmp_path: Path) -> None:
    """
    A server whose Redis is not there runs, says why it does not work, and refuses clients for some
    time. It works as soon as Redis is there.
    """
    port = freePort()
    options = ("--backplane", f"redis://127.0.0.1:{port}", "--admin", f"unix:{tmp_path / 'admin'}")
    with Server("--service", "broadcast", *options) as server:
        line = server.waitForLog(r"the backplane redis://.* for commands: .*$")[0]
        assert line.endswith("for commands: nobody listens there; trying again")
        for dialect in DIALECT_NAMES:
            refused = connect(server.url("/broadcast"), Guest(0, True), dialect=dialect)
            with pytest.raises(HandshakeRefused) as raised:
                await soon(refused)
            assert raised.value.status == 503
            assert int(raised.value.headers[b"retry-after"][0]) > 0
        status, body = health(tmp_path / "admin")
        assert status == 503
        assert "nobody listens there" in body
        with RedisServer(port=port):
            for purpose in ("commands", "news"):
                server.waitForLog(f"connected to .* for {purpose}")
            assert health(tmp_path / "admin")[0] == 200
            guest = await join(server)
            guest.say("hello")
            await happens(lambda: len(guest.seen) == 2)
            server.stop()


@inReactor
async def test_limit() -> None:
    """While too many messages wait, their senders are not read; none is lost."""
    with (
        RedisServer() as redis,
        Server(
            *("--service", "broadcast", "--backplane", redis.url),
            *("--publish-limit", "10", "--slow-policy", "close"),
        ) as server,
    ):
        server.waitForLog("for news")
        server.waitForLog("for commands")
        guests = [await join(server, number) for number in range(5)]
        redis.freeze()
        for number in range(300):
            for guest in guests:
                guest.say(f"{number} {'x' * 10_000}")
        await deferLater(clock, 1)
        # Those are counted that came with the read that made it too many.
        assert server.statistics()["messages"]["received"] < 500
        redis.thaw()
        for watcher in guests:
            await happens(partial(hasTexts, watcher, 1500))
            for guest in guests:
                heard = [each.text for each in watcher.seen if each.sender == guest.id]
                assert [each for each in heard if each] == guest.said
        server.stop()


@inReactor
async def test_nodeLeaves() -> None:
    """The clients of a server that is stopped are gone for those of the others, at once."""
    with RedisServer() as redis:
        options = ("--service", "broadcast", "--backplane", redis.url)
        with Server(*options) as first, Server(*options) as second:
            for server in (first, second):
                server.waitForLog("for news")
                server.waitForLog("for commands")
            watcher = await join(first)
            others = [await join(second, number) for number in range(5)]
            ids = {each.id for each in others}
            await happens(lambda: {each.sender for each in watcher.seen} > ids)
            # By a thread: its clients have to answer meanwhile.
            await soon(deferToThread(second.stop))
            closed = {each.sender for each in watcher.seen if each.event == "close"}
            assert closed == ids
            first.stop()


@inReactor
async def test_resume() -> None:
    """
    A client that is cut off 100 times while 10,000 messages pass, and comes back to another node in
    another dialect each time, is sent every entry once, in the order that all are sent.
    """
    chance = random.Random(1)
    with RedisServer() as redis, ExitStack() as stack:
        options = ("--service", "broadcast", "--backplane", redis.url, "--history", "20000")
        nodes = [stack.enter_context(Server(*options)) for _ in range(3)]
        for node in nodes:
            node.waitForLog("for news")
            node.waitForLog("for commands")
        # The third node forgets the room whenever the client leaves it.
        talkers = [await join(node, number) for number, node in enumerate(nodes[:2])]
        heard = talkers[1].seen[:1]
        for turn in range(101):
            if turn < 100:
                for talker in talkers:
                    for number in range(50):
                        talker.say(f"{turn} {number}")
            missed = sum(len(each.said) for each in talkers) - len(saidIn(heard))
            url = nodes[turn % 3].url(f"/broadcast?format=json&since={heard[-1].id}")
            dialect = DIALECT_NAMES[turn % len(DIALECT_NAMES)]
            heard += await visit(url, dialect, chance.randint(0, missed) if turn < 100 else missed)
        starts = [talker.seen.index(heard[0]) for talker in talkers]
        ends = [start + len(heard) for start in starts]
        await happens(lambda: all(len(t.seen) >= end for t, end in zip(talkers, ends, strict=True)))
        for talker, start, end in zip(talkers, starts, ends, strict=True):
            assert talker.seen[start:end] == heard
            assert saidIn(each for each in heard if each.sender == talker.id) == talker.said
        offsets = [parseId(each.id)[1] for each in heard]
        assert offsets == [*range(offsets[0], offsets[0] + len(offsets))]


@inReactor
async def test_sentinel() -> None:
    """When Sentinels make another server the master, nodes go on there, and say what is lost."""
    with (
        RedisServer() as master,
        RedisServer("--replicaof", "127.0.0.1", str(master.port)) as other,
    ):
        await happens(lambda: b"master_link_status:up" in other.command("INFO", "replication"))
        folder = Path(master.path).parent
        sentinels = []
        for number in range(2):
            port = freePort()
            file = folder / f"sentinel{number}.conf"
            file.write_text(
                f"port {port}\nbind 127.0.0.1\n"
                f"sentinel monitor main 127.0.0.1 {master.port} 1\n"
                "sentinel down-after-milliseconds main 1000\n"
                "sentinel failover-timeout main 3000\n"
            )
            child = Child(["redis-server", str(file), "--sentinel"], cwd=str(folder))
            sentinels.append((port, child))
        hosts = ",".join(f"127.0.0.1:{port}" for port, _ in sentinels)
        backplane = makeBackplane(f"redis+sentinel://{hosts}/main")
        backplane.startService()
        heard: list[Entry] = []
        await soon(backplane.subscribe("r", heard.extend))
        await soon(backplane.publish("r", "open", "A"))
        await soon(backplane.publish("r", "message", "A", "before"))
        await happens(lambda: other.command("XLEN", "hixie:{r}") == 2)
        master.kill()
        published = backplane.publish("r", "message", "A", "after")
        published.addTimeout(40, clock)
        await published
        await happens(lambda: len(heard) == 3)
        assert [each.text for each in heard] == ["", "before", "after"]
        assert other.command("XLEN", "hixie:{r}") == 3
        await soon(backplane.stopService())  # type: ignore[arg-type]
        for _, child in sentinels:
            child.end()
