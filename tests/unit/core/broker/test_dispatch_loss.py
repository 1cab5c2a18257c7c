"""What becomes of requests when a worker or a client is gone."""

from braidmq.core.broker.key_usage import KEY_IN_FLIGHT_FACTOR
from braidmq.wire.envelope import (
    CANCEL,
    LOST,
    REJECT,
    REPLY,
    REQUEST,
    WORKING,
    Envelope,
    Progress,
    Reason,
    Withdrawal,
    command_of,
    encode,
)
from tests.support.rigs.broker_rig import FakeMember, Rig


class TestWorkerLoss:
    def test_what_it_had_is_lost_at_once(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=3)
        sent = [client.request() for _ in range(3)]
        worker.disconnect()
        got = client.transits()
        assert [(each.command, each.tag, each.id) for each in got] == [(LOST, each.tag, each.id) for each in sent]
        assert rig.counters["lost"] == 3

    def test_what_was_not_sent_to_it_goes_to_another_at_once(self) -> None:
        rig = Rig()
        client, stuck = rig.client("c"), rig.worker("stuck", credit=5)
        stuck.stuck = []
        sent = [client.request(payload=b"p", retry_count=1, flags=0) for _ in range(2)]
        other = rig.worker("other", credit=5)
        rig.advance(0.05)
        stuck.disconnect()
        got = other.requests()
        assert [each.id for each in got] == [each.id for each in sent]
        assert {(each.sender, each.receiver, each.payload, each.flags, each.retry_count) for each in got} == {
            (b"c", b"other", b"p", 0, 1)
        }
        assert all(4_940 <= each.time_ms <= 4_950 for each in got)
        assert client.transits() == []
        for each in got:
            other.reply(each)
        assert [each.command for each in client.transits()] == [REPLY, REPLY]

    def test_only_what_was_sent_to_it_is_lost(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=5)
        first = client.request()
        worker.stuck = []
        client.request()
        other = rig.worker("other", credit=5)
        worker.disconnect()
        got = client.one()
        assert (got.command, got.id) == (LOST, first.id)
        assert len(other.requests()) == 1

    def test_unsent_request_waits_if_the_others_are_busy(self) -> None:
        rig = Rig()
        client, stuck, other = rig.client(), rig.worker("stuck", credit=1), rig.full_worker("other")
        stuck.stuck = []
        client.request()
        stuck.disconnect()
        assert client.transits() == []
        other.ready(credit=1)
        assert len(other.requests()) == 1

    def test_unsent_request_without_another_worker_is_rejected(self) -> None:
        rig = Rig()
        client, stuck = rig.client(), rig.worker("stuck")
        stuck.stuck = []
        client.request()
        stuck.disconnect()
        assert client.answer() == (REJECT, Reason.NO_WORKER)

    def test_unsent_request_that_has_expired_is_rejected(self) -> None:
        rig = Rig()
        client, stuck, other = rig.client(), rig.worker("stuck"), rig.full_worker("other")
        stuck.stuck = []
        client.request(time_ms=200)
        other.ready(credit=1)
        rig.now += 0.3
        stuck.disconnect()
        assert client.answer() == (REJECT, Reason.EXPIRED)
        assert other.requests() == []

    def test_unsent_request_that_was_cancelled_is_forgotten(self) -> None:
        rig = Rig()
        client, stuck = rig.client(), rig.worker("stuck")
        stuck.stuck = []
        client.cancel(client.request())
        other = rig.worker("other")
        stuck.disconnect()
        assert other.requests() == []
        assert client.transits() == []

    def test_unsent_request_finds_a_worker_that_came_after_its_service_had_none(self) -> None:
        rig = Rig()
        client, stuck = rig.client(), rig.worker("stuck")
        stuck.stuck = []
        client.request()
        stuck.goodbye()
        other = rig.worker("other")
        stuck.disconnect()
        assert client.transits() == []
        assert len(other.requests()) == 1

    def test_workers_that_are_gone_in_the_same_turn_lose_nothing_that_was_not_sent(self) -> None:
        rig = Rig()
        client, first, second = rig.client(), rig.worker("first"), rig.full_worker("second")
        last = rig.full_worker("last")
        first.stuck = []
        client.request()
        second.ready(credit=1)
        core = rig.core
        core.on_unsent(first.route, first.stuck, rig.now)
        core.on_disconnect(first.route, rig.now)
        core.on_unsent(second.route, [], rig.now)
        core.on_disconnect(second.route, rig.now)
        rig.settle()
        assert client.transits() == []
        last.ready(credit=1)
        assert len(last.requests()) == 1

    def test_what_is_not_taken_yet_when_a_key_is_revoked_goes_to_another(self) -> None:
        rig = Rig()
        client, doomed, other = rig.client(), rig.worker("doomed"), rig.full_worker("other")
        rig.core.on_frame(client.route, client.principal, encode(client.envelope()), rig.now)
        del rig.registry.members[doomed.principal]
        rig.change_registry()
        assert client.transits() == []
        other.ready(credit=1)
        assert len(other.requests()) == 1

    def test_worker_that_is_its_own_client_leaves_nothing_behind(self) -> None:
        rig = Rig()
        both = rig.connect("both", calls=("*",), serves=("*",))
        both.ready(credit=2)
        both.request()
        both.stuck = []
        both.request()
        other = rig.worker("other", credit=5)
        both.disconnect()
        assert other.requests() == [], "nobody waits for it"
        assert not rig.core.sessions[other.route].assigned

    def test_queue_goes_to_the_workers_that_are_left(self) -> None:
        rig = Rig()
        client, first, second = rig.client(), rig.full_worker("first"), rig.full_worker("second")
        client.request()
        first.disconnect()
        assert client.transits() == []
        second.ready(credit=1)
        assert len(second.requests()) == 1

    def test_queue_is_rejected_when_the_last_worker_is_gone(self) -> None:
        rig = Rig()
        client, first, second = rig.client(), rig.full_worker("first"), rig.full_worker("second")
        for _ in range(3):
            client.request()
        first.disconnect()
        second.disconnect()
        assert [each.code for each in client.transits(REJECT)] == [Reason.NO_WORKER] * 3
        assert not rig.core.dispatcher.services

    def test_worker_given_up_for_its_silence_loses_what_it_had(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker()
        client.request(time_ms=60_000)
        while worker.route in rig.core.sessions:
            client.heartbeat()
            rig.advance(0.5)
        assert [each.command for each in client.transits()] == [WORKING, LOST]

    def test_suspect_worker_keeps_what_it_has(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker()
        client.request(time_ms=60_000)
        (held,) = worker.requests()
        rig.advance(1.6)
        assert [each.code for each in client.transits()] == [Progress.SILENT]
        worker.reply(held)
        assert client.answer() == (REPLY, 0)


class TestClientLoss:
    def test_what_waited_for_it_is_forgotten(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.full_worker()
        client.request()
        client.disconnect()
        worker.ready(credit=1)
        assert worker.requests() == []
        assert rig.core.dispatcher.queues.bytes == 0

    def test_worker_goes_on_and_its_answer_goes_nowhere(self) -> None:
        rig = Rig()
        client, worker = rig.client("c"), rig.worker(credit=1)
        client.request()
        (held,) = worker.requests()
        client.disconnect()
        again = rig.client("c")
        again.request()
        (told,) = worker.transits()
        assert told.code == Withdrawal.ORPHANED, "a retry elsewhere may join the run: it is not called off"
        worker.working(held)
        worker.reply(held)
        assert again.transits() == []
        assert len(worker.requests()) == 1, "the credit is free again"

    def test_its_share_of_the_limits_is_free_again(self) -> None:
        rig = Rig(in_flight_max=2)
        first, second = rig.client("c"), rig.client("c")
        rig.worker(credit=1)
        for _ in range(2 * KEY_IN_FLIGHT_FACTOR):
            first.request()
        second.request()
        assert second.answer() == (REJECT, Reason.BUSY)
        first.disconnect()
        for _ in range(2 * KEY_IN_FLIGHT_FACTOR):
            second.request()
        assert second.transits() == []


def dropped(worker: FakeMember) -> None:
    """Let a request be dropped that was called back while it waited for a worker, as a carrier does it."""
    assert worker.stuck is not None
    request = next(each for each in worker.stuck if command_of(each) == REQUEST)
    assert any(command_of(each) == CANCEL for each in worker.stuck)
    worker.stuck = None
    worker.rig.core.on_dropped(worker.route, request, worker.rig.now)
    worker.rig.settle()


class TestDropped:
    def test_request_that_was_given_up_leaves_its_worker_free(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=1)
        worker.stuck = []
        client.cancel(client.request())
        waits = client.request()
        dropped(worker)
        assert [each.id for each in worker.requests()] == [waits.id]
        assert client.transits() == []

    def test_request_whose_client_is_gone_leaves_its_worker_free(self) -> None:
        rig = Rig()
        client, other, worker = rig.client(), rig.client("other"), rig.worker(credit=1)
        worker.stuck = []
        client.request()
        client.disconnect()
        waits = other.request()
        dropped(worker)
        assert [each.id for each in worker.requests()] == [waits.id]

    def test_attempt_that_was_superseded_was_certainly_not_run(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=1)
        worker.stuck = []
        client.cancel(client.request(), Withdrawal.SUPERSEDED)
        dropped(worker)
        assert client.answer() == (REJECT, Reason.EXPIRED)

    def test_what_nobody_has_is_passed_over(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=1)
        asked = client.request()
        for strange in (Envelope(REQUEST, asked.id, tag=9_999), Envelope(REQUEST, bytes(16), tag=asked.tag)):
            rig.core.on_dropped(worker.route, encode(strange), rig.now)
        rig.core.on_dropped(b"nobody", encode(asked), rig.now)
        worker.reply(worker.requests()[0])
        assert client.answer()[0] == REPLY
