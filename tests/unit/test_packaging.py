"""What is announced is there, and what is needed to build and test is in the source distribution."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.release import ReleaseError, check_tree, check_versions, dist

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
README = (ROOT / "README.md").read_text()
LOCKS = ROOT / "requirements"


def test_the_source_distribution_has_all_that_the_makefile_and_the_documents_name():
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    for name in included:
        assert (ROOT / name).exists(), name
    for name in (
        "src",
        "tests",
        "docs",
        "mkdocs.yml",
        "requirements",
        "tools",
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "Makefile",
    ):
        assert name in included


def extras():
    return [name for name in PROJECT["project"]["optional-dependencies"] if name not in ("dev", "docs", "fuzz")]


@pytest.mark.parametrize("extra", extras())
def test_each_extra_is_named_in_the_readme(extra):
    assert f"`{extra}`" in README


ANNOUNCING = ("README.md", "CONTRIBUTING.md", "docs", "deploy", "examples", "src", ".github")
NO_HISTORY = "docs/decisions"
INSTALLED = re.compile(r"braidmq\[([a-z0-9,_-]+)\]")
NAMED = re.compile(r"\bextras? ((?:`[a-z0-9-]+`(?:,? and |, )?)+)")


def announced():
    """Each extra that documents and messages tell somebody to install, and where."""
    for place in ANNOUNCING:
        top = ROOT / place
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix in (".md", ".py", ".toml", ".yaml", ".yml", ".service", "") and path.is_file():
                if "__pycache__" in name or name.startswith(NO_HISTORY):
                    continue
                text = path.read_text()
                for found in INSTALLED.findall(text):
                    yield from ((name, extra) for extra in found.split(","))
                for found in NAMED.findall(text):
                    yield from ((name, extra) for extra in re.findall("`(.*?)`", found))
    (row,) = re.findall(r"^\| Extras \|(.*?)\|", README, re.MULTILINE)
    yield from (("README.md", extra) for extra in re.findall("`(.*?)`", row))


def test_each_extra_that_is_announced_is_there():
    found = set(announced())
    assert {"http", "monitor", "tui", "prometheus"} <= {extra for _, extra in found}
    assert [each for each in sorted(found) if each[1] not in PROJECT["project"]["optional-dependencies"]] == []


def requirements():
    """What pyproject.toml asks for, by extra; "" is what everybody needs."""
    extras = PROJECT["project"]["optional-dependencies"]
    for extra, lines in {"": PROJECT["project"]["dependencies"], **extras}.items():
        yield from ((extra, Requirement(line)) for line in lines if not line.startswith("braidmq["))


@pytest.mark.parametrize(("extra", "requirement"), list(requirements()), ids=str)
def test_each_requirement_has_a_bound_and_is_locked_to_what_fits(extra, requirement):
    assert {each.operator for each in requirement.specifier} == {">=", "<"}
    lock = LOCKS / f"{extra if extra in ('bench', 'docs', 'fuzz') else 'dev'}.txt"
    pinned = re.findall(rf"^{canonicalize_name(requirement.name)}==(\S+)", lock.read_text(), re.MULTILINE)
    assert pinned, f"run make lock: {requirement} is not in {lock.name}"
    assert all(version in requirement.specifier for version in pinned), f"run make lock: {requirement}"


def test_the_core_needs_three_packages():
    core = {canonicalize_name(Requirement(line).name) for line in PROJECT["project"]["dependencies"]}
    assert core == {"click", "msgspec", "pynacl"}


WITHOUT_EXTRAS = """
import importlib, pkgutil, sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1:]:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Nothing())
import braidmq
BRINGERS = "braidmq.cli.top.picture", "braidmq.lab.bench.ends", "braidmq.lab.demo", "braidmq.monitor.web"
for module in pkgutil.walk_packages(braidmq.__path__, "braidmq."):
    if not module.name.startswith(BRINGERS) and "__main__" not in module.name:
        importlib.import_module(module.name)
print("done")
"""


def test_no_module_of_the_product_needs_what_only_extras_bring():
    servers, others = ["starlette", "uvicorn"], ["dns", "matplotlib", "opentelemetry", "prometheus_client", "rich"]
    absent = [*servers, *others, "uvloop", "zmq"]
    done = subprocess.run([sys.executable, "-c", WITHOUT_EXTRAS, *absent], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("done\n", "")


@pytest.mark.parametrize("lock", sorted(LOCKS.glob("*.txt")), ids=lambda lock: lock.name)
def test_whatever_is_locked_has_hashes_and_comes_from_nowhere_in_particular(lock):
    text = lock.read_text()
    assert not re.search(r"://|--(index|extra-index|find-links)", text)
    for each in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in each, each


def test_what_builds_is_locked_as_it_is_asked_for():
    locked = {*(LOCKS / "build.in").read_text().splitlines(), *PROJECT["project"]["dependencies"]}
    hook = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["mypyc"]
    assert {*PROJECT["build-system"]["requires"], *hook["dependencies"]} <= locked


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The source distribution and the wheel that is built from it."""
    pytest.importorskip("hatchling")
    return dist(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.mark.nightly
def test_a_wheel_from_the_source_distribution_works(built, tmp_path):
    _, wheel = built
    shutil.unpack_archive(wheel, tmp_path, "zip")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    code = "import sys, braidmq.cli as cli; print(cli.__file__, flush=True); sys.exit(cli.main())"
    command = [sys.executable, "-c", code, "--help"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{tmp_path}/braidmq/cli/__init__.py\n")
    assert "Usage: " in done.stdout


@pytest.mark.nightly
def test_whatever_is_versioned_is_in_the_source_distribution(built):
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("this is no repository")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    sdist, _ = built
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert {name for name in listed if not name.startswith(".") and (ROOT / name).exists()} <= packed


@pytest.fixture
def repository(tmp_path):
    """A repository that is ready to be released as 1.2.0."""
    files = {
        "pyproject.toml": '[project]\nversion = "1.2.0"\n',
        "src/braidmq/__init__.py": '__version__ = "1.2.0"\n',
        "CHANGELOG.md": "# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2026-03-01\n\nMore.\n\n## [1.1.0] - 2026-01-01",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def git(repository, *arguments):
    person = (
        "-c",
        "user.name=N",
        "-c",
        "user.email=n@example.org",
        "-c",
        "commit.gpgsign=false",
        "-c",
        "tag.gpgsign=false",
    )
    subprocess.run(["git", *person, *arguments], cwd=repository, capture_output=True, check=True)


def test_versions_that_agree_can_be_released(repository):
    assert check_versions(repository) == "1.2.0"


@pytest.mark.parametrize(
    ("name", "before", "after", "why"),
    [
        ("pyproject.toml", "1.2.0", "1.3.0", "does not"),
        ("src/braidmq/__init__.py", "1.2.0", "1.2.1", "does not"),
        ("CHANGELOG.md", "## [1.2.0] - 2026-03-01", "", "changes under Unreleased"),
        ("CHANGELOG.md", "## [1.2.0] - 2026-03-01\n\nMore.", "", "newest release in CHANGELOG.md is 1.1.0"),
        ("CHANGELOG.md", "## [Unreleased]", "## [Unreleased]\n\nStill.", "changes under Unreleased"),
        ("CHANGELOG.md", " - 2026-03-01", "", "does not say when"),
    ],
)
def test_versions_that_differ_are_not_released(repository, name, before, after, why):
    text = (repository / name).read_text()
    (repository / name).write_text(text.replace(before, after))
    with pytest.raises(ReleaseError, match=why):
        check_versions(repository)


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
@pytest.mark.parametrize("annotated", [["--annotate", "--message=x"], []])
def test_only_the_tagged_commit_is_released_and_nothing_beside_it(repository, annotated):
    git(repository, "init")
    git(repository, "add", ".")
    git(repository, "commit", "--message=x")
    with pytest.raises(ReleaseError, match="missing"):
        check_tree(repository, "1.2.0")
    git(repository, "tag", "v1.2.0", *annotated)
    check_tree(repository, "1.2.0")
    (repository / "more").touch()
    with pytest.raises(ReleaseError, match="not clean"):
        check_tree(repository, "1.2.0")
    git(repository, "add", ".")
    git(repository, "commit", "--message=y")
    with pytest.raises(ReleaseError, match="on another commit"):
        check_tree(repository, "1.2.0")


def test_unit_tests_mirror_the_rooms():
    for folder in {
        path.parent.relative_to(ROOT / "tests" / "unit") for path in (ROOT / "tests" / "unit").rglob("test_*.py")
    }:
        assert (ROOT / "src" / "braidmq" / folder).is_dir() or (ROOT / folder).is_dir(), folder
