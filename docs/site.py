"""What MkDocs has to know to show the documents of the repository's root, too: README.md is the site's first page."""

import re
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_ROOT: Final = Path(__file__).parent.parent

_PAGES: Final = {"README.md": "index.md", "SECURITY.md": "reporting.md"} | {
    name: name for name in ("CHANGELOG.md", "CONTRIBUTING.md")
}

_LINK: Final = re.compile(r"\]\(([^)#:]+)(#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents of the root, and a page that lists the decisions."""
    for source, page in _PAGES.items():
        files.append(File.generated(config, page, content=_moved((_ROOT / source).read_text(encoding="utf-8"))))
    licence = (_ROOT / "LICENSE").read_text(encoding="utf-8")
    files.append(File.generated(config, "LICENSE.md", content=f"# Licence\n\n```text\n{licence}```\n"))
    decisions = sorted((_ROOT / "docs" / "decisions").glob("*.md"))
    rows = [f"- [{_title(each)}]({each.name})" for each in decisions]
    files.append(File.generated(config, "decisions/index.md", content="# Decisions\n\n" + "\n".join(rows) + "\n"))
    return files


def _moved(text: str) -> str:
    """Return a document of the root with its links as they are from docs/."""
    return _LINK.sub(lambda link: f"]({_target(link[1])}{link[2] or ''})", text)


def _target(path: str) -> str:
    if path == "LICENSE":
        return "LICENSE.md"
    if path.startswith("docs/"):
        path = path.removeprefix("docs/")
        return f"{path}index.md" if path.endswith("/") else path
    return _PAGES.get(path, path)


def _title(page: Path) -> str:
    return page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
