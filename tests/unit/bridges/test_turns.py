"""Peers share what a node has for calls."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from braidmq.bridges.turns import FLOOR, LEAST_S, SPARED, Turns
from braidmq.errors import Overloaded
from braidmq.settings import Settings
from tests.support.examples import TIMES

PLACES = 64 - 64 // SPARED
ALONE = PLACES - PLACES // SPARED


class Peers:
    """Peers of a bridge whose node has 64 places, and their calls."""

    def __init__(self, **settings):
        self.turns = Turns(Settings(in_flight_max=64, **settings))
        self.numbers = 0
        self.on_their_way = {}

    def call(self, peer, times=1, service="echo", size=1, deadline=60.0):
        for _ in range(times):
            self.numbers += 1
            if self.turns.enter(self.numbers, peer, service, size, deadline):
                self.on_their_way[self.numbers] = peer
        self.turns.validate_state()
        return self.numbers

    def end_oldest(self):
        """End the call that has been on its way for longest; return whose calls begin instead."""
        number = next(iter(self.on_their_way))
        del self.on_their_way[number]
        self.turns.leave(number)
        begun = self.turns.take(0.0)
        self.on_their_way.update((each, self.owner(each)) for each, _ in begun)
        return [self.owner(each) for each, _ in begun]

    def owner(self, number):
        return self.turns._calls[number].owner

    def held(self, peer):
        return list(self.on_their_way.values()).count(peer)


def test_peer_that_is_alone_leaves_some_places_free():
    peers = Peers()
    peers.call("flood", 100)
    assert peers.held("flood") == ALONE
    peers.call("other", PLACES)
    assert peers.held("other") == PLACES - ALONE


def test_two_peers_that_take_all_they_can_get_have_a_third_each():
    peers = Peers()
    peers.call("a", 1_000)
    peers.call("b", 1_000)
    for _ in range(4 * PLACES):
        peers.end_oldest()
    assert abs(peers.held("a") - peers.held("b")) <= 1
    assert abs(peers.held("a") - PLACES // 3) <= 1


def test_peer_with_few_calls_begins_at_once_beside_one_that_floods():
    peers = Peers()
    peers.call("flood", 1_000)
    for _ in range(3):
        peers.call("other")
        assert peers.held("other") == 1
        while peers.held("other"):
            peers.end_oldest()


def test_peers_that_wait_take_turns_however_many_calls_each_has():
    peers = Peers()
    names = [f"p{number}" for number in range(2 * PLACES)]
    for name in names:
        peers.call(name, 10)
    peers.call("flood", 500)
    begun = [owner for _ in range(len(names) * 3) for owner in peers.end_oldest()]
    assert len(begun) == len(names) * 3
    assert begun.count("flood") <= 3
    assert all(2 <= begun.count(name) <= 4 for name in names[PLACES:])
    peers.turns.validate_state()


def test_peer_may_have_some_calls_on_their_way_as_long_as_there_is_a_place():
    peers = Peers()
    for number in range(PLACES // FLOOR):
        peers.call(f"p{number}", 20)
    assert [peers.held(f"p{number}") >= FLOOR - 1 for number in range(3)] == [True] * 3
    assert len(peers.on_their_way) == PLACES


def test_service_that_hangs_keeps_no_other_from_going_on():
    peers = Peers()
    for number in range(PLACES):
        peers.call(f"p{number}", 5, service="hang")
    assert peers.call("p0", service="echo") in peers.on_their_way


def test_who_floods_leaves_half_of_what_may_wait_to_others():
    peers = Peers(waiting_max=100)
    with pytest.raises(Overloaded, match="wait already"):
        peers.call("flood", 1_000)
    assert peers.turns.waiting == 50
    for number in range(50):
        peers.call(f"p{number}", 1, service="hang")
    assert peers.held("p0") == 1
    peers.call("other", PLACES // 2 + 1)
    assert peers.turns.waiting >= 51


def test_beyond_half_of_what_may_wait_nobody_has_more_than_an_equal_share():
    peers = Peers(waiting_max=100)
    peers.call("busy", ALONE)
    names = [f"p{number}" for number in range(9)]
    for name in names:
        for _ in range(5):
            peers.call(name, service="echo")
    assert peers.turns.waiting < 50
    with pytest.raises(Overloaded):
        peers.call("flood", 1_000)
    assert peers.turns.waiting == 50, "of the room that is left it could have as many again"
    for name in names:
        peers.call(name, 8 - peers.turns._waiting_of.get(name, 0))
    for name in names[:2]:
        peers.call(name, 2)
        with pytest.raises(Overloaded, match="10 of them of this program"):
            peers.call(name)
    with pytest.raises(Overloaded):
        peers.call("flood")


def test_one_call_of_each_waits_however_many_there_are():
    peers = Peers(waiting_max=20)
    peers.call("busy", ALONE)
    peers.call("other", PLACES - ALONE)
    for number in range(20):
        peers.call(f"p{number}")
    assert peers.turns.waiting == 20
    with pytest.raises(Overloaded):
        peers.call("late")


def test_nothing_waits_beyond_the_bytes_that_may():
    peers = Peers(in_flight_bytes_max=10_000)
    peers.call("a", ALONE)
    peers.call("a", size=10_000)
    with pytest.raises(Overloaded, match="10000 bytes wait already"):
        peers.call("a", size=1)
    assert peers.turns.waiting == 1


def test_large_payload_that_waits_leaves_room_for_those_of_others():
    peers = Peers(in_flight_bytes_max=10_000)
    for name in ("a", "b", "c", "d"):
        peers.call(name, PLACES)
    peers.call("a", 4, size=1_000)
    with pytest.raises(Overloaded, match="of this program"):
        peers.call("a", 10, size=1_000)
    peers.call("b", size=1_000)


def test_call_that_waits_until_its_time_is_over_is_told_once():
    peers = Peers()
    peers.call("a", PLACES)
    late = [peers.call("a", deadline=5.0)]
    assert peers.turns.next_deadline() == pytest.approx(5.0, abs=0.02)
    assert peers.turns.take_late(4.9) == []
    assert peers.turns.take_late(5.1) == late
    peers.turns.validate_state()
    assert peers.turns.take_late(5.1) == []


def test_call_begins_with_what_it_has_left_of_its_time():
    peers = Peers()
    peers.call("a", ALONE)
    first, last = peers.call("a", deadline=5.0), peers.call("a", deadline=2.0)
    for number in (1, 2):
        peers.turns.leave(number)
    assert peers.turns.take(3.0) == [(first, 2.0), (last, LEAST_S)]


class AnyOrder(RuleBasedStateMachine):
    """Whatever peers do, and in whatever order: nothing is lost, and nobody waits for whom there is a place."""

    waiting = Bundle("calls")

    @initialize(places=st.integers(1, 40), waiting_max=st.integers(0, 30))
    def begin(self, places, waiting_max):
        self.turns = Turns(Settings(in_flight_max=places, waiting_max=waiting_max, in_flight_bytes_max=2_000))
        self.numbers = 0
        self.now = 0.0
        self.here = set()

    @rule(
        target=waiting,
        peer=st.integers(0, 3),
        service=st.integers(0, 1),
        size=st.integers(0, 700),
        wait_s=st.floats(0.01, 9),
    )
    def call(self, peer, service, size, wait_s):
        self.numbers += 1
        try:
            self.turns.enter(self.numbers, peer, service, size, self.now + wait_s)
        except Overloaded:
            return self.numbers
        self.here.add(self.numbers)
        return self.numbers

    @rule(number=consumes(waiting))
    def end(self, number):
        self.turns.leave(number)
        self.here.discard(number)

    @rule()
    def go_on(self):
        begun = [number for number, _ in self.turns.take(self.now)]
        assert len(begun) == len(set(begun))
        assert self.here.issuperset(begun)

    @rule(seconds=st.floats(0, 5))
    def wait(self, seconds):
        self.now += seconds
        self.here.difference_update(self.turns.take_late(self.now))

    @invariant()
    def state_holds(self):
        self.turns.validate_state()
        assert set(self.turns._calls) == self.here


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=20 * TIMES, stateful_step_count=30, deadline=None)
