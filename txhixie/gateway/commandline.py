"""
The gateways of a command line.
"""

from __future__ import annotations

import re

from txhixie.gateway.gateway import Gateway
from txhixie.settings import Settings

# The name of a gateway, alone or followed by a colon and its own back ends.
NAME = "gateway"
# The separator of back ends.
_COMMA = re.compile(r",(?=wss?://)")


class Gateways:
    """
    Makes gateways.

    @ivar areShared: whether one of them uses the shared back ends.
    """

    def __init__(self, backends: list[str], bytesPolicy: str, settings: Settings) -> None:
        """
        @param backends: those of gateways without back ends of their own.
        """
        self._backends = backends
        self._bytesPolicy = bytesPolicy
        self._settings = settings
        self.areShared = False

    def make(self, name: str) -> Gateway | None:
        """
        Return a new gateway; C{None} if C{name} does not name one.

        @param name: C{"gateway"}, or C{"gateway:ws://one:9000,ws://other:9000"}.
        @raise ValueError: if there is no back end, or a URL makes no sense.
        """
        kind, colon, urls = name.partition(":")
        if kind != NAME:
            return None
        if colon:
            backends = _COMMA.split(urls)
        elif self._backends:
            self.areShared = True
            backends = self._backends
        else:
            raise ValueError("a gateway needs --backend ws://host:port")
        return Gateway(*backends, bytesPolicy=self._bytesPolicy, settings=self._settings)


def splitRoute(route: str) -> tuple[str, str, str]:
    """
    Return path, equals sign and name of a route, as C{str.rpartition} does. The URL of a back end
    may have equals signs, too.
    """
    path, separator, urls = route.partition(f"={NAME}:")
    if separator:
        return path, "=", f"{NAME}:{urls}"
    return route.rpartition("=")
