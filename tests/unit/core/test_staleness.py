import random

import pytest

from braidmq.core.staleness import WINDOW_S, Staleness
from braidmq.wire.envelope import UINT32


def sent_ms(now: float, clock_s: float = 0.0) -> int:
    return int((now + clock_s) * 1000) & UINT32


def test_first_message_counts_as_undelayed() -> None:
    assert Staleness().age_s(12345, 999.0) == 0.0


@pytest.mark.parametrize("clock_s", [0.0, 1e5, -900.0, 4_294_967.0, 2_147_483.648])
def test_delay_beyond_the_quickest_message_is_the_age_whatever_the_clock(clock_s: float) -> None:
    staleness = Staleness()
    assert staleness.age_s(sent_ms(1000.0, clock_s), 1000.010) == 0.0
    assert staleness.age_s(sent_ms(1001.0, clock_s), 1003.510) == pytest.approx(2.5, abs=0.002)


def test_quicker_message_lowers_the_measure() -> None:
    staleness = Staleness()
    staleness.age_s(sent_ms(1000.0), 1000.5)
    assert staleness.age_s(sent_ms(1001.0), 1001.1) == 0.0
    assert staleness.age_s(sent_ms(1002.0), 1002.5) == pytest.approx(0.4, abs=0.002)


def test_clock_of_the_sender_may_wrap() -> None:
    staleness = Staleness()
    wraps_at = (UINT32 + 1) / 1000
    for at in range(-5, 5):
        assert staleness.age_s(sent_ms(wraps_at + at), 50.0 + at) == 0.0
    assert staleness.age_s(sent_ms(wraps_at + 5), 50.0 + 8) == pytest.approx(3.0, abs=0.002)


def test_drift_of_clocks_is_forgotten() -> None:
    staleness = Staleness()
    worst = 0.0
    for step in range(20_000):
        now = 1000.0 + step * 0.5
        worst = max(worst, staleness.age_s(sent_ms(1000.0 + (now - 1000.0) * (1 - 50e-6)), now))
    assert worst <= 0.005


def test_measure_is_kept_when_its_window_ends() -> None:
    staleness = Staleness()
    staleness.age_s(sent_ms(1000.0), 1000.0)
    later = 1000.0 + WINDOW_S + 1.0
    assert staleness.age_s(sent_ms(later - 4.0), later) == pytest.approx(4.0, abs=0.002)


def test_process_that_was_stopped_sees_how_old_its_mail_is() -> None:
    staleness = Staleness()
    for second in range(10):
        staleness.age_s(sent_ms(1000.0 + second), 1000.0 + second)
    ages = [staleness.age_s(sent_ms(1010.0 + second), 1040.0) for second in range(30)]
    assert ages == pytest.approx([30.0 - second for second in range(30)], abs=0.002)


def test_age_is_never_negative_whatever_is_sent() -> None:
    rng = random.Random(3)
    staleness = Staleness()
    now = 0.0
    for _ in range(5_000):
        now += rng.random() * 10
        assert 0.0 <= staleness.age_s(rng.getrandbits(32), now) <= UINT32 / 1000
