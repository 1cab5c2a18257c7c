import pytest

from braidmq.core.broker import report as report_module
from braidmq.core.links.link import Failure
from braidmq.members import Role
from braidmq.trust.enrolment import ENROLMENT_BYTES_MAX
from braidmq.wire.control import (
    REPORT_CLAIMED_MAX,
    REPORT_CLAIMS_MAX,
    REPORT_ROWS_MAX,
    REPORT_SERVES_MAX,
    NodeStatus,
    PeerStatus,
    Report,
    ServiceStatus,
    encode_control,
)
from braidmq.wire.gossip import Gossip, Rumor
from braidmq.wire.limits import CONTROL_BYTES_MAX
from braidmq.wire.registry_status import ClaimStatus, EndStatus, RegistryStatus, SeenStatus
from tests.support.rigs.broker_rig import BROKER, Rig
from tests.support.rigs.node_rig import address

GOSSIP = (
    "gossip_probes", "gossip_probes_failed", "gossip_refutations", "gossip_deaths", "gossip_lies", "gossip_unknown",
)  # fmt: skip


def test_report_says_how_the_broker_its_peers_nodes_and_services_stand() -> None:
    rig = Rig()
    peer = rig.peer("b2")
    peer.about("echo", "sum", nodes=3, in_flight=4, queued=5)
    rig.now += 0.5
    client, worker = rig.client("client"), rig.worker("worker", credit=2)
    worker.ready("another", 1)
    for _ in range(3):
        client.request()
    worker.goodbye("noted")
    rig.now += 0.25
    assert rig.core.report(rig.now) == Report(
        broker=BROKER,
        software="test",
        state="up",
        uptime_s=0.75,
        brokers=[
            PeerStatus(BROKER, "alive", "", "", 0, 750, nodes=2, in_flight=2, queued=1, services=2),
            PeerStatus("b2", "alive", "up", "", 0, 750, nodes=3, in_flight=4, queued=5, services=2),
        ],
        nodes=[
            NodeStatus("client", "open", 250, 3, []),
            NodeStatus("worker", "open", 250, 0, ["another", "echo"]),
        ],
        nodes_total=2,
        services=[ServiceStatus("echo", 1, 2, 2, 1), ServiceStatus("another", 1, 1, 0, 0)],
        services_total=2,
        counters=rig.counters | dict.fromkeys(GOSSIP, 0),
    )


def test_states_are_told() -> None:
    rig = Rig()
    rig.client("leaving").goodbye()
    rig.client("silent")
    rig.advance(1.7)
    rig.client("fresh")
    rig.drain()
    report = rig.core.report(rig.now)
    assert report.state == "draining"
    assert [(node.name, node.state) for node in report.nodes] == [
        ("leaving", "leaving"), ("silent", "suspect"), ("fresh", "open"),
    ]  # fmt: skip


def test_brokers_are_no_nodes() -> None:
    rig = Rig()
    rig.connect("b2", role=Role.BROKER)
    report = rig.core.report(rig.now)
    assert (report.nodes, report.nodes_total) == ([], 0)


def test_counters_are_those_of_the_moment() -> None:
    rig = Rig()
    report = rig.core.report(rig.now)
    rig.client()
    assert report.counters["sessions"] == 0


def test_lists_are_cut_and_the_totals_tell(patch_cores: pytest.MonkeyPatch) -> None:
    patch_cores.setattr(report_module, "REPORT_ROWS_MAX", 3)
    rig = Rig()
    for number in range(2, 7):
        rig.peer(f"b{number}")
    for number in range(5):
        rig.worker(f"w{number}", f"s{number}")
    report = rig.core.report(rig.now)
    assert [row.name for row in report.brokers] == [BROKER, "b2", "b3"]
    assert (len(report.nodes), len(report.services)) == (3, 3)
    assert (report.nodes_total, report.services_total) == (5, 5)


def test_services_of_a_node_are_cut() -> None:
    rig = Rig()
    worker = rig.worker("w", "s0")
    for number in range(1, REPORT_SERVES_MAX + 5):
        worker.ready(f"s{number}")
    assert len(rig.core.report(rig.now).nodes[0].serves) == REPORT_SERVES_MAX


def test_largest_report_fits_a_control_message() -> None:
    text, count = "x" * 63, 2**63
    serves = ["s" * 127] * REPORT_SERVES_MAX
    report = Report(
        broker=text,
        brokers=[PeerStatus(text, "suspect", "connecting", max(Failure, key=len), *[count] * 6)] * REPORT_ROWS_MAX,
        nodes=[NodeStatus(text, "leaving", count, count, serves)] * REPORT_ROWS_MAX,
        services=[ServiceStatus("s" * 127, count, count, count, count)] * REPORT_ROWS_MAX,
        counters=dict.fromkeys(Rig().counters, count),
        registry=RegistryStatus(
            count,
            ends=[EndStatus(text, count)] * REPORT_ROWS_MAX,
            enrolled=[SeenStatus(text, count, count)] * REPORT_ROWS_MAX,
            seen=[SeenStatus(text, count)] * REPORT_ROWS_MAX,
            claims={
                f"{text}{number}": [ClaimStatus(bytes(ENROLMENT_BYTES_MAX), count)] * REPORT_CLAIMS_MAX
                for number in range(REPORT_CLAIMED_MAX)
            },
        ),
    )
    assert len(encode_control(report, 0)) <= CONTROL_BYTES_MAX


def test_peer_that_is_not_up_is_told_with_the_reason() -> None:
    rig = Rig()
    rig.peer("b2").lose()
    rig.now += 0.25
    (_own, row) = rig.core.report(rig.now).brokers
    assert row == PeerStatus("b2", "alive", "waiting", Failure.CLOSED, since_ms=250)


def test_peer_that_was_never_met_is_told() -> None:
    rig = Rig()
    rig.peering.learn(address("b2"), rig.now)
    assert rig.core.report(rig.now).brokers[1:] == [PeerStatus("b2", "unknown", "waiting")]


def test_life_and_state_of_each_broker_are_told() -> None:
    rig = Rig()
    peer = rig.peer("b2")
    peer.say(Gossip([Rumor("b2", 7, "leaving")]))
    rig.now += 1.0
    rig.drain()
    own, other = rig.core.report(rig.now).brokers
    assert (own.state, own.incarnation, own.since_ms) == ("leaving", 1, 0)
    assert (other.state, other.incarnation, other.since_ms) == ("leaving", 7, 1_000)
