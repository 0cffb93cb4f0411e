"""
The contract of a backplane, which carries the entries of rooms between the processes that serve
them.

A room is a log. Everything that happens in it is an L{Entry}: somebody came, said something, left.
All nodes, which are processes with clients in the room, see the same entries in the same order. The
newest entries are kept, so that those who come late, or come back, can read them.

An entry's id is C{EPOCH-OFFSET}, both decimal. The epoch is when the log began, in milliseconds
since 1970. The offset counts its entries, from 1 and without holes. A log that may have lost
entries, such as that of a server which was restarted, goes on in a later epoch. Later entries have
greater ids. Both together are a valid id of a Redis stream.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

from twisted.internet.defer import Deferred

Event = Literal["open", "message", "close", "gap"]

# Before the first entry of any log: a reader that begins here misses nothing.
BEGINNING = "0-0"
# How long, in seconds, a room is remembered that nobody is in and nobody publishes in.
ROOM_LIFETIME = 3600.0
# How long, in seconds, the key of a publication is remembered, unless the entry is trimmed before.
KEY_LIFETIME = 300.0

# 15 digits fit into the float that Lua counts with.
_ID = re.compile(r"([0-9]{1,15})-([0-9]{1,15})")


class BackplaneError(Exception):
    """
    A publication or a question to the backplane failed for good. Its text says why, in one line.
    """


class Entry(NamedTuple):
    """
    An entry of a room's log.

    @ivar id: C{EPOCH-OFFSET}.
    @ivar event: C{open} and C{close} are about a member, C{message} is what somebody said. C{gap}
        is in no log: it stands for entries that are lost, C{id} is that of the last of them.
    @ivar sender: the id of the connection that it is from; for a C{gap} an empty string.
    @ivar text: what was said. For a C{gap}, the number of lost entries if that is known, or an
        empty string.
    """

    id: str
    event: Event
    sender: str
    text: str


# Called with entries that came together, at least one, in the order of the log.
Receiver = Callable[[Sequence[Entry]], object]


def parseId(text: str) -> tuple[int, int]:
    """
    Return the epoch and the offset of an id.

    @raise ValueError: if it is not an id.
    """
    match = _ID.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no id of an entry")
    return int(match[1]), int(match[2])


def formatId(epoch: int, offset: int) -> str:
    """
    Return the id with this epoch and offset.
    """
    return f"{epoch}-{offset}"


class Backplane(Protocol):
    """
    Carries the entries of rooms to every node. It is an C{IService}, too.

    Names of rooms are any texts that encode as UTF-8 and are not empty; who calls bounds their
    length and number. Deferreds that are returned may have fired already. Cancelling them has no
    effect on others.
    """

    @property
    def problem(self) -> str | None:
        """
        Why nothing can be published at the moment, in one line; C{None} if all is well. Before the
        service has started, and while it waits for its server, there is a problem.
        """

    @property
    def isFull(self) -> bool:
        """
        Whether the number of waiting publications is so high that senders should be paused until
        their L{publish} has fired. Nothing is dropped if they are not paused.
        """

    def startService(self) -> object:
        """
        Start, and keep trying until it works: L{problem} has the state.
        """

    def stopService(self) -> Deferred[None] | None:
        """
        Publish what waits, if that is possible at once, and release everything. What could not be
        published fails with L{BackplaneError}, and so does everything from now on. Members that are
        still in rooms leave them.

        @return: fires when that is done.
        """

    def publish(
        self, room: str, event: Event, sender: str, text: str = "", key: str = ""
    ) -> Deferred[str | None]:
        """
        Add an entry to the log of a room, exactly once, however often it has to be tried. Entries
        from one backplane object are added in the order of the calls.

        An C{open} makes the sender a member of the room, a C{close} ends that. An C{open} of a
        member, and a C{close} of somebody who is none, add nothing. If a node dies, the others
        add a C{close} for each of its members, once, within 10 seconds.

        @param event: not C{gap}.
        @param key: names this publication among those of its sender in this room, if it may be
            repeated: a second one with the same key adds nothing and gets the id of the first, for
            L{KEY_LIFETIME}.
        @return: fires with the id of the entry once it is safely in the log, or with C{None} if
            there was nothing to add. It fails with L{BackplaneError} if the entry will never be
            added.
        """

    def subscribe(self, room: str, receiver: Receiver) -> Deferred[str]:
        """
        Have C{receiver} called with all entries from now on, each once and in the order of the log,
        until L{unsubscribe}. Entries that are lost are replaced by a C{gap}. A receiver has to be
        quick and not raise; it may call any method of the backplane. What is published in this
        process may be delivered before L{publish} returns.

        @param receiver: compared with C{==} by L{unsubscribe}. There may be several for a room.
        @return: fires with the id of the entry before the first that the receiver gets; the offset
            is 0 if there is none before it. It fires before the receiver is called.
        """

    def unsubscribe(self, room: str, receiver: Receiver) -> None:
        """
        Stop calling C{receiver}, whether or not L{subscribe} has fired. If it has not, it fails
        with L{BackplaneError}.
        """

    def read(self, room: str, since: str, limit: int) -> Deferred[Sequence[Entry]]:
        """
        Read the log.

        @param since: the id of the entry after which to begin, or L{BEGINNING}.
        @param limit: entries to read at most, a C{gap} not counted.
        @return: fires with the entries, oldest first. There are none if C{since} is the id of the
            newest. If entries after C{since} are lost, the first one is a C{gap}, and those that
            are still there follow. The same holds if C{since} is of another epoch, or later than
            the newest entry: then the log is not the one that it was. A room that is not known has
            no entries, and the id of its newest one is L{BEGINNING}.
        """

    def tail(self, room: str, count: int) -> Deferred[str]:
        """
        Find the newest entries of a room.

        @param count: how many.
        @return: fires with the id after which L{read} begins with these entries, or with the
            oldest one if there are not as many. With C{count=0} it is the id of the newest.
        """

    def members(self, room: str) -> Deferred[tuple[str, ...]]:
        """
        Find out who is in a room, on any node.

        @return: fires with the ids, sorted.
        """
