"""What is announced is there, and what is needed to build and test is in the source distribution."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
README = (ROOT / "README.md").read_text()


def test_the_source_distribution_has_all_that_the_makefile_and_the_documents_name():
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    for name in included:
        assert (ROOT / name).exists(), name
    for name in ("src", "tests", "docs", "mkdocs.yml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile"):
        assert name in included


def extras():
    return [name for name in PROJECT["project"]["optional-dependencies"] if name not in ("dev", "docs")]


@pytest.mark.parametrize("extra", extras())
def test_each_extra_is_named_in_the_readme(extra):
    assert f"`{extra}`" in README
