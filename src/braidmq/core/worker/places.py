"""The places of a worker's services: who has one, who waits for one for a moment, and who goes back for want of one."""

from braidmq.core.links.link import Link
from braidmq.core.worker.answers import Answers
from braidmq.core.worker.credit import Credit
from braidmq.core.worker.job import Delivery, Job, LocalService
from braidmq.core.worker.jobs import Jobs
from braidmq.core.worker.local_services import LocalServices
from braidmq.observer import JobEnd
from braidmq.wire.envelope import REJECT, Reason


class Places:
    """Gives places to jobs.

    `start` gives one, and `refill` whatever is free to those that wait; `turn_away` and `give_back` send requests back
    to their brokers. `resize` and `withdraw` change how many places a service has.

    Attributes:
        starts: the jobs that were given a place; their owner takes them.
        executed: how many of all those were run.
    """

    __slots__ = ("_answers", "_credit", "_jobs", "_local", "_timers", "executed", "starts")

    def __init__(self, local: LocalServices, jobs: Jobs, answers: Answers, credit: Credit) -> None:
        self.starts: list[Job] = []
        self.executed = 0
        self._local = local
        self._jobs = jobs
        self._timers = jobs.timers
        self._answers = answers
        self._credit = credit

    def resize(self, service: str, concurrency: int, now: float) -> None:
        """Let a service have so many places; those that run keep theirs. Raises ConfigError."""
        found = self._local.resize(service, concurrency)
        self.refill(found, now)
        self._credit.tell(found, now)

    def withdraw(self, service: str, now: float) -> list[Job]:
        """Let a service have no places, but for what has begun; all else of it goes back.

        Returns what has begun. Raises ConfigError.
        """
        found = self._local.withdraw(service, now)
        self._credit.withdraw(found, now)
        self._return_all(found, now)
        return [job for job in self._jobs.by_key.values() if job.service is found and job.begun]

    def start(self, job: Job) -> None:
        """Give a job one of the places that are free."""
        job.running = True
        job.service.running += 1
        self.executed += 1
        self.starts.append(job)

    def refill(self, service: LocalService, now: float) -> None:
        """Give the service's free places to what waits for them."""
        while service.queue and service.running < service.concurrency:
            waiting, _ = service.queue.popitem(last=False)
            if waiting.deadline <= now:
                self._jobs.refuse(waiting, Reason.EXPIRED, now)
            else:
                self._timers.cancel(waiting, waiting.timer)
                waiting.timer = self._timers.add(waiting, waiting.came_at + waiting.working_s)
                self.start(waiting)
        if service.turned_away and service.running < service.concurrency:
            self._credit.invite(service, now)

    def turn_away(self, service: LocalService, delivery: Delivery, id_: bytes, now: float) -> None:
        """Give a request back for which there is no place; its broker is told when there is one."""
        if delivery.open and not service.withdrawn:
            self._credit.turn_away(service, delivery.link, now)
        self._answers.say(REJECT, _why(service), id_, delivery, now)

    def give_back(self, job: Job, now: float) -> None:
        """A job for which there is no place goes back."""
        self._jobs.end(job, JobEnd.GIVEN_BACK, now)
        for delivery in job.deliveries:
            self.turn_away(job.service, delivery, job.request.id, now)

    def on_unable(self, job: Job, now: float) -> None:
        """A job that was started cannot begin here: it goes back to its broker, and so does what waits here."""
        self.executed -= 1
        self.give_back(job, now)
        self._return_all(job.service, now)

    def on_not_run(self, job: Job, now: float) -> None:
        """A job that has begun was not run: it goes back, and its broker is to find another worker first."""
        self.executed -= 1
        service = job.service
        self._jobs.end(job, JobEnd.GIVEN_BACK, now)
        for delivery in job.deliveries:
            if delivery.open and not service.withdrawn:
                self._credit.rest(service, delivery.link, now)
            self._answers.say(REJECT, _why(service), job.request.id, delivery, now)
        self.refill(service, now)

    def _return_all(self, service: LocalService, now: float) -> None:
        """Give back what waits for a place."""
        waiting = list(service.queue)
        service.queue.clear()
        for job in waiting:
            self.give_back(job, now)

    def validate_state(self, links: list[Link]) -> None:
        """Assert what must hold between two inputs, given all links. For tests and the simulator."""
        jobs = self._jobs.by_key.values()
        assert set(self.starts) <= set(jobs)
        assert {job.service for job in jobs} <= set(self._local)
        for service in self._local:
            here = [job for job in jobs if job.service is service]
            assert all(job.request.service == service.name for job in here)
            assert service.running == sum(job.running for job in here) <= service.most
            assert set(service.queue) == {job for job in here if not job.running}
            assert len(service.queue) <= service.most + len(links)
            assert not service.queue or service.running >= service.concurrency
            assert service.held == _held(here)


def _why(service: LocalService) -> Reason:
    """Return why a request of a service goes back."""
    return Reason.DRAINING if service.withdrawn else Reason.BUSY


def _held(jobs: list[Job]) -> dict[str, int]:
    held: dict[str, int] = {}
    for job in jobs:
        held[job.link.name] = held.get(job.link.name, 0) + 1
    return held
