import pytest

from braidmq.core.membership.rumors import Rumors
from braidmq.wire.gossip import RUMORS_MAX, Rumor


def rumor(name: str, incarnation: int = 0) -> Rumor:
    return Rumor(name, incarnation, "alive")


def names(rumors: list[Rumor]) -> list[str]:
    return [each.name for each in rumors]


@pytest.fixture
def rumors() -> Rumors:
    return Rumors()


class TestPut:
    def test_newest_of_a_broker_replaces_the_one_before(self, rumors: Rumors) -> None:
        rumors.put(rumor("a", 1))
        rumors.put(rumor("a", 2))
        assert rumors.take(5, RUMORS_MAX) == [rumor("a", 2)]
        assert len(rumors) == 1

    def test_newest_is_told_as_often_as_if_there_had_been_none_before(self, rumors: Rumors) -> None:
        rumors.put(rumor("a", 1))
        for _ in range(7):
            rumors.take(5, RUMORS_MAX)
        rumors.put(rumor("a", 2))
        assert [len(rumors.take(5, RUMORS_MAX)) for _ in range(10)] == [1] * 8 + [0] * 2


class TestTake:
    def test_nothing_is_told_of_nobody(self, rumors: Rumors) -> None:
        assert rumors.take(1_000, RUMORS_MAX) == []

    @pytest.mark.parametrize(
        ("brokers", "times"),
        [(1, 8), (5, 8), (9, 8), (10, 8), (99, 8), (100, 12), (999, 12), (1_000, 16)],
    )
    def test_rumor_is_told_four_times_the_logarithm_of_the_net(self, rumors: Rumors, brokers: int, times: int) -> None:
        rumors.put(rumor("a"))
        told = 0
        while rumors:
            assert rumors.take(brokers, RUMORS_MAX) == [rumor("a")]
            told += 1
        assert told == times

    def test_least_told_come_first(self, rumors: Rumors) -> None:
        rumors.put(rumor("old"))
        rumors.take(5, 1)
        rumors.put(rumor("new"))
        assert names(rumors.take(5, 1)) == ["new"]

    def test_message_carries_no_more_than_asked_for(self, rumors: Rumors) -> None:
        for number in range(40):
            rumors.put(rumor(f"b{number}"))
        batches = [names(rumors.take(50, RUMORS_MAX)) for _ in range(3)]
        assert [len(batch) for batch in batches] == [16, 16, 16]
        assert len({name for batch in batches for name in batch}) == 40, "all are told once before any is told twice"

    def test_rumors_that_are_not_taken_are_not_counted_as_told(self, rumors: Rumors) -> None:
        for number in range(20):
            rumors.put(rumor(f"b{number}"))
        told = sum(len(rumors.take(5, 3)) for _ in range(1_000))
        assert told == 20 * 8


class TestDrop:
    def test_dropped_broker_is_told_of_no_more(self, rumors: Rumors) -> None:
        rumors.put(rumor("a"))
        rumors.put(rumor("b"))
        rumors.drop("a")
        assert names(rumors.take(5, RUMORS_MAX)) == ["b"]

    def test_dropping_the_unknown_does_nothing(self, rumors: Rumors) -> None:
        rumors.drop("a")
        assert not rumors
