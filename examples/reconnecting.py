"""Prints what a server sends, and connects again: C{twistd -noy examples/reconnecting.py}."""

from twisted.application.internet import ClientService, backoffPolicy
from twisted.application.service import Application
from twisted.internet import defer, protocol, reactor

from txhixie import WebSocketProtocol, connect


class Feed(WebSocketProtocol):
    def makeConnection(self, transport):
        print("connected")

    def textMessageReceived(self, message):
        print(message)


class Endpoint:
    def __init__(self, reactor, url):
        self.reactor, self.url = reactor, url

    @defer.inlineCallbacks
    def connect(self, factory):
        feed = factory.buildProtocol(None)
        try:
            feed.makeConnection((yield connect(self.url, feed, reactor=self.reactor)))
        except Exception as why:
            print("not connected:", why)
            raise
        return feed


def feedService(reactor, url, delay=backoffPolicy(maxDelay=60)):
    feeds = protocol.Factory.forProtocol(Feed)
    return ClientService(Endpoint(reactor, url), feeds, delay, reactor)


application = Application("feed")
feedService(reactor, "ws://127.0.0.1:3400/broadcast").setServiceParent(application)
