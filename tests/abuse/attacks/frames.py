"""
Frames that no client would send.
"""

from __future__ import annotations

import select
import zlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import cycle
from time import monotonic

from tests.abuse.attack import Target, attack
from tests.abuse.client import PING, Client, Frame, bunches, exchange, tally
from tests.support import IDIOMS, clientFrame

_FIN = 0x80
_RSV1 = 0x40
_MIB = 1 << 20
_DEFLATE = ((b"Sec-WebSocket-Extensions", b"permessage-deflate"),)
# How the dialects end a connection for a fault.
_TOO_BIG = {"hixie-75": "end", "hixie-76": "FF 00"}
# One dialect for each way to frame.
_SAMPLES = ("hixie-76", "rfc6455")


def _repeat(target: Target, attempts: Mapping[str, Callable[[], str]]) -> str:
    """
    Make attempts in turn for as long as an attack lasts, each of them at least once.

    @return: the outcomes of each.
    """
    end = monotonic() + target.size(3, 0)
    outcomes: dict[str, list[str]] = {name: [] for name in attempts}
    for number, (name, attempt) in enumerate(cycle(attempts.items())):
        if number >= len(attempts) and monotonic() > end:
            break
        outcomes[name].append(attempt())
    return "; ".join(f"{name}: {tally(got)}" for name, got in outcomes.items())


def _sent(target: Target, dialect: str, data: Iterable[bytes], *expected: str) -> str:
    """
    Send data until the server ends the connection.

    @return: how it did that.
    """
    client = Client(target.port, dialect, extra=_DEFLATE if dialect == "rfc6455" else ())
    exchange(client, data, lambda frames: bool(client.farewell))
    client.close()
    assert client.outcome in expected, f"{dialect}: {client.outcome}, not {' or '.join(expected)}"
    return client.outcome


@attack("--compression", memory=16)
def deflateBomb(target: Target) -> str:
    """
    A GiB of zeros in a compressed message of one frame, and of 64.
    """
    compressor = zlib.compressobj(9, wbits=-15)
    part = compressor.compress(bytes(16 * _MIB)) + compressor.flush(zlib.Z_FULL_FLUSH)
    whole = clientFrame(_FIN | _RSV1 | 2, part * 64)
    fragments = [clientFrame(_RSV1 | 2, part), *[clientFrame(0, part)] * 63]
    attempts = {
        "one frame": partial(_sent, target, "rfc6455", [whole], "1009"),
        "fragments": partial(_sent, target, "rfc6455", fragments, "1009"),
    }
    return _repeat(target, attempts)


def hixieLength(length: int) -> bytes:
    """
    @return: a length as Hixie dialects write it, seven bits to a byte.
    """
    digits = [length & 0x7F]
    while length := length >> 7:
        digits.append(0x80 | length & 0x7F)
    return bytes(reversed(digits))


@attack(memory=8)
def hugeLength(target: Target) -> str:
    """
    Frames of 2^63 bytes and of one less, with a MiB of them.
    """

    def attempt(dialect: str, length: int) -> str:
        size = length.to_bytes(8, "big")
        hybi = b"\x82\xff" + size
        header = b"\x80" + hixieLength(length) if dialect in _TOO_BIG else hybi
        answers = (_TOO_BIG[dialect],) if dialect in _TOO_BIG else ("1009", "1002")
        return _sent(target, dialect, [header + bytes(_MIB)], *answers)

    lengths = {"2^63": 1 << 63, "2^63-1": (1 << 63) - 1}
    attempts = {
        f"{dialect} {name}": partial(attempt, dialect, lengths[name])
        for dialect in IDIOMS
        for name in lengths
    }
    return _repeat(target, attempts)


@attack(memory=8)
def endlessLength(target: Target) -> str:
    """
    A length that does not end, in bytes with digits and in leading zeros.
    """
    size = target.size(16, 1) * _MIB

    def attempt(dialect: str, digit: int) -> str:
        data = [b"\x80", *bunches(bytes([digit]), size)]
        return _sent(target, dialect, data, _TOO_BIG[dialect])

    attempts = {
        f"{dialect} 80 {digit:02x}": partial(attempt, dialect, digit)
        for dialect in _TOO_BIG
        for digit in (0xFF, 0x80)
    }
    return _repeat(target, attempts)


@attack(memory=16)
def emptyFrames(target: Target) -> str:
    """
    A million empty messages, and a million empty pings.
    """
    count = target.size(1_000_000, 5_000)

    def flood(dialect: str, frame: bytes) -> str:
        client = Client(target.port, dialect)
        answers = 0

        def enough(frames: list[Frame]) -> bool:
            nonlocal answers
            answers += len(frames)
            return answers >= count

        exchange(client, bunches(frame, count), enough)
        client.close()
        assert answers == count, f"{answers} answers, then {client.outcome}"
        return "all are answered"

    ping = clientFrame(_FIN | PING)
    parts = [f"{name}: {flood(name, IDIOMS[name].clientText(''))}" for name in _SAMPLES]
    return "; ".join([*parts, f"pings: {flood('rfc6455', ping)}"])


@attack(memory=12)
def emptyFragments(target: Target) -> str:
    """
    A message of a million empty fragments.
    """
    count = target.size(1_000_000, 150_000)
    dialects = ("rfc6455",) if target.quick else ("hybi-07", "hybi-08", "rfc6455")
    fragments = [clientFrame(1), *bunches(clientFrame(0), count)]
    return "; ".join(f"{name}: {_sent(target, name, fragments, '1008')}" for name in dialects)


@attack("--close-timeout", "0.5", "--linger-timeout", "1", memory=8, memoryByTLS=16)
def neverClosing(target: Target) -> str:
    """
    Peers that answer every close with more data.
    """
    clients = [
        Client(target.port, dialect, secure=target.secure)
        for dialect in IDIOMS
        for _ in range(target.size(10, 1))
    ]
    # As much as a record of TLS can hold.
    message = {dialect: idiom.clientText("more" * 4000) for dialect, idiom in IDIOMS.items()}
    poll = select.poll()
    open_ = {}
    for client in clients:
        client.sendText("kill")
        client.socket.setblocking(False)
        poll.register(client, select.POLLIN | select.POLLOUT)
        open_[client.fileno()] = client
    started = monotonic()
    while open_:
        for descriptor, _ in poll.poll(1000):
            client = open_[descriptor]
            client.receive()
            _trickle(client, message[client.dialect])
            if client.ending not in ("", "end"):
                poll.unregister(descriptor)
                del open_[descriptor]
                client.close()
        elapsed = monotonic() - started
        assert elapsed < 15, f"{len(open_)} are still connected after {elapsed:.0f} s"
    endings = tally(f"{client.farewell or 'no frame'}, then {client.ending}" for client in clients)
    return f"{endings}; all gone after {elapsed:.1f} s"


def _trickle(client: Client, data: bytes) -> None:
    try:
        if client.isSecure and client.ending:
            # After its end TLS sends nothing more, but TCP need not end.
            client.watchTCP()
        else:
            client.socket.send(data)
    except BlockingIOError:
        pass
    except OSError as error:
        client.failed(error)
