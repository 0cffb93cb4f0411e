"""Properties that hold for all input, not just for the examples."""

from __future__ import annotations

import codecs
import contextlib
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import (
    IDIOMS,
    Deflater,
    buildHead,
    clientFrame,
    compressing,
    connect,
    feed,
    frame,
    heldBytes,
    openConnection,
    parseHead,
)
from txhixie.dialects.choosing import choose
from txhixie.dialects.events import CloseCode, Closed, Event, Failed, Pong
from txhixie.dialects.head import HandshakeError
from txhixie.dialects.hixie_opening import keyNumber
from txhixie.settings import DIALECT_NAMES, Settings

LIMIT = 20
SETTINGS = Settings(maxMessage=LIMIT)

# Bytes that mean something in a frame of some dialect.
TELLING = [
    *(b"\x00", b"\xff", b"\xff\x00", b"\x00\xff", b"\xff\x00\xff", b"\xff\x80\x00", b"\x05"),
    *(b"\x00A\xff", b"A", b"\x7f", b"\xfe", b"\xc3\xa9", b"\xe2\x82", b"\xef\xbb\xbf"),
    *(b"\x80", b"\x80\x02", b"\x81", b"\x81\x80\x02", b"\x80\x80\x80\x05", b"\x82", b"\x88"),
    *(b"\x88\x00", b"\x88\x80", b"\x89", b"\x89\x80", b"\x8a"),
]

every = pytest.mark.parametrize("name", DIALECT_NAMES)


def streams(name: str) -> st.SearchStrategy[bytes]:
    """
    What a client sends: messages, closes, and any other bytes.
    """
    idiom = IDIOMS[name]
    parts = st.one_of(
        st.text(max_size=LIMIT).map(idiom.clientText),
        st.sampled_from([*TELLING, idiom.clientClose, idiom.breach]),
        st.binary(max_size=8),
    )
    return st.lists(parts, max_size=12).map(b"".join)


def converse(name: str, strict: bool, pieces: Sequence[bytes]) -> tuple[list[Event], bytes]:
    """
    Everything that happens to a new connection, and everything that it sends.
    """
    connection = connect(buildHead(name), Settings(maxMessage=LIMIT, strict=strict))
    events = [*connection.accept(), *feed(connection, *pieces)]
    if isinstance(events[-1] if events else None, (Closed, Failed)):
        connection.sendClose()
    return events, connection.dataToSend()


def cutAnywhere(data: st.DataObject, stream: bytes) -> list[bytes]:
    """
    A stream in pieces.
    """
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    return [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]


@pytest.mark.requirement("F-09", "KEY3-2")
@every
@given(data=st.data(), strict=st.booleans())
def test_segmentation(name: str, data: st.DataObject, strict: bool) -> None:
    """
    However a stream is cut, the same happens and the same is sent.
    """
    stream = IDIOMS[name].preamble + data.draw(streams(name))
    whole = converse(name, strict, [stream])
    assert whole == converse(name, strict, cutAnywhere(data, stream))
    assert whole == converse(name, strict, [stream[at : at + 1] for at in range(len(stream))])


@pytest.mark.requirement("F-01", "U-04")
@every
@given(texts=st.lists(st.text(), max_size=5))
def test_roundTrip(name: str, texts: list[str]) -> None:
    """
    Every text arrives as it was sent, and is sent as it is.
    """
    connection = openConnection(name)
    for text in texts:
        connection.sendText(text)
    assert b"".join(map(IDIOMS[name].serverText, texts)) == connection.dataToSend()
    assert texts == feed(connection, b"".join(map(IDIOMS[name].clientText, texts)))


@pytest.mark.requirement("L-01", "B-43")
@every
@given(data=st.data())
def test_garbage(name: str, data: st.DataObject) -> None:
    """
    No bytes raise, nothing follows the end, and no more than the limit is kept.
    """
    connection = openConnection(name, SETTINGS)
    before = heldBytes(connection)
    ended = False
    for piece in data.draw(st.lists(streams(name), max_size=5)):
        events = feed(connection, piece)
        assert not (ended and events)
        ended = ended or any(isinstance(event, (Closed, Failed)) for event in events)
        connection.dataToSend()
        assert heldBytes(connection) - before <= LIMIT + IDIOMS[name].overhead


# Frames of RFC 6455

FRAME_LIMIT = 400
FIN = 0x80


class Part(NamedTuple):
    """
    A frame that a client sends, and the fault that is in it whatever comes before, or L{None}.
    """

    first: int
    payload: bytes
    wire: bytes
    fault: CloseCode | None


def goodPart(first: int, payload: bytes) -> Part:
    """
    A frame without a fault.
    """
    return Part(first, payload, clientFrame(first, payload), None)


def badPart(wire: bytes, fault: CloseCode = CloseCode.PROTOCOL_ERROR) -> Part:
    """
    A frame that nothing makes good.
    """
    return Part(0, b"", wire, fault)


# Cut so that fragments may or may not join to UTF-8.
PAYLOADS = st.sampled_from(
    [b"", b"A", b"\xc3", b"\xa9", b"\xc3\xa9", b"\xf0\x9f", b"\x98\x80", b"\xff", b"x" * 20]
)
PARTS = st.one_of(
    st.builds(goodPart, st.sampled_from([0x01, 0x02, 0x00, 0x00, 0x80, 0x80]), PAYLOADS),
    st.builds(goodPart, st.sampled_from([0x81, 0x82]), PAYLOADS),
    st.builds(goodPart, st.sampled_from([0x89, 0x8A]), st.binary(max_size=5)),
    st.sampled_from(
        [
            goodPart(0x82, b"x" * 201),
            goodPart(0x00, b"x" * 201),
            goodPart(0x88, b"\x03\xe8bye"),
            goodPart(0x88, b""),
            badPart(frame(0x81, b"A")),
            badPart(clientFrame(0xB1, b"A")),
            badPart(clientFrame(0x83)),
            badPart(clientFrame(0x09, b"A")),
            badPart(clientFrame(0x8A, bytes(126))),
            badPart(clientFrame(0x88, b"A")),
            badPart(clientFrame(0x88, b"\x03\xed")),
            badPart(clientFrame(0x88, b"\x03\xe8\xff"), CloseCode.INVALID_DATA),
            badPart(b"\x82\xfe\x08\x00", CloseCode.TOO_BIG),
        ]
    ),
)


def meaning(parts: Sequence[Part]) -> tuple[list[Event | CloseCode], list[bytes]]:
    """
    What frames mean according to RFC 6455 section 5: the events, with a close code for a failure,
    and the payloads of the pongs that answer.
    """
    events: list[Event | CloseCode] = []
    pongs: list[bytes] = []
    message: bytes | None = None
    isText = False
    for first, payload, _, fault in parts:
        opcode, final = first & 0x0F, bool(first & FIN)
        if fault is not None:
            return [*events, fault], pongs
        if opcode == 0x08:
            code = int.from_bytes(payload[:2], "big") or CloseCode.NO_STATUS
            return [*events, Closed(code, payload[2:].decode())], pongs
        if opcode == 0x09:
            pongs.append(payload)
            continue
        if opcode == 0x0A:
            events.append(Pong(payload))
            continue
        if len((message or b"") + payload) > FRAME_LIMIT:
            return [*events, CloseCode.TOO_BIG], pongs
        if (opcode == 0) is (message is None):
            return [*events, CloseCode.PROTOCOL_ERROR], pongs
        isText = opcode == 0x01 or (opcode == 0 and isText)
        message = (message or b"") + payload
        try:
            text = codecs.getincrementaldecoder("utf-8")().decode(message, final) if isText else ""
        except UnicodeDecodeError:
            return [*events, CloseCode.INVALID_DATA], pongs
        if final:
            events.append(text if isText else message)
            message = None
    return events, pongs


@pytest.mark.requirement("HY-07", "HY-08")
@pytest.mark.parametrize("compressed", [False, True])
@given(data=st.data(), parts=st.lists(PARTS, max_size=10))
def test_firstFault(compressed: bool, data: st.DataObject, parts: list[Part]) -> None:
    """
    Frames mean what the RFC says, and the first fault decides, however they are cut.
    """
    settings = Settings(maxMessage=FRAME_LIMIT)
    events, pongs = meaning(parts)
    stream = b"".join(part.wire for part in parts)
    answers = b"".join(frame(0x8A, pong) for pong in pongs)
    for pieces in (
        [stream],
        cutAnywhere(data, stream),
        [stream[at : at + 1] for at in range(len(stream))],
    ):
        connection = compressing(settings) if compressed else openConnection("rfc6455", settings)
        happened = [
            CloseCode(event.code) if isinstance(event, Failed) else event
            for event in feed(connection, *pieces)
        ]
        assert events == happened
        assert answers == connection.dataToSend()


COMPRESSED_LIMIT = 1000
SLICE = 4096
# The parts of a message, how often they are repeated, whether it is compressed, the number of
# frames.
MESSAGES = st.lists(
    st.tuples(
        st.binary(min_size=1, max_size=8) | st.just(b"\0"),
        st.integers(0, 100),
        st.booleans(),
        st.integers(1, 3),
    ),
    max_size=30,
)
# What is offered, and the client that keeps to it.
OFFERS = [
    (b"permessage-deflate", Deflater),
    (b"permessage-deflate; client_max_window_bits=9", partial(Deflater, clientBits=9)),
    (b"permessage-deflate; client_no_context_takeover", partial(Deflater, clientTakeover=False)),
]


@pytest.mark.requirement("HY-07", "L-01")
@pytest.mark.parametrize(("offer", "newPeer"), OFFERS)
@given(data=st.data(), messages=MESSAGES, more=st.integers(0, 100_000))
def test_compressed(
    offer: bytes,
    newPeer: Callable[[], Deflater],
    data: st.DataObject,
    messages: list[tuple[bytes, int, bool, int]],
    more: int,
) -> None:
    """
    Messages that another implementation compressed arrive however they are cut. The first that is
    too large ends the connection, and no more than the limit and a slice is kept.
    """
    peer = newPeer()
    stream = bytearray()
    expected: list[bytes | CloseCode] = []
    for pattern, count, deflated, pieces in [
        *messages,
        (b"\0", COMPRESSED_LIMIT + more + 1, True, 1),
    ]:
        message = pattern * count
        expected.append(message)
        payload = peer.compress(message) if deflated else message
        step = len(payload) // pieces + 1
        first = 0x42 if deflated else 0x02
        for at in range(0, max(len(payload), 1), step):
            final = FIN if at + step >= len(payload) else 0
            stream += clientFrame(first | final, payload[at : at + step])
            first = 0
    expected[-1] = CloseCode.TOO_BIG
    for parts in (
        [bytes(stream)],
        cutAnywhere(data, bytes(stream)),
        [bytes(stream[at : at + 1]) for at in range(len(stream))],
    ):
        connection = compressing(Settings(maxMessage=COMPRESSED_LIMIT), offer)
        before = heldBytes(connection)
        happened: list[Event | CloseCode] = []
        for part in parts:
            for event in connection.receiveData(part):
                assert heldBytes(connection) - before <= COMPRESSED_LIMIT + SLICE
                happened.append(CloseCode(event.code) if isinstance(event, Failed) else event)
        assert expected == happened


# Frames that hold anything, or something that was compressed and perhaps damaged.
COMPRESSED_GARBAGE = st.builds(
    clientFrame,
    st.sampled_from([0xC1, 0xC2, 0x41, 0x42, 0x80, 0x00, 0xC0]),
    st.binary(max_size=LIMIT) | st.binary(max_size=15).map(lambda data: Deflater().compress(data)),
)


@pytest.mark.requirement("HY-07", "L-01")
@pytest.mark.parametrize("offer", [offer for offer, _ in OFFERS])
@given(parts=st.lists(st.binary(max_size=40) | COMPRESSED_GARBAGE, max_size=12), data=st.data())
def test_compressedGarbage(offer: bytes, parts: list[bytes], data: st.DataObject) -> None:
    """
    Where compression was agreed no bytes raise, and no message exceeds the limit.
    """
    outcomes = []
    stream = b"".join(parts)
    for pieces in ([stream], cutAnywhere(data, stream)):
        connection = compressing(SETTINGS, offer)
        before = heldBytes(connection)
        events = feed(connection, *pieces)
        assert all(len(event) <= LIMIT for event in events if isinstance(event, (str, bytes)))
        assert heldBytes(connection) - before <= LIMIT + SLICE
        outcomes.append((events, connection.dataToSend()))
    assert outcomes[0] == outcomes[1]


FIELDS = [
    *sorted({field for idiom in IDIOMS.values() for field, _ in idiom.fields}),
    b"Sec-WebSocket-Protocol",
    b"WebSocket-Protocol",
    b"Sec-WebSocket-Draft",
    b"Sec-WebSocket-Extensions",
    b"Content-Length",
    b"Transfer-Encoding",
]
VALUES = st.one_of(
    st.binary(max_size=20),
    st.text("0123456789 x:/.,[]\t", max_size=20).map(str.encode),
    st.sampled_from([value for idiom in IDIOMS.values() for _, value in idiom.fields]),
    st.sampled_from([b"13", b"8", b"dGhlIHNhbXBsZSBub25jZQ==", b"[::1]:80", b"a, b"]),
)
REQUEST_LINES = st.one_of(
    st.just(b"GET /demo HTTP/1.1"),
    st.binary(max_size=10).map(lambda target: b"GET /%b HTTP/1.1" % target),
    st.binary(max_size=20),
)


@pytest.mark.requirement("LOC-6", "B-32", "B-39")
@every
@given(data=st.data())
def test_heads(name: str, data: st.DataObject) -> None:
    """
    A head raises nothing but a refusal, and each line of a reply was written by the server.
    """
    changes = st.dictionaries(st.sampled_from(FIELDS), st.none() | VALUES, max_size=3)
    extra = st.lists(st.tuples(st.sampled_from(FIELDS) | st.binary(max_size=5), VALUES), max_size=3)
    head = buildHead(name, data.draw(changes), data.draw(extra), data.draw(REQUEST_LINES))
    settings = Settings(subprotocols=("a", "b"), allowMissingOrigin=True)
    try:
        dialect = choose(parseHead(head))
        if dialect is None:
            return
        opening = dialect(parseHead(head), settings, False)
        opening.checkSubprotocol()
        answer = opening.reply()
    except HandshakeError as error:
        answer = error.response()
    lines = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert lines[0][:10] in (b"HTTP/1.1 1", b"HTTP/1.1 4")
    assert len(lines) <= 6
    assert not any(byte < 0x20 or byte == 0x7F for line in lines for byte in line)


@pytest.mark.requirement("D-03", "H76-C-01")
@every
@given(data=st.data())
def test_fieldOrder(name: str, data: st.DataObject) -> None:
    """
    The order of the fields and the case of their names make no difference.
    """
    lines = buildHead(name).removesuffix(b"\r\n\r\n").split(b"\r\n")
    shuffled = []
    for line in data.draw(st.permutations(lines[1:])):
        field, colon, value = line.partition(b":")
        change = data.draw(st.sampled_from([bytes.lower, bytes.upper, bytes.title]))
        shuffled.append(change(field) + colon + value)
    replies = []
    for head in (lines, [lines[0], *shuffled]):
        connection = connect(b"\r\n".join([*head, b"", b""]))
        connection.accept()
        feed(connection, IDIOMS[name].preamble)
        replies.append(connection.dataToSend())
    assert replies[0] == replies[1]


@pytest.mark.requirement("H76-C-02", "K-08")
@given(
    spaces=st.integers(1, 12),
    fraction=st.fractions(0, 1),
    noise=st.lists(
        st.sampled_from([*range(0x21, 0x30), *range(0x3A, 0x7F)]), min_size=1, max_size=12
    ),
    generator=st.randoms(use_true_random=False),
)
def test_conformingKey(
    spaces: int, fraction: float, noise: list[int], generator: random.Random
) -> None:
    """
    Every key that a client can make by the draft holds its number (draft 76 section 4.1).
    """
    number = int(fraction * (2**32 - 1) // spaces)
    key = list(b"%d" % (number * spaces))
    for byte in noise:
        key.insert(generator.randint(0, len(key)), byte)
    for _ in range(spaces):
        key.insert(generator.randint(1, len(key) - 1), 0x20)
    assert number == keyNumber(bytes(key))


@pytest.mark.requirement("K-06", "K-09")
@given(key=st.one_of(st.binary(), st.text("0123456789 \u0663\u00b2").map(str.encode)))
def test_anyKey(key: bytes) -> None:
    """
    Any other key is refused or holds a number of 32 bits.
    """
    with contextlib.suppress(HandshakeError):
        assert 0 <= keyNumber(key) < 2**32
