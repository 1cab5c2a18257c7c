"""Workers that refuse or lose what others would run: they get nothing for a short, growing time.

Who does so at once is always idle, and would attract the requests of all others.
"""

from typing import Final

from braidmq.core.exchange import Slot

COOL_S: Final = 0.05
"""How long a worker gets nothing after its first refusal: some round trips. It doubles with each further one."""

COOL_S_MAX: Final = 5.0
"""The longest time of that kind: a worker that is mended has its share again after it."""

BUSY_FREE: Final = 16
"""Refusals in a row for want of a place that are nothing unusual: the places of a worker are used by other brokers,
too, and it says READY when one is free again."""

_DOUBLINGS_MAX: Final = 10


class Cooling:
    """The workers that cool down. A service that has workers with credit always has one that does not."""

    __slots__ = ("_slots",)

    def __init__(self) -> None:
        self._slots: dict[Slot, None] = {}

    def refuse(self, slot: Slot, *, busy: bool, now: float) -> bool:
        """Take in that a worker has refused a request; return whether it gets nothing for a while."""
        if slot.cools:
            return True  # it was given this one before
        slot.refusals += 1
        service = slot.service
        count = slot.refusals - BUSY_FREE if busy else slot.refusals
        if count <= 0 or not slot.credit or not slot.listed or service.granting - len(service.cooling) <= 1:
            return False
        slot.cools = True
        self._slots[slot] = service.cooling[slot] = None
        slot.cool_until = now + min(COOL_S_MAX, COOL_S * 2.0 ** min(count - 1, _DOUBLINGS_MAX))
        return True

    def lose(self, slot: Slot, principal: str, now: float) -> None:
        """Take in that a worker says that it has lost a request of a key, which waits for it.

        One key's requests alone say nothing: it may ask again for what a worker had to stop for its sake.
        """
        if slot.lost_of != principal:
            slot.lost_of = principal
            self.refuse(slot, busy=False, now=now)

    def end(self, slot: Slot) -> None:
        """Take in that a worker is as good as others again, grants nothing, or is gone."""
        if slot.cools:
            slot.cools = False
            del self._slots[slot], slot.service.cooling[slot]

    def take_due(self, now: float) -> list[Slot]:
        """Return those whose time is over, and end it."""
        due = [slot for slot in self._slots if slot.cool_until <= now]
        for slot in due:
            self.end(slot)
        return due

    def validate_state(self, held: set[Slot]) -> None:
        """Assert that exactly these cool. For tests."""
        assert set(self._slots) == held
