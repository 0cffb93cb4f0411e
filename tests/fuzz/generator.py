"""
Conversations at random: made of the pieces that clients send, and changed where it hurts.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.fuzz import applications, wires
from tests.fuzz.answers import good as goodAnswer
from tests.fuzz.pieces import CLIENTS_MASKS, INTERESTING, SERVERS_MASKS, TEXTS, Pieces
from tests.fuzz.scenario import Action, Scenario, Step
from tests.fuzz.subjects import openingOf
from tests.support import IDIOMS, buildHead
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

# What answers a client, and what makes an answer wrong.
_AGREEMENTS = (
    b"permessage-deflate",
    b"permessage-deflate; server_max_window_bits=9",
    b"permessage-deflate; client_max_window_bits=10; client_no_context_takeover",
    b"permessage-deflate; server_no_context_takeover",
)
_ANSWERS = (
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.0 302 Found\r\nLocation: /\r\n\r\nuntil the end",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\x15\x03\x01\0\x02\x02\x46",
)
_STATUS_LINES = (
    *(b"HTTP/1.1 101 Web Socket Protocol Handshake", b"HTTP/1.1 101 WebSocket Protocol Handshake"),
    *(b"HTTP/1.1 101 Switching Protocols", b"HTTP/1.0 101 OK", b"HTTP/1.1 101", b"HTTP/1.1  101 X"),
    *(b"HTTP/1.1 200 OK", b"HTTP/1.1 401 X", b"HTTP/1.1 99 X", b"HTTP/1.1 1010 X", b"HTTP/1.1"),
    *(b"HTTP/2 101 X", b"X 101 Y", b"HTTP/1.1 101 \xff", b"HTTP/1.1 102 Processing"),
)
_SERVERS_FIELDS = (
    *(b"Upgrade", b"Connection", b"Date", b"Set-Cookie", b"Content-Length", b"Transfer-Encoding"),
    *(b"WebSocket-Origin", b"WebSocket-Location", b"WebSocket-Protocol", b"Sec-WebSocket-Protocol"),
    *(b"Sec-WebSocket-Origin", b"Sec-WebSocket-Location", b"Sec-WebSocket-Accept"),
    *(b"Sec-WebSocket-Extensions", b"X"),
)
_SERVERS_VALUES = (
    *(b"WebSocket", b"websocket", b"Upgrade", b"upgrade, close", b"http://example.com"),
    *(b"ws://example.com/demo?x=1", b"wss://example.com/demo?x=1", b"chat", b"superchat", b""),
    *(b"chunked", b"5", b"-1", b"99999999999999999999", b"a\xffb", b"a\tb", b"x\0", *_AGREEMENTS),
    *(b"permessage-deflate; server_max_window_bits=8", b"x-other, permessage-deflate"),
)


def clientSeeds() -> list[Scenario]:
    """
    @return: what the vectors of the tests make of answers to a client.
    """
    scenarios: list[Scenario] = []
    for dialect in IDIOMS:
        frames = [vector.data for vector in (*hixie.FRAMES, *hixie.STRICT)]
        if not dialect.startswith("hixie"):
            frames = [
                unmasked for vector in rfc6455.GOOD if (unmasked := _unmasked(vector.data))
            ] + [vector.data for vector in rfc6455.BAD]
        empty = Scenario({}, "socket", "echo", (), dialect=dialect)
        answer = goodAnswer(dialect, openingOf(empty).request())
        closing = IDIOMS[dialect].serverClose
        streams: list[tuple[bytes, ...]] = [(answer, data, closing) for data in frames]
        streams += [(start, answer) for start in _ANSWERS]
        scenarios += [
            replace(empty, steps=tuple(filter(None, steps)))
            for steps in streams
            if sum(map(len, steps)) <= _MOST_BYTES[-1]
        ]
    return scenarios


def _unmasked(data: bytes) -> bytes:
    """
    @return: a client's frames as a server sends them.
    """
    frames = b""
    while data:
        size, start = data[1] & 0x7F, 2
        if size > 125:
            start = 4 if size == 126 else 10
            size = int.from_bytes(data[2:start], "big")
        mask, payload = data[start : start + 4], data[start + 4 : start + 4 + size]
        frames += bytes([data[0], data[1] & 0x7F]) + data[2:start]
        frames += bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        data = data[start + 4 + size :]
    return frames


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

    def __init__(self, generator: random.Random, isForClient: bool = False) -> None:
        """
        @param isForClient: whether they are with a client.
        """
        self._random = generator
        self._isForClient = isForClient
        self._pieces = Pieces(generator, SERVERS_MASKS if isForClient else CLIENTS_MASKS)
        self._choice = generator.choice
        self._below = generator.randrange

    def new(self) -> Scenario:
        """
        @return: a conversation in some dialect, most of it proper.
        """
        if self._isForClient:
            return self._newWithClient()
        dialect = self._choice(list(IDIOMS))
        extra: list[tuple[bytes, bytes]] = []
        settings: dict[str, Any] = {}
        make = self._pieces.hixiePiece
        if dialect not in ("hixie-75", "hixie-76"):
            make = self._pieces.hybiPieces
            if self._below(2):
                settings["compression"] = True
                extra.append((b"Sec-WebSocket-Extensions", self._choice(_OFFERS)))
                if self._below(4):
                    make = self._pieces.deflated()
        settings |= self._someSettings(self._below(4))
        if self._below(2):
            settings["maxMessage"] = self._choice(_SETTINGS["maxMessage"])
        wire, application = self._choice(list(wires.KINDS)), self._application()
        if application == "guarded" and self._below(4):
            extra.append((b"Authorization", applications.AUTHORIZATION))
        steps: list[Step] = [buildHead(dialect, extra=extra), IDIOMS[dialect].preamble]
        steps += self._talk(make)
        return self._fit(Scenario(settings, wire, application, tuple(steps), self._below(1 << 30)))

    def _newWithClient(self) -> Scenario:
        dialect = self._choice(list(IDIOMS))
        isHixie = dialect.startswith("hixie")
        settings = self._someSettings(self._below(4))
        names = ("chat",) if isHixie else ("chat", "superchat")
        subprotocols = self._choice(((), (), names))
        make, extension = self._pieces.hixiePiece, b""
        if not isHixie:
            make = self._pieces.hybiPieces
            if self._below(2):
                settings["compression"] = True
                extension = self._choice((b"", *_AGREEMENTS))
                if extension and self._below(4):
                    make = self._pieces.deflated()
        if self._below(2):
            settings["maxMessage"] = self._choice(_SETTINGS["maxMessage"])
        wire = self._choice(list(wires.KINDS))
        scenario = Scenario(
            *(settings, wire, self._application(), (), self._below(1 << 30)), dialect, subprotocols
        )
        chosen = self._choice(subprotocols) if subprotocols else ""
        answer = goodAnswer(dialect, openingOf(scenario).request(), chosen, extension)
        steps: list[Step] = [answer, *self._talk(make)]
        if not self._below(6):
            steps.insert(0, self._choice(_ANSWERS))
        if not self._below(6):
            steps.insert(self._below(len(steps)), self._action())
        return self._fit(replace(scenario, steps=tuple(steps)))

    def _talk(self, make: Callable[[], list[bytes]]) -> list[Step]:
        steps: list[Step] = []
        for _ in range(self._below(12)):
            steps += make()
            if not self._below(12):
                steps.append(self._action())
            if not self._below(8):
                # A peer that talks on, and reads only then.
                steps += [Action("stall"), *make(), *make(), Action("read"), *make()]
        return steps

    def _application(self) -> str:
        kinds = applications.CLIENTS if self._isForClient else [*applications.KINDS]
        return "echo" if self._below(3) else self._choice(kinds)

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
                steps[at + 1 : at + 1] = self._choice(
                    (self._pieces.hixiePiece, self._pieces.hybiPieces)
                )()
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
        names, values = _FIELDS, _VALUES
        if self._isForClient:
            names, values = _SERVERS_FIELDS, _SERVERS_VALUES
        lines = head.split(b"\r\n")
        at = self._below(len(lines))
        match self._below(7):
            case 0:
                lines[0] = self._choice(_STATUS_LINES if self._isForClient else _LINES)
            case 1:
                lines.insert(1, self._choice(names) + b": " + self._choice(values))
            case 2:
                del lines[at]
            case 3:
                lines.insert(at, lines[at])
            case 4 if b":" in lines[at]:
                lines[at] = lines[at].partition(b":")[0] + b": " + self._choice(values)
            case 5 if b":" in lines[at]:
                lines[at] = self._choice(names) + b":" + lines[at].partition(b":")[2]
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
                part = self._choice(INTERESTING) * len(part)
            case 2:
                part += self._choice(INTERESTING)
            case 3:
                part = b""
            case 4:
                return data[:start]
            case 5:
                part *= self._choice((2, 3, 130))
            case 6:
                part += self._choice(TEXTS)
            case _:
                part = self._random.randbytes(len(part))
        return data[:start] + part + data[end:]
