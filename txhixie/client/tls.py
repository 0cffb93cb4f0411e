"""
TLS to a server.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IStreamClientEndpoint
from zope.interface import implementer

from txhixie.dialects.errors import OpeningError


def overTLS(
    endpoint: IStreamClientEndpoint,
    hostname: str,
    tls: IOpenSSLClientConnectionCreator | None = None,
) -> IStreamClientEndpoint:
    """
    Return an endpoint that speaks TLS over another one, and checks the name of the server.

    @param tls: makes the connections, if given.
    @raise OpeningError: if the packages for TLS are not installed.
    """
    try:
        from twisted.internet.ssl import optionsForClientTLS
    except ImportError as error:
        raise OpeningError(f"wss needs TLS: pip install 'txhixie[tls]' ({error})") from None
    return wrapClientTLS(tls or optionsForClientTLS(hostname), endpoint)


@implementer(IOpenSSLClientConnectionCreator)
class Unverified:
    """
    TLS that accepts any certificate: the data is encrypted, but the server is not authenticated.
    """

    def __init__(self, hostname: str) -> None:
        self._hostname = hostname

    def clientConnectionForTLS(self, protocol: Any) -> Any:
        """
        Return a connection that names the server, but does not check its certificate.
        """
        from OpenSSL.SSL import Connection
        from twisted.internet.ssl import CertificateOptions

        connection = Connection(CertificateOptions().getContext(), None)
        connection.set_tlsext_host_name(self._hostname.encode("idna"))
        return connection
