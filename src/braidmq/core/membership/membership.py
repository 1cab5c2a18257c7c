"""Who is in the net: SWIM with Lifeguard's corrections, among the brokers.

Sources: Das, Gupta, Motivala, "SWIM" (2002); Dadgar, Phillips, Currey, "Lifeguard" (2017). Differences: a connection
that is lost is evidence at once (docs/decisions/0010).
"""

import random
from collections.abc import Callable
from typing import Any, Final

from braidmq.core.events.event import Event
from braidmq.core.events.log import EventLog
from braidmq.core.events.membership import (
    BrokerAliveAgain,
    BrokerDied,
    BrokerJoined,
    BrokerLeft,
    BrokerRemoved,
    BrokerSuspected,
    RumorRefuted,
)
from braidmq.core.membership.peer_record import PeerRecord, overrides
from braidmq.core.membership.probing import Probing
from braidmq.core.membership.reminders import Occasion, Reminders
from braidmq.core.membership.scrutiny import INCARNATION_JUMP_MAX, Certificates, Scrutiny
from braidmq.core.membership.suspicion import Suspicion
from braidmq.core.membership.telling import Telling
from braidmq.observer import BrokerObserver
from braidmq.settings import Settings
from braidmq.wire.gossip import (
    INCARNATION_MAX,
    Ack,
    Gossip,
    Gossiped,
    Nack,
    Ping,
    Probe,
    Rumor,
    State,
    Sync,
)
from braidmq.wire.limits import BROKERS_MAX

RTT_WEIGHT: Final = 0.3
"""What the next probe counts of how long they take, if it was quicker than they were: one that lost a packet shows for
the next few."""

_UNKNOWN: Final = "unknown"
"""The state of a broker that is no member."""


class MembershipCore:
    """The net as one broker sees it.

    Inputs: `on_up`, `on_down`, `on_message`, `leave`, `forget`, `on_timer`. Outputs: `take_sends` (messages by the name
    of the broker they are for), `take_events`, `members` and its `version`. It knows names and incarnations; how
    messages travel, and whose certificate is valid, is its owner's business.

    Attributes:
        members: the other brokers by name, the dead included until their tombstones expire.
        version: counts the changes to `members` and to this broker's own state.
        incarnation: of this broker itself.
        state: of this broker itself: alive or leaving.
        probing: finds out who is silent.
    """

    def __init__(
        self,
        name: str,
        certificate: bytes,
        settings: Settings,
        rng: random.Random,
        certificates: Certificates,
        *,
        now: float,
        observer: BrokerObserver | None = None,
    ) -> None:
        self.name = name
        self._observer = observer
        self.members: dict[str, PeerRecord] = {}
        self.version = 0
        self.incarnation = 0
        self.state: State = "alive"
        self.since = now
        self._counters = dict.fromkeys(("refutations", "deaths"), 0)
        self._certificate = certificate
        self._settings = settings
        self._rng = rng
        self._certificates = certificates
        self._events = EventLog()
        self._scrutiny = Scrutiny(certificates, self._events, now)
        self._telling = Telling(self._own_rumor(), self.members, certificates, settings.gossip_fanout, rng)
        self._reachable: list[str] = []
        self._reachable_version = -1
        self._reminders = Reminders()
        self.probing = Probing(settings, rng, self, now)
        self._handlers: dict[type[Gossiped], Callable[[str, Any, float], None]] = {
            Sync: self._on_sync,
            Gossip: self._on_gossip,
            Nack: self.probing.on_message,
            **dict.fromkeys((Ping, Ack, Probe), self._on_probing),
        }
        self._gossip_at = now + settings.gossip_s
        self._sync_at = now + settings.sync_s * (0.5 + rng.random())

    # -- outputs

    def take_sends(self) -> dict[str, list[Gossiped]]:
        """Return the messages that are due to each broker, in order."""
        sends, self._telling.sends = self._telling.sends, {}
        return sends

    def take_events(self) -> list[Event]:
        """Return what is worth a line in the log."""
        return self._events.take()

    def next_deadline(self) -> float:
        """Return when `on_timer` is due."""
        due = self._next_duty()
        return min(due, self._gossip_at) if self._telling.rumors else due

    @property
    def counters(self) -> dict[str, int]:
        """What this broker has seen so far; an observer reads them as `gossip_...`.

        Probes and how many of them failed, accusations of this broker that it refuted, deaths, rumors that cannot be
        true, and rumors of brokers without a certificate. `health` is no total: see `Probing.health`.
        """
        return {
            "probes": self.probing.probes,
            "probes_failed": self.probing.failed,
            **self._counters,
            "lies": self._scrutiny.lies,
            "unknown": self._scrutiny.unknown,
            "health": self.probing.health,
        }

    # -- commands

    def leave(self, now: float) -> None:
        """Note that this broker drains: tell every other one at once."""
        if self.state == "leaving":
            return
        self._events.sum_up()
        self._raise_incarnation(self.incarnation, "leaving", now)
        for name in self.others():
            self.send(name, Gossip([self._telling.own]))

    def change_own(self, name: str, certificate: bytes, now: float) -> None:
        """Note that this broker has another certificate, which goes along with what it says of itself from now on.

        With another name it is another broker for the others: they hear of it at once.
        """
        self._certificate = certificate
        if name == self.name:
            self._telling.own = self._own_rumor()
            return
        self.forget(name, now)
        self._telling.rumors.drop(self.name)
        self.name = name
        self._changed()
        self._telling.spread_own(self._own_rumor())

    def forget(self, name: str, now: float) -> None:
        """Note that a broker is no longer registered."""
        member = self.members.pop(name, None)
        if member is not None:
            self._observe(name, member.state, _UNKNOWN, now)
            self._telling.rumors.drop(name)
            self._changed()
            self._events.add(BrokerRemoved(name))

    # -- inputs

    def on_up(self, name: str, now: float) -> None:
        """Note that a broker was authenticated at the other end of a new connection."""
        member = self.members.get(name)
        if member is None:
            if self._certificates.certificate(name) is None or not self._add(Rumor(name, 0, "alive"), name, now):
                return
        elif member.state == "alive":
            return
        self.send(name, self._telling.sync(answer=True))

    def on_down(self, name: str, now: float, *, last_connection: bool = True) -> None:
        """Note that a connection to a broker was lost, or is silent: others are asked at once.

        Args:
            name: the broker.
            now: the time.
            last_connection: whether it was the last one, in either direction.
        """
        member = self.members.get(name)
        if member is None:
            return
        if member.state == "leaving":
            if last_connection:
                self._die(member, member.incarnation, now, "")
        elif member.state == "alive":
            self.probing.doubt(name, now)

    def on_message(self, sender: str, message: Gossiped, now: float) -> None:
        """Handle a message from the authenticated broker `sender`."""
        self._handlers[type(message)](sender, message, now)

    def _on_gossip(self, sender: str, message: Gossip | Ping | Ack | Probe, now: float) -> None:
        for rumor in message.rumors:
            self._on_rumor(sender, rumor, now)

    def _on_probing(self, sender: str, message: Ping | Ack | Probe, now: float) -> None:
        self._on_gossip(sender, message, now)
        self.probing.on_message(sender, message, now)

    def on_timer(self, now: float) -> None:
        """Do what is due."""
        self._events.on_timer(now)
        self._scrutiny.on_timer(now)
        late_s = now - self._next_duty()
        if late_s > self._settings.probe_timeout_s:
            self._on_stall(late_s, now)
        while (look := self._reminders.take(now)) is not None:
            self._look_at(*look, now)
        self.probing.on_timer(now)
        for name in self.probing.take_silent():
            self._on_silent(name, now)
        if now >= self._gossip_at:
            self._gossip_at = now + self._settings.gossip_s
            self._telling.gossip(self.others())
        if now >= self._sync_at:
            self._sync_at = now + self._settings.sync_s
            others = self.others()
            if others:
                self.send(self._rng.choice(others), self._telling.sync(answer=True))

    # -- self-check

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        assert self.name not in self.members
        assert len(self.members) < BROKERS_MAX
        assert self.state in ("alive", "leaving")
        assert 0 <= self.incarnation <= INCARNATION_MAX
        assert len(self._telling.rumors) <= len(self.members) + 1
        for name, member in self.members.items():
            assert member.name == name
            assert (member.suspicion is not None) == (member.state == "suspect")
            assert member.state != "suspect" or (Occasion.SUSPICION, name) in self._reminders, "a suspicion ends"
            assert member.state != "dead" or (Occasion.TOMBSTONE, name) in self._reminders, "a tombstone expires"
        self._reminders.validate_state()
        self._scrutiny.validate_state()
        self.probing.validate_state()
        self._events.validate_state()

    # -- for the probes (see Neighbours)

    def others(self) -> list[str]:
        """Return the brokers that are not dead."""
        if self._reachable_version != self.version:
            self._reachable_version = self.version
            self._reachable = [member.name for member in self.members.values() if member.state != "dead"]
        return self._reachable

    def helpers(self, target: str) -> list[str]:
        """Return the brokers that may be asked to probe `target`."""
        return [member.name for member in self.members.values() if member.state == "alive" and member.name != target]

    def on_journey(self, name: str, journey_s: float) -> None:
        """Note how long a probe of a broker has taken: a long one counts at once, and is forgotten by and by."""
        member = self.members.get(name)
        if member is not None:
            member.rtt_s = max(journey_s, member.rtt_s + RTT_WEIGHT * (journey_s - member.rtt_s))

    def knows(self, name: str) -> bool:
        """Whether there is, or was, such a broker."""
        return name in self.members

    def send(self, name: str, message: Gossiped) -> None:
        """Send a message to a broker."""
        self._telling.send(name, message)

    def news(self, of: str = "") -> list[Rumor]:
        """Return the rumors for one message; if `of` is suspect, that comes first, so that it can refute."""
        return self._telling.news(of)

    # -- what follows from probes and rumors

    def _on_silent(self, name: str, now: float) -> None:
        """Nobody has heard a broker within its time. Who leaves says nothing of others: it has ended connections."""
        member = self.members.get(name)
        if member is None or member.state == "dead" or self.state == "leaving":
            return
        if member.state == "leaving":
            self._die(member, member.incarnation, now, "")
        else:
            self._suspect(member, member.incarnation, self.name, now)

    def _on_sync(self, sender: str, sync: Sync, now: float) -> None:
        for row in sync.members:
            if row.state != "dead" or row.name == self.name:
                self._on_rumor(sender, row, now)
            elif row.name in self.members and self.members[row.name].state in ("alive", "suspect"):
                # Perhaps a verdict from the other side of a partition: who is here may refute it first.
                self._on_rumor(sender, Rumor(row.name, row.incarnation, "suspect", sender), now)
        if sync.answer:
            self.send(sender, self._telling.sync(answer=False))

    def _on_rumor(self, sender: str, rumor: Rumor, now: float) -> None:
        if rumor.name == self.name:
            self._on_own_rumor(sender, rumor, now)
            return
        member = self.members.get(rumor.name)
        known = member.incarnation if member is not None else 0
        if rumor.incarnation > known + INCARNATION_JUMP_MAX and sender != rumor.name:
            self._scrutiny.complain(
                sender, f"gives {rumor.name} the incarnation {rumor.incarnation}, far beyond {known}"
            )
            return
        if member is None:
            if rumor.state != "dead" and self._scrutiny.admits(sender, rumor, now):
                self._add(rumor, sender, now)
        elif overrides(rumor, member.incarnation, member.state):
            if not self._scrutiny.may_change(sender, rumor.name):
                return
            if rumor.state == "suspect":
                self._suspect(member, rumor.incarnation, rumor.by or sender, now)
            elif rumor.state == "dead":
                self._die(member, rumor.incarnation, now, "")
            else:
                self._set_state(member, rumor.state, rumor.incarnation, now)
                self._telling.spread(member)
        elif rumor.state == "suspect" and rumor.incarnation == member.incarnation:
            self._suspect(member, rumor.incarnation, rumor.by or sender, now)

    def _add(self, rumor: Rumor, sender: str, now: float) -> bool:
        if len(self.members) + 1 >= BROKERS_MAX:
            self._scrutiny.complain(self.name, f"ignores {rumor.name}: {BROKERS_MAX} brokers are known already")
            return False
        state: State = "leaving" if rumor.state == "leaving" else "alive"
        member = self.members[rumor.name] = PeerRecord(rumor.name, rumor.incarnation, state, now)
        self._observe(rumor.name, _UNKNOWN, state, now)
        self._changed()
        self._events.add(BrokerJoined(rumor.name))
        self.probing.on_joined(rumor.name)
        if rumor.state == "suspect":
            self._suspect(member, rumor.incarnation, rumor.by or sender, now)
        else:
            self._telling.spread(member)
        return True

    def _on_own_rumor(self, sender: str, rumor: Rumor, now: float) -> None:
        """Refute what is not so."""
        if rumor.incarnation > self.incarnation + INCARNATION_JUMP_MAX:
            self._scrutiny.complain(
                sender, f"gives this broker the incarnation {rumor.incarnation}, not {self.incarnation}"
            )
        elif overrides(rumor, self.incarnation, self.state):
            if not self._scrutiny.may_change(sender, self.name):
                return
            if rumor.state in ("suspect", "dead"):
                self._counters["refutations"] += 1
                self.probing.worsen()
                accuser = rumor.by or sender
                self._events.add(RumorRefuted(self.name, rumor.state, accuser))
            self._raise_incarnation(rumor.incarnation, self.state, now)
        elif rumor.incarnation < self.incarnation and rumor.state in ("suspect", "dead"):
            self.send(sender, Gossip([self._telling.own]))  # it has missed the refutation

    def _own_rumor(self) -> Rumor:
        return Rumor(self.name, self.incarnation, self.state, "", self._certificate)

    def _raise_incarnation(self, above: int, state: State, now: float) -> None:
        self.incarnation = min(INCARNATION_MAX, above + 1)
        if state != self.state:
            self.state = state
            self.since = now
        self._changed()
        self._telling.spread_own(self._own_rumor())

    def _suspect(self, member: PeerRecord, incarnation: int, accuser: str, now: float) -> None:
        suspicion = member.suspicion
        if suspicion is not None and incarnation == member.incarnation:
            if (accuser == self.name or accuser in self.members) and suspicion.confirm(accuser):
                self._reminders.put(Occasion.SUSPICION, member.name, suspicion.deadline)
                self._telling.spread(member, accuser)
            return
        if incarnation == member.incarnation and member.state != "alive":
            return
        self._set_state(member, "suspect", incarnation, now)
        alive = sum(other.state != "dead" for other in self.members.values()) + 1
        member.suspicion = Suspicion(accuser, self._settings.suspicion_s, alive, now)
        self._reminders.put(Occasion.SUSPICION, member.name, member.suspicion.deadline)
        self._telling.spread(member, accuser)
        self._events.add(BrokerSuspected(member.name, accuser))

    def _die(self, member: PeerRecord, incarnation: int, now: float, why: str) -> None:
        was = member.state
        left = was == "leaving" or member.left
        self._set_state(member, "dead", incarnation, now)
        member.left = left
        if was == "dead":
            self._observe(member.name, was, "dead", now)
        self._counters["deaths"] += 1
        self._reminders.put(Occasion.TOMBSTONE, member.name, now + self._settings.tombstone_s)
        self._telling.spread(member)
        if was == "leaving":
            self._events.add(BrokerLeft(member.name))
        else:
            self._events.add(BrokerDied(member.name, why))

    def _set_state(self, member: PeerRecord, state: State, incarnation: int, now: float) -> None:
        if state == "alive" and member.state != "alive":
            self._events.add(BrokerAliveAgain(member.name))
        if state in ("alive", "dead"):
            self.probing.drop(member.name)
        member.incarnation = incarnation
        member.left = False
        if member.state != state:
            before, member.state = member.state, state
            member.since = now
            self._observe(member.name, before, state, now)
        member.suspicion = None
        self._changed()

    def _observe(self, name: str, before: str, state: str, now: float) -> None:
        if self._observer is not None:
            self._observer.on_peer(name, before, state, now)

    def _changed(self) -> None:
        self.version += 1

    # -- time

    def _next_duty(self) -> float:
        """When on_timer is due, news aside: what is heard late in a period is told at once, which is late for none."""
        due = min(self.probing.next_deadline(), self._sync_at)
        reminder = self._reminders.next_at
        return due if reminder is None else min(due, reminder)

    def _look_at(self, occasion: Occasion, name: str, now: float) -> None:
        member = self.members.get(name)
        if member is None:
            return
        if occasion is Occasion.SUSPICION and member.suspicion is not None:
            if self.state == "leaving":  # others take it for gone, and do not tell it any more that they live
                member.suspicion.postpone(max(0.0, now - member.suspicion.deadline) + self._settings.suspicion_s)
            if now >= member.suspicion.deadline:
                accusers = ", ".join(sorted(member.suspicion.accusers))
                self._die(member, member.incarnation, now, f"it has not refuted {accusers}")
            else:
                self._reminders.put(Occasion.SUSPICION, member.name, member.suspicion.deadline)
        elif occasion is Occasion.TOMBSTONE and member.state == "dead":
            expires_at = member.since + self._settings.tombstone_s
            if now >= expires_at:
                del self.members[name]
                self._observe(name, member.state, _UNKNOWN, now)
                self._telling.rumors.drop(name)
                self._changed()
            else:
                self._reminders.put(Occasion.TOMBSTONE, name, expires_at)

    def _on_stall(self, late_s: float, now: float) -> None:
        """This process did not run for a while: what it has not heard in that time says nothing of others."""
        self.probing.on_stall()
        for member in self.members.values():
            if member.suspicion is not None:
                member.suspicion.postpone(late_s)
