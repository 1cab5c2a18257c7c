import random
from collections import Counter, deque

import pytest

from braidmq.core.balancing import (
    EWMA_DECAY_S,
    PROBE_EVERY,
    Balancer,
    LeastOutstanding,
    PeakEwma,
    RoundRobin,
    cheaper_of_two,
)
from braidmq.core.broker.key_usage import KeyUsage
from braidmq.core.broker.transit import Offer, Service, Session
from braidmq.core.liveness import Silence
from braidmq.members import Member, Role
from braidmq.settings import Settings


def a_worker(name: str, credit: int = 10, outstanding: int = 0) -> Offer:
    session = Session(name.encode(), KeyUsage(name), Member(name, Role.NODE), Silence(1.5, 3.0), 1.0, 0.0)
    offer = Offer(Service(b"echo", Settings()), session)
    offer.credit, offer.outstanding = credit, outstanding
    return offer


class Path:
    def __init__(self, latency_s: float, in_flight: int) -> None:
        self.ewma = PeakEwma(0.0)
        self.ewma.latency_s = latency_s
        self.in_flight = in_flight
        self.price = 1.0


BOTH = pytest.mark.parametrize("kind", [LeastOutstanding, RoundRobin])


def dispatch(balancer: Balancer[Offer]) -> str | None:
    """Pick as a broker does: the offer's number grows and the balancer is told."""
    worker = balancer.pick()
    if worker is None:
        return None
    worker.outstanding += 1
    balancer.put(worker)
    return worker.session.member.name


class TestBoth:
    @BOTH
    def test_nobody_is_picked_among_none(self, kind: type[Balancer[Offer]]) -> None:
        assert kind().pick() is None

    @BOTH
    def test_worker_at_its_credit_is_not_picked(self, kind: type[Balancer[Offer]]) -> None:
        balancer, worker = kind(), a_worker("a", credit=2)
        balancer.put(worker)
        assert [dispatch(balancer) for _ in range(3)] == ["a", "a", None]
        worker.outstanding -= 1
        balancer.put(worker)
        assert dispatch(balancer) == "a"

    @BOTH
    def test_worker_whose_credit_was_lowered_is_not_picked(self, kind: type[Balancer[Offer]]) -> None:
        balancer, worker = kind(), a_worker("a", credit=5, outstanding=3)
        balancer.put(worker)
        worker.credit = 2
        balancer.put(worker)
        balancer.validate_state([])
        assert balancer.pick() is None

    @BOTH
    def test_worker_that_was_removed_is_not_picked(self, kind: type[Balancer[Offer]]) -> None:
        balancer, worker = kind(), a_worker("a")
        balancer.put(worker)
        balancer.remove(worker)
        balancer.remove(worker)
        assert balancer.pick() is None
        balancer.validate_state([])

    @BOTH
    def test_equals_take_turns(self, kind: type[Balancer[Offer]]) -> None:
        balancer = kind()
        for name in "abc":
            balancer.put(a_worker(name))
        assert "".join(str(dispatch(balancer)) for _ in range(9)) == "abcabcabc"

    @BOTH
    @pytest.mark.parametrize("seed", range(5))
    def test_random_use_keeps_it_consistent(self, kind: type[Balancer[Offer]], seed: int) -> None:
        rng = random.Random(seed)
        balancer = kind()
        workers = [a_worker(str(number), credit=rng.randrange(4)) for number in range(6)]
        there: set[Offer] = set()
        for _ in range(500):
            worker = rng.choice(workers)
            action = rng.randrange(5)
            if action == 0:
                there.add(worker)
                balancer.put(worker)
            elif action == 1:
                there.discard(worker)
                balancer.remove(worker)
            elif action == 2:
                worker.credit = rng.randrange(6)
            elif action == 3 and worker.outstanding:
                worker.outstanding -= 1
            else:
                dispatch(balancer)
            if worker in there:
                balancer.put(worker)
            balancer.validate_state([each for each in there if each.outstanding < each.credit])


class TestLeastOutstanding:
    def test_fewest_outstanding_is_picked(self) -> None:
        balancer: LeastOutstanding[Offer] = LeastOutstanding()
        for name, outstanding in (("a", 3), ("b", 1), ("c", 2)):
            balancer.put(a_worker(name, outstanding=outstanding))
        assert [dispatch(balancer) for _ in range(4)] == ["b", "c", "b", "a"]

    def test_worker_that_becomes_free_is_seen_below_the_others(self) -> None:
        balancer: LeastOutstanding[Offer] = LeastOutstanding()
        a, b = a_worker("a", outstanding=5), a_worker("b", outstanding=5)
        for worker in (a, b):
            balancer.put(worker)
        assert balancer.pick() is a
        b.outstanding = 0
        balancer.put(b)
        assert balancer.pick() is b

    def test_slower_worker_is_probed_now_and_then(self) -> None:
        balancer: LeastOutstanding[Offer] = LeastOutstanding()
        fast, slow = a_worker("fast"), a_worker("slow")
        for _ in range(4):
            balancer.observe(fast, 0.01)
            balancer.observe(slow, 0.1)
        balancer.put(fast)
        balancer.put(slow)
        picks = [balancer.pick_slow() for _ in range(4 * PROBE_EVERY)]
        assert picks.count(slow) == 4
        assert picks.count(None) == 4 * PROBE_EVERY - 4
        assert {balancer.pick() for _ in range(PROBE_EVERY)} == {fast}


class TestRoundRobin:
    def test_what_is_outstanding_does_not_matter(self) -> None:
        balancer: RoundRobin[Offer] = RoundRobin()
        for name, outstanding in (("a", 9), ("b", 0)):
            balancer.put(a_worker(name, credit=20, outstanding=outstanding))
        assert [dispatch(balancer) for _ in range(4)] == ["a", "b", "a", "b"]

    def test_answer_does_not_move_a_worker_in_the_ring(self) -> None:
        balancer: RoundRobin[Offer] = RoundRobin()
        a, b = a_worker("a"), a_worker("b")
        balancer.put(a)
        balancer.put(b)
        balancer.put(a)
        assert balancer.pick() is a


class TestPeakEwma:
    def test_slow_answer_counts_at_once(self) -> None:
        ewma = PeakEwma(0.0)
        ewma.observe(2.0, 1.0)
        assert ewma.latency_s == 2.0

    def test_slow_answer_is_forgiven_with_time(self) -> None:
        ewma = PeakEwma(0.0)
        ewma.observe(1.0, 0.0)
        ewma.observe(0.0, EWMA_DECAY_S)
        assert ewma.latency_s == pytest.approx(1 / 2.718281828, rel=1e-6)

    def test_quick_answer_at_the_same_instant_changes_nothing(self) -> None:
        ewma = PeakEwma(0.0)
        ewma.observe(1.0, 5.0)
        ewma.observe(0.0, 5.0)
        assert ewma.latency_s == 1.0

    def test_slow_answer_is_forgiven_though_nothing_more_is_heard(self) -> None:
        ewma = PeakEwma(0.0)
        ewma.observe(1.0, 0.0)
        assert ewma.estimate(EWMA_DECAY_S) == pytest.approx(1 / 2.718281828, rel=1e-6)
        assert ewma.estimate(0.0) == 1.0


class TestCheaperOfTwo:
    def test_single_path_is_taken(self) -> None:
        path = Path(1.0, 5)
        assert cheaper_of_two([path], random.Random(1), 0.0) is path

    @pytest.mark.parametrize("seed", range(20))
    def test_of_two_paths_the_cheaper_is_always_taken(self, seed: int) -> None:
        quick_but_busy, slow_but_idle = Path(0.01, 9), Path(0.05, 0)
        paths = [quick_but_busy, slow_but_idle]
        assert cheaper_of_two(paths, random.Random(seed), 0.0) is slow_but_idle

    def test_dearest_of_many_is_never_taken_and_all_others_are(self) -> None:
        paths = [Path(0.001 * number, 1) for number in range(1, 6)]
        rng = random.Random(7)
        taken = {id(cheaper_of_two(paths, rng, 0.0)) for _ in range(500)}
        assert taken == {id(path) for path in paths[:-1]}


class TestFailing:
    """Failures are quick: whoever answers with them at once has the least to do."""

    @staticmethod
    def run(balancer: Balancer[Offer], workers: list[Offer], failing: set[str], calls: int) -> Counter[str]:
        """Let calls come in, some of which are under way all the time; those that fail are answered at once."""
        had: Counter[str] = Counter()
        under_way: deque[Offer] = deque()
        for _ in range(calls):
            picked = balancer.pick()
            assert picked is not None
            name = picked.session.member.name
            had[name] += 1
            picked.outstanding += 1
            balancer.put(picked)
            if name in failing:
                picked.outstanding -= 1
                balancer.observe_outcome(picked, failed=True)
                balancer.put(picked)
            else:
                under_way.append(picked)
            if len(under_way) > 5 * (len(workers) - len(failing)):
                done = under_way.popleft()
                done.outstanding -= 1
                balancer.observe_outcome(done, failed=False)
                balancer.put(done)
            balancer.validate_state([each for each in workers if each.outstanding < each.credit])
        return had

    @BOTH
    def test_one_that_fails_at_once_gets_no_more_than_its_turn(self, kind: type[Balancer[Offer]]) -> None:
        balancer, workers = kind(), [a_worker(name, credit=100) for name in "abcd"]
        for each in workers:
            balancer.put(each)
        had = self.run(balancer, workers, {"a"}, 400)
        assert had["a"] <= 105
        assert min(had.values()) >= 80

    @BOTH
    def test_where_all_fail_all_have_their_turn(self, kind: type[Balancer[Offer]]) -> None:
        balancer, workers = kind(), [a_worker(name) for name in "abc"]
        for each in workers:
            balancer.put(each)
        had = self.run(balancer, workers, set("abc"), 99)
        assert max(had.values()) - min(had.values()) <= 2

    def test_one_that_has_recovered_counts_as_the_others(self) -> None:
        balancer, workers = LeastOutstanding[Offer](), [a_worker(name, credit=100) for name in "ab"]
        for each in workers:
            balancer.put(each)
        self.run(balancer, workers, {"a"}, 20)
        for each in workers:
            each.outstanding = 0
            balancer.put(each)
        had = self.run(balancer, workers, set(), 200)
        assert abs(had["a"] - had["b"]) <= 20

    def test_one_that_fails_and_is_slow_is_avoided_as_a_slow_one(self) -> None:
        balancer, workers = LeastOutstanding[Offer](), [a_worker(name, credit=100) for name in "ab"]
        for each in workers:
            balancer.put(each)
        for each, work_s in zip(workers, (1.0, 0.01), strict=True):
            for _ in range(5):
                balancer.observe(workers[1], 0.01)
                balancer.observe(each, work_s)
        balancer.observe_outcome(workers[0], failed=True)
        balancer.put(workers[0])
        assert [dispatch(balancer) for _ in range(5)] == ["b"] * 5

    def test_one_that_fails_and_is_gone_is_forgotten(self) -> None:
        balancer, one, two = LeastOutstanding[Offer](), a_worker("a"), a_worker("b")
        for each in (one, two):
            balancer.put(each)
        balancer.observe_outcome(one, failed=True)
        balancer.put(one)
        balancer.forget(one)
        balancer.validate_state([two])
        assert [dispatch(balancer) for _ in range(3)] == ["b"] * 3
