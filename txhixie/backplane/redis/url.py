"""
The URLs of Redis servers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

PORT = 6379
SENTINEL_PORT = 26379

_TLS = ("ca", "cert", "key")
# What may be in the query, by the scheme.
_QUERIES = {
    "redis": ("db", "password-file"),
    "rediss": ("db", "password-file", *_TLS),
    "redis+unix": ("db", "password-file"),
    "redis+sentinel": ("db", "password-file", "sentinel-password"),
}


@dataclass(frozen=True, slots=True)
class RedisURL:
    """
    Where a Redis server is, and how to log in.

    @ivar hosts: hosts and ports, of the server or of the Sentinels.
    @ivar path: of a Unix socket, instead of hosts.
    @ivar master: the name by which Sentinels know the server.
    @ivar ca: a file with the certificates to trust; empty: those the system trusts.
    @ivar cert: a file with the certificate to show the server.
    @ivar key: a file with its private key.
    """

    scheme: str
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    db: int = 0
    user: str = ""
    password: str = ""
    master: str = ""
    sentinelPassword: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""

    def __str__(self) -> str:
        """
        Return it without what is secret.
        """
        if self.path:
            return f"{self.scheme}://{self.path}?db={self.db}"
        hosts = ",".join(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts
        )
        return "/".join([f"{self.scheme}://{hosts}", *filter(None, [self.master]), str(self.db)])


def parseURL(url: str) -> RedisURL:
    """
    Read a URL.

    @raise ValueError: if it makes no sense, with one line that says why. It does not repeat the
        URL, which may hold a password.
    @raise OSError: if a file of a password cannot be read.
    """
    parts = urlsplit(url)
    if parts.scheme not in _QUERIES:
        raise ValueError(f"{parts.scheme}: is none of {', '.join(_QUERIES)}")
    if parts.fragment:
        raise ValueError("the URL has a #; within the password it is written as %23")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in query:
        if name not in _QUERIES[parts.scheme]:
            raise ValueError(f"{parts.scheme} has no {name!r}")
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    if "password-file" in query:
        password = Path(query["password-file"]).read_text().strip()
    if query.get("cert", "") and not query.get("key", ""):
        raise ValueError("cert needs a key, too")
    place, db = _place(parts, hosts)
    return replace(
        place,
        db=_number("database", query.get("db", "") or db or "0"),
        user=unquote(user),
        password=password if "password-file" in query else unquote(password),
        sentinelPassword=query.get("sentinel-password", ""),
        ca=query.get("ca", ""),
        cert=query.get("cert", ""),
        key=query.get("key", ""),
    )


def _place(parts: SplitResult, hosts: str) -> tuple[RedisURL, str]:
    """
    Return where the server is, and the number of the database as it is in the path.
    """
    scheme = parts.scheme
    if scheme == "redis+unix":
        if hosts or not parts.path.strip("/"):
            raise ValueError("a Unix socket is written as redis+unix:///path/to/socket")
        return RedisURL(scheme, path=unquote(parts.path)), ""
    segments = [unquote(each) for each in parts.path.strip("/").split("/")]
    if scheme == "redis+sentinel":
        if not segments[0] or len(segments) > 2 or not hosts:
            raise ValueError("Sentinels are written as redis+sentinel://host:port,host:port/master")
        found = tuple(_host(each, SENTINEL_PORT) for each in hosts.split(","))
        return RedisURL(scheme, found, master=segments[0]), "".join(segments[1:])
    if len(segments) > 1:
        raise ValueError("after the host there is only the number of a database")
    return RedisURL(scheme, (_host(hosts or "localhost", PORT),)), segments[0]


def _host(text: str, default: int) -> tuple[str, int]:
    """
    Return a host and its port.
    """
    host, bracket, port = text.rpartition("]")
    if bracket:
        host = host.removeprefix("[")
        port = port.removeprefix(":")
    else:
        host, _, port = text.partition(":")
    number = _number("port", port or str(default))
    if not host or not 1 <= number <= 65535:
        raise ValueError(f"{text!r} is no host and port")
    return host, number


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise ValueError(f"{text!r} is no number of a {name}")
    return int(text)
