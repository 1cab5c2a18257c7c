"""What `braidmq status` makes of what brokers tell of the registry."""

import json

import pytest

from braidmq.bounds import DAY_S
from braidmq.cli.status import encode
from braidmq.cli.status_text import show
from braidmq.monitor import diagnoses
from braidmq.monitor.about_brokers import HEARD_MS
from braidmq.monitor.diagnoses import diagnose
from braidmq.monitor.looking import Look
from braidmq.monitor.net import View
from braidmq.monitor.registries import enrolled, last_seen, tokens
from braidmq.node import BrokerInfo
from braidmq.wire.control import NodeStatus, PeerStatus, Report
from braidmq.wire.registry_status import EndStatus, RegistryStatus, SeenStatus, TokenStatus

NAMES = ("b1", "b2", "b3")


def told(name, version=7, nodes=(), state="up", silent_ms=0, **registry):
    """A broker that is well, and what it tells of the registry."""
    rows = [
        PeerStatus(each, "alive", "" if each == name else "up", since_ms=60_000, registry=version, silent_ms=silent_ms)
        for each in NAMES
    ]
    found = RegistryStatus(version, **{"digest": f"of {version}", **registry}) if version else None
    here = [NodeStatus(each, "open", 0, 0) for each in nodes]
    report = Report(broker=name, state=state, brokers=rows, nodes=here, nodes_total=len(here), registry=found)
    return View(BrokerInfo(name, (f"tcp://{name}:1",), "up", None), report)


def three(**changes):
    """Three brokers, some of which tell other things than the rest."""
    return [told(name, **changes.get(name, {})) for name in NAMES]


def is_well(views):
    return diagnoses.is_well(diagnose(views))


def shown_text(views):
    return show(Look(views, diagnose(views)))


def head(views):
    """The lines before the tables."""
    return shown_text(views).split("\n\n")[0].split("\n")


def only_line(views):
    """The line on the only finding."""
    (line,) = head(views)[1:]
    return line.strip()


def test_brokers_with_one_registry_are_well_and_show_its_version():
    views = three()
    assert head(views) == ["all is well: 3 brokers (b1, b2, b3), 0 nodes, 0 services"]
    assert is_well(views)
    assert "SERVICES  REGISTRY  UP FOR\nb1 " in shown_text(views)
    assert " 7         0 s" in shown_text(views)


def test_brokers_that_tell_no_registry_are_well():
    views = three(b1={"version": 0}, b2={"version": 0}, b3={"version": 0})
    assert is_well(views)
    assert json.loads(encode("n", Look(views, diagnose(views))))["brokers"][0]["report"]["registry"] is None


def test_who_has_an_older_registry_is_named():
    views = three(b1={"version": 5}, b3={"version": 5})
    assert only_line(views).startswith("! b1 and b3 have registry 5, which is older than registry 7. If it lasts")
    assert not is_well(views)
    assert only_line(three(b2={"version": 6})).startswith("! b2 has registry 6, which is older than registry 7. ")


def test_two_registries_of_one_number_are_told_apart():
    views = three(b2={"digest": "other"})
    assert only_line(views).startswith("! b1 and b3 and b2 have different registries of the number 7: the authority's ")
    assert not is_well(views)


@pytest.mark.parametrize(("off_s", "said"), [(18_000, "18,000 s ahead of"), (-90, "90 s behind")])
def test_a_clock_that_is_off_is_told(off_s, said):
    views = three(b2={"clock_off_s": off_s})
    assert only_line(views).startswith(f"! the clock of b2 is {said} that of the net. Set the clock of the host of b2 ")
    assert not is_well(views)


def test_clocks_that_are_a_minute_apart_are_well():
    assert is_well(three(b2={"clock_off_s": 60}, b3={"clock_off_s": -60}))


@pytest.mark.parametrize(
    ("in_s", "said", "well"),
    [
        (6 * DAY_S + 3 * 3_600, "- the certificate of n1 ends in 6 d 3 h", True),
        (DAY_S + 1, "- the certificate of n1 ends in 1 d 0 h", True),
        (DAY_S, "! the certificate of n1 ends in 1 d 0 h", False),
        (90, "! the certificate of n1 ends in 1 min 30 s", False),
        (0, "! the certificate of n1 has ended 0 s ago", False),
        (-DAY_S, "! the certificate of n1 has ended 1 d 0 h ago", False),
    ],
)
def test_who_ends_when_stands_below_the_first_line_and_hurts_within_a_day(in_s, said, well):
    views = three(b1={"ends": [EndStatus("n1", in_s)], "ends_total": 1})
    assert only_line(views) == f"{said}. `braidmq renew n1 --net DIR`."
    assert is_well(views) is well
    assert json.loads(encode("n", Look(views, diagnose(views))))["ends"] == [{"name": "n1", "in_s": in_s}]
    assert json.loads(encode("n", Look(views, diagnose(views))))["well"] is well


def test_ends_are_those_of_the_newest_registry_and_some_of_many_are_named():
    many = [EndStatus(f"n{number}", 2 * DAY_S) for number in range(10)]
    views = three(
        b1={"version": 6, "ends": [EndStatus("renewed", 9)], "ends_total": 1},
        b2={"ends": many, "ends_total": 1_234},
        b3={"ends": many, "ends_total": 1_234},
    )
    line = head(views)[-1]
    assert line.startswith("  - certificates end: n0 in 2 d 0 h, n1 in 2 d")
    assert line.endswith("n7 in 2 d 0 h and 1,226 more. `braidmq renew NAME --net DIR`.")
    assert "renewed" not in line


def test_tokens_are_shown_with_the_most_uses_that_any_broker_knows_of():
    kept = [TokenStatus(7, "replica-*", 10, 2, 900), TokenStatus(9, "machine", 1, 0, -5)]
    views = three(b1={"tokens": kept}, b2={"tokens": [TokenStatus(7, "replica-*", 10, 4, 900)]})
    assert tokens(views)[0] == TokenStatus(7, "replica-*", 10, 4, 900)
    shown = shown_text(views)
    assert "\nTOKEN  FOR        USES  LEFT  ENDS\n7      replica-*  10    6     in 15 min 0 s\n" in shown
    assert "\n9      machine    1     1     ended\n" in shown


def test_uses_beyond_those_of_a_token_leave_none():
    assert " 2     0     " in shown_text(three(b1={"tokens": [TokenStatus(7, "replica-*", 2, 3, 900)]}))


def test_enrolled_members_are_shown_with_when_any_broker_saw_them_last():
    rows = [SeenStatus("r1", 500, 7), SeenStatus("r2", 100, 7), SeenStatus("r3", 7_200, 7)]
    views = three(
        b1={"enrolled": rows, "enrolled_total": 5},
        b2={"enrolled": [SeenStatus("r2", 40, 7)], "enrolled_total": 1},
        b3={"nodes": ["r1"]},
    )
    assert enrolled(views) == [SeenStatus("r1", 0, 7), SeenStatus("r2", 40, 7), SeenStatus("r3", 7_200, 7)]
    table = [
        "ENROLLED  TOKEN  LAST SEEN",
        "r1        7      now",
        "r2        7      40 s ago",
        "r3        7      2 h 0 min ago",
        "... and 2 more",
    ]
    assert "\n".join(table) in shown_text(views)


def test_members_were_seen_when_the_last_broker_saw_them():
    views = three(
        b1={"seen": [SeenStatus("n1", 50), SeenStatus("n2", 8)], "enrolled": [SeenStatus("r1", 70, 7)]},
        b2={"seen": [SeenStatus("n1", 20)], "nodes": ["n2"]},
    )
    assert last_seen(views) == {"n1": 20, "n2": 0, "r1": 70, "b1": 0, "b2": 0, "b3": 0}


def test_json_has_all_that_was_told_of_the_registry():
    registry = RegistryStatus(
        7,
        "ab",
        3,
        [EndStatus("n1", 9)],
        1,
        [TokenStatus(7, "r-*", 10, 2, 900)],
        [SeenStatus("r1", 5, 7)],
        1,
        [SeenStatus("n1", 6)],
        2,
    )
    view = told("b1")
    report = Report(broker="b1", state="up", brokers=view.report.brokers, registry=registry)
    (broker,) = json.loads(encode("n", Look([View(view.info, report)], [])))["brokers"]
    assert broker["report"]["registry"] == {
        "version": 7,
        "digest": "ab",
        "members": 3,
        "ends": [{"name": "n1", "in_s": 9}],
        "ends_total": 1,
        "tokens": [{"serial": 7, "names": "r-*", "uses": 10, "used": 2, "in_s": 900}],
        "enrolled": [{"name": "r1", "ago_s": 5, "token": 7}],
        "enrolled_total": 1,
        "seen": [{"name": "n1", "ago_s": 6, "token": 0}],
        "clock_off_s": 2,
    }


def test_what_a_broker_tells_of_the_registry_does_not_reach_the_terminal_raw():
    evil = "\x1b[2J"
    views = three(
        b1={
            "ends": [EndStatus(evil, 2**62)],
            "ends_total": 1,
            "tokens": [TokenStatus(1, evil, -(2**62), 2**62, 2**62)],
            "enrolled": [SeenStatus(evil, 2**62, 1)],
        },
        b2={"version": 7, "digest": evil},
    )
    assert shown_text(views).replace("\n", "").isprintable()


def broker(name, link="up", problem=None, report=None):
    """A broker as this node knows it."""
    return View(BrokerInfo(name, (f"tcp://{name}:1",), link, problem), report)


def test_a_broker_that_does_not_answer_is_wrong_and_one_that_others_hear_or_that_was_not_asked_is_not():
    asked = three()[:2]
    assert not is_well([*asked, broker("b3", "waiting", "nothing answers there")])
    assert is_well([*asked, broker("b3", "waiting")])
    assert is_well([*asked, broker("b3", "up")])
    assert not is_well([*(told(name, silent_ms=HEARD_MS + 1) for name in NAMES[:2]), broker("b3", "up")])
