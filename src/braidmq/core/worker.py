"""The worker: runs a request once, says that it is at it, and answers along the path on which it came.

Inputs: `offer`, `on_request`, `begin`, `on_cancel`, `on_late`, `on_done`, `on_change`, `on_demand`, `drain`,
`on_timer`. Outputs: `take_jobs` (to run) and `take_cancels` (to stop).
"""

from collections import Counter, OrderedDict
from collections.abc import Collection
from typing import Final

from braidmq.core.credit import spread
from braidmq.core.dedup import Key, ReplyCache, key_of
from braidmq.core.link import Link, LinkState
from braidmq.core.links import Links
from braidmq.core.timers import Timers
from braidmq.core.working import interval_s
from braidmq.errors import ConfigError, ProtocolError, ServiceError
from braidmq.members import check_service
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.envelope import (
    LOST,
    REJECT,
    REPLY,
    UINT32,
    WORKING,
    Envelope,
    Flag,
    Outcome,
    Progress,
    Reason,
    decode,
    pack,
    readdressed,
)

_DUPLICATE: Final = int(Flag.POSSIBLE_DUPLICATE)
_RESULT: Final = int(Outcome.RESULT)
_ERROR: Final = int(Outcome.ERROR)

CONCURRENCY_MAX: Final = 10_000
"""Most requests that one service may run at once in one node."""

ARRIVALS_MAX: Final = 20
"""Copies of one request that are answered; a client makes no more attempts than that."""

SILENT_INTERVALS_MAX: Final = 2
"""Intervals of WORKING without a word to the caller, after which what begins may run elsewhere, too: a caller
gives an attempt up after three."""

DEMAND_S: Final = 0.02
"""How soon a broker's wish for credit is met, so that the wishes of several brokers are met together."""

REVIEW_S: Final = 1.0
"""How often credit is spread anew, so that what one broker leaves unused comes to others."""


class Arrival:
    """One copy of a request: the session it came through and its tag there."""

    __slots__ = ("cancelled", "epoch", "link", "retry_count", "tag")

    def __init__(self, link: Link, request: Envelope) -> None:
        self.link = link
        self.epoch = link.epoch
        self.tag = request.tag
        self.retry_count = request.retry_count
        self.cancelled = False

    @property
    def open(self) -> bool:
        """Whether the session that it came through still stands."""
        return self.link.open and self.link.epoch == self.epoch

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for its answer."""
        return self.open and not self.cancelled


class Job:
    """One request that runs or waits to be run.

    Attributes:
        request: its first copy.
        arrivals: every copy; all are answered.
        deadline: when the caller stops waiting.
        running: False while it waits for one of the service's places.
        spoken_at: when its caller was last told of it, or would have been, had the request not been delayed.
    """

    __slots__ = (
        "arrivals",
        "cancelled",
        "deadline",
        "key",
        "link",
        "request",
        "running",
        "service",
        "spoken_at",
        "timer",
        "working_s",
    )

    def __init__(
        self, key: Key, service: "Offered", request: Envelope, link: Link, *, deadline: float, spoken_at: float
    ) -> None:
        self.key = key
        self.service = service
        self.request = request
        self.link = link
        self.deadline = deadline
        self.spoken_at = spoken_at
        self.working_s = interval_s(request.working_ms)
        self.arrivals = [Arrival(link, request)]
        self.running = False
        self.cancelled = False
        self.timer = 0


class Offered:
    """A service of this node.

    Attributes:
        concurrency: how many requests run at once.
        queue: requests for which no place is free: brokers were granted more together for a moment.
        held: how many requests each broker has here.
        backlog: how many more each broker wished to send.
        granted: the credit that each broker was told, with the session that it was told in.
    """

    __slots__ = ("backlog", "concurrency", "granted", "held", "name", "queue", "running")

    def __init__(self, name: bytes, concurrency: int) -> None:
        self.name = name
        self.concurrency = concurrency
        self.running = 0
        self.queue: OrderedDict[Job, None] = OrderedDict()
        self.held: dict[str, int] = {}
        self.backlog: dict[str, int] = {}
        self.granted: dict[str, tuple[int, int]] = {}


class WorkerCore:
    """See the module."""

    def __init__(self, settings: Settings, links: Links, now: float) -> None:
        self.draining = False
        self.executed = 0
        self.duplicates = 0
        self._settings = settings
        self._links = links
        self._services: dict[bytes, Offered] = {}
        self._jobs: dict[Key, Job] = {}
        self._cache = ReplyCache(settings)
        self._timers: Timers[Job] = Timers()
        self._starts: list[Job] = []
        self._cancels: list[Job] = []
        self._review_at = now + REVIEW_S

    def __len__(self) -> int:
        """Requests that run or wait here."""
        return len(self._jobs)

    @property
    def offers(self) -> bool:
        """Whether this node provides any service."""
        return bool(self._services)

    @property
    def services(self) -> Collection[Offered]:
        """The services of this node, and what runs of each."""
        return self._services.values()

    @property
    def cache(self) -> ReplyCache:
        """What it remembers of the requests it has run."""
        return self._cache

    # -- outputs

    def take_jobs(self) -> list[Job]:
        """Return the jobs to run now. `begin` is called right before each handler; `on_done` or `on_late` ends it."""
        starts, self._starts = self._starts, []
        return starts

    def take_cancels(self) -> list[Job]:
        """Return the running jobs that nobody waits for any more; those that can be stopped should be."""
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
        self._services[name] = Offered(name, concurrency)

    def holds(self, link: Link) -> bool:
        """Whether anything that came over `link` runs or waits here."""
        return any(job.link is link or any(each.link is link for each in job.arrivals) for job in self._jobs.values())

    def drain(self) -> None:
        """Take no new requests from now on."""
        self.draining = True

    # -- inputs

    def on_request(self, link: Link, message: bytes, age_s: float, now: float) -> None:
        """Take in a REQUEST that was delayed by `age_s` on its way."""
        try:
            request = decode(message)
        except ProtocolError as error:
            self._links.on_malformed(link, str(error))
            return
        if age_s * 1000.0 >= request.working_ms > 0:
            request.flags |= _DUPLICATE
        key = key_of(request.sender, request.id)
        job = self._jobs.get(key)
        if job is not None:
            self._join(job, Arrival(link, request), now)
            return
        arrival = Arrival(link, request)
        if key in self._cache:
            self.duplicates += 1
            reply = self._cache.get(key)
            if reply is not None:
                self._reply(reply, arrival, now)
            else:
                self._answer(LOST, 0, request.id, arrival, now)
            return
        deadline = now + request.time_ms / 1000.0 - age_s
        service = self._services.get(request.service)
        if service is None:
            self._answer(REJECT, Reason.NO_WORKER, request.id, arrival, now)
        elif self.draining:
            self._answer(REJECT, Reason.DRAINING, request.id, arrival, now)
        elif deadline <= now:
            self._answer(REJECT, Reason.EXPIRED, request.id, arrival, now)
        elif len(service.queue) >= service.concurrency + len(self._links.links):
            self._answer(REJECT, Reason.BUSY, request.id, arrival, now)
        else:
            job = self._jobs[key] = Job(key, service, request, link, deadline=deadline, spoken_at=now - age_s)
            service.held[link.name] = service.held.get(link.name, 0) + 1
            job.timer = self._timers.add(job, now + job.working_s)
            if service.running < service.concurrency:
                self._start(job)
            else:
                service.queue[job] = None

    def on_cancel(self, link: Link, message: bytes, now: float) -> None:
        """Take in a CANCEL: the client gave up an attempt."""
        try:
            cancel = decode(message)
        except ProtocolError as error:
            self._links.on_malformed(link, str(error))
            return
        job = self._jobs.get(key_of(cancel.sender, cancel.id))
        if job is not None:
            self._cancel_arrival(job, link, cancel.tag, now)

    def begin(self, job: Job, now: float) -> bool:
        """Whether the handler of a job may begin now; if not, the job has ended.

        The process may have been stopped since the request was taken in, and its caller has given it up, or has
        tried elsewhere meanwhile.
        """
        if job.deadline <= now:
            self.on_late(job, now)
            return False
        if now - job.spoken_at >= SILENT_INTERVALS_MAX * job.working_s:
            job.request.flags |= _DUPLICATE
        return True

    def on_late(self, job: Job, now: float) -> None:
        """Take in that the deadline of a job was over before its handler began."""
        job.service.running -= 1
        self.executed -= 1
        self._refuse(job, now)
        self._start_waiting(job.service, now)

    def on_done(self, job: Job, outcome: bytes | ServiceError | None, now: float) -> None:
        """Take in the end of a job: the handler's result, its error, or None if it was stopped."""
        self._drop(job)
        service = job.service
        service.running -= 1
        if outcome is None:
            self._cache.put(job.key, None, now)
            for arrival in job.arrivals:
                self._answer(LOST, 0, job.request.id, arrival, now)
        else:
            reply = self._make_reply(job, outcome, now)
            self._cache.put(job.key, reply, now)
            first = job.arrivals[0]
            if first.open:
                self._links.send(first.link, reply)
            for arrival in job.arrivals[1:]:
                self._reply(reply, arrival, now)
        self._start_waiting(service, now)

    def _start_waiting(self, service: Offered, now: float) -> None:
        """Give the service's free places to what waits for them."""
        while service.queue and service.running < service.concurrency:
            waiting, _ = service.queue.popitem(last=False)
            if waiting.deadline <= now:
                self._refuse(waiting, now)
            else:
                self._start(waiting)

    def on_change(self, now: float) -> None:
        """Take in that a link came up, went down or changed its state."""
        self._grant(now)

    def on_gone(self, link: Link) -> None:
        """Take in that a broker was forgotten; nothing that came over `link` is held any more."""
        for service in self._services.values():
            for table in (service.held, service.backlog, service.granted):
                table.pop(link.name, None)

    def on_demand(self, link: Link, demand: control.Demand, now: float) -> None:
        """Take in that a broker could use more credit."""
        service = self._services.get(demand.service.encode())
        if service is not None:
            service.backlog[link.name] = demand.backlog
            self._review_at = min(self._review_at, now + DEMAND_S)

    def on_timer(self, now: float) -> None:
        """Take in that time has passed."""
        for job in self._timers.take_due(now):
            if not job.running and job.deadline <= now:
                del job.service.queue[job]
                self._refuse(job, now)
                continue
            for arrival in job.arrivals:
                if not arrival.cancelled:
                    job.spoken_at = now
                    self._answer(WORKING, Progress.RUNNING, job.request.id, arrival, now)
            job.timer = self._timers.add(job, now + job.working_s)
        if now >= self._review_at:
            self._review_at = now + REVIEW_S
            self._cache.expire(now)
            self._grant(now)
            for service in self._services.values():
                service.backlog = {name: count // 2 for name, count in service.backlog.items() if count > 1}

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        links = self._links.links
        self._cache.validate_state()
        self._timers.validate_state({job: job.timer for job in self._jobs.values()})
        assert set(self._starts) <= set(self._jobs.values())
        for key, job in self._jobs.items():
            assert job.key == key == key_of(job.request.sender, job.request.id)
            assert key not in self._cache
            assert job.service is self._services[job.request.service]
            assert 1 <= len(job.arrivals) <= ARRIVALS_MAX
            assert job.running or not job.cancelled
        for service in self._services.values():
            jobs = [job for job in self._jobs.values() if job.service is service]
            assert service.running == sum(job.running for job in jobs) <= service.concurrency
            assert set(service.queue) == {job for job in jobs if not job.running}
            assert len(service.queue) <= service.concurrency + len(links)
            assert not service.queue or service.running == service.concurrency
            assert {name: count for name, count in service.held.items() if count} == Counter(
                job.link.name for job in jobs
            )
            assert service.held.keys() | service.backlog.keys() | service.granted.keys() <= links.keys()
            self._validate_credit(service)

    def _validate_credit(self, service: Offered) -> None:
        up = [link for link in self._links.links.values() if link.state is LinkState.UP]
        epoch_and_share = [service.granted.get(link.name, (0, 0)) for link in up]
        if not self.draining and all(told[0] == link.epoch for told, link in zip(epoch_and_share, up, strict=True)):
            assert all(1 <= share <= service.concurrency for _, share in epoch_and_share)
            total = sum(share for _, share in epoch_and_share)
            assert not up or max(service.concurrency, len(up)) <= total <= 2 * service.concurrency + len(up)

    # -- inner

    def _start(self, job: Job) -> None:
        job.running = True
        job.service.running += 1
        self.executed += 1
        self._starts.append(job)

    def _join(self, job: Job, arrival: Arrival, now: float) -> None:
        """A second copy of a request that is here: it gets the same answer."""
        self.duplicates += 1
        if len(job.arrivals) >= ARRIVALS_MAX:
            self._answer(REJECT, Reason.BUSY, job.request.id, arrival, now)
            return
        job.arrivals.append(arrival)
        self._answer(WORKING, Progress.RUNNING, job.request.id, arrival, now)

    def _cancel_arrival(self, job: Job, link: Link, tag: int, now: float) -> None:
        for arrival in job.arrivals:
            if arrival.link is link and arrival.epoch == link.epoch and arrival.tag == tag:
                arrival.cancelled = True
        if job.cancelled or any(arrival.awaited for arrival in job.arrivals):
            return
        job.cancelled = True
        if job.running:
            self._cancels.append(job)
        else:
            del job.service.queue[job]
            self._refuse(job, now)

    def _refuse(self, job: Job, now: float) -> None:
        """A job that was never started is over."""
        self._drop(job)
        for arrival in job.arrivals:
            self._answer(REJECT, Reason.EXPIRED, job.request.id, arrival, now)

    def _drop(self, job: Job) -> None:
        del self._jobs[job.key]
        self._timers.cancel(job, job.timer)
        job.service.held[job.link.name] -= 1

    def _make_reply(self, job: Job, outcome: bytes | ServiceError, now: float) -> bytes:
        """Return the reply to the first copy of a request."""
        code, payload = _RESULT, b""
        if isinstance(outcome, bytes):
            payload = outcome
        limit = self._links.payload_bytes_max
        if len(payload) > limit:
            text = f"the result of {len(payload)} bytes exceeds the limit of {limit}"
            outcome = ServiceError("RESULT_TOO_LARGE", text)
        if isinstance(outcome, ServiceError):
            code, payload = _ERROR, control.encode_failure(outcome, limit)
        request, sent_ms = job.request, int(now * 1000) & UINT32
        return pack(
            REPLY, request.id, request.flags, request.retry_count, sent_ms, 0, request.tag, code=code, payload=payload
        )

    def _reply(self, reply: bytes, arrival: Arrival, now: float) -> None:
        """Answer another copy of a request."""
        if arrival.open:
            sent_ms, count = int(now * 1000) & UINT32, arrival.retry_count
            self._links.send(arrival.link, readdressed(reply, tag=arrival.tag, retry_count=count, sent_ms=sent_ms))

    def _answer(self, command: int, code: int, id_: bytes, arrival: Arrival, now: float) -> None:
        if arrival.open:
            sent_ms = int(now * 1000) & UINT32
            self._links.send(arrival.link, pack(command, id_, 0, 0, sent_ms, 0, arrival.tag, code=code))

    def _grant(self, now: float) -> None:
        """Tell each broker its share of every service's concurrency, if it changed.

        A broker with a backlog also gets the places that are idle now: what other brokers could still send for
        them waits in the service's queue for a moment.
        """
        if self.draining:
            return
        up = [link for link in self._links.links.values() if link.state is LinkState.UP]
        for service in self._services.values():
            held, backlog = service.held, service.backlog
            shares = spread(
                service.concurrency, {link.name: held.get(link.name, 0) + backlog.get(link.name, 0) for link in up}
            )
            idle = service.concurrency - service.running - len(service.queue)
            for link in up:
                wanted = min(service.concurrency, held.get(link.name, 0) + backlog.get(link.name, 0))
                extra = max(0, min(idle, wanted - shares[link.name])) if backlog.get(link.name) else 0
                idle -= extra
                grant = (link.epoch, shares[link.name] + extra)
                if service.granted.get(link.name) != grant:
                    service.granted[link.name] = grant
                    self._links.send_control(link, control.Ready(service.name.decode(), grant[1]), now)
