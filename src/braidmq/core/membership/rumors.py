"""News of brokers on its way through the net: passed on a bounded number of times, what was told least first."""

import heapq
import math
from typing import Final

from braidmq.wire.gossip import Rumor

RETRANSMIT_FACTOR: Final = 4
"""Each broker passes a piece of news on 4 x ceil(log10(n + 1)) times. SWIM shows that a multiple of log n reaches
everyone with a probability that grows with the multiple; 4 is what nets of thousands run with (memberlist)."""

RETRANSMIT_LOG_MIN: Final = 2
"""The least that the logarithm counts for: with 1, one join in ten of a net of nine is not heard by everyone."""


class Rumors:
    """The newest rumor of each broker, with how often it was told. Bounded by the number of brokers."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: dict[str, tuple[int, Rumor]] = {}

    def __len__(self) -> int:
        return len(self._told)

    def put(self, rumor: Rumor) -> None:
        """Begin to tell a rumor, and tell no earlier one of the same broker any more."""
        self._told[rumor.name] = (0, rumor)

    def drop(self, name: str) -> None:
        """Tell nothing of a broker any more."""
        self._told.pop(name, None)

    def take(self, brokers: int, rumors_max: int) -> list[Rumor]:
        """Return what the next message in a net of `brokers` brokers carries, at most `rumors_max`."""
        told = self._told
        if not told:
            return []
        names = list(told)
        if len(names) > rumors_max:
            names = heapq.nsmallest(rumors_max, names, key=lambda name: told[name][0])
        limit = RETRANSMIT_FACTOR * max(RETRANSMIT_LOG_MIN, math.ceil(math.log10(brokers + 1)))
        chosen = []
        for name in names:
            times, rumor = told[name]
            chosen.append(rumor)
            if times + 1 < limit:
                told[name] = (times + 1, rumor)
            else:
                del told[name]
        return chosen
