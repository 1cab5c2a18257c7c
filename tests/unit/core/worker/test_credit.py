from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braidmq.core.worker.credit import DEMAND_S, INVITE_S, REVIEW_S, Credit, spread
from braidmq.core.worker.job import LocalService
from braidmq.wire import control
from tests.support.rigs.node_rig import NodeRig

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


class TestCredit:
    """What brokers are told of the credit for one service with four places."""

    @pytest.fixture
    def rig(self, make: Any) -> NodeRig:
        rig: NodeRig = make("a", "b")
        return rig

    @pytest.fixture
    def service(self) -> LocalService:
        return LocalService(b"echo", 4)

    @pytest.fixture
    def credit(self, rig: NodeRig, service: LocalService) -> Credit:
        credit = Credit({b"echo": service}, rig.core.links, rig.now)
        credit.grant(rig.now)
        assert told(rig) == (2, 2)
        return credit

    def test_who_has_been_told_is_not_told_again(self, credit: Credit, rig: NodeRig) -> None:
        credit.grant(rig.now)
        credit.review(rig.now)
        assert told(rig) == (None, None)

    def test_wish_is_met_soon_and_halved_at_each_review(
        self, credit: Credit, rig: NodeRig, service: LocalService
    ) -> None:
        credit.on_demand(rig["a"].link, control.Demand("echo", 5), rig.now)
        assert credit.review_at == rig.now + DEMAND_S
        credit.review(rig.now)
        assert credit.review_at == rig.now + REVIEW_S
        assert told(rig) == (4, 1)
        assert service.backlog == {"a": 2}
        credit.review(rig.now)
        credit.review(rig.now)
        assert service.backlog == {}

    def test_wish_for_a_service_that_is_not_here_changes_nothing(self, credit: Credit, rig: NodeRig) -> None:
        before = credit.review_at
        credit.on_demand(rig["a"].link, control.Demand("other", 5), rig.now)
        assert credit.review_at == before

    def test_twice_as_many_as_there_are_free_places_are_invited_and_the_others_later(
        self, make: Any, service: LocalService
    ) -> None:
        rig = make("a", "b", "c")
        credit = Credit({b"echo": service}, rig.core.links, rig.now)
        credit.grant(rig.now)
        told(rig)
        service.running = 4
        for name in "abc":
            credit.turn_away(service, rig[name].link, rig.now)
        service.running = 3
        credit.invite(service, rig.now)
        assert list(service.turned_away) == ["c"]
        assert credit.review_at == rig.now + INVITE_S
        assert [granted is not None for granted in told(rig)] == [True, True, False]
        credit.review(rig.now)
        assert not service.turned_away

    def test_a_broker_that_knows_of_other_rights_is_told_all_anew_and_no_other(
        self, credit: Credit, rig: NodeRig, service: LocalService
    ) -> None:
        credit.grant(rig.now)
        told(rig)
        credit.tell_again(rig["a"].link, rig.now)
        assert told(rig) == (service.granted["a"].share, None)

    def test_nobody_is_told_anything_after_the_end(self, credit: Credit, rig: NodeRig, service: LocalService) -> None:
        credit.turn_away(service, rig["a"].link, rig.now)
        credit.end(rig.now)
        credit.grant(rig.now)
        credit.invite(service, rig.now)
        credit.review(rig.now)
        assert told(rig) == (None, None)

    def test_broker_that_is_gone_leaves_nothing(self, credit: Credit, rig: NodeRig, service: LocalService) -> None:
        credit.turn_away(service, rig["a"].link, rig.now)
        credit.on_gone(rig["a"].link)
        assert not service.turned_away
        assert not service.backlog
        assert service.granted.keys() == {"b"}


def told(rig: NodeRig) -> tuple[int | None, ...]:
    """Return what each broker was told since it was asked last."""
    rig.pump()
    return tuple(broker.credit() for broker in rig.brokers.values())
