"""Requests that wait for credit, and how workers are asked for it."""

import pytest

from braidmq.core.broker.dispatch import TIME_MS_MAX
from braidmq.core.broker.queues import DEMAND_S, TURN_BYTES
from braidmq.core.patience import ASK_S, WORKING_S
from braidmq.settings import MIB
from braidmq.wire.envelope import PREFIX_BYTES, REJECT, REPLY, UINT32, WORKING, Progress, Reason
from tests.support.rigs.broker_rig import BROKER, Demand, Rig


class TestQueue:
    def test_requests_wait_for_credit_and_leave_in_order(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=1)
        sent = [client.request() for _ in range(5)]
        order = []
        for _ in range(5):
            (held,) = worker.requests()
            order.append(held.id)
            worker.reply(held)
        assert order == [each.id for each in sent]
        assert rig.core.dispatcher.queues.bytes == 0

    def test_queue_of_a_service_is_bounded_in_count(self) -> None:
        rig = Rig(queue_messages_max=3)
        client, other, worker = rig.client(), rig.client("other"), rig.full_worker()
        for each in (client, client, other):
            each.request()
            assert each.transits() == []
        for each in (client, other, rig.client("last")):
            each.request()
            assert each.answer() == (REJECT, Reason.BUSY)
        rig.full_worker("w2", "other")
        client.request("other")
        assert client.transits() == []
        worker.ready(credit=2)
        client.request()
        assert client.transits() == []

    def test_queue_of_length_zero_keeps_nothing(self) -> None:
        rig = Rig(queue_messages_max=0)
        client, worker = rig.client(), rig.worker(credit=1)
        client.request()
        client.request()
        assert client.answer() == (REJECT, Reason.BUSY)
        assert len(worker.requests()) == 1

    def test_queues_together_are_bounded_in_bytes(self) -> None:
        rig = Rig(queue_bytes_max=4096)
        one, two, last = rig.client("one"), rig.client("two"), rig.client("last")
        rig.full_worker("w1", "echo")
        rig.full_worker("w2", "other")
        one.request("echo", bytes(2000))
        two.request("other", bytes(1900))
        last.request("echo", bytes(200))
        assert last.answer() == (REJECT, Reason.BUSY)
        last.request("echo")
        assert one.transits() == two.transits() == last.transits() == []

    def test_queue_that_is_too_long_for_a_requests_time_refuses_it_and_says_when_to_come_back(self) -> None:
        """One worker, half a second each: nine in the queue take some 5 s."""
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=1)
        for _ in range(13):
            client.request(time_ms=60_000)
        for _ in range(4):
            (held,) = worker.requests()
            rig.advance(0.5)
            worker.reply(held)
        client.take()
        client.request(time_ms=5_000)
        (refused,) = client.transits()
        assert (refused.command, refused.code) == (REJECT, Reason.BUSY)
        assert 0 < refused.time_ms < 2_000
        client.request(time_ms=10_000)
        assert client.transits() == []

    def test_pace_is_forgotten_with_the_queue(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=1)
        for _ in range(5):
            client.request(time_ms=60_000)
        for _ in range(5):
            (held,) = worker.requests()
            rig.advance(0.9, heartbeats=True)
            worker.reply(held)
        client.take()
        for _ in range(50):
            client.request(time_ms=5_000)
        assert client.transits() == []

    def test_envelope_counts_towards_the_bytes(self) -> None:
        rig = Rig(queue_bytes_max=1024)
        client = rig.client()
        rig.full_worker()
        size = PREFIX_BYTES + len("echo")
        for _ in range(1024 // 2 // size + 1):
            client.request()
        assert client.transits() == []
        client.request()
        assert client.answer() == (REJECT, Reason.BUSY)

    def test_key_has_half_of_a_queue_and_two_a_third_each_so_that_others_find_room(self) -> None:
        rig = Rig(queue_messages_max=30, queue_bytes_max=3_000)
        rig.full_worker()
        hogs = [rig.client("hog1"), rig.client("hog1"), rig.client("hog2")]
        for hog in hogs[:2]:
            for _ in range(30):
                hog.request()
        assert rig.core.dispatcher.services[b"echo"].queued == 15
        for _ in range(30):
            hogs[2].request()
        assert rig.core.dispatcher.services[b"echo"].queued == 23
        late = rig.client("late")
        late.request()
        assert late.transits() == []

    def test_key_that_parks_bytes_in_one_service_leaves_room_for_the_calls_of_another(self) -> None:
        rig = Rig(queue_bytes_max=100_000)
        rig.full_worker("w1", "parked")
        rig.full_worker("w2", "echo")
        hog, other = rig.client("hog"), rig.client("other")
        for _ in range(100):
            hog.request("parked", bytes(5_000), time_ms=TIME_MS_MAX)
        assert 40_000 < rig.core.dispatcher.queues.bytes <= 51_000
        for _ in range(5):
            other.request("echo", bytes(5_000))
        assert other.transits() == []

    def test_large_requests_take_as_many_turns_as_they_are_large(self) -> None:
        rig = Rig(payload_bytes_max=MIB)
        large, small, worker = rig.client("large"), rig.client("small"), rig.full_worker()
        for _ in range(3):
            large.request(payload=bytes(16 * TURN_BYTES))
        for _ in range(40):
            small.request(payload=bytes(TURN_BYTES))
        order = []
        worker.ready(credit=1)
        for _ in range(36):
            (held,) = worker.requests()
            order.append(held.sender)
            worker.reply(held)
        assert [number for number, name in enumerate(order) if name == b"large"] == [15, 32]

    def test_queue_of_a_service_of_which_no_worker_grants_anything_is_given_back(self) -> None:
        rig = Rig()
        client, first, second = rig.client(), rig.full_worker("first"), rig.full_worker("second")
        client.request()
        first.ready(credit=0)
        assert client.transits() == []
        second.ready(credit=0)
        assert client.answer() == (REJECT, Reason.NO_WORKER)
        client.request()
        assert client.answer() == (REJECT, Reason.NO_WORKER)
        second.ready(credit=1)
        client.request()
        assert len(second.requests()) == 1

    def test_queue_is_kept_while_the_only_worker_that_grants_is_silent_for_a_moment(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.full_worker()
        rig.worker("idle", credit=0)
        client.request(time_ms=60_000)
        rig.advance(1.6)
        assert rig.core.sessions[worker.route].state == "suspect"
        assert not client.transits(REJECT)
        worker.ready(credit=1)
        assert len(worker.requests()) == 1

    @pytest.mark.nightly
    def test_time_to_come_back_that_fits_no_field_is_the_longest_one(self) -> None:
        """Answers hours apart, and tens of thousands that wait."""
        rig = Rig(queue_messages_max=100_000, in_flight_max=100_000)
        client, worker = rig.client(), rig.worker(credit=1)
        for _ in range(10):
            client.request(time_ms=TIME_MS_MAX)
        for _ in range(4):
            (held,) = worker.requests()
            rig.advance(1_000.0, heartbeats=True)
            worker.reply(held)
        rig.core.dispatcher.services[b"echo"].pace.interval_s = 1e9
        client.take()
        client.request(time_ms=5_000)
        refused = client.one()
        assert (refused.code, refused.time_ms) == (Reason.BUSY, UINT32)

    def test_queued_bytes_of_each_key_are_bounded_over_all_its_connections(self) -> None:
        rig = Rig(in_flight_bytes_max=4096)
        first, second, other = rig.client("c"), rig.client("c"), rig.client("other")
        worker = rig.full_worker()
        first.request(payload=bytes(2000))
        second.request(payload=bytes(1900))
        assert second.transits() == []
        second.request(payload=bytes(200))
        assert second.answer() == (REJECT, Reason.BUSY)
        other.request(payload=bytes(200))
        assert other.transits() == []
        worker.ready(credit=1)
        second.request(payload=bytes(200))
        assert second.transits() == []

    def test_request_that_is_rejected_leaves_nothing_behind(self) -> None:
        rig = Rig(queue_messages_max=0)
        client = rig.client()
        rig.full_worker()
        for _ in range(600):
            client.request()
        assert {each.code for each in client.transits()} == {Reason.BUSY}
        assert not rig.core.sessions[client.route].requests

    def test_queued_request_is_rejected_at_its_deadline(self) -> None:
        rig = Rig()
        client = rig.client()
        rig.full_worker()
        sent = client.request(time_ms=500, working_ms=60_000)
        rig.advance(0.49)
        assert [each.code for each in client.transits()] == [Progress.QUEUED]
        rig.advance(0.03)
        got = client.one()
        assert (got.command, got.code, got.tag) == (REJECT, Reason.EXPIRED, sent.tag)
        assert rig.counters["expired"] == 1

    def test_request_that_expired_unnoticed_is_rejected_and_not_run(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=1)
        client.request()
        client.request(time_ms=400)
        third = client.request()
        (held,) = worker.requests()
        rig.now += 0.5
        worker.reply(held)
        got = client.transits()
        assert {(each.command, each.code) for each in got} == {(REPLY, 0), (REJECT, Reason.EXPIRED)}
        assert [each.id for each in worker.requests()] == [third.id]
        assert rig.counters["expired"] == 1

    def test_client_hears_that_its_request_waits_as_often_as_it_asked(self) -> None:
        rig = Rig()
        client = rig.client("c")
        rig.full_worker()
        sent = client.request(working_ms=200, time_ms=5_000)
        rig.advance(1.1)
        got = client.transits()
        assert 5 <= len(got) <= 6
        assert {(each.command, each.code, each.tag, each.sender) for each in got} == {
            (WORKING, Progress.QUEUED, sent.tag, BROKER.encode())
        }

    def test_client_that_asks_for_no_interval_hears_it_at_the_usual_one(self) -> None:
        rig = Rig()
        client = rig.client()
        rig.full_worker()
        client.request(working_ms=0)
        rig.advance(1.0)
        assert len(client.transits(WORKING)) == 1 + int(1.0 / WORKING_S)

    def test_client_that_asks_for_a_tiny_interval_does_not_get_it(self) -> None:
        rig = Rig()
        client = rig.client()
        rig.full_worker()
        client.request(working_ms=1)
        rig.advance(1.0)
        assert len(client.transits(WORKING)) <= 100

    def test_client_hears_of_it_soon_and_not_of_a_short_wait(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=1)
        client.request()
        client.request()
        (held,) = worker.requests()
        rig.advance(ASK_S - 0.01)
        worker.reply(held)
        (held,) = worker.requests()
        rig.advance(1.0, heartbeats=True)
        assert not client.transits(WORKING)
        waiting = client.request()
        rig.advance(ASK_S + 0.02)
        (queued,) = client.transits(WORKING)
        assert (queued.code, queued.tag) == (Progress.QUEUED, waiting.tag)

    def test_keys_take_turns(self) -> None:
        rig = Rig()
        flood, few, worker = rig.client("flood"), rig.client("few"), rig.worker(credit=1)
        for _ in range(50):
            flood.request()
        for _ in range(2):
            few.request()
        order = []
        for _ in range(6):
            (held,) = worker.requests()
            order.append(held.sender)
            worker.reply(held)
        assert order == [b"flood", b"flood", b"few", b"flood", b"few", b"flood"]

    def test_what_a_key_floods_does_not_make_the_request_of_another_too_late(self) -> None:
        """With half a second each, fifty that wait would take longer than the request has time."""
        rig = Rig()
        flood, few, worker = rig.client("flood"), rig.client("few"), rig.worker(credit=1)
        for _ in range(50):
            flood.request(time_ms=60_000)
        for _ in range(4):
            (held,) = worker.requests()
            rig.advance(0.5, heartbeats=True)
            worker.reply(held)
        flood.take()
        few.request(time_ms=3_000)
        assert few.transits() == []
        flood.request(time_ms=3_000)
        assert flood.answer() == (REJECT, Reason.BUSY)

    def test_nothing_waits_while_a_worker_has_credit(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=3)
        for _ in range(3):
            client.request()
        rig.advance(2.0, heartbeats=True)
        assert client.transits() == []
        assert len(worker.requests()) == 3


class TestDemand:
    def test_worker_is_asked_for_credit_when_requests_wait(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.full_worker()
        client.request()
        assert worker.of(Demand) == [Demand("echo", 1)]

    def test_worker_is_asked_no_more_often_than_every_interval(self) -> None:
        rig = Rig(in_flight_max=1000)
        client, worker = rig.client(), rig.full_worker()
        for _ in range(200):
            client.request(working_ms=60_000)
            rig.advance(DEMAND_S / 10, heartbeats=True)
        asked = worker.of(Demand)
        assert 18 <= len(asked) <= 21
        assert asked[-1].backlog > 150

    def test_worker_is_asked_again_as_long_as_requests_wait(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.full_worker()
        client.request(working_ms=300)
        worker.take()
        rig.advance(0.7)
        assert len(worker.of(Demand)) == 2

    def test_suspect_worker_is_not_asked(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.full_worker()
        rig.advance(1.0)
        client.heartbeat()
        rig.advance(0.6)
        worker.take()
        client.request()
        assert worker.of(Demand) == []
