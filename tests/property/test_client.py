"""What holds for a client whatever its brokers and its network do: I1 to I5, as far as one core can hold them."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from braidmq.core.links.link import Failure
from braidmq.errors import Overloaded, PayloadTooLarge, RequestError, ServiceError
from braidmq.messages import Reply
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.envelope import LOST, REJECT, REPLY, WORKING, Envelope, Flag, Progress, Reason
from braidmq.wire.gossip import Paths
from braidmq.wire.kinds import Control
from tests.support.examples import TIMES
from tests.support.rigs.node_rig import START, Broker, NodeRig, answer_to

NAMES = ("a", "b", "c")
LATENESS_S = 0.25
names = st.sampled_from(NAMES)
times = st.sampled_from([0.0, 0.01, 0.05, 0.2, 0.55, 1.05, 2.0])
picks = st.integers(0, 1_000)
reasons = st.sampled_from([Reason.NO_WORKER, Reason.BUSY, Reason.DRAINING, Reason.EXPIRED]) | st.sampled_from(
    [Reason.DENIED, Reason.TOO_LARGE, 0, 99]
)


@dataclass(eq=False)
class Attempt:
    """A REQUEST that a broker has got.

    Attributes:
        epoch: the session that it came over.
        rejected: whether the broker has said, over that session, that it was not run.
        lost: whether the broker has said that it may have been run.
        uncounted: whether it has said so because no worker was there.
    """

    broker: Broker
    request: Envelope
    epoch: int
    rejected: bool = False
    lost: bool = False
    uncounted: bool = False

    @property
    def reachable(self) -> bool:
        return self.broker.connected and self.broker.link.open and self.broker.link.epoch == self.epoch


@dataclass
class Asked:
    """A call, as the model knows it."""

    deadline: float
    attempts_max: int
    attempts: list[Attempt] = field(default_factory=list)
    cancelled: bool = False

    @property
    def counted(self) -> int:
        """How many attempts count, at least."""
        return sum(not attempt.uncounted for attempt in self.attempts)


class ClientMachine(RuleBasedStateMachine):
    @initialize(
        seed=st.integers(0, 2**32),
        in_flight=st.integers(1, 6),
        budget=st.sampled_from([(1.0, 0.0, 0.0), (2.0, 0.1, 1.0), (100.0, 0.1, 1.0)]),
        spread_s=st.sampled_from([0.0, 0.05]),
        brokers_connected_max=st.sampled_from([16, 16, 2, 1]),
    )
    def begin(
        self,
        seed: int,
        in_flight: int,
        budget: tuple[float, float, float],
        spread_s: float,
        brokers_connected_max: int,
    ) -> None:
        self.settings = Settings(
            brokers_connected_max=brokers_connected_max,
            exchange_timeout_s=0.5,
            in_flight_max=in_flight,
            waiting_max=5,
            in_flight_bytes_max=2048,
            failover_spread_s=spread_s,
            backoff_s=0.05,
            retry_budget_max=budget[0],
            retry_budget_ratio=budget[1],
            retry_budget_per_s=budget[2],
        )
        self.rig = NodeRig(*NAMES, settings=self.settings, seed=seed)
        self.asked: dict[bytes, Asked] = {}
        self.everything_read = True
        self.free = 0
        self.stopped: list[tuple[float, float]] = []

    # -- the caller

    @rule(
        count=st.integers(1, 5),
        timeout_s=st.sampled_from([0.005, 0.3, 2.0, 5.0, 5.0]),
        attempts=st.integers(1, 5),
        via=st.none() | st.none() | names,
        size=st.sampled_from([0, 10, 1500]),
    )
    def call(self, *, count: int, timeout_s: float, attempts: int, via: str | None, size: int) -> None:
        for _ in range(count):
            try:
                id_ = self.rig.client.request(
                    "echo", bytes(size), timeout_s=timeout_s, attempts=attempts, via=via, now=self.rig.now
                )
            except (Overloaded, PayloadTooLarge):
                return
            assert id_ not in self.asked
            self.asked[id_] = Asked(self.rig.now + timeout_s, attempts)
            self.rig.begun.add(id_)
            self.rig.pump()

    @precondition(lambda self: self.asked)
    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        id_ = list(self.asked)[pick % len(self.asked)]
        if id_ not in self.rig.results:
            self.asked[id_].cancelled = True
        self.rig.cancel(id_)

    # -- brokers that answer, late, twice, or wrongly

    def any_attempt(self, pick: int) -> Attempt:
        attempts = [attempt for asked in self.asked.values() for attempt in asked.attempts]
        recent = attempts[-8:]
        return recent[pick % len(recent)]

    def was_asked(self) -> bool:
        return any(asked.attempts for asked in self.asked.values())

    @precondition(was_asked)
    @rule(pick=picks)
    def reply(self, pick: int) -> None:
        attempt = self.any_attempt(pick)
        attempt.broker.reply(attempt.request, attempt.request.id)

    @precondition(was_asked)
    @rule(pick=picks)
    def fail(self, pick: int) -> None:
        attempt = self.any_attempt(pick)
        attempt.broker.fail(attempt.request, ServiceError("CODE"))

    @precondition(was_asked)
    @rule(pick=picks, progress=st.sampled_from(Progress), worker=st.sampled_from([b"w1", b"w2", b"\xff" * 255]))
    def working(self, pick: int, progress: Progress, worker: bytes) -> None:
        attempt = self.any_attempt(pick)
        attempt.broker.working(attempt.request, progress, sender=worker)

    @precondition(was_asked)
    @rule(pick=picks, reason=reasons, after_ms=st.sampled_from([0, 200, 0xFFFFFFFF]))
    def reject(self, pick: int, reason: int, after_ms: int) -> None:
        attempt = self.any_attempt(pick)
        if attempt.reachable:
            attempt.rejected = True
            attempt.uncounted |= reason in (Reason.NO_WORKER, Reason.DRAINING)
            self.free += attempt.uncounted
        attempt.broker.reject(attempt.request, reason, retry_after_ms=after_ms)

    @precondition(was_asked)
    @rule(pick=picks, by_worker=st.booleans())
    def lose(self, pick: int, by_worker: bool) -> None:
        attempt = self.any_attempt(pick)
        attempt.lost = True
        attempt.broker.lose(attempt.request, **({"sender": b"w1"} if by_worker else {}))

    @precondition(was_asked)
    @rule(
        pick=picks,
        command=st.sampled_from([REPLY, WORKING, REJECT, LOST]),
        what=st.sampled_from(["tag", "id", "path"]),
        code=st.integers(0, 8),
        name=names,
    )
    def forge(self, pick: int, command: int, what: str, code: int, name: str) -> None:
        attempt = self.any_attempt(pick)
        forged = answer_to(attempt.request, command, code=code, payload=b"forged", sender=b"liar")
        broker = attempt.broker
        if what == "tag":
            forged.tag ^= 0x8000_0000
        elif what == "id":
            forged.id = bytes(16)
        else:
            broker = self.rig[name]
            if broker is attempt.broker:
                return
        broker.say(forged)
        assert not any(isinstance(one, Reply) and one.payload == b"forged" for one in self.rig.results.values())

    @rule(name=names, frame=st.binary(max_size=60))
    def say_garbage(self, name: str, frame: bytes) -> None:
        self.rig[name].say_bytes(frame)

    @rule(
        name=names,
        message=st.sampled_from(
            [
                control.Goodbye("draining"),
                control.Goodbye("noted"),
                control.Goodbye("no-session"),
                control.Goodbye("ended"),
                Paths("echo", ["b", "nobody"]),
                Paths("echo", []),
                control.Peers(
                    [control.Peer(b"a"), control.Peer(b"c", state="leaving"), control.Peer(b"d", state="dead")]
                ),
                control.Goodbye("refused", "x"),
                control.Services([]),
                control.Services(["echo", "other"]),
                control.Peers([control.Peer(b"d"), control.Peer(b"forged one")]),
                control.Demand("echo", 5),
                control.Welcome("a", "node", 1, 0),
            ]
        ),
    )
    def say(self, name: str, message: Control) -> None:
        self.rig[name].say(message)

    @precondition(was_asked)
    @rule(pick=picks, reason=st.sampled_from(["draining", "no-session"]), command=st.sampled_from([LOST, REJECT]))
    def say_goodbye_and_answer(self, pick: int, reason: Any, command: int) -> None:
        attempt = self.any_attempt(pick)
        if command == REJECT and attempt.reachable:
            attempt.rejected = True
        attempt.lost |= command == LOST
        attempt.broker.say(control.Goodbye(reason), answer_to(attempt.request, command, code=Reason.BUSY))

    # -- the network

    @rule(name=names, refusal=st.sampled_from([None, Failure.UNREACHABLE, Failure.NOT_REGISTERED]))
    def die(self, name: str, refusal: Failure | None) -> None:
        broker = self.rig[name]
        broker.refusal = refusal
        if broker.connected:
            broker.die()

    @rule(name=names, beats=st.booleans(), reads=st.booleans())
    def change(self, name: str, beats: bool, reads: bool) -> None:
        broker = self.rig[name]
        broker.beats, broker.refusal = beats, None
        if reads:
            broker.resume()
        else:
            broker.reads = self.everything_read = False

    @rule(seconds=times)
    def wait(self, seconds: float) -> None:
        self.rig.advance(seconds)

    @rule(seconds=st.sampled_from([0.3, 1.0, 6.0]))
    def stop_process(self, seconds: float) -> None:
        self.stopped.append((self.rig.now, self.rig.now + seconds))
        self.rig.jump(seconds)

    # -- what holds

    @invariant()
    def every_attempt_is_right(self) -> None:
        for broker, request in sorted(self.rig.sent(), key=lambda attempt: attempt[1].tag):
            asked = self.asked[request.id]
            assert request.sent_ms / 1000.0 < asked.deadline, "I5"
            # A broker that did not read for a while may get an attempt after the one that followed it.
            earlier = [attempt for attempt in asked.attempts if attempt.request.tag < request.tag]
            open_before = [attempt for attempt in earlier if not attempt.rejected]
            flagged = bool(request.flags & Flag.POSSIBLE_DUPLICATE)
            assert flagged or not open_before, "I3: an unflagged duplicate"
            assert flagged == bool(request.retry_count)
            if self.everything_read and asked.attempts and not open_before and len(asked.attempts) == 1:
                assert flagged <= (asked.attempts[0] in self.silent()), "a flag without a reason"
            asked.attempts.append(Attempt(broker, request, broker.epochs[request.tag]))
            assert asked.counted <= asked.attempts_max, "I4: attempts"

    def silent(self) -> list[Attempt]:
        """Return the attempts that may have counted as unknown before they were rejected."""
        timeout_s = self.settings.exchange_timeout_s
        return [
            attempt
            for asked in self.asked.values()
            for attempt in asked.attempts
            if attempt.lost or self.rig.now - attempt.request.sent_ms / 1000.0 >= timeout_s or not attempt.reachable
        ]

    @invariant()
    def budget_is_kept(self) -> None:
        if not self.everything_read:
            return  # what turned out unsent was no retry
        settings, calls = self.settings, len(self.asked)
        earned = settings.retry_budget_max + settings.retry_budget_ratio * calls
        earned += settings.retry_budget_per_s * (self.rig.now - START)
        replied = sum(isinstance(each, (Reply, ServiceError)) for each in self.rig.results.values())
        assert self.rig.client.retries <= earned + replied + calls + self.free, "I4: budget"

    @invariant()
    def every_end_is_right(self) -> None:
        for id_, outcome in self.rig.results.items():
            asked = self.asked[id_]
            assert not asked.cancelled
            if isinstance(outcome, Reply):
                assert outcome.payload == outcome.original_id == id_, "I2"
            elif isinstance(outcome, RequestError):
                assert outcome.request_id == id_
                assert asked.counted <= outcome.attempts <= asked.attempts_max
                if not outcome.maybe_executed:
                    assert all(attempt.rejected for attempt in asked.attempts), "a broken promise"
            latest = asked.deadline + LATENESS_S
            for begin, end in self.stopped:
                if begin <= latest:
                    latest = max(latest, end)
            assert self.rig.resolved_at[id_] <= latest, "I1: late"

    @invariant()
    def state_is_valid(self) -> None:
        self.rig.core.validate_state()

    def teardown(self) -> None:
        if not hasattr(self, "rig"):
            return
        self.rig.advance(5.5)
        self.every_attempt_is_right()
        self.every_end_is_right()
        unresolved = {id_ for id_, asked in self.asked.items() if not asked.cancelled} - self.rig.results.keys()
        assert not unresolved, "I1: no end"
        assert not len(self.rig.client)
        self.state_is_valid()


TestClient = ClientMachine.TestCase
TestClient.settings = settings(max_examples=25 * TIMES, stateful_step_count=40)
