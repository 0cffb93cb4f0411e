"""Several applications on one port, chosen by path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from txhixie.applications.routes import Routes
from txhixie.testing import fakeRequest

if TYPE_CHECKING:
    from twisted.web.server import Request


class Named:
    """An application that answers with its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def buildProtocol(self, request: Request) -> Any:
        """@return: the name, and the request."""
        return self.name, request


def routed(path: bytes, routes: Routes) -> Any:
    """@return: the name of the application that answers a path."""
    request = fakeRequest(path.decode())
    built: Any = routes.buildProtocol(request)
    if built is None:
        return None
    assert built[1] is request
    return built[0]


ROUTES = Routes(
    {name: Named(name) for name in ("/chat", "/chat/red", "/a/b/c", "/gr%C3%BCn", "/süß/")},
    Named("default"),
)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"/chat", "/chat"),
        (b"/chat/", "/chat"),
        (b"/chat/blue/x", "/chat"),
        (b"/chat//red", "/chat"),
        (b"/chat/redder", "/chat"),
        (b"/chat/red", "/chat/red"),
        (b"/chat/red/", "/chat/red"),
        (b"/chat/red/deep/er", "/chat/red"),
        (b"/c%68at/%72ed", "/chat/red"),
        (b"/a/b/c/d", "/a/b/c"),
        (b"/gr%c3%bcn", "/gr%C3%BCn"),
        (b"/s%C3%BC%C3%9F/x", "/süß/"),
        (b"/", "default"),
        (b"/chatter", "default"),
        (b"/Chat", "default"),
        (b"//chat", "default"),
        (b"/x/chat", "default"),
        (b"/a/b", "default"),
        (b"/a%2Fb/c", "default"),
        (b"/chat%2Fred", "default"),
        (b"/%", "default"),
        (b"/" * 16_000, "default"),
    ],
)
def test_route(path: bytes, name: str) -> None:
    """A route is the beginning of a path in whole segments, and the longest counts."""
    assert routed(path, ROUTES) == name


def test_noRoute() -> None:
    """Without a route, nothing answers."""
    assert routed(b"/x", Routes({"/chat": Named("chat")})) is None
    assert routed(b"/", Routes({})) is None


def test_rootRoute() -> None:
    """The root is the beginning of all paths."""
    routes = Routes({"/": Named("root"), "/chat": Named("chat")}, Named("default"))
    assert [routed(path, routes) for path in (b"/", b"/x", b"/chat")] == ["root", "root", "chat"]


@pytest.mark.parametrize(
    "path", ["", "chat", "//", "//chat", "/a//b", "/a?b", "/a#b", "/a b", "/a\n", " /a", "*"]
)
def test_noPath(path: str) -> None:
    """A text that cannot be the path of a request is not a route."""
    with pytest.raises(ValueError, match="is not a path like /chat"):
        Routes({path: Named("never")})


def test_sameRoute() -> None:
    """Two routes with the same path are refused, however they are written."""
    for other in ("/chat/", "/ch%61t"):
        with pytest.raises(ValueError, match="is routed already"):
            Routes({"/chat": Named("one"), other: Named("two")})


def test_paths() -> None:
    """Each path is known, and the root, too, if something else answers there."""
    one, two = Named("one"), Named("two")
    assert Routes({"/one": one, "/a/two": two}).paths == ("/one", "/a/two")
    assert Routes({"/one": one, "/two": two}, one).paths == ("/one", "/two")
    assert Routes({"/one": one}, two).paths == ("/one", "/")
