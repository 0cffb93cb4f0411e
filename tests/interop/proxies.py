"""
Real proxies in front of the server: how each is set up, which dialects pass, and why others do not.

C{python -m tests.interop.proxies --write docs/proxies.md} writes the document. The configurations
are those in C{docs/proxies}, except for ports and folders.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import NoReturn

import pytest

from ..certificates import selfSigned
from .ghost import freePort
from .relay import Relay
from .server import PROJECT, Child, Server
from .strict import CLIENTS, dial

FILES = PROJECT / "docs" / "proxies"
NODE = PROJECT / ".peers" / "node" / "node_modules"
APACHE_MODULES = Path("/usr/lib/apache2/modules")
# Values in the configurations that each test replaces.
SERVER_PORT = "3400"
CERTIFICATES = "/etc/ssl/txhixie"
HOST = "chat.example.com"
REPLACED = re.compile(rf"(?<![\w.])(?:{SERVER_PORT}|80|443)\b|0\.0\.0\.0|{CERTIFICATES}")
# The path of the WebSockets.
WEBSOCKET = "/echo?x=%20"


@dataclass(frozen=True)
class Impossible:
    """
    Why a dialect cannot pass a proxy.

    @ivar reason: shown in the document.
    @ivar refusal: a regular expression for what a client of this dialect objects to in its answer.
    """

    reason: str
    refusal: str


@dataclass(frozen=True)
class Way:
    """
    A way from a client to the server.

    @ivar title: its name in the document.
    @ivar file: the configuration, in C{docs/proxies}.
    @ivar command: makes the command that runs the proxy, from the file and the port.
    @ivar changes: what is replaced in the file, for a variant of it.
    @ivar endpoint: where the server listens.
    @ivar options: further options of the server.
    @ivar pools: whether the proxy keeps its connections to the server, and sends requests of any
        client on them.
    @ivar tells: whether the server gets the address of the client.
    @ivar impossible: the dialects that cannot pass.
    """

    title: str
    file: str
    command: Callable[[Path, int], list[str]]
    changes: Mapping[str, str] = field(default_factory=dict)
    endpoint: str = "tcp:3400:interface=127.0.0.1"
    options: tuple[str, ...] = ()
    pools: bool = False
    tells: bool = False
    impossible: Mapping[str, Impossible] = field(default_factory=dict)

    @property
    def template(self) -> str:
        """
        The configuration as the document shows it.
        """
        return (FILES / self.file).read_text(encoding="utf-8")

    @property
    def secure(self) -> bool:
        """
        Whether clients use TLS.
        """
        return CERTIFICATES in self.template

    def configuration(self, port: int, server: int, folder: Path) -> str:
        """
        The configuration that is tested.

        @param port: where the proxy listens.
        @param server: where the server does.
        @param folder: where the certificate and its key are.
        """
        text = self.template
        for old, new in self.changes.items():
            assert old in text
            text = text.replace(old, new)
        values = {
            "0.0.0.0": "127.0.0.1",
            "80": str(port),
            "443": str(port),
            SERVER_PORT: str(server),
            CERTIFICATES: str(folder),
        }
        return REPLACED.sub(lambda match: values[match[0]], text)


def program(name: str, package: str) -> str:
    """
    The path of a program. Where it is not installed, the test is skipped, or fails if the
    environment variable CI is set.

    @param package: the Debian package that contains it.
    """
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    return found or missing(f"{name} is missing, install it with: apt-get install {package}")


def missing(message: str) -> NoReturn:
    """
    Skip the test, or fail it if the environment variable CI is set.
    """
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


# How the proxies are run: in the foreground, in a single process (or one that ends the others with
# it), and without writing outside the folder of the configuration.


def nginx(file: Path, port: int) -> list[str]:
    """
    Include the file, as Debian's nginx does with those in conf.d.
    """
    main = file.with_name("main.conf")
    temporary = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    main.write_text(
        "daemon off; master_process off; error_log stderr;\n"
        f"pid {file.parent}/pid;\n"
        "events {}\n"
        "http {\n"
        + "".join(f"    {name}_temp_path {file.parent}/{name};\n" for name in temporary)
        + f"    access_log off;\n    include {file};\n"
        "}\n"
    )
    return [program("nginx", "nginx-light"), "-e", "stderr", "-c", str(main)]


def haproxy(file: Path, port: int) -> list[str]:
    """
    Read only this file.
    """
    return [program("haproxy", "haproxy"), "-db", "-f", str(file)]


def apache(file: Path, port: int) -> list[str]:
    """
    Give the modules and the port on the command line; on Debian they come from other files.
    """
    directives = [
        f"PidFile {file.parent}/pid",
        "ErrorLog /dev/stderr",
        "ServerName 127.0.0.1",
        f"Listen 127.0.0.1:{port}",
    ]
    for name in ("mpm_event", "authz_core", *said(file, "a2enmod")):
        directives.append(f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so")
    if os.geteuid() == 0:
        directives += ["User www-data", "Group www-data"]
    command = [program("apache2", "apache2-bin"), "-X", "-d", str(file.parent), "-f", str(file)]
    for directive in directives:
        command += ["-C", directive]
    return command


def varnish(file: Path, port: int) -> list[str]:
    """
    Start it as its file says.
    """
    command = [program("varnishd", "varnish"), *said(file, "varnishd")]
    command[command.index("/etc/varnish/txhixie.vcl")] = str(file)
    folder = str(file.with_name("varnish"))
    return [*command, "-F", "-j", "none", "-T", "none", "-n", folder, "-s", "default,16m"]


def stunnel(file: Path, port: int) -> list[str]:
    """
    Keep it in the foreground with an option in its file.
    """
    main = file.with_name("main.conf")
    main.write_text(f"foreground = yes\npid =\n{file.read_text(encoding='utf-8')}")
    return [program("stunnel", "stunnel4"), str(main)]


def node(file: Path, port: int) -> list[str]:
    """
    Run the program.
    """
    if not (NODE / "http-proxy").is_dir():
        missing("http-proxy is missing, install it with: tests/interop/install-node-peers")
    return [program("node", "nodejs"), str(file)]


def said(file: Path, command: str) -> list[str]:
    """
    The arguments of a command that a comment in a configuration tells the reader to run.
    """
    found = re.search(rf"^# {command} (.*?)(?:;|$)", file.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    return shlex.split(found[1])


_OTHER_LINES = r"other first lines: b'HTTP/1\.1 101 "
_NGINX_75 = Impossible(
    "nginx puts its `Server` and `Date` before `Upgrade`",
    _OTHER_LINES + r"Web Socket Protocol Handshake\\r\\nServer: nginx.*\\nUpgrade: WebSocket\\r",
)
_APACHE_75 = Impossible(
    "Apache puts `Upgrade` after the other fields",
    _OTHER_LINES
    + r"Web Socket Protocol Handshake\\r\\n(?!Upgrade).*\\nUpgrade: WebSocket\\r\\n\\r\\n'",
)
_NODE_75 = Impossible(
    "http-proxy writes the status line and the names of the fields in its own way",
    _OTHER_LINES + r"Switching Protocols\\r\\nupgrade: WebSocket\\r",
)
_HAPROXY_400 = Impossible(
    "HAProxy itself answers 400 to an upgrade without `Sec-WebSocket-Key`",
    r"b'HTTP/1\.1 400 Bad request\\r",
)
_NO_PORT = Impossible(
    "`$host` has no port, so the location in the answer lacks it, unless it is 80 or 443",
    r"sec-websocket-location is \[b'ws://127\.0\.0\.1/echo",
)

_TRUST = ("--trust-proxy", "127.0.0.1")
_LOCATION = ("--location", f"wss://{HOST}")
_PROXY_PROTOCOL = "haproxy:tcp:3400:interface=127.0.0.1"
_NOT_75 = {"hixie-75": _NGINX_75}
_NOT_HIXIE = {"hixie-75": _HAPROXY_400, "hixie-76": _HAPROXY_400}

WAYS: dict[str, Way] = {
    "nginx": Way(
        "nginx",
        "nginx.conf",
        nginx,
        options=_TRUST,
        pools=True,
        tells=True,
        impossible=_NOT_75,
    ),
    "nginx-without-keepalive": Way(
        "nginx without `keepalive`",
        "nginx.conf",
        nginx,
        changes={"    keepalive 16;\n": ""},
        options=_TRUST,
        tells=True,
        impossible=_NOT_75,
    ),
    "nginx-host": Way(
        "nginx with `Host $host`",
        "nginx.conf",
        nginx,
        changes={"Host $http_host": "Host $host"},
        options=_TRUST,
        pools=True,
        tells=True,
        impossible={**_NOT_75, "hixie-76": _NO_PORT},
    ),
    "nginx-tls": Way(
        "nginx that ends TLS",
        "nginx-tls.conf",
        nginx,
        options=_TRUST,
        pools=True,
        tells=True,
        impossible=_NOT_75,
    ),
    "haproxy-tcp": Way("HAProxy, `mode tcp`", "haproxy-tcp.cfg", haproxy),
    "haproxy-send-proxy-v2": Way(
        "HAProxy, `mode tcp`, `send-proxy-v2`",
        "haproxy-send-proxy.cfg",
        haproxy,
        endpoint=_PROXY_PROTOCOL,
        tells=True,
    ),
    "haproxy-send-proxy": Way(
        "HAProxy, `mode tcp`, `send-proxy`",
        "haproxy-send-proxy.cfg",
        haproxy,
        changes={"3400 send-proxy-v2": "3400 send-proxy"},
        endpoint=_PROXY_PROTOCOL,
        tells=True,
    ),
    "haproxy-tcp-tls": Way(
        "HAProxy, `mode tcp`, that ends TLS",
        "haproxy-tcp-tls.cfg",
        haproxy,
        options=_LOCATION,
    ),
    "haproxy-http": Way(
        "HAProxy, `mode http`",
        "haproxy-http.cfg",
        haproxy,
        options=_TRUST,
        pools=True,
        tells=True,
        impossible=_NOT_HIXIE,
    ),
    "haproxy-http-tls": Way(
        "HAProxy, `mode http`, that ends TLS",
        "haproxy-http-tls.cfg",
        haproxy,
        options=_TRUST,
        pools=True,
        tells=True,
        impossible=_NOT_HIXIE,
    ),
    "apache": Way(
        "Apache",
        "apache.conf",
        apache,
        options=_TRUST,
        pools=True,
        tells=True,
        impossible={"hixie-75": _APACHE_75},
    ),
    "varnish": Way("Varnish", "varnish.vcl", varnish, options=_TRUST, pools=True, tells=True),
    "stunnel": Way(
        "stunnel",
        "stunnel.conf",
        stunnel,
        endpoint=_PROXY_PROTOCOL,
        options=_LOCATION,
        tells=True,
    ),
    "stunnel-without-protocol": Way(
        "stunnel without `protocol = proxy`",
        "stunnel.conf",
        stunnel,
        changes={"protocol = proxy\n": ""},
        options=_LOCATION,
    ),
    "http-proxy": Way(
        "http-proxy, of Node",
        "http-proxy.js",
        node,
        options=_TRUST,
        pools=True,
        tells=True,
        impossible={"hixie-75": _NODE_75},
    ),
}


class Proxy(Child):
    """
    A proxy as a child process.
    """

    def __init__(self, way: Way, port: int, server: int, folder: Path) -> None:
        """
        @param port: where it listens.
        @param server: where the server does, or what is before it.
        @param folder: where its files go, and the certificate and its key are.
        """
        file = folder / way.file
        file.write_text(way.configuration(port, server, folder), encoding="utf-8")
        super().__init__(
            way.command(file, port), cwd=str(folder), env={**os.environ, "NODE_PATH": str(NODE)}
        )
        try:
            self._waitForPort(port)
        except BaseException:
            self.end()
            raise

    def _waitForPort(self, port: int, seconds: float = 15) -> None:
        deadline = monotonic() + seconds
        while monotonic() < deadline:
            with suppress(ConnectionRefusedError):
                dial(port).close()
                return
            # Each proxy announces in a different way that it listens.
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(0.02)
                pytest.fail("the proxy ended at once")
        pytest.fail(f"the proxy does not listen within {seconds} s")


@dataclass(frozen=True)
class Front:
    """
    A server with a proxy before it, both running.

    @ivar port: the port of the proxy.
    @ivar context: what a client by TLS needs.
    @ivar relay: what is between the two, if anything.
    """

    way: Way
    port: int
    context: ssl.SSLContext | None
    relay: Relay | None

    def url(self, path: str, scheme: str = "ws") -> str:
        """
        The address of a path.
        """
        return f"{scheme}{'s' if self.way.secure else ''}://127.0.0.1:{self.port}{path}"

    def dial(self, source: str = "127.0.0.1") -> socket.socket:
        """
        A new connection to the proxy.

        @param source: the address that it comes from.
        """
        return dial(self.port, self.context, source)

    def usedAgain(self) -> bool:
        """
        Whether the last WebSocket used a connection to the server that pages had used.
        """
        assert self.relay is not None
        (*_, carried) = (each for each in self.relay.requests() if WEBSOCKET in each)
        return len(carried) > 1


@contextmanager
def running(way: Way, *options: str, relayed: bool = False) -> Iterator[Front]:
    """
    Run a server with a proxy before it.

    @param options: more options of the server.
    @param relayed: whether a relay is between the two.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="proxy-")))
        # Apache reads as another user.
        folder.chmod(0o755)
        port = freePort()
        context = None
        if way.secure:
            key, certificate = selfSigned(folder)
            (folder / "both.pem").write_bytes(certificate.read_bytes() + key.read_bytes())
            context = ssl.create_default_context(cafile=str(certificate))
        moved = [option.replace(HOST, f"127.0.0.1:{port}") for option in (*way.options, *options)]
        backend = 0
        if way.endpoint.startswith("haproxy:"):
            backend = freePort()
            moved += ["--port", way.endpoint.replace(SERVER_PORT, str(backend))]
        server = stack.enter_context(Server(*moved))
        if backend:
            server.waitForLog(rf"starting on {backend}$")
        relay = stack.enter_context(Relay(backend or server.port)) if relayed else None
        target = relay.port if relay else backend or server.port
        stack.enter_context(Proxy(way, port, target, folder))
        yield Front(way, port, context, relay)


_OPENING = """\
# Behind a proxy

Each configuration on this page is complete. The tests run it with the proxy of Debian 12; only
ports and folders are different there. A client of each dialect opens a WebSocket, gets texts of
1 byte and of 100 KB echoed, and closes. It does so three times: on a new connection, on a
connection on which it loaded pages before, and while the proxy keeps a connection to the server
that carried pages. The clients check all that the browsers of the dialect checked.

"""

_RULES = """
Four rules hold for all of them:

- **The first lines.** A client of Hixie-75 compares the first 85 bytes of the answer. Most proxies
  that understand HTTP write the answer anew, and differently. A proxy that passes on the bytes as
  they are serves all dialects: HAProxy in TCP mode, stunnel, and Varnish with `pipe`.
- **The location.** Clients of Hixie-75 and Hixie-76 compare the location in the answer with the
  URL, byte for byte. So the server has to know the scheme, the host and the port that they use.
  Either the proxy passes on `Host` with its port, and adds `X-Forwarded-Proto` if it ends TLS, and
  the server trusts it (`--trust-proxy`). Or `--location` gives the server its own address.
- **The client's address.** The server sees the proxy's address as that of every client, in its
  log, in the application and for `--max-per-address`. It sees the client's own if the proxy uses
  the PROXY protocol, or adds `X-Forwarded-For` and is trusted (`--trust-proxy`).
- **Quiet connections.** Proxies close connections that are quiet, often after a minute; the
  configurations here say an hour. The server pings clients that have pings (`--ping-interval`). In
  Hixie-75 and Hixie-76 there are none: use `--heartbeat`.
"""

# What is said about each configuration, by its file.
_SECTIONS: dict[str, tuple[str, str]] = {
    "nginx.conf": (
        "nginx",
        "It works without the line `keepalive 16;`, too. Then each request is a new connection to "
        "the server.",
    ),
    "nginx-tls.conf": ("nginx that ends TLS", ""),
    "haproxy-tcp.cfg": (
        "HAProxy in TCP mode",
        "The server does not see the addresses of clients. With the next configuration it does.",
    ),
    "haproxy-send-proxy.cfg": ("HAProxy in TCP mode, with the PROXY protocol", ""),
    "haproxy-tcp-tls.cfg": ("HAProxy in TCP mode that ends TLS", ""),
    "haproxy-http.cfg": ("HAProxy in HTTP mode", ""),
    "haproxy-http-tls.cfg": ("HAProxy in HTTP mode that ends TLS", ""),
    "apache.conf": (
        "Apache",
        "Apache 2.4.47 or newer. It adds `X-Forwarded-For` and `X-Forwarded-Host` by itself.",
    ),
    "varnish.vcl": ("Varnish", "Varnish adds `X-Forwarded-For` by itself."),
    "stunnel.conf": (
        "stunnel",
        "It works without the line `protocol = proxy`, too, and then with "
        "`--port tcp:3400:interface=127.0.0.1`. But then the server does not see the addresses of "
        "clients.",
    ),
    "http-proxy.js": ("http-proxy, of Node", ""),
}
_LANGUAGES = {".conf": "", ".cfg": "", ".vcl": "", ".js": "js"}


def document() -> str:
    """
    The page about proxies.
    """
    text = _OPENING + _table() + _RULES
    for file, (heading, said) in _SECTIONS.items():
        way = next(way for way in WAYS.values() if way.file == file and not way.changes)
        command = shlex.join(["twistd", "-n", "hixie", "--port", way.endpoint, *way.options])
        text += f"\n## {heading}\n\n" + (f"{_wrapped(said)}\n\n" if said else "")
        text += f"```{_LANGUAGES[Path(file).suffix]}\n{way.template}```\n\n```sh\n{command}\n```\n"
    return text


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 100, break_long_words=False, break_on_hyphens=False))


def _table() -> str:
    lines = [
        f"| through | {' | '.join(CLIENTS)} | why not |",
        "|---" * (len(CLIENTS) + 2) + "|",
    ]
    for way in WAYS.values():
        cells = ["no" if dialect in way.impossible else "yes" for dialect in CLIENTS]
        byReason: dict[str, list[str]] = {}
        for dialect, impossible in way.impossible.items():
            byReason.setdefault(impossible.reason, []).append(dialect)
        # Which dialect a reason is for only matters if there are several.
        reasons = [
            reason if len(byReason) == 1 else f"{' and '.join(dialects)}: {reason}"
            for reason, dialects in byReason.items()
        ]
        anchor = re.sub(r"[^\w -]", "", _SECTIONS[way.file][0]).lower().replace(" ", "-")
        row = [f"[{way.title}](#{anchor})", *cells, "; ".join(reasons)]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The page about proxies, on standard output.")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write it there instead")
    target = parser.parse_args().write
    if target is None:
        print(document(), end="")
    else:
        target.write_text(document(), encoding="utf-8")
