"""What proxies say about a client, and which of them are believed."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txhixie.addresses import parseNetwork
from txhixie.dialects.head import RequestHead
from txhixie.web.proxies import Forwarded, TrustedProxies, forwarded

NOTHING = Forwarded()
TRUSTED = TrustedProxies.parse(["10.0.0.0/8", "2001:db8::/32", "192.168.1.7", "unix"])


def head(*fields: tuple[bytes, bytes]) -> RequestHead:
    """@return: a request with these header fields."""
    return RequestHead.parse([b"GET / HTTP/1.1", *(b"%b: %b" % field for field in fields)])


def client(*lines: bytes, peer: str | None = "10.0.0.1") -> str | None:
    """@return: the client that lines of X-Forwarded-For tell of."""
    fields = [(b"X-Forwarded-For", line) for line in lines]
    return forwarded(head(*fields), peer, TRUSTED).client


# Which networks


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("192.168.1.7", "192.168.1.7/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::1", "::1/128"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("::/0", "::/0"),
        ("::ffff:10.1.2.3", "10.1.2.3/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
    ],
)
def test_parseNetwork(text: str, network: str) -> None:
    """Networks and addresses are read, IPv4 that IPv6 carries as what it is."""
    assert parseNetwork(text) == ip_network(network)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "x", "example.com", "unix:", "*", "10", "10.0.0", "010.0.0.1", "256.0.0.1"),
        *("10.0.0.0/33", "10.0.0.0/", "/8", "10.0.0.0/8/8", "10.0.0.0/-1", "10.0.0.0/٣"),
        *("10.0.0.0/255.0.0.0", "10.0.0.0/0.0.0.255", " 10.0.0.0/8", "10.0.0.0/8\n", "1.2.3.4:80"),
        *("::1/129", ":::", "[::1]", "fe80::1%eth0", "fe80::1%a\nb", "::1::", "1" * 10000),
    ],
)
def test_parseNonsense(text: str) -> None:
    """What is no network is told in one line."""
    with pytest.raises(ValueError, match="is not a network like") as raised:
        parseNetwork(text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.1/8", "10.0.0.0/8"),
        ("2001:db8::1/32", "2001:db8::/32"),
        ("::ffff:10.0.0.1/104", "::ffff:a00:0/104"),
    ],
)
def test_hostBits(text: str, network: str) -> None:
    """A network with host bits set is refused, with what it might have meant."""
    with pytest.raises(ValueError, match="host bits set") as raised:
        parseNetwork(text)
    # Python 3.13 writes an IPv4-mapped network with dots.
    expected = ip_network(network)
    assert str(raised.value) == f"{text!r} has host bits set: the network would be {expected}"


@given(st.ip_addresses(), st.integers(0, 128))
def test_roundTrip(address: object, prefix: int) -> None:
    """Every network is what its text is read as; and that has its addresses, and no others."""
    written = ip_address(str(address))
    network = ip_network((written, min(prefix, written.max_prefixlen)), strict=False)
    parsed = parseNetwork(str(network))
    assert parseNetwork(str(parsed)) == parsed
    if "::ffff:" not in str(network):
        assert parsed == network
        assert TrustedProxies((parsed,)).trusts(written)


@given(st.text() | st.text("0123456789abcdef.:/%[]", max_size=50))
def test_anyText(text: str) -> None:
    """Any text is a network or a ValueError of one line."""
    told = ""
    try:
        parseNetwork(text)
    except ValueError as error:
        told = str(error)
    assert len(told.splitlines()) <= 1


def test_parseProxies() -> None:
    """Several are read in order, unix among them; the first that is nonsense is told."""
    assert TrustedProxies.parse([]) == TrustedProxies((), unix=False)
    assert TrustedProxies.parse(["unix"]) == TrustedProxies((), unix=True)
    networks = (parseNetwork("10.0.0.0/8"), parseNetwork("::1"))
    assert TrustedProxies.parse(iter(["10.0.0.0/8", "::1"])) == TrustedProxies(networks)
    with pytest.raises(ValueError, match="'nobody'"):
        TrustedProxies.parse(["unix", "nobody", "nothing"])


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.255.255.255", True),
        ("::ffff:10.1.2.3", True),
        ("::ffff:a01:203", True),
        ("192.168.1.7", True),
        ("2001:db8::99", True),
        ("2001:db8::99%eth0", True),
        (None, True),
        ("192.168.1.8", False),
        ("11.0.0.0", False),
        ("2001:db9::", False),
        ("::1", False),
        ("proxy.example.com", False),
        ("unix", False),
        ("", False),
    ],
)
def test_trustsPeer(peer: str | None, trusted: bool) -> None:
    """A peer is trusted by the address it has, however that is written."""
    assert TRUSTED.trustsPeer(peer) is trusted
    assert TrustedProxies().trustsPeer(peer) is False


# Who is believed

EVERYTHING = head(
    (b"X-Forwarded-For", b"192.0.2.1"),
    (b"X-Forwarded-Proto", b"https"),
    (b"X-Forwarded-Host", b"chat.example.com"),
)


def test_believed() -> None:
    """A trusted proxy is believed in all it says, also one behind a Unix socket."""
    said = Forwarded("192.0.2.1", secure=True, host=b"chat.example.com")
    for peer in ("10.0.0.1", "::ffff:10.0.0.1", None):
        assert forwarded(EVERYTHING, peer, TRUSTED) == said


def test_notBelieved() -> None:
    """Anybody else is believed in nothing."""
    assert forwarded(EVERYTHING, "192.0.2.99", TRUSTED) == NOTHING
    assert forwarded(EVERYTHING, None, TrustedProxies.parse(["0.0.0.0/0", "::/0"])) == NOTHING
    assert forwarded(EVERYTHING, "10.0.0.1", TrustedProxies.parse(["unix"])) == NOTHING
    assert forwarded(EVERYTHING, "10.0.0.1", TrustedProxies()) == NOTHING


def test_saysNothing() -> None:
    """A trusted proxy may say nothing."""
    assert forwarded(head((b"Host", b"example.com")), "10.0.0.1", TRUSTED) == NOTHING
    empty = head((b"X-Forwarded-For", b""), (b"X-Forwarded-Proto", b""), (b"X-Forwarded-Host", b""))
    assert forwarded(empty, "10.0.0.1", TRUSTED) == NOTHING


# The client


@pytest.mark.parametrize(
    ("line", "host"),
    [
        (b"192.0.2.1", "192.0.2.1"),
        (b"192.0.2.1:55", "192.0.2.1"),
        (b"2001:DB9::0:1", "2001:db9::1"),
        (b"[2001:db9::1]", "2001:db9::1"),
        (b"[2001:db9::1]:443", "2001:db9::1"),
        (b"::ffff:192.0.2.1", "192.0.2.1"),
        (b"[::ffff:192.0.2.1]:123", "192.0.2.1"),
        (b"\t 192.0.2.1 \t", "192.0.2.1"),
    ],
)
def test_writings(line: bytes, host: str) -> None:
    """An address may come with a port, in brackets, or carried by IPv6; the port is dropped."""
    assert client(line) == host
    assert client(b"198.51.100.1," + line + b" , 10.0.0.2") == host


MALFORMED = [
    *(
        b"",
        b" ",
        b"unknown",
        b"_hidden",
        b"x",
        b"example.com",
        b"1.2.3",
        b"1.2.3.4.5",
        b"1.2.3.256",
    ),
    *(b"1.2.3.4:", b"1.2.3.4:x", b"1.2.3.4:123456", b"1.2.3.4 5", b"[1.2.3.4", b"::1]", b"[::1]x"),
    *(b"[]", b"[::1]:", b"fe80::1%eth0", b"fe80::1%<b>", b"01.2.3.4", b'"1.2.3.4"', b"1.2.3.4;x"),
    *(b"\xd9\xa3.2.3.4", b"\xff", b"1" * 10000, b":" * 10000),
]


@pytest.mark.parametrize("entry", MALFORMED)
def test_malformed(entry: bytes) -> None:
    """At something that is no address the search ends, and nothing before it is believed."""
    assert client(entry) is None
    assert client(b"192.0.2.1, " + entry) is None
    assert client(b"192.0.2.1, " + entry + b", 10.0.0.2") == "10.0.0.2"
    assert client(entry + b", 192.0.2.1, 10.0.0.2") == "192.0.2.1"


@pytest.mark.parametrize(
    ("line", "host"),
    [
        (b"198.51.100.1, 192.0.2.1", "192.0.2.1"),
        (b"198.51.100.1, 192.0.2.1, 10.0.0.3, 2001:db8::2", "192.0.2.1"),
        (b"10.0.0.9, 192.0.2.1, 10.0.0.3", "192.0.2.1"),
        (b"10.0.0.4, 10.0.0.3, 192.168.1.7", "10.0.0.4"),
        (b"::ffff:10.0.0.4, 10.0.0.3", "10.0.0.4"),
    ],
)
def test_chain(line: bytes, host: str) -> None:
    """The client is the last that is not trusted, or the first if all are."""
    assert client(line) == host


def test_lines() -> None:
    """Several lines are one list, in their order."""
    assert client(b"198.51.100.1", b"192.0.2.1", b"10.0.0.2, 10.0.0.3") == "192.0.2.1"
    assert client(b"198.51.100.1, 192.0.2.1", b"") is None


def test_longChain() -> None:
    """A chain is followed over 32 proxies, and no further."""
    proxies = [b"10.0.1.%d" % number for number in range(40)]
    assert client(b", ".join([b"192.0.2.1", *proxies[:31]])) == "192.0.2.1"
    assert client(b", ".join([b"192.0.2.1", *proxies[:32]])) == "10.0.1.0"
    assert client(b", ".join([b"192.0.2.1", *proxies])) == "10.0.1.8"
    assert client(b"," * 1_000_000 + b"192.0.2.1") == "192.0.2.1"


@given(st.lists(st.ip_addresses().map(str)), st.ip_addresses(), st.integers(0, 5))
def test_invented(invented: list[str], address: object, hops: int) -> None:
    """Whatever a client puts into the field, its address is the one that a trusted proxy saw."""
    plain = ip_address(str(address))
    seen = str(getattr(plain, "ipv4_mapped", None) or plain)
    chain = ", ".join([*invented, str(address), *["10.0.0.7"] * hops])
    expected = client(chain.encode())
    if not TRUSTED.trustsPeer(seen):
        assert expected == seen


@given(st.binary(max_size=100) | st.text("0123456789abcdef.:[], ", max_size=100).map(str.encode))
def test_anyBytes(line: bytes) -> None:
    """Any bytes give an address in its own form, or nothing."""
    fields = {b"x-forwarded-for": [line], b"x-forwarded-host": [line], b"x-forwarded-proto": [line]}
    anything = RequestHead(b"GET", b"/", b"HTTP/1.1", fields, b"")
    said = forwarded(anything, None, TRUSTED)
    assert said.client is None or str(ip_address(said.client)) == said.client
    assert said.host is None or said.host in line
    assert said.secure in (None, True, False)


# The scheme and the host


@pytest.mark.parametrize(
    ("lines", "secure"),
    [
        ([b"https"], True),
        ([b"wss"], True),
        ([b"HTTPS"], True),
        ([b"http"], False),
        ([b"ws"], False),
        ([b"http, https"], True),
        ([b"https,http"], False),
        ([b"https", b"http"], False),
        ([b"https", b""], None),
        ([b"ftp"], None),
        ([b"https://"], None),
        ([b"\xffhttps"], None),
    ],
)
def test_secure(lines: list[bytes], secure: bool | None) -> None:
    """The last scheme counts; an unknown one is none."""
    fields = [(b"X-Forwarded-Proto", line) for line in lines]
    assert forwarded(head(*fields), None, TRUSTED) == Forwarded(secure=secure)


@pytest.mark.parametrize(
    "host",
    [b"example.com", b"Example.com:8443", b"10.0.0.1", b"[::1]", b"[2001:db8::1]:1", b"a_b-c.d"],
)
def test_host(host: bytes) -> None:
    """A host is taken as it is, the last one of several."""
    for value in (host, b"evil.example, " + host):
        said = forwarded(head((b"X-Forwarded-Host", value)), None, TRUSTED)
        assert said == Forwarded(host=host)


@pytest.mark.parametrize(
    "host",
    [
        *(b"", b"a b", b"a/b", b"a@b", b"http://a", b"a:", b"a:0", b"a:65536", b"a:123456", b"a:x"),
        *(b":80", b"[::1", b"::1", b"[]", b"[x]", b"a\xff", b"a,", b"a?b", b"a" * 256, b"<b>"),
    ],
)
def test_implausibleHost(host: bytes) -> None:
    """What cannot be a host is ignored."""
    assert forwarded(head((b"X-Forwarded-Host", host)), None, TRUSTED) == NOTHING
