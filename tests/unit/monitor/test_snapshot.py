import json

import pytest

from braidmq.monitor.board import Board
from braidmq.monitor.net import View
from braidmq.monitor.snapshot import NODES_MAX, SERVICES_MAX, Sums, encode, level, snapshot
from braidmq.monitor.standing import Standing
from braidmq.wire.control import BridgeStatus, NodeStatus, RefusalStatus, Report
from tests.support.looks import info, look, mute, node, service, told

NOW = 1_800_000_000.0


def shown(seen, before=(), standing=None, **more):
    return snapshot("watcher", Sums(seen, before), standing or Standing(), NOW, **more)


def test_a_net_that_is_well():
    views = [
        told("b1", names=("b1", "b2"), nodes=[node(in_flight=2)], services=[service(queued=1)], queued=1, in_flight=2),
        told("b2", names=("b1", "b2"), nodes=[node()], services=[service(outstanding=2)]),
    ]
    told_ = shown(look(*views), callable_={"echo"})
    assert (told_["at"], told_["node"], told_["level"], told_["agree"]) == (NOW, "watcher", "well", True)
    assert told_["health"].startswith("all is well: 2 brokers (b1, b2), 1 node, 1 service")
    b1, b2 = told_["brokers"]
    assert b1 == {
        "name": "b1",
        "endpoints": ["tcp://b1:1"],
        "link": "up",
        "told": True,
        "problem": None,
        "state": "up",
        "uptime_s": 100.0,
        "software": "braidmq 9",
        "nodes": 1,
        "services": 1,
        "sees": {"b1": {"state": "alive", "link": ""}, "b2": {"state": "alive", "link": "up"}},
        "requests_per_s": None,
        "replies_per_s": None,
        "rejects_per_s": None,
        "queued": 1,
        "outstanding": 2,
    }
    assert (b2["queued"], b2["outstanding"]) == (0, 0)
    (echo,) = told_["services"]
    assert {name: echo[name] for name in ("name", "workers", "credit", "outstanding", "queued", "callable")} == {
        "name": "echo", "workers": 1, "credit": 16, "outstanding": 2, "queued": 1, "callable": True,
    }  # fmt: skip
    assert echo["by_broker"]["b2"] == {"workers": 1, "credit": 8, "outstanding": 2, "queued": 0}
    assert told_["nodes"] == [
        {
            "name": "w1",
            "state": "open",
            "brokers": ["b1", "b2"],
            "serves": ["echo"],
            "in_flight": 2,
            "silent_ms": 10,
            "bridge": None,
        }
    ]
    assert (told_["findings"], told_["refusals"]) == ([], [])
    assert (told_["nodes_total"], told_["services_total"]) == (1, 1)


def test_a_broker_that_tells_nothing_says_why_and_is_a_finding_since_it_is_so():
    standing, seen = Standing(), look(told("b1", names=("b1", "b2")), mute("b2"), at_s=50.0)
    standing.look(seen.findings, 40.0)
    told_ = shown(seen, standing=standing)
    b2 = told_["brokers"][1]
    assert (b2["told"], b2["problem"], b2["state"], b2["nodes"], b2["sees"]) == (
        False, "nothing answers there", None, None, {},
    )  # fmt: skip
    assert (told_["level"], told_["agree"]) == ("degraded", True)
    (finding, *_) = told_["findings"]
    assert (finding["kind"], finding["wrong"], finding["who"], finding["names"]) == (
        "broker-unreached", True, ["b2"], ["b2"],
    )  # fmt: skip
    assert finding["since"] == NOW - 10.0
    assert finding["sentence"].startswith("b2 is not reached from here: nothing answers there")
    assert finding["remedy"] in finding["sentence"]


@pytest.mark.parametrize(
    ("views", "said"),
    [
        ([mute("b1")], "no broker tells its state: no broker could be reached: b1 at tcp://b1:1: nothing answers"),
        ([], "no broker tells its state: the join file of watcher names no broker"),
        ([View(info("b1"), Report(broker="b1", denied=True))], "no broker tells its state: watcher may not observe"),
    ],
)
def test_where_no_broker_tells_anything_it_says_why(views, said):
    told_ = shown(look(*views))
    assert told_["level"] == "unreachable"
    assert told_["health"].startswith(said)


def test_notes_are_nothing_wrong():
    assert level(look(told("b1", names=("b1",), state="draining"))) == "well"


def test_rates_are_those_between_two_looks():
    before = [told("b1", counters={"requests": 10, "replies": 10, "rejected": 0})]
    now = told("b1", uptime_s=102.0, counters={"requests": 25, "replies": 20, "rejected": 1})
    b1 = shown(look(now), before)["brokers"][0]
    assert (b1["requests_per_s"], b1["replies_per_s"], b1["rejects_per_s"]) == (7.5, 5.0, 0.5)


def test_refusals_have_their_broker():
    row = RefusalStatus("call", 3, "mallory", "", "pricing", 40)
    assert shown(look(told("b1", refusals=[row])))["refusals"] == [
        {"broker": "b1", "kind": "call", "count": 3, "who": "mallory", "where": "", "what": "pricing", "ago_ms": 40}
    ]


def test_what_is_named_is_bounded_and_counted():
    nodes = [node(f"n{number:05}") for number in range(NODES_MAX + 1)]
    services = [service(f"s{number:05}") for number in range(SERVICES_MAX + 1)]
    told_ = shown(look(told("b1", nodes=nodes, services=services)))
    assert (len(told_["nodes"]), told_["nodes_total"]) == (NODES_MAX, NODES_MAX + 1)
    assert (len(told_["services"]), told_["services_total"]) == (SERVICES_MAX, SERVICES_MAX + 1)


def test_what_peers_say_is_printable_wherever_it_stands():
    evil = "\x1b]0;x\x07\u202e"
    view = told("b1", nodes=[node(evil)], services=[service(evil)], refusals=[RefusalStatus("call", 1, evil)])
    told_ = json.loads(encode(shown(look(view, mute(evil, evil)))))

    def texts(value):
        if isinstance(value, dict):
            for name, each in value.items():
                yield name
                yield from texts(each)
        elif isinstance(value, list):
            for each in value:
                yield from texts(each)
        elif isinstance(value, str):
            yield value

    assert all(text.isprintable() for text in texts(told_))
    assert "\\x1b]0;x\\x07\\u202e" in [each["name"] for each in told_["nodes"]]


def test_what_is_printable_is_left_alone():
    value = {"a": ["tcp://[::1]:1", 1.5, None, True], "b": {"ü": "„x“"}}
    assert json.loads(encode(value)) == value


def test_the_board_notes_history_of_all_and_what_has_happened():
    board = Board("watcher", NOW)
    assert (board.level, board.past("net", "hour")) == ("unreachable", None)
    first = board.journal.last_id
    for second in range(3):
        counters = {"requests": 10 * second, "replies": 10 * second, "rejected": 0}
        view = told("b1", names=("b1",), uptime_s=100.0 + second, services=[service(queued=second)], counters=counters)
        board.take(look(view, at_s=500.0 + second), NOW + second)
    assert (board.level, board.looks) == ("well", 3)

    def past_of(subject, span="hour"):
        found = board.past(subject, span)
        assert found is not None
        return found

    past = past_of("net")
    assert (past["step_s"], past["first_at"]) == (1.0, NOW)
    assert past["series"]["requests_per_s"] == [None, 10.0, 10.0]
    assert past_of("broker:b1", "day")["series"]["replies_per_s"] == [10.0]
    assert past_of("service:echo")["series"]["queued"] == [0.0, 1.0, 2.0]
    board.take(look(mute("b1"), at_s=503.0), NOW + 3)
    assert board.level == "unreachable"
    assert past_of("net")["series"]["queued"][-1] is None
    assert json.loads(board.net())["at"] == NOW + 3
    assert [each.kind for each in board.journal.after(first, 10)] == ["no-broker"]


def test_a_node_that_is_a_bridge_has_what_it_tells():
    nodes = [NodeStatus("bridge-1", "open", 0, 0, bridge=BridgeStatus("http", 2))]
    (node,) = shown(look(told("b1", names=("b1",), nodes=nodes)))["nodes"]
    assert node["bridge"] == {
        "kind": "http", "peers": 2, "services": 0, "requests": 0, "errors": 0, "denied": 0, "dropped": 0,
    }  # fmt: skip
