import json
import re

import pytest

from braidmq.cli.narrowing import Narrowing
from braidmq.cli.status import encode
from braidmq.cli.status_text import CREDIT_NOTE, fit, show, table
from braidmq.core.links.link import Failure
from braidmq.errors import AccessDenied, NoBroker, NotRegistered
from braidmq.monitor.diagnoses import diagnose
from braidmq.monitor.finding import duration, listed
from braidmq.monitor.looking import Look, judge
from braidmq.monitor.net import View, agree, complete, disagreements, nodes, services
from braidmq.node import BrokerInfo
from braidmq.wire.control import BridgeStatus, NodeStatus, PeerStatus, Report, ServiceStatus
from tests.support.three_brokers import looks

REPORT = Report(
    broker="b1",
    software="braidmq 9",
    state="up",
    uptime_s=90.5004,
    brokers=[
        PeerStatus("b1", "alive", nodes=2, in_flight=2, queued=5, services=1),
        PeerStatus("b2", "dead", "waiting", since_ms=12_000),
    ],
    nodes=[NodeStatus("worker", "open", 12, 3, ["a", "b"]), NodeStatus("client", "open", 0, 0)],
    nodes_total=7,
    services=[ServiceStatus("a", 1, 64, 2, 5)],
    services_total=1,
    counters={"requests": 10, "replies": 8},
)


def info(name="b1", state="up", problem=None):
    return BrokerInfo(name, (f"tcp://{name}:1", f"tcp://{name}:2"), state, problem)


def look(*views):
    return Look(list(views), diagnose(views))


UP = View(info(), REPORT)
DOWN = View(info("b2", "waiting", str(Failure.UNREACHABLE)), None)
REFUSED = View(info("b3", "connecting", str(Failure.NOT_REGISTERED)), None)
REVOKED = View(info("b5", "waiting", str(Failure.REVOKED)), None)
STRANGE = View(info("b6", "waiting", str(Failure.OTHER_NET)), None)
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
        ([REVOKED], NotRegistered, "it was revoked"),
        ([STRANGE, REVOKED], NotRegistered, "it was revoked"),
        ([STRANGE], NoBroker, "a broker of another net"),
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


UNASKED = {"bridge": None, "out_by": "", "out_ms": 0, "requests": 0, "request_bytes": 0, "rejected": {}}
"""What is told besides of a node that has asked for nothing."""


def test_json_holds_every_field_even_if_it_is_empty():
    told = json.loads(encode("n", look(UP, DOWN, DENIED)))
    assert (told["node"], told["agree"], told["disagreements"]) == ("n", True, [])
    up, down, denied = told["brokers"]
    assert up == {
        "name": "b1",
        "endpoints": ["tcp://b1:1", "tcp://b1:2"],
        "link": "up",
        "problem": None,
        "report": {
            "software": "braidmq 9",
            "state": "up",
            "uptime_s": 90.5,
            "brokers": [
                {
                    "name": "b1",
                    "state": "alive",
                    "link": "",
                    "problem": "",
                    "incarnation": 0,
                    "since_ms": 0,
                    "nodes": 2,
                    "in_flight": 2,
                    "queued": 5,
                    "services": 1,
                    "registry": 0,
                    "left": False,
                    "rtt_ms": 0,
                    "operations": [],
                    "silent_ms": 0,
                },
                {
                    "name": "b2",
                    "state": "dead",
                    "link": "waiting",
                    "problem": "",
                    "incarnation": 0,
                    "since_ms": 12000,
                    "nodes": 0,
                    "in_flight": 0,
                    "queued": 0,
                    "services": 0,
                    "registry": 0,
                    "left": False,
                    "rtt_ms": 0,
                    "operations": [],
                    "silent_ms": 0,
                },
            ],
            "nodes": [
                {
                    "name": "worker",
                    "state": "open",
                    "silent_ms": 12,
                    "in_flight": 3,
                    "serves": ["a", "b"],
                    **UNASKED,
                },
                {"name": "client", "state": "open", "silent_ms": 0, "in_flight": 0, "serves": [], **UNASKED},
            ],
            "nodes_total": 7,
            "services": [
                {
                    "name": "a",
                    "workers": 1,
                    "credit": 64,
                    "outstanding": 2,
                    "queued": 5,
                    "replies": 0,
                    "took": [],
                    "requests": None,
                    "rejected": 0,
                }
            ],
            "services_total": 1,
            "counters": {"requests": 10, "replies": 8},
            "refusals": [],
            "losses": [],
            "lag": None,
            "registry": None,
        },
    }
    assert (down["link"], down["problem"], down["report"]) == ("waiting", "nothing answers there", None)
    assert (denied["problem"], denied["report"]) == ("this node may not observe it", None)


DEAD = (
    "b2 is dead for 12 s: nothing answers there (tcp://b2:1 tcp://b2:2); b1 goes on without it. Start it again: "
    "`braidmq broker --join b2.braid`; its log says why it has ended."
)


def test_a_net_is_shown_on_one_screen():
    assert show(look(UP, DOWN)).split("\n") == [
        "something is wrong: b2 is dead for 12 s",
        f"  ! {DEAD}",
        "",
        "BROKER  TO b1  NODES  IN FLIGHT  QUEUED  SERVICES  REGISTRY  UP FOR",
        "b1      alive  2      2          5       1         -         1 min 30 s",
        "b2      dead   -      -          -       -         -         -",
        "",
        "SERVICE  BROKER  WORKERS  CREDIT  OUTSTANDING  QUEUED",
        "a        b1      1        64      2            5",
        CREDIT_NOTE,
        "",
        "NODE    STATE  BROKERS  IN FLIGHT  SILENT  SERVES",
        "client  open   b1       0          0 ms    -",
        "worker  open   b1       3          12 ms   a, b",
        "... and 5 more",
        "",
        "b1 at tcp://b1:1 tcp://b1:2: up, for 1 min 30 s, braidmq 9",
        "  requests 10  replies 8",
    ]


def test_bridges_have_a_table_of_their_own_with_their_newest_word():
    old, new = (BridgeStatus("majordomo", peers, 1, peers * 10, 2, 1, 4) for peers in (2, 3))
    views = [
        View(info(name), Report(broker=name, nodes=[NodeStatus("bridge-1", "open", 0, 0, ["mdp.echo"], told)]))
        for name, told in (("b1", old), ("b2", new))
    ]
    lines = show(look(*views)).split("\n")
    at = lines.index("BRIDGE    TO         PEERS  SERVICES  REQUESTS  ERRORS  DENIED  DROPPED")
    assert lines[at + 1] == "bridge-1  majordomo  3      1         30        2       1       4"
    (node,) = json.loads(encode("n", look(*views)))["brokers"][1]["report"]["nodes"]
    assert node["bridge"] == {
        "kind": "majordomo", "peers": 3, "services": 1, "requests": 30, "errors": 2, "denied": 1, "dropped": 4,
    }  # fmt: skip


def test_a_net_that_tells_nothing_is_shown_with_the_reasons():
    assert show(look(DOWN)) == "no broker tells its state\n  b2 at tcp://b2:1 tcp://b2:2: nothing answers there"


def test_what_a_broker_tells_does_not_reach_the_terminal_raw():
    report = Report(
        state="\x1b[2Jup",
        software="\x07",
        brokers=[PeerStatus("b1", "\x1b[Halive"), PeerStatus("b\x1b2", "alive", "\x1b", "\x1b")],
        nodes=[NodeStatus("\x1b", "\x1b", 0, 0, ["\x1b"])],
        services=[ServiceStatus("a\r\nb", 1, 1, 0, 0)],
        counters={"\x1b": 1},
    )
    shown = show(look(*complete([View(info(), report)])))
    assert shown.replace("\n", "").isprintable()
    assert "\\x1b[2Jup" in shown
    assert "a\\r\\nb" in shown


def saw(name, **states):
    """A broker that told how it sees the brokers; "alive/waiting" is a state with a link that is not up."""
    rows = [
        PeerStatus(other, state.partition("/")[0], "" if other == name else state.partition("/")[2] or "up")
        for other, state in states.items()
    ]
    return View(info(name), Report(broker=name, state="up", brokers=rows))


ALL_ALIVE = [saw(name, b1="alive", b2="alive", b3="alive") for name in ("b1", "b2", "b3")]
SILENT = View(info("b3", "waiting", str(Failure.UNREACHABLE)), None)


@pytest.mark.parametrize(
    ("views", "said"),
    [
        (ALL_ALIVE, []),
        ([saw("b1", b1="alive", b2="suspect"), saw("b2", b1="alive", b2="suspect")], []),
        ([saw("b1", b1="alive", b2="alive/waiting"), saw("b2", b1="alive", b2="alive")], []),
        ([saw("b1", b1="alive", b2="alive", b3="dead"), saw("b2", b1="alive", b2="alive"), SILENT], []),
        ([saw("b1", b1="alive", b3="dead"), saw("b2", b1="alive", b3="unknown")], []),
        ([saw("b1", b1="alive", b3="alive"), SILENT], []),
        (
            [saw("b1", b1="alive", b2="alive", b3="dead"), *ALL_ALIVE[1:]],
            ["b3 is dead to b1, alive to b2, b3"],
        ),
        ([saw("b1", b1="alive"), saw("b2", b1="alive", b2="alive")], ["b2 is unknown to b1, alive to b2"]),
        (
            [saw("b1", b1="alive", b2="suspect"), saw("b2", b1="suspect", b2="leaving")],
            ["b1 is suspect to b2, alive to b1", "b2 is suspect to b1, leaving to b2"],
        ),
        ([DOWN, DENIED], []),
    ],
)
def test_brokers_agree_if_they_name_the_same_ones_in_the_same_states(views, said):
    assert disagreements(views) == said
    assert agree(views) == (any(view.told for view in views) and not said)


def test_a_broker_that_only_others_know_is_one_of_the_net():
    views = complete([saw("b2", b1="alive", b2="alive"), DENIED])
    assert [(view.info.name, view.told) for view in views] == [("b1", False), ("b2", True), ("b4", False)]
    assert [broker["link"] for broker in json.loads(encode("n", look(*views)))["brokers"]] == ["unknown", "up", "up"]


def test_the_load_of_a_broker_that_told_nothing_comes_from_one_that_is_connected_to_it():
    cut_off = View(info("b1"), Report(brokers=[PeerStatus("b1", "alive"), PeerStatus("b3", "alive", "waiting")]))
    linked = View(info("b2"), Report(brokers=[PeerStatus("b3", "alive", "up", nodes=5, queued=7)]))
    row = next(line for line in show(look(cut_off, linked, SILENT)).split("\n") if line.startswith("b3 "))
    assert row.split()[-6:] == ["5", "0", "7", "0", "-", "-"]


def test_many_brokers_share_one_column():
    names = [f"b{n}" for n in range(1, 13)]
    views = [saw(name, **dict.fromkeys(names, "alive")) for name in names]
    views[0] = saw("b1", **{**dict.fromkeys(names, "alive"), "b2": "suspect"})
    shown = show(look(*views)).split("\n")
    assert shown[0] == "something is wrong: the brokers do not agree on b1 for 0 s"
    head, first, second = shown[3:6]
    assert re.split("  +", head)[1] == "SEEN AS"
    assert "alive to all" in first
    assert "suspect to b1, alive to b2," in second


def test_services_and_nodes_are_summed_up_over_the_net():
    def told(name, nodes, *services):
        return View(info(name), Report(broker=name, nodes=nodes, services=list(services)))

    views = [
        told(
            "b1",
            [NodeStatus("w1", "open", 5, 1, ["a"]), NodeStatus("w2", "suspect", 900, 2, ["a"])],
            ServiceStatus("a", 2, 10, 3, 1),
        ),
        told(
            "b2",
            [NodeStatus("w2", "open", 7, 4, ["a", "b"]), NodeStatus("w3", "open", 0, 0, ["a"])],
            ServiceStatus("a", 2, 6, 1, 0),
            ServiceStatus("b", 1, 4, 0, 0),
        ),
        DOWN,
    ]
    assert [(each.name, each.workers, each.credit, each.outstanding, each.queued) for each in services(views)] == [
        ("a", 3, 16, 4, 1),
        ("b", 1, 4, 0, 0),
    ]
    assert [(each.name, each.state, each.brokers, each.in_flight, each.silent_ms) for each in nodes(views)] == [
        ("w1", "open", ["b1"], 1, 5),
        ("w2", "suspect at b1, open at b2", ["b1", "b2"], 6, 900),
        ("w3", "open", ["b2"], 0, 0),
    ]
    assert nodes(views)[1].serves == ["a", "b"]
    shown = show(look(*views))
    assert "\na        all     3        16      4            1\n         b1      2        10      3 " in shown


def test_sixteen_services_of_three_brokers_fit_on_a_small_screen():
    many = [ServiceStatus(f"service-{number:02}", 2, 16, 0, 0) for number in range(16)]
    seen = looks(services=many)
    text = fit(show(seen), columns=80, lines=23)
    shown = text.split("\n")
    assert [line.split()[0] for line in shown if line.startswith("service-")] == [each.name for each in many]
    assert [line.split()[0] for line in shown[2:5]] == ["b1", "b2", "b3"]
    assert len(shown) <= 23


def test_services_have_a_row_for_each_broker_if_they_are_few_or_chosen():
    few = show(looks())
    assert "\npricing  all     2        192     180          36 " in few
    assert "\n         b1      2        64      60           12\n" in few
    many = [ServiceStatus(f"service-{number:02}", 2, 16, 0, 0) for number in range(16)]
    assert " b1  " not in show(looks(services=many)).partition("SERVICE  ")[2].partition("NODE ")[0]
    chosen = show(looks(services=many), Narrowing(services=("*-07",)))
    assert "\nservice-07  all     2 " in chosen
    assert "\n            b1      2 " in chosen


def test_two_looks_show_what_is_done_a_second():
    seen = looks("b2")
    lines = show(seen).split("\n")
    head = next(line for line in lines if line.startswith("BROKER"))
    assert re.split("  +", head)[3:5] == ["REQ/S", "REP/S"]
    assert re.split("  +", next(line for line in lines if line.startswith("b1 ")))[3:5] == ["2,100", "1,050"]
    assert re.split("  +", next(line for line in lines if line.startswith("b2 ")))[3:5] == ["-", "-"]
    assert "REQ/S" not in show(seen._replace(before=()))
    told = json.loads(encode("n", seen))
    assert told["rates"]["brokers"]["b1"] == {"requests_per_s": 2100.0, "replies_per_s": 1050.0, "rejects_per_s": 0.0}
    assert told["rates"]["brokers"].keys() == {"b1", "b3"}
    speed = told["rates"]["services"]["pricing"]
    assert (speed["replies_per_s"], round(speed["p50_ms"]), round(speed["p99_ms"])) == (2100.0, 3, 3)
    assert re.split("  +", next(line for line in lines if line.startswith("pricing "))) == [
        "pricing", "all", "2", "128", "120", "24", "2,100", "2.9", "2.9",
    ]  # fmt: skip
    assert json.loads(encode("n", seen._replace(before=())))["rates"] is None


@pytest.mark.parametrize(
    ("narrowing", "heads", "nodes", "brokers"),
    [
        (Narrowing(), ["BROKER", "SERVICE", "NODE"], 4, ["b1", "b2", "b3"]),
        (Narrowing(services=("stock",)), ["SERVICE", "NODE"], 1, []),
        (Narrowing(nodes=("w1",)), ["SERVICE", "NODE"], 1, []),
        (Narrowing(nodes=("shop", "web")), ["NODE"], 2, []),
        (Narrowing(brokers=("b[12]",)), ["BROKER", "SERVICE", "NODE"], 4, ["b1", "b2"]),
        (Narrowing(services=("st*",), brokers=("b3",)), ["BROKER", "SERVICE", "NODE"], 1, ["b3"]),
    ],
)
def test_what_is_asked_for_is_shown_and_nothing_else(narrowing, heads, nodes, brokers):
    lines = show(looks(), narrowing).split("\n")
    assert lines[0] == "all is well: 3 brokers (b1, b2, b3), 4 nodes, 3 services"
    assert [line.split()[0] for line in lines if line.startswith(("BROKER ", "SERVICE ", "NODE "))] == heads
    assert sum(line.startswith(("shop ", "web ", "w1 ", "w2 ")) for line in lines) == nodes
    assert [line.split()[0] for line in lines if re.match(r"b\d +alive", line)] == brokers


def test_a_broker_that_is_left_out_tells_nothing():
    seen = looks()
    text = show(seen, Narrowing(brokers=("b2",)))
    assert "\npricing  b2      2        64 " in text
    told = json.loads(encode("n", seen, Narrowing(brokers=("b2",), services=("pr*",))))
    assert [each["name"] for each in told["brokers"]] == ["b2"]
    assert [each["name"] for each in told["brokers"][0]["report"]["services"]] == ["pricing"]
    assert told["rates"]["brokers"].keys() == {"b2"}


def test_a_pattern_that_nothing_fits_says_so_and_what_is_wrong_is_told_all_the_same():
    lines = show(looks("b2"), Narrowing(services=("x*",), nodes=("y",))).split("\n")
    assert lines[0].startswith("something is wrong: b2 is dead")
    assert lines[-1] == "nothing fits --service 'x*' --node 'y'"


def test_workers_that_share_a_name_or_are_cut_off_the_list_count_as_their_broker_says():
    report = Report(nodes=[NodeStatus("w", "open", 0, 0, ["a"])], services=[ServiceStatus("a", 2, 8, 0, 0)])
    assert services([View(info(), report)])[0].workers == 2


def test_long_lists_of_names_are_cut():
    assert listed([str(n) for n in range(8)]) == "0, 1, 2, 3, 4, 5, 6, 7"
    assert listed([str(n) for n in range(1_010)]) == "0, 1, 2, 3, 4, 5, 6, 7 and 1,002 more"


def test_a_table_without_rows_is_not_shown():
    assert table(("A", "B"), []) == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\n\nc", "a\nb\n\nc"),
        ("a\nb\n\nc\nd", "a\nb\nc\nd"),
        ("a\nb\n\nc\nd\n\ne", "a\nb\nc\n... and 2 more lines"),
        ("a\n12345678901\nc\nd", "a\n12345678901\n... and 2 more lines"),
        ("a\nb\n123456789012345678901\nd", "a\nb\n... and 2 more lines"),
    ],
)
def test_a_terminal_gets_what_it_can_show_at_once(text, shown):
    assert fit(text, columns=10, lines=4) == shown


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
