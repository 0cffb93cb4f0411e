"""
The names of keys and channels, and the scripts that work on them.
"""

from __future__ import annotations

from hashlib import sha1
from importlib.resources import files
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txhixie.backplane.redis.connection import CommandRefused
from txhixie.backplane.redis.link import Link

LEASES = ("hixie:{nodes}:leases", "hixie:{nodes}:ended", "hixie:{nodes}:last")


def stream(room: str) -> bytes:
    """
    Return the key of a room's log.
    """
    return b"hixie:{%b}" % room.encode()


def state(room: str) -> bytes:
    """
    Return the key of the epoch and offset of a room's newest entry.
    """
    return b"hixie:{%b}:state" % room.encode()


def members(room: str) -> bytes:
    """
    Return the key of who is in a room, each with the lease of its node.
    """
    return b"hixie:{%b}:members" % room.encode()


def sent(room: str, node: str) -> bytes:
    """
    Return the key of what a node has added last to a room.
    """
    return b"hixie:{%b}:sent:%b" % (room.encode(), node.encode())


def channel(room: str, db: int) -> bytes:
    """
    Return the channel of a room's news. Databases share the channels of a server.
    """
    return b"hixie:%d:%b" % (db, room.encode())


def rooms(lease: str) -> str:
    """
    Return the key of the rooms that a node has members in.
    """
    return f"hixie:node:{lease}:rooms"


class Script:
    """
    A script that runs in Redis.
    """

    def __init__(self, name: str) -> None:
        self._text = files(__package__).joinpath(f"{name}.lua").read_text()
        # Redis names scripts so; nothing depends on how safe it is.
        self._hash = sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    def run(self, link: Link, keys: tuple[Any, ...], *arguments: Any) -> Deferred[Any]:
        """
        Run it, and load it if Redis does not have it.
        """
        command = (len(keys), *keys, *arguments)

        def failed(failure: Failure) -> Deferred[Any] | Failure:
            if failure.check(CommandRefused) and str(failure.value).startswith("NOSCRIPT"):
                return link.call("EVAL", self._text, *command)
            return failure

        return link.call("EVALSHA", self._hash, *command).addErrback(failed)


append = Script("append")
beat = Script("beat")
