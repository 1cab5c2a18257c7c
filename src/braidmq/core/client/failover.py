"""What a call does when an attempt has ended without a reply: it goes on, waits for its time to, or ends.

The outcomes of an attempt and what follows from them are docs/protocol.md, "Reliability". What a refusal is worth is
judged in verdicts.py.
"""

import random
from typing import Final

from braidmq.core.client import endings
from braidmq.core.client.attempts import Attempts
from braidmq.core.client.call import Call
from braidmq.core.client.call_waits import CallWaits
from braidmq.core.client.path_choice import PathChoice
from braidmq.core.client.retry import RetryBudget
from braidmq.core.client.sending import Sending
from braidmq.core.client.verdicts import Verdicts
from braidmq.core.links.link import ABANDONED, Link
from braidmq.errors import BraidError
from braidmq.observer import AttemptEnd
from braidmq.settings import Settings
from braidmq.wire.envelope import Envelope

FAILOVER_EACH_S: Final = 0.001
"""Requests that a dead broker leaves behind move on over this time each, up to failover_spread_s in all."""


class Failover:
    """Brings calls on their next way.

    Told how the current attempt of a call has ended, each method returns the error with which the call ends, if no
    further attempt may be made and no earlier one may be answered any more; whoever asks ends it. An attempt that was
    refused was certainly not run; any other one may have been, so what follows it is flagged.
    """

    __slots__ = ("_attempts", "_budget", "_choice", "_rng", "_sending", "_settings", "_verdicts", "_waits")

    def __init__(
        self,
        settings: Settings,
        rng: random.Random,
        *,
        attempts: Attempts,
        budget: RetryBudget,
        choice: PathChoice,
        sending: Sending,
        verdicts: Verdicts,
        waits: CallWaits,
    ) -> None:
        self._settings = settings
        self._rng = rng
        self._sending = sending
        self._attempts = attempts
        self._choice = choice
        self._waits = waits
        self._verdicts = verdicts
        self._budget = budget

    # -- how an attempt ends

    def on_rejected(self, call: Call, answer: Envelope, now: float) -> BraidError | None:
        """A broker or worker has refused it."""
        path = call.path
        assert path is not None
        self._attempts.end(call, AttemptEnd.REJECTED, now, answer.code)
        refused = self._verdicts.on_rejected(call, path, answer.code, now)
        untried = self._choice.untried(call)
        if refused is not None:
            return refused
        if call.sends >= call.attempts_max:
            return self.listen(call)
        if not self._verdicts.may_go_on(call, answer.code, untried, now):
            return self.listen(call, "the retry budget is spent")
        if untried:
            return self._sending.send(call, now)
        self._waits.pause(call, self._verdicts.next_round_s(call, answer.time_ms / 1000.0), now)
        return None

    def on_lost(self, call: Call, link: Link, answer: Envelope, now: float) -> BraidError | None:
        """Its worker is gone, or has answered what does not count."""
        if self._choice.has_another(call):
            self._choice.health.on_lost(link, now)
        self._attempts.on_loss(call, answer.time_ms / 1000.0, now)
        return self.on_unknown(call, now, free=bool(call.worker))

    def on_silence(self, call: Call, now: float) -> BraidError | None:
        """Nothing was heard of it for exchange_timeout_s."""
        path = call.path
        assert path is not None
        if self._choice.has_another(call):
            self._choice.health.on_unanswered(path, now)
        self._attempts.on_silence(call, now)
        if call.failed_over:
            call.worker = b""
        return self.on_unknown(call, now, free=bool(call.worker))

    def on_mute(self, call: Call, now: float) -> BraidError | None:
        """Its path leaves calls unanswered, and is not waited for any longer."""
        self._attempts.leave(call, now)
        return self.on_unknown(call, now, free=bool(call.worker))

    def spread_s(self, calls: int) -> float:
        """Return over which time so many calls move on that a dead broker leaves behind."""
        return min(self._settings.failover_spread_s, calls * FAILOVER_EACH_S)

    def on_path_died(self, call: Call, link: Link, spread_s: float, now: float) -> BraidError | None:
        """The connection that it was on has ended. What has left over it moves on within `spread_s`."""
        self._attempts.on_path_died(call, now, abandoned=link.failure in ABANDONED)
        if call.unsent:
            call.sends -= 1
            return self._sending.send(call, now)
        return self.on_unknown(call, now, free=True, pause_s=self._rng.uniform(0.0, spread_s))

    def on_unknown(self, call: Call, now: float, *, free: bool, pause_s: float = 0.0) -> BraidError | None:
        """The attempt may have been run: flag what follows.

        Args:
            call: it has no attempt under way.
            now: the time.
            free: whether the next attempt costs nothing of the budget. It protects brokers and workers from calls that
                multiply because they are slow: not what a death costs once, and not a copy that joins what runs.
            pause_s: the least pause before the next attempt.
        """
        call.flagged = True
        call.retry_count += 1
        call.rejection = None
        if call.sends >= call.attempts_max:
            return self.listen(call)
        first, call.failed_over = not call.failed_over, True
        if not call.running:  # else it has begun already, and no later attempt can overtake it
            pause_s = max(pause_s, call.held_until - now)
        if not first and not free and not self._budget.spend(now):
            self._waits.pause_for_budget(call, now, pause_s)
        elif pause_s > 0.0:
            self._waits.pause(call, pause_s, now)
        else:
            return self._sending.send(call, now)
        return None

    # -- how a call goes on without one

    def on_paused(self, call: Call, now: float) -> BraidError | None:
        """The pause of a call is over: it goes on if it can pay for that, or owes nothing."""
        if call.owes and not self._budget.spend(now):
            self._waits.pause_for_budget(call, now)
            return None
        call.owes = False
        return self._sending.send(call, now)

    def listen(self, call: Call, why: str = "no attempt is left") -> BraidError | None:
        """No attempt is left: let the call wait for an answer to an earlier one as long as one can come."""
        if not call.may_be_answered():
            return endings.exhausted(call, why)
        self._waits.listen(call)
        return None
