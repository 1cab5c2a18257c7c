"""How fast a service works off its queue."""

import pytest

from braidmq.core.broker.pace import TIME_SHARE_MAX, Pace


def worked(pace: Pace, answers: int, *, every_s: float, work_s: float, start: float = 100.0) -> float:
    """Let answers come at a steady pace; return when the last one came."""
    for number in range(answers):
        now = start + number * every_s
        pace.on_answer(now - work_s, now)
    return now


class TestPace:
    def test_nothing_is_late_before_anything_is_known(self) -> None:
        pace = Pace()
        assert pace.late_s(1_000_000, 0.001) == 0.0
        pace.on_answer(99.0, 100.0)
        assert pace.late_s(1_000_000, 0.001) == 0.0

    def test_steady_pace_is_what_is_measured(self) -> None:
        pace = Pace()
        worked(pace, 50, every_s=0.02, work_s=0.3)
        assert pace.interval_s == pytest.approx(0.02)
        assert pace.work_s == pytest.approx(0.3)

    def test_request_that_fits_its_share_of_time_is_in_time(self) -> None:
        pace = Pace()
        worked(pace, 50, every_s=0.02, work_s=0.3)
        needs_s = 100 * 0.02 + 0.3
        assert pace.late_s(100, needs_s / TIME_SHARE_MAX + 0.001) == 0.0
        assert pace.late_s(100, needs_s / TIME_SHARE_MAX - 0.1) == pytest.approx(0.1 * TIME_SHARE_MAX)

    def test_change_of_pace_is_followed(self) -> None:
        pace = Pace()
        last = worked(pace, 500, every_s=0.02, work_s=0.3)
        worked(pace, 300, every_s=0.2, work_s=3.0, start=last + 0.2)
        assert pace.interval_s == pytest.approx(0.2, rel=0.05)
        assert pace.work_s == pytest.approx(3.0, rel=0.05)

    def test_answers_in_bundles_count_as_their_mean(self) -> None:
        pace = Pace()
        for turn in range(50):
            for _ in range(10):
                pace.on_answer(0.0, 100.0 + turn)
        assert pace.interval_s == pytest.approx(0.1, rel=0.25)

    def test_what_did_not_wait_itself_says_nothing_of_the_work(self) -> None:
        pace = Pace()
        for number in range(10):
            pace.on_answer(0.0, 100.0 + number)
        assert pace.work_s == 0.0
        assert pace.interval_s == pytest.approx(1.0)

    def test_next_queue_begins_with_a_new_estimate(self) -> None:
        pace = Pace()
        worked(pace, 50, every_s=0.02, work_s=0.3)
        pace.reset()
        assert pace.late_s(1_000_000, 0.001) == 0.0
        worked(pace, 2, every_s=1.0, work_s=0.1, start=10_000.0)
        assert pace.interval_s == pytest.approx(1.0)
