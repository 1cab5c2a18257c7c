"""Tuples in the order of their last change, each with its newest value only: whoever reads along needs one number."""

from bisect import bisect_right
from collections.abc import Iterator
from operator import itemgetter
from typing import Final

import msgspec

from braidmq.bridges.port import Peer

SLACK: Final = 64
"""Places that may be left over besides those in use before the order is written anew: small logs are not worth it."""


class Tuple(msgspec.Struct, eq=False):
    """A key and its value.

    Attributes:
        key: what it is called.
        value: its newest value; empty: it is gone.
        at: the number of its last change.
        source: who has said this value; None: nobody who is still there, or this bridge itself.
        changed_at: when it last got another value.
        flips: how often it has changed since `flips_since`.
        muted_until: it is not listened to before.
    """

    key: bytes
    value: bytes
    at: int = 0
    source: Peer | None = None
    changed_at: float = 0.0
    flips: int = 0
    flips_since: float = 0.0
    muted_until: float = 0.0


class Log:
    """Tuples, and the order in which they have changed.

    Attributes:
        newest: the number of the last change; 0 if there was none.
    """

    def __init__(self) -> None:
        self._by_key: dict[bytes, Tuple] = {}
        self._order: list[tuple[int, Tuple]] = []
        self.newest = 0

    def __len__(self) -> int:
        """How many keys there are."""
        return len(self._by_key)

    def get(self, key: bytes) -> Tuple | None:
        """Return what is known of a key."""
        return self._by_key.get(key)

    def all(self) -> list[Tuple]:
        """Return all tuples, those first that came first."""
        return list(self._by_key.values())

    def put(self, key: bytes, value: bytes, source: Peer | None) -> Tuple:
        """Change a tuple, or say it again: it is the newest one now."""
        found = self._by_key.get(key)
        if found is None:
            found = self._by_key[key] = Tuple(key, value)
        self.newest += 1
        found.value, found.source, found.at = value, source, self.newest
        self._order.append((self.newest, found))
        self._tidy()
        return found

    def remove(self, key: bytes) -> None:
        """Forget a key that is there."""
        self._by_key.pop(key).at = 0
        self._tidy()

    def _tidy(self) -> None:
        """Write the order anew when most of it is of no use any more."""
        if len(self._order) > 2 * len(self._by_key) + SLACK:
            self._order = [(at, each) for at, each in self._order if each.at == at]

    def after(self, at: int) -> Iterator[Tuple]:
        """Return the tuples that have changed after the change `at`, in that order."""
        order = self._order
        for place in range(bisect_right(order, at, key=itemgetter(0)), len(order)):
            number, each = order[place]
            if each.at == number:
                yield each

    def validate_state(self) -> None:
        """Assert what must hold between two inputs."""
        numbers = [at for at, _ in self._order]
        assert numbers == sorted(numbers)
        assert [each for at, each in self._order if each.at == at] == sorted(
            self._by_key.values(), key=lambda each: each.at
        )
        assert len(self._order) <= 2 * len(self._by_key) + SLACK
        assert all(key == each.key and 0 < each.at <= self.newest for key, each in self._by_key.items())
