"""What a worker remembers of the requests it has run, so that a second copy is answered and not run."""

from collections import deque
from struct import Struct
from typing import Final

from braidmq.errors import ProtocolError
from braidmq.settings import Settings
from braidmq.wire.envelope import Envelope
from braidmq.wire.extension import Field, field_of, metadata_of

Key = bytes
"""What tells one request from any other: see `Keys`."""

PREFIXES_MAX: Final = 1_000
"""Services whose prefixes are kept: more than a node provides, and somebody may ask for any."""

_INT64: Final = Struct("!q")
_NOTHING: Final = bytes(4)

_ENTRY_BYTES: Final = 200
"""What an entry costs beside its reply, roughly."""


class Keys:
    """Makes the keys of requests: of who asks, the id, and what is asked.

    Who asks is the broker's word, and so is what. A broker that hands a worker somebody's id with a payload of its own
    must not put its answer into the memory in the place of the true one. So what is asked is part of the key: a lie
    costs a second run, and is never an answer. It enters as Python's hash of the bytes, SipHash, which costs a fifth of
    a cryptographic one. That is secret where the interpreter's own key is; a salt makes it so where PYTHONHASHSEED has
    fixed that one.

    Args:
        salt: random bytes that nobody else knows.
    """

    __slots__ = ("_prefixes", "_salt")

    def __init__(self, salt: bytes) -> None:
        self._salt = salt
        self._prefixes: dict[bytes, bytes] = {}

    def key_of(self, request: Envelope) -> Key:
        """Return the key of a request. Copies of it have the same: what further attempts add to it does not count."""
        prefix = self._prefixes.get(request.service)
        if prefix is None:
            prefix = self._prefix_of(request.service)
        asked = hash(prefix + (_asked_for(request.extension) if request.extension else _NOTHING) + request.payload)
        return request.sender + request.id + _INT64.pack(asked)

    def _prefix_of(self, service: bytes) -> bytes:
        if len(self._prefixes) >= PREFIXES_MAX:
            self._prefixes.clear()
        prefix = self._prefixes[service] = self._salt + len(service).to_bytes(1) + service
        return prefix


def _asked_for(extension: bytes) -> bytes:
    """Return what the caller has put into an extension block: its metadata, and the key for which it wants a proof.

    A malformed block counts as a whole.
    """
    try:
        metadata, proof = metadata_of(extension), field_of(extension, Field.PROOF) or b""
    except ProtocolError:
        metadata, proof = extension, b""
    sizes = len(metadata) << 16 | len(proof)  # so that what is one part's cannot be taken for another's
    return sizes.to_bytes(4) + metadata + proof


class ReplyCache:
    """Finished requests with their replies, bounded in time, count and bytes; the oldest go first.

    When the bytes run out, replies are dropped before the memory that the request was run. It holds nothing but bytes
    and numbers, which costs Python's garbage collector nothing.
    """

    __slots__ = ("_bytes", "_bytes_max", "_entries", "_entries_max", "_keys", "_replied", "_times", "_window_s")

    def __init__(self, settings: Settings) -> None:
        self._window_s = settings.dedup_s
        self._entries_max = settings.dedup_entries_max
        self._bytes_max = settings.dedup_bytes_max
        self._entries: dict[Key, bytes | None] = {}
        self._keys: deque[Key] = deque()
        self._times: deque[float] = deque()
        self._replied: deque[Key] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """Bytes of the replies that are kept."""
        return self._bytes

    def __contains__(self, key: Key) -> bool:
        return key in self._entries

    def get(self, key: Key) -> bytes | None:
        """Return the reply to the request `key`; None if it was never run here or its reply is gone."""
        return self._entries.get(key)

    def put(self, key: Key, reply: bytes | None, now: float) -> None:
        """Remember that `key`, which is new here, was run and answered with `reply`; None if it was stopped."""
        self._entries[key] = reply
        self._keys.append(key)
        self._times.append(now)
        if reply is not None:
            self._replied.append(key)
            self._bytes += len(reply) + _ENTRY_BYTES
        while self._bytes > self._bytes_max:
            oldest = self._replied.popleft()
            dropped, self._entries[oldest] = self._entries[oldest], None
            assert dropped is not None
            self._bytes -= len(dropped) + _ENTRY_BYTES
        while len(self._entries) > self._entries_max:
            self._forget_oldest()
        self.expire(now)

    def expire(self, now: float) -> None:
        """Forget what is older than the window."""
        horizon = now - self._window_s
        times = self._times
        while times and times[0] < horizon:
            self._forget_oldest()

    def validate_state(self) -> None:
        """Assert what must hold between two inputs."""
        assert len(self._entries) <= self._entries_max
        assert list(self._entries) == list(self._keys)
        replies = {key: reply for key, reply in self._entries.items() if reply is not None}
        assert list(replies) == list(self._replied)
        assert self._bytes == sum(len(reply) + _ENTRY_BYTES for reply in replies.values()) <= self._bytes_max
        assert len(self._times) == len(self._keys)
        assert list(self._times) == sorted(self._times)

    def _forget_oldest(self) -> None:
        self._times.popleft()
        dropped = self._entries.pop(self._keys.popleft())
        if dropped is not None:
            self._replied.popleft()
            self._bytes -= len(dropped) + _ENTRY_BYTES
