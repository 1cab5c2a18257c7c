from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from braidmq.core.worker.credit import spread

demands = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(0, 2**32), min_size=1, max_size=30)
totals = st.integers(1, 10_000)


@given(totals, demands)
def test_those_with_a_demand_share_it_all_and_the_others_get_one_on_top(total: int, demand: dict[str, int]) -> None:
    shares = spread(total, demand)
    assert shares.keys() == demand.keys()
    assert min(shares.values()) >= 1
    active = [name for name, wanted in demand.items() if wanted] or list(demand)
    assert sum(shares[name] for name in active) == max(total, len(active))
    assert all(shares[name] == 1 for name in demand if name not in active)


@given(totals, st.integers(1, 2**32), st.integers(0, 30))
def test_a_single_busy_broker_may_fill_the_worker(total: int, wanted: int, idle: int) -> None:
    demand = {"busy": wanted, **{f"idle{number}": 0 for number in range(idle)}}
    assert spread(total, demand)["busy"] == total


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
