"""A node that has another key connects anew, to one broker after the other, and is never without one."""

from typing import Any

from braidmq.core.links.link import Failure
from braidmq.core.node.selection import REVIEW_S
from braidmq.settings import Settings
from braidmq.wire.control import Goodbye
from tests.support.rigs.node_rig import NodeRig

SETTINGS = Settings(reconnect_s=0.1, reconnect_s_max=0.2)


def net(make: Any) -> NodeRig:
    rig: NodeRig = make("a", "b", "c", settings=SETTINGS)
    rig.core.renew()
    return rig


def live(rig: NodeRig, seconds: float) -> int:
    """Let time pass, and brokers note whoever leaves them; return how many were connected at the least."""
    fewest = len(rig.brokers)
    for _ in range(round(seconds / 0.05)):
        rig.advance(0.05)
        for broker in rig.brokers.values():
            if broker.link.open and any(said.reason == "draining" for said in broker.take(Goodbye)):
                broker.say(Goodbye("noted"))
        fewest = min(fewest, sum(broker.link.open for broker in rig.brokers.values()))
    return fewest


def times_opened(rig: NodeRig) -> list[int]:
    return [len(broker.opened) for broker in rig.brokers.values()]


def test_one_broker_after_the_other_is_left_and_met_anew(make: Any) -> None:
    rig = net(make)
    assert live(rig, 12 * REVIEW_S) >= 2
    assert times_opened(rig) == [2, 2, 2]


def test_while_a_broker_refuses_the_new_key_the_others_are_not_left(make: Any) -> None:
    rig = net(make)
    for broker in rig.brokers.values():
        broker.refusal = Failure.NOT_REGISTERED
    assert live(rig, 8.0) == 2
    assert times_opened(rig)[1:] == [1, 1]
    for broker in rig.brokers.values():
        broker.refusal = None
    assert live(rig, 12 * REVIEW_S) >= 2
    assert all(count >= 2 for count in times_opened(rig))
    assert all(broker.link.open for broker in rig.brokers.values())


def test_a_broker_that_is_gone_is_not_waited_for(make: Any) -> None:
    rig = net(make)
    rig["a"].refusal = Failure.UNREACHABLE
    live(rig, 12 * REVIEW_S)
    assert times_opened(rig)[1:] == [2, 2]
