"""Requests and answers: the broker's inner loop, through the whole broker."""

from collections import Counter

import pytest

from braidmq.core.broker.dispatch import TIME_MS_MAX
from braidmq.core.broker.key_usage import KEY_IN_FLIGHT_FACTOR
from braidmq.core.broker.transit import CALLABLE_MAX
from braidmq.wire.envelope import (
    CANCEL,
    LOST,
    REJECT,
    REPLY,
    REQUEST,
    UINT32,
    WORKING,
    Envelope,
    Flag,
    Outcome,
    Progress,
    Reason,
    encode,
)
from braidmq.wire.limits import EXTENSION_BYTES_MAX
from tests.support.rigs.broker_rig import BROKER, FINAL, FakeMember, Rig


def serve(worker: FakeMember) -> int:
    """Answer all requests that a worker has; return how many it had."""
    requests = worker.requests()
    for request in requests:
        worker.reply(request)
    return len(requests)


class TestHop:
    def test_request_reaches_the_worker_with_its_sender_and_receiver_stamped(self) -> None:
        rig = Rig()
        worker, client = rig.worker("w"), rig.client("c")
        sent = client.request(
            payload=b"payload", retry_count=2, flags=1, extension=b"\x09\0\x01x", sender=b"someone else", working_ms=77
        )
        got = worker.one()
        assert (got.sender, got.receiver, got.service) == (b"c", b"w", b"echo")
        assert (got.id, got.payload, got.extension, got.flags, got.retry_count, got.working_ms) == (
            sent.id, b"payload", b"\x09\0\x01x", 1, 2, 77,
        )  # fmt: skip

    def test_reply_reaches_the_client_with_its_sender_receiver_and_service_stamped(self) -> None:
        rig = Rig()
        worker, client = rig.worker("w"), rig.client("c")
        sent = client.request()
        worker.reply(
            worker.one(),
            b"result",
            sender=b"someone else",
            receiver=b"another",
            service=b"lie",
            code=Outcome.ERROR,
            flags=1,
            retry_count=3,
            extension=b"\x09\0\x01y",
        )
        got = client.one()
        assert (got.command, got.code) == (REPLY, Outcome.ERROR)
        assert (got.sender, got.receiver, got.service) == (b"w", b"c", b"echo")
        assert (got.id, got.tag, got.payload) == (sent.id, sent.tag, b"result")
        assert (got.extension, got.flags, got.retry_count) == (b"\x09\0\x01y", 1, 3)

    def test_tag_of_one_hop_is_not_seen_on_the_other(self) -> None:
        rig = Rig()
        worker, client = rig.worker(credit=2), rig.client()
        sent = [client.request(tag=tag) for tag in (0xDEADBEEF, 7)]
        got = worker.requests()
        assert not {each.tag for each in sent} & {each.tag for each in got}
        for each in got:
            worker.reply(each)
        assert [each.tag for each in client.transits()] == [0xDEADBEEF, 7]

    def test_two_clients_may_choose_the_same_tag_and_id(self) -> None:
        rig = Rig()
        worker, one, other = rig.worker(credit=2), rig.client("one"), rig.client("other")
        for client in (one, other):
            client.request(tag=1, id=b"i" * 16)
        for each in worker.requests():
            worker.reply(each, b"for " + each.sender)
        assert one.one().payload == b"for one"
        assert other.one().payload == b"for other"

    def test_largest_extension_and_payload_pass(self) -> None:
        rig = Rig(payload_bytes_max=100_000)
        worker, client = rig.worker(), rig.client()
        client.request(payload=b"p" * 100_000, extension=b"e" * EXTENSION_BYTES_MAX)
        got = worker.one()
        assert (len(got.payload), len(got.extension)) == (100_000, EXTENSION_BYTES_MAX)
        worker.reply(got, b"r" * 100_000, extension=b"f" * EXTENSION_BYTES_MAX)
        assert len(client.one().payload) == 100_000

    def test_remaining_time_shrinks_in_the_queue(self) -> None:
        rig = Rig()
        worker, client = rig.full_worker(), rig.client()
        client.request(time_ms=2_000)
        rig.advance(0.5)
        worker.ready(credit=1)
        assert 1_490 <= worker.one().time_ms <= 1_500

    def test_remaining_time_shrinks_by_what_a_message_lay_in_buffers(self) -> None:
        rig = Rig()
        worker, client = rig.worker(), rig.client()
        client.request(time_ms=2_000, sent_ms=(client.sent_ms - 700) & UINT32)
        assert 1_290 <= worker.one().time_ms <= 1_300

    def test_each_message_of_a_frame_has_its_own_age(self) -> None:
        """An older message has waited for a full pipe, and the request was added to it."""
        rig = Rig()
        worker, client = rig.worker(), rig.client()
        old = Envelope(CANCEL, bytes(16), sent_ms=(client.sent_ms - 700) & UINT32)
        client.frame(encode(old) + encode(client.envelope(time_ms=2_000)))
        assert 1_990 <= worker.one().time_ms <= 2_000

    @pytest.mark.parametrize(("delay_ms", "flagged"), [(80, False), (120, True)])
    def test_request_that_its_client_may_have_given_up_is_flagged(self, delay_ms: int, flagged: bool) -> None:
        rig = Rig()
        worker, client = rig.worker(), rig.client()
        client.request(working_ms=300, sent_ms=(client.sent_ms - delay_ms) & UINT32)
        assert bool(worker.one().flags & Flag.POSSIBLE_DUPLICATE) is flagged

    def test_broker_tag_wraps(self) -> None:
        rig = Rig()
        rig.core.dispatcher._assignments._tag = UINT32 - 1
        worker, client = rig.worker(credit=3), rig.client()
        for _ in range(3):
            client.request()
        got = worker.requests()
        assert [each.tag for each in got] == [UINT32, 0, 1]
        for each in got:
            worker.reply(each)
        assert len(client.transits(REPLY)) == 3


class TestRejected:
    def test_service_without_a_worker(self) -> None:
        rig = Rig()
        client = rig.client("c")
        sent = client.request("nobody")
        got = client.one()
        assert (got.command, got.code, got.tag, got.id) == (REJECT, Reason.NO_WORKER, sent.tag, sent.id)
        assert got.sender == BROKER.encode()

    @pytest.mark.parametrize("calls", [(), ("other",), ("ech",), ("echo.*",)])
    def test_call_without_the_right_is_denied_whether_or_not_the_service_exists(self, calls: tuple[str, ...]) -> None:
        rig = Rig()
        worker, client = rig.worker(), rig.client(calls=calls)
        client.request("echo")
        assert client.answer() == (REJECT, Reason.DENIED)
        client.request("secret")
        assert client.answer() == (REJECT, Reason.DENIED)
        assert worker.requests() == []
        assert rig.counters["denied"] == 2

    @pytest.mark.parametrize("service", [b"", b"\xff\xfe", b"a b", b"-x", b"echo\0", b"x" * 200, b"*"])
    def test_name_that_is_no_service_is_denied(self, service: bytes) -> None:
        rig = Rig()
        client = rig.client(calls=("*",))
        client.frame(encode(Envelope(REQUEST, bytes(16), service=service, tag=1, time_ms=1000, sent_ms=client.sent_ms)))
        assert client.answer() == (REJECT, Reason.DENIED)

    def test_memory_of_permissions_is_bounded(self) -> None:
        rig = Rig()
        client = rig.client(calls=("s*",))
        for number in range(CALLABLE_MAX + 5):
            client.request(f"s{number}")
        assert len(rig.core.sessions[client.route].call_rights) <= CALLABLE_MAX
        assert {each.code for each in client.transits()} == {Reason.NO_WORKER}

    def test_payload_above_the_limit(self) -> None:
        rig = Rig(payload_bytes_max=2048)
        rig.worker()
        client = rig.client()
        client.request(payload=bytes(2049))
        assert client.answer() == (REJECT, Reason.TOO_LARGE)
        client.request(payload=bytes(2048))
        assert client.transits() == []

    def test_no_time_left(self) -> None:
        rig = Rig()
        worker, client = rig.worker(), rig.client()
        client.request(time_ms=0)
        assert client.answer() == (REJECT, Reason.EXPIRED)
        assert worker.requests() == []
        assert rig.counters["expired"] == 1
        client.request("nobody", time_ms=0)
        assert client.answer() == (REJECT, Reason.EXPIRED), "that it is too late comes before where it would go"

    def test_time_ran_out_in_buffers(self) -> None:
        rig = Rig()
        worker, client = rig.worker(), rig.client()
        client.request(time_ms=1_000, sent_ms=(client.sent_ms - 1_000) & UINT32)
        assert client.answer() == (REJECT, Reason.EXPIRED)
        assert worker.requests() == []

    def test_broker_that_was_stopped_runs_nothing_stale(self) -> None:
        rig = Rig()
        worker, client = rig.worker(), rig.client()
        frame = encode(client.envelope(time_ms=5_000))
        rig.now += 30.0
        client.frame(frame)
        assert client.answer() == (REJECT, Reason.EXPIRED)
        assert worker.requests() == []

    def test_clock_of_a_client_does_not_matter(self) -> None:
        for clock_s in (-999.0, 0.0, 1e6, 5e6):
            rig = Rig()
            rig.register("c", calls=("*",))
            worker, client = rig.worker(), rig.stranger("c")
            client.clock_s = clock_s
            client.hello()
            rig.advance(1.0, heartbeats=True)
            client.request(time_ms=1_000)
            assert 990 <= worker.requests()[0].time_ms <= 1_000

    def test_requests_in_flight_are_bounded_for_each_key_over_all_its_connections(self) -> None:
        rig = Rig(in_flight_max=3)
        worker = rig.worker(credit=100)
        first, second, other = rig.client("c"), rig.client("c"), rig.client("other")
        for _ in range(KEY_IN_FLIGHT_FACTOR * 3 - 1):
            first.request()
        second.request()
        assert second.transits() == []
        second.request()
        assert second.answer() == (REJECT, Reason.BUSY)
        other.request()
        assert other.transits() == []
        serve(worker)
        second.take()
        second.request()
        assert second.transits() == []

    def test_tag_that_is_in_use_is_malformed(self) -> None:
        rig = Rig()
        worker, client = rig.worker(credit=5), rig.client()
        sent = client.request(tag=1)
        client.request(tag=1)
        assert rig.counters["malformed"] == 1
        (held,) = worker.requests()
        worker.reply(held)
        assert client.one().id == sent.id

    def test_time_beyond_a_day_counts_as_a_day(self) -> None:
        rig = Rig()
        worker, client = rig.worker(), rig.client()
        client.request(time_ms=UINT32)
        assert worker.one().time_ms == TIME_MS_MAX == 86_400_000


class TestAnswers:
    def test_only_the_worker_that_has_a_request_can_answer_it(self) -> None:
        rig = Rig()
        worker, client = rig.worker("w"), rig.client()
        thief = rig.worker("thief", "other")
        client.request()
        (held,) = worker.requests()
        for command in (REPLY, WORKING, REJECT, LOST):
            thief.send_answer(command, held)
        client.send_answer(REPLY, held)
        assert client.transits() == []
        assert rig.counters["unmatched"] == 5
        worker.reply(held)
        assert client.answer() == (REPLY, 0)

    def test_worker_of_the_same_service_cannot_answer_for_another(self) -> None:
        rig = Rig()
        workers, client = [rig.worker("w1"), rig.worker("w2")], rig.client()
        client.request()
        client.request()
        (one,), (two,) = (worker.requests() for worker in workers)
        workers[0].reply(two)
        workers[1].reply(one)
        assert client.transits() == []

    @pytest.mark.parametrize("first", FINAL)
    @pytest.mark.parametrize("second", [*FINAL, WORKING])
    def test_only_the_first_final_answer_counts(self, first: int, second: int) -> None:
        rig = Rig()
        worker, client = rig.worker(), rig.client()
        client.request()
        (held,) = worker.requests()
        worker.send_answer(first, held)
        worker.send_answer(second, held)
        assert client.one().command == first
        assert rig.counters["unmatched"] == 1

    def test_answer_with_another_id_does_not_count(self) -> None:
        rig = Rig()
        worker, client = rig.worker(), rig.client()
        client.request()
        (held,) = worker.requests()
        worker.reply(held, id=b"x" * 16)
        assert client.transits() == []
        worker.reply(held)
        assert client.answer() == (REPLY, 0)

    def test_answer_after_the_deadline_goes_nowhere(self) -> None:
        rig = Rig()
        worker, client = rig.worker(), rig.client()
        client.request(time_ms=300)
        (held,) = worker.requests()
        rig.advance(0.4)
        worker.reply(held)
        assert client.transits() == []

    def test_late_answer_still_frees_the_credit(self) -> None:
        rig = Rig()
        worker, client = rig.worker(credit=1), rig.client()
        client.request(time_ms=300)
        (held,) = worker.requests()
        rig.advance(0.4)
        client.request()
        assert worker.requests() == []
        worker.reply(held)
        assert len(worker.requests()) == 1

    def test_working_passes_and_is_no_end(self) -> None:
        rig = Rig()
        worker, client = rig.worker("w"), rig.client("c")
        sent = client.request()
        (held,) = worker.requests()
        for _ in range(3):
            worker.working(held)
            got = client.one()
            assert (got.command, got.code, got.tag) == (WORKING, Progress.RUNNING, sent.tag)
            assert (got.sender, got.receiver) == (b"w", b"c")
            rig.advance(0.16)
        worker.reply(held)
        assert client.answer() == (REPLY, 0)

    def test_working_passes_twice_in_an_interval_at_most_however_often_it_is_said(self) -> None:
        rig = Rig()
        worker, client = rig.worker("w"), rig.client("c")
        client.request(working_ms=200)
        (held,) = worker.requests()
        for _ in range(100):
            for code in (Progress.RUNNING, 7):
                worker.send_answer(WORKING, held, code=code)
            rig.advance(0.01)
        assert len(client.transits(WORKING)) <= 11
        assert rig.counters["working_dropped"] >= 189
        worker.reply(held)
        assert client.answer() == (REPLY, 0)

    @pytest.mark.parametrize("reason", [Reason.DRAINING, Reason.EXPIRED, 200])
    def test_reject_of_a_worker_passes_with_its_reason_and_frees_the_credit(self, reason: int) -> None:
        rig = Rig()
        worker, client = rig.worker(credit=1), rig.client()
        client.request()
        worker.reject(worker.request_in(), reason)
        assert client.answer() == (REJECT, reason)
        client.request()
        assert len(worker.requests()) == 1

    def test_lost_of_a_worker_passes(self) -> None:
        rig = Rig()
        worker, client = rig.worker(), rig.client()
        client.request()
        worker.send_answer(LOST, *worker.requests())
        assert client.answer() == (LOST, 0)


class TestBalance:
    def test_worker_with_the_fewest_outstanding_requests_is_next(self) -> None:
        rig = Rig()
        client, _busy, free = rig.client(), rig.worker("busy", credit=10), rig.worker("free", credit=10)
        for _ in range(4):
            client.request()
        serve(free)
        client.request()
        client.request()
        assert len(free.requests()) == 2

    def test_equals_take_turns(self) -> None:
        rig = Rig()
        client = rig.client()
        workers = [rig.worker(f"w{number}", credit=5) for number in range(3)]
        order = []
        for _ in range(9):
            client.request()
            for worker in workers:
                for request in worker.requests():
                    order.append(worker.name)
                    worker.reply(request)
        assert order == [b"w0", b"w1", b"w2"] * 3

    def test_plain_round_robin_does_not_look_at_what_is_outstanding(self) -> None:
        rig = Rig(balance="round-robin")
        client = rig.client()
        quick, slow = rig.worker("quick", credit=10), rig.worker("slow", credit=10)
        for _ in range(8):
            client.request()
            serve(quick)
        assert len(slow.requests()) == 4

    @pytest.mark.parametrize("balance", ["least-outstanding", "round-robin"])
    def test_nobody_gets_more_than_its_credit(self, balance: str) -> None:
        rig = Rig(balance=balance)
        client = rig.client()
        workers = [rig.worker(f"w{credit}", credit=credit) for credit in (0, 1, 3, 5)]
        for _ in range(20):
            client.request()
        assert [len(worker.requests()) for worker in workers] == [0, 1, 3, 5]
        assert rig.core.dispatcher.services[b"echo"].queued == 11

    def test_lowered_grant_is_kept_once_the_surplus_is_done(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=4)
        for _ in range(10):
            client.request()
        held = worker.requests()
        worker.ready(credit=2)
        worker.reply(held[0])
        worker.reply(held[1])
        assert worker.requests() == []
        worker.reply(held[2])
        assert len(worker.requests()) == 1

    def test_raised_grant_is_used_at_once(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=1)
        for _ in range(5):
            client.request()
        assert len(worker.requests()) == 1
        worker.ready(credit=4)
        assert len(worker.requests()) == 3

    def test_credit_of_each_service_is_its_own(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=1)
        worker.ready("other", 2)
        for _ in range(5):
            client.request("echo")
            client.request("other")
        assert Counter(each.service for each in worker.requests()) == {b"echo": 1, b"other": 2}


class TestCancel:
    def test_queued_request_is_forgotten(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.full_worker()
        client.cancel(client.request())
        assert rig.core.dispatcher.queues.bytes == 0
        worker.ready(credit=1)
        rig.advance(6.0, heartbeats=True)
        assert worker.requests() == []
        assert client.transits() == []
        assert rig.counters["cancelled"] == 1

    def test_worker_that_has_the_request_is_told(self) -> None:
        rig = Rig()
        client, worker = rig.client("c"), rig.worker()
        sent = client.request()
        (held,) = worker.requests()
        client.cancel(sent)
        got = worker.one()
        assert (got.command, got.id, got.tag, got.sender) == (CANCEL, sent.id, held.tag, b"c")

    def test_credit_stays_taken_until_the_worker_answers(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=1)
        client.cancel(client.request())
        (held,) = worker.requests()
        client.request()
        assert worker.requests() == []
        worker.reply(held)
        assert len(worker.requests()) == 1
        assert client.transits() == [], "nobody waits for the answer to what was cancelled"

    def test_worker_is_told_when_the_deadline_of_what_it_has_passes(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker()
        client.request(time_ms=200)
        (held,) = worker.requests()
        rig.advance(0.25)
        got = worker.one()
        assert (got.command, got.tag) == (CANCEL, held.tag)
        assert client.transits() == []
        assert rig.counters["expired"] == 1

    def test_cancel_of_what_is_unknown_or_answered_does_nothing(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker()
        sent = client.request()
        worker.reply(worker.request_in())
        client.cancel(sent)
        client.cancel(client.envelope())
        assert worker.transits() == []
        assert rig.counters["cancelled"] == 0

    def test_client_cannot_cancel_for_another(self) -> None:
        rig = Rig()
        client, other, worker = rig.client(), rig.client("other"), rig.worker()
        sent = client.request()
        (held,) = worker.requests()
        other.cancel(sent)
        other.cancel(held)
        assert worker.transits() == []
        worker.reply(held)
        assert client.answer() == (REPLY, 0)

    def test_tag_may_be_used_again_after_a_cancel(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=2)
        client.cancel(client.request(tag=5, id=b"a" * 16))
        client.request(tag=5, id=b"b" * 16)
        first, second = worker.requests()
        worker.reply(first, b"first")
        worker.reply(second, b"second")
        assert client.one().payload == b"second"


class TestCounters:
    def test_totals_add_up(self) -> None:
        rig = Rig()
        client, worker = rig.client(), rig.worker(credit=10)
        for _ in range(3):
            client.request()
        serve(worker)
        client.request("nobody")
        client.request()
        worker.disconnect()
        counters = rig.counters
        assert (counters["requests"], counters["replies"], counters["rejected"], counters["lost"]) == (5, 3, 1, 1)
