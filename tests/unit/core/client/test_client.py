from typing import Any

import msgspec
import pytest

from braidmq.core.links.link import MALFORMED_MAX, Failure
from braidmq.errors import (
    AttemptsExhausted,
    ConfigError,
    DeadlineExceeded,
    NoBroker,
    NotRegistered,
    Overloaded,
    PayloadTooLarge,
    ServiceError,
)
from braidmq.messages import Reply
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.envelope import REPLY, Envelope, Outcome
from braidmq.wire.extension import decode_headers
from tests.support.rigs.calls import called_back, error_of, flagged, reply_of
from tests.support.rigs.node_rig import START, answer_to


class TestFirstAttempt:
    def test_carries_what_the_caller_gave(self, make: Any) -> None:
        rig = make("a")
        rig.call("echo", b"ping", timeout_s=2.0, headers={"traceparent": "00"})
        request = rig["a"].request()
        assert (request.service, request.payload, request.time_ms) == (b"echo", b"ping", 2000)
        assert decode_headers(request.extension) == {"traceparent": "00"}
        assert not flagged(request)
        assert (request.retry_count, request.receiver, request.sender) == (0, b"", b"")

    def test_asks_for_working_at_a_third_of_the_exchange_timeout(self, make: Any) -> None:
        rig = make("a", settings=Settings(exchange_timeout_s=0.9))
        rig.call()
        assert rig["a"].request().working_ms == 300

    def test_reply_reaches_the_caller_with_its_metadata(self, make: Any) -> None:
        rig = make("a")
        id_ = rig.call()
        rig["a"].reply(rig["a"].request(), b"pong")
        reply = reply_of(rig, id_)
        assert (reply.payload, reply.sender, reply.receiver, reply.service) == (b"pong", "worker", "node", "echo")
        assert (reply.original_id, reply.broker) == (id_, "a")
        assert (reply.possible_duplicate, reply.retry_count) == (False, 0)
        assert reply.id != id_

    def test_error_that_no_worker_should_write_is_not_held_against_its_broker(self, make: Any) -> None:
        """Else a worker could have all nodes leave the brokers that pass its answers on."""
        rig = make("a")
        for _ in range(MALFORMED_MAX + 5):
            id_ = rig.call()
            rig["a"].reply(rig["a"].request(), b"\xc1", code=Outcome.ERROR)
            error_of(rig, id_, ServiceError, attempts=1, maybe_executed=True)
        rig.advance(0.1)
        assert rig["a"].connected

    def test_ids_and_tags_are_never_used_twice(self, make: Any) -> None:
        rig = make("a")
        ids = {rig.call() for _ in range(50)}
        requests = rig["a"].requests()
        assert len(ids) == len({request.tag for request in requests}) == 50
        assert all(request.id[0] < 0x80 for request in requests)

    def test_waits_for_the_first_broker(self, make: Any) -> None:
        rig = make("a", connect=False)
        rig.call()
        assert not rig.sent()
        rig.advance(0.1)
        assert rig.attempt()[0].name == "a"

    def test_error_of_the_handler_reaches_the_caller(self, make: Any) -> None:
        rig = make("a")
        id_ = rig.call()
        rig["a"].fail(rig["a"].request(), ServiceError("OUT_OF_STOCK", "none left", {"sku": 7}))
        error = error_of(rig, id_, ServiceError, attempts=1, maybe_executed=True)
        assert isinstance(error, ServiceError)
        assert (error.code, error.message, error.details) == ("OUT_OF_STOCK", "none left", {"sku": 7})

    def test_malformed_error_of_the_handler_is_an_internal_error(self, make: Any) -> None:
        rig = make("a")
        id_ = rig.call()
        rig["a"].reply(rig["a"].request(), b"\xc1", code=1)
        error = error_of(rig, id_, ServiceError, attempts=1, maybe_executed=True)
        assert isinstance(error, ServiceError)
        assert error.code == "INTERNAL"
        assert any("worker answers echo with what is no error" in line for line in rig.log)

    @pytest.mark.parametrize("code", ["", " ", "\x1b[31m", "€" * 100])
    def test_error_with_a_code_that_is_none_is_an_internal_error_that_shows_it(self, make: Any, code: str) -> None:
        rig = make("a")
        id_ = rig.call()
        payload = msgspec.msgpack.encode({"code": code, "message": "none left", "details": 7})
        rig["a"].reply(rig["a"].request(), payload, code=1)
        error = error_of(rig, id_, ServiceError, attempts=1, maybe_executed=True)
        assert isinstance(error, ServiceError)
        assert (error.code, error.details) == ("INTERNAL", 7)
        assert error.message.startswith("worker answered with an error whose code is '")
        assert error.message.endswith(": none left")
        assert error.message.isprintable()
        assert not any("not BRAID/1" in line for line in rig.log), "its broker is not to blame"

    def test_unknown_outcome_of_a_reply_is_an_error_and_no_result(self, make: Any) -> None:
        rig = make("a")
        id_ = rig.call()
        rig["a"].reply(rig["a"].request(), b"pong", code=9)
        error_of(rig, id_, ServiceError, attempts=1, maybe_executed=True)


class TestArguments:
    @pytest.mark.parametrize(
        "options",
        [
            {"service": "no service"},
            {"service": ""},
            {"payload": "text"},
            {"timeout_s": 0.0},
            {"timeout_s": -1.0},
            {"timeout_s": float("nan")},
            {"timeout_s": 86_401.0},
            {"attempts": 0},
            {"attempts": 21},
            {"headers": {"a": 1}},
        ],
        ids=str,
    )
    def test_wrong_argument_is_refused_and_nothing_is_sent(self, make: Any, options: dict[str, Any]) -> None:
        rig = make("a")
        with pytest.raises(ConfigError):
            rig.call(**options)
        assert not rig.sent()
        assert not len(rig.client)

    def test_payload_above_this_nodes_limit_is_refused(self, make: Any) -> None:
        rig = make("a", settings=Settings(payload_bytes_max=2048))
        with pytest.raises(PayloadTooLarge, match="limit of 2048") as caught:
            rig.call(payload=bytes(2049))
        assert caught.value.request_id == b""
        assert not caught.value.maybe_executed
        rig.call(payload=bytes(2048))

    def test_payload_above_one_brokers_limit_goes_over_another(self, make: Any) -> None:
        rig = make("a", "b", connect=False)
        rig["b"].payload_bytes_max = 0
        rig.advance(0.1)
        for _ in range(20):
            rig.call(payload=bytes(1501))
        assert len(rig["a"].requests()) == 20
        assert not rig["b"].requests()
        rig.call(payload=b"")
        assert rig.attempt()

    def test_payload_above_every_brokers_limit_is_refused(self, make: Any) -> None:
        rig = make("a", "b", connect=False)
        rig["a"].payload_bytes_max, rig["b"].payload_bytes_max = 2000, 1500
        rig.advance(0.1)
        with pytest.raises(PayloadTooLarge, match="limit of 2000"):
            rig.call(payload=bytes(2001))
        rig.call(payload=bytes(2000))
        assert rig["a"].request()

    def test_payload_waits_for_the_broker_that_takes_it(self, make: Any) -> None:
        rig = make("a", "b", connect=False)
        rig["b"].payload_bytes_max = 0
        rig.advance(0.1)
        rig["a"].die()
        id_ = rig.call(payload=bytes(100))
        assert not rig.sent()
        rig.advance(1.0)
        broker, request = rig.attempt()
        broker.reply(request)
        assert broker is rig["a"]
        assert isinstance(rig.results[id_], Reply)

    def test_payload_that_no_broker_takes_any_more_is_refused(self, make: Any) -> None:
        rig = make("a")
        rig["a"].crash()
        id_ = rig.call(payload=bytes(100))
        rig["a"].refusal, rig["a"].payload_bytes_max = None, 10
        rig.advance(1.0)
        assert isinstance(rig.results[id_], PayloadTooLarge)

    def test_pinned_call_is_refused_by_its_brokers_limit(self, make: Any) -> None:
        rig = make("a", "b", connect=False)
        rig["b"].payload_bytes_max = 10
        rig.advance(0.1)
        id_ = rig.call(payload=bytes(11), via="b")
        assert isinstance(rig.results[id_], PayloadTooLarge)


class TestAnswers:
    def test_after_the_end_are_dropped_and_counted(self, make: Any) -> None:
        rig = make("a")
        id_ = rig.call()
        request = rig["a"].request()
        rig["a"].reply(request, b"first")
        for _ in range(2):
            rig["a"].reply(request, b"second")
        assert reply_of(rig, id_).payload == b"first"
        assert rig.client.late == 2

    @pytest.mark.parametrize("answer", ["reply", "working", "reject", "lose"])
    def test_with_a_wrong_tag_are_ignored(self, make: Any, answer: str) -> None:
        rig = make("a", "b")
        id_ = rig.call()
        broker, request = rig.attempt()
        request.tag += 1
        getattr(broker, answer)(request)
        assert id_ not in rig.results
        assert not rig.sent()
        assert rig.client.late == 1
        assert rig.client._calls[id_].worker == b""

    @pytest.mark.parametrize("answer", ["reply", "working", "reject", "lose"])
    def test_over_the_wrong_path_are_ignored(self, make: Any, answer: str) -> None:
        rig = make("a", "b")
        id_ = rig.call()
        broker, request = rig.attempt()
        getattr(rig.other(broker), answer)(request)
        assert id_ not in rig.results
        assert not rig.sent()
        assert rig.client._calls[id_].worker == b""

    def test_with_another_calls_tag_are_ignored(self, make: Any) -> None:
        rig = make("a")
        rig.call()
        rig.call()
        one, two = rig["a"].requests()
        one.tag = two.tag
        rig["a"].reply(one)
        assert not rig.results

    def test_of_an_older_session_are_ignored(self, make: Any) -> None:
        rig = make("a")
        id_ = rig.call(attempts=1)
        request = rig["a"].request()
        rig.advance(1.2)
        rig["a"].die()
        error_of(rig, id_, AttemptsExhausted, attempts=1, maybe_executed=True)
        rig.advance(0.3)
        rig["a"].reply(request)

    def test_to_an_earlier_attempt_are_ignored_once_it_was_rejected(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.call()
        first, request = rig.attempt()
        rig.advance(1.05)
        rig.attempt()
        first.reject(request)
        first.reply(request)
        assert id_ not in rig.results

    def test_cut_off_answer_is_told_once_and_changes_nothing(self, make: Any) -> None:
        rig = make("a")
        rig.call()
        rig["a"].say_bytes((20).to_bytes(4) + bytes((0x10, REPLY)) + bytes(14))
        rig["a"].say_bytes((20).to_bytes(4) + bytes((0x10, REPLY)) + bytes(14))
        assert not rig.results
        assert sum("not BRAID/1" in line for line in rig.log) == 1

    def test_in_one_frame_with_the_end_of_the_session_still_count(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.call()
        broker, request = rig.attempt()
        broker.say(control.Goodbye("no-session"), answer_to(request, REPLY, payload=b"pong"))
        assert reply_of(rig, id_).payload == b"pong"


class TestLimits:
    def test_no_more_than_in_flight_max_await_an_answer(self, make: Any) -> None:
        rig = make("a", settings=Settings(in_flight_max=3))
        ids = [rig.call() for _ in range(5)]
        requests = rig["a"].requests()
        assert [request.id for request in requests] == ids[:3]
        rig["a"].reply(requests[1])
        assert [request.id for request in rig["a"].requests()] == [ids[3]]

    def test_bytes_in_flight_are_limited_in_order(self, make: Any) -> None:
        rig = make("a", settings=Settings(in_flight_bytes_max=2048))
        ids = [rig.call(payload=bytes(size)) for size in (1500, 600, 10)]
        request = rig["a"].request()
        assert request.id == ids[0]
        rig["a"].reply(request)
        assert [request.id for request in rig["a"].requests()] == ids[1:]

    def test_payload_above_the_byte_limit_travels_alone(self, make: Any) -> None:
        rig = make("a", settings=Settings(in_flight_bytes_max=1024))
        big, small = rig.call(payload=bytes(5000)), rig.call()
        request = rig["a"].request()
        assert request.id == big
        rig["a"].reply(request)
        assert rig["a"].request().id == small

    def test_no_more_than_waiting_max_wait(self, make: Any) -> None:
        rig = make("a", settings=Settings(in_flight_max=1, waiting_max=2))
        for _ in range(3):
            rig.call()
        with pytest.raises(Overloaded, match="waiting_max=2"):
            rig.call()
        rig["a"].reply(rig["a"].request())
        rig.call()

    def test_bytes_that_wait_are_limited(self, make: Any) -> None:
        rig = make("a", settings=Settings(in_flight_max=1, in_flight_bytes_max=2048))
        rig.call()
        rig.call(payload=bytes(2000))
        with pytest.raises(Overloaded, match="in_flight_bytes_max=2048"):
            rig.call(payload=bytes(100))

    def test_without_waiting_a_free_place_can_be_taken(self, make: Any) -> None:
        rig = make("a", settings=Settings(in_flight_max=1, waiting_max=0))
        rig.call()
        with pytest.raises(Overloaded):
            rig.call()
        rig["a"].reply(rig["a"].request())
        rig.call()

    def test_call_that_gets_no_place_in_time_is_overloaded_and_was_not_sent(self, make: Any) -> None:
        rig = make("a", settings=Settings(in_flight_max=1))
        rig.call(timeout_s=30.0)
        id_ = rig.call(timeout_s=1.0)
        rig.advance(1.05)
        error_of(rig, id_, Overloaded, attempts=0, maybe_executed=False)

    def test_call_whose_time_is_over_does_not_take_the_place_that_becomes_free(self, make: Any) -> None:
        rig = make("a", settings=Settings(in_flight_max=1))
        rig.call(timeout_s=1.0)
        id_ = rig.call(timeout_s=1.0)
        rig["a"].requests()
        rig.advance(1.05)
        assert not rig["a"].requests()
        error_of(rig, id_, Overloaded, attempts=0, maybe_executed=False)

    def test_place_is_freed_by_every_end(self, make: Any) -> None:
        rig = make("a", settings=Settings(in_flight_max=1))
        cancelled, waiting = rig.call(), rig.call()
        rig.cancel(cancelled)
        assert [request.id for request in rig["a"].requests()] == [cancelled, waiting]
        assert len(rig.client) == 1


class TestDeadline:
    def test_ends_a_call_whatever_it_waits_for(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.call(timeout_s=0.5)
        rig.advance(0.55)
        error_of(rig, id_, DeadlineExceeded, attempts=1, maybe_executed=True)
        assert rig.resolved_at[id_] - START <= 0.75

    def test_in_a_pause_promises_that_nothing_ran(self, make: Any) -> None:
        rig = make("a", settings=Settings(backoff_s=1.0))
        id_ = rig.call(timeout_s=0.3)
        rig["a"].reject(rig["a"].request(), retry_after_ms=1000)
        rig.advance(0.35)
        error_of(rig, id_, DeadlineExceeded, attempts=1, maybe_executed=False)

    def test_travels_as_the_time_that_is_left(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call(timeout_s=5.0)
        rig.attempt()
        rig.advance(1.05)
        assert 3_900 <= rig.attempt()[1].time_ms <= 3_999

    def test_cancels_every_attempt(self, make: Any) -> None:
        rig = make("a", "b")
        rig.call(timeout_s=1.5)
        attempts = []
        attempts += rig.sent()
        rig.advance(1.05)
        attempts += rig.sent()
        rig.advance(0.5)
        for broker, request in attempts:
            (cancel,) = called_back(broker)
            assert (cancel.id, cancel.tag) == (request.id, request.tag)

    def test_call_that_is_over_is_not_sent_when_a_broker_comes_up(self, make: Any) -> None:
        rig = make("a", connect=False)
        rig["a"].accepts = False
        id_ = rig.call(timeout_s=0.5)
        rig.advance(0.1)
        rig["a"].handshake()
        rig.now += 0.6
        rig["a"].welcome()
        assert not rig["a"].requests()
        error_of(rig, id_, NoBroker, attempts=0, maybe_executed=False)

    def test_without_any_broker_names_brokers_and_reasons(self, make: Any) -> None:
        rig = make("a", "b", "c", connect=False)
        rig["a"].refusal = Failure.UNREACHABLE
        rig["b"].refusal = Failure.NOT_THIS_BROKER
        rig["c"].accepts = False
        id_ = rig.call(timeout_s=0.5)
        rig.advance(0.6)
        text = str(error_of(rig, id_, NoBroker, attempts=0, maybe_executed=False))
        assert f"a at tcp://a:1: {Failure.UNREACHABLE}" in text
        assert f"b at tcp://b:1: {Failure.NOT_THIS_BROKER}" in text
        assert "c at tcp://c:1: no connection yet" in text

    def test_with_only_draining_brokers_says_so(self, make: Any) -> None:
        rig = make("a")
        rig["a"].say(control.Goodbye("draining"))
        id_ = rig.call(timeout_s=0.5)
        rig.advance(0.6)
        assert "it is draining" in str(error_of(rig, id_, NoBroker, attempts=0, maybe_executed=False))

    def test_of_many_calls_is_kept_at_once(self, make: Any) -> None:
        rig = make("a", settings=Settings(in_flight_max=2))
        ids = [rig.call(timeout_s=1.0) for _ in range(10)]
        rig.jump(1.1)
        assert set(rig.results) == set(ids)


class TestNotRegistered:
    def test_only_if_every_broker_refuses(self, make: Any) -> None:
        rig = make("a", "b", connect=False)
        rig["a"].refusal = Failure.NOT_REGISTERED
        rig["b"].refusal = Failure.UNREACHABLE
        id_ = rig.call()
        rig.advance(1.0)
        assert id_ not in rig.results
        rig["b"].refusal = Failure.NOT_REGISTERED
        rig.advance(3.0)
        assert isinstance(rig.results[id_], NotRegistered)

    @pytest.mark.parametrize("why", [Failure.REMOVED, Failure.REVOKED, Failure.EXPIRED])
    def test_whatever_is_against_the_key_ends_calls_at_once(self, make: Any, why: Failure) -> None:
        rig = make("a", "b", connect=False)
        rig["a"].refusal = why
        rig["b"].refusal = Failure.OTHER_NET
        id_ = rig.call()
        rig.advance(0.2)
        assert isinstance(rig.results[id_], NotRegistered)
        assert why.value in str(rig.results[id_])

    @pytest.mark.parametrize("why", [Failure.OTHER_NET, Failure.OTHER_KEY, Failure.VERSION])
    def test_where_no_broker_fits_calls_end_at_once_and_the_key_is_not_blamed(self, make: Any, why: Failure) -> None:
        rig = make("a", connect=False)
        rig["a"].refusal = why
        id_ = rig.call()
        rig.advance(0.2)
        error = error_of(rig, id_, NoBroker, attempts=0, maybe_executed=False)
        assert "refuses" not in str(error)
        assert why.value in str(error)

    def test_ends_new_calls_at_once(self, make: Any) -> None:
        rig = make("a", connect=False)
        rig["a"].refusal = Failure.NOT_REGISTERED
        rig.advance(0.2)
        id_ = rig.call()
        assert isinstance(rig.results[id_], NotRegistered)

    def test_ends_no_call_that_may_have_run(self, make: Any) -> None:
        """It promises that the call was not run."""
        rig = make("a")
        id_ = rig.call()
        rig["a"].refusal = Failure.NOT_REGISTERED
        rig["a"].die()
        rig.advance(3.0)
        error = error_of(rig, id_, AttemptsExhausted, attempts=1, maybe_executed=True)
        assert "refuses this node's key" in str(error)

    def test_ends_calls_that_waited_for_a_place_too(self, make: Any) -> None:
        rig = make("a", connect=False, settings=Settings(in_flight_max=1))
        rig["a"].refusal = Failure.NOT_REGISTERED
        ids = [rig.call() for _ in range(5)]
        rig.advance(0.2)
        assert set(rig.results) == set(ids)

    def test_call_that_ends_so_while_its_own_timer_is_due_ends_once(self, make: Any) -> None:
        rig = make("a", settings=Settings(in_flight_max=1, failover_spread_s=10.0, reconnect_s=0.001))
        rig["a"].refusal = Failure.NOT_REGISTERED
        first = rig.call(timeout_s=1.0)
        second = rig.call(timeout_s=1.05)
        (call,) = (call for call in rig.client._calls.values() if call.id == first)
        rig["a"].die()
        rig.client._waits.pause(call, 10.0, rig.now)
        rig.advance(0.9)
        rig.jump(0.2)
        assert set(rig.results) == {first, second}


class TestCancel:
    def test_tells_every_broker_that_has_the_request(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.call()
        attempts = rig.sent()
        rig.advance(1.05)
        attempts += rig.sent()
        rig.cancel(id_)
        for broker, request in attempts:
            (cancel,) = called_back(broker)
            assert (cancel.id, cancel.tag) == (id_, request.tag)
        assert not len(rig.client)

    def test_does_not_reach_a_session_that_is_new(self, make: Any) -> None:
        rig = make("a", "b")
        id_ = rig.call()
        first, _ = rig.attempt()
        rig.advance(1.05)
        first.die()
        rig.advance(0.3)
        assert first.connected
        rig.cancel(id_)
        assert not called_back(first)

    def test_ends_without_a_result(self, make: Any) -> None:
        rig = make("a")
        id_ = rig.call()
        request = rig["a"].request()
        rig.cancel(id_)
        rig.cancel(id_)
        rig["a"].reply(request)
        rig.advance(6.0)
        assert not rig.results

    def test_of_a_waiting_call_sends_nothing(self, make: Any) -> None:
        rig = make("a", settings=Settings(in_flight_max=1))
        rig.call()
        id_ = rig.call()
        rig["a"].requests()
        rig.cancel(id_)
        rig["a"].inbox = [message for message in rig["a"].inbox if isinstance(message, Envelope)]
        assert not rig["a"].inbox
