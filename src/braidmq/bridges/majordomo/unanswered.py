"""Requests of clients that were not answered: a client that sends one again, over another connection, may mean a copy.

Majordomo's requests have no id, so nothing is known for certain: copies are marked, not joined.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

COPY_S_MAX: Final = 30.0
"""How long after an unanswered request an equal one of the same host counts as its copy: clients send copies
at once, and their users within a while."""

UNANSWERED_MAX: Final = 10_000
"""Unanswered requests that are remembered; the oldest are forgotten first. Each takes some 200 bytes."""

_DIGEST_BYTES: Final = 16

_Key = tuple[str, bytes]


class Unanswered:
    """The unanswered requests of the last COPY_S_MAX, as digests."""

    def __init__(self) -> None:
        self._until: dict[_Key, float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def note(self, host: str, service: bytes, body: Sequence[bytes], now: float) -> None:
        """Remember a request that is not answered any more, and may have been run."""
        key = _key(host, service, body)
        self._until.pop(key, None)
        self._until[key] = now + COPY_S_MAX
        if len(self._until) > UNANSWERED_MAX:
            del self._until[next(iter(self._until))]

    def has(self, host: str, service: bytes, body: Sequence[bytes], now: float) -> bool:
        """Whether an equal request of that host went unanswered a short time ago."""
        while self._until:
            oldest = next(iter(self._until))
            if self._until[oldest] > now:
                return _key(host, service, body) in self._until
            del self._until[oldest]
        return False


def _key(host: str, service: bytes, body: Sequence[bytes]) -> _Key:
    digest = blake2b(digest_size=_DIGEST_BYTES)
    for frame in (service, *body):
        digest.update(len(frame).to_bytes(8))
        digest.update(frame)
    return host, digest.digest()
