"""The metrics that really are there, and what a query of Prometheus asks of them."""

import re

import promql_parser
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from braidmq.core.broker.refusals import Refused
from braidmq.monitor.board import Board
from braidmq.monitor.web.feed import Feed
from braidmq.monitor.web.figures import BROKER_COUNTERS, Figures
from braidmq.observability.instruments import INSTRUMENTS, Kind
from braidmq.observability.prometheus import PrometheusObserver
from braidmq.wire.control import RefusalStatus
from tests.support.looks import look, node, service, told

OF_PROMETHEUS = frozenset({"instance", "job"})
"""Labels that Prometheus gives to whatever it reads."""


def of_monitor():
    """Return the series that a monitor exports, each with its labels: what /metrics tells of a net of one broker."""
    board = Board("watcher", 0.0)
    figures = Figures(board, Feed(board))
    refusals = [RefusalStatus(kind=kind, count=1, who="x", where="", what="", ago_ms=0) for kind in Refused]
    counters = dict.fromkeys(BROKER_COUNTERS, 0)
    report = told("b1", names=("b1",), nodes=[node()], services=[service()], counters=counters, refusals=refusals)
    seen = look(report)
    figures.look(seen)
    board.take(seen, 0.0)
    content, _ = figures.read("application/openmetrics-text; version=1.0.0")
    series = {}
    for family in text_string_to_metric_families(content.decode()):
        for sample in family.samples:
            series.setdefault(sample.name, set()).update(sample.labels)
    return series


def of_nodes():
    """Return the series that a node's observer for Prometheus exports, each with its labels."""
    registry = CollectorRegistry()
    PrometheusObserver(registry)
    known = {family.name for family in registry.collect()}
    series = {}
    for each in INSTRUMENTS:
        name, labels = each.prometheus_name, set(each.prometheus_labels)
        assert name.removesuffix("_total") in known
        if each.kind is Kind.HISTOGRAM:
            series |= {f"{name}_bucket": labels | {"le"}, f"{name}_count": labels, f"{name}_sum": labels}
        else:
            series[name] = labels
    return series


SERIES = of_monitor() | of_nodes()


def selectors_of(query):
    """Return the selectors of a query: the name of the metric, and the labels that it asks for with their values."""
    found = []

    def visit(node):
        if isinstance(node, promql_parser.VectorSelector):
            found.append((node.name, [(each.name, each.value) for each in node.matchers.matchers]))
        return True

    promql_parser.walk(promql_parser.parse(plain(query)), visit)
    return found


def plain(query):
    """Return a query of a dashboard as Prometheus gets it."""
    return re.sub(r"\$(\w+)", lambda name: "5m" if name[1] == "__rate_interval" else ".*", query)


def groupings_of(query):
    """Return the labels by which a query adds up."""
    labels = set()

    def visit(node):
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            labels.update(node.modifier.labels)
        return True

    promql_parser.walk(promql_parser.parse(plain(query)), visit)
    return labels


def check_query(query):
    """Check that a query asks for metrics that are there, by labels that they have; return its metrics."""
    selectors = selectors_of(query)
    assert selectors, query
    known = set(OF_PROMETHEUS)
    for name, matchers in selectors:
        assert name in SERIES, f"there is no metric {name}"
        known |= SERIES[name]
        for label, _ in matchers:
            assert label in SERIES[name] | OF_PROMETHEUS, f"{name} has no label {label}"
    assert groupings_of(query) <= known, query
    return {name for name, _ in selectors}
