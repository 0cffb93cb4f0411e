"""
One room, on behalf of the attendees in this process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txhixie.applications.attending import Attendee
from txhixie.applications.presence import Presence
from txhixie.applications.replay import replay
from txhixie.applications.wishes import Start
from txhixie.applications.wording import Wording
from txhixie.backplane.contract import Backplane, BackplaneError, Entry, Event, parseId


class Room:
    """
    Sends everybody in a room what happens there, in the order of its log.

    What happens while entries are delivered waits until all have them. Entries that come together
    are delivered together: each attendee is visited once, and not once for each entry. This matters
    for large numbers of them. The same holds for joins and leaves that happen together.

    An attendee that wants the past catches up first: it reads the log page by page, at its own
    speed, until it has reached what was delivered to the others. From then on it is live.
    """

    __slots__ = (
        "_ahead",
        "_backplane",
        "_catchingUp",
        "_empty",
        "_failure",
        "_isClosed",
        "_isDelivering",
        "_isDue",
        "_isDueLater",
        "_joining",
        "_live",
        "_pending",
        "_position",
        "_presence",
        "_waiting",
        "key",
        "name",
    )

    _log = Logger()

    def __init__(
        self, name: str, key: str, backplane: Backplane, empty: Callable[[Room], object]
    ) -> None:
        """
        @param key: its name on the backplane.
        @param empty: called when nobody is here any longer.
        """
        self.name = name
        self.key = key
        self._backplane = backplane
        self._empty = empty
        self._isClosed = False
        # The reason why the room does not work.
        self._failure: str | None = None
        # Members whose entry has not come yet, by their id, and where their view of the room
        # starts.
        self._joining: dict[str, tuple[Attendee, Start | Deferred[str] | None]] = {}
        self._live: dict[Wording, dict[Attendee, None]] = {}
        self._catchingUp: dict[Attendee, None] = {}
        # Those that have read further in the log than was delivered, and up to where.
        self._ahead: dict[Attendee, tuple[int, int]] = {}
        self._presence = Presence(backplane, key)
        self._pending: list[Entry] = []
        # Whether the delivery of pending entries is due at the end of a read, or of a turn.
        self._isDue = self._isDueLater = self._isDelivering = False
        # The id of the last entry that was delivered.
        self._position = ""
        # Calls that wait for the subscription.
        self._waiting: list[Callable[[], object]] | None = []
        backplane.subscribe(key, self._receive).addCallbacks(self._subscribed, self._failed)

    def _subscribed(self, position: str) -> None:
        self._position = position
        waiting, self._waiting = self._waiting, None
        for call in waiting or ():
            call()

    def _failed(self, failure: Failure) -> None:
        self._failure = str(failure.value)
        for call in self._waiting or ():
            call()

    def _whenSubscribed(
        self, attendee: Attendee, call: Callable[..., object], *args: object
    ) -> None:
        """
        Call C{call} with the attendee and more once the room works; if it never will, end the
        attendee.
        """

        def subscribed() -> None:
            if self._failure is None:
                call(attendee, *args)
            elif not self._isClosed:
                attendee.failed(self._failure)

        if self._waiting is None or self._failure is not None:
            subscribed()
        else:
            self._waiting.append(subscribed)

    # Called by attendees

    def join(self, member: Attendee, start: Start, text: str = "") -> None:
        """
        Add a member, and tell everybody.

        @param start: where the member's view of the room starts.
        @param text: what goes with the entry.
        """
        self._joining[member.id] = member, None
        self._whenSubscribed(member, self._announce, start, text)

    def _announce(self, member: Attendee, start: Start, text: str) -> None:
        if member.id in self._joining:
            if not start.isNow:
                self._joining[member.id] = member, self._resolved(start)
            self._publishLater(member, "open", text)

    def _resolved(self, start: Start) -> Start | Deferred[str]:
        """
        Find where the newest entries begin as long as they are the newest.
        """
        return start if start.last is None else self._backplane.tail(self.key, start.last)

    def leave(self, member: Attendee, text: str = "") -> None:
        """
        Remove a member, and tell the others.
        """
        wasAnnounced = self._waiting is None
        self.forget(member)
        if wasAnnounced:
            self._publishLater(member, "close", text)

    def listen(self, attendee: Attendee, start: Start) -> None:
        """
        Add an attendee that does not appear in the room.
        """
        self._catchingUp[attendee] = None
        self._whenSubscribed(attendee, self._listen, start)

    def _listen(self, attendee: Attendee, start: Start) -> None:
        if attendee not in self._catchingUp:
            return
        if start.isNow:
            self._goLive(attendee, self._position)
        else:
            self._catchUp(attendee, self._resolved(start))

    def forget(self, attendee: Attendee) -> None:
        """
        Remove an attendee without telling anybody.
        """
        self._joining.pop(attendee.id, None)
        self._catchingUp.pop(attendee, None)
        self._ahead.pop(attendee, None)
        live = self._live.get(attendee.wording)
        if live is not None:
            live.pop(attendee, None)
            if not live:
                del self._live[attendee.wording]
        if not (self._joining or self._catchingUp or self._live or self._isClosed):
            self._isClosed = True
            self._empty(self)

    def close(self) -> None:
        """
        Stop listening: nobody is here.
        """
        self._backplane.unsubscribe(self.key, self._receive)

    def say(self, member: Attendee, message: str) -> Deferred[Any] | None:
        """
        Send a member's message to everybody, and everything that is pending before it.

        @return: what the member has to wait for before it sends more.
        """
        if self._waiting is not None:
            subscribed: Deferred[Any] = Deferred()
            self._waiting.append(lambda: subscribed.callback(None))
            return subscribed.addCallback(lambda _: self.say(member, message))
        isDue, self._isDue = self._isDue, True
        published = self._backplane.publish(self.key, "message", member.id, message)
        # A callback costs more than all the rest, and in memory none is needed.
        if not published.called or isinstance(published.result, Failure):
            published.addErrback(self._publishFailed, member)
        if not isDue:
            member.whenReceived(self.deliver)
        return published if self._backplane.isFull else None

    def _publishLater(self, member: Attendee, event: Event, text: str) -> None:
        """
        Publish that a member came or left, and deliver it together with all others that do.
        """
        isDue, self._isDueLater = self._isDueLater, True
        published = self._backplane.publish(self.key, event, member.id, text)
        published.addErrback(self._publishFailed, member)
        if not isDue:
            member.whenSettled(self.deliver)

    def gather(self) -> None:
        """
        Deliver what is published from now on together, at the end of the reactor's turn.
        """
        attendee = next((each for live in self._live.values() for each in live), None)
        if attendee is not None and not self._isDueLater:
            self._isDueLater = True
            attendee.whenSettled(self.deliver)

    def _publishFailed(self, failure: Failure, member: Attendee) -> None:
        failure.trap(BackplaneError)
        member.failed(_reason(failure))

    # Delivery

    def _receive(self, entries: Sequence[Entry]) -> None:
        self._pending += entries
        if not (self._isDue or self._isDueLater):
            self.deliver()

    def deliver(self) -> None:
        """
        Deliver what is pending now, unless it is being delivered.
        """
        self._isDue = self._isDueLater = False
        if self._isDelivering:
            return
        self._isDelivering = True
        try:
            while self._pending:
                pending, self._pending = self._pending, []
                self._deliverTogether(pending)
        finally:
            self._isDelivering = False

    def _deliverTogether(self, entries: list[Entry]) -> None:
        """
        Deliver entries to each attendee in one write.
        """
        # The first entry for each attendee that does not get all of them.
        first = self._skipped(entries) if self._ahead else {}
        starting = self._joined(entries, first) if self._joining else []
        self._presence.note(entries)
        isSingle = len(entries) == 1
        for wording, live in list(self._live.items()):
            texts = tuple(map(wording.entry, entries))
            for attendee in list(live):
                try:
                    if first:
                        attendee.sendAll(texts[first.get(attendee, 0) :])
                    elif isSingle:
                        attendee.transport.sendTextMessage(texts[0])
                    else:
                        attendee.sendAll(texts)
                except Exception:
                    # Some transports raise once they are closed. That must not affect the others.
                    self._log.failure("sending to {id}", id=attendee.id)
        self._position = entries[-1].id
        for attendee, start in starting:
            if start is None:
                self._tellPresence(attendee)
            else:
                self._catchUp(attendee, start)

    def _joined(
        self, entries: list[Entry], first: dict[Attendee, int]
    ) -> list[tuple[Attendee, Start | Deferred[str] | None]]:
        """
        Return the members whose joining is among the entries. Members that do not want the past are
        live from then on.
        """
        found = []
        for number, entry in enumerate(entries):
            if entry.event == "open" and entry.sender in self._joining:
                member, start = self._joining.pop(entry.sender)
                found.append((member, start))
                if start is None:
                    self._live.setdefault(member.wording, {})[member] = None
                    first[member] = number
                else:
                    self._catchingUp[member] = None
        return found

    def _skipped(self, entries: list[Entry]) -> dict[Attendee, int]:
        """
        Return how many of the entries those know already who have read ahead.
        """
        ids = [parseId(entry.id) for entry in entries]
        found = {
            attendee: sum(each <= position for each in ids)
            for attendee, position in self._ahead.items()
        }
        self._ahead = {each: at for each, at in self._ahead.items() if at > ids[-1]}
        return found

    # The past

    def _catchUp(self, attendee: Attendee, start: Start | Deferred[str]) -> None:
        reading = Deferred.fromCoroutine(self._readOn(attendee, start))
        reading.addErrback(self._readingFailed, attendee)

    async def _readOn(self, attendee: Attendee, start: Start | Deferred[str]) -> None:
        """
        Send what an attendee has missed, and then make it live.
        """
        since = str(start.since) if isinstance(start, Start) else await start
        attendee.catchUp()
        reached = await replay(
            *(self._backplane, self.key, attendee, since),
            lambda: self._position,
            lambda: attendee in self._catchingUp,
        )
        # Sending may have ended it.
        if attendee in self._catchingUp:
            attendee.caughtUp()
            self._goLive(attendee, reached)

    def _goLive(self, attendee: Attendee, position: str) -> None:
        """
        Have an attendee get everything that is delivered from now on, and that it does not know.
        """
        del self._catchingUp[attendee]
        self._live.setdefault(attendee.wording, {})[attendee] = None
        if parseId(position) > parseId(self._position):
            self._ahead[attendee] = parseId(position)
        self._tellPresence(attendee)

    def _tellPresence(self, attendee: Attendee) -> None:
        """
        Tell an attendee who is here, if it wants to know.
        """
        if attendee.wantsPresence:
            counted = self._presence.count()
            counted.addCallback(self._counted, attendee)
            counted.addErrback(self._readingFailed, attendee)

    def _counted(self, members: list[str], attendee: Attendee) -> None:
        if attendee in self._live.get(attendee.wording, ()):
            attendee.sendAll((attendee.wording.presence(self._position, members),))

    def _readingFailed(self, failure: Failure, attendee: Attendee) -> None:
        if not failure.check(BackplaneError):
            self._log.failure("sending the past to {id}", failure, id=attendee.id)
        attendee.failed(_reason(failure) if failure.check(BackplaneError) else "")


def _reason(failure: Failure) -> str:
    return str(failure.value)
