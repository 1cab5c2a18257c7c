"""Which brokers a node is connected to: all in a small net; in a large one some that cover the services it calls."""

import random
from typing import Final

from braidmq.core.client.client import ClientCore
from braidmq.core.links.link import KEY_REFUSED, Link, LinkState
from braidmq.core.links.links import Links
from braidmq.core.node.rendezvous import choose, is_sound
from braidmq.core.worker.worker import WorkerCore
from braidmq.settings import Settings
from braidmq.wire.gossip import Paths, Seek
from braidmq.wire.limits import BROKERS_MAX

REVIEW_S: Final = 0.25
"""How often the choice is looked at again: soon enough to use a new broker within a second."""

SEEK_S_MAX: Final = 1.0
"""How long calls wait for a broker with workers for their service, before they try any broker. Brokers tell one
another of new services within a fraction of it."""

SEEK_RETRY_S: Final = 0.2
"""How soon another broker is asked, while calls wait and the last one knew of no workers. Also how long calls wait for
the answer of a broker that is asked once more, after a search in vain; once in SEEK_S_MAX."""

SEEK_AGAIN_S: Final = 5.0
"""How soon a service that no connected broker has workers for is sought again."""

SOUGHT_S: Final = 60.0
"""How long a connection that was made for a service is kept without another call that needs it."""

SOUGHT_MAX: Final = 1_000
"""Services that are sought at one time; calls for others try any broker."""

PATHS_PER_SERVICE: Final = 2
"""Brokers that are connected for one service: one may die."""


class _Sought:
    """A service that no connected broker had workers for.

    Attributes:
        began_at: when the search began.
        needed_at: when it was called last.
        ask_at: when to ask anew, as workers may just have come: soon after an answer that no broker has any.
        answer_by: until when calls wait for the answer of the broker that was asked last, even if the search is over.
        brokers: those that are connected for it.
    """

    __slots__ = ("answer_by", "ask_at", "began_at", "brokers", "needed_at")

    def __init__(self, now: float) -> None:
        self.began_at = now
        self.needed_at = now
        self.ask_at = now + 2 * SEEK_S_MAX
        self.answer_by = now
        self.brokers: list[str] = []


class Selection:
    """Which brokers one node wants.

    A call that finds no path says `seek` or `require`; the answers to a SEEK come by `on_paths`. `on_timer` goes before
    that of the links, so that none is opened that is not wanted.
    """

    def __init__(self, name: str, settings: Settings, rng: random.Random, links: Links) -> None:
        self._name = name
        self._settings = settings
        self._rng = rng
        self._links = links
        self._sought: dict[bytes, _Sought] = {}
        self._required: dict[str, float] = {}
        self._former: dict[str, int] = {}
        self._left: set[str] = set()
        self._done: set[str] = set()
        self._version = -1
        self._known_version = -1
        self._review_at = 0.0

    @property
    def partial(self) -> bool:
        """Whether there are brokers that this node does not connect to."""
        return len(self._links.links) > self._settings.brokers_connected_max

    @property
    def review_at(self) -> float:
        """When the choice is looked at again, unless brokers come or go."""
        return self._review_at

    def seek(self, service: bytes, now: float) -> bool:
        """Note that a service is called; return whether to wait until a broker that has workers is found."""
        sought = self._sought.get(service)
        if sought is not None:
            sought.needed_at = now
        if not self.partial:
            return False
        links = self._links.links.values()
        if any(link.state is LinkState.UP and service in link.services for link in links):
            return False
        if sought is None or now - sought.began_at > SEEK_AGAIN_S:
            if (sought is None and len(self._sought) >= SOUGHT_MAX) or not self._ask(service, now):
                return False
            sought = self._sought[service] = _Sought(now)
        if now >= sought.ask_at and not sought.brokers:
            sought.ask_at = now + SEEK_S_MAX
            if self._ask(service, now):
                sought.answer_by = now + SEEK_RETRY_S
        return now - sought.began_at < SEEK_S_MAX or now < sought.answer_by

    def renew(self) -> None:
        """Connect anew to every broker, one after the other, so that calls have another path meanwhile.

        A broker may not have heard of the new key yet. As long as one of them refuses it, the others are not left.
        """
        self._left.clear()
        self._former = {link.name: link.epoch for link in self._links.links.values() if link.open}

    def require(self, broker: str, now: float) -> None:
        """Note that a call names the broker that it must take."""
        if self.partial and broker in self._links.links:
            known = broker in self._required
            self._required[broker] = now
            if not known:
                self._review(now)

    def on_paths(self, paths: Paths, now: float) -> None:
        """Handle which brokers have workers for a service."""
        sought = self._sought.get(paths.service.encode())
        if sought is None or sought.brokers:
            return
        known = [name for name in paths.brokers if name in self._links.links]
        sought.answer_by = now
        if known:
            sought.began_at = now  # what connects to them takes a moment
        elif now - sought.began_at < SEEK_S_MAX:
            sought.ask_at = now + SEEK_RETRY_S
        if known:
            sought.brokers = self._rng.sample(known, min(len(known), PATHS_PER_SERVICE))
            self._review(now)
            self._version = -1

    def on_timer(self, client: ClientCore, worker: WorkerCore, now: float) -> None:
        """Do what is due; before the links do, so that none is opened that is not wanted."""
        if self._known_version != self._links.known_version:
            self._review(now)
        if now < self._review_at:
            return
        self._review_at = now + REVIEW_S
        links = self._links
        for link in links.unlisted(now):
            if not worker.holds(link):
                links.forget(link, now)
        # Twice in a row: what the last job has to say has left by then.
        done = {
            link.name
            for link in links.links.values()
            if link.retiring and link.noted and not worker.holds(link) and not client.awaits(link)
        }
        for name in sorted(done & self._done):
            links.close(links.links[name], now)
        self._done = done
        if self._former:
            self._renew_next(now)
        for broker, needed_at in list(self._required.items()):
            if now - needed_at > SOUGHT_S:
                del self._required[broker]
                self._version = -1
        for service, sought in list(self._sought.items()):
            if now - sought.needed_at > SOUGHT_S:
                del self._sought[service]
                self._version = -1
        if self._version != links.version or self._lacks_sound_ones:
            self._version = links.version
            self._review(now)
            for link in links.links.values():
                if link.open and not link.wanted:
                    links.leave(link, now)

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        assert len(self._sought) <= SOUGHT_MAX
        assert len(self._required) <= BROKERS_MAX
        if not self.partial and self._version == self._links.version:
            assert all(link.wanted for link in self._links.links.values())

    def _renew_next(self, now: float) -> None:
        """Leave the next broker whose connection is to be made anew, once the last one is back."""
        links = self._links.links
        for name, epoch in list(self._former.items()):
            link = links.get(name)
            if link is None or link.epoch != epoch or not link.open:
                del self._former[name]
            elif link.retiring:
                return
        if self._former and not any(link.wanted and self._is_due_back(link) for link in links.values()):
            name = next(iter(self._former))
            self._left.add(name)
            self._links.leave(links[name], now)

    def _is_due_back(self, link: Link) -> bool:
        """Whether a connection is being made, or was left to be made anew and is not back; a broker may be gone."""
        if link.open:
            return False
        left = link.name in self._left and (link.failure is None or link.failure in KEY_REFUSED)
        return left or link.state is LinkState.CONNECTING

    @property
    def _lacks_sound_ones(self) -> bool:
        """Whether the others have to be tried in turn: which of them is next depends on the time."""
        links = self._links.links.values()
        return self.partial and sum(map(is_sound, links)) < self._settings.brokers_connected_max

    def _review(self, now: float) -> None:
        links = self._links
        self._known_version = links.known_version
        if self.partial:
            kept = {name for sought in self._sought.values() for name in sought.brokers}
            kept |= self._required.keys() & links.links.keys()
            wanted = choose(self._name, links.links.values(), self._settings.brokers_connected_max, kept, now)
        else:
            wanted = set(links.links)
        for link in links.links.values():
            link.wanted = link.name in wanted

    def _ask(self, service: bytes, now: float) -> bool:
        """Ask one of the brokers, if any is up."""
        up = [link for link in self._links.links.values() if link.state is LinkState.UP]
        if up:
            self._links.send_control(self._rng.choice(up), Seek(service.decode()), now)
        return bool(up)
