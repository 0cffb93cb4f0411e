"""
The body of an HTTP answer that refuses a client.
"""

from __future__ import annotations

from txhixie.dialects.head import ResponseHead

# Bytes of a body that are kept.
_MOST = 64 * 1024
# Statuses of answers without a body.
_WITHOUT_BODY = (204, 304)


class Body:
    """
    A body while it arrives.

    @ivar isComplete: whether nothing more of it is needed.
    """

    def __init__(self, head: ResponseHead) -> None:
        self._isChunked = b"chunked" in head.tokens(b"transfer-encoding")
        (length, *others) = head.fields.get(b"content-length", [b""])
        # Without a length, the body ends with the connection.
        self._size = int(length) if length.isdigit() and len(length) < 20 and not others else _MOST
        if head.status < 200 or head.status in _WITHOUT_BODY:
            self._size = 0
        self._received = b""
        self.value = b""
        self.isComplete = False

    def receive(self, data: bytes) -> None:
        """
        Take the bytes after the head.
        """
        self._received = (self._received + data)[: 2 * _MOST]
        if self._isChunked:
            self.value, self.isComplete = _joined(self._received)
            self.value = self.value[:_MOST]
        else:
            self.value = self._received[: min(self._size, _MOST)]
            self.isComplete = len(self.value) == self._size
        self.isComplete = self.isComplete or len(self.value) == _MOST


def _joined(data: bytes) -> tuple[bytes, bool]:
    """
    Return the data in chunks (RFC 9112 section 7.1), and whether the last chunk has arrived. A
    malformed chunk counts as the last.
    """
    body = b""
    while True:
        line, newline, data = data.partition(b"\r\n")
        if not newline:
            return body, len(body) + len(line) >= _MOST
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            return body, True
        if size <= 0:
            return body, True
        body += data[:size]
        data = data[size + 2 :]
