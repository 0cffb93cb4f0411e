"""
The application C{gateway}.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator

from txhixie.client.connect import Client
from txhixie.dialects.errors import HandshakeRefused, OpeningTimedOut
from txhixie.dialects.events import CloseCode
from txhixie.dialects.head import HandshakeError, comeAgain
from txhixie.gateway.backends import ASIDE, Backend, Backends
from txhixie.gateway.passing import Asked, passAnswer, passRefusal
from txhixie.gateway.relay import BYTES_POLICIES, Side, makeRelay
from txhixie.settings import Settings
from txhixie.websocket.ratelimit import printable

if TYPE_CHECKING:
    from twisted.web.server import Request

# Statuses with which a back end, or a proxy before it, reports that it does not work at the moment.
_UNAVAILABLE = (502, 503, 504)
# The errors that show that a back end cannot be reached.
_UNREACHABLE = (ConnectError, ConnectingCancelledError, DNSLookupError, OpeningTimedOut)


class Gateway:
    """
    Opens an RFC 6455 connection to a back end for each client, whatever dialect the client speaks,
    and relays messages between the two.

    A client is accepted once its back end has accepted it, and refused as the back end refused it.
    Several back ends take turns; one that fails is set aside for a while, and the next one asked.
    """

    def __init__(
        self,
        *backends: str,
        bytesPolicy: str = "drop",
        tls: IOpenSSLClientConnectionCreator | None = None,
        settings: Settings = Settings(),
        reactor: Any = None,
    ) -> None:
        """
        @param backends: their URLs, such as C{"ws://127.0.0.1:9000/app"}. One without a path is
            asked for the path of the client.
        @param bytesPolicy: what happens to bytes messages for clients whose dialect carries only
            text (Hixie-75, Hixie-76): C{"drop"}, C{"close"} the connection, or C{"base64"}.
        @param tls: makes TLS connections to the back ends, instead of C{optionsForClientTLS} with
            the name of the host.
        @param settings: limits and policies for the connections to the back ends.
            L{Settings.handshakeTimeout} is divided among them, so that another one can be asked in
            time.
        @param reactor: by default the reactor that is installed.
        @raise ValueError: if there is no back end, or a URL or the policy makes no sense.
        """
        if bytesPolicy not in BYTES_POLICIES:
            raise ValueError(f"{bytesPolicy!r} is none of {', '.join(BYTES_POLICIES)}")
        timeout = settings.handshakeTimeout
        self._client = Client(
            # The client's side closes idle clients.
            replace(settings, handshakeTimeout=timeout / (len(backends) + 1), idleTimeout=0.0),
            reactor,
        )
        self._clock = self._client.shared.clock
        self._log = self._client.shared.log
        self._backends = Backends(backends, self._clock.seconds)
        self._bytesPolicy = bytesPolicy
        self._tls = tls
        self._timeout = timeout

    def buildProtocol(self, request: Request) -> Deferred[Side]:
        """
        Open a connection to a back end, and return what handles the client.
        """
        return Deferred.fromCoroutine(self._open(request))

    async def _open(self, request: Request) -> Side:
        asked = Asked.by(request)
        refusal = comeAgain("no back end")
        for backend in self._backends.candidates():
            try:
                return await self._ask(backend, asked, request)
            except (CancelledError, HandshakeError):
                raise
            except Exception as error:
                self._failed(backend, error)
                refusal = _refusal(error)
        raise refusal

    async def _ask(self, backend: Backend, asked: Asked, request: Request) -> Side:
        """
        Ask one back end.

        @raise HandshakeError: if it refuses this client.
        @raise Exception: if it does not work.
        """
        client, relayed = makeRelay(self._bytesPolicy)
        try:
            opened = await self._client.connect(
                backend.urlFor(asked.target),
                relayed,
                origin=asked.origin,
                subprotocols=asked.subprotocols,
                headers=asked.headers,
                tls=self._tls,
                answered=partial(passAnswer, request),
            )
        except HandshakeRefused as error:
            if error.status < 400 or error.status > 599 or error.status in _UNAVAILABLE:
                raise
            self._works(backend)
            raise passRefusal(error) from None
        self._works(backend)
        isHixie = getattr(request, "dialect", "").startswith("hixie")
        if asked.subprotocols and opened.subprotocol is None and isHixie:
            # These clients need the subprotocol that they asked for.
            opened.loseConnection(CloseCode.GOING_AWAY, "the client is refused")
            raise HandshakeError(400, "this subprotocol is not spoken here")
        relayed.closeUnlessJoined(self._clock, self._timeout)
        return client

    def _works(self, backend: Backend) -> None:
        if self._backends.answered(backend):
            self._log.info("the back end {url} works again", url=backend.name)

    def _failed(self, backend: Backend, error: Exception) -> None:
        self._backends.failed(backend)
        self._log.warn(
            "the back end {url} failed, and is set aside for {seconds:g} s: {error}",
            url=backend.name,
            seconds=ASIDE,
            error=printable(f"{type(error).__name__}: {error}"),
        )


def _refusal(error: Exception) -> HandshakeError:
    """
    Return the answer to a client if no back end works.

    @param error: why the last back end that was asked does not work.
    """
    isBusy = isinstance(error, HandshakeRefused) and error.status in _UNAVAILABLE
    if isBusy or isinstance(error, _UNREACHABLE):
        return comeAgain("the back end is down")
    return comeAgain("the back end does not answer as it should", 502)
