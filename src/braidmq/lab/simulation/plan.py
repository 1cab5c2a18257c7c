"""What a seed stands for: how large the net is, how it is set up, what it does, and what goes wrong.

Swarm testing (Groce et al., 2012): each seed leaves out most kinds of faults, so that rare combinations come up that a
mixture of everything would drown.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeVar

from braidmq.lab.simulation import registry_faults
from braidmq.lab.simulation.faults import KINDS
from braidmq.lab.simulation.foreign.plan import Bridged, bridge_of
from braidmq.settings import KIB, Settings

T = TypeVar("T")

SCENARIOS: Final[dict[str, tuple[str, ...]]] = {
    "swarm": tuple(KINDS),
    "calm": (),
    "brokers-die": ("kill-broker", "kill-relay", "stop-broker", "vanish-broker"),
    "hang": ("pause-broker", "pause-node", "pause-on-delivery", "stall-caller"),
    "nodes-die": ("kill-node", "stop-node", "vanish-node", "pause-node", "pause-on-delivery"),
    "network": ("cut", "cut-one-way", "loss", "delay", "reset", "silence", "half-open"),
    "registry": ("revoke-node", "kill-broker", "vanish-broker", "cut", "pause-broker", "reset", *registry_faults.KINDS),
    "intruder": ("reset", "kill-node"),
    "roll": ("roll-broker",),
    "roll-nodes": ("roll-node",),
    "workers-die": ("kill-node",),
    "saturated": ("kill-broker", "pause-broker", "pause-node", "stall-caller", "cut-one-way", "reset", "half-open"),
    "slow-paths": ("kill-relay", "delay", "loss", "reset"),
    "hanging": ("kill-node", "vanish-node", "kill-broker", "cut", "reset"),
    "long-jobs": ("kill-broker", "stop-broker"),
    "stalls": ("stall-caller", "pause-node", "pause-broker"),
    "services": ("kill-broker", "stop-broker", "kill-node", "stop-node", "pause-node", "pause-broker", "cut", "reset"),
    "roll-services": (),
    "bridge": (
        "kill-broker",
        "kill-relay",
        "stop-broker",
        "vanish-broker",
        "pause-broker",
        "kill-node",
        "stop-node",
        "pause-node",
        "cut",
        "loss",
        "delay",
        "reset",
        "half-open",
        "kill-bridge",
        "stop-bridge",
        "pause-bridge",
        "kill-program",
        "pause-program",
        "reset-program",
    ),
    "hostile-client": (),
    "hostile-worker": (),
    "hostile-broker": (),
}
"""Sets of faults to draw from, by name."""

Hostile = Literal["", "client", "worker", "broker"]

HOSTILE: Final[dict[str, Hostile]] = {
    "hostile-client": "client",
    "hostile-worker": "worker",
    "hostile-broker": "broker",
}
"""Scenarios in which one member is in an attacker's hands, and all else is well: what the others lose is its work."""

_HOSTILE_SHARE: Final = 0.25
"""The share of the seeds with an intruder in which another member is hostile, too."""

_MESSAGE_S: Final = 0.0001
"""What each message costs a broker that is besieged: some three times what it costs a real one, so that some thousands
are a flood."""

_CROWDS: Final = (0, 0, 0, 30, 200, 700)
"""How many others are registered: none; or enough for two parts of a registry, several, and more than are asked for at
once."""

_SHORT_S: Final = (0.0005, 0.005)
"""What frames take where requests may go back from worker to worker before anybody doubts them: on longer ways they
carry the flag, as they must."""

_ROLLING: Final = ("roll", "roll-nodes", "roll-services")
"""Scenarios that no caller may notice."""


@dataclass(frozen=True, slots=True)
class Work:
    """What handlers do: how long they take (one of these, or down to half of it), and how often they fail.

    Attributes:
        hanging_share: how many never end by themselves.
        chained_share: how many call a service, perhaps their own, and end with that call.
        not_run_share: how many say that they have done nothing.
        unknown_share: how many do not know whether they have done something.
    """

    durations_s: tuple[float, ...]
    error_share: float
    hanging_share: float = 0.0
    chained_share: float = 0.0
    not_run_share: float = 0.0
    unknown_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """One run.

    Attributes:
        nodes: each node's services with their concurrency; a node without any is a client only.
        clients: the nodes that call.
        services: the names of all services.
        kinds: the faults that may happen.
        fault_every_s: the mean time between two faults.
        safety_s: how long faults happen.
        calls: how many calls are made in that time.
        burst: how many calls one client makes at once, at most.
        timeouts_s: what callers wait.
        payload_bytes: how large payloads are.
        delay_s: the shortest and the longest time that a frame takes.
        extra_s: what a slow network adds.
        frames_max: frames that a pipe takes.
        frames_per_turn: frames that a process reads from a connection at once.
        one_stays_down: whether a broker is not started again when everything heals.
        clock_drift: how much faster or slower than the world's a clock may be.
        intruder_calls: the services that the intruder may call.
        flawless: whether no caller may notice anything.
        intruder: whether a registered member turns on the others.
        hostile: what the member is that is in an attacker's hands; empty for nobody.
        hostile_connections: how many it has to each broker.
        besieged: whether that is all that is wrong, so that honest calls must end well.
        message_s: what each message costs a broker that takes it in; a node takes less.
        late: nodes that are started late.
        crowd: members that are registered, and never there.
        moves_every_s: the mean time after which a worker offers, withdraws or resizes a service; 0: never.
        repeats_share: how many calls repeat an earlier request, by their callers' word, under ids of their own.
        bridged: the bridge among its nodes, if there is one.
        stubborn: handlers cannot be stopped.
        known: how many brokers a node is configured with.
        wait: what callers say of waiting for a worker.
        patient: whether callers wait for any answer that there is: an error stands for an answer that did not get
            through.
    """

    seed: int
    settings: Settings
    brokers: tuple[str, ...]
    nodes: dict[str, dict[str, int]]
    clients: tuple[str, ...]
    services: tuple[str, ...]
    kinds: tuple[str, ...]
    fault_every_s: float
    safety_s: float
    calls: int
    burst: int
    timeouts_s: tuple[float, ...]
    attempts: tuple[int, ...]
    payload_bytes: tuple[int, ...]
    work: Work
    delay_s: tuple[float, float]
    extra_s: float
    frames_max: int
    frames_per_turn: int
    one_stays_down: bool
    clock_drift: float
    intruder_calls: tuple[str, ...]
    flawless: bool
    intruder: bool
    stubborn: bool
    known: int
    wait: bool | None = None
    patient: bool = False
    hostile: Hostile = ""
    hostile_connections: int = 1
    besieged: bool = False
    message_s: float = 0.0
    late: tuple[str, ...] = ()
    crowd: int = 0
    moves_every_s: float = 0.0
    repeats_share: float = 0.0
    bridged: Bridged | None = None

    @property
    def has_enemies(self) -> bool:
        """Whether somebody who is registered wants to do harm."""
        return self.intruder or bool(self.hostile)

    def __str__(self) -> str:
        return (
            f"{len(self.brokers)} brokers, {len(self.nodes)} nodes, {len(self.services)} services, "
            f"{self.calls} calls in {self.safety_s:.0f} s; faults: {', '.join(self.kinds) or 'none'}"
            f"{'; an intruder' if self.intruder else ''}"
            f"{f'; a hostile {self.hostile}' if self.hostile else ''}"
            f"{f'; a bridge of {self.bridged.kind}' if self.bridged is not None else ''}"
        )


def plan_of(seed: int, scenario: str = "swarm") -> Plan:
    """Return what `seed` stands for. Raises KeyError for an unknown scenario."""
    rng = random.Random(f"{scenario} {seed}")  # noqa: S311 - a run must be repeatable
    services = tuple(f"s{number}" for number in range(rng.choice((1, 1, 2))))
    workers = {
        f"w{number}": {service: rng.choice((1, 2, 8)) for service in services if number == 0 or rng.random() < 0.8}
        for number in range(rng.randint(1, 3))
    }
    clients = {f"c{number}": dict[str, int]() for number in range(rng.randint(1, 3))}
    both = {"n0": dict.fromkeys(services, 4)} if rng.random() < 0.3 else {}
    brokers = tuple(f"b{number}" for number in range(rng.choice((1, 2, 2, 3, 3, 3, 4))))
    delay_s = rng.choice(((0.0001, 0.001), (0.0005, 0.005), (0.005, 0.04)))
    plan = Plan(
        seed=seed,
        settings=_settings(rng),
        brokers=brokers,
        nodes={**workers, **both, **clients},
        clients=(*clients, *both),
        services=services,
        kinds=tuple(kind for kind in SCENARIOS[scenario] if _happens(f"{scenario} {seed} {kind}")),
        fault_every_s=rng.choice((0.3, 0.7, 1.5, 3.0)),
        safety_s=rng.choice((3.0, 5.0, 8.0)),
        calls=rng.choice((30, 60, 120)),
        burst=rng.choice((1, 1, 3, 20)),
        timeouts_s=_some(rng, (0.3, 1.0, 2.0, 5.0)) or (2.0,),
        attempts=_some(rng, (1, 2, 3, 5)) or (3,),
        payload_bytes=rng.choice(((0,), (0, 200), (200, 4 * KIB), (100, 40 * KIB))),
        work=Work(
            rng.choice(((0.001,), (0.001, 0.01), (0.001, 0.05, 0.3), (0.002, 0.002, 0.002, 1.5))),
            rng.choice((0.0, 0.0, 0.2)),
        ),
        delay_s=delay_s,
        extra_s=rng.choice((0.05, 0.3, 1.0)),
        frames_max=rng.choice((2, 8, 1000, 1000)),
        frames_per_turn=rng.choice((1, 4, 64)),
        one_stays_down=len(brokers) > 1 and rng.random() < 0.3,
        clock_drift=rng.choice((0.0, 0.0001)),
        intruder_calls=_some(rng, services),
        flawless=False,
        intruder=scenario == "intruder" or (scenario == "swarm" and rng.random() < 0.3),
        stubborn=rng.random() < 0.3,
        known=rng.choice((1, 2, len(brokers))),
    )
    if "revoke-broker" in plan.kinds:  # or a node might know only the one that dies, and not that others are back
        plan = replace(plan, one_stays_down=False)
    if plan.one_stays_down:
        plan = replace(plan, known=len(brokers))  # or a node might know of nobody else
    if scenario in (*_ROLLING, "workers-die"):
        return _moving(_roomy(plan, scenario), scenario)
    if scenario in ("stalls", "long-jobs"):
        return _patient(plan, scenario)
    if scenario == "bridge":
        return _bridged(plan)
    if scenario in HOSTILE:
        return _besieged(plan, HOSTILE[scenario])
    return _moving(_infiltrated(_crowded(_laden(plan, scenario), scenario), scenario), scenario)


def _moving(plan: Plan, scenario: str) -> Plan:
    """Return a plan whose services come and go, and whose handlers do not answer everything, if it is about that.

    Its draws are its own.
    """
    rng = random.Random(f"moves of {scenario} {plan.seed}")  # noqa: S311 - a run must be repeatable
    if scenario == "roll-services":
        work = replace(plan.work, not_run_share=rng.choice((0.0, 0.02)))
        return replace(plan, moves_every_s=0.3, work=work, delay_s=_SHORT_S)
    if scenario != "services":
        return plan
    shares = (0.0, 0.05, 0.3)
    return replace(
        plan,
        moves_every_s=rng.choice((0.05, 0.2, 0.7)),
        repeats_share=rng.choice((0.0, 0.1)),
        work=replace(plan.work, not_run_share=rng.choice(shares), unknown_share=rng.choice(shares)),
    )


def _bridged(plan: Plan) -> Plan:
    """Return a plan with a bridge, and foreign programs on both of its sides."""
    bridged = bridge_of(plan.seed)
    services = (*plan.services, bridged.service)
    nodes = {**plan.nodes, bridged.node: {bridged.service: bridged.servers}}
    return replace(plan, nodes=nodes, services=services, bridged=bridged, stubborn=False)


def _crowded(plan: Plan, scenario: str) -> Plan:
    """Return a plan whose registry may be large; and in which somebody may lie about it, if it is about that.

    Its draws are its own.
    """
    rng = random.Random(f"crowd of {scenario} {plan.seed}")  # noqa: S311 - a run must be repeatable
    if scenario == "registry":
        hostile: Hostile = "broker" if rng.random() < 0.3 else ""
        plan = replace(plan, intruder=rng.random() < 0.5, hostile=hostile, one_stays_down=False)
    return replace(plan, crowd=rng.choice(_CROWDS))


def _infiltrated(plan: Plan, scenario: str) -> Plan:
    """Return a plan that may have a hostile member besides its intruder. Its draws are its own."""
    rng = random.Random(f"enemy of {scenario} {plan.seed}")  # noqa: S311 - a run must be repeatable
    if scenario == "registry" or not plan.intruder or rng.random() >= _HOSTILE_SHARE:
        return plan
    return replace(plan, hostile=rng.choice(("client", "worker", "broker")), hostile_connections=rng.choice((1, 3, 20)))


def _besieged(plan: Plan, hostile: Hostile) -> Plan:
    """Return a plan in which the honest members have all that they need, if a hostile one does not take it."""
    rng = random.Random(f"siege of {plan.seed}")  # noqa: S311 - a run must be repeatable
    services, clients = ("s0", "s1"), {name: dict[str, int]() for name in ("c0", "c1", "c2")}
    return replace(
        plan,
        settings=Settings.test(
            settle_s=1.0,
            exchange_timeout_s=0.5,
            services_max=100,
            connections_per_key_max=8,
            in_flight_max=64,
            in_flight_bytes_max=512 * KIB,
            queue_messages_max=200,
            queue_bytes_max=512 * KIB,
            outbox_bytes_max=512 * KIB,
            payload_bytes_max=64 * KIB,
            handshake_s_max=2.0,
            transport_heartbeat_s=1.0,
            transport_timeout_s=3.0,
        ),
        brokers=("b0", "b1") if hostile == "broker" else ("b0", "b1", "b2"),
        nodes={**{name: {"s0": 2} for name in ("w0", "w1")}, **{name: {"s1": 2} for name in ("w2", "w3")}, **clients},
        clients=tuple(clients),
        services=services,
        calls=240,
        burst=30,
        timeouts_s=(2.0,),
        attempts=(3,),
        payload_bytes=(0, 200),
        work=Work((0.01, 0.03), 0.0),
        safety_s=7.0,
        delay_s=(0.0005, 0.005),
        frames_max=1_000,
        frames_per_turn=64,
        one_stays_down=False,
        stubborn=False,
        known=2,
        wait=None,
        hostile=hostile,
        hostile_connections=rng.choice((1, 4, 12)),
        besieged=True,
        message_s=_MESSAGE_S,
        late=("w2", "w3") if hostile == "client" else (),
    )


def _laden(plan: Plan, scenario: str) -> Plan:
    """Return a plan whose workers have more to do, or have handlers that hang, or that call others.

    Its draws are its own, so that those of other plans stay as they are.
    """
    rng = random.Random(f"load of {scenario} {plan.seed}")  # noqa: S311 - a run must be repeatable
    work, stubborn = plan.work, plan.stubborn
    if scenario == "saturated":
        plan = _eager(plan, rng)
    elif scenario == "slow-paths":
        plan = replace(_eager(plan, rng), extra_s=0.3)
        work = Work((0.02, 0.1), 0.0)
    if scenario == "saturated" or (scenario == "swarm" and rng.random() < 0.3):
        few = rng.choice((1, 1, 2))
        work = replace(work, durations_s=rng.choice(((0.02, 0.1), (0.1, 0.5), (0.3, 2.0))))
        nodes = {name: dict.fromkeys(serves, few) for name, serves in plan.nodes.items()}
        plan = replace(plan, nodes=nodes, timeouts_s=rng.choice(((2.0, 8.0), (5.0,), (8.0,))))
    if scenario == "hanging" or (scenario == "swarm" and rng.random() < 0.2):
        work, stubborn = replace(work, hanging_share=rng.choice((0.02, 0.1))), False
    if scenario in ("saturated", "swarm") and rng.random() < 0.2:
        work = replace(work, chained_share=rng.choice((0.1, 0.5)))
    return replace(plan, work=work, stubborn=stubborn, wait=rng.choice((None, None, True, False)))


def _eager(plan: Plan, rng: random.Random) -> Plan:
    """Return a plan in which nothing but the workers keeps a call from being run, and again if need be."""
    return replace(
        plan,
        settings=replace(
            plan.settings,
            exchange_timeout_s=rng.choice((0.3, 1.0)),
            in_flight_max=256,
            in_flight_bytes_max=64 * KIB * KIB,
            queue_messages_max=1_000,
            queue_bytes_max=64 * KIB * KIB,
            retry_budget_ratio=1.0,
            retry_budget_max=10.0,
            brokers_connected_max=16,
        ),
        brokers=plan.brokers if len(plan.brokers) > 1 else ("b0", "b1"),
        nodes={**dict.fromkeys(("w0", "w1"), dict.fromkeys(plan.services, 8)), **plan.nodes},
        calls=120,
        burst=rng.choice((3, 20)),
        timeouts_s=(8.0,),
        attempts=(20,),
        fault_every_s=0.3,
        safety_s=5.0,
        one_stays_down=False,
    )


def _patient(plan: Plan, scenario: str) -> Plan:
    """Return a plan in which callers wait for long enough, and may try often enough, for any answer that there is."""
    rng = random.Random(f"patience of {scenario} {plan.seed}")  # noqa: S311 - a run must be repeatable
    long = scenario == "long-jobs"
    return replace(
        plan,
        settings=Settings.test(
            settle_s=1.0,
            dedup_bytes_max=64 * KIB * KIB,
            retry_budget_ratio=plan.settings.retry_budget_ratio,
            retry_budget_max=plan.settings.retry_budget_max,
        ),
        brokers=plan.brokers if len(plan.brokers) > 1 else ("b0", "b1"),
        nodes={name: dict.fromkeys(serves, 64) for name, serves in plan.nodes.items()},
        safety_s=8.0,
        calls=plan.calls if long else 120,
        burst=20 if long else rng.choice((5, 20)),
        timeouts_s=(12.0,) if long else (8.0,),
        attempts=(20,),
        payload_bytes=(0, 200),
        work=Work(rng.choice(((1.5, 4.0), (3.0,))) if long else rng.choice(((0.001,), (0.01, 0.3))), 0.0),
        frames_max=1000,
        frames_per_turn=plan.frames_per_turn if long else rng.choice((1, 64)),
        one_stays_down=False,
        stubborn=False,
        patient=True,
    )


def _roomy(plan: Plan, scenario: str) -> Plan:
    """Return a plan with room and time for everything: nothing but the faults can go wrong."""
    workers = plan.nodes
    if scenario in ("roll-nodes", "roll-services"):  # while one of them is away, the other one serves
        workers = {**plan.nodes, **{name: dict.fromkeys(plan.services, 64) for name in ("w0", "w1")}}
    return replace(
        plan,
        flawless=scenario in _ROLLING,
        settings=Settings.test(settle_s=1.0, exchange_timeout_s=1.0),
        brokers=plan.brokers if len(plan.brokers) > 1 else ("b0", "b1"),
        nodes={name: dict.fromkeys(serves, 64) for name, serves in workers.items()},
        kinds=SCENARIOS[scenario],
        burst=min(plan.burst, 3),
        timeouts_s=(5.0,),
        attempts=(3,),
        payload_bytes=(0, 200),
        work=Work(tuple(each for each in (*plan.work.durations_s, 0.3) if each < 1.0), 0.0),
        frames_max=1000,
        frames_per_turn=64,
        one_stays_down=False,
    )


def _happens(of: str) -> bool:
    """Return whether a kind of fault may happen: a new kind changes nothing for the others."""
    return random.Random(of).random() < 0.5  # noqa: S311 - an even chance that is repeatable


def _some(rng: random.Random, of: Sequence[T]) -> tuple[T, ...]:
    """Return each of them with an even chance, in their order."""
    return tuple(each for each in of if rng.random() < 0.5)


def _settings(rng: random.Random) -> Settings:
    return Settings.test(
        exchange_timeout_s=rng.choice((0.3, 0.5, 1.0)),
        backoff_s=rng.choice((0.02, 0.1)),
        failover_spread_s=rng.choice((0.0, 0.05)),
        in_flight_max=rng.choice((4, 32, 256)),
        waiting_max=rng.choice((0, 10_000)),
        in_flight_bytes_max=rng.choice((64 * KIB, 64 * KIB * KIB)),
        queue_messages_max=rng.choice((0, 3, 1_000)),
        queue_bytes_max=rng.choice((64 * KIB, 64 * KIB * KIB)),
        outbox_bytes_max=rng.choice((64 * KIB, 16 * KIB * KIB)),
        payload_bytes_max=64 * KIB,
        settle_s=rng.choice((0.0, 0.3, 1.0)),
        dedup_bytes_max=rng.choice((KIB, 64 * KIB * KIB)),
        balance=rng.choice(("least-outstanding", "round-robin")),
        retry_budget_ratio=rng.choice((0.0, 0.1, 1.0)),
        retry_budget_max=rng.choice((1.0, 10.0)),
        brokers_connected_max=rng.choice((2, 16)),
        handshake_s_max=2.0,
        transport_heartbeat_s=1.0,
        transport_timeout_s=3.0,
    )
