"""Mail for addresses that nobody has opened, and for programs that do not read. It does not outlive the bridge."""

from collections import OrderedDict, deque

import msgspec

from braidmq.bridges.malamute import wire
from braidmq.bridges.malamute.limits import (
    MAIL_BYTES_MAX,
    MAIL_BYTES_PER_ADDRESS_MAX,
    MAIL_PER_ADDRESS_MAX,
    MAIL_S_MAX,
)
from braidmq.bridges.port import Peer


class Letter(msgspec.Struct, eq=False):
    """One message for a mailbox.

    Attributes:
        message: the MAILBOX-DELIVER that it becomes.
        by: whose limits count it; None: no program's, as it is an answer.
        until: when it is dropped.
    """

    message: wire.Message
    by: Peer | None = None
    until: float = 0.0


class _Heap(msgspec.Struct, eq=False):
    """What one address or one sender has: letters, and their bytes."""

    count: int = 0
    size: int = 0

    def takes(self, size: int) -> bool:
        return self.count < MAIL_PER_ADDRESS_MAX and self.size + size <= MAIL_BYTES_PER_ADDRESS_MAX


class Mailboxes:
    """Letters by address.

    Args:
        counters: see BridgeCore; `mail_kept`, `mail_dropped` and `mail_expired` are counted here.
    """

    def __init__(self, counters: dict[str, int]) -> None:
        self._counters = counters
        self._by_address: dict[bytes, deque[Letter]] = {}
        self._heaps: dict[bytes | Peer, _Heap] = {}
        self._by_age: OrderedDict[Letter, None] = OrderedDict()
        self._size = 0

    def __contains__(self, address: bytes) -> bool:
        return address in self._by_address

    def keep(self, letter: Letter, now: float) -> None:
        """Keep a letter, if there is room."""
        size = letter.message.size
        heaps = self._heaps_of(letter)
        if self._size + size > MAIL_BYTES_MAX or not all(heap.takes(size) for heap in heaps):
            self._counters["mail_dropped"] += 1
            self._drop_empty(letter)
            return
        self._counters["mail_kept"] += 1
        letter.until = now + MAIL_S_MAX
        self._by_address.setdefault(letter.message.address, deque()).append(letter)
        self._by_age[letter] = None
        self._size += size
        for heap in heaps:
            heap.count += 1
            heap.size += size

    def take(self, address: bytes) -> list[Letter]:
        """Return the letters of an address, in order, and keep them no longer."""
        letters = list(self._by_address.get(address, ()))
        for letter in letters:
            self._remove(letter)
        return letters

    def drop_old(self, now: float) -> None:
        """Drop what was kept for too long."""
        while self._by_age:
            letter = next(iter(self._by_age))
            if letter.until > now:
                return
            self._counters["mail_expired"] += 1
            self._remove(letter)

    def next_deadline(self) -> float | None:
        """Return when `drop_old` has something to do."""
        return next(iter(self._by_age)).until if self._by_age else None

    def _remove(self, letter: Letter) -> None:
        """Keep one no longer that is the oldest of its address."""
        letters = self._by_address[letter.message.address]
        first = letters.popleft()
        assert first is letter
        if not letters:
            del self._by_address[letter.message.address]
        del self._by_age[letter]
        size = letter.message.size
        self._size -= size
        for heap in self._heaps_of(letter):
            heap.count -= 1
            heap.size -= size
        self._drop_empty(letter)

    def _heaps_of(self, letter: Letter) -> list[_Heap]:
        owners: list[bytes | Peer] = (
            [letter.message.address] if letter.by is None else [letter.message.address, letter.by]
        )
        return [self._heaps.setdefault(owner, _Heap()) for owner in owners]

    def _drop_empty(self, letter: Letter) -> None:
        for owner in (letter.message.address, letter.by):
            if owner is not None and owner in self._heaps and not self._heaps[owner].count:
                del self._heaps[owner]

    def validate_state(self) -> None:
        """Assert that the books are right. For tests."""
        letters = [letter for each in self._by_address.values() for letter in each]
        assert self._size == sum(letter.message.size for letter in letters) <= MAIL_BYTES_MAX
        assert all(self._by_address.values())
        assert set(self._by_age) == set(letters)
        owners = {letter.message.address for letter in letters} | {
            letter.by for letter in letters if letter.by is not None
        }
        assert set(self._heaps) == owners
        assert all(heap.count <= MAIL_PER_ADDRESS_MAX for heap in self._heaps.values())
