"""
The heads of HTTP requests and answers as values, and the HTTP answer that refuses a request.

Nothing here knows Twisted: bytes in, values out.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from http import HTTPStatus

# RFC 9110 section 5.6.2: what a field name and a method may consist of.
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# TAB is white space in HTTP, and a Java client puts DEL into its keys: both stay.
_NOT_CONTROL = bytes(byte for byte in range(256) if byte == 0x09 or byte >= 0x20)
_HTTP_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")
_STATUS_LINE = re.compile(rb"[!-~]+ [0-9]{3}(?: .*)?", re.DOTALL)
# The path of a WebSocket (draft 76 section 5.1): there is no fragment.
_TARGET = re.compile(rb"/[!\"$-~]*")
# The absolute form of a target (RFC 9112 section 3.2.2).
_ABSOLUTE = re.compile(rb"(?:https?|wss?)://([^/?#]+)(.*)", re.IGNORECASE | re.DOTALL)
# Only an opening handshake has one of these.
_HANDSHAKE_FIELDS = frozenset(
    {
        b"sec-websocket-key",
        b"sec-websocket-key1",
        b"sec-websocket-key2",
        b"sec-websocket-version",
    }
)


# The longest value of a field whose members are remembered.
_SHORT = 64
# Seconds after which a client may try again: spread, so that not all come at once.
_RETRY_AFTER = (5, 15)


class HandshakeError(Exception):
    """
    A request that is refused before the upgrade, with the HTTP answer it gets.

    The dialects raise it for a request they cannot accept; an application raises it from
    C{buildProtocol} to refuse a client with a status of its choice.

    @ivar status: the HTTP status code of the answer.
    @ivar text: one line that says why; it becomes the body and the log event.
    @ivar headers: further header fields of the answer.
    """

    def __init__(
        self,
        status: int,
        text: str = "",
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        """
        @param status: an HTTP error status, 400 to 599.
        @param text: why, in one line; the status's own phrase when empty.
        @param headers: names and values of further header fields.

        @raise ValueError: if C{status} is no HTTP error status.
        """
        if not 400 <= status <= 599:
            raise ValueError(f"{status} is not an HTTP error status")
        self.status = status
        self.text = text or _phrase(status)
        self.headers = tuple(headers)
        super().__init__(status, self.text)

    def response(self, method: bytes = b"GET") -> bytes:
        """
        Return the whole HTTP answer, after which the connection ends.

        @param method: the request's; there is no body in an answer to HEAD.
        """
        body = self.text.encode("utf-8", "replace") + b"\n"
        fields = [
            *self.headers,
            (b"Content-Type", b"text/plain; charset=utf-8"),
            (b"Content-Length", b"%d" % len(body)),
            (b"Connection", b"Upgrade, close" if self.status == 426 else b"close"),
        ]
        head = b"HTTP/1.1 %d %b\r\n" % (self.status, _phrase(self.status).encode("ascii"))
        return (
            head
            + b"".join(b"%b: %b\r\n" % field for field in fields)
            + b"\r\n"
            + (b"" if method == b"HEAD" else body)
        )


def comeAgain(text: str, status: int = 503) -> HandshakeError:
    """
    Return the answer to a client that may try again later, with C{Retry-After}.

    @param text: the reason.
    """
    seconds = random.randint(*_RETRY_AFTER)
    return HandshakeError(status, text, [(b"Retry-After", b"%d" % seconds)])


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Refused"


def _readFields(lines: list[bytes]) -> tuple[dict[bytes, list[bytes]], str]:
    """
    Return the header fields of a head, and what is wrong with its lines or an empty string.
    """
    flaw = ""
    fields: dict[bytes, list[bytes]] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name):
            flaw = flaw or "a header line is not a name, a colon and a value"
            continue
        name = name.lower()
        value = value.strip(b" \t")
        if name in fields:
            fields[name].append(value)
        else:
            fields[name] = [value]
    # Deleting the allowed characters is several times faster than searching for the others.
    if not flaw and b"".join(lines).translate(None, _NOT_CONTROL):
        flaw = "there is a control character in the head"
    return fields, flaw


@lru_cache(maxsize=256)
def _members(value: bytes) -> tuple[bytes, ...]:
    return tuple(token.strip(b" \t").lower() for token in value.split(b","))


def _tokens(fields: dict[bytes, list[bytes]], name: bytes) -> list[bytes]:
    found: list[bytes] = []
    for value in fields.get(name, ()):
        # Most clients send one of a few short values.
        found += _members(value) if len(value) <= _SHORT else _members.__wrapped__(value)
    return found


def isField(name: bytes, value: bytes) -> bool:
    """
    Return whether a name and a value may be a header field.
    """
    return bool(_TOKEN.fullmatch(name)) and not value.translate(None, _NOT_CONTROL)


@dataclass(frozen=True, slots=True)
class RequestHead:
    """
    A request line and the header fields after it.

    @ivar method: as sent; empty if the request line is malformed.
    @ivar target: the request target, byte for byte.
    @ivar version: as sent, C{b"HTTP/1.1"}.
    @ivar fields: lower-case field names and the values each was sent with, in order; white space
        around a value is gone.
    @ivar raw: the head as it was received, the empty line included.
    @ivar flaw: what is wrong with its syntax, or an empty string. A plain HTTP server has its
        own tolerance, so this is for those who are about to upgrade.
    @ivar prefix: what a proxy cut off from the front of the target that the client asked for.
    """

    method: bytes
    target: bytes
    version: bytes
    fields: dict[bytes, list[bytes]]
    raw: bytes
    flaw: str = ""
    prefix: bytes = b""

    @classmethod
    def parse(cls, lines: list[bytes]) -> RequestHead:
        """
        @param lines: the request line and the field lines, without line ends.

        @return: the head. Nothing is raised: L{flaw} says what is wrong.
        """
        flaw = ""
        words = lines[0].split(b" ")
        if len(words) == 3:
            method, target, version = words
        else:
            method = target = version = b""
            flaw = "the request line is not three words"
        fields, flawOfFields = _readFields(lines)
        raw = b"\r\n".join([*lines, b"", b""])
        return cls(method, target, version, fields, raw, flaw or flawOfFields)

    def single(self, name: bytes) -> bytes | None:
        """
        The value of a field that may be sent once at most.

        @param name: in lower case.
        @return: the value, or C{None} where the field is absent.
        @raise HandshakeError: 400 if the field was sent more than once.
        """
        values = self.fields.get(name)
        if values is None:
            return None
        if len(values) > 1:
            raise HandshakeError(400, f"more than one {name.decode()} header field")
        return values[0]

    def tokens(self, name: bytes) -> list[bytes]:
        """
        @param name: in lower case.
        @return: the members of a comma-separated list in lower case, over all its lines.
        """
        return _tokens(self.fields, name)

    @property
    def asksForUpgrade(self) -> bool:
        """
        Whether this request asks for a WebSocket at all; all other requests are plain HTTP.
        """
        return b"websocket" in self.tokens(b"upgrade")

    @property
    def isHandshake(self) -> bool:
        """
        Whether this is an opening handshake, or was one before a proxy dropped its C{Upgrade}.
        """
        if self.asksForUpgrade:
            return True
        return self.method == b"GET" and not _HANDSHAKE_FIELDS.isdisjoint(self.fields)

    @property
    def isAbsolute(self) -> bool:
        """
        Whether the target is a whole URL, as clients send it to proxies.
        """
        return _ABSOLUTE.fullmatch(self.target) is not None

    def inOriginForm(self) -> RequestHead:
        """
        Return the same request with a path as its target. The host of an absolute target replaces
        C{Host} (RFC 9112 section 3.2.2).
        """
        match = _ABSOLUTE.fullmatch(self.target)
        if match is None:
            return self
        path = match[2] if match[2].startswith(b"/") else b"/" + match[2]
        return replace(self, target=path, fields={**self.fields, b"host": [match[1]]})

    def checkUpgrade(self) -> None:
        """
        Check what every dialect demands of its opening handshake (draft 75 section 5.2, draft 76
        section 5.1, RFC 6455 section 4.2.1).

        @raise HandshakeError: 405 for a method other than GET, 400 for the rest.
        """
        if self.flaw:
            raise HandshakeError(400, self.flaw)
        if self.method != b"GET":
            raise HandshakeError(405, "a WebSocket is opened with GET", [(b"Allow", b"GET")])
        if not _TARGET.fullmatch(self.inOriginForm().target):
            raise HandshakeError(400, "the request target is not an absolute path")
        if self.version != b"HTTP/1.1":
            raise HandshakeError(400, "a WebSocket is opened with HTTP/1.1")

    @property
    def lostField(self) -> str | None:
        """
        Which field is missing for an opening handshake: C{"Upgrade"} or C{"Connection"}. Proxies
        drop both by default.
        """
        if not self.asksForUpgrade:
            return "Upgrade"
        return None if b"upgrade" in self.tokens(b"connection") else "Connection"

    def checkNoBody(self, contentLength: bytes) -> None:
        """
        Check that what follows an opening handshake is not claimed to be an HTTP body.

        @param contentLength: the C{Content-Length} it may have all the same.
        @raise HandshakeError: 400 if it is.
        """
        bodySize = self.single(b"content-length")
        if bodySize not in (None, contentLength) or b"transfer-encoding" in self.fields:
            raise HandshakeError(400, "an opening handshake has no body")


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """
    A status line and the header fields after it.

    @ivar version: as sent, C{b"HTTP/1.1"}.
    @ivar status: the status, or 0 if the status line is malformed.
    @ivar reason: the phrase after the status.
    @ivar fields: as in L{RequestHead}.
    @ivar lines: all lines as they were received.
    @ivar flaw: what is wrong with the syntax, or an empty string.
    """

    version: bytes
    status: int
    reason: bytes
    fields: dict[bytes, list[bytes]]
    lines: tuple[bytes, ...]
    flaw: str = ""

    @classmethod
    def parse(cls, lines: list[bytes]) -> ResponseHead:
        """
        @param lines: the status line and the field lines, without line ends.

        @return: the head. Nothing is raised: L{flaw} says what is wrong.
        """
        version, _, rest = lines[0].partition(b" ")
        code, _, reason = rest.partition(b" ")
        fields, flaw = _readFields(lines)
        if not isStatusLine(lines[0]):
            return cls(version, 0, b"", fields, tuple(lines), "there is no HTTP status line")
        return cls(version, int(code), reason, fields, tuple(lines), flaw)

    @property
    def isInterim(self) -> bool:
        """
        Whether the final answer is still to come (RFC 9110 section 15.2).
        """
        isHTTP = _HTTP_VERSION.fullmatch(self.version) is not None
        return isHTTP and 100 <= self.status < 200 and self.status != 101

    def tokens(self, name: bytes) -> list[bytes]:
        """
        @param name: in lower case.
        @return: as L{RequestHead.tokens}.
        """
        return _tokens(self.fields, name)


def isStatusLine(line: bytes) -> bool:
    """
    Return whether an answer may begin with this line. Draft 76 takes any version and any phrase.
    """
    return _STATUS_LINE.fullmatch(line) is not None
