"""PhantomJS 1.9.8 as a browser to drive like Chromium, with its built-in WebDriver."""

from __future__ import annotations

import base64
import json
import re
import socket
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from .phantom import phantomCommand
from .server import Child

KEYS = {
    "Tab": "\ue004",
    "Enter": "\ue007",
    "Shift": "\ue008",
    "Space": "\ue00d",
    "ArrowUp": "\ue013",
    "ArrowDown": "\ue015",
}
WAIT = """
var done = arguments[0], end = new Date().getTime() + %d;
(function look() {
    var found = !!(%s);
    if (found || new Date().getTime() > end) {
        done(found);
    } else {
        setTimeout(look, 20);
    }
}());
"""


def freePort() -> int:
    """
    A port of the loopback interface on which nothing listens.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class PhantomTab:
    """
    A PhantomJS process with one page, and what went wrong in it.

    @ivar dialect: the dialect that this browser speaks.
    """

    dialect = "hixie-76"

    def __init__(self, url: str, width: int = 1024, height: int = 768) -> None:
        # Messages that are no problem.
        self._known = ""
        port = freePort()
        # In the home of the user it would remember what earlier tests stored, for each port.
        self._home = TemporaryDirectory(prefix="phantomjs-")
        command = ("env", f"HOME={self._home.name}", *phantomCommand())
        self._process = Child([*command, f"--webdriver=127.0.0.1:{port}"])
        self._opener = build_opener(ProxyHandler({}))
        self._base = f"http://127.0.0.1:{port}/session"
        try:
            self._process.wait(self._isRunning, "a running WebDriver", 15)
            session = self._call("", {"desiredCapabilities": {}})
            self._base += f"/{session['sessionId']}"
            self._call("/window/current/size", {"width": width, "height": height})
            self._call("/timeouts", {"type": "script", "ms": 120_000})
            self._call("/url", {"url": url})
        except BaseException:
            self.close()
            raise

    def _isRunning(self) -> bool | None:
        return "running on port" in "".join(self._process.lines) or None

    def _call(self, path: str, data: dict[str, Any] | None = None) -> Any:
        request = Request(
            self._base + path,
            data=None if data is None else json.dumps(data).encode(),
            headers={"Content-Type": "application/json"},
        )
        with self._opener.open(request, timeout=180) as response:
            return json.loads(response.read() or b"null")

    @property
    def hosts(self) -> set[str]:
        """
        The hosts, with their ports, that the page loaded something from.
        """
        (entry,) = self._call("/log", {"type": "har"})["value"]
        requests = json.loads(entry["message"])["log"]["entries"]
        return {urlsplit(request["request"]["url"]).netloc for request in requests}

    def problems(self) -> list[str]:
        """
        What the browser complained about.
        """
        messages = [entry["message"] for entry in self._call("/log", {"type": "browser"})["value"]]
        return [text for text in messages if not (self._known and re.search(self._known, text))]

    def forgetProblems(self, pattern: str) -> None:
        """
        Drop the complaints that match a regular expression.
        """
        self._known = pattern

    def evaluate(self, expression: str) -> Any:
        """
        The value of an expression in the page.
        """
        return self._call("/execute", {"script": f"return ({expression});", "args": []})["value"]

    def wait(self, condition: str, timeout: float = 15) -> None:
        """
        Wait until an expression is true.
        """
        script = WAIT % (timeout * 1000, condition)
        if not self._call("/execute_async", {"script": script, "args": []})["value"]:
            pytest.fail(f"{condition}: not within {timeout} s")

    def click(self, name: str) -> None:
        """
        Click the element of that ID.
        """
        found = self._call("/element", {"using": "id", "value": name})["value"]
        self._call(f"/element/{found['ELEMENT']}/click", {})

    def press(self, *keys: str) -> None:
        """
        Press keys, by their names, such as C{Enter} or C{Shift+Enter}.
        """
        for key in keys:
            *held, last = [KEYS[name] for name in key.split("+")]
            # A held key is released when it is sent again.
            self._call("/keys", {"value": [*held, last, *held]})

    def type(self, text: str) -> None:
        """
        Type a text into the focused element.
        """
        self._call("/keys", {"value": list(text)})

    def open(self, url: str) -> None:
        """
        Open another page.
        """
        self._call("/url", {"url": "about:blank"})
        # Drops what was loaded before.
        self._call("/log", {"type": "har"})
        self._call("/url", {"url": url})

    def reload(self) -> None:
        """
        Load the page again.
        """
        self._call("/refresh", {})

    def screenshot(self, path: Path) -> None:
        """
        Save a picture of the whole page.
        """
        path.write_bytes(base64.b64decode(self._call("/screenshot")["value"]))

    def close(self) -> None:
        """
        End the process.
        """
        self._process.end()
        self._home.cleanup()
