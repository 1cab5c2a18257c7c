"""A broker among the other brokers: its links to them, who is in the net, and what each of them says of itself."""

import random
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from braidmq.bounds import SERVICES_MAX
from braidmq.core.events.event import Event
from braidmq.core.events.membership import BrokerMisreported
from braidmq.core.intake import Intake
from braidmq.core.links.link import BROKEN, Action, BrokerAddress, Change, Failure, Link, LinkState, Verify
from braidmq.core.links.links import Links
from braidmq.core.membership.membership import MembershipCore
from braidmq.core.membership.peer_record import PeerRecord
from braidmq.observer import BrokerObserver
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.envelope import CONTROL_FIRST, MAJOR, command_of, major_of
from braidmq.wire.gossip import RUMORS_MAX, About, Gossiped
from braidmq.wire.kinds import Control, by_number, kinds_of

REVIEW_S: Final = 1.0
"""How often brokers that nobody lists any more are looked for."""

FAULT_PAUSE_S: Final = 1.0
"""How long a look that has failed is put off, so that a broker whose every look fails has time for its members."""

ABOUT_ROWS_MAX: Final = SERVICES_MAX
"""Services of another broker that are kept: as many as a setting allows one to know."""


class PeeringCore:
    """One broker among the others, whose turn is part of its BrokerCore's.

    The boundary is that of NodeCore; besides, `on_session` and `on_message` take in what comes over connections that
    peers have made to this broker, and `take_answers` returns what goes back over those. `peers` is the list for nodes,
    `rows` the same for observers, `offers` what other brokers have workers for.

    Attributes:
        membership: who is in the net.
        abouts: what other brokers said of themselves, by name; only of those that are connected. `_offering` has the
            same by service.
        containment: the errors of our own that were met in this broker.
    """

    def __init__(
        self,
        own: BrokerAddress,
        settings: Settings,
        rng: random.Random,
        verify: Verify,
        *,
        software: str,
        now: float,
        observer: BrokerObserver | None = None,
    ) -> None:
        self.own = own
        self.abouts: dict[str, About] = {}
        self._offering: dict[str, dict[str, None]] = {}
        self._rng = rng
        self._version = 0
        self._links = Links(settings, rng, verify, own_name=own.name, software=software, now=now)
        self._links.change_own(own)
        self.containment = self._links.containment
        self._intake: Intake[Link] = Intake(weighs=True)
        self._handlers: dict[int, Callable[[Link, Any, float], None]] = by_number(
            {About: self._on_about, **dict.fromkeys(kinds_of(Gossiped), self._on_gossip)}
        )
        self._others: dict[int, Callable[[str, Any, float], None]] = {}
        self._contacts: list[tuple[str, bool]] = []
        self._paused_until = 0.0
        self.membership = MembershipCore(own.name, own.certificate, settings, rng, self, now=now, observer=observer)
        self._sessions: dict[str, int] = {}
        self._heard: dict[str, float] = {}
        self._silent_s = settings.heartbeat_s
        self._answers: dict[str, list[Control]] = {}
        self._review_at = now + REVIEW_S
        self._misreporters: set[str] = set()

    # -- outputs

    def take_actions(self) -> list[Action]:
        """Return the addresses to look up and the sockets to open and close, in order."""
        return self._links.take_actions()

    def take_sends(self) -> dict[str, list[bytes]]:
        """Return the messages that are due to each peer over this broker's connection to it, in order."""
        return self._links.take_sends()

    def take_answers(self) -> dict[str, list[Control]]:
        """Return the messages for peers that are connected to this broker, but not the other way round."""
        answers, self._answers = self._answers, {}
        return answers

    def take_contacts(self) -> list[tuple[str, bool]]:
        """Return whom a session has begun with, on either side, and with whom the last one has ended, in order."""
        contacts, self._contacts = self._contacts, []
        return contacts

    def take_events(self) -> list[Event]:
        """Return what is worth a line in the log."""
        return [*self._links.events.take(), *self.membership.take_events()]

    def next_deadline(self) -> float:
        """Return when `on_timer` is due."""
        due = max(self._paused_until, min(self._links.next_deadline(), self.membership.next_deadline()))
        return due if self._intake.since is None else min(due, self._intake.since)

    def peers(self) -> list[control.Peer]:
        """Return the brokers of the net for nodes, this one first; the dead are not among them."""
        links, own = self._links.links, self.membership
        found = [control.Peer(self.own.certificate, connected=True, state=own.state)]
        for member in own.members.values():
            link = links.get(member.name)
            if link is not None and member.state != "dead":
                found.append(
                    control.Peer(link.address.certificate, link.open or member.name in self._sessions, member.state)
                )
        return found

    def rows(self, now: float) -> list[control.PeerStatus]:
        """Return the brokers that are known for observers; this one's own row is made by the broker."""
        members = self.membership.members
        return [_row(link, now, members.get(name), self.abouts.get(name)) for name, link in self._links.links.items()]

    def offers(self, service: str) -> list[str]:
        """Return some brokers, at random, that say they have workers for `service`, and are not about to leave."""
        members = self.membership.members
        found = [
            name
            for name in self._offering.get(service, ())
            if (member := members.get(name)) is not None and member.state == "alive"
        ]
        return self._rng.sample(found, min(len(found), RUMORS_MAX))

    def offered(self) -> frozenset[bytes]:
        """Return all services that other brokers have workers for."""
        return frozenset(service.encode() for service in self._offering)

    @property
    def known(self) -> list[str]:
        """The other brokers that this one connects to."""
        return list(self._links.links)

    def is_unreachable(self, name: str) -> bool:
        """Whether a broker was tried last and could not be reached; not because a connection to it has just broken.

        One that is not known yet, as the registry that names it has just come, has not been tried.
        """
        link = self._links.links.get(name)
        if link is None:
            return False
        return link.failures > 0 and link.failure not in BROKEN and not link.open and name not in self._sessions

    @property
    def handled(self) -> int:
        """How many messages have been handled that came over this broker's own connections."""
        return self._intake.handled

    @property
    def version(self) -> int:
        """Grows with every change of what `peers`, `offers` and `has_settled` return."""
        return self._version + self.membership.version + self._links.known_version

    @property
    def has_company(self) -> bool:
        """Whether another broker is alive."""
        return any(member.state == "alive" for member in self.membership.members.values())

    @property
    def has_settled(self) -> bool:
        """Whether any peer knows its workers, so that what none of the peers offers is not about to come."""
        return any(about.settled for about in self.abouts.values())

    # -- inputs

    def hear(self, handlers: Mapping[int, Callable[[str, Any, float], None]]) -> None:
        """Let others handle some control messages that peers send over this broker's connections, by their numbers."""
        self._others.update(handlers)

    def send(self, name: str, message: Control, now: float) -> None:
        """Send a message to a peer: over this broker's connection, or else over the peer's. Without one it is lost."""
        link = self._links.links.get(name)
        if link is not None and link.open and not self._is_doubtful(link):
            self._links.send_control(link, message, now)
        elif name in self._sessions:
            self._answers.setdefault(name, []).append(message)

    def learn(self, address: BrokerAddress, now: float) -> None:
        """Handle a broker that is registered."""
        self._links.learn(address, now, configured=True)

    def change_own(self, own: BrokerAddress, now: float) -> None:
        """Note that this broker's own certificate is another one, perhaps with another name or key."""
        if own.certificate != self.own.certificate:
            if own.name in self._links.links:  # its former owner is none any more, or has another name
                self.forget(own.name, now)
            self.own = own
            self._version += 1
            self._links.change_own(own)
            self.membership.change_own(own.name, own.certificate, now)

    @property
    def principals(self) -> list[str]:
        """The keys that are this broker's own, or were, in lower-case hex."""
        return [key.hex() for key in self._links.own_keys]

    def is_own(self, *keys: bytes) -> bool:
        """Whether one of these keys is this broker's own, or was."""
        return any(key in self._links.own_keys for key in keys)

    def forget(self, name: str, now: float) -> None:
        """Note that a broker is no longer registered."""
        self.membership.forget(name, now)
        link = self._links.links.get(name)
        if link is not None:
            self._links.forget(link, now)
        self._follow_up(now)

    def drain(self, now: float) -> None:
        """Note that this broker takes no new requests."""
        self._links.events.sum_up()
        self.membership.leave(now)
        self._follow_up(now)

    def on_session(self, name: str, *, up: bool, now: float) -> None:
        """Note that a peer has opened, or has lost, a session with this broker."""
        count = self._sessions.get(name, 0) + (1 if up else -1)
        if count:
            self._sessions[name] = count
        else:
            del self._sessions[name]
            self._heard.pop(name, None)
        if up:
            self._contacts.append((name, True))
            self.membership.on_up(name, now)
            self._links.retry_soon(name, now)
            self._version += 1
        elif not count:
            self._on_down(name, now)
        self._follow_up(now)

    def on_message(self, name: str, message: Gossiped, now: float) -> None:
        """Handle a message that came over a session of the peer `name`."""
        self._heard[name] = now
        self.membership.on_message(name, message, now)
        self._follow_up(now)

    def on_resolved(self, name: str, addresses: list[str], now: float) -> None:
        """Handle the addresses behind a peer's endpoints."""
        self._links.on_resolved(name, addresses, now)
        self._follow_up(now)

    def on_reached(self, name: str) -> None:
        """Note that something takes connections at a broker's address."""
        self._links.on_reached(name)

    def on_hung(self, name: str) -> None:
        """Note that a peer's host takes what is sent, although the peer was given up for its silence."""
        self._links.on_hung(name)

    def on_connected(self, name: str, now: float) -> None:
        """Note that the transport's handshake with a peer is complete."""
        self._links.on_connected(name, now)

    def on_failed(self, name: str, failure: Failure, now: float) -> None:
        """Note that a connection failed or ended."""
        if name in self._links.links:
            self._links.on_failed(name, failure, now)
            self._follow_up(now)

    def on_frame(self, name: str, frame: bytes, now: float) -> None:
        """Handle a frame that came over this broker's connection to the peer `name`."""
        link = self._links.links.get(name)
        if link is None:
            return
        self._links.on_heard(link, now)
        inlet = link.inlet
        messages, intact = self._intake.offer(inlet, link, frame, now)
        self._read(link, messages, intact, now)
        if not messages and inlet.overflowed:
            self._links.give_up(link, Failure.FLOODED, now)
        self._follow_up(now)

    def on_timer(self, now: float) -> None:
        """Do what is due."""
        if self._intake.since is not None:
            self._read_on(now)
        if now < self._paused_until:
            return
        try:
            self._on_time(now)
        except Exception as error:  # noqa: BLE001 - see containment.py
            self.containment.note(error, "a look at the other brokers failed")
            self._paused_until = now + FAULT_PAUSE_S

    def _on_time(self, now: float) -> None:
        self._links.on_timer(now)
        self._pass_changes(now)
        if now >= self.membership.next_deadline():
            self.membership.on_timer(now)
        if now >= self._review_at:
            self._review_at = now + REVIEW_S
            for link in self._links.unlisted(now):
                if link.name not in self.membership.members:
                    self._links.forget(link, now)
        self._follow_up(now)

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        self._links.validate_state()
        self.membership.validate_state()
        self._intake.validate_state([link.inlet for link in self._links.links.values()])
        assert not self.containment.count, "nothing that a peer sends is an error of our own"
        assert not any(link.inlet.frames for link in self._links.links.values() if link.state is LinkState.WAITING)
        assert all(count > 0 for count in self._sessions.values())
        assert self._heard.keys() <= self._sessions.keys()
        assert all(self._links.links[name].open for name in self.abouts)
        assert all(len(about.services) <= ABOUT_ROWS_MAX for about in self.abouts.values())
        offers = {(each.name, name) for name, about in self.abouts.items() for each in about.services if each.workers}
        assert offers == {(service, name) for service, brokers in self._offering.items() for name in brokers}
        assert all(self._offering.values())

    # -- for the membership (see Certificates in scrutiny.py)

    def certificate(self, name: str) -> bytes | None:
        """Return the certificate of the broker with this name, or None if none is known."""
        link = self._links.links.get(name)
        return link.address.certificate if link is not None else None

    def admit(self, name: str, certificate: bytes, now: float) -> bool:
        """Return whether a certificate of the broker with this name is known, or the given one is valid for it."""
        if name not in self._links.links and certificate:
            self._links.learn_certificate(certificate, now)
        return name in self._links.links

    # -- inner

    def _read(self, link: Link, messages: list[bytes], intact: bool, now: float) -> None:
        """Handle messages that stood in one frame, one behind the other."""
        message = b""
        try:
            for message in messages:
                if major_of(message) != MAJOR:
                    self._links.on_foreign(link, message, now)
                elif command_of(message) >= CONTROL_FIRST:
                    self._on_control(link, message, now)
            if not intact:
                self._links.on_malformed(link, "a frame that is no bundle")
        except Exception as error:  # noqa: BLE001 - see containment.py
            self._links.contain(link, message, error, now)

    def _read_on(self, now: float) -> None:
        """Handle what waits of the frames that have come, as much as may be done in one turn."""
        for link, messages, intact in self._intake.portions():
            self._read(link, messages, intact, now)
            self._pass_changes(now)

    def _on_control(self, link: Link, message: bytes, now: float) -> None:
        received = self._links.on_control(link, message, now)
        if received is None:
            return
        command = command_of(message)
        handler = self._handlers.get(command)
        if handler is not None:
            handler(link, received, now)
        elif command in self._others:
            self._others[command](link.name, received, now)

    def _on_gossip(self, link: Link, gossip: Gossiped, now: float) -> None:
        self.membership.on_message(link.name, gossip, now)

    def _on_about(self, link: Link, about: About, _now: float) -> None:
        if about.name != link.name:
            if link.name not in self._misreporters:
                self._misreporters.add(link.name)
                self._links.events.add(BrokerMisreported(link.name, about.name))
            return
        before = self.abouts.get(link.name)
        if link.open and (before is None or about.version > before.version):
            self._forget_about(link.name)
            if len(about.services) > ABOUT_ROWS_MAX:
                about = msgspec.structs.replace(about, services=about.services[:ABOUT_ROWS_MAX])
            self.abouts[link.name] = about
            for each in about.services:
                if each.workers:
                    self._offering.setdefault(each.name, {})[link.name] = None
            self._version += 1

    def _forget_about(self, name: str) -> None:
        about = self.abouts.pop(name, None)
        for each in () if about is None else about.services:
            brokers = self._offering.get(each.name)
            if brokers is not None:
                brokers.pop(name, None)
                if not brokers:
                    del self._offering[each.name]

    def _follow_up(self, now: float) -> None:
        """End an input: tell the membership what happened to links, and the peers what it has to say."""
        self._pass_changes(now)
        self._route(now)

    def _pass_changes(self, now: float) -> None:
        for link, change in self._links.take_changes():
            if change is Change.UP:
                self._contacts.append((link.name, True))
                self.membership.on_up(link.name, now)
            elif not link.open:
                self._forget_about(link.name)
                self._intake.drop(link.inlet)
            if change is Change.DOWN or (change is Change.STATE and link.state is LinkState.SUSPECT):
                self._on_down(link.name, now)
            self._version += 1

    def _on_down(self, name: str, now: float) -> None:
        link = self._links.links.get(name)
        reached = name in self._sessions or (link is not None and link.open)
        if not reached:
            self._contacts.append((name, False))
        self.membership.on_down(name, now, last_connection=not reached)

    def _route(self, now: float) -> None:
        """Let what membership has to say travel over this broker's connection, or else over the peer's."""
        for name, messages in self.membership.take_sends().items():
            for message in messages:
                self.send(name, message, now)

    def _is_doubtful(self, link: Link) -> bool:
        """Whether the peer speaks over its own connection while this one has missed a heartbeat.

        Its host may have lost power and be back: then this connection is dead, and nobody has said so.
        """
        return self._heard.get(link.name, 0.0) - link.heard_at > self._silent_s


def _row(link: Link, now: float, member: PeerRecord | None, about: About | None) -> control.PeerStatus:
    about = about or About(link.name, 0)
    return control.PeerStatus(
        link.name,
        member.state if member is not None else "unknown",
        link.state,
        link.problem or "",
        member.incarnation if member is not None else 0,
        int((now - member.since) * 1000) if member is not None else 0,
        about.nodes,
        about.in_flight,
        about.queued,
        len(about.services),
        left=member is not None and member.left,
        rtt_ms=int(member.rtt_s * 1000) if member is not None and link.open else 0,
        silent_ms=max(0, int((now - link.heard_at) * 1000)) if link.open else 0,
    )
