"""How the console looks, on screens of several sizes and in two browsers."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .chromium import ChromiumTab
from .consolepage import MARKUP, assertGood, connect, console, lines, say, textIs
from .ghost import PhantomTab
from .phantom import phantomCommand
from .server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

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
