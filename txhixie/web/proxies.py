"""
What proxies before the server say about a client, and which of them are believed.

Nothing here knows Twisted: bytes in, values out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from txhixie.addresses import Address, Network, parseAddress, parseAuthority, parseNetwork
from txhixie.dialects.head import RequestHead

# A port may follow an IPv4 address, and an IPv6 address in brackets.
_CLIENT = re.compile(
    r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15}))(?::[0-9]{1,5})?|([0-9A-Fa-f:.]{2,45})"
)
_SECURE = {b"https": True, b"wss": True, b"http": False, b"ws": False}
# How many proxies one after the other are looked through.
_MAX_HOPS = 32


@dataclass(frozen=True, slots=True)
class Forwarded:
    """
    What a trusted proxy said about a client; C{None} where it said nothing that makes sense.

    @ivar client: the client's address, as C{"192.0.2.1"} or C{"2001:db8::1"}.
    @ivar secure: whether the client came by TLS.
    @ivar host: the C{Host} that the client asked for, with its port if it gave one.
    """

    client: str | None = None
    secure: bool | None = None
    host: bytes | None = None

    def applied(self, head: RequestHead) -> RequestHead:
        """
        @return: the request head with the C{Host} that the client asked for.
        """
        if self.host is None:
            return head
        return replace(head, fields={**head.fields, b"host": [self.host]})


_NOTHING = Forwarded()


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """
    The addresses whose C{X-Forwarded-*} header fields are believed.

    @ivar networks: the networks they are in. An IPv4 address that IPv6 carries (C{::ffff:1.2.3.4})
        counts as IPv4 everywhere.
    @ivar unix: whether whoever connects by a Unix socket is one of them.
    """

    networks: tuple[Network, ...] = ()
    unix: bool = False

    @classmethod
    def parse(cls, texts: Iterable[str]) -> TrustedProxies:
        """
        @param texts: networks as L{parseNetwork} takes them, and C{"unix"}.
        @raise ValueError: for the first that is neither, with a line that says so.
        """
        names = tuple(texts)
        networks = tuple(parseNetwork(name) for name in names if name != "unix")
        return cls(networks, unix="unix" in names)

    def trusts(self, address: Address) -> bool:
        """
        @param address: not an IPv4-mapped one.
        @return: whether a proxy at this address is believed.
        """
        return any(address in network for network in self.networks)

    def trustsPeer(self, peer: str | None) -> bool:
        """
        @param peer: the host that a connection comes from, C{None} for a Unix socket.
        @return: whether it is a proxy that is believed.
        """
        if peer is None:
            return self.unix
        if not self.networks:
            return False
        # Which of our interfaces a link-local peer is at makes no difference.
        address = parseAddress(peer.partition("%")[0])
        return address is not None and self.trusts(address)


def forwarded(head: RequestHead, peer: str | None, trusted: TrustedProxies) -> Forwarded:
    """
    What a request says about the client it comes from, if it comes by a proxy that is believed.

    The client is the last address in C{X-Forwarded-For} that is not a trusted proxy's itself,
    for every proxy puts the address it sees behind what it was sent. Something that is no address
    (also C{unknown}, or nothing) ends the search, as does a chain longer than any real one: what
    stands before it may be the client's invention. Then, and when all are trusted, the last
    address that was looked at is taken.

    Of several C{X-Forwarded-Proto} or C{X-Forwarded-Host} the last counts, as the proxy next to
    us said it.

    @param peer: the host that the connection comes from, C{None} for a Unix socket.
    """
    if not trusted.trustsPeer(peer):
        return _NOTHING
    return Forwarded(
        _client(head.fields.get(b"x-forwarded-for", []), trusted),
        _SECURE.get(_last(head, b"x-forwarded-proto").lower()),
        _host(_last(head, b"x-forwarded-host")),
    )


def _client(lines: list[bytes], trusted: TrustedProxies) -> str | None:
    client: Address | None = None
    # The lines of a field are one list, in their order (RFC 9110 section 5.3).
    entries = b",".join(lines).rsplit(b",", _MAX_HOPS)[-_MAX_HOPS:]
    for entry in reversed(entries):
        address = _clientAddress(entry)
        if address is None:
            break
        client = address
        if not trusted.trusts(address):
            break
    return None if client is None else str(client)


def _clientAddress(entry: bytes) -> Address | None:
    match = _CLIENT.fullmatch(entry.strip(b" \t").decode("latin-1"))
    return None if match is None else parseAddress(match[1] or match[2] or match[3])


def _last(head: RequestHead, name: bytes) -> bytes:
    values = head.fields.get(name, [b""])
    return values[-1].rpartition(b",")[2].strip(b" \t")


def _host(value: bytes) -> bytes | None:
    return None if parseAuthority(value) is None else value
