"""Workers that refuse or lose what others would run: they get nothing for a short, growing time.

Who does so at once is always idle, and would attract the requests of all others.
"""

from typing import Final

from braidmq.core.transit import Offer

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

    __slots__ = ("_offers",)

    def __init__(self) -> None:
        self._offers: dict[Offer, None] = {}

    def refuse(self, offer: Offer, *, busy: bool, now: float) -> bool:
        """Note that a worker has refused a request; return whether it gets nothing for a while."""
        if offer.cools:
            return True  # it was given this one before
        offer.refusals += 1
        service = offer.service
        count = offer.refusals - BUSY_FREE if busy else offer.refusals
        if count <= 0 or not offer.credit or not offer.listed or service.granting - len(service.cooling) <= 1:
            return False
        offer.cools = True
        self._offers[offer] = service.cooling[offer] = None
        offer.cool_until = now + min(COOL_S_MAX, COOL_S * 2.0 ** min(count - 1, _DOUBLINGS_MAX))
        return True

    def lose(self, offer: Offer, principal: str, now: float) -> None:
        """Note that a worker says that it has lost a request of a key, which waits for it.

        One key's requests alone say nothing: it may ask again for what a worker had to stop for its sake.
        """
        if offer.lost_of != principal:
            offer.lost_of = principal
            self.refuse(offer, busy=False, now=now)

    def end(self, offer: Offer) -> None:
        """Note that a worker is as good as others again, grants nothing, or is gone."""
        if offer.cools:
            offer.cools = False
            del self._offers[offer], offer.service.cooling[offer]

    def take_due(self, now: float) -> list[Offer]:
        """Return those whose time is over, and end it."""
        due = [offer for offer in self._offers if offer.cool_until <= now]
        for offer in due:
            self.end(offer)
        return due

    def validate_state(self, held: set[Offer]) -> None:
        """Assert that exactly these cool. For tests."""
        assert set(self._offers) == held
