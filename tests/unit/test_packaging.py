"""What is announced is there, and what is needed to build and test is in the source distribution."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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
    return [name for name in PROJECT["project"]["optional-dependencies"] if name not in ("dev", "docs")]


@pytest.mark.parametrize("extra", extras())
def test_each_extra_is_named_in_the_readme(extra):
    assert f"`{extra}`" in README


def requirements():
    """What pyproject.toml asks for, by extra; "" is what everybody needs."""
    extras = PROJECT["project"]["optional-dependencies"]
    for extra, lines in {"": PROJECT["project"]["dependencies"], **extras}.items():
        yield from ((extra, Requirement(line)) for line in lines if not line.startswith("braidmq["))


@pytest.mark.parametrize(("extra", "requirement"), list(requirements()), ids=str)
def test_each_requirement_has_a_bound_and_is_locked_to_what_fits(extra, requirement):
    assert {each.operator for each in requirement.specifier} == {">=", "<"}
    lock = LOCKS / f"{extra if extra in ('bench', 'docs') else 'dev'}.txt"
    pinned = re.findall(rf"^{canonicalize_name(requirement.name)}==(\S+)", lock.read_text(), re.MULTILINE)
    assert pinned, f"run make lock: {requirement} is not in {lock.name}"
    assert all(version in requirement.specifier for version in pinned), f"run make lock: {requirement}"


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
