"""
The URL of a WebSocket, as a client has it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from txhixie.addresses import parseAuthority

_URL = re.compile(r"(wss?)://([^/?#]*)([^#]*)", re.IGNORECASE)
# All printable ASCII stays as it is in a target.
_SAFE = bytes(range(0x21, 0x7F)).decode("ascii")


@dataclass(frozen=True, slots=True)
class WebSocketURL:
    """
    A C{ws} or C{wss} URL in the form in which both sides compare it (draft 75 and 76 section 3.1
    and 3.2).

    @ivar isSecure: whether it is C{wss}.
    @ivar host: the host in lower case, with the brackets of an IPv6 address.
    @ivar port: the port.
    @ivar target: path and query.
    """

    isSecure: bool
    host: bytes
    port: int
    target: bytes

    @classmethod
    def parse(cls, text: str) -> WebSocketURL:
        """
        @raise ValueError: if C{text} is not the URL of a WebSocket. Such a URL has no fragment (RFC
            6455 section 3), and no user, which belongs in a header field.
        """
        match = _URL.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not like ws://host:port/path, without a fragment")
        authority = parseAuthority(_hostText(match[2]))
        if authority is None:
            raise ValueError(f"{text!r} has no proper host and port")
        if any(ord(character) < 0x20 or character == "\x7f" for character in match[3]):
            raise ValueError(f"{text!r} has a control character")
        isSecure = match[1].lower() == "wss"
        host, port = authority
        target = match[3] if match[3].startswith("/") else "/" + match[3]
        return cls(
            isSecure,
            host.lower(),
            port or (443 if isSecure else 80),
            quote(target, safe=_SAFE).encode("ascii"),
        )

    @property
    def hostname(self) -> str:
        """
        The host without brackets.
        """
        return self.host.decode("ascii").strip("[]")

    @property
    def authority(self) -> bytes:
        """
        Host and port as C{Host} has them: without the default port.
        """
        isDefault = self.port == (443 if self.isSecure else 80)
        return self.host if isDefault else b"%b:%d" % (self.host, self.port)

    @property
    def location(self) -> bytes:
        """
        The whole URL, as the Hixie dialects compare it.
        """
        return b"%b://%b%b" % (b"wss" if self.isSecure else b"ws", self.authority, self.target)

    @property
    def origin(self) -> bytes:
        """
        The origin of a page from the same server.
        """
        return b"%b://%b" % (b"https" if self.isSecure else b"http", self.authority)


def _hostText(text: str) -> bytes:
    if text.isascii():
        return text.encode("ascii")
    name, colon, port = text.partition(":")
    try:
        return name.encode("idna") + (colon + port).encode("ascii")
    except UnicodeError:
        raise ValueError(f"{text!r} is not the name of a host") from None
