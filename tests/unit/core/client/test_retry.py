import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from braidmq.core.backoff import full_jitter
from braidmq.core.client.retry import RetryBudget
from braidmq.settings import Settings


def budget(**changes: Any) -> RetryBudget:
    return RetryBudget(Settings(**changes), 0.0)


class TestBudget:
    def test_begins_full(self) -> None:
        tokens = budget(retry_budget_max=3, retry_budget_per_s=0)
        assert [tokens.spend(0.0) for _ in range(4)] == [True, True, True, False]

    def test_requests_earn_their_share(self) -> None:
        tokens = budget(retry_budget_max=1, retry_budget_ratio=0.25, retry_budget_per_s=0)
        tokens.spend(0.0)
        for _ in range(3):
            tokens.on_request()
            assert not tokens.spend(0.0)
        tokens.on_request()
        assert tokens.spend(0.0)

    def test_time_earns_too(self) -> None:
        tokens = budget(retry_budget_max=1, retry_budget_ratio=0, retry_budget_per_s=2)
        tokens.spend(0.0)
        assert not tokens.spend(0.49)
        assert tokens.spend(0.51)

    def test_is_bounded(self) -> None:
        tokens = budget(retry_budget_max=2)
        for _ in range(1000):
            tokens.on_request()
        assert sum(tokens.spend(1000.0) for _ in range(10)) == 2

    @given(
        st.lists(st.tuples(st.sampled_from(["request", "spend", "wait"]), st.floats(0, 5)), max_size=200),
        st.floats(0, 1),
        st.floats(0, 10),
        st.integers(1, 20),
    )
    def test_retries_never_exceed_what_was_earned(
        self, steps: list[tuple[str, float]], ratio: float, per_s: float, most: int
    ) -> None:
        tokens = budget(retry_budget_ratio=ratio, retry_budget_per_s=per_s, retry_budget_max=most)
        now, requests, spent = 0.0, 0, 0
        for step, pause in steps:
            if step == "request":
                requests += 1
                tokens.on_request()
            elif step == "wait":
                now += pause
            else:
                spent += tokens.spend(now)
            tokens.validate_state()
            assert spent <= most + requests * ratio + now * per_s + 1e-6


class TestFullJitter:
    @given(st.floats(0.001, 60), st.floats(0.001, 600), st.integers(0, 10_000), st.integers())
    def test_stays_within_the_doubled_pause_and_its_bound(
        self, first_s: float, max_s: float, round_: int, seed: int
    ) -> None:
        pause = full_jitter(first_s, max_s, round_, random.Random(seed))
        assert 0.0 <= pause <= min(max_s, first_s * 2.0 ** min(round_, 30))

    def test_uses_the_whole_range(self) -> None:
        pauses = [full_jitter(1.0, 4.0, 5, random.Random(seed)) for seed in range(200)]
        assert min(pauses) < 0.2
        assert max(pauses) > 3.8
        assert 1.7 < sum(pauses) / len(pauses) < 2.3
