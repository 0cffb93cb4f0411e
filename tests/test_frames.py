"""What a server of RFC 6455 sends: the same frame for all receivers that agreed to the same."""

from __future__ import annotations

import gc
import tracemalloc
import zlib
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from tests.support import Deflater, clientFrame, compressing, feed, openConnection
from txhixie.dialects.connection import Connection
from txhixie.dialects.frames import CompressedFrames, Frames
from txhixie.settings import Settings

KiB = 1024
OFFER = b"permessage-deflate; client_max_window_bits"
JSON = '{"sensor": "north", "value": 12.5, "unit": "K"}' * 20


def payload(frame: bytes) -> bytes:
    """
    The payload of a frame of fewer than 64 KiB.
    """
    return frame[4 if frame[1] == 126 else 2 :]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 100_000])
def test_headers(size: int) -> None:
    """
    Frames have the same bytes as those of the library.
    """
    data = b"x" * size
    assert Frames().frameText(data.decode()) == Frame(Opcode.TEXT, data).serialize(mask=False)
    assert Frames().frameBytes(data) == Frame(Opcode.BINARY, data).serialize(mask=False)


@given(messages=st.lists(st.binary(max_size=50) | st.just(b"x" * 5000), max_size=8))
@pytest.mark.parametrize("bits", [9, 12, 15])
def test_byItself(bits: int, messages: list[bytes]) -> None:
    """
    A compressed message can be read without those before it, with the window agreed on, and also by
    a peer that keeps its window.
    """
    sender, keeping = CompressedFrames(bits), Deflater(serverBits=bits)
    for message in messages:
        sent = payload(sender.frameBytes(message))
        assert Deflater(serverBits=bits).decompress(sent) == message
        assert keeping.decompress(sent) == message


def sends(connections: list[Connection], message: str | bytes) -> list[bytes]:
    """
    What each of some connections sends for a message.
    """
    sent = []
    for connection in connections:
        if isinstance(message, str):
            assert connection.sendText(message)
        else:
            assert connection.sendBytes(message)
        sent.append(connection.dataToSend())
    return sent


@pytest.mark.parametrize("message", [JSON, JSON.encode()], ids=["text", "bytes"])
@pytest.mark.parametrize("compressed", [False, True])
def test_shared(compressed: bool, message: str | bytes) -> None:
    """
    A message is framed once for all receivers, compressed or not, and the next one is another.
    """
    make = compressing if compressed else lambda settings: openConnection("rfc6455", settings)
    connections = [make(Settings()) for _ in range(3)]
    first, *others = sends(connections, message)
    assert all(other is first for other in others)
    assert sends(connections, message * 2) != [first] * 3


def test_notShared() -> None:
    """
    Receivers that agreed to other windows, or to none, get their own frames.
    """
    connections = [
        openConnection("rfc6455"),
        compressing(Settings()),
        compressing(Settings(), b"permessage-deflate; server_max_window_bits=9"),
    ]
    message = "".join(map(chr, range(0x400, 0x800))) * 2
    plain, wide, narrow = map(payload, sends(connections, message))
    assert plain == message.encode()
    assert len(wide) < len(narrow)
    assert Deflater().decompress(wide) == Deflater(serverBits=9).decompress(narrow) == plain


def test_kinds() -> None:
    """
    The frame of a bytes message is not sent for a text.
    """
    for connection in (openConnection("rfc6455"), compressing(Settings())):
        data = b"hello"
        sends([connection], data)
        with pytest.raises(TypeError, match="not bytes"):
            connection.sendText(data)  # type: ignore[arg-type]


def test_brokenCompressor(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A compressor that failed halfway is not used again: it may still hold a part of the message.
    """

    def fail(mode: int) -> bytes:
        raise MemoryError

    sender = CompressedFrames(15)
    with monkeypatch.context() as patch:
        broken = SimpleNamespace(compress=lambda data: b"", flush=fail)
        patch.setattr(zlib, "compressobj", lambda wbits: broken)
        with pytest.raises(MemoryError):
            sender.frameText("lost")
    assert Deflater().decompress(payload(sender.frameText("Hello"))) == b"Hello"


def memory(count: int, isUsed: bool) -> float:
    """
    The KiB that a connection with compression takes.

    @param isUsed: whether it received and sent a compressed message.
    """
    peer = clientFrame(0xC1, Deflater(clientBits=12).compress(JSON.encode()))
    connections = []
    tracemalloc.start()
    try:
        for number in range(count + 1):
            connection = compressing(Settings(), OFFER)
            if isUsed:
                assert feed(connection, peer) == [JSON]
                sends([connection], JSON)
            connections.append(connection)
            if number == 0:
                # The first connection creates what all share.
                gc.collect()
                before = tracemalloc.get_traced_memory()[0]
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / count / KiB
    finally:
        tracemalloc.stop()


@pytest.mark.requirement("L-01")
def test_memory() -> None:
    """
    An idle connection holds neither a compressor nor an inflater, and one in use no compressor.
    """
    assert memory(20, isUsed=False) < 3
    assert memory(20, isUsed=True) < 20
