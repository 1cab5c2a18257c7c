"""What a worker keeps of the requests that it has, and of the services that it provides."""

from collections import OrderedDict
from collections.abc import Collection
from typing import Final

from braidmq.bounds import ATTEMPTS_MAX
from braidmq.core.links.link import Link
from braidmq.core.patience import interval_s, sure_s
from braidmq.core.worker.dedup import Key
from braidmq.wire.envelope import Envelope, Withdrawal

DELIVERIES_MAX: Final = ATTEMPTS_MAX
"""Copies of one request that are answered; a client makes no more attempts than that."""

RUN_WEIGHT: Final = 1 / 8
"""What one more request counts in the mean time that a service's requests run: the last ten or so decide."""

WAIT_S: Final = 0.01
"""How long a request may have to wait here for a place, as far as that is known: about as long as it would take to find
another worker. Waits are worth it where requests are short: the next one is there when a place is free."""

RUNS_PER_PLACE: Final = 2
"""Handlers for each place of a service: the one that has it, and one more that goes on after its deadline. So that many
handlers may hang before the service has fewer places; more than that keep theirs."""

NEWS_S: Final = 1.0
"""For how long at least a request may come by an earlier grant, when less is granted now: news, and requests, may have
to wait in full pipes."""


class Delivery:
    """One copy of a request: the session it came through and its tag there.

    Attributes:
        cancelled: nobody waits for its answer.
        superseded: its client has sent the request again, or is about to.
    """

    __slots__ = ("cancelled", "epoch", "link", "retry_count", "superseded", "tag")

    def __init__(self, link: Link, request: Envelope) -> None:
        self.link = link
        self.epoch = link.epoch
        self.tag = request.tag
        self.retry_count = request.retry_count
        self.cancelled = False
        self.superseded = False

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
        deliveries: every copy; all are answered.
        deadline: when the caller stops waiting.
        came_at: when its first copy would have come, had it not been delayed.
        sure_until: until when no other attempt can have overtaken that (patience.py).
        running: whether it has one of the service's places.
        begun: whether its handler has begun.
        begun_at: when, if it has.
        cancelled: whether the handler was asked to stop.
        overdue: how often its handler was found to go on after its deadline.
        working_s: how often its client wants to hear of it.
        timer: its bucket in the worker's timers; 0 while it is in none.
    """

    __slots__ = (
        "begun",
        "begun_at",
        "came_at",
        "cancelled",
        "deadline",
        "deliveries",
        "key",
        "link",
        "overdue",
        "request",
        "running",
        "service",
        "sure_until",
        "timer",
        "working_s",
    )

    def __init__(
        self, key: Key, service: "LocalService", request: Envelope, delivery: Delivery, deadline: float, came_at: float
    ) -> None:
        self.key = key
        self.service = service
        self.request = request
        self.link = delivery.link
        self.deadline = deadline
        self.came_at = came_at
        self.working_s = interval_s(request.working_ms)
        self.sure_until = came_at + sure_s(self.working_s, request.code)
        self.deliveries = [delivery]
        self.running = False
        self.begun = False
        self.begun_at = 0.0
        self.cancelled = False
        self.overdue = 0
        self.timer = 0

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for its answer."""
        return any(delivery.awaited for delivery in self.deliveries)

    def join(self, newest: Delivery) -> Delivery | None:
        """Take in another copy; return the one to refuse where there is no room for all, which may be that one."""
        refused = None
        if len(self.deliveries) >= DELIVERIES_MAX:
            refused = self._dispensable(newest)
            if refused is newest:
                return refused
            self.deliveries.remove(refused)
            self._forget(refused)
        self.deliveries.append(newest)
        newest.link.asked[newest.tag] = self
        return refused

    def withdraw(self, link: Link, tag: int, how: int) -> None:
        """Note that less is expected of the copy that has come with a tag over a link."""
        for delivery in self.deliveries:
            if delivery.link is link and delivery.epoch == link.epoch and delivery.tag == tag:
                delivery.superseded = True
                delivery.cancelled = delivery.cancelled or how != Withdrawal.SUPERSEDED

    def newest(self) -> Collection[Delivery]:
        """Return of each broker the newest copy that is not called off: its client listens to no earlier one."""
        return {each.link.name: each for each in self.deliveries if not each.cancelled}.values()

    @property
    def counted_on(self) -> bool:
        """Whether a client waits for one of its copies, and for no other attempt instead."""
        first = self.deliveries[0]
        if not first.cancelled and not first.superseded and first.open:
            return True
        return any(not each.cancelled and not each.superseded and each.open for each in self.deliveries)

    def _forget(self, delivery: Delivery) -> None:
        asked = delivery.link.asked
        if asked.get(delivery.tag) is self:  # a liar may have used the tag again
            del asked[delivery.tag]

    def _dispensable(self, newest: Delivery) -> Delivery:
        """Return which copy to refuse when there is no room for the newest: one of the broker that has sent the most.

        So copies that one broker makes up do not shut out those of another one. The first copy always stays.
        """
        copies = [*self.deliveries[1:], newest]
        counts: dict[Link, int] = {}
        for each in copies:
            counts[each.link] = counts.get(each.link, 0) + 1
        most = max(counts.values())
        if counts[newest.link] == most:
            return newest
        return next(each for each in copies if counts[each.link] == most)


class Grant:
    """The credit that one broker was told for a service.

    Attributes:
        epoch: the session that it was told in; 0 if it is to be told again.
        share: how many requests it may have here.
        most: the largest share lately. Requests that were sent by an earlier share may still be on their way.
    """

    __slots__ = ("_high", "_turned_at", "epoch", "most", "share")

    def __init__(self) -> None:
        self.epoch = 0
        self.share = 0
        self.most = 0
        self._high = 0
        self._turned_at = 0.0

    def tell(self, epoch: int, share: int, now: float) -> None:
        """Note that a share is told now."""
        self.turn(now)
        self.epoch = epoch
        self.share = share
        self._high = max(self._high, share)
        self.most = max(self.most, share)

    def turn(self, now: float) -> None:
        """Forget what is too old; call it each NEWS_S or so."""
        if now - self._turned_at >= NEWS_S:
            before = self._high if now - self._turned_at < 2.0 * NEWS_S else self.share
            self._high = self.share
            self.most = max(before, self.share)
            self._turned_at = now


class LocalService:
    """A service of this node.

    Attributes:
        concurrency: how many requests run at once.
        most: how many may run for a while yet, as more were allowed when they began.
        withdrawn: it is offered no more: what has begun goes on, and nothing begins.
        running: how many run.
        strays: how many more go on although they have lost their places.
        run_s: how long a request runs, on average; 0 while nothing is known.
        queue: requests that wait for a place, for a moment.
        held: how many requests each broker has here.
        backlog: how many more each broker wished to send.
        granted: the credit that each broker was told.
        turned_away: the brokers whose last request found no place, in the order of that.
        resting: the brokers whose request a handler has not run, each with the time from which on it is told that it
            may send more.
    """

    __slots__ = (
        "backlog", "concurrency", "granted", "held", "most", "name", "queue", "resting", "run_s", "running", "strays",
        "turned_away", "withdrawn",
    )  # fmt: skip

    def __init__(self, name: bytes, concurrency: int) -> None:
        self.name = name
        self.concurrency = concurrency
        self.most = concurrency
        self.withdrawn = False
        self.running = 0
        self.strays = 0
        self.run_s = 0.0
        self.queue: OrderedDict[Job, None] = OrderedDict()
        self.held: dict[str, int] = {}
        self.backlog: dict[str, int] = {}
        self.granted: dict[str, Grant] = {}
        self.turned_away: dict[str, None] = {}
        self.resting: dict[str, float] = {}

    @property
    def idle(self) -> bool:
        """Whether no handler of it runs, with or without a place."""
        return not self.running and not self.strays

    def resize(self, concurrency: int) -> None:
        """Let so many requests run at once from now on; those that run go on."""
        self.concurrency = concurrency
        if concurrency > self.most:
            self.most = concurrency

    def settle(self) -> None:
        """Note that no more run than are allowed now, and that none come by an earlier grant, if that is so."""
        granted = max([grant.most for grant in self.granted.values()], default=0)
        held = max(self.held.values(), default=0)
        if max(self.running, self.strays, len(self.queue), held, granted) <= self.concurrency:
            self.most = self.concurrency

    @property
    def strays_max(self) -> int:
        """How many handlers may lose their places and go on."""
        return (RUNS_PER_PLACE - 1) * self.concurrency

    def grant(self, link: Link, share: int, now: float) -> bool:
        """Handle a broker's share; return whether it has to be told."""
        grant = self.granted.get(link.name)
        if grant is None:
            grant = self.granted[link.name] = Grant()
        elif grant.epoch == link.epoch and grant.share == share:
            return False
        grant.tell(link.epoch, share, now)
        return True

    def exceeds_grant(self, link: Link) -> bool:
        """Whether one more request of a broker would be more than it was granted lately."""
        grant = self.granted.get(link.name)
        return grant is None or self.held.get(link.name, 0) >= grant.most

    def note_run(self, seconds: float) -> None:
        """Learn from a request that has run for a time."""
        self.run_s += (seconds - self.run_s) * (RUN_WEIGHT if self.run_s else 1.0)

    def may_wait(self, brokers: int) -> bool:
        """Whether one more request may wait here: a place is about to be free, as far as is known.

        Args:
            brokers: how many there are; each may have sent one that it was not granted.
        """
        waiting = len(self.queue)
        return waiting < self.concurrency + brokers and self.run_s * (waiting + 1) / self.concurrency <= WAIT_S
