"""
Makes mutants: one small change each, to the text of a module.
"""

from __future__ import annotations

import ast
import difflib
import io
import random
import re
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

# On a line of code, or above it.
_MARK = re.compile(r"# mutation: equivalent, because \S")

_COMPARISONS: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.Lt: ("<", ("<=", ">=")),
    ast.LtE: ("<=", ("<", ">")),
    ast.Gt: (">", (">=", "<=")),
    ast.GtE: (">=", (">", "<")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: (r"is\s+not", ("is",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: (r"not\s+in", ("in",)),
}
_ARITHMETIC: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.BitXor: ("^", "&"),
}
_LOGGING = {"critical", "debug", "emit", "error", "failure", "info", "warn"}
# What matters only to type checkers and to the interpreter's layout of objects.
_DECLARATIONS = {"__all__", "__match_args__", "__slots__"}
_TYPES = {"NewType", "ParamSpec", "TypeVar", "TypeVarTuple"}


@dataclass(frozen=True)
class Mutant:
    """
    A module with one change.

    @ivar path: the module's file.
    @ivar kind: what is changed, in words.
    @ivar line: the first line that is changed.
    @ivar last: the last line that is changed.
    @ivar statement: the line where the statement begins that is changed.
    @ivar start: where the change begins, in bytes.
    @ivar end: where it ends.
    @ivar text: the new text there.
    """

    path: Path
    kind: str
    line: int
    last: int
    statement: int
    start: int
    end: int
    text: str

    def source(self) -> bytes:
        """
        @return: the text of the changed module.
        """
        original = _read(self.path)
        return original[: self.start] + self.text.encode() + original[self.end :]

    def isValid(self) -> bool:
        """
        @return: whether the change is legal Python with another meaning.
        """
        source = self.source()
        try:
            compile(source, self.path, "exec", dont_inherit=True)
        except SyntaxError:
            return False
        return ast.dump(ast.parse(source)) != _meaning(self.path)

    def diff(self, name: str) -> str:
        """
        @param name: the name of the file.
        @return: the change as a unified diff.
        """
        before, after = (text.decode().splitlines() for text in (_read(self.path), self.source()))
        lines = difflib.unified_diff(before, after, name, name, n=2, lineterm="")
        return "\n".join(lines)


@cache
def _read(path: Path) -> bytes:
    return path.read_bytes()


@cache
def _meaning(path: Path) -> str:
    return ast.dump(ast.parse(_read(path)))


def mutantsOf(path: Path) -> list[Mutant]:
    """
    @return: all mutants of a module, in the order of its text; some of them may not be valid.
    """
    maker = _Maker(path, _read(path))
    maker.visit(ast.parse(maker.source))
    return sorted(maker.made, key=lambda mutant: (mutant.start, mutant.end, mutant.text))


def pick(files: Sequence[Path], root: Path, count: int, seed: int) -> list[Mutant]:
    """
    Pick mutants at random, from each file in proportion to its lines.

    @param root: the folder that file names are relative to.
    @return: C{count} valid mutants, or all there are, in the order of C{files}.
    """
    shuffled: dict[Path, Iterator[Mutant]] = {}
    for path in files:
        made = mutantsOf(path)
        # By name, so that other files do not change what is picked here.
        random.Random(f"{seed} {path.relative_to(root)}").shuffle(made)
        shuffled[path] = filter(Mutant.isValid, made)
    picked: dict[Path, list[Mutant]] = {path: [] for path in files}
    lines = {path: _read(path).count(b"\n") + 1 for path in files}
    for _ in range(count):
        while shuffled:
            # The file that is furthest below its share.
            path = min(shuffled, key=lambda path: (len(picked[path]) + 0.5) / lines[path])
            mutant = next(shuffled[path], None)
            if mutant is not None:
                picked[path].append(mutant)
                break
            del shuffled[path]
    return [mutant for path in files for mutant in sorted(picked[path], key=lambda m: m.start)]


def _marked(source: bytes) -> set[int]:
    """
    @return: the lines that are marked as having equivalent mutants only.
    """
    marked: set[int] = set()
    waits = False
    blank = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        line = token.start[0]
        if token.type == tokenize.COMMENT:
            if _MARK.match(token.string):
                marked.add(line)
                waits = token.line.lstrip().startswith("#")
        elif waits and token.type not in blank:
            marked.add(line)
            waits = False
    return marked


class _Maker(ast.NodeVisitor):
    """
    Finds all places where a module can be changed, and how.
    """

    def __init__(self, path: Path, source: bytes) -> None:
        self.source = source
        self.made: list[Mutant] = []
        self._path = path
        self._marked = _marked(source)
        self._statement = 1
        self._function = ""
        self._lines = [0]
        for line in source.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))

    # Where things are

    def _start(self, node: ast.expr | ast.stmt | ast.keyword) -> int:
        return self._lines[node.lineno - 1] + node.col_offset

    def _end(self, node: ast.expr | ast.stmt | ast.keyword) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._lines[node.end_lineno - 1] + node.end_col_offset

    def _make(self, kind: str, start: int, end: int, text: str) -> None:
        line = self.source.count(b"\n", 0, start) + 1
        last = self.source.count(b"\n", 0, end) + 1
        if self._marked.isdisjoint({self._statement, *range(line, last + 1)}):
            mutant = Mutant(self._path, kind, line, last, self._statement, start, end, text)
            self.made.append(mutant)

    def _replace(self, kind: str, node: ast.expr | ast.stmt, text: str) -> None:
        self._make(kind, self._start(node), self._end(node), text)

    def _between(self, left: ast.expr, right: ast.expr, pattern: str, texts: Iterable[str]) -> None:
        """
        Replace the operator between two operands.
        """
        start = self._end(left)
        gap = self.source[start : self._start(right)].decode()
        found = re.search(pattern, gap)
        if found is not None and "#" not in gap:
            for text in texts:
                kind = f"{found[0]} becomes {text}"
                self._make(kind, start + found.start(), start + found.end(), text)

    def visit(self, node: ast.AST) -> None:
        before = self._statement, self._function
        if isinstance(node, ast.stmt):
            self._statement = node.lineno
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self._function = node.name
        super().visit(node)
        self._statement, self._function = before

    def _visitAll(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    # Annotations, declarations and assertions stay

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._visitAll([*node.decorator_list, node.args, *node.body])

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_arguments(self, node: ast.arguments) -> None:
        self._visitAll([*node.defaults, *node.kw_defaults])

    def visit_Assert(self, node: ast.Assert) -> None:
        pass

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None and not _isDeclaration(node.target):
            self._dropAssignment(node, node.target)
            self.visit(node.value)

    def _dropAssignment(self, node: ast.stmt, *targets: ast.expr) -> None:
        """
        Drop an assignment that is visible outside of the function. Without one in C{__init__},
        nearly every test fails.
        """
        isSeen = any(isinstance(target, (ast.Attribute, ast.Subscript)) for target in targets)
        if isSeen and self._function != "__init__":
            self._replace("assignment dropped", node, "pass")

    # Statements

    def visit_Assign(self, node: ast.Assign) -> None:
        if not any(_isDeclaration(target) for target in node.targets):
            self._dropAssignment(node, *node.targets)
            self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        operator, other = _ARITHMETIC.get(type(node.op), ("@", "*"))
        self._between(node.target, node.value, re.escape(operator) + "=", [other + "="])
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        # Docstrings and "..." stay.
        if not isinstance(node.value, ast.Constant):
            self._replace("call dropped", node, "pass")
            self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is None:
            self._replace("return dropped", node, "pass")
        elif not (isinstance(node.value, ast.Constant) and not node.value.value):
            self._replace("returns None", node.value, "None")
        if node.value is not None and not _isNone(node.value):
            self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        self._replace("raise dropped", node, "pass")
        self._visitAll([node.exc])

    def visit_Delete(self, node: ast.Delete) -> None:
        self._replace("del dropped", node, "pass")
        self.generic_visit(node)

    def visit_Break(self, node: ast.Break) -> None:
        self._replace("break becomes continue", node, "continue")

    def visit_Continue(self, node: ast.Continue) -> None:
        self._replace("continue becomes break", node, "break")

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.type is not None:
            self._narrow(node.type)
        self._visitAll(node.body)

    def _narrow(self, node: ast.expr) -> None:
        if isinstance(node, ast.Tuple) and len(node.elts) > 1:
            for element in node.elts:
                others = [ast.unparse(other) for other in node.elts if other is not element]
                kind = f"{ast.unparse(element)} not caught"
                self._replace(kind, node, f"({', '.join(others)},)")
        else:
            self._replace(f"{ast.unparse(node)} not caught", node, "()")

    # Conditions

    def _force(self, test: ast.expr, *values: bool) -> None:
        for value in values:
            self._replace(f"condition is {value}", test, str(value))

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test).endswith("TYPE_CHECKING"):
            self._visitAll(node.orelse)
        else:
            self._force(node.test, True, False)
            self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._force(node.test, True, False)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        # A loop that never ends is detected by every test, slowly.
        self._force(node.test, False)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self._force(test, True, False)
        self.generic_visit(node)

    # Expressions

    def visit_Compare(self, node: ast.Compare) -> None:
        for (left, right), operator in zip(
            pairwise([node.left, *node.comparators]), node.ops, strict=True
        ):
            text, others = _COMPARISONS[type(operator)]
            self._between(left, right, text, others)
        self._visitAll(x for x in [node.left, *node.comparators] if not _isNone(x))

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        text, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in pairwise(node.values):
            self._between(left, right, text, [other])
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if not (_isText(node.left) or _isText(node.right)):
            operator, other = _ARITHMETIC.get(type(node.op), ("@", "*"))
            self._between(node.left, node.right, re.escape(operator), [other])
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        start = self._start(node)
        found = re.match(rb"not\b\s*|[-~]", self.source[start : self._end(node)])
        if found is not None:
            kind = f"{found[0].decode().strip()} removed"
            self._make(kind, start, start + found.end(), "")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        # The formats of log events are kept, and so is what is only for type checkers.
        name = ast.unparse(node.func)
        last = name.rpartition(".")[2]
        if last in _TYPES:
            return
        values: list[ast.expr | ast.keyword] = [*node.args, *node.keywords]
        if last == "cast" and values:
            self._visitAll(node.args[1:])
            return
        if last == "suppress":
            for value in node.args:
                self._narrow(value)
        if last in _LOGGING and "log" in name.lower():
            values = [value for value in values if not _isText(value)]
        elif len(values) > 1:
            self._dropArguments(node)
        self._visitAll([node.func, *(value for value in values if not _isSlots(value))])

    def _dropArguments(self, node: ast.Call) -> None:
        values: list[ast.expr | ast.keyword] = [*node.args, *node.keywords]
        values.sort(key=self._start)
        for position, value in enumerate(values):
            if _isSlots(value):
                continue
            if position + 1 < len(values):
                start, end = self._start(value), self._start(values[position + 1])
            else:
                start, end = self._end(values[position - 1]), self._end(value)
            self._make("argument dropped", start, end, "")

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self._replace(f"{value} becomes {not value}", node, str(not value))
        elif value is None:
            self._replace("None becomes 1", node, "1")
        elif isinstance(value, (int, float)):
            for other in (value + 1, value - 1):
                self._replace(f"{value} becomes {other}", node, repr(other))
        elif isinstance(value, (str, bytes)):
            kind = "string emptied" if value else "string filled"
            self._replace(kind, node, ("b" if isinstance(value, bytes) else "") + _string(value))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        # Older Pythons do not know the positions of the parts of an f-string.
        self._replace("string emptied", node, '""')


def _string(value: str | bytes) -> str:
    return '""' if value else '"x"'


def _isNone(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _isText(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))
    )


def _isDeclaration(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in _DECLARATIONS


def _isSlots(node: ast.AST) -> bool:
    return isinstance(node, ast.keyword) and node.arg == "slots"
