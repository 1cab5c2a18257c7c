"""The outcome of a demo."""

from collections.abc import Sequence

import msgspec

from braidmq.histogram import Histogram
from braidmq.lab.demo.plan import PAYLOAD_BYTES, WORK_S, Plan
from braidmq.lab.demo.tally import Snapshot


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """Latencies of replied requests that a kill may have touched.

    Attributes:
        in_flight_at_kill: how many were under way when a broker was killed, over whichever broker.
        retried: how many had to be sent again because an attempt was lost with its broker.
    """

    in_flight_at_kill: int
    in_flight_at_kill_p99_ms: float
    in_flight_at_kill_max_ms: float
    retried: int
    retried_p50_ms: float
    retried_p99_ms: float
    retried_max_ms: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What ``braidmq demo --json`` prints.

    Attributes:
        lost: requests with no right reply and no typed error by their deadline and 250 ms.
        lost_because: how many of them were late, wrong, ended untyped, or were open when their client ended.
        errors: requests that ended in a typed error; `error_types` counts them by type.
        held_back: requests that were due while a client was at its bound of requests under way; not issued.
        duration_s: how long requests were issued: the planned time, and on until the last broker was back.
        work_ms: the shortest and the longest time that a worker takes for a request; the latencies include it.
        problems: processes that did not end as they should.
    """

    ok: bool
    requests: int
    replies: int
    errors: int
    error_types: dict[str, int]
    lost: int
    lost_because: dict[str, int]
    retries: int
    possible_duplicates: int
    held_back: int
    brokers_killed: int
    brokers_restarted: int
    duration_s: float
    rate_per_s: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p99_9_ms: float
    max_ms: float
    recovery: Recovery
    replies_by_broker: dict[str, int]
    brokers: int
    workers: int
    clients: int
    payload_bytes: int
    work_ms: tuple[float, float]
    timeout_s: float
    kill_every_s: float
    problems: list[str]


def summarize(
    plan: Plan,
    totals: Snapshot,
    *,
    duration_s: float,
    killed: int,
    restarted: int,
    problems: Sequence[str],
) -> Summary:
    """Return the outcome. Requests that are still open count as lost: their client ended, or never will."""
    causes = {"late": totals.late, "wrong": totals.wrong, "untyped": totals.untyped, "abandoned": totals.open}
    lost = sum(causes.values())
    ok = not lost and not totals.failed and totals.replies == totals.requests > 0 and not problems
    return Summary(
        ok=ok,
        requests=totals.requests,
        replies=totals.replies,
        errors=totals.failed,
        error_types=totals.errors,
        lost=lost,
        lost_because={cause: count for cause, count in causes.items() if count},
        retries=totals.retries,
        possible_duplicates=totals.possible_duplicates,
        held_back=totals.held_back,
        brokers_killed=killed,
        brokers_restarted=restarted,
        duration_s=round(duration_s, 2),
        rate_per_s=round(totals.requests / duration_s, 1) if duration_s > 0 else 0.0,
        p50_ms=_ms(totals.latency, 50),
        p90_ms=_ms(totals.latency, 90),
        p99_ms=_ms(totals.latency, 99),
        p99_9_ms=_ms(totals.latency, 99.9),
        max_ms=round(totals.latency.max_ms, 2),
        recovery=Recovery(
            in_flight_at_kill=totals.at_kill.total,
            in_flight_at_kill_p99_ms=_ms(totals.at_kill, 99),
            in_flight_at_kill_max_ms=round(totals.at_kill.max_ms, 2),
            retried=totals.retried.total,
            retried_p50_ms=_ms(totals.retried, 50),
            retried_p99_ms=_ms(totals.retried, 99),
            retried_max_ms=round(totals.retried.max_ms, 2),
        ),
        replies_by_broker=dict(sorted(totals.brokers.items())),
        brokers=plan.brokers,
        workers=plan.workers,
        clients=plan.clients,
        payload_bytes=PAYLOAD_BYTES,
        work_ms=(WORK_S[0] * 1000, WORK_S[1] * 1000),
        timeout_s=plan.timeout_s,
        kill_every_s=plan.kill_every_s,
        problems=list(problems),
    )


def _ms(histogram: Histogram, percent: float) -> float:
    return round(histogram.percentile_ms(percent), 2)
