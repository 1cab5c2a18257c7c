"""What a list says when the net has another registry than the directory."""

from pathlib import Path

import pytest

from braidmq.cli.net.listing import differences


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ({}, []),
        ({"b1": 7, "b2": 7}, []),
        ({"b2": 6, "b1": 5, "b3": 7}, ["registry 7, which this list is of, is not in force at b1, b2 yet: "]),
        ({"b1": 9, "b2": 7}, ["registry 9 is in force, and net has 7: is it an old copy"]),
    ],
)
def test_a_registry_that_is_older_or_newer_than_the_list_is_told(versions, said):
    found = list(differences(Path("net"), 7, versions))
    assert [line.startswith(beginning) for line, beginning in zip(found, said, strict=True)] == [True] * len(said)
