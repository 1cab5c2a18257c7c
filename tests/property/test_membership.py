"""The membership's core under any messages from anyone, in any order, at any time.

Peers are certified, but may lie: whatever they send, the core raises nothing, keeps its invariants, and keeps every
table bounded.
"""

import random

from hypothesis import given
from hypothesis import strategies as st

from braidmq.core.events.log import EVENTS_MAX
from braidmq.core.membership.membership import MembershipCore
from braidmq.core.membership.scrutiny import INCARNATION_JUMP_MAX
from braidmq.settings import Settings
from braidmq.wire.gossip import INCARNATION_MAX, RUMORS_MAX, Ack, Gossip, Gossiped, Nack, Ping, Probe, Rumor, Sync
from braidmq.wire.limits import BROKERS_MAX

REGISTERED = ("a", "b", "c", "d", "e")
TIMERS_PER_MEMBER_MAX = 40
"""Of a suspicion: its four lengths, and what is left of them from before; two for a probe; a tombstone."""

names = st.sampled_from(("me", *REGISTERED, "stranger", "x"))
senders = st.sampled_from((*REGISTERED, "stranger"))
incarnations = (
    st.integers(0, 3)
    | st.integers(0, INCARNATION_MAX)
    | st.sampled_from([INCARNATION_JUMP_MAX, INCARNATION_JUMP_MAX + 1, INCARNATION_MAX - 1, INCARNATION_MAX])
)
certificates = st.sampled_from([b"", b"", b"valid", b"forged"])
states = st.sampled_from(["alive", "suspect", "leaving", "dead"])
rumors = st.builds(Rumor, names, incarnations, states, names | st.just(""), certificates)
several = st.lists(rumors, max_size=4)
numbers = st.integers(0, 40) | st.sampled_from([0xFFFFFFFF])
messages = (
    st.builds(Ping, numbers, several)
    | st.builds(Ack, numbers, several)
    | st.builds(Probe, numbers, names, several)
    | st.builds(Nack, numbers)
    | st.builds(Gossip, several)
    | st.builds(Sync, st.lists(rumors, max_size=12), st.booleans())
)
seconds = st.sampled_from([0.0, 0.0, 0.001, 0.2, 0.4, 0.5, 1.0, 4.0, 30.0, 100.0])
steps = st.one_of(
    st.tuples(st.just("message"), senders, messages),
    st.tuples(st.just("message"), senders, messages),
    st.tuples(st.sampled_from(["up", "down", "forget"]), names.filter(lambda name: name != "me"), st.none()),
    st.tuples(st.just("leave"), st.none(), st.none()),
    st.tuples(st.sampled_from(["time", "stall"]), seconds, st.none()),
)


class Net:
    """The core, the brokers whose certificates it knows, and a clock."""

    def __init__(self, seed: int) -> None:
        self.now = 1_000.0
        self.known = set(REGISTERED)
        self.core = MembershipCore("me", b"mine", Settings(), random.Random(seed), self, now=self.now)

    def certificate(self, name: str) -> bytes | None:
        return b"valid" if name in self.known else None

    def admit(self, name: str, certificate: bytes, now: float) -> bool:
        assert now == self.now
        if certificate == b"valid":
            self.known.add(name)
        return name in self.known

    def step(self, what: str, who: str | float, message: Gossiped | None) -> None:
        core = self.core
        if what == "message":
            core.on_message(str(who), message, self.now)  # type: ignore[arg-type]
        elif what == "up":
            core.on_up(str(who), self.now)
        elif what == "down":
            core.on_down(str(who), self.now)
        elif what == "forget":
            core.forget(str(who), self.now)
        elif what == "leave":
            core.leave(self.now)
        else:
            end = self.now + float(who)
            while what == "time" and core.next_deadline() <= end:
                self.now = max(self.now, core.next_deadline())
                core.on_timer(self.now)
                core.validate_state()
            self.now = end
            if core.next_deadline() <= self.now:
                core.on_timer(self.now)

    def check(self, incarnation_before: int) -> None:
        core = self.core
        core.validate_state()
        assert core.members.keys() <= self.known, "nobody without a certificate"
        assert core.incarnation >= incarnation_before, "one's own incarnation never falls"
        assert core.next_deadline() >= self.now - 60.0
        for messages in core.take_sends().values():
            for each in messages:
                assert len(getattr(each, "rumors", ())) <= RUMORS_MAX
                if isinstance(each, Sync):
                    assert len(each.members) <= BROKERS_MAX
        assert len(core.take_events()) <= EVENTS_MAX
        members = len(REGISTERED) + 2
        assert len(core.probing._attempts) <= members
        assert len(core._reminders._due) <= 2 * members


@given(seed=st.integers(0, 10), course=st.lists(steps, max_size=60))
def test_any_course_keeps_the_invariants(seed: int, course: list[tuple[str, str | float, Gossiped | None]]) -> None:
    net = Net(seed)
    for what, who, message in course:
        before = net.core.incarnation
        net.step(what, who, message)
        net.check(before)


@given(seed=st.integers(0, 10), flood=st.lists(st.tuples(senders, messages), min_size=1, max_size=8))
def test_any_flood_leaves_a_bounded_state(seed: int, flood: list[tuple[str, Gossiped]]) -> None:
    """The same messages again and again, a millisecond apart, with ever higher incarnations."""
    net = Net(seed)
    for turn in range(150):
        for sender, message in flood:
            net.step("message", sender, _later(message, turn))
        net.core.take_sends()
        net.step("time", 0.001, None)
    net.check(0)
    assert len(net.core._reminders) <= TIMERS_PER_MEMBER_MAX * (len(REGISTERED) + 2) + len(net.core.probing._forwards)
    assert len(net.core.probing._ring) <= BROKERS_MAX


@given(seed=st.integers(0, 10), course=st.lists(steps, max_size=40))
def test_quiet_afterwards_ends_every_suspicion_and_tombstone(
    seed: int, course: list[tuple[str, str | float, Gossiped | None]]
) -> None:
    """Nobody answers any more: in the end everyone is dead and forgotten, and nothing waits."""
    net = Net(seed)
    for what, who, message in course:
        if what != "leave":  # who leaves judges nobody any more
            net.step(what, who, message)
    net.step("time", 600.0, None)
    assert not net.core.members
    assert not net.core.probing._attempts
    assert not net.core._reminders
    assert not net.core.probing._forwards
    net.core.validate_state()


def _later(message: Gossiped, turn: int) -> Gossiped:
    if isinstance(message, Sync):
        return Sync([_raised(rumor, turn) for rumor in message.members], message.answer)
    if isinstance(message, Gossip):
        return Gossip([_raised(rumor, turn) for rumor in message.rumors])
    return message


def _raised(rumor: Rumor, turn: int) -> Rumor:
    incarnation = min(INCARNATION_MAX, rumor.incarnation + turn)
    return Rumor(rumor.name, incarnation, rumor.state, rumor.by, rumor.certificate)
