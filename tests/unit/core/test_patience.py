import pytest

from braidmq.core.patience import WORKING_S, WORKING_S_MIN, interval_s
from braidmq.core.timers import GRAIN_S
from braidmq.settings import Settings


@pytest.mark.parametrize(
    ("working_ms", "expected"), [(0, WORKING_S), (1, 0.01), (10, 0.01), (11, 0.011), (65_535, 65.535)]
)
def test_interval_is_the_one_that_is_asked_for_within_reason(working_ms: int, expected: float) -> None:
    assert interval_s(working_ms) == expected


def test_usual_exchange_timeout_outlasts_a_lost_answer_at_the_usual_interval() -> None:
    assert Settings().exchange_timeout_s > 2 * WORKING_S


def test_shortest_interval_can_be_kept_by_timers() -> None:
    assert WORKING_S_MIN >= GRAIN_S
