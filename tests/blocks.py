"""The code blocks of the documentation."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field

from tests.interop.server import PROJECT

PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]
_FENCE = re.compile(r"^(```+)(\S*).*\n((?:.*\n)*?)\1$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """
    A code block.

    @ivar page: the name of its page, relative to the project, such as C{docs/howto.md}.
    @ivar line: the number of its first line.
    @ivar language: what the page says that it is; empty if nothing.
    """

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """
    @param languages: those that are wanted; all of them if there is none.
    @return: the blocks of all pages, without Sphinx's directives.
    """
    found = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        page = str(path.relative_to(PROJECT))
        for match in _FENCE.finditer(text):
            if match[2].startswith("{") or (languages and match[2] not in languages):
                continue
            line = text.count("\n", 0, match.start()) + 2
            found.append(Block(page, line, match[2], match[3]))
    return found


@dataclass(frozen=True)
class Command:
    """
    A command of a shell block.

    @ivar text: as it is written.
    @ivar where: the first block that has it.
    @ivar words: the command and its arguments, without redirections.
    @ivar variables: the environment variables that are set for it.
    """

    text: str
    where: str
    words: list[str] = field(compare=False)
    variables: dict[str, str] = field(compare=False)

    def __str__(self) -> str:
        return self.text

    @property
    def program(self) -> str:
        """The name of the program, without its folder."""
        return self.words[0].rpartition("/")[2]


def _parsed(text: str, where: str) -> Command:
    words = shlex.split(text, comments=True)
    words = [word for word in words if not re.match(r"\d?[<>]", word)]
    count = next(i for i, word in enumerate(words) if not re.match(r"\w+=", word))
    variables = dict(word.split("=", 1) for word in words[:count])
    return Command(text, where, words[count:], variables)


def commands() -> list[Command]:
    """
    @return: the commands of all shell blocks, each once. Those that C{&&} joins are separate.
    """
    found: dict[str, Command] = {}
    for block in blocks("sh", "bash", "console"):
        for line in block.text.replace("\\\n", " ").splitlines():
            for part in line.partition("  #")[0].split(" && "):
                text = " ".join(part.split())
                if text and not text.startswith("#"):
                    found.setdefault(text, _parsed(text, str(block)))
    return list(found.values())
