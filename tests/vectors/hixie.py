"""
Bytes of Hixie-75 and Hixie-76, and what they mean.

"75" and "76" with a section are draft-hixie-thewebsocketprotocol-75 and -76. The answers of
published handshakes are the published ones; all were computed a second time without txhixie.
"""

from __future__ import annotations

from typing import NamedTuple

from txhixie.dialects.events import CloseCode, Closed, Discarded


class Challenge(NamedTuple):
    """
    The two keys and the nonce of a client, the numbers in the keys, and the server's answer.
    """

    source: str
    key1: bytes
    key2: bytes
    nonce: bytes
    part1: int
    part2: int
    answer: bytes


CHALLENGES = [
    Challenge(
        "76 section 1.2",
        b"4 @1  46546xW%0l 1 5",
        b"12998 5 Y3 1  .P00",
        b"^n:ds[4U",
        829309203,
        259970620,
        b"8jKS'y:G*Co,Wxa-",
    ),
    Challenge(
        "76 section 1.3",
        b"18x 6]8vM;54 *(5:  {   U1]8  z [  8",
        b"1_ tx7X d  <  nw  334J702) 7]o}` 0",
        b"Tm[K T2u",
        155712099,
        173347027,
        b"fQJ,fN/4F4!~K~MH",
    ),
    Challenge(
        "76 section 4.1",
        b"P388 O503D&ul7 {K%gX( %7  15",
        b"1 N ?|k UT0or 3o  4 I97N 5-S3O 31",
        b'G0"-Z?GX',
        777007543,
        114997259,
        b"0st3Rl&q-2ZU^weu",
    ),
    Challenge(
        "76 section 5.2",
        b"3e6b263  4 17 80",
        b"17  9 G`ZD9   2 2b 7X 3 /r90",
        b"WjN}|M(6",
        906585445,
        179922739,
        b"n`9eBk9z$R8pOtVb",
    ),
    Challenge(
        "tests of pywebsocket, hybi00 handshake",
        b"36 7   74 i  92 2'm 9 0G",
        b"y  R2 48 Q1O4  e|BV3 i5 1  u- 65",
        bytes.fromhex("01 d1 dd 3b d1 56 63 ff"),
        367749229,
        225585015,
        bytes.fromhex("0b 99 fa 55 bd 01 23 7b 45 a2 f1 d0 87 8a ee eb"),
    ),
    Challenge(
        "tests of faye's websocket-driver, draft 76",
        b"1   38 wZ3f9 23O0 3l 0r",
        b"27   0E 6 2  1665:< ;U 1H",
        bytes.fromhex("91 25 3e d3 a9 e7 6a 88"),
        197703290,
        300690739,
        bytes.fromhex("b4 9c 6e 40 53 04 04 26 e5 1b bf 6c b7 9f 1d f9"),
    ),
    Challenge(
        "Safari 5.1.2, as reported to Java-WebSocket; the answer is computed",
        b"23 1 +V2 61z9 5 P[t B|34vE",
        b"2  33 0w{z 55679 0",
        bytes.fromhex("8d 07 19 5b f9 34 c6 49"),
        385436589,
        466111358,
        bytes.fromhex("1f eb 89 2f cf fe 2d da e1 e0 9e 9f 04 c7 00 3c"),
    ),
]


class Handshake(NamedTuple):
    """
    All that a client sends to open a connection, and all that the server answers.
    """

    client: str
    dialect: str
    request: bytes
    subprotocols: tuple[str, ...]
    reply: bytes


HANDSHAKES = [
    Handshake(
        "75 section 4.1: Chrome 4, Qt 4.7",
        "hixie-75",
        b"GET /demo?x=1 HTTP/1.1\r\n"
        b"Upgrade: WebSocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Host: example.com:8080\r\n"
        b"Origin: http://example.com\r\n"
        b"WebSocket-Protocol: sample\r\n"
        b"Cookie: a=b\r\n"
        b"\r\n",
        ("sample",),
        b"HTTP/1.1 101 Web Socket Protocol Handshake\r\n"
        b"Upgrade: WebSocket\r\n"
        b"Connection: Upgrade\r\n"
        b"WebSocket-Origin: http://example.com\r\n"
        b"WebSocket-Location: ws://example.com:8080/demo?x=1\r\n"
        b"WebSocket-Protocol: sample\r\n"
        b"\r\n",
    ),
    Handshake(
        "PhantomJS 1.9.8, captured",
        "hixie-76",
        b"GET /demo?x=1 HTTP/1.1\r\n"
        b"Upgrade: WebSocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Host: localhost:40247\r\n"
        b"Origin: http://localhost\r\n"
        b"Sec-WebSocket-Protocol: sample\r\n"
        b"Cookie: a=b; a=b\r\n"
        b'Sec-WebSocket-Key1: 27   664" T mB9 036@[0V  /\r\n'
        b"Sec-WebSocket-Key2: r4 1719  1    |  G733\r\n"
        b"\r\n"
        b"k\xa4,3XD\x19\xcb",
        ("sample",),
        b"HTTP/1.1 101 WebSocket Protocol Handshake\r\n"
        b"Upgrade: WebSocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Origin: http://localhost\r\n"
        b"Sec-WebSocket-Location: ws://localhost:40247/demo?x=1\r\n"
        b"Sec-WebSocket-Protocol: sample\r\n"
        b"\r\n" + bytes.fromhex("1f 22 d7 b6 14 13 39 c0 e7 6f e5 ff ea 27 37 7c"),
    ),
    Handshake(
        "made after web-socket-js until April 2011: the older protocol field, an empty cookie",
        "hixie-76",
        b"GET / HTTP/1.1\r\n"
        b"Upgrade: WebSocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Host: example.com:3400\r\n"
        b"Origin: http://www.example.com\r\n"
        b"Cookie: \r\n"
        b"Sec-WebSocket-Key1: 3e6b263  4 17 80\r\n"
        b"Sec-WebSocket-Key2: 17  9 G`ZD9   2 2b 7X 3 /r90\r\n"
        b"WebSocket-Protocol: sample\r\n"
        b"\r\n"
        b"WjN}|M(6",
        ("sample",),
        b"HTTP/1.1 101 WebSocket Protocol Handshake\r\n"
        b"Upgrade: WebSocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Origin: http://www.example.com\r\n"
        b"Sec-WebSocket-Location: ws://example.com:3400/\r\n"
        b"Sec-WebSocket-Protocol: sample\r\n"
        b"\r\n"
        b"n`9eBk9z$R8pOtVb",
    ),
    Handshake(
        "made after netty: lower-case names, a length for the nonce; a host in capitals",
        "hixie-76",
        b"GET /demo HTTP/1.1\r\n"
        b"upgrade: websocket\r\n"
        b"connection: upgrade\r\n"
        b"host: EXAMPLE.com:80\r\n"
        b"origin: http://example.com\r\n"
        b"sec-websocket-key1: 18x 6]8vM;54 *(5:  {   U1]8  z [  8\r\n"
        b"sec-websocket-key2: 1_ tx7X d  <  nw  334J702) 7]o}` 0\r\n"
        b"content-length: 8\r\n"
        b"\r\n"
        b"Tm[K T2u",
        (),
        b"HTTP/1.1 101 WebSocket Protocol Handshake\r\n"
        b"Upgrade: WebSocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Origin: http://example.com\r\n"
        b"Sec-WebSocket-Location: ws://example.com/demo\r\n"
        b"\r\n"
        b"fQJ,fN/4F4!~K~MH",
    ),
    Handshake(
        "made after Java-WebSocket: fields sorted by name, DEL in a key, no real origin",
        "hixie-76",
        b"GET / HTTP/1.1\r\n"
        b"Connection: Upgrade\r\n"
        b"Host: 127.0.0.1:3400\r\n"
        b"Origin: random1234\r\n"
        b"Sec-WebSocket-Key1: 4 @1\x7f  46546xW%0l 1 5\r\n"
        b"Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n"
        b"Upgrade: WebSocket\r\n"
        b"\r\n"
        b"^n:ds[4U",
        (),
        b"HTTP/1.1 101 WebSocket Protocol Handshake\r\n"
        b"Upgrade: WebSocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Origin: random1234\r\n"
        b"Sec-WebSocket-Location: ws://127.0.0.1:3400/\r\n"
        b"\r\n"
        b"8jKS'y:G*Co,Wxa-",
    ),
]


class Key(NamedTuple):
    """
    A key, and the number in it, or L{None} for one that no client can have made (76 section 5.2,
    steps 4 to 7).
    """

    requirements: str
    name: str
    key: bytes
    number: int | None


KEYS = [
    Key("K-02 B-14", "no digit", b"a b", None),
    Key("K-03 B-15", "no space", b"12345", None),
    Key("K-03 K-10 B-15", "tabs only", b"12\t34\t5", None),
    Key("K-10", "no-break space, Latin-1", b"12\xa034", None),
    Key("K-10", "no-break space, UTF-8", b"12\xc2\xa034", None),
    Key("K-10", "no-break space among spaces", b"1 2\xa0 4", 62),
    Key("K-04 B-16", "remainder", b"1 2 3", None),
    Key("K-04", "remainder, from faye's tests", b"2 L785 8o% s9Sy9@V. 4<1P5", None),
    Key("K-05", "largest number", b"4294967 295x", 2**32 - 1),
    Key("K-05 K-06 B-17", "2**32 / 1", b"42949 67296x", None),
    Key("K-05 B-18", "2**33 / 4", b"8 5899 34 5 92x", None),
    Key("K-06", "largest of ten digits", b"99999 99999", None),
    Key("K-07 B-21", "zero", b"0 x", 0),
    Key("K-08", "no noise", b"1 2", 12),
    Key("K-08", "leading zeros", b"00000000000000000001 2", 12),
    Key("K-08 K-11", "thousands of leading zeros", b"0" * 5000 + b"1 2", 12),
    Key("K-08", "thirteen spaces", b"2             6", 2),
    Key("K-09 B-20", "Arabic digit as noise", "1\u0663 2".encode(), 12),
    Key("K-09 B-20", "superscript digit as noise", "1\u00b2 2".encode(), 12),
    Key("K-09 B-20", "Arabic digits only", "\u0663 \u0663".encode(), None),
    Key("K-11", "eleven digits", b"12345 678901", None),
    Key("K-11 B-19", "10 000 digits", b"1 " + b"0" * 9999, None),
    Key("K-12", "run of spaces", b"1   2", 4),
    Key("K-13", "DEL", b"1\x7f 2", 12),
    Key("K-10 K-13", "tab beside a space", b"1\t 2", None),
]

CLOSED = Closed(CloseCode.NO_STATUS, "")

# A close code stands for a failure with that code.
Outcome = tuple[str | Discarded | Closed | CloseCode, ...]


class Frames(NamedTuple):
    """
    What a client sends, and what happens in either dialect.
    """

    requirements: str
    data: bytes
    hixie75: Outcome
    hixie76: Outcome


def _both(requirements: str, data: str, *outcome: str | Discarded | CloseCode) -> Frames:
    return Frames(requirements, bytes.fromhex(data), outcome, outcome)


_TEXT, _LENGTH, _CLOSING = Discarded(0x05), Discarded(0x80), Discarded(0xFF)

# 75 and 76 section 5.3, read by the client's algorithm of 76 section 4.2.
FRAMES = [
    _both("F-02 F-03", "00 48 65 6C 6C 6F FF", "Hello"),
    _both("F-11", "00 FF 00 FF", "", ""),
    _both("F-02 F-09", "00 41 FF 00 C3 A9 FF", "A", "\u00e9"),
    _both("F-10", "00 41 00 42 FF", "A\0B"),
    _both("F-03 F-04 F-05", "05 61 FF 00 62 FF", _TEXT, "b"),
    _both("F-03", "7F 00 FF 00 62 FF", Discarded(0x7F), "b"),
    _both("F-03 F-05", "80 02 48 65 00 48 69 FF", _LENGTH, "Hi"),
    _both("F-03", "FE 02 48 65 00 48 69 FF", Discarded(0xFE), "Hi"),
    _both("F-06 F-07", "80 81 00" + " 58" * 128 + " 00 41 FF", _LENGTH, "A"),
    _both("F-06", "80 80 02 58 58 00 41 FF", _LENGTH, "A"),
    _both("L-06 F-06", "80 80 80 80 80 80 80 80 02 58 58 00 41 FF", _LENGTH, "A"),
    _both("F-08", "80 01 FF 00 41 FF", _LENGTH, "A"),
    _both("F-08", "80 03 00 FF 00 00 41 FF", _LENGTH, "A"),
    _both("F-07", "80 00 00 41 FF", _LENGTH, "A"),
    _both("F-05 B-46", "05 61 FF 80 01 58 05 FF 00 41 FF", _TEXT, "A"),
    Frames(
        "CL-01 CL-03 B-47 B-48",
        bytes.fromhex("FF 00 00 41 FF"),
        (_CLOSING, "A"),
        (CLOSED,),
    ),
    Frames("F-06 B-48", bytes.fromhex("FF 80 00"), (_CLOSING,), (CLOSED,)),
    Frames("CL-03 B-47", bytes.fromhex("FF 00 FF 00"), (_CLOSING,), (CLOSED,)),
    Frames(
        "CL-03 B-47",
        bytes.fromhex("00 41 FF FF 00 00 42 FF"),
        ("A", _CLOSING, "B"),
        ("A", CLOSED),
    ),
    _both("B-48", "FF 01 58 00 41 FF", _CLOSING, "A"),
    _both("B-48", "FF 05 FF 00 58 FF 00 00 41 FF", _CLOSING, "A"),
    _both("F-06 L-02 B-43", "80 FF FF FF FF 7F", CloseCode.TOO_BIG),
    _both("F-06 L-06 B-43", "80" + " 80" * 9, CloseCode.PROTOCOL_ERROR),
    _both("L-02 B-44", "80 C0 80 01", CloseCode.TOO_BIG),
    _both("L-02 B-44", "00 41 FF 80 C0 80 01", "A", CloseCode.TOO_BIG),
    _both("U-02 B-49", "00 E2 82 FF", "\ufffd"),
    _both("F-09 U-02", "00 E2 82 FF 00 AC FF", "\ufffd", "\ufffd"),
    _both("U-04", "00 EF BB BF 41 FF", "\ufeffA"),
    _both("U-04", "00 EF BF BE EF BF BF FF", "\ufffe\uffff"),
]

# What Settings.strict changes.
STRICT = [
    _both("F-05", "00 41 FF 00 FF", "A", ""),
    _both("F-05 B-46", "05 61 FF", CloseCode.PROTOCOL_ERROR),
    _both("F-05 B-46", "00 41 FF 80 01 58", "A", CloseCode.PROTOCOL_ERROR),
    _both("F-05", "FF 05 58 58 58 58 58", CloseCode.PROTOCOL_ERROR),
    Frames("CL-03", bytes.fromhex("FF 00"), (CloseCode.PROTOCOL_ERROR,), (CLOSED,)),
    _both("U-02 B-49", "00 41 FF 00 E2 82 FF", "A", CloseCode.INVALID_DATA),
]

# Ill-formed UTF-8, and how it is delivered: one U+FFFD for each maximal subpart.
REPLACEMENTS = [
    (bytes.fromhex(payload), "\ufffd" * count + rest)
    for payload, count, rest in [
        ("80", 1, ""),
        ("C0 80", 2, ""),
        ("E2 82", 1, ""),
        ("E2 82 41", 1, "A"),
        ("E0 80 80", 3, ""),
        ("ED A0 80", 3, ""),
        ("F0 9F 98", 1, ""),
        ("F0 80 80 80", 4, ""),
        ("F4 90 80 80", 4, ""),
        ("F5 80 80 80", 4, ""),
        ("F8 88 80 80 80", 5, ""),
        ("FE", 1, ""),
        ("ED A0 BD ED B8 80", 6, ""),
    ]
]

# Lengths of discarded frames, base 128, most significant group first (75 and 76 section 5.3).
LENGTHS = [
    (length, bytes.fromhex(encoded))
    for length, encoded in [
        (0, "00"),
        (0, "80 80 00"),
        (2, "80 80 02"),
        (127, "7F"),
        (128, "81 00"),
        (200, "81 48"),
        (4660, "A4 34"),
        (4660, "80 A4 34"),
        (16384, "81 80 00"),
        (65536, "84 80 00"),
    ]
]
