"""
What a server's answer to an opening handshake means to a client, by the drafts alone.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass
from hashlib import md5, sha1

from tests.fuzz.replies import Malformed, fieldsOf, hixieNumber, parametersOf

_LINE = re.compile(rb"HTTP/[0-9]\.[0-9] ([0-9]{3})(?: [^\r]*)?", re.DOTALL)
_HIXIE_LINE = re.compile(rb"[^ ]* 101 [^\r]*", re.DOTALL)
# Draft 75 section 4.1, step 9.
_START_75 = (
    b"HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
)
_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_URL, _ORIGIN = b"ws://example.com/demo?x=1", b"http://example.com"


@dataclass(frozen=True)
class Answer:
    """
    An answer that opens a WebSocket.

    @ivar stream: the bytes after it.
    @ivar windowBits: the size of the window that the server compresses with; 0: no compression.
    @ivar takeover: whether the server compresses with context takeover.
    @ivar clientBits: the size of the window that the client compresses with.
    @ivar clientTakeover: whether the client compresses with context takeover.
    """

    stream: bytes
    windowBits: int = 0
    takeover: bool = True
    clientBits: int = 15
    clientTakeover: bool = True


def good(dialect: str, request: bytes, subprotocol: str = "", extension: bytes = b"") -> bytes:
    """
    @param request: a client's request.
    @return: a server's answer that opens what was asked for.
    """
    asked = fieldsOf(request.partition(b"\r\n\r\n")[0])
    if dialect.startswith("hixie"):
        prefix = b"" if dialect == "hixie-75" else b"Sec-"
        lines = [
            *((_START_75 if dialect == "hixie-75" else _START_76).split(b"\r\n")[:-1]),
            prefix + b"WebSocket-Origin: " + _ORIGIN,
            prefix + b"WebSocket-Location: " + _URL,
        ]
        if subprotocol:
            lines.append(prefix + b"WebSocket-Protocol: " + subprotocol.encode())
        return b"\r\n".join([*lines, b"", b""]) + (challengeOf(request) if prefix else b"")
    lines = [
        *(b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"),
        b"Sec-WebSocket-Accept: " + _accept(asked),
    ]
    if subprotocol:
        lines.append(b"Sec-WebSocket-Protocol: " + subprotocol.encode())
    if extension:
        lines.append(b"Sec-WebSocket-Extensions: " + extension)
    return b"\r\n".join([*lines, b"", b""])


_START_76 = _START_75.replace(b"Web Socket", b"WebSocket")


def challengeOf(request: bytes) -> bytes:
    """
    @return: the 16 bytes that answer a request of draft 76.
    """
    head, _, nonce = request.partition(b"\r\n\r\n")
    asked = fieldsOf(head)
    keys = [hixieNumber(asked[b"sec-websocket-key" + digit]) for digit in (b"1", b"2")]
    return md5(b"".join(key.to_bytes(4, "big") for key in keys) + nonce[:8]).digest()


def _accept(asked: dict[bytes, bytes]) -> bytes:
    return b64encode(sha1(asked[b"sec-websocket-key"] + _SUFFIX).digest())


def readAnswer(dialect: str, data: bytes, request: bytes) -> Answer:
    """
    @param data: what a server sent, to a client that accepted it as an opening.
    @raise Malformed: if no client may accept it.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    while dialect != "hixie-75" and _isInterim(head):
        head, end, rest = rest.partition(b"\r\n\r\n")
    if not end:
        raise Malformed("the head of the answer does not end")
    asked = fieldsOf(request.partition(b"\r\n\r\n")[0])
    if not dialect.startswith("hixie"):
        return _readHybi(head, rest, asked)
    prefix = b"websocket-" if dialect == "hixie-75" else b"sec-websocket-"
    _checkHixie(dialect, head + b"\r\n", prefix, asked.get(prefix + b"protocol"))
    if dialect == "hixie-75":
        return Answer(rest)
    if rest[:16] != challengeOf(request):
        raise Malformed("a wrong challenge was taken")
    return Answer(rest[16:])


def _isInterim(head: bytes) -> bool:
    line = _LINE.fullmatch(head.partition(b"\r\n")[0])
    return line is not None and line[1][:1] == b"1" and line[1] != b"101"


def _checkHixie(dialect: str, head: bytes, prefix: bytes, protocol: bytes | None) -> None:
    if dialect == "hixie-75" and not head.startswith(_START_75):
        raise Malformed("the first 85 bytes are wrong")
    line, *lines = head.removesuffix(b"\r\n").split(b"\r\n")
    if not _HIXIE_LINE.fullmatch(line):
        raise Malformed(f"{line!r} is no 101")
    values: dict[bytes, list[bytes]] = {}
    for one in lines:
        name, colon, value = one.partition(b":")
        if not name or not colon:
            raise Malformed(f"{one!r} is no field")
        values.setdefault(name.lower(), []).append(value.removeprefix(b" "))
    wanted = {prefix + b"origin": _ORIGIN, prefix + b"location": _URL}
    if protocol is not None:
        wanted[prefix + b"protocol"] = protocol
    for name, value in wanted.items():
        if values.get(name) != [value]:
            raise Malformed(f"{name!r} is {values.get(name)!r}")
    if dialect == "hixie-75":
        # More fields with these names are like any others.
        return
    if values.get(b"upgrade") != [b"WebSocket"]:
        raise Malformed("Upgrade is wrong")
    if [value.lower() for value in values.get(b"connection", [])] != [b"upgrade"]:
        raise Malformed("Connection is wrong")


def _readHybi(head: bytes, rest: bytes, asked: dict[bytes, bytes]) -> Answer:
    line, *lines = head.split(b"\r\n")
    if not re.fullmatch(rb"HTTP/1\.1 101(?: .*)?", line, re.DOTALL):
        raise Malformed(f"{line!r} is no 101")
    values: dict[bytes, list[bytes]] = {}
    for one in lines:
        name, colon, value = one.partition(b":")
        if not colon or not re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise Malformed(f"{one!r} is no field")
        values.setdefault(name.lower(), []).append(value.strip(b" \t"))
    if [token.lower() for token in _tokens(values, b"upgrade")] != [b"websocket"]:
        raise Malformed("Upgrade is wrong")
    if b"upgrade" not in [token.lower() for token in _tokens(values, b"connection")]:
        raise Malformed("Connection is wrong")
    if values.get(b"sec-websocket-accept") != [_accept(asked)]:
        raise Malformed("a wrong accept was taken")
    offered = _tokens({b"": [asked.get(b"sec-websocket-protocol", b"")]}, b"")
    for protocol in values.get(b"sec-websocket-protocol", []):
        if protocol not in offered or len(values[b"sec-websocket-protocol"]) > 1:
            raise Malformed(f"the subprotocol {protocol!r} was accepted")
    extensions = values.get(b"sec-websocket-extensions", [])
    if not extensions:
        return Answer(rest)
    if b"sec-websocket-extensions" not in asked or len(extensions) > 1:
        raise Malformed("an extension that was not offered was accepted")
    extension, parameters = parametersOf(extensions[0])
    bits = [int(parameters.get(f"{side}_max_window_bits", "15")) for side in ("server", "client")]
    if extension != "permessage-deflate" or not all(8 <= each <= 15 for each in bits):
        raise Malformed(f"the extension {extensions!r} was accepted")
    takeovers = [f"{side}_no_context_takeover" not in parameters for side in ("server", "client")]
    return Answer(rest, bits[0], takeovers[0], bits[1], takeovers[1])


def _tokens(values: dict[bytes, list[bytes]], name: bytes) -> list[bytes]:
    return [token.strip(b" \t") for value in values.get(name, ()) for token in value.split(b",")]
