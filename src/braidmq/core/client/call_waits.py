"""What calls wait for: a path, a worker, the end of a pause, an answer. Each has one timer."""

import random
from collections.abc import Collection
from typing import Final

from braidmq.core.client.call import Call, Stage
from braidmq.core.timers import Timers
from braidmq.settings import Settings

AWAITED_S: Final = 1.0
"""How often a call that waits for a worker is looked at, besides when a broker tells of new services."""


class CallWaits:
    """Lets calls wait. Each method states what for, and sets the timer of the call by that and by its deadline.

    Whoever lets a call go on takes it out of `parked` and `awaiting`.

    Attributes:
        timers: those of all calls.
        parked: calls that wait for a path.
        awaiting: calls that wait for a worker.
    """

    __slots__ = ("_rng", "_settings", "awaiting", "parked", "timers")

    def __init__(self, settings: Settings, rng: random.Random) -> None:
        self._settings = settings
        self._rng = rng
        self.timers: Timers[Call] = Timers()
        self.parked: dict[Call, None] = {}
        self.awaiting: dict[Call, None] = {}

    def park(self, call: Call) -> None:
        """Let a call wait for a path."""
        call.stage = Stage.PARKED
        self.parked[call] = None
        self.set_timer(call)

    def await_worker(self, call: Call, now: float) -> None:
        """Let a call wait for a worker."""
        call.stage = Stage.AWAITING
        self.awaiting[call] = None
        self.timers.cancel(call, call.timer)
        call.timer = self.timers.add(call, min(call.deadline, now + AWAITED_S))

    def listen(self, call: Call) -> None:
        """Let a call wait for an answer to an earlier attempt."""
        call.stage = Stage.LISTENING
        self.set_timer(call)

    def pause(self, call: Call, pause_s: float, now: float) -> None:
        """Let a call wait for a time."""
        call.stage = Stage.PAUSED
        self.timers.cancel(call, call.timer)
        call.timer = self.timers.add(call, min(call.deadline, now + pause_s))

    def pause_for_budget(self, call: Call, now: float, least_s: float = 0.0) -> None:
        """Let a call wait until it can pay for its next attempt."""
        call.owes = True
        earned_s = self._rng.uniform(1.0, 1.5) / max(0.1, self._settings.retry_budget_per_s)
        self.pause(call, max(least_s, earned_s), now)

    def set_timer(self, call: Call) -> None:
        """Set the timer of a call by its deadline, and by how long its path may be silent."""
        self.timers.cancel(call, call.timer)
        call.timer = self.timers.add(call, self._due(call))

    def validate_state(self, calls: Collection[Call]) -> None:
        """Assert what must hold between two inputs, given all calls. For tests and the simulator."""
        assert set(self.parked) == {call for call in calls if call.stage is Stage.PARKED}
        assert set(self.awaiting) == {call for call in calls if call.stage is Stage.AWAITING}
        self.timers.validate_state({call: call.timer for call in calls})
        for call in calls:
            assert 0 < call.timer <= self.timers.number(self._due(call))

    def _due(self, call: Call) -> float:
        """Return when a call has to be looked at, at the latest."""
        due = call.deadline
        if call.stage is Stage.SENT:
            due = min(due, call.heard_at + self._settings.exchange_timeout_s)
        return due
