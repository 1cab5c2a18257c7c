"""What became of the calls of a trial, in bounded memory. Pure."""

from collections import Counter
from typing import Any, Final, NamedTuple

from braidmq.cli.exit_codes import ExitCode, exit_code
from braidmq.errors import BraidError, ServiceError
from braidmq.histogram import Histogram
from braidmq.messages import Reply
from braidmq.printable import printable

PERCENTILES: Final = {"min": 0.0, "p50": 50.0, "p90": 90.0, "p99": 99.0, "p99_9": 99.9, "max": 100.0}
"""What is told of latencies, by name. Each is at most 2 % above the true one."""

PATHS_MAX: Final = 256
"""Pairs of broker and worker that are told apart: 16 brokers with as many workers. All others are one."""

ERRORS_MAX: Final = 32
"""Kinds of error that are told apart: a service may make up codes without end. All others are one."""


class Path(NamedTuple):
    """The way of a reply."""

    broker: str
    worker: str


OTHER_PATHS: Final = Path("others", "others")

OTHER_ERRORS: Final = "others"


class Tally:
    """Counts how calls have ended.

    Attributes:
        sent: calls that have begun.
        answered: those that ended with a reply.
        errors: how many ended otherwise, by the type of their error; an error of the service by its code.
        retries: attempts before the answered ones that may have been run.
        possible_duplicates: replies that say that their request may have been run more than once.
        latency: of the replies.
        paths: the same for each way that one took.
    """

    def __init__(self) -> None:
        self.sent = 0
        self.answered = 0
        self.errors: Counter[str] = Counter()
        self.retries = 0
        self.possible_duplicates = 0
        self.latency = Histogram()
        self.paths: dict[Path, Histogram] = {}
        self._codes: Counter[ExitCode] = Counter()

    @property
    def failed(self) -> int:
        """Calls that ended without a reply."""
        return self.errors.total()

    @property
    def under_way(self) -> int:
        """Calls that have not ended."""
        return self.sent - self.answered - self.failed

    def on_reply(self, reply: Reply, latency_s: float) -> None:
        """Handle a reply."""
        self.answered += 1
        self.retries += reply.retry_count
        self.possible_duplicates += reply.possible_duplicate
        self.latency.add(latency_s)
        path = Path(reply.broker, reply.sender)
        if path not in self.paths and len(self.paths) >= PATHS_MAX:
            path = OTHER_PATHS
        self.paths.setdefault(path, Histogram()).add(latency_s)

    def on_error(self, error: BraidError) -> None:
        """Handle the end of a call without a reply."""
        kind = type(error).__name__
        if isinstance(error, ServiceError):
            kind = printable(f"{kind} {error.code}")
        if kind not in self.errors and len(self.errors) >= ERRORS_MAX:
            kind = OTHER_ERRORS
        self.errors[kind] += 1
        self._codes[exit_code(error)] += 1

    def exit_code(self) -> ExitCode:
        """Return 0 if there are replies and nothing else, else the code of the error that came most often.

        Where no call has ended at all, somebody has interrupted it.
        """
        if self._codes:
            return self._codes.most_common(1)[0][0]
        return ExitCode.OK if self.answered else ExitCode.INTERRUPTED

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "sent": self.sent,
            "answered": self.answered,
            "failed": self.failed,
            "under_way": self.under_way,
            "errors": dict(self.errors),
            "retries": self.retries,
            "possible_duplicates": self.possible_duplicates,
            "latency_ms": percentiles_ms(self.latency),
            "paths": [
                {**path._asdict(), "answered": latency.total, "latency_ms": percentiles_ms(latency)}
                for path, latency in sorted(self.paths.items())
            ],
        }


def percentiles_ms(latency: Histogram) -> dict[str, float]:
    """Return what is told of latencies, in milliseconds."""
    return {name: round(latency.percentile_ms(percent), 3) for name, percent in PERCENTILES.items()}
