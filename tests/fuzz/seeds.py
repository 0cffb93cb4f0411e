"""
The first conversations, made from the vectors of the tests.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.fuzz.answers import good as goodAnswer
from tests.fuzz.scenario import Scenario, Step
from tests.fuzz.subjects import openingOf
from tests.fuzz.words import ANSWERS, OFFERS
from tests.support import IDIOMS, buildHead
from tests.vectors import hixie, rfc6455

# The longest conversation.
MOST_BYTES = 30_000


def seeds() -> list[Scenario]:
    """
    @return: the conversations from the vectors of the tests.
    """
    heads = {dialect: buildHead(dialect) + IDIOMS[dialect].preamble for dialect in IDIOMS}
    deflating = buildHead("rfc6455", extra=[(b"Sec-WebSocket-Extensions", OFFERS[0])])
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
        if sum(map(len, steps)) <= MOST_BYTES
    ]


def clientSeeds() -> list[Scenario]:
    """
    @return: the conversations from the vectors of answers to a client.
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
        streams += [(start, answer) for start in ANSWERS]
        scenarios += [
            replace(empty, steps=tuple(filter(None, steps)))
            for steps in streams
            if sum(map(len, steps)) <= MOST_BYTES
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
