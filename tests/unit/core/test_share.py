"""How much of a common budget keys get."""

import pytest

from braidmq.core.share import fits


@pytest.mark.parametrize("hogs", [1, 2, 3, 9])
def test_keys_that_take_all_they_can_get_leave_as_much_as_each_of_them_has(hogs: int) -> None:
    budget, held = 1_000, [0] * hogs
    for _ in range(budget):
        for hog in range(hogs):
            held[hog] += fits(held[hog], 1, budget - sum(held))
    share = budget / (hogs + 1)
    assert all(abs(each - share) <= 1 for each in held)
    assert fits(0, 1, budget - sum(held))


def test_nothing_fits_where_nothing_is_left() -> None:
    assert not fits(0, 1, 0)
    assert not fits(0, 2, 1)
