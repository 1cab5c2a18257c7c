"""What foreign nodes say: tuples that are kept as far as there is room. Whoever fills the most of it loses some."""

from braidmq.bridges.port import Peer
from braidmq.bridges.zgossip.limits import CROSSING_S, FLIPS_PER_S_MAX, MUTE_S, TUPLE_BYTES_MAX, TUPLES_MAX
from braidmq.bridges.zgossip.log import Log, Tuple


class _Share:
    """The part of the tuples whose newest value comes from one connection."""

    __slots__ = ("keys", "size_bytes")

    def __init__(self) -> None:
        self.keys: dict[bytes, None] = {}
        self.size_bytes = 0

    @property
    def weight(self) -> float:
        """Which part of the whole room it takes, by what it takes more of."""
        return max(len(self.keys) / TUPLES_MAX, self.size_bytes / TUPLE_BYTES_MAX)


class Hearsay:
    """Foreign tuples, within TUPLES_MAX and TUPLE_BYTES_MAX.

    Args:
        counters: count what is `evicted` and `settled`.

    Attributes:
        log: the tuples; nobody else changes it.
        size_bytes: how long their keys and values are.
    """

    def __init__(self, counters: dict[str, int]) -> None:
        self.log = Log()
        self.size_bytes = 0
        self._counters = counters
        self._shares: dict[Peer | None, _Share] = {}

    def hears(self, key: bytes, value: bytes, now: float) -> bool:
        """Whether this would be news: another value than the newest, of a key that is listened to."""
        found = self.log.get(key)
        return found is None or (found.value != value and found.muted_until <= now)

    def hear(self, key: bytes, value: bytes, source: Peer | None, now: float) -> None:
        """Take news of a peer, or None for what this bridge knows better.

        Of two values that may have crossed, and of a key that has changed too often, the one that is higher as bytes
        stands, and everybody hears it. To the latter nobody is listened for a while.
        """
        found = self.log.get(key)
        if found is None:
            self._put(key, value, source).changed_at = now
            return
        if now - found.flips_since >= 1.0:
            found.flips, found.flips_since = 0, now
        found.flips += 1
        often = found.flips > FLIPS_PER_S_MAX
        if often:
            self._counters["settled"] += 1
            found.muted_until = now + MUTE_S
        if often or (source not in (None, found.source) and now - found.changed_at < CROSSING_S):
            value, source = max(value, found.value), None
        if value != found.value:
            found.changed_at = now
        self._put(key, value, source)

    def on_gone(self, peer: Peer) -> None:
        """Note that nobody is left who stands for what a connection has said; it stays known."""
        share = self._shares.pop(peer, None)
        if share is not None:
            for key in share.keys:
                found = self.log.get(key)
                assert found is not None
                found.source = None
            rest = self._shares.setdefault(None, _Share())
            rest.keys.update(share.keys)
            rest.size_bytes += share.size_bytes

    def remove(self, key: bytes) -> None:
        """Forget a key, if it is known."""
        found = self.log.get(key)
        if found is not None:
            self._leave(found)
            self.log.remove(key)

    def _put(self, key: bytes, value: bytes, source: Peer | None) -> Tuple:
        found = self.log.get(key)
        if found is not None:
            self._leave(found)
        share = self._shares.setdefault(source, _Share())
        share.keys[key] = None
        share.size_bytes += len(key) + len(value)
        self.size_bytes += len(key) + len(value)
        put = self.log.put(key, value, source)
        while len(self.log) > TUPLES_MAX or self.size_bytes > TUPLE_BYTES_MAX:
            largest = max(self._shares.values(), key=lambda each: each.weight)
            self._counters["evicted"] += 1
            self.remove(next(iter(largest.keys)))
        return put

    def _leave(self, found: Tuple) -> None:
        """Take a tuple out of the share in which it counts."""
        share, size = self._shares[found.source], len(found.key) + len(found.value)
        del share.keys[found.key]
        share.size_bytes -= size
        self.size_bytes -= size
        if not share.keys:
            del self._shares[found.source]

    def validate_state(self) -> None:
        """Assert what must hold between two inputs."""
        self.log.validate_state()
        tuples = self.log.all()
        assert len(tuples) <= TUPLES_MAX
        assert self.size_bytes == sum(len(each.key) + len(each.value) for each in tuples) <= TUPLE_BYTES_MAX
        assert {key: source for source, share in self._shares.items() for key in share.keys} == {
            each.key: each.source for each in tuples
        }
        assert self.size_bytes == sum(share.size_bytes for share in self._shares.values())
        assert all(share.keys for share in self._shares.values())
