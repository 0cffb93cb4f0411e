"""
The logs of workers. Each worker sends its events to the supervisor, which logs them under the
worker's name. So there is one log, in the format and place that the supervisor was given.
"""

from __future__ import annotations

from typing import IO, Any

from twisted.logger import (
    FileLogObserver,
    LogLevel,
    eventAsJSON,
    eventFromJSON,
    globalLogBeginner,
    globalLogPublisher,
)


def beginLogging(file: IO[Any]) -> None:
    """
    Send what this process logs, and prints, to the supervisor.

    @param file: the text file to write to.
    """
    observer = FileLogObserver(file, lambda event: eventAsJSON(event) + "\n")
    globalLogBeginner.beginLoggingTo([observer])


def logAgain(line: bytes, worker: str) -> None:
    """
    Log an event of a worker.

    @param line: the event as JSON.
    @param worker: the worker's name.
    @raise ValueError: if it is not an event: the worker ended while it wrote.
    """
    event = eventFromJSON(line.decode("utf-8", "backslashreplace"))
    level = event.get("log_level") or LogLevel.info
    place = event.get("log_system") or f"{event.get('log_namespace', '-')}#{level.name}"
    event["worker"] = worker
    event["log_system"] = f"worker {worker}, {place}"
    globalLogPublisher(event)
