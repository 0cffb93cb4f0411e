"""
The parts of the heads of requests and answers, valid and invalid.
"""

from __future__ import annotations

from tests.fuzz import applications
from tests.support import IDIOMS
from tests.vectors import hixie

OFFERS = (
    b"permessage-deflate",
    b"permessage-deflate; client_max_window_bits",
    b"permessage-deflate; client_no_context_takeover",
    b"permessage-deflate; server_no_context_takeover; client_max_window_bits=9",
    b"permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=10",
    b"x-webkit-deflate-frame",
    b"permessage-deflate; client_max_window_bits=x",
)
FIELDS = (
    *sorted({name for idiom in IDIOMS.values() for name, _ in idiom.fields}),
    *(b"Sec-WebSocket-Protocol", b"WebSocket-Protocol", b"Sec-WebSocket-Draft", b"Cookie"),
    *(b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host", b"Authorization"),
    *(b"Sec-WebSocket-Extensions", b"Content-Length", b"Transfer-Encoding", b"Expect", b"X"),
)
VALUES = (
    *sorted({value for idiom in IDIOMS.values() for _, value in idiom.fields}),
    *(key.key for key in hixie.KEYS if len(key.key) < 100),
    *OFFERS,
    *(b"192.0.2.1, 192.168.0.9", b"[2001:db8::1]:80", b"::ffff:1.2.3.4", b"unknown", b"https"),
    *(applications.AUTHORIZATION, b"Basic \xff", b"Basic eA==", b"Bearer x"),
    *(b"", b"0", b"8", b"13", b"7", b"sample", b"chat, superchat", b"a=b; c=d", b"chunked"),
    *(b"[::1]:80", b"example.com:99999", b"EXAMPLE.com:443", b"http://x.example.com", b"null"),
    *(b"keep-alive, Upgrade", b"100-continue", b"\xff\xfe", b"a\tb", b"100000", b"close"),
)
LINES = (
    *(b"GET /demo?x=1 HTTP/1.1", b"POST / HTTP/1.1", b"HEAD / HTTP/1.1", b"GET / HTTP/1.0"),
    *(b"GET  / HTTP/1.1", b"GET http://example.com/ HTTP/1.1", b"GET /%zz?%ff=%00 HTTP/1.1"),
    *(b"OPTIONS * HTTP/1.1", b"get / http/1.1", b"GET /\xc3\xa9 HTTP/1.1", b"\x16\x03\x01"),
)

# The lines of answers, and what makes an answer wrong.
AGREEMENTS = (
    b"permessage-deflate",
    b"permessage-deflate; server_max_window_bits=9",
    b"permessage-deflate; client_max_window_bits=10; client_no_context_takeover",
    b"permessage-deflate; server_no_context_takeover",
)
ANSWERS = (
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.0 302 Found\r\nLocation: /\r\n\r\nuntil the end",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\x15\x03\x01\0\x02\x02\x46",
)
STATUS_LINES = (
    *(b"HTTP/1.1 101 Web Socket Protocol Handshake", b"HTTP/1.1 101 WebSocket Protocol Handshake"),
    *(b"HTTP/1.1 101 Switching Protocols", b"HTTP/1.0 101 OK", b"HTTP/1.1 101", b"HTTP/1.1  101 X"),
    *(b"HTTP/1.1 200 OK", b"HTTP/1.1 401 X", b"HTTP/1.1 99 X", b"HTTP/1.1 1010 X", b"HTTP/1.1"),
    *(b"HTTP/2 101 X", b"X 101 Y", b"HTTP/1.1 101 \xff", b"HTTP/1.1 102 Processing"),
)
SERVERS_FIELDS = (
    *(b"Upgrade", b"Connection", b"Date", b"Set-Cookie", b"Content-Length", b"Transfer-Encoding"),
    *(b"WebSocket-Origin", b"WebSocket-Location", b"WebSocket-Protocol", b"Sec-WebSocket-Protocol"),
    *(b"Sec-WebSocket-Origin", b"Sec-WebSocket-Location", b"Sec-WebSocket-Accept"),
    *(b"Sec-WebSocket-Extensions", b"X"),
)
SERVERS_VALUES = (
    *(b"WebSocket", b"websocket", b"Upgrade", b"upgrade, close", b"http://example.com"),
    *(b"ws://example.com/demo?x=1", b"wss://example.com/demo?x=1", b"chat", b"superchat", b""),
    *(b"chunked", b"5", b"-1", b"99999999999999999999", b"a\xffb", b"a\tb", b"x\0", *AGREEMENTS),
    *(b"permessage-deflate; server_max_window_bits=8", b"x-other, permessage-deflate"),
)
