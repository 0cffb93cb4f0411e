"""Endpoint strings, read but not connected; and what is connected in memory."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet.endpoints import (
    TCP4ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
    clientFromString,
    quoteStringArgument,
    serverFromString,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock

from tests.certificates import selfSigned
from txhixie import StreamClientEndpoint
from txhixie.endpoints.server import StreamServerEndpoint


def server(description: str) -> Any:
    """@return: the server's endpoint of a description."""
    endpoint = serverFromString(MemoryReactorClock(), description)
    assert isinstance(endpoint, StreamServerEndpoint)
    return endpoint


def client(description: str) -> Any:
    """@return: the client's."""
    endpoint = clientFromString(MemoryReactorClock(), description)
    assert isinstance(endpoint, StreamClientEndpoint)
    return endpoint


def test_server() -> None:
    """The common case needs no escape, and every kind of endpoint can be inside."""
    endpoint = server("ws:tcp:3400")
    assert isinstance(endpoint._endpoint, TCP4ServerEndpoint)
    assert (endpoint._codec, endpoint._path) == ("text", "/")
    assert isinstance(server("ws:unix:/run/x.sock:mode=600")._endpoint, UNIXServerEndpoint)
    server("ws:haproxy:tcp:3400:interface=127.0.0.1")
    server(r"ws:unix:/run/a\:b")


def test_serverOptions() -> None:
    """Our options are among those of the inner endpoint."""
    endpoint = server(
        r"ws:tcp:3400:path=/shell:codec=binary:interface=127.0.0.1:backlog=9"
        r":origin=http\://a.example,http\://b.example:dialects=hixie-76,rfc6455:subprotocol=mqtt"
    )
    assert (endpoint._codec, endpoint._path) == ("binary", "/shell")
    settings = endpoint._settings
    assert settings.origins == ("http://a.example", "http://b.example")
    assert settings.dialects == ("hixie-76", "rfc6455")
    assert settings.subprotocols == ("mqtt",)
    inner = endpoint._endpoint
    assert (inner._port, inner._interface, inner._backlog) == (3400, "127.0.0.1", 9)


@pytest.mark.parametrize(
    ("description", "error"),
    [
        ("ws:tcp:3400:codec=hex", "no codec 'hex', only binary, base64, text"),
        ("ws:tcp:3400:path=shell", "'shell' is not a path"),
        ("ws:tcp:3400:dialects=hixie-77", "hixie-77"),
        ("ws:tcp:3400:origin=http://a.example", "need a backslash each"),
        ("ws:codec=text", "followed by another endpoint"),
        ("ws:nothing:3400", "Unknown endpoint type"),
    ],
)
def test_wrongServer(description: str, error: str) -> None:
    """Invalid arguments give an error with the reason, before anything listens."""
    with pytest.raises(ValueError, match=error):
        server(description)


@pytest.mark.parametrize(
    ("description", "url"),
    [
        ("ws://example.com", "ws://example.com"),
        ("ws://example.com:3400/shell", "ws://example.com:3400/shell"),
        ("wss://example.com/shell", "wss://example.com/shell"),
        ("ws://[::1]:3400/", "ws://[::1]:3400/"),
        ("ws://example.com:3400/?a=b&c=d", "ws://example.com:3400/?a=b&c=d"),
        ("ws://example.com/?a=b:codec=text", "ws://example.com/?a=b"),
        (r"ws://example.com/?at=12\:00", "ws://example.com/?at=12:00"),
        (
            "ws:" + quoteStringArgument("//example.com:1/a:b?c=d:e\\"),
            "ws://example.com:1/a:b?c=d:e\\",
        ),
    ],
)
def test_client(description: str, url: str) -> None:
    """A URL is a description as it is; after an equals sign colons need a backslash."""
    assert client(description)._url == url


def test_clientOptions(tmp_path: Path) -> None:
    """Options come after the URL."""
    endpoint = client(
        r"ws://example.com:3400/:codec=base64:dialect=hixie-76:origin=http\://a.example"
        r":subprotocol=base64:endpoint=unix\:/run/x.sock"
    )
    assert endpoint._url == "ws://example.com:3400/"
    assert endpoint._codec.name == "base64"
    options = endpoint._options
    assert options["dialect"] == "hixie-76"
    assert options["origin"] == "http://a.example"
    assert options["subprotocols"] == ("base64",)
    assert isinstance(options["endpoint"], UNIXClientEndpoint)
    selfSigned(tmp_path)
    for place in (tmp_path, tmp_path / "cert.pem"):
        assert client(f"wss://localhost/:trustRoots={place}")._options["tls"] is not None


@pytest.mark.parametrize(
    ("description", "error"),
    [
        ("ws:example.com:3400", "a URL is needed, as in ws://example.com:3400/"),
        ("ws:", "a URL is needed, as in ws://"),
        ("ws://", "no proper host"),
        ("ws://example.com/#top", "without a fragment"),
        ("ws://example.com/:codek=text", "no option codek, only codec, dialect"),
        ("ws://example.com/?at=12:00", "need a backslash"),
        ("ws://example.com/?a=b:/c=d", "need a backslash"),
        ("ws://example.com/:codec=hex", "no codec 'hex'"),
        ("ws://example.com/:dialect=hixie-77", "hixie-77"),
        ("ws://example.com/:dialect=hixie-75:codec=binary", "cannot carry"),
    ],
)
def test_wrongClient(description: str, error: str) -> None:
    """Invalid options give an error with the reason."""
    with pytest.raises(ValueError, match=error):
        client(description)


def test_noCertificates(tmp_path: Path) -> None:
    """A file or folder without certificates gives an error, too."""
    with pytest.raises(ValueError, match="has no certificates"):
        client(f"wss://localhost/:trustRoots={tmp_path}")


def test_listen() -> None:
    """
    The endpoint listens as the one inside does, starts the factory, and closes all connections when
    the reactor stops.
    """
    reactor = MemoryReactorClock()
    started: list[str] = []

    class Service(Factory):
        protocol = Protocol

        def startFactory(self) -> None:
            started.append("start")

    serverFromString(reactor, "ws:tcp:3400:interface=127.0.0.1").listen(Service())
    number, factory, _, interface = cast(Any, reactor.tcpServers[0])
    assert (number, interface) == (3400, "127.0.0.1")
    factory.doStart()
    assert started == ["start"]
    ((call, arguments, _),) = reactor.triggers["before"]["shutdown"]
    assert not factory.admission.isClosed
    call(*arguments)
    assert factory.admission.isClosed


def test_forgotten() -> None:
    """A factory that is gone is not kept until the reactor stops."""
    reactor = MemoryReactorClock()
    serverFromString(reactor, "ws:tcp:3400").listen(Factory())
    reactor.tcpServers.clear()
    gc.collect()
    ((call, arguments, _),) = reactor.triggers["before"]["shutdown"]
    assert call(*arguments) is None


def test_light() -> None:
    """Looking for an endpoint imports neither the whole package nor a reactor."""
    code = (
        "import sys\n"
        "from twisted.internet.interfaces import IStreamServerEndpointStringParser as I\n"
        "from twisted.plugin import getPlugins\n"
        "prefixes = [each.prefix for each in getPlugins(I)]\n"
        "assert 'ws' in prefixes, prefixes\n"
        "print(*[m for m in sys.modules if m.startswith('txhixie') or m.endswith('t.reactor')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.strip() == ""
