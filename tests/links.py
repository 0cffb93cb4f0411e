"""
Checks the links of the documentation: C{python -m tests.links docs/_build/html}. It reads files
only, so links to other sites are not followed.
"""

from __future__ import annotations

import re
import sys
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

PROJECT = Path(__file__).resolve().parents[1]
README = PROJECT / "README.md"
# Where the documentation is published.
SITE = "https://txhixie.readthedocs.io/"
LATEST = f"{SITE}en/latest/"


class Page(HTMLParser):
    """
    A page of the site.

    @ivar links: what it refers to.
    @ivar anchors: where links can lead in it.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value)
            # "use" takes its picture from the page, "object" has a diagram.
            elif name in ("href", "src") or (tag, name) == ("object", "data"):
                self.links.add(value)


class Site:
    """
    A built site.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    @cached_property
    def pages(self) -> dict[Path, Page]:
        """All pages, by their files."""
        files = sorted(self.folder.rglob("*.html"))
        return {file: Page(file.read_text(encoding="utf-8")) for file in files}

    def fault(self, link: str, page: Path) -> str | None:
        """
        @param page: where the link is.
        @return: what is wrong with a link; C{None} if nothing is, or if it leads to another site.
        """
        if link.startswith(LATEST):
            page, link = self.folder / "index.html", link.removeprefix(LATEST) or "index.html"
        elif link.startswith(SITE):
            return None if link == SITE else f"not below {LATEST}"
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            return None
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        if target.is_dir():
            target /= "index.html"
        if not target.is_file():
            return "there is no such file"
        fragment = unquote(urldefrag(link).fragment)
        if fragment and target in self.pages and fragment not in self.pages[target].anchors:
            return "there is no such anchor"
        return None

    def faults(self) -> list[str]:
        """@return: a line for each link of the site that is broken."""
        return [
            f"{file.relative_to(self.folder)}: {link}: {fault}"
            for file, page in self.pages.items()
            for link in sorted(page.links)
            if (fault := self.fault(link, file)) is not None
        ]


def readmeLinks(text: str) -> list[str]:
    """@return: what the README links to, its code aside."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\(([^)\s]+)\)|<(https?://[^>]+)>", text)
    return [inline or bare for inline, bare in links]


def readmeFaults(text: str, site: Site) -> list[str]:
    """
    @return: a line for each link that is broken, or that works on GitHub but not on PyPI.
    """
    found = []
    for link in readmeLinks(text):
        if not urlsplit(link).scheme:
            found.append(f"README.md: {link}: relative, so it is broken on PyPI")
        elif fault := site.fault(link, site.folder / "index.html"):
            found.append(f"README.md: {link}: {fault}")
    return found


if __name__ == "__main__":
    built = Site(Path(sys.argv[1]))
    broken = built.faults() + readmeFaults(README.read_text(encoding="utf-8"), built)
    count = sum(len(page.links) for page in built.pages.values())
    print(*broken, sep="\n", end="\n" if broken else "")
    print(f"{count} links on {len(built.pages)} pages, {len(broken)} broken")
    sys.exit(1 if broken or not count else 0)
