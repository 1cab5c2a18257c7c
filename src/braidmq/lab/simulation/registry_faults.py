"""What goes wrong with the registry, or just happens to it: what the authority changes, and where old ones come back.

What was changed for a time is changed back as the fault ends. How a change reaches the net is drawn: an operator
publishes it, or it comes as a file, to one broker or to each.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from braidmq.lab.simulation.intruder import Intruder
from braidmq.lab.simulation.registry import principal_of
from braidmq.members import Member, Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from braidmq.lab.simulation.broker import BrokerProcess
    from braidmq.lab.simulation.faults import Fault, Heal
    from braidmq.lab.simulation.net import Net
    from braidmq.lab.simulation.process import Process

SPREAD_S: Final = 0.5
"""Within which time each broker gets its file."""

LOOK_S: Final = 0.1
"""How often it is looked whether all brokers know of a change."""


def publish(net: Net, rng: random.Random) -> None:
    """A member comes or goes that is not there."""
    name = f"nobody{rng.randrange(4)}"
    _say(net, f"{name} comes or goes")
    if net.is_registered(name):
        net.authority.change(remove=[name])
    else:
        net.authority.change(add=[Member(name, Role.NODE, calls=net.plan.services)])
    _spread(net, rng)


def revoke_node(net: Net, rng: random.Random) -> Heal | None:
    """A node is taken off the registry. Later it is put back."""
    return _take_off(net, rng, net.nodes[rng.choice(list(net.nodes))])


def revoke_broker(net: Net, rng: random.Random) -> Heal | None:
    """A broker that others can replace is taken off the registry, and goes on. Later it is put back."""
    others = [each for each in net.brokers_up if net.is_registered(each.name)]
    return _take_off(net, rng, rng.choice(others)) if len(others) > 1 else None


def revoke_enemy(net: Net, rng: random.Random) -> None:
    """A member that is hostile is taken off the registry, and goes on; or it has talked its way back in."""
    name = rng.choice([Intruder.NAME, *(() if net.hostile is None else (net.hostile.name,))])
    if net.is_registered(name):
        _say(net, f"{name} is revoked")
        net.authority.change(remove=[name])
    else:
        _say(net, f"{name} is back on the registry")
        net.authority.change(add=[net.member_of(name)])
    _spread(net, rng)


def narrow_rights(net: Net, rng: random.Random) -> Heal | None:
    """A node may not call and serve any more what it could. Later it may again."""
    node = net.nodes[rng.choice(list(net.nodes))]
    member = net.authority.member(node.name)
    if member is None or not (member.calls or member.serves):
        return None
    recover = _begin(net, "narrow", node)
    net.authority.change(add=[Member(node.name, Role.NODE)])
    _spread(net, rng)

    def heal() -> None:
        if net.is_registered(node.name):  # else it is put back with all its rights
            net.authority.change(add=[member])
            _spread(net, rng)
        _once_known(net, net.authority.newest.version, recover)

    return heal


def old_file(net: Net, rng: random.Random) -> None:
    """The join file of a broker is restored from a backup while it runs."""
    broker, old = rng.choice(list(net.brokers.values())), rng.choice(net.authority.editions)
    _say(net, f"{broker.name} has the join file of registry {old.version}")
    broker.replace_file(old)


def old_start(net: Net, rng: random.Random) -> Heal | None:
    """A broker is killed, and comes back with an old join file."""
    broker = _one_up(net, rng)
    if broker is None:
        return None
    broker.file = rng.choice(net.authority.editions)
    return _kill(net, broker, f"{broker.name} starts with the join file of registry {broker.file.version}")


def lost_state(net: Net, rng: random.Random) -> Heal | None:
    """A broker is killed, and comes back without what it had kept, perhaps with an old join file as well."""
    broker = _one_up(net, rng)
    if broker is None:
        return None
    if rng.random() < 0.5:
        broker.file = rng.choice(net.authority.editions)
    broker.lose_state()
    return _kill(net, broker, f"{broker.name} forgets, and starts with the join file of registry {broker.file.version}")


def settle(net: Net, rng: random.Random) -> None:
    """The authority makes a last change, which reaches one broker at least that all others let in."""
    net.authority.change()
    known = _known(net)
    to_come = net.operator.up or len(net.brokers_up) < len(net.brokers)  # who knows what some of them will know
    if rng.random() < 0.5 or not known or to_come:
        net.operator.publish()
    else:
        rng.choice(known).replace_file(net.authority.newest)


def _take_off(net: Net, rng: random.Random, process: Process) -> Heal | None:
    member = net.authority.member(process.name)
    if member is None:
        return None
    recover = _begin(net, "revoke", process)
    net.authority.change(remove=[process.name])
    _spread(net, rng)

    def heal() -> None:
        version = net.authority.change(add=[net.member_of(process.name)]).version
        _spread(net, rng)
        _once_known(net, version, recover)

    return heal


def _once_known(net: Net, version: int, recover: Heal) -> None:
    """Recover when all brokers know of a change: before that, some of them still act as if it had not been made."""
    if all(broker.ledger.version >= version for broker in net.brokers_up):
        recover()
    else:
        net.world.later(LOOK_S, lambda: _once_known(net, version, recover))


def _one_up(net: Net, rng: random.Random) -> BrokerProcess | None:
    brokers = net.brokers_up
    return rng.choice(brokers) if brokers else None


def _kill(net: Net, broker: BrokerProcess, what: str) -> Heal:
    recover = _begin(net, "kill", broker)
    _say(net, what)
    broker.kill()

    def heal() -> None:
        broker.kill()
        broker.start()
        recover()

    return heal


def _spread(net: Net, rng: random.Random) -> None:
    known = _known(net)
    way = rng.choice(("operator", "operator", "file", "files"))
    if way == "operator" or not known:
        net.operator.publish()
    elif way == "file":
        rng.choice(known).replace_file(net.authority.newest)
    else:
        for broker in net.brokers.values():
            net.world.later(
                rng.uniform(0.0, SPREAD_S),
                lambda broker=broker: broker.replace_file(net.authority.newest),  # type: ignore[misc]
            )


def _known(net: Net) -> Sequence[BrokerProcess]:
    """Return the brokers that all others let in: others cannot hand anything on to them."""
    up = net.brokers_up
    return [each for each in up if all(other.ledger.member(principal_of(each.name)) for other in up)]


def _begin(net: Net, kind: str, process: Process) -> Heal:
    _say(net, f"{kind} {process.name}")
    return net.mark_outage(kind, process)


def _say(net: Net, what: str) -> None:
    net.world.trace.note(net.world.now, what, fault=True)


KINDS: Final[dict[str, Fault]] = {
    "publish": publish,
    "revoke-broker": revoke_broker,
    "revoke-enemy": revoke_enemy,
    "narrow-rights": narrow_rights,
    "old-file": old_file,
    "old-start": old_start,
    "lost-state": lost_state,
}
"""All kinds but `revoke-node`, by name."""
