"""Traces of calls, of each of their attempts, and of handlers: the extra `otel`.

Names, kinds and attributes of the spans: `spans`. Requests carry the context in their headers as the program's
propagators have it, by default W3C Trace Context and Baggage: `traceparent`, `tracestate` and `baggage`.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from braidmq import __version__
from braidmq.errors import BraidError
from braidmq.messages import Reply, Request
from braidmq.observability.instruments import SYSTEM
from braidmq.observability.opentelemetry import load
from braidmq.observability.outcomes import OK, status_of_call, status_of_job
from braidmq.observability.spans import ATTEMPT
from braidmq.observer import AttemptEnd, HandlerEnd, JobEnd, NodeTracer

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, TracerProvider

_HARMLESS = (AttemptEnd.ANSWERED, AttemptEnd.WITHDRAWN)


class _Call:
    """The spans of one call."""

    __slots__ = ("attempt", "context", "service", "span")

    def __init__(self, service: str, span: "Span", context: "Context") -> None:
        self.service = service
        self.span = span
        self.context = context
        self.attempt: Span | None = None


class TracingObserver(NodeTracer):
    """Traces a node by the API of OpenTelemetry: give each node one of its own.

    The span of a call is a child of the span that is current where the call is made, be it on asyncio, in a thread or
    with `braidmq.blocking`; the span of a handler is current in it, and a child of the call's. Headers that the caller
    gives by itself stay as they are. A call that is given an `id` carries no context, as a worker knows a repeated
    request by its headers, too.

    Args:
        provider: None for the one that the program has set.

    Raises:
        ConfigError: opentelemetry-api is not installed.
    """

    def __init__(self, provider: "TracerProvider | None" = None) -> None:
        self._trace: ModuleType = load("trace")
        self._propagate: ModuleType = load("propagate")
        self._context: ModuleType = load("context")
        self._tracer = self._trace.get_tracer("braidmq", __version__, provider)
        self._beginning: _Call | None = None
        self._calls: dict[bytes, _Call] = {}

    # -- calls

    def call_headers(self, service: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        """See `NodeTracer`."""
        kind = self._trace.SpanKind.CLIENT
        span = self._tracer.start_span(service, kind=kind, attributes=_of(service))
        context = self._trace.set_span_in_context(span)
        self._beginning = _Call(service, span, context)
        carried: dict[str, str] = {}
        self._propagate.inject(carried, context)
        return {**carried, **headers}

    def call_refused(self, error: BaseException) -> None:
        """See `NodeTracer`."""
        call, self._beginning = self._beginning, None
        if call is not None:
            self._end(call.span, type(error).__name__)

    def on_call(self, id_: bytes, service: str, now: float) -> None:
        """See `NodeObserver`."""
        call, self._beginning = self._beginning, None
        if call is not None:
            call.span.set_attribute("braidmq.request.id", id_.hex())
            self._calls[id_] = call

    def on_attempt(self, id_: bytes, broker: str, number: int, now: float) -> None:
        """See `NodeObserver`."""
        call = self._calls.get(id_)
        if call is not None:
            attributes = {**_of(call.service), "braidmq.broker": broker, "braidmq.attempt": number}
            call.attempt = self._tracer.start_span(ATTEMPT.name, context=call.context, attributes=attributes)

    def on_attempt_end(self, id_: bytes, broker: str, how: AttemptEnd, reason: str, now: float) -> None:
        """See `NodeObserver`."""
        call = self._calls.get(id_)
        if call is None or call.attempt is None:
            return
        span, call.attempt = call.attempt, None
        span.set_attribute("braidmq.outcome", how.value)
        if reason:
            span.set_attribute("braidmq.reason", reason)
        if how not in _HARMLESS:
            self._fail(span, reason or how.value)
        span.end()

    def on_call_end(self, id_: bytes, outcome: Reply | BraidError | None, took_s: float, now: float) -> None:
        """See `NodeObserver`."""
        call = self._calls.pop(id_, None)
        if call is None:
            return
        if isinstance(outcome, Reply):
            call.span.set_attributes(
                {
                    "braidmq.broker": outcome.broker,
                    "braidmq.worker": outcome.sender,
                    "braidmq.retry_count": outcome.retry_count,
                    "braidmq.possible_duplicate": outcome.possible_duplicate,
                }
            )
        self._end(call.span, status_of_call(outcome))

    # -- handlers

    def begin_handler(self, request: Request) -> HandlerEnd:
        """See `NodeTracer`."""
        # Not in the context of this task, which is that of the node's start.
        context = self._propagate.extract(request.headers, self._context.Context())
        attributes = {
            **_of(request.service),
            "braidmq.request.id": request.id.hex(),
            "braidmq.broker": request.broker,
            "braidmq.client": request.sender,
            "braidmq.worker": request.receiver,
            "braidmq.retry_count": request.retry_count,
            "braidmq.possible_duplicate": request.possible_duplicate,
        }
        kind = self._trace.SpanKind.SERVER
        span = self._tracer.start_span(request.service, context=context, kind=kind, attributes=attributes)
        self._context.attach(self._trace.set_span_in_context(span, context))  # it goes with the context of the task

        def end(how: JobEnd, code: str) -> None:
            self._end(span, code or status_of_job(how))

        return end

    # -- the node

    def on_closed(self, now: float) -> None:
        """See `NodeObserver`."""
        for call in self._calls.values():
            if call.attempt is not None:
                call.attempt.end()
            self._end(call.span, "NodeClosed")
        self._calls.clear()

    def _end(self, span: "Span", status: str) -> None:
        span.set_attribute("rpc.status_code", status)
        if status != OK:
            self._fail(span, status)
        span.end()

    def _fail(self, span: "Span", error: str) -> None:
        span.set_attribute("error.type", error)
        span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, error))


def _of(service: str) -> dict[str, Any]:
    return {"rpc.system.name": SYSTEM, "rpc.method": service}
