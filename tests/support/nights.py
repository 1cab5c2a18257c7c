"""Which cases of a test are tried for every commit, and which at night."""

import pytest


def nightly_but(kept, names):
    """Return all names as cases of a test; those that are not kept are nightly."""
    return [name if name in kept else pytest.param(name, marks=pytest.mark.nightly) for name in names]


def nightly(*rows):
    """Return rows of a table of cases, each with several values, as nightly ones."""
    return [pytest.param(*row, marks=pytest.mark.nightly) for row in rows]
