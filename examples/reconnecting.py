"""
Prints what a server sends, and connects again when that fails or the connection is lost:
C{python examples/reconnecting.py ws://127.0.0.1:3400/broadcast}.
"""

import sys

from twisted.application.internet import backoffPolicy
from twisted.internet import defer, error, task

from txhixie import OpeningError, WebSocketProtocol, connect


class Feed(WebSocketProtocol):
    def __init__(self):
        self.lost = defer.Deferred()

    def textMessageReceived(self, message):
        print(message)

    def connectionLost(self, reason):
        self.lost.callback(reason.value)


async def stayConnected(reactor, url, delay=backoffPolicy(maxDelay=60)):
    attempts = 0
    while True:
        try:
            await connect(url, feed := Feed(), reactor=reactor)
            attempts = 0
            print("lost:", await feed.lost)
        except (error.ConnectError, OSError, OpeningError) as why:
            print("not connected:", why)
        attempts += 1
        await task.deferLater(reactor, delay(attempts))


if __name__ == "__main__":
    task.react(stayConnected, sys.argv[1:])
