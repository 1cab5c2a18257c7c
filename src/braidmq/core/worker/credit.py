"""How a worker spreads its credit over its brokers, and what it tells them of it."""

from collections.abc import Mapping
from typing import Final

from braidmq.core.links.link import Link, LinkState
from braidmq.core.links.links import Links
from braidmq.core.worker.job import Grant, LocalService
from braidmq.observer import NodeObserver
from braidmq.wire import control

DEMAND_S: Final = 0.02
"""How soon a broker's wish for credit is met, so that the wishes of several brokers are met together."""

INVITE_S: Final = 0.01
"""How long a place is kept for the brokers that were told of it, before others are told that were turned away."""

REST_S: Final = 0.05
"""How long a broker is told nothing new of a service after one of its requests came back that the handler has not run:
some round trips, in which it finds another worker. At once it would send the same request again."""

REVIEW_S: Final = 1.0
"""How often credit is spread anew, so that what one broker leaves unused comes to others."""


class Credit:
    """Tells each broker how many requests it may have at this worker.

    `on_demand` and `turn_away` note who could use more, `rest` who had better send nothing for a moment, and `on_gone`
    that a broker is known no longer. `grant` is for when links have changed, `tell` for when a service is new or has
    other places, `withdraw` for when it has gone, `tell_again` for when rights have changed, `invite` for when a
    service has free places and has turned brokers away, `review` for when `review_at` has come. After `end` no broker
    is told anything.

    Args:
        services: those that are offered by name; their owner adds to it, and takes from it.
        observer: is told what brokers are told.

    Attributes:
        review_at: when `review` is due.
    """

    __slots__ = ("_ended", "_links", "_observed", "_observer", "_services", "review_at")

    def __init__(
        self, services: Mapping[bytes, LocalService], links: Links, now: float, observer: NodeObserver | None = None
    ) -> None:
        self._services = services
        self._observer = observer
        self._observed: dict[bytes, dict[str, int]] = {}
        self._links = links
        self._ended = False
        self.review_at = now + REVIEW_S

    def on_demand(self, link: Link, demand: control.Demand, now: float) -> None:
        """Note that a broker could use more credit."""
        service = self._services.get(demand.service.encode())
        if service is not None:
            service.backlog[link.name] = demand.backlog
            self.review_at = min(self.review_at, now + DEMAND_S)

    def turn_away(self, service: LocalService, link: Link, now: float) -> None:
        """Note that a request of a broker has found no place: it is told when there is one."""
        service.turned_away[link.name] = None
        service.backlog[link.name] = max(1, service.backlog.get(link.name, 0))
        self.review_at = min(self.review_at, now + DEMAND_S)

    def rest(self, service: LocalService, link: Link, now: float) -> None:
        """Note that a request of a broker comes back as its handler has not run it: others are to have it."""
        service.resting[link.name] = now + REST_S
        self.review_at = min(self.review_at, now + REST_S)

    def on_gone(self, link: Link) -> None:
        """Note that a broker was forgotten; what came over `link` may still be held."""
        for service in self._services.values():
            for table in (service.backlog, service.granted, service.turned_away, service.resting):
                table.pop(link.name, None)

    def tell_again(self, link: Link, now: float) -> None:
        """Tell a broker all grants anew: it may have ignored some that this node has a right to by now."""
        for service in self._services.values():
            if link.name in service.granted:
                service.granted[link.name].epoch = 0
        self.grant(now)

    def end(self, now: float) -> None:
        """Tell no broker anything from now on: the worker takes no new requests."""
        self._ended = True
        for name in list(self._observed):
            self._observe(name, {}, now)

    def grant(self, now: float) -> None:
        """Tell each broker its share of each service, if it changed."""
        for service in self._services.values():
            self.tell(service, now)

    def tell(self, service: LocalService, now: float) -> None:
        """Tell each broker its share of a service's concurrency, if it changed."""
        if self._ended:
            return
        held, backlog, up = service.held, service.backlog, self._up()
        shares = spread(
            service.concurrency, {link.name: held.get(link.name, 0) + backlog.get(link.name, 0) for link in up}
        )
        for link in up:
            share = shares[link.name]
            if service.grant(link, share, now):
                self._links.send_control(link, control.Ready(service.name.decode(), share), now)
        if self._observer is not None:
            self._observe(service.name, shares, now)

    def withdraw(self, service: LocalService, now: float) -> None:
        """Tell each broker that may send requests of a service that it may not any more, and forget what it may."""
        for link in self._links.links.values():
            if not self._ended and link.open and link.name in service.granted:
                self._links.send_control(link, control.Ready(service.name.decode(), 0), now)
        service.granted.clear()
        service.backlog.clear()
        service.turned_away.clear()
        service.resting.clear()
        if self._observer is not None:
            self._observe(service.name, {}, now)

    def invite(self, service: LocalService, now: float) -> None:
        """Tell brokers that were turned away of free places: twice as many of them, as some will need none any more."""
        if self._ended:
            return
        invited = list(service.turned_away)[: 2 * (service.concurrency - service.running)]
        for name in invited:
            del service.turned_away[name]
            if name in service.granted:
                service.granted[name].epoch = 0  # it is told again
        if service.turned_away:
            self.review_at = min(self.review_at, now + INVITE_S)
        self.tell(service, now)

    def review(self, now: float) -> None:
        """Spread credit anew, and forget half of what brokers have wished for."""
        self.review_at = now + REVIEW_S
        for service in self._services.values():
            for grant in service.granted.values():
                grant.turn(now)
            if service.resting:
                self._end_rests(service, now)
            if service.turned_away and service.running < service.concurrency:
                self.invite(service, now)
        self.grant(now)
        for service in self._services.values():
            service.backlog = {name: count // 2 for name, count in service.backlog.items() if count > 1}

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        up = self._up()
        for service in self._services.values():
            named = (service.backlog, service.granted, service.turned_away, service.resting)
            assert {name for table in named for name in table} <= self._links.links.keys()
            assert all(grant.share <= grant.most for grant in service.granted.values())
            told = [service.granted.get(link.name) or Grant() for link in up]
            if not self._ended and all(grant.epoch == link.epoch for grant, link in zip(told, up, strict=True)):
                assert all(1 <= grant.share <= service.concurrency for grant in told)
                total = sum(grant.share for grant in told)
                assert not up or max(service.concurrency, len(up)) <= total <= service.concurrency + len(up)

    def _observe(self, service: bytes, shares: dict[str, int], now: float) -> None:
        """Tell the observer which brokers have another share of a service than it knows; those not named have none."""
        assert self._observer is not None
        known = self._observed.pop(service, {})
        for broker in sorted({*known, *shares}):
            share = shares.get(broker, 0)
            if known.get(broker, 0) != share:
                self._observer.on_credit(service.decode(), broker, share, now)
        if shares:
            self._observed[service] = dict(shares)

    def _end_rests(self, service: LocalService, now: float) -> None:
        """Let brokers be told again that have had time to find other workers."""
        for name, until in list(service.resting.items()):
            if until <= now:
                del service.resting[name]
                if name in service.granted:
                    service.granted[name].epoch = 0
            else:
                self.review_at = min(self.review_at, until)

    def _up(self) -> list[Link]:
        return [link for link in self._links.links.values() if link.state is LinkState.UP]


def spread(total: int, demand: dict[str, int]) -> dict[str, int]:
    """Return each broker's share of `total` credits.

    Args:
        total: the worker's concurrency, at least 1.
        demand: what each broker could use now: its outstanding requests and its backlog, by its own word.

    The brokers with a demand share all of it, each 1 at least, by max-min fairness: each gets what it demands, but no
    more than its equal share as long as others want more; so whoever asks for more than it needs takes nothing from
    those who ask for no more than that. What nobody has asked for is shared equally. The others get 1 on top, so that
    they can begin at once. Without any demand all get the same. So the shares exceed `total` by what few brokers need
    to be able to reach the worker at all: what finds no place goes back, and waits at its broker.
    """
    active = {name: wanted for name, wanted in demand.items() if wanted} or dict.fromkeys(demand, 1)
    shares = dict.fromkeys(demand, 1)
    rest, count = max(0, total - len(active)), len(active)
    for name in sorted(active, key=lambda name: (active[name], name)):
        shares[name] += min(active[name] - 1, rest // count)
        rest -= shares[name] - 1
        count -= 1
    for place, name in enumerate(sorted(active, key=lambda name: (-active[name], name))):
        shares[name] += rest // len(active) + (place < rest % len(active))
    return shares
