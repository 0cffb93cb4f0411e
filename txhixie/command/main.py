"""
Runs the command.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txhixie import HandshakeRefused, connect
from txhixie.client.tls import Unverified
from txhixie.command.conversation import Conversation
from txhixie.command.entering import Entering
from txhixie.command.options import Options, parse
from txhixie.command.screen import Screen
from txhixie.dialects.url import WebSocketURL


def main(arguments: Sequence[str] | None = None) -> None:
    """
    Run the command, and exit.
    """
    options = parse(arguments)
    from twisted.internet import reactor

    status = Command(options, reactor).run()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # Otherwise Python would flush once more, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


class Command:
    """
    One run, from connecting to the exit status.
    """

    def __init__(self, options: Options, reactor: Any) -> None:
        self._options = options
        self._reactor = reactor
        isTerminal = sys.stdin.isatty() and sys.stdout.isatty()
        self._screen = Screen(isTerminal)
        self._conversation = Conversation(
            options, self._screen, reactor, self._startEntering, self._over
        )
        self._entering: Entering | None = None
        self._connecting: Deferred[Any] | None = None
        self._ended: Deferred[None] = Deferred()
        self._status: int | None = None
        self._isStopping = False

    def run(self) -> int:
        """
        Run the reactor until the connection is over.

        @return: the exit status.
        """
        self._reactor.addSystemEventTrigger("before", "shutdown", self._interrupted)
        self._reactor.callWhenRunning(self._connect)
        self._reactor.run()
        if self._entering is not None:
            self._entering.restore()
        return 130 if self._status is None else self._status

    def _connect(self) -> None:
        options = self._options
        try:
            url = WebSocketURL.parse(options.url)
            tls = Unverified(url.hostname) if options.isInsecure and url.isSecure else None
            self._connecting = connect(
                options.url,
                self._conversation,
                dialect=options.dialect,
                origin=options.origin,
                subprotocols=options.subprotocols,
                headers=options.headers,
                tls=tls,
                reactor=self._reactor,
            )
        except ValueError as error:
            self._end(2, str(error))
        else:
            self._connecting.addErrback(self._notConnected)

    def _notConnected(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            self._end(130)
        else:
            self._end(1, f"{self._options.url}: {reasonOf(failure)}")

    def _startEntering(self) -> None:
        conversation = self._conversation
        self._entering = Entering(
            self._reactor, self._screen, conversation.entered, conversation.ended
        )
        self._entering.start()

    def _over(self) -> None:
        self._end(self._conversation.status)

    def _end(self, status: int, text: str = "") -> None:
        if self._status is not None:
            return
        self._status = status
        if text:
            self._screen.error(text)
        elif self._screen.isPrompting:
            self._screen.endPrompt()
        self._ended.callback(None)
        self._reactor.callLater(0, self._stop)

    def _stop(self) -> None:
        # Ctrl-C may have been faster.
        if not self._isStopping:
            self._reactor.stop()

    def _interrupted(self) -> Deferred[None] | None:
        """
        Close before the reactor stops, if the connection is not over yet.
        """
        self._isStopping = True
        if self._status is not None:
            return None
        if self._connecting is not None:
            self._connecting.cancel()
        if self._status is not None:
            return None
        self._conversation.interrupt()
        return self._ended


def reasonOf(failure: Failure) -> str:
    """
    Return an error as one line.
    """
    error: Any = failure.value
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if isinstance(error, HandshakeRefused):
        body = error.body.decode("utf-8", "replace").strip().partition("\n")[0]
        return f"{text}: {body}" if body else text
    details = next(iter(error.args), None)
    if isinstance(details, list) and details and isinstance(details[0], tuple):
        # OpenSSL has a stack of errors: library, function, reason.
        return "TLS: " + "; ".join(str(each[-1]) for each in details)
    if type(error).__name__ == "VerificationError":
        return "TLS: the certificate is for another name"
    return text
