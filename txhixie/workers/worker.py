"""
One worker, as its supervisor sees it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Protocol

from twisted.internet import defer
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionLost, ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from txhixie.workers.channel import ANSWERS, LOG, ORDERS, Lines, Message, decode, encode
from txhixie.workers.logs import logAgain


class Supervisor(Protocol):
    """
    The owner of a worker.
    """

    def workerReady(self, worker: Worker) -> None:
        """
        A worker serves clients from now on.
        """

    def workerReported(self, worker: Worker, report: Message) -> None:
        """
        A worker makes a report.
        """

    def workerEnded(self, worker: Worker) -> None:
        """
        The process of a worker is gone.
        """


class Worker(ProcessProtocol):
    """
    A process that serves, and its messages.

    @ivar name: the number of the worker, which its successor gets, too.
    @ivar isReady: whether it serves, or has served.
    @ivar ending: why it could not start, or how it ended; empty while it runs.
    @ivar readySince: when it was ready, by the clock.
    """

    transport: Any

    _log = Logger()

    def __init__(
        self, name: str, task: Message, supervisor: Supervisor, clock: IReactorTime
    ) -> None:
        """
        @param task: the first message to it: its task.
        """
        self.name = name
        self.isReady = False
        self.ending = ""
        self.readySince = 0.0
        self._task = task
        self._supervisor = supervisor
        self._clock = clock
        self._asked = 0
        self._answers: dict[int, Deferred[Any]] = {}
        self._lines = {
            LOG: Lines(self._logged),
            ANSWERS: Lines(self._answered),
            # What Python prints before the log begins and after it ends.
            1: Lines(self._printed),
            2: Lines(self._printed),
        }

    @property
    def pid(self) -> int | None:
        """
        The id of the process, while it runs.
        """
        pid: int | None = self.transport.pid
        return pid

    # From the supervisor

    def connectionMade(self) -> None:
        """
        Tell the process its task.
        """
        self.order(self._task)

    def order(self, message: Message) -> None:
        """
        Send the worker a message.
        """
        # Nothing reads it any more if the process is about to end.
        with suppress(KeyError):
            self.transport.writeToChild(ORDERS, encode(message))

    def ask(self, what: str, timeout: float) -> Deferred[Any]:
        """
        Ask the worker something.

        @param timeout: seconds that it may take.
        @return: the answer; it fails if there is none.
        """
        if self.ending:
            return fail(ConnectionLost())
        self._asked += 1
        number = self._asked
        answer: Deferred[Any] = Deferred()
        self._answers[number] = answer
        self.order({"ask": what, "number": number})
        answer.addTimeout(timeout, self._clock)
        return answer.addBoth(self._forget, number)

    def _forget(self, result: Any, number: int) -> Any:
        self._answers.pop(number, None)
        return result

    def kill(self) -> None:
        """
        End the process at once.
        """
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess("KILL")

    # From the worker

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """
        Take what came by one of the pipes.
        """
        self._lines[childFD].dataReceived(data)

    def _logged(self, line: bytes) -> None:
        try:
            logAgain(line, self.name)
        except ValueError:
            # It ended while it wrote.
            self._printed(line)

    def _printed(self, line: bytes) -> None:
        self._log.warn(
            "worker {worker} prints: {line}",
            worker=self.name,
            line=line.decode("utf-8", "backslashreplace"),
        )

    def _answered(self, line: bytes) -> None:
        match decode(line):
            case {"ready": True}:
                self.isReady = True
                self.readySince = self._clock.seconds()
                self._supervisor.workerReady(self)
            case {"failed": reason}:
                self.ending = reason
            case {"report": report}:
                self._supervisor.workerReported(self, report)
            case {"number": number, "answer": answer}:
                waiting = self._answers.pop(number, None)
                if waiting is not None:
                    waiting.callback(answer)

    def processEnded(self, reason: Failure) -> None:
        """
        Notify the supervisor.
        """
        for lines in self._lines.values():
            lines.end()
        self.ending = self.ending or _howItEnded(reason)
        answers, self._answers = self._answers, {}
        for answer in answers.values():
            answer.errback(ConnectionLost())
        self._supervisor.workerEnded(self)


def _howItEnded(reason: Failure) -> str:
    error = reason.value
    if isinstance(error, ProcessTerminated):
        if error.signal is not None:
            return f"it was ended by signal {error.signal}"
        return f"it ended with status {error.exitCode}"
    return "it ended"


# The failures of questions.
NoAnswer = (ConnectionLost, defer.TimeoutError)
