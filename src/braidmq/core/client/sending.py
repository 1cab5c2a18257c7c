"""Where a call goes next: over a path, or into a wait for one, for a worker, or for a better broker."""

import random
from typing import Final, Protocol

from braidmq.core.client import endings
from braidmq.core.client.attempts import Attempts
from braidmq.core.client.call import Call
from braidmq.core.client.call_waits import CallWaits
from braidmq.core.client.path_choice import PathChoice
from braidmq.core.client.worker_wait import WorkerWait
from braidmq.core.links.links import Links
from braidmq.core.links.passage import PAUSE_S
from braidmq.errors import BraidError
from braidmq.settings import Settings

SEEK_SPARE_S: Final = 0.5
"""What a call keeps of its time for its attempts: with less it does not wait for a better broker."""

SEEK_PAUSE_S: Final = 0.05
"""How often a call looks whether a broker with workers for its service was found."""


class BrokerFinder(Protocol):
    """What finds the brokers that calls need, where a node is not connected to all."""

    def seek(self, service: bytes, now: float) -> bool:
        """Note that a service is called; return whether to wait until a broker that has workers is found."""

    def require(self, broker: str, now: float) -> None:
        """Note that a call names the broker that it must take."""


class Sending:
    """Sends calls that have a place and no attempt under way.

    `send` begins an attempt, or lets the call wait; either sets its timer. It ends no call: whoever asks does so, with
    the error that it returns.
    """

    __slots__ = (
        "_attempts", "_awaiting", "_choice", "_exchange_s", "_in_flight_max", "_links", "_parked", "_passage", "_reach",
        "_rng", "_timers", "_wait", "_waits",
    )  # fmt: skip

    def __init__(
        self,
        settings: Settings,
        rng: random.Random,
        links: Links,
        reach: BrokerFinder,
        *,
        attempts: Attempts,
        choice: PathChoice,
        wait: WorkerWait,
        waits: CallWaits,
    ) -> None:
        self._exchange_s = settings.exchange_timeout_s
        self._in_flight_max = settings.in_flight_max
        self._rng = rng
        self._links = links
        self._reach = reach
        self._attempts = attempts
        self._choice = choice
        self._passage = choice.passage
        self._wait = wait
        self._waits = waits
        self._timers = waits.timers
        self._parked = waits.parked
        self._awaiting = waits.awaiting

    def send(self, call: Call, now: float) -> BraidError | None:
        """Send a call, or let it wait for what it lacks; return the error with which it ends if nothing can help it."""
        if self._parked:
            self._parked.pop(call, None)
        if self._awaiting:
            self._awaiting.pop(call, None)
        if now >= call.deadline:
            return self.give_up(call, now)
        if call.via is not None:
            self._reach.require(call.via, now)
        elif self._reach.seek(call.service, now) and call.deadline - now > SEEK_SPARE_S:
            self._waits.pause(call, SEEK_PAUSE_S, now)
            return None
        choice = self._choice
        candidates = choice.candidates(call)
        if choice.lacks_worker(call, candidates) and self._wait.may_wait(call):
            self._waits.await_worker(call, now)
            return None
        if self._passage.alert and choice.must_wait(call, candidates, now):
            self._waits.pause(call, self._rng.uniform(0.5, 1.5) * PAUSE_S, now)
            return None
        path = choice.choose(call, candidates, now) if candidates else None
        if path is None:
            return self._without_path(call)
        if len(call.payload) > path.payload_bytes_max:
            return endings.too_large(call, path.name)  # the call names this one
        self._attempts.begin(call, path, now)
        if call.timer:
            self._timers.cancel(call, call.timer)
        silent_at = now + self._exchange_s
        call.timer = self._timers.add(call, silent_at if silent_at < call.deadline else call.deadline)
        return None

    def give_up(self, call: Call, now: float) -> BraidError:
        """Return the error of a call whose deadline has passed; what is on its way is called back."""
        error = endings.out_of_time(
            call,
            awaits_worker=self._wait.goes_on(call),
            diagnosis=self._links.diagnosis(call.via),
            in_flight_max=self._in_flight_max,
        )
        if call.path is not None and self._choice.has_another(call):
            self._choice.health.on_unanswered(call.path, now)
        self._attempts.call_back(call, now)
        return error

    def _without_path(self, call: Call) -> BraidError | None:
        """Let a call wait for a path, if there may be one; else return its error."""
        links = self._links
        if len(call.payload) > links.payload_bytes_max:
            return endings.too_large(call, "any broker")
        if links.refused:
            return endings.refused(call, links.diagnosis(), key_refused=links.key_refused)
        if call.via is not None and call.via not in links.links and links.are_listed:
            return endings.no_such_broker(call, sorted(links.links))
        self._waits.park(call)
        return None
