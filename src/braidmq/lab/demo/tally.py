"""What became of every request: one client's record, and the sum over all clients. Nothing here knows the time.

A request that was issued ends in exactly one of three ways. It is *replied* if the right bytes came back no later
than its deadline and GRACE_S; it is an *error* if a typed error did; it is *lost* in every other case: no end in
time, a wrong payload, an end without a type.
"""

from collections import Counter, deque
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

from braidmq.histogram import Histogram
from braidmq.messages import Reply

GRACE_S: Final = 0.25
"""How long after its deadline a request may end (docs/protocol.md, invariant I1)."""

RECENT_MAX: Final = 4_096
"""Ended requests that are kept to see which were under way at a kill: the news of it comes a moment later."""


class Stage(StrEnum):
    """Where a client stands."""

    READY = "ready"
    """It has had a reply through every broker."""
    RUNNING = "running"
    DONE = "done"
    """It issues nothing more, and all that it issued has ended."""


class Snapshot(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The totals of a client since its start, or of all clients.

    Attributes:
        at: when, on the machine's monotonic clock.
        open: requests that have not ended.
        errors: how many requests ended in each type of error.
        lost: and `late`, `wrong`, `untyped` say why; each lost request counts in one of them.
        retries: attempts before the answered ones that may have been run.
        held_back: requests that were due while the client was at its bound, and were not issued.
        brokers: replies that came through each broker.
        served_at: when the last of them came.
        latency: of the requests that were replied, from when they were due.
        retried: of those with a retry among them.
        at_kill: of those among them that were under way when a broker was killed.
    """

    client: str = ""
    stage: Stage = Stage.RUNNING
    at: float = 0.0
    requests: int = 0
    replies: int = 0
    open: int = 0
    errors: dict[str, int] = {}
    late: int = 0
    wrong: int = 0
    untyped: int = 0
    retries: int = 0
    possible_duplicates: int = 0
    held_back: int = 0
    brokers: dict[str, int] = {}
    served_at: dict[str, float] = {}
    latency: Histogram = msgspec.field(default_factory=Histogram)
    retried: Histogram = msgspec.field(default_factory=Histogram)
    at_kill: Histogram = msgspec.field(default_factory=Histogram)

    @property
    def lost(self) -> int:
        """Requests that ended neither in their reply nor in a typed error."""
        return self.late + self.wrong + self.untyped

    @property
    def failed(self) -> int:
        """Requests that ended in a typed error."""
        return sum(self.errors.values())


class _Issued(msgspec.Struct, frozen=True):
    due_at: float
    ends_before: float
    expected: bytes


class Tally:
    """One client's record. Every request that `issue` counted ends by `on_reply`, `on_error` or `expire`.

    Its memory is bounded by the requests under way, RECENT_MAX and three histograms.
    """

    def __init__(self, client: str) -> None:
        self.totals = Snapshot(client=client)
        self._open: dict[int, _Issued] = {}
        self._recent: deque[tuple[float, float]] = deque(maxlen=RECENT_MAX)
        self._kills: list[float] = []

    @property
    def open(self) -> int:
        """Requests that have not ended."""
        return len(self._open)

    def issue(self, expected: bytes, *, due_at: float, deadline: float) -> int:
        """Count a request whose right answer is `expected`, and return its number."""
        self.totals.requests += 1
        number = self.totals.requests
        self._open[number] = _Issued(due_at, deadline + GRACE_S, expected)
        return number

    def hold_back(self) -> None:
        """Count a request that was due but is not issued."""
        self.totals.held_back += 1

    def on_reply(self, number: int, reply: Reply, now: float) -> None:
        """Handle a reply, and judge it."""
        issued = self._end(number, now)
        if issued is None:
            return
        totals = self.totals
        if reply.payload != issued.expected or reply.receiver != totals.client:
            totals.wrong += 1
            return
        totals.replies += 1
        totals.retries += reply.retry_count
        totals.possible_duplicates += reply.possible_duplicate
        totals.brokers[reply.broker] = totals.brokers.get(reply.broker, 0) + 1
        totals.served_at[reply.broker] = now
        latency_s = now - issued.due_at
        totals.latency.add(latency_s)
        if reply.retry_count:
            totals.retried.add(latency_s)
        self._recent.append((issued.due_at, now))
        if any(issued.due_at <= kill <= now for kill in self._kills):
            totals.at_kill.add(latency_s)

    def on_error(self, number: int, kind: str, now: float) -> None:
        """Handle a typed error."""
        if self._end(number, now) is not None:
            self.totals.errors[kind] = self.totals.errors.get(kind, 0) + 1

    def on_untyped(self, number: int) -> None:
        """Note that a request ended in something that the library does not promise: it is lost."""
        if self._open.pop(number, None) is not None:
            self.totals.untyped += 1

    def on_kill(self, at: float) -> None:
        """Note that a broker was killed a moment ago."""
        self._kills = [*self._kills[-7:], at]
        for due_at, ended_at in self._recent:
            if due_at <= at <= ended_at:
                self.totals.at_kill.add(ended_at - due_at)

    def expire(self, now: float) -> None:
        """Count what should have ended before `now` as lost."""
        for number, issued in list(self._open.items()):
            if now > issued.ends_before:
                del self._open[number]
                self.totals.late += 1

    def snapshot(self, stage: Stage, now: float) -> Snapshot:
        """Return the totals; they go on changing, so use them at once."""
        self.totals.stage = stage
        self.totals.at = now
        self.totals.open = len(self._open)
        return self.totals

    def _end(self, number: int, now: float) -> _Issued | None:
        """Forget an open request and return it, unless it ends too late."""
        issued = self._open.pop(number, None)
        if issued is not None and now > issued.ends_before:
            self.totals.late += 1
            return None
        return issued


def merged(parts: Iterable[Snapshot]) -> Snapshot:
    """Return the sum of the newest snapshots of several clients."""
    parts = list(parts)
    errors: Counter[str] = Counter()
    brokers: Counter[str] = Counter()
    served_at: dict[str, float] = {}
    for part in parts:
        errors.update(part.errors)
        brokers.update(part.brokers)
        for broker, at in part.served_at.items():
            served_at[broker] = max(at, served_at.get(broker, at))
    return Snapshot(
        at=max((part.at for part in parts), default=0.0),
        requests=sum(part.requests for part in parts),
        replies=sum(part.replies for part in parts),
        open=sum(part.open for part in parts),
        errors=dict(errors),
        late=sum(part.late for part in parts),
        wrong=sum(part.wrong for part in parts),
        untyped=sum(part.untyped for part in parts),
        retries=sum(part.retries for part in parts),
        possible_duplicates=sum(part.possible_duplicates for part in parts),
        held_back=sum(part.held_back for part in parts),
        brokers=dict(brokers),
        served_at=served_at,
        latency=Histogram.merged(part.latency for part in parts),
        retried=Histogram.merged(part.retried for part in parts),
        at_kill=Histogram.merged(part.at_kill for part in parts),
    )
