"""
Conversations at random: made of the pieces that clients send, and changed where it hurts.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from tests.fuzz import applications, wires
from tests.fuzz.scenario import Action, Scenario, Step
from tests.support import IDIOMS, Deflater, buildHead, frame
from tests.vectors import hixie, rfc6455

# Most conversations are short, so that there are many of them.
_MOST_BYTES = (500, 2000, 2000, 5000, 30_000)
_MOST_STEPS = 60

# What settings are tried; the first is the default one.
_SETTINGS: dict[str, tuple[Any, ...]] = {
    "strict": (False, True),
    "compression": (False, True, True),
    "maxMessage": (1 << 20, 1, 20, 126, 300, 5000, 70_000),
    "maxHead": (16 * 1024, 200, 400),
    "maxFields": (100, 5, 10),
    "maxFragments": (128 * 1024, 1, 2, 5),
    "sendLimit": (1 << 20, 50, 1000),
    "slowPolicy": ("close", "drop", "latest"),
    "heartbeat": (None, "beat"),
    "idleTimeout": (0.0, 1.0, 20.0),
    "dialects": (None, ("hixie-76", "rfc6455"), ("hixie-75",), ("hybi-07", "hybi-08")),
    "trustedProxies": ((), ("192.168.0.0/16",)),
    "location": (None, "wss://chat.example.com"),
    "origins": ((), ("http://example.com",), ("http://*.example.com", "null")),
    "allowMissingOrigin": (False, True),
    "subprotocols": ((), ("sample", "chat", "superchat")),
    "pingInterval": (30.0, 0, 1.0),
    "logConnections": (False, True),
    "logMessages": (False, True),
}
_WAITS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 61.0)

_OFFERS = (
    b"permessage-deflate",
    b"permessage-deflate; client_max_window_bits",
    b"permessage-deflate; client_no_context_takeover",
    b"permessage-deflate; server_no_context_takeover; client_max_window_bits=9",
    b"permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=10",
    b"x-webkit-deflate-frame",
    b"permessage-deflate; client_max_window_bits=x",
)
_FIELDS = (
    *sorted({name for idiom in IDIOMS.values() for name, _ in idiom.fields}),
    *(b"Sec-WebSocket-Protocol", b"WebSocket-Protocol", b"Sec-WebSocket-Draft", b"Cookie"),
    *(b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host", b"Authorization"),
    *(b"Sec-WebSocket-Extensions", b"Content-Length", b"Transfer-Encoding", b"Expect", b"X"),
)
_VALUES = (
    *sorted({value for idiom in IDIOMS.values() for _, value in idiom.fields}),
    *(key.key for key in hixie.KEYS if len(key.key) < 100),
    *_OFFERS,
    *(b"192.0.2.1, 192.168.0.9", b"[2001:db8::1]:80", b"::ffff:1.2.3.4", b"unknown", b"https"),
    *(applications.AUTHORIZATION, b"Basic \xff", b"Basic eA==", b"Bearer x"),
    *(b"", b"0", b"8", b"13", b"7", b"sample", b"chat, superchat", b"a=b; c=d", b"chunked"),
    *(b"[::1]:80", b"example.com:99999", b"EXAMPLE.com:443", b"http://x.example.com", b"null"),
    *(b"keep-alive, Upgrade", b"100-continue", b"\xff\xfe", b"a\tb", b"100000", b"close"),
)
_LINES = (
    *(b"GET /demo?x=1 HTTP/1.1", b"POST / HTTP/1.1", b"HEAD / HTTP/1.1", b"GET / HTTP/1.0"),
    *(b"GET  / HTTP/1.1", b"GET http://example.com/ HTTP/1.1", b"GET /%zz?%ff=%00 HTTP/1.1"),
    *(b"OPTIONS * HTTP/1.1", b"get / http/1.1", b"GET /\xc3\xa9 HTTP/1.1", b"\x16\x03\x01"),
)

# Bytes that mean something to somebody, and text that is hard to get right.
_INTERESTING = (b"\0", b"\xff", b"\x80", b"\x7f", b"\x81", b"\x82", b"\x88", b"\xfe", b"\r", b"\n")
_TEXTS = (
    *(b"", b"A", b"Hello", b"x" * 19, b"x" * 20, b"x" * 21, b"x" * 125, b"x" * 126, b"x" * 300),
    *("\u00e9\u20ac\U0001f600".encode(), b"\xef\xbb\xbf", "\ufffe\uffff\U0010ffff".encode()),
    *rfc6455.ILL_FORMED,
    *rfc6455.UNFINISHED,
    *(payload for payload, _ in hixie.REPLACEMENTS),
)

# "Hello" in a final block (RFC 7692 section 7.2.3.4).
_ENDED = bytes.fromhex("f3 48 cd c9 c9 07 00")

_DEFLATERS: tuple[Callable[[], Deflater], ...] = (
    Deflater,
    partial(Deflater, clientBits=9),
    partial(Deflater, clientBits=12),
    partial(Deflater, clientTakeover=False),
    partial(Deflater, level=0),
)


def seeds() -> list[Scenario]:
    """
    @return: what the vectors of the tests make.
    """
    heads = {dialect: buildHead(dialect) + IDIOMS[dialect].preamble for dialect in IDIOMS}
    deflating = buildHead("rfc6455", extra=[(b"Sec-WebSocket-Extensions", _OFFERS[0])])
    streams: list[tuple[dict[str, Any], tuple[Step, ...]]] = [
        ({}, (buildHead(dialect), idiom.preamble, idiom.clientText("Hello"), idiom.clientClose))
        for dialect, idiom in IDIOMS.items()
    ]
    for handshake in (*hixie.HANDSHAKES, *rfc6455.HANDSHAKES):
        streams.append(({"subprotocols": handshake.subprotocols}, (handshake.request,)))
    for strict, vectors in ((False, hixie.FRAMES), (True, hixie.STRICT)):
        for vector in vectors:
            for dialect in ("hixie-75", "hixie-76"):
                streams.append(({"strict": strict}, (heads[dialect], vector.data)))
    for good in (*rfc6455.GOOD, *rfc6455.BAD):
        streams.append(({}, (heads["rfc6455"], good.data)))
    for deflated in (*rfc6455.DEFLATED, *rfc6455.BAD_DEFLATED):
        streams.append(({"compression": True}, (deflating, deflated.data)))
    return [
        Scenario(settings, "socket", "echo", tuple(step for step in steps if step))
        for settings, steps in streams
        if sum(map(len, steps)) <= _MOST_BYTES[-1]
    ]


class Generator:
    """
    Makes conversations.
    """

    def __init__(self, generator: random.Random) -> None:
        self._random = generator
        self._choice = generator.choice
        self._below = generator.randrange

    def new(self) -> Scenario:
        """
        @return: a conversation in some dialect, most of it proper.
        """
        dialect = self._choice(list(IDIOMS))
        extra: list[tuple[bytes, bytes]] = []
        settings: dict[str, Any] = {}
        make = self._hixiePiece
        if dialect not in ("hixie-75", "hixie-76"):
            make = self._hybiPieces
            if self._below(2):
                settings["compression"] = True
                extra.append((b"Sec-WebSocket-Extensions", self._choice(_OFFERS)))
                if self._below(4):
                    make = self._deflated()
        settings |= self._someSettings(self._below(4))
        if self._below(2):
            settings["maxMessage"] = self._choice(_SETTINGS["maxMessage"])
        wire, application = self._choice(list(wires.KINDS)), self._application()
        if application == "guarded" and self._below(4):
            extra.append((b"Authorization", applications.AUTHORIZATION))
        steps: list[Step] = [buildHead(dialect, extra=extra), IDIOMS[dialect].preamble]
        for _ in range(self._below(12)):
            steps += make()
            if not self._below(12):
                steps.append(self._action())
            if not self._below(8):
                # A peer that talks on, and reads only then.
                steps += [Action("stall"), *make(), *make(), Action("read"), *make()]
        return self._fit(Scenario(settings, wire, application, tuple(steps), self._below(1 << 30)))

    def _application(self) -> str:
        return "echo" if self._below(3) else self._choice(list(applications.KINDS))

    def _someSettings(self, count: int) -> dict[str, Any]:
        return {
            name: self._choice(_SETTINGS[name]) for name in self._random.sample([*_SETTINGS], count)
        }

    def _fit(self, scenario: Scenario) -> Scenario:
        """
        @return: as much of it as is not too long.
        """
        room = self._choice(_MOST_BYTES)
        steps: list[Step] = []
        for step in scenario.steps[:_MOST_STEPS]:
            if isinstance(step, Action):
                steps.append(step)
            elif step:
                steps.append(step[:room])
                room -= len(step)
                if room <= 0:
                    break
        return replace(scenario, steps=tuple(steps))

    # Pieces

    def _action(self) -> Action:
        kind = self._choice(("wait", "wait", "stall", "read", "read", "end", "reset"))
        if kind == "wait":
            return Action(kind, self._choice(_WAITS))
        return Action(kind, self._choice((0, 1, 30, 200)) if kind == "read" else 0)

    def _text(self) -> bytes:
        text = self._choice(_TEXTS)
        many = self._choice((0, 0, 0, 1, 2))
        for _ in range(many):
            text += self._choice(_TEXTS)
        if not self._below(20):
            text *= self._choice((2, 10, 100))
        return text

    def _hixiePiece(self) -> list[bytes]:
        kind = self._below(10)
        if kind < 5:
            return [b"\0" + self._text().replace(b"\xff", b"") + b"\xff"]
        if kind < 6:
            return [bytes([self._below(1, 128)]) + self._text().replace(b"\xff", b"") + b"\xff"]
        if kind < 9:
            length, encoded = self._choice(hixie.LENGTHS)
            return [bytes([self._below(128, 256)]) + encoded + bytes(min(length, 5000))]
        return [self._choice((b"\xff\x00", b"\xff\x80\x00", b"\x80" * self._below(1, 10)))]

    def _mask(self) -> bytes:
        return self._choice((b"\0\0\0\0", b"\x37\xfa\x21\x3d", b"\xff\xff\xff\xff", b"\0\xff\x80A"))

    def _hybiPieces(self) -> list[bytes]:
        kind = self._below(10)
        if kind < 4:
            return [frame(self._choice((0x81, 0x82)), self._text(), self._mask())]
        if kind < 7:
            return self._fragments(self._choice((1, 2)), self._text())
        if kind < 8:
            return [frame(self._choice((0x89, 0x8A)), self._text()[:125], self._mask())]
        if kind < 9:
            code = self._choice((*rfc6455.CLOSE_CODES,)).to_bytes(2, "big")
            return [frame(0x88, self._choice((b"", code, code + self._text()[:123])), self._mask())]
        first = self._below(256)
        return [frame(first, self._text(), self._choice((b"", self._mask())))]

    def _fragments(self, first: int, payload: bytes) -> list[bytes]:
        places = sorted(self._below(len(payload) + 1) for _ in range(self._below(1, 6)))
        pieces: list[bytes] = []
        for start, end in zip([0, *places], [*places, len(payload)], strict=True):
            last = 0x80 if len(pieces) == len(places) else 0
            pieces.append(frame(first | last, payload[start:end], self._mask()))
            first = 0
            if not self._below(8):
                pieces.append(frame(self._choice((0x89, 0x8A)), b"!", self._mask()))
        return pieces

    def _deflated(self) -> Callable[[], list[bytes]]:
        """
        @return: what makes messages of one compressor.
        """
        deflater = self._choice(_DEFLATERS)()

        def make() -> list[bytes]:
            if not self._below(4):
                return self._hybiPieces()
            if not self._below(8):
                # A compressor that ended its stream, and more of the message nevertheless.
                rest = frame(0, bytes(self._below(1200)), self._mask())
                return [frame(0x42, _ENDED, self._mask()), *[rest] * self._below(1, 25)]
            payload = deflater.compress(self._text() * self._choice((1, 1, 5, 50)))
            if not self._below(8):
                payload = _ENDED + self._choice((b"", b"\0", payload))
            first = self._choice((0x41, 0x42))
            if self._below(2):
                return self._fragments(first, payload)
            return [frame(0x80 | first, payload, self._mask())]

        return make

    # Changes

    def change(self, scenario: Scenario, other: Scenario) -> Scenario:
        """
        @param other: one to take parts of.
        @return: a scenario that is changed in a few places.
        """
        for _ in range(self._choice((1, 1, 2, 3, 5))):
            kind = self._below(16)
            if kind == 0:
                settings = {**scenario.settings, **self._someSettings(1)}
                scenario = replace(scenario, settings=settings)
            elif kind == 1:
                scenario = replace(scenario, wire=self._choice(list(wires.KINDS)))
            elif kind == 2:
                scenario = replace(scenario, application=self._application())
            elif scenario.steps:
                steps = self._changeSteps([*scenario.steps], [*other.steps])
                scenario = replace(scenario, steps=tuple(steps))
        return self._fit(replace(scenario, cut=self._below(1 << 30)))

    def _changeSteps(self, steps: list[Step], others: list[Step]) -> list[Step]:
        at = self._below(len(steps))
        step = steps[at]
        match self._below(10):
            case 0:
                del steps[at]
            case 1:
                steps.insert(at, step)
            case 2:
                steps.insert(at + 1, self._action())
            case 3 if others:
                steps[at:] = others[self._below(len(others)) :]
            case 4 if others:
                steps.insert(at, self._choice(others))
            case 5:
                steps[at + 1 : at + 1] = self._choice((self._hixiePiece, self._hybiPieces))()
            case 6 if isinstance(step, bytes):
                steps[at] = step * self._choice((2, 10, 60))
            case _ if isinstance(step, bytes) and step:
                change = (
                    self._changeHead if b"HTTP/1" in step and self._below(4) else self._changeBytes
                )
                steps[at] = change(step)
            case _:
                other = self._below(len(steps))
                steps[at], steps[other] = steps[other], step
        return steps

    def _changeHead(self, head: bytes) -> bytes:
        lines = head.split(b"\r\n")
        at = self._below(len(lines))
        match self._below(7):
            case 0:
                lines[0] = self._choice(_LINES)
            case 1:
                lines.insert(1, self._choice(_FIELDS) + b": " + self._choice(_VALUES))
            case 2:
                del lines[at]
            case 3:
                lines.insert(at, lines[at])
            case 4 if b":" in lines[at]:
                lines[at] = lines[at].partition(b":")[0] + b": " + self._choice(_VALUES)
            case 5 if b":" in lines[at]:
                lines[at] = self._choice(_FIELDS) + b":" + lines[at].partition(b":")[2]
            case _:
                lines[at] = self._changeBytes(lines[at])
        return b"\r\n".join(lines)

    def _changeBytes(self, data: bytes) -> bytes:
        start = self._below(len(data) + 1)
        end = min(len(data), start + self._choice((1, 1, 2, 4, 16, 1000)))
        part = data[start:end]
        match self._below(8):
            case 0:
                part = bytes(byte ^ 1 << self._below(8) for byte in part)
            case 1:
                part = self._choice(_INTERESTING) * len(part)
            case 2:
                part += self._choice(_INTERESTING)
            case 3:
                part = b""
            case 4:
                return data[:start]
            case 5:
                part *= self._choice((2, 3, 130))
            case 6:
                part += self._choice(_TEXTS)
            case _:
                part = self._random.randbytes(len(part))
        return data[:start] + part + data[end:]
