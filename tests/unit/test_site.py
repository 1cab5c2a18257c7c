"""The documents as a site: all has its place in the nav, links have a form, pictures are those of the source."""

import importlib.util
import re
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from tests import terminals

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
OTHERS = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")]
OTHERS += [*sorted((ROOT / "deploy").rglob("*.md")), ROOT / "examples" / "README.md"]

HOSTS = {
    "127.0.0.1", "docs.nats.io", "github.com", "grpc.io", "keepachangelog.com", "rfc.zeromq.org", "semver.org",
    "www.rabbitmq.com",
}  # fmt: skip
"""Whom the documents link to: of a new one somebody has looked whether it is right."""


def config():
    return yaml.safe_load((ROOT / "mkdocs.yml").read_text())


def in_nav(entries):
    for entry in entries:
        if isinstance(entry, str):
            yield entry
        else:
            for value in entry.values():
                yield from in_nav(value) if isinstance(value, list) else [value]


def test_every_page_has_one_place_in_the_nav():
    listed = list(in_nav(config()["nav"]))
    assert len(listed) == len(set(listed))
    pages = {str(page.relative_to(DOCS)) for page in PAGES if page.parent.name != "decisions"}
    assert pages <= set(listed)


def test_the_site_loads_nothing_from_elsewhere():
    told = config()
    assert told["theme"]["font"] is False
    assert all((DOCS / each).is_file() for each in [*told["extra"]["polyfills"], *told["extra_css"]])
    drawn = [each.read_text() for each in (*DOCS.rglob("*.svg"), *DOCS.glob("*.css"))]
    assert not any(re.search(r"url\(['\"]?\w|@import", text) for text in drawn)


def test_links_to_elsewhere_have_a_form():
    pages = [page.read_text() for page in OTHERS + PAGES]
    for link in re.findall(r"\]\((\w+:[^)]*)\)|<(https?:[^>]*)>", "\n".join(pages)):
        parts = urlsplit("".join(link))
        assert parts.scheme in ("https", "http")
        assert parts.hostname in HOSTS
        assert parts.scheme == "https" or parts.hostname == "127.0.0.1", f"{parts.geturl()} is not encrypted"
        assert " " not in parts.geturl()


def test_sections_of_the_readme_that_the_first_page_shows_are_there():
    shown = re.findall(r"<!-- README: (.+) -->", (DOCS / "index.md").read_text())
    assert len(shown) == 2
    readme = (ROOT / "README.md").read_text()
    assert all(f"\n## {title}\n" in readme for title in shown)


def test_pictures_of_terminals_are_what_the_source_draws():
    for name, text in terminals.pictures().items():
        assert (terminals.IMAGES / name).read_text() == text, f"{name}: run make docs-tables"


def test_diagrams_are_what_their_script_draws():
    spec = importlib.util.spec_from_file_location("diagrams", DOCS / "diagrams.py")
    assert spec is not None
    assert spec.loader is not None
    diagrams = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(diagrams)
    for name, text in diagrams.pictures().items():
        assert (DOCS / "concepts" / name).read_text() == text, f"{name}: run make docs-tables"
