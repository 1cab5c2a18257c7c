import json

import pytest

from braidmq.cli.status import View, duration, encode, judge, show, table
from braidmq.core.links import Failure
from braidmq.errors import AccessDenied, NoBroker, NotRegistered
from braidmq.node import BrokerInfo
from braidmq.wire.control import NodeStatus, PeerStatus, Report, ServiceStatus

REPORT = Report(
    broker="b1",
    software="braidmq 9",
    state="up",
    uptime_s=90.5004,
    brokers=[PeerStatus("b2", "up")],
    nodes=[NodeStatus("worker", "open", 12, 3, ["a", "b"]), NodeStatus("client", "open", 0, 0)],
    nodes_total=7,
    services=[ServiceStatus("a", 1, 64, 2, 5)],
    services_total=1,
    counters={"requests": 10, "replies": 8},
)


def info(name="b1", state="up", problem=None):
    return BrokerInfo(name, (f"tcp://{name}:1", f"tcp://{name}:2"), state, problem)


UP = View(info(), REPORT)
DOWN = View(info("b2", "waiting", str(Failure.UNREACHABLE)), None)
REFUSED = View(info("b3", "connecting", str(Failure.NOT_REGISTERED)), None)
DENIED = View(info("b4"), Report(broker="b4", denied=True))


@pytest.mark.parametrize(
    ("view", "problem"),
    [
        (UP, ""),
        (DOWN, "nothing answers there"),
        (REFUSED, "the broker refuses this key: it is not registered"),
        (DENIED, "this node may not observe it"),
        (View(info(state="connecting"), None), "no connection yet"),
        (View(info(state="waiting"), None), "no connection yet"),
        (View(info(state="up"), None), "it does not answer"),
        (View(info(state="suspect"), None), "it does not answer"),
    ],
)
def test_a_broker_that_told_nothing_has_a_reason(view, problem):
    assert (view.problem, view.told) == (problem, not problem)


@pytest.mark.parametrize("views", [[UP], [UP, DOWN], [DENIED, UP], [REFUSED, DOWN, UP]])
def test_one_broker_that_tells_is_enough(views):
    assert judge("n", views) is None


@pytest.mark.parametrize(
    ("views", "error", "said"),
    [
        ([DENIED], AccessDenied, "--observe"),
        ([DENIED, DOWN], AccessDenied, "--observe"),
        ([REFUSED], NotRegistered, "b3 at tcp://b3:1 tcp://b3:2: the broker refuses this key"),
        ([DOWN], NoBroker, "b2 at tcp://b2:1 tcp://b2:2: nothing answers there"),
        ([DOWN, REFUSED], NoBroker, "nothing answers there; b3 at "),
        ([], NoBroker, "names no broker"),
    ],
)
def test_without_one_the_reason_decides_which_error_it_is(views, error, said):
    judged = judge("n", views)
    assert type(judged) is error
    assert said in str(judged)


def test_json_holds_every_field_even_if_it_is_empty():
    up, down, denied = json.loads(encode("n", [UP, DOWN, DENIED]))["brokers"]
    assert up == {
        "name": "b1",
        "endpoints": ["tcp://b1:1", "tcp://b1:2"],
        "link": "up",
        "problem": None,
        "report": {
            "software": "braidmq 9",
            "state": "up",
            "uptime_s": 90.5,
            "brokers": [{"name": "b2", "state": "up"}],
            "nodes": [
                {"name": "worker", "state": "open", "silent_ms": 12, "in_flight": 3, "serves": ["a", "b"]},
                {"name": "client", "state": "open", "silent_ms": 0, "in_flight": 0, "serves": []},
            ],
            "nodes_total": 7,
            "services": [{"name": "a", "workers": 1, "credit": 64, "outstanding": 2, "queued": 5}],
            "services_total": 1,
            "counters": {"requests": 10, "replies": 8},
        },
    }
    assert (down["link"], down["problem"], down["report"]) == ("waiting", "nothing answers there", None)
    assert (denied["problem"], denied["report"]) == ("this node may not observe it", None)


def test_a_broker_is_shown_in_tables():
    assert show(UP).split("\n") == [
        "b1 at tcp://b1:1 tcp://b1:2: up, for 1 min 30 s, braidmq 9",
        "  BROKER  STATE",
        "  b2      up",
        "  NODE    STATE  IN FLIGHT  SILENT  SERVES",
        "  worker  open   3          12 ms   a, b",
        "  client  open   0          0 ms    -",
        "  ... and 5 more",
        "  SERVICE  WORKERS  CREDIT  OUTSTANDING  QUEUED",
        "  a        1        64      2            5",
        "  requests 10  replies 8",
    ]


def test_a_broker_that_told_nothing_is_one_line():
    assert show(DOWN) == "b2 at tcp://b2:1 tcp://b2:2: nothing answers there"


def test_what_a_broker_tells_does_not_reach_the_terminal_raw():
    shown = show(View(info(), Report(state="\x1b[2Jup", services=[ServiceStatus("a\r\nb", 1, 1, 0, 0)])))
    assert "\x1b" not in shown
    assert "\\x1b[2Jup" in shown
    assert "a\\r\\nb" in shown


def test_a_table_without_rows_is_not_shown():
    assert table(("A", "B"), []) == []


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.9, "0 s"),
        (59.99, "59 s"),
        (60, "1 min 0 s"),
        (3_599, "59 min 59 s"),
        (3_600, "1 h 0 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1 d 0 h"),
        (1_000_000, "11 d 13 h"),
    ],
)
def test_a_time_is_shown_in_its_two_largest_units(seconds, shown):
    assert duration(seconds) == shown
