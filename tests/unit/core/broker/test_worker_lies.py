"""A broker that lies to a worker: it costs a second run at most, and never a wrong answer to who asks elsewhere."""

from typing import Any

import pytest

from braidmq.core.worker.job import DELIVERIES_MAX
from braidmq.core.worker.overdue import STOP_S, STRAY_S
from braidmq.settings import Settings
from braidmq.wire.envelope import LOST, REJECT, REPLY, Outcome, Reason
from braidmq.wire.extension import encode_headers
from tests.support.rigs.jobs import answer_of
from tests.support.rigs.node_rig import NodeRig, address


def finish_all(rig: NodeRig) -> None:
    """Let every job end with what it was asked."""
    for job in rig.jobs:
        if job.running:
            rig.finish(job, job.request.payload)


@pytest.mark.parametrize(
    "lie", [{"payload": b"a lie"}, {"service": b"other"}, {"extension": encode_headers({"a": "lie"})}]
)
class TestSomebodysId:
    def test_runs_on_its_own_before_the_true_request(self, make: Any, lie: dict[str, Any]) -> None:
        rig = make("good", "bad", serves={"echo": 8, "other": 8})
        forged = rig["bad"].ask(1, **{"payload": b"truth", **lie})
        finish_all(rig)
        assert answer_of(rig["bad"], forged).command == REPLY
        tag = rig["good"].ask(1, payload=b"truth")
        finish_all(rig)
        assert len(rig.jobs) == 2
        assert answer_of(rig["good"], tag).payload == b"truth"

    def test_runs_on_its_own_beside_the_true_request(self, make: Any, lie: dict[str, Any]) -> None:
        rig = make("good", "bad", serves={"echo": 8, "other": 8})
        forged = rig["bad"].ask(1, **{"payload": b"truth", **lie})
        tag = rig["good"].ask(1, payload=b"truth")
        assert len(rig.jobs) == 2
        finish_all(rig)
        assert answer_of(rig["good"], tag).payload == b"truth"
        assert answer_of(rig["bad"], forged).payload == lie.get("payload", b"truth")

    def test_is_not_lost_with_what_goes_on_after_its_deadline(self, make: Any, lie: dict[str, Any]) -> None:
        rig = make("good", "bad", serves={"echo": 8, "other": 8})
        rig["bad"].ask(1, time_ms=100, **{"payload": b"truth", **lie})
        rig.advance(0.1 + STOP_S + STRAY_S + 0.05)
        tag = rig["good"].ask(1, payload=b"truth")
        finish_all(rig)
        assert answer_of(rig["good"], tag).payload == b"truth"

    def test_cannot_be_cancelled_by_the_true_one_nor_cancels_it(self, make: Any, lie: dict[str, Any]) -> None:
        rig = make("good", "bad", serves={"echo": 8, "other": 8})
        true = rig["good"].ask(1, payload=b"truth")
        rig["bad"].ask(1, tag=true + 100, **{"payload": b"truth", **lie})
        first, second = rig.jobs
        rig["bad"].cancel(1, true)
        assert not rig.stopped
        rig["bad"].cancel(1, true + 100)
        assert rig.stopped == [second]
        rig["good"].cancel(1, true)
        assert rig.stopped == [second, first]


class TestCancel:
    def test_of_a_tag_that_names_another_request_is_ignored(self, make: Any) -> None:
        rig = make("a", serves={"echo": 8})
        first = rig["a"].ask(1)
        rig["a"].ask(2)
        rig["a"].cancel(2, first)
        rig["a"].cancel(1, first, sender=b"another")
        assert not rig.stopped

    def test_of_a_tag_of_an_earlier_session_is_ignored(self, make: Any) -> None:
        rig = make("a", "b", serves={"echo": 8})
        tag = rig["a"].ask(1)
        rig["a"].die()
        rig.advance(1.0)
        rig["a"].cancel(1, tag)
        assert not rig.stopped

    def test_with_a_tag_that_was_used_twice_ends_the_last_one(self, make: Any) -> None:
        rig = make("a", serves={"echo": 8})
        rig["a"].ask(1, tag=5)
        rig["a"].ask(2, tag=5)
        rig["a"].cancel(1, 5)
        assert not rig.stopped
        rig["a"].cancel(2, 5)
        assert rig.stopped == [rig.jobs[1]]
        finish_all(rig)


def test_copies_that_one_broker_makes_up_do_not_shut_out_anothers(make: Any) -> None:
    rig = make("good", "bad", serves={"echo": 8})
    made_up = [rig["bad"].ask(1) for _ in range(DELIVERIES_MAX + 5)]
    tag = rig["good"].ask(1)
    refused = {answer.tag for answer in rig["bad"].answers()}
    assert refused == {*made_up[DELIVERIES_MAX:], made_up[1]}
    rig["bad"].cancel(1, made_up[1])
    finish_all(rig)
    assert answer_of(rig["good"], tag).command == REPLY
    assert len(rig["bad"].answers()) == DELIVERIES_MAX - 1


class TestLimitOfOnePath:
    def test_large_reply_is_lost_there_and_is_had_over_another_path(self, make: Any) -> None:
        rig = make("good", serves={"echo": 8}, connect=False)
        rig.add(address("bad"))
        rig["bad"].payload_bytes_max = 0
        rig.advance(0.0)
        tag = rig["bad"].ask(1)
        rig.finish(rig.jobs[0], b"result")
        assert answer_of(rig["bad"], tag).command == LOST
        tag = rig["good"].ask(1)
        assert len(rig.jobs) == 1, "it is remembered"
        answer = answer_of(rig["good"], tag)
        assert (answer.code, answer.payload) == (Outcome.RESULT, b"result")
        again = rig["bad"].ask(1)
        assert answer_of(rig["bad"], again).command == LOST

    def test_copy_over_a_small_path_does_not_spoil_the_others(self, make: Any) -> None:
        rig = make("good", "bad", serves={"echo": 8}, settings=Settings(payload_bytes_max=4096))
        rig["bad"].link.payload_bytes_max = 10
        tags = rig["good"].ask(1), rig["bad"].ask(1)
        rig.finish(rig.jobs[0], bytes(100))
        assert answer_of(rig["good"], tags[0]).payload == bytes(100)
        assert answer_of(rig["bad"], tags[1]).command == LOST


def test_flood_of_requests_is_refused_and_takes_no_room(make: Any) -> None:
    rig = make("good", "bad", serves={"echo": 4})
    rig.advance(3.0)
    for number in range(1_000):
        rig["bad"].ask(number, time_ms=0 if number % 2 else 5_000)
    answers = rig["bad"].answers()
    assert len(rig.worker) == 2
    assert {(answer.command, answer.code) for answer in answers} == {(REJECT, Reason.BUSY), (REJECT, Reason.EXPIRED)}
    tag = rig["good"].ask(5_000)
    finish_all(rig)
    assert answer_of(rig["good"], tag).command == REPLY
