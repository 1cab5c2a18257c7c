"""What a caller is told of what a handler returned or raised, and what the log is told."""

import logging
from typing import Final

from braidmq.errors import ServiceError
from braidmq.host.loggers import own_logger
from braidmq.host.repeats import Repeats, more_of
from braidmq.messages import Request
from braidmq.printable import printable
from braidmq.wire.control import decode_failure, encode_failure

_LOG = own_logger("braidmq.node")

Answer = bytes | ServiceError
"""What a caller is told."""

INTERNAL: Final = "INTERNAL"
"""The code of an error that the handler did not mean to raise."""


def of_result(result: object, request: Request, repeats: Repeats) -> Answer:
    """Return the reply to a request whose handler has returned `result`. It shares no memory with it.

    What is wrong with it is logged, but for what `repeats` only counts.
    """
    if type(result) is bytes:
        return result
    if isinstance(result, bytes | bytearray | memoryview):
        try:
            return memoryview(result).tobytes()
        except Exception as error:  # noqa: BLE001 - a view may have been released, or be of another class than it says
            return of_error(error, request, 0, repeats)
    text = f"the handler of {request.service} returned {type(result).__name__}, not bytes"
    _log_repeated(f"{text}, for {_named(request)}", None, request, type(result).__name__, repeats)
    return ServiceError(INTERNAL, text)


def of_error(error: BaseException, request: Request, bytes_max: int, repeats: Repeats) -> ServiceError:
    """Return the reply to a request whose handler has raised `error`, which may be of any class.

    A ServiceError becomes a plain one, as it travels in at most about `bytes_max`: classes derived from it may have
    fields that are computed, and fields may have been set to anything. Any other is logged, but for what `repeats` only
    counts.
    """
    try:
        if issubclass(type(error), ServiceError):  # not isinstance, which believes what `__class__` says
            failure = decode_failure(encode_failure(error, bytes_max))  # type: ignore[arg-type]  # it is one
            return ServiceError(failure.code, failure.message, failure.details)
        name = type(error).__name__
    except BaseException as unfit:  # noqa: BLE001 - the error's class is the handler's own code
        error, name = unfit, type(unfit).__name__
    _log_repeated(f"the handler of {request.service} failed for {_named(request)}", error, request, name, repeats)
    return ServiceError(INTERNAL, f"the handler failed with {name}")


def log_unanswered(error: BaseException, request: Request) -> None:
    """Tell the log, where it goes into detail, why a handler has not answered its request."""
    if _LOG.isEnabledFor(logging.DEBUG):
        _log(f"the handler of {request.service} does not answer {_named(request)}", error, logging.DEBUG)


def _named(request: Request) -> str:
    return f"request {request.id.hex()} of {request.sender}"


def _log_repeated(text: str, error: BaseException | None, request: Request, kind: str, repeats: Repeats) -> None:
    """Log what a caller can have happen as often as it likes."""
    left_out = repeats.admit((request.service, kind))
    if left_out is not None:
        _log(text + more_of(left_out), error)


def _log(text: str, error: BaseException | None, level: int = logging.ERROR) -> None:
    try:
        _LOG.log(level, "%s", text, exc_info=error)
    except BaseException as problem:  # noqa: BLE001 - an error's text, a filter or a handler of the log may raise anything
        # The process's own last resort asks none of them.
        record = logging.makeLogRecord(
            {"levelno": logging.ERROR, "msg": printable(f"{text}; to log it failed with {problem!r:.200}")}
        )
        if logging.lastResort is not None:
            logging.lastResort.handle(record)
