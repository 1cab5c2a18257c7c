"""What a worker remembers of the requests it has run, so that a second copy is answered and not run."""

from collections import OrderedDict
from typing import Final

from braidmq.settings import Settings
from braidmq.wire.envelope import Envelope

Key = tuple[bytes, bytes]
"""The client's name and the request's id. The name is stamped by the broker: no client can hit another's key."""

_ENTRY_BYTES: Final = 200
"""What an entry costs beside its payload, roughly."""


class ReplyCache:
    """Finished requests with their replies, bounded in time, count and bytes; the oldest go first.

    When the bytes run out, replies are dropped before the memory that the request was run.
    """

    __slots__ = ("_bytes", "_bytes_max", "_entries", "_entries_max", "_replies", "_window_s")

    def __init__(self, settings: Settings) -> None:
        self._window_s = settings.dedup_s
        self._entries_max = settings.dedup_entries_max
        self._bytes_max = settings.dedup_bytes_max
        self._entries: OrderedDict[Key, float] = OrderedDict()
        self._replies: OrderedDict[Key, Envelope] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def bytes(self) -> int:
        """Bytes of the replies that are kept."""
        return self._bytes

    def __contains__(self, key: Key) -> bool:
        return key in self._entries

    def get(self, key: Key) -> Envelope | None:
        """Return the reply to the request `key`; None if it was never run here or its reply is gone."""
        return self._replies.get(key)

    def put(self, key: Key, reply: Envelope | None, now: float) -> None:
        """Remember that `key`, which is new here, was run and answered with `reply`; None if it was stopped."""
        self._entries[key] = now
        if reply is not None:
            self._replies[key] = reply
            self._bytes += len(reply.payload) + _ENTRY_BYTES
        while self._bytes > self._bytes_max:
            _, dropped = self._replies.popitem(last=False)
            self._bytes -= len(dropped.payload) + _ENTRY_BYTES
        while len(self._entries) > self._entries_max:
            self._forget_oldest()
        self.expire(now)

    def expire(self, now: float) -> None:
        """Forget what is older than the window."""
        horizon = now - self._window_s
        while self._entries and next(iter(self._entries.values())) < horizon:
            self._forget_oldest()

    def validate_state(self) -> None:
        """Assert what must hold between two inputs."""
        assert len(self._replies) <= len(self._entries) <= self._entries_max
        assert self._replies.keys() <= self._entries.keys()
        assert self._bytes == sum(len(reply.payload) + _ENTRY_BYTES for reply in self._replies.values())
        assert self._bytes <= self._bytes_max
        times = list(self._entries.values())
        assert times == sorted(times)

    def _forget_oldest(self) -> None:
        key, _ = self._entries.popitem(last=False)
        dropped = self._replies.pop(key, None)
        if dropped is not None:
            self._bytes -= len(dropped.payload) + _ENTRY_BYTES
