"""What a caller is told of what a handler returned or raised."""

import logging
from time import monotonic
from typing import Any

import pytest

from braidmq.errors import ServiceError
from braidmq.host.repeats import LINES_MAX, Repeats
from braidmq.messages import Request
from braidmq.outcome import of_error, of_result

MANY = 1_000_000

REQUEST = Request(b"", "shop", "worker", "echo", bytes(16), False, 0, monotonic() + 5.0, {}, "b1", monotonic)


@pytest.mark.parametrize("result", [b"abc", bytearray(b"abc"), memoryview(b"abc"), memoryview(b"a-b-c")[::2]])
def test_bytes_of_any_kind_are_the_answer(result: object) -> None:
    answer = of_result(result, REQUEST, Repeats())
    assert answer == b"abc"
    assert type(answer) is bytes


def test_the_answer_shares_no_memory_with_the_result() -> None:
    result = bytearray(b"abc")
    answer = of_result(result, REQUEST, Repeats())
    result[0] = 0
    assert answer == b"abc"


@pytest.mark.parametrize(("result", "name"), [("text", "str"), (None, "NoneType"), (5, "int"), ([b"abc"], "list")])
def test_what_is_not_bytes_is_told_by_its_type(result: object, name: str, caplog: Any) -> None:
    answer = of_result(result, REQUEST, Repeats())
    assert isinstance(answer, ServiceError)
    assert str(answer) == f"INTERNAL: the handler of echo returned {name}, not bytes"
    (record,) = caplog.records
    assert record.getMessage() == f"the handler of echo returned {name}, not bytes, for request {'00' * 16} of shop"


def test_an_error_is_told_by_its_type_and_logged_whole(caplog: Any) -> None:
    error = KeyError("the secret")
    answer = of_error(error, REQUEST, MANY, Repeats())
    assert str(answer) == "INTERNAL: the handler failed with KeyError"
    (record,) = caplog.records
    assert (record.levelno, record.exc_info[1]) == (logging.ERROR, error)
    assert record.getMessage() == f"the handler of echo failed for request {'00' * 16} of shop"


def test_a_service_error_is_told_as_it_travels(caplog: Any) -> None:
    answer = of_error(ServiceError("BAD", "text", (1, 2), attempts=7), REQUEST, MANY, Repeats())
    assert type(answer) is ServiceError
    assert (answer.code, answer.message, answer.details) == ("BAD", "text", [1, 2])
    assert not caplog.records, "the handler meant it"


def test_a_service_error_that_cannot_travel_whole_is_told_in_short() -> None:
    answer = of_error(ServiceError("BAD", "text", object()), REQUEST, MANY, Repeats())
    assert (answer.code, answer.details) == ("BAD", None)
    assert answer.message.startswith("text (the whole error could not be sent")


def test_what_fails_again_and_again_is_logged_some_times_and_counted(caplog: Any) -> None:
    repeats = Repeats()
    for number in range(3 * LINES_MAX):
        of_error(KeyError(number), REQUEST, MANY, repeats)
    assert len(caplog.records) == LINES_MAX
    of_error(ValueError("another one"), REQUEST, MANY, repeats)
    of_result(5, REQUEST, repeats)
    assert len(caplog.records) == LINES_MAX + 2, "each kind has lines of its own"
