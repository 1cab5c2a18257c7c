import pytest

from braidmq.core.liveness import STALL_S, Looks, Silence, silence_of
from braidmq.settings import Settings


class Peer:
    def __init__(self, heard_at: float) -> None:
        self.heard_at = heard_at
        self.spoke = True


class TestSilence:
    def test_means_what_the_settings_say(self) -> None:
        settings = Settings(heartbeat_s=1.0, suspect_after_s=1.5, dead_after_s=3.0)
        assert silence_of(settings, 1.0) == Silence(1.5, 3.0)

    def test_may_be_longer_where_heartbeats_are_rarer(self) -> None:
        settings = Settings(heartbeat_s=1.0, suspect_after_s=1.5, dead_after_s=3.0)
        assert silence_of(settings, 4.0) == Silence(6.0, 12.0)

    def test_is_not_shorter_where_heartbeats_are_more_frequent(self) -> None:
        settings = Settings(heartbeat_s=1.0, suspect_after_s=1.5, dead_after_s=3.0)
        assert silence_of(settings, 0.1) == Silence(1.5, 3.0)


class TestLooks:
    def test_that_are_a_little_late_tell_of_no_standstill(self) -> None:
        looks = Looks(0.04, 10.04, 10.0)
        looks.begin(10.04 + STALL_S - 0.001)
        assert looks.stalled_s == 0.0
        assert looks.due_at == pytest.approx(10.129)

    def test_that_are_late_tell_how_long_this_process_has_stood_still(self) -> None:
        looks = Looks(0.04, 10.04, 10.0)
        looks.begin(12.04)
        assert looks.stalled_s == pytest.approx(2.0)
        looks.begin(12.08)
        assert looks.stalled_s == 0.0

    def test_can_be_hastened(self) -> None:
        looks = Looks(0.04, 10.04, 10.0)
        looks.hasten(10.01)
        looks.hasten(10.02)
        assert looks.due_at == 10.01

    def test_that_would_find_nothing_are_left_out_and_the_others_are_due_as_if_none_were(self) -> None:
        looks = Looks(0.04, 10.04, 10.0)
        looks.rest(10.1)
        assert looks.resting
        assert looks.due_at == pytest.approx(10.12)
        looks.rest(99.0)
        assert looks.due_at == pytest.approx(10.28)
        looks.rouse(10.17)
        assert looks.due_at == pytest.approx(10.2)
        looks.begin(10.2)
        assert looks.stalled_s == 0.0
        assert not looks.resting

    def test_that_are_late_after_a_rest_tell_how_late_they_are(self) -> None:
        looks = Looks(0.04, 10.04, 10.0)
        looks.rest(99.0)
        looks.begin(11.28)
        assert looks.stalled_s == pytest.approx(1.0)

    def test_that_were_hastened_are_not_put_off(self) -> None:
        looks = Looks(0.04, 10.04, 10.0)
        looks.rest(99.0)
        looks.hasten(10.2)
        looks.rest(99.0)
        looks.rouse(10.21)
        assert looks.due_at == 10.2

    def test_a_standstill_is_no_silence_of_a_peer(self) -> None:
        looks = Looks(0.04, 10.04, 10.0)
        looks.begin(12.04)
        silent, heard = Peer(9.5), Peer(11.0)
        looks.excuse(silent, 12.04)
        looks.excuse(heard, 12.04)
        assert silent.heard_at == pytest.approx(11.5)
        assert heard.heard_at == 12.04, "nobody was heard later than now"
        assert not silent.spoke, "what was said before it is too old to stand for a heartbeat"
