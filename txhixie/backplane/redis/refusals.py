"""
What Redis refuses, and why connecting to it fails, in one line.
"""

from __future__ import annotations

import re
from typing import Any, cast

import txredisapi
from twisted.internet import defer, error
from twisted.python.failure import Failure

# Errors that may be over when the command is tried again, by their first word.
_TEMPORARY = frozenset(
    ("BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOAUTH", "NOPERM")
) | {"NOREPLICAS", "NOSCRIPT", "OOM", "READONLY", "TRYAGAIN", "UNKILLABLE"}


# Before version 7, this is around the error of a command in a script.
_IN_SCRIPT = re.compile(r"ERR Error running script .*@user_script: ?[0-9]+: -?([A-Z]+ .*)")


class Refused(Exception):
    """
    A server that we cannot work with.
    """


def isTemporary(failure: Failure) -> bool:
    """
    Whether to try a command again that Redis refused.
    """
    return _answerOf(failure).partition(" ")[0] in _TEMPORARY


def _answerOf(failure: Failure) -> str:
    """
    Return an error that Redis answered, in one line.
    """
    text = " ".join(str(failure.value).split())
    match = _IN_SCRIPT.fullmatch(text)
    return text if match is None else match[1]


def explain(failure: Failure, hasPassword: bool) -> str:
    """
    Say in one line why connecting, logging in or a command failed.

    @param hasPassword: whether we have a password.
    """
    text = _answerOf(failure)
    word = text.partition(" ")[0]
    if failure.check(txredisapi.ResponseError):
        if word == "NOAUTH":
            return "it wants a password, and the URL has none"
        if word == "WRONGPASS" or "invalid password" in text:
            return "the user or the password is wrong"
        if hasPassword and ("no password is set" in text or "without any password" in text):
            return "the URL has a password, and the server has none"
        if word == "NOPERM":
            return f"the user may not do everything that is needed: {text}"
        if word == "LOADING":
            return "it is still loading its data"
        if word == "READONLY":
            return "it is read-only"
        return f"it answers {text!r}"
    if failure.check(defer.TimeoutError):
        return "it does not answer"
    if failure.check(Refused):
        return text
    if failure.check(error.ConnectionRefusedError):
        return "nobody listens there"
    if failure.check(error.DNSLookupError):
        return "the name of the host is not known"
    if failure.check(error.TimeoutError):
        return "connecting took too long"
    if failure.check(txredisapi.MasterNotFoundError):
        return "no Sentinel names a master that works"
    if failure.check(error.ConnectError):
        return text
    if failure.check(txredisapi.ConnectionError, error.ConnectionDone, error.ConnectionLost):
        return "the connection was lost at once"
    if failure.check("OpenSSL.SSL.Error"):
        # Each error has several parts, the last of which says what it is.
        return "TLS failed: " + ", ".join(each[-1] for each in cast(Any, failure.value).args[0])
    return text or type(failure.value).__name__
