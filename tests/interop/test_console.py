"""The console in two browsers, Chromium and PhantomJS 1.9.8, with mouse and keyboard."""

from __future__ import annotations

import json
import re
import signal
from contextlib import ExitStack, closing
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from .chromium import ChromiumTab
from .consolepage import (
    LAST,
    LINES,
    MARKUP,
    Tab,
    assertGood,
    connect,
    console,
    focused,
    lines,
    say,
    textIs,
)
from .ghost import PhantomTab
from .phantom import phantomCommand
from .server import Server
from .test_phantomjs import Hixie75, joined

if TYPE_CHECKING:
    from playwright.sync_api import Browser
CHART = "document.getElementById('%s-chart').toDataURL()"


def test_echo(tab: Tab) -> None:
    """
    Enter sends a message, which comes back; the page shows the dialect, and disconnects.
    """
    connect(tab)
    for text in ("hello", ""):
        say(tab, text)
    assert lines(tab, "received", 2) == lines(tab, "sent", 2) == ["hello", "empty message"]
    tab.wait(textIs("dialect", tab.dialect))
    assert tab.evaluate("document.getElementById('text').value") == ""
    times = tab.evaluate(
        "[].map.call(document.querySelectorAll('.time'), function (t) { return t.textContent; })"
    )
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}", time) for time in times)
    tab.click("clear")
    assert tab.evaluate("document.getElementById('log').childNodes.length") == 0
    tab.click("toggle")
    tab.wait(textIs("state", "Disconnected"))
    assert len(lines(tab, "system", 1)) == 1


def test_markup(tab: Tab) -> None:
    """
    A message that looks like markup is shown unchanged, and has no effect.
    """
    connect(tab)
    title = tab.evaluate("document.title")
    say(tab, MARKUP)
    assert lines(tab, "received", 1) == lines(tab, "sent", 1) == [MARKUP]
    assert tab.evaluate("document.querySelectorAll('img, #log script, #log .text *').length") == 0
    assert tab.evaluate("document.title") == title


def test_chart(tab: Tab, server: Server) -> None:
    """
    The numbers and charts of the server follow its events.
    """
    tab.wait("document.getElementById('messages-in').textContent === '0/s'")
    before = {name: tab.evaluate(CHART % name) for name in ("messages", "bytes")}
    with ExitStack() as stack:
        clients = [
            stack.enter_context(closing(Hixie75(server.port, "/broadcast"))) for _ in range(3)
        ]
        tab.wait(textIs("total", "3"))
        assert tab.evaluate("document.querySelector('#dialect-hixie-75 .number').textContent")
        for _ in range(100):
            clients[0].send("hello")
        tab.wait(textIs("messages-received", "100"))
        tab.wait("parseFloat(document.getElementById('messages-out').textContent) > 0")
        tab.wait("parseFloat(document.getElementById('bytes-in').textContent) > 0")
    for name, picture in before.items():
        assert tab.evaluate(CHART % name) != picture
        label = tab.evaluate(f"document.getElementById('{name}-chart').getAttribute('aria-label')")
        assert "in the last minute" in label or "of the last minute" in label
    tab.wait(textIs("total", "0"))


def test_keyboard(tab: Tab) -> None:
    """
    Everything can be done with the keyboard alone, in the order of the page, with a visible focus.
    """

    def seek(name: str) -> None:
        for _ in range(20):
            if tab.evaluate(focused(name)):
                break
            tab.press("Tab")
        else:
            pytest.fail(f"Tab does not lead to {name}")
        # PhantomJS has no window, so its page never has the focus that styles show.
        if tab.evaluate("document.hasFocus()"):
            style = "getComputedStyle(document.activeElement).outlineStyle"
            assert tab.evaluate(style) == "solid"

    seek("path")
    tab.evaluate("document.activeElement.value = ''")
    tab.type("broadcast?x=1")
    seek("toggle")
    tab.press("Enter")
    tab.wait(textIs("state", "Connected"))
    tab.wait(focused("text"))
    tab.type("hello")
    tab.press("Enter")
    assert lines(tab, "received", 2)[1].endswith(": hello")
    seek("path")
    tab.press("Enter")
    assert tab.evaluate(textIs("state", "Connected"))
    seek("toggle")
    tab.press("Enter")
    tab.wait(textIs("state", "Disconnected"))
    for name in ("reconnect", "room", "subprotocol", "filter", "indent", "copy", "export", "clear"):
        seek(name)
    for name in ("log", "text", "send", "format"):
        seek(name)


def test_flood(tab: Tab, server: Server) -> None:
    """
    However many messages come, the newest lines are shown and the page keeps reacting.
    """
    connect(tab, 1)
    with closing(Hixie75(server.port, "/broadcast")) as client:
        for number in range(3000):
            client.send(f"number {number}")
        client.send("last")
        client.waitFor(3002)
        tab.wait("/: last$/.test(document.getElementById('log').lastChild.textContent)")
        assert 100 < tab.evaluate("document.getElementById('log').childNodes.length") <= 500
        client.send("x" * 100_000)
        tab.wait(
            "/100.0\\d\\d characters in all$/.test(document.getElementById('log').textContent)"
        )
        assert len(tab.evaluate("document.getElementById('log').lastChild.textContent")) < 10_200
    scrolled = (
        "(function (log) { return log.scrollHeight - log.scrollTop - log.clientHeight; }(%s))"
    )
    assert tab.evaluate(scrolled % "document.getElementById('log')") < 2


def test_reconnect(tab: Tab, server: Server) -> None:
    """
    The page reconnects to a server that comes back, but not after Disconnect.
    """
    connect(tab)
    server.end()
    tab.wait(textIs("state", "Connection lost"))
    tab.wait("/^\u00b7 next try in \\d+ s$/.test(document.getElementById('next').textContent)")
    tab.wait(textIs("stale", "does not answer"))
    with Server("--port", f"tcp:{server.port}:interface=127.0.0.1"):
        tab.wait(textIs("state", "Connected"), 40)
        tab.wait(textIs("stale", ""))
        tab.wait(textIs("dialect", tab.dialect))
        say(tab, "hello again")
        assert lines(tab, "received", 1) == ["hello again"]
        tab.click("toggle")
        tab.wait(textIs("state", "Disconnected"))
        tab.wait(LAST % "Disconnected")
        tab.click("toggle")
        tab.wait(textIs("state", "Connected"))


def test_noReconnection(tab: Tab, server: Server) -> None:
    """
    A lost connection stays lost if reconnecting is off, and a retry can be cancelled.
    """
    connect(tab)
    tab.click("reconnect")
    server.end()
    tab.wait(textIs("state", "Connection lost"))
    tab.wait(textIs("toggle", "Connect"))
    tab.wait(LAST % "Connection lost")
    with Server("--port", f"tcp:{server.port}:interface=127.0.0.1") as again:
        tab.click("reconnect")
        tab.click("toggle")
        tab.wait(textIs("state", "Connected"))
        again.end()
        tab.wait(textIs("state", "Connection lost"))
        tab.wait(textIs("toggle", "Cancel"))
        tab.click("toggle")
        tab.wait(textIs("state", "Disconnected"))
        tab.wait(LAST % "No further tries")
        assert tab.evaluate(textIs("next", ""))


def test_closed(tab: Tab, server: Server) -> None:
    """
    An orderly close by the server is shown as one, and the page does not reconnect.
    """
    connect(tab)
    say(tab, "kill")
    tab.wait(textIs("state", "Closed by the server"))
    tab.wait(textIs("toggle", "Connect"))
    closing_ = lines(tab, "system", 3)[-1]
    if isinstance(tab, ChromiumTab):
        assert closing_ == "Closed by the server (code 1000)"
    else:
        assert closing_ == "Closed by the server"
    tab.click("toggle")
    tab.wait(textIs("state", "Connected"))


def test_shutdown(tab: Tab, server: Server) -> None:
    """
    A stopped server sends a good-bye, and the page shows the reason.
    """
    connect(tab)
    server.end(signal.SIGTERM)
    if isinstance(tab, PhantomTab):
        # It does not know how a connection ended, and the server is no longer there to ask.
        tab.wait(textIs("state", "Connection lost"))
    else:
        tab.wait(textIs("state", "Closed by the server"))
        closed = lines(tab, "system", 3)[-1]
        assert closed == "Closed by the server (code 1001, “the server is going down”)"


@pytest.mark.parametrize("tab", ["chromium"], indirect=True)
def test_backOff(tab: Tab, server: Server) -> None:
    """
    The pauses between tries double up to half a minute, minus a random part.
    """
    assert isinstance(tab, ChromiumTab)
    tab.page.clock.install()
    tab.page.reload()
    connect(tab)
    server.end()
    delays: list[float] = []
    while len(delays) < 8:
        tab.wait(textIs("state", "Connection lost"))
        said = [re.match(r"Next try in ([\d.]+) s", line) for line in lines(tab, "system", 4)]
        delays = [float(match[1]) for match in said if match]
        tab.page.clock.run_for(31_000)
        tab.wait(f"({LINES % 'system'}).length >= {3 + 3 * len(delays)}")
    tab.wait(textIs("state", "Connection lost"))
    tab.click("retry")
    tab.wait(f"({LINES % 'system'}).length >= {6 + 3 * len(delays)}")
    for number, delay in enumerate(delays):
        longest = min(30, 2**number)
        assert longest / 2 - 0.1 <= delay <= longest
    assert any(a != b for a, b in pairwise(delays[-3:]))


def test_broadcast(browser: Browser, server: Server) -> None:
    """
    Chromium, PhantomJS and a client of Hixie-75 get the same messages in the same order.
    """
    phantomCommand()
    with ExitStack() as stack:
        new = stack.enter_context(closing(ChromiumTab(browser, console(server))))
        connect(new, 1)
        old = stack.enter_context(closing(PhantomTab(console(server))))
        connect(old, 1)
        oldest = stack.enter_context(closing(Hixie75(server.port, "/broadcast")))
        names = [joined(line) for line in lines(new, "received", 3)]
        say(new, "from the new")
        oldest.waitFor(2)
        say(old, MARKUP)
        oldest.waitFor(3)
        oldest.send("grüße 🚀")
        seen = lines(new, "received", 6)
        assert seen[3:] == [
            f"{names[0]}: from the new",
            f"{names[1]}: {MARKUP}",
            f"{names[2]}: grüße 🚀",
        ]
        assert lines(old, "received", 5) == seen[1:]
        assert oldest.waitFor(4) == seen[2:]
        for name in ("hixie-75", "hixie-76", "rfc6455"):
            number = f"document.querySelector('#dialect-{name} .number').textContent"
            new.wait(f"{number} === '1'")
            old.wait(f"{number} === '1'")
        assertGood(new)
        assertGood(old)


def test_tls(browser: Browser) -> None:
    """
    With TLS the page loads, echoes, and shares one broadcast with clients without TLS.
    """
    with ExitStack() as stack:
        server = stack.enter_context(Server(secure=True))
        # The certificate is our own.
        page = ChromiumTab(browser, console(server), ignore_https_errors=True)
        tab = stack.enter_context(closing(page))
        assert tab.evaluate("location.protocol") == "https:"
        assert tab.evaluate("performance.getEntries()[0].nextHopProtocol") == "http/1.1"
        connect(tab)
        say(tab, "grüße 🚀")
        assert lines(tab, "received", 1) == ["grüße 🚀"]
        tab.wait(textIs("dialect", tab.dialect))
        tab.click("clear")
        tab.click("toggle")
        tab.wait(textIs("state", "Disconnected"))
        connect(tab, 1)
        oldest = stack.enter_context(closing(Hixie75(server.port, "/broadcast")))
        names = [joined(line) for line in lines(tab, "received", 2)]
        say(tab, "by TLS")
        oldest.waitFor(2)
        oldest.send("without")
        seen = lines(tab, "received", 4)
        assert seen[2:] == [f"{names[0]}: by TLS", f"{names[1]}: without"]
        assert oldest.waitFor(3) == seen[1:]
        tab.wait(textIs("total", "2"))
        assertGood(tab)


def refusal(tab: Tab) -> str:
    """
    Try to connect, and return what the page says about the refusal.
    """
    before = len(tab.evaluate(LINES % "system"))
    tab.click("toggle")
    said = lines(tab, "system", before + 2)[-1]
    assert tab.evaluate(textIs("state", "Could not connect"))
    assert tab.evaluate(textIs("toggle", "Connect"))
    return said


def fill(tab: Tab, name: str, text: str) -> None:
    """
    Replace the text of a field, once the page is complete.
    """
    tab.wait("document.querySelectorAll('.preset').length > 0")
    tab.evaluate(f"(document.getElementById({name!r}).value = '')")
    tab.click(name)
    tab.type(text)


def test_refused(tab: Tab) -> None:
    """
    The page shows why the server refused a handshake, and does not try again.
    """
    with Server("--route", "/chat=echo", "--origin", "http://other.example") as strict:
        tab.open(console(strict))
        tab.wait("document.querySelectorAll('.preset').length === 1")
        said = refusal(tab)
        assert "The server refused it: 403, " in said
        assert "rigin" in said
        tab.wait(textIs("state", "Could not connect"))
    with Server("--route", "/chat=echo") as routed:
        tab.open(console(routed))
        fill(tab, "path", "/nowhere")
        assert "The server refused it: 404, nothing answers here." in refusal(tab)
        tab.wait("document.getElementById('events').textContent.indexOf('refused') === 0")
        events = tab.evaluate("document.getElementById('events').textContent")
        assert "requests that were refused, by HTTP status" in events
        assert "refused 4041" in events
        assert tab.evaluate("document.getElementById('events-none').offsetHeight") == 0
        routed.end()
        assert "The server does not answer plain HTTP either." in refusal(tab)
    # Browsers complain about a refused handshake.
    tab.forgetProblems("WebSocket connection to .* failed|Unexpected response code")


def test_notPossible(browser: Browser, server: Server) -> None:
    """
    URLs that a browser does not even try are reported, too.
    """
    with closing(ChromiumTab(browser, console(server))) as tab:
        fill(tab, "subprotocol", "two words")
        tab.click("toggle")
        assert lines(tab, "system", 2)[-1].startswith("This cannot be connected to: ")
        assert tab.evaluate(textIs("state", "Disconnected"))
        fill(tab, "subprotocol", "")
        for typed, why in (
            ("ftp://example.com/", "An address begins with ws:, wss:, http: or https:."),
            ("ws:///echo", "The address has no host."),
        ):
            fill(tab, "path", typed)
            assert tab.evaluate(textIs("path-hint", why))
            tab.click("toggle")
            tab.wait(f"/{why[:20]}/.test(document.getElementById('log').textContent)")
        assertGood(tab)


def test_ownAddress(tab: Tab, server: Server) -> None:
    """
    A whole URL of this server is understood, whatever its scheme.
    """
    tab.wait("document.querySelectorAll('.preset').length === 2")
    for scheme in ("ws", "http", "WS"):
        fill(tab, "path", server.url("/echo?x=1#y", scheme))
        assert tab.evaluate("document.getElementById('path-hint').offsetHeight") == 0
        tab.click("toggle")
        tab.wait(textIs("dialect", tab.dialect))
        assert f"Connecting to {server.url('/echo?x=1')}" in lines(tab, "system", 1)
        tab.click("toggle")
        tab.wait(textIs("state", "Disconnected"))


def test_otherServer(tab: Tab, server: Server) -> None:
    """
    The page connects to another server, and says that it knows less about it.
    """
    with Server() as other:
        netloc = f"127.0.0.1:{other.port}"
        for typed in (other.url("/echo"), f"{netloc}/echo"):
            fill(tab, "path", typed)
            hint = tab.evaluate("document.getElementById('path-hint').textContent")
            assert hint.startswith(f"Another server: {netloc}.")
            tab.click("toggle")
            tab.wait(textIs("state", "Connected"))
            assert tab.evaluate(textIs("dialect", "not known"))
            say(tab, "hello")
            lines(tab, "received", 1)
            tab.click("clear")
            tab.click("toggle")
            tab.wait(textIs("state", "Disconnected"))
        assert "console=" not in other.log
        other.end()
        assert "only the other server knows" in refusal(tab)
        if isinstance(tab, ChromiumTab):
            tab.hosts.discard(netloc)


def test_remembered(tab: Tab) -> None:
    """
    The last path is remembered; at first, the first offered path is used.
    """
    tab.wait("document.querySelectorAll('.preset').length === 2")
    path = "document.getElementById('path').value"
    assert tab.evaluate(path) == "/echo"
    fill(tab, "path", "/broadcast?x=1")
    tab.click("toggle")
    tab.wait(textIs("state", "Connected"))
    tab.click("toggle")
    tab.wait(textIs("state", "Disconnected"))
    tab.reload()
    tab.wait("document.querySelectorAll('.preset').length === 2")
    assert tab.evaluate(path) == "/broadcast?x=1"


def test_noStorage(browser: Browser, server: Server) -> None:
    """
    If nothing can be stored, the page still works.
    """
    script = "Object.defineProperty(window, 'localStorage', {get() { throw new Error('no'); }});"
    with closing(ChromiumTab(browser, console(server), script)) as tab:
        connect(tab)
        assertGood(tab)


def test_presence(tab: Tab) -> None:
    """
    The page requests a room's entries as JSON if asked to, and shows who is there.
    """
    with Server("--service", "tests.interop.services.Entries", "--log-connections") as rooms:
        tab.open(console(rooms))
        fill(tab, "path", "/")
        tab.click("room")
        tab.click("toggle")
        tab.wait(textIs("members", "2: one, two"))
        rooms.waitForLog(r"opened: \S+ /\?format=json&presence=1&console=")
        tab.click("toggle")
        tab.wait(textIs("state", "Disconnected"))
        tab.click("room")
        tab.click("toggle")
        rooms.waitForLog(r"opened: \S+ /\?console=")
        tab.wait(textIs("state", "Connected"))
        tab.wait(textIs("members", "1: someone"))


def test_resume(tab: Tab) -> None:
    """
    After a reconnection the page requests what it missed, and misses nothing.
    """
    with Server("--service", "tests.interop.services.Entries", "--log-connections") as rooms:
        tab.open(console(rooms))
        fill(tab, "path", "/room?last=5")
        tab.click("toggle")
        tab.wait(textIs("state", "Connected"))
        say(tab, "one")
        say(tab, "abort")
        tab.wait("/since=2/.test(document.getElementById('log').textContent)")
        tab.wait(textIs("state", "Connected"))
        say(tab, "two")
        entries = [json.loads(line) for line in lines(tab, "received", 4)]
        assert [entry["id"] for entry in entries] == ["1", "2", "3", "4"]
        assert [entry["text"] for entry in entries] == [None, "one", "abort", "two"]
        assert tab.evaluate(textIs("members", "1: someone"))
        rooms.waitForLog(r"opened: \S+ /room\?since=2&console=")
        tab.click("ping")
        tab.wait("/ ms$/.test(document.getElementById('roundtrip').textContent)")
        tab.click("toggle")
        tab.wait(textIs("state", "Disconnected"))
        tab.click("toggle")
        rooms.waitForLog(r"(?s)(opened: \S+ /room\?last=5&console=.*){2}")
        tab.wait(textIs("state", "Connected"))


def test_noWebSocket(browser: Browser, server: Server) -> None:
    """
    A browser without WebSockets gets an explanation, and the numbers of the server.
    """
    script = "delete window.WebSocket; delete window.MozWebSocket;"
    with closing(ChromiumTab(browser, console(server), script)) as tab:
        assert "no WebSocket" in tab.page.inner_text("[role=alert]")
        assert tab.page.is_disabled("#toggle")
        tab.wait(textIs("total", "0"))
        assertGood(tab)
