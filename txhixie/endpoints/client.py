"""
The endpoint that reaches a service of bytes through a WebSocket.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from txhixie.applications.stream import Stream
from txhixie.applications.streamcodecs import Base64, Binary, carries, codecNamed
from txhixie.client.connect import Client, Headers
from txhixie.dialects.choosing import forClient
from txhixie.dialects.opening import Wish
from txhixie.dialects.url import WebSocketURL
from txhixie.settings import Settings

# A certificate in a PEM file.
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


@implementer(IStreamClientEndpoint)
class StreamClientEndpoint:
    """
    Connects protocols that do not know about WebSockets to a service of bytes behind a WebSocket,
    such as txhixie's (L{txhixie.StreamApplication}) or the servers that noVNC uses.
    """

    def __init__(
        self,
        reactor: Any,
        url: str,
        *,
        codec: str | None = None,
        dialect: str = "rfc6455",
        origin: str | None = None,
        subprotocols: Iterable[str] | None = None,
        headers: Headers = (),
        endpoint: IStreamClientEndpoint | None = None,
        tls: IOpenSSLClientConnectionCreator | None = None,
        settings: Settings = Settings(),
    ) -> None:
        """
        @param url: such as C{"wss://example.com/shell"}.
        @param codec: C{"binary"}, C{"base64"} or C{"text"}; by default C{"binary"}, and C{"base64"}
            in the Hixie dialects.
        @param subprotocols: subprotocols to ask for; by default the codec's, and none for text.

        The other parameters are those of L{txhixie.connect}.

        @raise ValueError: if one of them makes no sense.
        """
        if isinstance(subprotocols, str):
            raise TypeError("subprotocols are several str, not one")
        kind = Binary if carries(Binary, dialect) else Base64
        self._codec = kind if codec is None else codecNamed(codec)
        if not carries(self._codec, dialect):
            raise ValueError(f"{dialect} cannot carry the codec {codec}, only text and base64")
        if subprotocols is None:
            subprotocols = [] if self._codec.name == "text" else [self._codec.name]
        self._subprotocols = tuple(subprotocols)
        # A bad argument should raise now, not with the first connection.
        forClient(dialect)(Wish(WebSocketURL.parse(url), origin, self._subprotocols), settings)
        self._client = Client(settings, reactor)
        self._url = url
        self._options: dict[str, Any] = {
            "dialect": dialect,
            "origin": origin,
            "subprotocols": self._subprotocols,
            "headers": headers,
            "endpoint": endpoint,
            "tls": tls,
        }

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Connect a protocol.

        @return: fires with the protocol once the WebSocket is open and the protocol is connected.
            It fails as L{txhixie.connect} does, or as Twisted's endpoints do if there is no
            protocol.
        """
        attempt = _Attempt(protocolFactory)
        stream = _CountedStream(attempt, self._codec())
        protocolFactory.doStart()
        connecting = self._client.connect(self._url, stream, **self._options)
        return connecting.addCallbacks(
            lambda webSocket: attempt.connected(webSocket), attempt.failed
        )


class _Attempt:
    """
    One connection of a protocol factory, from the attempt to the end.
    """

    def __init__(self, factory: IProtocolFactory) -> None:
        self._factory = factory
        self._protocol: IProtocol | None = None
        self._failure: Failure | None = None
        self._isOver = False

    def build(self, peer: IAddress) -> IProtocol | None:
        """
        Make the protocol.
        """
        try:
            self._protocol = self._factory.buildProtocol(peer)
        except Exception:
            self._failure = Failure()
        return self._protocol

    def connected(self, webSocket: Any) -> IProtocol | Failure:
        """
        Return the protocol, or a failure that says why there is none.
        """
        if self._protocol is not None:
            return self._protocol
        webSocket.abort()
        return self._failure or Failure(NoProtocol())

    def failed(self, failure: Failure) -> Failure:
        """
        The WebSocket did not open.
        """
        self.end()
        return failure

    def end(self) -> None:
        """
        Stop the factory, as a connector does.
        """
        if not self._isOver:
            self._isOver = True
            self._factory.doStop()


class _CountedStream(Stream):
    """
    A stream that stops its factory when it ends.
    """

    def __init__(self, attempt: _Attempt, codec: Any) -> None:
        super().__init__(attempt.build, codec)
        self._attempt = attempt

    def connectionLost(self, reason: Failure) -> None:
        try:
            super().connectionLost(reason)
        finally:
            self._attempt.end()


def fromString(
    reactor: Any, scheme: str, args: tuple[str, ...], kwargs: dict[str, str]
) -> StreamClientEndpoint:
    """
    Return the endpoint of a description that Twisted has split: a URL with options after it, as in
    C{ws://example.com:3400/shell:codec=base64}.

    @raise ValueError: if it makes no sense.
    """
    options = {name: kwargs.pop(name) for name in _OPTIONS if name in kwargs}
    for name in kwargs:
        # Other options are the beginning of a URL, up to the first equals sign of its query.
        if not set(name) & set("/?"):
            raise ValueError(f"there is no option {name}, only {', '.join(_OPTIONS)}")
    words = [*args, *(f"{name}={value}" for name, value in kwargs.items())]
    if not any(word.startswith("//") for word in words):
        raise ValueError(f"a URL is needed, as in {scheme}://example.com:3400/")
    if len(kwargs) > 1 or not words[0].startswith("//"):
        raise ValueError(
            "the colons of a query need a backslash each, as in ws://example.com/?time=12\\:00"
        )
    url = ":".join([scheme, *words])
    given: dict[str, Any] = {}
    for name in ("codec", "dialect", "origin"):
        if name in options:
            given[name] = options[name]
    if "subprotocol" in options:
        given["subprotocols"] = (options["subprotocol"],)
    if "endpoint" in options:
        given["endpoint"] = clientFromString(reactor, options["endpoint"])
    if "trustRoots" in options:
        given["tls"] = _trusting(url, Path(options["trustRoots"]))
    return StreamClientEndpoint(reactor, url, **given)


_OPTIONS = ("codec", "dialect", "origin", "subprotocol", "endpoint", "trustRoots")


def _trusting(url: str, path: Path) -> IOpenSSLClientConnectionCreator:
    """
    Return a function that makes TLS connections to servers with a certificate from a file or
    folder.
    """
    from twisted.internet.ssl import (
        Certificate,
        optionsForClientTLS,
        trustRootFromCertificates,
    )

    files = sorted(path.glob("*.pem")) if path.is_dir() else [path]
    found = [pem for file in files for pem in _CERTIFICATE.findall(file.read_bytes())]
    if not found:
        raise ValueError(f"{path} has no certificates")
    trusted = trustRootFromCertificates([Certificate.loadPEM(pem) for pem in found])
    made: IOpenSSLClientConnectionCreator = optionsForClientTLS(
        WebSocketURL.parse(url).hostname, trustRoot=trusted
    )
    return made
