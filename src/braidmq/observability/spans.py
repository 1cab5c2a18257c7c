"""What traces have of calls, attempts and handlers: spans, their kinds and attributes, as the documents tell them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class SpanKind(StrEnum):
    """Kinds of OpenTelemetry's."""

    CLIENT = "CLIENT"
    INTERNAL = "INTERNAL"
    SERVER = "SERVER"


@dataclass(frozen=True, slots=True)
class SpanForm:
    """One kind of span.

    Attributes:
        of: what it is a span of.
        name: what it is called; SERVICE stands for the service.
        kind: what OpenTelemetry takes it for.
        parent: the span that it is a child of.
        attributes: those that it may have, each with its meaning.
    """

    of: str
    name: str
    kind: SpanKind
    parent: str
    attributes: dict[str, str]


_RPC: Final = {"rpc.system.name": "`braidmq`", "rpc.method": "the service"}
_STATUS: Final = {"error.type": "the same as its status, if it has failed"}
_OF_REQUEST: Final = {
    "braidmq.request.id": "16 bytes in hexadecimal: the same in every span of the request",
    "braidmq.broker": "the broker that it went over",
    "braidmq.retry_count": "earlier attempts that may have been run",
    "braidmq.possible_duplicate": "whether it may have been run before",
}

CALL: Final = SpanForm(
    "a call, over all its attempts",
    "SERVICE",
    SpanKind.CLIENT,
    "the application's current span",
    {
        **_RPC,
        "rpc.status_code": "`OK`, the code of a `ServiceError`, the name of another error, or `CANCELLED`",
        **_STATUS,
        **_OF_REQUEST,
        "braidmq.worker": "the node that has answered",
    },
)
ATTEMPT: Final = SpanForm(
    "one attempt of a call",
    "attempt",
    SpanKind.INTERNAL,
    "the call",
    {
        **_RPC,
        "braidmq.broker": "the broker that it went over",
        "braidmq.attempt": "its number; a retry unless it is 1",
        "braidmq.outcome": "how it has ended: a value of `AttemptEnd`",
        "braidmq.reason": "why it was rejected, if it was",
        "error.type": "reason or outcome, unless it was answered or nobody waits for it any more",
    },
)
HANDLER: Final = SpanForm(
    "a handler",
    "SERVICE",
    SpanKind.SERVER,
    "the call, in whichever process that is",
    {
        **_RPC,
        "rpc.status_code": "`OK`, the code of a `ServiceError`, `LOST`, `REFUSED` or `GIVEN_BACK`",
        **_STATUS,
        **_OF_REQUEST,
        "braidmq.client": "the node that has called",
        "braidmq.worker": "the node that runs it",
    },
)

SPANS: Final = (CALL, ATTEMPT, HANDLER)
"""All there are."""
