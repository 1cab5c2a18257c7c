"""Every story goes as it is written. `make stories` writes them as they go now; read the difference.

`script.py` says how a story is written.
"""

import difflib
import os
from pathlib import Path

import pytest

from tests.stories.script import play

STORIES = sorted(Path(__file__).parent.glob("*.txt"))

REWRITE = "BRAIDMQ_STORIES_REWRITE"
"""The variable of the environment that lets the tests write the stories."""


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_goes_as_it_is_written(path):
    written = path.read_text()
    played = play(written)
    if os.environ.get(REWRITE):
        path.write_text(played)
        return
    if written != played:  # an assert would compare the texts once more, which may take minutes
        difference = difflib.unified_diff(
            written.splitlines(), played.splitlines(), f"{path.name} as it is written", "as it goes", lineterm=""
        )
        pytest.fail("\n".join(difference), pytrace=False)


def test_there_are_stories():
    assert len(STORIES) >= 10
