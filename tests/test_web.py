"""Plain HTTP on the port, and opening handshakes as twisted.web requests."""

from __future__ import annotations

import gc
import re
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from twisted.web.wsgi import WSGIResource

from tests.loopback import (
    HEAD75,
    HEAD76,
    KEY3,
    REPLY75,
    LoopbackCase,
    Recording,
    TCPWire,
    TLSWire,
    Wire,
    ownLines,
)
from tests.support import IDIOMS, buildHead
from txhixie import HandshakeError
from txhixie.web.request import UpgradeRequest

requirement = pytest.mark.requirement


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


def answers(data: bytes, *, heads: bool = False) -> list[Answer]:
    """
    @param heads: whether they answer HEAD requests.
    @return: the HTTP answers that data consists of.
    """
    result = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        statusLine, *lines = head.split(b"\r\n")
        headers = {name.lower(): value for name, value in (line.split(b": ", 1) for line in lines)}
        size = 0 if heads else int(headers[b"content-length"])
        result.append(Answer(int(statusLine.split(b" ")[1]), headers, data[:size]))
        assert len(data) >= size
        data = data[size:]
    return result


class Echoing(Resource):
    """Shows what a request contained."""

    isLeaf = True

    def render(self, request: Request) -> bytes:
        """@return: the method, the target and the body."""
        assert request.content is not None
        return b"%b %b %b" % (request.method, request.uri, request.content.read())


class Waiting(Resource):
    """Answers nothing."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []

    def render(self, request: Request) -> int:
        """Keep the request."""
        self.requests.append(request)
        return NOT_DONE_YET


class IPv6Wire(TCPWire):
    """A connection of an IPv6 client."""

    host = "2001:db8::7"

    def getPeer(self) -> IPv6Address:
        return IPv6Address("TCP", self.host, 54321)


class MappedWire(IPv6Wire):
    """A connection of an IPv4 client, through IPv6."""

    host = "::ffff:192.0.2.7"


class PlainTests(LoopbackCase):
    """The default site."""

    def ask(self, head: bytes, rest: bytes = b"") -> Answer:
        """@return: the one answer to a request."""
        wire = self.connect(head + b"\r\nHost: x\r\n" + rest + b"\r\n")
        (answer,) = answers(wire.take(), heads=head.startswith(b"HEAD"))
        return answer

    @requirement("B-05", "D-07")
    def test_okay(self) -> None:
        """Every path and method gets 200, text/plain, okay."""
        for target in (b"/", b"/any/path", b"/?q=%20", b"/..//x", b"/echo", b"http://h/"):
            for method in (b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"BREW"):
                answer = self.ask(method + b" " + target + b" HTTP/1.1")
                assert (answer.status, answer.body) == (200, b"okay"), (method, target)
                assert answer.headers[b"content-type"] == b"text/plain"
        assert self.recorder.made == []

    def test_head(self) -> None:
        """A HEAD request gets the same without the body."""
        answer = self.ask(b"HEAD /any HTTP/1.1")
        assert answer.status == 200
        assert answer.headers[b"content-type"] == b"text/plain"
        assert answer.headers[b"content-length"] == b"4"

    @requirement("B-05", "D-07")
    def test_otherUpgrade(self) -> None:
        """An upgrade to anything else is plain HTTP."""
        for upgrade in (b"h2c", b"TLS/1.0", b"websockets", b"no-websocket", b""):
            fields = b"Connection: Upgrade\r\nUpgrade: " + upgrade + b"\r\n"
            assert self.ask(b"GET / HTTP/1.1", fields).body == b"okay"

    def test_keepalive(self) -> None:
        """Further requests on the connection are answered."""
        wire = self.connect()
        for _ in range(3):
            wire.send(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
            assert [answer.body for answer in answers(wire.take())] == [b"okay"]
        assert not wire.disconnecting

    def test_pipelining(self) -> None:
        """Requests in one segment are answered, cut anywhere."""
        requests = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n" * 3
        for cut in range(len(requests)):
            wire = self.connect(requests[:cut])
            wire.send(requests[cut:])
            assert [answer.body for answer in answers(wire.take())] == [b"okay"] * 3

    @requirement("D-06")
    def test_http10(self) -> None:
        """HTTP/1.0 is answered, and the connection ends."""
        wire = self.connect(b"GET / HTTP/1.0\r\n\r\n")
        assert wire.take().endswith(b"\r\n\r\nokay")
        assert wire.disconnecting

    def test_connectionClose(self) -> None:
        """A client that asks for the end gets it; what it sends after that is dropped."""
        wire = self.connect(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + HEAD75)
        assert wire.take().endswith(b"okay")
        assert wire.disconnecting
        wire.lose()
        self.assertQuiet()

    def test_noHandshakeTimeout(self) -> None:
        """The handshake timeout does not apply to HTTP; the site has its own."""
        wire = self.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.pass_(59)
        assert not wire.ended
        self.pass_(2)
        assert wire.ended

    def test_malformed(self) -> None:
        """Malformed heads that do not ask for a WebSocket are refused, logged and counted."""
        fields = (b"no colon", b"a : b", b"Content-Length: x", b"Transfer-Encoding: x")
        heads = [b"GET / HTTP/1.1\r\nHost: x\r\n" + field + b"\r\n\r\n" for field in fields]
        heads += [b"GET  / HTTP/1.1\r\n\r\n", b"GET / HTTP/2.7\r\nHost: x\r\n\r\n"]
        with capturedLogs() as events:
            for number, head in enumerate(heads, 1):
                wire = self.connect(head)
                assert [answer.status for answer in answers(wire.take())] == [400], head
                assert wire.ended
                assert self.count("refused 400") == number
        line = "info: refused 192.168.1.1:54321: 400 Bad Request"
        assert ownLines(events) == [line] * len(heads)

    def test_statistics(self) -> None:
        """Plain HTTP is not an open WebSocket."""
        self.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert dict(self.factory.connections) == {}

    def test_connectionLost(self) -> None:
        """The end of the connection leaves nothing behind, before and after the answer."""
        for head in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP/1.1\r\n"):
            wire = self.connect(head)
            wire.lose()
            self.assertQuiet()


class OwnSiteTests(LoopbackCase):
    """An application's site or resource."""

    def bodies(self, wire: Wire) -> list[bytes]:
        """@return: the bodies of the answers so far."""
        return [answer.body for answer in answers(wire.take())]

    def test_siteOrResource(self) -> None:
        """Both are served."""
        for site in (Echoing(), Site(Echoing(), reactor=self.clock)):
            self.serve(site=site)
            wire = self.connect(b"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n")
            assert self.bodies(wire) == [b"GET /a?b "]
        assert self.factory.site is site

    def test_body(self) -> None:
        """A request's body arrives, cut anywhere and with any coding, and the next request too."""
        self.serve(site=Echoing())
        fixed = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
        chunked = (
            b"POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
        )
        for cut in range(len(fixed + chunked)):
            wire = self.connect((fixed + chunked)[:cut])
            wire.send((fixed + chunked)[cut:])
            assert self.bodies(wire) == [b"POST /a hello", b"POST /b hello"]

    def test_largeBody(self) -> None:
        """The limits on heads and messages do not apply to bodies."""
        self.serve(site=Echoing(), maxHead=200, maxMessage=10)
        wire = self.connect(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(100):
            wire.send(b"x" * 1000)
        assert self.bodies(wire) == [b"PUT / " + b"x" * 100_000]

    def test_notified(self) -> None:
        """A request is notified when its client is gone."""
        waiting = Waiting()
        self.serve(site=waiting)
        wire = self.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        finished = waiting.requests[0].notifyFinish()
        wire.lose()
        self.failureResultOf(finished, ConnectionDone)
        self.assertQuiet()

    def test_late(self) -> None:
        """An answer may come later."""
        waiting = Waiting()
        self.serve(site=waiting)
        wire = self.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert wire.take() == b""
        waiting.requests[0].setHeader(b"Content-Length", b"2")
        waiting.requests[0].write(b"hi")
        waiting.requests[0].finish()
        assert self.bodies(wire) == [b"hi"]

    def test_secure(self) -> None:
        """Plain requests know about TLS, too."""
        waiting = Waiting()
        self.serve(site=waiting)
        for kind, secure in ((TCPWire, False), (TLSWire, True)):
            self.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", kind)
            assert waiting.requests.pop().isSecure() is secure


FORWARDED = b"Forwarded: for=203.0.113.9;proto=https;host=chat.example.org:8443\r\n"


class BehindProxyTests(LoopbackCase):
    """What a trusted proxy says about a client of plain HTTP."""

    def setUp(self) -> None:
        super().setUp()
        self.site = Waiting()
        self.serve(site=self.site, trustedProxies=("192.168.1.1",))

    def request(self, fields: bytes = FORWARDED, kind: Any = TCPWire) -> Request:
        """@return: a request as a resource gets it."""
        self.connect(b"GET /a/b HTTP/1.1\r\nHost: 10.0.0.1:3400\r\n" + fields + b"\r\n", kind)
        return self.site.requests.pop()

    def test_client(self) -> None:
        """The client's address is the one that the proxy reports."""
        assert self.request().getClientAddress() == IPv4Address("TCP", "203.0.113.9", 0)
        request = self.request(b"X-Forwarded-For: 2001:db8::1\r\n")
        assert request.getClientAddress() == IPv6Address("TCP", "2001:db8::1", 0)

    def test_secure(self) -> None:
        """The request is secure if the client came over TLS, however the proxy connected."""
        for kind in (TCPWire, TLSWire):
            for proto, secure in ((b"https", True), (b"http", False)):
                request = self.request(b"X-Forwarded-Proto: " + proto + b"\r\n", kind)
                assert request.isSecure() is secure
        assert self.request(b"", TLSWire).isSecure() is True

    def test_host(self) -> None:
        """Links and redirections name the host that the client asked for."""
        assert self.request().prePathURL() == b"https://chat.example.org:8443/"
        https = b"X-Forwarded-Proto: https\r\n"
        for fields, url in (
            (https + b"X-Forwarded-Host: h\r\n", b"https://h/"),
            (https + b"X-Forwarded-Host: h\r\nX-Forwarded-Port: 444\r\n", b"https://h:444/"),
            (https + b"X-Forwarded-Host: h:80\r\n", b"https://h:80/"),
            (https, b"https://10.0.0.1:3400/"),
        ):
            request = self.request(fields)
            assert request.prePathURL() == url
            assert request.getHeader(b"host") == url.split(b"/")[2]

    def test_eachRequest(self) -> None:
        """Each request of a connection may come from another client."""
        wire = self.connect()
        for client in (b"203.0.113.1", b"203.0.113.2", b""):
            wire.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: " + client + b"\r\n\r\n")
            request = self.site.requests.pop()
            address: Any = request.getClientAddress()
            assert address.host == (client.decode() or "192.168.1.1")
            request.finish()

    def test_accessLog(self) -> None:
        """The access log has the client's address."""
        self.serve(trustedProxies=("192.168.1.1",))
        self.factory.site.doStart()
        with capturedLogs() as events:
            self.connect(b"GET /x HTTP/1.1\r\nHost: x\r\n" + FORWARDED + b"\r\n")
        self.factory.site.doStop()
        texts = (formatEvent(event) or "" for event in events)
        (line,) = (text for text in texts if "GET /x" in text)
        assert line.startswith('"203.0.113.9" - - ')

    def test_wsgi(self) -> None:
        """A WSGI application has it in its environment."""
        environments: list[dict[str, Any]] = []

        def application(environ: dict[str, Any], startResponse: Any) -> list[bytes]:
            environments.append(environ)
            startResponse("200 OK", [("Content-Length", "2")])
            return [b"hi"]

        direct: Any = SimpleNamespace(
            callFromThread=lambda call, *args: call(*args),
            callInThread=lambda call, *args: call(*args),
        )
        self.serve(site=WSGIResource(direct, direct, application), trustedProxies=("192.168.1.1",))
        wire = self.connect(b"GET /x HTTP/1.1\r\nHost: x\r\n" + FORWARDED + b"\r\n")
        assert wire.take().endswith(b"\r\n\r\nhi")
        (environ,) = environments
        assert environ["REMOTE_ADDR"] == "203.0.113.9"
        assert environ["wsgi.url_scheme"] == "https"
        assert environ["HTTP_HOST"] == "chat.example.org:8443"
        assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("chat.example.org", "8443")

    def test_untrusted(self) -> None:
        """Other peers are not believed."""
        self.serve(site=self.site, trustedProxies=("192.168.1.2",))
        request = self.request()
        assert request.getClientAddress() == IPv4Address("TCP", "192.168.1.1", 54321)
        assert request.isSecure() is False
        assert request.getHeader(b"host") == b"10.0.0.1:3400"

    def test_nonsense(self) -> None:
        """Invalid values change nothing, and the request is answered."""
        request = self.request(b'Forwarded: for=x;host=a b, "\r\nX-Forwarded-Port: 0\r\n')
        assert request.getClientAddress() == IPv4Address("TCP", "192.168.1.1", 54321)
        assert request.getHeader(b"host") == b"10.0.0.1:3400"


class UpgradeRequestTests(LoopbackCase):
    """What applications see of an opening handshake."""

    def request(self, target: bytes, fields: bytes = b"", kind: Any = TCPWire) -> Request:
        """@return: the request that an application gets."""
        self.connect(HEAD75.replace(b"/demo?x=1", target)[:-2] + fields + b"\r\n", kind)
        return self.recorder.made[-1].request

    def test_path(self) -> None:
        """The path is where twisted.web applications look for it."""
        request = self.request(b"/a%20b//c/?x=1&x=2&y=%00")
        assert isinstance(request, UpgradeRequest)
        assert request.method == b"GET"
        assert request.clientproto == b"HTTP/1.1"
        assert request.uri == b"/a%20b//c/?x=1&x=2&y=%00"
        assert request.path == b"/a%20b//c/"
        assert request.prepath == []
        assert request.postpath == [b"a b", b"", b"c", b""]
        assert request.args == {b"x": [b"1", b"2"], b"y": [b"\0"]}
        assert self.request(b"/").postpath == [b""]

    def test_emptyValues(self) -> None:
        """Arguments with an empty value are there, among others and alone."""
        request = self.request(b"/?x=&y=1&x=2")
        assert request.args == {b"x": [b"", b"2"], b"y": [b"1"]}
        assert self.request(b"/?x=").args == {b"x": [b""]}
        assert self.request(b"/?").args == self.request(b"/").args == {}

    def test_headers(self) -> None:
        """Header fields have any case, several values, and ISO-8859-1 bytes."""
        request = self.request(b"/", b"X-One: \xe9\xff\r\nX-TWO: 1\r\nx-two: 2, 3\r\n")
        headers = request.requestHeaders
        assert request.getHeader(b"x-ONE") == b"\xe9\xff"
        assert headers.getRawHeaders(b"X-Two") == [b"1", b"2, 3"]
        assert request.getRequestHostname() == b"example.com"

    def test_cookies(self) -> None:
        """Cookies are parsed, from every line of them."""
        request = self.request(b"/", b"Cookie: a=1; b=2\r\nCookie: c=3\r\n")
        assert [request.getCookie(name) for name in (b"a", b"b", b"c")] == [b"1", b"2", b"3"]
        assert request.getCookie(b"d") is None

    def test_addresses(self) -> None:
        """The peer, our address, and whether it is TLS."""
        request = self.request(b"/")
        assert request.getClientAddress() == IPv4Address("TCP", "192.168.1.1", 54321)
        assert request.getHost() == IPv4Address("TCP", "10.0.0.1", 12345)
        assert request.isSecure() is False
        assert self.request(b"/", kind=TLSWire).isSecure() is True

    def test_addressBehindProxy(self) -> None:
        """Behind a proxy that is believed the peer is its client, of either family."""
        self.serve(trustedProxies=("192.168.1.1",))
        for client, address in (
            (b"203.0.113.7", IPv4Address("TCP", "203.0.113.7", 0)),
            (b"2001:db8::7", IPv6Address("TCP", "2001:db8::7", 0)),
            (b"[2001:DB8::7]:80", IPv6Address("TCP", "2001:db8::7", 0)),
            (b"::ffff:203.0.113.7", IPv4Address("TCP", "203.0.113.7", 0)),
            (b"unknown", IPv4Address("TCP", "192.168.1.1", 54321)),
        ):
            with self.subTest(client):
                fields = b"X-Forwarded-For: " + client + b"\r\n"
                request = self.request(b"/", fields)
                # The address is the same, whatever was looked at before.
                assert request.getClientAddress() == address
                assert type(request.getClientAddress()) is type(address)
                assert request.getHeader(b"host") == b"example.com"
                assert request.getClientAddress() == address
                kept = self.recorder.made[-1].transport.request
                assert kept.getClientAddress() == address

    def test_secureBehindProxy(self) -> None:
        """The same holds for TLS, in both directions."""
        self.serve(trustedProxies=("192.168.1.1",))
        for kind in (TCPWire, TLSWire):
            for scheme, secure in ((b"https", True), (b"http", False)):
                fields = b"X-Forwarded-Proto: " + scheme + b"\r\n"
                assert self.request(b"/", fields, kind).isSecure() is secure

    def test_mapped(self) -> None:
        """An IPv4-mapped IPv6 address is shown as IPv4, in requests of both kinds."""
        address = IPv4Address("TCP", "192.0.2.7", 54321)
        assert self.request(b"/", kind=MappedWire).getClientAddress() == address
        site = Waiting()
        self.serve(site=site)
        self.connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", MappedWire)
        assert site.requests.pop().getClientAddress() == address

    def test_mappedTrust(self) -> None:
        """It is trusted, counted and logged as IPv4, too."""
        self.serve(maxPerAddress=1, trustedProxies=("192.0.2.7",), logConnections=True)
        with capturedLogs() as events:
            wire = self.connect(HEAD75, MappedWire)
            assert self.connect(HEAD75, MappedWire).take().startswith(b"HTTP/1.1 503 ")
            told = HEAD75[:-2] + b"X-Forwarded-For: 192.0.2.1\r\n\r\n"
            assert self.connect(told, MappedWire).take().startswith(b"HTTP/1.1 101 ")
        assert wire.take().startswith(b"HTTP/1.1 101 ")
        lines = ownLines(events)
        assert [line.partition("192")[2] for line in lines if "192" in line] == [
            ".0.2.7:54321",
            ".0.2.7:54321: 503 too many connections from this address",
            ".0.2.1 by 192.0.2.7:54321",
        ]

    def test_inBrackets(self) -> None:
        """IPv6 addresses are in brackets in the log."""
        with capturedLogs() as events:
            self.serve(logConnections=True)
            self.connect(HEAD75, IPv6Wire)
        assert any(line.endswith(" from [2001:db8::7]:54321") for line in ownLines(events))

    def test_hostBehindProxy(self) -> None:
        """The same holds for the host: in the request, and in the location that a client gets."""
        self.serve(trustedProxies=("192.168.1.1",))
        fields = b"X-Forwarded-Host: chat.example.org:81\r\nX-Forwarded-Proto: https\r\n"
        for dialect, idiom in IDIOMS.items():
            with self.subTest(dialect):
                wire = self.connect(buildHead(dialect)[:-2] + fields + b"\r\n" + idiom.preamble)
                reply = wire.take()
                assert reply.startswith(b"HTTP/1.1 101 ")
                if dialect.startswith("hixie"):
                    assert b"-Location: wss://chat.example.org:81/demo\r\n" in reply
                request = self.recorder.made[-1].request
                assert request.getHeader(b"host") == b"chat.example.org:81"
                kept = self.recorder.made[-1].transport.request
                assert kept.getHeader(b"host") == b"chat.example.org:81"

    def test_afterTheEnd(self) -> None:
        """
        A request that was kept can be read when its connection is gone, except for our address.
        """

        class Gone(TCPWire):
            def getHost(self) -> IPv4Address:
                raise AttributeError("socket")

        request = self.request(b"/a", b"Cookie: a=1\r\n", Gone)
        assert request.getCookie(b"a") == b"1"
        assert request.getClientAddress() == IPv4Address("TCP", "192.168.1.1", 54321)
        assert request.getHost() == IPv4Address("TCP", "0.0.0.0", 0)

    def test_unknown(self) -> None:
        """It has only the attributes of a request."""
        request = self.request(b"/")
        for _ in range(2):
            assert not hasattr(request, "nothing")
        with pytest.raises(AttributeError, match="nothing"):
            request.nothing  # type: ignore[attr-defined]  # noqa: B018

    def test_notified(self) -> None:
        """
        Everything that waits for the end of a request is notified of its connection's end, once.
        """
        told: list[Failure] = []

        def wait(made: Recording) -> Recording:
            made.request.notifyFinish().addErrback(told.append)
            return made

        for data, decide in (
            (HEAD76 + KEY3, wait),
            # It never opens.
            (HEAD76, wait),
            # It is refused.
            (HEAD76, lambda made: wait(made) and None),
            # The application has not decided yet.
            (HEAD76, lambda made: wait(made) and Deferred()),
        ):
            told.clear()
            self.record(decide)
            wire = self.connect(data)
            assert told == []
            wire.lose()
            assert [failure.type for failure in told] == [ConnectionDone]

    def test_notifiedThoughForgotten(self) -> None:
        """This works even if nothing keeps the request itself."""
        told: list[Failure] = []

        class Forgetful:
            def buildProtocol(self, request: Request) -> Any:
                request.notifyFinish().addErrback(told.append)
                return Recording(request, {})

        self.serve(Forgetful())
        wire = self.connect(HEAD76 + KEY3)
        gc.collect()
        wire.lose()
        assert len(told) == 1

    def test_session(self) -> None:
        """Sessions are those of the site; the cookie of a new one is sent with the answer."""
        self.record(lambda made: (made.request.getSession(), made)[1])
        wire = self.connect(HEAD75)
        reply = wire.take()
        match = re.search(rb"\r\nSet-Cookie: TWISTED_SESSION=([0-9a-f]+); Path=/\r\n\r\n$", reply)
        assert match is not None, reply
        assert reply.startswith(REPLY75[:-2])
        session = self.factory.site.getSession(match[1])
        assert self.request(b"/", b"Cookie: TWISTED_SESSION=" + match[1] + b"\r\n")
        assert self.recorder.made[-1].request.getSession() is session
        session.expire()

    def test_body(self) -> None:
        """There is no body, whatever follows the head."""
        self.connect(HEAD76[:-2] + b"Content-Length: 8\r\n\r\n" + KEY3)
        content = self.recorder.made[-1].request.content
        assert content is not None
        assert content.read() == b""

    def test_refuseByHeader(self) -> None:
        """An application refuses depending on the request."""

        def demandAuthorization(made: Any) -> Any:
            if made.request.getUser() != b"me":
                raise HandshakeError(401)
            return made

        self.record(demandAuthorization)
        authorized = HEAD75[:-2] + b"Authorization: Basic bWU6c2VjcmV0\r\n\r\n"
        assert self.connect(authorized).take() == REPLY75
        assert self.connect(HEAD75).take()[9:12] == b"401"


class BodyTests(LoopbackCase):
    """How large a body may be."""

    def setUp(self) -> None:
        super().setUp()
        self.serve(maxBody=1000)

    def test_largest(self) -> None:
        """A body of exactly the limit is read."""
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
        wire = self.connect(head + b"x" * 1000)
        assert [answer.status for answer in answers(wire.take())] == [200]

    def test_tooLarge(self) -> None:
        """A larger one is refused as soon as it exceeds the limit, whatever still comes."""
        head = b"POST / HTTP/1.1\r\nHost: x\r\n"
        chunk = b"64\r\n" + b"x" * 100 + b"\r\n"
        for field, body in (
            (b"Transfer-Encoding: chunked", chunk * 11),
            (b"Transfer-Encoding: chunked", chunk * 30 + b"0\r\n\r\n"),
        ):
            wire = self.connect(head + field + b"\r\n\r\n" + body[:500])
            assert wire.take() == b""
            wire.send(body[500:])
            assert [answer.status for answer in answers(wire.take())] == [413]
            assert wire.ended
            wire.lose()
        self.assertQuiet()

    def test_tooLargeAndOn(self) -> None:
        """It is refused once, and no longer read, if its client's connection has not ended yet."""
        bodies: list[bytes] = []

        class Reading(Resource):
            isLeaf = True

            def render(self, request: Request) -> bytes:
                assert request.content is not None
                bodies.append(request.content.read())
                return b"read"

        class Deaf(TCPWire):
            """Delivers everything that comes, even while it is ending."""

            def _arrive(self) -> None:
                if self._unread:
                    data, self._unread = self._unread, b""
                    self.protocol.dataReceived(data)

        self.serve(site=Reading(), maxBody=1000)
        chunk = b"64\r\n" + b"x" * 100 + b"\r\n"
        head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        wire = self.connect(head + chunk * 10, Deaf)
        assert wire.take() == b""
        for _ in range(5):
            wire.send(chunk)
        wire.send(b"0\r\n\r\n")
        assert [answer.status for answer in answers(wire.take())] == [413]
        assert self.count("refused") == self.count("refused 413") == 1
        assert bodies == []
