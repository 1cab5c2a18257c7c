"""A queue in which many things of one owner do not keep the few of another one waiting."""

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T", bound=Hashable)


class FairQueue(Generic[K, T]):
    """Items that wait, each for an owner. The owners have their turns one after the other; of each the oldest is first.

    Adding, removing and taking are O(1).

    Attributes:
        count: how many items wait.
    """

    __slots__ = ("_turns", "count")

    def __init__(self) -> None:
        self._turns: OrderedDict[K, OrderedDict[T, None]] = OrderedDict()
        self.count = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[T]:
        for items in self._turns.values():
            yield from items

    def holds(self, owner: K) -> bool:
        """Whether an owner has something here."""
        return owner in self._turns

    def owners(self) -> Iterator[K]:
        """Yield those who have something here, whose turn is next first."""
        return iter(self._turns)

    def add(self, owner: K, item: T) -> None:
        """Let an item wait, as the last of its owner."""
        items = self._turns.get(owner)
        if items is None:
            items = self._turns[owner] = OrderedDict()
        items[item] = None
        self.count += 1

    def put_back(self, owner: K, item: T) -> None:
        """Let an item that was taken be the next one."""
        self.add(owner, item)
        self._turns[owner].move_to_end(item, last=False)
        self._turns.move_to_end(owner, last=False)

    def remove(self, owner: K, item: T) -> None:
        """Let an item wait no longer; it is here."""
        items = self._turns[owner]
        del items[item]
        if not items:
            del self._turns[owner]
        self.count -= 1

    def first(self) -> T | None:
        """Return the item whose turn it is, or None."""
        for items in self._turns.values():
            return next(iter(items))
        return None

    def first_of(self, owner: K) -> T:
        """Return the oldest item of an owner who has some."""
        return next(iter(self._turns[owner]))

    def take(self, owner: K, item: T) -> None:
        """Remove an item because it has had its turn: the other owners come first now."""
        self.remove(owner, item)
        if owner in self._turns:
            self._turns.move_to_end(owner)

    def ahead(self, owner: K) -> int:
        """Return how many items would be taken before one that `owner` adds now; an upper bound."""
        mine = len(self._turns.get(owner, ()))
        others = len(self._turns) - (1 if mine else 0)
        return min(self.count, mine + others * (mine + 1))

    def validate_state(self) -> None:
        """Assert what must hold between two inputs."""
        assert self.count == sum(map(len, self._turns.values()))
        assert all(self._turns.values())
