"""The alerts of deploy/prometheus: each asks for metrics that are there, and promtool has seen it fire."""

import re

import pytest
import yaml

from braidmq.core.broker.refusals import Refused
from tests.support.deployed import DEPLOY, needs, said_by
from tests.support.promql import SERIES, check_query, selectors_of

FOLDER = DEPLOY / "prometheus"
GROUPS = yaml.safe_load((FOLDER / "rules.yaml").read_text())["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
TESTS = yaml.safe_load((FOLDER / "rules-test.yaml").read_text())["tests"]


def test_metrics_of_monitors_and_of_nodes_are_known():
    assert {"braidmq_net_well", "braidmq_broker_lost_total", "rpc_client_call_duration_seconds_bucket"} <= set(SERIES)
    assert SERIES["braidmq_broker_refused_total"] == {"broker", "kind"}


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("braidmq_net_wel == 0", "no metric braidmq_net_wel"),
        ('braidmq_broker_up{brokr="b1"}', "no label brokr"),
        ("sum by (service) (braidmq_broker_up)", "by"),
    ],
)
def test_a_query_for_what_is_not_there_is_found_out(query, wrong):
    with pytest.raises(AssertionError, match=wrong):
        check_query(query)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_metrics_that_are_there(rule):
    check_query(rule["expr"])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong_by_labels_that_it_has(rule):
    assert rule["alert"].startswith("BraidMQ")
    assert rule["labels"]["severity"] in {"warning", "critical"}
    labels = set().union(*(SERIES[name] for name, _ in selectors_of(rule["expr"]))) | {"instance"}
    for text in rule["annotations"].values():
        assert text.endswith(".")
        assert set(re.findall(r"\$labels\.(\w+)", text)) <= labels


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_kinds_that_an_alert_asks_for_are_there(rule):
    for name, matchers in selectors_of(rule["expr"]):
        if name == "braidmq_broker_refused_total":
            assert {value for label, value in matchers if label == "kind"} <= set(Refused)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_has_been_tried(rule):
    tried = [each for test in TESTS for each in test["alert_rule_test"] if each["alertname"] == rule["alert"]]
    assert any(each["exp_alerts"] for each in tried), "nobody has seen it fire"


def test_series_of_the_tests_are_those_of_the_metrics():
    for test in TESTS:
        for each in test["input_series"]:
            check_query(each["series"])


def test_what_to_scrape_can_be_read():
    scraped = yaml.safe_load((FOLDER / "scrape.yaml").read_text())
    assert {job["job_name"] for job in scraped["scrape_configs"]} == {"braidmq", "braidmq-programs"}


@needs("promtool")
def test_promtool_has_seen_the_alerts_fire():
    code, said = said_by("promtool", "test", "rules", "rules-test.yaml", cwd=FOLDER)
    assert (code, "SUCCESS" in said) == (0, True), said


@needs("promtool")
def test_promtool_would_see_one_that_does_not_fire(tmp_path):
    for name in ("rules.yaml", "rules-test.yaml"):
        text = (FOLDER / name).read_text()
        (tmp_path / name).write_text(text.replace("braidmq_broker_up == 0", "braidmq_broker_up == 2"))
    code, said = said_by("promtool", "test", "rules", "rules-test.yaml", cwd=tmp_path)
    assert code == 1
    assert "BraidMQBrokerDown" in said
