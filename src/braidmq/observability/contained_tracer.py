"""A tracer whose errors harm nobody: it is the user's own code, called in the middle of calls and handlers."""

import logging
from collections.abc import Mapping
from typing import Final

from braidmq.errors import ConfigError
from braidmq.host.loggers import own_logger
from braidmq.messages import Request
from braidmq.observer import HandlerEnd, JobEnd, NodeObserver, NodeTracer
from braidmq.wire.extension import encode_headers

_LOG: Final = own_logger("braidmq.node")


def tracer_of(observer: NodeObserver | None) -> "ContainedTracer | None":
    """Return what an observer is as a tracer, contained; None if it is none."""
    return ContainedTracer(observer, _LOG) if isinstance(observer, NodeTracer) else None


class ContainedTracer:
    """Calls a tracer, logs the first error of each of its methods, and goes on without it.

    Args:
        tracer: whatever it raises.
        log: where to tell of errors.
    """

    def __init__(self, tracer: NodeTracer, log: logging.Logger) -> None:
        self._tracer = tracer
        self._log = log
        self._told: set[str] = set()

    def call_headers(
        self, service: object, headers: Mapping[str, str] | None, *, fixed: bool = False
    ) -> Mapping[str, str] | None:
        """Return the headers of a call that is about to begin.

        Args:
            service: as the caller has given it.
            headers: likewise.
            fixed: the headers stay as they are, as a worker knows a repeated request by them.
        """
        if not isinstance(service, str) or not (headers is None or isinstance(headers, Mapping)):
            return headers  # the core says what is wrong with it
        try:
            carried = self._tracer.call_headers(service, {} if headers is None else headers)
            if fixed or not carried:
                return headers
            encode_headers(carried)
        except ConfigError:
            return headers
        except Exception:  # noqa: BLE001 - it is logged
            self._complain("call_headers")
            return headers
        return carried

    def call_refused(self, error: BaseException) -> None:
        """Tell of a call that has not begun."""
        try:
            self._tracer.call_refused(error)
        except Exception:  # noqa: BLE001 - it is logged
            self._complain("call_refused")

    def begin_handler(self, request: Request) -> HandlerEnd | None:
        """Tell of a handler that is about to begin; return what is told of its end, and never raises."""
        try:
            end = self._tracer.begin_handler(request)
        except Exception:  # noqa: BLE001 - it is logged
            self._complain("begin_handler")
            return None

        def told(how: JobEnd, code: str) -> None:
            try:
                end(how, code)
            except Exception:  # noqa: BLE001 - it is logged
                self._complain("begin_handler, told of the end,")

        return told

    def _complain(self, method: str) -> None:
        if method not in self._told:
            self._told.add(method)
            self._log.exception("%s of the tracer failed; further errors of it are not told", method)
