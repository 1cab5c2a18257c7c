import json
import math

import pytest

from braidmq import (
    AccessDenied,
    AttemptsExhausted,
    ConfigError,
    DeadlineExceeded,
    NoBroker,
    NodeClosed,
    NotRegistered,
    NoWorker,
    Overloaded,
    PayloadTooLarge,
    Reply,
    ServiceError,
)
from braidmq.bridges.http.core.answers import error_answer, fits_json, maybe_executed, reply_answer


def told(answer):
    assert answer.content_type == b"application/problem+json"
    said = json.loads(answer.body)
    assert said["status"] == answer.status
    return said


def test_a_reply_is_its_payload_and_what_is_known_of_it():
    answer = reply_answer(Reply(b"42", "w1", "gateway", "pricing", b"r" * 16, b"\x01" * 16, False, 0, "b1"))
    assert (answer.status, answer.body, answer.content_type) == (200, b"42", b"application/octet-stream")
    assert answer.fields == (
        (b"braid-request-id", b"01" * 16),
        (b"braid-worker", b"w1"),
        (b"braid-broker", b"b1"),
        (b"braid-retry-count", b"0"),
    )


def test_a_reply_that_may_be_a_second_one_says_so():
    answer = reply_answer(Reply(b"", "w1", "g", "s", b"", b"", True, 2, "b1"), b"application/json")
    assert answer.content_type == b"application/json"
    assert answer.fields[-2:] == ((b"braid-retry-count", b"2"), (b"braid-possible-duplicate", b"?1"))


@pytest.mark.parametrize(
    ("kind", "status", "name", "executed", "retry"),
    [
        (AccessDenied, 403, "access-denied", False, False),
        (PayloadTooLarge, 413, "payload-too-large", False, False),
        (Overloaded, 503, "overloaded", False, True),
        (Overloaded, 503, "overloaded", True, False),
        (NoWorker, 503, "no-worker", False, True),
        (NoBroker, 503, "no-broker", False, True),
        (NoBroker, 503, "no-broker", True, False),
        (AttemptsExhausted, 502, "attempts-exhausted", True, False),
        (DeadlineExceeded, 504, "deadline-exceeded", True, False),
        (DeadlineExceeded, 504, "deadline-exceeded", False, False),
    ],
)
def test_each_error_has_its_status(kind, status, name, executed, retry):
    error = kind("what happened", request_id=b"\x02" * 16, service="pay", attempts=3, maybe_executed=executed)
    answer = error_answer(error, "pay")
    assert told(answer) == {
        "type": f"urn:braidmq:{name}",
        "title": told(answer)["title"],
        "status": status,
        "detail": "what happened",
        "service": "pay",
        "request_id": "02" * 16,
        "attempts": 3,
        "maybe_executed": executed,
    }
    assert ((b"retry-after", b"1") in answer.fields) is retry
    assert maybe_executed(error) is executed


@pytest.mark.parametrize(
    ("error", "status", "executed"),
    [
        (NodeClosed("it ends"), 503, True),
        (NotRegistered("unknown"), 503, False),
        (ConfigError("headers are too large"), 400, False),
        (RuntimeError("secret"), 500, True),
    ],
)
def test_what_is_no_end_of_a_call_has_a_status_too(error, status, executed):
    answer = error_answer(error, "pay")
    assert told(answer)["maybe_executed"] is executed
    assert answer.status == status
    assert maybe_executed(error) is executed
    assert b"secret" not in answer.body


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("INVALID_ARGUMENT", 400),
        ("OUT_OF_RANGE", 400),
        ("FAILED_PRECONDITION", 400),
        ("UNAUTHENTICATED", 401),
        ("PERMISSION_DENIED", 403),
        ("NOT_FOUND", 404),
        ("ALREADY_EXISTS", 409),
        ("ABORTED", 409),
        ("RESOURCE_EXHAUSTED", 429),
        ("UNIMPLEMENTED", 501),
        ("UNAVAILABLE", 503),
        ("INTERNAL", 500),
        ("OUT_OF_STOCK", 500),
    ],
)
def test_a_services_own_error_has_the_status_of_its_code(code, status):
    answer = error_answer(ServiceError(code, "sold out", {"left": 0}, service="pay", attempts=1), "pay")
    said = told(answer)
    assert answer.status == status
    assert (said["type"], said["code"], said["detail"]) == ("urn:braidmq:service-error", code, "sold out")
    assert said["details"] == {"left": 0}
    assert said["maybe_executed"] is True
    assert (b"www-authenticate" in dict(answer.fields)) is (status == 401)


@pytest.mark.parametrize(
    "details", [b"bytes", {"a": [b"x"]}, {1: "a"}, math.nan, math.inf, 2**60, {"deep": [float("-inf")]}, object()]
)
def test_details_that_json_cannot_hold_are_left_out(details):
    answer = error_answer(ServiceError("X", "", details), "pay")
    assert "details" not in told(answer)
    assert told(answer)["detail"] == "X"


def test_details_as_deep_as_messagepack_carries_them_fit():
    deep: object = 1
    for _ in range(63):
        deep = [deep]
    assert fits_json(deep)
    assert not fits_json([[deep]])
