import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from braidmq.bridges.kinds import HOMES
from braidmq.core.histogram import Histogram
from braidmq.monitor.board import Board
from braidmq.monitor.finding import Kind
from braidmq.monitor.web import figures
from braidmq.monitor.web.feed import Feed
from braidmq.monitor.web.figures import BROKER_COUNTERS, FIGURES, Figures
from braidmq.wire.control import BridgeStatus, LagStatus, NodeStatus, RefusalStatus, ServiceStatus
from braidmq.wire.registry_status import EndStatus, RegistryStatus
from tests.support.looks import look, mute, node, service, told
from tests.support.rigs.broker_rig import Rig

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
EVIL = 'x"} 1\n# HELP evil \x1b[2J'


def _bound_last(label):
    return label[0] == "le", label


def read(*views):
    """Return the metrics of a look by name, and the values of each by labels."""
    board = Board("watcher", 0.0)
    made = Figures(board, Feed(board))
    seen = look(*views)
    made.look(seen)
    board.take(seen, 0.0)
    content, kind = made.read(OPENMETRICS)
    assert kind.startswith("application/openmetrics-text")
    families = {family.name: family for family in parse_openmetrics(content.decode())}
    values = {
        (sample.name, *(value for _, value in sorted(sample.labels.items(), key=_bound_last))): sample.value
        for family in families.values()
        for sample in family.samples
    }
    return families, values


def counters(**more):
    return dict.fromkeys(BROKER_COUNTERS, 0) | more


BRIDGE = BridgeStatus("majordomo", 3, 1, 20, 2, 1, 4)


def test_every_figure_is_there_with_its_help_and_unit():
    nodes = [node(), NodeStatus("bridge-1", "open", 0, 0, bridge=BRIDGE)]
    families, _ = read(
        told("b1", names=("b1",), nodes=nodes, services=[service()], counters=counters(), lag=LagStatus())
    )
    assert set(families) == {each.name for each in FIGURES}
    for figure in FIGURES:
        family = families[figure.name]
        assert family.documentation == figure.help
        assert figure.help.endswith(".")
        assert family.type == figure.kind
        assert all(set(figure.labels) <= set(sample.labels) for sample in family.samples)
        assert figure.name.startswith("braidmq_")
        assert figure.name.endswith("_seconds") == (figure.unit == "seconds")


def test_brokers_have_their_levels_and_counters():
    registry = RegistryStatus(9, digest="", ends=[EndStatus("w1", 60)], ends_total=3)
    refusals = [RefusalStatus("call", 4, "mallory"), RefusalStatus("made-up", 9)]
    view = told(
        "b1",
        queued=3,
        in_flight=5,
        counters=counters(requests=7, gossip_health=2),
        refusals=refusals,
        registry=registry,
    )
    _, values = read(view, mute("b2"))
    assert [values["braidmq_broker_up", name] for name in ("b1", "b2")] == [1, 0]
    assert values["braidmq_broker_requests_total", "b1"] == 7
    assert values["braidmq_broker_queued_requests", "b1"] == 3
    assert values["braidmq_broker_outstanding_requests", "b1"] == 5
    assert values["braidmq_broker_registry_version", "b1"] == 9
    assert values["braidmq_broker_gossip_health", "b1"] == 2
    assert values["braidmq_broker_uptime_seconds", "b1"] == 100
    assert values["braidmq_broker_info", "b1", "braidmq 9", "up"] == 1
    assert values["braidmq_broker_refused_total", "b1", "call"] == 4
    assert ("braidmq_broker_refused_total", "b1", "made-up") not in values
    assert ("braidmq_broker_requests_total", "b2") not in values
    assert values["braidmq_net_certificates_ending",] == 3


def test_services_have_their_sums():
    parts = [service(queued=2, outstanding=3, credit=4, workers=1)]
    _, values = read(told("b1", services=parts), told("b2", services=parts))
    assert {name: values[f"braidmq_service_{name}", "echo"] for name in (
        "workers", "credit_requests", "outstanding_requests", "queued_requests",
    )} == {"workers": 1, "credit_requests": 8, "outstanding_requests": 6, "queued_requests": 4}  # fmt: skip


def test_replies_and_their_times_are_told_for_each_broker():
    took = Histogram()
    for seconds in (0.0001, 0.02, 0.02, 60.0):
        took.add(seconds)
    row = ServiceStatus("echo", 1, 8, 0, 0, 4, took.encoded())
    _, values = read(told("b1", services=[row]), told("b2", services=[service()]))
    assert [values["braidmq_service_replies_total", name, "echo"] for name in ("b1", "b2")] == [4, 0]
    bounds = ("0.0005", "0.01", "0.025", "10.0", "+Inf")
    assert [values["braidmq_service_duration_seconds_bucket", "b1", "echo", each] for each in bounds] == [1, 1, 3, 3, 4]
    assert values["braidmq_service_duration_seconds_bucket", "b2", "echo", "+Inf"] == 0


def test_requests_and_rejects_of_services_are_told_for_each_broker_that_counts_them():
    row = ServiceStatus("echo", 1, 8, 0, 0, 4, [], 9, 2)
    _, values = read(told("b1", services=[row]), told("b2", services=[service()]))
    assert values["braidmq_service_requests_total", "b1", "echo"] == 9
    assert values["braidmq_service_rejected_total", "b1", "echo"] == 2
    assert ("braidmq_service_requests_total", "b2", "echo") not in values
    assert ("braidmq_service_rejected_total", "b2", "echo") not in values


def test_how_late_a_brokers_loop_is():
    late = Histogram()
    late.add(0.2)
    _, values = read(told("b1", lag=LagStatus(late.encoded(), 3, 1, 200)))
    assert values["braidmq_broker_stalls_total", "b1"] == 3
    assert [values["braidmq_broker_lag_seconds_bucket", "b1", each] for each in ("0.1", "0.25")] == [0, 1]


def test_a_bridge_of_a_kind_that_nobody_knows_makes_no_series_of_its_own():
    assert set(HOMES) == figures.BRIDGE_KINDS
    kinds = ["malamute", "made-up-1", "made-up-2"]
    nodes = [NodeStatus(f"bridge-{kind}", "open", 0, 0, bridge=BridgeStatus(kind, 3)) for kind in kinds]
    _, values = read(told("b1", names=("b1",), nodes=nodes))
    assert {key[1:]: value for key, value in values.items() if key[0] == "braidmq_net_bridge_peers"} == {
        ("bridge-malamute", "malamute"): 3, ("bridge-made-up-1", "other"): 3, ("bridge-made-up-2", "other"): 3,
    }  # fmt: skip


def test_bridges_have_what_they_tell_and_only_so_many_of_them(monkeypatch):
    monkeypatch.setattr(figures, "BRIDGES_MAX", 2)
    nodes = [NodeStatus(f"bridge-{number}", "open", 0, 0, bridge=BRIDGE) for number in range(3)]
    _, values = read(told("b1", nodes=nodes))
    assert {key[0]: value for key, value in values.items() if key[1:] == ("bridge-1", "majordomo")} == {
        "braidmq_net_bridge_peers": 3, "braidmq_net_bridge_services": 1, "braidmq_net_bridge_requests_total": 20,
        "braidmq_net_bridge_errors_total": 2, "braidmq_net_bridge_denied_total": 1,
        "braidmq_net_bridge_dropped_total": 4,
    }  # fmt: skip
    assert ("braidmq_net_bridge_peers", "bridge-2", "majordomo") not in values


def test_each_kind_of_finding_has_a_value():
    _, values = read(told("b1", names=("b1",)))
    assert values["braidmq_net_well",] == 1
    found = {key[1]: value for key, value in values.items() if key[0] == "braidmq_net_findings"}
    assert found == dict.fromkeys(list(Kind), 0)
    _, values = read(told("b1", names=("b1", "b2")), mute("b2"))
    assert values["braidmq_net_findings", "broker-unreached", "true"] == 1
    assert values["braidmq_net_well",] == 0


def test_a_net_that_nobody_tells_of_is_not_well():
    _, values = read(mute("b1"))
    assert (values["braidmq_net_well",], values["braidmq_net_brokers",]) == (0, 1)


def test_looks_are_counted_and_timed():
    _, values = read(told("b1", names=("b1",)))
    assert values["braidmq_monitor_looks_total",] == 1
    assert values["braidmq_monitor_look_duration_seconds_count",] == 1
    assert values["braidmq_monitor_look_duration_seconds_bucket", "0.01"] == 1
    assert values["braidmq_monitor_look_duration_seconds_bucket", "0.005"] == 0


def test_there_are_metrics_before_the_first_look():
    board = Board("watcher", 0.0)
    content, _ = Figures(board, Feed(board)).read("")
    assert "braidmq_monitor_looks" in {family.name for family in parse_text(content.decode())}


def test_labels_are_bounded_whatever_brokers_say(monkeypatch):
    monkeypatch.setattr(figures, "BROKERS_MAX", 2)
    monkeypatch.setattr(figures, "SERVICES_MAX", 3)
    monkeypatch.setattr(figures, "PARTS_MAX", 7)
    services = [service(f"s{number}") for number in range(5)]
    made_up = {f"made_up_{at}": 1 for at in range(1_000)}
    _, values = read(*(told(f"b{number}", services=services, counters=made_up) for number in range(4)))
    names = [key[0] for key in values]
    assert (names.count("braidmq_broker_up"), names.count("braidmq_service_workers")) == (2, 3)
    assert names.count("braidmq_service_replies_total") == 7
    assert (values["braidmq_net_brokers",], values["braidmq_net_services",]) == (4, 5)
    assert not any("made_up" in name for name in names)


def test_what_peers_say_is_no_line_of_its_own():
    _, values = read(told("b1", services=[service(EVIL)], software=EVIL))
    escaped = EVIL.replace("\n", "\\n").replace("\x1b", "\\x1b")
    assert values["braidmq_service_workers", escaped] == 1
    assert values["braidmq_broker_info", "b1", escaped, "up"] == 1


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain", "application/openmetrics-text;version=9", "\xff;;;q=x"])
def test_who_accepts_nothing_known_gets_text(accept):
    board = Board("watcher", 0.0)
    _, kind = Figures(board, Feed(board)).read(accept)
    assert kind.startswith(("text/plain", "application/openmetrics-text"))


def test_all_that_a_broker_counts_has_a_metric():
    rig = Rig()
    told_ = {name for name in rig.core.counters if not name.startswith(("gossip_", "refused_"))}
    assert told_ - {"twins"} == set(BROKER_COUNTERS)
