"""Whether a request that waits may have been overtaken by another attempt, and who is told when less is expected."""

import pytest

from braidmq.core.patience import HOLD_S_MIN, promise_s
from braidmq.core.staleness import Staleness
from braidmq.wire.bundle import COMMON_BYTES
from braidmq.wire.control import Heartbeat, encode_control
from braidmq.wire.envelope import CANCEL, REJECT, REPLY, UINT32, WORKING, Flag, Reason, Withdrawal, encode
from tests.support.rigs.broker_rig import FakeMember, Rig

INTERVAL_S = 0.3
SURE_S = HOLD_S_MIN / 2.0


def wait(rig: Rig, client: FakeMember, seconds: float, *, renewing: bool) -> None:
    """Let time pass; the client answers each QUEUED with RENEW, or does not."""
    for _ in range(round(seconds / 0.01)):
        rig.advance(0.01, heartbeats=True)
        for queued in client.transits(WORKING):
            if renewing:
                client.renew(queued)


def flagged(worker: FakeMember) -> bool:
    worker.ready(credit=1)
    (request,) = worker.requests()
    return bool(request.flags & Flag.POSSIBLE_DUPLICATE)


class TestFlagOfADelay:
    """The first messages of a session, HELLO among them, take half a second, as its network stands still."""

    DELAY_S = 0.5

    def slow_client(self, rig: Rig) -> FakeMember:
        client = rig.client()
        client.clock_s = -self.DELAY_S
        rig.core.sessions[client.route].staleness = Staleness()
        client.heartbeat()
        return client

    def test_delay_that_all_that_has_come_so_far_had_is_not_seen(self) -> None:
        rig = Rig()
        client, worker = self.slow_client(rig), rig.worker()
        client.request(working_ms=300)
        assert not worker.request_in().flags

    def test_delay_shows_in_what_was_sent_later_and_has_come_at_the_same_moment(self) -> None:
        rig = Rig()
        client, worker = self.slow_client(rig), rig.worker()
        request = encode(client.envelope(working_ms=300, time_ms=2_000))
        client.clock_s = 0.0
        rig.core.on_latest(client.route, encode_control(Heartbeat(), client.sent_ms), rig.now)
        client.frame(request)
        found = worker.request_in()
        assert found.flags & Flag.POSSIBLE_DUPLICATE
        assert found.time_ms == pytest.approx(2_000 - self.DELAY_S * 1000, abs=3)

    def test_delay_shows_in_what_stands_behind_it_in_its_frame(self) -> None:
        rig = Rig()
        client, worker = self.slow_client(rig), rig.worker()
        request = encode(client.envelope(working_ms=300))
        client.clock_s = 0.0
        client.frame(request + encode_control(Heartbeat(), client.sent_ms))
        assert worker.request_in().flags & Flag.POSSIBLE_DUPLICATE

    def test_a_frame_too_short_to_say_when_it_was_sent_and_one_of_nobody_tell_nothing(self) -> None:
        rig = Rig()
        client, worker = self.slow_client(rig), rig.worker()
        rig.core.on_latest(client.route, b"\0" * (COMMON_BYTES - 1), rig.now)
        rig.core.on_latest(b"nobody", encode_control(Heartbeat(), client.sent_ms), rig.now)
        client.request(working_ms=300)
        assert not worker.request_in().flags


class TestFlag:
    def test_request_that_waits_while_its_client_counts_on_it_gets_none(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.full_worker()
        client.request(working_ms=300, time_ms=60_000)
        wait(rig, client, 5.0, renewing=True)
        assert not flagged(worker)

    @pytest.mark.parametrize(("seconds", "expected"), [(SURE_S - 0.02, False), (SURE_S + 0.02, True)])
    def test_request_that_waits_for_half_of_its_hold_without_a_word_of_its_client_gets_it(
        self, seconds: float, expected: bool
    ) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.full_worker()
        client.request(working_ms=300, time_ms=60_000)
        wait(rig, client, seconds, renewing=False)
        assert flagged(worker) is expected

    @pytest.mark.parametrize("late_s", [-0.04, 0.04])
    def test_renewal_holds_for_the_time_that_its_client_promises(self, late_s: float) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.full_worker()
        client.request(working_ms=300, time_ms=60_000)
        rig.advance(0.05)
        (queued,) = client.transits(WORKING)
        written_at = queued.time_ms / 1000.0
        client.renew(queued)
        until = written_at + promise_s(INTERVAL_S) - SURE_S + late_s
        wait(rig, client, until - rig.now, renewing=False)
        assert flagged(worker) is (late_s > 0)

    def test_renewal_that_comes_while_a_worker_has_it_counts_when_it_comes_back(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.full_worker()
        client.request(working_ms=300, time_ms=60_000)
        rig.advance(0.05)
        (queued,) = client.transits(WORKING)
        worker.ready(credit=1)
        (request,) = worker.requests()
        client.renew(queued)
        worker.reject(request, Reason.BUSY)
        wait(rig, client, 0.2, renewing=False)
        assert not flagged(worker)

    def test_renewal_that_comes_late_does_not_count_from_its_arrival(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.full_worker()
        client.request(working_ms=300, time_ms=60_000)
        rig.advance(0.05)
        (queued,) = client.transits(WORKING)
        wait(rig, client, promise_s(INTERVAL_S) + 0.1, renewing=False)
        client.renew(queued)
        assert flagged(worker)

    def test_broker_that_stood_still_while_it_waited_sets_it(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.full_worker()
        client.request(working_ms=300, time_ms=60_000)
        wait(rig, client, 1.0, renewing=True)
        rig.stall(1.4)
        assert flagged(worker)

    def test_time_on_the_way_counts(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.full_worker()
        client.request(working_ms=300, time_ms=60_000, sent_ms=(client.sent_ms - 200) & UINT32)
        wait(rig, client, 0.15, renewing=False)
        assert flagged(worker)

    def test_renewal_of_what_does_not_wait_changes_nothing(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=1)
        sent = client.request()
        client.renew(sent)
        worker.reply(worker.request_in())
        assert client.answer() == (REPLY, 0)
        client.renew(sent)
        assert client.transits() == []


class TestWithdrawal:
    def test_superseded_request_that_waits_is_given_back(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.full_worker()
        sent = client.request()
        client.cancel(sent, Withdrawal.SUPERSEDED)
        assert client.answer() == (REJECT, Reason.EXPIRED)
        worker.ready(credit=1)
        assert worker.requests() == []

    def test_superseded_request_that_a_worker_has_is_told_there_and_may_still_be_answered(self) -> None:
        rig = Rig()
        client, worker = rig.client("c"), rig.worker(credit=1)
        sent = client.request()
        (held,) = worker.requests()
        client.cancel(sent, Withdrawal.SUPERSEDED)
        (cancel,) = worker.transits(CANCEL)
        assert (cancel.code, cancel.tag, cancel.sender) == (Withdrawal.SUPERSEDED, held.tag, b"c")
        worker.reply(held)
        assert client.answer() == (REPLY, 0)

    def test_worker_is_told_once(self) -> None:
        rig = Rig()
        client, worker = rig.client("c"), rig.worker(credit=1)
        sent = client.request()
        for _ in range(9):
            client.cancel(sent, Withdrawal.SUPERSEDED)
        assert len(worker.transits(CANCEL)) == 1

    def test_worker_is_told_what_is_given_up(self) -> None:
        rig = Rig()
        client, worker = rig.client("c"), rig.worker(credit=1)
        client.cancel(client.request())
        (cancel,) = worker.transits(CANCEL)
        assert cancel.code == Withdrawal.GIVEN_UP

    def test_worker_is_told_whose_client_is_gone(self) -> None:
        rig = Rig()
        client, worker = rig.client("c"), rig.worker(credit=2)
        client.request()
        client.request()
        tags = {each.tag for each in worker.requests()}
        client.disconnect()
        told = worker.transits(CANCEL)
        assert {each.tag for each in told} == tags
        assert {(each.code, each.sender) for each in told} == {(Withdrawal.ORPHANED, b"c")}
