"""The jobs of a worker: their timers, and what their ends leave behind."""

from collections.abc import Iterator
from typing import Any

import pytest

from braidmq.core.worker.answers import Answers
from braidmq.core.worker.job import Delivery, Job, LocalService
from braidmq.core.worker.jobs import FAULT_PAUSE_S, Jobs
from braidmq.observer import JobEnd, NodeObserver
from braidmq.wire.envelope import LOST, REJECT, REQUEST, Envelope, Reason
from tests.support.rigs.node_rig import CLIENT, NodeRig, request_id


class Ends(NodeObserver):
    """Notes how jobs end."""

    def __init__(self) -> None:
        self.ends: list[tuple[bytes, JobEnd, float]] = []

    def on_job_end(self, id_: bytes, how: JobEnd, took_s: float, now: float) -> None:
        self.ends.append((id_, how, took_s))


class Kept:
    """Jobs of one service, as their worker keeps them."""

    def __init__(self, rig: NodeRig) -> None:
        self.rig = rig
        self.observer = Ends()
        self.service = LocalService(b"echo", 4)
        self.jobs = Jobs(Answers(rig.core.links, b"", None), self.observer)

    def add(self, number: int, *, running: bool = False) -> Job:
        """Add a job that is due in a second."""
        link, now = self.rig["a"].link, self.rig.now
        request = Envelope(REQUEST, request_id(number), tag=number, sender=CLIENT, service=b"echo")
        job = Job(bytes((number,)), self.service, request, Delivery(link, request), now + 5.0, now)
        self.jobs.by_key[job.key] = link.asked[number] = job
        job.timer = self.jobs.timers.add(job, now + 1.0)
        self.service.held["a"] = self.service.held.get("a", 0) + 1
        self.service.running += running
        job.running = running
        self.check()
        return job

    def check(self) -> None:
        self.jobs.validate_state(self.rig.core.links.links.values())


@pytest.fixture
def kept(make: Any) -> Iterator[Kept]:
    kept = Kept(make("a", "b"))
    yield kept
    kept.rig["a"].link.asked.clear()  # the rig's own worker knows of no job


@pytest.mark.parametrize("running", [False, True])
def test_nothing_is_left_of_a_job_that_has_ended(kept: Kept, running: bool) -> None:
    job = kept.add(1, running=running)
    assert kept.jobs.holds(kept.rig["a"].link)
    kept.jobs.end(job, JobEnd.GIVEN_BACK, kept.rig.now)
    assert not kept.jobs.by_key
    assert not kept.jobs.holds(kept.rig["a"].link)
    assert not kept.rig["a"].link.asked
    assert (kept.service.running, kept.service.held) == (0, {})
    assert kept.jobs.timers.next_deadline() is None
    assert kept.observer.ends == [(job.request.id, JobEnd.GIVEN_BACK, 0.0)]
    kept.check()


def test_all_copies_are_told_of_a_loss_and_of_a_refusal(kept: Kept) -> None:
    lost, refused = kept.add(1, running=True), kept.add(2)
    lost.begun, lost.begun_at = True, kept.rig.now - 3.0
    again = Envelope(REQUEST, lost.request.id, tag=7, sender=CLIENT, service=b"echo")
    assert lost.join(Delivery(kept.rig["b"].link, again)) is None
    assert kept.jobs.holds(kept.rig["b"].link)
    kept.jobs.lose(lost, kept.rig.now)
    kept.jobs.refuse(refused, Reason.EXPIRED, kept.rig.now)
    kept.rig.pump()
    assert [(each.command, each.tag) for each in kept.rig["a"].answers()] == [(REJECT, 2), (LOST, 1)]
    assert [(each.command, each.tag) for each in kept.rig["b"].answers()] == [(LOST, 7)]
    assert kept.observer.ends == [(lost.request.id, JobEnd.LOST, 3.0), (refused.request.id, JobEnd.REFUSED, 0.0)]
    kept.check()


def test_tag_that_a_liar_has_used_again_stays_the_other_jobs(kept: Kept) -> None:
    first, second = kept.add(1), kept.add(2)
    link = kept.rig["a"].link
    link.asked[1] = second
    kept.jobs.end(first, JobEnd.GIVEN_BACK, kept.rig.now)
    assert link.asked == {1: second, 2: second}


def test_job_is_due_until_it_has_a_timer_or_has_ended(kept: Kept) -> None:
    placed, ended, left = kept.add(1), kept.add(2), kept.add(3)
    due = kept.jobs.take_due(kept.rig.now + 2.0)
    assert due == [placed, ended, left]
    placed.timer = kept.jobs.timers.add(placed, kept.rig.now + 3.0)
    kept.jobs.end(ended, JobEnd.GIVEN_BACK, kept.rig.now)
    assert [job for job in due if kept.jobs.is_due(job)] == [left]


def test_job_that_could_not_be_looked_after_waits_and_the_others_do_not(kept: Kept) -> None:
    jobs = [kept.add(number) for number in range(3)]
    now = kept.rig.now + 2.0
    kept.jobs.look_again(kept.jobs.take_due(now), now)
    kept.check()
    assert kept.jobs.take_due(now + 0.1) == jobs[1:]
    assert kept.jobs.take_due(now + FAULT_PAUSE_S + 0.1) == jobs[:1]
