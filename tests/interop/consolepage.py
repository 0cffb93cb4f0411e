"""The console page as the tests use it, in either browser."""

from __future__ import annotations

from typing import TypeAlias
from urllib.parse import urlsplit

from .chromium import ChromiumTab
from .ghost import PhantomTab
from .server import Server

Tab: TypeAlias = ChromiumTab | PhantomTab

MARKUP = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
LINES = (
    "[].map.call(document.querySelectorAll('#log .line.%s .text'),"
    " function (line) { return line.textContent; })"
)
LAST = "/system %s[^.]*$/.test(document.getElementById('log').lastChild.textContent)"


def console(server: Server) -> str:
    """
    The address of the page.
    """
    return server.url("/console", "http")


def assertGood(tab: Tab) -> None:
    """
    No script failed, nothing broke the policy, and no other server was contacted.
    """
    assert tab.problems() == []
    assert tab.hosts == {urlsplit(tab.evaluate("location.href")).netloc}


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
    Connect to one of the offered paths.
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
