"""Every knob of a node and of a broker, with its default, its bounds and its reason.

Durations are seconds. `Settings()`, or `Settings.lan()`, suits one data centre, `Settings.test()` suits tests on one
machine, and `Settings.wan()` suits brokers that are tens to hundreds of milliseconds apart.
"""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from braidmq.bounds import ATTEMPTS_MAX, DAY_S, HEARTBEAT_S_MAX, HEARTBEAT_S_MIN, PAYLOAD_BYTES_MAX, SERVICES_MAX
from braidmq.errors import ConfigError

KIB = 1024
MIB = 1024 * KIB

_CHOICES: Final = {
    "wait_for_worker": ("known", "always", "never"),
    "authenticate_replies": ("never", "always"),
    "balance": ("least-outstanding", "round-robin"),
}


def _knob(default: Any, low: float, high: float) -> Any:
    return dataclasses.field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Options of a node or broker; every field has a default that is meant to be kept.

    Raises:
        ConfigError: a value is outside its bounds, or two values contradict each other.
    """

    timeout_s: float = _knob(5.0, 0.001, DAY_S)
    """Deadline of a request that names none: over all attempts, queues and pauses. Longer waits out longer
    outages; shorter frees the caller sooner. A caller's own timeout overrides it."""

    exchange_timeout_s: float = _knob(1.0, 0.03, 180)
    """Silence after which an attempt counts as lost. It measures silence, not work: workers and brokers say
    WORKING at a third of it. Shorter fails over sooner from a hung broker; too short takes a slow network for a
    dead one. At least three round trips."""

    attempts: int = _knob(3, 1, ATTEMPTS_MAX)
    """How often a request may leave this node, the first time included. What was refused for want of a worker does not
    count for a call that waits for one."""

    wait_for_worker: Literal["known", "always", "never"] = "known"
    """Whether a call waits within its deadline where there is no worker for its service, or ends as NoWorker at once.
    `known` waits for services that had a worker since this node started: these restart, while a name that nobody has
    ever offered is a mistake. `always` and `never` do what they say. A call's own `wait` overrides it."""

    authenticate_replies: Literal["never", "always"] = "never"
    """Whether a reply counts only if its worker has proved it, so that a broker in an attacker's hands cannot forge or
    change one. `always` costs caller and worker about 10 us each for a call of 4 KiB, and 300 bytes more on the wire;
    it refuses workers that are too old to prove anything. Workers always answer with a proof when they are asked."""

    backoff_s: float = _knob(0.1, 0.001, 60)
    """First pause before a request returns to brokers that all refused it. It doubles with each such round, with
    full jitter (a uniform draw from 0 to the pause). Another broker is tried at once, without a pause."""

    backoff_s_max: float = _knob(1.0, 0.001, 60)
    """Longest pause of that kind."""

    failover_spread_s: float = _knob(0.05, 0, 10)
    """When a broker dies, its requests move to other brokers spread over 1 ms each, at most this long, so that
    the survivors are not hit at one instant."""

    retry_budget_ratio: float = _knob(0.1, 0, 1)
    """Retries allowed per request, on average: a retry spends 1 token, a request earns this much. It keeps retries
    from multiplying an overload. The first failover after a death or silence is free."""

    retry_budget_per_s: float = _knob(1.0, 0, 1_000)
    """Tokens earned per second on top, so that a node with few requests can retry at all."""

    retry_budget_max: float = _knob(10.0, 1, 10_000)
    """Most tokens that are kept, which bounds a burst of retries."""

    in_flight_max: int = _knob(256, 1, 100_000)
    """Requests of this node that may await an answer at once; further callers wait for a place until their
    deadline. Each run of a handler has as many for its own calls. On a broker: eight times as many for each key."""

    waiting_max: int = _knob(10_000, 0, 1_000_000)
    """Calls of this node that may wait for such a place; more fail at once as Overloaded."""

    in_flight_bytes_max: int = _knob(64 * MIB, KIB, 4096 * MIB)
    """Bytes of payload of those requests. On a broker: the limit for each key's queued requests."""

    payload_bytes_max: int = _knob(1 * MIB, KIB, PAYLOAD_BYTES_MAX)
    """Largest payload. A broker tells its limit to its nodes; the smaller of both applies, for what goes over that
    broker. Of requests and replies that are longer than a node takes (4 MiB at least) it keeps nothing: their callers
    get an error."""

    queue_messages_max: int = _knob(1_000, 0, 100_000)
    """Requests that a broker keeps per service while every worker is at its credit; more are rejected as busy."""

    queue_bytes_max: int = _knob(64 * MIB, KIB, 4096 * MIB)
    """Bytes of all requests that wait in one broker's queues."""

    settle_s: float = _knob(5.0, 0, 600)
    """How long a freshly started broker lets requests for a service without a worker wait, instead of rejecting
    them: its workers may still be on their way. Once another broker can tell, only services that it has workers for
    are waited for. At least reconnect_s_max of the nodes; 0 switches it off."""

    services_max: int = _knob(10_000, 1, SERVICES_MAX)
    """Services that one broker knows at once. The list of all of them must fit one control message."""

    nodes_max: int = _knob(10_000, 1, 100_000)
    """Connections of members that one broker accepts."""

    connections_per_key_max: int = _knob(16, 1, 10_000)
    """Connections that one key may hold at one broker: processes that share a join file, and reconnections."""

    outbox_bytes_max: int = _knob(64 * MIB, 64 * KIB, 1024 * MIB)
    """Bytes that wait for one peer that reads too slowly, with 64 more for each message; beyond it the peer is
    disconnected. Not below what one client may have in flight, or a burst of its own would cut it off."""

    balance: Literal["least-outstanding", "round-robin"] = "least-outstanding"
    """How a broker chooses among the workers of a service that have credit: the one with the fewest outstanding
    requests and round-robin among equals, or plain round-robin."""

    heartbeat_s: float = _knob(1.0, HEARTBEAT_S_MIN, HEARTBEAT_S_MAX)
    """How often a broker and its nodes say that they are there when they have nothing else to say. The broker's
    value holds for its nodes. Shorter notices a hung peer sooner and costs messages: peers / heartbeat_s each
    second."""

    suspect_after_s: float = _knob(1.5, 0.03, 180)
    """Silence after which a peer gets no new work. Above heartbeat_s, or a healthy peer would flap."""

    dead_after_s: float = _knob(3.0, 0.06, 600)
    """Silence after which a peer is given up and its outstanding requests are lost. At least two heartbeats."""

    transport_heartbeat_s: float = _knob(5.0, 0.1, 60)
    """Interval of TCP's keepalive, which sees a vanished host below a connection; in whole seconds, at least 1."""

    transport_timeout_s: float = _knob(15.0, 0.3, 600)
    """Time without an acknowledgement after which TCP closes the connection."""

    handshake_s_max: float = _knob(4.0, 0.1, 60)
    """Time that a connection has for its handshake before it is closed, and again until it first says something."""

    reconnect_s: float = _knob(0.1, 0.001, 60)
    """First pause before a lost or refused connection is made anew. It doubles with each failure, with full
    jitter."""

    reconnect_s_max: float = _knob(5.0, 0.001, 600)
    """Longest pause of that kind. Longer spares a restarting broker; shorter finds it sooner."""

    dedup_s: float = _knob(60.0, 0, 3_600)
    """How long a worker remembers a request it has run, so that a second copy gets the cached reply."""

    dedup_entries_max: int = _knob(100_000, 1, 10_000_000)
    """Most requests that it remembers."""

    dedup_bytes_max: int = _knob(64 * MIB, KIB, 4096 * MIB)
    """Most bytes of replies that it keeps; the oldest replies go first. A copy of such a request is answered LOST
    and goes to another worker."""

    probe_s: float = _knob(1.0, 0.05, 60)
    """How often a broker probes one of the others, each in turn (SWIM's protocol period). Shorter finds a hung
    broker sooner: on average after about one period, by somebody, whatever the size of the net. It costs each
    broker 2 small messages per period."""

    probe_timeout_s: float = _knob(0.5, 0.02, 30)
    """Time that a probed broker has to answer before others are asked to probe it, too. At least the 99th
    percentile of the round trip; below probe_s, so that the others have the rest of the period."""

    indirect_probes: int = _knob(3, 0, 16)
    """How many others are asked. With a share f of messages lost, a healthy broker is suspected with a probability
    of about 2f x (4f)^indirect_probes in each period."""

    suspicion_s: float = _knob(4.0, 0.1, 600)
    """Time that a suspected broker of a small net has to refute, once enough brokers suspect it: the time is
    suspicion_s x max(1, log10(brokers)). Where there are five brokers or more it is six times as long with a single
    accuser, and falls with each further one (Lifeguard). Longer avoids false deaths; shorter takes the dead off the
    list sooner. It delays no request: nodes avoid a broker as soon as their own connection to it is silent or gone."""

    gossip_s: float = _knob(0.2, 0.01, 10)
    """How often news is passed on to gossip_fanout others. News reaches n brokers in about log2(n) of these."""

    gossip_fanout: int = _knob(3, 1, 16)
    """How many others hear the news each time. Each piece of news is passed on 4 x ceil(log10(brokers + 1)) times
    by each broker, at least 8 times."""

    sync_s: float = _knob(30.0, 0.5, 3_600)
    """How often a broker compares all it knows with another one, and tells each node the list of brokers anew; it
    mends what gossip has missed, e.g. after a partition. Costs about 30 bytes per broker of the net."""

    tombstone_s: float = _knob(60.0, 1, DAY_S)
    """How long a dead broker is remembered, so that old news does not revive it. Well above the time that news
    needs to reach everyone."""

    brokers_connected_max: int = _knob(16, 1, 1_000)
    """Brokers that a node connects to. In a larger net it chooses that many by rendezvous hashing, so that a change
    of the list moves few connections, and adds those that have workers for the services it calls."""

    drain_s: float = _knob(5.0, 0, 600)
    """How long a node or broker that was told to stop goes on with what it has."""

    def __post_init__(self) -> None:
        """Check the bounds."""
        for knob in dataclasses.fields(self):
            value = getattr(self, knob.name)
            if not knob.metadata:
                continue
            low, high = knob.metadata["low"], knob.metadata["high"]
            whole = isinstance(knob.default, int)
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                raise ConfigError(f"{knob.name} must be a {'whole ' if whole else ''}number, not {value!r}")
            if not low <= value <= high:
                raise ConfigError(f"{knob.name} must be between {low:,} and {high:,}, not {value!r}")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                listed = ", ".join(repr(choice) for choice in choices[:-1])
                raise ConfigError(f"{name} must be {listed} or {choices[-1]!r}, not {getattr(self, name)!r}")
        if not self.heartbeat_s < self.suspect_after_s < self.dead_after_s:
            raise ConfigError("heartbeat_s, suspect_after_s and dead_after_s must grow in this order")
        if self.dead_after_s < 2 * self.heartbeat_s:
            raise ConfigError("dead_after_s must be at least twice heartbeat_s")
        if self.transport_timeout_s < self.transport_heartbeat_s:
            raise ConfigError("transport_timeout_s must be at least transport_heartbeat_s")
        if self.backoff_s > self.backoff_s_max:
            raise ConfigError("backoff_s must not exceed backoff_s_max")
        if self.probe_timeout_s >= self.probe_s:
            raise ConfigError("probe_timeout_s must be below probe_s")
        if self.tombstone_s < 2 * self.suspicion_s:
            raise ConfigError("tombstone_s must be at least twice suspicion_s")
        if self.reconnect_s > self.reconnect_s_max:
            raise ConfigError("reconnect_s must not exceed reconnect_s_max")

    @classmethod
    def parse(cls, assignments: Iterable[str], preset: Literal["lan", "wan", "test"] = "lan") -> Self:
        """Return a preset with changes, each written NAME=VALUE.

        Raises:
            ConfigError: there is no such setting, or its value is wrong.
        """
        knobs = [knob.name for knob in dataclasses.fields(cls)]
        changes: dict[str, Any] = {}
        for assignment in assignments:
            name, equals, text = assignment.partition("=")
            if not equals or name not in knobs:
                raise ConfigError(f"{assignment!r} sets nothing: write NAME=VALUE, with one of {', '.join(knobs)}")
            kind: type[int | float | str] = type(getattr(cls(), name))
            try:
                changes[name] = kind(text)
            except ValueError:
                what = "whole number" if kind is int else "number"
                raise ConfigError(f"{name} must be a {what}, not {text!r}") from None
        presets = {"lan": cls.lan, "wan": cls.wan, "test": cls.test}
        return presets[preset](**changes)

    @classmethod
    def test(cls, **changes: Any) -> Self:
        """Short timers for tests on one machine; `changes` override single fields."""
        return cls(
            **{
                "timeout_s": 5.0,
                "exchange_timeout_s": 0.5,
                "heartbeat_s": 0.2,
                "suspect_after_s": 0.5,
                "dead_after_s": 1.0,
                "reconnect_s": 0.02,
                "reconnect_s_max": 0.2,
                "settle_s": 0.3,
                "probe_s": 0.2,
                "probe_timeout_s": 0.1,
                "suspicion_s": 0.8,
                "gossip_s": 0.05,
                "sync_s": 2.0,
                "tombstone_s": 5.0,
                "drain_s": 2.0,
                **changes,
            }
        )

    @classmethod
    def lan(cls, **changes: Any) -> Self:
        """The defaults: for one data centre, where a round trip takes a millisecond; `changes` override fields."""
        return cls(**changes)

    @classmethod
    def wan(cls, **changes: Any) -> Self:
        """Patient timers for brokers across a wide-area network; `changes` override single fields."""
        return cls(
            **{
                "timeout_s": 15.0,
                "exchange_timeout_s": 3.0,
                "heartbeat_s": 2.0,
                "suspect_after_s": 4.0,
                "dead_after_s": 8.0,
                "handshake_s_max": 10.0,
                "reconnect_s": 0.25,
                "reconnect_s_max": 15.0,
                "settle_s": 15.0,
                "probe_s": 3.0,
                "probe_timeout_s": 1.5,
                "suspicion_s": 12.0,
                "gossip_s": 0.5,
                "sync_s": 60.0,
                "tombstone_s": 180.0,
                "drain_s": 15.0,
                **changes,
            }
        )
