from hypothesis import given
from hypothesis import strategies as st

from braidmq.core.fair_queue import FairQueue


def queue(*items: tuple[str, int]) -> FairQueue[str, tuple[str, int]]:
    made: FairQueue[str, tuple[str, int]] = FairQueue()
    for item in items:
        made.add(item[0], item)
    return made


def drain(made: FairQueue[str, tuple[str, int]]) -> list[tuple[str, int]]:
    taken = []
    while (item := made.first()) is not None:
        made.take(item[0], item)
        made.validate_state()
        taken.append(item)
    return taken


def test_owners_take_turns_and_each_keeps_its_order() -> None:
    made = queue(("a", 1), ("a", 2), ("a", 3), ("b", 1), ("c", 1), ("c", 2))
    assert drain(made) == [("a", 1), ("b", 1), ("c", 1), ("a", 2), ("c", 2), ("a", 3)]


def test_who_comes_late_with_little_waits_for_one_of_each() -> None:
    made = queue(*(("flood", number) for number in range(1_000)))
    made.add("few", ("few", 1))
    assert made.ahead("few") >= 1
    assert drain(made).index(("few", 1)) == 1


def test_what_is_put_back_is_next() -> None:
    made = queue(("a", 1), ("b", 1), ("a", 2))
    made.take("a", ("a", 1))
    made.put_back("a", ("a", 1))
    assert drain(made) == [("a", 1), ("b", 1), ("a", 2)]


def test_what_is_removed_costs_its_owner_no_turn() -> None:
    made = queue(("a", 1), ("a", 2), ("b", 1))
    made.remove("a", ("a", 1))
    assert drain(made) == [("a", 2), ("b", 1)]


def test_an_empty_queue_has_no_first() -> None:
    made = queue()
    assert made.first() is None
    assert len(made) == 0
    assert not list(made.owners())
    assert made.ahead("a") == 0


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 99)), unique=True, max_size=40), st.sampled_from("abcd")
)
def test_no_more_are_taken_before_a_new_one_than_it_says(items: list[tuple[str, int]], owner: str) -> None:
    made = queue(*items)
    assert len(made) == len(items)
    assert set(made) == set(items)
    ahead, new = made.ahead(owner), (owner, 100)
    made.add(owner, new)
    order = drain(made)
    assert order.index(new) <= ahead
    for each in "abcd":
        mine = [item for item in order if item[0] == each]
        assert mine == [item for item in [*items, new] if item[0] == each]
