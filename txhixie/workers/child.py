"""
The process of a worker: C{python -m txhixie.workers.child NUMBER}, as the supervisor starts it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from twisted.python.reflect import namedAny

from txhixie.workers.channel import ANSWERS, LOG, ORDERS, SOCKETS, Lines, Message, decode, encode

if TYPE_CHECKING:
    from txhixie.workers.serving import Serving


class Orders:
    """
    Follows the supervisor's orders, and ends the process when the supervisor is gone.
    """

    def __init__(self, serving: Serving, end: Callable[[], object]) -> None:
        """
        @param end: stops the reactor; it is called once.
        """
        self._serving = serving
        self._end = end
        self._isEnding = False
        self._lines = Lines(self._ordered)

    def dataReceived(self, data: bytes) -> None:
        """
        Take bytes from the pipe.
        """
        self._lines.dataReceived(data)

    def stop(self) -> None:
        """
        End, unless that has already been ordered.
        """
        if not self._isEnding:
            self._isEnding = True
            self._end()

    def _ordered(self, line: bytes) -> None:
        match decode(line):
            case {"stop": True}:
                self.stop()
            case {"abort": True}:
                self._serving.abort()
            case {"ask": "reload", "number": number}:
                self._serving.reload()
                tell({"number": number, "answer": True})
            case {"ask": "report", "number": number}:
                tell({"number": number, "answer": self._serving.report()})


def tell(message: Message) -> None:
    """
    Send the supervisor a message. If the supervisor is gone, the message is lost.
    """
    data = memoryview(encode(message))
    with suppress(BrokenPipeError):
        while data:
            data = data[os.write(ANSWERS, data) :]


def _task() -> tuple[Message, bytes]:
    """
    Return the first message of the supervisor, and what came with it.
    """
    data = b""
    while b"\n" not in data:
        more = os.read(ORDERS, 1 << 16)
        if not more:
            sys.exit(1)
        data += more
    line, _, rest = data.partition(b"\n")
    return decode(line), rest


def main() -> None:
    """
    Serve until the supervisor orders the end.
    """
    task, rest = _task()
    sys.path[:] = task["path"]
    # The terminal sends it to all processes; the supervisor decides when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import_module(task["reactor"]).install()

    from twisted.internet import reactor

    from txhixie.server.reloading import oneLine
    from txhixie.server.starting import CannotStart
    from txhixie.workers.logs import beginLogging

    beginLogging(os.fdopen(LOG, "w", encoding="utf-8", errors="backslashreplace"))
    sockets = range(SOCKETS, SOCKETS + task["sockets"])
    try:
        serving: Serving = namedAny(task["make"])(task, sockets)
        serving.start()
    except Exception as error:
        # The reason of a CannotStart is already in the log.
        tell({"failed": "" if isinstance(error, CannotStart) else oneLine(error)})
        os._exit(1)
    _run(reactor, serving, rest)


def _run(reactor: Any, serving: Serving, early: bytes) -> None:
    from twisted.internet.error import ReactorNotRunning
    from twisted.internet.interfaces import IReadDescriptor
    from twisted.internet.process import ProcessReader

    def end() -> None:
        # An application may have stopped it.
        with suppress(ReactorNotRunning):
            reactor.stop()

    orders = Orders(serving, end)
    reader = ProcessReader(reactor, _Pipe(orders), "orders", ORDERS)
    assert IReadDescriptor.providedBy(reader)
    reactor.addSystemEventTrigger("before", "shutdown", serving.stop)
    # One signal may come to all processes, so the second one here is not a second one.
    reactor.callWhenRunning(
        signal.signal, signal.SIGTERM, lambda *_: reactor.callFromThread(orders.stop)
    )
    reactor.callWhenRunning(tell, {"ready": True})
    reactor.callWhenRunning(orders.dataReceived, early)
    reactor.run()
    tell({"report": serving.report()})


class _Pipe:
    """
    The events of a C{ProcessReader}.
    """

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    def childDataReceived(self, name: object, data: bytes) -> None:
        self._orders.dataReceived(data)

    def childConnectionLost(self, name: object, reason: object) -> None:
        # There is no supervisor any more.
        self._orders.stop()


if __name__ == "__main__":
    main()
