"""The dashboard of deploy/grafana: each query asks for metrics that are there, and the panels do not overlap."""

import json
import re

import pytest

from tests.support.deployed import DEPLOY
from tests.support.promql import OF_PROMETHEUS, SERIES, check_query, groupings_of

DASHBOARD = json.loads((DEPLOY / "grafana" / "braidmq.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TARGETS = [(panel["title"], target) for panel in PANELS for target in panel["targets"]]


@pytest.mark.parametrize(("title", "target"), TARGETS, ids=[f"{title}-{each['refId']}" for title, each in TARGETS])
def test_a_query_asks_for_metrics_that_are_there(title, target):
    check_query(target["expr"])
    shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
    assert shown <= groupings_of(target["expr"]), title


def test_it_shows_metrics_of_the_net_and_of_programs():
    asked = set().union(*(check_query(target["expr"]) for _, target in TARGETS))
    prefixes = (
        "braidmq_net_",
        "braidmq_broker_",
        "braidmq_service_",
        "rpc_client_",
        "rpc_server_",
        "braidmq_event_loop_",
    )
    assert all(any(name.startswith(prefix) for name in asked) for prefix in prefixes)


def test_its_variables_are_asked_of_metrics_that_are_there_and_are_used():
    text = json.dumps(DASHBOARD["panels"])
    for variable in DASHBOARD["templating"]["list"]:
        name = variable["name"]
        assert f"${name}" in text or f"${{{name}}}" in text
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"]).groups()
            assert label in SERIES[metric]
    names = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", text)) - {"__rate_interval"}
    assert used <= names


def test_panels_lie_beside_each_other():
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_it_goes_with_any_prometheus():
    for panel in PANELS:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert OF_PROMETHEUS.isdisjoint({variable["name"] for variable in DASHBOARD["templating"]["list"]})
