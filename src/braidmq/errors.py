"""Every exception that BraidMQ raises on purpose.

BraidError
├── ConfigError (ValueError)        a file, option or argument is wrong
├── NodeClosed                      the node is not running
├── NotRun                          raised by a handler: it has done nothing, and another worker may
├── NotRegistered                   every broker refuses this node's key
├── OutcomeUnknown                  raised by a handler: nobody knows whether it was run
├── ProtocolError                   bytes that are not BRAID/1
├── WrongLoop (RuntimeError)        a node is used in a thread or an event loop that is not its own
└── RequestError                    a request ended without a result
    ├── DeadlineExceeded (TimeoutError)
    ├── NoBroker                    no broker could be reached in time
    ├── NoWorker                    no worker provides the service
    ├── Overloaded                  the service or this node is at its limit
    ├── AccessDenied                this node may not call the service
    ├── PayloadTooLarge             not run
    ├── AttemptsExhausted           every attempt was lost with a broker or worker
    └── ServiceError                the handler answered with an error
"""

from typing import Any, Final

CODE_BYTES_MAX: Final = 255
"""Longest code of a ServiceError, in UTF-8: one octet counts it."""


def is_code(code: object) -> bool:
    """Whether `code` can be the code of a ServiceError: 1 to 255 bytes of UTF-8 that can be printed, not all blank."""
    return (
        isinstance(code, str)
        and code.isprintable()
        and not code.isspace()
        and 1 <= len(code.encode()) <= CODE_BYTES_MAX
    )


class BraidError(Exception):
    """Base of every exception that BraidMQ raises on purpose."""


class ConfigError(BraidError, ValueError):
    """A file, option or argument is wrong; the message says what and how to mend it."""


class NodeClosed(BraidError):
    """The node was not started, or is closed or draining."""


class NotRegistered(BraidError):
    """Every broker that could be reached refuses this node's key; a call that ends with it was not run."""


class NotRun(BraidError):
    """Raised by a handler that has done nothing of its request, and can't: another worker is to run it.

    It is a promise. The attempt ends as if it had never begun: it goes on at another worker, if there is one, without
    `possible_duplicate`; the same worker may get it again later. Where no worker takes it, its caller gets an error
    that says so, with `maybe_executed=False` as far as it is this worker's to say. The text stays in this process's log
    (DEBUG).
    """


class OutcomeUnknown(BraidError):
    """Raised by a handler that does not know whether its request was run, e.g. as what it had passed it on to is gone.

    The attempt ends as if this worker had died with it: it is tried again as far as its caller allows, at any worker,
    perhaps at this one, with `possible_duplicate`. If no further attempt can be made, its caller gets
    AttemptsExhausted. The text stays in this process's log (DEBUG).
    """


class ProtocolError(BraidError):
    """Bytes that are not a valid BRAID/1 message."""


class WrongLoop(BraidError, RuntimeError):
    """A node is used in a thread or an event loop that is not its own; the message names the right one.

    Nothing was done, and nothing was sent.
    """


class RequestError(BraidError):
    """A request ended without a result.

    Attributes:
        request_id: the 16 bytes that name the request on the wire; empty if it was refused before it got one.
        service: the service that was called.
        attempts: how many times the request left this node.
        maybe_executed: whether a worker may have run it. False is a promise: it was not run.
    """

    def __init__(
        self,
        message: str,
        *,
        request_id: bytes = b"",
        service: str = "",
        attempts: int = 0,
        maybe_executed: bool = False,
    ) -> None:
        super().__init__(message)
        self.request_id = request_id
        self.service = service
        self.attempts = attempts
        self.maybe_executed = maybe_executed

    def __reduce__(self) -> tuple[Any, ...]:
        """Let pickle and copy take over what it holds; `__init__`, which derived classes may change, is not called."""
        return _revive, (type(self), self.args), self.__dict__


def _revive(kind: type[RequestError], args: tuple[Any, ...]) -> RequestError:
    error = kind.__new__(kind)
    error.args = args
    return error


class DeadlineExceeded(RequestError, TimeoutError):
    """No answer within the request's timeout."""


class NoBroker(RequestError):
    """No broker could be reached within the request's timeout."""


class NoWorker(RequestError):
    """Every broker that was asked says that no worker provides the service."""


class Overloaded(RequestError):
    """The service's queue, a broker's limit for this node, or this node's own limit is reached."""


class AccessDenied(RequestError):
    """This node's certificate does not allow it to call the service."""


class PayloadTooLarge(RequestError):
    """The payload is larger than this node or a broker allows; it was not run."""


class AttemptsExhausted(RequestError):
    """No attempt can be made any more, and one was lost together with its broker or worker."""


class ServiceError(RequestError):
    """The handler's own error, raised in the worker and received by the caller as it is.

    Args:
        code: a short constant for programs, e.g. ``INVALID_ARGUMENT``. ``INTERNAL`` stands for an exception
            that the handler did not mean to raise. 1 to 255 bytes of UTF-8, printable, not only blanks.
        message: one line for people.
        details: anything MessagePack can carry, for programs; lists and maps less than 64 deep. Code, message and
            details together are limited like a payload.

    Raises:
        ConfigError: the code cannot be one.
    """

    def __init__(
        self,
        code: str,
        message: str = "",
        details: Any = None,
        *,
        request_id: bytes = b"",
        service: str = "",
        attempts: int = 0,
        maybe_executed: bool = True,
    ) -> None:
        if not is_code(code):
            raise ConfigError(
                f"a ServiceError needs a code such as 'OUT_OF_STOCK', printable text of 1 to {CODE_BYTES_MAX} bytes, "
                f"not {code!r:.100}"
            )
        super().__init__(
            f"{code}: {message}" if message else code,
            request_id=request_id,
            service=service,
            attempts=attempts,
            maybe_executed=maybe_executed,
        )
        self.code = code
        self.message = message
        self.details = details
