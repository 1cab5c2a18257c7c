"""Several observers of one node."""

from collections.abc import Callable, Mapping

from braidmq.host.contained_observer import contained
from braidmq.host.loggers import own_logger
from braidmq.messages import Request
from braidmq.observability.contained_tracer import ContainedTracer, tracer_of
from braidmq.observer import HandlerEnd, JobEnd, NodeObserver, NodeTracer

_LOG = own_logger("braidmq.node")


def together(*observers: NodeObserver) -> NodeObserver:
    """Return an observer that tells all of these, in order, whatever single ones raise. Tracers among them trace."""
    each = [contained(observer, NodeObserver, _LOG) for observer in observers]
    names = [name for name in vars(NodeObserver) if name.startswith("on_")]
    hooks = {name: _telling([getattr(observer, name) for observer in each]) for name in names}
    tracers = [tracer for tracer in map(tracer_of, observers) if tracer is not None]
    if not tracers:
        several: NodeObserver = type("Together", (NodeObserver,), hooks)()
        return several
    tracing: NodeTracer = type("TracingTogether", (_Tracers,), hooks)(tracers)
    return tracing


def _telling(hooks: list[Callable[..., None]]) -> Callable[..., None]:
    def tell(_self: NodeObserver, *arguments: object) -> None:
        for hook in hooks:
            hook(*arguments)

    return tell


class _Tracers(NodeTracer):
    """Several tracers: headers go from one to the next, and the context of the last is innermost."""

    def __init__(self, tracers: list[ContainedTracer]) -> None:
        self._tracers = tracers

    def call_headers(self, service: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        for tracer in self._tracers:
            headers = tracer.call_headers(service, headers) or headers
        return headers

    def call_refused(self, error: BaseException) -> None:
        for tracer in self._tracers:
            tracer.call_refused(error)

    def begin_handler(self, request: Request) -> HandlerEnd:
        begun = [tracer.begin_handler(request) for tracer in self._tracers]
        ends = [end for end in reversed(begun) if end is not None]

        def told(how: JobEnd, code: str) -> None:
            for end in ends:
                end(how, code)

        return told
