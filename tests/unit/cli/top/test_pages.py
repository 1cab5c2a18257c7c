import pytest

from braidmq.cli.top.pages import Kind, Mood, Net, shown_rows
from braidmq.wire.control import NodeStatus, ServiceStatus
from tests.support.three_brokers import looks, view


def net(*dead, **more):
    return Net.of(looks(*dead, **more))


def names(seen, kind, column, *, text="", reverse=False):
    return [row.name for row in shown_rows(seen, kind, text, column, reverse)]


def test_services_are_sorted_by_load_the_highest_first():
    rows = shown_rows(net(), Kind.SERVICES, "", 2, reverse=False)
    assert [(row.name, row.cells[2]) for row in rows] == [("pricing", "112%"), ("stock", "12%"), ("idle", "0%")]
    assert names(net(), Kind.SERVICES, 2, reverse=True) == ["idle", "stock", "pricing"]
    assert names(net(), Kind.SERVICES, 0) == ["idle", "pricing", "stock"]


def test_a_service_for_which_requests_wait_without_a_worker_is_the_fullest():
    lost = ServiceStatus("lost", 0, 0, 0, 1)
    seen = net(services=[ServiceStatus("busy", 1, 1, 1, 99), lost])
    first = shown_rows(seen, Kind.SERVICES, "", 2, reverse=False)[0]
    assert (first.name, first.cells[2], first.mood) == ("lost", "full", Mood.BAD)


def test_brokers_have_their_rates_and_one_that_is_dead_has_none():
    rows = shown_rows(net("b2"), Kind.BROKERS, "", 0, reverse=False)
    assert [row.cells[1] for row in rows] == ["up", "dead", "up"]
    assert rows[0].cells[-3:] == ("2,100", "1,050", "0")
    assert rows[1].cells[2:] == ("-",) * 7
    assert [row.mood for row in rows] == [Mood.PLAIN, Mood.BAD, Mood.PLAIN]


def test_callers_are_those_with_requests_under_way_and_those_that_serve_nothing():
    nodes = [
        NodeStatus("idle", "open", 1, 0),
        NodeStatus("both", "open", 1, 30, ["x"]),
        NodeStatus("w", "open", 1, 0, ["x"]),
    ]
    seen = net(nodes=[*nodes, NodeStatus("shop", "suspect", 2_000, 10)])
    rows = shown_rows(seen, Kind.CALLERS, "", 1, reverse=False)
    assert [(row.name, *row.cells[1:3]) for row in rows] == [
        ("both", "90", "75%"),
        ("shop", "30", "25%"),
        ("idle", "0", "0%"),
    ]
    assert [row.cells[3:5] for row in rows] == [("189,000", "0"), ("63,000", "0"), ("0", "0")]
    assert rows[1].mood is Mood.NOTE
    assert names(seen, Kind.WORKERS, 0) == ["both", "w"]


def test_findings_keep_their_order():
    rows = shown_rows(net("b2", "b3"), Kind.FINDINGS, "", 0, reverse=False)
    assert [row.cells[:3] for row in rows] == [("1", "broker-dead", "12 s"), ("2", "broker-dead", "12 s")]
    assert [row.name for row in rows] == ["broker-dead b2", "broker-dead b3"]


@pytest.mark.parametrize(
    ("text", "fitting"),
    [
        ("", ["idle", "pricing", "stock"]),
        ("I", ["idle", "pricing"]),
        ("s*", ["stock"]),
        ("112%", ["pricing"]),
        ("x", []),
    ],
)
def test_a_filter_is_a_text_or_a_pattern(text, fitting):
    assert names(net(), Kind.SERVICES, 0, text=text) == fitting


def test_what_peers_say_cannot_reach_the_terminal_raw():
    evil = "\x1b[2Jx"
    seen = net(nodes=[NodeStatus(evil, evil, 1, 1, [evil])], services=[ServiceStatus(evil, 1, 1, 0, 0)])
    for kind in Kind:
        for row in shown_rows(seen, kind, "", 0, reverse=False):
            assert "\x1b" not in "".join((row.name, *row.cells))


def test_a_restarted_broker_has_no_rates_yet():
    look = looks()
    restarted = [view("b1", uptime_s=0.5, requests=5), *look.views[1:]]
    assert "b1" not in Net.of(look._replace(views=restarted)).rates
