"""The scripts that the documentation prints for pages, in two browsers."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from websockets.sync.client import connect

from tests.blocks import Block, blocks

from .consolepage import Tab
from .server import Server

PAGES = [block for block in blocks("js") if "new WebSocket(" in block.text]
FOLLOWING = [block for block in PAGES if "since=" in block.text]
SCRIPTS = [block for block in PAGES if block not in FOLLOWING]


def scriptFor(server: Server, block: Block) -> str:
    """
    The script of a page, for this server.
    """
    assert "HOST:3400" in block.text
    return block.text.replace("HOST:3400", urlsplit(server.url("/", "http")).netloc)


@pytest.mark.parametrize("block", SCRIPTS, ids=str)
def test_script(tab: Tab, server: Server, block: Block) -> None:
    """A script sends its message, and shows the answer."""
    script = scriptFor(server, block)
    alert = "window.alert = function (text) { window.said = text; };"
    tab.evaluate(f"(function () {{ {alert} {script} }}())")
    tab.wait("typeof said === 'string'")
    assert tab.evaluate("said") in script.replace("\\r\\n", "\r\n")


@pytest.mark.parametrize("block", FOLLOWING, ids=str)
def test_following(tab: Tab, block: Block) -> None:
    """A script comes back to its room, and misses nothing."""
    with Server("--service", "tests.interop.services.gathering") as rooms:
        tab.open(rooms.url("/console", "http"))
        script = scriptFor(rooms, block)
        console = "var console = {log: function (text) { heard.push(text); }};"
        tab.evaluate(f"(function () {{ window.heard = []; {console} {script} }}())")
        tab.wait("heard.length == 1")
        with connect(rooms.url("/broadcast/red")) as speaker:
            for number in range(3):
                speaker.send(f"before {number}")
                tab.wait(f"heard.indexOf('message before {number}') > 0")
                # All others are sent away, and are not there for what follows.
                speaker.send("go")
                speaker.send(f"after {number}")
                tab.wait(f"heard.indexOf('message after {number}') > 0")
            heard = [text for text in tab.evaluate("heard") if text.startswith("message ")]
        said = [text for n in range(3) for text in (f"before {n}", "go", f"after {n}")]
        assert heard == [f"message {text}" for text in said]
