"""What the gateway remembers of requests with an Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07)."""

from collections import OrderedDict
from enum import Enum
from typing import Final

from braidmq.bridges.http.core import problems
from braidmq.bridges.http.core.limits import (
    IDEMPOTENCY_BYTES_MAX,
    IDEMPOTENCY_ENTRIES_MAX,
    IDEMPOTENCY_ENTRY_BYTES,
    IDEMPOTENCY_S,
)
from braidmq.bridges.http.core.messages import Answer
from braidmq.bridges.http.core.problems import Refused

_REPLAYED: Final = (b"idempotency-replayed", b"?1")


class State(Enum):
    """What is known of a request with a key."""

    RUNNING = "running"
    DONE = "done"
    """It has been answered."""
    UNKNOWN = "unknown"
    """It may have been run."""


class Entry:
    """One request with a key.

    Attributes:
        caller: the name of who sent it.
        digest: of its payload.
        state: what is known of it.
        repeated: whether an earlier one may have been run.
        answer: what it was answered, if it is done.
        expires_at: when it is forgotten; means nothing while it runs.
        weight_bytes: what it counts.
    """

    __slots__ = (
        "answer",
        "caller",
        "digest",
        "expires_at",
        "key",
        "repeated",
        "state",
        "weight_bytes",
    )

    def __init__(self, key: tuple[str, str, str], digest: bytes) -> None:
        self.key = key
        self.caller = key[0]
        self.digest = digest
        self.state = State.RUNNING
        self.repeated = False
        self.answer: Answer | None = None
        self.expires_at = 0.0
        self.weight_bytes = IDEMPOTENCY_ENTRY_BYTES


class _Shelf:
    """What one caller has in memory, without what runs; the oldest first."""

    __slots__ = ("entries", "weight_bytes")

    def __init__(self) -> None:
        self.entries: OrderedDict[tuple[str, str, str], Entry] = OrderedDict()
        self.weight_bytes = 0


class Memory:
    """The requests with a key, for (caller, service, key). When it is full, whoever has the most loses its oldest."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str, str], Entry] = {}
        self._ended: OrderedDict[tuple[str, str, str], Entry] = OrderedDict()
        self._shelves: dict[str, _Shelf] = {}
        self._weight_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def weight_bytes(self) -> int:
        """What all that has ended counts."""
        return self._weight_bytes

    def begin(self, caller: str, service: str, key: str, digest: bytes, now: float) -> Entry | Answer:
        """Take in a request; return its entry if it is to be called, or the answer that an earlier one has had.

        The entry is to be ended by one of `done`, `unknown` and `forget`.

        Raises:
            Refused: an earlier one is under way, or had another payload.
        """
        self._forget_old(now)
        name = (caller, service, key)
        entry = self._entries.get(name)
        if entry is None:
            entry = self._entries[name] = Entry(name, digest)
            return entry
        if entry.digest != digest:
            raise Refused(problems.KEY_REUSED, "this key was sent with another payload; use a new one", service=service)
        if entry.state is State.RUNNING:
            raise Refused(
                problems.KEY_IN_USE, "wait for the first request with this key", service=service, maybe_executed=True
            )
        if entry.answer is not None:
            answer = entry.answer
            return Answer(answer.status, answer.body, answer.content_type, (*answer.fields, _REPLAYED))
        self._take_off(entry)
        entry.state = State.RUNNING
        entry.repeated = True
        return entry

    def done(self, entry: Entry, answer: Answer, now: float) -> None:
        """Keep the answer: who repeats the request gets it again."""
        entry.answer = answer
        entry.weight_bytes = IDEMPOTENCY_ENTRY_BYTES + len(answer.body)
        self._put_up(entry, State.DONE, now)

    def unknown(self, entry: Entry, now: float) -> None:
        """Keep in mind that it may have been run: who repeats it is called again, flagged as a possible duplicate."""
        self._put_up(entry, State.UNKNOWN, now)

    def forget(self, entry: Entry, now: float) -> None:
        """Take it that this attempt was not run. What an earlier one may have done is not forgotten."""
        if entry.repeated:
            self._put_up(entry, State.UNKNOWN, now)
        else:
            del self._entries[entry.key]

    def _put_up(self, entry: Entry, state: State, now: float) -> None:
        entry.state = state
        entry.expires_at = now + IDEMPOTENCY_S
        shelf = self._shelves.setdefault(entry.caller, _Shelf())
        shelf.entries[entry.key] = self._ended[entry.key] = entry
        shelf.weight_bytes += entry.weight_bytes
        self._weight_bytes += entry.weight_bytes
        while self._weight_bytes > IDEMPOTENCY_BYTES_MAX or len(self._ended) > IDEMPOTENCY_ENTRIES_MAX:
            by_bytes = self._weight_bytes > IDEMPOTENCY_BYTES_MAX
            fullest = max(self._shelves.values(), key=_weight if by_bytes else _count)
            self._drop(next(iter(fullest.entries.values())))

    def _take_off(self, entry: Entry) -> None:
        del self._ended[entry.key]
        shelf = self._shelves[entry.caller]
        del shelf.entries[entry.key]
        shelf.weight_bytes -= entry.weight_bytes
        self._weight_bytes -= entry.weight_bytes
        if not shelf.entries:
            del self._shelves[entry.caller]

    def _drop(self, entry: Entry) -> None:
        self._take_off(entry)
        del self._entries[entry.key]

    def _forget_old(self, now: float) -> None:
        while self._ended:
            oldest = next(iter(self._ended.values()))
            if oldest.expires_at > now:
                return
            self._drop(oldest)


def _weight(shelf: _Shelf) -> int:
    return shelf.weight_bytes


def _count(shelf: _Shelf) -> int:
    return len(shelf.entries)
