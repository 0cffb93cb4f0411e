"""
Docs, docstrings, comments and messages are in plain modern English: some phrases may not come back.

C{python -m tests.test_prose} lists where they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("benchmarks", "docs", "examples", "tests", "twisted", "txhixie")

_BE = r"\b(?:is|are|was|were|be|been|being|isn't|aren't) "
_DO = r"(?:is|are|was|were|does|do|did|has|have|had|can|may|will)\b"
_FIRST = r"(?:^ *|[.;:] |\"\"\"|# )"
_PARTS = r"byte|end|first|frame|head|last|length|message|newest|nonce|request|text"
_VERBS = r"be|come|do|end|go|have|keep|read|say|send|stay|stop|tell|wait"

# By phrase: what finds it, and what to write instead. A space in a pattern also stands for the end
# of a line, and ^ for the beginning of one.
PHRASES = {
    "told": (
        _BE + r"(?:also |first |never |not |only |then )?told\b",
        "gets, is notified, reported",
    ),
    "told of": (r"\btold of\b", "reported"),
    "Who tells": (_FIRST + r"Who (?!are |is |may |speaks )\w+ ", "a client that tells"),
    "whoever": (r"\b[Ww]ho(?:m|so)?ever\b", "anyone who; whichever side"),
    "no more": (_BE + r"(?:\w+ )?no more\b(?! \w+ than| than)", "no longer"),
    "reads no more": (r"\b(?:call|produce|read|say|send|tell|write)s? no more\b", "stops reading"),
    "so many": (r"\bso many\b", "this many, a number of"),
    "behind it": (rf"\bbehind (?:it|that|them|the (?:{_PARTS}))\b", "after it"),
    "comes behind": (r"\b(?:come|go)(?:es|s)? (?:out )?behind\b", "comes after"),
    "as far as": (r"\bas far as\b", "if, where, the part that"),
    ", for it is": (rf"[,;] for (?:a |the )?\w+ {_DO}", "because it is"),
    "but for": (r"\bbut for\b", "except for"),
    "of one's own": (r"\bof one's own\b", "your own, custom"),
    "nothing of": (r"\bnothing of\b", "none of, nothing about"),
    "in place of": (r"\bin place of\b", "instead of"),
    "is to": (rf"\b(?:is|are|was|were) (?:all |not )?to (?:{_VERBS})\b", "must, should, will"),
    "let in": (r"\b[Ll]ets? in\b", "admit"),
    "let these": (r"\b[Ll]et (?:these|those)\b", "allow these"),
    "turned away": (r"\bturn(?:s|ed)? away\b", "refuse"),
    "Have it logged": (
        r"\b[Hh]ave (?:all|everything|it|one|them|(?:a|the) \w+) (?:not )?\w+ed\b",
        "log it",
    ),
    "have it that": (r"\bhave it that\b", "say that"),
    "those too many": (r"\bthose too many\b", "those over the limit"),
    "from which on": (r"\bfrom wh(?:ere|ich) on\b", "above which, after which"),
    "So is": (_FIRST + rf"(?:Nor|So) (?:it |they )?{_DO}", "the subject first"),
    "nor may": (rf"\bnor {_DO}", "and may not"),
    "thereby": (
        r"\b(?:[Hh]ence|[Tt]hus|[Uu]pon|[Ww]hence|(?:here|there|where)(?:after|by|in|of|upon|with))\b",
        "therefore, so, on, with that",
    ),
    "albeit": (r"\b(?:albeit|amongst|hitherto|lest|whilst)\b", "although, among, until now, while"),
}


def pattern(text: str) -> re.Pattern[str]:
    """
    @return: a pattern whose spaces also stand for the end of a line, and the start of a comment.
    """
    return re.compile(re.sub(r"(?<!\^) (?!\*)", r"(?: |\\s*\\n\\s*(?:# )?)", text), re.MULTILINE)


def files() -> Iterator[Path]:
    """
    @return: what is searched, except for this list of phrases.
    """
    yield from ROOT.glob("*.md")
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".md", ".py"} and path != Path(__file__) and not isBuilt(path):
                yield path


def isBuilt(path: Path) -> bool:
    """
    @return: whether a file belongs to the built documentation.
    """
    return path.is_relative_to(ROOT / "docs" / "_build")


def found(text: str) -> Iterator[str]:
    """
    @return: the number and beginning of each line with a phrase, and what to write instead.
    """
    lines = text.split("\n")
    for phrase, (finds, instead) in PHRASES.items():
        for match in pattern(finds).finditer(text):
            number = text.count("\n", 0, match.start())
            yield f"{number + 1}: {lines[number].strip()[:100]!r}: {phrase}: write: {instead}"


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_plain(path: Path) -> None:
    """
    No file has one of the phrases.
    """
    assert not [*found(path.read_text("utf-8"))]


@pytest.mark.parametrize(
    "text",
    [
        "The application is told the end.",
        "Who asks learns it.",
        "    # It is read\n    # no more.",
        "A message behind the\n    head.",
        "This is late, for it is\nlong.",
        "Nor does it end.",
        "It holds as\n    far as it goes.",
        "Have a request logged.",
    ],
)
def test_found(text: str) -> None:
    """
    Phrases are found, also where a line ends within one.
    """
    assert [*found(text)]


@pytest.mark.parametrize(
    "text",
    [
        "What it told the server.",
        "The reader behind a proxy.",
        "Who is connected.",
        "There are no more messages than before.",
        "It waits for a client.",
        "Let the application end.",
    ],
)
def test_allowed(text: str) -> None:
    """
    Plain sentences with the same words are allowed.
    """
    assert not [*found(text)]


if __name__ == "__main__":
    for path in files():
        for line in found(path.read_text("utf-8")):
            print(f"{path.relative_to(ROOT)}:{line}")
