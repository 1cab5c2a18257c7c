"""What an intruder takes for a breach: what it gets of others from those who should have kept it to themselves."""

import pytest

from braidmq.lab.simulation.checkers import rights_kept
from braidmq.lab.simulation.net import Net
from braidmq.lab.simulation.payload import answer_to, payload_of
from braidmq.lab.simulation.plan import plan_of
from braidmq.lab.simulation.world import World
from braidmq.wire.envelope import REPLY, REQUEST, Envelope, encode

ANOTHERS = payload_of("c0:1", 0)
LEAKS = {
    "an answer": encode(Envelope(REPLY, bytes(16), tag=1, sender=b"w0", payload=answer_to(ANOTHERS))),
    "a request": encode(Envelope(REQUEST, bytes(16), tag=1, sender=b"c0", service=b"s0", time_ms=1, payload=ANOTHERS)),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_what_an_honest_broker_lets_out_is_a_breach_and_what_a_hostile_one_makes_up_is_none(leak):
    net = Net(plan_of(1, "hostile-broker"), World(1))
    net.intruder._read(net.hostile.name, LEAKS[leak])
    assert rights_kept.check(net.world.record) == []
    net.intruder._read("b0", LEAKS[leak])
    (found,) = rights_kept.check(net.world.record)
    assert "from b0" in found.text


def test_what_comes_to_a_stolen_routing_id_is_no_breach():
    net = Net(plan_of(1, "intruder"), World(1))
    net.intruder._open_as("b0", bytes(16), stolen=True)
    for leak in LEAKS.values():
        net.intruder._read("b0", leak)
    assert rights_kept.check(net.world.record) == []


def test_the_answer_to_its_own_request_is_no_breach():
    net = Net(plan_of(1, "intruder"), World(1))
    net.intruder._open_as("b0", bytes(16), stolen=False)
    net.intruder._say("b0", LEAKS["a request"])
    net.intruder._read("b0", LEAKS["an answer"])
    assert rights_kept.check(net.world.record) == []
