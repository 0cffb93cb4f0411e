"""What holds for all input, not just for the examples."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import IDIOMS, buildHead, connect, feed, heldBytes, openConnection, parseHead
from txhixie.connection import Closed, Event, Failed, Settings
from txhixie.dialects import DIALECT_NAMES, choose
from txhixie.head import HandshakeError
from txhixie.hixie import keyNumber

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
    All that happens to a new connection and all that it sends.
    """
    connection = connect(buildHead(name), Settings(maxMessage=LIMIT, strict=strict))
    events = [*connection.accept(), *feed(connection, *pieces)]
    if isinstance(events[-1] if events else None, (Closed, Failed)):
        connection.sendClose()
    return events, connection.dataToSend()


@pytest.mark.requirement("F-09", "KEY3-2")
@every
@given(data=st.data(), strict=st.booleans())
def test_segmentation(name: str, data: st.DataObject, strict: bool) -> None:
    """
    However a stream is cut, the same happens and the same is sent.
    """
    stream = IDIOMS[name].preamble + data.draw(streams(name))
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    pieces = [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]
    whole = converse(name, strict, [stream])
    assert whole == converse(name, strict, pieces)
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
    No head raises anything but a refusal, and no reply has a line that the server did not write.
    """
    changes = st.dictionaries(st.sampled_from(FIELDS), st.none() | VALUES, max_size=3)
    extra = st.lists(st.tuples(st.sampled_from(FIELDS) | st.binary(max_size=5), VALUES), max_size=3)
    head = buildHead(name, data.draw(changes), data.draw(extra), data.draw(REQUEST_LINES))
    settings = Settings(subprotocols=("a", "b"), allowMissingOrigin=True)
    try:
        dialect = choose(parseHead(head))
        if dialect is None:
            return
        connection = dialect(parseHead(head), settings, False)
    except HandshakeError as error:
        answer = error.response()
    else:
        connection.accept()
        answer = connection.dataToSend()
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
