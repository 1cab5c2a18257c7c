"""Is anybody silent? SWIM's probes, direct and through others, and Lifeguard's health of the one who asks."""

import heapq
import random
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final, Protocol

from braidmq.settings import Settings
from braidmq.wire.gossip import Ack, Gossiped, Nack, Ping, Probe, Rumor

HEALTH_MAX: Final = 7
"""Intervals and timeouts grow by 1 + health, so by at most 8 (Lifeguard's S)."""

FORWARDS_MAX: Final = 1_000
"""Probes under way on behalf of others. More come only from a broker that floods; they are not answered."""

NACK_SHARE: Final = 0.8
"""A helper that has heard nothing says so after this share of the probe timeout, in time for who asked it."""

_NUMBER_MAX: Final = 0xFFFFFFFF


class Neighbours(Protocol):
    """The brokers that may be probed or asked, and the way to them."""

    def others(self) -> list[str]:
        """Return those that are not dead."""

    def helpers(self, target: str) -> list[str]:
        """Return those that may be asked to probe `target`."""

    def knows(self, name: str) -> bool:
        """Whether there is, or was, such a broker."""

    def on_journey(self, name: str, journey_s: float) -> None:
        """Note how long a probe of a broker has taken, there and back."""

    def send(self, name: str, message: Gossiped) -> None:
        """Send a message to a broker."""

    def news(self, of: str = "") -> list[Rumor]:
        """Return the rumors for one message; if `of` is suspect, that comes first."""


class _Kind(IntEnum):
    """What a timer is for."""

    ASK_OTHERS = 0
    VERDICT = 1
    NACK = 2


class _Attempt:
    """One probe of one broker.

    Attributes:
        asked_at: when it was sent to the broker itself.
        helpers: whom it was passed to.
        nacks: which of them said that the target is silent.
        doubted: a connection was lost: a failure says nothing of this broker's own health.
    """

    __slots__ = ("asked_at", "doubted", "helpers", "nacks", "target")

    def __init__(self, target: str, asked_at: float, *, doubted: bool) -> None:
        self.target = target
        self.asked_at = asked_at
        self.helpers: set[str] = set()
        self.nacks: set[str] = set()
        self.doubted = doubted


class Probing:
    """The probes of one broker.

    Inputs: `on_message`, `doubt`, `on_joined`, `drop`, `worsen`, `on_stall`, `on_timer`. Output: `take_silent`, the
    brokers that nobody has heard in time; what to believe of them is the owner's business.

    Attributes:
        health: 0 is well; grows with signs that it is this broker which is slow.
        probes: how many were made.
        failed: how many nobody answered.
    """

    def __init__(self, settings: Settings, rng: random.Random, neighbours: Neighbours, now: float) -> None:
        self.health = 0
        self.probes = 0
        self.failed = 0
        self._settings = settings
        self._rng = rng
        self._neighbours = neighbours
        self._ring: list[str] = []
        self._number = 0
        self._attempts: dict[int, _Attempt] = {}
        self._forwards: dict[int, tuple[str, int, str] | None] = {}
        self._timers: list[tuple[float, _Kind, int]] = []
        self._silent: list[str] = []
        self._probe_at = now + settings.probe_s * rng.random()
        self._handlers: dict[type[Gossiped], Callable[[str, Any, float], None]] = {
            Ping: self._on_ping,
            Probe: self._on_probe,
            Ack: self._on_ack,
            Nack: self._on_nack,
        }

    # -- outputs

    def take_silent(self) -> list[str]:
        """Return the brokers that nobody has heard within their time."""
        silent, self._silent = self._silent, []
        return silent

    def next_deadline(self) -> float:
        """Return when `on_timer` is due."""
        return min(self._probe_at, self._timers[0][0]) if self._timers else self._probe_at

    # -- inputs

    def on_joined(self, name: str) -> None:
        """Handle a new broker: into a random place of this round, or who comes and goes would never be probed."""
        self._ring.insert(self._rng.randrange(len(self._ring) + 1), name)

    def drop(self, name: str) -> None:
        """Handle news of a broker: a probe that began before says nothing against it any more."""
        for number in [number for number, attempt in self._attempts.items() if attempt.target == name]:
            del self._attempts[number]

    def worsen(self) -> None:
        """Handle a sign that this broker is slow."""
        self._set_health(self.health + 1)

    def on_stall(self) -> None:
        """Note that this process did not run for a while: what it has not heard says nothing of others."""
        self._attempts.clear()
        self._forwards.clear()

    def doubt(self, name: str, now: float) -> None:
        """Probe a broker at once, directly and through others, unless a probe of it is under way."""
        if not any(attempt.target == name for attempt in self._attempts.values()):
            number = self._ping(name, now, doubted=True)
            self._ask_others(number)
            self._at(now + self._settings.probe_timeout_s * (self.health + 1), _Kind.VERDICT, number)

    def on_message(self, sender: str, message: Gossiped, now: float) -> None:
        """Handle a message from the authenticated broker `sender`."""
        self._handlers[type(message)](sender, message, now)

    def on_timer(self, now: float) -> None:
        """Do what is due."""
        while self._timers and self._timers[0][0] <= now:
            _, kind, number = heapq.heappop(self._timers)
            if kind is _Kind.NACK:
                forward = self._forwards.pop(number, None)
                if forward is not None:
                    self._neighbours.send(forward[0], Nack(forward[1]))
            elif number in self._attempts:
                if kind is _Kind.ASK_OTHERS:
                    self._ask_others(number)
                else:
                    self._on_failed(self._attempts.pop(number))
        if now >= self._probe_at:
            self._probe_at = now + self._settings.probe_s * (self.health + 1)
            self._probe_next(now)

    @property
    def forwarded(self) -> int:
        """Probes that it makes for others."""
        return len(self._forwards)

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        assert 0 <= self.health <= HEALTH_MAX
        assert len(self._forwards) <= FORWARDS_MAX
        verdicts = {number for _, kind, number in self._timers if kind is _Kind.VERDICT}
        assert self._attempts.keys() <= verdicts, "a probe ends"

    # -- inner

    def _at(self, due: float, kind: _Kind, number: int) -> None:
        heapq.heappush(self._timers, (due, kind, number))

    def _next_number(self) -> int:
        self._number = self._number % _NUMBER_MAX + 1
        return self._number

    def _probe_next(self, now: float) -> None:
        """Probe the next broker of a shuffled round: nobody waits longer than two rounds."""
        others = set(self._neighbours.others()) - {attempt.target for attempt in self._attempts.values()}
        for _ in range(2):
            while self._ring:
                name = self._ring.pop()
                if name in others:
                    number, scale = self._ping(name, now, doubted=False), self.health + 1
                    self._at(now + self._settings.probe_timeout_s * scale, _Kind.ASK_OTHERS, number)
                    self._at(now + self._settings.probe_s * scale, _Kind.VERDICT, number)
                    return
            self._ring = list(self._neighbours.others())
            self._rng.shuffle(self._ring)

    def _ping(self, name: str, now: float, *, doubted: bool) -> int:
        self.probes += 1
        number = self._next_number()
        self._attempts[number] = _Attempt(name, now, doubted=doubted)
        self._neighbours.send(name, Ping(number, self._neighbours.news(name)))
        return number

    def _ask_others(self, number: int) -> None:
        attempt = self._attempts[number]
        helpers = self._neighbours.helpers(attempt.target)
        for name in self._rng.sample(helpers, min(len(helpers), self._settings.indirect_probes)):
            attempt.helpers.add(name)
            self._neighbours.send(name, Probe(number, attempt.target, self._neighbours.news()))

    def _on_ping(self, sender: str, ping: Ping, _now: float) -> None:
        self._neighbours.send(sender, Ack(ping.number, self._neighbours.news()))

    def _on_nack(self, sender: str, nack: Nack, _now: float) -> None:
        attempt = self._attempts.get(nack.number)
        if attempt is not None:
            attempt.nacks.add(sender)

    def _on_probe(self, sender: str, probe: Probe, now: float) -> None:
        """Probe a broker on behalf of another one."""
        if not self._neighbours.knows(probe.target) or len(self._forwards) >= FORWARDS_MAX:
            self._neighbours.send(sender, Nack(probe.number))
            return
        number = self._next_number()
        self._forwards[number] = (sender, probe.number, probe.target)
        self._neighbours.send(probe.target, Ping(number, self._neighbours.news()))
        self._at(now + self._settings.probe_timeout_s * NACK_SHARE, _Kind.NACK, number)

    def _on_ack(self, sender: str, ack: Ack, now: float) -> None:
        number = ack.number
        if number in self._forwards:
            forward = self._forwards[number]
            if forward is not None and sender == forward[2]:
                self._forwards[number] = None  # kept until its timer, so that FORWARDS_MAX bounds the timers, too
                self._neighbours.send(forward[0], Ack(forward[1], self._neighbours.news()))
            return
        attempt = self._attempts.get(number)
        if attempt is not None and (sender == attempt.target or sender in attempt.helpers):
            del self._attempts[number]
            if sender == attempt.target:
                self._neighbours.on_journey(sender, now - attempt.asked_at)
            self._set_health(self.health - 1)

    def _on_failed(self, attempt: _Attempt) -> None:
        self.failed += 1
        self._silent.append(attempt.target)
        if not attempt.doubted:
            missing = len(attempt.helpers - attempt.nacks)
            self._set_health(self.health + (missing if attempt.helpers else 1))

    def _set_health(self, health: int) -> None:
        self.health = max(0, min(HEALTH_MAX, health))
