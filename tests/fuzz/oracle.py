"""
What a peer's bytes mean, by the drafts alone.

These decoders share nothing with txhixie, nor with the library that it uses: they take one byte at
a time from an iterator, while txhixie looks for delimiters and the library parses buffers. They are
made for short streams, and are slow.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from txhixie.dialects.events import Closed, Discarded, Event, Pong

PROTOCOL_ERROR, NO_STATUS, INVALID_DATA, POLICY, TOO_BIG = 1002, 1005, 1007, 1008, 1009


@dataclass
class Reading:
    """
    What a stream means.

    @ivar events: the events for an application, and the first discarded frame.
    @ivar pongs: the payloads of the pongs that answer.
    @ivar faults: the close codes of all faults in the failing frame: no draft says in which order a
        frame is checked.
    @ivar unfinished: whether the stream ended inside of that frame, so that a server may still
        wait for the rest of it.
    """

    events: list[Event] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
    faults: set[int] = field(default_factory=set)
    unfinished: bool = False


# The bytes that may follow a lead byte, and how many follow in total (Unicode 3.9, table 3-7).
_LEADS: dict[int, tuple[int, int, int]] = {
    **dict.fromkeys(range(0xC2, 0xE0), (0x80, 0xBF, 1)),
    **dict.fromkeys(range(0xE1, 0xF0), (0x80, 0xBF, 2)),
    **dict.fromkeys(range(0xF1, 0xF4), (0x80, 0xBF, 3)),
    0xE0: (0xA0, 0xBF, 2),
    0xED: (0x80, 0x9F, 2),
    0xF0: (0x90, 0xBF, 3),
    0xF4: (0x80, 0x8F, 3),
}

_SURROGATE = re.compile(rb"\xed[\xa0-\xbf]")


def decodeText(data: bytes) -> tuple[str, bool, int]:
    """
    @return: the text, with one U+FFFD for each maximal subpart that is ill-formed; whether there
        was one; and how many bytes at the end are the beginning of a character.
    """
    text: list[str] = []
    bad = False
    position = 0
    while position < len(data):
        start = position
        lead = data[position]
        position += 1
        if lead < 0x80:
            text.append(chr(lead))
            continue
        low, high, missing = _LEADS.get(lead, (0, 0, 0))
        number = lead & (0x3F >> missing)
        valid = missing > 0
        while missing and position < len(data) and low <= data[position] <= high:
            number = number << 6 | data[position] & 0x3F
            position += 1
            missing -= 1
            low, high = 0x80, 0xBF
        if valid and not missing:
            text.append(chr(number))
        elif valid and position == len(data):
            return "".join(text) + "\ufffd", bad, position - start
        else:
            text.append("\ufffd")
            bad = True
    return "".join(text), bad, 0


def readHixie(data: bytes, closes: bool, strict: bool, limit: int) -> Reading:
    """
    The frames of Hixie-75 and Hixie-76, by the algorithm of draft 76 section 4.2.

    @param closes: whether C{FF 00} closes.
    """
    reading = Reading()
    stream = iter(data)
    for frameType in stream:
        goesOn = (
            _hixieBytes(frameType, stream, closes, strict, limit, reading)
            if frameType & 0x80
            else _hixieText(frameType, stream, strict, limit, reading)
        )
        if not goesOn:
            break
    return reading


def _hixieText(
    frameType: int, stream: Iterator[int], strict: bool, limit: int, reading: Reading
) -> bool:
    if frameType and not _discard(frameType, strict, reading):
        return False
    text = bytearray()
    for byte in stream:
        if byte == 0xFF:
            break
        text.append(byte)
        if len(text) > limit:
            reading.faults.add(TOO_BIG)
            return False
    else:
        return False
    if frameType == 0:
        decoded, bad, pending = decodeText(bytes(text))
        if strict and (bad or pending):
            reading.faults.add(INVALID_DATA)
            return False
        reading.events.append(decoded)
    return True


def _hixieBytes(
    frameType: int, stream: Iterator[int], closes: bool, strict: bool, limit: int, reading: Reading
) -> bool:
    length = 0
    for count, byte in enumerate(stream, 1):
        length = length * 128 + byte % 128
        if length > limit:
            reading.faults.add(TOO_BIG)
            return False
        if byte < 0x80:
            break
        if count == 8:
            # Our own limit: nothing that long is useful.
            reading.faults.add(PROTOCOL_ERROR)
            return False
    else:
        return False
    if closes and frameType == 0xFF and not length:
        reading.events.append(Closed(NO_STATUS, ""))
        return False
    return _discard(frameType, strict, reading) and len(_take(length, stream)) == length


def _discard(frameType: int, strict: bool, reading: Reading) -> bool:
    if strict:
        reading.faults.add(PROTOCOL_ERROR)
    elif not any(isinstance(event, Discarded) for event in reading.events):
        reading.events.append(Discarded(frameType))
    return not strict


def _take(count: int, stream: Iterator[int]) -> bytes:
    """
    @return: the next bytes, or fewer at the end.
    """
    return bytes(byte for _, byte in zip(range(count), stream, strict=False))


class HybiReader:
    """
    The frames of RFC 6455 and its drafts (section 5), and of permessage-deflate (RFC 7692).
    """

    def __init__(
        self,
        limit: int,
        maxFragments: int,
        windowBits: int = 0,
        takeover: bool = True,
        isMasked: bool = True,
    ) -> None:
        """
        @param windowBits: the size of the window that the peer compresses with; 0: no compression.
        @param takeover: whether it compresses with context takeover.
        @param isMasked: whether the peer is a client, which masks.
        """
        self._limit = limit
        # A frame may be a little longer than what was compressed into it.
        self._frameLimit = limit + (limit // 32 + 1024 if windowBits else 0)
        self._maxFragments = maxFragments
        self._windowBits = windowBits
        self._takeover = takeover
        self._isMasked = isMasked
        self._reading = Reading()
        # The current message, if its opcode is not 0.
        self._opcode = 0
        self._inflates = False
        self._text: list[str] = []
        self._pending = b""
        self._message = bytearray()
        self._fragments = 0
        self._renew()

    def _renew(self) -> None:
        if self._windowBits:
            self._inflater = zlib.decompressobj(wbits=-self._windowBits)

    def read(self, data: bytes) -> Reading:
        """
        @param data: the whole stream.
        """
        reading = self._reading
        stream = iter(data)
        while not reading.faults and not self._closed:
            events, pongs = len(reading.events), len(reading.pongs)
            if not self._readFrame(stream):
                reading.unfinished = True
                break
            if reading.faults:
                # The rest of a faulty frame has no effect.
                del reading.events[events:], reading.pongs[pongs:]
        return reading

    @property
    def _closed(self) -> bool:
        events = self._reading.events
        return bool(events) and isinstance(events[-1], Closed)

    def _readFrame(self, stream: Iterator[int]) -> bool:
        """
        @return: whether all of it was there.
        """
        faults = self._reading.faults
        head = _take(2, stream)
        if len(head) < 2:
            return False
        final, opcode, size = head[0] >= 0x80, head[0] & 0x0F, head[1] & 0x7F
        if (
            (head[1] >= 0x80) != self._isMasked
            or opcode in range(3, 8)
            or opcode > 10
            or head[0] & 0x30
        ):
            faults.add(PROTOCOL_ERROR)
        if opcode >= 8 and (not final or size > 125):
            faults.add(PROTOCOL_ERROR)
        if head[0] & 0x40 and (not self._windowBits or opcode in (0, 8, 9, 10)):
            faults.add(PROTOCOL_ERROR)
        if size > 125:
            extended = _take(2 if size == 126 else 8, stream)
            if len(extended) < (2 if size == 126 else 8):
                return False
            size = int.from_bytes(extended, "big")
        held = len(self._message) if opcode < 8 else 0
        if (
            size > max(125, self._frameLimit - held)
            if opcode >= 8
            else size > self._frameLimit - held
        ):
            faults.add(TOO_BIG)
        if (head[1] >= 0x80) != self._isMasked:
            return True
        mask = _take(4, stream) if self._isMasked else bytes(4)
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(_take(size, stream)))
        if len(mask) < 4 or len(payload) < size:
            return False
        if opcode == 8:
            self._close(payload)
        elif opcode == 9:
            self._reading.pongs.append(payload)
        elif opcode == 10:
            self._reading.events.append(Pong(payload))
        else:
            self._data(final, bool(head[0] & 0x40), opcode, payload)
        return True

    def _close(self, payload: bytes) -> None:
        code = int.from_bytes(payload[:2], "big") if payload else NO_STATUS
        reason, bad, pending = decodeText(payload[2:])
        allowed = code in range(1000, 1004) or code in range(1007, 1015) or 3000 <= code <= 4999
        if len(payload) == 1 or (payload and not allowed):
            self._reading.faults.add(PROTOCOL_ERROR)
        if bad or pending:
            self._reading.faults.add(INVALID_DATA)
        self._reading.events.append(Closed(code, reason))

    def _data(self, final: bool, compressed: bool, opcode: int, payload: bytes) -> None:
        faults = self._reading.faults
        if bool(opcode) == bool(self._opcode):
            faults.add(PROTOCOL_ERROR)
        if opcode:
            self._opcode, self._inflates, self._fragments = opcode, compressed, 0
            # A message that is interrupted still counts for the limit.
            self._text, self._pending = [], b""
            if compressed and not self._takeover:
                self._renew()
        self._fragments += 1
        if self._fragments > self._maxFragments and not (opcode and final):
            faults.add(POLICY)
        if self._inflates and self._windowBits:
            payload = self._inflate(payload, final)
        self._message += payload
        if len(self._message) > self._limit:
            faults.add(TOO_BIG)
        if self._opcode == 1:
            encoded = self._pending + payload
            # Python's decoder sees that this is a surrogate when the third byte is there.
            surrogate = not final and _SURROGATE.fullmatch(encoded[-2:]) is not None
            text, bad, pending = decodeText(encoded[:-2] if surrogate else encoded)
            pending = 2 if surrogate else pending
            self._pending = encoded[-pending:] if pending else b""
            self._text.append(text[:-1] if pending and not final and not surrogate else text)
            if bad or (final and pending):
                faults.add(INVALID_DATA)
        if final:
            isText, self._opcode, self._inflates = self._opcode == 1, 0, False
            self._reading.events.append("".join(self._text) if isText else bytes(self._message))
            self._message = bytearray()

    def _inflate(self, payload: bytes, final: bool) -> bytes:
        """
        Inflate a part of a message (RFC 7692 section 7.2.2); data beyond the limit is left out.
        """
        inflater = self._inflater
        # One byte above the limit shows that it is too much.
        room = self._limit - len(self._message) + 1
        end = b"\0\0\xff\xff" if final else b""
        data = b""
        try:
            data = inflater.decompress(payload, room)
            after = inflater.decompress(inflater.unconsumed_tail + end, 1 << 20)
        except zlib.error:
            self._reading.faults.add(PROTOCOL_ERROR)
            return data
        if after and len(payload) >= 2044:
            # No compressor ends a message in the middle of a symbol; the library then counts the
            # output of a long one as too much.
            self._reading.faults.add(TOO_BIG)
        if inflater.eof:
            # The compressor ended its stream (section 7.2.3.4): another one begins. A byte may
            # follow, and the end of a block that is appended to every message.
            left = inflater.unused_data
            if len(left) > 5 or left.strip(b"\0") not in (b"", b"\xff\xff"):
                self._reading.faults.add(PROTOCOL_ERROR)
            if final:
                self._renew()
        return data + after
