"""
Follows rooms: their news come from a channel, and what the channel loses is read from the stream.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from txhixie.backplane.contract import BackplaneError, Entry, Receiver, formatId
from txhixie.backplane.ordering import Ordering, Position
from txhixie.backplane.redis import keys, reading
from txhixie.backplane.redis.connection import LinkLost
from txhixie.backplane.redis.link import Link
from txhixie.backplane.redis.wire import fromNews

# Channels that one SUBSCRIBE names.
CHANNELS = 500
# Entries that are read at once, first and at most, and characters: more entries are read at once
# while they are short.
FIRST, ENTRIES, LENGTH = 25, 500, 128 * 1024
# Seconds until a read that Redis refused temporarily is tried again.
RETRY = 1.0


class _Room:
    """
    A room that is followed.

    @ivar ordering: where its receivers stand.
    @ivar isPlaced: whether that is known. Until then news are held.
    @ivar isSubscribed: whether its news come.
    @ivar isBusy: whether its log is being read.
    @ivar beginning: those who wait to become receivers.
    @ivar expected: where an entry of this node is, and when it was sent, until it is delivered.
    """

    __slots__ = (
        *("beginning", "expected", "isBusy", "isPlaced", "isSubscribed", "name", "ordering"),
        "receivers",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.ordering = Ordering(isReading=True)
        self.isPlaced = False
        self.isSubscribed = False
        self.isBusy = False
        self.receivers: tuple[Receiver, ...] = ()
        self.beginning: list[tuple[Receiver, Deferred[str]]] = []
        self.expected: tuple[Position, float] | None = None


class Following:
    """
    The rooms that this node follows.

    @ivar latest: the latest epoch that was seen.
    @ivar gaps: how often entries were lost.
    @ivar onDelivered: called with the seconds from when entries were sent until they were
        delivered, see L{expect}.
    """

    _log = Logger()

    def __init__(self, news: Link, commands: Link, db: int, reactor: Any) -> None:
        """
        @param news: the link for subscriptions. L{heard} and L{subscribed} have to be called by it.
        @param commands: the link for everything else.
        """
        self.latest = 0
        self.gaps = 0
        self.onDelivered: Callable[[float], object] = lambda seconds: None
        self._news = news
        self._commands = commands
        self._db = db
        self._reactor = reactor
        self._retrying: IDelayedCall | None = None
        self._rooms: dict[bytes, _Room] = {}
        # The rooms that a SUBSCRIBE is under way for, in order.
        self._subscribing: deque[_Room] = deque()

    def subscribe(self, name: str, receiver: Receiver) -> Deferred[str]:
        """
        Add a receiver to a room.
        """
        channel = keys.channel(name, self._db)
        room = self._rooms.get(channel)
        if room is None:
            room = self._rooms[channel] = _Room(name)
            self._subscribe([channel])
        fired: Deferred[str] = Deferred()
        room.beginning.append((receiver, fired))
        self._begin(room)
        return fired

    def unsubscribe(self, name: str, receiver: Receiver) -> None:
        """
        Remove a receiver.
        """
        channel = keys.channel(name, self._db)
        room = self._rooms.get(channel)
        if room is None:
            return
        if receiver in room.receivers:
            receivers = list(room.receivers)
            receivers.remove(receiver)
            room.receivers = tuple(receivers)
        else:
            for each in room.beginning:
                if each[0] == receiver:
                    room.beginning.remove(each)
                    each[1].errback(BackplaneError("it was unsubscribed"))
                    break
        isUnused = not room.receivers and not room.beginning
        # Attendees that were just called may have left, or come back.
        if isUnused and self._rooms.get(channel) is room:
            del self._rooms[channel]
            self._news.switch("UNSUBSCRIBE", [channel])

    def expect(self, name: str, position: Position, sent: float) -> None:
        """
        Measure when an entry of this node is delivered here. In each room one is measured at a
        time.

        @param sent: when it was sent, in seconds of the reactor.
        """
        room = self._rooms.get(keys.channel(name, self._db))
        if room is not None and room.isPlaced and room.expected is None:
            room.expected = position, sent
            self._measure(room)

    def _measure(self, room: _Room) -> None:
        if room.expected is not None and room.expected[0] <= room.ordering.position:
            self.onDelivered(self._reactor.seconds() - room.expected[1])
            room.expected = None

    def stop(self) -> None:
        """
        Stop following rooms.
        """
        self._cancelRetry()
        rooms, self._rooms = self._rooms, {}
        for room in rooms.values():
            room.receivers = ()
            for _, fired in room.beginning:
                fired.errback(BackplaneError("the server has stopped"))

    # Called by the links

    def newsUp(self) -> None:
        """
        Subscribe to all rooms.
        """
        self._subscribing.clear()
        self._subscribe(list(self._rooms))

    def newsDown(self) -> None:
        """
        Expect no further news.
        """
        self._subscribing.clear()
        for room in self._rooms.values():
            room.isSubscribed = False

    def commandsUp(self) -> None:
        """
        Continue reads that failed.
        """
        self._cancelRetry()
        for room in list(self._rooms.values()):
            self._catchUp(room)

    def subscribed(self, channel: bytes) -> None:
        """
        The news of a room come from now on: see what came before.
        """
        room = self._subscribing.popleft()
        if self._rooms.get(channel) is room:
            room.isSubscribed = True
            room.ordering.isReading = True
            self._catchUp(room)

    def heard(self, channel: bytes, news: bytes) -> None:
        """
        Take news.
        """
        room = self._rooms.get(channel)
        if room is None:
            return
        steps = fromNews(news)
        self.latest = max(self.latest, steps[-1].position[0])
        entries = room.ordering.heard(steps)
        self._deliver(room, entries)
        self._catchUp(room)

    def _cancelRetry(self) -> None:
        retrying, self._retrying = self._retrying, None
        if retrying is not None and retrying.active():
            retrying.cancel()

    # Beginning, reading and delivering

    def _subscribe(self, channels: list[bytes]) -> None:
        if self._news.problem is not None:
            return
        for start in range(0, len(channels), CHANNELS):
            some = channels[start : start + CHANNELS]
            self._subscribing += [self._rooms[channel] for channel in some]
            self._news.switch("SUBSCRIBE", some)

    def _catchUp(self, room: _Room) -> None:
        """
        Read the log of a room, if that is needed and possible.
        """
        if room.isBusy or not room.isSubscribed or not room.ordering.isReading:
            return
        if self._commands.problem is not None or self._retrying is not None:
            return
        room.isBusy = True

        def done(result: object) -> None:
            room.isBusy = False
            if not isinstance(result, Failure):
                # More may be missing by now.
                self._catchUp(room)
            elif not result.check(LinkLost):
                self._log.error(
                    "reading {room!r} failed: {error}",
                    room=room.name,
                    error=result.getErrorMessage(),
                )
                if self._retrying is None:
                    self._retrying = self._reactor.callLater(RETRY, self.commandsUp)

        Deferred.fromCoroutine(self._read(room)).addBoth(done)

    async def _read(self, room: _Room) -> None:
        ordering = room.ordering
        if not room.isPlaced:
            ordering.position = newest = await reading.newest(self._commands, room.name)
            self.latest = max(self.latest, newest[0])
            room.isPlaced = True
            self._begin(room)
            self._deliver(room, ordering.read([], newest))
            return
        limit = FIRST
        while True:
            found = await reading.after(self._commands, room.name, ordering.position, limit)
            self._deliver(room, ordering.read(*found))
            length = sum(len(step.entry.text) for step in found.steps)
            limit = min(2 * limit, ENTRIES) if length < LENGTH else max(1, limit // 4)
            self.latest = max(self.latest, ordering.position[0])
            if found.isAll:
                return

    def _begin(self, room: _Room) -> None:
        """
        Make receivers of those who wait, if it is known where they begin.
        """
        while room.isPlaced and room.beginning:
            receiver, fired = room.beginning.pop(0)
            room.receivers += (receiver,)
            fired.callback(formatId(*room.ordering.position))

    def _deliver(self, room: _Room, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        for entry in entries:
            if entry.event == "gap":
                self.gaps += 1
                self._log.warn(
                    "entries of {room!r} before {id} are lost: {number}",
                    room=room.name,
                    id=entry.id,
                    number=entry.text or "nobody knows how many",
                )
        for receiver in room.receivers:
            if receiver not in room.receivers:
                continue
            try:
                receiver(entries)
            except Exception:
                self._log.failure("delivering {count} entries", count=len(entries))
        self._measure(room)
