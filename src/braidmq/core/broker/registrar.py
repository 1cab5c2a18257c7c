"""The registry at one broker: who may say what of it, and what members are told of themselves and of the brokers."""

from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from braidmq.core.broker.ends import EndWatch
from braidmq.core.broker.last_seen import LastSeen
from braidmq.core.broker.outgoing import Outgoing
from braidmq.core.broker.registry_report import Listed, registry_status
from braidmq.core.broker.transit import Session
from braidmq.core.events.event import Event
from braidmq.core.links.link import BrokerAddress
from braidmq.core.membership.peering import PeeringCore
from braidmq.core.registry.ends import LOOK_S
from braidmq.core.registry.enrolling import EnrolmentCore, Roll
from braidmq.core.registry.ledger import Ledger
from braidmq.core.registry.registry import RegistryCore
from braidmq.errors import ProtocolError
from braidmq.members import Role
from braidmq.observer import BrokerObserver
from braidmq.wire.control import Hello
from braidmq.wire.kinds import Control, by_number
from braidmq.wire.registry import (
    CertificateIs,
    Enrol,
    Enrolled,
    RegistryPart,
    RegistryVersion,
    RegistryWanted,
    RosterIs,
)
from braidmq.wire.registry_status import RegistryStatus

ROSTER_BYTES_PER_TICK: Final = 1024 * 1024
"""Lists of brokers that are sent in one tick: a change of the brokers reaches the nodes of a large net over some ticks,
instead of keeping the broker from its work for one long moment."""


class Credentials(Ledger, Listed, Protocol):
    """A ledger that knows, too, what each member is to be told."""

    @property
    def addresses(self) -> list[BrokerAddress]:
        """Where the brokers of the net are, this one included."""

    @property
    def roster(self) -> tuple[int, bytes]:
        """The version of the signed list of the brokers, and the list; 0 and nothing if there is none."""

    def certificate(self, principal: str) -> tuple[int, CertificateIs] | None:
        """Return the serial of the certificate of the member with a key, and the certificate; None if there is none."""

    def has(self, name: str) -> bool:
        """Whether a member has this name, be it one that a token has made."""

    @property
    def roll(self) -> Roll | None:
        """Who was enrolled by tokens; None where there are no tokens."""


class Registrar:
    """Lets brokers and those who publish talk to the RegistryCore, and members hear what is new for them.

    `handlers` has what handles the control messages of sessions. `sessions` is the broker's own table.

    Attributes:
        core: the registry in motion.
        enrolments: members that tokens make; None where there are no tokens.
        handlers: by the number of the message.
    """

    __slots__ = (
        "_behind",
        "_credentials",
        "_end_watch",
        "_last_seen",
        "_look_at",
        "_on_changed",
        "_outgoing",
        "_peering",
        "_sessions",
        "core",
        "enrolments",
        "handlers",
    )

    def __init__(
        self,
        credentials: Credentials,
        peering: PeeringCore,
        outgoing: Outgoing,
        sessions: dict[bytes, Session],
        on_changed: Callable[[float], object],
        *,
        unix_s: float,
        now: float,
        observer: BrokerObserver | None = None,
    ) -> None:
        self._credentials = credentials
        self._peering = peering
        self._outgoing = outgoing
        self._sessions = sessions
        self._on_changed = on_changed
        self._behind: dict[Session, None] = {}
        self.enrolments = None if credentials.roll is None else EnrolmentCore(credentials.roll, now)
        self.core = RegistryCore(peering.own.name, credentials, peering.is_unreachable, unix_s=unix_s, now=now)
        self._last_seen = LastSeen()
        self._end_watch = EndWatch(peering.own.name, credentials, self.core.events, observer)
        self._look_at = now
        self.handlers: dict[int, Callable[[Session, Any, float], None]] = by_number(
            {
                RegistryVersion: self._on_version,
                RegistryWanted: self._on_wanted,
                RegistryPart: self._on_part,
                Enrol: self._on_enrol,
                Enrolled: self._on_enrolled,
            }
        )
        peering.hear(
            by_number(
                {
                    RegistryVersion: self._on_peer_version,
                    RegistryWanted: self._on_peer_wanted,
                    RegistryPart: self._on_peer_part,
                    Enrolled: self._on_peer_enrolled,
                }
            )
        )

    @property
    def versions(self) -> dict[str, int]:
        """Which registry each broker has that is connected, and this one, by name."""
        return self.core.versions | {self._peering.own.name: self._credentials.version}

    def status(self, claimed: Iterable[str], now: float) -> RegistryStatus:
        """Return how the registry stands, and who claims some names by tokens, for an observer."""
        present = {session.member.name for session in self._sessions.values()}
        return registry_status(self._credentials, self.core.clocks, self._last_seen, present, claimed=claimed, now=now)

    def papers_of(self, principal: str) -> list[Control]:
        """Return the certificate of the member with a key, and the list of brokers."""
        found, (version, roster) = self._credentials.certificate(principal), self._credentials.roster
        papers: list[Control] = [] if found is None else [found[1]]
        return [*papers, RosterIs(roster)] if version else papers

    # -- inputs

    def on_hello(self, session: Session, hello: Hello, now: float) -> None:
        """Tell a member what is newer than what it has."""
        if session.member.role is Role.NODE:
            known = self._credentials.certificate(session.usage.principal)
            # it is not told again what it has, except when this broker comes to have it, too, and judges by it
            has = hello.serial if known is None else min(hello.serial, known[0])
            session.serial = max(session.serial, has)
            session.roster = max(session.roster, hello.roster)
            self._tell(session, now)

    def on_end(self, session: Session, now: float) -> None:
        """Note that a session is over."""
        self._behind.pop(session, None)
        self._last_seen.note(session.member.name, session.heard_at)
        self.core.on_gone(session.route, now)

    def on_registry(self, now: float) -> None:
        """Note that another registry is in force: brokers that are gone are left; `tell_of_change` follows."""
        self._last_seen.keep(self._credentials.has)
        addresses = self._credentials.addresses
        self._find_own(addresses, now)
        known = {each.name for each in addresses}
        for name in [each for each in self._peering.known if each not in known]:
            self._peering.forget(name, now)
        for address in addresses:
            self._peering.learn(address, now)

    def tell_of_change(self, session: Session, now: float) -> None:
        """Let a member hear what the registry that is in force now says of it; the list of brokers follows in time."""
        if session.member.role is Role.NODE:
            self._tell_certificate(session, now)
            self._behind[session] = None

    def _find_own(self, addresses: list[BrokerAddress], now: float) -> None:
        """See what this broker is called by now: it is known by its keys, or else by its name."""
        peering = self._peering
        mine = [each for each in addresses if peering.is_own(each.key, each.former_key)]
        for own in mine or [each for each in addresses if each.name == peering.own.name]:
            peering.change_own(own, now)

    def on_tick(self, now: float) -> None:
        """Tell of what ends, and send the list of brokers to those who have an older one, as far as there is time."""
        if now >= self._look_at and self.core.ready:  # before, the others' clocks were not heard
            self._look_at = now + LOOK_S
            self._end_watch.look(self.core.clocks.net_s(now), now)
        version, blob = self._credentials.roster
        left = ROSTER_BYTES_PER_TICK
        for session in list(self._behind):
            if left <= 0:
                break
            del self._behind[session]
            if session.roster < version:
                left -= len(blob)
                self._tell_roster(session, now)

    def on_timer(self, now: float) -> None:
        """Do what is due."""
        version = self._credentials.version
        if now >= self.core.due_at:
            self.core.on_timer(now)
        enrolments = self.enrolments
        if enrolments is not None and now >= enrolments.due_at:
            present = [each.usage.principal for each in self._sessions.values() if each.member.role is Role.NODE]
            enrolments.on_timer(present, self.core.clocks.net_s(now), now)
        if self._credentials.version != version or (enrolments is not None and enrolments.lost):
            if enrolments is not None:
                enrolments.lost = False
            self._on_changed(now)
        self.pass_on(now)

    @property
    def due_at(self) -> float:
        """When `on_timer` is due."""
        enrolments = self.enrolments
        return self.core.due_at if enrolments is None else min(self.core.due_at, enrolments.due_at)

    def take_events(self) -> list[Event]:
        """Return what is worth a line in the log."""
        events = self.core.events.take()
        return events if self.enrolments is None else [*events, *self.enrolments.events.take()]

    def pass_on(self, now: float) -> None:
        """Note which brokers have come and gone, and send what there is for them and for those who publish."""
        self._note_contacts(now)
        enrolments = self.enrolments
        sends = self.core.take_sends()
        if enrolments is not None:
            sends += enrolments.take_sends()
        for key, message in sends:
            if isinstance(key, str):
                self._peering.send(key, message, now)
            else:
                session = self._sessions.get(key)
                if session is not None:
                    self._outgoing.send_control(session, message, now)

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        self.core.validate_state()
        self._last_seen.validate_state()
        if self.enrolments is not None:
            self.enrolments.validate_state()
        assert self._behind.keys() <= set(self._sessions.values())

    def _note_contacts(self, now: float) -> None:
        """Note which brokers have come and gone: before what they say, which may be of a session after that."""
        enrolments = self.enrolments
        for name, met in self._peering.take_contacts():
            if met:
                self.core.on_met(name, now)
                if enrolments is not None:
                    enrolments.on_met(name, now)
            else:
                self.core.on_gone(name, now)
                if enrolments is not None:
                    enrolments.on_gone(name)

    # -- what members say

    def _on_version(self, session: Session, told: RegistryVersion, now: float) -> None:
        self._note_contacts(now)
        self.core.on_version(self._key(session), session.member.name, told, now)
        self.pass_on(now)

    def _on_wanted(self, session: Session, wanted: RegistryWanted, now: float) -> None:
        self._note_contacts(now)
        self.core.on_wanted(self._key(session), wanted, now)
        self.pass_on(now)

    def _on_part(self, session: Session, part: RegistryPart, now: float) -> None:
        self._note_contacts(now)
        self.core.on_part(self._key(session), part, now)
        self.pass_on(now)

    def _on_enrol(self, session: Session, message: Enrol, now: float) -> None:
        if self.enrolments is None or not session.member.invitation:
            raise ProtocolError("what only holders of a token may say")
        unix_s = self.core.clocks.net_s(now)
        if not self.enrolments.on_enrol(session.route, session.member.name, message, unix_s, now):
            session.usage.offend(now)  # each costs a check of a signature, and nobody needs many in vain
        self.pass_on(now)

    def _on_enrolled(self, session: Session, message: Enrolled, now: float) -> None:
        if session.member.role is not Role.BROKER:
            raise ProtocolError("what only brokers may say")
        self._on_peer_enrolled(session.member.name, message, now)
        self.pass_on(now)

    @staticmethod
    def _key(session: Session) -> str | bytes:
        """Return what a session's member is known by, if it may speak of the registry; raise ProtocolError."""
        if session.member.role is Role.BROKER:
            return session.member.name
        if not session.member.publish:
            raise ProtocolError("what only brokers, and members that may publish, may say")
        return session.route

    # -- what other brokers say over this broker's connections to them

    def _on_peer_version(self, name: str, told: RegistryVersion, now: float) -> None:
        self._note_contacts(now)
        self.core.on_version(name, name, told, now)

    def _on_peer_wanted(self, name: str, wanted: RegistryWanted, now: float) -> None:
        self._note_contacts(now)
        self.core.on_wanted(name, wanted, now)

    def _on_peer_part(self, name: str, part: RegistryPart, now: float) -> None:
        self._note_contacts(now)
        self.core.on_part(name, part, now)

    def _on_peer_enrolled(self, name: str, message: Enrolled, now: float) -> None:
        if self.enrolments is not None:
            self.enrolments.on_enrolled(name, message, self.core.clocks.net_s(now), now)

    # -- what members are told

    def _tell(self, session: Session, now: float) -> None:
        self._tell_certificate(session, now)
        self._tell_roster(session, now)

    def _tell_certificate(self, session: Session, now: float) -> None:
        found = self._credentials.certificate(session.usage.principal)
        if found is not None and found[0] > session.serial:
            session.serial = found[0]
            self._say(session, found[1], now)

    def _tell_roster(self, session: Session, now: float) -> None:
        version, blob = self._credentials.roster
        if version > session.roster:
            session.roster = version
            self._say(session, RosterIs(blob), now)

    def _say(self, session: Session, message: Control, now: float) -> None:
        self._outgoing.send_control(session, message, now)
