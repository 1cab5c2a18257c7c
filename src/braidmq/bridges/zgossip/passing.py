"""Passes on what has changed: own tuples first, each contact as much as it takes, and all together a bounded amount."""

from collections.abc import Iterable

from braidmq.bridges.port import Send
from braidmq.bridges.zgossip import wire
from braidmq.bridges.zgossip.contact import Contact
from braidmq.bridges.zgossip.limits import PASSED_AT_ONCE_MAX, PASSED_BYTES_AT_ONCE_MAX
from braidmq.bridges.zgossip.log import Log, Tuple


class Passing:
    """What is due to contacts.

    Args:
        own: the bridge's own tuples.
        foreign: those of others.
    """

    def __init__(self, own: Log, foreign: Log) -> None:
        self._own = own
        self._foreign = foreign

    def is_due(self, contact: Contact) -> bool:
        """Whether a contact has not been sent all that it is to be sent."""
        return self.owes_own(contact) or (contact.reads_foreign and contact.foreign_at < self._foreign.newest)

    def owes_own(self, contact: Contact) -> bool:
        """Whether a contact has not been sent all own tuples that it is to be sent."""
        return contact.reads_own and contact.own_at < self._own.newest

    def flush(self, contacts: Iterable[Contact]) -> list[Send]:
        """Return what is to be sent now."""
        due = [contact for contact in contacts if self.is_due(contact)]
        sends: list[Send] = []
        frames: dict[bytes, bytes] = {}
        for contact in due:
            batch = _Batch(contact, sends, frames)
            batch.count = min(contact.begin_passing(), max(1, PASSED_AT_ONCE_MAX // len(due)))
            batch.size_bytes = PASSED_BYTES_AT_ONCE_MAX // len(due)
            contact.own_at = batch.take(self._own, contact.own_at)
            if contact.reads_foreign:
                contact.foreign_at = batch.take(self._foreign, contact.foreign_at)
        return sends

    def on_unsent(self, contact: Contact, key: bytes) -> None:
        """Note that a tuple has not left: it is due again, and what has changed after it."""
        contact.on_unsent()
        own, foreign = self._own.get(key), self._foreign.get(key)
        if own is not None:
            contact.own_at = min(contact.own_at, own.at - 1)
        elif foreign is not None:
            contact.foreign_at = min(contact.foreign_at, foreign.at - 1)


class _Batch:
    """What one contact is sent at once.

    Attributes:
        count: how many more tuples it is sent.
        size_bytes: how many more bytes; the last one may be longer.
    """

    __slots__ = ("_contact", "_frames", "_sends", "count", "size_bytes")

    def __init__(self, contact: Contact, sends: list[Send], frames: dict[bytes, bytes]) -> None:
        self._contact = contact
        self._sends = sends
        self._frames = frames
        self.count = 0
        self.size_bytes = 0

    def take(self, log: Log, at: int) -> int:
        """Take from a log what has changed after the change `at`; return up to which change that is."""
        for each in log.after(at):
            if each.source is not self._contact.peer:
                if self.count <= 0 or self.size_bytes <= 0:
                    return at
                self._send(each)
            at = each.at
        return log.newest

    def _send(self, each: Tuple) -> None:
        frame = self._frames.get(each.key)
        if frame is None:
            frame = self._frames[each.key] = wire.publish(each.key, each.value)
        self._sends.append(Send(self._contact.peer, (frame,)))
        self.count -= 1
        self.size_bytes -= len(frame)
