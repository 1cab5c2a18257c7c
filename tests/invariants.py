"""What must hold of every request and every execution, checked on a record of them.

Each checker is a pure function: it takes a record and returns one line for each violation. A payload is unique in its
record, so that what the caller and what the worker saw can be laid side by side.
"""

from collections import defaultdict
from dataclasses import dataclass, field

GRACE_S = 0.25
"""How long after its deadline a request may end (I1)."""

DELAY_UNSEEN_S = 0.05
"""How old a message may be without anybody noticing: clocks in milliseconds, timers in hundredths of a second (I5)."""


@dataclass
class Call:
    """A request as its caller saw it. `ends` are its outcomes: (when, what); there must be one."""

    payload: bytes
    started: float
    deadline: float
    attempts_max: int
    ends: list = field(default_factory=list)

    @property
    def outcome(self):
        return self.ends[0][1] if self.ends else None


@dataclass
class Reply:
    """A reply, as far as the checkers need it."""

    payload: bytes
    sender: str
    original_id: bytes
    possible_duplicate: bool
    retry_count: int


@dataclass
class Error:
    """A typed error, as far as the checkers need it."""

    kind: str
    attempts: int
    maybe_executed: bool


@dataclass
class Execution:
    """A request as a worker saw it. `clock` is common to all."""

    worker: str
    payload: bytes
    id: bytes
    started: float
    possible_duplicate: bool
    retry_count: int


@dataclass
class Record:
    """All calls and executions of a test."""

    calls: list[Call] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)

    def of(self, call: Call) -> list[Execution]:
        return self.by_payload()[call.payload]

    def by_payload(self) -> dict[bytes, list[Execution]]:
        found: dict[bytes, list[Execution]] = defaultdict(list)
        for execution in self.executions:
            found[execution.payload].append(execution)
        return found


def answer_to(payload: bytes) -> bytes:
    """Return what a worker must answer."""
    return b"re:" + payload


def i1_each_ends_once_and_in_time(record: Record) -> list[str]:
    """I1: every request ends exactly once, to a reply or a typed error, no later than its deadline and a bit."""
    found = []
    for call in record.calls:
        if len(call.ends) != 1:
            found.append(f"I1: {call.payload!r} ended {len(call.ends)} times")
        for when, what in call.ends:
            if when > call.deadline + GRACE_S:
                found.append(f"I1: {call.payload!r} ended {when - call.deadline:.3f} s after its deadline")
            if not isinstance(what, Reply | Error):
                found.append(f"I1: {call.payload!r} ended with {what!r}")
    return found


def i2_each_gets_its_own_answer(record: Record) -> list[str]:
    """I2: no reply reaches the wrong client or the wrong request, and none comes from nowhere."""
    found, executions = [], record.by_payload()
    for call in record.calls:
        reply = call.outcome
        if not isinstance(reply, Reply):
            continue
        if reply.payload != answer_to(call.payload):
            found.append(f"I2: {call.payload!r} was answered with {reply.payload!r}")
        if not any((each.worker, each.id) == (reply.sender, reply.original_id) for each in executions[call.payload]):
            found.append(f"I2: {reply.sender} answered {call.payload!r} and never ran it")
    return found


def i3_what_may_run_twice_says_so(record: Record) -> list[str]:
    """I3: of several executions one at most is unflagged, no worker runs an id twice, and the caller is told."""
    found, executions = [], record.by_payload()
    outcomes = {call.payload: call.outcome for call in record.calls}
    for payload, runs in executions.items():
        unflagged = [each for each in runs if not each.possible_duplicate]
        if len(unflagged) > 1:
            found.append(f"I3: {payload!r} ran {len(unflagged)} times without possible_duplicate")
        if any(each.retry_count > 0 and not each.possible_duplicate for each in runs):
            found.append(f"I3: {payload!r} ran again without possible_duplicate")
        workers = [each.worker for each in runs]
        if len(set(workers)) < len(workers):
            found.append(f"I3: {payload!r} ran more than once on one worker: {workers}")
        outcome = outcomes.get(payload)
        if len(runs) > 1 and isinstance(outcome, Reply) and not outcome.possible_duplicate:
            found.append(f"I3: {payload!r} ran {len(runs)} times and its reply does not say so")
        if isinstance(outcome, Error) and not outcome.maybe_executed:
            found.append(f"I3: {payload!r} ran although its caller was promised that it was not run")
    return found


def i4_attempts_are_bounded(record: Record) -> list[str]:
    """I4: no request is attempted more often than its caller allows."""
    found, executions = [], record.by_payload()
    for call in record.calls:
        runs = executions[call.payload]
        if len(runs) > call.attempts_max:
            found.append(f"I4: {call.payload!r} ran {len(runs)} times with {call.attempts_max} attempts")
        if any(each.retry_count >= call.attempts_max for each in runs):
            found.append(f"I4: {call.payload!r} ran with a retry count beyond {call.attempts_max} attempts")
        if isinstance(call.outcome, Error) and call.outcome.attempts > call.attempts_max:
            found.append(f"I4: {call.payload!r} was sent {call.outcome.attempts} times of {call.attempts_max}")
    return found


def i5_nothing_starts_late(record: Record) -> list[str]:
    """I5: nothing starts after it has expired."""
    found, executions = [], record.by_payload()
    for call in record.calls:
        for each in executions[call.payload]:
            if each.started > call.deadline + DELAY_UNSEEN_S:
                late_s = each.started - call.deadline
                found.append(f"I5: {each.worker} began {call.payload!r} {late_s:.3f} s after its deadline")
    return found


CHECKERS = (
    i1_each_ends_once_and_in_time,
    i2_each_gets_its_own_answer,
    i3_what_may_run_twice_says_so,
    i4_attempts_are_bounded,
    i5_nothing_starts_late,
)


def violations(record: Record) -> list[str]:
    """Return what every checker finds."""
    return [line for checker in CHECKERS for line in checker(record)]
