import pytest

from braidmq.core.links.link import Failure, Open, Step
from braidmq.lab.memory import MemoryDialer, MemoryListener
from braidmq.wire.limits import ROUTE_BYTES

ENDPOINT = "tcp://b:1"


class Pair:
    """A broker `b` that admits all but mallory, and a process that connects to it."""

    def __init__(self, principal="alice", endpoint=ENDPOINT):
        self.woken = []
        self.listener = MemoryListener(lambda: self.woken.append("broker"), lambda key: key != "mallory")
        self.dialer = MemoryDialer({ENDPOINT: self.listener}, principal, lambda: self.woken.append("process"))
        self.dialer.open(Open("b", endpoint, b""))

    def heard(self):
        return list(self.listener.frames(0.0))

    def route(self):
        """Let the process say something, and return its route."""
        self.dialer.send("b", [b"hello"])
        ((route, principal, frame),) = self.heard()
        assert (principal, frame) == ("alice", b"hello")
        return route

    def gone(self):
        self.listener.flush(0.0)
        return self.listener.take_gone(0.0)


@pytest.mark.parametrize(
    ("principal", "endpoint", "what"),
    [
        ("alice", ENDPOINT, Step.GREETED),
        ("alice", "tcp://nobody:1", Failure.UNREACHABLE),
        ("mallory", ENDPOINT, Failure.NOT_REGISTERED),
    ],
)
def test_what_comes_of_a_connection_is_told_once(principal, endpoint, what):
    pair = Pair(principal, endpoint)
    assert pair.woken == ["process"]
    assert list(pair.dialer.news()) == [("b", what)]
    assert list(pair.dialer.news()) == []
    pair.dialer.send("b", [b"hello"])
    assert bool(pair.heard()) == (what is Step.GREETED)


def test_messages_travel_as_bundles_both_ways_and_wake_their_reader():
    pair = Pair()
    route = pair.route()
    assert len(route) == ROUTE_BYTES
    assert route[0]
    pair.woken.clear()
    pair.dialer.send("b", [b"1", b"2"])
    assert pair.heard() == [(route, "alice", b"12")]
    pair.listener.send({route: [b"3", b"4"]})
    assert list(pair.dialer.frames()) == [("b", b"34")]
    assert (pair.heard(), list(pair.dialer.frames())) == ([], [])
    assert pair.woken == ["broker", "process"]


def test_what_was_said_before_the_end_is_read_first():
    pair = Pair()
    route = pair.route()
    pair.dialer.send("b", [b"goodbye"])
    pair.dialer.close("b")
    assert pair.heard() == [(route, "alice", b"goodbye")]
    assert pair.gone() == [(route, [])]
    assert pair.gone() == []


def test_what_is_for_one_that_has_ended_never_left():
    pair = Pair()
    route = pair.route()
    pair.dialer.close("b")
    pair.listener.send({route: [b"1", b"2"]})
    assert (route, [b"1", b"2"]) in pair.gone()
    assert pair.listener.principal(route) == ""


def test_whoever_is_cut_reads_what_was_sent_before():
    pair = Pair()
    route = pair.route()
    list(pair.dialer.news())
    pair.listener.send({route: [b"last"]})
    pair.listener.close()
    assert list(pair.dialer.news()) == []
    assert list(pair.dialer.frames()) == [("b", b"last")]
    assert list(pair.dialer.news()) == [("b", Failure.CLOSED)]
    assert pair.dialer.close("b") == []
    assert pair.gone() == []


def test_news_of_what_has_been_closed_since_are_none():
    pair = Pair()
    pair.dialer.close_all()
    assert list(pair.dialer.news()) == []
    pair.dialer.send("b", [b"1"])
    assert pair.heard() == []
