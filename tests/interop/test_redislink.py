"""How Redis servers are reached, and what is said of those that cannot be used."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import hiredis
import pytest
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer

from tests.certificates import selfSigned
from tests.redis import RedisServer, clock, freePort, happens, inReactor, soon
from txhixie.backplane import makeBackplane
from txhixie.backplane.redis import link
from txhixie.backplane.redis.backplane import RedisBackplane
from txhixie.backplane.redis.url import RedisURL, parseURL


@pytest.mark.parametrize(
    ("url", "expected", "shown"),
    [
        ("redis://", RedisURL("redis", (("localhost", 6379),)), "redis://localhost:6379/0"),
        (
            "redis://me:p%40ss@host:1/3",
            RedisURL("redis", (("host", 1),), db=3, user="me", password="p@ss"),
            "redis://host:1/3",
        ),
        (
            "redis://:secret@[::1]",
            RedisURL("redis", (("::1", 6379),), password="secret"),
            "redis://[::1]:6379/0",
        ),
        (
            "rediss://host?ca=/ca.pem&cert=/cert.pem&key=/key.pem",
            RedisURL("rediss", (("host", 6379),), ca="/ca.pem", cert="/cert.pem", key="/key.pem"),
            "rediss://host:6379/0",
        ),
        (
            "redis+unix:///run/redis.sock?db=2",
            RedisURL("redis+unix", path="/run/redis.sock", db=2),
            "redis+unix:///run/redis.sock?db=2",
        ),
        (
            "redis+sentinel://:p@a:1,b/main/4?sentinel-password=q",
            RedisURL(
                "redis+sentinel",
                (("a", 1), ("b", 26379)),
                db=4,
                password="p",
                master="main",
                sentinelPassword="q",
            ),
            "redis+sentinel://a:1,b:26379/main/4",
        ),
    ],
)
def test_url(url: str, expected: RedisURL, shown: str) -> None:
    """A URL says where the server is; it is shown without what is secret."""
    assert parseURL(url) == expected
    assert str(expected) == shown


def test_passwordFile(tmp_path: Path) -> None:
    """A password can be in a file, where the list of processes does not show it."""
    file = tmp_path / "password"
    file.write_text("s3cret\n")
    assert parseURL(f"redis://host?password-file={file}").password == "s3cret"
    with pytest.raises(ValueError, match="No such file"):
        makeBackplane(f"redis://host?password-file={file}x")


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("redis://host:0", "is no host and port"),
        ("redis://host:66000", "is no host and port"),
        ("redis://host:x", "'x' is no number of a port"),
        ("redis://host/x", "'x' is no number of a database"),
        ("redis://host/1/2", "only the number of a database"),
        ("redis://host?ca=x", "redis has no 'ca'"),
        ("redis://:pass#word@host", "written as %23"),
        ("rediss://host?cert=x", "cert needs a key"),
        ("rediss://host?ca=/nowhere", "/nowhere: No such file"),
        (f"rediss://host?ca={__file__}", "a certificate or its key is not valid"),
        ("redis+unix://host/path", "redis\\+unix:///path/to/socket"),
        ("redis+unix://", "redis\\+unix:///path/to/socket"),
        ("redis+sentinel://host", "redis\\+sentinel://host:port,host:port/master"),
        ("redis+sentinel:///master", "redis\\+sentinel://host:port,host:port/master"),
    ],
)
def test_wrongURL(url: str, error: str) -> None:
    """A URL that makes no sense is refused in one line, which does not show a password."""
    with pytest.raises(ValueError, match=error) as raised:
        makeBackplane(url)
    assert "\n" not in str(raised.value)
    assert "pass#" not in str(raised.value)


@implementer(ILogObserver)
class Log:
    """
    The lines that are logged about links.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self)

    def __call__(self, event: LogEvent) -> None:
        """Note a line."""
        if "redis.link" in str(event.get("log_namespace")) and event["log_level"].name == "error":
            self.lines.append(formatEvent(event))

    def close(self) -> None:
        """Note nothing any more."""
        globalLogPublisher.removeObserver(self)


@asynccontextmanager
async def started(url: str) -> AsyncIterator[RedisBackplane]:
    """A backplane that has been started, and is stopped whatever happens."""
    backplane = makeBackplane(url)
    assert isinstance(backplane, RedisBackplane)
    backplane.startService()
    try:
        yield backplane
    finally:
        await soon(backplane.stopService())


async def refused(url: str) -> str:
    """@return: why a server is not used. It is logged once for each of the two connections."""
    log = Log()
    try:
        async with started(url) as backplane:
            # Until it has been tried again.
            await happens(lambda: min(backplane._commands.failures, backplane._news.failures) > 1)
            problem = backplane.problem
            await happens(lambda: len(log.lines) == 2)
    finally:
        log.close()
    assert problem is not None
    assert {line.count("\n") for line in log.lines} == {0}
    for purpose in ("commands", "news"):
        assert any(
            f"cannot be used for {purpose}: {problem}; trying again" in each for each in log.lines
        )
    return problem


@inReactor
async def test_passwords() -> None:
    """A password that is wrong, missing or not wanted is named as the reason."""
    with RedisServer() as server:
        assert await refused(f"redis://:x@127.0.0.1:{server.port}") == (
            "the URL has a password, and the server has none"
        )
        server.command("CONFIG", "SET", "requirepass", "right")
        assert await refused(server.url) == "it wants a password, and the URL has none"
        assert await refused(f"redis://:x@127.0.0.1:{server.port}") == (
            "the user or the password is wrong"
        )
        await used(f"redis://:right@127.0.0.1:{server.port}")


@inReactor
async def test_user() -> None:
    """A user that may not do what is needed is named as the reason; one that may do it works."""
    with RedisServer() as server:
        server.command("ACL", "SETUSER", "some", "on", ">pw", "+auth")
        problem = await refused(f"redis://some:pw@127.0.0.1:{server.port}")
        assert problem.startswith("the user may not do everything that is needed: NOPERM")
        # Nobody may use channels by default.
        server.command("ACL", "SETUSER", "mute", "on", ">pw", "~*", "+@all", "resetchannels")
        problem = await refused(f"redis://mute:pw@127.0.0.1:{server.port}")
        assert "channel" in problem
        rights = ("resetchannels", "~hixie:*", "&hixie:*", "+@all", "-@dangerous", "+info")
        server.command("ACL", "SETUSER", "all", "on", ">pw", *rights)
        await used(f"redis://all:pw@127.0.0.1:{server.port}/1")


@inReactor
async def test_replica() -> None:
    """A read-only replica is not used."""
    with RedisServer("--replicaof", "127.0.0.1", "1") as server:
        problem = await refused(server.url)
        assert problem == "it is a replica, which is read-only; name the master instead"


class Fake(Protocol):
    """
    A server that gives prepared answers, by the command.
    """

    answers: dict[bytes, bytes]

    def connectionMade(self) -> None:
        """Begin."""
        self._reader = hiredis.Reader()

    def dataReceived(self, data: bytes) -> None:
        """Answer commands."""
        self._reader.feed(data)
        while (command := self._reader.gets()) is not False:
            self.transport.write(self.answers[b" ".join(command)])  # type: ignore[union-attr]


async def fake(**answers: str) -> str:
    """@return: why a server with these answers is not used."""

    class Answering(Fake):
        pass

    def bulk(text: str) -> bytes:
        return b"$%d\r\n%b\r\n" % (len(text), text.encode())

    Answering.answers = {
        b"INFO server": bulk(f"redis_version:{answers.get('version', '7.0.15')}\r\nrun_id:abc\r\n"),
        b"INFO replication": bulk("role:master\r\n"),
        b"PING": f"{answers.get('ping', '+PONG')}\r\n".encode(),
    }
    factory = Factory.forProtocol(Answering)
    factory.noisy = False
    listening = clock.listenTCP(0, factory, interface="127.0.0.1")
    problem = await refused(f"redis://127.0.0.1:{listening.getHost().port}")
    await listening.stopListening()
    return problem


@inReactor
async def test_old() -> None:
    """A server that has no streams is named as too old."""
    assert await fake(version="4.0.14") == "it is Redis 4.0.14, and streams need 5.0 or newer"


@inReactor
async def test_loading() -> None:
    """A server that still reads its files is waited for."""
    assert await fake(ping="-LOADING Redis is loading the dataset in memory") == (
        "it is still loading its data"
    )


@inReactor
async def test_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes connections and says nothing is given up after a while."""
    monkeypatch.setattr(link, "ANSWER_TIMEOUT", 0.2)
    with RedisServer() as server:
        server.freeze()
        assert await refused(server.url) == "it does not answer"
        server.thaw()
        monkeypatch.setattr(link, "PING_INTERVAL", 0.1)
        async with started(server.url) as backplane:
            await happens(lambda: backplane.problem is None)
            server.freeze()
            # Either connection may be the first to notice.
            await happens(lambda: backplane._commands.problem is not None)
            assert backplane._commands.problem == "it has not answered for 0.2 seconds"
            server.thaw()
            await happens(lambda: backplane.problem is None)


@inReactor
async def test_notRedis() -> None:
    """A server that speaks something else is refused in one line, too."""
    assert await fake(ping="HTTP/1.1 400 Bad Request") != ""


@inReactor
async def test_absent() -> None:
    """A server that is not there yet is waited for."""
    port = freePort()
    assert await refused(f"redis://127.0.0.1:{port}") == "nobody listens there"
    url = f"redis://127.0.0.1:{port}"
    assert makeBackplane(url).problem == "the server has not started yet"
    async with started(url) as backplane:
        assert backplane.problem is not None
        published = backplane.publish("r", "message", "", "waits")
        with RedisServer(port=port):
            assert await soon(published)
            await happens(lambda: backplane.problem is None)


async def used(url: str) -> None:
    """Publish something, and hear of it."""
    heard: list[Any] = []
    async with started(url) as backplane:
        await soon(backplane.subscribe("r", heard.extend))
        await soon(backplane.publish("r", "message", "", "text"))
        await happens(lambda: heard)
    assert heard[0].text == "text"


@inReactor
async def test_unix() -> None:
    """A server can be reached by a Unix socket."""
    with RedisServer(port=0) as server:
        await used(f"redis+unix://{server.path}?db=1")


@inReactor
async def test_tls(tmp_path: Path) -> None:
    """A server can be reached by TLS, and is refused if its certificate is not trusted."""
    key, certificate = selfSigned(tmp_path)
    port = freePort()
    files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key))
    with RedisServer(
        *("--tls-port", str(port), "--tls-ca-cert-file", str(certificate), *files)
    ) as server:
        url = f"rediss://127.0.0.1:{port}?ca={certificate}"
        await used(f"{url}&cert={certificate}&key={key}")
        problem = await refused(f"rediss://127.0.0.1:{port}")
        assert problem == "TLS failed: certificate verify failed"
        # The server wants to see a certificate, too.
        assert "certificate required" in await refused(url)
        assert server.command("DBSIZE") > 0
