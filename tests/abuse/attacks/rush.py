"""
Members of a broadcast that come or leave all at once.
"""

from __future__ import annotations

from time import monotonic

from tests.abuse.attack import Target, attack
from tests.abuse.client import Client, connected, openAll
from tests.support import IDIOMS, buildHead

# Seconds that the others may wait.
_SOON = 0.1
_PATH = "/broadcast"


def _observed(observer: Client, prefix: bytes, count: int) -> float:
    """
    @return: the seconds until a member got C{count} messages that begin with C{prefix}.
    """
    started = monotonic()
    told = 0
    while told < count:
        frames = observer.receive()
        assert not observer.ending, observer.outcome
        told += sum(frame.payload.startswith(prefix) for frame in frames)
    assert told == count, f"{told} instead of {count}"
    return monotonic() - started


@attack(memory=48, wait=_SOON)
def leavingTogether(target: Target) -> str:
    """
    2,000 members of a broadcast leave at once, every other with a reset; ten stay.
    """
    size = target.size(2_000, 200)
    members = openAll(target.port, size, _PATH)
    staying = openAll(target.port, 10, _PATH)
    for number, member in enumerate(members):
        if number % 2:
            member.reset()
        else:
            member.close()
    seconds = max(_observed(each, b"Connection Closed: ", size) for each in staying)
    for each in staying:
        each.close()
    return f"all others know it within {1e3 * seconds:.0f} ms"


# There are limits on handshakes that are not complete.
@attack("--max-handshakes", "3000", memory=160, wait=_SOON)
def comingTogether(target: Target) -> str:
    """
    2,000 clients complete their opening handshakes for a broadcast at once.
    """
    size = target.size(2_000, 200)
    observer = Client(target.port, path=_PATH)
    _observed(observer, b"New Connection: ", 1)
    names = [*IDIOMS]
    sockets = []
    requestLine = f"GET {_PATH} HTTP/1.1".encode()
    for number in range(size):
        name = names[number % len(names)]
        opening = buildHead(name, requestLine=requestLine) + IDIOMS[name].preamble
        made = connected(target.port)
        made.send(opening[:-1])
        sockets.append((made, opening[-1:]))
    for made, last in sockets:
        made.send(last)
    seconds = _observed(observer, b"New Connection: ", size)
    for made, _ in sockets:
        made.close()
    observer.close()
    return f"all of them get it within {1e3 * seconds:.0f} ms"
