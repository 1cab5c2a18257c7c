"""Workers that refuse or lose what others would run: they get nothing for a short, growing time.

Who does so at once is always idle, and would attract the requests of all others. One refusal says little: it puts that
worker out of the way of the request that it has refused. The workers of a key whose conduct is out of the ordinary
(conduct.py) cool down together, and no number of sessions gives them more than one try.
"""

from typing import Final

from braidmq.core.broker.conduct import Conduct, Kind
from braidmq.core.broker.transit import Offer, Service

COOL_S: Final = 0.05
"""How long a worker gets nothing after a refusal: some round trips."""

OUTLIER_S: Final = 0.5
"""How long the workers of a key get nothing whose conduct is out of the ordinary, the first time. It doubles with each
relapse. Chance and callers that conspire cost an honest worker no more than this now and then."""

OUTLIER_S_MAX: Final = 30.0
"""The longest time of that kind, as with paths: a worker that is mended has its share again after it."""


class Cooling:
    """The workers that cool down. A service that has workers with credit always has one that does not."""

    __slots__ = ("_offers",)

    def __init__(self) -> None:
        self._offers: dict[Offer, None] = {}

    def refuse(self, offer: Offer, *, busy: bool, now: float) -> bool:
        """Count that a worker has refused a request; return whether it gets nothing for a while."""
        if offer.cools:
            return True  # it was given this one before
        kind = Kind.BUSY if busy else Kind.REFUSED
        offer.conduct.refuse(kind)
        return self._judge(offer, kind, now) or (not busy and self._cool(offer, now + COOL_S))

    def lose(self, offer: Offer, caller: str, now: float) -> None:
        """Count that a worker says that it has lost a request of a key, which waits for it."""
        if not offer.cools:
            offer.conduct.blame(caller)
            self._judge(offer, Kind.LOST, now)

    def resume(self, offer: Offer, now: float) -> None:
        """Handle a grant: it does not end the time of the workers of its key, and nor does a new session."""
        if offer.conduct.out_until > now and offer.credit and not offer.cools:
            self._cool(offer, offer.conduct.out_until)

    def end(self, offer: Offer) -> None:
        """Handle that a worker is as good as others again, grants nothing, or is gone."""
        if offer.cools:
            offer.cools = False
            del self._offers[offer], offer.service.cooling[offer]

    def pardon(self, service: Service, now: float) -> list[Offer]:
        """End the time of all workers of a service, as there is no other; return them."""
        offers = list(service.cooling)
        for offer in offers:
            offer.conduct.out_until = min(offer.conduct.out_until, now)
            self.end(offer)
        return offers

    def take_due(self, now: float) -> list[Offer]:
        """Return those whose time is over, and end it."""
        due = [offer for offer in self._offers if offer.cool_until <= now]
        for offer in due:
            self.end(offer)
        return due

    def _judge(self, offer: Offer, kind: Kind, now: float) -> bool:
        """Let the workers of a key cool down if its conduct is out of the ordinary; return whether they do."""
        conduct, service = offer.conduct, offer.service
        if not offer.listed or not conduct.is_outlier(kind, service.conducts.values(), now):
            return False
        mine = [each for each in conduct.offers if each.credit and each.listed]
        left = service.granting - len(service.cooling) - sum(not each.cools for each in mine)
        if left <= 0:
            return False
        conduct.bar(OUTLIER_S, OUTLIER_S_MAX, now)
        for each in mine:
            self._cool(each, conduct.out_until)
        return offer.cools

    def _cool(self, offer: Offer, until: float) -> bool:
        service = offer.service
        if offer.cools:
            offer.cool_until = max(offer.cool_until, until)
            return True
        if not offer.credit or not offer.listed or service.granting - len(service.cooling) <= 1:
            return False
        offer.cools = True
        offer.cool_until = until
        self._offers[offer] = service.cooling[offer] = None
        service.balancer.remove(offer)
        return True

    def validate_state(self, held: set[Offer]) -> None:
        """Assert that exactly these cool. For tests."""
        assert set(self._offers) == held


def forget_old(service: Service, now: float) -> None:
    """Let what the workers of a service have done count less; forget those that are gone and were like others."""
    conducts: dict[bytes, Conduct] = service.conducts
    for conduct in list(conducts.values()):
        conduct.halve()
        if conduct.may_go(now):
            del conducts[conduct.name]
