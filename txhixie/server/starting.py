"""
What happens if a service cannot start.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from txhixie.server.reloading import oneLine


class CannotStart(SystemExit, Exception):
    """
    Exits; the reason has already been logged. It is an C{Exception}, too, so that C{twistd} removes
    its pidfile and reports to a daemon's parent.
    """


def startOrExit(start: Callable[[], object], log: Logger) -> None:
    """
    Call what starts a service.

    @raise CannotStart: if it cannot listen; the reason is logged in one line.
    """
    try:
        start()
    except (CannotListenError, OSError, OverflowError) as error:
        log.critical("{error}", error=oneLine(error))
        raise CannotStart(1) from error
