from itertools import compress

import pytest

from tests.support.nights import cases


def by_day(decorator):
    """Return the values of the rows that are tried for every commit, and those that are left to the night."""
    _names, rows = decorator.mark.args
    late = [[mark.name for mark in row.marks] == ["nightly"] for row in rows]
    return [row.values for row in rows if not row.marks], [row.values for row in compress(rows, late)]


def test_one_row_in_so_many_is_tried_for_every_commit_and_none_is_lost():
    assert by_day(cases("x", range(5), one_in=2)) == ([(0,), (2,), (4,)], [(1,), (3,)])


def test_a_row_of_several_values_stays_one():
    assert by_day(cases(("x", "y"), [((1, 2), 3), ((4, 5), 6)], one_in=2)) == ([((1, 2), 3)], [((4, 5), 6)])
    assert by_day(cases("x", [(1, 2), (3, 4)], one_in=2)) == ([((1, 2),)], [((3, 4),)])


def test_a_row_with_marks_of_its_own_keeps_them():
    late = pytest.param(1, marks=pytest.mark.nightly)
    assert by_day(cases("x", [late, 2, 3], one_in=1)) == ([(2,), (3,)], [(1,)])
