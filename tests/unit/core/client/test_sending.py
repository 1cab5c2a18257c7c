"""Where a call goes next, by what there is: paths, workers, brokers to be found, time."""

from collections.abc import Iterator
from typing import Any

import pytest

from braidmq.core.client.call import Stage
from braidmq.core.client.sending import SEEK_PAUSE_S, SEEK_SPARE_S
from braidmq.errors import DeadlineExceeded, NoBroker, PayloadTooLarge
from braidmq.settings import Settings
from tests.support.rigs.client_parts import ClientParts

EXCHANGE_S = 2.0
SETTINGS = Settings(exchange_timeout_s=EXCHANGE_S, payload_bytes_max=2048)
GRAIN_S = 0.011


@pytest.fixture
def parts(make: Any) -> Iterator[ClientParts]:
    parts = ClientParts(make("a", settings=SETTINGS), SETTINGS)
    yield parts
    parts.clear()


@pytest.mark.parametrize(("timeout_s", "due_s"), [(10.0, EXCHANGE_S), (1.0, 1.0)])
def test_attempt_is_looked_at_when_it_is_silent_for_too_long_or_out_of_time(
    parts: ClientParts, timeout_s: float, due_s: float
) -> None:
    call = parts.call(timeout_s=timeout_s)
    assert parts.sending.send(call, parts.now) is None
    ((name, request),) = parts.sent()
    assert (name, request.id, call.stage) == ("a", call.id, Stage.SENT)
    assert parts.waits.timers.next_deadline() == pytest.approx(parts.now + due_s, abs=GRAIN_S)


def test_without_a_path_it_is_parked_and_leaves_that_when_there_is_one(parts: ClientParts) -> None:
    parts.rig["a"].crash()
    call = parts.call()
    assert parts.sending.send(call, parts.now) is None
    assert (call.stage, list(parts.waits.parked), parts.sent()) == (Stage.PARKED, [call], [])
    parts.rig["a"].refusal = None
    parts.rig.advance(5.0)
    assert parts.sending.send(call, parts.now) is None
    assert (call.stage, list(parts.waits.parked)) == (Stage.SENT, [])


def test_payload_that_no_broker_takes_ends_it(parts: ClientParts) -> None:
    error = parts.sending.send(parts.call(payload=bytes(2049)), parts.now)
    assert isinstance(error, PayloadTooLarge)
    assert "any broker" in str(error)
    named = parts.sending.send(parts.call(payload=bytes(2049), via="a"), parts.now)
    assert isinstance(named, PayloadTooLarge)
    assert str(named).startswith("a takes")
    assert not parts.sent()


def test_broker_that_it_names_is_required(parts: ClientParts) -> None:
    assert parts.sending.send(parts.call(via="a"), parts.now) is None
    assert parts.finder.required == ["a"]
    assert [name for name, _ in parts.sent()] == ["a"]


def test_it_waits_for_a_better_broker_while_it_has_the_time(parts: ClientParts) -> None:
    parts.finder.waits = True
    patient, hasty = parts.call(), parts.call(timeout_s=SEEK_SPARE_S)
    for call in (patient, hasty):
        assert parts.sending.send(call, parts.now) is None
    assert [request.id for _, request in parts.sent()] == [hasty.id]
    assert patient.stage is Stage.PAUSED
    assert parts.waits.timers.next_deadline() == pytest.approx(parts.now + SEEK_PAUSE_S, abs=GRAIN_S)


def test_it_waits_for_a_worker_if_it_says_so(make: Any) -> None:
    parts = ClientParts(make("a", provides=(), settings=SETTINGS), SETTINGS)
    parts.rig.advance(5.0)
    patient, other = parts.call(waits=True), parts.call(waits=False)
    for call in (patient, other):
        assert parts.sending.send(call, parts.now) is None
    assert [request.id for _, request in parts.sent()] == [other.id]
    assert list(parts.waits.awaiting) == [patient]
    parts.clear()


def test_nothing_is_sent_after_the_deadline(parts: ClientParts) -> None:
    call = parts.call(timeout_s=1.0)
    error = parts.sending.send(call, call.deadline)
    assert isinstance(error, NoBroker), "it has been parked all the time"
    assert not parts.sent()


def test_who_gives_up_calls_back_what_is_on_its_way(parts: ClientParts) -> None:
    call = parts.call()
    parts.sending.send(call, parts.now)
    parts.sent()
    assert isinstance(parts.sending.give_up(call, call.deadline), DeadlineExceeded)
    assert sum(map(len, parts.rig.core.take_sends().values())) == 1
