"""
The backplane for a single process: rooms in its memory.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from itertools import islice, starmap
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger

from txhixie.backplane.contract import (
    BEGINNING,
    ROOM_LIFETIME,
    BackplaneError,
    Entry,
    Event,
    Receiver,
    formatId,
    parseId,
)
from txhixie.settings import Settings

# The approximate bytes that an entry takes besides its text: the tuple, the id, the place in the
# log.
_OVERHEAD = 256

_DEFAULT = Settings()

# The fields of an entry.
_Kept = tuple[str, ...]


class _Log:
    """
    A room.

    @ivar kept: its newest entries.
    @ivar keys: the ids of those that have a key, by sender and key; and the other way round.
    @ivar pending: entries to deliver; C{None} if none are being delivered.
    """

    __slots__ = ("_log", "epoch", "kept", "keys", "members", "offset", "pending", "receivers")

    def __init__(self, epoch: int, log: Logger) -> None:
        self._log = log
        self.epoch = epoch
        self.offset = 0
        # Plain tuples, because the garbage collector does not go through those of plain values. It
        # would go through each Entry, and there may be hundreds of thousands.
        self.kept: deque[_Kept] = deque()
        self.keys: dict[tuple[str, str] | str, Any] = {}
        self.members: set[str] = set()
        self.receivers: tuple[Receiver, ...] = ()
        self.pending: list[Entry] | None = None

    @property
    def isEmpty(self) -> bool:
        """
        Whether nobody is here, and nothing listens.
        """
        return not self.members and not self.receivers

    def change(self, event: Event, sender: str) -> bool:
        """
        Note who comes or leaves.

        @return: whether the membership changed.
        """
        if (event == "open") == (sender in self.members):
            return False
        if event == "open":
            self.members.add(sender)
        else:
            self.members.discard(sender)
        return True

    def after(self, epoch: int, offset: int, limit: int) -> list[Entry]:
        """
        Return the entries after an id, and before them a gap if some are missing.
        """
        oldest = self.offset - len(self.kept) + 1
        if epoch != self.epoch:
            start, missing = oldest, "" if epoch else None
        elif offset > self.offset:
            start, missing = self.offset + 1, ""
        else:
            start = max(oldest, offset + 1)
            missing = str(start - offset - 1) if offset + 1 < start else None
        kept = islice(self.kept, start - oldest, start - oldest + limit)
        found = [*starmap(Entry, kept)]
        if missing is not None:
            found.insert(0, Entry(formatId(self.epoch, start - 1), "gap", "", missing))
        return found

    def deliver(self, entry: Entry) -> None:
        """
        Give an entry to all receivers. What they publish themselves is delivered after it, so that
        all get the same order.
        """
        if self.pending is not None:
            self.pending.append(entry)
            return
        entries = [entry]
        try:
            while entries:
                self.pending = []
                for receiver in self.receivers:
                    try:
                        receiver(entries)
                    except Exception:
                        self._log.failure("delivering {count} entries", count=len(entries))
                entries = self.pending
        finally:
            self.pending = None


class LocalBackplane(Service):
    """
    Rooms in memory, for a single process. See
    L{Backplane<txhixie.backplane.contract.Backplane>} for what it does. It works without being
    started, too.

    A room that nobody is in, and nobody listens to, is forgotten an hour after its last entry, or
    earlier if there are too many of them.

    @ivar isFull: C{False}; nothing waits.
    """

    isFull = False

    _log = Logger()

    def __init__(
        self,
        history: int = _DEFAULT.history,
        historySize: int = _DEFAULT.historySize,
        maxRooms: int = _DEFAULT.maxRooms,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        @param history: entries of each room that are kept.
        @param historySize: bytes that the kept entries of all rooms may take; 0: any number.
        @param maxRooms: empty rooms that are remembered.
        @param clock: returns seconds since 1970.
        """
        self._history = history
        self._historySize = historySize or float("inf")
        self._maxRooms = maxRooms
        self._clock = clock
        self._epoch = 0
        self._isStopped = False
        self._logs: dict[str, _Log] = {}
        # Empty rooms, with the time since when nothing has happened there, the oldest first.
        self._empty: OrderedDict[str, float] = OrderedDict()
        # Rooms of which entries are kept, the one that has been silent for longest first.
        self._keeping: OrderedDict[str, _Log] = OrderedDict()
        # The last of these.
        self._loudest: _Log | None = None
        self._size = 0

    @property
    def problem(self) -> str | None:
        """
        Why nothing can be published; C{None} until the service is stopped.
        """
        return "the server has stopped" if self._isStopped else None

    def startService(self) -> None:
        """
        Begin.
        """
        super().startService()
        self._isStopped = False

    def stopService(self) -> None:
        """
        End: members leave their rooms.
        """
        for room, log in list(self._logs.items()):
            for sender in sorted(log.members):
                self.publish(room, "close", sender)
        super().stopService()
        self._isStopped = True

    def publish(
        self, room: str, event: Event, sender: str, text: str = "", key: str = ""
    ) -> Deferred[str | None]:
        """
        Add an entry to the log of a room.
        """
        if self._isStopped:
            return fail(BackplaneError("the server has stopped"))
        log = self._logs.get(room)
        if log is None:
            log = self._begin(room)
        if key and (sender, key) in log.keys:
            return succeed(log.keys[sender, key])
        published: Deferred[str | None]
        if event == "message" or log.change(event, sender):
            log.offset += 1
            # As formatId, but this is done for every message.
            entry = Entry(f"{log.epoch}-{log.offset}", event, sender, text)
            if self._history:
                self._keep(room, log, entry)
                if key and log.kept:
                    log.keys[sender, key] = entry.id
                    log.keys[entry.id] = sender, key
            log.deliver(entry)
            published = succeed(entry.id)
        else:
            published = succeed(None)
        if event == "open":
            self._empty.pop(room, None)
        elif not log.receivers:
            self._emptied(room, log)
        return published

    def subscribe(self, room: str, receiver: Receiver) -> Deferred[str]:
        """
        Call a receiver with the entries of a room.
        """
        if self._isStopped:
            return fail(BackplaneError("the server has stopped"))
        log = self._logs.get(room)
        if log is None:
            log = self._begin(room)
        log.receivers += (receiver,)
        self._empty.pop(room, None)
        return succeed(formatId(log.epoch, log.offset))

    def unsubscribe(self, room: str, receiver: Receiver) -> None:
        """
        Stop calling a receiver.
        """
        log = self._logs.get(room)
        if log is None or receiver not in log.receivers:
            return
        receivers = list(log.receivers)
        receivers.remove(receiver)
        log.receivers = tuple(receivers)
        self._emptied(room, log)

    def read(self, room: str, since: str, limit: int) -> Deferred[Sequence[Entry]]:
        """
        Read the log of a room.
        """
        epoch, offset = parseId(since)
        log = self._logs.get(room)
        if log is not None:
            return succeed(log.after(epoch, offset, limit))
        return succeed([Entry(BEGINNING, "gap", "", "")] if epoch or offset else [])

    def tail(self, room: str, count: int) -> Deferred[str]:
        """
        Find the newest entries of a room.
        """
        log = self._logs.get(room)
        if log is None:
            return succeed(BEGINNING)
        return succeed(formatId(log.epoch, log.offset - min(count, len(log.kept))))

    def members(self, room: str) -> Deferred[tuple[str, ...]]:
        """
        Find out who is in a room.
        """
        log = self._logs.get(room)
        return succeed(() if log is None else tuple(sorted(log.members)))

    # What is kept

    def _begin(self, room: str) -> _Log:
        # A room that was forgotten comes back with a later epoch, whatever the clock does.
        self._epoch = max(int(self._clock() * 1000), self._epoch + 1)
        log = self._logs[room] = _Log(self._epoch, self._log)
        return log

    def _keep(self, room: str, log: _Log, entry: Entry) -> None:
        kept = log.kept
        kept.append(tuple(entry))
        self._size += _OVERHEAD + entry.text.__sizeof__()
        if self._loudest is not log:
            self._loudest = self._keeping[room] = log
            self._keeping.move_to_end(room)
        if len(kept) > self._history:
            self._trim(room, log)
        while self._size > self._historySize:
            self._trim(*next(iter(self._keeping.items())))

    def _trim(self, room: str, log: _Log) -> None:
        """
        Forget the oldest entry of a room.
        """
        entryId, _, _, text = log.kept.popleft()
        self._size -= _OVERHEAD + text.__sizeof__()
        if log.keys and entryId in log.keys:
            del log.keys[log.keys.pop(entryId)]
        if not log.kept:
            del self._keeping[room]
            if self._loudest is log:
                self._loudest = None

    def _emptied(self, room: str, log: _Log) -> None:
        """
        Remember a room that is empty for a while, and forget those that have been so for long.
        """
        if not log.isEmpty or self._logs.get(room) is not log:
            return
        now = self._clock()
        self._empty[room] = now
        self._empty.move_to_end(room)
        while self._empty:
            oldest, since = next(iter(self._empty.items()))
            isOld = now - since > ROOM_LIFETIME or len(self._empty) > self._maxRooms
            if not isOld and self._logs[oldest].kept:
                break
            del self._empty[oldest]
            forgotten = self._logs.pop(oldest)
            while forgotten.kept:
                self._trim(oldest, forgotten)


def fromURL(url: str, settings: Settings) -> LocalBackplane:
    """
    Return what the URL C{memory} stands for.

    @raise ValueError: if there is more in the URL.
    """
    if url not in ("memory", "memory:", "memory://"):
        raise ValueError("the backplane memory takes no address")
    return LocalBackplane(settings.history, settings.historySize, settings.maxRooms)
