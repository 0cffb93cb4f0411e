"""
An echoing client for the Autobahn TestSuite as a server, which runs the cases::

    python -m tests.interop.fuzzed ws://127.0.0.1:9001 [--compression] [--max-message BYTES]
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.python.failure import Failure

from txhixie import Settings, connect

# The name under which the results are reported.
AGENT = "txhixie"


class Echoing:
    """
    Sends every message back, unless it only listens.

    @ivar first: the first text received.
    @ivar lost: fires when the connection is gone.
    """

    first = ""

    def __init__(self, isQuiet: bool) -> None:
        self._isQuiet = isQuiet
        self.lost: Deferred[None] = Deferred()

    def negotiationStarted(self, transport: Any) -> None:
        self._transport = transport

    def negotiationFinished(self) -> None:
        pass

    def textMessageReceived(self, message: str) -> None:
        self.first = self.first or message
        if not self._isQuiet:
            self._transport.sendTextMessage(message)

    def bytesMessageReceived(self, data: bytes) -> None:
        self._transport.sendBytesMessage(data)

    def pongReceived(self, payload: bytes) -> None:
        pass

    def connectionLost(self, reason: Failure) -> None:
        self.lost.callback(None)


async def main(reactor: Any, url: str, settings: Settings) -> None:
    """Run all cases."""

    async def visit(path: str) -> str:
        echoing = Echoing(isQuiet="case=" not in path)
        await connect(url + path, echoing, settings=settings, reactor=reactor)
        await echoing.lost
        return echoing.first

    for case in range(1, int(await visit("/getCaseCount")) + 1):
        await visit(f"/runCase?case={case}&agent={AGENT}")
    await visit(f"/updateReports?agent={AGENT}")


if __name__ == "__main__":
    parser = ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--compression", action="store_true")
    parser.add_argument("--max-message", type=int, default=1 << 20)
    chosen = parser.parse_args()
    settings = Settings(
        compression=chosen.compression,
        maxMessage=chosen.max_message,
        sendLimit=4 * chosen.max_message,
    )
    sys.exit(react(lambda reactor: Deferred.fromCoroutine(main(reactor, chosen.url, settings))))
