"""Which part may import which: one way only, imports for type checkers included."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import txhixie

PACKAGE = Path(txhixie.__file__).parent

# What each part of the package may import of the others. A new part is entered here. Only
# the commands import the package's own face.
ALLOWED: dict[str, set[str]] = {
    "addresses": set(),
    "settings": {"addresses"},
    "dialects": {"addresses", "settings"},
    "metrics": set(),
    "application": {"dialects"},
    "websocket": {"application", "dialects", "settings"},
    "web": {"addresses", "application", "dialects", "settings", "websocket"},
    "backplane": {"metrics", "settings"},
    "applications": {"application", "backplane", "dialects", "settings"},
    "client": {"application", "dialects", "settings", "websocket"},
    "gateway": {"client", "dialects", "settings", "websocket"},
    "command": {"__init__", "client", "dialects", "settings", "websocket"},
    "__main__": {"command"},
    "server": {
        *("addresses", "application", "applications", "backplane", "dialects", "metrics"),
        *("settings", "web", "websocket"),
    },
    "endpoints": {"applications", "client", "dialects", "server", "settings"},
    "console": {"dialects", "server", "web", "websocket"},
    "testing": {
        *("application", "client", "dialects", "server", "settings", "web", "websocket"),
    },
    "admin": {"metrics", "server", "web"},
    "workers": {"admin", "metrics", "server"},
    "twistd": {
        *("__init__", "admin", "application", "applications", "backplane", "console"),
        *("dialects", "gateway", "metrics", "server", "settings", "web", "websocket", "workers"),
    },
    "tap": {"twistd"},
    "__init__": {
        *("application", "applications", "backplane", "client", "console", "dialects"),
        *("endpoints", "gateway", "server", "settings", "web", "websocket"),
    },
}
# The parts that do not depend on Twisted.
PURE = (
    *("addresses.py", "applications/streamcodecs.py", "backplane/ordering.py"),
    *("backplane/redis/url.py", "client/body.py", "dialects", "gateway/backends.py"),
    *("metrics.py", "settings.py", "web/forwarded.py", "web/proxies.py"),
)


def _name(path: Path) -> str:
    name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    return name.removesuffix(".__init__")


SOURCES = {_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


class _Imports(ast.NodeVisitor):
    """
    Collects what a module imports.

    @ivar imported: dotted names, C{from a import b} as C{a.b}.
    """

    def __init__(self, package: str) -> None:
        self.imported: list[str] = []
        self._package = package.split(".")

    def visit_Import(self, node: ast.Import) -> None:
        self.imported += [alias.name for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = self._package[: len(self._package) - node.level + 1] if node.level else []
        source = ".".join([*base, *filter(None, [node.module])])
        self.imported += [f"{source}.{alias.name}" for alias in node.names]


def imports(source: str, package: str = "txhixie") -> list[str]:
    """@return: the dotted names of all that a module imports."""
    visitor = _Imports(package)
    visitor.visit(ast.parse(source))
    return visitor.imported


def modules(name: str) -> set[str]:
    """@return: the modules of the package that one of them imports."""
    path = SOURCES[name]
    package = ".".join(["txhixie", *path.relative_to(PACKAGE).parts[:-1]])
    found = set()
    for imported in imports(path.read_text(), package):
        words = imported.split(".")
        if words[0] == "txhixie":
            known = [".".join(words[1:end]) for end in range(len(words), 1, -1)]
            found.add(next((module for module in known if module in SOURCES), "__init__"))
    return found


def part(module: str) -> str:
    """@return: the part of the package that a module belongs to."""
    return module.partition(".")[0]


@pytest.mark.parametrize("module", SOURCES)
def test_direction(module: str) -> None:
    """A module imports only what its place in the layout allows."""
    assert part(module) in ALLOWED, f"where in the layout does {module} belong?"
    assert {*map(part, modules(module))} - {part(module)} <= ALLOWED[part(module)]


def test_noCircle() -> None:
    """Neither the parts nor the modules import each other in a circle."""
    list(TopologicalSorter(ALLOWED).static_order())
    list(TopologicalSorter({name: modules(name) for name in SOURCES}).static_order())


def _pure() -> list[Path]:
    paths = [PACKAGE / name for name in PURE]
    return [file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py"))]


@pytest.mark.parametrize("path", _pure(), ids=str)
def test_pure(path: Path) -> None:
    """The dialects do not depend on Twisted, so that anything can drive them."""
    tops = {name.partition(".")[0] for name in imports(path.read_text())}
    assert tops & {"twisted", "zope", "incremental"} == set()


def test_reading() -> None:
    """The test sees imports of every form."""
    source = (
        "import a.b\n"
        "from c import d, e\n"
        "from . import f\n"
        "from ..g import h\n"
        "if TYPE_CHECKING:\n    import i\n"
        "def later():\n    from j import k\n"
    )
    assert imports(source, "txhixie.console") == [
        "a.b",
        "c.d",
        "c.e",
        "txhixie.console.f",
        "txhixie.g.h",
        "i",
        "j.k",
    ]
