"""
How many clients are admitted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from ipaddress import IPv6Address

from txhixie.addresses import parseAddress
from txhixie.dialects.head import comeAgain

# Bits of an IPv6 address that distinguish hosts within one network (RFC 4291 section 2.5.4).
_HOST_BITS = 64


class Admission:
    """
    Counts the admitted clients, in total and by address, and refuses clients over the limits.
    """

    def __init__(
        self, inAll: int, perAddress: int, makeRoom: Callable[[], object] = lambda: None
    ) -> None:
        """
        @param inAll: the largest number of clients.
        @param perAddress: the largest number of clients from one address; 0: no limit. A client
            with one IPv6 address has a whole network, so IPv6 clients are counted by network.
        @param makeRoom: called when there are too many clients in all. It may L{release} one.
        """
        self._inAll = inAll
        self._perAddress = perAddress
        self._makeRoom = makeRoom
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

        @param host: its address, or an empty string for clients without an address, which are not
            counted by address.
        @raise HandshakeError: 503, with C{Retry-After}, if it is not admitted.
        """
        if self._closed:
            raise comeAgain("the server is going down")
        place = _place(host) if self._perAddress else ""
        if place and self._addresses[place] >= self._perAddress:
            raise comeAgain("too many connections from this address")
        if self._count >= self._inAll:
            self._makeRoom()
        if self._count >= self._inAll:
            raise comeAgain("too many connections")
        if place:
            self._addresses[place] += 1
        self._count += 1

    def release(self, host: str) -> None:
        """
        Stop counting a client.
        """
        self._count -= 1
        place = _place(host) if self._perAddress else ""
        if place:
            self._addresses[place] -= 1
            if not self._addresses[place]:
                del self._addresses[place]


def _place(host: str) -> str:
    """
    Return the key under which a client is counted: its address, or the network of an IPv6 address.
    """
    # It does not matter which of our interfaces a link-local peer uses.
    address = parseAddress(host.partition("%")[0])
    if isinstance(address, IPv6Address):
        return str(IPv6Address(int(address) >> _HOST_BITS << _HOST_BITS))
    return host if address is None else str(address)
