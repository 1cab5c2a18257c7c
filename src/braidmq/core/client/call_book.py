"""The calls that have not ended: each leaves the book once, with its result, and its place to one that waits."""

from typing import Final

from braidmq.core.client import endings
from braidmq.core.client.attempts import Attempts
from braidmq.core.client.call import Call, Stage
from braidmq.core.client.call_waits import CallWaits
from braidmq.core.client.places import Places, RunPlaces
from braidmq.core.client.sending import Sending
from braidmq.errors import BraidError
from braidmq.messages import Reply
from braidmq.observer import AttemptEnd, NodeObserver

_WITHDRAWN: Final = AttemptEnd.WITHDRAWN
_PARKED: Final = Stage.PARKED
_QUEUED: Final = Stage.QUEUED


class CallBook:
    """Ends calls. Whoever begins one enters it into `calls`, and has it enter or wait among its `places`.

    `end` and `fail` end a call for good; `send` and `on_deadline` do what has to be done with it, and end it if there
    is an error. What an end frees goes at once to calls that wait for a place; some of them may end by that, too.

    Attributes:
        calls: those that have not ended, by id.
        places: theirs.
        results: those that have ended and were not cancelled, each with its reply or its error; their owner takes them.
    """

    __slots__ = (
        "_attempts", "_awaiting", "_observer", "_own", "_parked", "_sending", "_timers", "calls", "places", "results",
    )  # fmt: skip

    def __init__(
        self,
        places: RunPlaces,
        waits: CallWaits,
        *,
        attempts: Attempts,
        sending: Sending,
        observer: NodeObserver | None,
    ) -> None:
        self.calls: dict[bytes, Call] = {}
        self.places = places
        self.results: list[tuple[bytes, Reply | BraidError]] = []
        self._own = places.own
        self._parked = waits.parked
        self._awaiting = waits.awaiting
        self._timers = waits.timers
        self._attempts = attempts
        self._sending = sending
        self._observer = observer

    def send(self, call: Call, now: float) -> None:
        """Send a call that has a place, or let it wait for what it lacks."""
        self.fail_if(call, self._sending.send(call, now), now)

    def on_deadline(self, call: Call, now: float) -> None:
        """End a call whose deadline has passed."""
        self.fail(call, self._sending.give_up(call, now), now)

    def fail_if(self, call: Call, error: BraidError | None, now: float) -> None:
        """End a call if it has met an error with which it ends."""
        if error is not None:
            self.fail(call, error, now)

    def fail(self, call: Call, error: BraidError, now: float, how: AttemptEnd = _WITHDRAWN) -> None:
        """End a call with an error; `how` its current attempt has ended, if there is one."""
        endings.complete(error, call)
        self.results.append((call.id, error))
        self.end(call, error, now, how)

    def end(self, call: Call, outcome: Reply | BraidError | None, now: float, how: AttemptEnd = _WITHDRAWN) -> None:
        """Forget a call, whose result is noted already if it has one; `how`: see `fail`."""
        del self.calls[call.id]
        self._timers.cancel(call, call.timer)
        if self._parked:
            self._parked.pop(call, None)
        if self._awaiting:
            self._awaiting.pop(call, None)
        if call.path is not None:
            if how is _WITHDRAWN:
                call.path.withdrawn += 1
            self._attempts.end(call, how, now)
        if call.earlier:
            self._attempts.let_go(call)
        if self._observer is not None:
            self._observer.on_call_end(call.id, outcome, now - call.began_at, now)
        places = self._own if not call.nested else self.places.of_run(call.nested)
        if call.stage is _QUEUED:
            places.leave(call)
            others_wait = bool(places.waiting)
        else:
            others_wait = places.release(call)
        if others_wait and not self.places.admitting:
            self._admit(places, call.service, now)
        if call.nested:
            self.places.drop_idle(call.nested)

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        self.places.validate_state(self.calls.values())
        for id_, call in self.calls.items():
            assert call.id == id_
            call.validate_state()

    def _admit(self, places: Places, released: bytes, now: float) -> None:
        """Give free places to the calls that wait for one. A call that fails at once frees its place again."""
        self.places.admitting = True
        while (call := places.next(released)) is not None:
            if call.deadline <= now:
                self.on_deadline(call, now)
            else:
                places.take(call)
                call.stage = _PARKED
                error = self._sending.send(call, now)
                if error is not None:
                    self.fail(call, error, now)
        self.places.admitting = False
