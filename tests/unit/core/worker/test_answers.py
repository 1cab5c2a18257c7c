"""What a worker says of requests, and into which session."""

from typing import Any

import pytest

from braidmq.core.worker.answers import Answers
from braidmq.core.worker.job import Delivery, Job, LocalService
from braidmq.errors import ServiceError
from braidmq.settings import Settings
from braidmq.wire.control import decode_failure
from braidmq.wire.envelope import LOST, REJECT, REPLY, REQUEST, WORKING, Envelope, Outcome, Reason, decode
from braidmq.wire.extension import Field, field_of
from tests.support.rigs.node_rig import CLIENT, NodeRig, request_id

INSTANCE = b"process1"
LIMIT = 2048


def asked(rig: NodeRig, name: str, tag: int, retry_count: int = 0) -> tuple[Envelope, Delivery]:
    """A request as it comes from a broker, and its copy."""
    request = Envelope(REQUEST, request_id(1), tag=tag, sender=CLIENT, service=b"echo", retry_count=retry_count)
    return request, Delivery(rig[name].link, request)


@pytest.fixture
def rig(make: Any) -> NodeRig:
    rig: NodeRig = make("a", "b", settings=Settings(payload_bytes_max=LIMIT))
    return rig


@pytest.fixture
def answers(rig: NodeRig) -> Answers:
    return Answers(rig.core.links, INSTANCE, None)


@pytest.fixture
def job(rig: NodeRig) -> Job:
    request, first = asked(rig, "a", 7)
    return Job(b"key", LocalService(b"echo", 1), request, first, rig.now + 1.0, rig.now)


def test_reply_is_to_the_first_copy(answers: Answers, job: Job, rig: NodeRig) -> None:
    reply = decode(answers.reply_to(job, b"pong", rig.now))
    assert (reply.command, reply.code, reply.id, reply.tag) == (REPLY, Outcome.RESULT, job.request.id, 7)
    assert reply.payload == b"pong"


def test_reply_tells_for_how_long_the_handler_has_run(answers: Answers, job: Job, rig: NodeRig) -> None:
    refused = decode(answers.reply_to(job, ServiceError("NO"), rig.now + 0.5))
    job.begun, job.begun_at = True, rig.now + 0.2
    reply = decode(answers.reply_to(job, b"pong", rig.now + 0.3255))
    assert (refused.time_ms, reply.time_ms) == (0, 125)


@pytest.mark.parametrize(
    ("outcome", "fits"), [(b"", True), (bytes(LIMIT), True), (bytes(LIMIT + 1), False), (ServiceError("NO"), False)]
)
def test_only_results_within_the_limit_fit(
    answers: Answers, job: Job, rig: NodeRig, outcome: bytes | ServiceError, fits: bool
) -> None:
    assert answers.fits(outcome) == fits
    reply = decode(answers.reply_to(job, outcome, rig.now))
    assert reply.code == (Outcome.RESULT if fits else Outcome.ERROR)
    assert fits or decode_failure(reply.payload).code in {"NO", "RESULT_TOO_LARGE"}


def test_another_copy_gets_the_same_reply_under_its_own_tag(answers: Answers, job: Job, rig: NodeRig) -> None:
    reply = answers.reply_to(job, b"pong", rig.now)
    answers.repeat(reply, asked(rig, "b", 9, retry_count=2)[1], rig.now)
    rig.pump()
    (repeated,) = rig["b"].answers()
    assert (repeated.tag, repeated.retry_count, repeated.payload) == (9, 2, b"pong")
    assert not rig["a"].answers()


def test_reply_that_is_too_large_for_the_broker_of_another_copy_is_lost_to_it(
    answers: Answers, job: Job, rig: NodeRig
) -> None:
    reply = answers.reply_to(job, bytes(100), rig.now)
    rig["b"].link.payload_bytes_max = 99
    answers.repeat(reply, asked(rig, "b", 9)[1], rig.now)
    rig.pump()
    (lost,) = rig["b"].answers()
    assert (lost.command, lost.tag, lost.id) == (LOST, 9, job.request.id)


def test_only_who_works_says_which_process_it_is(answers: Answers, job: Job, rig: NodeRig) -> None:
    answers.say(WORKING, 0, job.request.id, job.deliveries[0], rig.now)
    answers.say(REJECT, Reason.BUSY, job.request.id, job.deliveries[0], rig.now)
    rig.pump()
    (working,) = rig["a"].take(WORKING)
    (rejected,) = rig["a"].take(REJECT)
    assert field_of(working.extension, Field.INSTANCE) == INSTANCE
    assert (rejected.extension, rejected.code) == (b"", Reason.BUSY)


def test_all_copies_are_told_but_those_of_sessions_that_are_over(answers: Answers, job: Job, rig: NodeRig) -> None:
    job.deliveries.append(asked(rig, "b", 9)[1])
    rig["a"].die()
    rig.advance(5.0)
    assert rig["a"].link.open, "it is another session"
    reply = answers.reply_to(job, b"pong", rig.now)
    answers.say_all(LOST, 0, job, rig.now)
    answers.repeat(reply, job.deliveries[0], rig.now)
    rig.pump()
    assert [(lost.command, lost.tag) for lost in rig["b"].answers()] == [(LOST, 9)]
    assert not rig["a"].answers()
