"""Whose call is next: foreign peers share the places that a node has for calls, whoever of them asks for most.

A node knows one caller: its bridge. So which of the peers behind it have a call on its way is decided here, for each
service of each member by itself: one that hangs keeps no other from going on.
"""

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from braidmq.core.fair_queue import FairQueue
from braidmq.core.share import fits
from braidmq.core.timers import Timers
from braidmq.errors import Overloaded
from braidmq.settings import Settings

T = TypeVar("T", bound=Hashable)

SPARED: Final = 8
"""One in so many of a node's places is left free by the calls of one service, as the node itself does for other
services: more calls would only wait there, one behind the other, without turns. As many of the rest are left free by a
peer that is alone, for one that comes."""

FLOOR: Final = 8
"""Calls of one service that a peer may have on their way as long as there is a place, however few are left free:
programs with a few calls at once are not what makes others wait."""

LEAST_S: Final = 0.001
"""What a call has left at least when its turn comes in the very instant in which its time is over."""


class _Line(Generic[T]):
    """The calls of one service.

    Attributes:
        held: how many calls each peer has on their way.
        taken: their sum.
        waiting: calls that wait.
    """

    __slots__ = ("held", "taken", "waiting")

    def __init__(self) -> None:
        self.held: dict[Hashable, int] = {}
        self.taken = 0
        self.waiting: FairQueue[Hashable, T] = FairQueue()


class _Call:
    """What is known of a call.

    Attributes:
        owner: whose it is.
        line: what it calls.
        size: bytes of its payload.
        deadline: when its time is over.
        timer: its bucket among the timers; 0: it is on its way.
    """

    __slots__ = ("deadline", "line", "owner", "size", "timer")

    def __init__(self, owner: Hashable, line: Hashable, size: int, deadline: float) -> None:
        self.owner = owner
        self.line = line
        self.size = size
        self.deadline = deadline
        self.timer = 0


class Turns(Generic[T]):
    """The calls of all peers of a bridge, on their way or waiting. Peers whose calls wait take turns.

    Of the places for a service a peer may have as many as it leaves free, and FLOOR while there is one; alone it leaves
    only some. Of the calls that may wait, and of their bytes, it may have as many as it leaves free. Once half as many
    calls wait as may, it has no more of them than an equal share. So whoever comes later finds room.

    Args:
        settings: of the node.
    """

    def __init__(self, settings: Settings) -> None:
        self._places_max = settings.in_flight_max - settings.in_flight_max // SPARED
        self._waiting_max = settings.waiting_max
        self._bytes_max = settings.in_flight_bytes_max
        self._calls: dict[T, _Call] = {}
        self._lines: dict[Hashable, _Line[T]] = {}
        self._ready: dict[Hashable, None] = {}
        self._timers: Timers[T] = Timers()
        self._waiting = 0
        self._bytes = 0
        self._waiting_of: dict[Hashable, int] = {}
        self._bytes_of: dict[Hashable, int] = {}

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return self._waiting

    def enter(self, call: T, owner: Hashable, line: Hashable, size: int, deadline: float) -> bool:
        """Take a call; return whether it is on its way now, else it waits for its turn.

        Args:
            call: names it.
            owner: whose it is.
            line: what it calls.
            size: bytes of its payload.
            deadline: when its time is over.

        Raises:
            Overloaded: too many wait already, or too many of its owner's.
        """
        here = self._lines.get(line)
        if here is None:
            here = self._lines[line] = _Line()
        told = _Call(owner, line, size, deadline)
        if line not in self._ready and not here.waiting.holds(owner) and self._has_place(here, owner):
            self._calls[call] = told
            self._begin(told, here)
            return True
        self._check_waiting(owner, size)
        self._calls[call] = told
        here.waiting.add(owner, call)
        told.timer = self._timers.add(call, deadline)
        self._waiting += 1
        self._bytes += size
        self._waiting_of[owner] = self._waiting_of.get(owner, 0) + 1
        self._bytes_of[owner] = self._bytes_of.get(owner, 0) + size
        return False

    def leave(self, call: T) -> None:
        """Forget a call that has ended, or that nobody wants any more. It may have been forgotten."""
        told = self._calls.pop(call, None)
        if told is None:
            return
        here = self._lines[told.line]
        if told.timer:
            here.waiting.remove(told.owner, call)
            self._wait_no_longer(call, told)
        else:
            held = here.held.pop(told.owner) - 1
            if held:
                here.held[told.owner] = held
            here.taken -= 1
            if here.waiting.count:
                self._ready[told.line] = None
        if not here.waiting.count:
            self._ready.pop(told.line, None)
            if not here.taken:
                del self._lines[told.line]

    def take(self, now: float) -> list[tuple[T, float]]:
        """Return the calls whose turn has come, which are on their way now, and how many seconds each has left."""
        begun: list[tuple[T, float]] = []
        for line in self._ready:
            here = self._lines[line]
            while (call := self._next(here)) is not None:
                told = self._calls[call]
                here.waiting.take(told.owner, call)
                self._wait_no_longer(call, told)
                self._begin(told, here)
                begun.append((call, max(LEAST_S, told.deadline - now)))
        self._ready.clear()
        return begun

    def take_late(self, now: float) -> list[T]:
        """Return the calls that have waited until their time was over, and forget them."""
        late = self._timers.take_due(now)
        for call in late:
            self.leave(call)
        return late

    def next_deadline(self) -> float | None:
        """Return when `take_late` is due, or None."""
        return self._timers.next_deadline()

    def _has_place(self, here: _Line[T], owner: Hashable) -> bool:
        left = self._places_max - here.taken
        held = here.held.get(owner, 0)
        if held >= FLOOR and held == here.taken:
            return left > self._places_max // SPARED
        return left > 0 and (held < FLOOR or fits(held, 1, left))

    def _next(self, here: _Line[T]) -> T | None:
        """Return the call whose turn it is, or None. Few peers have so many on their way that they are passed over."""
        if here.taken < self._places_max:
            for owner in here.waiting.owners():
                if self._has_place(here, owner):
                    return here.waiting.first_of(owner)
        return None

    def _begin(self, told: _Call, here: _Line[T]) -> None:
        here.taken += 1
        here.held[told.owner] = here.held.get(told.owner, 0) + 1

    def _check_waiting(self, owner: Hashable, size: int) -> None:
        """Raise Overloaded if one more call of an owner cannot even wait."""
        own, own_bytes = self._waiting_of.get(owner, 0), self._bytes_of.get(owner, 0)
        left = self._waiting_max - self._waiting
        crowded = left <= self._waiting_max // 2
        if not fits(own, 1, left) or (crowded and own >= self._equal_share(owner)):
            raise Overloaded(f"{self._waiting} calls wait already, {own} of them of this program")
        bytes_left = self._bytes_max - self._bytes
        if size > bytes_left or (own and not fits(own_bytes, size, bytes_left)):
            raise Overloaded(f"calls with {self._bytes} bytes wait already, {own_bytes} of them of this program")

    def _equal_share(self, owner: Hashable) -> int:
        """Return how many calls may wait of each who has some that wait, and of this one."""
        owners = len(self._waiting_of) + (owner not in self._waiting_of)
        return self._waiting_max // owners

    def _wait_no_longer(self, call: T, told: _Call) -> None:
        self._timers.cancel(call, told.timer)
        told.timer = 0
        owner = told.owner
        self._waiting -= 1
        self._bytes -= told.size
        waiting = self._waiting_of.pop(owner) - 1
        left = self._bytes_of.pop(owner) - told.size
        if waiting:
            self._waiting_of[owner], self._bytes_of[owner] = waiting, left

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests."""
        waiting = {call: told for call, told in self._calls.items() if told.timer}
        assert self._waiting == len(waiting) == sum(self._waiting_of.values()) <= self._waiting_max
        assert self._bytes == sum(told.size for told in waiting.values()) <= self._bytes_max
        assert self._bytes == sum(self._bytes_of.values())
        assert all(self._waiting_of.values())
        self._timers.validate_state({call: told.timer for call, told in waiting.items()})
        assert self._lines.keys() == {told.line for told in self._calls.values()}
        assert all(self._lines[line].waiting.count for line in self._ready)
        for line, here in self._lines.items():
            assert {*here.waiting} == {call for call, told in waiting.items() if told.line == line}
            assert here.taken == sum(here.held.values()) <= self._places_max
            assert all(here.held.values())
            assert line in self._ready or self._next(here) is None, "who waits has no place"
            here.waiting.validate_state()
