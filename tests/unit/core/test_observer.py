"""What observers of nodes and brokers are told, by real cores. The rigs keep books besides: see NodeBooks."""

import inspect
from typing import Any

import pytest

from braidmq.core.broker.dispatch import Dispatcher
from braidmq.errors import DeadlineExceeded, ServiceError
from braidmq.messages import Reply
from braidmq.observer import AttemptEnd, BrokerObserver, GivenUp, JobEnd, NodeObserver
from braidmq.settings import Settings
from braidmq.wire.control import Hello, encode_control
from braidmq.wire.envelope import LOST, REQUEST, Envelope, Reason, Withdrawal, encode
from tests.support.rigs.broker_rig import Rig
from tests.support.rigs.node_rig import START, NodeRig, request_id
from tests.support.rigs.solo import Solo


def recording(kind: type[Any]) -> Any:
    """Return an observer that keeps what each of its hooks is told, in order, in `seen`."""

    class Recording(kind):
        def __init__(self) -> None:
            self.seen: list[tuple[Any, ...]] = []

    def hook(name: str) -> Any:
        return lambda self, *arguments: self.seen.append((name, *arguments))

    for name in hooks_of(kind):
        setattr(Recording, name, hook(name))
    return Recording()


def hooks_of(kind: type[Any]) -> list[str]:
    return [name for name in vars(kind) if name.startswith("on_")]


def told(observer: Any, *names: str) -> list[tuple[Any, ...]]:
    """Take what the observer was told, that of these hooks, without the times that come last."""
    seen, observer.seen = observer.seen, []
    return [each[:-1] for each in seen if each[0] in names]


@pytest.mark.parametrize("kind", [NodeObserver, BrokerObserver])
def test_every_hook_does_nothing_and_says_when_it_is_called(kind: type[Any]) -> None:
    for name in hooks_of(kind):
        hook = getattr(kind, name)
        arguments = list(inspect.signature(hook).parameters)
        assert hook.__doc__
        assert hook(*arguments) is None
        assert arguments[-1] == "now" or name in ("on_received", "on_sent")


class TestCalls:
    def rig(self, *names: str, **options: Any) -> tuple[NodeRig, Any]:
        observer = recording(NodeObserver)
        return NodeRig(*names, observer=observer, **options), observer

    def test_a_call_that_is_answered(self) -> None:
        rig, observer = self.rig("a")
        id_ = rig.call("echo")
        rig.now += 0.25
        rig["a"].reply(rig["a"].request())
        assert observer.seen[:-1] == [
            ("on_call", id_, "echo", START),
            ("on_attempt", id_, "a", 1, START),
            ("on_attempt_end", id_, "a", AttemptEnd.ANSWERED, "", START + 0.25),
        ]
        name, of, outcome, took_s, now = observer.seen[-1]
        assert (name, of, took_s, now) == ("on_call_end", id_, 0.25, START + 0.25)
        assert isinstance(outcome, Reply)
        assert outcome is rig.results[id_]

    def test_a_call_that_the_handler_fails(self) -> None:
        rig, observer = self.rig("a")
        rig.call()
        rig["a"].fail(rig["a"].request(), ServiceError("BAD", "no"))
        seen = told(observer, "on_attempt_end", "on_call_end")
        assert seen[0][2:] == ("a", AttemptEnd.ANSWERED, "")
        assert isinstance(seen[1][2], ServiceError)

    def test_a_call_that_is_rejected_is_retried_over_the_other_broker(self) -> None:
        rig, observer = self.rig("a", "b")
        id_ = rig.call()
        first, request = rig.attempt()
        first.reject(request, Reason.BUSY)
        second, request = rig.attempt()
        second.reply(request)
        assert told(observer, "on_attempt", "on_attempt_end") == [
            ("on_attempt", id_, first.name, 1),
            ("on_attempt_end", id_, first.name, AttemptEnd.REJECTED, "BUSY"),
            ("on_attempt", id_, second.name, 2),
            ("on_attempt_end", id_, second.name, AttemptEnd.ANSWERED, ""),
        ]

    def test_a_reason_of_a_newer_version_is_a_number(self) -> None:
        rig, observer = self.rig("a", "b")
        rig.call()
        first, request = rig.attempt()
        first.reject(request, 200)
        assert told(observer, "on_attempt_end")[0][3:] == (AttemptEnd.REJECTED, "200")

    def test_a_call_whose_worker_is_gone(self) -> None:
        rig, observer = self.rig("a", "b")
        rig.call()
        first, request = rig.attempt()
        first.lose(request)
        assert told(observer, "on_attempt_end")[0][2:] == (first.name, AttemptEnd.LOST, "")

    def test_a_call_of_which_nothing_is_heard(self) -> None:
        rig, observer = self.rig("a", "b")
        rig.call(timeout_s=20.0)
        first, _ = rig.attempt()
        rig.advance(rig.settings.exchange_timeout_s + 0.1)
        assert told(observer, "on_attempt_end")[0][2:] == (first.name, AttemptEnd.SILENT, "")

    def test_a_call_whose_broker_is_gone(self) -> None:
        rig, observer = self.rig("a", "b")
        id_ = rig.call()
        first, _ = rig.attempt()
        first.die()
        rig.advance(1.0)
        seen = told(observer, "on_attempt", "on_attempt_end")
        assert seen[1] == ("on_attempt_end", id_, first.name, AttemptEnd.DISCONNECTED, "")
        assert seen[2] == ("on_attempt", id_, rig.other(first).name, 2)

    def test_a_call_that_has_never_left(self) -> None:
        rig, observer = self.rig("a", "b")
        rig["a"].reads = rig["b"].reads = False
        id_ = rig.call()
        (first,) = (broker for broker in rig.brokers.values() if broker.unread)
        rig.other(first).reads = True
        first.die()
        seen = told(observer, "on_attempt", "on_attempt_end")
        assert seen[1] == ("on_attempt_end", id_, first.name, AttemptEnd.UNSENT, "")
        assert seen[2] == ("on_attempt", id_, rig.other(first).name, 1)

    def test_a_call_that_its_caller_gives_up(self) -> None:
        rig, observer = self.rig("a")
        id_ = rig.call()
        rig.cancel(id_)
        assert told(observer, "on_attempt_end", "on_call_end") == [
            ("on_attempt_end", id_, "a", AttemptEnd.WITHDRAWN, ""),
            ("on_call_end", id_, None, 0.0),
        ]

    def test_a_call_whose_time_is_over(self) -> None:
        rig, observer = self.rig("a")
        rig.call(timeout_s=0.3)
        rig.advance(0.4)
        seen = told(observer, "on_attempt_end", "on_call_end")
        assert seen[0][3] is AttemptEnd.WITHDRAWN
        assert isinstance(seen[1][2], DeadlineExceeded)

    def test_a_call_that_an_earlier_attempt_answers(self) -> None:
        rig, observer = self.rig("a", "b")
        rig.call(timeout_s=20.0)
        first, request = rig.attempt()
        rig.advance(rig.settings.exchange_timeout_s + 1.0)
        second, _ = rig.attempt()
        first.reply(request)
        seen = told(observer, "on_attempt_end", "on_call_end")
        assert [each[2:4] for each in seen[:2]] == [
            (first.name, AttemptEnd.SILENT), (second.name, AttemptEnd.WITHDRAWN),
        ]  # fmt: skip
        assert seen[2][2].broker == first.name


class TestJobs:
    def rig(self, concurrency: int = 1, **options: Any) -> tuple[NodeRig, Any]:
        observer = recording(NodeObserver)
        rig = NodeRig("a", serves={"echo": concurrency}, observer=observer, **options)
        assert told(observer, "on_credit") == [("on_credit", "echo", "a", concurrency)]
        return rig, observer

    def test_credit_is_told_as_it_changes_and_ends_with_the_connection(self) -> None:
        rig, observer = self.rig(4)
        rig.core.resize("echo", 2, rig.now)
        rig["a"].crash()
        assert told(observer, "on_credit") == [("on_credit", "echo", "a", 2), ("on_credit", "echo", "a", 0)]

    def test_credit_ends_with_the_service_and_with_the_drain(self) -> None:
        rig, observer = self.rig(4)
        rig.core.offer("other", 1, rig.now)
        assert told(observer, "on_credit") == [("on_credit", "other", "a", 1)]
        rig.core.withdraw("echo", rig.now)
        assert told(observer, "on_credit") == [("on_credit", "echo", "a", 0)]
        rig.core.drain(rig.now)
        assert told(observer, "on_credit") == [("on_credit", "other", "a", 0)]

    def test_a_job_that_is_answered(self) -> None:
        rig, observer = self.rig()
        rig["a"].ask(1)
        rig.now += 0.5
        rig.finish(rig.jobs[0])
        assert observer.seen == [
            ("on_job", request_id(1), "echo", "client", "a", START),
            ("on_job_begun", request_id(1), START),
            ("on_job_end", request_id(1), JobEnd.RESULT, 0.5, START + 0.5),
        ]

    @pytest.mark.parametrize("outcome", [ServiceError("BAD", "no"), b"x" * 200_000])
    def test_a_job_that_fails_or_returns_too_much(self, outcome: Any) -> None:
        rig, observer = self.rig(settings=Settings(payload_bytes_max=100_000))
        rig["a"].ask(1)
        rig.finish(rig.jobs[0], outcome)
        assert told(observer, "on_job_end") == [("on_job_end", request_id(1), JobEnd.ERROR, 0.0)]

    def test_a_job_that_was_stopped(self) -> None:
        rig, observer = self.rig()
        rig["a"].ask(1)
        rig.finish(rig.jobs[0], None)
        assert told(observer, "on_job_end") == [("on_job_end", request_id(1), JobEnd.LOST, 0.0)]

    def short(self) -> tuple[NodeRig, Any]:
        """Return a worker for two brokers, which may each send what there is one place for; the other one waits."""
        observer = recording(NodeObserver)
        return NodeRig("a", "b", serves={"echo": 1}, observer=observer), observer

    def test_a_job_that_waits_and_is_given_up(self) -> None:
        rig, observer = self.short()
        rig["a"].ask(1)
        tag = rig["b"].ask(2)
        rig["b"].cancel(2, tag)
        assert told(observer, "on_job", "on_job_begun", "on_job_end") == [
            ("on_job", request_id(1), "echo", "client", "a"),
            ("on_job_begun", request_id(1)),
            ("on_job", request_id(2), "echo", "client", "b"),
            ("on_job_end", request_id(2), JobEnd.REFUSED, 0.0),
        ]

    def test_a_job_that_finds_no_place_in_time(self) -> None:
        rig, observer = self.short()
        rig["a"].ask(1)
        rig["b"].ask(2)
        rig.advance(0.1)
        assert told(observer, "on_job_end") == [("on_job_end", request_id(2), JobEnd.GIVEN_BACK, 0.0)]

    def test_a_request_that_is_not_taken(self) -> None:
        rig, observer = self.rig()
        rig["a"].ask(1, service=b"other")
        rig["a"].ask(2, time_ms=0)
        for number in range(3, 8):
            rig["a"].ask(number)
        rig.core.drain(rig.now)
        rig["a"].ask(9)
        seen = told(observer, "on_job_refused")
        assert seen[0] == ("on_job_refused", request_id(1), "other", "a", "NO_WORKER")
        assert seen[1] == ("on_job_refused", request_id(2), "echo", "a", "EXPIRED")
        assert seen[2][4] == "BUSY"
        assert seen[-1] == ("on_job_refused", request_id(9), "echo", "a", "DRAINING")

    def test_copies_of_a_request_that_runs_and_that_has_run(self) -> None:
        rig, observer = self.rig()
        rig["a"].ask(1)
        rig["a"].ask(1, retry_count=1)
        rig.finish(rig.jobs[0])
        rig["a"].ask(1, retry_count=2)
        assert told(observer, "on_job", "on_job_joined") == [
            ("on_job", request_id(1), "echo", "client", "a"),
            *[("on_job_joined", request_id(1), "a")] * 2,
        ]


class TestSessions:
    def rig(self, **settings: Any) -> tuple[Rig, Any]:
        observer = recording(BrokerObserver)
        return Rig(observer=observer, **settings), observer

    def test_a_session_and_its_credit(self) -> None:
        rig, observer = self.rig()
        worker = rig.worker("w", credit=3)
        worker.ready(credit=2)
        worker.goodbye()
        worker.disconnect()
        hooks = ("on_session", "on_credit", "on_session_state", "on_session_end")
        assert told(observer, *hooks) == [
            ("on_session", "w", "node"),
            ("on_credit", "w", "echo", 3),
            ("on_credit", "w", "echo", 2),
            ("on_session_state", "w", "leaving"),
            ("on_credit", "w", "echo", 0),
            ("on_session_end", "w"),
        ]

    def test_a_session_that_falls_silent_and_is_given_up(self) -> None:
        rig, observer = self.rig()
        rig.worker("w", credit=3)
        observer.seen.clear()
        rig.advance(rig.settings.suspect_after_s + 0.2)
        assert told(observer, "on_session_state", "on_session_end") == [("on_session_state", "w", "suspect")]
        rig.advance(rig.settings.dead_after_s)
        assert told(observer, "on_credit", "on_session_end") == [("on_credit", "w", "echo", 0), ("on_session_end", "w")]

    def test_who_is_refused(self) -> None:
        rig, observer = self.rig()
        rig.stranger("nobody").hello()
        ((_, who, why),) = told(observer, "on_session_refused")
        assert who.startswith("key ")
        assert why == "the key is not registered"

    def test_what_operators_have_asked_for_and_nothing_that_others_have(self) -> None:
        rig, observer = self.rig()
        rig.worker("w")
        ops, other = rig.connect("ops", operate=True), rig.connect("other")
        other.operate("take-out", "w")
        ops.operate("take-out", "nobody")
        ops.operate("take-out", "w")
        assert told(observer, "on_operated") == [("on_operated", "ops", "take-out", "w")]

    def test_every_frame_is_seen_before_it_is_handled_and_every_message_before_it_is_sent(self) -> None:
        rig, observer = self.rig()
        client, worker = rig.client("c"), rig.worker("w")
        observer.seen.clear()
        request = client.envelope("echo", b"payload")
        client.frame(encode(request))
        received, *_, sent = [each for each in observer.seen if each[0] in ("on_received", "on_sent")]
        assert observer.seen[0] == received == ("on_received", client.route, "c", encode(request))
        assert sent[:3] == ("on_sent", worker.route, "w")
        assert [message[5] for message in sent[3]] == [REQUEST]

    def test_what_a_stranger_sends_is_seen_under_no_name(self) -> None:
        rig, observer = self.rig()
        stranger = rig.stranger("nobody")
        stranger.hello()
        frame = encode_control(Hello("fake"), stranger.sent_ms)
        assert ("on_received", stranger.route, "", frame) in observer.seen


class TestRequests:
    HOOKS = tuple(name for name in hooks_of(BrokerObserver) if name.startswith("on_request"))

    def rig(self, **settings: Any) -> tuple[Rig, Any]:
        observer = recording(BrokerObserver)
        return Rig(observer=observer, **settings), observer

    def test_a_request_that_waits_goes_to_a_worker_and_is_answered(self) -> None:
        rig, observer = self.rig()
        client, worker = rig.client("c"), rig.worker("w", credit=1)
        first = client.request()
        second = client.request()
        rig.now += 0.5
        (held,) = worker.requests()
        worker.reply(held)
        assert told(observer, *self.HOOKS) == [
            ("on_request", first.id, "c", "echo", 0),
            ("on_request_dispatched", first.id, "echo", "w", 0),
            ("on_request", second.id, "c", "echo", 0),
            ("on_request_queued", second.id, "echo", 1),
            ("on_request_dispatched", second.id, "echo", "w", 0),
            ("on_request_answered", first.id, "w", 0.5),
        ]

    def test_a_request_that_the_broker_rejects(self) -> None:
        rig, observer = self.rig()
        client = rig.client("c")
        sent = client.request("nowhere")
        assert told(observer, *self.HOOKS) == [
            ("on_request", sent.id, "c", "nowhere", 0),
            ("on_request_rejected", sent.id, "c", "NO_WORKER"),
        ]

    def test_a_request_that_the_worker_rejects(self) -> None:
        rig, observer = self.rig()
        client, worker = rig.client("c"), rig.worker("w")
        sent = client.request()
        worker.reject(worker.requests()[0], Reason.NO_WORKER)
        assert told(observer, *self.HOOKS)[-1] == ("on_request_rejected", sent.id, "c", "NO_WORKER")

    def test_a_request_that_the_worker_gives_back(self) -> None:
        rig, observer = self.rig()
        client, worker = rig.client("c"), rig.worker("w")
        rig.worker("v")
        sent = client.request()
        holder = worker if worker.held else next(each for each in rig.members.values() if each.held)
        holder.reject(holder.requests()[0], Reason.BUSY)
        seen = told(observer, *self.HOOKS)
        assert seen[2] == ("on_request_returned", sent.id, holder.name.decode(), "BUSY")
        assert seen[3][:2] == ("on_request_dispatched", sent.id)

    def test_a_request_that_never_reached_a_worker_that_is_gone(self) -> None:
        rig, observer = self.rig()
        client, worker = rig.client("c"), rig.worker("w")
        worker.stuck = []
        sent = client.request()
        rig.full_worker("v")
        worker.disconnect()
        seen = told(observer, *self.HOOKS)
        assert seen[2] == ("on_request_returned", sent.id, "w", "UNSENT")

    def test_a_request_whose_worker_is_gone(self) -> None:
        rig, observer = self.rig()
        client, worker = rig.client("c"), rig.worker("w")
        sent = client.request()
        worker.disconnect()
        assert told(observer, *self.HOOKS)[-1] == ("on_request_lost", sent.id, "w")

    def test_a_request_that_its_worker_has_lost(self) -> None:
        rig, observer = self.rig()
        client, worker = rig.client("c"), rig.worker("w")
        sent = client.request()
        worker.send_answer(LOST, worker.requests()[0])
        assert told(observer, *self.HOOKS)[-1] == ("on_request_lost", sent.id, "w")

    def test_a_request_that_nobody_waits_for_any_more(self) -> None:
        rig, observer = self.rig()
        client, other = rig.client("c"), rig.client("d")
        rig.worker("w", credit=3)
        cancelled, expired, orphaned = client.request(), client.request(time_ms=300), other.request()
        client.cancel(cancelled, Withdrawal.GIVEN_UP)
        other.disconnect()
        rig.advance(0.4, heartbeats=True)
        assert told(observer, "on_request_given_up") == [
            ("on_request_given_up", cancelled.id, GivenUp.CANCELLED),
            ("on_request_given_up", orphaned.id, GivenUp.CLIENT_GONE),
            ("on_request_given_up", expired.id, GivenUp.EXPIRED),
        ]

    def test_progress_and_what_is_malformed_are_no_ends(self) -> None:
        rig, observer = self.rig()
        client, worker = rig.client("c"), rig.worker("w")
        sent = client.request()
        worker.working(worker.requests()[0])
        client.frame(encode(Envelope(REQUEST, sent.id, tag=sent.tag, service=b"echo")))
        assert [each[0] for each in told(observer, *self.HOOKS)] == ["on_request", "on_request_dispatched"]


class TestPeers:
    def test_a_broker_joins_is_suspected_and_dies(self) -> None:
        observer = recording(BrokerObserver)
        rig = Rig(observer=observer)
        peer = rig.peer("b2")
        assert told(observer, "on_peer") == [("on_peer", "b2", "unknown", "alive")]
        peer.lose()
        rig.advance(rig.settings.suspicion_s * 10 + 10.0)
        assert told(observer, "on_peer") == [
            ("on_peer", "b2", "alive", "suspect"), ("on_peer", "b2", "suspect", "dead"),
        ]  # fmt: skip

    def test_a_broker_that_is_gone_for_good_is_unknown(self) -> None:
        observer = recording(BrokerObserver)
        rig = Solo("a", "b", observer=observer)
        observer.seen.clear()
        rig.core.forget("a", rig.now)
        rig.tell("b", "b", 1, "leaving")
        rig.core.on_down("b", rig.now)
        rig.tick(rig.core._settings.tombstone_s + 1.0)
        assert told(observer, "on_peer") == [
            ("on_peer", "a", "alive", "unknown"),
            ("on_peer", "b", "alive", "leaving"),
            ("on_peer", "b", "leaving", "dead"),
            ("on_peer", "b", "dead", "unknown"),
        ]

    def test_a_later_life_of_a_dead_broker_that_has_ended_is_told(self) -> None:
        observer = recording(BrokerObserver)
        rig = Solo("a", "b", observer=observer)
        rig.tell("b", "a", 1, "dead")
        rig.tell("b", "a", 2, "dead")
        assert told(observer, "on_peer")[-2:] == [("on_peer", "a", "alive", "dead"), ("on_peer", "a", "dead", "dead")]


class TestBounds:
    def test_connections_that_are_gone_are_forgotten(self) -> None:
        rig = Rig(observer=BrokerObserver())
        client = rig.client("c")
        assert rig.core._tap._members == {client.route: "c"}
        client.disconnect()
        assert rig.core._tap._members == {}

    def test_a_session_that_cannot_be_ended_in_order_is_told_to_end(self, patch_cores: Any) -> None:
        observer = recording(BrokerObserver)
        rig = Rig(observer=observer)
        client = rig.client("c")

        def fail(*_arguments: Any, **_more: Any) -> None:
            raise OverflowError("a bug")

        patch_cores.setattr(Dispatcher, "on_end", fail)
        rig.core.on_disconnect(client.route, rig.now)
        assert told(observer, "on_session_end") == [("on_session_end", "c")]
