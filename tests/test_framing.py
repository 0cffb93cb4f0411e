"""
Messages that bypass the library's parser. This makes no visible difference: for any bytes, however
they are cut, the result is the same as with the library alone.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.frames import Frame
from websockets.protocol import Protocol

from tests.support import clientFrame, frame, openConnection
from txhixie.dialects import rfc6455
from txhixie.dialects.connection import State
from txhixie.dialects.events import Closed, Event, Failed
from txhixie.dialects.framing import Framing
from txhixie.dialects.rfc6455 import Rfc6455
from txhixie.settings import Settings

LIMIT = 300
SETTINGS = Settings(maxMessage=LIMIT, maxFragments=3)
MASK = b"\x01\x80\xff\x00"


class Slow(Framing):
    """
    The same, but the library reads every byte.
    """

    def parse(self) -> Generator[None]:
        return Protocol.parse(self)

    def receive(self, data: bytes) -> list[Event]:
        self.receive_data(data)
        self.events_received()
        received, self._received = self._received, []
        return received


class Step(NamedTuple):
    """
    The results of one read: the events, what was sent, and the state of the connection.
    """

    events: list[Event]
    sent: bytes
    state: State
    finished: bool
    clean: bool


def converse(
    kind: type[Framing], pieces: Sequence[bytes], isClient: bool, closeAfter: int
) -> list[Step]:
    """
    Let a connection read pieces of a stream, and answer a close or fault.

    @param closeAfter: the piece after which we close by ourselves.
    """
    steps = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rfc6455, "Framing", kind)
        # A client masks what it sends at random.
        patch.setattr("websockets.frames.secrets.token_bytes", lambda count: MASK)
        connection = Rfc6455(SETTINGS, isClient=isClient)
        for number, piece in enumerate(pieces):
            events = list(connection.receiveData(piece))
            if events and isinstance(events[-1], Closed | Failed):
                connection.sendClose(events[-1].code, events[-1].reason)
            if number == closeAfter:
                connection.sendClose(3000, "enough")
            steps.append(
                Step(
                    events,
                    connection.dataToSend(),
                    connection.state,
                    connection.finished,
                    connection.clean,
                )
            )
    return steps


def check(pieces: Sequence[bytes], isClient: bool = False, closeAfter: int = -1) -> list[Step]:
    """
    Compare the results of each piece, with the bypass and with the library alone.
    """
    steps = converse(Framing, pieces, isClient, closeAfter)
    assert steps == converse(Slow, pieces, isClient, closeAfter)
    return steps


def longHeader(first: int, mask: bytes, kind: int, size: int, payload: bytes) -> bytes:
    """
    A frame with a size that need not fit, or could be shorter.
    """
    length = size.to_bytes(2 if kind == 126 else 8, "big")
    unmasked = frame(first, payload, mask)[2:]
    return bytes([first, kind | (0x80 if mask else 0)]) + length + unmasked


def frames(mask: bytes) -> st.SearchStrategy[bytes]:
    """
    Frames of every kind, valid or not.
    """
    other = b"" if mask else MASK
    payloads = st.one_of(
        st.binary(max_size=8),
        st.text(max_size=8).map(str.encode),
        st.sampled_from([b"x" * size for size in (125, 126, 127, LIMIT - 1, LIMIT)]),
        st.sampled_from([b"\xc3", b"\xa9", b"\xff", b"\xed\xa0\x80"]),
    )
    tooBig = st.sampled_from([b"x" * size for size in (LIMIT + 1, LIMIT + 125, LIMIT + 126)])
    whole = st.builds(frame, st.sampled_from([0x81, 0x82]), payloads, st.just(mask))
    return st.one_of(
        whole,
        whole,
        st.builds(frame, st.sampled_from([0x81, 0x82]), tooBig, st.just(mask)),
        st.builds(frame, st.sampled_from([0x01, 0x02, 0x00, 0x80]), payloads, st.just(mask)),
        st.builds(frame, st.sampled_from([0x89, 0x8A, 0x88]), payloads, st.just(mask)),
        st.sampled_from([b"", b"\x03\xe8bye", b"\x0b\xb8\xff"]).map(
            lambda reason: frame(0x88, reason, mask)
        ),
        st.builds(frame, st.integers(0, 255), payloads, st.just(mask)),
        st.builds(frame, st.sampled_from([0x81, 0x82, 0x89]), payloads, st.just(other)),
        st.builds(
            longHeader,
            st.sampled_from([0x81, 0x82]),
            st.just(mask),
            st.sampled_from([126, 127]),
            st.sampled_from([0, 5, 125, 126, 127, LIMIT, LIMIT + 1, 0xFFFF]),
            payloads,
        ),
        st.sampled_from(
            [
                longHeader(0x82, mask, 127, size, b"x")
                for size in (0x10000, 0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, 2**64 - 1)
            ]
        ),
        st.binary(max_size=4),
    )


sides = pytest.mark.parametrize("isClient", [False, True], ids=["server", "client"])


@settings(deadline=None)
@sides
@given(data=st.data(), closeAfter=st.integers(-3, 4))
def test_anyCut(isClient: bool, data: st.DataObject, closeAfter: int) -> None:
    """
    In pieces of any number and size, and frame by frame.
    """
    parts = data.draw(st.lists(frames(b"" if isClient else MASK), max_size=8))
    stream = b"".join(parts)
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]
    check(pieces, isClient, closeAfter)
    check(parts, isClient, closeAfter)
    check([stream], isClient)
    check([stream[at : at + 1] for at in range(len(stream))], isClient)


@settings(deadline=None)
@sides
@given(data=st.data(), closeAfter=st.integers(-1, 1))
def test_everyCut(isClient: bool, data: st.DataObject, closeAfter: int) -> None:
    """
    In two pieces, at every place, and in three: the second ends where a frame does, or may.
    """
    mask = b"" if isClient else MASK
    parts = data.draw(st.lists(frames(mask).filter(lambda part: len(part) < 40), max_size=4))
    stream = b"".join(parts)
    for at in range(len(stream) + 1):
        check([stream[:at], stream[at:]], isClient, closeAfter)
        check([stream[:at], stream[at:], frame(0x81, b"last", mask)], isClient, closeAfter)


@given(garbage=st.lists(st.binary(max_size=30), max_size=5))
@example(garbage=[b"\x81\x80\0\0\0\0\x81\x80\0\0\0\0", b"\x81", b"\x80\0\0\0\0\x81\x05"])
@sides
def test_garbage(isClient: bool, garbage: list[bytes]) -> None:
    """
    Bytes that need not be frames at all.
    """
    check(garbage, isClient)


@pytest.mark.parametrize("first", [0x01, 0x02])
@sides
def test_underWay(isClient: bool, first: int) -> None:
    """
    A whole message between fragments of another is a fault even if it comes in a separate read.
    """
    mask = b"" if isClient else MASK
    *_, last = check([frame(first, b"A", mask), frame(0x81, b"B", mask)], isClient)
    assert isinstance(last.events[0], Failed)


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536, 70_000])
@pytest.mark.parametrize("first", [0x81, 0x82])
@sides
def test_sizes(monkeypatch: pytest.MonkeyPatch, first: int, size: int, isClient: bool) -> None:
    """
    Messages of every form of size arrive whole, and only messages whose header is cut by a read
    pass through the library.
    """
    passed: list[Frame] = []
    receive = Framing.recv_frame

    def noted(self: Framing, frame: Frame) -> None:
        passed.append(frame)
        receive(self, frame)

    monkeypatch.setattr(Framing, "recv_frame", noted)
    payload = bytes(range(1, 128)) * 600
    data = frame(first, payload[:size], b"" if isClient else MASK)
    expected = payload[:size].decode() if first == 0x81 else payload[:size]
    connection = Rfc6455(Settings(), isClient=isClient)
    assert [*connection.receiveData(data * 3)] == [expected] * 3
    assert passed == []
    assert [*connection.receiveData(data * 2 + data[:1])] == [expected] * 2
    assert [*connection.receiveData(data[1:] + data * 2 + data[:-1])] == [expected] * 3
    assert [*connection.receiveData(data[-1:] + data)] == [expected] * 2
    assert len(passed) == (1 if size else 2)


def test_pastTheLibrary(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    After a frame that the library reads, such as a ping or fragments, it is bypassed again.
    """
    connection = openConnection("rfc6455")
    ping, hello = clientFrame(0x89, b"1"), clientFrame(0x81, b"Hello")
    fragments = clientFrame(0x01, b"Hel") + clientFrame(0x80, b"lo")
    assert [*connection.receiveData(ping + hello)] == ["Hello"]
    assert [*connection.receiveData(fragments)] == ["Hello"]
    monkeypatch.setattr(Framing, "recv_frame", None)
    assert [*connection.receiveData(hello * 2)] == ["Hello"] * 2
    assert connection.dataToSend() == frame(0x8A, b"1")
