"""What an application may send, and what happens with anything else."""

from __future__ import annotations

import ctypes
import mmap
from array import array
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.support import HIXIE, MODERN, Deflater
from txhixie import UnsupportedMessage

from .application import STARTED, Recorder, Recording
from .client import Client
from .network import FILLING, Network
from .spreading import spread
from .waiting import inReactor, turns

COMPRESSION = {"extra": [(b"Sec-WebSocket-Extensions", b"permessage-deflate")]}

modern = pytest.mark.parametrize("dialect", MODERN)


def mapped() -> mmap.mmap:
    """Return mapped memory."""
    memory = mmap.mmap(-1, 4096)
    memory.write(b"mapped memory")
    return memory


# Objects with a buffer, made separately for each test.
BUFFERS: dict[str, Callable[[], Any]] = {
    "bytes": lambda: b"\x00\xff",
    "empty": lambda: b"",
    "bytearray": lambda: bytearray(b"changeable"),
    "array-of-ints": lambda: array("i", range(1000)),
    "array-of-many-doubles": lambda: array("d", range(20_000)),
    "view": lambda: memoryview(b"seen"),
    "view-of-doubles": lambda: memoryview(array("d", [1.0, -0.5])),
    "view-with-gaps": lambda: memoryview(bytes(range(256)))[::3],
    "view-of-table": lambda: memoryview(bytes(range(6))).cast("B", (2, 3)),
    "empty-view": lambda: memoryview(array("i")),
    "structure": lambda: (ctypes.c_uint16 * 3)(1, 2, 3),
    "mapped": mapped,
}
inEachBuffer = spread("make", BUFFERS, first=["array-of-ints"])


async def received(network: Network, client: Client, *expected: str | bytes) -> None:
    """
    Check that a client receives these messages, and no other.
    """
    await network.arrived(client, len(expected))
    await turns(3)
    assert client.messages == [*expected]


# Bytes


@modern
@inEachBuffer
@inReactor
async def test_bytesOfAnyBuffer(network: Network, dialect: str, make: Callable[[], Any]) -> None:
    """A bytes message has exactly the bytes of any object with a buffer, whatever its items are."""
    await network.serve(Recorder())
    client, made = await network.open(dialect)
    made.transport.sendBytesMessage(make())
    made.transport.sendTextMessage("next")
    await received(network, client, memoryview(make()).tobytes(), "next")


@pytest.mark.parametrize("dialect", ["rfc6455"])
@inEachBuffer
@inReactor
async def test_compressedBytesOfAnyBuffer(
    network: Network, dialect: str, make: Callable[[], Any]
) -> None:
    """The same with compression."""
    await network.serve(Recorder(), compression=True)
    client, made = await network.open(dialect, **COMPRESSION)
    assert client.field(b"Sec-WebSocket-Extensions")
    client.deflater = Deflater()
    made.transport.sendBytesMessage(make())
    made.transport.sendTextMessage("next")
    await received(network, client, memoryview(make()).tobytes(), "next")


@modern
@pytest.mark.parametrize("size", [10, 1000, 100_000])
@inReactor
async def test_bytesAreCopied(network: Network, dialect: str, size: int) -> None:
    """Data that is changed, or even resized, right after it was sent arrives as it was."""
    data = bytearray(b"a" * size)

    def send(made: Recording, message: str) -> None:
        made.transport.sendBytesMessage(data)
        data[:] = b"b" * size
        made.transport.sendBytesMessage(memoryview(data))
        data.clear()

    await network.serve(Recorder(textMessageReceived=send))
    client, _ = await network.open(dialect)
    client.send("go")
    await received(network, client, b"a" * size, b"b" * size)


@modern
@inReactor
async def test_bytesAreCopiedBeforeOpening(network: Network, dialect: str) -> None:
    """The same for what waits for the opening handshake."""

    def send(made: Recording) -> None:
        data = bytearray(b"as it was")
        made.transport.sendBytesMessage(data)
        data.clear()

    await network.serve(Recorder(negotiationStarted=send))
    client, _ = await network.open(dialect)
    await received(network, client, b"as it was")


@modern
@inReactor
async def test_newestBytesAreCopied(network: Network, dialect: str) -> None:
    """The same for the newest message that is kept for a slow client."""
    await network.serve(Recorder(), slowPolicy="latest", sendLimit=len(FILLING))
    client, made = await network.open(dialect)
    client.stopReading()
    await network.fill(made, lambda: network.counted("messages dropped"))
    data = bytearray(b"as it was")
    made.transport.sendBytesMessage(data)
    data.clear()
    client.readOn()
    await network.until(lambda: client.messages[-1:] == [b"as it was"], "the newest message")


@spread(
    "data",
    {
        "text": "text",
        "no-text": "",
        "int": 5,
        "zero": 0,
        "none": None,
        "list": [1, 2],
        "tuple": (b"a",),
        "object": object(),
    },
)
@inReactor
async def test_noBytesIsTypeError(network: Network, dialect: str, data: object) -> None:
    """
    An object without a buffer is a TypeError; nothing is sent, and the connection still works.
    """
    await network.serve(Recorder())
    client, made = await network.open(dialect)
    with pytest.raises(TypeError):
        made.transport.sendBytesMessage(data)
    await network.answers(client)
    assert client.messages == []
    assert made.transport.messagesSent == 1


@modern
@inReactor
async def test_noBytesIsTypeErrorForSlowClient(network: Network, dialect: str) -> None:
    """The same holds if the client is slow, and messages are dropped."""
    await network.serve(Recorder(), slowPolicy="drop", sendLimit=len(FILLING))
    client, made = await network.open(dialect)
    client.stopReading()
    await network.fill(made, lambda: network.counted("messages dropped"))
    for wrong in ("text", 5):
        with pytest.raises(TypeError):
            made.transport.sendBytesMessage(wrong)
    with pytest.raises(TypeError):
        made.transport.sendTextMessage(b"bytes")


@pytest.mark.parametrize("dialect", HIXIE)
@pytest.mark.parametrize("make", [BUFFERS["bytes"], BUFFERS["array-of-ints"]])
@inReactor
async def test_hixieHasNoBytes(network: Network, dialect: str, make: Callable[[], Any]) -> None:
    """In a dialect without bytes messages each is an UnsupportedMessage; nothing is sent."""
    await network.serve(Recorder())
    client, made = await network.open(dialect)
    with pytest.raises(UnsupportedMessage):
        made.transport.sendBytesMessage(make())
    await network.answers(client)
    assert client.messages == []


# Texts


@spread(
    "collect",
    {
        "list": list,
        "tuple": tuple,
        "iterator": iter,
        "dictionary": dict.fromkeys,
        "generator": lambda texts: (text for text in texts),
    },
)
@inReactor
async def test_textsOfAnyIterable(
    network: Network, dialect: str, collect: Callable[[Iterable[str]], Iterable[str]]
) -> None:
    """Several texts may come in anything that can be iterated over."""
    await network.serve(Recorder())
    client, made = await network.open(dialect)
    made.transport.sendTextMessages(collect(["1", "zwölf", ""]))
    made.transport.sendTextMessages(collect([]))
    made.transport.sendTextMessages(collect(["2"]))
    await received(network, client, "1", "zwölf", "", "2")
    assert made.transport.messagesSent == 4


@inReactor
async def test_changedListGoesOutChanged(network: Network, dialect: str) -> None:
    """A list that is sent, changed and sent again is sent as it is each time, to all clients."""
    await network.serve(Recorder())
    ends = [await network.open(dialect) for _ in range(2)]
    texts = ["1", "2"]
    for _ in range(3):
        for _, made in ends:
            made.transport.sendTextMessages(texts)
        texts[0] += "!"
        texts.append("more")
    expected = ["1", "2", "1!", "2", "more", "1!!", "2", "more", "more"]
    for client, _ in ends:
        await received(network, client, *expected)


@spread(
    "texts",
    {
        "text": "several",
        "no-text": "",
        "bytes": b"bytes",
        "int": 5,
        "none": None,
        "with-int": ["1", 2],
        "with-bytes": ("1", b"2"),
    },
)
@inReactor
async def test_noTextsIsTypeError(network: Network, dialect: str, texts: object) -> None:
    """A single text, or a list with other objects, is a TypeError, and nothing is sent."""
    await network.serve(Recorder())
    client, made = await network.open(dialect)
    with pytest.raises(TypeError):
        made.transport.sendTextMessages(texts)
    await network.answers(client)
    assert client.messages == []


@spread("text", {"bytes": b"bytes", "int": 5, "none": None, "list": ["text"]})
@inReactor
async def test_noTextIsTypeError(network: Network, dialect: str, text: object) -> None:
    """An object that is not a str is a TypeError, and the connection still works."""
    await network.serve(Recorder())
    client, made = await network.open(dialect)
    with pytest.raises(TypeError):
        made.transport.sendTextMessage(text)
    await network.answers(client)
    assert client.messages == []


@inReactor
async def test_wrongMessageBeforeOpening(network: Network, dialect: str) -> None:
    """A wrong message is an error before the connection is open, too."""
    errors = []

    def send(made: Recording) -> None:
        for method, wrong in (("sendBytesMessage", "text"), ("sendTextMessages", "text")):
            try:
                getattr(made.transport, method)(wrong)
            except TypeError:
                errors.append(method)

    await network.serve(Recorder(negotiationStarted=send))
    client, made = await network.open(dialect)
    assert errors == ["sendBytesMessage", "sendTextMessages"]
    assert made.calls[0] == STARTED
    await network.answers(client)
    assert client.messages == []
