"""A node and messages in fragments of its brokers: how long one may take to go on."""

import pytest

from braidmq.carrier.fragments import MORE
from braidmq.carrier.stream import End
from braidmq.core.links.link import Failure
from braidmq.lab.processes.waiting import wait_until
from braidmq.settings import MIB, Settings
from braidmq.wire.envelope import REPLY, Envelope, encode
from tests.support.dialers import Broker, Node


@pytest.fixture
def session():
    """A node that is not patient, and a broker that has let it in."""
    node, broker = Node(Settings.test(transport_heartbeat_s=0.1, transport_timeout_s=0.3)), Broker()
    assert node.open(broker.endpoint) is None
    broker.greet(node)
    node.until_greeted()
    yield node, broker
    node.close()
    broker.close()


def test_a_broker_whose_message_does_not_go_on_is_left_though_it_says_other_things(session):
    node, broker = session
    for _ in range(3):
        broker.stream.send([bytes((MORE,)) + bytes(1000)])
    node.until(lambda: node.brokers["b1"].joining_bytes == 3000, "it has begun")

    def left():
        broker.stream.send([b"something else"])
        node.turn()
        return ("b1", Failure.CLOSED) in node.steps

    wait_until(left, "it is left", poll_s=0.0)
    assert node.brokers["b1"].end is End.STALLED
    node.dialer.close("b1")
    assert len(node.dialer._reassemblies) == 0


def test_a_message_that_goes_on_may_take_longer(session):
    node, broker = session
    message = encode(Envelope(REPLY, bytes(16), payload=bytes(5 * MIB)))
    broker.stream.send([message])
    wait_until(lambda: broker.stream.flush() or node.turn() or node.frames, "it has come", poll_s=0.0)
    assert node.frames == [("b1", message)]
    assert broker.stream.commands == 0
    assert node.brokers["b1"].commands > 5 * MIB // (64 * 1024)
    assert len(node.dialer._reassemblies) == 0
