"""The gateway described as OpenAPI 3.1, which it serves itself at `/openapi.json`."""

from typing import Any, Final

import msgspec

from braidmq import __version__
from braidmq.bounds import ATTEMPTS_MAX
from braidmq.bridges.http.core import problems
from braidmq.bridges.http.core.answers import STATUS_OF_CODE
from braidmq.bridges.http.core.limits import KEY_CHARS_MAX, TIMEOUT_S_MIN
from braidmq.bridges.http.core.problems import PROBLEM_JSON, Problem

_SERVICE_PATTERN: Final = "^[A-Za-z0-9][A-Za-z0-9._/:-]{0,126}$"
_KEY_PATTERN: Final = r'^"([ !#-\[\]-~]|\\["\\])+"$'

_ANYWHERE: Final = (
    problems.MALFORMED,
    problems.REQUEST_TIMEOUT,
    problems.HEAD_TOO_LARGE,
    problems.TOO_MANY_CONNECTIONS,
    problems.HTTP_VERSION,
    problems.INTERNAL,
)
_OF_CALLS: Final = (
    problems.SERVICE_ERROR,
    problems.BAD_HEADER,
    problems.BAD_REQUEST,
    problems.UNAUTHENTICATED,
    problems.ACCESS_DENIED,
    problems.FOREIGN_PAGE,
    problems.NO_SERVICE_NAME,
    problems.METHOD_NOT_ALLOWED,
    problems.KEY_IN_USE,
    problems.PAYLOAD_TOO_LARGE,
    problems.CODED_BODY,
    problems.EXPECTATION,
    problems.KEY_REUSED,
    problems.TOO_MANY_CALLS,
    problems.ATTEMPTS_EXHAUSTED,
    problems.OVERLOADED,
    problems.NO_WORKER,
    problems.NO_BROKER,
    problems.NODE_CLOSED,
    problems.NOT_REGISTERED,
    problems.DEADLINE_EXCEEDED,
)


def description(payload_bytes_max: int, timeout_s_max: float) -> bytes:
    """Return the description, as JSON, of a gateway with these limits."""
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "BraidMQ HTTP gateway",
            "version": __version__,
            "description": "Calls services of a BraidMQ net. `maybe_executed: false` in a problem tells that the call "
            "was not run: a repetition is safe.",
            "license": {"name": "MPL-2.0", "identifier": "MPL-2.0"},
        },
        "paths": {
            "/services/{service}": {"post": _call(payload_bytes_max, timeout_s_max)},
            "/healthz": {"get": _text_of("health", "Whether the process lives", ())},
            "/readyz": {
                "get": _text_of(
                    "readiness", "Whether a broker can be reached and the gateway goes on", (problems.NODE_CLOSED,)
                )
            },
            "/openapi.json": {"get": _own_description()},
        },
        "components": {
            "schemas": {"Problem": _problem()},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "certificate": {"type": "mutualTLS"},
            },
        },
    }
    return msgspec.json.encode(document)


def _call(payload_bytes_max: int, timeout_s_max: float) -> dict[str, Any]:
    return {
        "operationId": "call",
        "summary": "Call a service",
        "security": [{}, {"bearer": []}, {"certificate": []}],
        "parameters": [
            {
                "name": "service",
                "in": "path",
                "required": True,
                "description": "The service; a slash in it may be percent-encoded.",
                "schema": {"type": "string", "pattern": _SERVICE_PATTERN},
            },
            _header(
                "Braid-Timeout",
                "Seconds until the call gives up, over all attempts.",
                {"type": "number", "minimum": TIMEOUT_S_MIN, "maximum": timeout_s_max},
            ),
            _header(
                "Prefer",
                "`wait=SECONDS` is a timeout, too: the smaller one holds.",
                {"type": "string", "maxLength": 256},
            ),
            _header(
                "Braid-Attempts",
                "How often the request may be sent.",
                {"type": "integer", "minimum": 1, "maximum": ATTEMPTS_MAX},
            ),
            _header(
                "Idempotency-Key",
                "A repetition with the same key gets the same answer.",
                {"type": "string", "pattern": _KEY_PATTERN, "maxLength": KEY_CHARS_MAX + 2},
            ),
            *(
                _header(name, "Reaches the handler as it is.", {"type": "string", "maxLength": 512})
                for name in ("traceparent", "tracestate", "baggage")
            ),
        ],
        "requestBody": {
            "description": f"The payload, as it is, up to {payload_bytes_max} bytes.",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        },
        "responses": {
            "200": {
                "description": "The reply's payload, as it is.",
                "headers": {
                    "Braid-Request-Id": _told("Names the request on the wire.", {"type": "string"}),
                    "Braid-Worker": _told("The member that has answered.", {"type": "string"}),
                    "Braid-Broker": _told("The broker that the reply came through.", {"type": "string"}),
                    "Braid-Retry-Count": _told(
                        "Attempts before that may have been run.", {"type": "integer", "minimum": 0}
                    ),
                    "Braid-Possible-Duplicate": _told(
                        "`?1` if it may have been run more than once.", {"const": "?1"}, required=False
                    ),
                    "Idempotency-Replayed": _told(
                        "`?1` if an earlier request was answered with this.", {"const": "?1"}, required=False
                    ),
                },
                "content": {"*/*": {}},
            },
            **_problems((*_OF_CALLS, *_ANYWHERE), set(STATUS_OF_CODE.values())),
        },
    }


def _header(name: str, text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": text, "schema": schema}


def _told(text: str, schema: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    return {"description": text, "required": required, "schema": schema}


def _text_of(operation: str, summary: str, more: tuple[Problem, ...]) -> dict[str, Any]:
    return {
        "operationId": operation,
        "summary": summary,
        "responses": {
            "200": {"description": "Yes.", "content": {"text/plain": {"schema": {"type": "string"}}}},
            **_problems((problems.BAD_REQUEST, problems.METHOD_NOT_ALLOWED, *more, *_ANYWHERE)),
        },
    }


def _own_description() -> dict[str, Any]:
    return {
        "operationId": "description",
        "summary": "This description",
        "responses": {
            "200": {"description": "It.", "content": {"application/json": {"schema": {"type": "object"}}}},
            **_problems((problems.BAD_REQUEST, problems.METHOD_NOT_ALLOWED, *_ANYWHERE)),
        },
    }


def _problems(kinds: tuple[Problem, ...], further: set[int] | None = None) -> dict[str, Any]:
    titles: dict[int, list[str]] = {status: [] for status in further or ()}
    for kind in kinds:
        titles.setdefault(kind.status, []).append(f"`{kind.name}`: {kind.title}.")
    for status in further or ():
        if not titles[status]:
            titles[status].append(f"`{problems.SERVICE_ERROR.name}`: {problems.SERVICE_ERROR.title}.")
    return {
        str(status): {
            "description": " ".join(titles[status]),
            "content": {PROBLEM_JSON.decode(): {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted(titles)
    }


def _problem() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "What went wrong (RFC 9457).",
        "required": ["type", "title", "status", "detail", "service", "request_id", "attempts", "maybe_executed"],
        "properties": {
            "type": {"type": "string", "pattern": "^urn:braidmq:[a-z-]+$"},
            "title": {"type": "string"},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"type": "string"},
            "service": {"type": "string", "description": "Empty if none was to be called."},
            "request_id": {"type": "string", "pattern": "^([0-9a-f]{32})?$"},
            "attempts": {"type": "integer", "minimum": 0, "description": "How often it was sent."},
            "maybe_executed": {
                "type": "boolean",
                "description": "Whether a worker may have run it. False is a promise: a repetition is safe.",
            },
            "code": {"type": "string", "description": "Of the service's own error."},
            "details": {"description": "Of the service's own error, if JSON can hold them."},
        },
    }
