"""The console's resources, and the rules that its page keeps."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from types import SimpleNamespace
from typing import Any

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from tests.loopback import HEAD75, HEAD76, KEY3, LoopbackCase, TCPWire, frame
from txhixie.console import Console
from txhixie.dialects.head import HandshakeError
from txhixie.settings import DIALECT_NAMES
from txhixie.websocket.counters import EVENTS

TOKEN = "0123456789abcdef"
STYLES = ("console.css", "dark.css")
UNKNOWN = {"dialect": None, "closed": None, "refused": None}
# In the order in which the page loads them.
SCRIPTS = (
    *("basics.js", "log.js", "address.js", "rooms.js", "connection.js", "paths.js"),
    *("composer.js", "charts.js", "statistics.js", "start.js"),
)
TYPES = {
    "/console": "text/html; charset=utf-8",
    "/console/": "text/html; charset=utf-8",
    "/console/console.css": "text/css; charset=utf-8",
    "/console/dark.css": "text/css; charset=utf-8",
    **{f"/console/{name}": "text/javascript; charset=utf-8" for name in SCRIPTS},
    "/console/favicon.png": "image/png",
    "/console/server": "application/json",
    "/console/statistics": "application/json",
    f"/console/connection?token={TOKEN}": "application/json",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def packaged(name: str) -> str:
    """@return: a file of the package."""
    return files("txhixie.console").joinpath(name).read_text("utf-8")


def scripts() -> str:
    """@return: all scripts of the page."""
    return "".join(map(packaged, SCRIPTS))


class Answer:
    """An HTTP answer, taken apart."""

    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        self.status = int(status.split()[1])
        self.fields = dict(line.split(": ", 1) for line in lines)

    @property
    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)


class ConsoleCase(LoopbackCase):
    """Has a server with a console."""

    def setUp(self) -> None:
        super().setUp()
        root = Resource()
        self.serve(None, root)
        root.putChild(b"console", Console(self.factory, ["/echo", "/chat"]))

    def request(self, target: str, method: str = "GET") -> Answer:
        """@return: the answer to a request."""
        wire: TCPWire = self.connect(
            f"{method} {target} HTTP/1.1\r\nHost: example.com\r\n\r\n".encode()
        )
        answer = Answer(wire.take())
        wire.lose()
        return answer


class ResourceTests(ConsoleCase):
    """What is served, and its content type."""

    def test_types(self) -> None:
        """Everything has a content type, and browsers are asked to believe it."""
        for target, contentType in TYPES.items():
            answer = self.request(target)
            assert answer.status == 200, target
            assert answer.fields["Content-Type"] == contentType
            assert answer.fields["X-Content-Type-Options"] == "nosniff"
            assert answer.fields["Referrer-Policy"] == "no-referrer"
            assert answer.fields["Content-Security-Policy"] == POLICY
            fixed = contentType != "application/json"
            assert answer.fields["Cache-Control"] == ("no-cache" if fixed else "no-store")

    def test_files(self) -> None:
        """The files of the package are served unchanged, with and without a slash at the end."""
        page = packaged("index.html").encode()
        assert self.request("/console").body == page
        assert self.request("/console/").body == page
        for name in (*STYLES, *SCRIPTS):
            assert self.request(f"/console/{name}").body == packaged(name).encode()
        assert self.request("/console/favicon.png").body.startswith(b"\x89PNG\r\n")

    def test_server(self) -> None:
        """The page gets the paths of the applications, and the meanings of the events."""
        assert self.request("/console/server").json == {
            "paths": ["/echo", "/chat"],
            "events": EVENTS,
        }

    def test_head(self) -> None:
        """HEAD gets the fields that GET gets, and no body."""
        for target in TYPES:
            get, head = self.request(target), self.request(target, "HEAD")
            assert head.status == 200
            assert head.body == b""
            assert int(head.fields["Content-Length"]) == len(get.body)
            assert head.fields.keys() == get.fields.keys()

    def test_otherMethods(self) -> None:
        """Nothing can be changed."""
        for target in TYPES:
            answer = self.request(target, "POST")
            assert answer.status == 405, target
            assert answer.fields["Allow"] == "GET, HEAD"

    def test_unknown(self) -> None:
        """There is nothing else, inside or outside of the package."""
        for name in ("x", "__init__.py", "index.html", "/", "..%2f__init__.py", "log.js/x"):
            assert self.request(f"/console/{name}").status == 404, name


class StatisticsTests(ConsoleCase):
    """The totals of the server."""

    def test_nothing(self) -> None:
        """A new server has a row for every dialect, and has counted nothing."""
        self.clock.advance(2.5)
        assert self.request("/console/statistics").json == {
            "uptime": 2.5,
            "connections": dict.fromkeys(DIALECT_NAMES, 0),
            "messages": {"received": 0, "sent": 0},
            "bytes": {"received": 0, "sent": 0},
            "events": dict.fromkeys(EVENTS, 0),
        }

    def test_log(self) -> None:
        """A console that is opened is one line of the access log, and none while it is open."""
        self.factory.doStart()
        self.addCleanup(self.factory.doStop)
        with capturedLogs() as events:
            for name in ("statistics", "server", *STYLES, *SCRIPTS, "favicon.png"):
                self.request(f"/console/{name}")
            assert not events
            self.request("/console")
        assert len(events) == 1

    def test_sums(self) -> None:
        """Connections are counted while they are open, and their messages permanently."""
        wire: TCPWire = self.open("hixie-75")
        self.open("hixie-76")
        wire.send(frame("hello") + frame("you"))
        sums = self.request("/console/statistics").json
        assert sums["connections"] == {
            **dict.fromkeys(DIALECT_NAMES, 0),
            "hixie-75": 1,
            "hixie-76": 1,
        }
        assert sums["messages"] == {"received": 2, "sent": 2}
        wire.lose()
        sums = self.request("/console/statistics").json
        assert sums["connections"]["hixie-75"] == 0
        assert sums["messages"] == {"received": 2, "sent": 2}

    def test_discreet(self) -> None:
        """Neither addresses, nor paths, nor messages, nor IDs are shown."""
        wire: TCPWire = self.open("hixie-75")
        wire.send(frame("a secret"))
        body = self.request("/console/statistics").body.decode()
        (name,) = self.factory.connections
        for secret in ("secret", "demo", "192.", "example", name):
            assert secret not in body


class ConnectionTests(ConsoleCase):
    """What happened to the connection that a page opened."""

    def ask(self, token: str = TOKEN) -> Any:
        """@return: the answer to a page with this token."""
        return self.request(f"/console/connection?token={token}").json

    def join(self, query: str) -> None:
        """Open a connection with Hixie-75."""
        self.connect(HEAD75.replace(b"x=1", query.encode()))

    def test_known(self) -> None:
        """The connection is found by the token in its query."""
        self.join("")
        self.join(f"a=1&console={TOKEN}")
        self.join("console=0123456789abcdeF")
        assert self.ask() == {**UNKNOWN, "dialect": "hixie-75"}

    def test_unknown(self) -> None:
        """An unknown token has no answer, and neither has one that comes with another token."""
        assert self.ask() == UNKNOWN
        self.join(f"console={TOKEN}&console=x")
        self.join(f"other={TOKEN}")
        assert self.ask() == UNKNOWN

    def test_gone(self) -> None:
        """A connection that has ended has no dialect any longer."""
        wire: TCPWire = self.connect(HEAD75.replace(b"x=1", f"console={TOKEN}".encode()))
        wire.lose()
        assert self.ask() == {
            **UNKNOWN,
            "closed": {"code": 1005, "reason": "", "byServer": False},
        }

    def test_sameToken(self) -> None:
        """Of several connections with one token the newest counts, in whatever order they end."""
        head = HEAD75.replace(b"x=1", f"console={TOKEN}".encode())
        older, newer = self.connect(head), self.connect(head)
        older.lose()
        assert self.ask() == {**UNKNOWN, "dialect": "hixie-75"}
        newer.lose()
        older, newer = self.connect(head), self.connect(head)
        newer.lose()
        older.lose()
        assert self.ask()["closed"] is not None

    def test_lost(self) -> None:
        """The page learns that the connection did not end in good order."""
        target = f"/demo?console={TOKEN}".encode()
        wire: TCPWire = self.connect(HEAD76.replace(b"/demo", target) + KEY3)
        wire.lose()
        closed = self.ask()["closed"]
        assert closed["code"] == 1006
        assert not closed["byServer"]

    def test_closedByServer(self) -> None:
        """The page learns that the server closed the connection, whatever the client answered."""
        target = f"/demo?console={TOKEN}".encode()
        wire: TCPWire = self.connect(HEAD76.replace(b"/demo", target) + KEY3)
        (webSocket,) = self.factory.connections.values()
        webSocket.loseConnection()
        wire.lose()
        assert self.ask()["closed"]["byServer"]

    def test_many(self) -> None:
        """It is found among any number of connections."""
        self.join(f"console={TOKEN}")
        for _ in range(1000):
            self.join("")
        assert self.ask() == {**UNKNOWN, "dialect": "hixie-75"}

    def test_badTokens(self) -> None:
        """A token is long, and a query has only one: it should be random."""
        self.join("console=short&console=")
        for query in (
            "",
            "?token=",
            "?token=0123456789abcde",
            f"?token={TOKEN}&token={TOKEN}",
            f"?token={'x' * 65}",
        ):
            answer = self.request(f"/console/connection{query}")
            assert answer.status == 400, query
            assert answer.json == {"error": "token: 16 to 64 characters"}


class RefusalTests(ConsoleCase):
    """Why the connection that a page wanted was refused."""

    def ask(self, token: str = TOKEN) -> Any:
        """@return: why the handshake with this token was refused."""
        return self.request(f"/console/connection?token={token}").json["refused"]

    def refuse(self, token: str = TOKEN) -> None:
        """Make a handshake that is refused."""
        self.connect(HEAD75.replace(b"x=1", f"console={token}".encode()))

    def setUp(self) -> None:
        super().setUp()
        self.error = HandshakeError(403, "you are\nnot welcome")

        def buildProtocol(request: Any) -> Any:
            raise self.error

        self.factory.application = SimpleNamespace(buildProtocol=buildProtocol)

    def test_application(self) -> None:
        """
        The page gets the status and the text of the answer, which a browser does not show to pages.
        """
        self.refuse()
        assert self.ask() == {"status": 403, "text": "you are\\x0anot welcome"}
        self.error = HandshakeError(404)
        self.refuse()
        assert self.ask() == {"status": 404, "text": "Not Found"}
        assert self.ask("another-unknown-token") is None

    def test_origin(self) -> None:
        """A refusal before the application is asked is known as well."""
        self.factory.changeOrigins(["http://other.example"])
        self.refuse()
        assert self.ask()["status"] == 403
        assert "rigin" in self.ask()["text"]

    def test_admission(self) -> None:
        """A refusal because the server has enough connections is known, too."""
        self.factory.admission.close()
        self.refuse()
        self.factory.admission.open()
        assert self.ask()["status"] == 503

    def test_bounded(self) -> None:
        """The newest hundred refusals are remembered, and no long tokens."""
        for number in range(101):
            self.refuse(f"{TOKEN}{number}")
        assert self.ask(f"{TOKEN}0") is None
        assert self.ask(f"{TOKEN}1")["status"] == 403
        assert self.ask(f"{TOKEN}100")["status"] == 403
        self.refuse("x" * 65)
        self.refuse("x" * 64)
        assert self.ask("x" * 64)["status"] == 403

    def test_plainHTTP(self) -> None:
        """Only handshakes are remembered."""
        self.request(f"/?console={TOKEN}", "CONNECT")
        assert self.ask() is None


class Document(HTMLParser):
    """
    The start tags of the page.

    @ivar texts: the text that is directly in an element, by its tag.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(packaged("index.html"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        if self.tags and data.strip():
            self.texts.append((self.tags[-1][0], data))

    def named(self, *tags: str) -> list[dict[str, str]]:
        """@return: the attributes of all elements of these tags."""
        return [attributes for tag, attributes in self.tags if tag in tags]


class PageTests(SynchronousTestCase):
    """What the files themselves guarantee."""

    def setUp(self) -> None:
        self.document = Document()

    def test_nothingInline(self) -> None:
        """The page has no inline scripts, styles or handlers, which the policy would block."""
        for tag, text in self.document.texts:
            assert tag not in ("script", "style"), text
        for tag, attributes in self.document.tags:
            assert tag != "style"
            assert tag != "script" or "src" in attributes
            for name, value in attributes.items():
                assert not name.startswith("on"), name
                assert name != "style"
                assert not value.startswith("javascript:")

    def test_ownAddressesOnly(self) -> None:
        """Everything is loaded from this server's console, wherever the server is."""
        addresses = [
            attributes[name]
            for _, attributes in self.document.tags
            for name in ("href", "src", "action", "data", "srcset")
            if name in attributes
        ]
        names = ("favicon.png", *STYLES, *SCRIPTS)
        assert addresses == [f"/console/{name}" for name in names]
        for name in (*STYLES, *SCRIPTS, "index.html"):
            assert re.findall(r"https?://|url\(|@import|[\"'(]//", packaged(name)) == []

    def test_labels(self) -> None:
        """Every control has a name for people who do not see it, and every ID is unique."""
        labelled = {attributes["for"] for attributes in self.document.named("label")}
        for attributes in self.document.named("input", "textarea", "select"):
            assert attributes["id"] in labelled
        buttons = [text for tag, text in self.document.texts if tag == "button"]
        assert len(buttons) >= len(self.document.named("button"))
        for attributes in self.document.named("canvas"):
            assert attributes["role"] == "img"
            assert attributes["aria-label"]
        ids = [attributes["id"] for _, attributes in self.document.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        for _, attributes in self.document.tags:
            assert attributes.get("aria-labelledby", ids[0]) in ids

    def test_log(self) -> None:
        """The log tells screen readers what is added to it."""
        (log,) = [
            attributes for _, attributes in self.document.tags if attributes.get("id") == "log"
        ]
        assert log["role"] == "log"
        assert log["aria-live"] == "polite"
        assert log["tabindex"] == "0"

    def test_textStaysText(self) -> None:
        """The script cannot turn text into markup or code."""
        script = scripts()
        for name in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert name not in script
        assert "new Function" not in script

    def test_oldScript(self) -> None:
        """The script keeps to what a WebKit of 2011 knows."""
        script = re.sub(r"//.*|'(\\.|[^'\\])*'", "", scripts())
        for later in (
            r"\blet\b",
            r"\bconst\b",
            "=>",
            "`",
            r"\.bind\(",
            r"\.classList\b",
            r"\bfetch\(",
        ):
            assert not re.search(later, script), later
