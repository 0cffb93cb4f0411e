"""The scripts that the documentation prints for pages, in two browsers."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.blocks import Block, blocks

from .consolepage import Tab
from .server import Server

SCRIPTS = [block for block in blocks("js") if "new WebSocket(" in block.text]


@pytest.mark.parametrize("block", SCRIPTS, ids=str)
def test_script(tab: Tab, server: Server, block: Block) -> None:
    """A script sends its message, and shows the answer."""
    assert "HOST:3400" in block.text
    script = block.text.replace("HOST:3400", urlsplit(server.url("/", "http")).netloc)
    alert = "window.alert = function (text) { window.said = text; };"
    tab.evaluate(f"(function () {{ {alert} {script} }}())")
    tab.wait("typeof said === 'string'")
    assert tab.evaluate("said") in script.replace("\\r\\n", "\r\n")
