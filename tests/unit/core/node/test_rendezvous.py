import math
import random
from collections import Counter
from collections.abc import Iterable

import pytest

from braidmq.core.links.link import Failure, Link, LinkState
from braidmq.core.node.rendezvous import choose, rank
from tests.support.rigs.node_rig import START, address

BROKERS = [f"b{number}" for number in range(40)]


def links(names: Iterable[str], failing: Iterable[str] = ()) -> list[Link]:
    made = []
    for name in names:
        link = Link(address(name), START)
        if name in failing:
            link.failure = Failure.UNREACHABLE
            link.wake_at = math.inf
        made.append(link)
    return made


def test_choice_is_stable_whatever_the_order_of_the_list() -> None:
    chosen = choose("node", links(BROKERS), 16, (), START)
    for seed in range(5):
        shuffled = random.Random(seed).sample(BROKERS, len(BROKERS))
        assert choose("node", links(shuffled), 16, (), START) == chosen
    assert len(chosen) == 16


def test_choice_is_the_same_in_every_implementation() -> None:
    """BLAKE2b of the broker's name, keyed with the node's, 8 bytes (RFC 7693)."""
    assert rank("node", "b1").hex() == "86965c4521f77f97"
    assert choose("node", links(["b0", "b1", "b2", "b3"]), 2, (), START) == {"b0", "b3"}


def test_all_are_chosen_if_there_are_no_more() -> None:
    for count in (0, 1, 16):
        assert choose("node", links(BROKERS[:count]), 16, (), START) == set(BROKERS[:count])


def test_nodes_spread_evenly() -> None:
    nodes = 2_000
    load = Counter(name for number in range(nodes) for name in choose(f"node{number}", links(BROKERS), 16, (), START))
    mean = nodes * 16 / len(BROKERS)
    assert load.keys() == set(BROKERS)
    assert 0.9 * mean < min(load.values()) <= max(load.values()) < 1.1 * mean, "5 standard deviations are 11 %"


def test_names_that_resemble_each_other_spread_like_others() -> None:
    nodes = [f"very-long-prefix-of-a-node-that-is-the-same-for-every-one-{number:04}" for number in range(500)]
    assert all(len(node) < 64 for node in nodes)
    firsts = Counter(min(BROKERS, key=lambda broker, node=node: rank(node, broker)) for node in nodes)
    assert max(firsts.values()) < 4 * len(nodes) / len(BROKERS)


def test_broker_that_goes_moves_only_its_own_connections() -> None:
    moved = 0
    for number in range(300):
        before = choose(f"node{number}", links(BROKERS), 16, (), START)
        after = choose(f"node{number}", links(BROKERS[1:]), 16, (), START)
        if BROKERS[0] in before:
            moved += 1
            assert before - after == {BROKERS[0]}
            assert len(after - before) == 1
        else:
            assert after == before
    assert 80 < moved < 160


def test_broker_that_comes_takes_one_connection_at_most() -> None:
    for number in range(300):
        before = choose(f"node{number}", links(BROKERS), 16, (), START)
        after = choose(f"node{number}", links([*BROKERS, "new"]), 16, (), START)
        assert after - before <= {"new"}
        assert len(after) == 16


def test_failing_ones_are_replaced_and_used_again_when_they_are_back() -> None:
    usual = choose("node", links(BROKERS), 4, (), START)
    failing = sorted(usual)[:2]
    chosen = choose("node", links(BROKERS, failing), 4, (), START)
    assert usual < chosen, "they are tried on"
    assert len(chosen - set(failing)) == 4
    assert choose("node", links(BROKERS), 4, (), START) == usual


def test_failing_ones_are_bounded() -> None:
    assert len(choose("node", links(BROKERS, BROKERS), 4, (), START)) == 4
    order = sorted(BROKERS, key=lambda broker: rank("node", broker))
    chosen = choose("node", links(BROKERS, order[:20]), 4, (), START)
    assert chosen == {*order[:4], *order[20:24]}


def test_places_that_no_sound_one_takes_go_round_among_those_whose_pause_is_over_the_longest_waiting_first() -> None:
    order = sorted(BROKERS, key=lambda broker: rank("node", broker))
    made = {link.name: link for link in links(order, order[:-1])}
    for number, name in enumerate(order[10:20]):
        made[name].wake_at = START - number
    assert choose("node", made.values(), 4, (), START) == {*order[:4], *order[17:20], order[-1]}
    made[order[12]].state = LinkState.CONNECTING
    chosen = choose("node", made.values(), 4, (), START)
    assert chosen == {*order[:4], order[12], *order[18:20], order[-1]}, "no more of them are tried at one time"
    assert choose("node", made.values(), 4, (), START - 20.0) == {*order[:4], order[12], order[-1]}
    assert choose("node", links(BROKERS, order[:20]), 4, (), math.inf) == {*order[:4], *order[20:24]}


@pytest.mark.parametrize("state", [LinkState.UP, LinkState.SUSPECT, LinkState.DRAINING])
def test_open_one_is_sound(state: LinkState) -> None:
    made = links(BROKERS)
    for link in made:
        link.state = state
    assert len(choose("node", made, 4, (), START)) == 4


def test_kept_ones_come_on_top() -> None:
    usual = choose("node", links(BROKERS), 4, (), START)
    kept = [name for name in BROKERS if name not in usual][:2]
    assert choose("node", links(BROKERS), 4, kept, START) == {*usual, *kept}
    assert choose("node", links(BROKERS), 4, list(usual)[:1], START) == usual
