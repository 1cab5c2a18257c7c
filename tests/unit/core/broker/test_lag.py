"""How late the loop of a broker is, as its report tells."""

import pytest

from braidmq.core.broker.broker import TICK_S
from braidmq.core.broker.lag import RECENT_S, STALL_S, Lag
from braidmq.core.histogram import Histogram
from braidmq.wire.control import LagStatus
from tests.support.rigs.broker_rig import Rig


def lag_of(rig: Rig) -> LagStatus:
    found = rig.core.report(rig.now).lag
    assert found is not None
    return found


def test_loop_that_is_on_time_is_not_late() -> None:
    rig = Rig()
    rig.advance(1.0)
    lag = lag_of(rig)
    assert (lag.stalls, lag.recent, lag.worst_ms) == (0, 0, 0)
    took = Histogram.of(lag.took)
    assert took.count == pytest.approx(1.0 / TICK_S, abs=1)
    assert took.quantile(1.0) == pytest.approx(0.0, abs=1e-5)


def test_standstill_counts_by_how_much_the_tick_was_late() -> None:
    rig = Rig()
    rig.advance(1.0)
    rig.stall(TICK_S + 0.25)
    lag = lag_of(rig)
    assert (lag.stalls, lag.recent) == (1, 1)
    assert lag.worst_ms in range(250, 291)
    assert Histogram.of(lag.took).quantile(1.0) == pytest.approx(0.27, rel=0.1)


def test_one_that_is_hardly_late_does_not_stand_still() -> None:
    lag = Lag()
    lag.note(STALL_S, 1.0)
    assert lag.status(1.0).stalls == 0


def test_recent_ones_are_forgotten_and_all_are_counted() -> None:
    lag = Lag()
    for late_s, now in ((0.5, 1.0), (0.2, 5.0), (0.3, 9.0)):
        lag.note(late_s, now)
        lag.validate_state()
    found = lag.status(1.0 + RECENT_S)
    assert (found.stalls, found.recent, found.worst_ms) == (3, 3, 500)
    found = lag.status(1.1 + RECENT_S)
    assert (found.stalls, found.recent, found.worst_ms) == (3, 2, 300)
    found = lag.status(100.0)
    assert (found.stalls, found.recent, found.worst_ms) == (3, 0, 0)
