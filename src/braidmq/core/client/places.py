"""Which calls of a node may be on their way at once, and which wait for their turn."""

from collections.abc import Collection
from typing import Final

from braidmq.core.client.call import Call, Stage
from braidmq.core.fair_queue import FairQueue
from braidmq.errors import Overloaded
from braidmq.settings import Settings

SHARE: Final = 8
"""Calls of one service may take this many times the places that they leave free. So one that is slow takes most of them
(228 of 256), and the next one most of the rest. Source: Choudhury and Hahne, "Dynamic Queue Length Thresholds"."""


class Places:
    """Places for calls, bounded in count and in bytes. The services of the calls that wait take turns.

    A service that has no call on its way gets a place in any case: however many other services hang, it goes on. So
    there may be one call for each service beyond the bounds.
    """

    __slots__ = ("_bytes", "_bytes_max", "_held", "_places_max", "_taken", "_waiting", "_waiting_bytes", "_waiting_max")

    def __init__(self, settings: Settings) -> None:
        self._places_max = settings.in_flight_max
        self._waiting_max = settings.waiting_max
        self._bytes_max = settings.in_flight_bytes_max
        self._taken = 0
        self._bytes = 0
        self._held: dict[bytes, int] = {}
        self._waiting: FairQueue[bytes, Call] = FairQueue()
        self._waiting_bytes = 0

    @property
    def idle(self) -> bool:
        """Whether no call has a place, or waits for one."""
        return not self._taken and not self._waiting.count

    @property
    def most(self) -> int:
        """Calls that may have a place now: each service one in any case."""
        return self._places_max + len(self._held)

    @property
    def waiting(self) -> int:
        """Calls that wait for a place."""
        return self._waiting.count

    def enter(self, service: bytes, payload_bytes: int) -> bool:
        """Give a new call of a service, with so large a payload, a place before those that wait, if it can have one."""
        held = self._held.get(service, 0)
        if held:
            if held >= SHARE * (self._places_max - self._taken) or self._bytes + payload_bytes > self._bytes_max:
                return False
            if self._waiting.count and (self._waiting.holds(service) or self._first() is not None):
                return False
        self._taken += 1
        self._bytes += payload_bytes
        self._held[service] = held + 1
        return True

    def take(self, call: Call) -> None:
        """Give a call that has waited a place."""
        self._waiting.take(call.service, call)
        self._waiting_bytes -= len(call.payload)
        self._taken += 1
        self._bytes += len(call.payload)
        self._held[call.service] = self._held.get(call.service, 0) + 1

    def release(self, call: Call) -> bool:
        """Take the place of a call back; return whether others wait for one."""
        self._taken -= 1
        self._bytes -= len(call.payload)
        held = self._held[call.service] - 1
        if held:
            self._held[call.service] = held
        else:
            del self._held[call.service]
        return bool(self._waiting.count)

    def check_waiting(self, service: str, payload_bytes: int) -> None:
        """Raise Overloaded if one more call cannot even wait."""
        if self._waiting.count >= self._waiting_max:
            raise Overloaded(f"waiting_max={self._waiting_max} calls wait already", service=service)
        if self._waiting_bytes + payload_bytes > self._bytes_max:
            limit = self._bytes_max
            raise Overloaded(f"in_flight_bytes_max={limit} bytes of payload wait already", service=service)

    def wait(self, call: Call) -> None:
        """Let a call wait for a place."""
        self._waiting.add(call.service, call)
        self._waiting_bytes += len(call.payload)

    def leave(self, call: Call) -> None:
        """Let a call wait no longer: it has ended."""
        self._waiting.remove(call.service, call)
        self._waiting_bytes -= len(call.payload)

    def next(self, released: bytes = b"") -> Call | None:
        """Return the waiting call whose turn it is and that can have a place, or None.

        Args:
            released: the service of which a call has just ended: only this one may have none on its way now.
        """
        if self._waiting.holds(released) and released not in self._held:
            return self._waiting.first_of(released)
        call = self._first()
        return call if call is not None and self._bytes + len(call.payload) <= self._bytes_max else None

    def _first(self) -> Call | None:
        """Return the waiting call whose turn it is: if it does not fit, small ones do not go before it for ever."""
        left = SHARE * (self._places_max - self._taken)
        if left > 0:
            for service in self._waiting.owners():  # few services hold so many that they may not have one more
                if self._held.get(service, 0) < left:
                    return self._waiting.first_of(service)
        return None

    def validate_state(self, calls: list[Call]) -> None:
        """Assert what must hold between two inputs, given the calls that belong here. For tests and the simulator."""
        placed = [call for call in calls if call.stage is not Stage.QUEUED]
        waiting = [call for call in calls if call.stage is Stage.QUEUED]
        assert self._taken == len(placed) <= self.most
        assert self._bytes == sum(len(call.payload) for call in placed)
        firsts = {call.service: len(call.payload) for call in placed}
        assert self._bytes <= self._bytes_max + sum(firsts.values()) or len(placed) == len(firsts)
        assert sum(self._held.values()) == self._taken
        assert all(self._held.values())
        self._waiting.validate_state()
        assert set(self._waiting) == set(waiting)
        assert len(waiting) <= self._waiting_max
        assert self._waiting_bytes == sum(len(call.payload) for call in waiting) <= self._bytes_max
        assert self.next() is None, "who waits has no place"
        assert all(call.service in self._held for call in waiting), "a service has one place at least"


class RunPlaces:
    """The places of all calls of a node: those of its callers, and those of each run of a handler, which has its own.

    Attributes:
        own: those of its callers.
        admitting: whether waiting calls are just given places: an end among them gives none itself.
    """

    __slots__ = ("_nested", "_settings", "admitting", "own")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.own = Places(settings)
        self._nested: dict[int, Places] = {}
        self.admitting = False

    @property
    def waiting(self) -> int:
        """Calls that wait for a place."""
        return self.own.waiting + sum(places.waiting for places in self._nested.values())

    @property
    def most(self) -> int:
        """How many calls may be on their way now."""
        return self.own.most + sum(places.most for places in self._nested.values())

    @property
    def most_waiting(self) -> int:
        """How many calls may wait for a place now."""
        return self._settings.waiting_max * (1 + len(self._nested))

    def of_run(self, run: int) -> Places:
        """Return the places of one run of a handler."""
        places = self._nested.get(run)
        if places is None:
            places = self._nested[run] = Places(self._settings)
        return places

    def drop_idle(self, run: int) -> None:
        """Forget the places of a run of a handler that has no call left."""
        places = self._nested.get(run)  # an end that this one has caused may have forgotten them
        if places is not None and places.idle:
            del self._nested[run]

    def validate_state(self, calls: Collection[Call]) -> None:
        """Assert what must hold between two inputs, given all calls. For tests and the simulator."""
        assert not self.admitting
        for run, places in ((0, self.own), *self._nested.items()):
            places.validate_state([call for call in calls if call.nested == run])
        assert self._nested.keys() == {call.nested for call in calls if call.nested}
