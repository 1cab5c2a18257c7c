"""Every checker sees what it is there for, on a record that was doctored."""

from dataclasses import replace

import pytest

from invariants import CHECKERS, Call, Error, Execution, Record, Reply, violations


def good():
    """A request that was run twice, and one that was refused."""
    return Record(
        calls=[
            Call(b"a", 1.0, 6.0, 3, [(2.0, Reply(b"re:a", "w1", b"1", True, 1))]),
            Call(b"b", 1.0, 6.0, 3, [(2.0, Error("NoWorker", 3, maybe_executed=False))]),
        ],
        executions=[Execution("w1", b"a", b"1", 1.1, False, 0), Execution("w2", b"a", b"1", 1.6, True, 1)],
    )


def end(record, outcome, when=2.0):
    record.calls[0].ends = [(when, outcome)]


def reply(record, **changes):
    end(record, replace(record.calls[0].outcome, **changes))


def execution(record, at, **changes):
    record.executions[at] = replace(record.executions[at], **changes)


DOCTORED = {
    "never ends": ("I1", lambda record: record.calls[0].ends.clear()),
    "ends twice": ("I1", lambda record: record.calls[0].ends.append(record.calls[0].ends[0])),
    "ends late": ("I1", lambda record: end(record, record.calls[0].outcome, 6.26)),
    "ends untyped": ("I1", lambda record: end(record, KeyError("x"))),
    "another's answer": ("I2", lambda record: reply(record, payload=b"re:b")),
    "an answer from nowhere": ("I2", lambda record: reply(record, sender="w3")),
    "another request's id": ("I2", lambda record: reply(record, original_id=b"2")),
    "two runs unflagged": ("I3", lambda record: execution(record, 1, possible_duplicate=False, retry_count=0)),
    "a retry without a flag": ("I3", lambda record: execution(record, 0, retry_count=1)),
    "twice on one worker": ("I3", lambda record: execution(record, 1, worker="w1")),
    "a reply that hides it": ("I3", lambda record: reply(record, possible_duplicate=False)),
    "a broken promise": ("I3", lambda record: end(record, Error("NoWorker", 3, maybe_executed=False))),
    "too many runs": ("I4", lambda record: setattr(record.calls[0], "attempts_max", 1)),
    "too high a retry count": ("I4", lambda record: execution(record, 1, retry_count=3)),
    "too many attempts": ("I4", lambda record: end(record, Error("DeadlineExceeded", 4, maybe_executed=True))),
    "a late start": ("I5", lambda record: execution(record, 1, started=6.06)),
}


def test_a_good_record_has_no_violations():
    assert violations(good()) == []


@pytest.mark.parametrize("name", DOCTORED)
def test_a_doctored_record_is_seen(name):
    invariant, doctor = DOCTORED[name]
    record = good()
    doctor(record)
    assert {line[:2] for line in violations(record)} >= {invariant}


def test_every_checker_is_seen_to_fail():
    assert {invariant for invariant, _doctor in DOCTORED.values()} == {
        checker.__name__[:2].upper() for checker in CHECKERS
    }
