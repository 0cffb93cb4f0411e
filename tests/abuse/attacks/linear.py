"""
Attacks on the server's CPU: the same bytes in as many pieces as possible. Four times the bytes must
cost about four times as much; if the cost grew with the square, it would be sixteen times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from tests.abuse.attack import Target, attack
from tests.abuse.client import CLOSE, Client, Frame, bunches, connected, exchange
from tests.support import buildHead, clientFrame

_FIN = 0x80
_RSV1 = 0x40


def _ratio(target: Target, run: Callable[[int], object], size: int) -> str:
    """
    @param run: an attack with a size.
    @return: the CPU time of an attack that is four times as large as C{size}, relative to one of
        C{size}.
    """
    run(size // 8)

    def cost(count: int) -> float:
        return min(target.cost(lambda: run(count)) for _ in range(2))

    return f"4 x {size:,}: {cost(4 * size) / cost(size):.1f} times the CPU"


def _echoed(client: Client, pieces: Iterable[bytes], count: int) -> None:
    """
    Send messages and wait for the same number of echoes.
    """
    missing = count

    def enough(frames: list[Frame]) -> bool:
        nonlocal missing
        assert all(frame.opcode != CLOSE for frame in frames), f"closed: {client.outcome}"
        missing -= len(frames)
        return missing <= 0

    exchange(client, pieces, enough)
    assert missing == 0, f"{missing} of {count} messages are not echoed: {client.outcome}"
    client.close()


def _bytewise(data: bytes) -> Iterator[bytes]:
    return (data[at : at + 1] for at in range(len(data)))


@attack(memory=8)
def tinySegments(target: Target) -> str:
    """
    A large message arrives a byte at a time.
    """

    def run(dialect: str, size: int) -> None:
        client = Client(target.port, dialect)
        _echoed(client, _bytewise(client.idiom.clientText("a" * size)), 1)

    size = target.size(1 << 15, 1 << 11)
    return _eachDialect(lambda name: _ratio(target, partial(run, name), size))


def _eachDialect(run: Callable[[str], str], *names: str) -> str:
    return "; ".join(f"{name} {run(name)}" for name in names or ("hixie-76", "rfc6455"))


@attack(memory=12)
def tinyFragments(target: Target) -> str:
    """
    A message comes in fragments of one byte and of none, by turns.
    """

    def run(dialect: str, count: int) -> None:
        pair = clientFrame(0, b"a") + clientFrame(0)
        pieces = [clientFrame(1, b"a"), *bunches(pair, count // 2), clientFrame(_FIN)]
        _echoed(Client(target.port, dialect), pieces, 1)

    # Four times that is just less than the limit on messages.
    size = target.size(32_000, 1_000)
    return _eachDialect(lambda name: _ratio(target, partial(run, name), size), "rfc6455")


@attack(memory=8)
def tinyFrames(target: Target) -> str:
    """
    Messages of one byte, as many as fit into every segment.
    """

    def run(dialect: str, count: int) -> None:
        client = Client(target.port, dialect)
        _echoed(client, bunches(client.idiom.clientText("a"), count), count)

    # Enough messages for a measurable time.
    sizes = {"hixie-76": target.size(500_000, 1_000), "rfc6455": target.size(50_000, 1_000)}
    return _eachDialect(lambda name: _ratio(target, partial(run, name), sizes[name]))


@attack("--compression", memory=16)
def deflateBlocks(target: Target) -> str:
    """
    A compressed message has a block for every byte, or for none.
    """

    def run(block: bytes, size: int) -> None:
        offer = ((b"Sec-WebSocket-Extensions", b"permessage-deflate"),)
        client = Client(target.port, extra=offer)
        # The rest of the flush at its end begins one more block.
        payload = block * (size // len(block)) + b"\x00"
        messages = target.size(20, 1)
        _echoed(client, [clientFrame(_FIN | _RSV1 | 1, payload)] * messages, messages)

    size = target.size(250_000, 5_000)
    kinds = {"one byte": b"\x00\x01\x00\xfe\xffa", "none": b"\x00\x00\x00\xff\xff"}
    ratios = [f"{name}: {_ratio(target, partial(run, kinds[name]), size)}" for name in kinds]
    return "; ".join(ratios)


@attack(memory=8)
def tinyHead(target: Target) -> str:
    """
    A request head arrives a byte at a time: one long line, or many fields.
    """
    fields = 90

    def run(isLine: bool, size: int) -> None:
        if isLine:
            head = buildHead("hixie-75", requestLine=b"GET /echo?%b HTTP/1.1" % (b"a" * size))
        else:
            extra = [(b"X-%d" % n, b"a" * (size // fields - 8)) for n in range(fields)]
            head = buildHead("hixie-75", extra=extra)
        for _ in range(target.size(4, 1)):
            with connected(target.port) as socket:
                for byte in _bytewise(head):
                    socket.send(byte)
                assert socket.recv(1 << 16).startswith(b"HTTP/1.1 101 ")

    # Four times that is just less than the limit on heads.
    line, many = (_ratio(target, partial(run, isLine), 3_900) for isLine in (True, False))
    return f"line: {line}; fields: {many}"
