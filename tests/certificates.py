"""Keys and certificates for tests over TLS."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.plugin import getPlugins

# Descriptions of ports with TLS, whose key and certificate are in a folder.
TLS = {
    "ssl": "ssl:0:interface=127.0.0.1:privateKey={0}/key.pem:certKey={0}/cert.pem",
    "tls": "tls:{0}:port=0:interface=127.0.0.1",
}


def selfSigned(folder: Path) -> tuple[Path, Path]:
    """
    @return: the files of a new key and of its certificate, for 127.0.0.1, ::1 and localhost.
    """
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "txhixie test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [
                    x509.DNSName("localhost"),
                    x509.IPAddress(IPv4Address("127.0.0.1")),
                    x509.IPAddress(IPv6Address("::1")),
                ]
            ),
            critical=False,
        )
        .sign(key, SHA256())
    )
    keyFile, certificateFile = folder / "key.pem", folder / "cert.pem"
    keyFile.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    certificateFile.write_bytes(certificate.public_bytes(Encoding.PEM))
    return keyFile, certificateFile


def makeTLS(kind: str, folder: Path) -> str:
    """
    Make a key and a certificate.

    @return: the description of a port that uses them.
    """
    pytest.importorskip("OpenSSL")
    parsers = getPlugins(IStreamServerEndpointStringParser)
    if kind not in {parser.prefix for parser in parsers} | {"ssl"}:
        pytest.skip(f"this Twisted has no {kind}: endpoints: pip install --upgrade twisted")
    selfSigned(folder)
    return TLS[kind].format(folder)
