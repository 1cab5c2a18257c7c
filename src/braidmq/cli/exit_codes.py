"""How the outcome of a command becomes its exit code. Scripts rely on the numbers: docs name them."""

from enum import IntEnum
from typing import Final

from braidmq.errors import (
    AccessDenied,
    AttemptsExhausted,
    BraidError,
    ConfigError,
    DeadlineExceeded,
    NoBroker,
    NotRegistered,
    NoWorker,
    ServiceError,
)


class ExitCode(IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    SERVICE_ERROR = 3
    DEADLINE = 4
    UNAVAILABLE = 5
    DENIED = 6
    LOST = 7
    """The request was lost with its worker or broker: it may have been run."""
    INTERRUPTED = 130
    """As a shell reports a command that SIGINT ended: 128 + 2."""


_CODES: Final[dict[type[Exception], ExitCode]] = {
    ConfigError: ExitCode.USAGE,
    ServiceError: ExitCode.SERVICE_ERROR,
    DeadlineExceeded: ExitCode.DEADLINE,
    NoBroker: ExitCode.UNAVAILABLE,
    NoWorker: ExitCode.UNAVAILABLE,
    AttemptsExhausted: ExitCode.LOST,
    NotRegistered: ExitCode.DENIED,
    AccessDenied: ExitCode.DENIED,
    BraidError: ExitCode.FAILURE,
    OSError: ExitCode.FAILURE,
}
"""The entry of the nearest class in an exception's MRO counts."""

EXPECTED: Final = (BraidError, OSError)
"""Exceptions that are told in one line; any other is a bug and shows its traceback."""


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code for a command that `error` ended."""
    return next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), ExitCode.FAILURE)
