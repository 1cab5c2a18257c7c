"""What MkDocs has to know to show what stands outside docs/, too: the root's documents, `deploy/` and `examples/`."""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_ROOT: Final = Path(__file__).parent.parent

_PAGES: Final = {
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "LICENSE": "LICENSE.md",
    "SECURITY.md": "reporting.md",
} | {
    f"{folder}/README.md": f"{folder}/index.md"
    for folder in ("deploy", "deploy/kubernetes", "deploy/logs", "deploy/systemd", "examples")
}
"""The documents outside docs/, and where they are on the site."""

_SHOWN: Final = ("deploy/", "examples/")
"""Where the files are that documents may link to, to be read or downloaded."""

_DECISIONS: Final = "decisions/"
"""What stands in the nav for all decisions."""

_PART: Final = re.compile(r"<!-- README: (.+) -->")
"""What stands where a section of the README is to be shown."""

_LINK: Final = re.compile(r"\]\(([^)#:]+)(#[^)]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the decisions in the nav, where it names their folder."""
    listed = ["decisions/index.md", *(f"{_DECISIONS}{each.name}" for each in _decisions())]
    for section in config.nav or []:
        section.update({title: listed for title, pages in section.items() if pages == _DECISIONS})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents that are not in docs/, the files that they link to, and a page that lists the decisions."""
    linked = set()
    for source in ["README.md", *_PAGES, *(f"docs/{each.src_uri}" for each in files.documentation_pages())]:
        text = (_ROOT / source).read_text(encoding="utf-8")
        linked |= {each for each in _targets(text, source) if each.startswith(_SHOWN) and (_ROOT / each).is_file()}
        if source in _PAGES:
            page = _PAGES[source]
            content = f"# Licence\n\n```text\n{text}```\n" if source == "LICENSE" else _moved(text, source, page)
            files.append(File.generated(config, page, content=content))
    for target in sorted(linked - _PAGES.keys()):
        files.append(File.generated(config, target, content=(_ROOT / target).read_bytes()))
    rows = [f"- [{_title(each)}]({each.name})" for each in _decisions()]
    files.append(File.generated(config, "decisions/index.md", content="# Decisions\n\n" + "\n".join(rows) + "\n"))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links out of docs/ lead to where the site has what they mean, and show the sections of the README."""
    if page.file.generated_by:
        return markdown
    moved = _moved(markdown, f"docs/{page.file.src_uri}", page.file.src_uri)
    return _PART.sub(lambda part: _moved(_section(part[1]), "README.md", page.file.src_uri), moved)


def _section(title: str) -> str:
    """Return a section of the README with its heading.

    Raises:
        ValueError: the README has none of that title.
    """
    for section in re.split(r"^(?=## )", (_ROOT / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE):
        if section.startswith(f"## {title}\n"):
            return section
    raise ValueError(f"README.md has no section {title!r}")


def _targets(text: str, source: str) -> Iterator[str]:
    """Yield what a document links to, as paths of the repository."""
    return (posixpath.normpath(posixpath.join(posixpath.dirname(source), link[1])) for link in _LINK.finditer(text))


def _moved(text: str, source: str, page: str) -> str:
    """Return a document with its links as they are from its place on the site."""
    places = (_place(target) for target in _targets(text, source))
    folder = posixpath.dirname(page)
    return _LINK.sub(lambda link: f"]({posixpath.relpath(next(places), folder or '.')}{link[2] or ''})", text)


def _place(target: str) -> str:
    """Return where on the site a path of the repository is."""
    if target == "README.md":
        return "index.md"
    for known in (target, f"{target}/README.md"):
        if known in _PAGES:
            return _PAGES[known]
    if not target.startswith("docs/"):
        return target
    return f"{target.removeprefix('docs/')}/index.md" if (_ROOT / target).is_dir() else target.removeprefix("docs/")


def _decisions() -> list[Path]:
    return sorted((_ROOT / "docs" / "decisions").glob("*.md"))


def _title(page: Path) -> str:
    return page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
