"""
How a Redis server is reached: TCP, TLS, a Unix socket, or by asking Sentinels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import txredisapi
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

from txhixie.backplane.redis.url import RedisURL

# Seconds for TCP to connect, and for a Sentinel to answer.
TIMEOUT = 5.0


def endpointFor(url: RedisURL, reactor: Any) -> IStreamClientEndpoint:
    """
    Return where to connect to.

    @raise ValueError: if a certificate makes no sense.
    @raise OSError: if it cannot be read.
    """
    if url.path:
        return UNIXClientEndpoint(reactor, url.path, timeout=TIMEOUT)
    if url.master:
        return SentinelEndpoint(url, reactor)
    host, port = url.hosts[0]
    endpoint = HostnameEndpoint(reactor, host, port, timeout=TIMEOUT)
    return wrapClientTLS(_tlsOptions(url), endpoint) if url.scheme == "rediss" else endpoint


def _tlsOptions(url: RedisURL) -> Any:
    try:
        from twisted.internet.ssl import (
            Certificate,
            PrivateCertificate,
            optionsForClientTLS,
            trustRootFromCertificates,
        )
    except ImportError as error:
        raise ValueError("rediss needs pip install txhixie[tls]") from error
    try:
        trusted = None
        if url.ca:
            begin = b"-----BEGIN CERTIFICATE"
            _, *certificates = Path(url.ca).read_bytes().split(begin)
            if not certificates:
                raise ValueError("there is none in the file")
            trusted = trustRootFromCertificates(
                [Certificate.loadPEM(begin + each) for each in certificates]
            )
        own = None
        if url.cert:
            pem = Path(url.cert).read_bytes() + b"\n" + Path(url.key).read_bytes()
            own = PrivateCertificate.loadPEM(pem)
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"a certificate or its key is not valid: {error}") from error
    return optionsForClientTLS(url.hosts[0][0], trustRoot=trusted, clientCertificate=own)


@implementer(IStreamClientEndpoint)
class SentinelEndpoint:
    """
    The server that Sentinels name, looked up for each connection.
    """

    def __init__(self, url: RedisURL, reactor: Any) -> None:
        self._url = url
        self._reactor = reactor
        self._sentinels: Any = None

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Ask, and connect.
        """
        if self._sentinels is None:
            self._sentinels = txredisapi.Sentinel(
                self._url.hosts, password=self._url.sentinelPassword or None, connectTimeout=TIMEOUT
            )
            self._sentinels.discovery_timeout = TIMEOUT

        def found(address: tuple[str, int]) -> Deferred[IProtocol]:
            host, port = address
            endpoint = HostnameEndpoint(self._reactor, host, port, timeout=TIMEOUT)
            return endpoint.connect(protocolFactory)

        asked: Deferred[tuple[str, int]] = self._sentinels.discover_master(self._url.master)
        return asked.addCallback(found)

    def stop(self) -> Deferred[object] | None:
        """
        Disconnect from the Sentinels.
        """
        sentinels, self._sentinels = self._sentinels, None
        return None if sentinels is None else sentinels.disconnect()
