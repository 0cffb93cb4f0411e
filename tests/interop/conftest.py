"""The console in two browsers, Chromium and PhantomJS 1.9.8."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from .chromium import ChromiumTab, chromium
from .consolepage import Tab, assertGood, console
from .ghost import PhantomTab
from .phantom import phantomCommand
from .server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


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
