"""PhantomJS 1.9.8, a browser of 2014 whose WebSockets are those of Hixie-76."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NotRequired, TypedDict

import pytest

from .server import PROJECT, Child

BROWSER = PROJECT / ".peers" / "phantomjs" / "phantomjs"
PRELOAD = BROWSER.with_name("noopenssl.so")
PAGES = Path(__file__).parent / "pages"


def phantomCommand() -> list[str]:
    """
    The command that runs PhantomJS. Where it is not installed, the test is skipped, or
    fails if the environment variable CI is set.
    """
    if not (BROWSER.exists() and PRELOAD.exists()):
        message = "PhantomJS is missing, install it with: tests/interop/install-phantomjs"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return ["env", f"LD_PRELOAD={PRELOAD}", str(BROWSER)]


class Event(NamedTuple):
    """
    An event of a script: the time by the clock of the browser, in seconds.
    """

    kind: str
    at: float
    data: str


class Step(TypedDict):
    """
    After receiving C{after} messages: send the texts, then close.
    """

    after: int
    send: NotRequired[list[str]]
    close: NotRequired[bool]


class Phantom(Child):
    """
    A PhantomJS process that runs one of the scripts in C{pages}, and its events.
    """

    def __init__(
        self,
        script: str,
        *,
        page: str = "",
        url: str = "",
        subprotocol: str = "",
        steps: Sequence[Step] = (),
    ) -> None:
        self.events: list[Event] = []
        plan = {"page": page, "url": url, "subprotocol": subprotocol, "steps": list(steps)}
        super().__init__([*phantomCommand(), str(PAGES / script)], stdin=json.dumps(plan))

    def collected(self, line: str) -> None:
        super().collected(line)
        if line.startswith("{"):
            self.events.append(Event(**json.loads(line)))

    def waitFor(self, kind: str, count: int = 1, timeout: float = 15) -> list[str]:
        """
        Wait for that many events of a kind, and return the data of all of them.
        """

        def find() -> list[str] | None:
            found = [event.data for event in self.events if event.kind == kind]
            if len(found) >= count:
                return found
            if self.events and self.events[-1].kind in ("failure", "close"):
                pytest.fail(f"Instead of {count} times {kind!r}: {self.events[-1]}")
            return None

        return self.wait(find, f"{count} times {kind!r}", timeout)

    def at(self, kind: str) -> float:
        """
        The time of the first event of a kind.
        """
        return next(event.at for event in self.events if event.kind == kind)
