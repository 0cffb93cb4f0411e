"""
Who is in rooms from this node, and the lease that shows that the node lives.
"""

from __future__ import annotations

import secrets
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from txhixie.backplane.redis import keys
from txhixie.backplane.redis.connection import LinkLost
from txhixie.backplane.redis.link import Link
from txhixie.backplane.redis.publishing import BURY, Publishing

# In seconds: how long a lease lasts, and the pause between renewals.
LIFETIME = 6.0
INTERVAL = 1.0
# If no lease of any node was renewed for this long, Redis or the way to it was down.
QUIET = 3.0
# The time that a node has to end the memberships of another that died, before a third does it.
CARE = 10.0
# Rooms that are named in one command.
_ROOMS = 1000


class Leases:
    """
    Keeps the lease of this node, and ends the memberships of nodes whose lease has ended.

    If it is not known what Redis still knows of our members, because our own lease has ended or
    Redis was started again, they are entered anew under a new lease. Then the old one is given up,
    and with it the memberships that are no longer true.
    """

    _log = Logger()

    def __init__(self, link: Link, publishing: Publishing, reactor: Any) -> None:
        self._link = link
        self._publishing = publishing
        # What went with the news of each member, by room.
        self._members: dict[str, dict[str, str]] = {}
        self._run = ""
        self._newLease()
        self._beating = LoopingCall(self._beat)
        self._beating.clock = reactor

    @property
    def rooms(self) -> dict[str, list[str]]:
        """
        The members of rooms on this node.
        """
        return {room: list(members) for room, members in self._members.items()}

    def opened(self, room: str, member: str, text: str) -> None:
        """
        Note a member, before its C{open} is published.

        @param text: the text of it.
        """
        members = self._members.get(room)
        if members is None:
            members = self._members[room] = {}
            self._enter([room])
        members[member] = text

    def closed(self, room: str, member: str, published: Deferred[str | None]) -> None:
        """
        Note that a member is gone.

        @param published: fires when its C{close} is in the log.
        """
        members = self._members.get(room)
        if members is None:
            return
        members.pop(member, None)
        if not members:
            del self._members[room]

            def left(result: str | None) -> str | None:
                if room not in self._members:
                    self._command("SREM", keys.rooms(self._lease), room)
                return result

            published.addCallback(left)

    def linkUp(self) -> None:
        """
        Renew the lease, before anything else is sent.
        """
        if self._run and self._run != self._link.run:
            self._renew("Redis was started again")
        else:
            self._enter(list(self._members))
        self._run = self._link.run
        if not self._beating.running:
            self._beating.start(INTERVAL, now=True)

    def linkDown(self) -> None:
        """
        Wait.
        """
        if self._beating.running:
            self._beating.stop()

    def end(self) -> Deferred[Any]:
        """
        Give up the lease.
        """
        self.linkDown()
        self._command("ZREM", keys.LEASES[0], self._lease)
        return self._command("DEL", keys.rooms(self._lease))

    # The own lease

    def _newLease(self) -> None:
        self._lease = self._publishing.lease = secrets.token_hex(8)
        # Whether Redis has it.
        self._isKnown = False

    def _enter(self, rooms: list[str]) -> None:
        """
        Note in which rooms this node has members.
        """
        for start in range(0, len(rooms), _ROOMS):
            self._command("SADD", keys.rooms(self._lease), *rooms[start : start + _ROOMS])

    def _renew(self, reason: str) -> None:
        old = self._lease
        self._newLease()
        rooms = {room: dict(members) for room, members in self._members.items()}
        self._log.info(
            "entering the members of {count} rooms again: {reason}", count=len(rooms), reason=reason
        )
        self._enter(list(rooms))

        def entered(result: object) -> None:
            self._command("ZREM", keys.LEASES[0], old)
            self._command("ZADD", keys.LEASES[1], 0, old)

        self._everywhere("open", rooms).addCallback(entered)

    # The leases of all

    def _beat(self) -> Deferred[None]:
        beaten = keys.beat.run(self._link, keys.LEASES, self._lease, LIFETIME, QUIET, CARE)
        return beaten.addCallbacks(
            self._beaten, self._ignore, callbackArgs=(self._lease,)
        ).addErrback(lambda failure: self._log.failure("renewing the lease", failure))

    def _beaten(self, answer: list[Any], renewed: str) -> None:
        isNew, ended = answer
        if renewed == self._lease:
            if isNew and self._isKnown:
                # Others took us for dead.
                self._renew("the lease of this node had ended")
                self._beat()
            else:
                self._isKnown = True
        for lease in ended:
            self._bury(lease.decode())

    def _bury(self, lease: str) -> None:
        """
        End the memberships of a lease that has ended.
        """
        self._command("SMEMBERS", keys.rooms(lease)).addCallback(self._buryIn, lease)

    def _buryIn(self, rooms: list[bytes] | None, lease: str) -> None:
        if rooms is None:
            return
        if rooms:
            self._log.info(
                "lease {lease} has ended: its members in {count} rooms leave",
                lease=lease,
                count=len(rooms),
            )

        def buried(result: object) -> None:
            self._command("DEL", keys.rooms(lease))
            self._command("ZREM", keys.LEASES[1], lease)

        self._everywhere(BURY, {room.decode(): {lease: ""} for room in rooms}).addCallback(buried)

    def _everywhere(self, event: str, rooms: dict[str, dict[str, str]]) -> Deferred[Any]:
        """
        Add entries to rooms.

        @param rooms: the senders in each, with their texts.
        @return: fires when that is done, and never if the backplane is stopped before.
        """
        done: Deferred[Any] = Deferred()
        added = [self._publishing.repeat(room, event, each) for room, each in rooms.items()]
        gatherResults(added, consumeErrors=True).addCallbacks(done.callback, lambda failure: None)
        return done

    def _command(self, *command: Any) -> Deferred[Any]:
        return self._link.call(*command).addErrback(self._ignore)

    def _ignore(self, failure: Failure) -> None:
        """
        Drop what fails because a connection was lost: the next one repeats all of it.
        """
        if not failure.check(LinkLost):
            self._log.error("the leases in Redis: {error}", error=failure.getErrorMessage())
