"""
Peers that do not read.
"""

from __future__ import annotations

import re
import select
from collections.abc import Callable
from contextlib import suppress
from statistics import median
from time import perf_counter

from tests.abuse.attack import Target, attack
from tests.abuse.client import PATIENCE, PING, Client, Frame, exchange, openAll, push
from tests.abuse.crowd import Latency
from tests.support import IDIOMS, clientFrame

_MIB = 1 << 20
# What the kernel receives for a program that does not read.
_SMALL = 1 << 16
# The server has stopped reading if it takes nothing for this many seconds.
_IDLE = 0.5
_NUMBERED = re.compile(rb"[^:]*: (\d+) x")
# MiB: a message of one takes several while it is read, decoded, put together, encoded and framed
# in two ways; the backlog of each of two peers is one MiB, and one message. The room keeps 16.
_BROADCAST_MEMORY = 32


class _Room:
    """
    The readers of a broadcast, and how long messages take to them.
    """

    def __init__(self, target: Target, size: int) -> None:
        self._clients = openAll(target.port, size, "/broadcast", secure=target.secure)
        self._poll = select.epoll()
        self._byDescriptor = {}
        for client in self._clients:
            client.socket.setblocking(False)
            self._poll.register(client.fileno(), select.EPOLLIN)
            self._byDescriptor[client.fileno()] = client

    def say(self, text: str) -> list[float]:
        """
        @return: the seconds until each of them has C{text}.
        """
        said = text.encode()
        seconds: list[float] = []
        started = perf_counter()
        self._clients[0].sendText(text)
        while len(seconds) < len(self._clients):
            ready = self._poll.poll(PATIENCE)
            assert ready, f"{text}: {len(seconds)} of {len(self._clients)} have it"
            for descriptor, _ in ready:
                client = self._byDescriptor[descriptor]
                frames = client.receive()
                assert not client.ending, f"a reader is disconnected: {client.outcome}"
                if any(frame.payload.endswith(said) for frame in frames):
                    seconds.append(perf_counter() - started)
        return seconds


def _stuffed(target: Target) -> Client:
    """
    @return: a member of the broadcast that had pings answered without reading, until the server
        could not write to it any more.
    """
    client = Client(target.port, path="/broadcast", secure=target.secure, receiveBuffer=_SMALL)
    pings = clientFrame(0x80 | PING, b"x" * 125) * 400
    push(client, (pings for _ in range(10_000)), _IDLE)
    return client


# Its measurements should not wait for others.
@attack(memory=16, memoryByTLS=48, niceness=0)
def neverReader(target: Target) -> str:
    """
    One of a thousand clients of a broadcast never reads.
    """
    size = target.size(1000, 50)
    room = _Room(target, size)
    room.say("everybody is here")

    def round_(name: str) -> float:
        texts = [f"{name} {number}" for number in range(target.size(25, 3))]
        # Checked for each message; otherwise a single delay from something else would decide.
        return median(Latency.of(room.say(text)).p99 for text in texts)

    rounds: list[tuple[float, float]] = []
    for number in range(target.size(7, 1)):
        without = round_(f"without {number}")
        client = _stuffed(target)
        room.say("it is there")
        rounds.append((without, round_(f"with {number}")))
        client.reset()
        room.say("it is gone")
    ratio = median(after / before for before, after in rounds)
    before, after = (1e3 * median(values) for values in zip(*rounds, strict=True))
    verdict = "≤ 1.2" if ratio <= 1.2 else "**missed** ≤ 1.2"
    return (
        f"99 % of the others have a message within {after:.0f} ms instead of {before:.0f}: "
        f"{ratio:.2f} times, {verdict}"
    )


def _numbersRead(client: Client, last: str = "") -> list[int]:
    """
    Read until nothing more comes, or until the last message.

    @return: the numbers that messages begin with.
    """
    numbers: list[int] = []
    client.socket.settimeout(PATIENCE if last else _IDLE)
    isLast = False
    with suppress(TimeoutError):
        while not isLast and not client.ending and not client.farewell:
            payloads = [each.payload for each in client.receive()]
            numbers += [int(found[1]) for found in map(_NUMBERED.match, payloads) if found]
            isLast = any(payload.endswith(b": " + last.encode()) for payload in payloads)
    assert isLast or not last or client.farewell or client.ending, f"{last} does not come"
    return numbers


def _broadcast64(target: Target, check: Callable[[list[int], str, int], str]) -> str:
    """
    Broadcast 64 MiB to members that do not read, and to one who does.

    @param check: tells what one of the deaf ones got: numbers of messages, how it ended, and how
        many messages there were.
    """
    count = target.size(64, 8)

    def join(dialect: str, receiveBuffer: int = 0) -> Client:
        secure = target.secure
        path = "/broadcast"
        return Client(target.port, dialect, path, secure=secure, receiveBuffer=receiveBuffer)

    speaker, reader = join("rfc6455"), join("hixie-75")
    deaf = [join(dialect, _SMALL) for dialect in ("hixie-76", "rfc6455")]

    def say(text: str) -> None:
        speaker.sendText(text)
        for client in (speaker, reader):
            while not any(each.payload.endswith(text.encode()) for each in client.receive()):
                assert not client.ending, f"{client.dialect}: {client.outcome}"

    for number in range(count):
        say(f"{number} ".ljust(_MIB - 8, "x") + f" {number:6}")
    got = [_numbersRead(client) for client in deaf]
    say("the end")
    parts = []
    for client, numbers in zip(deaf, got, strict=True):
        numbers += _numbersRead(client, "the end")
        parts.append(f"{client.dialect} got {check(numbers, client.outcome, count)}")
    for client in (speaker, reader, *deaf):
        client.close()
    return "; ".join(parts)


def _first(numbers: list[int]) -> str:
    assert numbers == [*range(len(numbers))], f"there is a gap: {numbers}"
    return f"the first {len(numbers)} of the messages"


@attack("--slow-policy", "close", memory=_BROADCAST_MEMORY, memoryByTLS=_BROADCAST_MEMORY)
def broadcastThatCloses(target: Target) -> str:
    """
    64 MiB are broadcast to two peers that do not read; --slow-policy is close.
    """

    def check(numbers: list[int], outcome: str, count: int) -> str:
        assert outcome in ("1008", "FF 00"), outcome
        assert len(numbers) < count
        return f"{_first(numbers)}, then {outcome}"

    return _broadcast64(target, check)


@attack("--slow-policy", "drop", memory=_BROADCAST_MEMORY, memoryByTLS=_BROADCAST_MEMORY)
def broadcastThatDrops(target: Target) -> str:
    """
    64 MiB are broadcast to two peers that do not read; --slow-policy is drop.
    """

    def check(numbers: list[int], outcome: str, count: int) -> str:
        assert outcome == "open", outcome
        assert len(numbers) < count
        return f"{_first(numbers)}, and what came when it read again"

    return _broadcast64(target, check)


@attack("--slow-policy", "latest", memory=_BROADCAST_MEMORY, memoryByTLS=_BROADCAST_MEMORY)
def broadcastThatKeepsTheLatest(target: Target) -> str:
    """
    64 MiB are broadcast to two peers that do not read; --slow-policy is latest.
    """

    def check(numbers: list[int], outcome: str, count: int) -> str:
        assert outcome == "open", outcome
        assert len(numbers) < count
        assert numbers[-1] == count - 1, numbers
        return f"{_first(numbers[:-1])} and the latest"

    return _broadcast64(target, check)


@attack(memory=8, memoryByTLS=8)
def deafEcho(target: Target) -> str:
    """
    64 MiB are sent to the echo before any of it is read.
    """
    parts = []
    for dialect in ("hixie-76", "rfc6455"):
        client = Client(target.port, dialect, secure=target.secure, receiveBuffer=_SMALL)
        texts = [f"{number} ".ljust(1 << 16, "ü") for number in range(target.size(512, 256))]
        data = b"".join(map(IDIOMS[dialect].clientText, texts))
        taken = push(client, [data], _IDLE)
        assert taken < len(data), "the server takes all of it"
        parts.append(f"{dialect} is not read after {taken / _MIB:.1f} MiB")
        _readEchoes(client, data[taken:], texts)
        client.close()
    return "; ".join(parts) + "; then everything is echoed"


def _readEchoes(client: Client, rest: bytes, texts: list[str]) -> None:
    """
    Send the rest, and see that all texts come back in order.
    """
    expected = iter(texts)
    missing = len(texts)

    def enough(frames: list[Frame]) -> bool:
        nonlocal missing
        for each in frames:
            assert each.payload == next(expected).encode(), "an echo is wrong"
            missing -= 1
        return not missing

    exchange(client, [rest] if rest else [], enough)
    assert not missing, f"{missing} messages are not echoed: {client.outcome}"
