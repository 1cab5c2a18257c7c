import pytest

from braidmq.lab.simulation.routes import MONITOR_S_MAX
from tests.support.rigs.hosts import MOMENT_S, NUMBERS, OUTBOX_BYTES_MAX, Hosts, many

HALF = bytes(OUTBOX_BYTES_MAX // 2)


@pytest.fixture
def hosts():
    return Hosts()


def full(hosts):
    """Open a connection to a reader that does not read, and fill its pipe."""
    hosts.opened()
    hosts.n.reading = False
    hosts.b.routes.send({b"route": [b"0"]})
    hosts.b.routes.send({b"route": [b"1"]})


def test_frames_come_with_their_route_and_the_key_behind_it(hosts):
    hosts.send(hosts.opened(route=b"1"), b"frame")
    hosts.send(hosts.opened(hosts.dealer("m"), route=b"2"), b"frame")
    hosts.pass_time()
    assert sorted(hosts.b.got) == [(b"1", "key of n", b"frame"), (b"2", "key of m", b"frame")]


def test_a_routing_id_has_one_owner(hosts):
    connection = hosts.opened()
    assert not hosts.b.routes.attach(connection)


def test_messages_travel_as_bundles(hosts):
    hosts.opened()
    hosts.b.routes.send({b"route": [b"1", b"2", b"3"]})
    hosts.pass_time()
    assert hosts.n.frames == [b"123"]


def test_what_was_for_nobody_comes_back(hosts):
    hosts.b.routes.send({b"nobody": [b"1", b"2"]})
    assert hosts.b.routes.take_gone(0.0) == [(b"nobody", [b"1", b"2"])]
    assert hosts.b.routes.take_gone(0.0) == []


def test_what_a_full_pipe_did_not_take_is_sent_in_order_when_there_is_room():
    hosts = Hosts(frames_max=2)
    full(hosts)
    for number in NUMBERS[2:]:
        hosts.b.routes.send({b"route": [number]})
    hosts.pass_time()
    hosts.n.reading = True
    hosts.n.wake()
    hosts.pass_time()
    assert b"".join(hosts.n.frames) == b"".join(NUMBERS)
    assert hosts.b.gone == []


def test_a_full_pipe_is_tried_once_in_a_turn():
    hosts = Hosts(frames_max=2)
    full(hosts)
    hosts.b.routes.send({b"route": [b"2"]})
    hosts.b.turns.clear()
    hosts.b.wake()
    hosts.pass_time(10.0)
    assert len(hosts.b.turns) == 1


def test_who_reads_too_slowly_is_gone_with_what_never_left():
    hosts = Hosts(frames_max=2)
    full(hosts)
    hosts.b.routes.send({b"route": [HALF]})
    hosts.b.routes.send({b"route": [HALF]})
    assert hosts.b.routes.take_gone(0.0) == [], "as much as may wait"
    hosts.b.routes.send({b"route": [b"too much"]})
    assert hosts.b.routes.take_gone(0.0) == [(b"route", [HALF, HALF, b"too much"])]


def test_the_end_of_a_connection_frees_its_routing_id_before_the_monitor_tells_of_it():
    delays = []
    for hosts in many():
        connection = hosts.opened()
        hosts.n.dealers.close("b")
        hosts.world.run(hosts.world.now + MOMENT_S, lambda hosts=hosts: not hosts.network.connections)
        free_at = hosts.world.now
        assert hosts.b.gone == []
        assert hosts.b.routes.attach(connection)
        hosts.b.routes._connections.clear()
        hosts.world.run(hosts.world.now + MOMENT_S, lambda hosts=hosts: bool(hosts.b.gone))
        assert hosts.b.gone == [(b"route", [])]
        delays.append(hosts.world.now - free_at)
    assert 0.0 <= min(delays) < max(delays) <= MONITOR_S_MAX


def test_a_routing_id_that_has_a_new_owner_is_not_said_to_be_gone(hosts):
    hosts.opened()
    other = hosts.dealer("m")
    hosts.n.dealers.close("b")
    hosts.world.run(hosts.world.now + MOMENT_S, lambda: not hosts.network.connections)
    hosts.b.routes.attach(other.dealers.open_as("b", b"route"))
    hosts.pass_time()
    assert hosts.b.gone == []


def test_what_waited_for_who_is_gone_comes_back():
    hosts = Hosts(frames_max=2)
    full(hosts)
    hosts.b.routes.send({b"route": [b"2", b"3"]})
    hosts.n.dealers.close("b")
    hosts.pass_time()
    assert hosts.b.gone[0] == (b"route", [b"2", b"3"])


def test_an_end_is_told_by_the_next_send_if_that_comes_first(hosts):
    hosts.opened()
    hosts.n.dealers.close("b")
    hosts.world.run(hosts.world.now + MOMENT_S, lambda: not hosts.network.connections)
    hosts.b.routes.send({b"route": [b"1"]})
    assert hosts.b.routes.take_gone(0.0) == [(b"route", [b"1"])]


def test_what_arrived_before_an_end_is_read_after_it(hosts):
    connection = hosts.opened()
    hosts.b.reading = False
    hosts.send(connection, b"last")
    hosts.pass_time()
    hosts.network.close(connection, by_dealer=True)
    hosts.n.dealers._connections.clear()
    hosts.pass_time()
    assert b"route" not in hosts.b.routes._connections
    hosts.b.reading = True
    hosts.b.wake()
    hosts.pass_time()
    assert hosts.b.frames == [b"last"]


def test_a_new_life_knows_no_connection_of_the_old_one(hosts):
    connection = hosts.opened()
    hosts.b.reading = False
    hosts.send(connection, b"unread")
    hosts.pass_time()
    hosts.b.routes.send({b"nobody": [b"1"]})
    hosts.b.kill()
    hosts.b.reading = True
    hosts.b.start()
    hosts.pass_time()
    assert (hosts.b.frames, hosts.b.gone) == ([], [])
    hosts.b.routes.send({b"route": [b"1"]})
    assert hosts.b.routes.take_gone(0.0) == [(b"route", [b"1"])]


@pytest.mark.parametrize("silent", [False, True])
def test_a_new_life_reads_nothing_that_was_on_its_way_to_the_old_one(silent):
    for hosts in many(20):
        connection = hosts.opened()
        hosts.send(connection, *NUMBERS)
        hosts.network.reset(connection, silent=silent)
        hosts.b.kill()
        hosts.b.start()
        hosts.pass_time()
        assert hosts.b.frames == []


def test_a_new_life_does_not_hear_what_the_monitor_of_the_old_one_knew(hosts):
    connection = hosts.opened()
    hosts.network.reset(connection)
    hosts.world.run(hosts.world.now + MOMENT_S, lambda: b"route" not in hosts.b.routes._connections)
    hosts.b.kill()
    hosts.b.start()
    hosts.pass_time()
    assert hosts.b.gone == []
