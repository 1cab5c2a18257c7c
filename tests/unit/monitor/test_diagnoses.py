"""Each kind of finding by the reports that show it, and nets that are well, in which nothing is found."""

import pytest

from braidmq.bounds import DAY_S
from braidmq.core.links.link import Failure
from braidmq.monitor import about_load, about_workers
from braidmq.monitor.about_brokers import BACK_S, HEARD_MS, LATE_S_MAX
from braidmq.monitor.about_load import CALLERS_MAX, wants_another
from braidmq.monitor.about_workers import ELSEWHERE_MS
from braidmq.monitor.diagnoses import diagnose, health, is_well
from braidmq.monitor.finding import DIAGNOSES, Kind
from braidmq.monitor.net import View, complete, nodes, timed
from braidmq.node import BrokerInfo
from braidmq.wire.control import (
    BridgeStatus,
    LagStatus,
    LossStatus,
    NodeStatus,
    PeerStatus,
    RefusalStatus,
    Report,
    ServiceStatus,
)
from braidmq.wire.registry_status import EndStatus, RegistryStatus

NAMES = ("b1", "b2", "b3")
MET = "no connection yet: it takes connections, but has not said anything; is it a broker?"


def row(name, state="alive", link="up", problem="", since_s=None, **more):
    """How a broker sees another one; unless it is said since when, one that is alive is so for long."""
    if since_s is None:
        since_s = 100 if state == "alive" else 0
    return PeerStatus(name, state, link, str(problem), since_ms=int(since_s * 1000), **more)


def own(name, state="alive", **more):
    return PeerStatus(name, state, "", **more)


def told(name, *rows, nodes=(), services=(), own_row=None, state="up", uptime_s=100.0, **more):
    """What a broker tells; of each other one, unless a row is given for it, that it is well."""
    given = {each.name: each for each in rows}
    others = [given.get(each) or row(each) for each in NAMES if each != name]
    report = Report(
        broker=name,
        state=state,
        uptime_s=uptime_s,
        brokers=[own_row or own(name), *others],
        nodes=list(nodes),
        nodes_total=len(nodes),
        services=list(services),
        services_total=len(services),
        **more,
    )
    return View(BrokerInfo(name, (f"tcp://{name}:1",), "up", None), report)


def mute(name, problem=None, state="waiting"):
    """A broker that tells nothing."""
    return View(BrokerInfo(name, (f"tcp://{name}:1",), state, None if problem is None else str(problem)), None)


def net(**changes):
    """Three brokers that are well, but for some."""
    return [changes.get(name) or told(name) for name in NAMES]


def without_b2(row_of_b2, silent):
    """What b1 and b3 say of b2, which says nothing itself."""
    return net(b1=told("b1", row_of_b2), b2=silent, b3=told("b3", row_of_b2))


def worker(state="open", silent_ms=10, name="w1", serves=("echo",), in_flight=0):
    return NodeStatus(name, state, silent_ms, in_flight, list(serves))


def loss(name="w1", ago_s=4, serves=("echo",), **more):
    return LossStatus(name, int(ago_s * 1000), serves=list(serves), **more)


def echo(credit=8, outstanding=0, queued=0, workers=1):
    return ServiceStatus("echo", workers, credit, outstanding, queued)


def registry(version=7, **more):
    return RegistryStatus(version, **{"digest": f"of {version}", **more})


def refused(kind, ago_s=3, **more):
    return RefusalStatus(kind, 2, ago_ms=int(ago_s * 1000), **more)


CASES = [
    (
        Kind.NO_BROKER, NAMES,
        [mute("b1", Failure.UNREACHABLE), mute("b2", Failure.UNREACHABLE), mute("b3", MET, "connecting")],
        "no broker answers: b1 and b2 are dead, b3 hangs: b1: nothing answers there (tcp://b1:1), b2: nothing answers",
    ),
    (
        Kind.NO_BROKER, ("b1", "b2"), [mute("b1", Failure.NO_ANSWER), mute("b2", Failure.OTHER_NET)],
        "no broker answers: b1 is silent, b2 refuses: b1: no answer of any kind",
    ),
    (
        Kind.BROKER_DEAD, ("b2",),
        without_b2(row("b2", "dead", "waiting", Failure.UNREACHABLE, 12), mute("b2", Failure.UNREACHABLE)),
        "b2 is dead for 12 s: nothing answers there (tcp://b2:1); b1 and b3 go on without it. Start it again: ",
    ),
    (
        Kind.BROKER_DEAD, ("b2",),
        without_b2(row("b2", "alive", "waiting", Failure.CLOSED), mute("b2", Failure.CLOSED)),
        "b2 is dead: the connection was closed",
    ),
    (
        Kind.BROKER_HANGS, ("b2",),
        without_b2(row("b2", "suspect", "waiting", Failure.SILENT, 3), mute("b2", MET, "connecting")),
        "b2 hangs for 3 s: no connection yet: it takes connections",
    ),
    (
        Kind.BROKER_HANGS, ("b2",),
        without_b2(row("b2", "dead", "waiting", Failure.MUTE, 9), mute("b2", state="connecting")),
        "b2 hangs for 9 s: no connection yet (tcp://b2:1); b1 and b3 go on without it. Look at the process of b2",
    ),
    (
        Kind.BROKER_HANGS, ("b2",),
        without_b2(row("b2", "alive", silent_ms=2_900), mute("b2", Failure.HUNG)),
        "b2 hangs: the broker was silent for too long, though its host has taken all that was sent: its process hangs",
    ),
    (
        Kind.BROKER_SILENT, ("b2",),
        without_b2(row("b2", silent_ms=HEARD_MS + 1), mute("b2", Failure.SILENT)),
        "b2 is silent: the broker was silent for too long (tcp://b2:1). See whether",
    ),
    (
        Kind.BROKER_SILENT, ("b2",),
        without_b2(row("b2", silent_ms=HEARD_MS + 1), mute("b2", state="suspect")),
        "b2 is silent: it does not answer (tcp://b2:1). See whether",
    ),
    (
        Kind.BROKER_UNREACHED, ("b2",),
        without_b2(row("b2", silent_ms=HEARD_MS), mute("b2", state="suspect")),
        "b2 is not reached from here: it does not answer (tcp://b2:1); b1 and b3 reach it. Run ",
    ),
    (
        Kind.BROKER_SILENT, ("b2",),
        without_b2(row("b2", "suspect", "suspect", since_s=1), mute("b2", state="up")),
        "b2 is silent for 1 s: it does not answer",
    ),
    (
        Kind.BROKER_SILENT, ("b2",),
        without_b2(row("b2", "dead", "waiting", Failure.NO_ANSWER, 8), mute("b2", Failure.NO_ANSWER)),
        "b2 is silent for 8 s: no answer of any kind: ",
    ),
    (
        Kind.BROKER_STOPPED, ("b2",),
        without_b2(row("b2", "dead", "waiting", Failure.UNREACHABLE, 7, left=True), mute("b2", Failure.UNREACHABLE)),
        "b2 was stopped 7 s ago: it had drained, and nothing answers there",
    ),
    (
        Kind.BROKER_DRAINS, ("b2",),
        without_b2(row("b2", "leaving", "waiting", Failure.DRAINING, 2), mute("b2", Failure.DRAINING)),
        "b2 is about to stop: the broker is about to stop",
    ),
    (
        Kind.BROKER_DRAINS, ("b2",),
        without_b2(
            row("b2", "leaving", "draining", since_s=2),
            told("b2", own_row=own("b2", "leaving", since_ms=2_000), state="draining", nodes=[worker(in_flight=3)]),
        ),
        "b2 is about to stop for 2 s: 3 requests are with it",
    ),
    (
        Kind.BROKER_UNREACHED, ("b2",),
        without_b2(row("b2"), mute("b2", Failure.NO_ANSWER)),
        "b2 is not reached from here: no answer of any kind",
    ),
    (
        Kind.BROKER_UNREACHED, ("b2",), complete([told("b1"), told("b3")]),
        "b2 is not reached from here: only other brokers know of it; b1 and b3 reach it. Run ",
    ),
    (
        Kind.BROKER_REFUSES, ("b2",),
        without_b2(row("b2"), mute("b2", Failure.OTHER_NET)),
        "b2 does not tell its state: what answers there does not hold this broker's key",
    ),
    (
        Kind.BROKER_REFUSES, ("b2",),
        net(b1=told("b1", row("b2", "dead", "waiting", Failure.FOREIGN)), b2=mute("b2", Failure.FOREIGN)),
        "it speaks another protocol (tcp://b2:1); it is dead to b1. Do what the line says",
    ),
    (
        Kind.BROKER_REFUSES, ("b2",),
        net(b2=View(BrokerInfo("b2", (), "up", None), Report(broker="b2", denied=True))),
        "b2 does not tell its state: this node may not observe it",
    ),
    (
        Kind.BROKERS_APART, ("b3", "b1", "b2"),
        [
            told("b1", row("b3", "dead", "waiting", Failure.NO_ANSWER, 6)),
            told("b2", row("b3", "suspect", "suspect", since_s=2)),
            told("b3", row("b1", "dead", "connecting"), row("b2", "alive", "waiting", Failure.SILENT)),
        ],
        "b3 is cut off from b1 and b2 for 6 s: b1 to b3: no answer of any kind",
    ),
    (
        Kind.BROKERS_APART, ("b1", "b2"),
        net(b1=told("b1", row("b2", link="waiting", problem=Failure.NO_ANSWER))),
        "b1 and b2 are cut off from each other: b1 to b2: no answer of any kind",
    ),
    (
        Kind.BROKERS_APART, ("b1", "b2"),
        net(b1=told("b1", row("b2", "dead", since_s=1))),
        "the brokers do not agree on b1 for 1 s: b1 to b2: it takes it for dead",
    ),
    (
        Kind.BROKER_FLAPS, ("b2",),
        net(b2=told("b2", own_row=own("b2", incarnation=6), uptime_s=2.0)),
        "b2 is restarted again and again: it was started 2 s ago",
    ),
    (Kind.BROKER_NEW, ("b2",), net(b2=told("b2", uptime_s=2.0)), "b2 was started 2 s ago. Nothing, if"),
    (
        Kind.BROKER_NEW, ("b2",),
        without_b2(row("b2", since_s=BACK_S - 1), mute("b2", Failure.UNREACHABLE)),
        "b2 is back for 5 s: not reached yet: nothing answers there (tcp://b2:1); b1 and b3 reach it. Nothing, if",
    ),
    (
        Kind.BROKER_NEW, ("b2",),
        without_b2(row("b2", "dead", "waiting", Failure.UNREACHABLE, 1), mute("b2", Failure.EARLY)),
        "b2 was just started: the broker has just started and asks the others for the registry first",
    ),
    (
        Kind.BROKER_UNREACHED, ("b2",),
        without_b2(row("b2", since_s=BACK_S), mute("b2", Failure.UNREACHABLE)),
        "b2 is not reached from here: nothing answers there (tcp://b2:1); b1 and b3 reach it. Run ",
    ),
    (Kind.TWIN, ("b2",), net(b2=told("b2", counters={"twins": 1})), "another process runs with the join file of b2. "),
    (
        Kind.NO_WORKER, ("echo",),
        net(b1=told("b1", services=[echo(0, 0, 3, 0)])),
        "echo has no worker: 3 requests wait for it. Start a worker for echo.",
    ),
    (
        Kind.WORKER_DEAD, ("w1",),
        net(b1=told("b1", losses=[loss(requests=2)]), b3=told("b3", losses=[loss()], nodes=[worker(name="w2")])),
        "w1 is dead for 4 s: b1 and b3 have lost its connection, without a goodbye; 2 requests were with it; others",
    ),
    (
        Kind.BRIDGE_GONE, ("w1",),
        net(b1=told("b1", losses=[loss(requests=2, bridge=BridgeStatus("majordomo", 3))])),
        "; 3 foreign programs were connected to it; 2 requests were with it; nobody else serves echo. Start w1 again",
    ),
    (
        Kind.BRIDGE_GONE, ("w1",),
        net(b1=told("b1", losses=[loss(silent=True, serves=[], bridge=BridgeStatus("http", 1))])),
        "the http bridge w1 hangs or is cut off for 4 s: b1 has given it up for its silence; 1 foreign program was",
    ),
    (
        Kind.BRIDGE_GONE, ("w1",),
        net(b1=told("b1", losses=[loss(serves=[], bridge=BridgeStatus("http"))])),
        "without a goodbye; no foreign program was connected to it. Start w1 again",
    ),
    (
        Kind.WORKER_HANGS, ("w1",),
        net(b1=told("b1", losses=[loss(silent=True)])),
        "w1 hangs or is cut off for 4 s: b1 has given it up for its silence; nobody else serves echo. Look at",
    ),
    (
        Kind.WORKER_HANGS, ("w1",),
        net(b1=told("b1", nodes=[worker("suspect", 2_100)]), b2=told("b2", nodes=[worker("open", ELSEWHERE_MS + 1)])),
        "w1 hangs or is cut off for 2 s: it says nothing to b1; b2 hears it, and gets no new work there; nobody else",
    ),
    (
        Kind.PATH_LOST, ("w1",),
        net(b1=told("b1", nodes=[worker("suspect", 2_100)]), b2=told("b2", nodes=[worker("open", ELSEWHERE_MS)])),
        "w1 says nothing to b1 for 2 s: b2 hears it; it gets no new work at b1. If it lasts, see why w1",
    ),
    (
        Kind.NODE_SILENT, ("c1",),
        net(b1=told("b1", nodes=[worker("suspect", 2_100, "c1", ())])),
        "c1 is silent for 2 s: it says nothing to b1. ",
    ),
    (
        Kind.PATH_LOST, ("w1",),
        net(b1=told("b1", losses=[loss()]), b2=told("b2", nodes=[worker()])),
        "w1 has no connection to b1 any more for 4 s: it is there over b2. ",
    ),
    (
        Kind.LIMIT, ("w1",),
        net(b1=told("b1", refusals=[refused("throng", who="w1", where="10.0.0.7", what="the 17th")])),
        "b1 refuses w1: it has as many connections as one key may have (at 10.0.0.7, the 17th); the last one 3 s ago. ",
    ),
    (
        Kind.REFUSED, ("w1",),
        net(b1=told("b1", refusals=[refused("revoked", who="w1")]), b2=told("b2", refusals=[refused("revoked")])),
        "b1 and b2 refuse w1: its key was revoked; the last one 3 s ago. ",
    ),
    (
        Kind.REFUSED, ("10.0.0.7",),
        net(b1=told("b1", refusals=[refused("news", where="10.0.0.7")])),
        "b1 refuses 10.0.0.7: news; the last one 3 s ago. ",
    ),
    (
        Kind.REGISTRY_OLD, ("b2",),
        net(b1=told("b1", registry=registry(9)), b2=told("b2", registry=registry(7))),
        "b2 has registry 7, which is older than registry 9. ",
    ),
    (
        Kind.REGISTRY_FORK, ("b1", "b2"),
        net(b1=told("b1", registry=registry()), b2=told("b2", registry=registry(digest="other"))),
        "b1 and b2 have different registries of the number 7: ",
    ),
    (
        Kind.CLOCK, ("b2",),
        net(b1=told("b1", registry=registry()), b2=told("b2", registry=registry(clock_off_s=-90))),
        "the clock of b2 is 90 s behind that of the net. ",
    ),
    (
        Kind.CERTIFICATE_ENDED, ("w1",), net(b1=told("b1", registry=registry(ends=[EndStatus("w1", -60)]))),
        "the certificate of w1 has ended 1 min 0 s ago. `braidmq renew w1 --net DIR`.",
    ),
    (
        Kind.CERTIFICATE_ENDS, ("w1", "w2"),
        net(b1=told("b1", registry=registry(ends=[EndStatus("w1", 60), EndStatus("w2", DAY_S)]))),
        "certificates end: w1 in 1 min 0 s, w2 in 1 d 0 h. `braidmq renew NAME --net DIR`.",
    ),
    (
        Kind.CERTIFICATE_SOON, ("w1",), net(b1=told("b1", registry=registry(ends=[EndStatus("w1", 2 * DAY_S)]))),
        "the certificate of w1 ends in 2 d 0 h. ",
    ),
    (
        Kind.SLOW, ("b3",),
        net(b1=told("b1", row("b3", rtt_ms=150)), b2=told("b2", row("b3", rtt_ms=1_200))),
        "answers of b3 are late: 150 ms to b1, 1,200 ms to b2. ",
    ),
    (
        Kind.SLOW, ("b3",),
        net(
            b1=told("b1", row("b3", rtt_ms=150)),
            b3=told("b3", counters={"gossip_health": 2}, lag=LagStatus([], stalls=9, recent=3, worst_ms=1_240)),
        ),
        "b3 stands still again and again: 3 times within ten seconds, for up to 1,240 ms. ",
    ),
    (
        Kind.SLOW, ("b2",), without_b2(row("b2", silent_ms=HEARD_MS), mute("b2", state="up")),
        "b2 is late to tell its state: b1 and b3 hear it (tcp://b2:1). ",
    ),
    (
        Kind.SLOW, ("b2",), without_b2(row("b2"), mute("b2", state="up")._replace(untold_s=LATE_S_MAX)),
        "b2 is late to tell its state: ",
    ),
    (
        Kind.BROKER_REFUSES, ("b2",),
        without_b2(row("b2"), mute("b2", state="up")._replace(untold_s=LATE_S_MAX + 1.0)),
        "b2 does not tell its state for 6 s: b1 and b3 hear it (tcp://b2:1). ",
    ),
    (
        Kind.SLOW, ("b3",), net(b3=told("b3", counters={"gossip_health": 2})),
        "b3 does not hear the other brokers in time. ",
    ),
    (
        Kind.NODE_OUT, ("w1",),
        net(
            b1=told("b1", nodes=[NodeStatus("w1", "open", 1, 0, ["echo"], out_by="ops", out_ms=61_000)]),
            b2=told("b2", nodes=[NodeStatus("w1", "open", 1, 0, ["echo"])]),
        ),
        "w1 is out for 1 min 1 s, but not everywhere: ops has taken it out at b1; b2 gives it work. `braidmq put-back ",
    ),
    (
        Kind.NODE_OUT, ("w1",),
        net(b1=told("b1", nodes=[NodeStatus("w1", "open", 1, 0, ["echo"], out_by="ops", out_ms=61_000)])),
        "w1 gets no new work for 1 min 1 s: ops has taken it out at b1. `braidmq put-back w1 --join ",
    ),
    (Kind.FAULTS, ("b3",), net(b3=told("b3", counters={"faults": 2})), "b3 has met 2 errors of its own. "),
    (Kind.FORGED, ("b3",), net(b3=told("b3", counters={"forged": 2})), "b3 has got 2 frames with a forged key. "),
]  # fmt: skip
"""Kinds, whom they befall, what brokers tell, and how the sentence begins or what is in it."""


@pytest.mark.parametrize(("kind", "who", "views", "said"), CASES, ids=[case[0].value for case in CASES])
def test_a_fault_is_named_with_whom_it_befalls_and_what_to_do(kind, who, views, said):
    (found,) = diagnose(views)
    assert (found.kind, found.who) == (kind, who)
    assert said in found.sentence
    assert is_well([found]) is not DIAGNOSES[kind].wrong
    assert found.as_dict()["remedy"] == found.remedy


def test_every_kind_is_in_the_table_and_has_a_case():
    assert list(DIAGNOSES) == list(Kind)
    assert {case[0] for case in CASES} | {Kind.OVERLOAD, Kind.SERVICE_FULL} == set(Kind)


def test_each_gap_between_many_brokers_is_told_once():
    names = [f"b{number:02}" for number in range(20)]
    strangers = [told(name)._replace(report=Report(broker=name, uptime_s=100.0, brokers=[own(name)])) for name in names]
    found = diagnose(strangers)
    assert [each.who for each in found] == [tuple(names[at:]) for at in range(len(names) - 1)]
    assert found[0].sentence.startswith("b00 is cut off from b01, b02, b03, b04, b05, b06, b07, b08 and 11 more: ")
    assert found[-1].why == "b18 to b19: it does not know it, b19 to b18: it does not know it"


def test_clocks_that_were_all_set_alike_are_no_fault_while_that_is_told():
    def clocks(*off_s):
        views = [told(name, registry=registry(clock_off_s=each)) for name, each in zip(NAMES, off_s, strict=True)]
        return [each.who for each in diagnose(views)]

    assert clocks(3_600, 3_600, 3_600) == clocks(0, 3_600, 3_600) == []
    assert clocks(0, 0, 3_600) == [("b3",)]


WORKING = {
    "nodes": [worker(in_flight=200, name="c1", serves=()), worker()],
    "services": [echo(8, 8, 5)],
    "counters": {"busy": 4, "rejected": 9, "gossip_health": 1},
    "refusals": [refused("revoked", ago_s=11, who="w9")],
    "registry": registry(),
}
CALM = [
    net(),
    net(b1=told("b1", **WORKING), b2=told("b2", **WORKING)),
    net(b1=told("b1", row("b2", rtt_ms=149)), b2=told("b2", own_row=own("b2", incarnation=40))),
    net(**{name: told(name, uptime_s=1.0) for name in NAMES}),
    net(b3=mute("b3", state="waiting")),
    [told("b1", uptime_s=1.0)],
    [],
]


@pytest.mark.parametrize("views", CALM)
def test_a_net_that_is_well_has_no_finding(views):
    assert diagnose(views) == []
    assert diagnose(views, [View(each.info, None) for each in views], 0.5) == []


def under_load(busy, queued=50, outstanding=8):
    nodes = [worker(in_flight=1, name="c2", serves=()), worker(in_flight=99, name="c1", serves=()), worker()]
    services = [echo(8, outstanding, queued)]
    return net(b1=told("b1", nodes=nodes, services=services, counters={"busy": busy}))


def test_refusals_between_two_looks_are_an_overload_and_who_asks_for_most_is_named():
    (found,) = diagnose(under_load(130), under_load(30), 0.5)
    assert (found.kind, found.who, found.wrong) == (Kind.OVERLOAD, ("echo",), True)
    assert found.sentence.startswith(
        "echo is overloaded: 50 requests wait, and all 8 places are taken; 200 a second are refused; most are under "
        "way for c1 (99). Start more workers for echo"
    )


def test_a_queue_in_two_looks_without_refusals_is_worth_a_note():
    (found,) = diagnose(under_load(30), under_load(30), 0.5)
    assert (found.kind, found.who, found.wrong) == (Kind.SERVICE_FULL, ("echo",), False)
    assert diagnose(under_load(30), under_load(30, queued=0), 0.5) == []
    assert diagnose(under_load(30, outstanding=7), under_load(30), 0.5) == []


def test_refusals_without_a_queue_are_an_overload_at_the_brokers_that_refuse():
    (found,) = diagnose(under_load(40, queued=0, outstanding=0), under_load(30), 0.5)
    assert (found.kind, found.who) == (Kind.OVERLOAD, ("b1",))
    assert found.what == "b1 refuses requests for want of room or time"


def test_what_a_broker_counted_before_it_was_restarted_says_nothing():
    before = under_load(10)
    restarted = [
        told("b1", uptime_s=1.0, counters={"busy": 20}),
        *(told(name, uptime_s=2.0) for name in NAMES[1:]),
    ]
    assert diagnose(restarted, before, 0.5) == []


def test_a_second_look_is_wanted_only_where_something_waits_or_was_refused():
    assert not wants_another(net())
    assert wants_another(under_load(0))
    assert wants_another(under_load(1, queued=0))


def test_only_some_callers_are_named():
    crowd = [worker(in_flight=20 + number, name=f"c{number}", serves=()) for number in range(5)]
    views = net(b1=told("b1", nodes=crowd, services=[echo(8, 8, 9)], counters={"busy": 9}))
    before = net(b1=told("b1", services=[echo(8, 8, 9)]))
    (found,) = diagnose(views, before, 0.5)
    assert [name for name in ("c4", "c3", "c2", "c1", "c0") if name in found.why] == ["c4", "c3", "c2"][:CALLERS_MAX]


def test_the_nodes_of_a_net_are_not_put_together_anew_for_each_fault(monkeypatch):
    looks = []
    for module in (about_load, about_workers):
        monkeypatch.setattr(module, "nodes", lambda views: looks.append(views) or nodes(views))

    def sick(count, busy):
        losses = [loss(name=f"w{number}") for number in range(count)]
        full = [ServiceStatus(f"s{number}", 1, 8, 8, 5) for number in range(count)]
        return net(b1=told("b1", losses=losses, services=full, counters={"busy": busy}))

    found = [len(diagnose(sick(count, 9), sick(count, 0), 0.5)) for count in (1, 50)]
    assert found == [2, 100]
    first, second = looks[: len(looks) // 2], looks[len(looks) // 2 :]
    assert len(first) == len(second) == 4


def test_the_sentence_of_health_says_how_the_net_is():
    assert health(net(), []) == "all is well: 3 brokers (b1, b2, b3), 0 nodes, 0 services"
    assert health(net(b2=mute("b2")), []) == "all is well: 2 of 3 brokers (b1, b3), 0 nodes, 0 services"
    views = net(b2=told("b2", uptime_s=2.0))
    assert health(views, diagnose(views)).endswith("; 1 thing to note")
    views = net(b2=told("b2", counters={"twins": 1}))
    assert health(views, diagnose(views)) == "something is wrong: another process runs with the join file of b2"
    views = net(**{name: told(name, counters={"twins": 1}, losses=[loss(f"w-{name}")]) for name in NAMES})
    said = health(views, diagnose(views))
    assert said.startswith("6 things are wrong: another process runs with the join file of b1; ")
    assert said.endswith("b3; and 3 more")
    assert health([mute("b1")], []) == "no broker tells its state"


def test_the_worst_comes_first_and_peers_cannot_write_on_the_terminal():
    views = net(b1=told("b1", counters={"faults": 1}, refusals=[refused("room", who="\x1b[2J")]))
    found = diagnose(views)
    assert [each.kind for each in found] == [Kind.LIMIT, Kind.FAULTS]
    assert found[0].sentence.isprintable()
    assert health(views, found).isprintable()


def test_nodes_are_counted_by_their_names_unless_lists_are_cut():
    here = [worker(), worker(), worker(name="w2")]
    views = net(b1=told("b1", nodes=here), b2=told("b2", nodes=here[:1], services=[echo()]))
    assert health(views, []).endswith(", 2 nodes, 1 service")
    report = Report(broker="b3", brokers=[own("b3")], nodes=here, nodes_total=1_200, services_total=0)
    views[2] = View(views[2].info, report)
    assert health(views, []).endswith(", 1,200 nodes, 1 service")


def test_how_long_a_broker_has_told_nothing_is_counted_from_look_to_look():
    looks, seen = [told("b1"), mute("b1"), mute("b1"), mute("b1"), told("b1"), mute("b1")], []
    before = timed([], [], 0.0)
    for view in looks:
        before = timed([view, told("b2")], before, 1.5)
        seen.append(before[0].untold_s)
    assert seen == [0.0, 0.0, 1.5, 3.0, 0.0, 0.0]
