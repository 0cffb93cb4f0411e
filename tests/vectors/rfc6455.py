"""
Bytes of RFC 6455, hybi-07 and hybi-08, and of permessage-deflate, and what they mean.

Section numbers alone refer to RFC 6455. The answers to keys were computed without txhixie.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.support import clientFrame
from tests.vectors.hixie import Handshake
from txhixie.dialects.events import CloseCode, Closed, Pong

# Section 1.3: a key, and the answer to it.
KEY, ACCEPT = b"dGhlIHNhbXBsZSBub25jZQ==", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

_OLD_FIREFOX = (
    b"GET /demo?x=1 HTTP/1.1\r\n"
    b"Host: example.com:8080\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:%b) Gecko/20100101 Firefox/%b\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    b"Accept-Language: en-us,en;q=0.5\r\n"
    b"Accept-Encoding: gzip, deflate\r\n"
    b"Accept-Charset: ISO-8859-1,utf-8;q=0.7,*;q=0.7\r\n"
    b"Connection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Version: %b\r\n"
    b"Sec-WebSocket-Origin: http://example.com\r\n"
    b"Sec-WebSocket-Key: %b\r\n"
    b"Pragma: no-cache\r\n"
    b"Cache-Control: no-cache\r\n"
    b"Upgrade: websocket\r\n"
    b"Cookie: a=b\r\n"
    b"\r\n"
)


def _reply(accept: bytes, subprotocol: bytes = b"") -> bytes:
    field = b"Sec-WebSocket-Protocol: %b\r\n" % subprotocol if subprotocol else b""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n%b\r\n" % (accept, field)
    )


HANDSHAKES = [
    Handshake(
        "section 1.2",
        "rfc6455",
        b"GET /chat HTTP/1.1\r\n"
        b"Host: server.example.com\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Origin: http://example.com\r\n"
        b"Sec-WebSocket-Protocol: chat, superchat\r\n"
        b"Sec-WebSocket-Version: 13\r\n"
        b"\r\n",
        ("chat",),
        _reply(ACCEPT, b"chat"),
    ),
    Handshake(
        "hybi-07 section 1.2",
        "hybi-07",
        b"GET /chat HTTP/1.1\r\n"
        b"Host: server.example.com\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Origin: http://example.com\r\n"
        b"Sec-WebSocket-Protocol: chat, superchat\r\n"
        b"Sec-WebSocket-Version: 7\r\n"
        b"\r\n",
        ("superchat",),
        _reply(ACCEPT, b"superchat"),
    ),
    Handshake(
        "made after Firefox 6",
        "hybi-07",
        _OLD_FIREFOX % (b"6.0", b"6.0", b"7", b"RmlyZWb/eAAgNi4wIPDh0g=="),
        (),
        _reply(b"ywX4AR0dqt/Fqztl0+zDdEcwd1o="),
    ),
    Handshake(
        "made after Firefox 7",
        "hybi-08",
        _OLD_FIREFOX % (b"7.0", b"7.0", b"8", b"RmlyZWb/eAAgNy4wIKq7zA=="),
        (),
        _reply(b"F4fUW6XOsq9jkNIy+QnSLFbzg7g="),
    ),
    Handshake(
        "made after Chrome 14",
        "hybi-08",
        b"GET /demo HTTP/1.1\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Host: example.com:8080\r\n"
        b"Sec-WebSocket-Origin: http://example.com\r\n"
        b"Sec-WebSocket-Protocol: sample\r\n"
        b"Sec-WebSocket-Key: Q2hyb21lADE0CgsMDQ4P/g==\r\n"
        b"Sec-WebSocket-Version: 8\r\n"
        b"\r\n",
        ("sample",),
        _reply(b"LmOCpzSx8JSoOzfmN8m4xtRS+x4=", b"sample"),
    ),
    Handshake(
        "made after Chromium in 2026",
        "rfc6455",
        b"GET /echo HTTP/1.1\r\n"
        b"Host: localhost:3400\r\n"
        b"Connection: Upgrade\r\n"
        b"Pragma: no-cache\r\n"
        b"Cache-Control: no-cache\r\n"
        b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        b"Chrome/140.0.0.0 Safari/537.36\r\n"
        b"Upgrade: websocket\r\n"
        b"Origin: http://localhost:3400\r\n"
        b"Sec-WebSocket-Version: 13\r\n"
        b"Accept-Encoding: gzip, deflate, br, zstd\r\n"
        b"Accept-Language: en-US,en;q=0.9\r\n"
        b"Sec-WebSocket-Key: /+7dzLuqmYh3ZlVEMyIRAA==\r\n"
        b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
        b"\r\n",
        (),
        _reply(b"Ej7RkSUsiZ9yos6ox1Q2Yoc01oE="),
    ),
]

# A close code stands for a failure with that code.
Outcome = tuple[str | bytes | Pong | Closed | CloseCode, ...]


class Frames(NamedTuple):
    """
    What a client sends, what happens then, and the payloads of the pongs it gets.
    """

    source: str
    data: bytes
    outcome: Outcome
    pongs: tuple[bytes, ...] = ()


_MASKED_HELLO = bytes.fromhex("85 37 fa 21 3d 7f 9f 4d 51 58")
_GREEK = "\u03ba\u1f79\u03c3\u03bc\u03b5"
_GREEK_BYTES = _GREEK.encode()
_HALF = clientFrame(0x01, b"Hel")

GOOD = [
    Frames("5.7, masked text", b"\x81" + _MASKED_HELLO, ("Hello",)),
    Frames("5.7, fragments", _HALF + clientFrame(0x80, b"lo"), ("Hello",)),
    Frames("5.7, ping", b"\x89" + _MASKED_HELLO, (), (b"Hello",)),
    Frames("5.7, pong", b"\x8a" + _MASKED_HELLO, (Pong(b"Hello"),)),
    Frames("5.7, 256 bytes", clientFrame(0x82, bytes(256)), (bytes(256),)),
    Frames("5.7, 64 KiB", clientFrame(0x82, bytes(65536)), (bytes(65536),)),
    Frames("5.2, empty", clientFrame(0x81) + clientFrame(0x82), ("", b"")),
    Frames(
        "5.2, length not minimal",
        bytes.fromhex("81 fe 00 01 00 00 00 00 41 81 ff 00 00 00 00 00 00 00 01 00 00 00 00 42"),
        ("A", "B"),
    ),
    Frames("5.2, zero mask", bytes.fromhex("81 82 00 00 00 00 c3 a9"), ("\u00e9",)),
    Frames(
        "5.4, empty fragments",
        clientFrame(0x01) + clientFrame(0x00) * 2 + clientFrame(0x80),
        ("",),
    ),
    Frames(
        "5.4, bytes in fragments",
        clientFrame(0x02, b"\xff") + clientFrame(0x00, b"\x00") + clientFrame(0x80, b"\xc3"),
        (b"\xff\x00\xc3",),
    ),
    Frames(
        "5.4, control frames between fragments",
        _HALF + clientFrame(0x89, b"1") + clientFrame(0x8A, b"2") + clientFrame(0x80, b"lo"),
        (Pong(b"2"), "Hello"),
        (b"1",),
    ),
    Frames(
        "5.5.2, two pings before a text",
        clientFrame(0x89) + clientFrame(0x89, bytes(range(125))) + clientFrame(0x81, b"A"),
        ("A",),
        (b"", bytes(range(125))),
    ),
    Frames(
        "5.6, UTF-8 cut inside of characters",
        clientFrame(0x01)
        + b"".join(clientFrame(0x00, bytes([byte])) for byte in _GREEK_BYTES)
        + clientFrame(0x80),
        (_GREEK,),
    ),
    Frames(
        "5.6, boundaries of UTF-8",
        clientFrame(0x81, "\0\x7f\x80\u07ff\u0800\ud7ff\ue000\ufffe\U00010000\U0010ffff".encode()),
        ("\0\x7f\x80\u07ff\u0800\ud7ff\ue000\ufffe\U00010000\U0010ffff",),
    ),
    Frames("5.6, byte order mark", clientFrame(0x81, b"\xef\xbb\xbfA"), ("\ufeffA",)),
    Frames(
        "5.5.1, close with code and reason",
        clientFrame(0x81, b"A") + clientFrame(0x88, b"\x03\xe9bye") + clientFrame(0x81, b"B"),
        ("A", Closed(1001, "bye")),
    ),
    Frames("5.5.1, close with code", clientFrame(0x88, b"\x03\xe8"), (Closed(1000, ""),)),
    Frames("5.5.1, empty close", clientFrame(0x88), (Closed(1005, ""),)),
    Frames(
        "5.5.1, longest reason",
        clientFrame(0x88, b"\x0b\xb8" + b"x" * 123),
        (Closed(3000, "x" * 123),),
    ),
    Frames(
        "5.4, close between fragments",
        _HALF + clientFrame(0x88, b"\x03\xe9bye"),
        (Closed(1001, "bye"),),
    ),
    Frames("5.4, empty close between fragments", _HALF + clientFrame(0x88), (Closed(1005, ""),)),
    Frames(
        "5.5.1, nothing is read after a close",
        clientFrame(0x88, b"\x03\xe8") + clientFrame(0x89, b"1") + b"\xff" * 20,
        (Closed(1000, ""),),
    ),
]

_A = clientFrame(0x81, b"A")


def _bad(source: str, data: bytes, code: CloseCode = CloseCode.PROTOCOL_ERROR) -> Frames:
    return Frames(source, _A + data, ("A", code))


BAD = [
    _bad("5.1, no mask", bytes.fromhex("81 05 48 65 6c 6c 6f")),
    _bad("5.1, no mask on a close", bytes.fromhex("88 02 03 e8")),
    *(_bad(f"5.2, {first:02x}", clientFrame(first, b"x")) for first in (0xC1, 0xA1, 0x91, 0xF1)),
    _bad("5.2, reserved bit of a fragment", _HALF + clientFrame(0xC0, b"x")),
    _bad("5.2, reserved bit of a ping", clientFrame(0xC9, b"x")),
    *(
        _bad(f"5.2, opcode {opcode:x}", clientFrame(0x80 | opcode, b"x"))
        for opcode in (*range(3, 8), *range(11, 16))
    ),
    _bad("5.2, length of 2**63", bytes.fromhex("82 ff 80 00 00 00 00 00 00 00"), CloseCode.TOO_BIG),
    _bad("5.2, length of 2**64 - 1", bytes.fromhex("82" + "ff" * 9), CloseCode.TOO_BIG),
    _bad("5.4, text among fragments", _HALF + clientFrame(0x81, b"x")),
    _bad("5.4, bytes among fragments", _HALF + clientFrame(0x02, b"x")),
    _bad("5.4, last fragment alone", clientFrame(0x80, b"x")),
    _bad("5.4, middle fragment alone", clientFrame(0x00, b"x")),
    *(
        _bad(f"5.5, fragmented {first:02x}", clientFrame(first) + clientFrame(0x80))
        for first in (0x08, 0x09, 0x0A)
    ),
    *(
        _bad(f"5.5, 126 bytes in {first:02x}", clientFrame(first, b"\x03\xe8" + b"x" * 124))
        for first in (0x88, 0x89, 0x8A)
    ),
    _bad("5.5.1, close of one byte", clientFrame(0x88, b"\x03")),
    _bad("5.5.1, bad close among fragments", _HALF + clientFrame(0x88, b"\x03")),
    _bad("5.5.1, reason", clientFrame(0x88, b"\x03\xe8\xc3"), CloseCode.INVALID_DATA),
    _bad(
        "10.4, header over the limit", bytes.fromhex("82 ff 00000000 00110001"), CloseCode.TOO_BIG
    ),
    _bad(
        "10.4, header over the limit, in fragments",
        clientFrame(0x02, bytes(16)) + bytes.fromhex("00 ff 00000000 0010fff1"),
        CloseCode.TOO_BIG,
    ),
]

# Section 8.1: ill-formed UTF-8 that shows before the message ends, and only at its end.
ILL_FORMED = [
    bytes.fromhex(payload)
    for payload in (
        *("80", "bf", "c0", "c1 bf", "41 ff", "fe", "c3 41", "c3 c3", "e0 80", "e0 9f bf"),
        *("ed a0 80", "ed bf bf", "ef bf 41", "f0 80", "f0 8f bf bf", "f4 90", "f5", "f8 88"),
        *("ce ba e1 bd b9 cf 83 ce bc ce b5 f4 90", "ed a0 bd ed b8 80"),
    )
]
UNFINISHED = [bytes.fromhex(payload) for payload in ("c3", "41 e2 82", "f0 9f 98", "f4 8f bf")]

# Section 7.4: close codes around the limits of what may be sent.
CLOSE_CODES = {
    **dict.fromkeys((1000, 1003, 1007, 1011, 1012, 1014, 3000, 3999, 4000, 4999), True),
    **dict.fromkeys((0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535), False),
}

# RFC 7692 section 7.2.3.1: "Hello", compressed without a look back.
DEFLATED_HELLO = bytes.fromhex("f2 48 cd c9 c9 07 00")

DEFLATED = [
    Frames("7.2.3.1", clientFrame(0xC1, DEFLATED_HELLO), ("Hello",)),
    Frames(
        "7.2.3.1, fragments",
        clientFrame(0x41, DEFLATED_HELLO[:3]) + clientFrame(0x80, DEFLATED_HELLO[3:]),
        ("Hello",),
    ),
    Frames(
        "7.2.3.2, window shared between messages",
        clientFrame(0xC1, DEFLATED_HELLO) + clientFrame(0xC1, bytes.fromhex("f2 00 11 00 00")),
        ("Hello", "Hello"),
    ),
    Frames(
        "7.2.3.3, no compression",
        clientFrame(0xC1, bytes.fromhex("00 05 00 fa ff 48 65 6c 6c 6f 00")),
        ("Hello",),
    ),
    Frames(
        "7.2.3.4, final block",
        clientFrame(0xC1, bytes.fromhex("f3 48 cd c9 c9 07 00 00")),
        ("Hello",),
    ),
    Frames(
        "7.2.3.5, two blocks",
        clientFrame(0xC1, bytes.fromhex("f2 48 05 00 00 00 ff ff ca c9 c9 07 00")),
        ("Hello",),
    ),
    Frames(
        "7.2.3.4, final block in a fragment that is not the last",
        clientFrame(0x41, bytes.fromhex("f3 48 cd c9 c9 07 00"))
        + clientFrame(0x00)
        + clientFrame(0x80, b"\x00"),
        ("Hello",),
    ),
    Frames("7.2.3.6, empty message", clientFrame(0xC2, b"\x00"), (b"",)),
    Frames(
        "7.2.1, last fragment without data",
        clientFrame(0x41, DEFLATED_HELLO[:-1] + b"\x00\x00\x00\xff\xff") + clientFrame(0x80, b"\0"),
        ("Hello",),
    ),
    Frames("6, not compressed", clientFrame(0x82, DEFLATED_HELLO), (DEFLATED_HELLO,)),
    Frames(
        "6.1, control frames between fragments",
        clientFrame(0x41, DEFLATED_HELLO[:1])
        + clientFrame(0x89, b"1")
        + clientFrame(0x8A, b"2")
        + clientFrame(0x80, DEFLATED_HELLO[1:]),
        (Pong(b"2"), "Hello"),
        (b"1",),
    ),
]

_HELLO = clientFrame(0xC1, DEFLATED_HELLO)


def _badDeflated(source: str, data: bytes) -> Frames:
    return Frames(source, _HELLO + data, ("Hello", CloseCode.PROTOCOL_ERROR))


BAD_DEFLATED = [
    _badDeflated("6, compressed ping", clientFrame(0xC9, DEFLATED_HELLO)),
    _badDeflated("6, compressed close", clientFrame(0xC8, DEFLATED_HELLO)),
    _badDeflated("6, RSV2", clientFrame(0xE1, DEFLATED_HELLO)),
    _badDeflated(
        "6.1, RSV1 on a later fragment",
        clientFrame(0x41, DEFLATED_HELLO[:3]) + clientFrame(0xC0, DEFLATED_HELLO[3:]),
    ),
    _badDeflated(
        "6.1, RSV1 on a later fragment only",
        clientFrame(0x01, b"Hel") + clientFrame(0xC0, DEFLATED_HELLO[3:]),
    ),
    _badDeflated("7.2.2, reserved block type", clientFrame(0xC1, b"\x07")),
    _badDeflated(
        "7.2.2, distance too far back", clientFrame(0xC1, bytes.fromhex("4a c4 22 03 00"))
    ),
    _badDeflated(
        "7.2.3.4, data after the end",
        clientFrame(0xC2, bytes.fromhex("f3 48 cd c9 c9 07 00") + b"garbage"),
    ),
    _badDeflated(
        "7.2.3.4, data after the end, in fragments",
        clientFrame(0x42, bytes.fromhex("f3 48 cd c9 c9 07 00"))
        + clientFrame(0x00, bytes(1000)) * 25,
    ),
    _badDeflated(
        "7.2.3.4, a byte after the end",
        clientFrame(0xC2, bytes.fromhex("f3 48 cd c9 c9 07 00 01")),
    ),
    _badDeflated(
        "7.2.3.4, two bytes after the end",
        clientFrame(0xC2, bytes.fromhex("f3 48 cd c9 c9 07 00 00 00")),
    ),
    _badDeflated(
        "7.2.3.4, another stream in a later fragment",
        clientFrame(0x41, bytes.fromhex("f3 48 cd c9 c9 07 00"))
        + clientFrame(0x80, DEFLATED_HELLO),
    ),
    _badDeflated(
        "7.2.3.4, another stream in a later fragment but one",
        clientFrame(0x41, bytes.fromhex("f3 48 cd c9 c9 07 00"))
        + clientFrame(0x00)
        + clientFrame(0x80, DEFLATED_HELLO),
    ),
    Frames(
        "6, ill-formed text",
        clientFrame(0xC1, b"\x00\x01\x00\xfe\xff\xff\x00"),
        (CloseCode.INVALID_DATA,),
    ),
]
