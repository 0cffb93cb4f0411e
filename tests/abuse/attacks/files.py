"""
More clients than the server may have files.
"""

from __future__ import annotations

import select
from socket import socket
from time import monotonic

from tests.abuse.attack import Target, attack
from tests.abuse.client import PATIENCE, connected
from tests.support import IDIOMS, buildHead

_FILES = 128
# No more clients are accepted if none is for this many seconds.
_IDLE = 0.3


@attack(memory=8, files=_FILES)
def outOfFiles(target: Target) -> str:
    """
    More clients come than there are descriptors left; accepted ones leave while the others wait.
    """
    size = target.size(500, 150)
    head = buildHead("hixie-75", requestLine=b"GET /echo HTTP/1.1") + IDIOMS["hixie-75"].preamble
    poll = select.epoll()
    waiting = {}
    for _ in range(size):
        client = connected(target.port)
        client.send(head)
        poll.register(client.fileno(), select.EPOLLIN)
        waiting[client.fileno()] = client
    started = monotonic()
    inside: list[socket] = []
    crowds: list[int] = []
    while waiting or inside:
        ready = poll.poll(_IDLE)
        for descriptor, _ in ready:
            client = waiting.pop(descriptor)
            poll.unregister(descriptor)
            try:
                answer = client.recv(1 << 12)
            except ConnectionError as error:
                answer = str(error).encode()
            assert answer.startswith(b"HTTP/1.1 101 "), f"one who waits gets {answer[:80]!r}"
            inside.append(client)
        if not ready:
            assert monotonic() < started + PATIENCE, f"{len(waiting)} of {size} are not accepted"
            crowds.append(len(inside))
            while inside:
                inside.pop().close()
    let = " + ".join(str(count) for count in crowds if count)
    return f"{size} come, the server may have {_FILES} files: {let} are accepted, none refused"
