"""The jobs of a worker that have not ended: when each is to be looked after, and how they end."""

from collections.abc import Collection
from typing import Final

from braidmq.core.links.link import Link
from braidmq.core.timers import Timers
from braidmq.core.worker.answers import Answers
from braidmq.core.worker.dedup import Key
from braidmq.core.worker.job import DELIVERIES_MAX, Job
from braidmq.observer import JobEnd, NodeObserver
from braidmq.wire.envelope import LOST, REJECT, Reason

FAULT_PAUSE_S: Final = 1.0
"""When a job is looked after again for which that has failed by an error of our own (containment.py)."""


class Jobs:
    """Keeps jobs and their timers. Whoever adds a job to `by_key` sets its timer, and tells the observer of it.

    `take_due` returns those to look after. `lose`, `refuse` and `end` end a job, which the observer is told: it has
    neither timer nor place any more, and its links know none of its copies.

    Attributes:
        by_key: the jobs.
        timers: theirs.
    """

    __slots__ = ("_answers", "_observer", "by_key", "timers")

    def __init__(self, answers: Answers, observer: NodeObserver | None) -> None:
        self.by_key: dict[Key, Job] = {}
        self.timers: Timers[Job] = Timers()
        self._answers = answers
        self._observer = observer

    def holds(self, link: Link) -> bool:
        """Whether anything that came over `link` runs or waits here."""
        jobs = self.by_key.values()
        return any(job.link is link or any(each.link is link for each in job.deliveries) for job in jobs)

    # -- timers

    def take_due(self, now: float) -> list[Job]:
        """Return the jobs that are due; each `is_due` until it has a timer again, or has ended."""
        due = self.timers.take_due(now)
        for job in due:
            job.timer = 0
        return due

    def is_due(self, job: Job) -> bool:
        """Whether a job was not given a place meanwhile, and has not ended."""
        return not job.timer and self.by_key.get(job.key) is job

    def look_again(self, jobs: list[Job], now: float) -> None:
        """The first of some jobs that were due could not be looked after: it waits a while, and the others do not."""
        at = now + FAULT_PAUSE_S
        for job in jobs:
            if self.is_due(job):
                job.timer = self.timers.add(job, at)
            at = now

    # -- ends

    def lose(self, job: Job, now: float) -> None:
        """A job whose handler has begun is over without an outcome."""
        self.end(job, JobEnd.LOST, now)
        self._answers.say_all(LOST, 0, job, now)

    def refuse(self, job: Job, reason: Reason, now: float) -> None:
        """A job that was never started is over."""
        self.end(job, JobEnd.REFUSED, now)
        self._answers.say_all(REJECT, reason, job, now)

    def end(self, job: Job, how: JobEnd, now: float) -> None:
        """Forget a job, whose copies are still to be answered."""
        if self._observer is not None:
            self._observer.on_job_end(job.request.id, how, now - job.begun_at if job.begun else 0.0, now)
        del self.by_key[job.key]
        for delivery in job.deliveries:
            asked, tag = delivery.link.asked, delivery.tag
            if asked.get(tag) is job:  # a liar may have used the tag again
                del asked[tag]
        self.timers.cancel(job, job.timer)
        service = job.service
        held, name = service.held, job.link.name
        held[name] -= 1
        if not held[name]:
            del held[name]
        if job.running:
            job.running = False
            service.running -= 1

    def validate_state(self, links: Collection[Link]) -> None:
        """Assert what must hold between two inputs, given all links. For tests and the simulator."""
        jobs = set(self.by_key.values())
        self.timers.validate_state({job: job.timer for job in jobs})
        assert {job for link in links for job in link.asked.values()} <= jobs
        for key, job in self.by_key.items():
            assert job.key == key
            assert 1 <= len(job.deliveries) <= DELIVERIES_MAX
            assert job.running or not (job.cancelled or job.begun)
