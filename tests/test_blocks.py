"""
The code blocks of the documentation work as they are printed: mypy checks the Python, and each
page is executed. C{test_shellblocks.py} runs the commands.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.blocks import Block, blocks
from tests.interop.server import PROJECT, missing

# The blocks that are neither Python nor shell, and what tests them.
ELSEWHERE = {
    ("README.md", "js"): "tests/interop/test_blocks.py runs it in browsers",
    ("docs/howto.md", "js"): "tests/interop/test_blocks.py runs it in browsers",
    ("docs/streams.md", "js"): "tests/interop/test_blocks.py runs it in browsers",
    ("docs/proxies.md", "js"): "tests/interop/test_proxies.py runs the proxy; see test_docs.py",
    ("docs/proxies.md", ""): "tests/interop/test_proxies.py runs the proxies; see test_docs.py",
    ("docs/reliability.md", "ini"): "test_shellblocks.py starts it",
}


def test_known() -> None:
    """Every block is in a language that is tested here, or is tested elsewhere."""
    languages = {"python", "sh"}
    unknown = [
        str(block)
        for block in blocks()
        if block.language not in languages and (block.page, block.language) not in ELSEWHERE
    ]
    assert not unknown, "enter what tests them in ELSEWHERE"


def pages() -> dict[str, list[Block]]:
    """@return: the Python blocks of each page that has some."""
    found: dict[str, list[Block]] = {}
    for block in blocks("python"):
        found.setdefault(block.page, []).append(block)
    return found


@pytest.mark.parametrize("page", pages())
def test_executed(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python blocks of a page run one after the other, and its test functions pass."""
    monkeypatch.syspath_prepend(str(PROJECT / "examples"))
    names: dict[str, Any] = {"__name__": "page"}
    if any("prometheus_client" in block.text for block in pages()[page]):
        reason = "pip install 'txhixie[metrics]'"
        prometheus = pytest.importorskip("prometheus_client", reason=reason)
        monkeypatch.setattr(prometheus, "REGISTRY", prometheus.CollectorRegistry())
    for block in pages()[page]:
        exec(compile("\n" * (block.line - 1) + block.text, block.page, "exec"), names)
    for name, value in list(names.items()):
        if name.startswith("test_"):
            value()


def modules(found: Sequence[Block]) -> list[str]:
    """
    @return: the blocks of a page as modules, a new one where a block imports what another defines.
        Printed examples are left out: they have tests of their own.
    """
    examples = {path.read_text(encoding="utf-8") for path in (PROJECT / "examples").glob("*.py")}
    made: list[str] = [""]
    defined: set[str] = set()
    for block in found:
        if block.text in examples:
            continue
        nodes = ast.parse(block.text).body
        imports = [n for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)]
        if defined & {alias.name for node in imports for alias in node.names}:
            made.append("")
            defined.clear()
        defined |= {node.name for node in nodes if isinstance(node, ast.ClassDef)}
        made[-1] += f"# {block}\n{block.text}\n"
    return made


MYPY = """
[mypy]
plugins = mypy_zope:plugin
check_untyped_defs = True
follow_imports = silent
ignore_missing_imports = True
# Users need no annotations and no checks for None, and a later block may define a name again.
strict_optional = False
disable_error_code = no-redef, override, var-annotated
"""


def test_types(tmp_path: Path) -> None:
    """mypy finds nothing wrong with the Python blocks, the bodies of functions included."""
    if find_spec("mypy") is None:
        missing("mypy is missing, install it with: pip install mypy")
    (tmp_path / "mypy.ini").write_text(MYPY, encoding="utf-8")
    for page, found in pages().items():
        name = re.sub(r"\W", "_", page.removesuffix(".md"))
        for number, source in enumerate(modules(found)):
            (tmp_path / f"{name}_{number}.py").write_text(source, encoding="utf-8")
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--config-file", str(tmp_path / "mypy.ini")),
            *("--cache-dir", str(PROJECT / ".mypy_cache" / "blocks"), str(tmp_path)),
        ],
        env={**os.environ, "MYPYPATH": os.pathsep.join([str(PROJECT), str(PROJECT / "examples")])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert checked.stdout.startswith("Success"), checked.stdout + checked.stderr
