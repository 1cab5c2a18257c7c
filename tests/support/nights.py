"""Which cases of a test are tried for every commit, and which at night."""

import pytest


def nightly_but(kept, names):
    """Return all names as cases of a test; those that are not kept are nightly."""
    return [name if name in kept else pytest.param(name, marks=pytest.mark.nightly) for name in names]


def cases(names, rows, *, one_in, ids=None):
    """Like `pytest.mark.parametrize`, but only one row in so many is tried for every commit, and all are at night."""
    wide = not isinstance(names, str) or "," in names

    def case(number, row):
        if isinstance(row, type(pytest.param())):
            return row
        return pytest.param(*(row if wide else (row,)), marks=[pytest.mark.nightly] if number % one_in else [])

    return pytest.mark.parametrize(names, [case(*each) for each in enumerate(rows)], ids=ids)
