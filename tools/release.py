"""What is handed out: ``make dist`` builds it, and ``make release`` first checks that it may be. Nothing is uploaded.

The wheel is built from the source distribution. Both are built a second time from that source distribution, in another
place, and have to be the same to the byte: whoever has the sources can check what was handed out.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Final, Literal

__all__ = ["ReleaseError", "check_tree", "check_versions", "dist"]

ROOT: Final = Path(__file__).parents[1]

_RELEASE: Final = re.compile(r"^## \[(.+?)\](.*)$", re.MULTILINE)


class ReleaseError(Exception):
    """Why nothing is released."""


def check_versions(root: Path) -> str:
    """Return the version on which pyproject.toml, the package and the newest release of the changelog agree."""
    version = _version(root)
    if f'__version__ = "{version}"\n' not in (root / "src/braidmq/__init__.py").read_text(encoding="utf-8"):
        raise ReleaseError(f"pyproject.toml says {version}, and src/braidmq/__init__.py does not")
    _, *parts = _RELEASE.split((root / "CHANGELOG.md").read_text(encoding="utf-8"))
    releases = list(zip(parts[::3], parts[1::3], parts[2::3], strict=True))
    if any(name == "Unreleased" and text.strip() for name, _, text in releases):
        raise ReleaseError("CHANGELOG.md has changes under Unreleased")
    releases = [each for each in releases if each[0] != "Unreleased"]
    newest, date = releases[0][:2] if releases else ("nothing", "")
    if newest != version:
        raise ReleaseError(f"pyproject.toml says {version}, and the newest release in CHANGELOG.md is {newest}")
    if not re.fullmatch(r" - \d{4}-\d{2}-\d{2}", date):
        raise ReleaseError(f"CHANGELOG.md does not say when: ## [{version}] - YYYY-MM-DD")
    return version


def check_tree(root: Path, version: str) -> None:
    """Check that the tree is what the version's tag names."""
    if changed := _git(root, "status", "--porcelain"):
        raise ReleaseError(f"the tree is not clean:\n{changed}")
    tagged = _git(
        root,
        "for-each-ref",
        "--format=%(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end)",
        f"refs/tags/v{version}",
    )
    if tagged != _git(root, "rev-parse", "HEAD"):
        raise ReleaseError(f"the tag v{version} is {'on another commit' if tagged else 'missing'}")


def dist(root: Path, into: Path) -> list[Path]:
    """Build the source distribution and the wheel, each of them twice, and return where they are."""
    epoch = _epoch(root)
    with tempfile.TemporaryDirectory() as scratch:
        sdist = _build("sdist", root, Path(scratch, "first"), epoch)
        source = _unpacked(sdist, Path(scratch, "source"))
        first = [sdist, _build("wheel", source, Path(scratch, "first"), epoch)]
        again = [
            _build("sdist", source, Path(scratch, "again"), epoch),
            _build("wheel", root, Path(scratch, "again"), epoch),
        ]
        for one, other in zip(first, again, strict=True):
            if (one.name, _digest(one)) != (other.name, _digest(other)):
                raise ReleaseError(f"a second build of {one.name} came out differently")
        into.mkdir(parents=True, exist_ok=True)
        return [Path(shutil.copy(each, into)) for each in first]


def _version(root: Path) -> str:
    version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert isinstance(version, str)
    return version


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def _epoch(root: Path) -> str:
    """Return the time that archives give their files: that of the commit, if there is one."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return given
    return _git(root, "log", "-1", "--format=%ct") if (root / ".git").exists() else "1580601600"


def _build(target: Literal["sdist", "wheel"], source: Path, into: Path, epoch: str) -> Path:
    before = set(into.glob("*"))
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", into],
        cwd=source,
        env={**os.environ, "SOURCE_DATE_EPOCH": epoch, "HATCH_BUILD_HOOK_ENABLE_MYPYC": "false"},
        capture_output=True,
        check=True,
    )
    (built,) = set(into.glob("*")) - before
    return built


def _unpacked(sdist: Path, into: Path) -> Path:
    with tarfile.open(sdist) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # not in Python below 3.11.4
        archive.extractall(into)
    (source,) = into.iterdir()
    return source


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def main(arguments: list[str]) -> int:
    """Build, and check before if it is a release; return the exit code."""
    try:
        if "--release" in arguments:
            check_tree(ROOT, check_versions(ROOT))
        print(f"SOURCE_DATE_EPOCH={_epoch(ROOT)}")
        for built in dist(ROOT, ROOT / "dist"):
            print(f"{_digest(built)}  {built.relative_to(ROOT)}")
    except ReleaseError as error:
        print(f"nothing is released: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
