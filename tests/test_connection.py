"""The contract of L{txhixie.dialects.connection.Connection}, for every dialect."""

from __future__ import annotations

import pytest

from tests.support import (
    IDIOMS,
    Idiom,
    Opened,
    buildHead,
    connect,
    cuts,
    feed,
    heldBytes,
    openConnection,
    refusal,
)
from txhixie.dialects.connection import Connection, State
from txhixie.dialects.events import CloseCode, Closed, Failed
from txhixie.dialects.opening import originAllowed
from txhixie.settings import DIALECT_NAMES, Settings

DEFLATE = (b"Sec-WebSocket-Extensions", b"permessage-deflate")

pytestmark = pytest.mark.parametrize("name", DIALECT_NAMES)


@pytest.fixture
def idiom(name: str) -> Idiom:
    """
    How the dialect is spoken.
    """
    return IDIOMS[name]


@pytest.fixture
def connection(name: str) -> Connection:
    """
    An open connection.
    """
    return openConnection(name)


@pytest.fixture
def accepted(name: str) -> bytes:
    """
    Everything that is sent to accept a request.
    """
    connection = connect(buildHead(name))
    connection.accept()
    feed(connection, IDIOMS[name].preamble)
    return connection.dataToSend()


def test_opening(name: str, idiom: Idiom) -> None:
    """
    Nothing is sent before a request is accepted; once the handshake is complete it is open.
    """
    for pieces in cuts(idiom.preamble):
        connection = connect(buildHead(name))
        before = connection.state
        assert connection.subprotocol is None
        assert connection.dataToSend() == b""
        assert [Opened()] == [*connection.accept(), *feed(connection, *pieces)]
        assert (before, connection.state) == (State.CONNECTING, State.OPEN)
        assert not connection.finished
        assert connection.dataToSend()[:13] == b"HTTP/1.1 101 "
        assert connection.dataToSend() == b""


def test_messages(idiom: Idiom, connection: Connection) -> None:
    """
    Messages arrive in order, and go out in order and in one piece.
    """
    texts = ["one", "", "dr\u00edf", "\U0001f600"]
    for text in texts:
        assert connection.sendText(text)
    assert b"".join(map(idiom.serverText, texts)) == connection.dataToSend()
    assert texts == feed(connection, b"".join(map(idiom.clientText, texts)))


@pytest.mark.parametrize("compression", [False, True])
def test_severalTexts(name: str, idiom: Idiom, compression: bool) -> None:
    """
    Several texts sent together go out as they do one by one, to each connection, at any time.
    """
    texts, others = ("one", "", "dr\u00edf"), ("two", "two")
    sent = []
    for send in (
        lambda connection, texts: connection.sendTexts(texts),
        lambda connection, texts: sum(map(connection.sendText, texts)),
    ):
        head = buildHead(name, extra=[DEFLATE] if compression and "hixie" not in name else [])
        settings = Settings(compression=compression)
        first, second = (connect(head, settings) for _ in range(2))
        sizes = [send(connection, texts) for connection in (first, second)]
        for connection in (first, second):
            connection.accept()
            feed(connection, idiom.preamble)
            sizes += [send(connection, others), send(connection, texts)]
        first.sendClose()
        assert send(first, texts) == 0
        sent.append((sizes, first.dataToSend(), second.dataToSend()))
    assert sent[0] == sent[1]


def test_severalBadTexts(idiom: Idiom, connection: Connection) -> None:
    """
    A message that cannot be sent alone cannot be sent with others.
    """
    for bad, error in (("\ud800", UnicodeEncodeError), (b"bytes", TypeError)):
        with pytest.raises(error):
            connection.sendTexts((bad,))  # type: ignore[arg-type]
    assert connection.dataToSend() == b""
    connection.sendText("one")
    assert connection.dataToSend() == idiom.serverText("one")


@pytest.mark.requirement("B-51", "KEY3-4")
def test_earlySends(name: str, idiom: Idiom, accepted: bytes) -> None:
    """
    Messages that are sent before the handshake is complete wait for it, in order.
    """
    connection = connect(buildHead(name))
    assert connection.sendText("one")
    assert connection.sendText("two")
    assert connection.dataToSend() == b""
    connection.accept()
    assert connection.sendText("three")
    feed(connection, idiom.preamble)
    assert connection.sendText("four")
    frames = b"".join(map(idiom.serverText, ("one", "two", "three", "four")))
    assert accepted + frames == connection.dataToSend()


@pytest.mark.requirement("B-51")
def test_earlyClose(name: str, idiom: Idiom, accepted: bytes) -> None:
    """
    A close before the handshake is complete comes after it, and after earlier messages.
    """
    connection = connect(buildHead(name))
    connection.sendText("one")
    connection.sendClose()
    assert not connection.sendText("two")
    connection.accept()
    feed(connection, idiom.preamble)
    expected = accepted + idiom.serverText("one") + idiom.serverClose
    assert expected == connection.dataToSend()
    assert connection.state > State.OPEN
    assert bool(idiom.serverClose) is not connection.finished


@pytest.mark.requirement("B-51", "CL-08")
def test_close(idiom: Idiom, connection: Connection) -> None:
    """
    A close is sent once, and nothing after it; without a closing handshake nothing is sent.
    """
    connection.sendClose()
    connection.sendClose(CloseCode.GOING_AWAY, "again")
    assert not connection.sendText("late")
    connection.sendPing(b"late")
    assert idiom.serverClose == connection.dataToSend()
    if idiom.clientClose:
        assert State.CLOSING is connection.state
        assert not connection.finished
        assert not connection.clean
        [event] = feed(connection, idiom.clientClose)
        assert isinstance(event, Closed)
    else:
        assert State.CLOSED is connection.state
    assert connection.finished
    assert connection.clean
    assert connection.dataToSend() == b""


def test_peerCloses(idiom: Idiom, connection: Connection) -> None:
    """
    The peer's close is answered, and nothing more is read.
    """
    if not idiom.clientClose:
        pytest.skip("there is no closing handshake")
    data = idiom.clientText("last") + idiom.clientClose + idiom.clientText("late")
    text, event = feed(connection, data)
    assert text == "last"
    assert isinstance(event, Closed)
    connection.sendClose(event.code, event.reason)
    assert idiom.serverClose == connection.dataToSend()
    assert connection.finished
    assert connection.clean
    assert State.CLOSED is connection.state
    assert feed(connection, idiom.clientText("late")) == []
    assert connection.dataToSend() == b""


def test_failure(idiom: Idiom, connection: Connection) -> None:
    """
    After a breach of the protocol nothing more is read, and the end does not wait.
    """
    data = idiom.clientText("last") + idiom.breach + idiom.clientText("late")
    text, event = feed(connection, data)
    assert text == "last"
    assert isinstance(event, Failed)
    assert (event.code, bool(event.reason)) == (CloseCode.PROTOCOL_ERROR, True)
    assert feed(connection, idiom.clientText("late") + idiom.clientClose) == []
    connection.sendClose(event.code, event.reason)
    assert connection.finished
    assert not connection.clean
    assert State.CLOSED is connection.state
    assert not connection.sendText("late")
    sent = connection.dataToSend()
    assert bool(idiom.serverClose) is bool(sent)
    assert idiom.serverText("late") not in sent


@pytest.mark.requirement("L-01", "L-02", "B-41")
def test_limit(name: str, idiom: Idiom) -> None:
    """
    A message of exactly the limit passes, one byte more is too large.
    """
    settings = Settings(maxMessage=100)
    for pieces in cuts(idiom.clientText("x" * 100)):
        assert feed(openConnection(name, settings), *pieces) == ["x" * 100]
    for pieces in cuts(idiom.clientText("x" * 101)):
        [event] = feed(openConnection(name, settings), *pieces)
        assert isinstance(event, Failed)
        assert event.code == CloseCode.TOO_BIG


@pytest.mark.requirement("L-01", "B-41")
@pytest.mark.parametrize("size", [1, 7, 100])
def test_memory(name: str, idiom: Idiom, size: int) -> None:
    """
    An unfinished message is kept up to the limit; beyond it nothing is kept.
    """
    for length, kept in ((5000, 5000), (10000, 0)):
        connection = openConnection(name, Settings(maxMessage=5000))
        before = heldBytes(connection)
        data = idiom.clientText("x" * length)[:-1]
        for at in range(0, len(data), size):
            feed(connection, data[at : at + size])
            if not at % 50:
                assert heldBytes(connection) - before <= 5000 + idiom.overhead
        assert heldBytes(connection) - before <= kept + idiom.overhead


@pytest.mark.requirement("B-42", "F-09", "L-01")
def test_byteByByte(name: str, idiom: Idiom) -> None:
    """
    A message of the very limit in segments of one byte finishes in linear time.
    """
    connection = openConnection(name, Settings(maxMessage=1 << 17))
    text = "x" * (1 << 17)
    data = idiom.clientText(text)
    assert [text] == feed(connection, *(data[at : at + 1] for at in range(len(data))))


def test_manyInOne(idiom: Idiom, connection: Connection) -> None:
    """
    A hundred thousand messages in a segment finish in linear time.
    """
    assert feed(connection, idiom.clientText("x") * 100_000) == ["x"] * 100_000


def test_nothingReceived(name: str, connection: Connection) -> None:
    """
    Empty input has no effect.
    """
    assert feed(connection, b"") == []
    assert connection.dataToSend() == b""


def test_originOfEach(name: str, idiom: Idiom) -> None:
    """
    The origins that may connect are the same for each dialect.
    """
    [origin] = [value.decode() for field, value in idiom.fields if field.endswith(b"Origin")]
    assert originAllowed(origin, Settings())
    connect(buildHead(name), Settings(origins=(origin,)))
    assert refusal(buildHead(name), Settings(origins=("http://other.example",))).status == 403
