import math

import pytest

from braidmq.core.membership.suspicion import CONFIRMATIONS, LONELY_FACTOR, Suspicion


class TestLonely:
    def test_single_accuser_waits_six_times_the_least(self) -> None:
        assert LONELY_FACTOR == 6.0
        assert Suspicion("a", 4.0, 10, 100.0).deadline == 124.0

    def test_least_time_grows_with_the_logarithm_of_the_net(self) -> None:
        assert Suspicion("a", 4.0, 1_000, 100.0).deadline == pytest.approx(100.0 + 6 * 4.0 * 3)

    def test_least_time_is_that_of_ten_brokers_in_smaller_nets(self) -> None:
        assert Suspicion("a", 4.0, 5, 0.0).deadline == Suspicion("a", 4.0, 10, 0.0).deadline == 24.0

    @pytest.mark.parametrize("brokers", [1, 2, 3, 4])
    def test_net_with_too_few_to_confirm_waits_the_least(self, brokers: int) -> None:
        assert Suspicion("a", 4.0, brokers, 100.0).deadline == 104.0

    @pytest.mark.parametrize("brokers", [2, 4])
    def test_nobody_confirms_in_a_net_with_too_few(self, brokers: int) -> None:
        suspicion = Suspicion("a", 4.0, brokers, 100.0)
        assert not suspicion.confirm("b")
        assert suspicion.deadline == 104.0


class TestConfirm:
    def test_each_accuser_shortens_the_time_down_to_the_least(self) -> None:
        assert CONFIRMATIONS == 3
        suspicion = Suspicion("a", 4.0, 5, 100.0)
        deadlines = [suspicion.deadline]
        for accuser in "bcd":
            assert suspicion.confirm(accuser)
            deadlines.append(suspicion.deadline)
        shares = [1.0, 0.5, 1.0 - math.log(3) / math.log(4), 0.0]
        assert deadlines == pytest.approx([104.0 + 20.0 * share for share in shares])

    def test_same_accuser_counts_once(self) -> None:
        suspicion = Suspicion("a", 4.0, 5, 100.0)
        assert suspicion.confirm("b")
        assert not suspicion.confirm("b")
        assert not suspicion.confirm("a")
        assert suspicion.deadline == pytest.approx(114.0)

    def test_accusers_beyond_the_wanted_do_not_count(self) -> None:
        suspicion = Suspicion("a", 4.0, 50, 100.0)
        assert [suspicion.confirm(accuser) for accuser in "bcdef"] == [True, True, True, False, False]
        assert suspicion.accusers == {"a", "b", "c", "d"}


class TestPostpone:
    def test_deadline_moves_by_that_much(self) -> None:
        suspicion = Suspicion("a", 4.0, 5, 100.0)
        suspicion.postpone(7.5)
        assert suspicion.deadline == 131.5
