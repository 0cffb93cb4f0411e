"""Chromium, a current browser, driven by playwright."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage

MISSING = (
    "Chromium or its driver is missing, install them with: "
    "apt-get install chromium; pip install playwright"
)
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """
    A Chromium with a new, empty profile. Where it is not installed, the test is skipped,
    or fails if the environment variable CI is set.
    """
    program = shutil.which("chromium") or shutil.which("chromium", path="/usr/bin")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        program = None
    if program is None:
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        try:
            yield browser
        finally:
            browser.close()


class ChromiumTab:
    """
    A page with a separate profile, and what went wrong in it.

    @ivar dialect: the dialect that this browser speaks.
    """

    dialect = "rfc6455"

    def __init__(self, browser: Browser, url: str, script: str = "", **options: Any) -> None:
        """
        @param script: runs before the scripts of the page.
        @param options: those of C{Browser.new_context}.
        """
        self.context: BrowserContext = browser.new_context(**options)
        self._problems: list[str] = []
        self.hosts: set[str] = set()
        self.page = self.context.new_page()
        self.page.on("console", self._consoleMessage)
        self.page.on("pageerror", lambda error: self._problems.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        self.page.on("websocket", lambda socket: self.hosts.add(urlsplit(socket.url).netloc))
        if script:
            self.page.add_init_script(script)
        self.page.goto(url)

    def _consoleMessage(self, message: ConsoleMessage) -> None:
        # The page itself also reports that a server is not there.
        if message.type in ("error", "warning") and "net::ERR_CONNECTION" not in message.text:
            self._problems.append(message.text)

    def problems(self) -> list[str]:
        """
        What the browser complained about.
        """
        return self._problems

    def evaluate(self, expression: str) -> Any:
        """
        The value of an expression in the page.
        """
        return self.page.evaluate(f"() => ({expression})")

    def wait(self, condition: str, timeout: float = 15) -> None:
        """
        Wait until an expression is true.
        """
        self.page.wait_for_function(f"() => ({condition})", timeout=timeout * 1000)

    def click(self, name: str) -> None:
        """
        Click the element of that ID.
        """
        self.page.click(f"#{name}")

    def press(self, *keys: str) -> None:
        """
        Press keys, by their names, such as C{Enter} or C{Shift+Enter}.
        """
        for key in keys:
            self.page.keyboard.press(key)

    def type(self, text: str) -> None:
        """
        Type a text into the focused element.
        """
        self.page.keyboard.type(text)

    def forgetProblems(self, pattern: str) -> None:
        """
        Drop the complaints that match a regular expression.
        """
        self._problems = [text for text in self._problems if not re.search(pattern, text)]

    def open(self, url: str) -> None:
        """
        Open another page.
        """
        self.page.goto("about:blank")
        self.hosts.clear()
        self.page.goto(url)

    def reload(self) -> None:
        """
        Load the page again.
        """
        self.page.reload()

    def screenshot(self, path: Path) -> None:
        """
        Save a picture of the whole page.
        """
        self.page.screenshot(path=path, full_page=True)

    def close(self) -> None:
        """
        Close the page.
        """
        self.context.close()
