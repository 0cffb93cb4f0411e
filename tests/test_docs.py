"""
The documentation matches the code. C{python -m tests.test_docs} writes the generated parts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.interop.proxies import document as proxiesDocument
from tests.test_imports import ALLOWED
from tests.test_rooms import House
from txhixie import Settings
from txhixie.settings import declarations
from txhixie.tap import Options
from txhixie.twistd.options import numberOptions
from txhixie.websocket.counters import EVENTS

DOCS = Path(__file__).parent.parent / "docs"
PACKAGE = DOCS.parent / "txhixie"

# What is limited: the setting, what it limits, what happens beyond it, and the event that counts
# it.
LIMITS: list[tuple[str, str, str, str]] = [
    ("maxConnections", "connections", "an idle one ends, or 503", "refused"),
    ("maxPerAddress", "connections of one address", "503 with `Retry-After`", "refused"),
    ("maxHandshakes", "handshakes in progress", "the oldest ends, with 408", "handshakes evicted"),
    ("acceptRate", "connections accepted per second", "the others wait", "accepting paused"),
    ("maxHead", "bytes of a request head", "431", "refused"),
    ("maxFields", "header fields of a request head", "431", "refused"),
    ("maxBody", "bytes of the body of a plain HTTP request", "413", "refused"),
    ("handshakeTimeout", "seconds for the handshake", "408, or the end", "handshakes timed out"),
    ("requestTimeout", "seconds for a request of plain HTTP", "408", "refused"),
    ("maxMessage", "bytes of a message", "1009, `FF 00`", "failed"),
    ("messageTimeout", "seconds for a message", "1008, `FF 00`", "failed"),
    ("maxFragments", "frames of a message", "1008", "failed"),
    ("sendLimit", "bytes of backlog", "`--slow-policy`", "slow closed"),
    ("memoryLimit", "bytes that all hold", "1009 or 1013, `FF 00`, 503", "memory relieved"),
    ("idleTimeout", "seconds without a message", "1001, `FF 00`", "idle closed"),
    ("pingInterval", "seconds between pings", "", ""),
    ("pingTimeout", "seconds for the answer to a ping", "the end", "pings unanswered"),
    ("closeTimeout", "seconds for the answer to a close", "the end", "closing timed out"),
    ("lingerTimeout", "seconds to read the rest after a close", "the end", "closing timed out"),
    ("lameDuck", "seconds that a stopping server goes on to accept", "the ports close", ""),
    ("drainTimeout", "seconds to stop the server", "the end", "connections cut off"),
    ("maxRooms", "rooms with clients", "503 with `Retry-After`", "refused"),
    ("history", "entries kept of a room", "the oldest is forgotten", ""),
    ("historySize", "bytes kept of all rooms", "the oldest are forgotten", ""),
    ("publishLimit", "messages that wait to be published", "their senders are paused", ""),
    ("logRate", "log events of a kind per second", "counted only", "log events suppressed"),
]


# The options that have a method: those that may be given several times.
REPEATABLE = ("backend", "origin", "port", "route", "subprotocol", "trust_proxy")


def optionsTable() -> str:
    """
    @return: all options of C{twistd hixie} as a Markdown table.
    """
    options = Options()
    rows: list[tuple[str, str | None]] = []
    for name, _short, default, text, *_ in options.optParameters:
        if "By default" not in text:
            text += f" Default: {'none' if default is None else default}."
        rows.append((name, text))
    rows += [(str(name), text) for name, _short, text in options.optFlags]
    for name in ("auth", "help_auth", *REPEATABLE, "service"):
        text = " ".join((getattr(options, f"opt_{name}").__doc__ or "").split())
        text = re.sub(r"\[default: (.*)\]", r"Default: \1.", text)
        rows.append((name.replace("_", "-"), text))
    lines = ["| option | meaning |", "|---|---|"]
    lines += [f"| `--{name}` | {text} |" for name, text in sorted(rows)]
    return "\n".join(lines) + "\n"


def settingsTable() -> str:
    """
    @return: all settings with their defaults as a Markdown table.
    """
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for name, declaration in declarations().items():
        meaning = declaration.metadata["meaning"]
        lines.append(f"| `{name}` | `{declaration.default!r}` | {meaning} |")
    return "\n".join(lines) + "\n"


def reference() -> str:
    """
    @return: all options and settings.
    """
    return f"{optionsTable()}\n## Settings\n\n{settingsTable()}"


def limitsTable() -> str:
    """
    @return: all limits with their defaults as a Markdown table.
    """
    options = {setting: name for name, setting in numberOptions().items()}
    lines = ["| what | default | option | setting | over it | counted as |", "|" + "---|" * 6]
    for setting, what, answer, event in LIMITS:
        value = getattr(Settings(), setting)
        default = "a quarter of all" if value is None else f"{value:,.10g}"
        if default == "0":
            default = "none" if setting == "lameDuck" else "no limit"
        counted = f"`{event}`" if event else ""
        lines.append(
            f"| {what} | {default} | `--{options[setting]}` | `{setting}` | {answer} | {counted} |"
        )
    return "\n".join(lines) + "\n"


def eventsTable() -> str:
    """
    @return: all events that are counted as a Markdown table.
    """
    lines = ["| event | what is counted |", "|---|---|"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in EVENTS.items()]
    return "\n".join(lines) + "\n"


# The generated parts, by the document and the marks around them.
MADE: list[tuple[str, str, Callable[[], str]]] = [
    ("reference.md", "options", reference),
    ("reliability.md", "limits", limitsTable),
    ("reliability.md", "events", eventsTable),
]


def parts(document: str, mark: str) -> tuple[str, str, str]:
    """
    @return: what a document has before, between and after the marks, which stay outside.
    """
    text = (DOCS / document).read_text(encoding="utf-8")
    start, end = f"<!-- {mark} -->\n", f"<!-- end of {mark} -->\n"
    before, _, rest = text.partition(start)
    between, _, after = rest.partition(end)
    return before + start, between, end + after


@pytest.mark.parametrize(("document", "mark", "make"), MADE)
def test_made(document: str, mark: str, make: Callable[[], str]) -> None:
    """
    The tables list everything that the code has: every option, setting, limit and counter.
    """
    assert parts(document, mark)[1] == make()


def test_limits() -> None:
    """
    All settings that limit something are among the limits, and all their events are counted.
    """
    assert {setting for setting, *_ in LIMITS} == set(numberOptions().values())
    assert {event for *_, event in LIMITS} - {""} <= set(EVENTS)


def test_readme() -> None:
    """
    Every option and setting in README's limits exists.
    """
    text = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    limits = text.partition("## Limits")[2].partition("\n## ")[0]
    names = {f"--{name}" for name in numberOptions()} | {"--slow-policy", "--help"}
    named = set(re.findall(r"`(--[\w-]+)`", limits))
    assert named
    assert named <= names


@pytest.mark.parametrize("path", sorted((DOCS / "diagrams").iterdir()), ids=lambda path: path.name)
def test_diagrams(path: Path) -> None:
    """
    Every file, folder and class that a diagram names exists, and it can be read in the dark.
    """
    diagram = ElementTree.parse(path)
    text = "\n".join(diagram.getroot().itertext())
    assert "prefers-color-scheme: dark" in text
    for name in re.findall(r"\b([a-z]+(?:/$|\.py\b))", text, re.MULTILINE):
        assert (PACKAGE / name).exists(), name
    sources = "".join(source.read_text(encoding="utf-8") for source in PACKAGE.rglob("*.py"))
    for name in re.findall(r"^((?:[A-Z][a-z]+){2,}|[a-z]+[A-Z]\w+(?=\(\)))", text, re.MULTILINE):
        assert re.search(rf"\b(class|def) {name}\b", sources), name


def test_layers() -> None:
    """
    The diagram of the layers has all parts of the package but the package itself, and so does the
    table below it.
    """
    text = "\n".join(ElementTree.parse(DOCS / "diagrams" / "layers.svg").getroot().itertext())
    drawn = set(re.findall(r"\b([a-z]+)(?:/$|\.py\b)", text, re.MULTILINE))
    page = (DOCS / "contributing.md").read_text(encoding="utf-8")
    table = "\n".join(re.findall(r"^\| `.*", page.partition("| layer |")[2], re.MULTILINE))
    described = set(re.findall(r"`([a-z]+)(?:/|\.py)`", table))
    parts = {part for part in ALLOWED if not part.startswith("__")}
    assert drawn == parts
    assert parts <= described


def test_proxies() -> None:
    """
    The page about proxies has the configurations that are tested, and what passes through them.
    C{python -m tests.interop.proxies --write docs/proxies.md} writes it.
    """
    assert (DOCS / "proxies.md").read_text(encoding="utf-8") == proxiesDocument()


def test_reconnecting() -> None:
    """
    The how-to contains the example that is tested.
    """
    text = (DOCS / "howto.md").read_text(encoding="utf-8")
    example = (DOCS.parent / "examples" / "reconnecting.py").read_text(encoding="utf-8")
    assert f"```python\n{example}```\n" in text


def test_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The example of rooms with rules is the one in the folder of examples, and does what it says.
    """
    text = (DOCS / "howto.md").read_text(encoding="utf-8").partition("## Have rooms\n")[2]
    match = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert match is not None
    code = match[1]
    assert code == (DOCS.parent / "examples" / "moderated.py").read_text(encoding="utf-8")
    assert len(code.splitlines()) < 40
    names: dict[str, Any] = {"__name__": "moderated"}
    exec(compile(code, "moderated.py", "exec"), names)
    house = House(names["rooms"])
    assert house.guest("/chat/staff").refusal == (403, b"this room is for the staff")
    ann = house.guest("/chat/staff?name=ann&format=json", "rfc6455")
    guest = house.guest("/chat")
    guest.say("damn", "/id")
    came, said = f"New Connection: {guest.id}", f"{guest.id}: d***"
    assert guest.heard() == ["Welcome to the lobby.", came, said, f"You are {guest.id}."]
    assert [each["text"] for each in ann.objects()] == ["Welcome to staff.", "ann"]


if __name__ == "__main__":
    for document, mark, make in MADE:
        before, _, after = parts(document, mark)
        (DOCS / document).write_text(before + make() + after, encoding="utf-8")
