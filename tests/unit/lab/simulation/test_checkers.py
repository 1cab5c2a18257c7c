"""Every checker passes a record in which nothing is wrong, and sees what it is there for on one that was doctored."""

from collections.abc import Callable

import pytest

from braidmq.lab.simulation.checkers import CHECKERS, fair_share, right_answer, violations
from braidmq.lab.simulation.checkers.foreign_answered import GRACE_S
from braidmq.lab.simulation.record import (
    Admission,
    Adoption,
    Call,
    End,
    Error,
    Execution,
    ForeignCall,
    ForeignRun,
    Issue,
    Outage,
    Parting,
    Passage,
    Record,
    Reply,
    Rights,
    Verdict,
)
from braidmq.wire.envelope import CANCEL, LOST, REJECT, REPLY, REQUEST, WORKING, Reason


def good() -> Record:
    """A request that was run twice because b1 was stopped, and one that was refused."""
    return Record(
        calls=[
            Call("a", "c1", 1.0, 6.0, 3, b"1", [(2.0, Reply("a", "w1", b"1", True, 1))]),
            Call("b", "c1", 1.0, 6.0, 3, b"2", [(2.0, Error("NoWorker", 3, maybe_executed=False))]),
            Call("f#1.1", "x", 1.0, 6.0, 3, b"3", given_up_at=1.5),
            Call("f#1.2", "x", 1.6, 6.6, 3, b"4", [(2.0, Reply("f#1.2", "w1", b"4", True, 0))], repeats=1),
            Call("g#1.3", "x", 1.6, 6.6, 3, b"5", [(2.0, Error("NoWorker", 3, maybe_executed=False))]),
        ],
        executions=[
            Execution("a", "w1", b"1", 1.1, False, 0),
            Execution("a", "w2", b"1", 1.6, True, 1),
            Execution("f#1.2", "w1", b"4", 1.8, True, 0),
            Execution("h", "x", b"6", 1.1, False, 0, client="c1"),
            Execution("h", "x", b"6", 1.2, True, 1, client="c1", disclaimer="not run"),
        ],
        passages=[
            Passage(1.0, "b1", "in", "c1", REQUEST, b"1"),
            Passage(1.5, "b2", "in", "c1", REQUEST, b"1", possible_duplicate=True, retry_count=1),
            Passage(1.51, "b2", "out", "w1", REQUEST, b"1", "c1", True, 1, 0, "s", 7),
            Passage(1.89, "b2", "in", "w1", REPLY, b"1", "w1", True, 1, 0, "s", 7),
            Passage(1.9, "b2", "out", "c1", REPLY, b"1", "w1", True, 1),
        ],
        outages=[Outage("b1", "stop", 1.0, 5.0)],
        verdicts=[Verdict(4.0, "b2", "b1")],
        sizes={("b1", "requests that wait"): (10, 10)},
        views={("b1", "b2"): "alive", ("b2", "b1"): "alive"},
        alive=["b1", "b2"],
        rights={"c1": Rights(calls=("s",)), "w1": Rights(serves=("s",)), "w2": Rights(serves=("s",))},
        issues={
            1: Issue(b"one", {"c1": Rights(calls=("s",)), "w1": Rights(serves=("s",))}),
            2: Issue(b"two", {"c1": Rights(calls=("s",)), "w1": Rights(serves=("s",)), "w2": Rights(serves=("s",))}),
        },
        adoptions=[
            Adoption(0.0, "b1", 1, b"one", began=True),
            Adoption(0.0, "b2", 1, b"one", began=True),
            Adoption(0.5, "b2", 2, b"two"),
            Adoption(0.6, "c1", 2),
            Adoption(5.0, "b1", 1, b"one", began=True),
            Adoption(5.1, "b1", 2, b"two"),
        ],
        admissions=[Admission(2.0, "b2", "c1", 0.0, ("b1",)), Admission(5.2, "b1", "c1", 5.0, ())],
        catch_up_s=2.0,
        in_force={"b1": 2, "b2": 2},
        bridge="x",
        foreign_calls=[
            ForeignCall("f", "p1", 1.0, 6.0, left_at=1.5),
            ForeignCall("f", "p1", 1.6, 6.6, answers=[(2.0, "reply")]),
            ForeignCall("g", "p1", 1.6, 6.6, speaks=True, answers=[(2.0, "NO_WORKER")]),
            ForeignCall("i", "p2", 1.6, 6.6),
        ],
        foreign_runs=[ForeignRun("h", "q1", 1.1)],
        foreign_outages=[Outage("p2", "kill", 2.0, 3.0)],
    )


def acts(at: float, process: str, version: int, digest: bytes = b"two") -> Callable[[Record], None]:
    """Return what lets somebody act on a registry."""

    def change(record: Record) -> None:
        record.adoptions.append(Adoption(at, process, version, digest))
        record.adoptions.sort(key=lambda each: each.at)

    return change


def without(name: str, **rights: tuple[str, ...]) -> Callable[[Record], None]:
    """Return what takes a member out of the registry on which b2 acts as it passes a call on, or gives it others."""

    def change(record: Record) -> None:
        del record.issues[2].rights[name]
        if rights:
            record.issues[2].rights[name] = Rights(**rights)

    return change


def answered(number: int, *kinds: str, at: float = 2.0, must_succeed: bool = False) -> Callable[[Record], None]:
    """Return what lets other answers come of a foreign call."""

    def change(record: Record) -> None:
        call = record.foreign_calls[number]
        call.answers, call.must_succeed = [(at, kind) for kind in kinds], must_succeed

    return change


def answered_all(record: Record, number: int, *, speaks: bool) -> None:
    """Let a call be answered by an error that its bridge did not meet."""
    record.foreign_calls[1].speaks = speaks
    record.foreign_calls[1].answers = [(2.0, "LOST")] * (number - 1)


def refusing_doubts(record: Record) -> None:
    """Foreign workers were not to get what may have been run before, and h is flagged."""
    record.refuses_duplicates = True
    (first, *_) = [each for each in record.executions if each.key == "h"]
    first.possible_duplicate = True


def doubted(record):
    undisturbed(record)
    flagged = next(each for each in record.executions if each.possible_duplicate)
    record.executions += [flagged] * 2


def undisturbed(record: Record) -> None:
    """Nothing was wrong in the whole run."""
    record.undisturbed = True
    record.outages.clear()


def flawless(record: Record) -> None:
    record.flawless = True


def sat_on(record: Record) -> None:
    """w3 was killed with a request of b1, which says nothing."""
    record.prompt_s = 0.1
    record.outages.append(Outage("w3", "kill", 1.3, 2.0))
    record.passages.insert(1, Passage(1.2, "b1", "out", "w3", REQUEST, b"1", "c1", service="s", tag=3))


def sat_on_by_client(record: Record) -> None:
    """The same, but b1 tells the client, which goes on only at 1.5."""
    sat_on(record)
    record.passages.insert(2, Passage(1.35, "b1", "out", "c1", LOST, b"1", "b1"))


def begun_in_vain(record: Record) -> None:
    """Its caller has cancelled the call, and nothing keeps that from the workers."""
    undisturbed(record)
    record.calls[0].ends, record.calls[0].given_up_at = [], 1.3


def given_to_a_stopped_worker(record: Record) -> None:
    """w1 is stopped when it gets the request, and has been for longer than anybody may overlook."""
    record.avoided_s = 0.5
    record.outages.append(Outage("w1", "pause", 1.0, 1.8))


def overtaken(record: Record) -> None:
    """The first attempt waits somewhere, and begins after the second one, which was flagged."""
    first, second = record.executions[:2]
    first.started, second.started = second.started, first.started


def stood_still(record: Record, process: str, start: float, stop: float) -> None:
    """Nothing happened but that processes stood still."""
    record.stalls_s = 1.0
    record.outages = [Outage(process, "pause", start, stop)]
    record.calls.pop()


def run_again_for_its_own_stall(record: Record) -> None:
    stood_still(record, "c1", 1.1, 1.5)


def failed_for_its_own_stall(record: Record) -> None:
    stood_still(record, "c1", 1.1, 1.5)
    record.executions.pop()
    end(record, Error("DeadlineExceeded", 3, maybe_executed=True), 6.0)


def given_up_for_its_own_stall(record: Record) -> None:
    stood_still(record, "b1", 1.0, 5.0)
    record.partings.append(Parting(5.0, "b1", "w1", silent=True))


def failed_with_its_answer_ready(record: Record) -> None:
    record.answers_s = 1.0
    record.brokers = ["b1", "b2"]
    record.executions[1].ended, record.executions[1].answered = 1.9, True
    end(record, Error("DeadlineExceeded", 3, maybe_executed=True), 6.0)


def besieged(record: Record) -> None:
    """Somebody is hostile, and nothing else is wrong: of a hundred calls all but the last one end well, in 0.1 s."""
    record.hostile, record.fair_until_s, record.errors_share = ("x",), 10.0, 0.05
    record.calls = [
        Call(str(n), "c1", 2.0, 7.0, 3, b"%d" % n, [(2.1, Reply(str(n), "w1", b"%d" % n, False, 0))])
        for n in range(100)
    ]
    record.calls[-1].ends = [(7.0, Error("DeadlineExceeded", 3, maybe_executed=True))]


def starved(record: Record) -> None:
    """One in twenty calls may fail, and more do."""
    besieged(record)
    for call in record.calls[:6]:
        call.ends = [(2.1, Error("Overloaded", 3, maybe_executed=False))]


def slowed(record: Record) -> None:
    besieged(record)
    record.calls.pop()
    for call in record.calls[:6]:
        call.ends = [(2.0 + fair_share.SLOW_S + 0.1, *call.ends[0][1:])]


def crowded_out(record: Record) -> None:
    besieged(record)
    busy = Passage(2.0, "b1", "out", "c1", REJECT, b"1", "b1", code=int(Reason.BUSY))
    record.passages = [Passage(2.0, "b1", "in", "c1", REQUEST, b"1")] * 30 + [busy] * 4


def poisoned(record: Record) -> None:
    """A broker lies, and what it has made up comes over an honest one."""
    record.liars = ("b9",)
    end(record, Reply("", "w1", b"1", True, 1, "b2"))


def given(record: Record, answer: int) -> None:
    """More calls fail than may, and a hostile worker had all those that fail: what it said to them."""
    starved(record)
    record.calls.pop()
    record.passages = []
    for tag, call in enumerate(record.calls[:6]):
        record.passages.append(Passage(2.0, "b1", "out", "x", REQUEST, call.id, tag=tag))
        record.passages.append(Passage(2.0, "b1", "in", "x", answer, call.id, tag=tag))


def end(record: Record, outcome: Reply | Error, when: float = 2.0) -> None:
    record.calls[0].ends = [(when, outcome)]


def fail(record: Record) -> None:
    record.calls[1].must_succeed = True


FOREIGN: dict[str, tuple[str, Callable[[Record], None]]] = {
    "a foreign call that was answered twice": ("foreign", answered(1, "reply", "reply")),
    "a foreign call that nobody has answered": ("foreign", answered(2)),
    "a foreign call that was left alone with a reply": ("foreign", answered(1)),
    "an error where there are none": ("foreign", answered(1, "NO_WORKER")),
    "an error that nothing has come to": ("foreign", lambda record: answered_all(record, 2, speaks=True)),
    "a foreign reply out of nothing": ("foreign", answered(2, "reply")),
    "a foreign call that was answered late": ("foreign", answered(1, "reply", at=7.2)),
    "a foreign call that is not answered as its program is well": (
        "foreign",
        lambda record: record.foreign_outages.clear(),
    ),
    "a foreign call that fails in a sound net": ("foreign", answered(2, "NO_WORKER", must_succeed=True)),
    "a foreign run too many": ("foreign runs", lambda record: record.foreign_runs.append(ForeignRun("h", "q2", 1.3))),
    "a foreign run of what may have been run": ("foreign runs", refusing_doubts),
    "a copy that says nothing": ("foreign runs", lambda record: setattr(record.calls[3], "repeats", 0)),
    "a program that would stop": ("harm", lambda record: record.harms.append(End(1.0, "p1", "it aborts"))),
}


DOCTORED: dict[str, tuple[str, Callable[[Record], object]]] = {
    "never ends": ("I1", lambda record: record.calls[0].ends.clear()),
    "ends twice": ("I1", lambda record: record.calls[0].ends.append(record.calls[0].ends[0])),
    "too late before its time": (
        "I1",
        lambda record: end(record, Error("DeadlineExceeded", 3, maybe_executed=True), 5.9),
    ),
    "ends late": ("I1", lambda record: end(record, Reply("a", "w1", b"1", True, 1), 6.26)),
    "another's answer": ("I2", lambda record: end(record, Reply("b", "w1", b"1", True, 1))),
    "an answer from nowhere": ("I2", lambda record: end(record, Reply("a", "w3", b"1", True, 1))),
    "another request's id": ("I2", lambda record: end(record, Reply("a", "w1", b"2", True, 1))),
    "a reply to another": ("I2", lambda record: setattr(record.passages[4], "peer", "c2")),
    "a reply of who had not begun": ("I2", lambda record: setattr(record.passages[4], "at", 1.05)),
    "two runs unflagged": ("I3", lambda record: setattr(record.executions[1], "possible_duplicate", False)),
    "a retry without a flag": ("I3", lambda record: setattr(record.executions[0], "retry_count", 1)),
    "an unflagged run after another one": ("I3", overtaken),
    "twice on one worker": ("I3", lambda record: setattr(record.executions[1], "worker", "w1")),
    "a reply that hides it": ("I3", lambda record: end(record, Reply("a", "w1", b"1", False, 1))),
    "a flag forgotten on its way": ("I3", lambda record: setattr(record.passages[2], "possible_duplicate", False)),
    "a retry count changed on its way": ("I3", lambda record: setattr(record.passages[4], "retry_count", 0)),
    "a broken promise": ("I3", lambda record: end(record, Error("NoWorker", 3, maybe_executed=False))),
    "too many runs": ("I4", lambda record: setattr(record.calls[0], "attempts_max", 1)),
    "too high a retry count": ("I4", lambda record: setattr(record.executions[1], "retry_count", 3)),
    "too many attempts": ("I4", lambda record: end(record, Error("DeadlineExceeded", 4, maybe_executed=True))),
    "a budget overspent": ("I4", lambda record: record.passages.extend([record.passages[0]] * 20)),
    "a late start": ("I5", lambda record: setattr(record.executions[1], "started", 6.06)),
    "a queue too long": ("I6", lambda record: record.size("b1", "requests that wait", 11, 10)),
    "an error in a sound net": ("I7", fail),
    "a slow reply in a sound net": ("I7", lambda record: setattr(record.calls[0], "must_succeed", True)),
    "a call that it may not make": ("rights", lambda record: record.rights.pop("c1")),
    "a call given to who may not serve it": ("rights", lambda record: record.rights.pop("w1")),
    "a breach": ("rights", lambda record: record.breaches.append(End(3.0, "mallory", "got an answer"))),
    "an error where nobody should notice anything": ("flawless", flawless),
    "flags without a fault": ("needless", doubted),
    "two answers to one attempt": ("answers", lambda record: record.passages.append(record.passages[4])),
    "no answer to an attempt": ("answers", undisturbed),
    "a broker that sits on a loss": ("losses", sat_on),
    "a client that sits on a loss": ("losses", sat_on_by_client),
    "a process that ends": ("I8", lambda record: record.deaths.append(End(3.0, "b1", "exit code 1"))),
    "a broker unknown": ("convergence", lambda record: record.views.pop(("b1", "b2"))),
    "a broker taken for alive": ("convergence", lambda record: record.alive.remove("b2")),
    "a false death": ("false death", lambda record: record.outages.clear()),
    "a start of what was given up": ("given up", begun_in_vain),
    "a request to a silent worker": ("silent", given_to_a_stopped_worker),
    "a handler that goes on": ("deadlines", lambda record: setattr(record.executions[1], "ended", 6.7)),
    "a call that fails with its answer ready": ("answers ready", failed_with_its_answer_ready),
    "a second run for one's own standstill": ("own stalls", run_again_for_its_own_stall),
    "a call that fails for one's own standstill": ("own stalls", failed_for_its_own_stall),
    "a peer given up for one's own standstill": ("own stalls", given_up_for_its_own_stall),
    "a process with errors of its own": ("I8", lambda record: record.faults.update(b1=1)),
    "calls that fail for an enemy's sake": ("fair share", starved),
    "calls that are slow for an enemy's sake": ("fair share", slowed),
    "requests for which there is no room for an enemy's sake": ("fair share", crowded_out),
    "calls that fail as a hostile worker refuses them": ("fair share", lambda record: given(record, REJECT)),
    "a reply that a lying broker has spoilt for others": ("I2", poisoned),
    "an id that was foreseen": ("foreseen", lambda record: record.foreseen.update({b"1": 0.9})),
    "a registry that nobody has made": ("registry", acts(6.0, "b2", 3, b"three")),
    "another registry than the one that was made": ("registry", acts(6.0, "b2", 2, b"forged")),
    "an older registry": ("registry", acts(6.0, "b2", 1, b"one")),
    "an older registry after a restart": (
        "registry",
        lambda record: record.adoptions.append(Adoption(6.0, "b2", 1, b"one", began=True)),
    ),
    "an older list of brokers": ("registry", acts(6.0, "c1", 1, b"")),
    "an old registry in the end": ("registry", lambda record: record.in_force.update(b1=1)),
    "a reply of a removed worker": ("removed", without("w1")),
    "a call of a removed client": ("removed", without("c1")),
    "a call that a client may not make any more": ("removed", without("c1", calls=("t",))),
    "a call for a worker that may not serve it any more": ("removed", without("w1", serves=("t",))),
    "a node that is let in before the others were heard": (
        "caught up",
        lambda record: record.admissions.append(Admission(7.9, "b2", "c1", 6.0, ("b1",))),
    ),
    **FOREIGN,
    "a request left": ("leak", lambda record: record.leftovers.append("b1 holds a request")),
}


@pytest.mark.parametrize("name", CHECKERS)
def test_a_good_record_passes_every_checker(name: str) -> None:
    assert CHECKERS[name](good()) == []


@pytest.mark.parametrize("name", DOCTORED)
def test_a_doctored_record_is_seen(name: str) -> None:
    rule, doctor = DOCTORED[name]
    record = good()
    doctor(record)
    assert CHECKERS[rule](record)
    assert violations(record)


def test_every_checker_is_seen_to_fail() -> None:
    assert {rule for rule, _doctor in DOCTORED.values()} == set(CHECKERS)


@pytest.mark.parametrize(
    ("process", "start", "stop"),
    [("b1", 1.1, 1.5), ("w1", 1.1, 1.5), ("c1", 1.1, 2.5)],
    ids=["broker", "worker", "long"],
)
def test_standstills_of_others_and_long_ones_explain_a_second_run(process: str, start: float, stop: float) -> None:
    record = good()
    stood_still(record, process, start, stop)
    assert CHECKERS["own stalls"](record) == []


def test_handler_of_a_worker_that_stood_still_may_go_on() -> None:
    record = good()
    record.executions[1].ended = 6.7
    record.outages.append(Outage("w2", "pause", 5.5, 6.6))
    assert violations(record) == []


def test_call_may_fail_with_its_answer_ready_while_no_broker_is_there() -> None:
    record = good()
    failed_with_its_answer_ready(record)
    record.outages += [Outage("b1", "stop", 1.0, 7.0), Outage("b2", "kill", 2.0, 5.5)]
    assert CHECKERS["answers ready"](record) == []


def test_a_worker_that_was_started_anew_may_run_a_request_again() -> None:
    record = good()
    record.executions[1].worker, record.executions[1].life = "w1", 1
    assert violations(record) == []


def test_a_call_that_was_given_up_need_not_end() -> None:
    record = good()
    record.calls[1].ends, record.calls[1].given_up_at = [], 3.0
    assert violations(record) == []


def test_a_call_of_a_client_that_was_stopped_at_its_deadline_may_end_when_it_goes_on() -> None:
    record = good()
    end(record, Reply("a", "w1", b"1", True, 1), 8.0)
    record.outages.append(Outage("c1", "pause", 5.9, 7.9))
    assert violations(record) == []


def test_a_call_of_a_client_that_was_stopped_only_later_may_not_end_late() -> None:
    record = good()
    end(record, Reply("a", "w1", b"1", True, 1), 8.0)
    record.outages.append(Outage("c1", "pause", 7.0, 7.9))
    assert CHECKERS["I1"](record)


def test_a_worker_that_has_just_been_stopped_may_be_given_something() -> None:
    record = good()
    given_to_a_stopped_worker(record)
    record.avoided_s = 0.52
    assert CHECKERS["silent"](record) == []


def test_a_broker_that_was_stopped_itself_need_not_know_that_a_worker_is_silent() -> None:
    record = good()
    given_to_a_stopped_worker(record)
    record.outages.append(Outage("b2", "pause", 0.9, 1.4))
    assert CHECKERS["silent"](record) == []


def test_a_start_is_not_late_by_what_no_frame_of_its_sessions_could_tell() -> None:
    record = good()
    record.executions[1].started = 6.0 + record.delay_unseen_s + 0.2
    record.executions[1].unseen_s = 0.25
    assert CHECKERS["I5"](record) == []
    record.executions[1].unseen_s = 0.15
    assert len(CHECKERS["I5"](record)) == 1


def test_few_calls_may_fail_while_somebody_is_hostile_and_more_before_that_is_known() -> None:
    record = good()
    besieged(record)
    assert CHECKERS["fair share"](record) == []
    starved(record)
    record.fair_from_s = 2.5
    assert CHECKERS["fair share"](record) == []


@pytest.mark.parametrize("answer", [REPLY, LOST, WORKING])
def test_a_hostile_worker_may_do_with_what_it_has_accepted_as_it_likes(answer: int) -> None:
    record = good()
    given(record, answer)
    assert CHECKERS["fair share"](record) == []


@pytest.mark.parametrize(("key", "sender", "fine"), [("", "w1", True), ("b", "w1", False), ("", "w3", False)])
def test_rubbish_is_an_answer_of_a_hostile_worker_that_ran_the_call(key: str, sender: str, fine: bool) -> None:
    record = good()
    end(record, Reply(key, sender, b"1", True, 1))
    assert CHECKERS["I2"](record)
    record.hostile = ("w1", "w3")
    assert bool(CHECKERS["I2"](record)) is not fine


def test_a_refusal_that_a_hostile_worker_takes_back_is_one() -> None:
    record = good()
    given(record, REJECT)
    record.passages += [Passage(2.1, each.broker, "in", "x", REPLY, each.id, tag=each.tag) for each in record.passages]
    assert CHECKERS["fair share"](record)


def test_what_a_lying_broker_makes_up_is_counted_and_does_not_fail() -> None:
    record = good()
    poisoned(record)
    assert right_answer.forged(record) == []
    record.liars = ("b2",)
    assert CHECKERS["I2"](record) == []
    assert right_answer.forged(record) == record.calls[:1]


def test_what_a_lying_broker_has_answered_counts_for_the_budget_and_no_more_than_that() -> None:
    record = good()
    record.passages += [record.passages[0]] * 13
    for number in range(3):
        reply = Reply("", "w1", b"%d" % number, False, 0, "b9")
        record.calls.append(Call(f"forged {number}", "c1", 0.5, 6.0, 3, b"f%d" % number, [(0.9, reply)]))
    (before,) = budget_overspent(record)
    assert "13 retries of 5 calls and has 10.5" in before
    record.liars = ("b9",)
    assert budget_overspent(record) == []
    record.passages += [record.passages[0]] * 2
    assert "15 retries of 5 calls and has 13.5" in budget_overspent(record)[0]


def test_each_lost_connection_lets_a_call_move_on_once_whenever_its_attempts_are_read() -> None:
    record = good()
    record.passages += [record.passages[0]] * 13
    record.partings += [Parting(at, "c1", "b1", silent=True) for at in (0.7, 0.8, 0.9)]
    assert "13 retries of 2 calls" in budget_overspent(record)[0]  # they were over before the call was made
    record.calls[0].started = 0.75
    assert "11 retries of 2 calls" in budget_overspent(record)[0]
    record.calls[0].started = 0.65
    assert budget_overspent(record) == []


def budget_overspent(record: Record) -> list[str]:
    return [each.text for each in CHECKERS["I4"](record) if "paid for" in each.text]


def lied_about(record: Record) -> None:
    """w3 has run a refused call for a lying broker alone, which has made up another request under its id."""
    record.liars, record.foreseen = ("b9",), {b"2": 1.3}
    record.executions.append(Execution("b", "w3", b"2", 1.1, False, 0))


def test_what_a_lying_broker_confuses_with_its_own_requests_is_no_broken_promise() -> None:
    record = good()
    lied_about(record)
    assert violations(record) == []
    record.executions.append(Execution("b", "w4", b"2", 1.4, False, 0))
    assert CHECKERS["I3"](record) == []


def from_an_honest_broker(record: Record, worker: str = "w3") -> None:
    record.passages.append(Passage(1.0, "b2", "in", "c1", REQUEST, b"2", service="s", tag=2))
    record.passages.append(Passage(1.05, "b2", "out", worker, REQUEST, b"2", "c1", service="s", tag=8))


def with_an_honest_run(record: Record) -> None:
    record.executions.append(Execution("b", "w4", b"2", 1.4, False, 0))
    from_an_honest_broker(record, "w4")


def with_nothing_made_up(record: Record) -> None:
    record.foreseen.clear()


def with_honest_brokers_only(record: Record) -> None:
    record.liars = ()


@pytest.mark.parametrize(
    "change", [from_an_honest_broker, with_an_honest_run, with_nothing_made_up, with_honest_brokers_only]
)
def test_a_lying_broker_excuses_no_promise_but_its_own(change: Callable[[Record], None]) -> None:
    record = good()
    lied_about(record)
    change(record)
    (found,) = CHECKERS["I3"](record)
    assert "promised that it was not run" in found.text


def test_a_worker_runs_a_request_once_whatever_a_lying_broker_makes_up() -> None:
    record = good()
    lied_about(record)
    record.executions.append(record.executions[-1])
    (found,) = CHECKERS["I3"](record)
    assert "ran 2 times on w3" in found.text


def test_who_is_slandered_by_a_lying_broker_may_be_taken_for_dead() -> None:
    record = good()
    record.outages.clear()
    record.liars = ("b9",)
    assert CHECKERS["false death"](record) == []


def test_an_id_that_was_seen_is_not_foreseen() -> None:
    record = good()
    record.foreseen[b"1"] = 1.1
    assert CHECKERS["foreseen"](record) == []


def test_a_worker_and_what_somebody_hostile_asks_for_may_be_refused_as_busy() -> None:
    record = good()
    crowded_out(record)
    for each in record.passages:
        each.sender, each.peer = ("w1", each.peer) if each.command == REJECT else (each.sender, each.peer)
    assert CHECKERS["fair share"](record) == []
    crowded_out(record)
    for each in record.passages:
        each.peer = "x"
    assert CHECKERS["fair share"](record) == []


def test_who_has_lost_what_it_had_kept_may_act_on_an_older_registry() -> None:
    record = good()
    record.adoptions.append(Adoption(6.0, "b2", 1, b"one", began=True, forgot=True))
    assert CHECKERS["registry"](record) == []


def test_what_comes_in_the_moment_of_a_change_may_be_judged_either_way() -> None:
    record = good()
    record.adoptions = [Adoption(0.0, "b2", 1, b"one", began=True), Adoption(1.51, "b2", 2, b"two")]
    del record.issues[1].rights["w1"]
    assert CHECKERS["removed"](record) == []
    record.adoptions[1].at = 1.6
    assert [each.at for each in CHECKERS["removed"](record)] == [1.51]


def test_what_was_asked_while_it_was_allowed_is_passed_on_later() -> None:
    record = good()
    without("c1", calls=())(record)
    record.adoptions = [Adoption(0.0, "b2", 1, b"one", began=True), Adoption(1.505, "b2", 2, b"two")]
    assert CHECKERS["removed"](record) == []


@pytest.mark.parametrize(
    "end",
    [
        Passage(1.504, "b2", "out", "c1", REJECT, b"1", "b2"),
        Passage(1.504, "b2", "out", "c1", LOST, b"1", "b2"),
        Passage(1.504, "b2", "in", "c1", CANCEL, b"1"),
    ],
    ids=["refused", "lost", "withdrawn"],
)
def test_who_asks_anew_is_judged_by_what_it_may_by_then(end: Passage) -> None:
    record = good()
    first = next(number for number, each in enumerate(record.passages) if each.broker == "b2")
    again = Passage(1.507, "b2", "in", "c1", REQUEST, b"1", possible_duplicate=True, retry_count=1, tag=8)
    record.passages[first + 1 : first + 1] = [end, again]
    record.adoptions = [Adoption(0.0, "b2", 1, b"one", began=True), Adoption(1.505, "b2", 2, b"two")]
    record.issues[1].rights["c1"] = Rights()
    assert CHECKERS["removed"](record) == []
    record.issues[1].rights["c1"], record.issues[2].rights["c1"] = record.issues[2].rights["c1"], Rights()
    assert [each.at for each in CHECKERS["removed"](record)] == [1.51]


def test_what_was_asked_of_a_broker_before_its_restart_is_not_asked_after_that() -> None:
    record = good()
    record.adoptions = [
        Adoption(0.0, "b2", 1, b"one", began=True),
        Adoption(1.505, "b2", 2, b"two", began=True),
    ]
    record.issues[2].rights["c1"] = Rights()
    assert [each.at for each in CHECKERS["removed"](record)] == [1.51]


@pytest.mark.parametrize("outage", [Outage("b1", "cut", 5.0, 6.5), Outage("b2", "pause", 6.5)])
def test_who_cannot_be_heard_is_not_waited_for(outage: Outage) -> None:
    record = good()
    record.admissions.append(Admission(6.7, "b2", "c1", 6.0, ("b1",)))
    assert CHECKERS["caught up"](record)
    record.outages.append(outage)
    assert CHECKERS["caught up"](record) == []


def test_a_foreign_program_that_stood_still_may_give_up_as_it_goes_on() -> None:
    record = good()
    record.foreign_outages = [Outage("p2", "pause", 2.0, 9.0)]
    call = record.foreign_calls[3]
    assert CHECKERS["foreign"](record)
    call.left_at = 8.5
    assert CHECKERS["foreign"](record)
    call.left_at = 9.0
    assert not CHECKERS["foreign"](record)


def test_a_foreign_program_may_leave_a_bridge_that_stands_still_unanswered() -> None:
    record = good()
    record.foreign_outages = []
    call = record.foreign_calls[3]
    call.left_at = 8.5
    assert CHECKERS["foreign"](record)
    pause = Outage(record.bridge, "pause", call.until + GRACE_S, 8.5 - GRACE_S)
    record.outages.append(pause)
    assert not CHECKERS["foreign"](record)
    pause.end -= 0.1
    assert CHECKERS["foreign"](record), "it had the time to answer"
    pause.start, pause.end = call.until + GRACE_S + 0.1, 9.0
    assert CHECKERS["foreign"](record), "it should have answered before"


def test_a_bridge_that_stood_still_and_ended_before_its_time_was_over_again_need_not_have_answered() -> None:
    record = good()
    record.foreign_outages = []
    call = record.foreign_calls[3]
    time_s = call.until - call.started + GRACE_S
    pause = Outage(record.bridge, "pause", call.until - 0.1, call.until + 2.0)
    kill = Outage(record.bridge, "kill", pause.end + time_s, pause.end + time_s + 0.1)
    record.outages += [pause, kill]
    assert not CHECKERS["foreign"](record)
    kill.start += 0.05
    assert CHECKERS["foreign"](record), "it had the time to answer"
    pause.start, kill.start = call.until + GRACE_S + 0.1, pause.end
    assert CHECKERS["foreign"](record), "it should have answered before"
