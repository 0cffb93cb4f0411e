"""
What a request asks of a room: which one, from which entry on, and in which format.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_to_bytes

from txhixie.applications.wording import PLAIN, WORDINGS, Wording
from txhixie.backplane.contract import parseId
from txhixie.dialects.head import HandshakeError

if TYPE_CHECKING:
    from twisted.web.server import Request

# Characters that the name of a room may have.
_LONGEST = 64


class Start(NamedTuple):
    """
    Where in the log of a room to begin. Without either field, it is the client's own join.

    @ivar since: the id of the last entry that is already known.
    @ivar last: the number of newest entries.
    """

    since: str | None = None
    last: int | None = None

    @property
    def isNow(self) -> bool:
        """
        Whether the past is not wanted at all.
        """
        return self.since is None and not self.last


class Wish(NamedTuple):
    """
    What a request asks for.

    @ivar room: the name of a room.
    @ivar wantsPresence: whether to say who is there.
    """

    room: str = ""
    start: Start = Start()
    wording: Wording = PLAIN
    wantsPresence: bool = False


def checkName(name: str) -> str:
    """
    Return the name of a room.

    @raise ValueError: if it is not a valid name.
    """
    if len(name) > _LONGEST or not name.isprintable() or "/" in name:
        raise ValueError(
            f"the name of a room has up to {_LONGEST} printable characters and no slash"
        )
    return name


def segments(path: bytes) -> tuple[bytes, ...]:
    """
    Return the decoded segments of a path, without a last empty one.
    """
    found = tuple(map(unquote_to_bytes, path.removeprefix(b"/").split(b"/")))
    return found[:-1] if found[-1] == b"" else found


def roomAt(base: tuple[bytes, ...], path: bytes) -> str:
    """
    Return the name of the room at a path: the segment after the base. Elsewhere it is empty.

    @raise HandshakeError: 404 if there can be no room.
    """
    found = segments(path)
    rest = found[len(base) :]
    if found[: len(base)] != base or not rest:
        return ""
    return nameOf(rest)


def nameOf(segments: Iterable[bytes]) -> str:
    """
    Return the name of a room from the segments of a path.

    @raise HandshakeError: 404 if there can be no such room.
    """
    try:
        # More than one have a slash between them, which no name has.
        return checkName(b"/".join(segments).decode("utf-8"))
    except ValueError as error:
        why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise HandshakeError(404, f"there is no such room: {why}") from None


def readWish(base: tuple[bytes, ...], request: Request) -> Wish:
    """
    Return what a request asks for.

    @param base: the segments of the path that rooms are below.
    @raise HandshakeError: 404 if there can be no such room, 400 for a query that means nothing.
    """
    return Wish(roomAt(base, request.path), *readQuery(request))


def readQuery(request: Request, since: str | None = None) -> tuple[Start, Wording, bool]:
    """
    Return what the query of a request asks for.

    @param since: used instead of C{since} and C{last}.
    @raise HandshakeError: 400 if it means nothing.
    """
    query = getattr(request, "uri", b"").partition(b"?")[2]
    if not query and since is None:
        return Start(), PLAIN, False
    args = request.args
    form = _single(args, b"format", "text")
    if form not in WORDINGS:
        raise HandshakeError(400, f"format is one of {', '.join(WORDINGS)}")
    last = None
    if since is None:
        since, last = _single(args, b"since"), _single(args, b"last")
    if since is not None and last is not None:
        raise HandshakeError(400, "either since or last is wanted")
    if last is not None and not (last.isascii() and last.isdigit() and len(last) < 16):
        raise HandshakeError(400, "last is a number of entries")
    if since is not None:
        try:
            parseId(since)
        except ValueError as error:
            raise HandshakeError(400, f"since: {error}") from None
    start = Start(since, None if last is None else int(last))
    # Twisted leaves out arguments without "=".
    isAsked = any(each.partition(b"=")[0] == b"presence" for each in query.split(b"&"))
    return start, WORDINGS[form], isAsked


def _single(args: dict[bytes, list[bytes]], name: bytes, default: str | None = None) -> str | None:
    values = args.get(name)
    if values is None:
        return default
    if len(values) > 1:
        raise HandshakeError(400, f"there is more than one {name.decode()}")
    # Text that is not ASCII is invalid for the code that reads it next.
    return values[0].decode("ascii", "replace")
