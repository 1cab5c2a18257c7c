"""The worker: runs a request once, says that it is at it, and answers along the path on which it came.

A request waits here for a moment only. Where no place is about to be free it goes back to its broker, which may know
of an idle worker, and can tell its client that it waits.
"""

from collections.abc import Collection
from typing import Final

from braidmq.core.ids import SECRET_BYTES, derived
from braidmq.core.links.link import Link
from braidmq.core.links.links import Links
from braidmq.core.proofs import Prover
from braidmq.core.reasons import name_of
from braidmq.core.worker.answers import Answers
from braidmq.core.worker.credit import Credit
from braidmq.core.worker.dedup import Keys, ReplyCache
from braidmq.core.worker.job import Delivery, Job, LocalService
from braidmq.core.worker.jobs import Jobs
from braidmq.core.worker.local_services import LocalServices
from braidmq.core.worker.overdue import STOP_S, Overdue
from braidmq.core.worker.places import Places
from braidmq.errors import ProtocolError, ServiceError
from braidmq.observer import JobEnd, NodeObserver
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.envelope import (
    LOST,
    REJECT,
    WORKING,
    Envelope,
    Flag,
    Progress,
    Reason,
    Withdrawal,
    decode,
    head_of,
)

_DUPLICATE: Final = int(Flag.POSSIBLE_DUPLICATE)
_RESULT: Final = JobEnd.RESULT

WAIT_S_MAX: Final = 0.025
"""How long a request waits here before it goes back, when places are not as soon free as they were."""

LOOK_S: Final = 0.01
"""After how long a request that was handed out may have been overtaken by news that this process has not read."""


class WorkerCore:
    """Runs the requests of one node.

    Inputs: `offer`, `resize`, `withdraw`, `stop`, `on_request`, `on_cancel`, `on_change`, `on_gone`, `on_rights`,
    `on_demand`, `drain`, `on_timer`. Outputs: `take_jobs` (to run) and `take_cancels` (to stop). Of each job that was
    taken, `begin` is asked before its handler, and its end is told once: by `on_done`, `on_not_run` or `on_unknown`, or
    by `on_late` or `on_unable` if the handler has not begun.

    Args:
        secret: random bytes that nobody else knows.
        instance: tells this process from others with the same key.
        prover: proves its replies to callers that ask for it.
        observer: is told what happens to requests.
    """

    def __init__(
        self,
        settings: Settings,
        links: Links,
        now: float,
        *,
        secret: bytes,
        instance: bytes,
        prover: Prover | None = None,
        observer: NodeObserver | None = None,
    ) -> None:
        self._observer = observer
        self.draining = False
        self.duplicates = 0
        self._settings = settings
        self._links = links
        self._local = LocalServices(settings)
        self._services = self._local.offered
        self._withdrawn = self._local.withdrawn
        self._answers = Answers(links, instance, prover)
        self._jobs = Jobs(self._answers, observer)
        self._by_key = self._jobs.by_key
        self._timers = self._jobs.timers
        self._overdue = Overdue(links.events)
        self._strays = self._overdue.strays
        self._keys = Keys(derived(secret, b"memory", SECRET_BYTES))
        self._cache = ReplyCache(settings)
        self._cancels: list[Job] = []
        self._credit = Credit(self._services, links, now, observer)
        self._places = Places(self._local, self._jobs, self._answers, self._credit)

    def __len__(self) -> int:
        """Requests that run or wait here."""
        return len(self._by_key)

    @property
    def executed(self) -> int:
        """How many requests were run here."""
        return self._places.executed

    @property
    def offers(self) -> bool:
        """Whether requests may be on their way to this node."""
        return bool(self._services or self._withdrawn)

    @property
    def services(self) -> Collection[LocalService]:
        """The services of which anything may be here, and what runs of each."""
        return list(self._local)

    @property
    def cache(self) -> ReplyCache:
        """What it remembers of the requests it has run."""
        return self._cache

    def change_prover(self, prover: Prover) -> None:
        """Prove replies with another key from now on."""
        self._answers.prover = prover

    # -- outputs

    def take_jobs(self) -> list[Job]:
        """Return the jobs to run now.

        `begin` is called right before each handler; `on_done`, `on_late` or `on_unable` ends it.
        """
        starts, self._places.starts = self._places.starts, []
        return starts

    def take_cancels(self) -> list[Job]:
        """Return the jobs to stop, if they can be: nobody waits for them any more, or their deadline is over."""
        cancels, self._cancels = self._cancels, []
        return cancels

    def next_deadline(self) -> float | None:
        """Return when `on_timer` is due."""
        due = self._timers.next_deadline()
        if not self._services and not self._withdrawn and not len(self._cache):
            return due
        review_at = self._credit.review_at
        return review_at if due is None else min(due, review_at)

    # -- commands

    def offer(self, service: str, concurrency: int, now: float | None = None) -> None:
        """Provide `service` from now on; `now` may be None before the first link is up.

        Raises:
            ConfigError: the name or the number is wrong, or the service is offered already.
        """
        found = self._local.offer(service, concurrency)
        if now is not None:
            self._credit.tell(found, now)

    def resize(self, service: str, concurrency: int, now: float) -> None:
        """Let so many requests of a service run at once from now on; those that run go on.

        Raises:
            ConfigError: the number is wrong, or the service is not offered.
        """
        self._places.resize(service, concurrency, now)

    def withdraw(self, service: str, now: float) -> list[Job]:
        """Provide `service` no more: what has begun goes on, and all else of it goes back to its broker.

        Returns:
            What has begun. Each has its place, and is `running`, until it has ended or lost it.

        Raises:
            ConfigError: the service is not offered.
        """
        return self._places.withdraw(service, now)

    def stop(self, jobs: Collection[Job]) -> None:
        """Ask the handlers of some jobs to stop, as far as they run yet."""
        for job in jobs:
            if job.running:
                self._stop(job)

    def holds(self, link: Link) -> bool:
        """Whether anything that came over `link` runs or waits here."""
        return self._jobs.holds(link)

    def drain(self, now: float) -> None:
        """Take no new requests from now on."""
        self.draining = True
        self._credit.end(now)

    # -- inputs

    def on_request(self, link: Link, message: bytes, age_s: float, now: float) -> None:
        """Handle a REQUEST that was delayed by `age_s` on its way, in this process or before it."""
        try:
            request = decode(message)
        except ProtocolError as error:
            self._links.on_malformed(link, str(error))
            return
        key = self._keys.key_of(request)
        job = self._by_key.get(key)
        if job is not None:
            self._join(job, request, Delivery(link, request), now)
            return
        delivery = Delivery(link, request)
        if self._strays and key in self._strays:
            self._note_copy(link, request, now)
            self._answers.say(LOST, 0, request.id, delivery, now)
            return
        if key in self._cache:
            self._note_copy(link, request, now)
            reply = self._cache.get(key)
            if reply is not None:
                self._answers.repeat(reply, delivery, now)
            else:
                self._answers.say(LOST, 0, request.id, delivery, now)
            return
        deadline = now + request.time_ms / 1000.0 - age_s
        service = self._services.get(request.service)
        if service is None:  # what was sent before its broker knew is to find another worker
            reason = Reason.DRAINING if request.service in self._withdrawn else Reason.NO_WORKER
            self._decline(request, delivery, reason, now)
        elif self.draining:
            self._decline(request, delivery, Reason.DRAINING, now)
        elif deadline <= now:
            self._decline(request, delivery, Reason.EXPIRED, now)
        elif service.exceeds_grant(link) or (
            service.running >= service.concurrency and not service.may_wait(len(self._links.links))
        ):
            if self._observer is not None:
                self._observe_refusal(request, link, Reason.BUSY, now)
            self._places.turn_away(service, delivery, request.id, now)
        else:
            job = self._by_key[key] = Job(key, service, request, delivery, deadline, now - age_s)
            service.held[link.name] = service.held.get(link.name, 0) + 1
            link.asked[request.tag] = job
            if self._observer is not None:
                name, sender = service.name.decode(), request.sender.decode("ascii", "replace")
                self._observer.on_job(request.id, name, sender, link.name, now)
            if service.running < service.concurrency:
                due, stop_at = now + job.working_s, deadline + STOP_S
                job.timer = self._timers.add(job, due if due < stop_at else stop_at)
                self._places.start(job)
            else:
                job.timer = self._timers.add(job, min(deadline, now + WAIT_S_MAX))
                service.queue[job] = None

    def on_cut(self, link: Link, request: Envelope, now: float) -> None:
        """Handle what stands for a REQUEST that is longer than this node takes: its caller is told so."""
        self._answers.say_too_large(link, request, self._settings.payload_bytes_max, now)

    def on_cancel(self, link: Link, message: bytes, now: float) -> None:
        """Handle a CANCEL: less is expected of an attempt."""
        try:
            cancel = decode(message)
        except ProtocolError as error:
            self._links.on_malformed(link, str(error))
            return
        job = link.asked.get(cancel.tag)
        if job is not None and job.request.id == cancel.id and job.request.sender == cancel.sender:
            self._withdraw(job, link, cancel.tag, cancel.code, now)

    def must_look(self, job: Job, now: float) -> bool:
        """Whether news may have come since a job was handed out: the shell reads it before it calls `begin`."""
        return now - job.came_at > LOOK_S

    def begin(self, job: Job, now: float) -> bool:
        """Whether the handler of a job may begin now; if not, the job has ended.

        Its caller may have given it up, or have sent it again, since it was handed out.
        """
        if job.deadline <= now or not job.counted_on:
            self.on_late(job, now)
            return False
        if job.service.withdrawn:
            self.on_unable(job, now)
            return False
        if now > job.sure_until:
            job.request.flags |= _DUPLICATE
        job.begun = True
        job.begun_at = now
        if self._observer is not None:
            self._observer.on_job_begun(job.request.id, now)
        return True

    def on_late(self, job: Job, now: float) -> None:
        """Note that a job was over before its handler began."""
        if not (self._strays and self._end_stray(job, now)):
            self._places.executed -= 1
            self._jobs.refuse(job, Reason.EXPIRED, now)
            self._places.refill(job.service, now)

    def on_unable(self, job: Job, now: float) -> None:
        """Note that a job's handler cannot begin here: it goes back to its broker, and so does what waits here."""
        self._places.on_unable(job, now)

    def on_not_run(self, job: Job, now: float) -> None:
        """Handle that a handler has done nothing, by its own word: its request is to find another worker."""
        if not (self._strays and self._overdue.end(job)):
            self._places.on_not_run(job, now)

    def on_unknown(self, job: Job, now: float) -> None:
        """Handle that nobody knows whether a job was run, by its handler's word: a retry may run here, too."""
        if not (self._strays and self._end_stray(job, now)):
            self._jobs.lose(job, now)
            self._places.refill(job.service, now)

    def on_done(self, job: Job, outcome: bytes | ServiceError | None, now: float) -> None:
        """Handle the end of a job: the handler's result, its error, or None if it was stopped."""
        if self._strays and self._end_stray(job, now):
            return
        service = job.service
        if outcome is None:
            self._jobs.lose(job, now)
            self._cache.put(job.key, None, now)
        else:
            how = _RESULT
            if self._observer is not None and not self._answers.fits(outcome):
                how = JobEnd.ERROR
            self._jobs.end(job, how, now)
            if job.begun:
                service.note_run(now - job.begun_at)
            reply = self._answers.reply_to(job, outcome, now)
            self._cache.put(job.key, reply, now)
            first = job.deliveries[0]
            link = first.link
            if len(reply) > link.payload_bytes_max < head_of(reply).payload_bytes:
                self._answers.say(LOST, 0, job.request.id, first, now)
            elif first.open:
                self._links.send(link, reply)
            for delivery in job.deliveries[1:]:
                self._answers.repeat(reply, delivery, now)
        self._places.refill(service, now)

    def on_change(self, now: float) -> None:
        """Note that a link came up, went down or changed its state."""
        self._credit.grant(now)

    def on_gone(self, link: Link) -> None:
        """Note that a broker was forgotten; what came over `link` may still run."""
        self._credit.on_gone(link)

    def on_rights(self, link: Link, now: float) -> None:
        """Note that a broker knows of other rights of this node than before."""
        self._credit.tell_again(link, now)

    def on_demand(self, link: Link, demand: control.Demand, now: float) -> None:
        """Note that a broker could use more credit."""
        self._credit.on_demand(link, demand, now)

    def on_timer(self, now: float) -> None:
        """Do what is due."""
        due = self._jobs.take_due(now)
        for at, job in enumerate(due):
            if self._jobs.is_due(job):
                try:
                    self._on_due(job, now)
                except Exception:
                    self._jobs.look_again(due[at:], now)
                    raise
        if now >= self._credit.review_at:
            self._credit.review(now)
            self._local.review(now)
            self._cache.expire(now)

    def _on_due(self, job: Job, now: float) -> None:
        if job.running:
            if job.deadline + STOP_S <= now:
                self._on_overdue(job, now)
            else:
                self._say_working(job, now)
            return
        del job.service.queue[job]
        if job.deadline <= now:
            self._jobs.refuse(job, Reason.EXPIRED, now)
        else:
            self._places.give_back(job, now)

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        links, jobs = self._links.links, self._by_key.values()
        self._answers.validate_state()
        self._cache.validate_state()
        self._credit.validate_state()
        self._local.validate_state()
        self._overdue.validate_state(self.services)
        self._jobs.validate_state(links.values())
        self._places.validate_state(list(links.values()))
        assert not self._strays.keys() & self._by_key.keys()
        assert not any(key in self._cache for key in (*self._strays, *self._by_key))
        assert all(job.key == self._keys.key_of(job.request) for job in jobs)

    # -- inner

    def _join(self, job: Job, request: Envelope, delivery: Delivery, now: float) -> None:
        """A second copy of a request that is here: it gets the same answer."""
        self._note_copy(delivery.link, request, now)
        refused = job.join(delivery)
        if refused is not None:
            self._answers.say(REJECT, Reason.BUSY, job.request.id, refused, now)
        if refused is delivery:
            return
        if job.begun:
            self._answers.say(WORKING, Progress.RUNNING, job.request.id, delivery, now)
        else:  # an attempt that this one knows of may have run
            job.request.flags |= request.flags & _DUPLICATE

    def _withdraw(self, job: Job, link: Link, tag: int, how: int, now: float) -> None:
        job.withdraw(link, tag, how)
        if not job.running:
            if not job.counted_on:
                del job.service.queue[job]
                self._jobs.refuse(job, Reason.EXPIRED, now)
        elif how not in (Withdrawal.SUPERSEDED, Withdrawal.ORPHANED) and job.begun and not job.awaited:
            self._stop(job)

    def _stop(self, job: Job) -> None:
        """Ask a handler to stop, once."""
        if not job.cancelled:
            job.cancelled = True
            self._cancels.append(job)

    def _say_working(self, job: Job, now: float) -> None:
        if job.begun:
            for delivery in job.newest():  # copies must not multiply what one request costs
                self._answers.say(WORKING, Progress.RUNNING, job.request.id, delivery, now)
        job.timer = self._timers.add(job, min(job.deadline + STOP_S, now + job.working_s))

    def _on_overdue(self, job: Job, now: float) -> None:
        """Nobody waits for a handler any more: it has to stop, or it loses its place."""
        again_s = self._overdue.look(job)
        if again_s:
            self._stop(job)
            job.timer = self._timers.add(job, now + again_s)
        else:
            self._jobs.lose(job, now)
            self._places.refill(job.service, now)

    def _end_stray(self, job: Job, now: float) -> bool:
        """Whether a handler that has ended had lost its place before; then all are told already."""
        if not self._overdue.end(job):
            return False
        self._cache.put(job.key, None, now)
        return True

    def _note_copy(self, link: Link, request: Envelope, now: float) -> None:
        """Count a further copy of a request that runs here or has run."""
        self.duplicates += 1
        if self._observer is not None:
            self._observer.on_job_joined(request.id, link.name, now)

    def _decline(self, request: Envelope, delivery: Delivery, reason: Reason, now: float) -> None:
        """Refuse a request that has just come."""
        if self._observer is not None:
            self._observe_refusal(request, delivery.link, reason, now)
        self._answers.say(REJECT, reason, request.id, delivery, now)

    def _observe_refusal(self, request: Envelope, link: Link, reason: Reason, now: float) -> None:
        assert self._observer is not None
        service = request.service.decode("ascii", "replace")
        self._observer.on_job_refused(request.id, service, link.name, name_of(reason), now)
