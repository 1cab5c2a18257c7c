"""Requests that wait for credit: of any worker, or of the one that they name; and how workers are asked for it."""

from braidmq.core.dispatch import DEMAND_S
from braidmq.core.working import WORKING_S
from braidmq.wire.envelope import PREFIX_BYTES, REJECT, REPLY, WORKING, Progress, Reason
from rigs.broker_rig import BROKER, Demand, Rig


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
        assert rig.core.dispatcher.queued_bytes == 0

    def test_queue_of_a_service_is_bounded_in_count(self) -> None:
        rig = Rig(queue_messages_max=3)
        client, worker = rig.client(), rig.worker(credit=0)
        for _ in range(3):
            client.request()
        assert client.exchanges() == []
        client.request()
        assert client.answer() == (REJECT, Reason.BUSY)
        rig.worker("w2", "other", credit=0)
        client.request("other")
        assert client.exchanges() == []
        worker.ready(credit=1)
        client.request()
        assert client.exchanges() == []

    def test_queue_of_length_zero_keeps_nothing(self) -> None:
        rig = Rig(queue_messages_max=0)
        client, worker = rig.client(), rig.worker(credit=1)
        client.request()
        client.request()
        assert client.answer() == (REJECT, Reason.BUSY)
        assert len(worker.requests()) == 1

    def test_queues_together_are_bounded_in_bytes(self) -> None:
        rig = Rig(queue_bytes_max=4096)
        one, other = rig.client("one"), rig.client("other")
        rig.worker("w1", "echo", credit=0)
        rig.worker("w2", "other", credit=0)
        one.request("echo", bytes(2000))
        one.request("other", bytes(1900))
        assert one.exchanges() == []
        other.request("echo", bytes(200))
        assert other.answer() == (REJECT, Reason.BUSY)
        other.request("echo")
        assert other.exchanges() == []

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
        (refused,) = client.exchanges()
        assert (refused.command, refused.code) == (REJECT, Reason.BUSY)
        assert 0 < refused.time_ms < 2_000
        client.request(time_ms=10_000)
        assert client.exchanges() == []

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
        assert client.exchanges() == []

    def test_envelope_counts_towards_the_bytes(self) -> None:
        rig = Rig(queue_bytes_max=1024)
        client = rig.client()
        rig.worker(credit=0)
        size = PREFIX_BYTES + len("echo")
        for _ in range(1024 // size):
            client.request()
        assert client.exchanges() == []
        client.request()
        assert client.answer() == (REJECT, Reason.BUSY)

    def test_queued_bytes_of_each_key_are_bounded_over_all_its_connections(self) -> None:
        rig = Rig(in_flight_bytes_max=4096)
        first, second, other = rig.client("c"), rig.client("c"), rig.client("other")
        worker = rig.worker(credit=0)
        first.request(payload=bytes(2000))
        second.request(payload=bytes(1900))
        assert second.exchanges() == []
        second.request(payload=bytes(200))
        assert second.answer() == (REJECT, Reason.BUSY)
        other.request(payload=bytes(200))
        assert other.exchanges() == []
        worker.ready(credit=1)
        second.request(payload=bytes(200))
        assert second.exchanges() == []

    def test_request_that_is_rejected_leaves_nothing_behind(self) -> None:
        rig = Rig(queue_messages_max=0)
        client = rig.client()
        rig.worker(credit=0)
        for _ in range(600):
            client.request()
        assert {each.code for each in client.exchanges()} == {Reason.BUSY}
        assert not rig.core.sessions[client.route].requests

    def test_queued_request_is_rejected_at_its_deadline(self) -> None:
        rig = Rig()
        client = rig.client()
        rig.worker(credit=0)
        sent = client.request(time_ms=500, working_ms=60_000)
        rig.advance(0.49)
        assert client.exchanges() == []
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
        got = client.exchanges()
        assert {(each.command, each.code) for each in got} == {(REPLY, 0), (REJECT, Reason.EXPIRED)}
        assert [each.id for each in worker.requests()] == [third.id]
        assert rig.counters["expired"] == 1

    def test_client_hears_that_its_request_waits_as_often_as_it_asked(self) -> None:
        rig = Rig()
        client = rig.client("c")
        rig.worker(credit=0)
        sent = client.request(working_ms=200, time_ms=5_000)
        rig.advance(1.1)
        got = client.exchanges()
        assert 4 <= len(got) <= 5
        assert {(each.command, each.code, each.tag, each.sender) for each in got} == {
            (WORKING, Progress.QUEUED, sent.tag, BROKER.encode())
        }

    def test_client_that_asks_for_no_interval_hears_it_at_the_usual_one(self) -> None:
        rig = Rig()
        client = rig.client()
        rig.worker(credit=0)
        client.request(working_ms=0)
        rig.advance(1.0)
        assert len(client.exchanges(WORKING)) == int(1.0 / WORKING_S)

    def test_client_that_asks_for_a_tiny_interval_does_not_get_it(self) -> None:
        rig = Rig()
        client = rig.client()
        rig.worker(credit=0)
        client.request(working_ms=1)
        rig.advance(1.0)
        assert len(client.exchanges(WORKING)) <= 100

    def test_nothing_waits_while_a_worker_has_credit(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=3)
        for _ in range(3):
            client.request()
        rig.advance(2.0, heartbeats=True)
        assert client.exchanges() == []
        assert len(worker.requests()) == 3


class TestAddressed:
    def test_request_goes_to_the_worker_it_names(self) -> None:
        rig = Rig()
        client = rig.client()
        workers = [rig.worker(f"w{number}", credit=9) for number in range(3)]
        for _ in range(4):
            client.request(receiver=b"w1")
        assert [len(worker.requests()) for worker in workers] == [0, 4, 0]

    def test_request_waits_for_that_worker_though_others_have_credit(self) -> None:
        rig = Rig()
        client, wanted, other = rig.client(), rig.worker("wanted", credit=1), rig.worker("other", credit=9)
        client.request(receiver=b"wanted")
        client.request(receiver=b"wanted")
        (held,) = wanted.requests()
        assert other.requests() == []
        wanted.reply(held)
        assert len(wanted.requests()) == 1

    def test_what_waits_for_a_worker_goes_before_what_waits_for_any(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker("w", credit=1)
        client.request()
        anyone = client.request()
        wanted = client.request(receiver=b"w")
        order = []
        for _ in range(3):
            (held,) = worker.requests()
            order.append(held.id)
            worker.reply(held)
        assert order[1:] == [wanted.id, anyone.id]

    def test_request_to_a_worker_that_is_not_here_goes_to_any(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker("w")
        rig.worker("elsewhere", "another-service")
        client.request(receiver=b"gone")
        assert len(worker.requests()) == 1
        client.request(receiver=b"elsewhere")
        assert rig.core.dispatcher.services[b"echo"].queued == 1

    def test_request_to_a_suspect_worker_goes_to_any(self) -> None:
        rig = Rig()
        client, silent, other = rig.client(), rig.worker("silent", credit=9), rig.worker("other", credit=9)
        rig.advance(1.0)
        client.heartbeat()
        other.heartbeat()
        rig.advance(0.6)
        client.request(receiver=b"silent")
        assert silent.requests() == []
        assert len(other.requests()) == 1

    def test_what_waits_for_a_worker_goes_to_another_when_it_becomes_suspect(self) -> None:
        rig = Rig()
        client, silent, other = rig.client(), rig.worker("silent", credit=0), rig.worker("other", credit=1)
        rig.advance(1.0)
        client.heartbeat()
        other.heartbeat()
        client.request(receiver=b"silent")
        client.request(receiver=b"silent")
        assert other.requests() == []
        rig.advance(0.6)
        assert len(other.requests()) == 1
        assert silent.requests() == []
        silent.ready(credit=1)
        assert len(silent.requests()) == 1, "the other one waits for anybody now"

    def test_what_waits_for_a_worker_goes_to_another_when_it_is_gone(self) -> None:
        rig = Rig()
        client, wanted, other = rig.client(), rig.worker("wanted", credit=0), rig.worker("other", credit=1)
        client.request(receiver=b"wanted")
        wanted.disconnect()
        assert len(other.requests()) == 1
        assert client.exchanges() == []

    def test_what_waits_for_a_worker_is_rejected_when_it_was_the_last(self) -> None:
        rig = Rig()
        client, wanted = rig.client(), rig.worker("wanted", credit=0)
        client.request(receiver=b"wanted")
        wanted.disconnect()
        assert client.answer() == (REJECT, Reason.NO_WORKER)

    def test_what_waits_for_a_worker_expires_like_everything_else(self) -> None:
        rig = Rig()
        client = rig.client()
        rig.worker("wanted", credit=0)
        client.request(receiver=b"wanted", time_ms=200, working_ms=60_000)
        rig.advance(0.25)
        assert client.answer() == (REJECT, Reason.EXPIRED)

    def test_what_waits_for_a_worker_counts_towards_the_bounds_of_the_queue(self) -> None:
        rig = Rig(queue_messages_max=2)
        client = rig.client()
        rig.worker("w1", credit=0)
        rig.worker("w2", credit=0)
        client.request(receiver=b"w1")
        client.request(receiver=b"w2")
        client.request()
        assert client.answer() == (REJECT, Reason.BUSY)

    def test_naming_a_worker_does_not_lift_the_need_for_a_right(self) -> None:
        rig = Rig()
        rig.worker("w")
        client = rig.client(calls=("other",))
        client.request(receiver=b"w")
        assert client.answer() == (REJECT, Reason.DENIED)


class TestDemand:
    def test_worker_is_asked_for_credit_when_requests_wait(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=0)
        client.request()
        assert worker.of(Demand) == [Demand("echo", 1)]

    def test_worker_is_asked_no_more_often_than_every_interval(self) -> None:
        rig = Rig(in_flight_max=1000)
        client, worker = rig.client(), rig.worker(credit=0)
        for _ in range(200):
            client.request(working_ms=60_000)
            rig.advance(DEMAND_S / 10, heartbeats=True)
        asked = worker.of(Demand)
        assert 18 <= len(asked) <= 21
        assert asked[-1].backlog > 150

    def test_worker_is_asked_again_as_long_as_requests_wait(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=0)
        client.request(working_ms=100)
        worker.take()
        rig.advance(0.25)
        assert len(worker.of(Demand)) == 2

    def test_suspect_worker_is_not_asked(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=0)
        rig.advance(1.0)
        client.heartbeat()
        rig.advance(0.6)
        worker.take()
        client.request()
        assert worker.of(Demand) == []
