"""Which calls of a node may be on their way at once, and which wait for their turn."""

from typing import Final

from braidmq.core.call import Call, Stage
from braidmq.core.fair_queue import FairQueue
from braidmq.errors import Overloaded
from braidmq.settings import Settings

SHARE: Final = 32
"""Calls of one service may take this many times the places that they leave free. So the calls of a slow service take
nearly all places (248 of 256), and those of another one still find some. Source: Choudhury and Hahne, "Dynamic Queue
Length Thresholds"."""


class Places:
    """Places for calls, bounded in count and in bytes. The services of the calls that wait take turns."""

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
    def waiting(self) -> int:
        """Calls that wait for a place."""
        return len(self._waiting)

    def enter(self, service: bytes, payload_bytes: int) -> bool:
        """Give a new call of a service, with so large a payload, a place before those that wait, if it can have one."""
        left = self._places_max - self._taken
        if (self._taken and self._bytes + payload_bytes > self._bytes_max) or self._held.get(
            service, 0
        ) >= SHARE * left:
            return False
        if self._waiting.count:
            first = self._waiting.first()
            if first is not None and (self._waiting.holds(service) or not self._fits(len(first.payload))):
                return False
        self._taken += 1
        self._bytes += payload_bytes
        self._held[service] = self._held.get(service, 0) + 1
        return True

    def take(self, service: bytes, payload_bytes: int) -> None:
        """Give a call of a service a place."""
        self._taken += 1
        self._bytes += payload_bytes
        self._held[service] = self._held.get(service, 0) + 1

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
        if len(self._waiting) >= self._waiting_max:
            raise Overloaded(f"waiting_max={self._waiting_max} calls wait already", service=service)
        if self._waiting_bytes + payload_bytes > self._bytes_max:
            limit = self._bytes_max
            raise Overloaded(f"in_flight_bytes_max={limit} bytes of payload wait already", service=service)

    def wait(self, call: Call) -> None:
        """Let a call wait for a place."""
        self._waiting.add(call.service, call)
        self._waiting_bytes += len(call.payload)

    def leave(self, call: Call, *, for_place: bool) -> None:
        """Let a call wait no longer: it gets a place, or it has ended."""
        if for_place:
            self._waiting.take(call.service, call)
        else:
            self._waiting.remove(call.service, call)
        self._waiting_bytes -= len(call.payload)

    def next(self) -> Call | None:
        """Return the waiting call whose turn it is and that can have a place, or None."""
        if self._waiting and self._taken < self._places_max:
            for service in self._waiting.owners:
                call = self._waiting.first_of(service)
                if not self._fits(len(call.payload)):
                    return None  # it is its turn, or it would wait for ever behind small ones
                if self._may_have_one(service):
                    return call
        return None

    def validate_state(self, calls: list[Call]) -> None:
        """Assert what must hold between two inputs, given the calls that belong here. For tests and the simulator."""
        placed = [call for call in calls if call.stage is not Stage.QUEUED]
        waiting = [call for call in calls if call.stage is Stage.QUEUED]
        assert self._taken == len(placed) <= self._places_max
        assert self._bytes == sum(len(call.payload) for call in placed)
        assert self._bytes <= self._bytes_max or len(placed) == 1
        assert sum(self._held.values()) == self._taken
        assert all(self._held.values())
        self._waiting.validate_state()
        assert set(self._waiting) == set(waiting)
        assert len(waiting) <= self._waiting_max
        assert self._waiting_bytes == sum(len(call.payload) for call in waiting) <= self._bytes_max
        assert self.next() is None, "who waits has no place"

    def _fits(self, payload_bytes: int) -> bool:
        return self._taken < self._places_max and (self._bytes + payload_bytes <= self._bytes_max or not self._taken)

    def _may_have_one(self, service: bytes) -> bool:
        return self._held.get(service, 0) < SHARE * (self._places_max - self._taken)
