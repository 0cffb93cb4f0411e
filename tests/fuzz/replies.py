"""
What a server may send, read without any code of txhixie: HTTP answers, or a 101 and frames; and
what a client may send after its request.
"""

from __future__ import annotations

import re
import zlib
from base64 import b64encode
from dataclasses import dataclass, field
from hashlib import md5, sha1

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9]) [ -~]*")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t -~\x80-\xff]*)")
_STATUSES = frozenset(
    (100, 101, 200, 400, 401, 403, 404, 405, 408, 411, 413, 414, 417, 426, 431, 500, 501, 503, 505)
)
_DIALECTS = {
    b"HTTP/1.1 101 Web Socket Protocol Handshake": "hixie-75",
    b"HTTP/1.1 101 WebSocket Protocol Handshake": "hixie-76",
}
_VERSIONS = {b"7": "hybi-07", b"8": "hybi-08", b"13": "rfc6455"}


class Malformed(Exception):
    """
    A server or a client sent, or accepted, what it may not.
    """


def _require(condition: object, what: str) -> None:
    if not condition:
        raise Malformed(what)


@dataclass
class Reply:
    """
    What a server sent, or a client.

    @ivar status: of the first answer; 0 if there is none.
    @ivar dialect: the dialect that it agreed to, or an empty string.
    @ivar messages: texts as C{str}, bytes as C{bytes}.
    @ivar close: the close code, L{None} as long as there was no closing frame, 0 where such a
        frame has no code.
    @ivar windowBits: the size of the window that the client compresses with; 0: no compression.
    @ivar takeover: whether the client compresses with context takeover.
    """

    status: int = 0
    dialect: str = ""
    messages: list[str | bytes] = field(default_factory=list)
    pings: int = 0
    pongs: list[bytes] = field(default_factory=list)
    close: int | None = None
    windowBits: int = 0
    takeover: bool = True


def readReply(output: bytes, request: bytes) -> Reply:
    """
    @param output: everything that the server sent.
    @param request: everything that the client sent.
    @raise Malformed: for data that is invalid for every client.
    """
    reply = Reply()
    if not output:
        return reply
    line, fields, rest = _readHead(output)
    reply.status = int(line[9:12])
    if reply.status != 101:
        _readAnswers(output)
        return reply
    asked = fieldsOf(request.lstrip(b"\r\n").partition(b"\r\n\r\n")[0])
    reply.dialect = _DIALECTS.get(line) or _VERSIONS.get(
        asked.get(b"sec-websocket-version", b""), ""
    )
    _require(reply.dialect, f"{line!r} is the answer of no dialect")
    if reply.dialect.startswith("hixie"):
        _checkHixieFields(reply.dialect, fields, asked)
        _readHixie(reply, rest, asked, request)
    else:
        key = asked[b"sec-websocket-key"] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        _require(
            fields.get(b"sec-websocket-accept") == b64encode(sha1(key).digest()), "a wrong accept"
        )
        _readHybi(reply, rest, fields)
    return reply


def readTalk(
    output: bytes, dialect: str, deflates: bool, bits: int = 15, takeover: bool = True
) -> Reply:
    """
    @param output: what a client sent after its request, to a server that opened the connection.
    @param deflates: whether it may compress,
    @param bits: with this window,
    @param takeover: with a look back.
    @raise Malformed: for data that is invalid for every server.
    """
    reply = Reply(101, dialect, windowBits=bits if deflates else 0, takeover=takeover)
    if dialect.startswith("hixie"):
        _readHixieFrames(reply, output)
    else:
        inflater = zlib.decompressobj(wbits=-bits) if takeover else None
        _readHybiFrames(reply, output, inflater, isMasked=True)
    return reply


def _readHead(output: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    head, end, rest = output.partition(b"\r\n\r\n")
    _require(end, f"the head of an answer does not end: {head[:100]!r}")
    line, _, lines = head.partition(b"\r\n")
    match = _STATUS.fullmatch(line)
    _require(match and int(match[1]) in _STATUSES, f"{line!r} is no known status")
    for one in lines.split(b"\r\n") if lines else ():
        _require(_FIELD.fullmatch(one), f"{one!r} is no header field")
    return line, fieldsOf(head), rest


def fieldsOf(head: bytes) -> dict[bytes, bytes]:
    """
    @return: the first value of each field of a head, by its name in lower case.
    """
    fields: dict[bytes, bytes] = {}
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        fields.setdefault(name.lower(), value.strip(b" \t"))
    return fields


def _readAnswers(rest: bytes) -> None:
    """
    Read HTTP answers, which may belong to HEAD requests and have no bodies then.
    """
    while rest:
        line, fields, rest = _readHead(rest)
        if not rest or rest.startswith(b"HTTP/1.") or line[9:12] == b"100":
            continue
        size = fields.get(b"content-length")
        if size is not None:
            _require(size.isdigit() and int(size) <= len(rest), "a body is too short")
            rest = rest[int(size) :]
        elif fields.get(b"transfer-encoding") == b"chunked":
            body = re.match(rb"(?s)(?:4\r\nokay\r\n)?0\r\n\r\n", rest)
            _require(body, "a chunked body is malformed")
            rest = rest[body.end() if body else 0 :]
        else:
            rest = b""


def _checkHixieFields(dialect: str, fields: dict[bytes, bytes], asked: dict[bytes, bytes]) -> None:
    prefix = b"sec-websocket-" if dialect == "hixie-76" else b"websocket-"
    _require(fields.get(b"upgrade") == b"WebSocket", "a wrong Upgrade")
    _require(fields.get(b"connection") == b"Upgrade", "a wrong Connection")
    _require(fields.get(prefix + b"origin") == asked.get(b"origin"), "a wrong origin")
    _require(
        re.fullmatch(rb"wss?://[^/]+/[!-~]*", fields.get(prefix + b"location", b"")),
        "a wrong location",
    )


def hixieNumber(key: bytes) -> int:
    """
    @return: the number in a key of draft 76.
    """
    number = spaces = 0
    for byte in key:
        if 0x30 <= byte <= 0x39:
            number = number * 10 + byte - 0x30
        elif byte == 0x20:
            spaces += 1
    _require(spaces and number % spaces == 0, f"{key!r} was accepted")
    return number // spaces


def _readHixie(reply: Reply, rest: bytes, asked: dict[bytes, bytes], request: bytes) -> None:
    if reply.dialect == "hixie-76":
        nonce = request.lstrip(b"\r\n").partition(b"\r\n\r\n")[2][:8]
        if not rest:
            return
        keys = [hixieNumber(asked[b"sec-websocket-key" + digit]) for digit in (b"1", b"2")]
        challenge = b"".join(key.to_bytes(4, "big") for key in keys) + nonce
        _require(rest[:16] == md5(challenge).digest(), "a wrong answer to the challenge")
        rest = rest[16:]
    _readHixieFrames(reply, rest)


def _readHixieFrames(reply: Reply, rest: bytes) -> None:
    while rest:
        _require(reply.close is None, "there is something after the closing frame")
        if reply.dialect == "hixie-76" and rest.startswith(b"\xff\x00"):
            reply.close = 0
            rest = rest[2:]
            continue
        frame, end, rest = rest.partition(b"\xff")
        _require(end and frame.startswith(b"\0"), f"{frame[:20]!r} is no text frame")
        reply.messages.append(_text(frame[1:]))


def _text(payload: bytes) -> str:
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("a text is not UTF-8") from None


def parametersOf(extension: bytes) -> tuple[str, dict[str, str]]:
    """
    @return: the name of an extension, and its parameters; one without a value stands for 15 bits.
    """
    name, *parameters = (part.strip() for part in extension.decode("ascii").split(";"))
    pairs = [parameter.partition("=") for parameter in parameters]
    return name, {key: value.strip('"') or "15" for key, _, value in pairs}


def _readHybi(reply: Reply, rest: bytes, fields: dict[bytes, bytes]) -> None:
    extension = fields.get(b"sec-websocket-extensions", b"")
    inflater = None
    if extension:
        name, values = parametersOf(extension)
        _require(name == "permessage-deflate", f"{name} was not offered")
        reply.windowBits = int(values.get("client_max_window_bits", "15"))
        reply.takeover = "client_no_context_takeover" not in values
        inflater = zlib.decompressobj(wbits=-int(values.get("server_max_window_bits", "15")))
        if "server_no_context_takeover" in values:
            inflater = None
    _readHybiFrames(reply, rest, inflater)


def _readHybiFrames(
    reply: Reply, rest: bytes, inflater: zlib._Decompress | None, isMasked: bool = False
) -> None:
    while rest:
        _require(reply.close is None, "there is something after the close frame")
        rest = _readHybiFrame(reply, rest, inflater, isMasked)


def _readHybiFrame(
    reply: Reply, rest: bytes, inflater: zlib._Decompress | None, isMasked: bool
) -> bytes:
    _require(len(rest) >= 2, "a frame has no length")
    first, size, start = rest[0], rest[1], 2
    if isMasked:
        _require(size >= 128, "a client's frame is not masked")
        size -= 128
    if size in (126, 127):
        start = 4 if size == 126 else 10
        smallest = 126 if size == 126 else 1 << 16
        size = int.from_bytes(rest[2:start], "big")
        _require(size >= smallest, "a length is not minimal")
    mask = rest[start : start + 4] if isMasked else bytes(4)
    start += 4 if isMasked else 0
    _require(len(rest) >= start + size, "a frame is masked or cut short")
    payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(rest[start : start + size]))
    opcode = first & 0x0F
    _require(first & 0xB0 == 0x80, f"reserved bits, or no last fragment: {first:02x}")
    _require(first < 0xC0 or (reply.windowBits and opcode in (1, 2)), "RSV1 was not agreed on")
    _require(opcode < 8 or size <= 125, "a control frame is too long")
    if first & 0x40:
        payload = (inflater or zlib.decompressobj(wbits=-15)).decompress(payload + b"\0\0\xff\xff")
    if opcode == 1:
        reply.messages.append(_text(payload))
    elif opcode == 2:
        reply.messages.append(payload)
    elif opcode == 9:
        reply.pings += 1
    elif opcode == 10:
        reply.pongs.append(payload)
    else:
        _require(opcode == 8 and size != 1, f"opcode {opcode}, {size} bytes")
        reply.close = int.from_bytes(payload[:2], "big")
        _text(payload[2:])
        _require(
            not payload
            or reply.close in {1000, 1001, 1002, 1003, *range(1007, 1015)}
            or 3000 <= reply.close < 5000,
            f"close code {reply.close}",
        )
    return rest[start + size :]
