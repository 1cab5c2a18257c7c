import pytest

from braidmq.core.links.link import Failure, Open, Step
from braidmq.lab.simulation.network import Stage
from braidmq.wire.limits import BUNDLE_BYTES, ROUTE_BYTES
from tests.support.rigs.hosts import NUMBERS, OUTBOX_BYTES_MAX, Hosts, many


@pytest.fixture
def hosts():
    return Hosts()


def test_a_dealer_draws_a_routing_id_that_libzmq_takes():
    routes = set()
    for hosts in many(300):
        hosts.n.dealers.open(Open("b", "tcp://b:1", b"key"))
        (connection,) = hosts.network.connections
        routes.add(connection.route)
    assert len(routes) == 300
    assert {len(route) for route in routes} == {ROUTE_BYTES}
    assert all(route[0] for route in routes), "a leading zero is libzmq's own"


def test_news_are_told_once(hosts):
    hosts.n.dealers.open_as("b", b"route")
    hosts.n.pause()
    hosts.pass_time()
    assert list(hosts.n.dealers.news()) == [("b", Step.GREETED)]
    assert list(hosts.n.dealers.news()) == []


def test_news_of_what_has_been_closed_since_are_none(hosts):
    hosts.n.pause()
    hosts.n.dealers.open_as("b", b"route")
    hosts.pass_time()
    hosts.n.dealers.close("b")
    assert list(hosts.n.dealers.news()) == []


def test_messages_travel_as_bundles(hosts):
    hosts.opened()
    hosts.n.dealers.send("b", [b"1", b"2", b"3"])
    hosts.pass_time()
    assert hosts.b.frames == [b"123"]


def test_what_is_for_nobody_goes_nowhere(hosts):
    hosts.n.dealers.send("b", [b"1"])
    hosts.opened()
    assert hosts.b.frames == []
    assert hosts.n.dealers.close("nobody") == []


def test_what_a_full_pipe_did_not_take_is_sent_in_order_when_there_is_room():
    hosts = Hosts(frames_max=2)
    hosts.opened()
    hosts.b.reading = False
    for number in NUMBERS:
        hosts.n.dealers.send("b", [number])
    hosts.pass_time()
    hosts.b.reading = True
    hosts.b.wake()
    hosts.pass_time()
    assert b"".join(hosts.b.frames) == b"".join(NUMBERS)


def test_nothing_overtakes_what_waits():
    hosts = Hosts(frames_max=2)
    hosts.opened()
    for number in NUMBERS[:4]:
        hosts.n.dealers.send("b", [number])
    hosts.n.pause()
    hosts.pass_time()
    assert hosts.b.frames == NUMBERS[:2], "there is room"
    hosts.n.dealers.send("b", [NUMBERS[4]])
    hosts.n.resume()
    hosts.pass_time()
    assert b"".join(hosts.b.frames) == b"".join(NUMBERS[:5])


def test_bundles_that_have_left_do_not_wait():
    hosts = Hosts(frames_max=1)
    hosts.opened()
    hosts.b.reading = False
    hosts.n.dealers.send("b", [bytes(BUNDLE_BYTES), b"1", b"2"])
    assert hosts.n.dealers.close("b") == [b"1", b"2"]


def test_a_lossless_close_loses_nothing():
    for hosts in many(20):
        hosts.opened()
        for number in NUMBERS:
            hosts.n.dealers.send("b", [number])
        hosts.n.dealers.close_all(lossless=True)
        hosts.pass_time()
        assert hosts.b.frames == NUMBERS


def test_a_close_returns_what_never_left():
    hosts = Hosts(frames_max=2)
    hosts.opened()
    hosts.b.reading = False
    for number in NUMBERS:
        hosts.n.dealers.send("b", [number])
    hosts.pass_time()
    assert hosts.n.dealers.close("b", lossless=True) == NUMBERS[2:]
    assert hosts.n.dealers.close("b") == []
    hosts.b.reading = True
    hosts.b.wake()
    hosts.pass_time()
    assert hosts.b.frames == NUMBERS[:2]


def test_a_new_connection_does_not_send_what_waited_for_the_old_one():
    hosts = Hosts(frames_max=1)
    hosts.opened()
    hosts.n.dealers.send("b", [b"1"])
    hosts.n.dealers.send("b", [b"2"])
    hosts.n.dealers.close("b", lossless=True)
    hosts.opened(route=b"another")
    hosts.n.dealers.flush()
    hosts.pass_time()
    assert hosts.b.frames == [b"1"]


def test_a_broker_that_reads_too_slowly_is_given_up():
    hosts = Hosts(frames_max=1)
    hosts.opened()
    hosts.b.reading = False
    hosts.n.dealers.send("b", [b"1"])
    hosts.n.dealers.send("b", [bytes(OUTBOX_BYTES_MAX)])
    assert hosts.n.dealers.look_after() == [], "as much as may wait"
    hosts.n.dealers.send("b", [b"2"])
    assert hosts.n.dealers.look_after() == [("b", Failure.TOO_SLOW)]


def test_close_all_ends_every_connection(hosts):
    hosts.router("c")
    connections = [hosts.n.dealers.open_as(name, b"route") for name in ("b", "c")]
    hosts.pass_time()
    hosts.n.dealers.close_all()
    assert [each.stage for each in connections] == [Stage.ENDED, Stage.ENDED]
    hosts.pass_time()
    assert [host.gone for host in hosts.routers.values()] == [[(b"route", [])], [(b"route", [])]]


def test_frames_come_with_the_name_of_their_broker(hosts):
    hosts.router("c")
    for name in ("b", "c"):
        hosts.n.dealers.open_as(name, b"route")
    hosts.pass_time()
    for host in hosts.routers.values():
        host.routes.send({b"route": [b"from " + host.name.encode()]})
    hosts.pass_time()
    assert sorted(hosts.n.got) == [("b", b"from b"), ("c", b"from c")]


def test_what_arrived_before_an_end_is_read_before_it_is_told(hosts):
    hosts.opened()
    hosts.n.pause()
    hosts.b.routes.send({b"route": [b"last"]})
    hosts.b.routes.close_all(lossless=True)
    hosts.pass_time()
    assert list(hosts.n.dealers.news()) == []
    assert list(hosts.n.dealers.frames()) == [("b", b"last")]
    assert list(hosts.n.dealers.news()) == [("b", Failure.CLOSED)]
    assert list(hosts.n.dealers.frames()) == [], "it is read once"


def test_what_is_left_of_a_closed_connection_is_not_read(hosts):
    old = hosts.opened()
    hosts.n.pause()
    hosts.send(old, b"arrived", outward=False)
    hosts.pass_time()
    hosts.send(old, b"on its way", outward=False)
    hosts.n.dealers.close("b")
    hosts.n.dealers.open_as("b", b"new")
    hosts.pass_time()
    assert list(hosts.n.dealers.frames()) == []


def test_a_turn_that_closes_a_connection_reads_no_more_of_it(hosts):
    connection = hosts.opened()
    hosts.n.pause()
    hosts.send(connection, b"1", b"2", outward=False)
    hosts.pass_time()
    frames = hosts.n.dealers.frames()
    assert next(frames) == ("b", b"1")
    hosts.n.dealers.close("b")
    assert list(frames) == []


def test_the_end_of_an_old_connection_is_no_news_of_the_new_one(hosts):
    old = hosts.opened()
    hosts.network.reset(old)
    hosts.n.dealers.close("b")
    hosts.n.dealers.open_as("b", b"new")
    hosts.pass_time()
    assert hosts.n.heard == [None]
