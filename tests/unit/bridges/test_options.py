"""Options that hold for several services."""

import pytest

from braidmq.bridges.options import told_of


@pytest.mark.parametrize(
    ("service", "told"), [("a.b", 1), ("a.bc", 2), ("a.x", 3), ("a.", 3), ("a", 4), ("other", 4), ("", 4)]
)
def test_name_goes_before_patterns_and_the_longest_pattern_before_others(service, told):
    assert told_of({"*": 4, "a.*": 3, "a.b*": 2, "a.b": 1}, service, 0) == told


def test_what_is_told_of_others_says_nothing():
    assert told_of({"a.b": 1, "b*": 2}, "a.bc", 0) == 0
