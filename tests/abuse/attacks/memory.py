"""
Attacks on the server's memory, each connection with no more than it may hold.
"""

from __future__ import annotations

import select
import zlib
from collections.abc import Collection

from tests.abuse.attack import Target, attack
from tests.abuse.client import PATIENCE, Client, push, tally
from tests.support import IDIOMS, clientFrame

_MIB = 1 << 20
_LIMIT = 64
_OPTIONS = ("--memory-limit", str(_LIMIT * _MIB))
# Seconds that the others may wait.
_SOON = 0.1
_COMPRESSED = 0x40


def _outcomes(clients: Collection[Client], most: int, events: int = select.POLLIN) -> str:
    """
    Wait until only C{most} clients are connected.

    @param events: what to wait for besides the end.
    @return: how often each outcome came.
    """
    poll = select.poll()
    connected = {}
    for client in clients:
        client.socket.setblocking(False)
        poll.register(client, events)
        connected[client.fileno()] = client
    while len(connected) > most:
        ready = poll.poll(1000 * PATIENCE)
        assert ready, f"{len(connected)} are still connected"
        for descriptor, _ in ready:
            client = connected[descriptor]
            client.receive()
            if client.ending or client.farewell:
                poll.unregister(descriptor)
                del connected[descriptor]
    return tally(client.outcome for client in clients)


# Of that, a thousand compressors take 45 MiB.
@attack("--compression", *_OPTIONS, memory=_LIMIT + 80)
def inflatedMessages(target: Target) -> str:
    """
    1,000 messages that are not complete are inflated from 1 KiB to 1 MiB each; --memory-limit is
    64 MiB.
    """
    count = target.size(1_000, 100)
    offer = ((b"Sec-WebSocket-Extensions", b"permessage-deflate"),)
    compressor = zlib.compressobj(9, wbits=-15)
    part = compressor.compress(bytes(_MIB - 1)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    clients = [Client(target.port, extra=offer) for _ in range(count)]
    for client in clients:
        client.send(clientFrame(_COMPRESSED | 2, part))
    outcomes = _outcomes(clients, _LIMIT)
    assert {client.outcome for client in clients} == {"1009", "open"}, outcomes
    for client in clients:
        client.close()
    return f"{count:,} x {len(part):,} bytes: {outcomes}"


@attack(*_OPTIONS, memory=_LIMIT + 32, wait=_SOON)
def unfinishedMessages(target: Target) -> str:
    """
    500 messages of nearly 1 MiB, of all dialects, are not completed; --memory-limit is 64 MiB.
    """
    names = [*IDIOMS]
    clients = []
    for number in range(target.size(500, 100)):
        client = Client(target.port, names[number % len(names)])
        client.send(client.idiom.clientText("x" * (_MIB - 1))[:-1])
        clients.append(client)
    outcomes = _outcomes(clients, _LIMIT)
    for client in clients:
        client.close()
    assert {client.outcome for client in clients} <= {"1009", "FF 00", "end", "open"}, outcomes
    return outcomes


# The kernel holds most of what is sent.
@attack("--memory-limit", str(16 * _MIB), memory=72, wait=_SOON)
def deafCrowd(target: Target) -> str:
    """
    100 clients of all dialects have 10 MiB of large messages echoed each, and read nothing;
    --memory-limit is 16 MiB.
    """
    names = [*IDIOMS]
    clients = []
    for number in range(target.size(100, 50)):
        client = Client(target.port, names[number % len(names)], receiveBuffer=1 << 16)
        text = client.idiom.clientText("x" * (_MIB - 1))
        push(client, [text] * 10, 0.2)
        clients.append(client)
    # The size of a single holder is not counted exactly.
    outcomes = _outcomes(clients, 16 + 4, 0)
    for client in clients:
        client.reset()
    return outcomes
