"""What goes wrong: one function for each kind of fault. Each begins it and returns what ends it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from braidmq.simulation.network import RETRANSMIT_S

if TYPE_CHECKING:
    from braidmq.simulation.net import Net
    from braidmq.simulation.process import Process

Heal = Callable[[], None]
ENDED_S: Final = 0.1
"""How often a broker that drains is looked at, whether it has ended."""

P = TypeVar("P", bound="Process")
Fault = Callable[["Net", random.Random], Heal | None]


def kill_broker(net: Net, rng: random.Random) -> Heal | None:
    """Kill -9: its connections are closed by its system."""
    broker = _one(rng, net.brokers_up)
    if broker is None:
        return None
    recover = _say(net, broker, "kill")
    broker.kill()
    return lambda: _restart(broker, recover)


def vanish_broker(net: Net, rng: random.Random) -> Heal | None:
    """Its host loses power: nobody is told."""
    return _vanish(net, _one(rng, net.brokers_up))


def vanish_node(net: Net, rng: random.Random) -> Heal | None:
    """The same for a node."""
    return _vanish(net, _one(rng, net.nodes_up))


def stop_broker(net: Net, rng: random.Random) -> Heal | None:
    """SIGTERM: it drains and ends."""
    broker = _one(rng, [each for each in net.brokers_up if each.serves])
    if broker is None:
        return None
    recover = _say(net, broker, "stop")
    broker.stop()
    return lambda: _restart(broker, recover)


def roll_broker(net: Net, rng: random.Random) -> Heal | None:
    """SIGTERM while all is well; it is started anew once it has ended."""
    if not net.is_whole():
        return None
    broker = rng.choice(list(net.brokers.values()))
    recover = _say(net, broker, "stop")
    broker.stop()

    def restart() -> None:
        if broker.up:
            net.world.later(ENDED_S, restart)
        elif net.buried != broker.name:
            _restart(broker, recover)

    net.world.later(ENDED_S, restart)
    return None


def pause_broker(net: Net, rng: random.Random) -> Heal | None:
    """SIGSTOP, or a host that stands still for a time."""
    return _pause(net, _one(rng, [each for each in net.brokers_up if not each.paused]))


def kill_node(net: Net, rng: random.Random) -> Heal | None:
    """Kill -9 of a node."""
    node = _one(rng, net.nodes_up)
    if node is None:
        return None
    recover = _say(net, node, "kill")
    node.kill()
    return lambda: _restart(node, recover)


def stop_node(net: Net, rng: random.Random) -> Heal | None:
    """SIGTERM of a node: it drains and ends."""
    node = _one(rng, net.nodes_up)
    if node is None:
        return None
    recover = _say(net, node, "stop")
    node.stop()
    return lambda: _restart(node, recover)


def pause_node(net: Net, rng: random.Random) -> Heal | None:
    """SIGSTOP of a node, or a handler that blocks its event loop."""
    return _pause(net, _one(rng, [each for each in net.nodes_up if not each.paused]))


def ambush(net: Net, rng: random.Random) -> Heal | None:
    """The next worker that a request reaches is stopped in this very moment, for as long as its client waits or longer.

    So the request lies in the stopped process while its client may try another one.
    """
    duration_s = net.plan.settings.exchange_timeout_s * rng.uniform(0.5, 3.0)

    def spring(worker: Process) -> None:
        net.network.ambush = None
        if worker.up and not worker.paused:
            heal = _pause(net, worker)
            assert heal is not None
            net.world.later(duration_s, heal)

    net.network.ambush = spring

    def end() -> None:
        net.network.ambush = None

    return end


def cut(net: Net, rng: random.Random) -> Heal | None:
    """A partition between some processes and the others, both ways."""
    return _cut(net, rng, both=True)


def cut_one_way(net: Net, rng: random.Random) -> Heal | None:
    """A partition that lets one direction through."""
    return _cut(net, rng, both=False)


def loss(net: Net, rng: random.Random) -> Heal | None:
    """Packets are lost everywhere."""
    share = rng.choice((0.01, 0.05, 0.2))
    net.world.trace.note(net.world.now, f"{share:.0%} of the packets are lost", fault=True)
    recover = net.hamper("loss")
    for source, target in net.pairs():
        net.network.weather(source, target).loss = share

    def heal() -> None:
        for source, target in net.pairs():
            weather = net.network.weather(source, target)
            weather.loss = 0.0 if weather.loss == share else weather.loss  # a later fault may have set its own
        net.world.later(7 * RETRANSMIT_S, recover)  # what was lost three times is on its way

    return heal


def delay(net: Net, rng: random.Random) -> Heal | None:
    """Every frame between some pairs takes longer."""
    pairs = [pair for pair in net.pairs() if rng.random() < 0.5]
    extra_s = net.plan.extra_s * rng.random()
    net.world.trace.note(net.world.now, f"{extra_s:.3f} s more for {len(pairs)} directions", fault=True)
    recover = net.hamper("delay")
    for source, target in pairs:
        net.network.weather(source, target).extra_s = extra_s

    def heal() -> None:
        for source, target in pairs:
            weather = net.network.weather(source, target)
            weather.extra_s = 0.0 if weather.extra_s == extra_s else weather.extra_s
        net.world.later(extra_s, recover)

    return heal


def reset(net: Net, rng: random.Random) -> Heal | None:
    """Some connections break: both ends learn of it at once."""
    return _reset(net, rng, silent=False)


def silence(net: Net, rng: random.Random) -> Heal | None:
    """Something between forgets some connections: frames vanish, and nobody learns of it for long."""
    return _reset(net, rng, silent=True)


def revoke_node(net: Net, rng: random.Random) -> Heal | None:
    """A node is taken off the registry; the brokers hear of it one after the other. Later it is put back."""
    node = _one(rng, list(net.nodes.values()))
    if node is None or not net.is_registered(node.name):
        return None
    recover = _say(net, node, "revoke")
    member = net.registry.remove(node.name)
    _spread_registry(net, rng)

    def heal() -> None:
        net.registry.add(member)
        _spread_registry(net, rng)
        recover()

    return heal


KINDS: Final[dict[str, Fault]] = {
    "kill-broker": kill_broker,
    "vanish-broker": vanish_broker,
    "stop-broker": stop_broker,
    "roll-broker": roll_broker,
    "pause-broker": pause_broker,
    "kill-node": kill_node,
    "stop-node": stop_node,
    "vanish-node": vanish_node,
    "ambush": ambush,
    "pause-node": pause_node,
    "cut": cut,
    "cut-one-way": cut_one_way,
    "loss": loss,
    "delay": delay,
    "reset": reset,
    "silence": silence,
    "revoke-node": revoke_node,
}
"""All kinds, by name."""


def _one(rng: random.Random, of: Sequence[P]) -> P | None:
    return rng.choice(of) if of else None


def _say(net: Net, process: Process, kind: str) -> Heal:
    net.world.trace.note(net.world.now, f"{kind} {process.name}", fault=True)
    return net.hamper(kind, process)


def _restart(process: Process, recover: Heal) -> None:
    process.kill()
    process.start()
    recover()


def _pause(net: Net, process: Process | None) -> Heal | None:
    if process is None:
        return None
    recover = _say(net, process, "pause")
    life = process.life
    process.pause()

    def heal() -> None:
        if process.life == life and process.up:
            net.world.trace.note(net.world.now, f"{process.name} goes on", fault=True)
            process.resume()
        recover()

    return heal


def _vanish(net: Net, process: Process | None) -> Heal | None:
    if process is None:
        return None
    recover = _say(net, process, "vanish")
    for connection in list(net.network.connections):
        if process in (connection.dealers.process, connection.router.process):
            net.network.reset(connection, silent=True)
    process.kill()
    return lambda: _restart(process, recover)


def _cut(net: Net, rng: random.Random, *, both: bool) -> Heal | None:
    names = [*net.brokers, *net.nodes]
    some = rng.sample(names, rng.randint(1, max(1, len(names) // 2)))
    pairs = [(a, b) for a in some for b in names if b not in some]
    if both:
        pairs += [(b, a) for a, b in pairs]
    way = "both ways" if both else "one way"
    net.world.trace.note(net.world.now, f"{', '.join(some)} cut off, {way}", fault=True)
    recover = net.hamper("cut", *(net.process(name) for name in some))
    for pair in pairs:
        net.network.weather(*pair).cut += 1

    def heal() -> None:
        net.world.trace.note(net.world.now, f"{', '.join(some)} back", fault=True)
        for pair in pairs:
            net.network.weather(*pair).cut -= 1
        recover()
        net.network.clear_up()

    return heal


def _reset(net: Net, rng: random.Random, *, silent: bool) -> Heal | None:
    connections = [each for each in net.network.connections if rng.random() < 0.3]
    kind = "silence" if silent else "reset"
    net.world.trace.note(net.world.now, f"{kind} of {len(connections)} connections", fault=True)
    recover = net.hamper(kind)
    for connection in connections:
        net.network.reset(connection, silent=silent)
    settings = net.plan.settings
    net.world.later(settings.dead_after_s + settings.suspicion_s if silent else 0.0, recover)
    return None


def _spread_registry(net: Net, rng: random.Random) -> None:
    for broker in net.brokers.values():
        net.world.later(rng.uniform(0.0, 0.5), broker.reread_registry)
