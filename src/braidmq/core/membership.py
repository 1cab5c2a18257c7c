"""Who is in the net: SWIM with Lifeguard's corrections, among the brokers.

Inputs: `on_up`, `on_down`, `on_message`, `leave`, `forget`, `on_timer`. Outputs: `take_sends` (messages by the name of
the broker they are for), `take_events`, `members` and its `version`. The core knows names and incarnations; how
messages travel, and whose certificate is valid, is its owner's business.

Sources: Das, Gupta, Motivala, "SWIM" (2002); Dadgar, Phillips, Currey, "Lifeguard" (2017). Differences: a connection
that is lost is evidence at once (docs/decisions/0010).
"""

import heapq
import random
from collections.abc import Callable
from enum import IntEnum
from typing import Final

from braidmq.core.events import INFO, WARNING, Event, EventLog
from braidmq.core.rumors import Rumors
from braidmq.core.suspicion import Suspicion
from braidmq.settings import Settings
from braidmq.wire.control import Control, Gossiped
from braidmq.wire.gossip import INCARNATION_MAX, RUMORS_MAX, Ack, Gossip, Nack, Ping, Probe, Rumor, State, Sync
from braidmq.wire.limits import BROKERS_MAX

HEALTH_MAX: Final = 7
"""Intervals and timeouts grow by 1 + health, so by at most 8 (Lifeguard's S)."""

INCARNATION_JUMP_MAX: Final = 1_000_000
"""How far a rumor may be ahead of what is known. Incarnations grow by one per refutation, so that no honest broker
comes near it, and a liar who drives somebody's incarnation up reaches no limit."""

FORWARDS_MAX: Final = 1_000
"""Probes under way on behalf of others. More come only from a broker that floods; they are not answered."""

COMPLAINTS_MAX: Final = 1_000
"""Different complaints that are said once each; after that they are only counted."""

NACK_SHARE: Final = 0.8
"""A helper that has heard nothing says so after this share of the probe timeout, in time for who asked it."""

_RANK: Final[dict[State, int]] = {"alive": 0, "suspect": 1, "leaving": 2, "dead": 3}
"""At one incarnation the higher overrides the lower."""

Admit = Callable[[str, bytes], bytes | None]
"""Returns the valid certificate of the broker with this name: one that is known, or else the given one if the net's
authority signed it for that name; None if there is none."""


class Member:
    """What this broker holds of another one.

    Attributes:
        incarnation: which of its lives this is about.
        state: alive, suspect, leaving or dead.
        since: when it came into that state.
        suspicion: while it is suspect.
    """

    __slots__ = ("incarnation", "name", "since", "state", "suspicion")

    def __init__(self, name: str, incarnation: int, state: State, now: float) -> None:
        self.name = name
        self.incarnation = incarnation
        self.state: State = state
        self.since = now
        self.suspicion: Suspicion | None = None


class _Kind(IntEnum):
    """What a timer is for."""

    ASK_OTHERS = 0
    VERDICT = 1
    NACK = 2
    SUSPICION = 3
    TOMBSTONE = 4


class _Attempt:
    """One probe of one broker.

    Attributes:
        helpers: whom it was passed to.
        nacks: which of them said that the target is silent.
        doubted: a connection was lost: a failure says nothing of this broker's own health.
    """

    __slots__ = ("doubted", "helpers", "nacks", "target")

    def __init__(self, target: str, *, doubted: bool) -> None:
        self.target = target
        self.helpers: set[str] = set()
        self.nacks: set[str] = set()
        self.doubted = doubted


class MembershipCore:
    """See the module.

    Attributes:
        members: the other brokers by name, the dead included until their tombstones expire.
        version: counts the changes to `members` and to this broker's own state.
        incarnation: of this broker itself.
        state: of this broker itself: alive or leaving.
        health: 0 is well; grows with signs that it is this broker which is slow.
        counters: probes and how many of them failed, accusations of this broker that it refuted, deaths, rumors that
            cannot be true, and rumors of brokers without a certificate. An observer reads them as `gossip_...`.
    """

    def __init__(
        self, name: str, certificate: bytes, settings: Settings, rng: random.Random, admit: Admit, *, now: float
    ) -> None:
        self.name = name
        self.members: dict[str, Member] = {}
        self.version = 0
        self.incarnation = 0
        self.state: State = "alive"
        self.since = now
        self.health = 0
        self.counters = dict.fromkeys(("probes", "probes_failed", "refutations", "deaths", "lies", "unknown"), 0)
        self._certificate = certificate
        self._settings = settings
        self._rng = rng
        self._admit = admit
        self._events = EventLog()
        self._complaints: set[tuple[str, str]] = set()
        self._sends: dict[str, list[Control]] = {}
        self._rumors = Rumors()
        self._ring: list[str] = []
        self._listeners: list[str] = []
        self._reachable: list[str] = []
        self._reachable_version = -1
        self._number = 0
        self._attempts: dict[int, _Attempt] = {}
        self._forwards: dict[int, tuple[str, int, str] | None] = {}
        self._timers: list[tuple[float, _Kind, int | str]] = []
        self._due: dict[tuple[_Kind, str], float] = {}
        self._probe_at = now + settings.probe_s * rng.random()
        self._gossip_at = now + settings.gossip_s
        self._sync_at = now + settings.sync_s * (0.5 + rng.random())

    # -- outputs

    def take_sends(self) -> dict[str, list[Control]]:
        """Return the messages that are due to each broker, in order."""
        sends, self._sends = self._sends, {}
        return sends

    def take_events(self) -> list[Event]:
        """Return what is worth a line in the log."""
        return self._events.take()

    def next_deadline(self) -> float:
        """Return when `on_timer` is due."""
        due = self._next_duty()
        return min(due, self._gossip_at) if self._rumors else due

    # -- commands

    def leave(self, now: float) -> None:
        """Take in that this broker drains: tell every other one at once."""
        if self.state == "leaving":
            return
        self._raise_incarnation(self.incarnation, "leaving", now)
        for name in self._others():
            self._send(name, Gossip([self._own_rumor()]))

    def forget(self, name: str) -> None:
        """Take in that a broker is no longer registered."""
        if name in self.members:
            del self.members[name]
            self._rumors.drop(name)
            self._changed()
            self._events.add(INFO, f"{name} is no longer a broker of this net")

    # -- inputs

    def on_up(self, name: str, now: float) -> None:
        """Take in that a broker was authenticated at the other end of a new connection."""
        member = self.members.get(name)
        if member is None:
            if self._admit(name, b"") is None or not self._add(Rumor(name, 0, "alive"), name, now):
                return
        elif member.state == "alive":
            return
        self._send(name, self._sync(answer=True))

    def on_down(self, name: str, now: float, *, apart: bool = True) -> None:
        """Take in that a connection to a broker was lost, or is silent: others are asked at once.

        Args:
            name: the broker.
            now: the time.
            apart: whether it was the last one, in either direction.
        """
        member = self.members.get(name)
        if member is None:
            return
        if member.state == "leaving":
            if apart:
                self._die(member, member.incarnation, now, "")
        elif member.state == "alive" and not any(attempt.target == name for attempt in self._attempts.values()):
            number = self._ping(member, now, doubted=True)
            self._ask_others(number, now)
            self._at(now + self._settings.probe_timeout_s * (self.health + 1), _Kind.VERDICT, number)

    def on_message(self, sender: str, message: Gossiped, now: float) -> None:
        """Take in a message from the authenticated broker `sender`."""
        if isinstance(message, Sync):
            self._on_sync(sender, message, now)
            return
        if not isinstance(message, Nack):
            for rumor in message.rumors:
                self._on_rumor(sender, rumor, now)
        if isinstance(message, Ping):
            self._send(sender, Ack(message.number, self._news()))
        elif isinstance(message, Probe):
            self._on_probe(sender, message, now)
        elif isinstance(message, Ack):
            self._on_ack(sender, message.number)
        elif isinstance(message, Nack):
            attempt = self._attempts.get(message.number)
            if attempt is not None and sender in attempt.helpers:
                attempt.nacks.add(sender)

    def on_timer(self, now: float) -> None:
        """Take in that time has passed."""
        late_s = now - self._next_duty()
        if late_s > self._settings.probe_timeout_s:
            self._on_stall(late_s, now)
        while self._timers and self._timers[0][0] <= now:
            due, kind, key = heapq.heappop(self._timers)
            if isinstance(key, int):
                self._on_probe_timer(kind, key, now)
            elif self._due.get((kind, key)) == due:
                del self._due[kind, key]
                self._on_member_timer(kind, key, now)
        if now >= self._probe_at:
            self._probe_at = now + self._settings.probe_s * (self.health + 1)
            self._probe_next(now)
        if now >= self._gossip_at:
            self._gossip_at = now + self._settings.gossip_s
            self._gossip()
        if now >= self._sync_at:
            self._sync_at = now + self._settings.sync_s
            others = self._others()
            if others:
                self._send(self._rng.choice(others), self._sync(answer=True))

    # -- self-check

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        assert self.name not in self.members
        assert len(self.members) < BROKERS_MAX
        assert 0 <= self.health <= HEALTH_MAX
        assert self.state in ("alive", "leaving")
        assert 0 <= self.incarnation <= INCARNATION_MAX
        assert len(self._forwards) <= FORWARDS_MAX
        assert len(self._complaints) <= COMPLAINTS_MAX
        assert len(self._rumors) <= len(self.members) + 1
        assert {(due, *key) for key, due in self._due.items()} <= set(self._timers), "what is due has a timer"
        for name, member in self.members.items():
            assert member.name == name
            assert (member.suspicion is not None) == (member.state == "suspect")
            assert member.state != "suspect" or (_Kind.SUSPICION, name) in self._due, "a suspicion ends"
            assert member.state != "dead" or (_Kind.TOMBSTONE, name) in self._due, "a tombstone expires"
        verdicts = {key for _, kind, key in self._timers if kind is _Kind.VERDICT}
        assert self._attempts.keys() <= verdicts, "a probe ends"

    # -- sending

    def _send(self, name: str, message: Control) -> None:
        self._sends.setdefault(name, []).append(message)

    def _news(self, first: Rumor | None = None) -> list[Rumor]:
        """Return the rumors for one message, `first` before the others."""
        brokers = len(self.members) + 1
        if first is None:
            return self._rumors.take(brokers, RUMORS_MAX)
        news = self._rumors.take(brokers, RUMORS_MAX - 1)
        return [first, *(rumor for rumor in news if rumor.name != first.name)]

    def _others(self) -> list[str]:
        """The brokers that are not dead."""
        if self._reachable_version != self.version:
            self._reachable_version = self.version
            self._reachable = [member.name for member in self.members.values() if member.state != "dead"]
        return self._reachable

    def _own_rumor(self) -> Rumor:
        return Rumor(self.name, self.incarnation, self.state, "", self._certificate)

    def _sync(self, *, answer: bool) -> Sync:
        rows = [Rumor(member.name, member.incarnation, member.state) for member in self.members.values()]
        return Sync([self._own_rumor(), *rows], answer)

    def _gossip(self) -> None:
        """Tell the news to the next brokers of a shuffled round: random ones would miss somebody in a small net."""
        others = self._others()
        told = 0
        while self._rumors and told < min(len(others), self._settings.gossip_fanout):
            if not self._listeners:
                self._listeners = list(others)
                self._rng.shuffle(self._listeners)
            member = self.members.get(self._listeners.pop())
            if member is not None and member.state != "dead":
                self._send(member.name, Gossip(self._news()))
                told += 1

    # -- probing

    def _probe_next(self, now: float) -> None:
        """Probe the next broker of a shuffled round: nobody waits longer than two rounds."""
        probed = {attempt.target for attempt in self._attempts.values()}
        for _ in range(2):
            while self._ring:
                member = self.members.get(self._ring.pop())
                if member is not None and member.state != "dead" and member.name not in probed:
                    number = self._ping(member, now, doubted=False)
                    scale = self.health + 1
                    self._at(now + self._settings.probe_timeout_s * scale, _Kind.ASK_OTHERS, number)
                    self._at(now + self._settings.probe_s * scale, _Kind.VERDICT, number)
                    return
            self._ring = list(self._others())
            self._rng.shuffle(self._ring)

    def _ping(self, member: Member, now: float, *, doubted: bool) -> int:
        self.counters["probes"] += 1
        self._number = number = self._number % 0xFFFFFFFF + 1
        self._attempts[number] = _Attempt(member.name, doubted=doubted)
        self._send(member.name, Ping(number, self._news(self._rumor_of(member) if member.suspicion else None)))
        return number

    def _ask_others(self, number: int, now: float) -> None:
        attempt = self._attempts[number]
        helpers = [name for name in self._others() if name != attempt.target and self.members[name].state == "alive"]
        for name in self._rng.sample(helpers, min(len(helpers), self._settings.indirect_probes)):
            attempt.helpers.add(name)
            self._send(name, Probe(number, attempt.target, self._news()))

    def _on_probe(self, sender: str, probe: Probe, now: float) -> None:
        """Probe a broker on behalf of another one."""
        if probe.target not in self.members or len(self._forwards) >= FORWARDS_MAX:
            self._send(sender, Nack(probe.number))
            return
        self._number = number = self._number % 0xFFFFFFFF + 1
        self._forwards[number] = (sender, probe.number, probe.target)
        self._send(probe.target, Ping(number, self._news()))
        self._at(now + self._settings.probe_timeout_s * NACK_SHARE, _Kind.NACK, number)

    def _on_ack(self, sender: str, number: int) -> None:
        if number in self._forwards:
            forward = self._forwards[number]
            if forward is not None and sender == forward[2]:
                self._forwards[number] = None  # kept until its timer, so that FORWARDS_MAX bounds the timers, too
                self._send(forward[0], Ack(forward[1], self._news()))
            return
        attempt = self._attempts.get(number)
        if attempt is not None and (sender == attempt.target or sender in attempt.helpers):
            del self._attempts[number]
            self._set_health(self.health - 1)

    def _on_probe_timer(self, kind: _Kind, number: int, now: float) -> None:
        if kind is _Kind.NACK:
            forward = self._forwards.pop(number, None)
            if forward is not None:
                self._send(forward[0], Nack(forward[1]))
        elif number in self._attempts:
            if kind is _Kind.ASK_OTHERS:
                self._ask_others(number, now)
            else:
                self._on_verdict(self._attempts.pop(number), now)

    def _on_verdict(self, attempt: _Attempt, now: float) -> None:
        """Nobody has heard the target within its time. Who leaves says nothing of others: it has ended connections."""
        if self.state == "leaving":
            return
        self.counters["probes_failed"] += 1
        if not attempt.doubted:
            missing = len(attempt.helpers - attempt.nacks)
            self._set_health(self.health + (missing if attempt.helpers else 1))
        member = self.members.get(attempt.target)
        if member is None or member.state == "dead":
            return
        if member.state == "leaving":
            self._die(member, member.incarnation, now, "")
        else:
            self._suspect(member, member.incarnation, self.name, now)

    def _set_health(self, health: int) -> None:
        self.health = max(0, min(HEALTH_MAX, health))

    # -- rumors

    def _on_sync(self, sender: str, sync: Sync, now: float) -> None:
        for row in sync.members:
            if row.state != "dead" or row.name == self.name:
                self._on_rumor(sender, row, now)
            elif row.name in self.members and self.members[row.name].state in ("alive", "suspect"):
                # Perhaps a verdict from the other side of a partition: who is here may refute it first.
                self._on_rumor(sender, Rumor(row.name, row.incarnation, "suspect", sender), now)
        if sync.answer:
            self._send(sender, self._sync(answer=False))

    def _on_rumor(self, sender: str, rumor: Rumor, now: float) -> None:
        if rumor.name == self.name:
            self._on_own_rumor(sender, rumor, now)
            return
        member = self.members.get(rumor.name)
        known = member.incarnation if member is not None else 0
        if rumor.incarnation > known + INCARNATION_JUMP_MAX and sender != rumor.name:
            self._complain(sender, f"gives {rumor.name} the incarnation {rumor.incarnation}, far beyond {known}")
            return
        if member is None:
            self._meet(sender, rumor, now)
        elif rumor.incarnation < member.incarnation:
            return
        elif rumor.state == "suspect":
            self._suspect(member, rumor.incarnation, rumor.by or sender, now)
        elif rumor.incarnation > member.incarnation or _RANK[rumor.state] > _RANK[member.state]:
            if rumor.state == "dead":
                self._die(member, rumor.incarnation, now, "")
            else:
                self._set_state(member, rumor.state, rumor.incarnation, now)
                self._spread(member)

    def _meet(self, sender: str, rumor: Rumor, now: float) -> None:
        """Take in a rumor of a broker that was unknown or forgotten."""
        if rumor.state == "dead":
            return
        if self._admit(rumor.name, rumor.certificate) is None:
            self.counters["unknown"] += 1
            if rumor.certificate:
                self._complain(sender, f"tells of {rumor.name} with a certificate that is not valid for it")
            return
        self._add(rumor, sender, now)

    def _add(self, rumor: Rumor, sender: str, now: float) -> bool:
        if len(self.members) + 1 >= BROKERS_MAX:
            self._complain(self.name, f"ignores {rumor.name}: {BROKERS_MAX} brokers are known already")
            return False
        state: State = "leaving" if rumor.state == "leaving" else "alive"
        member = self.members[rumor.name] = Member(rumor.name, rumor.incarnation, state, now)
        self._changed()
        self._events.add(INFO, f"{rumor.name} has joined")
        # Into a random place of this round, not at its end: else brokers that come and go are never probed.
        self._ring.insert(self._rng.randrange(len(self._ring) + 1), rumor.name)
        if rumor.state == "suspect":
            self._suspect(member, rumor.incarnation, rumor.by or sender, now)
        else:
            self._spread(member)
        return True

    def _on_own_rumor(self, sender: str, rumor: Rumor, now: float) -> None:
        """Refute what is not so."""
        if rumor.incarnation > self.incarnation + INCARNATION_JUMP_MAX:
            self._complain(sender, f"gives this broker the incarnation {rumor.incarnation}, not {self.incarnation}")
        elif rumor.incarnation > self.incarnation or (
            rumor.incarnation == self.incarnation and _RANK[rumor.state] > _RANK[self.state]
        ):
            if rumor.state in ("suspect", "dead"):
                self.counters["refutations"] += 1
                self._set_health(self.health + 1)
                self._events.add(INFO, f"refuted that this broker is {rumor.state}, as {rumor.by or sender} says")
            self._raise_incarnation(rumor.incarnation, self.state, now)

    def _raise_incarnation(self, above: int, state: State, now: float) -> None:
        self.incarnation = min(INCARNATION_MAX, above + 1)
        if state != self.state:
            self.state = state
            self.since = now
        self._changed()
        self._rumors.put(self._own_rumor())

    def _suspect(self, member: Member, incarnation: int, accuser: str, now: float) -> None:
        suspicion = member.suspicion
        if suspicion is not None and incarnation == member.incarnation:
            if (accuser == self.name or accuser in self.members) and suspicion.confirm(accuser):
                self._look_at(member.name, _Kind.SUSPICION, suspicion.deadline)
                self._spread(member, accuser)
            return
        if incarnation == member.incarnation and member.state != "alive":
            return
        self._set_state(member, "suspect", incarnation, now)
        alive = sum(other.state != "dead" for other in self.members.values()) + 1
        member.suspicion = Suspicion(accuser, self._settings.suspicion_s, alive, now)
        self._look_at(member.name, _Kind.SUSPICION, member.suspicion.deadline)
        self._spread(member, accuser)
        self._events.add(INFO, f"{member.name} is suspect, says {accuser}")

    def _die(self, member: Member, incarnation: int, now: float, why: str) -> None:
        was = member.state
        self._set_state(member, "dead", incarnation, now)
        self.counters["deaths"] += 1
        self._look_at(member.name, _Kind.TOMBSTONE, now + self._settings.tombstone_s)
        self._spread(member)
        gone = "has left" if was == "leaving" else "is dead"
        self._events.add(INFO if was == "leaving" else WARNING, f"{member.name} {gone}{f': {why}' if why else ''}")

    def _set_state(self, member: Member, state: State, incarnation: int, now: float) -> None:
        if state == "alive" and member.state != "alive":
            self._events.add(INFO, f"{member.name} is alive again")
        if state in ("alive", "dead"):  # a probe that began before this says nothing against it
            for number in [number for number, each in self._attempts.items() if each.target == member.name]:
                del self._attempts[number]
        member.incarnation = incarnation
        if member.state != state:
            member.state = state
            member.since = now
        member.suspicion = None
        self._changed()

    def _spread(self, member: Member, accuser: str = "") -> None:
        rumor = self._rumor_of(member)
        if accuser:
            rumor = Rumor(rumor.name, rumor.incarnation, rumor.state, accuser)
        self._rumors.put(rumor)

    def _rumor_of(self, member: Member) -> Rumor:
        if member.suspicion is not None:
            return Rumor(member.name, member.incarnation, "suspect", self.name)
        certificate = self._admit(member.name, b"") if member.state == "alive" else b""
        return Rumor(member.name, member.incarnation, member.state, "", certificate or b"")

    def _changed(self) -> None:
        self.version += 1

    # -- time

    def _next_duty(self) -> float:
        """When on_timer is due, news aside: what is heard late in a period is told at once, which is late for none."""
        due = min(self._probe_at, self._sync_at)
        return min(due, self._timers[0][0]) if self._timers else due

    def _at(self, due: float, kind: _Kind, key: int | str) -> None:
        heapq.heappush(self._timers, (due, kind, key))

    def _look_at(self, name: str, kind: _Kind, due: float) -> None:
        """Look at a member by then. An earlier timer looks again: else each accusation of a flood would leave one."""
        earlier = self._due.get((kind, name))
        if earlier is None or due < earlier:
            self._due[kind, name] = due
            self._at(due, kind, name)

    def _on_member_timer(self, kind: _Kind, name: str, now: float) -> None:
        member = self.members.get(name)
        if member is None:
            return
        if kind is _Kind.SUSPICION and member.suspicion is not None:
            if now >= member.suspicion.deadline:
                accusers = ", ".join(sorted(member.suspicion.accusers))
                self._die(member, member.incarnation, now, f"it has not refuted {accusers}")
            else:
                self._look_at(name, _Kind.SUSPICION, member.suspicion.deadline)
        elif kind is _Kind.TOMBSTONE and member.state == "dead":
            expires_at = member.since + self._settings.tombstone_s
            if now >= expires_at:
                del self.members[name]
                self._rumors.drop(name)
                self._changed()
            else:
                self._look_at(name, _Kind.TOMBSTONE, expires_at)

    def _on_stall(self, late_s: float, now: float) -> None:
        """This process did not run for a while: what it has not heard in that time says nothing of others."""
        self._attempts.clear()
        self._forwards.clear()
        for member in self.members.values():
            if member.suspicion is not None:
                member.suspicion.postpone(late_s)

    def _complain(self, who: str, what: str) -> None:
        self.counters["lies"] += 1
        key = (who, what.partition(" ")[0])
        if key not in self._complaints and len(self._complaints) < COMPLAINTS_MAX:
            self._complaints.add(key)
            self._events.add(WARNING, f"{who} {what}; more of it is only counted")
