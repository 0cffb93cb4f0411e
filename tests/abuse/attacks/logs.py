"""
Attacks on the log.
"""

from __future__ import annotations

import re
from collections import Counter
from time import monotonic

from tests.abuse.attack import Target, attack
from tests.abuse.client import Client, connected
from tests.support import IDIOMS, buildHead, clientFrame
from txhixie import Settings

# Texts that would forge a line, or control a terminal: everything that any program treats as the
# end of a line, and an escape sequence.
_ENDS = ("\r\n", "\n", "\r", "\x0b", "\x0c", "\x1b[2J", "\x7f", "\x85", "\u2028", "\0")
_FORGED = "2026-01-01T00:00:00+0000 [forged]"
_FORGERIES = [f"a{end}{_FORGED}" for end in _ENDS]


def _ask(target: Target, request: bytes) -> bytes:
    with connected(target.port) as socket:
        socket.send(request)
        try:
            return socket.recv(1 << 12)
        except ConnectionError:
            return b""


def _floodSeen(lines: list[str]) -> str:
    """
    @return: how much was logged.
    @raise AssertionError: if that is more than C{--log-rate} allows.
    """
    size = sum(map(len, lines))
    kinds = Counter((line[:19], re.sub(r"\d+", "0", line[24:])) for line in lines)
    most = max(kinds.values(), default=0)
    # The lines of two seconds in one, and the line that counts the rest.
    limit = 2 * Settings().logRate + 2
    assert most <= limit, f"{most} lines of a kind in a second, not {limit}"
    return f"{len(lines):,} lines logged, {size / 1024:,.0f} KiB, up to {most:,} of a kind a second"


@attack(memory=8, verify=_floodSeen)
def faultFlood(target: Target) -> str:
    """
    Faults that are worth a line in the log, as many as can be.
    """
    requests = [
        buildHead("hixie-76", {b"Sec-WebSocket-Key1": b"none"}) + b"12345678",
        buildHead("rfc6455", {b"Sec-WebSocket-Version": b"99"}),
        buildHead("hybi-08", {b"Sec-WebSocket-Key": b"none"}),
        buildHead("hixie-75", {b"Host": b"a b"}),
        b"GET /missing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"BREW / HTCPCP/1.0\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/1.1\r\nX: %b\r\n\r\n" % bytes(20_000),
    ]
    end = monotonic() + target.size(2, 0)
    statuses: Counter[str] = Counter()
    while not statuses or monotonic() < end:
        for _ in range(20):
            for request in requests:
                answer = _ask(target, request)
                statuses[answer[9:12].decode("ascii") or "end"] += 1
    return ", ".join(f"{count:,} x {status}" for status, count in statuses.most_common())


def _forgerySeen(lines: list[str]) -> str:
    seen = sum("forged" in line for line in lines)
    assert seen, "none of it was logged"
    return f"{seen} lines logged that hold it, {len(lines)} in all"


@attack("--log-connections", "--log-messages", memory=8, verify=_forgerySeen)
def forgedLines(target: Target) -> str:
    """
    Ends of lines, control characters and escape sequences in targets, fields, messages and
    reasons of closes.
    """
    refused = 0
    dialects = ["hixie-76", "rfc6455"] if target.quick else [*IDIOMS]
    for text in _FORGERIES:
        data = text.encode("utf-8")
        for dialect in dialects:
            line = b"GET /echo?%b HTTP/1.1" % data
            for head in (
                buildHead(dialect, requestLine=line),
                buildHead(dialect, {b"Origin": data, b"Sec-WebSocket-Origin": data}),
                buildHead(dialect, {b"Host": data}),
                buildHead(dialect, extra=[(b"Sec-WebSocket-Protocol", data)]),
            ):
                refused += not _ask(target, head).startswith(b"HTTP/1.1 101 ")
            _speak(target, dialect, text)
        for request in (
            b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n",
            b"%b / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: %b\r\nReferer: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nReferer: %b\r\n\r\n",
        ):
            _ask(target, request % data)
    return f"{refused} handshakes are refused"


def _speak(target: Target, dialect: str, text: str) -> None:
    """
    Send it in a message, and as the close reason in dialects that have one.
    """
    client = Client(target.port, dialect)
    client.sendText(text)
    while not client.receive():
        assert not client.ending, client.outcome
    isHixie = dialect.startswith("hixie")
    reason = clientFrame(0x88, b"\x03\xe8" + text.encode())
    client.send(client.idiom.clientClose if isHixie else reason)
    if dialect == "hixie-75":
        client.close()
    else:
        client.readToEnd()
        client.close()
