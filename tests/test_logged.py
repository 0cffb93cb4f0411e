"""
What an operator can read about errors: one line each, with enough information to find the cause.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import UNIXAddress
from twisted.logger import capturedLogs

from tests.loopback import LoopbackCase, Poller, Recording, TCPWire, ownLines
from tests.support import IDIOMS, buildHead

PLAIN = b"GET / HTTP/1.1\r\nHost: x\r\n"


class LoggedCase(LoopbackCase):
    """Looks at lines of the log."""

    def assertLogged(self, pattern: str, call: Callable[..., object], *arguments: object) -> None:
        """A call logs this line, and no other line like it."""
        with capturedLogs() as events:
            call(*arguments)
        lines = ownLines(events)
        matching = [line for line in lines if re.search(pattern, line)]
        assert len(matching) == 1, lines

    def newest(self) -> Any:
        """@return: what the newest connection's application has of it."""
        return self.recorder.made[-1].transport


class LoggedTests(LoggedCase):
    """One line each."""

    def test_fault(self) -> None:
        """A breach of the protocol: the connection, the code, and the fault."""
        for dialect, idiom in IDIOMS.items():
            with self.subTest(dialect):
                wire = self.open(dialect)
                name = re.escape(self.newest().id)
                self.assertLogged(f"^info: .*{name}.* 1002 .{{10}}", wire.send, idiom.breach)

    def test_missed(self) -> None:
        """
        Messages that a slow peer did not get, when it reads again: the connection, and how many.
        """
        for dialect in IDIOMS:
            with self.subTest(dialect):
                self.serve(sendLimit=10, slowPolicy="drop")
                wire = self.open(dialect)
                assert wire.producer is not None
                wire.producer.pauseProducing()
                for _ in range(5):
                    self.newest().sendTextMessage("x" * 11)
                    self.clock.advance(0)
                name = re.escape(self.newest().id)
                self.assertLogged(f"^info: .*{name}.* 3 ", wire.producer.resumeProducing)

    def test_body(self) -> None:
        """A body of plain HTTP that is too large."""
        self.serve(maxBody=10)
        request = PLAIN + b"Content-Length: 50\r\n\r\n"
        self.assertLogged("^info: refused .*: 413 .*(?i:large)", self.connect, request)

    def test_cutOff(self) -> None:
        """How many connections are cut off."""
        for _ in range(3):
            self.open()
        self.assertLogged("^info: .*3 connections", self.factory.abortConnections)

    def test_acceptingPaused(self) -> None:
        """That accepting is paused, and how many connections there are."""
        self.open()
        self.serve(acceptRate=10)
        self.factory.accepting.add(FileDescriptor(Poller()))  # type: ignore[arg-type]
        self.assertLogged("^info: .*accepted.* 1 ", self.connect)

    def test_late(self) -> None:
        """A peer that does not close in time, at debug level: its address."""
        wire = self.open()
        assert isinstance(wire, TCPWire)
        self.newest().loseConnection()
        self.assertLogged(r"^debug: .*192\.168\.1\.1:54321.*in time", self.pass_, 2)

    def test_error(self) -> None:
        """An application's error: the connection."""

        def fail(made: Recording, message: str) -> None:
            raise ZeroDivisionError

        for dialect, idiom in IDIOMS.items():
            with self.subTest(dialect):
                self.record(textMessageReceived=fail)
                wire = self.open(dialect)
                said = idiom.clientText("hello")
                self.assertLogged(f"^critical: .*{re.escape(self.newest().id)}", wire.send, said)
                self.flushLoggedErrors(ZeroDivisionError)


class WhoTests(LoggedCase):
    """Which client a line is about."""

    def test_proxied(self) -> None:
        """Behind a proxy that is believed, the client and the proxy."""
        self.serve(trustedProxies=("192.168.1.1",), logConnections=True)
        told = [(b"X-Forwarded-For", b"203.0.113.7")]
        both = r"203\.0\.113\.7 .*192\.168\.1\.1:54321"
        for dialect in IDIOMS:
            with self.subTest(dialect):
                head = buildHead(dialect, extra=told)
                opening = head + IDIOMS[dialect].preamble
                self.assertLogged(f"^info: .*{dialect}.*{both}", self.connect, opening)
                self.record(lambda made: None)
                self.assertLogged(f"^info: .*{both}.*404", self.connect, head)
                self.record()

    def test_itself(self) -> None:
        """A client without a proxy is named once."""
        self.record(lambda made: None)
        line = r"^info: \D*192\.168\.1\.1:54321\D* 404"
        self.assertLogged(line, self.connect, buildHead("rfc6455"))

    def test_unix(self) -> None:
        """A client of a Unix socket has no address to be named by."""

        class There(TCPWire):
            def getPeer(self) -> Any:
                return UNIXAddress(b"/run/hixie")

        self.record(lambda made: None)
        for dialect in IDIOMS:
            with self.subTest(dialect):
                line = r"^info: .*/run/hixie.*404"
                self.assertLogged(line, self.connect, buildHead(dialect), There)
