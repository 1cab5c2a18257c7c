from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from braidmq.core.credit import spread

demands = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(0, 2**32), min_size=1, max_size=30)
totals = st.integers(1, 10_000)


@given(totals, demands)
def test_shares_sum_up_to_the_total_and_each_broker_gets_one(total: int, demand: dict[str, int]) -> None:
    shares = spread(total, demand)
    assert shares.keys() == demand.keys()
    assert min(shares.values()) >= 1
    assert sum(shares.values()) == max(total, len(demand))


@given(totals, demands)
def test_more_demand_never_means_a_smaller_share(total: int, demand: dict[str, int]) -> None:
    shares = spread(total, demand)
    assert all(shares[less] <= shares[more] for less, more in permutations(demand, 2) if demand[less] < demand[more])


@given(totals, demands, st.randoms())
def test_order_of_the_brokers_does_not_matter(total: int, demand: dict[str, int], random: object) -> None:
    names = list(demand)
    random.shuffle(names)  # type: ignore[attr-defined]
    assert spread(total, {name: demand[name] for name in names}) == spread(total, demand)


@given(totals, st.integers(1, 30))
def test_equal_demand_is_shared_equally(total: int, count: int) -> None:
    shares = spread(total, {f"b{number}": 5 for number in range(count)}).values()
    assert max(shares) - min(shares) <= 1


def test_no_broker_gets_nothing() -> None:
    assert spread(10, {}) == {}
