from dataclasses import dataclass, field

import pytest

from braidmq.core.links.link import Failure
from braidmq.lab.simulation.network import POLL_S, RETRANSMIT_S, RETRANSMITS_MAX, Stage
from tests.support.rigs.hosts import DELAY_S, HANDSHAKE_S_MAX, MOMENT_S, NUMBERS, TRANSPORT_TIMEOUT_S, Hosts, many

SLACK_S = 1e-9


def is_prefix(frames, sent):
    return frames == sent[: len(frames)]


@pytest.fixture
def hosts():
    return Hosts()


# -- frames


def test_within_a_connection_nothing_is_reordered():
    for hosts in many():
        connection = hosts.opened()
        hosts.send(connection, *NUMBERS)
        hosts.send(connection, *NUMBERS, outward=False)
        hosts.pass_time()
        assert hosts.b.got == [(b"route", "key of n", frame) for frame in NUMBERS]
        assert hosts.n.got == [("b", frame) for frame in NUMBERS]


def test_a_frame_takes_as_long_as_the_network_takes():
    for hosts in many():
        connection = hosts.opened()
        hosts.send(connection, b"frame")
        hosts.world.run(hosts.world.now + DELAY_S[0] - SLACK_S)
        assert hosts.b.got == []
        hosts.world.run(hosts.world.now + DELAY_S[1] - DELAY_S[0] + 2 * SLACK_S)
        assert hosts.b.frames == [b"frame"]


def test_connections_are_reordered_against_one_another():
    orders = set()
    for hosts in many():
        first, second = hosts.opened(route=b"1"), hosts.opened(hosts.dealer("m"), route=b"2")
        hosts.send(first, b"first")
        hosts.send(second, b"second")
        hosts.pass_time()
        orders.add(tuple(hosts.b.frames))
    assert orders == {(b"first", b"second"), (b"second", b"first")}


def test_a_slow_direction_is_slower_and_the_other_one_is_not(hosts):
    connection = hosts.opened()
    hosts.network.conditions("n", "b").extra_s = 1.0
    hosts.send(connection, b"frame")
    hosts.send(connection, b"frame", outward=False)
    hosts.pass_time(1.0)
    assert (hosts.b.frames, hosts.n.frames) == ([], [b"frame"])
    hosts.pass_time()
    assert hosts.b.frames == [b"frame"]


def test_a_frame_does_not_overtake_one_that_was_slower(hosts):
    connection = hosts.opened()
    hosts.network.conditions("n", "b").extra_s = 1.0
    hosts.send(connection, b"slow")
    hosts.network.conditions("n", "b").extra_s = 0.0
    hosts.send(connection, b"fast")
    hosts.pass_time(1.0)
    assert hosts.b.frames == []
    hosts.pass_time()
    assert hosts.b.frames == [b"slow", b"fast"]


def test_loss_delays_and_never_loses_or_reorders():
    late = 0
    for hosts in many():
        connection = hosts.opened()
        hosts.network.conditions("n", "b").loss = 0.5
        hosts.send(connection, *NUMBERS)
        hosts.pass_time()
        assert is_prefix(hosts.b.frames, NUMBERS)
        late += len(NUMBERS) - len(hosts.b.frames)
        hosts.pass_time(1_000.0)
        assert hosts.b.frames == NUMBERS
    assert late


def test_a_lost_packet_costs_the_shortest_timeout_of_tcp_first_and_twice_as_much_each_time():
    costs = set()
    for hosts in many(delay_s=(0.0, 0.0)):
        connection = hosts.opened()
        hosts.network.conditions("n", "b").loss = 0.5
        began = hosts.world.now
        hosts.send(connection, b"frame")
        hosts.world.run(1_000.0, lambda hosts=hosts: bool(hosts.b.got))
        costs.add(round((hosts.world.now - began) / RETRANSMIT_S))
    assert costs == {2**lost - 1 for lost in range(RETRANSMITS_MAX + 1)}


# -- pipes are bounded


@pytest.mark.parametrize("outward", [True, False])
def test_a_full_pipe_refuses_until_its_reader_has_read(outward):
    hosts = Hosts(frames_max=2)
    connection = hosts.opened()
    reader = hosts.b if outward else hosts.n
    reader.reading = False
    assert hosts.send(connection, b"1", b"2", b"3", outward=outward) == [True, True, False]
    hosts.pass_time()
    assert hosts.send(connection, b"4", outward=outward) == [False], "what has arrived counts until it is read"
    reader.reading = True
    reader.wake()
    hosts.pass_time()
    assert reader.frames == [b"1", b"2"]
    assert hosts.send(connection, b"5", b"6", b"7", outward=outward) == [True, True, False]


@pytest.mark.parametrize("outward", [True, False])
def test_who_was_refused_is_woken_when_there_is_room(outward):
    hosts = Hosts(frames_max=2)
    connection = hosts.opened()
    reader, sender = (hosts.b, hosts.n) if outward else (hosts.n, hosts.b)
    reader.reading = False
    hosts.send(connection, b"1", b"2", b"3", outward=outward)
    hosts.pass_time()
    sender.turns.clear()
    reader.reading = True
    reader.wake()
    at = hosts.world.now
    hosts.pass_time()
    assert [world_at for world_at, _ in sender.turns] == [at]


def test_nobody_is_woken_for_room_that_nobody_missed(hosts):
    connection = hosts.opened()
    hosts.n.turns.clear()
    hosts.send(connection, b"1")
    hosts.pass_time()
    assert hosts.b.frames == [b"1"]
    assert hosts.n.turns == []


# -- cuts


def test_a_cut_holds_what_is_sent_and_heals_in_order(hosts):
    connection = hosts.opened()
    hosts.cut()
    hosts.send(connection, *NUMBERS[:5])
    hosts.pass_time(10.0)
    assert hosts.b.frames == []
    hosts.cut(outward=False, inward=False)
    hosts.send(connection, *NUMBERS[5:])
    hosts.pass_time()
    assert hosts.b.frames == NUMBERS


def test_a_cut_holds_what_was_on_its_way():
    for hosts in many(20):
        connection = hosts.opened()
        hosts.send(connection, *NUMBERS[:3])
        hosts.cut()
        hosts.send(connection, *NUMBERS[3:6])
        hosts.pass_time(10.0)
        assert hosts.b.frames == []
        hosts.cut(outward=False, inward=False)
        hosts.send(connection, *NUMBERS[6:])
        hosts.pass_time()
        assert hosts.b.frames == NUMBERS


def test_a_cut_that_heals_before_anything_arrives_keeps_the_order():
    for hosts in many():
        connection = hosts.opened()
        hosts.send(connection, *NUMBERS[:3])
        hosts.cut()
        hosts.send(connection, *NUMBERS[3:6])
        hosts.pass_time(DELAY_S[1] / 4)
        hosts.cut(outward=False, inward=False)
        hosts.send(connection, *NUMBERS[6:])
        hosts.pass_time()
        assert hosts.b.frames == NUMBERS


def test_a_cut_of_one_direction_lets_the_other_through(hosts):
    connection = hosts.opened()
    hosts.cut(inward=False)
    hosts.send(connection, b"there")
    hosts.send(connection, b"back", outward=False)
    hosts.pass_time()
    assert (hosts.b.frames, hosts.n.frames) == ([], [b"back"])


def test_what_a_cut_holds_is_bounded():
    hosts = Hosts(frames_max=2)
    connection = hosts.opened()
    hosts.cut()
    assert hosts.send(connection, b"1", b"2", b"3") == [True, True, False]


# -- handshakes


def test_a_handshake_that_nothing_hinders_succeeds(hosts):
    connection = hosts.n.dealers.open_as("b", b"route")
    assert connection.stage is Stage.OPENING
    hosts.pass_time()
    assert hosts.n.heard == [None]
    assert connection.stage is Stage.OPEN
    assert 2 * DELAY_S[0] <= hosts.n.news[0][0] <= 2 * DELAY_S[1]


def test_a_router_that_is_down_cannot_be_reached(hosts):
    hosts.b.kill()
    hosts.n.dealers.open_as("b", b"route")
    hosts.pass_time()
    assert hosts.n.heard == [Failure.UNREACHABLE]
    assert not hosts.network.connections


def test_who_is_not_registered_is_told_so(hosts):
    hosts.unregistered.add("key of n")
    hosts.n.dealers.open_as("b", b"route")
    hosts.pass_time()
    assert hosts.n.heard == [Failure.NOT_REGISTERED]
    assert not hosts.network.connections


@pytest.mark.parametrize("how", ["there", "back", "paused"])
def test_a_handshake_without_an_answer_fails_when_its_time_is_over(hosts, how):
    if how == "paused":
        hosts.b.pause()
    else:
        hosts.cut(outward=how == "there", inward=how == "back")
    hosts.n.dealers.open_as("b", b"route")
    hosts.pass_time(HANDSHAKE_S_MAX)
    assert hosts.n.heard == []
    hosts.pass_time(POLL_S + SLACK_S)
    assert hosts.n.heard == [Failure.UNREACHABLE]


@pytest.mark.parametrize("how", ["cut", "paused"])
def test_a_handshake_succeeds_when_what_hindered_it_ends_in_time(hosts, how):
    if how == "paused":
        hosts.b.pause()
    else:
        hosts.cut()
    hosts.n.dealers.open_as("b", b"route")
    hosts.pass_time(HANDSHAKE_S_MAX / 2)
    assert hosts.n.heard == []
    hosts.b.resume()
    hosts.cut(outward=False, inward=False)
    hosts.pass_time()
    assert hosts.n.heard == [None]


def test_a_handshake_that_its_dealer_gives_up_comes_to_nothing(hosts):
    connection = hosts.n.dealers.open_as("b", b"route")
    hosts.n.dealers.close("b")
    assert connection.stage is Stage.ENDED
    assert not hosts.network.connections
    hosts.pass_time()
    assert hosts.n.heard == []
    assert hosts.b.routes.attach(hosts.n.dealers.open_as("b", b"route")), "its routing id is free"


def test_what_is_sent_during_a_handshake_is_read_when_it_is_over(hosts):
    hosts.send(hosts.n.dealers.open_as("b", b"route"), *NUMBERS)
    hosts.pass_time()
    assert hosts.b.frames == NUMBERS


def test_what_is_sent_during_a_handshake_arrives_after_it():
    for hosts in many():
        connection = hosts.n.dealers.open_as("b", b"route")
        hosts.send(connection, *NUMBERS)
        hosts.b.pause()
        hosts.pass_time(1.0)
        hosts.b.resume()
        assert hosts.world.run(hosts.world.now + MOMENT_S, lambda hosts=hosts: hosts.n.heard == [None])
        assert hosts.b.frames == []
        hosts.send(connection, b"after")
        hosts.pass_time()
        assert hosts.b.frames == [*NUMBERS, b"after"]


def test_the_end_of_a_cut_does_not_let_frames_overtake_their_handshake(hosts):
    hosts.cut()
    hosts.b.pause()
    hosts.send(hosts.n.dealers.open_as("b", b"route"), *NUMBERS)
    hosts.pass_time()
    hosts.cut(outward=False, inward=False)
    hosts.pass_time()
    assert hosts.n.heard == []
    hosts.b.resume()
    hosts.pass_time()
    assert hosts.b.frames == NUMBERS


@pytest.mark.parametrize("how", ["not registered", "closed"])
def test_what_is_sent_during_a_handshake_that_fails_arrives_nowhere(hosts, how):
    if how == "not registered":
        hosts.unregistered.add("key of n")
    hosts.send(hosts.n.dealers.open_as("b", b"route"), *NUMBERS)
    if how == "closed":
        hosts.n.dealers.close("b")
    hosts.pass_time()
    assert hosts.b.frames == []


def test_a_newcomer_with_a_routing_id_in_use_is_ignored_and_does_not_know(hosts):
    first = hosts.opened()
    other = hosts.dealer("m")
    second = other.dealers.open_as("b", b"route")
    assert hosts.send(second, b"in its handshake") == [True]
    hosts.pass_time()
    assert other.heard == [None]
    assert hosts.send(second, b"unheard") == [True]
    hosts.send(first, b"heard")
    hosts.b.routes.send({b"route": [b"for the first"]})
    hosts.pass_time()
    assert hosts.b.got == [(b"route", "key of n", b"heard")]
    assert (hosts.n.frames, other.frames) == ([b"for the first"], [])


def test_the_end_of_an_ignored_newcomer_does_nothing_to_the_owner_of_its_routing_id(hosts):
    hosts.opened()
    other = hosts.dealer("m")
    hosts.opened(other)
    other.dealers.close("b")
    hosts.pass_time()
    hosts.b.routes.send({b"route": [b"still there"]})
    hosts.pass_time()
    assert hosts.n.frames == [b"still there"]
    assert hosts.b.gone == []


# -- how connections end


def closed_after_some(hosts, *, by_dealer, lossless):
    connection = hosts.opened()
    hosts.send(connection, *NUMBERS, outward=by_dealer)
    hosts.pass_time(DELAY_S[1] / 2)
    hosts.network.close(connection, by_dealer=by_dealer, lossless=lossless)
    if by_dealer:
        hosts.n.dealers._connections.clear()
    else:
        hosts.b.routes._connections.clear()
    hosts.pass_time()
    return hosts.b.frames if by_dealer else hosts.n.frames


@pytest.mark.parametrize("by_dealer", [True, False])
def test_a_close_loses_only_the_last_of_what_was_sent(by_dealer):
    arrived = [closed_after_some(hosts, by_dealer=by_dealer, lossless=False) for hosts in many(200)]
    assert all(is_prefix(frames, NUMBERS) for frames in arrived)
    assert {len(frames) for frames in arrived} == set(range(len(NUMBERS) + 1))


@pytest.mark.parametrize("by_dealer", [True, False])
def test_a_lossless_close_loses_nothing(by_dealer):
    for hosts in many():
        assert closed_after_some(hosts, by_dealer=by_dealer, lossless=True) == NUMBERS


def test_what_the_other_end_sends_to_a_closed_end_is_sent_in_vain(hosts):
    connection = hosts.opened()
    hosts.send(connection, b"under way", outward=False)
    hosts.network.close(connection, by_dealer=True)
    hosts.send(connection, b"too late", outward=False)
    hosts.pass_time()
    assert not connection.inward.arrived
    assert hosts.n.frames == []


def test_the_other_end_learns_of_a_close_after_what_has_arrived():
    for hosts in many():
        connection = hosts.opened()
        hosts.send(connection, *NUMBERS, outward=False)
        hosts.b.routes.close_all(lossless=True)
        hosts.world.run(hosts.world.now + MOMENT_S, lambda hosts=hosts: bool(hosts.n.heard))
        assert hosts.n.heard == [Failure.CLOSED]
        assert hosts.n.frames == NUMBERS
        assert not hosts.network.connections


def test_the_other_end_of_a_cut_learns_of_a_close_by_the_timeout_of_the_transport(hosts):
    connection = hosts.opened()
    hosts.cut()
    hosts.send(connection, b"held", outward=False)
    hosts.b.routes.close_all(lossless=True)
    hosts.pass_time(TRANSPORT_TIMEOUT_S - SLACK_S)
    assert hosts.n.heard == []
    hosts.pass_time(2 * SLACK_S)
    assert hosts.n.heard == [Failure.CLOSED]


def test_what_a_cut_held_when_its_connection_ended_is_lost(hosts):
    connection = hosts.opened()
    hosts.cut()
    hosts.send(connection, b"held", outward=False)
    hosts.network.close(connection, by_dealer=False, lossless=True)
    hosts.cut(outward=False, inward=False)
    hosts.pass_time(TRANSPORT_TIMEOUT_S + MOMENT_S)
    assert hosts.n.frames == []


def test_a_connection_ends_once(hosts):
    connection = hosts.opened()
    hosts.network.reset(connection)
    hosts.network.reset(connection)
    hosts.network.close(connection, by_dealer=False)
    hosts.pass_time()
    assert hosts.n.heard == [Failure.CLOSED]
    hosts.network.reset(connection)
    hosts.pass_time()
    assert hosts.n.heard == [Failure.CLOSED]


def test_a_reset_tells_both_ends_at_once(hosts):
    connection = hosts.opened()
    hosts.network.reset(connection)
    hosts.pass_time()
    assert hosts.n.heard == [Failure.CLOSED]
    assert hosts.b.gone == [(b"route", [])]
    assert not hosts.network.connections


def test_a_silent_reset_is_noticed_only_by_the_timeout_of_the_transport(hosts):
    connection = hosts.opened()
    hosts.network.reset(connection, silent=True)
    assert hosts.send(connection, b"1") == [True]
    assert hosts.send(connection, b"2", outward=False) == [True]
    hosts.pass_time(TRANSPORT_TIMEOUT_S)
    assert (hosts.n.heard, hosts.b.gone) == ([], [])
    hosts.pass_time()
    assert hosts.n.heard == [Failure.CLOSED]
    assert hosts.b.gone == [(b"route", [])]
    assert (hosts.b.frames, hosts.n.frames) == ([], [])


@pytest.mark.parametrize("silent", [False, True])
def test_a_reset_loses_only_the_last_of_what_was_sent_and_all_that_follows(silent):
    lengths = set()
    for hosts in many(200):
        connection = hosts.opened()
        for outward in (True, False):
            hosts.send(connection, *NUMBERS, outward=outward)
        hosts.pass_time(DELAY_S[1] / 2)
        hosts.network.reset(connection, silent=silent)
        for outward in (True, False):
            hosts.send(connection, b"after", outward=outward)
        hosts.pass_time()
        assert is_prefix(hosts.b.frames, NUMBERS)
        assert is_prefix(hosts.n.frames, NUMBERS)
        lengths |= {len(hosts.b.frames), len(hosts.n.frames)}
    assert lengths == set(range(len(NUMBERS) + 1))


def test_a_handshake_cannot_be_reset(hosts):
    connection = hosts.n.dealers.open_as("b", b"route")
    hosts.network.reset(connection)
    hosts.pass_time()
    assert hosts.n.heard == [None]


# -- who else reads


@dataclass
class Ear:
    heard: list = field(default_factory=list)

    def on_heard(self, connection, pipe, frame):
        self.heard.append((connection, pipe is connection.outward, frame))


def test_an_eavesdropper_hears_all_that_a_pipe_takes():
    hosts = Hosts(frames_max=1)
    connection = hosts.opened()
    hosts.network.eavesdropper = Ear()
    hosts.send(connection, b"there", b"refused")
    hosts.send(connection, b"back", outward=False)
    assert hosts.network.eavesdropper.heard == [(connection, True, b"there"), (connection, False, b"back")]


# -- whether all is well


def test_a_network_is_sound_unless_a_connection_is_dead_and_nobody_knows(hosts):
    assert hosts.network.is_sound
    connection = hosts.n.dealers.open_as("b", b"route")
    hosts.pass_time()
    assert hosts.network.is_sound
    hosts.network.reset(connection, silent=True)
    assert not hosts.network.is_sound, "it is dead, and nobody knows"
    hosts.pass_time(TRANSPORT_TIMEOUT_S + MOMENT_S)
    assert hosts.network.is_sound


def test_a_network_is_sound_only_once_what_was_lost_has_arrived(hosts):
    connection = hosts.opened()
    hosts.network.conditions("n", "b").loss = 0.9
    hosts.send(connection, *NUMBERS)
    hosts.network.conditions("n", "b").loss = 0.0
    assert not hosts.network.is_sound, "what was lost is sent again"
    assert hosts.world.run(float("inf"), lambda: hosts.network.is_sound)
    hosts.pass_time()
    assert hosts.b.frames == NUMBERS


def test_a_network_is_sound_only_once_both_ends_know_of_a_dead_connection(hosts):
    connection = hosts.opened()
    hosts.send(connection, *NUMBERS)
    hosts.network.reset(connection, by_dealer=True)
    hosts.pass_time()
    assert hosts.n.heard == [Failure.CLOSED]
    assert not hosts.network.is_sound, "the broker does not know"
    assert hosts.world.run(float("inf"), lambda: hosts.network.is_sound)
    assert hosts.world.now >= TRANSPORT_TIMEOUT_S
    hosts.pass_time()
    assert [route for route, _ in hosts.b.gone] == [b"route"]


def test_the_shortest_journey_is_that_of_what_was_read_over_the_slowest_connection(hosts):
    connection = hosts.opened()
    assert hosts.network.journey_s("n", "b", outward=True) == 0.0, "nothing was read yet"
    hosts.network.conditions("n", "b").extra_s = 0.5
    hosts.send(connection, b"slow")
    hosts.pass_time(1.0)
    slow_s = hosts.network.journey_s("n", "b", outward=True)
    assert 0.5 <= slow_s <= 0.5 + MOMENT_S
    hosts.network.conditions("n", "b").extra_s = 0.0
    hosts.send(connection, b"fast")
    assert hosts.network.journey_s("n", "b", outward=True) == slow_s, "it has not been read yet"
    hosts.pass_time()
    assert 0.0 < hosts.network.journey_s("n", "b", outward=True) < slow_s
    assert hosts.network.journey_s("n", "b", outward=False) == 0.0
    hosts.n.dealers.close("b")
    hosts.pass_time()
    hosts.opened(route=b"another")
    assert hosts.network.journey_s("n", "b", outward=True) == 0.0, "a session begins anew"
