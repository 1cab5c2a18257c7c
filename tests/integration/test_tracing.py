"""What becomes of calls is one trace over all processes, also where a broker dies in the midst."""

import asyncio
import contextlib
import threading

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from braidmq import ConfigError, NodeClosed, ServiceError
from braidmq.observability.spans import SPANS
from braidmq.observability.tracing import TracingObserver
from braidmq.testing import TestNet


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider
    provider.shutdown()


def spans(exporter):
    """The spans that have ended, by what they are of; no attribute is one that the documents do not tell."""
    kinds = {SpanKind.CLIENT: "call", SpanKind.INTERNAL: "attempt", SpanKind.SERVER: "handler"}
    forms = {form.kind.value: form for form in SPANS}
    found = {"call": [], "attempt": [], "handler": [], "own": []}
    for span in exporter.get_finished_spans():
        own = span.instrumentation_scope.name != "braidmq"
        if not own:
            assert span.attributes.keys() <= forms[span.kind.name].attributes.keys()
        found["own" if own else kinds[span.kind]].append(span)
    return found


def is_child(span, parent):
    return span.parent.span_id == parent.context.span_id and span.context.trace_id == parent.context.trace_id


@contextlib.asynccontextmanager
async def net_of(provider, handler, *, brokers=1):
    async with TestNet(brokers) as net:
        worker = net.node("worker", observer=TracingObserver(provider))
        worker.service("pricing")(handler)
        async with worker, net.node("client", observer=TracingObserver(provider)) as client:
            await net.served("pricing")
            yield net, client


async def test_a_call_its_attempt_and_its_handler_are_one_trace(provider, exporter):
    async def handler(request):
        assert request.headers["traceparent"]
        return b"yes"

    async with net_of(provider, handler) as (_net, client):
        with provider.get_tracer("app").start_as_current_span("order"):
            reply = await client.request("pricing", headers={"own": "1"})
    found = spans(exporter)
    [call], [attempt], [handled], [own] = found["call"], found["attempt"], found["handler"], found["own"]
    assert is_child(call, own)
    assert is_child(attempt, call)
    assert is_child(handled, call)
    assert (call.name, attempt.name, handled.name) == ("pricing", "attempt", "pricing")
    id_ = reply.original_id.hex()
    assert call.attributes["braidmq.request.id"] == handled.attributes["braidmq.request.id"] == id_
    assert (call.attributes["braidmq.worker"], handled.attributes["braidmq.client"]) == ("worker", "client")
    assert attempt.attributes["braidmq.outcome"] == "answered"
    assert {call.attributes["rpc.status_code"], handled.attributes["rpc.status_code"]} == {"OK"}
    assert all(span.status.status_code is StatusCode.UNSET for span in (call, attempt, handled))


async def test_a_failover_reads_as_one_trace(provider, exporter):
    over: asyncio.Queue[str] = asyncio.Queue()
    gate = asyncio.Event()

    async def handler(request):
        over.put_nowait(request.broker)
        await gate.wait()
        return request.payload

    async with net_of(provider, handler, brokers=2) as (net, client):
        call = asyncio.ensure_future(client.request("pricing", b"x"))
        first = await over.get()
        net.brokers[first].kill()
        gate.set()
        reply = await call
    found = spans(exporter)
    [call] = found["call"]
    attempts = sorted(found["attempt"], key=lambda span: span.attributes["braidmq.attempt"])
    assert len(attempts) >= 2
    assert all(is_child(span, call) for span in attempts + found["handler"])
    assert attempts[0].attributes["braidmq.broker"] == first
    assert attempts[0].attributes["braidmq.outcome"] in ("disconnected", "lost", "silent")
    assert attempts[0].attributes["error.type"] == attempts[0].attributes["braidmq.outcome"]
    assert attempts[0].status.status_code is StatusCode.ERROR
    assert attempts[-1].attributes["braidmq.outcome"] == "answered"
    assert attempts[-1].attributes["braidmq.broker"] == reply.broker != first
    assert call.attributes["braidmq.broker"] == reply.broker
    assert call.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("kind", ["async", "def"])
async def test_what_a_handler_calls_is_in_its_trace_with_the_baggage(provider, exporter, kind):
    seen = []

    async def on_loop(_request):
        seen.append((trace.get_current_span().get_span_context(), baggage.get_baggage("tenant")))
        return b""

    def in_thread(_request):
        seen.append((trace.get_current_span().get_span_context(), baggage.get_baggage("tenant")))
        return b""

    async with net_of(provider, on_loop if kind == "async" else in_thread) as (_net, client):
        token = context.attach(baggage.set_baggage("tenant", "acme"))
        try:
            await client.request("pricing")
        finally:
            context.detach(token)
    [handled] = spans(exporter)["handler"]
    assert seen == [(handled.context, "acme")]


def test_a_blocking_call_is_a_child_of_the_span_of_its_thread(provider, exporter):
    with TestNet(brokers=1) as net:
        worker = net.blocking_node("worker", observer=TracingObserver(provider))
        worker.service("pricing")(lambda _request: b"")
        with worker, net.blocking_node("client", observer=TracingObserver(provider)) as client:
            net.wait_served("pricing")

            def use():
                with provider.get_tracer("app").start_as_current_span("order"):
                    client.request("pricing")

            thread = threading.Thread(target=use)
            thread.start()
            thread.join()
    found = spans(exporter)
    [call], [handled], [own] = found["call"], found["handler"], found["own"]
    assert is_child(call, own)
    assert is_child(handled, call)


async def test_what_fails_says_how(provider, exporter):
    async def handler(_request):
        raise ServiceError("OUT_OF_STOCK", "a secret")

    async with net_of(provider, handler) as (_net, client):
        with pytest.raises(ServiceError):
            await client.request("pricing")
        with pytest.raises(ConfigError):
            await client.request("pricing", timeout=-1.0)
    found = spans(exporter)
    failed, refused = found["call"]
    for span in (failed, *found["handler"]):
        assert span.attributes["error.type"] == span.attributes["rpc.status_code"] == "OUT_OF_STOCK"
        assert span.status.status_code is StatusCode.ERROR
        assert "secret" not in span.to_json()
    assert refused.attributes["error.type"] == "ConfigError"


async def test_a_request_under_an_id_of_its_own_keeps_its_headers(provider, exporter):
    runs = []

    async def handler(request):
        runs.append(dict(request.headers))
        return b"once"

    async with net_of(provider, handler) as (_net, client):
        id_ = bytes(15) + b"\1"
        await client.request("pricing", id=id_)
        await client.request("pricing", id=id_, possible_duplicate=True)
    assert runs == [{}]
    assert len(spans(exporter)["call"]) == 2


async def test_what_a_node_leaves_behind_ends(provider, exporter):
    begun = asyncio.Event()

    async def handler(_request):
        begun.set()
        await asyncio.Event().wait()

    async with net_of(provider, handler) as (_net, client):
        call = asyncio.ensure_future(client.request("pricing"))
        await begun.wait()
        client.end_now()
        with pytest.raises(NodeClosed):
            await call
        [span] = spans(exporter)["call"]
        assert span.attributes["error.type"] == "NodeClosed"
