"""What proxies report about a client, and which of them are believed."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txhixie.addresses import parseAuthority, parseNetwork
from txhixie.dialects.head import HandshakeError, RequestHead
from txhixie.dialects.hixie_opening import location
from txhixie.settings import Settings
from txhixie.web.proxies import Forwarded, TrustedProxies, forwarded

NOTHING = Forwarded()
TRUSTED = TrustedProxies.parse(["10.0.0.0/8", "2001:db8::/32", "192.168.1.7", "unix"])


def head(*fields: tuple[bytes, bytes]) -> RequestHead:
    """@return: a request with these header fields."""
    return RequestHead.parse([b"GET / HTTP/1.1", *(b"%b: %b" % field for field in fields)])


def client(*lines: bytes, peer: str | None = "10.0.0.1") -> str | None:
    """@return: the client according to lines of X-Forwarded-For."""
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
    """Networks and addresses are read; an IPv4-mapped IPv6 address becomes IPv4."""
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
    """A text that is not a network raises an error of one line."""
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
    """A network with host bits set is refused, with the network that was probably meant."""
    with pytest.raises(ValueError, match="host bits set") as raised:
        parseNetwork(text)
    # Python 3.13 writes an IPv4-mapped network with dots.
    expected = ip_network(network)
    assert str(raised.value) == f"{text!r} has host bits set: the network would be {expected}"


@given(st.ip_addresses(), st.integers(0, 128))
def test_roundTrip(address: object, prefix: int) -> None:
    """Every network is what its text says; it contains its own addresses, and no others."""
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
    """Several are read in order, including unix; the first invalid one is named in the error."""
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
    """A peer is trusted by its address, however that is written."""
    assert TRUSTED.trustsPeer(peer) is trusted
    assert TrustedProxies().trustsPeer(peer) is False


# Who is believed

EVERYTHING = head(
    (b"X-Forwarded-For", b"192.0.2.1"),
    (b"X-Forwarded-Proto", b"https"),
    (b"X-Forwarded-Host", b"chat.example.com"),
    (b"X-Forwarded-Port", b"8443"),
    (b"X-Forwarded-Prefix", b"/chat"),
)


def test_believed() -> None:
    """A trusted proxy is believed in everything it reports, also one on a Unix socket."""
    said = Forwarded("192.0.2.1", True, b"chat.example.com", 8443, b"/chat")
    for peer in ("10.0.0.1", "::ffff:10.0.0.1", None):
        assert forwarded(EVERYTHING, peer, TRUSTED) == said


def test_notBelieved() -> None:
    """Any other peer is not believed."""
    assert forwarded(EVERYTHING, "192.0.2.99", TRUSTED) == NOTHING
    assert forwarded(EVERYTHING, None, TrustedProxies.parse(["0.0.0.0/0", "::/0"])) == NOTHING
    assert forwarded(EVERYTHING, "10.0.0.1", TrustedProxies.parse(["unix"])) == NOTHING
    assert forwarded(EVERYTHING, "10.0.0.1", TrustedProxies()) == NOTHING


def test_saysNothing() -> None:
    """A trusted proxy may report nothing."""
    assert forwarded(head((b"Host", b"example.com")), "10.0.0.1", TRUSTED) == NOTHING
    names = (b"X-Forwarded-" + name for name in (b"For", b"Proto", b"Host", b"Port", b"Prefix"))
    empty = head(*((name, b"") for name in (*names, b"Forwarded")))
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
        (b"192.0.2.1:_port", "192.0.2.1"),
        (b"[2001:db9::1]:_a.b-c", "2001:db9::1"),
        (b"\t 192.0.2.1 \t", "192.0.2.1"),
    ],
)
def test_writings(line: bytes, host: str) -> None:
    """An address may have a port, brackets, or an IPv6 prefix; the port is dropped."""
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
    """The search ends at something that is not an address, and nothing before it is believed."""
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


NAMES = (
    "forwarded",
    *(f"x-forwarded-{name}" for name in ("for", "proto", "host", "port", "prefix")),
)
ANYTHING = st.binary(max_size=100) | st.text('0f.:[],;="\\/_ forhst', max_size=100).map(str.encode)


@given(
    st.fixed_dictionaries(
        {}, optional={name.encode(): st.lists(ANYTHING, min_size=1) for name in NAMES}
    )
)
def test_anyBytes(fields: dict[bytes, list[bytes]]) -> None:
    """Any bytes give values in their proper form, or nothing; nothing is raised."""
    anything = RequestHead(b"GET", b"/", b"HTTP/1.1", fields, b"")
    said = forwarded(anything, None, TRUSTED)
    assert said.client is None or str(ip_address(said.client)) == said.client
    assert said.host is None or parseAuthority(said.host) is not None
    assert said.secure in (None, True, False)
    assert said.port is None or 0 < said.port < 65536
    assert said.prefix is None or re.fullmatch(rb"/[!-~]*[!-.0-~]", said.prefix)
    assert said.applied(anything).target == b"/"


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
    """The last scheme counts; an unknown one is ignored."""
    fields = [(b"X-Forwarded-Proto", line) for line in lines]
    assert forwarded(head(*fields), None, TRUSTED) == Forwarded(secure=secure)


@pytest.mark.parametrize(
    "host",
    [b"example.com", b"Example.com:8443", b"10.0.0.1", b"[::1]", b"[2001:db8::1]:1", b"a_b-c.d"],
)
def test_host(host: bytes) -> None:
    """A host is used unchanged, the last one of several."""
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
    """A value that cannot be a host is ignored."""
    assert forwarded(head((b"X-Forwarded-Host", host)), None, TRUSTED) == NOTHING


# The port and the prefix


@pytest.mark.parametrize(
    ("value", "port"),
    [
        *((b"8443", 8443), (b"443", 443), (b"1", 1), (b"65535", 65535), (b"80, 8443", 8443)),
        *((value, None) for value in (b"", b"0", b"65536", b"x", b"-1", b"8443,", b"1" * 5000)),
        *((value, None) for value in (b"\xd9\xa3", b" 80 80", b"+80", b"80:80")),
    ],
)
def test_port(value: bytes, port: int | None) -> None:
    """The last port counts; an invalid one is ignored."""
    assert forwarded(head((b"X-Forwarded-Port", value)), None, TRUSTED) == Forwarded(port=port)


@pytest.mark.parametrize(
    ("value", "prefix"),
    [
        *((b"/chat", b"/chat"), (b"/chat/", b"/chat"), (b"/a/b%20c//", b"/a/b%20c")),
        (b"/evil, /chat", b"/chat"),
        *((value, None) for value in (b"", b"/", b"//", b"chat", b"http://h/chat", b"/a b")),
        *((value, None) for value in (b"/a?b", b"/a#b", b"/a\xff", b"/a\x7f", b"/chat,")),
    ],
)
def test_prefix(value: bytes, prefix: bytes | None) -> None:
    """The last prefix counts, without slashes at its end; an invalid one is ignored."""
    said = forwarded(head((b"X-Forwarded-Prefix", value)), None, TRUSTED)
    assert said == Forwarded(prefix=prefix)


@pytest.mark.parametrize(
    ("said", "host"),
    [
        (Forwarded(), b"a"),
        (Forwarded(port=8443), b"a:8443"),
        (Forwarded(host=b"b"), b"b"),
        (Forwarded(host=b"b", port=8443), b"b:8443"),
        (Forwarded(host=b"[::1]", port=1), b"[::1]:1"),
        # What the client itself sent is certainly right.
        (Forwarded(host=b"b:444", port=8443), b"b:444"),
    ],
)
def test_appliedHost(said: Forwarded, host: bytes) -> None:
    """The host of the request becomes the client's, with the port that a proxy left out."""
    assert said.applied(head((b"Host", b"a"))).single(b"host") == host


def test_appliedPrefix() -> None:
    """The prefix goes before the target in the location, and nowhere else."""
    applied = Forwarded(prefix=b"/chat").applied(head((b"Host", b"a")))
    assert (applied.prefix, applied.target) == (b"/chat", b"/")


@pytest.mark.parametrize("hosts", [[], [b"a", b"b"], [b"a b"]])
def test_appliedBroken(hosts: list[bytes]) -> None:
    """A fault in a request's own host stays a fault."""
    request = head(*((b"Host", host) for host in hosts))
    applied = Forwarded(port=8443, prefix=b"/chat").applied(request)
    assert len(applied.fields.get(b"host", [])) == len(hosts)
    with pytest.raises(HandshakeError):
        location(applied, Settings(), secure=False)


# RFC 7239


def told(*lines: bytes, **others: bytes) -> Forwarded:
    """
    @param others: C{X-Forwarded-*} fields by the ends of their names.
    @return: the client according to lines of Forwarded.
    """
    fields = [(b"Forwarded", line) for line in lines]
    fields += [(b"X-Forwarded-" + name.encode(), value) for name, value in others.items()]
    return forwarded(head(*fields), None, TRUSTED)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"for=192.0.2.1", Forwarded("192.0.2.1")),
        (b'For="192.0.2.1:4711"', Forwarded("192.0.2.1")),
        (b'for="[2001:db9::17]:4711"', Forwarded("2001:db9::17")),
        (b'for="[2001:db9::17]:_hidden"', Forwarded("2001:db9::17")),
        (b'for="[::ffff:192.0.2.1]"', Forwarded("192.0.2.1")),
        (b"for=192.0.2.1;proto=https;host=h;by=10.0.0.1", Forwarded("192.0.2.1", True, b"h")),
        (b'proto=HTTP;host="h:81"', Forwarded(None, False, b"h:81")),
        *((b"for=%b" % node, NOTHING) for node in (b"_hidden", b"unknown", b'""', b"h", b"1.2.3")),
        (b"for=_hidden;proto=https", Forwarded(secure=True)),
        *((value, NOTHING) for value in (b"proto=ftp", b'host="a b"', b"by=192.0.2.1", b"for")),
    ],
)
def test_rfc7239(line: bytes, said: Forwarded) -> None:
    """Forwarded names the client and its scheme; hidden clients stay hidden."""
    assert told(line) == said


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        # The client's invention, before what a proxy saw.
        ([b"for=6.6.6.6;proto=https;host=evil, for=192.0.2.1;proto=http"], (b"192.0.2.1", False)),
        ([b'for="unfinished', b"for=192.0.2.1"], (b"192.0.2.1", None)),
        ([b'for="unfinished, for=192.0.2.1'], (b"192.0.2.1", None)),
        ([b"for=6.6.6.6, for=unknown, for=10.0.0.2"], (b"10.0.0.2", None)),
        # A proxy in front of another: the outer one knows how the client came.
        ([b"for=192.0.2.1;proto=https", b"for=10.0.0.2;proto=http"], (b"192.0.2.1", True)),
        ([b"for=192.0.2.1, for=10.0.0.2;proto=https"], (b"192.0.2.1", True)),
        ([b"for=192.0.2.1;proto=ftp, for=10.0.0.2;proto=https"], (b"192.0.2.1", True)),
        ([b"for=10.0.0.3;proto=https, for=10.0.0.2"], (b"10.0.0.3", True)),
        ([b"for=_hidden;proto=https, for=10.0.0.2"], (b"10.0.0.2", True)),
    ],
)
def test_chainOf7239(lines: list[bytes], said: tuple[bytes, bool | None]) -> None:
    """Each trusted proxy is believed; entries from before the first untrusted one are not."""
    client, secure = said
    assert told(*lines) == Forwarded(client.decode(), secure)


def test_longChainOf7239() -> None:
    """This chain is followed over 32 proxies, too."""
    line = b", ".join([b"for=192.0.2.1", *(b"for=10.0.1.%d" % number for number in range(40))])
    assert told(line).client == "10.0.1.8"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("For", b"192.0.2.9", Forwarded("192.0.2.9")),
        ("Proto", b"https", Forwarded(None, True)),
        ("Host", b"x", Forwarded(None, None, b"x")),
        ("Port", b"1", Forwarded("192.0.2.1", False, b"h", 1)),
        ("Prefix", b"/p", Forwarded("192.0.2.1", False, b"h", None, b"/p")),
    ],
)
def test_both(name: str, value: bytes, said: Forwarded) -> None:
    """
    If a proxy uses X-Forwarded fields, Forwarded is not believed at all, because a client may have
    sent it.
    """
    assert told(b"for=192.0.2.1;proto=http;host=h", **{name: value}) == said
