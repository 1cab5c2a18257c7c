"""What holds for a worker whatever its brokers, its clients and its network do."""

from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from braidmq.core.worker.job import Job
from braidmq.core.worker.overdue import STOP_S
from braidmq.errors import ServiceError
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.envelope import LOST, REJECT, REPLY, Flag, Outcome, Withdrawal
from braidmq.wire.kinds import Control
from tests.support.examples import TIMES
from tests.support.rigs.node_rig import NODE, Broker, NodeRig, request_id

NAMES = ("a", "b")
SERVICES = (b"echo", b"other", b"nowhere")
OUTCOMES = ("reply", "large", "error", "stopped")
names = st.sampled_from(NAMES)
picks = st.integers(0, 1_000)


Request = tuple[bytes, int, bytes]
"""Who asks, the number, and the service."""


@dataclass
class Copy:
    """One REQUEST that a broker has sent to the worker."""

    broker: Broker
    epoch: int
    tag: int
    key: Request
    answers: int = 0
    superseded: bool = False
    cancelled: bool = False

    @property
    def open(self) -> bool:
        return self.broker.connected and self.broker.link.open and self.broker.link.epoch == self.epoch


def key_of(job: Job) -> Request:
    return job.request.sender, int.from_bytes(job.request.id), job.service.name


def tags_of(job: Job) -> set[tuple[str, int]]:
    return {(delivery.link.name, delivery.tag) for delivery in job.deliveries}


class WorkerMachine(RuleBasedStateMachine):
    @initialize(
        concurrency=st.integers(1, 4), bytes_max=st.sampled_from([1024, 1 << 20]), dedup_s=st.sampled_from([1.0, 60.0])
    )
    def begin(self, concurrency: int, bytes_max: int, dedup_s: float) -> None:
        self.settings = Settings(dedup_bytes_max=bytes_max, dedup_s=dedup_s, payload_bytes_max=1024)
        self.rig = NodeRig(*NAMES, settings=self.settings, serves={"echo": concurrency, "other": 1})
        self.copies: dict[tuple[str, int], Copy] = {}
        self.ended: dict[Request, float] = {}
        self.under_way: dict[Request, Job] = {}
        self.handed_out: list[Job] = []
        self.offered = {b"echo", b"other"}
        self.seen = self.stops_seen = 0

    @rule(
        name=names,
        keys=st.lists(st.tuples(st.sampled_from([b"one", b"two"]), st.integers(1, 4)), min_size=1, max_size=5),
        service=st.sampled_from(SERVICES[:1] * 4 + SERVICES),
        time_ms=st.sampled_from([0, 1, 100, 3_000, 3_000, 0xFFFFFFFF]),
        age_s=st.sampled_from([0.0, 0.0, 0.5, 4.0]),
        working_ms=st.sampled_from([0, 1, 100, 65_535]),
    )
    def ask(
        self, *, name: str, keys: list[tuple[bytes, int]], service: bytes, time_ms: int, age_s: float, working_ms: int
    ) -> None:
        broker = self.rig[name]
        if not broker.link.open:
            broker.accepts = True
            self.rig.advance(0.3)
        for sender, number in keys:
            if broker.link.open:
                tag = broker._tag + 1
                self.copies[name, tag] = Copy(broker, broker.link.epoch, tag, (sender, number, service))
                broker.ask(
                    number, sender=sender, service=service, time_ms=time_ms, sent_at=self.rig.now - age_s,
                    working_ms=working_ms, payload=sender,
                )  # fmt: skip

    @precondition(lambda self: self.copies)
    @rule(
        pick=picks,
        wrong=st.sampled_from(["", "", "", "tag", "client", "path"]),
        how=st.sampled_from([*Withdrawal, Withdrawal.GIVEN_UP, 99]),
    )
    def cancel(self, pick: int, wrong: str, how: int) -> None:
        copy = list(self.copies.values())[-8:][pick % min(8, len(self.copies))]
        sender, number, _service = copy.key
        broker, tag = copy.broker, copy.tag
        if wrong == "tag":
            tag += 1_000
        elif wrong == "client":
            sender = b"three"
        elif wrong == "path":
            broker = self.rig.other(broker)
            if (broker.name, tag) in self.copies:
                return
        elif copy.open:
            copy.superseded = True
            copy.cancelled = copy.cancelled or how != Withdrawal.SUPERSEDED
        broker.cancel(number, tag, how, sender=sender)

    @rule(at_once=st.booleans())
    def let_handlers_begin(self, at_once: bool) -> None:
        """Handlers begin as soon as they can, or when the shell comes to it."""
        self.rig.begins = at_once
        handed_out, self.handed_out = self.handed_out, []
        for job in handed_out:
            self.begin_one(job)

    def begin_one(self, job: Job) -> None:
        counted_on = any(
            copy.open and not copy.superseded
            for copy in self.copies.values()
            if (copy.broker.name, copy.tag) in tags_of(job) and copy.key == key_of(job)
        )
        late = job.deadline <= self.rig.now
        offered = job.service.name in self.offered
        assert self.rig.begin(job) is (counted_on and not late and offered), "it begins if it is awaited, and in time"
        if job.begun:
            if self.rig.now - job.came_at > job.working_s:
                assert job.request.flags & Flag.POSSIBLE_DUPLICATE, "I3: an attempt may have overtaken it"
            self.note_start(job)

    @precondition(lambda self: self.under_way)
    @rule(picks=st.lists(picks, min_size=1, max_size=4), outcome=st.sampled_from([*OUTCOMES, "not run", "unknown"]))
    def finish(self, picks: list[int], outcome: str) -> None:
        for pick in picks:
            if not self.under_way:
                return
            key = list(self.under_way)[pick % len(self.under_way)]
            job = self.under_way.pop(key)
            if outcome not in OUTCOMES:  # by its handler's word it may run again
                end = self.rig.core.decline if outcome == "not run" else self.rig.core.disown
                end(job, self.rig.now)
                self.rig.pump()
                self.every_start_is_right()
                continue
            self.ended[key] = self.rig.now
            results: dict[str, Any] = {
                "reply": key[0] + request_id(key[1]),
                "large": bytes(2000),
                "error": ServiceError("CODE", "text", object()),
                "stopped": None,
            }
            self.rig.finish(job, results[outcome])
            self.every_start_is_right()

    @rule(service=st.sampled_from(SERVICES[:2]), places=st.integers(0, 6))
    def change_service(self, service: bytes, places: int) -> None:
        """Withdraw a service, resize it, or offer it again."""
        core, name, now = self.rig.core, service.decode(), self.rig.now
        if service not in self.offered:
            core.offer(name, places + 1, now)
            self.offered.add(service)
        elif places:
            core.resize(name, places, now)
        else:
            core.withdraw(name, now)
            self.offered.discard(service)
        self.rig.pump()
        assert all(
            service in self.offered or broker.credit() in (0, None)
            for broker in self.rig.brokers.values()
            if broker.connected and broker.link.open and not core.draining
        )

    @rule(name=names, refuses=st.sampled_from([False, False, False, True]))
    def die(self, name: str, refuses: bool) -> None:
        self.rig[name].accepts = not refuses
        if self.rig[name].connected:
            self.rig[name].die()

    @rule(
        name=names,
        message=st.sampled_from(
            [
                control.Goodbye("draining"),
                control.Goodbye("no-session"),
                control.Demand("echo", 50),
                control.Demand("nowhere", 5),
                control.Welcome("a", NODE, 1, 0),
            ]
        ),
    )
    def say(self, name: str, message: Control) -> None:
        self.rig[name].say(message)

    @rule(name=names, frame=st.binary(max_size=60))
    def say_garbage(self, name: str, frame: bytes) -> None:
        self.rig[name].say_bytes(frame)

    @rule(name=names, beats=st.booleans())
    def change(self, name: str, beats: bool) -> None:
        self.rig[name].beats = beats
        self.rig[name].accepts = True

    @rule(seconds=st.sampled_from([0.0, 0.02, 0.2, 1.1, 4.0]))
    def wait(self, seconds: float) -> None:
        self.rig.advance(seconds)

    @rule(rarely=st.integers(0, 9))
    def drain(self, rarely: int) -> None:
        if rarely == 0:
            self.rig.core.drain(self.rig.now)
            self.rig.pump()

    # -- what holds

    @invariant()
    def every_start_is_right(self) -> None:
        for job in self.rig.jobs[self.seen :]:
            if job.begun:
                self.note_start(job)
            else:
                self.handed_out.append(job)
        self.seen = len(self.rig.jobs)

    def note_start(self, job: Job) -> None:
        key = key_of(job)
        assert key not in self.under_way, "I3: two runs at once"
        if key in self.ended:
            assert self.rig.now - self.ended[key] >= self.settings.dedup_s, "I3: a second run"
        self.under_way[key] = job

    @invariant()
    def every_stop_is_right(self) -> None:
        for job in self.rig.stopped[self.stops_seen :]:
            if job.deadline + STOP_S <= self.rig.now:
                continue
            for copy in self.copies.values():
                if copy.key == key_of(job) and (copy.broker.name, copy.tag) in tags_of(job):
                    assert copy.cancelled or not copy.open, "stopped although somebody waits"
        self.stops_seen = len(self.rig.stopped)

    @invariant()
    def every_answer_is_right(self) -> None:
        for broker in self.rig.brokers.values():
            for command in (REPLY, REJECT, LOST):
                for answer in broker.take(command):
                    copy = self.copies[broker.name, answer.tag]
                    copy.answers += 1
                    assert copy.answers == 1, "a second answer"
                    assert answer.id == request_id(copy.key[1])
                    assert copy.epoch == broker.came_in.pop(id(answer)), "an answer in another session"
                    if command == REPLY and answer.code == Outcome.RESULT:
                        assert answer.payload == copy.key[0] + request_id(copy.key[1]), "I2"

    @invariant()
    def state_is_valid(self) -> None:
        self.rig.core.validate_state()

    def teardown(self) -> None:
        if not hasattr(self, "rig"):
            return
        self.every_start_is_right()
        self.let_handlers_begin(at_once=True)
        self.every_start_is_right()
        while self.under_way:
            self.finish([0], "reply")
        self.rig.advance(2.0)
        self.every_answer_is_right()
        assert not len(self.rig.worker)
        for copy in self.copies.values():
            assert copy.answers == 1 or not copy.open, "no answer: the broker's credit is lost"


TestWorker = WorkerMachine.TestCase
TestWorker.settings = settings(max_examples=25 * TIMES, stateful_step_count=40)
