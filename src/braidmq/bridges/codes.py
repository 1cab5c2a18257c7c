"""What foreign programs are told of a call that failed, where their protocol has room for it."""

from typing import Final

from braidmq.errors import (
    AccessDenied,
    AttemptsExhausted,
    BraidError,
    DeadlineExceeded,
    NoBroker,
    NotRegistered,
    NoWorker,
    Overloaded,
    PayloadTooLarge,
    ServiceError,
)

_CODES: Final[dict[type[BraidError], str]] = {
    NoWorker: "NO_WORKER",
    NoBroker: "NO_BROKER",
    DeadlineExceeded: "DEADLINE",
    Overloaded: "OVERLOADED",
    AccessDenied: "DENIED",
    NotRegistered: "DENIED",
    PayloadTooLarge: "TOO_LARGE",
    AttemptsExhausted: "LOST",
}

UNAVAILABLE: Final = "UNAVAILABLE"
"""The code of all else, as of a bridge that ends."""


def code_of(error: BraidError) -> str:
    """Return the code of an error: a service's own, or one in capital letters that says why there is no answer."""
    if isinstance(error, ServiceError):
        return error.code
    return _CODES.get(type(error), UNAVAILABLE)
