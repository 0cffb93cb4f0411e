"""
How many clients are let in.
"""

from __future__ import annotations

import random
from collections import Counter

from txhixie.dialects.head import HandshakeError

# Seconds after which a client that is turned away may come again: not all at the same time.
_RETRY_AFTER = (5, 15)


class Admission:
    """
    Counts the clients that were let in, in all and by address, and turns away those too many.
    """

    def __init__(self, inAll: int, perAddress: int) -> None:
        """
        @param inAll: how many clients there may be.
        @param perAddress: how many there may be of one address; 0: any number.
        """
        self._inAll = inAll
        self._perAddress = perAddress
        self._count = 0
        self._addresses: Counter[str] = Counter()
        self._closed = False

    def open(self) -> None:
        """
        Let clients in, from now on.
        """
        self._closed = False

    def close(self) -> None:
        """
        Let nobody in any more.
        """
        self._closed = True

    @property
    def isClosed(self) -> bool:
        """
        Whether nobody is let in.
        """
        return self._closed

    def admit(self, host: str) -> None:
        """
        Let a client in, and count it until L{release}.

        @param host: its address, or an empty string for clients that have none, which are not
            counted by address.
        @raise HandshakeError: 503, with C{Retry-After}, if it has to stay outside.
        """
        if self._closed:
            raise comeAgain("the server is going down")
        if self._count >= self._inAll:
            raise comeAgain("too many connections")
        if self._perAddress and host:
            if self._addresses[host] >= self._perAddress:
                raise comeAgain("too many connections from this address")
            self._addresses[host] += 1
        self._count += 1

    def release(self, host: str) -> None:
        """
        Count one client less.
        """
        self._count -= 1
        if self._perAddress and host:
            self._addresses[host] -= 1
            if not self._addresses[host]:
                del self._addresses[host]


def comeAgain(text: str) -> HandshakeError:
    """
    @param text: why.
    @return: the answer to a client that may try again in a while.
    """
    seconds = random.randint(*_RETRY_AFTER)
    return HandshakeError(503, text, [(b"Retry-After", b"%d" % seconds)])
