"""The links of the README lead to pages of the documentation, and the link checker finds faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.links import LATEST, README, SITE, Site, readmeFaults, readmeLinks

DOCS = README.parent / "docs"


def test_readme() -> None:
    """Every link is absolute, as PyPI needs it, and those to the documentation lead to a page."""
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 120
    links = readmeLinks(text)
    assert [link for link in links if not link.startswith("http")] == []
    pages = {link.removeprefix(LATEST).partition("#")[0] for link in links if SITE in link}
    assert len(pages) > 5
    sources = {f"{path.stem}.html" for path in DOCS.glob("*.md")} | {""}
    assert pages <= sources


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site whose only page is C{index.html}."""
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "index.html").write_text('<a name="old">')
    (tmp_path / "picture.svg").write_text("<svg/>")
    return Site(tmp_path)


@pytest.mark.parametrize(
    ("html", "fault"),
    [
        ('<a href="gone.html">', "gone.html: there is no such file"),
        ('<img src="gone.svg">', "gone.svg: there is no such file"),
        ('<object data="gone.svg">', "gone.svg: there is no such file"),
        ('<script src="gone.js?v=1">', "gone.js?v=1: there is no such file"),
        ('<a href="#here"><p id="there">', "#here: there is no such anchor"),
        ('<a href="api/#new">', "api/#new: there is no such anchor"),
        (f'<a href="{LATEST}gone.html">', f"{LATEST}gone.html: there is no such file"),
        (f'<a href="{SITE}gone.html">', f"{SITE}gone.html: not below {LATEST}"),
    ],
)
def test_broken(site: Site, html: str, fault: str) -> None:
    """A link that leads nowhere is found."""
    (site.folder / "index.html").write_text(html)
    assert site.faults() == [f"index.html: {fault}"]


@pytest.mark.parametrize(
    "link",
    [
        *("", "#a%20b", "index.html#a%20b", "picture.svg?v=1", "api/", "api/index.html#old"),
        *("http://example.com/gone", "mailto:ann@example.com", LATEST, f"{LATEST}api/", SITE),
    ],
)
def test_good(site: Site, link: str) -> None:
    """Links that lead somewhere are not reported, and neither are links to other sites."""
    (site.folder / "index.html").write_text(f'<p id="a b"><a href="{link}">')
    assert site.faults() == []


def test_readmeFaults(site: Site) -> None:
    """Relative links of a README are found, and those to pages that do not exist."""
    (site.folder / "index.html").write_text("")
    text = f"[a](docs/a.md) [b]({LATEST}b.html) [c]({LATEST}api/#old)\n```\n[d](e)\n```\n<{SITE}>"
    assert readmeFaults(text, site) == [
        "README.md: docs/a.md: relative, so it is broken on PyPI",
        f"README.md: {LATEST}b.html: there is no such file",
    ]
