import pytest

from braidmq.bridges.http.core import idempotency
from braidmq.bridges.http.core.idempotency import Entry, Memory
from braidmq.bridges.http.core.limits import IDEMPOTENCY_ENTRY_BYTES, IDEMPOTENCY_S
from braidmq.bridges.http.core.messages import Answer
from braidmq.bridges.http.core.problems import Refused


@pytest.fixture
def memory():
    return Memory()


def begin(memory, key="k", *, caller="shop", digest=b"d", now=0.0):
    return memory.begin(caller, "pay", key, digest, now)


def test_the_same_answer_is_given_again(memory):
    memory.done(begin(memory), Answer(200, b"42", b"text/plain", ((b"braid-worker", b"w"),)), 1.0)
    again = begin(memory, now=2.0)
    assert isinstance(again, Answer)
    assert (again.status, again.body, again.content_type) == (200, b"42", b"text/plain")
    assert again.fields == ((b"braid-worker", b"w"), (b"idempotency-replayed", b"?1"))


def test_one_that_runs_is_waited_for_by_the_caller(memory):
    begin(memory)
    with pytest.raises(Refused) as told:
        begin(memory)
    assert told.value.answer.status == 409


@pytest.mark.parametrize("ended", [True, False])
def test_another_payload_needs_another_key(memory, ended):
    entry = begin(memory)
    if ended:
        memory.done(entry, Answer(200), 0.0)
    with pytest.raises(Refused) as told:
        begin(memory, digest=b"other")
    assert told.value.answer.status == 422


def test_one_that_may_have_been_run_is_repeated_as_such(memory):
    first = begin(memory)
    assert not first.repeated
    memory.unknown(first, 1.0)
    second = begin(memory, now=2.0)
    assert second.repeated
    memory.done(second, Answer(200, b"42"), 3.0)
    assert isinstance(begin(memory, now=4.0), Answer)


def test_one_that_was_not_run_is_forgotten(memory):
    first = begin(memory)
    memory.forget(first, 1.0)
    assert len(memory) == 0
    second = begin(memory, now=2.0)
    assert not second.repeated


def test_a_repetition_that_was_not_run_does_not_undo_the_first_one(memory):
    memory.unknown(begin(memory), 1.0)
    memory.forget(begin(memory, now=2.0), 3.0)
    assert begin(memory, now=4.0).repeated


def test_callers_services_and_keys_are_kept_apart(memory):
    memory.done(begin(memory), Answer(200), 0.0)
    assert isinstance(memory.begin("other", "pay", "k", b"d", 1.0), Entry)
    assert isinstance(memory.begin("shop", "refund", "k", b"d", 1.0), Entry)
    assert isinstance(memory.begin("shop", "pay", "l", b"d", 1.0), Entry)


def test_it_is_forgotten_after_its_time_but_not_while_it_runs(memory):
    memory.done(begin(memory), Answer(200), 0.0)
    running = begin(memory, "running")
    assert isinstance(begin(memory, now=IDEMPOTENCY_S - 1), Answer)
    assert isinstance(begin(memory, now=IDEMPOTENCY_S + 1), Entry)
    with pytest.raises(Refused):
        begin(memory, "running", now=IDEMPOTENCY_S + 1)
    memory.done(running, Answer(200), IDEMPOTENCY_S + 1)
    assert isinstance(begin(memory, "running", now=IDEMPOTENCY_S + 2), Answer)


def test_whoever_fills_it_loses_its_own(memory, monkeypatch):
    monkeypatch.setattr(idempotency, "IDEMPOTENCY_ENTRIES_MAX", 10)
    memory.done(begin(memory, caller="quiet"), Answer(200, b"kept"), 0.0)
    for number in range(50):
        memory.done(begin(memory, f"{number}", caller="loud"), Answer(200), 0.0)
    assert len(memory) == 10
    assert begin(memory, caller="quiet").body == b"kept"
    assert isinstance(begin(memory, "49", caller="loud"), Answer)
    assert isinstance(begin(memory, "0", caller="loud"), Entry)


def test_whoever_fills_it_with_bytes_loses_its_own(memory, monkeypatch):
    monkeypatch.setattr(idempotency, "IDEMPOTENCY_BYTES_MAX", 10_000)
    for number in range(5):
        memory.done(begin(memory, f"{number}", caller="quiet"), Answer(200), 0.0)
    for number in range(20):
        memory.done(begin(memory, f"{number}", caller="loud"), Answer(200, bytes(3_000)), 0.0)
    assert memory.weight_bytes <= 10_000
    assert all(isinstance(begin(memory, f"{number}", caller="quiet"), Answer) for number in range(5))


def test_what_it_counts_goes_with_what_it_has(memory):
    memory.done(begin(memory), Answer(200, bytes(100)), 0.0)
    assert memory.weight_bytes == IDEMPOTENCY_ENTRY_BYTES + 100
    memory.unknown(begin(memory, "other"), 0.0)
    begin(memory, "other", now=1.0)
    assert memory.weight_bytes == IDEMPOTENCY_ENTRY_BYTES + 100
    begin(memory, "third", now=IDEMPOTENCY_S + 1)
    assert memory.weight_bytes == 0
