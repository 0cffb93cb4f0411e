"""
Mutants are as intended, and the command finds out what happens to them.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent, indent

import pytest

from tests.mutation.__main__ import sources
from tests.mutation.mutants import Mutant, mutantsOf, pick
from tests.mutation.running import KILLED, SURVIVED, TIMED_OUT, UNCOVERED, judge
from tests.mutation.suite import PACKAGE, PROJECT, Suite


def changed(path: Path, source: str) -> set[str]:
    """
    @return: every valid mutant of a module, as the lines that it changes.
    """
    path.write_text(source, encoding="utf-8")
    before = source.splitlines()
    found = set()
    for mutant in filter(Mutant.isValid, mutantsOf(path)):
        after = mutant.source().decode().splitlines()
        lines = [line for line in after if line not in before]
        found.add(" ".join(line.strip() for line in lines))
    return found


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """
    A file for a module.
    """
    return tmp_path / "module.py"


# The expression, and some of its mutants.
EXPRESSIONS = [
    ("a < b", {"a <= b", "a >= b"}),
    ("a is not b", {"a is b"}),
    ("(a) not  in (b)", {"(a) in (b)"}),
    ("a and b and c", {"a or b and c", "a and b or c"}),
    ("not (a or b)", {"(a or b)", "not (a and b)"}),
    ("a + b * c", {"a - b * c", "a + b / c"}),
    ("a + 'x'", {'a + ""'}),
    ("-a", {"a"}),
    ("a[7]", {"a[8]", "a[6]"}),
    ("a is None", {"a is not None"}),
    ("[True]", {"[False]"}),
    ("[None]", {"[1]"}),
    ("[b'x', '']", {"[b\"\", '']", "[b'x', \"x\"]"}),
    ("f'{a + b}x'", {'""'}),
    ("a if b else c", {"a if True else c", "a if False else c"}),
    ("[x for x in a if x]", {"[x for x in a if True]", "[x for x in a if False]"}),
    ("f(a, *b, c=d)", {"f(*b, c=d)", "f(a, c=d)", "f(a, *b)"}),
    ("f(a)", set()),
    ("log.info('{a} of {b}', a=a, b=b)", set()),
    ("cast('Some', a)", set()),
    ("TypeVar('T', bound='Some')", set()),
]


@pytest.mark.parametrize(("expression", "expected"), EXPRESSIONS)
def test_expressions(module: Path, expression: str, expected: set[str]) -> None:
    """
    Each operator, constant, condition and argument is changed, and nothing else is.
    """
    assert {f"x = {text}" for text in expected} == changed(module, f"x = {expression}\n")


# The body of a function, and all of its mutants.
STATEMENTS = [
    ("f()", {"pass"}),
    ("await f()", {"pass"}),
    ("a.b = c", {"pass"}),
    ("a = c", set()),
    ("a: int = c", set()),
    ("a += b", {"a -= b"}),
    ("del a", {"pass"}),
    ("raise a", {"pass"}),
    ("return", {"pass"}),
    ("return a", {"return None"}),
    ("return False", {"return True"}),
    ("assert a == 1", set()),
    ("'''Some docstring.'''", set()),
    ("for a in b: break", {"for a in b: continue"}),
    ("for a in b: continue", {"for a in b: break"}),
    ("while a: b = c", {"while False: b = c"}),
    ("if a: b = c", {"if True: b = c", "if False: b = c"}),
    ("try: a = b\nexcept C: a = c", {"except (): a = c"}),
    ("try: a = b\nexcept (C, D): a = c", {"except (D,): a = c", "except (C,): a = c"}),
    ("with suppress(C): a = b", {"with suppress(()): a = b"}),
    ("if TYPE_CHECKING: f(1)", set()),
]


@pytest.mark.parametrize(("body", "expected"), STATEMENTS)
def test_statements(module: Path, body: str, expected: set[str]) -> None:
    """
    Each statement that does something is dropped or changed.
    """
    source = "async def outer():\n" + indent(body, "    ") + "\n"
    assert expected == changed(module, source)


DECLARATIONS = [
    "class A:\n    __slots__ = ('a', 'b')\n",
    "class A:\n    '''Some docstring.'''\n    a: Literal['x']\n",
    "__all__ = ['a']\n",
    "def f(a: 'A', *b: Literal[1]) -> 'C | None': ...\n",
    "@dataclass(slots=True)\nclass A: ...\n",
]


@pytest.mark.parametrize("source", DECLARATIONS)
def test_declarations(module: Path, source: str) -> None:
    """
    Code that is only for type checkers and readers is unchanged.
    """
    assert changed(module, source) == set()


def test_initialization(module: Path) -> None:
    """
    An attribute's first value is changed, and the attribute stays.
    """
    source = "class A:\n    def __init__(self):\n        self.a = 5\n"
    assert changed(module, source) == {"self.a = 6", "self.a = 4"}


MARKED = [
    "a = 1  # mutation: equivalent, because nobody looks\n",
    "# mutation: equivalent, because nobody looks,\n# ever\na = 1\n",
    "a = f(\n    1,  # mutation: equivalent, because nobody looks\n)\n",
]


@pytest.mark.parametrize("source", MARKED)
def test_marked(module: Path, source: str) -> None:
    """
    A line that is marked has no mutants, with the mark on it or above it.
    """
    assert changed(module, source) == set()


@pytest.mark.parametrize("mark", ["mutation: equivalent", "mutation: equivalent, because"])
def test_markWithoutReason(module: Path, mark: str) -> None:
    """
    A mark without a reason does not count, and one line's mark leaves the next alone.
    """
    reason = "# mutation: equivalent, because nobody looks"
    source = f"a = 1  # {mark}\nb = 1  {reason}\nc = 1\n"
    names = {text.partition(" ")[0] for text in changed(module, source)}
    assert names == {"a", "c"}


def test_textKept(module: Path) -> None:
    """
    A mutant has the text of its module, also with characters of several bytes before the change.
    """
    module.write_text("a = 'ä'; b = (1 +  # ü\n     2)\n", encoding="utf-8")
    mutant = next(m for m in mutantsOf(module) if m.text == "3")
    assert mutant.source().decode() == "a = 'ä'; b = (1 +  # ü\n     3)\n"
    assert (mutant.line, mutant.statement) == (2, 1)
    assert "-     2)\n+     3)" in mutant.diff("module.py")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """
    A file with 10 lines, one with 30, and one with 10 that has a single mutant.
    """
    texts = {"small": "a = 1\n" * 9, "large": "a = 1\n" * 29, "poor": "a = True\n" + "\n" * 8}
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return [tmp_path / name for name in texts]


def test_share(tmp_path: Path, files: list[Path]) -> None:
    """
    Each file has mutants in proportion to its lines, as long as it has any.
    """
    picked = [mutant.path.name for mutant in pick(files, tmp_path, 21, 1)]
    assert [picked.count(path.name) for path in files] == [5, 15, 1]


def test_seed(tmp_path: Path, files: list[Path]) -> None:
    """
    The same seed picks the same mutants, another one picks others.
    """
    assert pick(files, tmp_path, 9, 1) == pick(files, tmp_path, 9, 1) != pick(files, tmp_path, 9, 2)


def test_all(tmp_path: Path, files: list[Path]) -> None:
    """
    At most all mutants are picked, each of them once.
    """
    picked = pick(files, tmp_path, 1000, 1)
    assert len(picked) == len(set(picked)) == 2 * 9 + 2 * 29 + 1


def test_defaultSources() -> None:
    """
    Everything is mutated except for the command line and the console, which may be named.
    """
    left = set(PACKAGE.rglob("*.py")) - set(sources([]))
    named = sources([PACKAGE / "console", PACKAGE / "twistd"])
    assert left == {*named, PACKAGE / "tap.py", PACKAGE / "__main__.py"}


@pytest.mark.parametrize("path", [PACKAGE / "none.py", PROJECT / "tests" / "conftest.py"])
def test_otherSources(path: Path) -> None:
    """
    Files outside of the package are refused.
    """
    with pytest.raises(ValueError, match="no file or folder of txhixie"):
        sources([path])


SUITE = Suite(
    seconds={"slow": 2.0, "fast": 1.0, "near": 3.0, "far": 0.5},
    lines={"/m.py": {1: ["slow", "fast"], 2: [""], 3: ["", "slow"], 4: ["near"]}},
)


@pytest.mark.parametrize(
    ("line", "isThorough", "expected"),
    [
        (1, False, ["fast", "slow"]),
        (1, True, ["fast", "slow", "far", "near"]),
        (2, False, ["fast", "slow", "near", "far"]),
        (3, False, ["slow", "fast", "near", "far"]),
        (5, False, ["near"]),
        (9, True, []),
    ],
)
def test_covering(line: int, isThorough: bool, expected: list[str]) -> None:
    """
    A mutant meets the tests that execute its line or statement, the fastest first; and all others
    after them, if it is executed between tests, or on request.
    """
    statement = 4 if line == 5 else line
    mutant = Mutant(Path("/m.py"), "", line, line, statement, 0, 0, "")
    assert SUITE.covering(mutant, isThorough) == expected


@pytest.mark.parametrize(
    ("result", "number", "verdict"),
    [
        ({"status": 0, "failed": []}, 0, SURVIVED),
        ({"status": 1, "failed": ["test_it"]}, 0, KILLED),
        ({"status": 5, "failed": []}, 0, KILLED),
        (None, 0, KILLED),
        (None, signal.SIGSEGV, KILLED),
        (None, signal.SIGALRM, TIMED_OUT),
    ],
)
def test_verdict(result: object, number: int, verdict: str) -> None:
    """
    A mutant survives only if all tests pass; a hang has a separate verdict.
    """
    assert judge(result, number)[0] == verdict


# The whole command, in a small project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """
    A project whose package has a mutant of every kind.
    """
    own = ["__init__.py", "__main__.py", "mutants.py", "report.py", "running.py", "suite.py"]
    (tmp_path / "tests" / "mutation").mkdir(parents=True)
    for name in own:
        shutil.copy(Path(__file__).parent / name, tmp_path / "tests" / "mutation")
    source = """
    LIMIT = 3

    def double(number):
        return number * 2

    def atMost(number):
        if number < LIMIT:
            return number
        return LIMIT

    def unused():
        return LIMIT
    """
    test = """
    from txhixie.small import atMost, double

    def test_double():
        assert double(3) == 6

    def test_atMost():
        assert [atMost(2), atMost(3), atMost(4)] == [2, 3, 3]
    """
    (tmp_path / "txhixie").mkdir()
    (tmp_path / "tests" / "__init__.py").touch()
    (tmp_path / "txhixie" / "__init__.py").touch()
    (tmp_path / "txhixie" / "small.py").write_text(dedent(source), encoding="utf-8")
    (tmp_path / "tests" / "test_small.py").write_text(dedent(test), encoding="utf-8")
    return tmp_path


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """
    @return: the command, after it ended.
    """
    command = [sys.executable, "-m", "tests.mutation", *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=120)


def test_command(project: Path) -> None:
    """
    Mutants that tests detect are killed, an equivalent one survives, and one that no test executes
    is not covered.
    """
    result = run(project, "--write", "found.json")
    assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads((project / "found.json").read_text(encoding="utf-8"))
    verdicts = {(row["line"], row["kind"]): row["verdict"] for row in found}
    assert verdicts == {
        (2, "3 becomes 4"): KILLED,
        (2, "3 becomes 2"): KILLED,
        (5, "* becomes /"): KILLED,
        (5, "2 becomes 3"): KILLED,
        (5, "2 becomes 1"): KILLED,
        (5, "returns None"): KILLED,
        (8, "< becomes <="): SURVIVED,
        (8, "< becomes >="): KILLED,
        (8, "condition is True"): KILLED,
        (8, "condition is False"): KILLED,
        (9, "returns None"): KILLED,
        (10, "returns None"): KILLED,
        (13, "returns None"): UNCOVERED,
    }
    assert "| all | 11 | 1 | 1 | 0 |" in result.stdout
    assert "-    if number < LIMIT:\n+    if number <= LIMIT:" in result.stdout


def test_only(project: Path) -> None:
    """
    All mutants of a single line are tried again, and reported as Markdown.
    """
    result = run(project, "--only", "txhixie/small.py:13", "--write", "found.md")
    assert result.returncode == 0, result.stdout + result.stderr
    found = (project / "found.md").read_text(encoding="utf-8")
    assert "| all | 0 | 0 | 1 | 0 |" in found
    assert "## Not covered\n\ntxhixie/small.py:13: returns None\n\n```diff\n" in found


def test_failing(project: Path) -> None:
    """
    Nothing is tried if a test fails without a mutation.
    """
    with (project / "tests" / "test_small.py").open("a") as file:
        file.write("\ndef test_wrong():\n    assert double(1) == 1\n")
    result = run(project)
    assert result.returncode == 1
    assert "The tests fail without a mutation." in result.stderr
    assert "test_wrong" in result.stderr
