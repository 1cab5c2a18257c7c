import pytest

from braidmq.core.membership.peer_record import overrides
from braidmq.wire.gossip import Rumor, State

STATES: list[State] = ["alive", "suspect", "leaving", "dead"]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("said", STATES)
def test_at_one_incarnation_only_the_worse_is_news(said: State, state: State) -> None:
    assert overrides(Rumor("a", 7, said), 7, state) == (STATES.index(said) > STATES.index(state))


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("said", STATES)
def test_later_life_overrides_an_earlier_one_whatever_is_said(said: State, state: State) -> None:
    assert overrides(Rumor("a", 8, said), 7, state)
    assert not overrides(Rumor("a", 6, said), 7, state)
