"""What bounds retries: a budget per node, what success earns, and pauses with full jitter."""

from typing import Final

from braidmq.settings import Settings


class RetryBudget:
    """Tokens for retries, so that they cannot multiply an overload.

    A request earns a fraction of a token, time earns some, a retry spends one. Source: Finagle's RetryBudget
    and gRPC's retry throttling (proposal A6).
    """

    __slots__ = ("_max", "_rate", "_ratio", "_tokens", "_updated")

    def __init__(self, settings: Settings, now: float) -> None:
        self._ratio = settings.retry_budget_ratio
        self._rate = settings.retry_budget_per_s
        self._max = settings.retry_budget_max
        self._tokens = self._max
        self._updated = now

    def on_request(self) -> None:
        """Earn for a new request."""
        self._tokens = min(self._max, self._tokens + self._ratio)

    def spend(self, now: float) -> bool:
        """Spend a token and return True, or return False if none is left."""
        self._tokens = min(self._max, self._tokens + (now - self._updated) * self._rate)
        self._updated = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def validate_state(self) -> None:
        """Assert what must hold between two inputs."""
        assert 0.0 <= self._tokens <= self._max


REROUTES_MAX: Final = 20.0
"""Most tokens for reroutes: as many calls may be on their second way at once when a path begins to refuse them."""

REROUTE_RATIO: Final = 0.1
"""What a call earns that was answered by its first attempt."""


class Reroutes:
    """Tokens for a retry at a broker that has not refused the call yet, beside the budget.

    A reroute spends one, and returns it if it is answered. So they cost nothing where one broker refuses what others
    take, however much that is; and where all refuse, they are soon spent, and cannot multiply an overload.

    Attributes:
        tokens: those that are left.
    """

    __slots__ = ("tokens",)

    def __init__(self) -> None:
        self.tokens = 0.0

    def on_reply(self, *, retried: bool) -> None:
        """Earn for a call that was answered; more if it took more than one attempt."""
        self.tokens = min(REROUTES_MAX, self.tokens + (1.0 if retried else REROUTE_RATIO))

    def spend(self) -> bool:
        """Spend a token and return True, or return False if none is left."""
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True

    def validate_state(self) -> None:
        """Assert what must hold between two inputs."""
        assert 0.0 <= self.tokens <= REROUTES_MAX
