"""Get started and the tutorials do what they say: commands are run, files written, and what is shown is seen."""

from pathlib import Path

import pytest

from tests.support.pages import Reader, is_shown

DOCS = Path(__file__).parents[2] / "docs"
pytestmark = pytest.mark.timeout(400)  # some twenty processes, one after the other, beside what else runs
LONG = [pytest.param(path.name, marks=pytest.mark.nightly) for path in sorted((DOCS / "tutorials").glob("*.md"))]


def test_get_started_works_as_it_is_written(tmp_path):
    with Reader(tmp_path) as reader:
        reader.go_through((DOCS / "get-started.md").read_text().partition("## On another machine")[0])
    assert len(reader.shown) == 6


@pytest.mark.parametrize("tutorial", LONG)
def test_a_tutorial_works_as_it_is_written(tmp_path, tutorial):
    with Reader(tmp_path) as reader:
        reader.go_through((DOCS / "tutorials" / tutorial).read_text())
    assert len(reader.shown) > 3


def test_what_is_not_shown_is_found_out(tmp_path):
    page = "```\necho '12 answered, 0 failed in 3 s'\n```\n\n```text\n{}\n```\n"
    with Reader(tmp_path) as reader:
        reader.go_through(page.format("12 answered, ... in 3 s"))
        with pytest.raises(AssertionError, match="its reader sees"):
            reader.go_through(page.format("12 answered, all failed"))


def test_lines_are_shown_in_their_order():
    assert is_shown("a 2\nc ... 2", "a 22\nb\nc  and so on 2")
    assert not is_shown("c\na", "a\nb\nc")
