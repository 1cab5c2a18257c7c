"""What a hostile client and a hostile worker do: that it gets to a broker, over connections of their own."""

from dataclasses import replace

import pytest

from braidmq.lab.simulation import hostile_words as words
from braidmq.lab.simulation.hostile_client import HELD, OWN
from braidmq.lab.simulation.hostile_worker import MANNERS
from braidmq.lab.simulation.net import Net
from braidmq.lab.simulation.plan import plan_of
from braidmq.lab.simulation.world import World
from braidmq.wire.bundle import split
from braidmq.wire.envelope import LOST, REJECT, REPLY, REQUEST, WORKING
from braidmq.wire.limits import BUNDLE_BYTES

MOMENT_S = 0.5
WHOLE_S_MAX = 8.0


class Ear:
    """Somebody who hears what one process says."""

    def __init__(self, name):
        self.name = name
        self.frames = []

    def on_heard(self, connection, pipe, frame):
        if pipe.source == self.name:
            self.frames.append(frame)

    @property
    def commands(self):
        return [message[5] for frame in self.frames for message in split(frame)[0]]


def net_with(hostile, *habits, seed=1, **changes):
    """Return a net with a hostile node that is connected, and does only what is asked of it."""
    net = Net(replace(plan_of(seed, f"hostile-{hostile}"), hostile_connections=1, late=(), **changes), World(seed))
    enemy = net.hostile
    enemy.habits = lambda: [getattr(enemy, each) for each in habits] or [lambda hand, broker: None]
    net.start()
    net.network.eavesdropper = Ear(enemy.name)
    net.world.run(MOMENT_S)
    return net, enemy, net.network.eavesdropper


def habits_of(hostile):
    return [each.__name__ for each in Net(plan_of(1, f"hostile-{hostile}"), World(1)).hostile.habits()]


@pytest.mark.parametrize("habit", [each for each in habits_of("client") if each != "reconnect"])
def test_each_habit_of_a_client_reaches_the_brokers(habit):
    net, enemy, ear = net_with("client")
    broker = net.brokers["b0"]
    (session,) = (each for each in broker.core.sessions.values() if each.member.name == enemy.name)
    ear.frames.clear()
    for _ in range(5):
        getattr(enemy, habit)(enemy._hands[0], "b0")
    session.heard_at = 0.0
    net.world.run(net.world.now + 0.1)
    assert ear.frames
    assert session.heard_at > 0.0


def test_who_is_cut_off_is_soon_back():
    net, enemy, _ = net_with("client")
    for connection in list(net.network.connections):
        if connection.dealers.process is enemy:
            net.network.reset(connection)
    net.world.run(net.world.now + MOMENT_S)
    for broker in net.brokers.values():
        assert any(each.member.name == enemy.name for each in broker.core.sessions.values())


def test_who_reconnects_has_a_new_session():
    _, enemy, _ = net_with("client")
    before = enemy._hands[0].route("b0")
    enemy.reconnect(enemy._hands[0], "b0")
    assert enemy._hands[0].route("b0") != before


def test_who_does_not_listen_lets_everything_lie():
    net, enemy, _ = net_with("client")
    hand = enemy._hands[0]
    enemy.ignore(hand, "b0")
    net.world.run(net.world.now + 2.0)
    connection = next(
        each for each in net.network.connections if each.dealers is hand and each.route == hand.route("b0")
    )
    assert connection.inward.arrived


def test_a_crowd_stays_as_large_as_it_was():
    net, enemy, ear = net_with("client")
    for _ in range(3):
        enemy.crowd(enemy._hands[0], "b0")
    assert ear.commands.count(REQUEST) == HELD
    net.world.run(net.world.now + MOMENT_S)
    ear.frames.clear()
    enemy.crowd(enemy._hands[0], "b0")
    assert 0 < ear.commands.count(REQUEST) <= HELD, "as many as have ended"


def test_what_is_parked_waits_in_a_service_of_its_own():
    net, enemy, _ = net_with("client")
    enemy.park(enemy._hands[0], "b0")
    net.world.run(net.world.now + 0.1)
    for _ in range(3):
        enemy.park(enemy._hands[0], "b0")
    net.world.run(net.world.now + 0.5)
    assert net.brokers["b0"].core.dispatcher.services[OWN.encode()].queued


@pytest.mark.parametrize("habit", [each for each in habits_of("worker") if each not in ("reconnect", "idle")])
def test_each_habit_of_a_worker_reaches_the_brokers(habit):
    net, enemy, ear = net_with("worker")
    enemy.manner = "hush"
    for client in net.plan.clients:
        for service in net.plan.services * 4:
            net.nodes[client].call(service, timeout_s=2.0, attempts=3, size_bytes=0, must_succeed=False)
    net.world.run(net.world.now + 0.1)
    ear.frames.clear()
    for broker in net.brokers:
        getattr(enemy, habit)(enemy._hands[0], broker)
    assert ear.frames


@pytest.mark.parametrize(
    ("manner", "commands"),
    [
        ("refuse", {REJECT}),
        ("refuse-all-alike", {REJECT}),
        ("lose", {LOST}),
        ("fail", {REPLY}),
        ("dawdle", {WORKING}),
        ("hush", set()),
        ("repeat", {REPLY}),
    ],
)
def test_a_worker_has_a_manner_of_its_own(manner, commands):
    net, enemy, ear = net_with("worker", nodes={"c0": {}}, clients=("c0",))
    assert manner in MANNERS
    enemy.manner = manner
    ear.frames.clear()
    net.nodes["c0"].call("s0", timeout_s=1.0, attempts=1, size_bytes=0, must_succeed=False)
    net.world.run(net.world.now + 2.0)
    said = [each for each in ear.commands if each < 32]
    assert set(said) == commands
    assert len(net.world.record.executions) == (commands == {REPLY})
    (call,) = net.world.record.calls
    assert len(call.ends) == 1
    assert (getattr(call.outcome, "kind", "a reply") == "ServiceError") == (manner == "fail")
    assert manner != "repeat" or (call.outcome.key == call.key and said == [REPLY] * 3)


@pytest.mark.parametrize("hostile", ["client", "worker"])
def test_the_enemy_is_gone_when_it_is_defeated(hostile):
    net, enemy, _ = net_with(hostile)
    net.defeat()
    assert not enemy.up
    net.world.run(net.world.now + MOMENT_S)
    assert net.world.run(net.world.now + WHOLE_S_MAX, net.is_whole), net.why_not_whole()
    for broker in net.brokers.values():
        assert enemy.name not in {each.member.name for each in broker.core.sessions.values()}


def test_garbage_has_many_forms_and_none_is_a_message_that_does_anything():
    rng = World(1).chance("garbage")
    drawn = {words.garbage(rng) for _ in range(300)}
    assert b"" in drawn
    assert len(drawn) > 200


def test_a_frame_of_tiny_messages_is_one_that_brokers_read():
    world = World(1)
    asking = words.Asking("x", world.chance("x"), lambda: 0.0)
    for kind in range(words.TINY_KINDS):
        frame = words.tiny(kind, world.chance("y"), asking)
        messages, intact = split(frame)
        assert intact
        assert len(messages) >= words.TINY // 3
        assert len(frame) <= BUNDLE_BYTES
