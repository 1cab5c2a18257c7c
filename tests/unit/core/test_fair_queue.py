from hypothesis import given
from hypothesis import strategies as st

from braidmq.core.fair_queue import FairQueue


def queue(*items: tuple[str, int], turns: int = 1) -> FairQueue[str, tuple[str, int]]:
    made: FairQueue[str, tuple[str, int]] = FairQueue()
    for item in items:
        made.add(item[0], item, turns)
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


def test_owner_of_large_things_has_as_many_turns_less() -> None:
    made = queue(*(("large", number) for number in range(3)), turns=4)
    for number in range(20):
        made.add("small", ("small", number))
    order = [owner for owner, _ in drain(made)]
    assert [number for number, owner in enumerate(order) if owner == "large"] == [3, 8, 13]


def test_owner_that_is_alone_does_not_wait_for_turns() -> None:
    assert drain(queue(("a", 1), ("a", 2), turns=1_000_000)) == [("a", 1), ("a", 2)]


def test_turns_that_were_saved_for_what_is_removed_make_no_owner_faster() -> None:
    made = queue(("a", 0), turns=100)
    for number in range(1, 10):
        made.add("a", ("a", number))
        made.add("b", ("b", number))
    for _ in range(5):
        item = made.first()
        assert item is not None
        assert item[0] == "b"
        made.take("b", item)
    made.remove("a", ("a", 0))
    order = [owner for owner, _ in drain(made)]
    assert order[:8] in (["a", "b"] * 4, ["b", "a"] * 4)


def test_what_is_put_back_is_next_whatever_it_costs() -> None:
    made = queue(("a", 1), turns=50)
    made.take("a", ("a", 1))
    made.add("b", ("b", 1))
    made.put_back("a", ("a", 1))
    assert drain(made) == [("a", 1), ("b", 1)]


def test_how_many_an_owner_has_is_known() -> None:
    made = queue(("a", 1), ("a", 2), ("b", 1))
    assert [made.held(owner) for owner in "abc"] == [2, 1, 0]
    made.remove("a", ("a", 1))
    assert made.held("a") == 1


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 99), st.sampled_from([1, 1, 2, 16])),
        unique_by=lambda item: item[:2],
        max_size=40,
    ),
    st.sampled_from("abcd"),
    st.sampled_from([1, 1, 3, 16]),
    st.integers(0, 10),
)
def test_no_more_are_taken_before_a_new_one_than_it_says(
    costly: list[tuple[str, int, int]], owner: str, turns: int, taken: int
) -> None:
    made = queue()
    for name, number, cost in costly:
        made.add(name, (name, number), cost)
    assert len(made) == len(costly)
    gone = set()
    for _ in range(min(taken, len(costly))):
        first = made.first()
        assert first is not None
        gone.add(first)
        made.take(first[0], first)
    items = [(name, number) for name, number, _ in costly if (name, number) not in gone]
    assert set(made) == set(items)
    ahead, new = made.ahead(owner, turns), (owner, 100)
    made.add(owner, new, turns)
    order = drain(made)
    assert order.index(new) <= ahead
    for each in "abcd":
        mine = [item for item in order if item[0] == each]
        assert mine == [item for item in [*items, new] if item[0] == each]
