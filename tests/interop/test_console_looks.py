"""How the console looks, on screens of several sizes and in two browsers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .chromium import ChromiumTab
from .consolepage import MARKUP, assertGood, connect, console, lines, say, textIs
from .ghost import PhantomTab
from .phantom import phantomCommand
from .server import PROJECT, Server, missing

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# The contrast of every text in the page with its background, by WCAG 2.1.
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


AXE = PROJECT / ".peers" / "node" / "node_modules" / "axe-core" / "axe.min.js"
# The findings of axe-core: the rule, and the elements that break it.
FINDINGS = """async () => (await axe.run(document, {resultTypes: ['violations']})).violations.map(
    (found) => found.id + ': ' + found.nodes.map((node) => node.html).join(' '))"""
# By width and height.
SCREENS = {
    "desktop": (1280, 900),
    "small-desktop": (1280, 560),
    "tablet": (1024, 768),
    "phone": (375, 667),
    "small-phone": (320, 568),
}
IN_VIEW = """(function (box) {
    return box.top >= 0 && box.bottom <= window.innerHeight && window.scrollY === 0;
}(document.getElementById('composer').getBoundingClientRect()))"""


@pytest.fixture(scope="module")
def strict() -> Iterator[Server]:
    """
    A server that refuses a lot, with and without TLS.
    """
    with Server("--route", "/echo=echo", "--max-message", "2000", secure=True) as server:
        yield server


@pytest.fixture(
    params=[
        *(f"http-{name}-{scheme}" for name in SCREENS for scheme in ("light", "dark")),
        *("https-small-desktop-dark", "https-phone-light"),
    ]
)
def screen(request: pytest.FixtureRequest, browser: Browser, strict: Server) -> Iterator[Screen]:
    """
    The console on one screen after the other.
    """
    isSecure = request.param.startswith("https")
    url = console(strict) if isSecure else f"http://127.0.0.1:{strict.port}/console"
    name, _, scheme = request.param.partition("-")[2].rpartition("-")
    width, height = SCREENS[name]
    options: dict[str, Any] = {
        "viewport": {"width": width, "height": height},
        "color_scheme": scheme,
        "device_scale_factor": 2,
        "has_touch": width < 500,
        "is_mobile": width < 500,
        "ignore_https_errors": True,
    }
    with closing(ChromiumTab(browser, url, **options)) as tab:
        tab.wait("document.querySelectorAll('.preset').length === 1")
        yield Screen(tab, request.param, scheme, width)
        assertGood(tab)


class Screen:
    """
    The console on a screen.
    """

    def __init__(self, tab: ChromiumTab, name: str, scheme: str, width: int) -> None:
        self.tab = tab
        self._name = name
        self._dark = scheme == "dark"
        self._width = width

    def check(self, state: str, folder: Path) -> None:
        """
        Check that nothing is wider than the screen, that all text is readable, and that axe-core
        finds nothing. Save a picture.
        """
        self.tab.page.screenshot(path=folder / f"{self._name}-{state}.png")
        self.tab.screenshot(folder / f"{self._name}-{state}-all.png")
        assert self.tab.evaluate("document.documentElement.scrollWidth") == self._width
        assert [found for found in self.tab.evaluate(CONTRASTS) if found[0] < 4.5] == []
        background = self.tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(17, 24, 26)") == self._dark
        if AXE.exists():
            self.tab.page.evaluate(AXE.read_text("utf-8"))
            assert self.tab.page.evaluate(FINDINGS) == []


@pytest.fixture
def axe() -> None:
    """
    Needs axe-core.
    """
    if not AXE.exists():
        missing("axe-core is missing, install it with: tests/interop/install-node-peers")


def test_looks(screen: Screen, axe: None, tmp_path: Path) -> None:
    """
    In all its states the page fits on the screen, and the composer is visible without scrolling.
    """
    tab = screen.tab
    assert tab.evaluate(IN_VIEW)
    screen.check("idle", tmp_path)
    tab.click("toggle")
    tab.wait(textIs("state", "Connected"))
    for text in ("hello", "a long line " * 40, "x" * 500, MARKUP, '{"a":[1,{"b":null}]}', ""):
        tab.page.fill("#text", text)
        tab.press("Enter")
    lines(tab, "received", 6)
    tab.click("ping")
    tab.wait("/ ms$/.test(document.getElementById('roundtrip').textContent)")
    tab.click("indent")
    assert tab.evaluate(IN_VIEW)
    screen.check("open", tmp_path)
    tab.page.fill("#filter", "hello")
    tab.page.fill("#text", "several\nlines\nof\ntext")
    assert tab.evaluate(IN_VIEW)
    screen.check("filtered", tmp_path)


def test_looksOfTrouble(screen: Screen, axe: None, tmp_path: Path) -> None:
    """
    The same holds after errors, and with everything opened that can be opened.
    """
    tab = screen.tab
    tab.page.fill("#path", "/nowhere")
    tab.click("toggle")
    tab.wait("/404/.test(document.getElementById('log').textContent)")
    say(tab, "not sent")
    tab.wait("document.getElementById('events').childNodes.length > 0")
    assert tab.evaluate(IN_VIEW)
    screen.check("refused", tmp_path)
    tab.page.fill("#path", "/echo")
    tab.page.fill("#text", "")
    tab.click("toggle")
    tab.wait(textIs("state", "Connected"))
    tab.page.fill("#text", "x" * 2001)
    tab.press("Enter")
    tab.wait(textIs("state", "Closed by the server"))
    if tab.page.is_visible("#options"):
        tab.click("options")
    tab.page.fill("#path", "ws://other.example/path")
    screen.check("closed", tmp_path)
    tab.forgetProblems("WebSocket connection to .* failed")


def test_oldLooks(server: Server, tmp_path: Path) -> None:
    """
    In PhantomJS the two columns are side by side, nothing is wider than the screen, and the
    composer is visible.
    """
    phantomCommand()
    with closing(PhantomTab(console(server))) as tab:
        connect(tab)
        say(tab, "x" * 500)
        say(tab, '{"a":[1,{"b":null}]}')
        lines(tab, "received", 2)
        tab.click("indent")
        assert tab.evaluate("document.documentElement.scrollWidth") == 1024
        tops = [
            tab.evaluate(f"document.querySelector('.{column}').getBoundingClientRect().top")
            for column in ("wide", "narrow")
        ]
        assert tops[0] == tops[1]
        bottom = "document.getElementById('composer').getBoundingClientRect().bottom"
        assert tab.evaluate(bottom) < 768
        tab.screenshot(tmp_path / "phantomjs.png")
        assertGood(tab)


def test_oldPhone(server: Server, tmp_path: Path) -> None:
    """
    A small screen with an old browser shows the composer, too.
    """
    phantomCommand()
    with closing(PhantomTab(console(server), 375, 667)) as tab:
        connect(tab)
        say(tab, "hello")
        lines(tab, "received", 1)
        bottom = "document.getElementById('composer').getBoundingClientRect().bottom"
        tab.screenshot(tmp_path / "phantomjs-phone.png")
        assert tab.evaluate("document.documentElement.scrollWidth") == 375
        assert tab.evaluate(bottom) <= 667
        assertGood(tab)


def test_favicon(browser: Browser, server: Server) -> None:
    """
    The page has an icon that browsers can show.
    """
    with closing(ChromiumTab(browser, console(server))) as tab:
        size = tab.page.evaluate("""async () => {
            const image = new Image();
            image.src = document.querySelector('link[rel=icon]').href;
            await image.decode();
            return [image.naturalWidth, image.naturalHeight];
        }""")
        assert size == [64, 64]
        assertGood(tab)
