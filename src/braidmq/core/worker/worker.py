"""The worker: runs a request once, says that it is at it, and answers along the path on which it came.

A request waits here for a moment only. Where no place is about to be free it goes back to its broker, which may know
of an idle worker, and can tell its client that it waits.
"""

from collections import Counter
from collections.abc import Collection
from typing import Final

from braidmq.bounds import ATTEMPTS_MAX
from braidmq.core.events.node import HandlerOverdue, ResultTooLarge
from braidmq.core.ids import SECRET_BYTES, derived
from braidmq.core.links.link import Link, LinkState
from braidmq.core.links.links import Links
from braidmq.core.proofs import Prover
from braidmq.core.reasons import name_of
from braidmq.core.timers import Timers
from braidmq.core.worker.credit import spread
from braidmq.core.worker.dedup import Key, Keys, ReplyCache
from braidmq.core.worker.job import Delivery, Grant, Job, LocalService
from braidmq.errors import ConfigError, ProtocolError, ServiceError
from braidmq.members import check_service
from braidmq.observer import JobEnd, NodeObserver
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.envelope import (
    LOST,
    REJECT,
    REPLY,
    WORKING,
    Envelope,
    Flag,
    Outcome,
    Progress,
    Reason,
    Withdrawal,
    decode,
    head_of,
    now_ms,
    pack,
)
from braidmq.wire.extension import Field, pack_field
from braidmq.wire.forward import readdressed

_DUPLICATE: Final = int(Flag.POSSIBLE_DUPLICATE)
_RESULT: Final = int(Outcome.RESULT)
_ERROR: Final = int(Outcome.ERROR)

CONCURRENCY_MAX: Final = 10_000
"""Most requests that one service may run at once in one node."""

DELIVERIES_MAX: Final = ATTEMPTS_MAX
"""Copies of one request that are answered; a client makes no more attempts than that."""

WAIT_S: Final = 0.01
"""How long a request may have to wait here for a place, as far as that is known: about as long as it would take to find
another worker. Waits are worth it where requests are short: the next one is there when a place is free."""

WAIT_S_MAX: Final = 0.025
"""How long it waits before it goes back, when places are not as soon free as they were."""

LOOK_S: Final = 0.01
"""After how long a request that was handed out may have been overtaken by news that this process has not read."""

STOP_S: Final = 0.1
"""How long after its deadline a handler is stopped, if nobody has called it off before: its caller knows the deadline
better, by what the request took on its way, and must not be told of a loss before it gives up itself."""

STRAY_S: Final = 0.25
"""How long a handler may take to stop after that, before it loses its place. Then the log says that it goes on."""

STRAY_AGAIN_S: Final = 1.0
"""How often a handler is looked at that keeps its place, as too many others go on already."""

DEMAND_S: Final = 0.02
"""How soon a broker's wish for credit is met, so that the wishes of several brokers are met together."""

INVITE_S: Final = 0.01
"""How long a place is kept for the brokers that were told of it, before others are told that were turned away."""

FAULT_PAUSE_S: Final = 1.0
"""When a job is looked after again for which that has failed by an error of our own (containment.py)."""

REVIEW_S: Final = 1.0
"""How often credit is spread anew, so that what one broker leaves unused comes to others."""


class WorkerCore:
    """Runs the requests of one node.

    Inputs: `offer`, `on_request`, `on_cancel`, `on_change`, `on_gone`, `on_demand`, `drain`, `on_timer`. Outputs:
    `take_jobs` (to run) and `take_cancels` (to stop). Of each job that was taken, `begin` is asked before its handler,
    and its end is told once: by `on_done`, or by `on_late` or `on_unable` if the handler has not begun.

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
        self.executed = 0
        self.duplicates = 0
        self._settings = settings
        self._links = links
        self._services: dict[bytes, LocalService] = {}
        self._jobs: dict[Key, Job] = {}
        self._strays: dict[Key, Job] = {}
        self._keys = Keys(derived(secret, b"memory", SECRET_BYTES))
        self._cache = ReplyCache(settings)
        self._timers: Timers[Job] = Timers()
        self._starts: list[Job] = []
        self._cancels: list[Job] = []
        self._instance = pack_field(Field.INSTANCE, instance)
        self._prover = prover
        self._review_at = now + REVIEW_S

    def __len__(self) -> int:
        """Requests that run or wait here."""
        return len(self._jobs)

    @property
    def offers(self) -> bool:
        """Whether this node provides any service."""
        return bool(self._services)

    @property
    def services(self) -> Collection[LocalService]:
        """The services of this node, and what runs of each."""
        return self._services.values()

    @property
    def cache(self) -> ReplyCache:
        """What it remembers of the requests it has run."""
        return self._cache

    # -- outputs

    def take_jobs(self) -> list[Job]:
        """Return the jobs to run now.

        `begin` is called right before each handler; `on_done`, `on_late` or `on_unable` ends it.
        """
        starts, self._starts = self._starts, []
        return starts

    def take_cancels(self) -> list[Job]:
        """Return the jobs to stop, if they can be: nobody waits for them any more, or their deadline is over."""
        cancels, self._cancels = self._cancels, []
        return cancels

    def next_deadline(self) -> float | None:
        """Return when `on_timer` is due."""
        due = self._timers.next_deadline()
        if not self._services:
            return due
        return self._review_at if due is None else min(due, self._review_at)

    # -- commands

    def offer(self, service: str, concurrency: int) -> None:
        """Provide `service`; call it before the first link is up.

        Raises:
            ConfigError: the name or the number is wrong, or the service is offered already.
        """
        name = check_service(service).encode()
        if not 1 <= concurrency <= CONCURRENCY_MAX:
            raise ConfigError(f"concurrency must be between 1 and {CONCURRENCY_MAX}, not {concurrency!r}")
        if name in self._services:
            raise ConfigError(f"{service} has a handler already")
        self._services[name] = LocalService(name, concurrency)

    def holds(self, link: Link) -> bool:
        """Whether anything that came over `link` runs or waits here."""
        return any(job.link is link or any(each.link is link for each in job.deliveries) for job in self._jobs.values())

    def drain(self) -> None:
        """Take no new requests from now on."""
        self.draining = True

    # -- inputs

    def on_request(self, link: Link, message: bytes, age_s: float, now: float) -> None:
        """Handle a REQUEST that was delayed by `age_s` on its way, in this process or before it."""
        try:
            request = decode(message)
        except ProtocolError as error:
            self._links.on_malformed(link, str(error))
            return
        key = self._keys.key_of(request)
        job = self._jobs.get(key)
        if job is not None:
            self._join(job, request, Delivery(link, request), now)
            return
        delivery = Delivery(link, request)
        if self._strays and key in self._strays:
            self._note_copy(link, request, now)
            self._answer(LOST, 0, request.id, delivery, now)
            return
        if key in self._cache:
            self._note_copy(link, request, now)
            reply = self._cache.get(key)
            if reply is not None:
                self._reply(reply, delivery, now)
            else:
                self._answer(LOST, 0, request.id, delivery, now)
            return
        deadline = now + request.time_ms / 1000.0 - age_s
        service = self._services.get(request.service)
        if service is None:
            self._decline(request, delivery, Reason.NO_WORKER, now)
        elif self.draining:
            self._decline(request, delivery, Reason.DRAINING, now)
        elif deadline <= now:
            self._decline(request, delivery, Reason.EXPIRED, now)
        elif service.exceeds_grant(link) or (service.running >= service.concurrency and not self._may_wait(service)):
            if self._observer is not None:
                self._observe_refusal(request, link, Reason.BUSY, now)
            self._turn_away(service, delivery, request.id, now)
        else:
            job = self._jobs[key] = Job(key, service, request, delivery, deadline, now - age_s)
            service.held[link.name] = service.held.get(link.name, 0) + 1
            link.asked[request.tag] = job
            if self._observer is not None:
                name, sender = service.name.decode(), request.sender.decode("ascii", "replace")
                self._observer.on_job(request.id, name, sender, link.name, now)
            if service.running < service.concurrency:
                due, stop_at = now + job.working_s, deadline + STOP_S
                job.timer = self._timers.add(job, due if due < stop_at else stop_at)
                self._start(job)
            else:
                job.timer = self._timers.add(job, min(deadline, now + WAIT_S_MAX))
                service.queue[job] = None

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
            self._leave_place(job)
            self.executed -= 1
            self._refuse(job, Reason.EXPIRED, now)
            self._start_waiting(job.service, now)

    def on_unable(self, job: Job, now: float) -> None:
        """Note that a job's handler cannot begin here: it goes back to its broker, and so does what waits here."""
        service = job.service
        self._leave_place(job)
        self.executed -= 1
        waiting = list(service.queue)
        service.queue.clear()
        for each in (job, *waiting):
            self._give_back(each, now)

    def on_done(self, job: Job, outcome: bytes | ServiceError | None, now: float) -> None:
        """Handle the end of a job: the handler's result, its error, or None if it was stopped."""
        if self._strays and self._end_stray(job, now):
            return
        service = job.service
        if outcome is None:
            self._lose(job, now)
            self._cache.put(job.key, None, now)
        else:
            if self._observer is not None:
                fits = isinstance(outcome, bytes) and len(outcome) <= self._links.payload_bytes_max
                self._observe_end(job, JobEnd.RESULT if fits else JobEnd.ERROR, now)
            self._drop(job)
            self._leave_place(job)
            if job.begun:
                service.note_run(now - job.begun_at)
            reply = self._make_reply(job, outcome, now)
            self._cache.put(job.key, reply, now)
            first = job.deliveries[0]
            if len(reply) > first.link.payload_bytes_max < head_of(reply).payload_bytes:
                self._answer(LOST, 0, job.request.id, first, now)
            elif first.open:
                self._links.send(first.link, reply)
            for delivery in job.deliveries[1:]:
                self._reply(reply, delivery, now)
        self._start_waiting(service, now)

    def on_change(self, now: float) -> None:
        """Note that a link came up, went down or changed its state."""
        self._grant(now)

    def on_gone(self, link: Link) -> None:
        """Note that a broker was forgotten; nothing that came over `link` is held any more."""
        for service in self._services.values():
            for table in (service.held, service.backlog, service.granted, service.turned_away):
                table.pop(link.name, None)

    def on_demand(self, link: Link, demand: control.Demand, now: float) -> None:
        """Note that a broker could use more credit."""
        service = self._services.get(demand.service.encode())
        if service is not None:
            service.backlog[link.name] = demand.backlog
            self._review_at = min(self._review_at, now + DEMAND_S)

    def on_timer(self, now: float) -> None:
        """Do what is due."""
        due = self._timers.take_due(now)
        for job in due:
            job.timer = 0
        for at, job in enumerate(due):
            if self._is_due(job):
                try:
                    self._on_due(job, now)
                except Exception:
                    self._look_again(due[at:], now)
                    raise
        if now >= self._review_at:
            self._review(now)

    def _is_due(self, job: Job) -> bool:
        """Whether a job was not given a place meanwhile, and has not ended."""
        return not job.timer and self._jobs.get(job.key) is job

    def _on_due(self, job: Job, now: float) -> None:
        if job.running:
            if job.deadline + STOP_S <= now:
                self._on_overdue(job, now)
            else:
                self._say_working(job, now)
            return
        del job.service.queue[job]
        if job.deadline <= now:
            self._refuse(job, Reason.EXPIRED, now)
        else:
            self._give_back(job, now)

    def _look_again(self, jobs: list[Job], now: float) -> None:
        """The first of some jobs that were due could not be looked after: it waits a while, and the others do not."""
        at = now + FAULT_PAUSE_S
        for job in jobs:
            if self._is_due(job):
                job.timer = self._timers.add(job, at)
            at = now

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        links = self._links.links
        self._cache.validate_state()
        if self._prover is not None:
            self._prover.validate_state()
        self._timers.validate_state({job: job.timer for job in self._jobs.values()})
        assert set(self._starts) <= set(self._jobs.values())
        assert not self._strays.keys() & self._jobs.keys()
        assert not any(key in self._cache for key in self._strays)
        assert {job for link in links.values() for job in link.asked.values()} <= set(self._jobs.values())
        for key, job in self._jobs.items():
            assert job.key == key == self._keys.key_of(job.request)
            assert key not in self._cache
            assert job.service is self._services[job.request.service]
            assert 1 <= len(job.deliveries) <= DELIVERIES_MAX
            assert job.running or not (job.cancelled or job.begun)
        for service in self._services.values():
            jobs = [job for job in self._jobs.values() if job.service is service]
            assert service.running == sum(job.running for job in jobs) <= service.concurrency
            assert service.strays == sum(job.service is service for job in self._strays.values()) <= service.strays_max
            assert set(service.queue) == {job for job in jobs if not job.running}
            assert len(service.queue) <= service.concurrency + len(links)
            assert not service.queue or service.running == service.concurrency
            assert {name: count for name, count in service.held.items() if count} == Counter(
                job.link.name for job in jobs
            )
            named = (service.held, service.backlog, service.granted, service.turned_away)
            assert {name for table in named for name in table} <= links.keys()
            self._validate_credit(service)

    def _validate_credit(self, service: LocalService) -> None:
        up = [link for link in self._links.links.values() if link.state is LinkState.UP]
        told = [service.granted.get(link.name) or Grant() for link in up]
        assert all(grant.share <= grant.most for grant in service.granted.values())
        if not self.draining and all(grant.epoch == link.epoch for grant, link in zip(told, up, strict=True)):
            assert all(1 <= grant.share <= service.concurrency for grant in told)
            total = sum(grant.share for grant in told)
            assert not up or max(service.concurrency, len(up)) <= total <= service.concurrency + len(up)

    # -- inner

    def _may_wait(self, service: LocalService) -> bool:
        """Whether a place is about to be free, as far as is known."""
        return len(service.queue) < service.concurrency + len(self._links.links) and service.wait_s() <= WAIT_S

    def _turn_away(self, service: LocalService, delivery: Delivery, id_: bytes, now: float) -> None:
        """Give a request back for which there is no place; its broker is told when there is one."""
        name = delivery.link.name
        if delivery.open:
            service.turned_away[name] = None
            service.backlog[name] = max(1, service.backlog.get(name, 0))
            self._review_at = min(self._review_at, now + DEMAND_S)
        self._answer(REJECT, Reason.BUSY, id_, delivery, now)

    def _invite(self, service: LocalService, now: float) -> None:
        """Tell brokers that were turned away of free places: twice as many of them, as some will need none any more."""
        invited = list(service.turned_away)[: 2 * (service.concurrency - service.running)]
        for name in invited:
            del service.turned_away[name]
            if name in service.granted:
                service.granted[name].epoch = 0  # it is told again
        if service.turned_away:
            self._review_at = min(self._review_at, now + INVITE_S)
        self._grant_service(service, now)

    def _start(self, job: Job) -> None:
        job.running = True
        job.service.running += 1
        self.executed += 1
        self._starts.append(job)

    def _start_waiting(self, service: LocalService, now: float) -> None:
        """Give the service's free places to what waits for them."""
        while service.queue and service.running < service.concurrency:
            waiting, _ = service.queue.popitem(last=False)
            if waiting.deadline <= now:
                self._refuse(waiting, Reason.EXPIRED, now)
            else:
                self._timers.cancel(waiting, waiting.timer)
                waiting.timer = self._timers.add(waiting, waiting.came_at + waiting.working_s)
                self._start(waiting)
        if service.turned_away and service.running < service.concurrency and not self.draining:
            self._invite(service, now)

    def _join(self, job: Job, request: Envelope, delivery: Delivery, now: float) -> None:
        """A second copy of a request that is here: it gets the same answer."""
        self._note_copy(delivery.link, request, now)
        if len(job.deliveries) >= DELIVERIES_MAX:
            dispensable = job.dispensable(delivery)
            self._answer(REJECT, Reason.BUSY, job.request.id, dispensable, now)
            if dispensable is delivery:
                return
            job.deliveries.remove(dispensable)
            _forget(job, dispensable)
        job.deliveries.append(delivery)
        delivery.link.asked[delivery.tag] = job
        if job.begun:
            self._answer(WORKING, Progress.RUNNING, job.request.id, delivery, now)
        else:  # an attempt that this one knows of may have run
            job.request.flags |= request.flags & _DUPLICATE

    def _withdraw(self, job: Job, link: Link, tag: int, how: int, now: float) -> None:
        for delivery in job.deliveries:
            if delivery.link is link and delivery.epoch == link.epoch and delivery.tag == tag:
                delivery.superseded = True
                delivery.cancelled = delivery.cancelled or how != Withdrawal.SUPERSEDED
        if not job.running:
            if not job.counted_on:
                del job.service.queue[job]
                self._refuse(job, Reason.EXPIRED, now)
        elif how not in (Withdrawal.SUPERSEDED, Withdrawal.ORPHANED) and job.begun and not job.awaited:
            self._stop(job)

    def _stop(self, job: Job) -> None:
        """Ask a handler to stop, once."""
        if not job.cancelled:
            job.cancelled = True
            self._cancels.append(job)

    def _say_working(self, job: Job, now: float) -> None:
        if job.begun:
            # Of each broker the newest copy: its client listens to no earlier one, and copies must not multiply what
            # one request costs.
            for delivery in {each.link.name: each for each in job.deliveries if not each.cancelled}.values():
                self._answer(WORKING, Progress.RUNNING, job.request.id, delivery, now)
        job.timer = self._timers.add(job, min(job.deadline + STOP_S, now + job.working_s))

    def _on_overdue(self, job: Job, now: float) -> None:
        """Nobody waits for a handler any more: it has to stop, or it loses its place."""
        job.overdue += 1
        if job.overdue == 1:
            self._stop(job)
            job.timer = self._timers.add(job, now + STRAY_S)
            return
        may_go = job.begun and job.service.strays < job.service.strays_max
        if job.overdue == 2:
            sender, id_ = job.request.sender.decode("ascii", "replace"), job.request.id.hex()
            service, strays_max = job.service.name.decode(), job.service.strays_max
            self._links.events.add(HandlerOverdue(service, id_, sender, may_go, strays_max))
        if may_go:
            self._strays[job.key] = job
            job.service.strays += 1
            self._lose(job, now)
            self._start_waiting(job.service, now)
        else:
            job.timer = self._timers.add(job, now + STRAY_AGAIN_S)

    def _end_stray(self, job: Job, now: float) -> bool:
        """Whether a handler that has ended had lost its place before; then all are told already."""
        if self._strays.pop(job.key, None) is None:
            return False
        job.service.strays -= 1
        self._cache.put(job.key, None, now)
        return True

    def _lose(self, job: Job, now: float) -> None:
        """A job whose handler has begun is over without an outcome."""
        if self._observer is not None:
            self._observe_end(job, JobEnd.LOST, now)
        self._drop(job)
        self._leave_place(job)
        for delivery in job.deliveries:
            self._answer(LOST, 0, job.request.id, delivery, now)

    @staticmethod
    def _leave_place(job: Job) -> None:
        job.running = False
        job.service.running -= 1

    def _refuse(self, job: Job, reason: Reason, now: float) -> None:
        """A job that was never started is over."""
        if self._observer is not None:
            self._observe_end(job, JobEnd.REFUSED, now)
        self._drop(job)
        for delivery in job.deliveries:
            self._answer(REJECT, reason, job.request.id, delivery, now)

    def _give_back(self, job: Job, now: float) -> None:
        """A job for which there is no place goes back."""
        if self._observer is not None:
            self._observe_end(job, JobEnd.GIVEN_BACK, now)
        self._drop(job)
        for delivery in job.deliveries:
            self._turn_away(job.service, delivery, job.request.id, now)

    def _note_copy(self, link: Link, request: Envelope, now: float) -> None:
        """Count a further copy of a request that runs here or has run."""
        self.duplicates += 1
        if self._observer is not None:
            self._observer.on_job_joined(request.id, link.name, now)

    def _decline(self, request: Envelope, delivery: Delivery, reason: Reason, now: float) -> None:
        """Refuse a request that has just come."""
        if self._observer is not None:
            self._observe_refusal(request, delivery.link, reason, now)
        self._answer(REJECT, reason, request.id, delivery, now)

    def _observe_refusal(self, request: Envelope, link: Link, reason: Reason, now: float) -> None:
        assert self._observer is not None
        service = request.service.decode("ascii", "replace")
        self._observer.on_job_refused(request.id, service, link.name, name_of(reason), now)

    def _observe_end(self, job: Job, how: JobEnd, now: float) -> None:
        assert self._observer is not None
        self._observer.on_job_end(job.request.id, how, now - job.begun_at if job.begun else 0.0, now)

    def _drop(self, job: Job) -> None:
        del self._jobs[job.key]
        for delivery in job.deliveries:
            asked, tag = delivery.link.asked, delivery.tag
            if asked.get(tag) is job:  # a liar may have used the tag again
                del asked[tag]
        self._timers.cancel(job, job.timer)
        job.service.held[job.link.name] -= 1

    def _make_reply(self, job: Job, outcome: bytes | ServiceError, now: float) -> bytes:
        """Return the reply to the first copy of a request. It fits the largest limit of the brokers at least."""
        code, payload = _RESULT, b""
        if isinstance(outcome, bytes):
            payload = outcome
        limit = self._links.payload_bytes_max
        if len(payload) > limit:
            text = f"the result of {len(payload)} bytes exceeds the limit of {limit}"
            outcome = ServiceError("RESULT_TOO_LARGE", text)
            sender, id_ = job.request.sender.decode("ascii", "replace"), job.request.id.hex()
            self._links.events.add(ResultTooLarge(job.service.name.decode(), id_, sender, text))
        if isinstance(outcome, ServiceError):
            code, payload = _ERROR, control.encode_failure(outcome, limit)
        request, sent_ms = job.request, now_ms(now)
        extension = b""
        if request.extension and self._prover is not None:
            extension = self._prover.prove(request, code, payload)
        return pack(
            REPLY, request.id, request.flags, request.retry_count, sent_ms, 0, request.tag, code=code,
            extension=extension, payload=payload,
        )  # fmt: skip

    def _reply(self, reply: bytes, delivery: Delivery, now: float) -> None:
        """Answer another copy of a request."""
        if head_of(reply).payload_bytes > delivery.link.payload_bytes_max:
            self._answer(LOST, 0, head_of(reply).id, delivery, now)
        elif delivery.open:
            sent_ms, count = now_ms(now), delivery.retry_count
            self._links.send(delivery.link, readdressed(reply, tag=delivery.tag, retry_count=count, sent_ms=sent_ms))

    def _answer(self, command: int, code: int, id_: bytes, delivery: Delivery, now: float) -> None:
        if delivery.open:
            sent_ms = now_ms(now)
            extension = self._instance if command == WORKING else b""
            self._links.send(
                delivery.link,
                pack(command, id_, 0, 0, sent_ms, sent_ms if command == WORKING else 0, delivery.tag, code=code,
                     extension=extension),
            )  # fmt: skip

    def _review(self, now: float) -> None:
        """Spread credit anew, and forget what is too old."""
        self._review_at = now + REVIEW_S
        self._cache.expire(now)
        for service in self._services.values():
            for grant in service.granted.values():
                grant.turn(now)
            if service.turned_away and service.running < service.concurrency and not self.draining:
                self._invite(service, now)
        self._grant(now)
        for service in self._services.values():
            service.backlog = {name: count // 2 for name, count in service.backlog.items() if count > 1}

    def _grant(self, now: float) -> None:
        for service in self._services.values():
            self._grant_service(service, now)

    def _grant_service(self, service: LocalService, now: float) -> None:
        """Tell each broker its share of a service's concurrency, if it changed."""
        if self.draining:
            return
        held, backlog = service.held, service.backlog
        up = [link for link in self._links.links.values() if link.state is LinkState.UP]
        shares = spread(
            service.concurrency, {link.name: held.get(link.name, 0) + backlog.get(link.name, 0) for link in up}
        )
        for link in up:
            share = shares[link.name]
            if service.grant(link, share, now):
                self._links.send_control(link, control.Ready(service.name.decode(), share), now)


def _forget(job: Job, delivery: Delivery) -> None:
    """Forget which job a copy was for."""
    asked = delivery.link.asked
    if asked.get(delivery.tag) is job:  # a liar may have used the tag again
        del asked[delivery.tag]
