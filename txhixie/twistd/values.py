"""
Checks the values of options that are no settings.
"""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec

from twisted.internet.endpoints import serverFromString
from twisted.python import usage

from txhixie.server.reloading import oneLine
from txhixie.settings import NUMBER_OR_NONE

# Where an endpoint description holds a port number.
_PORT = re.compile(r"(?:^|:)(?:(?:tcp6?|ssl):(?:port=)?|port=)([0-9]+)")


def checkEndpoint(option: str, description: str) -> None:
    """
    @raise usage.UsageError: if a description is not one of an endpoint.
    """
    from twisted.internet import reactor

    try:
        serverFromString(reactor, description)
    except Exception as error:
        reason = oneLine(error)
        if description.startswith("systemd:") and isinstance(error, LookupError):
            reason = "systemd passed no such socket (LISTEN_FDS)"
        raise usage.UsageError(f"{option}: {description!r} is no endpoint: {reason}") from error


def adminEndpoint(where: str) -> str:
    """
    Return the description of the endpoint that C{--admin} asks for.
    """
    if find_spec("prometheus_client") is None:
        raise usage.UsageError(
            "--admin: prometheus_client is missing; pip install 'txhixie[metrics]' installs it"
        )
    description = withPorts("--admin", where)
    if isinstance(description, int):
        return f"tcp:{description}:interface=127.0.0.1"
    checkEndpoint("--admin", description)
    return description


def withPorts(option: str, description: str) -> int | str:
    """
    Return a number of a port as such, or a description of an endpoint.

    @raise usage.UsageError: if there is no such port.
    """
    isNumber = description.isascii() and description.isdigit()
    for number in [description] if isNumber else _PORT.findall(description):
        if len(number) > 5 or int(number) > 65535:
            raise usage.UsageError(f"{option}: there is no port {number}")
    return int(description) if isNumber else description


def workersCount(text: object) -> int:
    """
    Return the number that C{--workers} asks for.
    """
    kind = NUMBER_OR_NONE
    assert kind.parse is not None
    try:
        count = int(kind.check(kind.parse(str(text))))
    except ValueError as error:
        raise usage.UsageError(f"--workers: {text!r}: {error}") from error
    if count and sys.platform == "win32":
        raise usage.UsageError("--workers: this system has no sockets that processes can share")
    return count
