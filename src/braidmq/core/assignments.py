"""The requests that workers have: who was given which, and for a moment what it holds, in case it is given back."""

from collections.abc import Collection
from typing import Final

from braidmq.core.account import JOINING_BYTES_MAX, KEY_CREDIT_MAX
from braidmq.core.exchange import Exchange, Session, Slot
from braidmq.core.outgoing import Outgoing
from braidmq.core.share import fits
from braidmq.core.timers import Timers
from braidmq.wire.envelope import PREFIX, PREFIX_BYTES, REQUEST, UINT32, Flag

KEPT_S: Final = 0.05
"""How long a request that went to a worker is kept, in case the worker gives it back: one that has no place says so at
once. Longer would keep the payloads of all requests that are with workers."""

KEPT_BYTES_MAX: Final = 64 * 1024 * 1024
"""Bytes of what is kept in this way; what finds no room in it is given to a worker all the same."""

SILENT_INTERVALS: Final = 1.5
"""Intervals after which a worker gets no more that has said nothing since it was given a request, not even WORKING."""

_DUPLICATE: Final = int(Flag.POSSIBLE_DUPLICATE)


def may_join(session: Session, slot: Slot, size_bytes: int, now: float) -> bool:
    """Whether a request may go to a worker that has no credit for it, as it may have it already."""
    account, worker = session.account, slot.session
    return (
        worker.account.assigned < KEY_CREDIT_MAX
        and fits(account.joining_bytes, size_bytes, JOINING_BYTES_MAX - worker.joining_bytes)
        and account.join(now)
    )


class Assignments:
    """See the module. Of each request `slot` and the `assigned` of its session tell who has it.

    Attributes:
        kept_bytes: the size of the requests that are kept.
    """

    __slots__ = ("_kept", "_outgoing", "_tag", "_timers", "kept_bytes")

    def __init__(self, outgoing: Outgoing, timers: Timers[Exchange]) -> None:
        self._outgoing = outgoing
        self._timers = timers
        self._kept: dict[Exchange, None] = {}
        self.kept_bytes = 0
        self._tag = 0

    def give(self, exchange: Exchange, slot: Slot, rest: bytes, now: float) -> None:
        """Give a request to a worker; `rest` is its extension block and payload."""
        client = exchange.client
        assert client is not None
        if now > exchange.sure_until:
            exchange.flags |= _DUPLICATE
        self._tag = tag = (self._tag + 1) & UINT32
        worker = slot.session
        names = exchange.service.name + client.name + worker.name
        head = PREFIX.pack(
            PREFIX_BYTES + len(names) + len(rest), exchange.version, REQUEST, exchange.flags, exchange.retry_count,
            int(now * 1000) & UINT32, int((exchange.deadline - now) * 1000), tag, exchange.id,
            len(exchange.service.name), len(client.name), len(worker.name), exchange.code, exchange.extension_bytes,
            exchange.working_ms,
        )  # fmt: skip
        exchange.tag = tag
        exchange.slot = slot
        exchange.dispatched_at = now
        account, size_bytes = exchange.account, exchange.size_bytes
        kept_bytes = account.kept_bytes + size_bytes
        if kept_bytes <= KEPT_BYTES_MAX - self.kept_bytes:  # `fits` of share.py, inline
            exchange.rest = rest
            self._kept[exchange] = None
            account.kept_bytes = kept_bytes
            self.kept_bytes += size_bytes
        worker.assigned[tag] = exchange
        worker.account.assigned += 1
        if not exchange.joins:  # what runs there already takes no credit
            slot.outstanding += 1
            slot.service.offer(slot)
        silent_at = now + SILENT_INTERVALS * exchange.interval_s
        exchange.timer = self._timers.add(exchange, silent_at if silent_at < exchange.deadline else exchange.deadline)
        self._outgoing.send(worker, head + names + rest)

    @staticmethod
    def let_join(exchange: Exchange, slot: Slot) -> None:
        """Take in that a worker is about to be given a request without credit, as it may have it already."""
        exchange.joins = True
        exchange.account.joining_bytes += exchange.size_bytes
        slot.session.joining_bytes += exchange.size_bytes

    def leave(self, exchange: Exchange) -> None:
        """Take in that no worker has a request any more: nothing of it is kept in case that one gives it back."""
        slot = exchange.slot
        assert slot is not None
        worker = slot.session
        worker.account.assigned -= 1
        if exchange.joins:
            exchange.joins = False
            exchange.account.joining_bytes -= exchange.size_bytes
            worker.joining_bytes -= exchange.size_bytes
        else:
            slot.outstanding -= 1
        exchange.slot = None
        if exchange.rest is not None:
            self._keep_no_more(exchange)

    def forget_kept(self, now: float) -> None:
        """Forget what workers were given some time ago and have not given back."""
        for exchange in list(self._kept):
            if now - exchange.dispatched_at < KEPT_S:
                break
            self._keep_no_more(exchange)
        if not self._kept:
            self._kept = {}  # the old one has room for as many as there ever were

    def _keep_no_more(self, exchange: Exchange) -> None:
        exchange.rest = None
        exchange.account.kept_bytes -= exchange.size_bytes
        self.kept_bytes -= exchange.size_bytes
        del self._kept[exchange]

    # -- self-check

    def validate_state(self, sessions: Collection[Session]) -> None:
        """Assert what always holds between two inputs, given all sessions. For tests and the simulator."""
        assigned: list[Exchange] = []
        for session in sessions:
            self._validate_assigned(session)
            assigned += session.assigned.values()
        assert set(self._kept) == {exchange for exchange in assigned if exchange.rest is not None}
        times = [exchange.dispatched_at for exchange in self._kept]
        assert times == sorted(times)
        assert self.kept_bytes == sum(exchange.size_bytes for exchange in self._kept) <= KEPT_BYTES_MAX
        for account in {session.account for session in sessions}:
            mine = [session for session in sessions if session.account is account]
            assert account.assigned == sum(len(session.assigned) for session in mine) <= 2 * KEY_CREDIT_MAX
            kept_bytes = sum(exchange.size_bytes for exchange in self._kept if exchange.account is account)
            assert account.kept_bytes == kept_bytes
            joining_bytes = sum(each.size_bytes for each in assigned if each.joins and each.account is account)
            assert account.joining_bytes == joining_bytes

    def _validate_assigned(self, session: Session) -> None:
        held: dict[Slot, int] = dict.fromkeys(session.slots.values(), 0)
        for tag, exchange in session.assigned.items():
            slot = exchange.slot
            assert slot is not None
            assert slot.session is session
            assert slot.service is exchange.service
            assert exchange.tag == tag
            assert not exchange.waits
            held[slot] = held.get(slot, 0) + (not exchange.joins)
        for slot, count in held.items():
            assert slot.outstanding == count
        joining = [each.size_bytes for each in session.assigned.values() if each.joins]
        assert session.joining_bytes == sum(joining) <= JOINING_BYTES_MAX
