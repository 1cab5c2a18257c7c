"""What goes wrong, by kind. A fault is begun with the net and a generator; it returns what ends it.

A fault that befalls one process is made for a choice of processes: those that exist, run, or serve.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Literal

from braidmq.lab.simulation import registry_faults
from braidmq.lab.simulation.network import RETRANSMIT_S, RETRANSMITS_MAX

if TYPE_CHECKING:
    from braidmq.lab.simulation.net import Net
    from braidmq.lab.simulation.process import Process

ENDED_S: Final = 0.1
"""How often a process that drains is looked at, whether it has ended."""

Heal = Callable[[], None]
Fault = Callable[["Net", random.Random], Heal | None]
Choose = Callable[["Net"], "Sequence[Process]"]
Pairs = list[tuple[str, str]]


def kill(choose: Choose) -> Fault:
    """Kill -9: its connections are closed by its system."""

    def begin(net: Net, process: Process) -> Heal:
        recover = _say(net, process, "kill")
        process.kill()
        return lambda: _restart(process, recover)

    return _on_one_of(choose, begin)


def vanish(choose: Choose) -> Fault:
    """Its host loses power: nobody is told."""

    def begin(net: Net, process: Process) -> Heal:
        recover = _say(net, process, "vanish")
        for connection in list(net.network.connections):
            if process in (connection.dealers.process, connection.router.process):
                net.network.reset(connection, silent=True)
        process.kill()
        return lambda: _restart(process, recover)

    return _on_one_of(choose, begin)


def stop(choose: Choose) -> Fault:
    """SIGTERM: it drains and ends."""

    def begin(net: Net, process: Process) -> Heal:
        recover = _say(net, process, "stop")
        process.stop()
        return lambda: _restart(process, recover)

    return _on_one_of(choose, begin)


def pause(choose: Choose) -> Fault:
    """SIGSTOP, a host that stands still for a time, or a handler that blocks its event loop."""
    return _on_one_of(choose, _pause)


def roll(choose: Choose) -> Fault:
    """SIGTERM while all is well; it is started anew once it has ended."""

    def begin(net: Net, process: Process) -> Heal | None:
        if not net.is_whole():
            return None
        recover = _say(net, process, "stop")
        process.stop()

        def restart() -> None:
            if process.up:
                net.world.later(ENDED_S, restart)
            elif process.name not in net.buried:
                _restart(process, recover)

        net.world.later(ENDED_S, restart)
        return None

    return _on_one_of(choose, begin)


def pause_on_delivery(net: Net, rng: random.Random) -> Heal:
    """The next worker that a request reaches is stopped in this very moment, for as long as its client waits or longer.

    So the request lies in the stopped process while its client may try another one. Enemies are let pass: they have no
    core that knows how long it has stood still, so that nobody could tell what they do afterwards from their malice.
    """
    duration_s = net.plan.settings.exchange_timeout_s * rng.uniform(0.5, 3.0)

    def spring(worker: Process) -> None:
        if worker.name not in net.nodes:
            return
        net.network.pause_on_delivery = None
        _stand_still(net, worker, duration_s)

    def end() -> None:
        net.network.pause_on_delivery = None

    net.network.pause_on_delivery = spring
    return end


def stall_caller(net: Net, rng: random.Random) -> Heal:
    """The next client that sends a request stands still in this very moment, as if its caller blocked the event loop.

    So the answers wait in the process that asked for them, which has heard nothing for as long when it goes on. Enemies
    are let pass here, too.
    """
    duration_s = net.plan.settings.exchange_timeout_s * rng.uniform(0.5, 3.0)

    def spring(client: Process) -> None:
        if client.name not in net.nodes:
            return
        net.network.trap = None
        net.world.later(0.0, lambda: _stand_still(net, client, duration_s))  # after all that it sends in this turn

    def end() -> None:
        net.network.trap = None

    net.network.trap = spring
    return end


def kill_relay(net: Net, rng: random.Random) -> Heal:
    """The next broker that passes a request on is killed while that is on its way, or when it has just come."""
    pause_s = rng.uniform(0.0, net.plan.delay_s[1])
    back_s = rng.uniform(0.1, 1.0)

    def spring(broker: Process) -> None:
        net.network.relay = None
        net.world.later(pause_s, lambda: strike(broker))

    def strike(broker: Process) -> None:
        if broker.up and not broker.paused:
            recover = _say(net, broker, "kill")
            broker.kill()
            net.world.later(back_s, lambda: restart(broker, recover))

    def restart(broker: Process, recover: Heal) -> None:
        if broker.name not in net.buried:
            _restart(broker, recover)

    def end() -> None:
        net.network.relay = None

    net.network.relay = spring
    return end


def _stand_still(net: Net, process: Process, duration_s: float) -> None:
    if process.up and not process.paused:
        net.world.later(duration_s, _pause(net, process))


def cut(*, both: bool) -> Fault:
    """A partition between some processes and the others, both ways or letting one direction through."""

    def begin(net: Net, rng: random.Random) -> Heal:
        names = [*net.brokers, *net.nodes]
        some = rng.sample(names, rng.randint(1, max(1, len(names) // 2)))
        pairs = [(a, b) for a in some for b in names if b not in some]
        if both:
            pairs += [(b, a) for a, b in pairs]
        way = "both ways" if both else "one way"
        net.world.trace.note(net.world.now, f"{', '.join(some)} cut off, {way}", fault=True)
        recover = net.mark_outage("cut", *(net.process(name) for name in some))
        for pair in pairs:
            net.network.conditions(*pair).cut += 1

        def heal() -> None:
            net.world.trace.note(net.world.now, f"{', '.join(some)} back", fault=True)
            for pair in pairs:
                net.network.conditions(*pair).cut -= 1
            recover()
            net.network.clear_up()

        return heal

    return begin


def loss(net: Net, rng: random.Random) -> Heal | None:
    """Packets are lost everywhere."""
    share = rng.choice((0.01, 0.05, 0.2))
    net.world.trace.note(net.world.now, f"{share:.0%} of the packets are lost", fault=True)
    # What was lost last is still on its way when it is over.
    return _spoil(net, "loss", share, net.pairs(), lasts_s=RETRANSMIT_S * (2**RETRANSMITS_MAX - 1))


def delay(net: Net, rng: random.Random) -> Heal | None:
    """Every frame between some pairs takes longer."""
    pairs = [pair for pair in net.pairs() if rng.random() < 0.5]
    extra_s = net.plan.extra_s * rng.random()
    net.world.trace.note(net.world.now, f"{extra_s:.3f} s more for {len(pairs)} directions", fault=True)
    return _spoil(net, "delay", extra_s, pairs, lasts_s=extra_s)


def reset(kind: Literal["reset", "silence", "half-open"]) -> Fault:
    """Some connections break: both ends learn of it at once, or not for long, or only one of them at once."""

    def begin(net: Net, rng: random.Random) -> None:
        connections = [each for each in net.network.connections if rng.random() < 0.3]
        net.world.trace.note(net.world.now, f"{kind} of {len(connections)} connections", fault=True)
        recover = net.mark_outage(kind)
        for connection in connections:
            by_dealer = rng.random() < 0.5 if kind == "half-open" else None
            net.network.reset(connection, silent=kind == "silence", by_dealer=by_dealer)
        settings = net.plan.settings
        net.world.later(0.0 if kind == "reset" else settings.dead_after_s + settings.suspicion_s, recover)

    return begin


def _all_brokers(net: Net) -> Sequence[Process]:
    return list(net.brokers.values())


def _all_nodes(net: Net) -> Sequence[Process]:
    return list(net.nodes.values())


def _brokers(net: Net) -> Sequence[Process]:
    return net.brokers_up


def _nodes(net: Net) -> Sequence[Process]:
    return net.nodes_up


def _running_brokers(net: Net) -> Sequence[Process]:
    return [each for each in net.brokers_up if not each.paused]


def _running_nodes(net: Net) -> Sequence[Process]:
    return [each for each in net.nodes_up if not each.paused]


def _serving_brokers(net: Net) -> Sequence[Process]:
    return [each for each in net.brokers_up if each.is_at_work]


def _on_one_of(choose: Choose, begin: Callable[[Net, Process], Heal | None]) -> Fault:
    """Return the fault that befalls one of those that `choose` returns, if there are any."""

    def fault(net: Net, rng: random.Random) -> Heal | None:
        chosen = choose(net)
        return begin(net, rng.choice(chosen)) if chosen else None

    return fault


def _say(net: Net, process: Process, kind: str) -> Heal:
    net.world.trace.note(net.world.now, f"{kind} {process.name}", fault=True)
    return net.mark_outage(kind, process)


def _restart(process: Process, recover: Heal) -> None:
    process.kill()
    process.start()
    recover()


def _pause(net: Net, process: Process) -> Heal:
    recover = _say(net, process, "pause")
    life = process.life
    process.pause()

    def heal() -> None:
        if process.life == life and process.up:
            net.world.trace.note(net.world.now, f"{process.name} goes on", fault=True)
            process.resume()
        recover()

    return heal


def _spoil(net: Net, kind: Literal["loss", "delay"], value: float, pairs: Pairs, *, lasts_s: float) -> Heal:
    """Make the conditions between some pairs bad; `lasts_s` is how long its end takes to be felt."""
    what = "loss" if kind == "loss" else "extra_s"
    recover = net.mark_outage(kind)
    for pair in pairs:
        setattr(net.network.conditions(*pair), what, value)

    def heal() -> None:
        for pair in pairs:
            conditions = net.network.conditions(*pair)
            if getattr(conditions, what) == value:  # else a later fault has set its own
                setattr(conditions, what, 0.0)
        net.world.later(lasts_s, recover)

    return heal


KINDS: Final[dict[str, Fault]] = {
    "kill-broker": kill(_brokers),
    "vanish-broker": vanish(_brokers),
    "stop-broker": stop(_serving_brokers),
    "roll-broker": roll(_all_brokers),
    "pause-broker": pause(_running_brokers),
    "kill-node": kill(_nodes),
    "stop-node": stop(_nodes),
    "vanish-node": vanish(_nodes),
    "pause-on-delivery": pause_on_delivery,
    "stall-caller": stall_caller,
    "kill-relay": kill_relay,
    "pause-node": pause(_running_nodes),
    "cut": cut(both=True),
    "cut-one-way": cut(both=False),
    "loss": loss,
    "delay": delay,
    "reset": reset("reset"),
    "silence": reset("silence"),
    "half-open": reset("half-open"),
    "revoke-node": registry_faults.revoke_node,
    "roll-node": roll(_all_nodes),
    **registry_faults.KINDS,
}
"""All kinds, by name."""
