"""
A chat of lines that does not know about WebSockets, for programs over TCP and for browsers of every
dialect. Run it with C{twistd -noy line_chat.py}.
"""

from twisted.application.service import Application
from twisted.application.strports import service
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver


class Member(LineReceiver):
    def connectionMade(self):
        self.factory.members.add(self)
        self.sendLine(b"%d here" % len(self.factory.members))

    def lineReceived(self, line):
        for member in self.factory.members:
            member.sendLine(line)

    def connectionLost(self, reason):
        self.factory.members.remove(self)


factory = Factory.forProtocol(Member)
factory.members = set()

application = Application("chat")
for where in ("tcp:2300", "ws:tcp:3400"):
    service(where, factory).setServiceParent(application)
