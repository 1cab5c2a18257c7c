"""The metrics of real nodes, as Prometheus and OpenTelemetry have them."""

import asyncio
import re

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest

from braidmq import NodeObserver, ServiceError
from braidmq.host.loop_watch import LOOK_S, LoopWatch
from braidmq.observability.instruments import INSTRUMENTS, Kind
from braidmq.observability.opentelemetry import OpenTelemetryObserver
from braidmq.observability.prometheus import PrometheusObserver
from braidmq.testing import TestNet


def handler(request):
    if request.payload:
        raise ServiceError("NO")
    return b"yes"


async def use(worker_observer, client_observer):
    """Call a service twice, and let it fail once."""
    async with TestNet(brokers=1) as net:
        worker = net.node("worker", observer=worker_observer)
        worker.service("pricing")(handler)
        async with worker, net.node("client", observer=client_observer) as client:
            await net.served("pricing")
            await client.request("pricing")
            await client.request("pricing")
            with pytest.raises(ServiceError):
                await client.request("pricing", b"x")


async def test_prometheus_has_what_nodes_do():
    registry = CollectorRegistry()
    await use(PrometheusObserver(registry), PrometheusObserver(registry))  # two nodes, one registry

    def value(name, **labels):
        return registry.get_sample_value(name, labels)

    ok = {"rpc_system_name": "braidmq", "rpc_method": "pricing", "rpc_status_code": "OK", "error_type": ""}
    assert value("rpc_client_call_duration_seconds_count", **ok) == 2
    assert value("rpc_server_call_duration_seconds_count", **ok) == 2
    assert value("rpc_client_call_duration_seconds_count", **{**ok, "rpc_status_code": "NO", "error_type": "NO"}) == 1
    answered = {"rpc_method": "pricing", "braidmq_broker": "b1", "braidmq_outcome": "answered", "braidmq_reason": ""}
    assert value("braidmq_client_attempts_total", **answered) == 3
    assert value("braidmq_server_requests_total", rpc_method="pricing", braidmq_outcome="error") == 1
    assert value("braidmq_client_calls_in_flight", rpc_method="pricing") == 0
    assert value("braidmq_client_calls_waiting", rpc_method="pricing") == 0
    assert value("braidmq_server_requests_in_flight", rpc_method="pricing") == 0
    assert value("braidmq_server_credit", rpc_method="pricing", braidmq_broker="b1") == 0
    shown = set(re.findall(r"^# TYPE (\S+) ", generate_latest(registry).decode(), re.MULTILINE))
    assert {each.prometheus_name for each in INSTRUMENTS} <= shown


async def test_opentelemetry_has_what_nodes_do():
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    await use(OpenTelemetryObserver(provider), OpenTelemetryObserver(provider))
    [resource] = reader.get_metrics_data().resource_metrics
    [scope] = resource.scope_metrics
    assert scope.scope.name == "braidmq"
    found = {metric.name: metric for metric in scope.metrics}
    kinds = {each.name: each for each in INSTRUMENTS}
    assert found.keys() <= kinds.keys()
    for name, metric in found.items():
        assert (metric.unit, metric.description) == (kinds[name].unit, kinds[name].help)
    points = {
        tuple(sorted(point.attributes.items())): point for point in found["rpc.client.call.duration"].data.data_points
    }
    ok = {"rpc.system.name": "braidmq", "rpc.method": "pricing", "rpc.status_code": "OK"}
    point = points[tuple(sorted(ok.items()))]
    assert (point.count, point.explicit_bounds) == (2, kinds["rpc.client.call.duration"].bounds)
    assert points[tuple(sorted({**ok, "rpc.status_code": "NO", "error.type": "NO"}.items()))].count == 1
    levels = [each.name for each in INSTRUMENTS if each.kind is Kind.LEVEL and each.name in found]
    assert len(levels) == 5
    assert all(point.value == 0 for name in levels for point in found[name].data.data_points)


async def test_the_event_loop_of_a_node_with_an_observer_is_watched():
    class Lags(NodeObserver):
        def __init__(self):
            self.looked = asyncio.Event()
            self.closed = 0

        def on_lag(self, lag_s, now):
            assert lag_s >= 0.0
            self.looked.set()

        def on_closed(self, now):
            self.closed += 1

    lags = Lags()
    async with TestNet(brokers=1) as net, net.node("client", observer=lags) as client:
        await asyncio.wait_for(lags.looked.wait(), 10.0)
        assert not lags.closed
        await client.close()
        assert lags.closed == 1


async def test_without_a_handler_nobody_watches_the_event_loop_for_an_observer_that_does_not_hear_of_it(monkeypatch):
    looked = []
    monkeypatch.setattr(LoopWatch, "_look", looked.append)

    class Calls(NodeObserver):
        def on_call_end(self, id_, outcome, took_s, now):
            self.ended = True

    calls = Calls()
    async with TestNet(brokers=1) as net, net.node("client", observer=calls) as client:
        await client.request("braid.echo", b"x")
        await asyncio.sleep(2 * LOOK_S)
        assert calls.ended
    assert looked == []
