"""The console in two browsers, Chromium and PhantomJS 1.9.8, by mouse and by keyboard."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

import pytest

from .chromium import ChromiumTab, chromium
from .ghost import PhantomTab
from .phantom import phantomCommand
from .server import Server
from .test_phantomjs import Hixie75, joined

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Tab: TypeAlias = ChromiumTab | PhantomTab

MARKUP = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
LINES = (
    "[].map.call(document.querySelectorAll('#log .line.%s .text'),"
    " function (line) { return line.textContent; })"
)
LAST = "/system %s[^.]*$/.test(document.getElementById('log').lastChild.textContent)"
CHART = "document.getElementById('%s-chart').toDataURL()"

# The contrast of every text in the page with what is behind it, by WCAG 2.1.
CONTRASTS = """(() => {
    const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const luminance = (colour) => channels(colour).slice(0, 3).map((channel) => {
        const part = channel / 255;
        return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    }).reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
    const behind = (element) => {
        const colour = getComputedStyle(element).backgroundColor;
        return channels(colour)[3] === 0 ? behind(element.parentElement) : colour;
    };
    return [...document.querySelectorAll('body *')].filter((element) =>
        element.getClientRects().length && !element.disabled &&
        [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())
    ).map((element) => {
        const pair = [getComputedStyle(element).color, behind(element)].map(luminance);
        const contrast = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
        return [contrast, element.textContent];
    });
})()"""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def console(server: Server) -> str:
    """
    The address of the page.
    """
    return server.url("/console", "http")


def assertGood(tab: Tab) -> None:
    """
    No script failed, nothing broke the policy, and nobody else was asked for anything.
    """
    assert tab.problems() == []
    assert tab.hosts == {urlsplit(tab.evaluate("location.href")).netloc}


@pytest.fixture(params=["chromium", "phantomjs"])
def tab(request: pytest.FixtureRequest, server: Server) -> Iterator[Tab]:
    """
    The console in one browser after the other.
    """
    if request.param == "chromium":
        made: Tab = ChromiumTab(request.getfixturevalue("browser"), console(server))
    else:
        phantomCommand()
        made = PhantomTab(console(server))
    with closing(made):
        yield made
        assertGood(made)


def textIs(name: str, text: str) -> str:
    """
    The condition that the element of an ID has this text.
    """
    return f"document.getElementById({name!r}).textContent === {text!r}"


def focused(name: str) -> str:
    """
    The condition that the element of an ID has the focus.
    """
    return f"document.activeElement.id === {name!r}"


def connect(tab: Tab, preset: int = 0) -> None:
    """
    Connect to one of the paths that are offered.
    """
    presets = "document.querySelectorAll('.preset')"
    tab.wait(f"{presets}.length > {preset}")
    tab.evaluate(f"{presets}[{preset}].click()")
    tab.click("toggle")
    tab.wait(textIs("state", "Connected"))
    tab.wait(focused("text"))


def say(tab: Tab, text: str) -> None:
    """
    Type a message, and Enter.
    """
    tab.click("text")
    tab.type(text)
    tab.press("Enter")


def lines(tab: Tab, kind: str, count: int) -> list[str]:
    """
    Wait for that many lines of a kind in the log, and return all of them.
    """
    tab.wait(f"({LINES % kind}).length >= {count}")
    found: list[str] = tab.evaluate(LINES % kind)
    return found


def test_echo(tab: Tab) -> None:
    """
    A message goes out by Enter and comes back; the page tells the dialect, and disconnects.
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
    A message that looks like markup is shown as it is, and does nothing.
    """
    connect(tab)
    title = tab.evaluate("document.title")
    say(tab, MARKUP)
    assert lines(tab, "received", 1) == lines(tab, "sent", 1) == [MARKUP]
    assert tab.evaluate("document.querySelectorAll('img, #log script, #log .text *').length") == 0
    assert tab.evaluate("document.title") == title


def test_chart(tab: Tab, server: Server) -> None:
    """
    The numbers and charts of the server move with what happens there.
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
    All can be done with the keyboard alone, in the order of the page, and the focus shows.
    """

    def seek(name: str) -> None:
        for _ in range(20):
            if tab.evaluate(focused(name)):
                break
            tab.press("Tab")
        else:
            pytest.fail(f"Tab does not lead to {name}")
        # PhantomJS has no window, so its page never has the focus that styles tell of.
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
    for name in ("reconnect", "subprotocol", "filter", "indent", "copy", "export", "clear"):
        seek(name)
    for name in ("log", "text", "send", "format"):
        seek(name)


def test_flood(tab: Tab, server: Server) -> None:
    """
    However much comes, the newest lines are shown and the page stays alive.
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
    The page comes back by itself to a server that comes back, but not after Disconnect.
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
    A lost connection stays lost if the page is not to reconnect, and a retry can be cancelled.
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
    A connection that the server closes in good order is shown so, and does not come back.
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
    A server that is stopped says good-bye, and the page why.
    """
    connect(tab)
    server.end(signal.SIGTERM)
    if isinstance(tab, PhantomTab):
        # It does not know how a connection ended, and the server is no longer there to say it.
        tab.wait(textIs("state", "Connection lost"))
    else:
        tab.wait(textIs("state", "Closed by the server"))
        closed = lines(tab, "system", 3)[-1]
        assert closed == "Closed by the server (code 1001, “the server is going down”)"


@pytest.mark.parametrize("tab", ["chromium"], indirect=True)
def test_backOff(tab: Tab, server: Server) -> None:
    """
    The pauses between tries double up to half a minute, less a random part.
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
    Chromium, PhantomJS and a client of Hixie-75 see the same messages in the same order.
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
    By TLS the page loads, echoes, and is in one broadcast with those that come without TLS.
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


def test_refused(browser: Browser) -> None:
    """
    A connection that never was is not tried again; one that cannot be is told as well.
    """
    with (
        Server("--dialects", "hixie-76") as server,
        closing(ChromiumTab(browser, console(server))) as tab,
    ):
        tab.click("toggle")
        tab.wait("/Could not connect/.test(document.getElementById('log').textContent)")
        assert tab.evaluate(textIs("state", "Could not connect"))
        tab.page.fill("#subprotocol", "two words")
        tab.click("toggle")
        assert lines(tab, "system", 4)[-1].startswith("This cannot be connected to: ")
        assert tab.evaluate(textIs("state", "Disconnected"))


def test_noWebSocket(browser: Browser, server: Server) -> None:
    """
    A browser without WebSockets is told so, and sees the numbers of the server.
    """
    script = "delete window.WebSocket; delete window.MozWebSocket;"
    with closing(ChromiumTab(browser, console(server), script)) as tab:
        assert "no WebSocket" in tab.page.inner_text("[role=alert]")
        assert tab.page.is_disabled("#toggle")
        tab.wait(textIs("total", "0"))
        assertGood(tab)


def test_binary(browser: Browser, server: Server) -> None:
    """
    Bytes that come back are told by their number.
    """
    script = """
        WebSocket = class extends WebSocket {
            constructor(...args) { super(...args); window.last = this; }
        };
    """
    with closing(ChromiumTab(browser, console(server), script)) as tab:
        connect(tab)
        tab.evaluate("last.send(new Uint8Array(1234))")
        assert lines(tab, "received", 1) == [f"binary, 1\u202f234 bytes: {'00 ' * 64}…"]
        assertGood(tab)


@pytest.mark.parametrize(
    ("name", "width", "height", "scheme"),
    [
        ("desktop-light", 1280, 900, "light"),
        ("desktop-dark", 1280, 900, "dark"),
        ("tablet-light", 1024, 768, "light"),
        ("phone-light", 360, 740, "light"),
        ("phone-dark", 360, 740, "dark"),
    ],
)
def test_looks(
    browser: Browser,
    server: Server,
    tmp_path: Path,
    name: str,
    width: int,
    height: int,
    scheme: str,
) -> None:
    """
    Nothing is wider than the screen, and all text can be read by those who see less well.
    """
    options: dict[str, Any] = {
        "viewport": {"width": width, "height": height},
        "color_scheme": scheme,
        "device_scale_factor": 2,
        "has_touch": width < 500,
        "is_mobile": width < 500,
    }
    with closing(ChromiumTab(browser, console(server), **options)) as tab:
        tab.click("toggle")
        tab.wait(textIs("state", "Connected"))
        for text in ("hello", "a long line " * 40, "x" * 500, MARKUP):
            say(tab, text)
        lines(tab, "received", 4)
        tab.wait(textIs("messages-received", "4"))
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        assert [found for found in tab.evaluate(CONTRASTS) if found[0] < 4.5] == []
        dark = tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 24, 26)"
        assert dark == (scheme == "dark")
        tab.screenshot(tmp_path / f"{name}.png")
        assertGood(tab)


def test_oldLooks(server: Server, tmp_path: Path) -> None:
    """
    In PhantomJS the two columns stand side by side, and nothing is wider than the screen.
    """
    phantomCommand()
    with closing(PhantomTab(console(server))) as tab:
        connect(tab)
        say(tab, "x" * 500)
        lines(tab, "received", 1)
        assert tab.evaluate("document.documentElement.scrollWidth") == 1024
        tops = [
            tab.evaluate(f"document.querySelector('.{column}').getBoundingClientRect().top")
            for column in ("wide", "narrow")
        ]
        assert tops[0] == tops[1]
        tab.screenshot(tmp_path / "phantomjs.png")
        assertGood(tab)
