"""Makes numbers of what a node tells its observer, whoever exports them."""

from typing import Protocol

from braidmq.errors import BraidError
from braidmq.messages import Reply
from braidmq.observability import instruments as of
from braidmq.observability.instruments import OTHER, SYSTEM, Bounded, Instrument
from braidmq.observability.outcomes import OK, status_of_call, status_of_job
from braidmq.observer import AttemptEnd, JobEnd, NodeObserver


class Meter(Protocol):
    """Takes the numbers."""

    def add(self, instrument: Instrument, amount: int, labels: tuple[str, ...]) -> None:
        """Add to a counter or a level; the labels are in the order of the instrument's, and empty ones say nothing."""

    def record(self, instrument: Instrument, value: float, labels: tuple[str, ...]) -> None:
        """Sort a value into a histogram."""


class _Call:
    __slots__ = ("in_flight", "service")

    def __init__(self, service: str) -> None:
        self.service = service
        self.in_flight = False


class _Job:
    __slots__ = ("begun", "service")

    def __init__(self, service: str) -> None:
        self.service = service
        self.begun = False


class MetricsObserver(NodeObserver):
    """Measures one node: give each node one of its own. See `instruments` for what is measured.

    It remembers what is under way, which the node bounds, and as many values of each label as `instruments` allows.

    Args:
        meter: takes the numbers.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._services = Bounded(of.SERVICES_MAX)
        self._brokers = Bounded(of.BROKERS_MAX)
        self._statuses = Bounded(of.STATUSES_MAX)
        self._reasons = Bounded(of.REASONS_MAX)
        self._calls: dict[bytes, _Call] = {}
        self._jobs: dict[bytes, list[_Job]] = {}
        self._credit: dict[tuple[str, str], int] = {}

    # -- as a client

    def on_call(self, id_: bytes, service: str, now: float) -> None:
        """See `NodeObserver`."""
        call = self._calls[id_] = _Call(self._services(service))
        self._meter.add(of.CLIENT_WAITING, 1, (call.service,))

    def on_attempt(self, id_: bytes, broker: str, number: int, now: float) -> None:
        """See `NodeObserver`."""
        call = self._calls[id_]
        call.in_flight = True
        self._meter.add(of.CLIENT_WAITING, -1, (call.service,))
        self._meter.add(of.CLIENT_IN_FLIGHT, 1, (call.service,))
        if number > 1:
            self._meter.add(of.CLIENT_RETRIES, 1, (call.service,))

    def on_attempt_end(self, id_: bytes, broker: str, how: AttemptEnd, reason: str, now: float) -> None:
        """See `NodeObserver`."""
        call = self._calls[id_]
        call.in_flight = False
        self._meter.add(of.CLIENT_IN_FLIGHT, -1, (call.service,))
        self._meter.add(of.CLIENT_WAITING, 1, (call.service,))
        why = self._reasons(reason) if reason else ""
        self._meter.add(of.CLIENT_ATTEMPTS, 1, (call.service, self._brokers(broker), how.value, why))

    def on_call_end(self, id_: bytes, outcome: Reply | BraidError | None, took_s: float, now: float) -> None:
        """See `NodeObserver`."""
        call = self._calls.pop(id_)
        self._meter.add(of.CLIENT_WAITING, -1, (call.service,))
        self._record(of.CLIENT_DURATION, took_s, call.service, status_of_call(outcome))
        if isinstance(outcome, Reply) and outcome.possible_duplicate:
            self._meter.add(of.CLIENT_DUPLICATES, 1, (call.service,))

    # -- as a worker

    def on_job(self, id_: bytes, service: str, client: str, broker: str, now: float) -> None:
        """See `NodeObserver`."""
        job = _Job(self._services(service))
        self._jobs.setdefault(id_, []).append(job)  # two callers may have chosen one id
        self._meter.add(of.SERVER_WAITING, 1, (job.service,))

    def on_job_refused(self, id_: bytes, service: str, broker: str, reason: str, now: float) -> None:
        """See `NodeObserver`."""
        known = service if service in self._services else OTHER  # it is a stranger's word
        self._meter.add(of.SERVER_REFUSED, 1, (known, self._reasons(reason)))

    def on_job_joined(self, id_: bytes, broker: str, now: float) -> None:
        """See `NodeObserver`."""
        self._meter.add(of.SERVER_DUPLICATES, 1, (self._brokers(broker),))

    def on_job_begun(self, id_: bytes, now: float) -> None:
        """See `NodeObserver`."""
        job = next(job for job in self._jobs[id_] if not job.begun)
        job.begun = True
        self._meter.add(of.SERVER_WAITING, -1, (job.service,))
        self._meter.add(of.SERVER_IN_FLIGHT, 1, (job.service,))

    def on_job_end(self, id_: bytes, how: JobEnd, took_s: float, now: float) -> None:
        """See `NodeObserver`."""
        jobs = self._jobs[id_]
        ran = how in (JobEnd.RESULT, JobEnd.ERROR) or took_s > 0.0
        job = next((job for job in jobs if job.begun is ran), jobs[0])
        jobs.remove(job)
        if not jobs:
            del self._jobs[id_]
        self._meter.add(of.SERVER_IN_FLIGHT if job.begun else of.SERVER_WAITING, -1, (job.service,))
        self._meter.add(of.SERVER_REQUESTS, 1, (job.service, how.value))
        if job.begun:
            self._record(of.SERVER_DURATION, took_s, job.service, status_of_job(how))

    def on_credit(self, service: str, broker: str, credit: int, now: float) -> None:
        """See `NodeObserver`."""
        labels = self._services(service), self._brokers(broker)
        before = self._credit.pop((service, broker), 0)
        if credit:
            self._credit[service, broker] = credit
        self._meter.add(of.SERVER_CREDIT, credit - before, labels)

    # -- itself

    def on_lag(self, lag_s: float, now: float) -> None:
        """See `NodeObserver`."""
        self._meter.record(of.LOOP_LAG, lag_s, ())

    def on_stall(self, services: tuple[str, ...], stalled_s: float, now: float) -> None:
        """See `NodeObserver`."""
        for service in services or ("",):
            self._meter.add(of.LOOP_STANDSTILLS, 1, (self._services(service) if service else "",))

    def on_closed(self, now: float) -> None:
        """See `NodeObserver`."""
        for call in self._calls.values():
            self._meter.add(of.CLIENT_IN_FLIGHT if call.in_flight else of.CLIENT_WAITING, -1, (call.service,))
        for job in (job for jobs in self._jobs.values() for job in jobs):
            self._meter.add(of.SERVER_IN_FLIGHT if job.begun else of.SERVER_WAITING, -1, (job.service,))
        for service, broker in list(self._credit):
            self.on_credit(service, broker, 0, now)
        self._calls.clear()
        self._jobs.clear()

    def _record(self, instrument: Instrument, took_s: float, service: str, status: str) -> None:
        if status == OK:
            self._meter.record(instrument, took_s, (SYSTEM, service, OK, ""))
        else:
            known = self._statuses(status)
            self._meter.record(instrument, took_s, (SYSTEM, service, known, known))
