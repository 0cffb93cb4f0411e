"""
Standard services of twistd over WebSockets, with our client string and with others; much data.
"""

from __future__ import annotations

import os
import re
import signal
import ssl
import sys
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest
from twisted.cred.checkers import AllowAnonymousAccess
from twisted.cred.portal import Portal
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.protocol import Factory
from twisted.protocols.ftp import FTPClient, FTPFactory, FTPFileListProtocol, FTPRealm
from twisted.words.protocols.irc import IRCClient
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.certificates import selfSigned
from tests.test_sockets import clock, inReactor, reach
from tests.test_streamsockets import TCP, carry

from .phantom import Phantom, Step, phantomCommand
from .server import PROJECT, Child

# More than 100 MB.
MUCH = 100 << 20
# A process of twistd ends with the signal that stopped it, or with 0.
STOPPED = (0, -signal.SIGTERM)
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")


class Twistd(Child):
    """
    A service of C{twistd}'s, over WebSockets.

    @ivar port: the number of its port.
    """

    def __init__(self, *arguments: str) -> None:
        path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
        super().__init__(
            [*TWISTD, "-n", "--pidfile=", *arguments], env={**os.environ, "PYTHONPATH": path}
        )
        started = re.compile(r"HixieFactory(?: \(TLS\))? starting on (\d+)")
        self.port = int(self.wait(lambda: started.search("\n".join(self.lines)), "port", 20)[1])

    def stop(self) -> None:
        """It stops as it should."""
        assert super().end(signal.SIGTERM) in STOPPED
        assert "Traceback" not in self.transcript()


def irc(where: str) -> Twistd:
    """@return: Twisted's IRC server, over WebSockets."""
    return Twistd("words", "--auth", "memory:fred:secret", "--irc-port", where)


class Fred(IRCClient):
    """Sends itself a message through a server."""

    nickname = "fred"
    password = "secret"  # type: ignore[assignment]

    def __init__(self) -> None:
        self.heard: list[str] = []

    def signedOn(self) -> None:
        self.msg("fred", "na\u00efve")

    def privmsg(self, user: str, channel: str, message: str) -> None:
        self.heard.append(message)


async def talk(where: str) -> None:
    """Connect to the server with our client string."""
    fred: Any = await clientFromString(clock, where).connect(Factory.forProtocol(Fred))
    await reach(lambda: fred.heard == ["na\u00efve"])
    fred.transport.loseConnection()
    await reach(lambda: fred.transport.disconnected)


def talkBinary(url: str, context: ssl.SSLContext | None = None) -> None:
    """Connect to it with the websockets library, with the subprotocol binary."""
    with connect(url, subprotocols=[Subprotocol("binary")], ssl=context) as webSocket:
        assert webSocket.subprotocol == "binary"
        # The parts of a message are still one stream.
        for part in (b"PASS secret\r\nNICK fr", b"ed\r\nUSER fred 0 * :Fred\r", b"\n"):
            webSocket.send(part)
        heard = b""
        while b" 001 fred :" not in heard:
            message = webSocket.recv(10)
            assert isinstance(message, bytes)
            heard += message


@inReactor
async def test_twistd() -> None:
    """A service that does not know about WebSockets serves them with its endpoint string."""
    with irc("ws:tcp:0:interface=127.0.0.1:path=/irc") as running:
        where = f"127.0.0.1:{running.port}/irc"
        for options in ("", ":codec=text", ":dialect=hixie-76", ":dialect=hixie-75:codec=text"):
            await talk(f"ws://{where}{options}")
        talkBinary(f"ws://{where}")
        running.stop()


@inReactor
async def test_twistdTLS(tmp_path: Path) -> None:
    """The same over TLS."""
    key, certificate = selfSigned(tmp_path)
    where = f"ws:ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
    with irc(where) as running:
        url = f"wss://localhost:{running.port}/"
        await talk(f"{url}:trustRoots={certificate}")
        talkBinary(url, ssl.create_default_context(cafile=str(certificate)))
        running.stop()


def test_oldBrowser() -> None:
    """A browser of the Hixie era connects to it in base64."""
    command = b"PASS secret\r\nNICK fred\r\nUSER fred 0 * :Fred\r\n"
    # Each part is complete base64, wherever it is cut.
    parts = [b64encode(part).decode() for part in (command[:10], command[10:])]
    steps: list[Step] = [{"after": 0, "send": parts}, {"after": 5, "close": True}]
    phantomCommand()
    with irc("ws:tcp:0:interface=127.0.0.1") as running:
        url = f"ws://127.0.0.1:{running.port}/"
        with Phantom("direct.js", url=url, subprotocol="base64", steps=steps) as browser:
            messages = browser.waitFor("message", 5)
            browser.waitFor("close")
        stream = b"".join(b64decode(message, validate=True) for message in messages)
        assert b" 001 fred :" in stream
        running.stop()


@inReactor
async def test_forwarded(tmp_path: Path) -> None:
    """Twisted's port forwarder puts a WebSocket in front of any other server: here FTP."""
    (tmp_path / "hello.txt").write_text("hello")
    factory = FTPFactory(Portal(FTPRealm(str(tmp_path)), [AllowAnonymousAccess()]))
    port: Any = await serverFromString(clock, TCP).listen(factory)
    number = port.getHost().port
    arguments = ("portforward", "--dest_port", str(number), "--port", "ws:tcp:0:codec=binary")
    with Twistd(*arguments) as running:
        endpoint = clientFromString(clock, f"ws://127.0.0.1:{running.port}/")
        made = Factory.forProtocol(lambda: FTPClient("anonymous", "a@example.com"))
        client: Any = await endpoint.connect(made)
        listing = FTPFileListProtocol()
        await client.list(".", listing)
        assert [each["filename"] for each in listing.files] == ["hello.txt"]
        client.transport.loseConnection()
        await reach(lambda: client.transport.disconnected)
        running.stop()
    await port.stopListening()


def test_goingAway() -> None:
    """Peers get a close when the process ends."""
    with (
        irc("ws:tcp:0:interface=127.0.0.1") as running,
        connect(f"ws://127.0.0.1:{running.port}/") as webSocket,
    ):
        running.process.send_signal(signal.SIGTERM)
        with pytest.raises(Exception, match="1001"):
            webSocket.recv(10)
        assert running.process.wait(10) in STOPPED


@pytest.mark.parametrize("isSecure", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize(
    ("dialect", "codec"),
    [("hixie-76", "base64"), ("hixie-76", "text"), ("rfc6455", "binary"), ("rfc6455", "base64")],
)
@inReactor
async def test_much(dialect: str, codec: str, isSecure: bool, tmp_path: Path) -> None:
    """100 MB go to an echo and back, with the same digest, while readers and producers pause."""
    options: list[str] = []
    where = TCP
    if isSecure:
        key, certificate = selfSigned(tmp_path)
        where = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
        options = ["", f":trustRoots={certificate}"]
    seconds, pauses = await carry(MUCH, codec, dialect, *options, where=where)
    assert pauses >= 20
    print(f"{dialect} {codec}: {MUCH / 1e6 / seconds:.0f} MB/s each way, {pauses} pauses")
