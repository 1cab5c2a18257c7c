"""What the gateway says of what has gone wrong: `application/problem+json` of RFC 9457."""

from typing import Any, Final, NamedTuple

import msgspec

from braidmq.bridges.http.core.limits import RETRY_AFTER_S
from braidmq.bridges.http.core.messages import Answer

PROBLEM_JSON: Final = b"application/problem+json"

_RETRY_AFTER: Final = (b"retry-after", b"%d" % RETRY_AFTER_S)


class Problem(NamedTuple):
    """One kind of problem: the end of its type `urn:braidmq:NAME`, its status and its title."""

    name: str
    status: int
    title: str


SERVICE_ERROR: Final = Problem("service-error", 500, "The service answered with an error")
ACCESS_DENIED: Final = Problem("access-denied", 403, "The caller may not call this service")
PAYLOAD_TOO_LARGE: Final = Problem("payload-too-large", 413, "The payload is too large")
OVERLOADED: Final = Problem("overloaded", 503, "Too much is under way")
NO_WORKER: Final = Problem("no-worker", 503, "No worker provides the service")
NO_BROKER: Final = Problem("no-broker", 503, "No broker can be reached")
NODE_CLOSED: Final = Problem("node-closed", 503, "The gateway ends or begins")
NOT_REGISTERED: Final = Problem("not-registered", 503, "The net does not know the member that the gateway acts for")
ATTEMPTS_EXHAUSTED: Final = Problem("attempts-exhausted", 502, "Every attempt was lost")
DEADLINE_EXCEEDED: Final = Problem("deadline-exceeded", 504, "No answer within the timeout")
INTERNAL: Final = Problem("internal", 500, "The gateway has failed")

BAD_HEADER: Final = Problem("bad-header", 400, "A header field is wrong")
BAD_REQUEST: Final = Problem("bad-request", 400, "The request is wrong")
MALFORMED: Final = Problem("malformed", 400, "This is not HTTP/1.1")
UNAUTHENTICATED: Final = Problem("unauthenticated", 401, "A valid bearer token is needed")
FOREIGN_PAGE: Final = Problem("foreign-page", 403, "Web pages of others may not call without a token")
NOT_FOUND: Final = Problem("not-found", 404, "There is nothing at this path")
NO_SERVICE_NAME: Final = Problem("no-service-name", 404, "No service can have this name")
METHOD_NOT_ALLOWED: Final = Problem("method-not-allowed", 405, "The method is not allowed here")
REQUEST_TIMEOUT: Final = Problem("request-timeout", 408, "The request did not come in time")
KEY_IN_USE: Final = Problem("idempotency-key-in-use", 409, "The first request with this key is under way")
CODED_BODY: Final = Problem("coded-body", 415, "The body is compressed")
EXPECTATION: Final = Problem("expectation-failed", 417, "The expectation cannot be met")
KEY_REUSED: Final = Problem("idempotency-key-reused", 422, "The key was used with another payload")
TOO_MANY_CALLS: Final = Problem("too-many-calls", 429, "The caller has too many calls under way")
HEAD_TOO_LARGE: Final = Problem("head-too-large", 431, "The header fields are too large or too many")
TOO_MANY_CONNECTIONS: Final = Problem("too-many-connections", 503, "The gateway has too many connections")
HTTP_VERSION: Final = Problem("http-version", 505, "HTTP/1.1 and HTTP/1.0 are spoken here")


class Refused(Exception):  # noqa: N818 - it is no error of the gateway's
    """A request is refused: `problem` tells why, `answer` tells the caller."""

    def __init__(self, problem: Problem, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.problem = problem
        self.answer = problem_answer(problem, detail, **more)


def problem_answer(  # noqa: PLR0917 - the members of a problem, in the order of RFC 9457
    problem: Problem,
    detail: str,
    service: str = "",
    maybe_executed: bool = False,
    attempts: int = 0,
    request_id: bytes = b"",
    status: int | None = None,
    retry: bool = False,
    closes: bool = False,
    fields: tuple[tuple[bytes, bytes], ...] = (),
    **more: Any,
) -> Answer:
    """Return the answer that tells of a problem.

    Args:
        problem: its kind.
        detail: what has happened, for people.
        service: the service that was to be called.
        maybe_executed: whether a worker may have run the request. False is a promise.
        attempts: how often it was sent.
        request_id: its name on the wire.
        status: of the answer, if it is not that of the kind.
        retry: whether a repetition makes sense, and is safe: it gets Retry-After.
        closes: whether the connection ends with it.
        fields: header fields besides.
        more: further members of the problem.
    """
    status = problem.status if status is None else status
    told = {
        "type": f"urn:braidmq:{problem.name}",
        "title": problem.title,
        "status": status,
        "detail": detail,
        "service": service,
        "request_id": request_id.hex(),
        "attempts": attempts,
        "maybe_executed": maybe_executed,
        **more,
    }
    if retry:
        fields = (*fields, _RETRY_AFTER)
    return Answer(status, msgspec.json.encode(told), PROBLEM_JSON, fields, closes)
