"""Which links a call may take, which one it takes, and when it had better wait for another one."""

import random
from typing import Final

from braidmq.core.balancing import cheaper_of_two
from braidmq.core.client.call import Call
from braidmq.core.client.path_health import PathHealth
from braidmq.core.links.link import Link, LinkState
from braidmq.core.links.links import Links
from braidmq.core.links.passage import PATIENCE, PATIENCE_SHARE, Passage
from braidmq.settings import Settings

SETTLED_S: Final = 1.5
"""Age of a session from which on the workers, too, have had their time to come back to that broker: members that wait
to connect anew try within a second of hearing that it is there."""


class PathChoice:
    """Chooses a path for a call that is to be sent.

    `candidates` comes first; given those, `lacks_worker` and `must_wait` say whether the call had better wait, and if
    neither does, `choose` takes one.

    Attributes:
        passage: what is known of paths that pass nothing on, and of payloads that stop them.
        health: what came of calls over each path, and which are not to be used for that.
    """

    __slots__ = (
        "_candidates",
        "_links",
        "_rng",
        "_settings",
        "_sure_bytes",
        "_unserved",
        "_version",
        "health",
        "passage",
    )

    def __init__(self, settings: Settings, rng: random.Random, links: Links, now: float) -> None:
        self.passage = Passage(settings.dead_after_s)
        self.health = PathHealth(links, settings.services_max, now)
        self._settings = settings
        self._rng = rng
        self._links = links
        self._candidates: dict[bytes, list[Link]] = {}
        self._unserved: set[bytes] = set()
        self._version = 0
        self._sure_bytes = 0

    def candidates(self, call: Call) -> list[Link]:
        """Return the links that are up, take the payload and whose brokers report a worker.

        If there is none, then all that are up and take the payload; but one that the call names in any case.
        """
        if call.via is not None:
            link = self._links.links.get(call.via)
            return [link] if link is not None and link.state is LinkState.UP else []
        if self._version != self._links.version:
            self._version = self._links.version
            self._sure_bytes = self._links.payload_bytes_sure
            self._forget()
        found = self._candidates.get(call.service)
        if found is None:
            found = self._look_up(call.service)
        payload_bytes = len(call.payload)
        if payload_bytes > self._sure_bytes:
            return _with_room(found, payload_bytes) or _with_room(self._up(), payload_bytes)
        return found

    def lacks_worker(self, call: Call, candidates: list[Link]) -> bool:
        """Whether there are candidates, and none of their brokers reports a worker."""
        if call.via is None and call.service not in self._unserved:
            return False
        return bool(candidates) and call.service not in candidates[0].services

    def untried(self, call: Call) -> list[Link]:
        """Return the sound candidates that a call has not been sent to; none if it may take one only."""
        if call.via is not None:
            return []
        return [link for link in self.health.sound(self.candidates(call)) if link not in call.tried]

    def others(self, call: Call, path: Link) -> list[Link]:
        """Return the sound candidates beside the path that a call has taken; none if it may take one only."""
        if call.via is not None:
            return []
        return [link for link in self.health.sound(self.candidates(call)) if link is not path]

    def has_another(self, call: Call) -> bool:
        """Whether a call has more than one path that it could have taken."""
        return call.via is None and len(self.candidates(call)) > 1

    def must_wait(self, call: Call, candidates: list[Link], now: float) -> bool:
        """Whether a call has to wait for a path that passes requests on, and is not made deaf by it."""
        payload_bytes, passage = len(call.payload), self.passage
        suspected = passage.suspects(payload_bytes, now)
        if call.via is not None or not candidates or not (suspected or call.sends):
            return False
        unsure = not suspected and passage.is_unsure(payload_bytes)
        if passage.allowed(candidates, payload_bytes, now) and not unsure:
            return False
        if not call.careful_until:
            most_s = PATIENCE_SHARE * (call.deadline - now)
            call.careful_until = now + min(most_s, PATIENCE * self._settings.dead_after_s)
        return now < call.careful_until

    def choose(self, call: Call, candidates: list[Link], now: float) -> Link:
        """Return the best one of at least one candidate."""
        if self.passage.alert:
            candidates = self.passage.allowed(candidates, len(call.payload), now) or candidates
        if self.health.alert and call.via is None:
            probed = self.health.to_probe(call, candidates, now) if not call.sends else None
            if probed is not None:
                return probed
            candidates = self.health.sound(candidates)
        if call.tried:
            candidates = [link for link in candidates if link not in call.tried] or candidates
        if call.worker:
            candidates = [link for link in candidates if now - link.welcomed_at >= SETTLED_S] or candidates
        return cheaper_of_two(candidates, self._rng, now)

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        assert self._unserved <= self._candidates.keys()
        assert len(self._candidates) <= self._settings.services_max
        self.passage.validate_state(self._links.links.values())
        self.health.validate_state()

    def _up(self) -> list[Link]:
        return [link for link in self._links.links.values() if link.state is LinkState.UP]

    def _look_up(self, service: bytes) -> list[Link]:
        up = self._up()
        if len(self._candidates) >= self._settings.services_max:
            self._forget()
        found = [link for link in up if service in link.services]
        if not found:
            found = up
            self._unserved.add(service)
        self._candidates[service] = found
        return found

    def _forget(self) -> None:
        self._candidates.clear()
        self._unserved.clear()


def _with_room(paths: list[Link], payload_bytes: int) -> list[Link]:
    """Return those that take a payload."""
    return [link for link in paths if payload_bytes <= link.payload_bytes_max]
