"""
Publishes what happens on this node, in order and once, however often Redis has to be asked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from txhixie.backplane.contract import KEY_LIFETIME, ROOM_LIFETIME, BackplaneError
from txhixie.backplane.redis import keys
from txhixie.backplane.redis.connection import CommandRefused
from txhixie.backplane.redis.link import Link
from txhixie.backplane.redis.refusals import explain, isTemporary

# What goes to Redis at once for a room: the most publications, and the most bytes.
MOST = 250
MOST_BYTES = 256 * 1024
# Seconds for which Redis remembers the last batch of a node in a room, to recognize a repeat.
SENT_LIFETIME = 3600
# The event by which the script ends the membership of all members of a lease.
BURY = "bury"
# Seconds until a batch is tried again that Redis refused for the time being.
RETRY = 1.0


class _Publication(NamedTuple):
    """
    Something to add to a room.

    @ivar fired: fires with the id.
    @ivar isMessage: whether a client waits for it, so it counts as L{Publishing.waiting}.
    """

    event: str
    sender: str
    text: bytes
    key: str
    fired: Deferred[str | None]
    isMessage: bool


class _Outbox:
    """
    What waits to be added to a room. One batch is under way at a time, so that a repeat can be
    recognized and the order is kept; what comes meanwhile goes together in the next.

    @ivar number: of the batch that is under way.
    @ivar began: when it was first sent.
    @ivar batch: that batch; empty if there is none.
    @ivar isSent: whether an answer to it will come.
    """

    __slots__ = ("batch", "began", "isSent", "number", "room", "waiting")

    def __init__(self, room: str) -> None:
        self.room = room
        self.number = 0
        self.began = 0.0
        self.batch: list[_Publication] = []
        self.isSent = False
        self.waiting: deque[_Publication] = deque()

    def fill(self, number: int, now: float) -> None:
        """
        Begin another batch.
        """
        self.number = number
        self.began = now
        size = 0
        while self.waiting and len(self.batch) < MOST:
            size += len(self.waiting[0].text)
            # The members of an ended lease are not counted one by one in the answer.
            isAlone = BURY in (self.waiting[0].event, *(each.event for each in self.batch[:1]))
            if self.batch and (size > MOST_BYTES or isAlone):
                break
            self.batch.append(self.waiting.popleft())


class Publishing:
    """
    The outboxes of all rooms.

    @ivar node: identifies this process. Redis recognizes repeats by it.
    @ivar lease: the lease that new members are entered under.
    @ivar waiting: messages that were accepted and are not known to be in the log.
    @ivar problem: why Redis refuses to add anything, in one line.
    @ivar onIdle: called when nothing waits.
    @ivar onAnswered: called each time that a batch is in the log, with its room, the id of its last
        entry if there is one, and when it was sent, in seconds of the reactor.
    """

    _log = Logger()

    def __init__(
        self, link: Link, node: str, db: int, history: int, reactor: Any, least: Callable[[], int]
    ) -> None:
        """
        @param history: entries of a room to keep.
        @param least: returns the latest epoch that this node has seen; a new one is later.
        """
        self.lease = ""
        self.waiting = 0
        self.problem: str | None = None
        self.onIdle: Callable[[], object] = lambda: None
        self.onAnswered: Callable[[str, str | None, float], object] = lambda *answer: None
        self._link = link
        self._node = node
        self._db = db
        self._history = history
        self._reactor = reactor
        self._least = least
        self._numbers = count(1)
        self._outboxes: dict[str, _Outbox] = {}
        self._isStopped = False
        self._retrying: IDelayedCall | None = None

    @property
    def isIdle(self) -> bool:
        """
        Whether nothing waits.
        """
        return not self._outboxes

    def publish(
        self, room: str, event: str, sender: str, text: str, key: str
    ) -> Deferred[str | None]:
        """
        Add an entry to a room.

        @raise UnicodeEncodeError: if the text has lone surrogates.
        """
        if self._isStopped:
            return fail(BackplaneError("the server has stopped"))
        fired: Deferred[str | None] = Deferred()
        publication = _Publication(event, sender, text.encode(), key, fired, True)
        self.waiting += 1
        self._outbox(room).waiting.append(publication)
        self._sendSoon(room)
        return fired

    def repeat(self, room: str, event: str, texts: dict[str, str]) -> Deferred[Any]:
        """
        Add entries that Redis ought to have already, before everything that waits.

        @param texts: the text of each, by sender. Members whose joining still waits are left out:
            Redis does not know about them yet.
        @return: fires when that is done.
        """
        waiting = self._outbox(room).waiting
        joining = {each.sender for each in waiting if each.event == "open"}
        publications = [
            _Publication(event, sender, text.encode(), "", Deferred(), False)
            for sender, text in texts.items()
            if sender not in joining
        ]
        waiting.extendleft(reversed(publications))
        self._sendSoon(room)
        return gatherResults([each.fired for each in publications], consumeErrors=True)

    def connected(self) -> None:
        """
        Send everything that waits, and again what may not have arrived.
        """
        self._cancelRetry()
        for room in list(self._outboxes):
            self._sendSoon(room)

    def disconnected(self) -> None:
        """
        Expect no more answers.
        """
        for outbox in self._outboxes.values():
            outbox.isSent = False

    def stop(self) -> None:
        """
        Give up what waits.
        """
        self._isStopped = True
        self._cancelRetry()
        outboxes, self._outboxes = self._outboxes, {}
        for outbox in outboxes.values():
            self._failed([*outbox.batch, *outbox.waiting], "the server has stopped")

    def _outbox(self, room: str) -> _Outbox:
        outbox = self._outboxes.get(room)
        if outbox is None:
            outbox = self._outboxes[room] = _Outbox(room)
        return outbox

    def _sendSoon(self, room: str) -> None:
        """
        Send the next batch of a room, if none is under way.
        """
        outbox = self._outboxes.get(room)
        if outbox is None or outbox.isSent or self._link.problem is not None:
            return
        if self._retrying is not None:
            return
        if not outbox.batch:
            if not outbox.waiting:
                del self._outboxes[room]
                return
            outbox.fill(next(self._numbers), self._reactor.seconds())
        outbox.isSent = True
        keys.append.run(
            self._link,
            (
                *(keys.stream(room), keys.state(room), keys.members(room)),
                keys.sent(room, self._node),
            ),
            *(keys.channel(room, self._db), self._link.run, self.lease, outbox.number),
            *(self._history, self._least(), SENT_LIFETIME),
            *(int(KEY_LIFETIME), int(ROOM_LIFETIME)),
            *(part for each in outbox.batch for part in each[:4]),
        ).addCallbacks(
            self._answered, self._refused, callbackArgs=(outbox,), errbackArgs=(outbox,)
        ).addErrback(lambda failure: self._log.failure("publishing in {room}", failure, room=room))

    def _answered(self, answer: bytes, outbox: _Outbox) -> None:
        if not outbox.isSent:
            # It was given up.
            return
        self.problem = None
        began, batch, ids = outbox.began, outbox.batch, list(_ids(answer))
        outbox.batch = []
        outbox.isSent = False
        # What comes next is sent before anybody hears of this.
        self._sendSoon(outbox.room)
        self.onAnswered(outbox.room, ids[-1], began)
        for publication, entryId in zip(batch, ids, strict=True):
            self.waiting -= publication.isMessage
            publication.fired.callback(entryId)
        if self.isIdle:
            self.onIdle()

    def _refused(self, failure: Failure, outbox: _Outbox) -> None:
        if not failure.check(CommandRefused):
            # The connection is lost. It is sent again by the next.
            return
        problem = explain(failure, True)
        outbox.isSent = False
        if isTemporary(failure):
            if problem != self.problem:
                self._log.error("Redis refuses to add messages: {problem}", problem=problem)
            self.problem = problem
            if str(failure.value).startswith("READONLY"):
                # Another server is the master now.
                self._link.drop(problem)
            elif self._retrying is None:
                self._retrying = self._reactor.callLater(RETRY, self._retry)
            return
        self._log.error(
            "Redis refuses what was published in {room!r}: {problem}",
            room=outbox.room,
            problem=problem,
        )
        batch, outbox.batch = outbox.batch, []
        self._sendSoon(outbox.room)
        self._failed(batch, problem)

    def _retry(self) -> None:
        self._retrying = None
        self.connected()

    def _cancelRetry(self) -> None:
        retrying, self._retrying = self._retrying, None
        if retrying is not None:
            retrying.cancel()

    def _failed(self, publications: list[_Publication], problem: str) -> None:
        for publication in publications:
            self.waiting -= publication.isMessage
            publication.fired.errback(BackplaneError(problem))


def _ids(answer: bytes) -> Iterator[str | None]:
    """
    Return the ids of a batch, from what the script answered.
    """
    first, marks, *earlier = answer.decode("ascii").split(" ")
    epoch, _, offset = first.partition("-")
    numbers = count(int(offset))
    known = iter(earlier)
    for mark in marks:
        if mark == "+":
            yield f"{epoch}-{next(numbers)}"
        else:
            yield next(known) if mark == "=" else None
