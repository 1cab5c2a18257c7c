"""How long a suspected broker has to refute: the less, the more brokers suspect it independently (Lifeguard, 4.2)."""

import math
from typing import Final

CONFIRMATIONS: Final = 3
"""Further accusers that bring the time down to its minimum. More would wait for brokers that may be cut off, too."""

LONELY_FACTOR: Final = 6.0
"""How much longer than the minimum a single accuser must wait: it may itself be what is slow."""


class Suspicion:
    """One suspicion of one broker, from the first accusation to its death or refutation.

    Args:
        accuser: who said so first.
        suspicion_s: the time that a small net waits, as in Settings.
        brokers: how many brokers the net has, this one and the accused included.
        now: when it was said.
    """

    __slots__ = ("_max_s", "_min_s", "_started_at", "_wanted", "accusers")

    def __init__(self, accuser: str, suspicion_s: float, brokers: int, now: float) -> None:
        self.accusers = {accuser}
        self._wanted = CONFIRMATIONS if brokers - 2 >= CONFIRMATIONS else 0
        self._started_at = now
        self._min_s = suspicion_s * max(1.0, math.log10(brokers))
        self._max_s = self._min_s * LONELY_FACTOR

    @property
    def deadline(self) -> float:
        """When the broker is dead unless it refutes."""
        if not self._wanted:
            return self._started_at + self._min_s
        share = math.log(len(self.accusers)) / math.log(self._wanted + 1)
        return self._started_at + max(self._min_s, self._max_s - (self._max_s - self._min_s) * share)

    def confirm(self, accuser: str) -> bool:
        """Handle an accusation; return whether it is a further one that counts."""
        if accuser in self.accusers or len(self.accusers) > self._wanted:
            return False
        self.accusers.add(accuser)
        return True

    def postpone(self, seconds: float) -> None:
        """Add time: this process was stopped, and may not have read the refutation yet."""
        self._started_at += seconds
