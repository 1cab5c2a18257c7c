"""Calls spread over the brokers that there are, so that more processes of a host take more load."""

from collections import Counter
from dataclasses import replace
from statistics import median

import pytest

from braidmq.lab.simulation.net import Net
from braidmq.lab.simulation.plan import Work, plan_of
from braidmq.lab.simulation.world import World
from braidmq.settings import Settings
from braidmq.wire.envelope import REQUEST
from tests.support.nights import cases

WHOLE_S_MAX = 20.0

CLIENTS, WORKERS = 8, 8

LOAD_S = 2.0

IDLE, BUSY = (0.6, 1.5), (0.75, 1.25)
"""The least and the most of the fair share. A client draws two paths and takes the cheaper one: while all are idle that
is the one that was quicker by chance, and when they are busy it is the one that has less to do."""

MESSAGE_S = 0.001
"""What a message costs a broker: with a request and a reply for each call, one broker takes less than 500 a second."""

RATE = 400
"""Calls a second for each broker: four fifths of what one takes."""


def loaded(brokers, *, rate, duration_s=0.001, message_s=0.0):
    """Return a net of `brokers` after `rate` calls a second, half of them one client's; all have been answered."""
    workers = {f"w{number}": {"s0": 64} for number in range(WORKERS)}
    clients = {f"c{number}": {} for number in range(CLIENTS)}
    plan = replace(
        plan_of(1, "calm"),
        settings=Settings(in_flight_max=1_024),
        brokers=tuple(f"b{number}" for number in range(brokers)),
        nodes={**workers, **clients},
        clients=tuple(clients),
        services=("s0",),
        work=Work((duration_s,), 0.0),
        delay_s=(0.0001, 0.001),
        frames_max=1_000,
        frames_per_turn=64,
        payload_bytes=(0,),
        clock_drift=0.0,
        wait=None,
        known=1,
    )
    net = Net(plan, World(1))
    net.start()
    assert net.world.run(WHOLE_S_MAX, net.is_whole), net.why_not_whole()
    for broker in net.brokers.values():
        charge(broker, message_s)
    rng, began = net.world.chance("load"), net.world.now
    for number in range(int(rate * LOAD_S)):
        client = net.nodes[f"c{number % CLIENTS if number % 2 else 0}"]
        net.world.at(
            began + rng.uniform(0.0, LOAD_S),
            lambda client=client: client.call("s0", timeout_s=10.0, attempts=3, size_bytes=0, must_succeed=True),
        )
    net.world.run(began + LOAD_S)
    assert net.world.run(net.world.now + WHOLE_S_MAX, net.is_quiet)
    assert len(net.world.record.calls) == int(rate * LOAD_S)
    return net


def charge(broker, message_s):
    """Let each message of a call take a broker's time."""
    turn, seen = broker._turn, 0

    def charged(now):
        nonlocal seen
        due = turn(now)
        come = broker.core.counters["requests"] + broker.core.counters["replies"]
        broker.spend((come - seen) * message_s)
        seen = come
        return due

    broker._turn = charged


def shares(net):
    """Return the share of the requests that each broker had, 1 for as many as the others."""
    came = Counter(each.broker for each in net.world.record.passages if each.way == "in" and each.command == REQUEST)
    return {name: came[name] * len(net.brokers) / came.total() for name in net.brokers}


def check_spread(net, bounds):
    """Check that the share of each broker is within bounds."""
    found = shares(net)
    assert bounds[0] < min(found.values()) <= max(found.values()) < bounds[1], found


def latency_s(net):
    """Return how long a call has taken, in the middle."""
    return median(call.ends[0][0] - call.started for call in net.world.record.calls)


@cases("duration_s", [0.001, 0.02], ids=["short jobs", "long jobs"], one_in=2)
@pytest.mark.parametrize("brokers", [4, pytest.param(8, marks=pytest.mark.nightly)])
def test_each_broker_has_about_its_share(brokers, duration_s):
    net = loaded(brokers, rate=100 * brokers, duration_s=duration_s)
    assert all(call.outcome.key == call.key for call in net.world.record.calls)
    check_spread(net, IDLE)


@pytest.mark.nightly
@pytest.mark.parametrize("brokers", [4, 8])
def test_more_brokers_take_more_load(brokers):
    one, too_much = (loaded(1, rate=rate, message_s=MESSAGE_S) for rate in (RATE, 1.5 * RATE))
    assert latency_s(too_much) > 10 * latency_s(one)
    more = loaded(brokers, rate=RATE * brokers, message_s=MESSAGE_S)
    assert latency_s(more) < 1.25 * latency_s(one)
    check_spread(more, BUSY)
    assert all(call.outcome.key == call.key for call in more.world.record.calls)
