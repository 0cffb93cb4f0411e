"""The console's resources, and the rules that its page keeps."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from tests.loopback import HEAD75, LoopbackCase, TCPWire, frame
from txhixie.console import Console
from txhixie.settings import DIALECT_NAMES
from txhixie.websocket.counters import EVENTS

TOKEN = "0123456789abcdef"
TYPES = {
    "/console": "text/html; charset=utf-8",
    "/console/": "text/html; charset=utf-8",
    "/console/console.css": "text/css; charset=utf-8",
    "/console/console.js": "text/javascript; charset=utf-8",
    "/console/statistics": "application/json",
    f"/console/dialect?token={TOKEN}": "application/json",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def packaged(name: str) -> str:
    """@return: a file of the package."""
    return files("txhixie.console").joinpath(name).read_text("utf-8")


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
        root.putChild(b"console", Console(self.factory))

    def request(self, target: str, method: str = "GET") -> Answer:
        """@return: the answer to a request."""
        wire: TCPWire = self.connect(
            f"{method} {target} HTTP/1.1\r\nHost: example.com\r\n\r\n".encode()
        )
        answer = Answer(wire.take())
        wire.lose()
        return answer


class ResourceTests(ConsoleCase):
    """What is served, and as what."""

    def test_types(self) -> None:
        """Everything says what it is, and that browsers should believe it."""
        for target, contentType in TYPES.items():
            answer = self.request(target)
            assert answer.status == 200, target
            assert answer.fields["Content-Type"] == contentType
            assert answer.fields["X-Content-Type-Options"] == "nosniff"
            assert answer.fields["Referrer-Policy"] == "no-referrer"
            assert answer.fields["Content-Security-Policy"] == POLICY
            fixed = contentType.startswith("text/")
            assert answer.fields["Cache-Control"] == ("no-cache" if fixed else "no-store")

    def test_files(self) -> None:
        """The files of the package are what is served, with and without a slash at the end."""
        page = packaged("index.html").encode()
        assert self.request("/console").body == page
        assert self.request("/console/").body == page
        for name in ("console.css", "console.js"):
            assert self.request(f"/console/{name}").body == packaged(name).encode()

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
        """There is nothing else, in the package or out of it."""
        for name in ("x", "__init__.py", "index.html", "/", "..%2f__init__.py", "console.js/x"):
            assert self.request(f"/console/{name}").status == 404, name


class StatisticsTests(ConsoleCase):
    """The sums of the server."""

    def test_nothing(self) -> None:
        """A new server has a row for every dialect, and saw nothing."""
        self.clock.advance(2.5)
        assert self.request("/console/statistics").json == {
            "uptime": 2.5,
            "connections": dict.fromkeys(DIALECT_NAMES, 0),
            "messages": {"received": 0, "sent": 0},
            "bytes": {"received": 0, "sent": 0},
            "events": dict.fromkeys(EVENTS, 0),
        }

    def test_log(self) -> None:
        """An open console does not fill the access log."""
        self.factory.doStart()
        self.addCleanup(self.factory.doStop)
        with capturedLogs() as events:
            self.request("/console/statistics")
            assert not events
            self.request("/console")
        assert len(events) == 1

    def test_sums(self) -> None:
        """Connections are counted while they are open, and what they carried for good."""
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


class DialectTests(ConsoleCase):
    """The dialect of the connection that a page opened."""

    def ask(self, token: str = TOKEN) -> Any:
        """@return: what a page is told that has this token."""
        return self.request(f"/console/dialect?token={token}").json

    def join(self, query: str) -> None:
        """Open a connection by Hixie-75."""
        self.connect(HEAD75.replace(b"x=1", query.encode()))

    def test_known(self) -> None:
        """The connection is known by the token in its query."""
        self.join("")
        self.join(f"a=1&console={TOKEN}")
        self.join("console=0123456789abcdeF")
        assert self.ask() == {"dialect": "hixie-75"}

    def test_unknown(self) -> None:
        """There is no answer for a token that nobody has, or that has company."""
        assert self.ask() == {"dialect": None}
        self.join(f"console={TOKEN}&console=x")
        self.join(f"other={TOKEN}")
        assert self.ask() == {"dialect": None}

    def test_gone(self) -> None:
        """A connection that ended has no dialect any more."""
        wire: TCPWire = self.connect(HEAD75.replace(b"x=1", f"console={TOKEN}".encode()))
        wire.lose()
        assert self.ask() == {"dialect": None}

    def test_many(self) -> None:
        """It is found among any number of connections."""
        self.join(f"console={TOKEN}")
        for _ in range(1000):
            self.join("")
        assert self.ask() == {"dialect": "hixie-75"}

    def test_badTokens(self) -> None:
        """A token is long and there is one of it: it is to be random."""
        self.join("console=short&console=")
        for query in ("", "?token=", "?token=0123456789abcde", f"?token={TOKEN}&token={TOKEN}"):
            answer = self.request(f"/console/dialect{query}")
            assert answer.status == 400, query
            assert answer.json == {"error": "token: 16 characters or more"}


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
    """What the files themselves promise."""

    def setUp(self) -> None:
        self.document = Document()

    def test_nothingInline(self) -> None:
        """There are no scripts, styles and handlers in the page, which the policy would stop."""
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
        """All that is loaded comes from this server's console, wherever the server is."""
        addresses = [
            attributes[name]
            for _, attributes in self.document.tags
            for name in ("href", "src", "action", "data", "srcset")
            if name in attributes
        ]
        assert addresses == ["/console/console.css", "/console/console.js"]
        for name in ("console.css", "console.js", "index.html"):
            assert re.findall(r"https?://|url\(|@import|[\"'(]//", packaged(name)) == []

    def test_labels(self) -> None:
        """Every control has a name for those who do not see it, and every ID is unique."""
        labelled = {attributes["for"] for attributes in self.document.named("label")}
        for attributes in self.document.named("input"):
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
        """The script has no way to make text into markup or code."""
        script = packaged("console.js")
        for name in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert name not in script
        assert "new Function" not in script

    def test_oldScript(self) -> None:
        """The script keeps to what a WebKit of 2011 knows."""
        script = re.sub(r"//.*|'(\\.|[^'\\])*'", "", packaged("console.js"))
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
