"""Who may import whom: one way only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import txhixie

PACKAGE = Path(txhixie.__file__).parent

# What each module may import of the package when it runs. A new module is entered here, and
# nobody imports tap or the package's own face.
ALLOWED: dict[str, set[str]] = {
    "head": set(),
    "settings": set(),
    "counters": set(),
    "deadlines": set(),
    "ratelimit": set(),
    "accepting": set(),
    "connection": {"head", "settings"},
    "hixie": {"head", "connection", "settings"},
    "framing": {"head", "connection", "settings"},
    "rfc6455": {"head", "connection", "framing", "settings"},
    "dialects": {"head", "connection", "hixie", "rfc6455"},
    "admission": {"head"},
    "auth": {"head"},
    "proxies": {"head"},
    "web": {"head", "proxies"},
    "keepalive": {"settings"},
    "pacing": set(),
    "opening": {"admission", "connection", "dialects", "head", "proxies", "ratelimit", "web"},
    "sending": {"connection", "opening", "pacing"},
    "ending": {"connection", "sending"},
    "protocol": {"admission", "connection", "ending", "keepalive", "pacing", "ratelimit"},
    "gathering": {"ratelimit"},
    "messagelog": {"connection", "protocol"},
    "factory": {
        "accepting",
        "admission",
        "counters",
        "deadlines",
        "dialects",
        "ending",
        "framing",
        "gathering",
        "head",
        "messagelog",
        "opening",
        "protocol",
        "proxies",
        "ratelimit",
        "settings",
        "web",
    },
    "services": set(),
    "console": {"factory", "head", "connection", "web"},
    "server": {"accepting", "factory"},
    "tap": {
        "auth",
        "console",
        "dialects",
        "factory",
        "proxies",
        "server",
        "services",
        "settings",
        "web",
    },
    "__init__": {
        "auth",
        "connection",
        "ending",
        "factory",
        "head",
        "protocol",
        "services",
        "settings",
    },
}
PURE = ("head", "settings", "connection", "hixie", "framing", "rfc6455", "dialects", "proxies")

# Every file by the module or subpackage it belongs to.
SOURCES = [
    pytest.param(path, id=str(path.relative_to(PACKAGE))) for path in sorted(PACKAGE.rglob("*.py"))
]


def home(path: Path) -> str:
    """@return: the module or subpackage that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


class _RunTime(ast.NodeVisitor):
    """
    Collects what a module imports when it runs.

    @ivar imported: dotted names, C{from a import b} as C{a.b}.
    """

    def __init__(self, package: str) -> None:
        self.imported: list[str] = []
        self._package = package.split(".")

    def visit_If(self, node: ast.If) -> None:
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.imported += [alias.name for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = self._package[: len(self._package) - node.level + 1] if node.level else []
        source = ".".join([*base, *filter(None, [node.module])])
        self.imported += [f"{source}.{alias.name}" for alias in node.names]


def imports(source: str, package: str = "txhixie") -> Iterator[tuple[str, str]]:
    """@return: what is imported at run time: the top-level package, and what of it."""
    visitor = _RunTime(package)
    visitor.visit(ast.parse(source))
    for name in visitor.imported:
        top, _, rest = name.partition(".")
        yield top, rest


@pytest.mark.parametrize("path", SOURCES)
def test_direction(path: Path) -> None:
    """A module imports what its place in the layout lets it, at run time."""
    module = home(path)
    assert module in ALLOWED, f"where in the layout does {module} belong?"
    package = ".".join(["txhixie", *path.relative_to(PACKAGE).parts[:-1]])
    wanted = {
        rest.split(".")[0] for top, rest in imports(path.read_text(), package) if top == "txhixie"
    }
    assert wanted - {module} <= ALLOWED[module]


@pytest.mark.parametrize("module", PURE)
def test_pure(module: str) -> None:
    """The dialects know nothing of Twisted, so that they can be driven by anything."""
    source = (PACKAGE / f"{module}.py").read_text()
    assert {top for top, _ in imports(source)} & {"twisted", "zope", "incremental"} == set()


def test_noCircle() -> None:
    """The layout itself has no circle in it."""
    known: set[str] = set()
    while known != set(ALLOWED):
        ready = {module for module, wanted in ALLOWED.items() if wanted <= known}
        assert ready > known, set(ALLOWED) - known
        known |= ready


def test_servicesRunElsewhere() -> None:
    """Services import none of the module that needs wsproto, nor the protocol they run on."""
    wanted = {f"{top}.{rest}" for top, rest in imports((PACKAGE / "services.py").read_text())}
    assert not [name for name in wanted if name.startswith(("txhixie", "twisted.web"))]


def test_reading() -> None:
    """The test sees imports of every form, and not those for type checkers."""
    source = (
        "import a.b\n"
        "from c import d, e\n"
        "from . import f\n"
        "from ..g import h\n"
        "if TYPE_CHECKING:\n    import i\n"
        "def later():\n    from j import k\n"
    )
    assert [".".join(pair) for pair in imports(source, "txhixie.console")] == [
        "a.b",
        "c.d",
        "c.e",
        "txhixie.console.f",
        "txhixie.g.h",
        "j.k",
    ]
