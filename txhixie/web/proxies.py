"""
What the proxies before the server report about a client, and which of them are believed.

Nothing here depends on Twisted: bytes in, values out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

from txhixie.addresses import Address, Network, parseAddress, parseAuthority, parseNetwork
from txhixie.dialects.head import RequestHead
from txhixie.web.forwarded import elements

_T = TypeVar("_T")

# A port may follow an IPv4 address, and an IPv6 address in brackets. It may be obfuscated (RFC 7239
# section 6.2).
_PORT = r"(?::(?:[0-9]{1,5}|_[0-9A-Za-z._-]+))?"
_CLIENT = re.compile(
    rf"(?:\[([0-9A-Fa-f:.]{{2,45}})\]|([0-9.]{{7,15}})){_PORT}|([0-9A-Fa-f:.]{{2,45}})"
)
_SECURE = {b"https": True, b"wss": True, b"http": False, b"ws": False}
# The beginning of a request target, without its query.
_PREFIX = re.compile(rb"/[!\"$->@-~]+")
# The longest chain of proxies that is followed.
_MAX_HOPS = 32


@dataclass(frozen=True, slots=True)
class Forwarded:
    """
    What a trusted proxy reported about a client; C{None} for values that are missing or malformed.

    @ivar client: the client's address, as C{"192.0.2.1"} or C{"2001:db8::1"}.
    @ivar secure: whether the client came by TLS.
    @ivar host: the C{Host} that the client asked for, with its port if it gave one.
    @ivar port: the port that the client connected to.
    @ivar prefix: the beginning of the client's path that the proxy removed, as C{b"/chat"}.
    """

    client: str | None = None
    secure: bool | None = None
    host: bytes | None = None
    port: int | None = None
    prefix: bytes | None = None

    def applied(self, head: RequestHead) -> RequestHead:
        """
        @return: the request head with the C{Host} that the client asked for, and with the prefix of
            its path restored. A port in C{Host} is the client's own; L{port} is used only if the
            proxy left that out.
        """
        if self.host is None and self.port is None and self.prefix is None:
            return head
        fields = head.fields
        hosts = fields.get(b"host", []) if self.host is None else [self.host]
        if hosts:
            fields = {**fields, b"host": [_withPort(host, self.port) for host in hosts]}
        return replace(head, fields=fields, prefix=self.prefix or b"")


def _withPort(host: bytes, port: int | None) -> bytes:
    authority = parseAuthority(host)
    if port is None or authority is None or authority[1] is not None:
        return host
    return b"%b:%d" % (host, port)


_NOTHING = Forwarded()
# The fields that say the same as Forwarded.
_OTHERS = {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"}


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """
    The addresses whose C{Forwarded} and C{X-Forwarded-*} header fields are believed.

    @ivar networks: the networks they are in. An IPv4 address that IPv6 carries (C{::ffff:1.2.3.4})
        counts as IPv4 everywhere.
    @ivar unix: whether clients of a Unix socket are trusted.
    """

    networks: tuple[Network, ...] = ()
    unix: bool = False

    @classmethod
    def parse(cls, texts: Iterable[str]) -> TrustedProxies:
        """
        @param texts: networks as L{parseNetwork} takes them, and C{"unix"}.
        @raise ValueError: for the first text that is neither; the message is one line.
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
        @return: whether the peer is a proxy that is believed.
        """
        if peer is None:
            return self.unix
        if not self.networks:
            return False
        # It does not matter which of our interfaces a link-local peer uses.
        address = parseAddress(peer.partition("%")[0])
        return address is not None and self.trusts(address)


def forwarded(head: RequestHead, peer: str | None, trusted: TrustedProxies) -> Forwarded:
    """
    What a request says about its client, if it comes from a proxy that is believed.

    C{Forwarded} (RFC 7239) counts only if there is no C{X-Forwarded-*} field that says the same.
    Most proxies set only the latter, and pass on a C{Forwarded} that the client made up. Port and
    prefix exist only as C{X-Forwarded-*}.

    The client is the last address that does not belong to a trusted proxy, because every proxy
    appends the address of its own client to the list. An entry that is not an address (such as
    C{unknown}, or an empty one) ends the search, as does a chain longer than any real one: the
    entries before it may be invented by the client. In that case, or if all addresses are trusted,
    the result is the last address that was looked at.

    Of several values of another C{X-Forwarded-*} field the last one counts, because the proxy next
    to us added it. In C{Forwarded} each value belongs to a proxy, so the trusted proxy nearest to
    the client counts.

    @param peer: the host that the connection comes from, C{None} for a Unix socket.
    """
    if not trusted.trustsPeer(peer):
        return _NOTHING
    believed = [] if _OTHERS & head.fields.keys() else _believed(head, trusted)
    if believed and b"for" in believed[0]:
        entries = [element.get(b"for", b"") for element in believed]
    else:
        entries = _entries(head)
    secure = _outermost(believed, b"proto", _isSecure)
    host = _outermost(believed, b"host", _host)
    return Forwarded(
        client=_client(entries, trusted),
        secure=_isSecure(_last(head, b"x-forwarded-proto")) if secure is None else secure,
        host=host or _host(_last(head, b"x-forwarded-host")),
        port=_port(_last(head, b"x-forwarded-port")),
        prefix=_prefix(_last(head, b"x-forwarded-prefix")),
    )


def _believed(head: RequestHead, trusted: TrustedProxies) -> list[dict[bytes, bytes]]:
    """
    Return the elements of C{Forwarded} that trusted proxies wrote, the nearest first.
    """
    believed = []
    for element in islice(elements(head.fields.get(b"forwarded", [])), _MAX_HOPS):
        believed.append(element)
        address = _clientAddress(element.get(b"for", b""))
        if address is None or not trusted.trusts(address):
            break
    return believed


def _outermost(
    believed: list[dict[bytes, bytes]], name: bytes, read: Callable[[bytes], _T | None]
) -> _T | None:
    """
    Return the valid value from the proxy nearest to the client.
    """
    values = (read(element[name]) for element in reversed(believed) if name in element)
    return next((value for value in values if value is not None), None)


def _entries(head: RequestHead) -> list[bytes]:
    """
    Return the entries of C{X-Forwarded-For}, the nearest first.
    """
    # The lines of a field are one list, in their order (RFC 9110 section 5.3).
    lines = head.fields.get(b"x-forwarded-for", [])
    return b",".join(lines).rsplit(b",", _MAX_HOPS)[: -_MAX_HOPS - 1 : -1]


def _client(entries: Iterable[bytes], trusted: TrustedProxies) -> str | None:
    client: Address | None = None
    for entry in entries:
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


def _isSecure(value: bytes) -> bool | None:
    return _SECURE.get(value.lower())


def _host(value: bytes) -> bytes | None:
    return None if parseAuthority(value) is None else value


def _port(value: bytes) -> int | None:
    authority = parseAuthority(b"host:" + value)
    return None if authority is None else authority[1]


def _prefix(value: bytes) -> bytes | None:
    prefix = value.rstrip(b"/")
    return prefix if _PREFIX.fullmatch(prefix) else None
