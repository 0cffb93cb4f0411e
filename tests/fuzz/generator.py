"""
Random conversations: made of the pieces that peers send, and changed in critical places.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.fuzz import applications, wires
from tests.fuzz.answers import good
from tests.fuzz.pieces import CLIENTS_MASKS, INTERESTING, SERVERS_MASKS, TEXTS, Pieces
from tests.fuzz.scenario import Action, Scenario, Step
from tests.fuzz.seeds import MOST_BYTES
from tests.fuzz.subjects import openingOf
from tests.fuzz.words import (
    AGREEMENTS,
    ANSWERS,
    FIELDS,
    LINES,
    OFFERS,
    SERVERS_FIELDS,
    SERVERS_VALUES,
    STATUS_LINES,
    VALUES,
)
from tests.support import IDIOMS, buildHead

# Most conversations are short, so that there are many of them.
_MOST_BYTES = (500, 2000, 2000, 5000, MOST_BYTES)
_MOST_STEPS = 60

# The settings that are tried; the first is the default one.
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
                extra.append((b"Sec-WebSocket-Extensions", self._choice(OFFERS)))
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
                extension = self._choice((b"", *AGREEMENTS))
                if extension and self._below(4):
                    make = self._pieces.deflated()
        if self._below(2):
            settings["maxMessage"] = self._choice(_SETTINGS["maxMessage"])
        wire = self._choice(list(wires.KINDS))
        scenario = Scenario(
            *(settings, wire, self._application(), (), self._below(1 << 30)), dialect, subprotocols
        )
        chosen = self._choice(subprotocols) if subprotocols else ""
        answer = good(dialect, openingOf(scenario).request(), chosen, extension)
        steps: list[Step] = [answer, *self._talk(make)]
        if not self._below(6):
            steps.insert(0, self._choice(ANSWERS))
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
                # A peer that keeps sending, and reads only then.
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
        @return: the part of it that is not too long.
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
        names, values = FIELDS, VALUES
        if self._isForClient:
            names, values = SERVERS_FIELDS, SERVERS_VALUES
        lines = head.split(b"\r\n")
        at = self._below(len(lines))
        match self._below(7):
            case 0:
                lines[0] = self._choice(STATUS_LINES if self._isForClient else LINES)
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
