"""What the end of a call becomes in HTTP."""

from typing import Any, Final

from braidmq.bridges.http.core import problems
from braidmq.bridges.http.core.messages import Answer
from braidmq.bridges.http.core.problems import Problem, problem_answer
from braidmq.errors import (
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
    RequestError,
    ServiceError,
)
from braidmq.messages import Reply

OCTETS: Final = b"application/octet-stream"
"""The content type of a reply of which nothing else is known: a reply has no headers."""

STATUS_OF_CODE: Final = {
    "INVALID_ARGUMENT": 400,
    "OUT_OF_RANGE": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
}
"""The status for the code of a ServiceError; every other code is 500."""

_DEPTH_MAX: Final = 64
"""Deepest details of a ServiceError."""

_WHOLE_MAX: Final = 2**53 - 1
"""Largest number that every reader of JSON takes for what it is (RFC 8259, 6)."""

_CHALLENGE: Final = ((b"www-authenticate", b'Bearer realm="service"'),)

_PROBLEMS: Final[dict[type[RequestError], Problem]] = {
    AccessDenied: problems.ACCESS_DENIED,
    PayloadTooLarge: problems.PAYLOAD_TOO_LARGE,
    Overloaded: problems.OVERLOADED,
    NoWorker: problems.NO_WORKER,
    NoBroker: problems.NO_BROKER,
    AttemptsExhausted: problems.ATTEMPTS_EXHAUSTED,
    DeadlineExceeded: problems.DEADLINE_EXCEEDED,
}


def reply_answer(reply: Reply, content_type: bytes = OCTETS) -> Answer:
    """Return the answer that a reply is."""
    fields = [
        (b"braid-request-id", reply.original_id.hex().encode()),
        (b"braid-worker", reply.sender.encode()),
        (b"braid-broker", reply.broker.encode()),
        (b"braid-retry-count", b"%d" % reply.retry_count),
    ]
    if reply.possible_duplicate:
        fields.append((b"braid-possible-duplicate", b"?1"))
    return Answer(200, reply.payload, content_type, tuple(fields))


def error_answer(error: BaseException, service: str) -> Answer:
    """Return the answer that tells of an error of a call. One that is not BraidMQ's own is told as `internal`."""
    if isinstance(error, ServiceError):
        return _service_error(error, service)
    if isinstance(error, RequestError):
        problem = _PROBLEMS.get(type(error), problems.INTERNAL)
        return problem_answer(
            problem,
            str(error),
            service,
            error.maybe_executed,
            error.attempts,
            error.request_id,
            retry=problem.status == problems.NO_WORKER.status and not error.maybe_executed,
        )
    if isinstance(error, NodeClosed):
        return problem_answer(problems.NODE_CLOSED, "the member that the call is made by ends", service, True)
    if isinstance(error, NotRegistered):
        return problem_answer(problems.NOT_REGISTERED, "this is an error of the gateway's installation", service)
    if isinstance(error, ConfigError):
        return problem_answer(problems.BAD_HEADER, str(error), service)
    return problem_answer(problems.INTERNAL, "its log says more", service, True)


def maybe_executed(error: BaseException) -> bool:
    """Whether a call that ended with `error` may have been run."""
    if isinstance(error, RequestError):
        return error.maybe_executed
    return not isinstance(error, (NotRegistered, ConfigError))


def _service_error(error: ServiceError, service: str) -> Answer:
    status = STATUS_OF_CODE.get(error.code, problems.SERVICE_ERROR.status)
    more: dict[str, Any] = {"code": error.code}
    if error.details is not None and fits_json(error.details):
        more["details"] = error.details
    return problem_answer(
        problems.SERVICE_ERROR,
        error.message or error.code,
        service,
        error.maybe_executed,
        error.attempts,
        error.request_id,
        status,
        retry=status == 503 and not error.maybe_executed,
        fields=_CHALLENGE if status == 401 else (),
        **more,
    )


def fits_json(value: object, depth: int = 0) -> bool:
    """Whether JSON can hold `value` so that its reader gets the same: no bytes, no huge numbers, keys are strings."""
    if value is None or isinstance(value, (bool, str)):
        return True
    if isinstance(value, int):
        return -_WHOLE_MAX <= value <= _WHOLE_MAX
    if isinstance(value, float):
        return value - value == 0.0  # neither infinite nor not a number
    if depth >= _DEPTH_MAX:
        return False
    if isinstance(value, (list, tuple)):
        return all(fits_json(each, depth + 1) for each in value)
    return isinstance(value, dict) and all(
        isinstance(key, str) and fits_json(each, depth + 1) for key, each in value.items()
    )
