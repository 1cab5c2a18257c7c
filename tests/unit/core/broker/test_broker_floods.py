"""What a broker does with members that send more than is good for the others."""

from typing import Any

import pytest

from braidmq.core.broker.bars import BAR_S, SESSIONS_BURST
from braidmq.core.broker.key_usage import OFFENCES_MAX
from braidmq.core.intake import PORTION_MESSAGES, TURN_MESSAGES_MAX, WAITING_BYTES_MAX
from braidmq.core.links.dialing import AGGRIEVED_S, PARDON_S
from braidmq.core.links.link import Failure
from braidmq.members import Role
from braidmq.wire.control import Goodbye, Heartbeat, Hello, Ready, Welcome, encode_control
from braidmq.wire.envelope import REPLY, REQUEST, Envelope, encode
from braidmq.wire.gossip import About
from braidmq.wire.limits import BUNDLE_BYTES
from tests.support.rigs.broker_rig import FakeMember, Rig
from tests.support.rigs.node_rig import NodeRig

HEARTBEAT = encode_control(Heartbeat(), 0)
FULL = HEARTBEAT * (BUNDLE_BYTES // len(HEARTBEAT))


def flood(member: FakeMember, frame: bytes = FULL, mebibytes: int = 6) -> None:
    """Hand a broker frames as its loop does in one turn, until they are handled or their sender is cut."""
    core, rig = member.rig.core, member.rig
    for _ in range(mebibytes * 1024 * 1024 // len(frame)):
        core.on_frame(member.route, member.principal, frame, rig.now)


def is_served(rig: Rig, client: FakeMember, worker: FakeMember) -> bool:
    client.request()
    worker.reply(worker.request_in())
    return client.answer() == (REPLY, 0)


class TestTurns:
    def test_an_honest_message_goes_before_the_rest_of_a_flood(self) -> None:
        rig = Rig()
        worker, client, hostile = rig.worker(), rig.client(), rig.client("hostile")
        nobody = encode(Envelope(REQUEST, b"i" * 16, service=b"nobody", tag=7, time_ms=1000))
        before = rig.counters["requests"]
        rig.now += 0.001
        rig.core.on_frame(hostile.route, hostile.principal, nobody * 900, rig.now)
        assert rig.counters["requests"] - before == PORTION_MESSAGES
        rig.core.on_frame(client.route, client.principal, encode(client.envelope()), rig.now)
        rig.settle()
        assert len(worker.requests()) == 1
        assert rig.core.behind

    def test_a_turn_handles_so_many_messages_that_wait_and_asks_for_another_turn(self) -> None:
        rig = Rig()
        hostile = rig.client("hostile")
        nobody = encode(Envelope(REQUEST, b"i" * 16, service=b"nobody", tag=7, time_ms=1000))
        for _ in range(3):
            rig.core.on_frame(hostile.route, hostile.principal, nobody * 900, rig.now)
        assert rig.core.next_deadline() <= rig.now
        before = rig.counters["requests"]
        rig.core.on_timer(rig.now)
        assert TURN_MESSAGES_MAX <= rig.counters["requests"] - before < TURN_MESSAGES_MAX + PORTION_MESSAGES
        assert rig.core.next_deadline() <= rig.now

    def test_connections_of_one_key_share_its_turn(self) -> None:
        rig = Rig()
        first = rig.client("hostile")
        second = rig.stranger("hostile")
        second.hello()
        nobody = encode(Envelope(REQUEST, b"i" * 16, service=b"nobody", tag=7, time_ms=1000))
        before = rig.counters["requests"]
        rig.now += 0.001
        for member in (first, second):
            rig.core.on_frame(member.route, member.principal, nobody * PORTION_MESSAGES, rig.now)
        assert rig.counters["requests"] - before == PORTION_MESSAGES

    def test_what_a_worker_has_said_before_its_end_is_handled_before_it(self) -> None:
        rig = Rig()
        worker, client = rig.worker(credit=1), rig.client()
        client.request()
        (request,) = worker.requests()
        reply = encode(Envelope(REPLY, request.id, tag=request.tag, payload=b"in time"))
        rig.core.on_frame(worker.route, worker.principal, HEARTBEAT * (PORTION_MESSAGES + 1) + reply, rig.now)
        rig.core.on_disconnect(worker.route, rig.now)
        rig.core.on_timer(rig.now)
        rig.settle()
        assert client.answer() == (REPLY, 0)
        assert worker.route not in rig.core.sessions


class TestBar:
    @pytest.mark.parametrize("connections", [1, 16])
    def test_a_key_that_floods_is_cut_and_barred_and_nobody_else_feels_it(self, connections: int) -> None:
        rig = Rig()
        worker, client = rig.worker(), rig.client()
        hostile = [rig.client("hostile")]
        while len(hostile) < connections:
            hostile.append(rig.stranger("hostile"))
            hostile[-1].hello()
        for member in hostile:
            flood(member, mebibytes=6 // connections + 1)
        rig.settle()
        assert rig.counters["barred"] == 1
        assert set(rig.core.take_cuts()) == {member.route for member in hostile}
        assert {"refused"} == {goodbye.reason for member in hostile for goodbye in member.of(Goodbye)}
        assert is_served(rig, client, worker)
        assert sum("barred" in str(event) for event in rig.events) == 1

    def test_what_waits_of_a_key_stays_within_its_bound(self) -> None:
        rig = Rig()
        hostile = rig.client("hostile")
        most = 0
        for _ in range(200):
            rig.core.on_frame(hostile.route, hostile.principal, FULL, rig.now)
            most = max([most, *(usage.inlet.bytes for usage in rig.core.usages)])
        assert WAITING_BYTES_MAX - 2 * len(FULL) < most <= WAITING_BYTES_MAX + len(FULL)

    def test_a_barred_key_comes_back_once_its_time_is_over(self) -> None:
        rig = Rig()
        hostile = rig.client("hostile")
        flood(hostile)
        again = rig.stranger("hostile")
        assert rig.core.barred_s(hostile.principal, rig.now) == BAR_S
        again.hello()
        assert [goodbye.reason for goodbye in again.of(Goodbye)] == ["refused"]
        rig.advance(BAR_S, heartbeats=True)
        last = rig.stranger("hostile")
        last.hello()
        assert last.of(Welcome)

    def test_a_key_that_sends_several_frames_in_a_message_is_barred_with_all_its_connections(self) -> None:
        rig = Rig()
        hostile, other = rig.client("hostile"), rig.stranger("hostile")
        other.hello()
        for _ in range(3):
            rig.core.on_breach(hostile.route, hostile.principal, "sent a message of several frames", rig.now)
        assert rig.counters["barred"] == 1
        assert {hostile.route, other.route} <= set(rig.core.take_cuts())
        assert not {hostile.route, other.route} & rig.core.sessions.keys()

    def test_a_stranger_to_the_broker_is_cut_as_well_if_its_message_has_several_frames(self) -> None:
        rig = Rig()
        hostile = rig.stranger("hostile")
        rig.register("hostile")
        rig.core.on_breach(hostile.route, hostile.principal, "sent a message of several frames", rig.now)
        assert rig.core.take_cuts() == [hostile.route]
        assert rig.core.barred_s(hostile.principal, rig.now) > 0

    def test_a_key_that_keeps_sending_garbage_is_barred(self) -> None:
        rig = Rig()
        hostile = rig.client("hostile")
        for _ in range(OFFENCES_MAX):
            hostile.frame(b"garbage")
        assert not rig.counters["barred"]
        hostile.frame(b"garbage")
        assert rig.counters["barred"] == 1

    def test_a_key_that_begins_sessions_without_end_is_barred(self) -> None:
        rig = Rig()
        rig.register("hostile")
        for _ in range(SESSIONS_BURST + 1):
            member = rig.stranger("hostile")
            member.hello()
            rig.core.on_disconnect(member.route, rig.now)
        assert rig.counters["barred"] == 1


class TestWhatIsNotRead:
    def test_lists_from_a_node_are_not_even_decoded(self, patch_cores: pytest.MonkeyPatch) -> None:
        rig = Rig()
        hostile = rig.client("hostile")
        decoded: list[Any] = []
        patch_cores.setattr("braidmq.core.broker.broker.control.decode_control", decoded.append)
        hostile.control(About("hostile", 1))
        hostile.control(Welcome("x", "y", 1, 1))
        assert decoded == []

    def test_a_node_has_no_use_for_long_control_messages(self) -> None:
        rig = Rig()
        hostile = rig.client("hostile")
        hostile.control(Hello("x" * 5_000))
        assert rig.counters["malformed"] == 1

    def test_another_broker_may_say_more(self) -> None:
        rig = Rig()
        rig.connect("b2", role=Role.BROKER).control(Ready("x" * 100, 1))
        assert rig.counters["malformed"] == 0


class TestNode:
    def test_a_broker_that_floods_a_node_is_left_and_tried_again_later(self) -> None:
        rig = NodeRig("a", "b")
        for _ in range(200):
            rig.core.on_frame("a", FULL, rig.now)
            if rig["a"].link.failure is not None:
                break
        rig.pump()
        assert rig["a"].link.failure is Failure.FLOODED
        assert rig["b"].link.open
        rig.advance(AGGRIEVED_S - 0.5)
        assert not rig["a"].link.open
        rig.advance(7.0)
        assert rig["a"].link.open

    @pytest.mark.parametrize("pardoned", [False, True])
    @pytest.mark.nightly
    def test_a_broker_that_floods_again_is_left_alone_for_longer_unless_that_was_long_ago(self, pardoned: bool) -> None:
        rig = NodeRig("a", "b")
        for _ in range(2):
            while rig["a"].link.open:
                rig.core.on_frame("a", FULL, rig.now)
            rig.pump()
            paused_s = rig["a"].link.wake_at - rig.now
            rig.advance(AGGRIEVED_S + 6.0 + (PARDON_S if pardoned else 0.0))
        assert paused_s == pytest.approx(AGGRIEVED_S if pardoned else 2.0 * AGGRIEVED_S)

    def test_what_a_node_handles_in_one_turn_is_bounded(self) -> None:
        rig = NodeRig("a", "b", serves={"echo": 1})
        rig.now += 0.001
        asked = encode(Envelope(REQUEST, b"i" * 16, sender=b"c", service=b"nobody", tag=7, time_ms=1000))
        rig.core.on_frame("a", asked * 900, rig.now)
        refused = [len(messages) for messages in rig.core.take_sends().values()]
        assert refused == [PORTION_MESSAGES]
        rig.core.on_frame("a", asked * 900, rig.now)
        rig.core.on_timer(rig.now)
        refused = [len(messages) for messages in rig.core.take_sends().values()]
        assert TURN_MESSAGES_MAX <= refused[0] < TURN_MESSAGES_MAX + PORTION_MESSAGES
