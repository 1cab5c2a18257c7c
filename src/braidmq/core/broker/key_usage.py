"""What one key holds at a broker, over all its connections, and how much of it that may be.

Limits that are settings are not told here.
"""

from typing import TYPE_CHECKING, Final

from braidmq.core.intake import Inlet

if TYPE_CHECKING:
    from braidmq.core.broker.transit import Session

KEY_IN_FLIGHT_FACTOR: Final = 8
"""Unanswered requests that a key may have here, in times of in_flight_max: a node makes so many for its callers, and
more for its handlers, which may call one another to some depth."""

KEY_CREDIT_MAX: Final = 100_000
"""Most requests that all workers with one key can be granted and have: what goes beyond it counts as no grant. They are
some 50 MiB of what the broker keeps of them."""

OFFENCES_PER_S: Final = 10.0
"""Malformed messages of a key that are forgotten each second."""

OFFENCES_MAX: Final = 1_000
"""Malformed messages of a key beyond those, before it is barred: some come from another version, or a bad cable."""

JOINS_PER_S: Final = 100.0
"""Requests of a key each second that may go to the worker which they name although that has no credit left: further
attempts that find there what runs already, which is seldom. But whoever makes them up passes by all that waits."""

JOINS_MAX: Final = 512
"""How many of them may come at once: two nodes' calls, when another broker ends that had all of them."""

JOINS_FIRST: Final = 32
"""How many of these a key has when it comes: coming and going earns it none."""

JOINING_BYTES_MAX: Final = 32 * 1024 * 1024
"""Their size at one worker, half of what a node takes for a flood."""


class KeyUsage:
    """What one key holds: made for its first session, shared by all, and forgotten with the last one.

    Who takes something for a key, or gives it back, changes the number here.

    Attributes:
        requests: how many it has made, and `request_bytes`: their size, since it is here.
        rejected: how many of them this broker has refused, by reason.
        call_rights: whether it may call services, as far as that was asked.
        in_flight: its unanswered requests.
        queued_bytes: of those that wait for a worker.
        kept_bytes: of those that were just given to workers.
        expected: services that are known here only because it has called them.
        serves: the services that it provides, with how many of its sessions do.
        granted: the credit of all of these.
        assigned: requests that its sessions have as workers.
        seeks: how often it was answered SEEK since the last tick.
        joins_left: how many more of its requests may go to workers without credit, as of `joins_at`.
        joining_bytes: of those that have.
        inlet: what has come from it.
        offences: how many malformed messages it has sent, as of `offended_at`.
    """

    __slots__ = (
        "assigned",
        "call_rights",
        "expected",
        "granted",
        "in_flight",
        "inlet",
        "joining_bytes",
        "joins_at",
        "joins_left",
        "kept_bytes",
        "offences",
        "offended_at",
        "principal",
        "queued_bytes",
        "rejected",
        "request_bytes",
        "requests",
        "seeks",
        "serves",
        "sessions",
    )

    def __init__(self, principal: str, now: float = 0.0) -> None:
        self.principal = principal
        self.inlet: Inlet[Session] = Inlet()
        self.offences = 0.0
        self.offended_at = 0.0
        self.sessions = 0
        self.requests = 0
        self.request_bytes = 0
        self.rejected: dict[int, int] = {}
        self.call_rights: dict[bytes, bool] = {}
        self.in_flight = 0
        self.queued_bytes = 0
        self.kept_bytes = 0
        self.expected = 0
        self.serves: dict[bytes, int] = {}
        self.granted = 0
        self.assigned = 0
        self.seeks = 0
        self.joins_left = float(JOINS_FIRST)
        self.joins_at = now
        self.joining_bytes = 0

    def join(self, now: float) -> bool:
        """Whether a request of it may go to a worker without credit, as far as their number goes; count it."""
        self.joins_left = min(float(JOINS_MAX), self.joins_left + JOINS_PER_S * (now - self.joins_at))
        self.joins_at = now
        if self.joins_left < 1.0:
            return False
        self.joins_left -= 1.0
        return True

    def offend(self, now: float) -> None:
        """Note that it has sent a malformed message."""
        self.offences = max(0.0, self.offences - OFFENCES_PER_S * (now - self.offended_at)) + 1.0
        self.offended_at = now
