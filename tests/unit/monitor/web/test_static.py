"""The files of the pages: that they are in the package, come from nowhere else, and make no HTML of text."""

import hashlib
import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest

from braidmq.monitor.finding import Kind

STATIC = resources.files("braidmq.monitor.web") / "static"
TESTS = Path(__file__).parents[3]
OWN = sorted(Path(str(STATIC)).glob("*.*"))
MODULES = [path for path in OWN if path.suffix == ".js"]
LINES_MAX = 500
NODE_MIN = (20, 19)
"""It reads files named .js as modules if they are."""


def test_package_has_the_page_and_what_it_names():
    page = (STATIC / "index.html").read_text()
    named = re.findall(r'(?:href|src)="(static/[^"]+)"', page)
    assert len(named) > len(MODULES)
    for name in named:
        assert (STATIC / name.removeprefix("static/")).is_file(), name


def test_page_asks_for_all_modules_at_once():
    page = (STATIC / "index.html").read_text()
    asked = re.findall(r'(?:rel="modulepreload" href|type="module" src)="static/([^"]+)"', page)
    assert sorted(asked) == sorted(path.name for path in MODULES)


def test_modules_import_what_is_there():
    for path in MODULES:
        for name in re.findall(r'from "\./([^"]+)"', path.read_text()):
            assert (STATIC / name).is_file(), f"{path.name} imports {name}"


def test_page_has_neither_scripts_nor_styles_within():
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == ["", ""]


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_file_comes_from_here_and_makes_no_html_of_text(path):
    text = path.read_text()
    assert not re.search(
        r"\b(?:innerHTML|outerHTML|insertAdjacentHTML|DOMParser|document\.write|eval|Function)\b", text
    )
    others = re.findall(r"(?:https?:)?//[\w.-]+\.\w+", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL))
    assert [each for each in others if "www.w3.org" not in each] == []
    assert text.count("\n") <= LINES_MAX


@pytest.mark.parametrize("vendor", [Path(str(STATIC)) / "vendor", TESTS / "browser" / "vendor"], ids=["pages", "tests"])
def test_files_of_others_are_unchanged_and_listed_with_their_licence(vendor):
    row = r"^\| \[[\w-]+\]\(\S+\) \| [\d.]+ \| [\w.-]+ \| (\S+) \| (\w{64}) \|$"
    rows = re.findall(row, (vendor / "README.md").read_text(), re.MULTILINE)
    there = {str(path.relative_to(vendor)) for path in vendor.rglob("*") if path.is_file()} - {"README.md"}
    assert {name for name, _ in rows} == there
    assert any(name.endswith("LICENSE") for name in there)
    for name, digest in rows:
        assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == digest, name


def test_pages_have_a_word_for_every_kind_of_finding():
    words = re.findall(r'^  "?([\w-]+)"?: "', (STATIC / "condition.js").read_text(), re.MULTILINE)
    assert sorted(words) == sorted(kind.value for kind in Kind)


def test_pure_modules_do_what_they_say():
    node = shutil.which("node")
    version = [] if node is None else re.findall(r"\d+", run([node, "--version"]).stdout)
    if tuple(map(int, version)) < NODE_MIN:
        pytest.skip("there is no Node.js of version 20.19 or newer: the pages' modules are tried only in a browser")
    found = sorted(str(path) for path in (TESTS / "browser" / "logic").glob("*.test.mjs"))
    ran = run([node, "--test", *found])
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"^# pass [1-9]", ran.stdout, re.MULTILINE)


def run(command):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
