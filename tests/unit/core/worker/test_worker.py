"""The worker: what it runs, answers and grants."""

from typing import Any

import pytest

from braidmq.core.worker.credit import INVITE_S
from braidmq.core.worker.job import DELIVERIES_MAX, Job
from braidmq.core.worker.local_services import CONCURRENCY_MAX
from braidmq.core.worker.worker import WAIT_S_MAX
from braidmq.errors import ConfigError, ServiceError
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.control import decode_failure
from braidmq.wire.envelope import LOST, REJECT, REPLY, WORKING, Envelope, Flag, Outcome, Progress, Reason, Withdrawal
from braidmq.wire.extension import Field, field_of
from tests.support.rigs.jobs import answer_of
from tests.support.rigs.node_rig import Broker, NodeRig, request_id


def run(rig: NodeRig, broker: Broker, number: int, outcome: bytes | ServiceError | None = b"pong") -> Envelope:
    """Run a request from its delivery to its answer."""
    tag = broker.ask(number)
    rig.finish(rig.jobs[-1], outcome)
    return answer_of(broker, tag)


class TestRun:
    def test_request_is_run_and_answered_along_its_path(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 4})
        tag = rig["a"].ask(1, payload=b"ping", retry_count=1, flags=Flag.POSSIBLE_DUPLICATE)
        (job,) = rig.jobs
        assert (job.request.payload, job.request.sender, job.link.name) == (b"ping", b"client", "a")
        rig.finish(job, b"pong")
        answer = answer_of(rig["a"], tag)
        assert (answer.command, answer.code, answer.id, answer.payload) == (
            REPLY,
            Outcome.RESULT,
            request_id(1),
            b"pong",
        )
        assert answer.retry_count == 1
        assert not rig["b"].answers()

    def test_error_of_the_handler_is_answered(self, make: Any) -> None:
        rig = make("a", serves={"echo": 4})
        answer = run(rig, rig["a"], 1, ServiceError("CODE", "text", [1]))
        assert answer.code == Outcome.ERROR
        assert decode_failure(answer.payload) == control.Failure("CODE", "text", [1])

    @pytest.mark.parametrize(
        "error",
        [
            ServiceError("CODE", "text", object()),
            ServiceError("CODE", "text", bytes(3000)),
            ServiceError("CODE", "x" * 3000),
            ServiceError("CODE", "text\udfff"),
            ServiceError("CODE", {"not": "text"}, object()),  # type: ignore[arg-type]
            ServiceError("CODE", "text", 2**70),
        ],
        ids=["object", "large", "long", "surrogates", "no text", "integer"],
    )
    def test_error_that_cannot_travel_whole_is_answered_in_short(self, make: Any, error: ServiceError) -> None:
        rig = make("a", serves={"echo": 4}, settings=Settings(payload_bytes_max=2048))
        answer = run(rig, rig["a"], 1, error)
        assert answer.code == Outcome.ERROR
        assert len(answer.payload) <= 2048
        assert decode_failure(answer.payload).code.startswith("CODE")

    def test_result_above_the_limit_is_an_error(self, make: Any) -> None:
        rig = make("a", serves={"echo": 4}, settings=Settings(payload_bytes_max=2048))
        answer = run(rig, rig["a"], 1, bytes(2049))
        assert decode_failure(answer.payload).code == "RESULT_TOO_LARGE"
        (line,) = [line for line in rig.log if "result" in line]
        assert line.endswith(
            f"echo, request {answer.id.hex()} of client: the result of 2049 bytes exceeds the limit of 2048"
        )

    def test_service_that_is_not_offered_has_no_worker(self, make: Any) -> None:
        rig = make("a", serves={"echo": 4})
        answer = answer_of(rig["a"], rig["a"].ask(1, service=b"other"))
        assert (answer.command, answer.code) == (REJECT, Reason.NO_WORKER)

    def test_malformed_request_is_told_and_not_run(self, make: Any) -> None:
        rig = make("a", serves={"echo": 4})
        rig["a"].say_bytes((44).to_bytes(4) + bytes((0x10, 1)) + bytes(30) + bytes((200,)) + bytes(7))
        assert not rig.jobs
        assert any("not BRAID/1" in line for line in rig.log)

    @pytest.mark.parametrize(("name", "concurrency"), [("no name", 1), ("echo", 0), ("echo", CONCURRENCY_MAX + 1)])
    def test_wrong_offer_is_refused(self, make: Any, name: str, concurrency: int) -> None:
        with pytest.raises(ConfigError):
            make("a", serves={name: concurrency})

    def test_second_offer_of_a_service_is_refused(self, make: Any) -> None:
        rig = make("a", serves={"echo": 1})
        with pytest.raises(ConfigError, match="already"):
            rig.worker.offer("echo", 1)


class TestDuplicates:
    def test_of_a_running_request_joins_it(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 4})
        first = rig["a"].ask(1)
        second = rig["b"].ask(1, retry_count=1, flags=Flag.POSSIBLE_DUPLICATE)
        (job,) = rig.jobs
        assert rig["b"].take(WORKING)[0].tag == second
        rig.finish(job, b"pong")
        one, two = answer_of(rig["a"], first), answer_of(rig["b"], second)
        assert one.payload == two.payload == b"pong"
        assert (one.retry_count, two.retry_count) == (0, 1)
        assert rig.worker.duplicates == 1

    def test_of_a_finished_request_gets_the_cached_reply_through_its_own_path(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 4})
        run(rig, rig["a"], 1, b"pong")
        answer = answer_of(rig["b"], rig["b"].ask(1, retry_count=1))
        assert (answer.command, answer.payload, answer.retry_count) == (REPLY, b"pong", 1)
        assert len(rig.jobs) == 1

    def test_of_a_failed_request_gets_the_same_error(self, make: Any) -> None:
        rig = make("a", serves={"echo": 4})
        first = run(rig, rig["a"], 1, ServiceError("CODE"))
        assert answer_of(rig["a"], rig["a"].ask(1)).payload == first.payload
        assert len(rig.jobs) == 1

    def test_of_a_stopped_request_is_lost_and_not_run_again(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 4})
        tag = rig["a"].ask(1)
        rig["a"].cancel(1, tag)
        rig.finish(rig.stopped[0], None)
        assert answer_of(rig["a"], tag).command == LOST
        assert answer_of(rig["b"], rig["b"].ask(1)).command == LOST
        assert len(rig.jobs) == 1

    def test_after_the_reply_was_evicted_is_lost_and_not_run_again(self, make: Any) -> None:
        rig = make("a", serves={"echo": 4}, settings=Settings(dedup_bytes_max=1024))
        run(rig, rig["a"], 1, bytes(700))
        run(rig, rig["a"], 2, bytes(700))
        assert answer_of(rig["a"], rig["a"].ask(1)).command == LOST
        assert answer_of(rig["a"], rig["a"].ask(2)).command == REPLY
        assert len(rig.jobs) == 2

    def test_after_the_window_is_run_again(self, make: Any) -> None:
        rig = make("a", serves={"echo": 4}, settings=Settings(dedup_s=2.0))
        run(rig, rig["a"], 1)
        rig.advance(1.9)
        rig["a"].ask(1)
        assert len(rig.jobs) == 1
        rig.advance(1.2)
        rig["a"].ask(1)
        assert len(rig.jobs) == 2

    def test_beyond_the_windows_count_is_run_again(self, make: Any) -> None:
        rig = make("a", serves={"echo": 4}, settings=Settings(dedup_entries_max=2))
        for number in (1, 2, 3):
            run(rig, rig["a"], number)
        rig["a"].ask(2)
        assert len(rig.jobs) == 3
        rig["a"].ask(1)
        assert len(rig.jobs) == 4

    def test_ids_of_different_clients_are_different(self, make: Any) -> None:
        rig = make("a", serves={"echo": 4})
        rig["a"].ask(1, sender=b"one")
        rig["a"].ask(1, sender=b"two")
        assert len(rig.jobs) == 2

    def test_copies_that_join_are_bounded(self, make: Any) -> None:
        rig = make("a", serves={"echo": 4})
        tags = [rig["a"].ask(1) for _ in range(DELIVERIES_MAX + 1)]
        assert answer_of(rig["a"], tags[-1]).code == Reason.BUSY
        rig.finish(rig.jobs[0])
        assert [answer.tag for answer in rig["a"].answers()] == tags[:-1]

    def test_are_answered_even_while_draining(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 4})
        run(rig, rig["a"], 1)
        rig["a"].ask(2)
        rig.core.drain(rig.now)
        assert answer_of(rig["b"], rig["b"].ask(1)).command == REPLY
        rig["b"].ask(2)
        rig.finish(rig.jobs[-1])
        assert rig["b"].answers()[0].command == REPLY

    def test_of_a_request_that_waits_joins_it_without_a_second_place(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 1})
        rig["a"].ask(1)
        rig["a"].ask(2)
        rig["b"].ask(2)
        rig.finish(rig.jobs[0])
        rig.finish(rig.jobs[1])
        assert len(rig.jobs) == 2
        assert len(rig["a"].answers()) == 2
        assert len(rig["b"].answers()) == 1

    def test_of_a_request_that_has_not_begun_hands_its_flag_on(self, make: Any) -> None:
        """An attempt that the copy knows of may have run elsewhere."""
        rig = make("a", "b", serves={"echo": 1})
        rig.begins = False
        rig["a"].ask(1)
        rig["b"].ask(1, retry_count=2, flags=Flag.POSSIBLE_DUPLICATE)
        assert rig.begin(rig.jobs[0])
        assert rig.jobs[0].request.flags & Flag.POSSIBLE_DUPLICATE
        assert not rig["b"].take(WORKING)


class TestQueue:
    def test_no_more_than_concurrency_run_at_once(self, make: Any) -> None:
        rig = make("a", "b", "c", "d", serves={"echo": 2})
        for number, broker in enumerate(rig.brokers.values()):
            broker.ask(number)
        assert [job.request.id for job in rig.jobs] == [request_id(0), request_id(1)]
        rig.finish(rig.jobs[1])
        assert [job.request.id for job in rig.jobs[2:]] == [request_id(2)]

    def test_broker_has_no_more_than_it_was_granted_though_places_are_free(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 4})
        rig.advance(3.0)
        assert (rig["a"].credit(), rig["b"].credit()) == (2, 2)
        for number in range(2):
            rig["a"].ask(number)
        assert answer_of(rig["a"], rig["a"].ask(2)).code == Reason.BUSY
        assert answer_of(rig["a"], rig["a"].ask(3, retry_count=1, flags=Flag.POSSIBLE_DUPLICATE)).code == Reason.BUSY
        rig["b"].ask(4)
        assert len(rig.jobs) == 3

    def test_broker_that_takes_all_it_can_leaves_the_others_their_share(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 8})
        number, ended = 0, 0
        for _ in range(60):
            rig["a"].say(control.Demand("echo", 2**32 - 1))
            rig["b"].say(control.Demand("echo", 4))
            for broker in (*[rig["a"]] * 20, *[rig["b"]] * 4):
                number += 1
                broker.ask(number)
            rig.advance(0.1)
            for job in rig.jobs[ended:]:
                rig.finish(job)
            ended = len(rig.jobs)
        late = [job.link.name for job in rig.jobs[-80:]]
        assert (late.count("a"), late.count("b")) == (40, 40)

    def test_what_was_sent_by_the_last_grant_is_taken_for_a_while(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 4})
        rig["a"].say(control.Demand("echo", 10))
        rig.advance(1.0)
        assert rig["a"].credit() == 4
        rig["b"].say(control.Demand("echo", 1_000))
        rig.advance(0.1)
        assert rig["a"].credit() == 2
        for number in range(4):
            rig["a"].ask(number)
        assert len(rig.jobs) == 4
        for job in rig.jobs:
            rig.finish(job)
        rig["a"].answers()
        for _ in range(30):
            rig["a"].say(control.Demand("echo", 1_000))
            rig["b"].say(control.Demand("echo", 1_000))
            rig.advance(0.1)
        for number in range(4):
            rig["a"].ask(10 + number)
        assert len(rig["a"].answers()) == 2

    def test_request_that_waits_for_long_goes_back(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 1})
        rig["a"].ask(1)
        tag = rig["b"].ask(2)
        rig.advance(WAIT_S_MAX - 0.01)
        assert not rig["b"].answers()
        rig.advance(0.03)
        answer = answer_of(rig["b"], tag)
        assert (answer.command, answer.code) == (REJECT, Reason.BUSY)
        rig.finish(rig.jobs[0])
        assert len(rig.jobs) == 1

    @pytest.mark.parametrize(("run_s", "waits"), [(0.001, True), (0.1, False)])
    def test_request_waits_only_where_places_are_soon_free(self, make: Any, run_s: float, waits: bool) -> None:
        rig = make("a", "b", serves={"echo": 1})
        for number in range(4):
            rig["a"].ask(number)
            rig.now += run_s
            rig.finish(rig.jobs[number])
        rig["a"].ask(10)
        rig["b"].ask(11)
        assert (rig["b"].answers() == []) is waits

    def test_broker_that_was_turned_away_is_told_of_the_first_free_place(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 1})
        rig["a"].ask(1, time_ms=60_000)
        tag = rig["b"].ask(2, time_ms=60_000)
        rig.advance(2.0)
        assert answer_of(rig["b"], tag).code == Reason.BUSY
        rig["a"].credit()
        rig["b"].credit()
        rig.advance(2.0)
        assert rig["b"].credit() is None
        rig.finish(rig.jobs[0])
        assert rig["b"].credit() == 1
        assert rig["a"].credit() is None, "it knows by the answer"

    def test_more_brokers_are_told_while_the_place_stays_free(self, make: Any) -> None:
        rig = make("a", "b", "c", "d", serves={"echo": 1})
        rig["a"].ask(1, time_ms=60_000)
        for number, name in enumerate("bcd"):
            rig[name].ask(2 + number, time_ms=60_000)
        rig.advance(2.0)
        for broker in rig.brokers.values():
            broker.credit()
        rig.finish(rig.jobs[0])
        assert [rig[name].credit() for name in "bcd"].count(1) == 2
        rig.advance(INVITE_S + 0.02)
        assert [rig[name].credit() for name in "bcd"].count(1) == 1

    def test_services_do_not_share_places(self, make: Any) -> None:
        rig = make("a", serves={"echo": 1, "other": 1})
        rig["a"].ask(1)
        rig["a"].ask(2, service=b"other")
        assert len(rig.jobs) == 2


class TestWorking:
    def test_is_said_as_often_as_asked(self, make: Any) -> None:
        rig = make("a", serves={"echo": 1})
        tag = rig["a"].ask(1, working_ms=100)
        rig.advance(1.05)
        said = rig["a"].take(WORKING)
        assert 8 <= len(said) <= 10
        assert {(message.tag, message.code) for message in said} == {(tag, Progress.RUNNING)}

    def test_is_said_by_itself_if_nothing_is_asked(self, make: Any) -> None:
        rig = make("a", serves={"echo": 1})
        rig["a"].ask(1, working_ms=0)
        rig.advance(1.05)
        assert len(rig["a"].take(WORKING)) == 3

    def test_cannot_be_made_a_flood(self, make: Any) -> None:
        rig = make("a", serves={"echo": 1})
        rig["a"].ask(1, working_ms=1)
        rig.advance(1.0)
        assert len(rig["a"].take(WORKING)) <= 100

    def test_is_not_multiplied_by_copies(self, make: Any) -> None:
        """Else a client could make a worker say more than its brokers can read, which would then be barred for that."""
        rig = make("a", "b", serves={"echo": 1})
        tags = [rig[name].ask(1, working_ms=10) for name in "abababab"]
        for name in "ab":
            rig[name].take(WORKING)
        rig["b"].cancel(1, tags[-1])
        rig.advance(1.0)
        for name, newest in (("a", tags[-2]), ("b", tags[-3])):
            said = rig[name].take(WORKING)
            assert 50 <= len(said) <= 100
            assert {message.tag for message in said} == {newest}

    def test_is_not_said_before_the_handler_has_begun(self, make: Any) -> None:
        """Its client takes it for a promise that no later attempt can overtake this one."""
        rig = make("a", serves={"echo": 1})
        rig.begins = False
        tag = rig["a"].ask(1, working_ms=100)
        rig.advance(0.3)
        assert not rig["a"].take(WORKING)
        assert rig.begin(rig.jobs[0])
        rig.advance(0.11)
        (said,) = rig["a"].take(WORKING)
        assert (said.tag, said.code) == (tag, Progress.RUNNING)

    def test_says_which_process_it_is(self, make: Any) -> None:
        rigs = [make("a", serves={"echo": 1}, seed=seed) for seed in (1, 2)]
        instances = set()
        for rig in rigs:
            rig["a"].ask(1)
            rig.advance(0.5)
            instance = field_of(rig["a"].take(WORKING)[0].extension, Field.INSTANCE)
            assert instance == rig["a"].take(control.Hello)[0].instance
            instances.add(instance)
        assert len(instances) == 2

    def test_is_said_along_every_path_that_waits(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 1})
        rig["a"].ask(1, working_ms=100)
        tag = rig["b"].ask(1, working_ms=100)
        rig["b"].take(WORKING)
        rig["b"].cancel(1, tag)
        rig.advance(0.15)
        assert rig["a"].take(WORKING)
        assert not rig["b"].take(WORKING)

    def test_ends_with_the_job(self, make: Any) -> None:
        rig = make("a", serves={"echo": 1})
        run(rig, rig["a"], 1)
        rig.advance(1.0)
        assert not rig["a"].take(WORKING)


class TestCancel:
    def test_of_the_only_copy_stops_the_job(self, make: Any) -> None:
        rig = make("a", serves={"echo": 1})
        rig["a"].cancel(1, rig["a"].ask(1))
        assert rig.stopped == rig.jobs

    def test_of_one_copy_does_not_stop_what_another_waits_for(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 1})
        first, second = rig["a"].ask(1), rig["b"].ask(1)
        rig["a"].cancel(1, first)
        assert not rig.stopped
        rig["b"].cancel(1, second)
        assert rig.stopped == rig.jobs

    @pytest.mark.parametrize("how", [Withdrawal.SUPERSEDED, Withdrawal.ORPHANED])
    def test_what_has_begun_goes_on_if_it_may_come_again(self, make: Any, how: Withdrawal) -> None:
        rig = make("a", "b", serves={"echo": 1})
        first = rig["a"].ask(1)
        rig["a"].cancel(1, first, how)
        assert not rig.stopped
        second = rig["b"].ask(1, retry_count=1)
        rig["b"].cancel(1, second)
        assert bool(rig.stopped) is (how is Withdrawal.ORPHANED), "nobody waits any more, but for a superseded copy"
        rig.finish(rig.jobs[0])
        assert answer_of(rig["a"], first).command == REPLY

    def test_is_told_once(self, make: Any) -> None:
        rig = make("a", serves={"echo": 1})
        tag = rig["a"].ask(1)
        rig["a"].cancel(1, tag)
        rig["a"].cancel(1, tag)
        assert len(rig.stopped) == 1

    @pytest.mark.parametrize("wrong", ["tag", "path", "client", "id"])
    def test_of_something_else_stops_nothing(self, make: Any, wrong: str) -> None:
        rig = make("a", "b", serves={"echo": 1})
        tag = rig["a"].ask(1)
        broker = rig["b"] if wrong == "path" else rig["a"]
        broker.cancel(
            2 if wrong == "id" else 1, tag + (wrong == "tag"), sender=b"other" if wrong == "client" else b"client"
        )
        assert not rig.stopped

    def test_copy_whose_session_is_gone_waits_for_nothing(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 1})
        rig["a"].ask(1)
        tag = rig["b"].ask(1)
        rig["a"].crash()
        rig["b"].cancel(1, tag)
        assert rig.stopped == rig.jobs

    def test_of_a_new_session_does_not_touch_a_copy_of_the_old_one(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 1})
        rig["a"].ask(1, tag=7)
        rig["b"].ask(1)
        rig["a"].die()
        rig.advance(0.3)
        rig["a"].cancel(1, 7)
        assert not rig.jobs[0].deliveries[0].cancelled

    def test_of_a_waiting_request_frees_its_place_in_the_queue(self, make: Any) -> None:
        rig = make("a", serves={"echo": 1})
        rig["a"].ask(1)
        tag = rig["a"].ask(2)
        rig["a"].cancel(2, tag)
        assert answer_of(rig["a"], tag).command == REJECT
        rig.finish(rig.jobs[0])
        assert len(rig.jobs) == 1

    def test_still_frees_the_brokers_credit(self, make: Any) -> None:
        rig = make("a", serves={"echo": 1})
        tag = rig["a"].ask(1)
        rig["a"].cancel(1, tag)
        rig.finish(rig.stopped[0], None)
        assert answer_of(rig["a"], tag).command == LOST

    def test_job_that_cannot_be_stopped_ends_with_its_reply(self, make: Any) -> None:
        rig = make("a", serves={"echo": 1})
        tag = rig["a"].ask(1)
        rig["a"].cancel(1, tag)
        rig.finish(rig.jobs[0], b"pong")
        assert answer_of(rig["a"], tag).command == REPLY
        assert answer_of(rig["a"], rig["a"].ask(1)).command == REPLY


class TestSessions:
    def test_answer_never_goes_into_another_session(self, make: Any) -> None:
        rig = make("a", serves={"echo": 1})
        rig["a"].ask(1)
        rig["a"].die()
        rig.advance(0.3)
        assert rig["a"].connected
        rig.finish(rig.jobs[0])
        assert not rig["a"].answers()
        assert not rig["a"].take(WORKING)

    def test_copy_over_the_new_session_gets_its_answer(self, make: Any) -> None:
        rig = make("a", serves={"echo": 1})
        rig["a"].ask(1)
        rig["a"].die()
        rig.advance(0.3)
        tag = rig["a"].ask(1)
        rig.finish(rig.jobs[0])
        assert answer_of(rig["a"], tag).command == REPLY
        assert len(rig.jobs) == 1

    def test_suspect_and_draining_sessions_get_their_answers(self, make: Any) -> None:
        rig = make("a", serves={"echo": 1})
        tag = rig["a"].ask(1)
        rig["a"].say(control.Goodbye("draining"))
        rig.finish(rig.jobs[0])
        assert answer_of(rig["a"], tag).command == REPLY

    def test_every_copy_gets_exactly_one_final_answer(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 2, "other": 1})
        tags: dict[str, list[int]] = {"a": [], "b": []}
        for number in range(12):
            service = b"echo" if number % 3 else b"other"
            for name, asked in tags.items():
                asked.append(rig[name].ask(number, service=service, time_ms=100 if number == 7 else 5000))
        done: set[Job] = set()
        while jobs := [job for job in rig.jobs if job not in done]:
            rig.advance(0.2)
            done.add(jobs[0])
            rig.finish(jobs[0], None if jobs[0].request.id == request_id(4) else b"pong")
        for name, asked in tags.items():
            assert sorted(answer.tag for answer in rig[name].answers()) == asked


class TestDrain:
    def test_new_requests_are_rejected(self, make: Any) -> None:
        rig = make("a", serves={"echo": 1})
        rig.core.drain(rig.now)
        answer = answer_of(rig["a"], rig["a"].ask(1))
        assert (answer.command, answer.code) == (REJECT, Reason.DRAINING)

    def test_what_is_under_way_is_finished(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 1})
        first, second = rig["a"].ask(1), rig["b"].ask(2)
        rig.core.drain(rig.now)
        rig.finish(rig.jobs[0])
        rig.finish(rig.jobs[1])
        assert answer_of(rig["a"], first).command == answer_of(rig["b"], second).command == REPLY

    def test_no_credit_is_granted_any_more(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 8})
        rig["a"].credit()
        rig.core.drain(rig.now)
        rig["b"].crash()
        rig.advance(3.0)
        assert rig["a"].credit() is None


class TestCredit:
    def test_of_idle_brokers_sums_up_to_concurrency(self, make: Any) -> None:
        rig = make("a", "b", "c", serves={"echo": 10})
        assert sum(broker.credit() for broker in rig.brokers.values()) == 10

    @pytest.mark.parametrize("concurrency", [1, 2, 4, 8, 16, 32, 64])
    def test_of_the_only_busy_broker_is_all_and_the_idle_ones_can_begin_at_once(
        self, make: Any, concurrency: int
    ) -> None:
        rig = make("a", "b", "c", serves={"echo": concurrency})
        rig["a"].ask(1)
        rig["a"].say(control.Demand("echo", 3))
        rig.advance(0.05)
        assert [rig[name].credit() for name in "abc"] == [concurrency, 1, 1]

    def test_every_broker_gets_at_least_one(self, make: Any) -> None:
        rig = make("a", "b", "c", serves={"echo": 1})
        assert [broker.credit() for broker in rig.brokers.values()] == [1, 1, 1]

    def test_single_broker_gets_all(self, make: Any) -> None:
        assert make("a", serves={"echo": 10})["a"].credit() == 10

    def test_follows_demand_soon(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 20})
        rig["a"].credit()
        rig["a"].say(control.Demand("echo", 100))
        rig.advance(0.05)
        granted = rig["a"].credit()
        assert granted is not None
        assert granted >= 18

    def test_returns_when_the_demand_is_over(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 20})
        rig["a"].say(control.Demand("echo", 100))
        rig.advance(15.0)
        assert rig["a"].credit() == rig["b"].credit() == 10

    def test_follows_what_each_broker_uses(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 20})
        rig["a"].credit()
        for number in range(9):
            rig["a"].ask(number)
        rig.advance(1.1)
        granted = rig["a"].credit()
        assert granted is not None
        assert granted > 15

    def test_of_a_broker_that_is_gone_goes_to_the_others(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 10})
        rig["a"].credit()
        rig["b"].crash()
        assert rig["a"].credit() == 10

    def test_of_a_suspect_broker_goes_to_the_others(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 10})
        rig["b"].beats = False
        rig.advance(2.0)
        assert rig["a"].credit() == 10

    def test_is_told_anew_in_a_new_session(self, make: Any) -> None:
        rig = make("a", serves={"echo": 10})
        rig["a"].credit()
        rig["a"].die()
        rig.advance(0.3)
        assert rig["a"].credit() == 10

    def test_is_not_repeated_without_need(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 10})
        rig["a"].credit()
        rig.advance(10.0)
        assert rig["a"].credit() is None

    def test_demand_for_a_service_that_is_not_offered_is_ignored(self, make: Any) -> None:
        rig = make("a", serves={"echo": 10})
        rig["a"].credit()
        rig["a"].say(control.Demand("other", 100))
        rig.advance(0.1)
        assert rig["a"].credit() is None
