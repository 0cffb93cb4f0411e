"""
How many clients are admitted.
"""

from __future__ import annotations

from collections import Counter

from txhixie.dialects.head import comeAgain


class Admission:
    """
    Counts the admitted clients, in all and by address, and refuses clients over the limits.
    """

    def __init__(self, inAll: int, perAddress: int) -> None:
        """
        @param inAll: the largest number of clients.
        @param perAddress: the largest number of clients of one address; 0: any number.
        """
        self._inAll = inAll
        self._perAddress = perAddress
        self._count = 0
        self._addresses: Counter[str] = Counter()
        self._closed = False

    def open(self) -> None:
        """
        Admit clients from now on.
        """
        self._closed = False

    def close(self) -> None:
        """
        Admit no more clients.
        """
        self._closed = True

    @property
    def isClosed(self) -> bool:
        """
        Whether no client is admitted.
        """
        return self._closed

    def admit(self, host: str) -> None:
        """
        Admit a client, and count it until L{release}.

        @param host: its address, or an empty string for clients that have none, which are not
            counted by address.
        @raise HandshakeError: 503, with C{Retry-After}, if it is not admitted.
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
        Stop counting a client.
        """
        self._count -= 1
        if self._perAddress and host:
            self._addresses[host] -= 1
            if not self._addresses[host]:
                del self._addresses[host]
