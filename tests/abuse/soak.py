"""
The command C{python -m tests.abuse.soak}: a broadcast whose clients come and go, for a long time.

Every other client uses TLS. The server sends all members the same messages in one order. One
client, the witness, is connected from first to last. What any other client gets, from the
announcement of its own join on, has to be what the witness got from there on, without a gap.
"""

from __future__ import annotations

import argparse
import os
import random
import selectors
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from statistics import linear_regression
from zlib import crc32

from benchmarks.process import LOAD_CORE
from tests.abuse.client import CLOSE, PATIENCE, Client
from tests.abuse.subject import Subject, serverLog, until
from tests.support import IDIOMS

_CLIENTS = 40
# Per second: messages, and clients that leave, with another that comes.
_MESSAGES, _DEPARTURES = 60.0, 6.0
_LARGEST = 1 << 16
# How many messages may be on their way: less than the server buffers for one client.
_IN_FLIGHT = 12
# Seconds between memory samples, and between lines of progress.
_LOOK, _TELL = 3.0, 30.0
# The first minute is not measured: caches fill, and the heap finds its size.
_WARM_UP = 60.0
# The heap's size varies by some hundred KiB, which matters less in a longer run: KiB per minute
# that it may grow in any case, and KiB that it may grow over the whole time.
_SLOPE, _WANDERING = 100.0, 1536.0
# Texts are cut from this, so that they have characters of one to four bytes.
_ALPHABET = "aé€🚀 0z" * 12_000
# How many bytes a character has, on average.
_BYTES = len(_ALPHABET.encode()) / len(_ALPHABET)
# The share of empty messages: one of this many.
_EMPTY = 16
_JOINED, _LEFT = b"New Connection: ", b"Connection Closed: "


class SoakError(Exception):
    """
    A client got a wrong message, or did not get the right one.
    """


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise SoakError(what)


class _Window:
    """
    The hashes of the messages that the witness got and other clients may still get.
    """

    def __init__(self) -> None:
        self._hashes: deque[int] = deque()
        self._first = 0

    @property
    def end(self) -> int:
        """
        How many messages there have been.
        """
        return self._first + len(self._hashes)

    def add(self, payload: bytes) -> None:
        """
        Take the next message.
        """
        self._hashes.append(hash(payload))

    def __getitem__(self, index: int) -> int:
        return self._hashes[index - self._first]

    def forgetBefore(self, index: int) -> None:
        """
        Drop the messages that all clients have.
        """
        for _ in range(min(index, self.end) - self._first):
            self._hashes.popleft()
            self._first += 1


@dataclass
class _Member:
    """
    @ivar id: as the server announced it; empty before.
    @ivar position: the index of the next message it gets; -1 if that is not known.
    @ivar ahead: hashes of messages that it got before the witness.
    @ivar unsent: what the kernel has not taken yet.
    @ivar said: how many messages it sent.
    @ivar leaving: whether it closed in good order.
    """

    client: Client
    id: bytes = b""
    position: int = -1
    ahead: deque[int] = field(default_factory=deque)
    unsent: bytes = b""
    said: int = 0
    leaving: bool = False


@dataclass
class _Speech:
    """
    What the witness knows of one client.

    @ivar joined: it was announced.
    @ivar heard: how many of its messages came.
    @ivar said: how many it sent, once it leaves.
    @ivar wasPolite: whether they all have to come.
    """

    joined: bool = False
    heard: int = 0
    said: int | None = None
    wasPolite: bool = False


def _text(number: int, chance: random.Random) -> str:
    """
    @return: a message of up to 64 KiB; one that is not empty contains its number.
    """
    if number % _EMPTY == 0:
        return ""
    size = chance.choice((8, 100, 1000, _LARGEST)) * chance.random()
    start = chance.randrange(len(_ALPHABET) // 2)
    body = _ALPHABET[start : start + int(size / _BYTES)]
    return f"{number} {crc32(body.encode())} {body}"


class Soak:
    """
    The clients.

    @ivar departures: how many left, and how.
    """

    def __init__(self, port: int, tlsPort: int, chance: random.Random) -> None:
        """
        @param port: of the server, and C{tlsPort} that for TLS.
        """
        # Five dialects and two ways: each dialect is used both ways.
        self._ports = cycle(((port, False), (tlsPort, True)))
        self._chance = chance
        self._selector = selectors.DefaultSelector()
        self._window = _Window()
        # The position of joins that some client has not seen yet.
        self._joins: dict[bytes, int] = {}
        self._speeches: dict[bytes, _Speech] = {}
        self._members: list[_Member] = []
        # Clients that left before the witness got everything that they got.
        self._departed: list[_Member] = []
        self._dialects = cycle(IDIOMS)
        self._inFlight = 0
        self.departures: Counter[str] = Counter()
        self.checked = 0
        self._witness = self._join()

    @property
    def messages(self) -> int:
        """
        How many messages there have been.
        """
        return self._window.end

    def _join(self) -> _Member:
        port, secure = next(self._ports)
        client = Client(port, next(self._dialects), "/broadcast", secure=secure)
        _require(client.status == 101, f"a client is refused: {client.outcome}")
        client.socket.setblocking(False)
        member = _Member(client)
        client.reply = lambda data: self._send(member, data)
        self._selector.register(client, selectors.EVENT_READ, member)
        self._members.append(member)
        # What came in one segment with the answer is already here.
        self._receive(member)
        return member

    # What goes on

    def run(self, seconds: float, look: Callable[[], object]) -> None:
        """
        Let clients come, send messages and leave.

        @param look: is called about every millisecond.
        """
        end = time.monotonic() + seconds
        nextMessage = nextDeparture = time.monotonic()
        while (now := time.monotonic()) < end:
            if len(self._members) < _CLIENTS:
                self._join()
            if now >= nextMessage and self._inFlight < _IN_FLIGHT:
                nextMessage = max(nextMessage + 1 / _MESSAGES, now - 1)
                self._speak(self._chance.choice(self._members))
            if now >= nextDeparture and len(self._members) >= _CLIENTS:
                nextDeparture = max(nextDeparture + 1 / _DEPARTURES, now - 1)
                self._leave(self._chance.choice(self._members[1:]))
            self._turn(0.005)
            look()

    def finish(self) -> None:
        """
        Let all clients get everything, and leave in good order.
        """
        for member in self._members[1:]:
            if not member.leaving:
                self._leaveInGoodOrder(member)
        deadline = time.monotonic() + PATIENCE
        while len(self._members) > 1 or self._speeches.keys() - {self._witness.id}:
            self._turn(0.1)
            _require(time.monotonic() < deadline, f"{len(self._members) - 1} do not come to an end")
        self._selector.unregister(self._witness.client)
        self._witness.client.close()

    def _turn(self, timeout: float) -> None:
        for key, events in self._selector.select(timeout):
            member: _Member = key.data
            if events & selectors.EVENT_WRITE:
                self._send(member)
            if events & selectors.EVENT_READ and member in self._members:
                self._receive(member)
        known = [each.position for each in (*self._members, *self._departed) if each.position >= 0]
        self._window.forgetBefore(min([*known, *self._joins.values()]))

    # Sending

    def _speak(self, member: _Member) -> None:
        if member.leaving or member.unsent or not member.id:
            return
        frame = member.client.idiom.clientText(_text(member.said, self._chance))
        member.said += 1
        self._inFlight += 1
        self._send(member, frame)

    def _send(self, member: _Member, data: bytes = b"") -> None:
        member.unsent += data
        try:
            sent = member.client.socket.send(member.unsent)
            member.unsent = member.unsent[sent:]
        except BlockingIOError:
            pass
        except OSError as error:
            # If that was too early, a read will show it.
            member.client.failed(error)
            member.unsent = b""
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if member.unsent else 0)
        self._selector.modify(member.client, wanted, member)

    # Leaving

    def _leave(self, member: _Member) -> None:
        if member.leaving or member.unsent or not member.id:
            return
        if self._chance.random() < 0.5:
            self._leaveInGoodOrder(member)
            return
        half = member.client.idiom.clientText(_text(member.said, self._chance) + "!")
        manner = self._chance.choice(("reset", "half a frame", "half a frame, reset"))
        if "half" in manner:
            with suppress(BlockingIOError):
                member.client.socket.send(half[: len(half) // 2])
        self._willSayNoMore(member, wasPolite=False)
        self._gone(member, manner)
        member.client.reset() if "reset" in manner else member.client.close()

    def _leaveInGoodOrder(self, member: _Member) -> None:
        """
        Send a close, and go on reading until the server ends it; in Hixie-75 just end TCP.
        """
        member.leaving = True
        self._willSayNoMore(member, wasPolite=True)
        if member.client.idiom.clientClose:
            self._send(member, member.client.idiom.clientClose)
        if not member.client.idiom.clientClose:
            member.client.socket.shutdown(1)

    def _willSayNoMore(self, member: _Member, wasPolite: bool) -> None:
        speech = self._speeches.setdefault(member.id, _Speech())
        speech.said, speech.wasPolite = member.said, wasPolite

    def _gone(self, member: _Member, manner: str) -> None:
        self._selector.unregister(member.client)
        self._members.remove(member)
        self._departed.append(member)
        self.departures[manner] += 1

    # Receiving

    def _receive(self, member: _Member) -> None:
        for frame in member.client.receive():
            if frame.opcode != CLOSE:
                self._take(member, frame.payload)
        client = member.client
        if client.ending or (client.farewell and member.leaving):
            good = member.leaving and client.farewell in ("", "FF 00", "1000")
            _require(good, f"a {client.dialect} client is disconnected: {client.outcome}")
            self._gone(member, "in good order")
            client.close()

    def _take(self, member: _Member, payload: bytes) -> None:
        if not member.id:
            _require(payload.startswith(_JOINED), f"the first message is {payload[:60]!r}")
            member.id = payload.removeprefix(_JOINED)
        if not self._members or member is self._members[0]:
            self._witnessed(member, payload)
            return
        member.ahead.append(hash(payload))
        self._check(member)

    def _check(self, member: _Member) -> None:
        """
        Compare what a member got with what the witness got so far.
        """
        if member.position < 0:
            member.position = self._joins.pop(member.id, -1)
        while member.ahead and 0 <= member.position < self._window.end:
            same = member.ahead.popleft() == self._window[member.position]
            _require(same, f"{member.client.dialect}: message {member.position} is another")
            member.position += 1
            self.checked += 1

    def _witnessed(self, witness: _Member, payload: bytes) -> None:
        index = self._window.end
        self._window.add(payload)
        witness.position = index + 1
        if payload.startswith(_JOINED):
            name = payload.removeprefix(_JOINED)
            speech = self._speeches.setdefault(name, _Speech())
            _require(not speech.joined, f"{name!r} joins twice")
            speech.joined = True
            if name != witness.id:
                self._joins[name] = index
        self._checkAll()
        if payload.startswith(_LEFT):
            self._hasLeft(payload.removeprefix(_LEFT))
        elif not payload.startswith(_JOINED):
            self._heard(payload)

    def _checkAll(self) -> None:
        for member in (*self._members[1:], *self._departed):
            if member.ahead:
                self._check(member)
        self._departed = [member for member in self._departed if member.ahead]

    def _heard(self, payload: bytes) -> None:
        name, _, text = payload.partition(b": ")
        speech = self._speeches[name]
        if speech.heard % _EMPTY:
            number, checksum, body = text.split(b" ", 2)
            _require(int(number) == speech.heard, f"{name!r}: {number!r} after {speech.heard - 1}")
            _require(int(checksum) == crc32(body), f"{name!r}: {number!r} is damaged")
        else:
            _require(not text, f"{name!r}: {text[:60]!r}, not an empty message")
        speech.heard += 1
        self._inFlight -= 1

    def _hasLeft(self, name: bytes) -> None:
        speech = self._speeches.pop(name)
        self._joins.pop(name, None)
        said = speech.said if speech.said is not None else speech.heard
        _require(speech.heard <= said, f"{name!r} said {said} messages, {speech.heard} came")
        missing = said - speech.heard
        _require(not missing or not speech.wasPolite, f"{missing} messages of {name!r} are missing")
        self._inFlight -= missing


class _Memory:
    """
    The server's resident memory over time.
    """

    def __init__(self, subject: Subject, warmUp: float) -> None:
        self._subject = subject
        self._started = time.monotonic()
        self._warmUp = warmUp
        self._due = 0.0
        self._samples: list[tuple[float, float]] = []
        self.current = subject.ownKiB()

    @property
    def minutes(self) -> float:
        """
        The time so far.
        """
        return (time.monotonic() - self._started) / 60

    def look(self) -> None:
        """
        Take a sample, if it is time.
        """
        if 60 * self.minutes < self._due:
            return
        self._due = 60 * self.minutes + _LOOK
        self.current = self._subject.ownKiB()
        if 60 * self.minutes >= self._warmUp:
            self._samples.append((self.minutes, self.current))

    def slope(self) -> float:
        """
        @return: KiB a minute, by least squares.
        """
        if len(self._samples) < 3:
            return 0.0
        minutes, sizes = zip(*self._samples, strict=True)
        return linear_regression(minutes, sizes).slope

    def limit(self) -> float:
        """
        @return: the largest allowed slope.
        """
        return _SLOPE + _WANDERING / max(self._samples[-1][0] - self._samples[0][0], 0.1)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _soak(minutes: float, seed: int) -> list[str]:
    """
    @return: the cells of the row with the results.
    @raise SoakError: if the server did not behave as it should.
    """
    # What rooms keep of the past grows until it is full. With little room for it, growth is a leak.
    with Subject("--history-size", str(1 << 20), secure=True) as subject:
        before = subject.holdings()
        soak = Soak(subject.port, subject.tlsPort, random.Random(seed))
        memory = _Memory(subject, min(_WARM_UP, 30 * minutes))
        told = 0.0

        def look() -> None:
            nonlocal told
            memory.look()
            if 60 * memory.minutes >= told + _TELL:
                told = 60 * memory.minutes
                _say(
                    f"{memory.minutes:.1f} min: {soak.messages:,} messages, {soak.checked:,} "
                    f"deliveries checked, {soak.departures.total():,} clients left; "
                    f"{memory.current / 1024:.1f} MiB, {memory.slope():+.0f} KiB/min"
                )

        soak.run(60 * minutes, look)
        soak.finish()
        until(lambda: subject.descriptors() <= before.descriptors, PATIENCE)
        after = subject.holdings()
        _require(after == before, f"the server holds {after}, at first {before}")
    slope, limit = memory.slope(), memory.limit()
    _require(slope <= limit, f"memory grows by {slope:.0f} KiB/min, not {limit:.0f} at the most")
    left = ", ".join(f"{count:,} {manner}" for manner, count in soak.departures.most_common())
    return [
        f"{minutes:g} min, seed {seed}",
        f"{soak.messages:,}",
        f"{soak.checked:,}",
        left,
        f"{memory.current / 1024:.1f} MiB",
        f"{slope:+.0f} KiB/min (at most {limit:.0f})",
    ]


def main() -> None:
    """
    Soak, and print the results.
    """
    parser = argparse.ArgumentParser("python -m tests.abuse.soak", description="Soak txhixie.")
    parser.add_argument("--minutes", type=float, default=15.0, help="how long (15)")
    parser.add_argument("--seed", type=int, default=1, help="what chance begins with (1)")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    try:
        with serverLog() as log:
            row = _soak(arguments.minutes, arguments.seed)
    except SoakError as error:
        sys.exit(f"{log.getvalue()}failed: {error}")
    print("| soak | messages | deliveries checked | clients left | memory | its slope |")
    print("| --- | --- | --- | --- | --- | --- |")
    print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
