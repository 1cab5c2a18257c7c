"""A queue in which many or large things of one owner do not keep the few and small of another one waiting.

Source: Shreedhar and Varghese, "Efficient Fair Queuing using Deficit Round Robin", 1995; a turn is its quantum.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T", bound=Hashable)


class _Line(Generic[T]):
    """What one owner has in the queue.

    Attributes:
        items: the turns that each of them costs, the oldest first.
        turns: the sum of these.
        saved: turns that its owner has let pass, for the sake of an item that costs several.
    """

    __slots__ = ("items", "saved", "turns")

    def __init__(self) -> None:
        self.items: OrderedDict[T, int] = OrderedDict()
        self.turns = 0
        self.saved = 0


class FairQueue(Generic[K, T]):
    """Items that wait, each for an owner. The owners have their turns one after the other; of each the oldest is first.

    An item costs one turn, or several: then its owner lets so many pass but one before it is taken. Adding, removing
    and taking are O(1), where an item counts as many times as it costs turns.

    Attributes:
        count: how many items wait.
    """

    __slots__ = ("_lines", "count")

    def __init__(self) -> None:
        self._lines: OrderedDict[K, _Line[T]] = OrderedDict()
        self.count = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[T]:
        for line in self._lines.values():
            yield from line.items

    def holds(self, owner: K) -> bool:
        """Whether an owner has something here."""
        return owner in self._lines

    def held(self, owner: K) -> int:
        """Return how many items an owner has here."""
        line = self._lines.get(owner)
        return 0 if line is None else len(line.items)

    def owners(self) -> Iterator[K]:
        """Yield those who have something here, whose turn is next first."""
        return iter(self._lines)

    def add(self, owner: K, item: T, turns: int = 1) -> None:
        """Let an item wait that costs so many turns, as the last of its owner."""
        line = self._lines.get(owner)
        if line is None:
            line = self._lines[owner] = _Line()
        line.items[item] = turns
        line.turns += turns
        self.count += 1

    def put_back(self, owner: K, item: T) -> None:
        """Let an item that was taken be the next one: its turns have passed."""
        self.add(owner, item)
        self._lines[owner].items.move_to_end(item, last=False)
        self._lines.move_to_end(owner, last=False)

    def remove(self, owner: K, item: T) -> None:
        """Let an item wait no longer; it is here."""
        line = self._lines[owner]
        line.turns -= line.items.pop(item)
        if not line.items:
            del self._lines[owner]
        self.count -= 1

    def first(self) -> T | None:
        """Return the item whose turn it is, or None. Owners whose oldest item costs more than they have saved save."""
        lines = self._lines
        while lines:
            owner = next(iter(lines))
            line = lines[owner]
            item = next(iter(line.items))
            if line.items[item] <= line.saved + 1 or len(lines) == 1:
                return item
            line.saved += 1
            lines.move_to_end(owner)
        return None

    def first_of(self, owner: K) -> T:
        """Return the oldest item of an owner who has some."""
        return next(iter(self._lines[owner].items))

    def take(self, owner: K, item: T) -> None:
        """Remove an item because it has had its turn: the other owners come first now."""
        self.remove(owner, item)
        line = self._lines.get(owner)
        if line is not None:
            line.saved = 0
            self._lines.move_to_end(owner)

    def ahead(self, owner: K, turns: int = 1) -> int:
        """Return how many items would be taken before one that `owner` adds now; an upper bound."""
        line = self._lines.get(owner)
        if line is None:
            return min(self.count, len(self._lines) * turns)
        return min(self.count, len(line.items) + (len(self._lines) - 1) * (line.turns + turns))

    def validate_state(self) -> None:
        """Assert what must hold between two inputs."""
        assert self.count == sum(len(line.items) for line in self._lines.values())
        for line in self._lines.values():
            assert line.items
            assert line.turns == sum(line.items.values())
            assert all(turns >= 1 for turns in line.items.values())
            assert line.saved >= 0
