"""
One conversation with a server or a client: its settings, and what the peer and the clock do.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, TypeAlias

from txhixie import Settings


class Action(NamedTuple):
    """
    Something other than data that happens to a connection.

    @ivar kind: C{wait} some seconds; C{stall}: the peer stops reading; C{read}: it reads C{amount}
        bytes, 0 for everything; C{end} TCP; C{reset} TCP.
    """

    kind: str
    amount: float = 0


# Bytes that the peer sends, or something else.
Step: TypeAlias = bytes | Action


@dataclass(frozen=True, slots=True)
class Scenario:
    """
    @ivar settings: the settings that are not the defaults.
    @ivar wire: the transport, a key of C{wires.KINDS}.
    @ivar application: how the application behaves, a key of C{applications.KINDS}.
    @ivar steps: what happens, in order; bytes that follow bytes are one stream.
    @ivar cut: the seed of the places where the streams are cut.
    @ivar dialect: the dialect of a client, if the peer is its server; empty if the peer is a client
        of our server.
    @ivar subprotocols: the subprotocols that such a client asks for.
    """

    settings: dict[str, Any]
    wire: str
    application: str
    steps: tuple[Step, ...]
    cut: int = 0
    dialect: str = ""
    subprotocols: tuple[str, ...] = ()

    def makeSettings(self) -> Settings:
        """
        @return: the settings of the tested side.
        """
        return Settings(**self.settings)

    @property
    def data(self) -> bytes:
        """
        Everything that the peer sends.
        """
        return b"".join(step for step in self.steps if isinstance(step, bytes))

    @property
    def actions(self) -> set[str]:
        """
        The kinds of actions in it.
        """
        return {step.kind for step in self.steps if isinstance(step, Action)}

    def dump(self) -> str:
        """
        @return: it as JSON, bytes as characters of the same numbers.
        """
        record = asdict(self)
        record["steps"] = [
            step.decode("latin-1") if isinstance(step, bytes) else [*step] for step in self.steps
        ]
        return json.dumps(record, indent=1)

    @classmethod
    def load(cls, text: str) -> Scenario:
        """
        @param text: what L{dump} returned.
        """
        record = json.loads(text)
        record["steps"] = tuple(
            step.encode("latin-1") if isinstance(step, str) else Action(*step)
            for step in record["steps"]
        )
        record["settings"] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in record["settings"].items()
        }
        record["subprotocols"] = tuple(record.get("subprotocols", ()))
        return cls(**record)
