"""What C{twistd hixie} makes of its command line; no port is opened except one that is in use."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
from base64 import b64encode
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, ClassVar

import pytest
from twisted.application.internet import StreamServerEndpointService
from twisted.application.service import IServiceMaker, MultiService
from twisted.internet import reactor
from twisted.internet.endpoints import _SystemdParser
from twisted.logger import capturedLogs
from twisted.plugin import getPlugins
from twisted.python import usage
from twisted.python.systemd import ListenFDs
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.guard import HTTPAuthSessionWrapper

from tests.loopback import CLOSE, HEAD76, KEY3, LoopbackCase, ownLines
from txhixie import Broadcast, Echo, Gateway, Settings
from txhixie.applications import SERVICES
from txhixie.applications.rooms import Rooms
from txhixie.server.listening import EveryAddressEndpoint
from txhixie.server.roomresource import RoomsResource
from txhixie.server.service import HixieService
from txhixie.settings import DIALECT_NAMES, FLAG, declarations
from txhixie.tap import Options, makeService
from txhixie.testing import fakeRequest
from txhixie.twistd import composing
from txhixie.twistd.longlived import LongLived
from txhixie.web.site import Okay


class Application:
    """A custom application."""

    def buildProtocol(self, request: object) -> None:
        """Refuse every client."""


def makeApplication() -> Application:
    """@return: an application, made by a function."""
    return Application()


def makeNothing() -> None:
    """@return: something that is not an application."""


def takesArguments(wanted: object) -> None:
    """Something that is no application factory."""


class NotCallable:
    """Something that only looks like an application."""

    buildProtocol = 17


APPLICATION = Application()


def parse(*arguments: str) -> Options:
    """@return: the options of a command line."""
    options = Options()
    options.parseOptions(list(arguments))
    return options


def answering(options: Options, path: str) -> type | None:
    """@return: which of the known applications answers a path."""
    request = fakeRequest(path)
    made = options["application"].buildProtocol(request)
    known = (
        kind for kind in (Echo, Broadcast) if type(kind().buildProtocol(request)) is type(made)
    )
    return next(known, None)


class OptionsTests(SynchronousTestCase):
    """The command line."""

    def settings(self, *arguments: str) -> Settings:
        """@return: the settings that a command line makes."""
        made: Settings = parse(*arguments)["settings"]
        return made

    def refused(self, *arguments: str) -> str:
        """@return: the one line for a wrong command line."""
        with pytest.raises(usage.UsageError) as raised:
            parse(*arguments)
        line = str(raised.value)
        assert "\n" not in line
        assert len(line) > 20
        return line

    def test_defaults(self) -> None:
        """Without options it is echo on port 3400, for all clients, in every dialect."""
        options = parse()
        assert options["ports"] == [3400]
        assert answering(options, "/any") is Echo
        assert options["settings"] == Settings(dialects=DIALECT_NAMES)

    def test_settings(self) -> None:
        """Every option has its setting."""
        assert self.settings(
            *("--origin", "http://a", "--origin", "http://*.b"),
            *("--dialects", "hixie-76, hixie-75"),
            *("--location", "wss://chat.example.com:8443"),
            *("--subprotocol", "chat", "--subprotocol", "log"),
            *("--max-message", "65536", "--handshake-timeout", "2.5"),
            *("--ping-interval", "0", "--ping-timeout", "7"),
            *("--compression", "--log-messages"),
        ) == Settings(
            origins=("http://a", "http://*.b"),
            dialects=("hixie-76", "hixie-75"),
            location="wss://chat.example.com:8443",
            subprotocols=("chat", "log"),
            maxMessage=65536,
            handshakeTimeout=2.5,
            pingInterval=0,
            pingTimeout=7,
            compression=True,
            logMessages=True,
        )

    def test_dialects(self) -> None:
        """Each dialect may be spoken alone."""
        for name in DIALECT_NAMES:
            assert self.settings("--dialects", name).dialects == (name,)

    def test_locations(self) -> None:
        """Locations of all sorts of hosts."""
        for location in (
            "ws://h",
            "wss://h:1",
            "ws://h:65535",
            "wss://[::1]:8443",
            "ws://10.0.0.1",
            "wss://h/a/b%20c",
        ):
            assert self.settings("--location", location).location == location

    def test_wrongValues(self) -> None:
        """A wrong value gives one clear line that names the option."""
        hosts = ["", "h", "http://h", "wss://", "wss://h/?x", "wss://a b", "wss://h\n", "wss://u@h"]
        ports = ["x", "0", "65536", "99999"]
        wrong = {
            "--location": [*hosts, *(f"wss://h:{port}" for port in ports)],
            "--dialects": ["", "hixie", "hixie-75,", "hixie-75,nosuch", "HIXIE-75"],
            "--service": ["", "nosuch", "a..b", ".", "os.path", "os.nosuch", "nosuch.module"],
        }
        for option, values in wrong.items():
            for value in values:
                with self.subTest(option=option, value=value):
                    assert self.refused(option, value).startswith(option)

    def test_wrongNumbers(self) -> None:
        """A value that is not a number, or out of range, does, too."""
        for option in ("--max-message", "--handshake-timeout", "--ping-interval", "--ping-timeout"):
            for value in ("", "x", "-1", "\u0663x", "nan", "inf", "1e999", "9" * 5000):
                self.refused(option, value)
        for option in ("--max-message", "--handshake-timeout", "--ping-timeout"):
            self.refused(option, "0")
        self.refused("--max-message", "1.5")

    def test_unknown(self) -> None:
        """An unknown option or an extra word is refused."""
        self.refused("--nosuch-option")
        self.refused("stray-word")
        self.refused("--port")

    def test_help(self) -> None:
        """The help has a line for every option."""
        text = " ".join(str(parse()).split())
        for option in ("port=", "service=", "origin=", "dialects=", "location=", "subprotocol="):
            assert f"--{option}" in text
        for option in ("max-message=", "handshake-timeout=", "log-messages", "compression"):
            assert f"--{option}" in text
        assert "[3400]" in text
        for name in (*SERVICES, *DIALECT_NAMES):
            assert name in text

    def test_everySetting(self) -> None:
        """Every option that a setting declares exists, and takes a value unless it is a flag."""
        declared = {
            str(each.metadata["option"]) + ("" if each.metadata["kind"] is FLAG else "=")
            for each in declarations().values()
            if each.metadata["option"]
        }
        assert len(declared) > 30
        assert declared <= {*Options().longOpt}


# The options whose values are numbers, by name: their lines in the help.
NUMBERS = {
    name: (default, text)
    for name, _, default, text in Options.optParameters
    if isinstance(default, (int, float))
}


def changed(*arguments: str) -> dict[str, object]:
    """@return: the settings that a command line makes other than by default."""
    made, default = asdict(parse(*arguments)["settings"]), asdict(parse()["settings"])
    return {name: value for name, value in made.items() if value != default[name]}


def refusal(*arguments: str) -> str:
    """@return: the one line for a wrong command line."""
    with pytest.raises(usage.UsageError) as raised:
        parse(*arguments)
    line = str(raised.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize("option", NUMBERS)
def test_number(option: str) -> None:
    """Each number sets its own setting."""
    ((name, value),) = changed(f"--{option}", "7").items()
    assert value == 7
    assert type(value) is type(getattr(Settings(), name))
    assert NUMBERS[option][0] == getattr(Settings(), name)


@pytest.mark.parametrize("option", NUMBERS)
def test_numberOfSeconds(option: str) -> None:
    """Seconds may be fractions, but no other numbers."""
    default, text = NUMBERS[option]
    assert isinstance(default, float) == text.startswith("Seconds")
    if isinstance(default, float):
        assert [*changed(f"--{option}", "0.25").values()] == [0.25]
    else:
        assert refusal(f"--{option}", "1.5").startswith(f"--{option}: '1.5': ")


@pytest.mark.parametrize("option", NUMBERS)
def test_zero(option: str) -> None:
    """Zero is accepted where the help gives it a meaning, and refused everywhere else."""
    if "; 0: " in NUMBERS[option][1]:
        parse(f"--{option}", "0")
    else:
        assert refusal(f"--{option}", "0").startswith(f"--{option}: '0': ")


@pytest.mark.parametrize("option", NUMBERS)
@pytest.mark.parametrize(
    "value", ["", " ", "x", "-1", "-0.5", "\u0663x", "nan", "inf", "-inf", "1e999", "0x10", "7 s"]
)
def test_noNumber(option: str, value: str) -> None:
    """A value that is not a number, or an impossible one, is refused in one line."""
    assert refusal(f"--{option}", value).startswith(f"--{option}: {value!r}: ")


@pytest.mark.parametrize("option", NUMBERS)
def test_hugeNumber(option: str) -> None:
    """A number with too many digits is refused, too."""
    assert refusal(f"--{option}", "9" * 5000).startswith(f"--{option}: ")


class PolicyOptionTests(SynchronousTestCase):
    """Options other than numbers and ports."""

    def test_slowPolicy(self) -> None:
        """The policies have names."""
        assert changed("--slow-policy", "close") == {}
        for name in ("drop", "latest"):
            assert changed("--slow-policy", name) == {"slowPolicy": name}
        for name in ("", "Close", "newest", "close,drop"):
            assert refusal("--slow-policy", name).startswith("--slow-policy: ")

    def test_heartbeat(self) -> None:
        """Any text may be a heartbeat."""
        for text in ("\u2665", "", " ", '{"type": "ping"}'):
            assert changed("--heartbeat", text) == {"heartbeat": text}

    def test_heartbeatNoText(self) -> None:
        """Bytes that are not text are refused: no client could be sent them."""
        assert refusal("--heartbeat", "\udcff").startswith("--heartbeat: ")

    def test_empty(self) -> None:
        """An origin or subprotocol that no client can match is refused."""
        for option in ("--origin", "--subprotocol"):
            assert refusal(option, "").startswith(option)

    def test_trustProxy(self) -> None:
        """Proxies are networks, addresses, or all peers on a Unix socket."""
        names = ("10.0.0.0/8", "2001:db8::1", "unix")
        arguments = [word for name in names for word in ("--trust-proxy", name)]
        assert changed(*arguments) == {"trustedProxies": names}
        for name in ("", "x", "10.0.0.1/8", "10.0.0.0/33", "*", "10.0.0.0/8,unix"):
            line = refusal("--trust-proxy", "unix", "--trust-proxy", name)
            assert line.startswith("--trust-proxy: ")

    def test_auth(self) -> None:
        """The checkers are given in cred's own form, several times if needed."""
        options = parse("--auth", "memory:alice:secret", "--auth", "anonymous")
        assert len(options["credCheckers"]) == 2
        for description in ("nosuch:x", "memory:alice", ""):
            assert refusal("--auth", description)

    def test_logs(self) -> None:
        """Connections and messages are logged if wanted."""
        assert changed("--log-connections") == {"logConnections": True}
        assert changed("--log-messages") == {"logMessages": True}


class Avatars:
    """An application that records who logged in."""

    seen: ClassVar[list[object]] = []

    def buildProtocol(self, request: Any) -> Any:
        """Accept every client."""
        self.seen.append(request.avatar)
        return Echo().buildProtocol(request)


class WiringTests(LoopbackCase):
    """Options that change who may connect, from the command line to the answer."""

    def ask(self, target: bytes, *fields: bytes, upgrade: bool = True) -> bytes:
        """@return: the answer to a request, whose client is gone then."""
        head = HEAD76 if upgrade else b"GET /demo HTTP/1.1\r\nHost: x\r\n\r\n"
        lines = b"".join(field + b"\r\n" for field in fields)
        wire = self.connect(head.replace(b"/demo", target)[:-2] + lines + b"\r\n")
        answer = wire.take()
        wire.lose()
        return answer

    def test_auth(self) -> None:
        """Every WebSocket and the console need a password, the other pages do not."""
        routes = ("--route", "/echo=echo", "--route", "/broadcast=broadcast")
        self.serveCommand(
            "--auth", "memory:alice:secret", "--service", f"{__name__}.Avatars", *routes
        )
        right, wrong = (
            b"Authorization: Basic " + b64encode(b"alice:" + word) for word in (b"secret", b"x")
        )
        challenge = b'\r\nWWW-Authenticate: Basic realm="txhixie"'
        for target in (b"/", b"/echo", b"/broadcast"):
            for fields in ((), (wrong,)):
                answer = self.ask(target, *fields)
                assert answer.startswith(b"HTTP/1.1 401 ")
                assert challenge in answer
            assert self.ask(target, right).startswith(b"HTTP/1.1 101 ")
        assert Avatars.seen == [b"alice"]
        for target in (b"/console", b"/console/statistics.json", b"/console/x"):
            for fields in ((), (wrong,)):
                answer = self.ask(target, *fields, upgrade=False)
                assert answer.startswith(b"HTTP/1.1 401 ")
                assert challenge.lower() in answer.lower()
        answer = self.ask(b"/console", right, upgrade=False)
        assert answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 302 "))
        assert self.ask(b"/any", upgrade=False).endswith(b"\r\n\r\nokay")

    def test_offeredPaths(self) -> None:
        """The console offers the paths that are routed, and the root if something answers there."""
        own = f"{__name__}.Avatars"
        for arguments, paths in (
            ((), ["/echo", "/broadcast"]),
            (("--service", "broadcast"), ["/echo", "/broadcast"]),
            (("--service", own), ["/"]),
            (("--route", "/chat=broadcast"), ["/chat"]),
            (("--route", "/chat=broadcast", "--service", own), ["/chat", "/"]),
        ):
            self.serveCommand(*arguments)
            answer = self.ask(b"/console/server", upgrade=False)
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["paths"] == paths

    def test_rooms(self) -> None:
        """The metrics count the rooms that have clients, wherever they are routed."""
        service = self.serveCommand("--service", "broadcast", "--route", "/chat=broadcast")
        reporter = composing._reporter(service, self.options)
        for path, count in ((b"/broadcast", 1), (b"/chat/red", 2), (b"/chat/red", 2)):
            self.connect(HEAD76.replace(b"/demo", path) + KEY3)
            metrics = {each.name: each for each in reporter.report().metrics}
            assert [each.value for each in metrics["txhixie_rooms"].samples] == [count]

    def test_noAuth(self) -> None:
        """Without the option no client has to log in."""
        self.serveCommand()
        assert self.ask(b"/echo").startswith(b"HTTP/1.1 101 ")
        assert not self.ask(b"/console", upgrade=False).startswith(b"HTTP/1.1 401 ")

    def test_trustProxy(self) -> None:
        """A trusted proxy reports the client, and the address that the client used."""
        forwarded = (
            b"X-Forwarded-For: 203.0.113.9",
            b"X-Forwarded-Proto: https",
            b"X-Forwarded-Host: chat.example.org",
        )
        # The clients of a Wire have this address.
        self.serveCommand(
            "--trust-proxy", "192.168.1.1", "--log-connections", "--max-per-address", "1"
        )
        with capturedLogs() as events:
            wire = self.connect(HEAD76[:-2] + b"\r\n".join(forwarded) + b"\r\n\r\n" + KEY3)
        assert b"\r\nSec-WebSocket-Location: wss://chat.example.org/demo\r\n" in wire.take()
        (line,) = (line for line in ownLines(events) if " opened: " in line)
        assert line.endswith(" from 203.0.113.9 by 192.168.1.1:54321")
        assert self.ask(b"/", *forwarded).startswith(b"HTTP/1.1 503 ")
        assert self.ask(b"/", b"X-Forwarded-For: 203.0.113.8").startswith(b"HTTP/1.1 101 ")
        wire.lose()
        assert self.ask(b"/", *forwarded).startswith(b"HTTP/1.1 101 ")

    def location(self, *fields: bytes) -> bytes:
        """@return: the location for a client whose request came through a trusted proxy."""
        answer = self.ask(b"/demo?x=1", *fields)
        match = re.search(rb"\r\nSec-WebSocket-Location: (.*)\r\n", answer)
        assert match is not None, answer
        return match[1]

    def test_prefix(self) -> None:
        """
        A proxy that changes the path and the port reports it, and Hixie clients get their own.
        """
        self.serveCommand("--trust-proxy", "192.168.1.1")
        prefix = b"X-Forwarded-Prefix: /chat/"
        assert self.location(prefix) == b"ws://example.com/chat/demo?x=1"
        port = b"X-Forwarded-Port: 8443"
        assert self.location(prefix, port) == b"ws://example.com:8443/chat/demo?x=1"
        told = b"Forwarded: for=192.0.2.1;proto=https;host=chat.example.org"
        assert self.location(told) == b"wss://chat.example.org/demo?x=1"
        assert self.location(told, prefix, port) == b"wss://chat.example.org:8443/chat/demo?x=1"
        seen = b"X-Forwarded-Host: example.org"
        assert self.location(told, seen) == self.location(seen) == b"ws://example.org/demo?x=1"

    def test_locationWithPath(self) -> None:
        """--location may have a path, and overrides what proxies report."""
        self.serveCommand(
            "--location", "wss://chat.example.org/ws/", "--trust-proxy", "192.168.1.1"
        )
        for field in (b"X: y", b"X-Forwarded-Prefix: /other", b"Forwarded: host=other"):
            assert self.location(field) == b"wss://chat.example.org/ws/demo?x=1"

    def test_untrusted(self) -> None:
        """Other peers are not believed."""
        self.serveCommand("--trust-proxy", "192.168.1.2", "--trust-proxy", "unix")
        answer = self.ask(b"/demo", b"X-Forwarded-Proto: https", b"Forwarded: host=evil")
        assert b"\r\nSec-WebSocket-Location: ws://example.com/demo\r\n" in answer

    def test_limits(self) -> None:
        """Limits are those of the command line."""
        self.serveCommand("--max-connections", "1", "--max-handshakes", "1")
        wire = self.connect(HEAD76)
        assert self.ask(b"/").startswith(b"HTTP/1.1 503 ")
        silent = self.connect()
        other = self.connect()
        assert silent.ended
        for each in (wire, silent, other):
            each.lose()


class PortTests(SynchronousTestCase):
    """Where to listen."""

    def test_numbers(self) -> None:
        """A number is a TCP port; the option may be repeated and shortened."""
        for first, second in (("3400", "80"), ("0", "65535")):
            ports = parse("--port", first, "-p", second)["ports"]
            assert ports == [int(first), int(second)]

    def test_descriptions(self) -> None:
        """Anything else is an endpoint description."""
        for description in (
            "tcp:3400:interface=127.0.0.1",
            "tcp6:3400",
            r"tcp:3400:interface=\:\:1",
            "unix:/run/h.sock",
            "unix:/run/h.sock:mode=660",
            "haproxy:tcp:3400",
            "haproxy:unix:/run/h.sock",
        ):
            assert parse("--port", description)["ports"] == [description]

    def refused(self, description: str) -> str:
        """@return: the one line that a wrong description gets."""
        with pytest.raises(usage.UsageError) as raised:
            parse("--port", description)
        assert "\n" not in str(raised.value)
        return str(raised.value)

    def test_wrongDescriptions(self) -> None:
        """A description that is not an endpoint is refused before anything is started."""
        for description in (
            *("", "x", "nosuch:1", "\u0663", "tcp", "tcp:x", "tcp:1:nosuch=1"),
            *("unix", "unix:/s:mode=x", "ssl:443:privateKey=/no/such/file", "haproxy", "haproxy:x"),
            *("systemd:domain=INET", "systemd:domain=INET:index=7"),
        ):
            assert self.refused(description).startswith("--port: "), description

    def test_wrongNumbers(self) -> None:
        """A number that is not a port is refused, too, in any position."""
        for number in ("65536", "70000", "99999999999", "9" * 5000):
            forms = (
                "{}",
                "tcp:{}",
                "tcp:port={}",
                "tcp6:{}",
                "haproxy:tcp:{}",
                "tls:/certs:port={}",
            )
            for form in forms:
                description = form.format(number)
                assert self.refused(description).startswith("--port: "), description

    def test_haproxyEscaped(self) -> None:
        """A description behind haproxy may be escaped, which Twisted itself does not accept."""
        for escaped, plain in (
            (r"haproxy:tcp\:3400", "haproxy:tcp:3400"),
            (r"haproxy:tcp\:3400\:interface=127.0.0.1", "haproxy:tcp:3400:interface=127.0.0.1"),
        ):
            assert parse("--port", escaped)["ports"] == [plain]

    def test_systemd(self) -> None:
        """A socket that systemd hands over is found by number and by name."""
        self.patch(_SystemdParser, "_sddaemon", ListenFDs([3], ["hixie"]))
        for description in ("systemd:domain=INET:index=0", "systemd:domain=INET:name=hixie"):
            assert parse("--port", description)["ports"] == [description]


ROOMS = Rooms("/rooms")


class ServiceOptionTests(SynchronousTestCase):
    """The services."""

    def application(self, name: str, *more: str) -> Any:
        """@return: what --service makes of a name."""
        return parse("--service", name, *more)["application"]

    def refused(self, name: str) -> str:
        """@return: the line for a wrong name."""
        with pytest.raises(usage.UsageError) as raised:
            parse("--service", name)
        assert "\n" not in str(raised.value)
        return str(raised.value)

    def test_builtIn(self) -> None:
        """The built-in services have names, and the option a short form."""
        for option, name, kind in (("--service", "echo", Echo), ("-s", "broadcast", Broadcast)):
            options = parse(option, name)
            found = [answering(options, path) for path in ("/any", "/echo", "/broadcast/x")]
            assert found == [kind, Echo, Broadcast]

    def test_sameAsItsPath(self) -> None:
        """A built-in service is the same on its path and on all others."""
        application = parse("--service", "broadcast")["application"]
        requests = [fakeRequest(path) for path in ("/broadcast", "/any")]
        one, other = (application.buildProtocol(request) for request in requests)
        assert one._host is other._host

    def test_dotted(self) -> None:
        """A dotted name may be a class, an instance, or a function that makes one."""
        assert isinstance(self.application("txhixie.Broadcast"), Broadcast)
        assert type(self.application(f"{__name__}.Application")) is Application
        assert self.application(f"{__name__}.APPLICATION") is APPLICATION
        assert type(self.application(f"{__name__}.makeApplication")) is Application

    def test_nothingElse(self) -> None:
        """With a custom service, only that answers."""
        own = ("--service", f"{__name__}.APPLICATION")
        options = parse(*own)
        for path in ("/", "/echo", "/broadcast"):
            assert answering(options, path) is None
        options = parse(*own, "--route", "/echo=echo", "--route", "/a=b/c=broadcast")
        assert answering(options, "/echo/x") is Echo
        assert answering(options, "/a=b/c") is Broadcast
        for path in ("/", "/broadcast", "/a=b"):
            assert answering(options, path) is None

    def test_routesOnly(self) -> None:
        """With routes and no service, nothing answers on other paths."""
        options = parse("--route", "/chat=txhixie.Broadcast")
        assert answering(options, "/chat") is Broadcast
        for path in ("/", "/echo", "/broadcast"):
            assert answering(options, path) is None

    def test_routesAndBuiltIn(self) -> None:
        """With a built-in service the others are available too, unless a route replaces them."""
        options = parse("--service", "echo", "--route", "/echo=broadcast")
        paths = ("/", "/broadcast", "/echo", "/echo/x")
        assert [answering(options, path) for path in paths] == [Echo, Broadcast] + [Broadcast] * 2

    def test_ownRooms(self) -> None:
        """Two routes to one service have two applications."""
        options = parse("--route", "/red=broadcast", "--route", "/blue=broadcast")
        requests = [fakeRequest(path) for path in ("/red", "/blue")]
        red, blue = (options["application"].buildProtocol(request) for request in requests)
        assert red._host is not blue._host

    def test_wrongRoutes(self) -> None:
        """An invalid route is refused in one line."""
        for routes in (
            *(("",), ("/chat",), ("chat=echo",), ("/a//b=echo",), ("/a?b=echo",), ("=echo",)),
            *(("/chat=",), ("/chat=nosuch",), ("/chat=os.path",), ("/chat=nosuch.module",)),
            *(("/chat=echo", "/chat=broadcast"), ("/chat=echo", "/chat/=echo")),
        ):
            arguments = [word for route in routes for word in ("--route", route)]
            assert refusal(*arguments).startswith("--route: "), routes

    def test_gateway(self) -> None:
        """A gateway has back ends: those of its own, or the common ones."""
        common = ("--backend", "ws://a:1", "--backend", "wss://b/app")
        for arguments in (
            ("--service", "gateway", *common),
            ("--route", "/tv=gateway", *common, "--gateway-bytes", "base64"),
            ("--route", "/tv=gateway:ws://a:1,ws://b:2/x?y=1,2", "--route", "/a=b=echo"),
            ("--route", "/tv=gateway:ws://a", "--service", "gateway", *common),
        ):
            assert parse(*arguments)["application"] is not None
        gateway = self.application("gateway", *common)
        assert isinstance(gateway, Gateway)
        assert [each.name for each in gateway._backends.candidates()] == ["ws://a:1", "wss://b/app"]

    def test_wrongGateways(self) -> None:
        """A gateway that makes no sense is refused in one line."""
        for option, *arguments in (
            ("--service", "--service", "gateway"),
            ("--route", "--route", "/tv=gateway"),
            ("--route", "--route", "/tv=gateway:"),
            ("--route", "--route", "/tv=gateway:http://a"),
            ("--route", "--route", "/tv=gateway:ws://a,ws://"),
            ("--service", "--service", "gateway", "--backend", "ws://a:0"),
            ("--backend", "--backend", "ws://a"),
            ("--backend", "--backend", "ws://a", "--route", "/tv=gateway:ws://b"),
            ("--gateway-bytes", "--gateway-bytes", "keep"),
        ):
            assert refusal(*arguments).startswith(f"{option}: "), arguments

    def test_unknown(self) -> None:
        """An unknown name gets a list of those that exist."""
        line = self.refused("chat")
        assert "'chat'" in line
        for name in (*SERVICES, "gateway"):
            assert name in line

    def test_noApplication(self) -> None:
        """Something that makes no application is refused with its name."""
        for name in ("makeNothing", "takesArguments", "NotCallable", "nosuch"):
            assert f"{__name__}.{name}" in self.refused(f"{__name__}.{name}")
        assert "buildProtocol" in self.refused(f"{__name__}.makeNothing")
        assert "buildProtocol" in self.refused(f"{__name__}.NotCallable")

    def test_importErrors(self) -> None:
        """An import error shows its cause."""
        temporary = TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        folder = Path(temporary.name)
        self.patch(sys, "path", [temporary.name, *sys.path])
        for name, source, cause in (
            ("missing", "import no_such_thing_at_all", "No module named 'no_such_thing_at_all'"),
            ("broken", "def broken(:\n    pass", "SyntaxError"),
            ("failing", "raise ValueError('two\\nlines')", "ValueError: two lines"),
        ):
            (folder / f"hixie_test_{name}.py").write_text(source)
            assert cause in self.refused(f"hixie_test_{name}.App")
        assert "hixie_test_nosuch" in self.refused("hixie_test_nosuch.App")


class MakeServiceTests(SynchronousTestCase):
    """The service tree."""

    def make(self, *arguments: str) -> HixieService:
        """@return: the service of a command line."""
        service = makeService(parse(*arguments))
        assert isinstance(service, HixieService)
        return service

    def test_tree(self) -> None:
        """There is a listening service for each port, all with one factory."""
        service = self.make("--no-console", "--port", "3400", "--port", "unix:/run/h.sock")
        assert isinstance(service, MultiService)
        children = list(service)
        kinds = [StreamServerEndpointService, StreamServerEndpointService, LongLived]
        assert [type(child) for child in children] == kinds
        assert {child.factory for child in children[:2]} == {service.factory}

    def test_everyAddress(self) -> None:
        """A port number is a port on all addresses."""
        asked: list[Any] = []
        self.patch(EveryAddressEndpoint, "listen", asked.append)
        made = self.make("--no-console", "--port", "3400")
        for service in (made, HixieService(self.make().factory, 3400)):
            child, *_ = service
            child.endpoint._endpoint.listen("factory")
        assert asked == ["factory", "factory"]

    def test_factory(self) -> None:
        """The factory has the settings and the application."""
        service = self.make("--service", f"{__name__}.APPLICATION", "--max-message", "17")
        assert service.factory.settings.maxMessage == 17
        assert service.factory.application is APPLICATION

    def test_console(self) -> None:
        """The console is on the site, unless it is switched off; other paths answer okay."""
        for arguments, names in (((), [b"console"]), (("--no-console",), [])):
            root: Any = self.make(*arguments).factory.site.resource
            assert isinstance(root, Okay)
            assert root.listNames() == names

    def test_rooms(self) -> None:
        """Rooms are on the site where they are for WebSockets, all on the one backplane."""
        service = self.make(
            *("--route", "/a/b=broadcast", "--service", "echo", "--max-rooms", "7", "--publish")
        )
        root: Any = service.factory.site.resource
        ab, broadcast = root._places[b"a"]._places[b"b"], root._places[b"broadcast"]
        assert isinstance(ab, RoomsResource)
        assert isinstance(broadcast, RoomsResource)
        assert ab._rooms.path == "/a/b"
        assert ab._rooms is not broadcast._rooms
        for page in (ab, broadcast):
            assert page._rooms.backplane in service._lasting
            assert page._rooms._maxRooms == 7
            assert (page._publish, page._fromAnywhere) == (True, False)
        guarding: Any = self.make("--auth", "memory:a:b").factory.site.resource
        page = guarding._places[b"broadcast"]
        assert isinstance(page, HTTPAuthSessionWrapper)
        without: Any = self.make("--route", "/x=echo").factory.site.resource
        assert without._places == {}

    def test_ownBackplane(self) -> None:
        """Rooms that have a backplane keep it; all others are given that of the command line."""
        options = parse("--service", f"{__name__}.ROOMS", "--history", "3")
        backplane: Any = ROOMS.backplane
        assert backplane is options["backplane"]
        assert backplane._history == 3
        assert refusal("--backplane", "nats://x").startswith("--backplane: there is no backplane")
        assert refusal("--backplane", "memory://x").startswith("--backplane: the backplane memory")

    def test_plugin(self) -> None:
        """C{twistd} and C{twist} find it under its name."""
        (plugin,) = (each for each in getPlugins(IServiceMaker) if each.tapname == "hixie")
        assert plugin.options is Options
        assert plugin.makeService is makeService
        assert plugin.description.endswith(".")

    def test_portInUse(self) -> None:
        """A port that is not available gives one log line, and exit status 1."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            service = self.make("--port", f"tcp:{port}:interface=127.0.0.1")
            with capturedLogs() as events, pytest.raises(SystemExit) as raised:
                service.privilegedStartService()
        assert raised.value.code == 1
        (line,) = (line for line in ownLines(events) if str(port) in line)
        assert line.startswith("critical: CannotListenError: ")
        assert "Address already in use" in line
        assert not [event for event in events if "log_failure" in event]

    def test_unusablePath(self) -> None:
        """A socket in a folder that does not exist does, too."""
        service = self.make("--port", "unix:/no/such/folder/hixie.sock")
        with capturedLogs() as events, pytest.raises(SystemExit) as raised:
            service.privilegedStartService()
        assert raised.value.code == 1
        (line,) = (line for line in ownLines(events) if "/no/such/folder" in line)
        assert line.startswith("critical: ")
        assert not [event for event in events if "log_failure" in event]


class StopTests(LoopbackCase):
    """The end."""

    def test_stopService(self) -> None:
        """The clients get a close, and the stop is complete when the last one is gone."""
        service = HixieService(self.factory)
        service.startService()
        wire = self.open()
        stopped = service.stopService()
        assert wire.take() == CLOSE
        self.assertNoResult(stopped)
        wire.send(CLOSE)
        wire.lose()
        self.successResultOf(stopped)
        assert not service.running
        self.assertQuiet()

    def test_silentClients(self) -> None:
        """A client that does not leave delays the end only for a limited time."""
        service = HixieService(self.factory)
        service.startService()
        self.open().stuck = True
        stopped = service.stopService()
        self.pass_(10)
        self.clock.advance(0)
        self.successResultOf(stopped)

    def test_secondSignal(self) -> None:
        """
        Signals that come during the stop end all connections; signals that are ignored stay
        ignored.
        """
        handlers: dict[int, Any] = {
            signal.SIGINT: signal.default_int_handler,
            signal.SIGTERM: signal.SIG_IGN,
        }
        calls: list[Any] = []
        self.patch(signal, "getsignal", handlers.__getitem__)
        self.patch(signal, "signal", handlers.__setitem__)
        self.patch(reactor, "callFromThread", calls.append)
        service: Any = HixieService(self.factory)
        # Other threads have no signals.
        thread = Thread(target=service._endAtNextSignal)
        thread.start()
        thread.join()
        assert handlers[signal.SIGINT] is signal.default_int_handler
        service._endAtNextSignal()
        assert handlers[signal.SIGTERM] is signal.SIG_IGN
        wire = self.open()
        handlers[signal.SIGINT](signal.SIGINT, None)
        assert not wire.disconnected
        (end,) = calls
        end()
        assert wire.disconnected
        assert self.count("connections cut off") == 1
        self.assertQuiet()
