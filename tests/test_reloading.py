"""What is read again on SIGHUP, and that the signal ends no process."""

from __future__ import annotations

import signal
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.protocols.policies import WrappingFactory
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.certificates import TLS, makeTLS, selfSigned
from tests.loopback import HEAD75, LoopbackCase, frame, ownLines
from txhixie.server.origins import readOrigins
from txhixie.server.reloading import Reloading
from txhixie.server.renewing import RenewableEndpoint, hasCertificates
from txhixie.server.service import HixieService
from txhixie.tap import Options


def fail() -> None:
    """Something that cannot be read."""
    raise OSError("no such\nthing")


class ReloadTests(SynchronousTestCase):
    """What is reloaded, and the line that reports it."""

    def reload(self, reloading: Reloading) -> str:
        """@return: the one line that is logged."""
        with capturedLogs() as events:
            reloading.reload()
        (line,) = ownLines(events)
        return line

    def test_nothing(self) -> None:
        """If there is nothing to reload, the line says that."""
        assert self.reload(Reloading()) == "info: SIGHUP: there is nothing to reload"

    def test_parts(self) -> None:
        """Everything that was added is read, in order, each time."""
        calls: list[str] = []
        reloading = Reloading()
        reloading.add("one", lambda: calls.append("one"))
        reloading.add("another", lambda: calls.append("another"))
        for _ in range(2):
            assert self.reload(reloading) == "info: SIGHUP: reloaded one, another"
        assert calls == ["one", "another"] * 2

    def test_failing(self) -> None:
        """What cannot be read stays as it was, and does not keep the rest from being read."""
        calls: list[str] = []
        reloading = Reloading()
        reloading.add("bad", fail)
        kept = "kept what it had of bad (OSError: no such thing)"
        assert self.reload(reloading) == f"warn: SIGHUP: {kept}"
        reloading.add("good", lambda: calls.append("good"))
        assert self.reload(reloading) == f"warn: SIGHUP: reloaded good; {kept}"
        assert calls == ["good"]


class SignalTests(SynchronousTestCase):
    """The signal itself."""

    def setUp(self) -> None:
        self.calls: list[str] = []
        self.patch(reactor, "callFromThread", lambda call: call())
        self.addCleanup(signal.signal, signal.SIGHUP, signal.getsignal(signal.SIGHUP))
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

    def make(self, name: str = "reloaded") -> Reloading:
        """@return: a service that records when it reloads."""
        made = Reloading()
        made.add(name, lambda: self.calls.append(name))
        return made

    def hangUp(self) -> list[str]:
        """@return: which handlers were called on a signal."""
        self.calls.clear()
        signal.raise_signal(signal.SIGHUP)
        return self.calls

    def test_started(self) -> None:
        """The signal reloads from the start until the stop."""
        reloading = self.make()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
        for _ in range(2):
            reloading.start()
            reloading.start()
            assert self.hangUp() == ["reloaded"]
            reloading.stop()
            reloading.stop()
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL

    def test_ignored(self) -> None:
        """It does so under nohup, which ignores the signal, and leaves it ignored."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        reloading = self.make()
        reloading.start()
        assert self.hangUp() == ["reloaded"]
        reloading.stop()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN

    def test_others(self) -> None:
        """A handler that was installed before is called as well."""

        def other(number: int, frame: Any) -> None:
            assert number == signal.SIGHUP
            self.calls.append("other")

        signal.signal(signal.SIGHUP, other)
        reloading = self.make()
        reloading.start()
        assert self.hangUp() == ["reloaded", "other"]
        reloading.stop()
        assert self.hangUp() == ["other"]

    def test_several(self) -> None:
        """Several services reload, whichever of them stops first."""
        one, another = self.make("one"), self.make("another")
        one.start()
        another.start()
        assert self.hangUp() == ["another", "one"]
        one.stop()
        assert self.hangUp() == ["another"]
        another.stop()
        assert self.hangUp() == []

    def test_thread(self) -> None:
        """In other threads there are no signals."""
        reloading = self.make()
        for call in (reloading.start, reloading.stop):
            thread = Thread(target=call)
            thread.start()
            thread.join()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL

    def test_noSignal(self) -> None:
        """Systems without that signal have none either."""
        number = signal.SIGHUP
        self.patch(signal, "SIGHUP", None)
        del signal.SIGHUP
        self.make().start()
        assert signal.getsignal(number) is signal.SIG_DFL


class ServiceTests(LoopbackCase):
    """A service waits for the signal while it runs."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(signal.signal, signal.SIGHUP, signal.getsignal(signal.SIGHUP))
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        self.service = HixieService(self.factory)

    def test_running(self) -> None:
        """When it has stopped, the signal has its earlier handler."""
        self.service.startService()
        assert callable(signal.getsignal(signal.SIGHUP))
        wire = self.open()
        stopped = self.service.stopService()
        assert callable(signal.getsignal(signal.SIGHUP))
        wire.lose()
        self.successResultOf(stopped)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL

    def test_ending(self) -> None:
        """A process that is about to end does not die from it."""
        self.patch(signal, "signal", lambda number, handler: signal.SIG_DFL)
        self.patch(signal, "getsignal", lambda number: self.service.reloading._hangUp._hungUp)
        self.service.startService()
        self.service._endAtNextSignal()
        self.successResultOf(self.service.stopService())
        assert self.service.reloading._hangUp._isActive


# Origins in a file


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("http://a", ["http://a"]),
        ("http://a\nhttp://*.b:81\r\n\n  null \n", ["http://a", "http://*.b:81", "null"]),
        ("# all of them\nhttp://a # the first\n#http://b\nfile://", ["http://a", "file://"]),
    ],
)
def test_readOrigins(tmp_path: Path, text: str, origins: list[str]) -> None:
    """A file has one origin per line, and comments."""
    path = tmp_path / "origins"
    path.write_text(text)
    assert readOrigins(str(path)) == tuple(origins)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "there is no origin in it"),
        (b"# nobody\n\n", "there is no origin in it"),
        (b"http://a\nhttp://b http://c\n", "line 2 is not one origin"),
        (b"http://\xff\n", "is not UTF-8"),
    ],
)
def test_readNoOrigins(tmp_path: Path, data: bytes, what: str) -> None:
    """
    A file without origins, or with something else in it, is refused, and so is a missing file.
    """
    path = tmp_path / "origins"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=what):
        readOrigins(str(path))
    with pytest.raises(usage.UsageError, match="^--origin-file: ValueError: .*" + what):
        Options().parseOptions(["--origin-file", str(path)])
    path.unlink()
    with pytest.raises(usage.UsageError, match=r"^--origin-file: FileNotFoundError: "):
        Options().parseOptions(["--origin-file", str(path)])


@given(text=st.text() | st.text("# \nhttp:/a*", max_size=40))
def test_anyOrigins(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Whatever is in a file gives origins without white space, or a ValueError."""
    path = tmp_path_factory.getbasetemp() / "any-origins"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        origins = readOrigins(str(path))
    except ValueError:
        return
    assert origins
    assert all(origin.split() == [origin] and "#" not in origin for origin in origins)


class OriginFileTests(LoopbackCase):
    """--origin-file, from the command line to the answer."""

    def setUp(self) -> None:
        super().setUp()
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "origins"
        self.path.write_text("http://example.com\n")
        self.service = self.serveCommand(
            "--origin", "http://named", "--origin-file", str(self.path)
        )

    def status(self, origin: bytes) -> bytes:
        """@return: the status for a handshake from a page of this origin."""
        wire = self.connect(HEAD75.replace(b"Origin: http://example.com", b"Origin: " + origin))
        answer = wire.take()
        wire.lose()
        return answer[9:12]

    def statuses(self) -> list[bytes]:
        """@return: the statuses for all tested origins."""
        return [
            self.status(name) for name in (b"http://named", b"http://example.com", b"http://new")
        ]

    def reload(self) -> str:
        """@return: the line that is logged."""
        with capturedLogs() as events:
            self.service.reloading.reload()
        (line,) = ownLines(events)
        return line

    def test_both(self) -> None:
        """The origins of the file may connect, and those given as options."""
        assert self.statuses() == [b"101", b"101", b"403"]

    def test_reload(self) -> None:
        """When the file is read again, others may connect; open connections stay open."""
        wire = self.connect(HEAD75)
        wire.take()
        self.path.write_text("http://new\n")
        assert self.statuses() == [b"101", b"101", b"403"]
        assert self.reload() == f"info: SIGHUP: reloaded the origins in {self.path.absolute()}"
        assert self.statuses() == [b"101", b"403", b"101"]
        wire.send(frame("hello"))
        assert wire.take() == frame("hello")
        wire.lose()

    def test_broken(self) -> None:
        """If it cannot be read, or has no origin, everything stays as it was."""
        for break_ in (lambda: self.path.write_text("#\n"), self.path.unlink):
            break_()
            assert self.reload().startswith("warn: SIGHUP: kept what it had of the origins in ")
            assert self.statuses() == [b"101", b"101", b"403"]


# Certificates


@pytest.mark.parametrize(
    ("description", "has"),
    [
        ("ssl:3443:privateKey=key.pem", True),
        ("tls:/etc/certificates", True),
        ("haproxy:ssl:3443:privateKey=key.pem", True),
        ("tcp:3400", False),
        ("haproxy:tcp:3400", False),
        ("unix:/run/ssl:x", False),
    ],
)
def test_hasCertificates(description: str, has: bool) -> None:
    """Ports with certificates are known by their descriptions."""
    assert hasCertificates(description) is has


@implementer(IStreamServerEndpoint)
class Endpoint:
    """An endpoint whose port listens with a factory for TLS, of whatever certificates."""

    def __init__(self) -> None:
        self.port: Any = SimpleNamespace(factory=None)

    def listen(self, factory: Any) -> Deferred[Any]:
        """@return: the port."""
        self.port.factory = WrappingFactory(factory)
        self.port.factory.doStart()
        return succeed(self.port)


@pytest.mark.parametrize("kind", TLS)
def test_renew(tmp_path: Path, kind: str) -> None:
    """A port gets a new TLS factory, which keeps our inner one; if the files are bad, none."""
    description = makeTLS(kind, tmp_path)
    endpoint, factory = Endpoint(), ServerFactory.forProtocol(Protocol)
    renewable = RenewableEndpoint(endpoint, description)
    listening: list[object] = []
    renewable.listen(factory).addCallback(listening.append)
    assert listening == [endpoint.port]
    first = endpoint.port.factory
    renewable.renew()
    second = endpoint.port.factory
    assert second is not first
    assert second.wrappedFactory is factory
    # It is a server's: the client has to begin.
    transport = StringTransport()
    second.buildProtocol(None).makeConnection(transport)
    assert transport.value() == b""
    assert (first.numPorts, second.numPorts, factory.numPorts) == (0, 1, 1)
    (tmp_path / "cert.pem").write_text("-----BEGIN CERTIFICATE-----\nnone\n")
    with pytest.raises(Exception, match=r".+"):
        renewable.renew()
    assert endpoint.port.factory is second
    assert (second.numPorts, factory.numPorts) == (1, 1)


def test_renewMismatched(tmp_path: Path) -> None:
    """A key that does not belong to the certificate is found before any client is affected."""
    endpoint = Endpoint()
    renewable = RenewableEndpoint(endpoint, makeTLS("ssl", tmp_path))
    renewable.listen(ServerFactory())
    first = endpoint.port.factory
    certificate = (tmp_path / "cert.pem").read_bytes()
    selfSigned(tmp_path)
    (tmp_path / "cert.pem").write_bytes(certificate)
    with pytest.raises(Exception, match="match"):
        renewable.renew()
    assert endpoint.port.factory is first
