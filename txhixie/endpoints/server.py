"""
The endpoint that serves any factory over WebSockets.
"""

from __future__ import annotations

from typing import Any
from weakref import ref

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from zope.interface import implementer

from txhixie.applications.routes import Routes
from txhixie.applications.stream import StreamApplication
from txhixie.applications.streamcodecs import codecNamed
from txhixie.server.accepting import ControlledEndpoint
from txhixie.server.factory import HixieFactory
from txhixie.settings import Settings


@implementer(IStreamServerEndpoint)
class StreamServerEndpoint:
    """
    Serves factories that do not know about WebSockets to clients that speak one of the dialects.
    """

    def __init__(
        self,
        reactor: Any,
        endpoint: IStreamServerEndpoint,
        *,
        codec: str = "text",
        path: str = "/",
        settings: Settings = Settings(),
    ) -> None:
        """
        @param endpoint: where to listen.
        @param codec: as for L{txhixie.StreamApplication}.
        @param path: the path of the service. All other paths answer 404.
        @raise ValueError: if one of them makes no sense.
        """
        codecNamed(codec)
        Routes({path: StreamApplication})  # type: ignore[dict-item]
        self._reactor = reactor
        self._endpoint = endpoint
        self._codec = codec
        self._path = path
        self._settings = settings

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        Listen. When the reactor stops, all connections are closed with their closing handshakes.
        """
        application = Routes({self._path: StreamApplication(protocolFactory, self._codec)})
        factory = HixieFactory(application, settings=self._settings, reactor=self._reactor)
        self._reactor.addSystemEventTrigger("before", "shutdown", _close, ref(factory))
        return ControlledEndpoint(self._endpoint, factory.accepting, factory.settings).listen(
            factory
        )


def _close(factory: ref[HixieFactory]) -> Deferred[None] | None:
    # A factory without ports and connections may be garbage by then.
    existing = factory()
    return None if existing is None else existing.closeConnections()


_OPTIONS = ("codec", "path", "origin", "dialects", "subprotocol")


def fromString(reactor: Any, args: tuple[str, ...], kwargs: dict[str, str]) -> StreamServerEndpoint:
    """
    Return the endpoint of a description that Twisted has split: the description of another
    endpoint, with our options among its options, as in
    C{ws:tcp:3400:codec=binary:interface=127.0.0.1}.

    @raise ValueError: if it makes no sense.
    """
    options = {name: kwargs.pop(name) for name in _OPTIONS if name in kwargs}
    if any(word.startswith("//") for word in args):
        raise ValueError(
            "the colons of an origin need a backslash each: origin=http\\://example.com"
        )
    if not args:
        raise ValueError("ws: is followed by another endpoint, as in ws:tcp:3400")
    settings: dict[str, Any] = {}
    for option, name in (
        ("origin", "origins"),
        ("dialects", "dialects"),
        ("subprotocol", "subprotocols"),
    ):
        if option in options:
            settings[name] = tuple(word.strip() for word in options.pop(option).split(","))
    words = [quoteStringArgument(word) for word in args]
    words += [f"{name}={quoteStringArgument(value)}" for name, value in kwargs.items()]
    return StreamServerEndpoint(
        reactor,
        serverFromString(reactor, ":".join(words)),
        settings=Settings(**settings),
        **options,
    )
