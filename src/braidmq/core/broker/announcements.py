"""What a broker tells its members unasked: the brokers of the net, the services, and itself to its peers."""

from collections.abc import Mapping
from typing import Final

import msgspec

from braidmq.core.broker.dispatch import Dispatcher
from braidmq.core.broker.transit import Session
from braidmq.core.membership.peering import PeeringCore
from braidmq.core.send_queue import SendQueue
from braidmq.members import Role, matches
from braidmq.settings import Settings
from braidmq.wire import control
from braidmq.wire.envelope import now_ms
from braidmq.wire.gossip import About, ServiceAbout
from braidmq.wire.kinds import Control

PEER_ROWS_PER_TICK: Final = 20_000
"""Rows of lists of brokers that are sent in one tick: some MB/s. In a large net the news reaches the nodes over a few
ticks, instead of keeping the broker from its work for one long moment."""

REVIEW_S: Final = 1.0
"""How often it is looked whom the list of brokers was not sent for sync_s, at least."""

SYNC_LOOKS: Final = 20
"""And so often within sync_s."""

SERVICE_ROWS_PER_TICK: Final = 20_000
"""The same for lists of services, whether they are made or sent."""

ABOUT_S: Final = 1.0
"""How often a broker tells its peers of itself, if something has changed; longer with more than ABOUT_SERVICES."""

NEWS_S: Final = 0.2
"""The same for a service that has got its first worker or lost its last one."""

ABOUT_SERVICES: Final = 1_000
"""Services that can be told of each ABOUT_S, at some ten KiB for each peer. Nodes hear at once of what is new where
there are no more than these; else NEWS_S for each so many of them lie between two looks."""


class _ServiceList:
    """The available services that the members with certain rights may call; encoded once for all at one time."""

    __slots__ = ("_message", "_sent_ms", "services")

    def __init__(self, services: tuple[str, ...]) -> None:
        self.services = services
        self._message = b""
        self._sent_ms = 0

    def message(self, sent_ms: int) -> bytes:
        """Return the message for those that get it now."""
        if not self._message or sent_ms != self._sent_ms:
            self._message = control.encode_control(control.Services(list(self.services)), sent_ms)
            self._sent_ms = sent_ms
        return self._message


class Announcements:
    """What one broker has told each of its members so far.

    `on_welcome` comes once, as a session begins, then `on_tick`, and `on_end` as it is over. `sessions` is the broker's
    own table.
    """

    def __init__(
        self,
        settings: Settings,
        sessions: Mapping[bytes, Session],
        dispatcher: Dispatcher,
        peering: PeeringCore,
        send_queue: SendQueue[bytes],
        *,
        now: float,
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._dispatcher = dispatcher
        self._peering = peering
        self._send_queue = send_queue
        self._peering_version = -1
        self._peers = control.Peers([])
        self._peers_message = b""
        self._peers_sent_ms = 0
        self._behind: dict[Session, None] = {}
        self._look_at = now
        self._available: list[str] = []
        self._lists: dict[tuple[str, ...], _ServiceList] = {}
        self._last_lists: dict[tuple[str, ...], _ServiceList] = {}
        self._listed_at = now - NEWS_S
        self._unlisted: dict[Session, None] = {}
        self._about = About(peering.own.name, 0)
        self._told_at = now - ABOUT_S
        self._news = False

    def on_welcome(self, session: Session, now: float) -> None:
        """Tell a new member what there is."""
        self._review_peers()
        self._send_peers(session, now)
        if session.member.role is Role.BROKER:
            if self._about.name != self._peering.own.name:
                self._tell_about(now)
            self._send(session, self._about, now)
        else:
            self._review_services(now)
            self._send_services(session, now)

    def on_end(self, session: Session) -> None:
        """Note that a session is over."""
        self._behind.pop(session, None)
        self._unlisted.pop(session, None)

    def on_tick(self, now: float) -> None:
        """Tell the members what is new."""
        self._tell_peers(now)
        self._tell_services(now)
        stretch = max(1.0, len(self._about.services) / ABOUT_SERVICES)
        if now - self._told_at >= (NEWS_S if self._news else ABOUT_S) * stretch:
            self._tell_about(now)

    def about(self) -> About:
        """Return what this broker says of itself, as of now."""
        dispatcher = self._dispatcher
        return About(
            self._peering.own.name,
            self._about.version,
            list(self._peering.own.endpoints),
            sum(session.member.role is Role.NODE for session in self._sessions.values()),
            sum(len(session.assigned) for session in self._sessions.values()),
            sum(service.queued for service in dispatcher.services.values()),
            dispatcher.catalogue.settle_at is None,
            [
                ServiceAbout(service.name.decode(), len(service.offers), service.free_credit())
                for service in dispatcher.services.values()
                if service.available()
            ],
        )

    def _review_peers(self) -> None:
        """Take over what is new of the other brokers: the list for members, and what they have workers for."""
        peering = self._peering
        if peering.version != self._peering_version:
            self._peering_version = peering.version
            if self._dispatcher.catalogue.settle_at is not None:
                self._dispatcher.catalogue.hear_of(peering.offered() if peering.has_settled else None)
            peers = control.Peers(peering.peers())
            if peers != self._peers:
                self._peers = peers
                self._peers_message = b""
                self._behind = dict.fromkeys(self._sessions.values())

    def _send_peers(self, session: Session, now: float) -> None:
        """Send a member the list of brokers, which is encoded once for all that get it at one time."""
        sent_ms = now_ms(now)
        if not self._peers_message or sent_ms != self._peers_sent_ms:
            self._peers_message = control.encode_control(self._peers, sent_ms)
            self._peers_sent_ms = sent_ms
        session.peers_at = now
        session.spoke = True
        self._behind.pop(session, None)
        self._send_queue.put(session.route, self._peers_message)

    def _tell_peers(self, now: float) -> None:
        """Send the list of brokers to the members that have an old one, or none for sync_s."""
        self._review_peers()
        budget = max(1, PEER_ROWS_PER_TICK // len(self._peers.brokers))
        for session in list(self._behind)[:budget]:
            self._send_peers(session, now)
        if now < self._look_at:
            return
        self._look_at = now + min(REVIEW_S, self._settings.sync_s / SYNC_LOOKS)
        due = now - self._settings.sync_s
        for session in self._sessions.values():
            if session.peers_at <= due:
                self._behind[session] = None

    def _tell_about(self, now: float) -> None:
        """Tell the other brokers what is new of this one."""
        about = self.about()
        self._told_at = now
        self._news = False
        if about != self._about:
            self._about = msgspec.structs.replace(about, version=about.version + 1)
            for session in self._sessions.values():
                if session.member.role is Role.BROKER:
                    self._send(session, self._about, now)

    def _review_services(self, now: float) -> None:
        """Look anew which services have a worker, if that may have changed, and if it is time for it."""
        many = len(self._available)
        pause_s = NEWS_S * many / ABOUT_SERVICES if many > ABOUT_SERVICES else 0.0
        if self._dispatcher.catalogue.changed and not self._unlisted and now - self._listed_at >= pause_s:
            self._dispatcher.catalogue.take_change()
            self._news = True
            self._listed_at = now
            self._available = self._dispatcher.available()
            self._last_lists, self._lists = self._lists, {}
            self._unlisted = dict.fromkeys(
                session for session in self._sessions.values() if session.member.role is Role.NODE
            )

    def _tell_services(self, now: float) -> None:
        """Tell the nodes which of their services have a worker here; in a large net over a few ticks."""
        self._review_services(now)
        rows = 0
        for session in list(self._unlisted):
            if rows > SERVICE_ROWS_PER_TICK:
                break
            rows += self._send_services(session, now)

    def _send_services(self, session: Session, now: float) -> int:
        """Tell a node which of the services that it may call have a worker here, unless it knows.

        Return how many rows that took.
        """
        self._unlisted.pop(session, None)
        found, rows = self._lists.get(session.member.calls), 1
        if found is None:
            found = self._list(session.member.calls)
            rows += len(self._available) * len(session.member.calls)
        known = session.services_sent
        if known is not found.services:
            session.services_sent = found.services
            rows += len(found.services)
            if known != found.services:
                session.spoke = True
                self._send_queue.put(session.route, found.message(now_ms(now)))
        return rows

    def _list(self, calls: tuple[str, ...]) -> _ServiceList:
        """Make the list for those with certain rights; if it is the same as before, it is the same object."""
        last = self._last_lists.get(calls)
        services = tuple(service for service in self._available if matches(calls, service))
        if last is not None and last.services == services:
            services = last.services
        found = self._lists[calls] = _ServiceList(services)
        return found

    def _send(self, session: Session, message: Control, now: float) -> None:
        session.spoke = True
        self._send_queue.put_control(session.route, message, now)

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        assert self._behind.keys() <= set(self._sessions.values())
        assert self._unlisted.keys() <= set(self._sessions.values())
