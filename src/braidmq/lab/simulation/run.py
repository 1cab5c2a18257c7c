"""One run: a net comes up, things go wrong under load, everything heals, and all must be well."""

import random
import traceback
from dataclasses import dataclass
from typing import Final

from braidmq.lab.simulation import registry_faults
from braidmq.lab.simulation.checkers import Violation, violations
from braidmq.lab.simulation.checkers.ends_once import GRACE_S
from braidmq.lab.simulation.faults import KINDS, Heal
from braidmq.lab.simulation.foreign import faults as foreign_faults
from braidmq.lab.simulation.moves import Moves
from braidmq.lab.simulation.net import QUIET_WORK, Net
from braidmq.lab.simulation.plan import Plan, plan_of
from braidmq.lab.simulation.record import End, Record
from braidmq.lab.simulation.trace import Trace
from braidmq.lab.simulation.world import World

WARM_UP_S: Final = 1.0
"""When the first fault may happen; calls are made from the start."""

WHOLE_S_MAX: Final = 8.0
"""How long a net may take to be whole once nothing is wrong with it: some handshakes and reconnections, a suspicion,
and a full exchange of what brokers know, with the settings that are drawn."""

RESUME_S: Final = 0.1
"""Time in which processes that were stopped do what has waited for them."""

OF_THE_END: Final = frozenset(("I1", "convergence", "leak"))
"""Rules that can be judged only when a run has come to its end."""

LIVENESS_CALLS: Final = 3
"""Calls of each client to each service when the net is whole."""

LIVENESS_TIMEOUT_S: Final = 5.0
"""What these calls may take."""

BETWEEN_S: Final = 0.005
"""Time between two of them."""

SETTLE_S_MAX: Final = 10.0
"""How long handlers may go on that nobody waits for any more."""


_FAULTS: Final = {**KINDS, **foreign_faults.KINDS}


@dataclass(frozen=True, slots=True)
class Run:
    """How a run went.

    Attributes:
        digest: stands for all that happened: the same for each run of this seed with this version.
        simulated_s: how long it was in the simulated world.
        violations: what must not be; empty if all was well.
    """

    plan: Plan
    digest: str
    events: int
    simulated_s: float
    record: Record
    trace: Trace
    violations: list[Violation]


def run(seed: int, scenario: str = "swarm", *, keep_trace: bool = False) -> Run:
    """Simulate what `seed` stands for. Raises KeyError for an unknown scenario."""
    plan = plan_of(seed, scenario)
    world = World(seed, keep_trace=keep_trace)
    net = Net(plan, world)
    try:
        found = [*_live(net), *violations(world.record)]
    except Exception as error:  # noqa: BLE001 - a core that raises is what is looked for
        world.record.deaths.append(End(world.now, "a process", _told(error)))
        found = [each for each in violations(world.record) if each.rule not in OF_THE_END]
    return Run(plan, world.trace.digest, world.trace.events, world.now, world.record, world.trace, found)


def _live(net: Net) -> list[Violation]:
    """Let a net live through its plan; return what cannot be seen in the record."""
    world = net.world
    net.start()
    _break_it(net)
    world.trace.note(world.now, "all is well from now on", fault=True)
    net.work = QUIET_WORK
    if net.plan.one_stays_down:
        net.retire(world.chance("burial").choice(net.plan.brokers))
    registry_faults.settle(net, world.chance("last registry"))
    world.run(world.now + RESUME_S)
    latest = max((call.deadline for call in world.record.calls), default=world.now)
    world.run(latest + WHOLE_S_MAX, net.is_quiet)
    if not world.run(world.now + WHOLE_S_MAX, net.is_whole):
        net.note_views()
        return [
            Violation("convergence", f"not whole after {WHOLE_S_MAX} s: {'; '.join(net.why_not_whole())}", world.now)
        ]
    net.note_views()
    world.run(world.now + SETTLE_S_MAX, net.is_settled)
    _make_good_calls(net)
    world.run(world.now + SETTLE_S_MAX, net.is_settled)
    world.record.leftovers = net.leftovers()
    whole = world.run(world.now + WHOLE_S_MAX, net.is_whole)
    net.note_views()
    if not whole:
        return [Violation("convergence", f"not whole any more: {'; '.join(net.why_not_whole())}", world.now)]
    return []


def _break_it(net: Net) -> None:
    """The safety phase: calls, and faults that each end by themselves, or with the phase."""
    plan, world = net.plan, net.world
    rng = world.chance("load")
    made = 0
    while made < plan.calls:
        at, client = rng.uniform(0.0, plan.safety_s), net.nodes[rng.choice(plan.clients)]
        for _ in range(min(plan.calls - made, rng.randint(1, plan.burst))):
            made += 1
            service, timeout_s = rng.choice(plan.services), rng.choice(plan.timeouts_s)
            attempts, size_bytes = rng.choice(plan.attempts), rng.choice(plan.payload_bytes)
            world.at(
                at,
                lambda client=client, service=service, timeout_s=timeout_s, attempts=attempts, size_bytes=size_bytes: (  # type: ignore[misc]
                    client.call(
                        service, timeout_s=timeout_s, attempts=attempts, size_bytes=size_bytes, must_succeed=False
                    )
                ),
            )
        if rng.random() < 0.1:
            world.at(min(plan.safety_s, at + rng.uniform(0.0, 0.5)), client.give_up_one)
    _ask_as_foreigners(net)
    faults = Faults(net, world.chance("faults"))
    at = WARM_UP_S
    while plan.kinds and at < plan.safety_s:
        world.at(at, faults.begin_one)
        at += rng.expovariate(1.0 / plan.fault_every_s)
    if plan.intruder:
        world.at(WARM_UP_S, net.intruder.start)
    moves = Moves(net, world.chance("moves"))
    moves.begin(plan.safety_s)
    world.run(plan.safety_s)
    faults.heal_all()
    moves.end()
    net.defeat()


def _ask_as_foreigners(net: Net) -> None:
    """Let foreign programs ask, too, if there are any."""
    bridge, bridged = net.bridge, net.plan.bridged
    if bridge is None or bridged is None:
        return
    rng, made = net.world.chance("foreign load"), 0
    while made < bridged.asks:
        at, caller = rng.uniform(0.0, net.plan.safety_s), rng.choice(bridge.street.callers)
        for _ in range(min(bridged.asks - made, rng.randint(1, net.plan.burst))):
            made += 1
            service, size_bytes = rng.choice(net.plan.services), rng.choice(net.plan.payload_bytes)
            net.world.at(
                at,
                lambda caller=caller, service=service, size_bytes=size_bytes: caller.ask(  # type: ignore[misc]
                    service, size_bytes, must_succeed=False
                ),
            )


def _make_good_calls(net: Net) -> None:
    """The liveness phase: one call after the other, so that no limit stands in its way."""
    world = net.world
    for client in net.plan.clients * LIVENESS_CALLS:
        for service in net.plan.services:
            net.nodes[client].call(service, timeout_s=LIVENESS_TIMEOUT_S, attempts=3, size_bytes=0, must_succeed=True)
            world.run(world.now + BETWEEN_S)
            world.run(world.now + LIVENESS_TIMEOUT_S + 2 * GRACE_S, net.is_quiet)
    for caller in () if net.bridge is None else net.bridge.street.callers * LIVENESS_CALLS:
        for service in net.plan.services:
            caller.ask(service, 0, must_succeed=True)
            world.run(world.now + BETWEEN_S)
            world.run(world.now + LIVENESS_TIMEOUT_S + 2 * GRACE_S, net.is_quiet)


class Faults:
    """Those that are there now."""

    def __init__(self, net: Net, rng: random.Random) -> None:
        self._net = net
        self._rng = rng
        self._heals: dict[int, Heal] = {}
        self._begun = 0

    def begin_one(self) -> None:
        """Begin a fault of a kind that the plan knows, and see to it that it ends."""
        rng = self._rng
        heal = _FAULTS[rng.choice(self._net.plan.kinds)](self._net, rng)
        if heal is None:
            return
        self._begun += 1
        number = self._begun
        self._heals[number] = heal
        self._net.world.later(rng.choice((0.02, 0.2, 0.5, 1.0, 3.0)) * rng.uniform(0.5, 1.5), lambda: self._end(number))

    def heal_all(self) -> None:
        """End all of them."""
        for number in list(self._heals):
            self._end(number)

    def _end(self, number: int) -> None:
        heal = self._heals.pop(number, None)
        if heal is not None:
            heal()


def _told(error: Exception) -> str:
    """Return on one line what a core raised, and where."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {where.name} ({where.filename.rpartition('/')[2]}:{where.lineno}): {where.line}"
