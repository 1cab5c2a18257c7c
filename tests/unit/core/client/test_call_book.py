"""How calls leave the book: with one result, and their places to others."""

from collections.abc import Iterator
from typing import Any

import pytest

from braidmq.core.client.call import Stage
from braidmq.errors import NoBroker, NoWorker, Overloaded, PayloadTooLarge, RequestError
from braidmq.settings import Settings
from tests.support.rigs.client_parts import ClientParts

SETTINGS = Settings(in_flight_max=1)


@pytest.fixture
def parts(make: Any) -> Iterator[ClientParts]:
    parts = ClientParts(make("a", settings=SETTINGS), SETTINGS)
    yield parts
    parts.book.validate_state()
    parts.waits.validate_state(parts.book.calls.values())
    parts.clear()


def test_error_says_of_which_call_it_is_the_end(parts: ClientParts) -> None:
    call = parts.call()
    parts.book.send(call, parts.now)
    parts.book.fail(call, NoWorker("none"), parts.now)
    ((id_, error),) = parts.book.results
    assert isinstance(error, RequestError)
    assert (id_, error.request_id, error.service, error.attempts) == (call.id, call.id, "echo", 1)
    assert not parts.book.calls
    assert parts.waits.timers.next_deadline() is None


def test_call_that_is_cancelled_has_no_result(parts: ClientParts) -> None:
    call = parts.call()
    parts.book.send(call, parts.now)
    parts.book.end(call, None, parts.now)
    assert not parts.book.results
    assert parts.book.places.own.idle


def test_no_error_is_no_end(parts: ClientParts) -> None:
    call = parts.call()
    parts.book.send(call, parts.now)
    parts.book.fail_if(call, None, parts.now)
    assert parts.book.calls == {call.id: call}
    parts.book.fail_if(call, NoBroker("none"), parts.now)
    assert not parts.book.calls


def test_place_that_is_free_goes_to_the_next_one_at_once(parts: ClientParts) -> None:
    first, second, third = (parts.call() for _ in range(3))
    assert (second.stage, third.stage) == (Stage.QUEUED, Stage.QUEUED)
    parts.book.send(first, parts.now)
    parts.sent()
    parts.book.end(first, None, parts.now)
    assert [request.id for _, request in parts.sent()] == [second.id]
    assert third.stage is Stage.QUEUED


def test_those_that_fail_at_once_give_their_places_on(parts: ClientParts) -> None:
    first = parts.call()
    late = parts.call(timeout_s=1.0)
    large = parts.call(payload=bytes(2**21))
    last = parts.call()
    parts.book.send(first, parts.now)
    parts.sent()
    parts.rig.now = late.deadline
    parts.book.end(first, None, parts.now)
    assert [request.id for _, request in parts.sent()] == [last.id]
    ends = [(id_, type(error)) for id_, error in parts.book.results]
    assert ends == [(late.id, Overloaded), (large.id, PayloadTooLarge)]


def test_call_that_never_had_a_place_says_so_at_its_deadline(parts: ClientParts) -> None:
    parts.book.send(parts.call(), parts.now)
    late = parts.call(timeout_s=1.0)
    parts.book.on_deadline(late, late.deadline)
    ((_, error),) = parts.book.results
    assert isinstance(error, Overloaded)
