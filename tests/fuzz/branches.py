"""
Which paths through the code a conversation takes: blocks of code report themselves.

Modules are compiled with a report at the beginning of every block. That costs far less than
tracing, and works the same in every Python.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from itertools import pairwise
from types import CodeType, ModuleType
from typing import Any

# The server and the client, and their parsers.
WATCHED = (
    "txhixie.client.body",
    "txhixie.client.connect",
    "txhixie.client.protocol",
    "txhixie.dialects.hixie_opening",
    "txhixie.dialects.rfc6455_opening",
    "txhixie.server.admission",
    "txhixie.web.auth",
    "txhixie.dialects.connection",
    "txhixie.websocket.deadlines",
    "txhixie.dialects.choosing",
    "txhixie.websocket.hangup",
    "txhixie.server.factory",
    "txhixie.dialects.frames",
    "txhixie.dialects.framing",
    "txhixie.dialects.messages",
    "txhixie.websocket.turn",
    "txhixie.dialects.head",
    "txhixie.dialects.hixie",
    "txhixie.websocket.delivery",
    "txhixie.websocket.liveness",
    "txhixie.websocket.reading",
    "txhixie.websocket.websocket",
    "txhixie.dialects.opening",
    "txhixie.server.protocol",
    "txhixie.server.upgrade",
    "txhixie.web.proxies",
    "txhixie.dialects.rfc6455",
    "txhixie.websocket.outgoing",
    "txhixie.web.channel",
    "txhixie.web.plain",
    "txhixie.web.request",
    "txhixie.web.upgrading",
    "websockets.extensions.permessage_deflate",
    "websockets.frames",
    "websockets.protocol",
    "websockets.streams",
)

_REPORT = "_fuzzReached"

_trail: list[int] = []


class _Reporting(ast.NodeTransformer):
    """
    Puts a report into every block of every function.
    """

    def __init__(self) -> None:
        self._inFunction = 0

    def visit(self, node: ast.AST) -> Any:
        isFunction = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        self._inFunction += isFunction
        self.generic_visit(node)
        if self._inFunction:
            for name in ("body", "orelse", "finalbody"):
                block = getattr(node, name, None)
                if isinstance(block, list) and block:
                    setattr(node, name, [self._report(block[0]), *block])
        self._inFunction -= isFunction
        return node

    def _report(self, before: ast.stmt) -> ast.stmt:
        global _blocks
        _blocks += 1
        report = ast.parse(f"{_REPORT}({_blocks})").body[0]
        for node in ast.walk(report):
            ast.copy_location(node, before)
        return report


_blocks = 0


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        # Never from a cache, never into one.
        path = self.get_filename(fullname)
        tree = _Reporting().visit(ast.parse(self.get_data(path), path))
        return compile(tree, path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        vars(module)[_REPORT] = _trail.append
        super().exec_module(module)


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in WATCHED:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(fullname, spec.origin)
        return spec


def watch() -> None:
    """
    Make the L{WATCHED} modules report, from their first import on.

    @raise RuntimeError: if one is imported already.
    """
    early = [name for name in WATCHED if name in sys.modules]
    if early:
        raise RuntimeError(f"{early[0]} is imported already")
    sys.meta_path.insert(0, _Finder())


def taken() -> set[tuple[int, int]]:
    """
    @return: the pairs of blocks that were reached one after the other since the last call; none
        in modules that are not watched.
    """
    pairs = set(pairwise(_trail))
    _trail.clear()
    return pairs
