"""
The documentation says what the code does. C{python -m tests.test_docs} writes the parts of it
that are made from the code.
"""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from txhixie import Settings
from txhixie.tap import Options

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference.md"
START, END = "<!-- options -->\n", "<!-- end of options -->\n"


def optionsTable() -> str:
    """
    @return: all options of C{twistd hixie} as a Markdown table.
    """
    options = Options()
    rows: list[tuple[str, str | None]] = []
    for name, _short, default, text, *_ in options.optParameters:
        rows.append((name, f"{text} Default: {'none' if default is None else default}."))
    rows += [(str(name), text) for name, _short, text in options.optFlags]
    for name in ("auth", "help_auth", "origin", "port", "subprotocol", "trust_proxy"):
        text = " ".join((getattr(options, f"opt_{name}").__doc__ or "").split())
        rows.append((name.replace("_", "-"), re.sub(r"\[default: (.*)\]", r"Default: \1.", text)))
    lines = ["| option | meaning |", "|---|---|"]
    lines += [f"| `--{name}` | {text} |" for name, text in sorted(rows)]
    return "\n".join(lines) + "\n"


def settingsTable() -> str:
    """
    @return: all settings with their defaults as a Markdown table, told by L{Settings}'s docstring.
    """
    told = dict(re.findall(r"@ivar (\w+): (.*?)(?=@ivar|\Z)", Settings.__doc__ or "", re.DOTALL))
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for field in fields(Settings):
        text = re.sub(r"[CL]\{(.*?)\}", r"`\1`", " ".join(told[field.name].split()))
        lines.append(f"| `{field.name}` | `{field.default!r}` | {text} |")
    return "\n".join(lines) + "\n"


def madeFromCode() -> str:
    """
    @return: the part of the reference between L{START} and L{END}.
    """
    return f"{optionsTable()}\n## Settings\n\n{settingsTable()}"


def test_reference() -> None:
    """
    The reference lists every option and setting with its default.
    """
    text = REFERENCE.read_text(encoding="utf-8")
    assert text.partition(START)[2].partition(END)[0] == madeFromCode()


def test_limits() -> None:
    """
    Every setting that README's table of limits names exists.
    """
    limits = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Limits")[2]
    named = set(re.findall(r"`(\w+)`", limits.partition("## ")[0])) - {"Settings"}
    assert named <= {field.name for field in fields(Settings)}
    assert named


if __name__ == "__main__":
    text = REFERENCE.read_text(encoding="utf-8")
    before, after = text.partition(START)[0], text.partition(END)[2]
    REFERENCE.write_text(before + START + madeFromCode() + END + after, encoding="utf-8")
