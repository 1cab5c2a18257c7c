"""The requests that workers have: who was given which, and for a moment what it holds, in case it is given back."""

from collections.abc import Collection
from typing import Final

from braidmq.core.broker.key_usage import JOINING_BYTES_MAX, KEY_CREDIT_MAX
from braidmq.core.broker.outgoing import Outgoing
from braidmq.core.broker.transit import Offer, Session, Transit
from braidmq.core.share import fits
from braidmq.core.timers import Timers
from braidmq.observer import BrokerObserver
from braidmq.wire.envelope import REQUEST, UINT32, Flag, now_ms
from braidmq.wire.forward import forwarded

KEPT_S: Final = 0.05
"""How long a request that went to a worker is kept, in case the worker gives it back: one that has no place says so at
once. Longer would keep the payloads of all requests that are with workers."""

KEPT_BYTES_MAX: Final = 64 * 1024 * 1024
"""Bytes of what is kept in this way; what finds no room in it is given to a worker all the same."""

SILENT_INTERVALS: Final = 1.5
"""Intervals after which a worker gets no more that has said nothing since it was given a request, not even WORKING."""

_DUPLICATE: Final = int(Flag.POSSIBLE_DUPLICATE)


def may_join(session: Session, offer: Offer, size_bytes: int, now: float) -> bool:
    """Whether a request may go to a worker that has no credit for it, as it may have it already."""
    usage, worker = session.usage, offer.session
    return (
        worker.usage.assigned < KEY_CREDIT_MAX
        and fits(usage.joining_bytes, size_bytes, JOINING_BYTES_MAX - worker.joining_bytes)
        and usage.join(now)
    )


class Assignments:
    """The requests that are with workers.

    `give` hands one to a worker, after `let_join` if that may have it already; `leave` is told once of each. Of each
    request `offer` and the `assigned` of its session tell who has it.

    Attributes:
        kept_bytes: the size of the requests that are kept.
    """

    __slots__ = ("_kept", "_observer", "_outgoing", "_tag", "_timers", "kept_bytes")

    def __init__(self, outgoing: Outgoing, timers: Timers[Transit], observer: BrokerObserver | None = None) -> None:
        self._observer = observer
        self._outgoing = outgoing
        self._timers = timers
        self._kept: dict[Transit, None] = {}
        self.kept_bytes = 0
        self._tag = 0

    def give(self, transit: Transit, offer: Offer, rest: bytes, now: float) -> None:
        """Give a request to a worker; `rest` is its extension block and payload."""
        client = transit.client
        assert client is not None
        if now > transit.sure_until:
            transit.flags |= _DUPLICATE
        self._tag = tag = (self._tag + 1) & UINT32
        worker = offer.session
        transit.tag = tag
        transit.offer = offer
        transit.dispatched_at = now
        usage, size_bytes = transit.usage, transit.size_bytes
        kept_bytes = usage.kept_bytes + size_bytes
        if kept_bytes <= KEPT_BYTES_MAX - self.kept_bytes:  # `fits` of share.py, inline
            transit.rest = rest
            self._kept[transit] = None
            usage.kept_bytes = kept_bytes
            self.kept_bytes += size_bytes
        worker.assigned[tag] = transit
        worker.usage.assigned += 1
        if not transit.joins:  # what runs there already takes no credit
            offer.outstanding += 1
            offer.service.offer(offer)
        silent_at = now + SILENT_INTERVALS * transit.interval_s
        transit.timer = self._timers.add(transit, silent_at if silent_at < transit.deadline else transit.deadline)
        request = forwarded(
            transit.version, REQUEST, transit.flags, transit.retry_count, now_ms(now),
            int((transit.deadline - now) * 1000), tag, transit.id, transit.service.name, client.name, worker.name,
            transit.code, transit.extension_bytes, transit.working_ms, rest,
        )  # fmt: skip
        if self._observer is not None:
            service = transit.service
            self._observer.on_request_dispatched(
                transit.id, service.name.decode(), worker.member.name, service.queued, now
            )
        self._outgoing.send(worker, request)

    @staticmethod
    def let_join(transit: Transit, offer: Offer) -> None:
        """Note that a worker is about to be given a request without credit, as it may have it already."""
        transit.joins = True
        transit.usage.joining_bytes += transit.size_bytes
        offer.session.joining_bytes += transit.size_bytes

    def leave(self, transit: Transit) -> None:
        """Note that no worker has a request any more: nothing of it is kept in case that one gives it back."""
        offer = transit.offer
        assert offer is not None
        worker = offer.session
        worker.usage.assigned -= 1
        if transit.joins:
            transit.joins = False
            transit.usage.joining_bytes -= transit.size_bytes
            worker.joining_bytes -= transit.size_bytes
        else:
            offer.outstanding -= 1
        transit.offer = None
        if transit.rest is not None:
            self._keep_no_more(transit)

    def forget_kept(self, now: float) -> None:
        """Forget what workers were given some time ago and have not given back."""
        for transit in list(self._kept):
            if now - transit.dispatched_at < KEPT_S:
                break
            self._keep_no_more(transit)
        if not self._kept:
            self._kept = {}  # the old one has room for as many as there ever were

    def _keep_no_more(self, transit: Transit) -> None:
        transit.rest = None
        transit.usage.kept_bytes -= transit.size_bytes
        self.kept_bytes -= transit.size_bytes
        del self._kept[transit]

    # -- self-check

    def validate_state(self, sessions: Collection[Session]) -> None:
        """Assert what always holds between two inputs, given all sessions. For tests and the simulator."""
        assigned: list[Transit] = []
        for session in sessions:
            self._validate_assigned(session)
            assigned += session.assigned.values()
        assert set(self._kept) == {transit for transit in assigned if transit.rest is not None}
        times = [transit.dispatched_at for transit in self._kept]
        assert times == sorted(times)
        assert self.kept_bytes == sum(transit.size_bytes for transit in self._kept) <= KEPT_BYTES_MAX
        for usage in {session.usage for session in sessions}:
            mine = [session for session in sessions if session.usage is usage]
            assert usage.assigned == sum(len(session.assigned) for session in mine) <= 2 * KEY_CREDIT_MAX
            kept_bytes = sum(transit.size_bytes for transit in self._kept if transit.usage is usage)
            assert usage.kept_bytes == kept_bytes
            joining_bytes = sum(each.size_bytes for each in assigned if each.joins and each.usage is usage)
            assert usage.joining_bytes == joining_bytes

    def _validate_assigned(self, session: Session) -> None:
        held: dict[Offer, int] = dict.fromkeys(session.offers.values(), 0)
        for tag, transit in session.assigned.items():
            offer = transit.offer
            assert offer is not None
            assert offer.session is session
            assert offer.service is transit.service
            assert transit.tag == tag
            assert not transit.waits
            held[offer] = held.get(offer, 0) + (not transit.joins)
        for offer, count in held.items():
            assert offer.outstanding == count
        joining = [each.size_bytes for each in session.assigned.values() if each.joins]
        assert session.joining_bytes == sum(joining) <= JOINING_BYTES_MAX
