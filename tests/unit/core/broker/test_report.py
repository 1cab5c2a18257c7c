import msgspec
import pytest

from braidmq.core.broker import report as report_module
from braidmq.core.broker.losses import LOSSES_MAX, REMEMBERED_S
from braidmq.core.broker.operations import TOLD_MAX
from braidmq.core.histogram import BUCKETS, COUNT_MAX, Histogram
from braidmq.core.links.link import Failure
from braidmq.members import Role
from braidmq.trust.enrolment import ENROLMENT_BYTES_MAX
from braidmq.wire.control import (
    REPORT_BUCKETS_MAX,
    REPORT_CLAIMED_MAX,
    REPORT_CLAIMS_MAX,
    REPORT_ROWS_MAX,
    REPORT_SERVES_MAX,
    BridgeStatus,
    Bridging,
    LagStatus,
    LossStatus,
    NodeStatus,
    PeerStatus,
    Report,
    ServiceStatus,
    encode_control,
)
from braidmq.wire.envelope import REQUEST, UINT32, Envelope, Outcome, Reason, encode
from braidmq.wire.gossip import Gossip, Rumor
from braidmq.wire.limits import CONTROL_BYTES_MAX
from braidmq.wire.operation import OperationStatus
from braidmq.wire.registry_status import ClaimStatus, EndStatus, RegistryStatus, SeenStatus
from tests.support.rigs.broker_rig import BROKER, Rig, packed
from tests.support.rigs.node_rig import address

SIZE_BYTES = len(encode(Envelope(REQUEST, bytes(16), service=b"echo")))

GOSSIP = (
    "gossip_probes", "gossip_probes_failed", "gossip_refutations", "gossip_deaths", "gossip_lies", "gossip_unknown",
    "gossip_health",
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
            PeerStatus("b2", "alive", "up", "", 0, 750, nodes=3, in_flight=4, queued=5, services=2, silent_ms=750),
        ],
        nodes=[
            NodeStatus("client", "open", 250, 3, [], requests=3, request_bytes=3 * SIZE_BYTES),
            NodeStatus("worker", "open", 250, 0, ["another", "echo"]),
        ],
        nodes_total=2,
        services=[ServiceStatus("echo", 1, 2, 2, 1, requests=3), ServiceStatus("another", 1, 1, 0, 0, requests=0)],
        services_total=2,
        counters=rig.counters | dict.fromkeys(GOSSIP, 0),
        lag=LagStatus(),
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
    refused = {reason.name: count for reason in Reason}
    took = [255, COUNT_MAX] * (REPORT_BUCKETS_MAX // REPORT_ROWS_MAX)
    serves = ["s" * 127] * REPORT_SERVES_MAX
    numbers = ("incarnation", "since_ms", "nodes", "in_flight", "queued", "services", "registry", "rtt_ms")
    row = {"name": text, "state": "suspect", "link": "connecting", "problem": max(Failure, key=len), "left": True}
    peer = msgspec.convert(row | dict.fromkeys(numbers, count), PeerStatus)
    own = msgspec.structs.replace(peer, operations=[OperationStatus("take-out", text, text, count)] * TOLD_MAX)
    bridge = BridgeStatus(text, UINT32, UINT32, UINT32, UINT32, UINT32, UINT32)
    node = NodeStatus(text, "leaving", count, count, serves, bridge, text, count, count, count, refused)
    report = Report(
        broker=text,
        brokers=[own, *[peer] * (REPORT_ROWS_MAX - 1)],
        nodes=[node] * REPORT_ROWS_MAX,
        services=[ServiceStatus("s" * 127, count, count, count, count, count, took, count, count)] * REPORT_ROWS_MAX,
        counters=dict.fromkeys(Rig().counters, count),
        losses=[LossStatus(text, count, True, count, serves, bridge)] * LOSSES_MAX,
        lag=LagStatus([255, COUNT_MAX] * BUCKETS, count, count, count),
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


def losses_of(rig: Rig) -> list[LossStatus]:
    return rig.core.report(rig.now).losses


def test_worker_that_is_gone_without_a_goodbye_is_told_until_it_is_back() -> None:
    rig = Rig()
    client, worker = rig.client("client"), rig.worker("worker", "echo", credit=8)
    worker.ready("another", 1)
    client.request()
    client.request()
    worker.disconnect()
    rig.now += 2.0
    assert losses_of(rig) == [LossStatus("worker", 2_000, False, 2, ["another", "echo"])]
    other = rig.worker("other", "echo", credit=8)
    rig.core.on_unsent(other.route, [], rig.now)
    other.disconnect()
    assert [loss.name for loss in losses_of(rig)] == ["other", "worker"]
    rig.worker("other", "echo")
    assert [loss.name for loss in losses_of(rig)] == ["worker"]
    rig.worker("worker", "echo")
    assert losses_of(rig) == []


def test_bridge_is_told_by_its_newest_word_and_lost_though_it_serves_nothing() -> None:
    rig = Rig()
    bridge, first, newest = rig.client("bridge"), BridgeStatus("http"), BridgeStatus("http", 3, 0, 40, 2, 1, 5)
    bridge.control(Bridging(first))
    bridge.control(Bridging(newest))
    (row,) = rig.core.report(rig.now).nodes
    assert (row.name, row.bridge) == ("bridge", newest)
    bridge.disconnect()
    assert losses_of(rig) == [LossStatus("bridge", 0, bridge=newest)]
    rig.client("bridge")
    assert losses_of(rig) == []
    other = rig.worker("other", "echo", credit=8)
    other.control(Bridging(first))
    rig.core.on_unsent(other.route, [], rig.now)
    other.disconnect()
    assert losses_of(rig) == [LossStatus("other", 0, serves=["echo"], bridge=first)]
    assert rig.core.report(rig.now).nodes[0].bridge is None, "it has not said anything yet"


def test_worker_that_is_silent_for_too_long_is_told_as_lost() -> None:
    rig = Rig()
    rig.worker("worker", "echo")
    rig.advance(rig.settings.dead_after_s + 1.0)
    (loss,) = losses_of(rig)
    assert (loss.name, loss.silent, loss.serves) == ("worker", True, ["echo"])
    assert loss.ago_ms < 1_000


def test_who_says_goodbye_or_serves_nothing_is_no_loss() -> None:
    rig = Rig()
    leaving, client = rig.worker("worker", "echo"), rig.client("client")
    leaving.goodbye()
    leaving.disconnect()
    client.disconnect()
    assert losses_of(rig) == []


def test_loss_is_forgotten_after_a_time_and_with_its_member() -> None:
    rig = Rig()
    for name in ("w1", "w2"):
        rig.worker(name, "echo").disconnect()
    assert [loss.name for loss in losses_of(rig)] == ["w2", "w1"]
    rig.registry.members = {key: each for key, each in rig.registry.members.items() if each.name != "w2"}
    assert [loss.name for loss in losses_of(rig)] == ["w1"]
    rig.now += REMEMBERED_S + 1.0
    assert losses_of(rig) == []


def test_only_so_many_losses_are_remembered_the_latest_ones() -> None:
    rig = Rig(connections_per_key_max=1)
    for number in range(LOSSES_MAX + 2):
        rig.worker(f"w{number}", "echo").disconnect()
    rows = losses_of(rig)
    assert (len(rows), rows[0].name, rows[-1].name) == (LOSSES_MAX, f"w{LOSSES_MAX + 1}", "w2")


def test_broker_that_has_said_that_it_stops_is_told_apart_from_one_that_is_killed() -> None:
    rig = Rig()
    leaving = rig.peer("b2")
    rig.peer("b3")
    leaving.say(Gossip([Rumor("b2", 7, "leaving")]))
    rig.peer("b4").say(Gossip([Rumor("b2", 7, "dead"), Rumor("b3", 0, "dead")]))
    left = {row.name: (row.state, row.left) for row in rig.core.report(rig.now).brokers}
    assert (left["b2"], left["b3"]) == (("dead", True), ("dead", False))
    leaving.say(Gossip([Rumor("b2", 8, "alive")]))
    left = {row.name: (row.state, row.left) for row in rig.core.report(rig.now).brokers}
    assert left["b2"] == ("alive", False)


def test_requests_that_are_refused_for_want_of_room_are_counted_apart() -> None:
    rig = Rig(queue_messages_max=1)
    client = rig.client("client")
    rig.worker("worker", "echo", credit=1)
    for _ in range(4):
        client.request()
    client.request("nobody")
    counters = rig.core.report(rig.now).counters
    assert (counters["busy"], counters["rejected"]) == (2, 3)


class TestHowLongServicesTake:
    def took(self, rig: Rig, service: str = "echo") -> Histogram:
        (row,) = [each for each in rig.core.report(rig.now).services if each.name == service]
        found = Histogram.of(row.took)
        assert found.count == row.replies
        return found

    def test_it_is_from_the_requests_coming_to_the_replys_leaving_with_the_time_that_it_has_waited(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=1)
        for _ in range(2):
            client.request()
        for _ in range(2):
            rig.advance(0.5, heartbeats=True)
            worker.reply(worker.request_in())
        took = self.took(rig)
        assert took.count == 2
        assert took.quantile(0.0) == pytest.approx(0.5, rel=0.07)
        assert took.quantile(1.0) == pytest.approx(1.0, rel=0.07)

    def test_it_counts_from_the_beginning_though_a_worker_has_given_it_back(self) -> None:
        rig = Rig()
        client = rig.client()
        first, second = rig.worker("w1", credit=1), rig.worker("w2", credit=1)
        client.request()
        (busy, free) = (first, second) if first.held else (second, first)
        (held,) = busy.held.values()
        rig.advance(0.04)
        busy.reject(held, Reason.BUSY)
        rig.advance(0.02)
        free.reply(free.request_in())
        assert self.took(rig).quantile(1.0) == pytest.approx(0.06, rel=0.07)

    def test_errors_of_handlers_count_and_refusals_do_not(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=2)
        for _ in range(2):
            client.request()
        failed, refused = worker.requests()
        worker.reply(failed, code=Outcome.ERROR)
        worker.reject(refused, Reason.EXPIRED)
        assert self.took(rig).count == 1

    def test_one_is_counted_whose_client_is_gone(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker()
        client.request()
        client.disconnect()
        worker.reply(worker.requests()[0])
        assert self.took(rig).count == 1

    def test_those_with_the_most_replies_are_told_of_where_there_is_no_room_for_all(
        self, patch_cores: pytest.MonkeyPatch
    ) -> None:
        patch_cores.setattr(report_module, "REPORT_BUCKETS_MAX", 1)
        rig = Rig()
        client, worker = rig.client(), rig.worker("w", "rare")
        worker.ready("often")
        for service in ("rare", "often", "often"):
            client.request(service)
            worker.reply(worker.request_in())
        rows = {row.name: row for row in rig.core.report(rig.now).services}
        assert [rows[name].replies for name in ("rare", "often")] == [1, 2]
        assert (rows["rare"].took, Histogram.of(rows["often"].took).count) == ([], 2)


class TestWhatACallerDoes:
    def row(self, rig: Rig, name: str = "client") -> NodeStatus:
        first, *further = [row for row in rig.core.report(rig.now).nodes if row.name == name]
        assert all((row.requests, row.request_bytes, row.rejected) == (0, 0, {}) for row in further)
        return first

    def test_its_requests_their_size_and_refusals_are_counted(self) -> None:
        rig = Rig()
        client = rig.client(calls=("echo", "none"))
        rig.worker(credit=1)
        payloads = (b"", b"12345", b"1" * 1_000)
        for payload in payloads:
            client.request(payload=payload)
        client.request("none")
        client.request("other")
        client.request("other")
        row = self.row(rig)
        assert row.requests == 6
        assert row.request_bytes == 6 * SIZE_BYTES + sum(map(len, payloads)) + 2 * len("other") - 2 * len("none")
        assert row.rejected == {"NO_WORKER": 1, "DENIED": 2}

    def test_those_of_a_service_are_counted_as_well(self) -> None:
        rig = Rig()
        client, other = rig.client(calls=("echo", "none", "sum")), rig.client("other", calls=("sum",))
        worker = rig.worker(credit=1)
        rig.worker("adder", "sum")
        for _ in range(3):
            client.request()
        for member, service in ((client, "none"), (client, "sum"), (other, "echo"), (other, "echo")):
            member.request(service)
        worker.reply(worker.requests()[0])
        rows = {row.name: row for row in rig.core.report(rig.now).services}
        assert {name: (row.requests, row.rejected) for name, row in rows.items()} == {
            "echo": (5, 2),
            "sum": (1, 0),
        }
        assert rows["echo"].replies == 1

    def test_connections_of_one_key_count_together_and_those_of_others_apart(self) -> None:
        rig = Rig()
        rig.worker(credit=8)
        one, again, other = rig.client(), rig.client(), rig.client("other")
        for member in (one, again, other, other, other):
            member.request()
        assert self.row(rig).requests == 2
        assert self.row(rig, "other").requests == 3

    def test_it_begins_anew_when_all_its_connections_have_ended(self) -> None:
        rig = Rig()
        client = rig.client()
        client.request()
        client.disconnect()
        rig.client()
        row = self.row(rig)
        assert (row.requests, row.rejected) == (0, {})

    def test_what_is_malformed_counts_as_well(self) -> None:
        rig = Rig()
        client = rig.client()
        client.frame(packed(REQUEST, b"cut"))
        assert self.row(rig).requests == 1
