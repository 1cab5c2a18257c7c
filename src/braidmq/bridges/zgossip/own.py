"""What a bridge publishes itself. Nobody else can change it: what others write there is written over."""

from collections import Counter
from collections.abc import Mapping
from itertools import islice

from braidmq.bridges.zgossip.keys import Keys
from braidmq.bridges.zgossip.limits import DISPUTE_S, GIVEN_MAX, GIVEN_PER_MEMBER_MAX, GONE_MAX, OWN_TUPLES_MAX
from braidmq.bridges.zgossip.log import Log


class Own:
    """The bridge's own tuples.

    Args:
        keys: the bridge's.
        counters: count `disputes`.

    Attributes:
        log: the tuples; nobody else changes it.
        due_at: when `repeat` is due, if it is.
        left_out: how many tuples are not published, for want of room.
    """

    def __init__(self, keys: Keys, counters: dict[str, int]) -> None:
        self.log = Log()
        self.due_at: float | None = None
        self.left_out = 0
        self._counters = counters
        self._keys = keys
        self._gone: dict[bytes, None] = {}
        self._given: dict[bytes, str] = {}
        self._given_by: Counter[str] = Counter()
        self._disputed: dict[bytes, None] = {}
        self._repeated_at = -DISPUTE_S

    def holds(self, key: bytes) -> bool:
        """Whether a key is the bridge's own matter, published or not."""
        return self._keys.is_own(key) or self.log.get(key) is not None

    def tell(self, facts: Mapping[bytes, bytes]) -> None:
        """Publish what is so now, with values that are not empty; what was so and is not among them is gone."""
        stand = dict(islice(facts.items(), OWN_TUPLES_MAX))
        self.left_out = len(facts) - len(stand)
        for each in self.log.all():
            if each.value and each.key not in stand and each.key not in self._given:
                self._bury(each.key)
        for key, value in stand.items():
            found = self.log.get(key)
            if found is None or found.value != value:
                self._gone.pop(key, None)
                self.log.put(key, value, None)

    def give(self, key: bytes, value: bytes, member: str) -> bool:
        """Publish what a member asks for; return whether there is room. An empty value says that the key is gone.

        A key counts for the member that has published it last.
        """
        if not value:
            self._take_back(key)
            self._bury(key)
            return True
        giver = self._given.get(key)
        if giver != member and self._given_by[member] >= GIVEN_PER_MEMBER_MAX:
            return False
        if giver is None and len(self._given) >= GIVEN_MAX:
            return False
        self._take_back(key)
        self._given[key] = member
        self._given_by[member] += 1
        self._gone.pop(key, None)
        self.log.put(key, value, None)
        return True

    def _take_back(self, key: bytes) -> None:
        """Let nobody have published a key."""
        giver = self._given.pop(key, None)
        if giver is not None:
            self._given_by[giver] -= 1
            if not self._given_by[giver]:
                del self._given_by[giver]

    def differs(self, key: bytes, value: bytes) -> bool:
        """Whether what somebody says of a key that this bridge `holds` is not what it says itself."""
        found = self.log.get(key)
        return bool(value) if found is None else found.value != value

    def on_heard(self, key: bytes, now: float) -> None:
        """Note that what somebody says of a key `differs`."""
        if self.log.get(key) is None:  # it is from an earlier life of this bridge, or made up
            self._bury(key)
            return
        self._counters["disputes"] += 1
        self._disputed[key] = None
        if self.due_at is None:
            self.due_at = max(now, self._repeated_at + DISPUTE_S)

    def repeat(self, now: float) -> None:
        """Say again what others have written over, as that is due."""
        for key in self._disputed:
            found = self.log.get(key)
            assert found is not None
            self.log.put(key, found.value, None)
        self._disputed.clear()
        self._repeated_at, self.due_at = now, None

    def _bury(self, key: bytes) -> None:
        """Say that a key is gone."""
        self.log.put(key, b"", None)
        self._gone[key] = None
        if len(self._gone) > GONE_MAX:
            oldest = next(iter(self._gone))
            del self._gone[oldest]
            self._disputed.pop(oldest, None)
            self.log.remove(oldest)

    def validate_state(self) -> None:
        """Assert what must hold between two inputs."""
        self.log.validate_state()
        assert len(self._gone) <= GONE_MAX
        assert len(self._given) <= GIVEN_MAX
        assert Counter(self._given.values()) == self._given_by
        assert all(0 < count <= GIVEN_PER_MEMBER_MAX for count in self._given_by.values())
        assert len(self.log) <= OWN_TUPLES_MAX + GONE_MAX + GIVEN_MAX
        assert {each.key for each in self.log.all() if not each.value} == set(self._gone)
        assert self._given.keys() <= {each.key for each in self.log.all() if each.value}
        assert self._disputed.keys() <= {each.key for each in self.log.all()}
        assert self.due_at is not None or not self._disputed
