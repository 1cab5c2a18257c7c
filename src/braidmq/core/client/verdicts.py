"""What a broker's refusal of a call is worth: whether to believe it, whether to go on, and what that costs.

A refused attempt was certainly not run. What is wrong with a broker that refuses is judged in path_health.py.
"""

import random
from typing import Final

from braidmq.core.backoff import full_jitter
from braidmq.core.client import endings
from braidmq.core.client.call import Call
from braidmq.core.client.path_choice import PathChoice
from braidmq.core.client.retry import Reroutes, RetryBudget
from braidmq.core.client.worker_wait import WorkerWait
from braidmq.core.links.link import Link, LinkState
from braidmq.errors import RequestError
from braidmq.settings import Settings
from braidmq.wire.envelope import Reason

EARLY_S: Final = 0.05
"""A broker that rejects a call as expired with more time left than this is wrong."""

_NOBODY_THERE: Final = (Reason.NO_WORKER, Reason.DRAINING)
_SENSELESS: Final = 0  # no reason that there is
_FOR_GOOD: Final = (Reason.DENIED, Reason.TOO_LARGE)


class Verdicts:
    """Judges the refusals of calls.

    `on_rejected` comes first, and returns the error if nobody else is to be asked. Then `may_go_on` says whether the
    call may be sent again, and takes what that costs; `next_round_s` is for a call that every path has refused.
    """

    __slots__ = ("_budget", "_choice", "_reroutes", "_rng", "_settings", "_wait")

    def __init__(
        self,
        settings: Settings,
        rng: random.Random,
        choice: PathChoice,
        wait: WorkerWait,
        *,
        budget: RetryBudget,
        reroutes: Reroutes,
    ) -> None:
        self._settings = settings
        self._rng = rng
        self._choice = choice
        self._wait = wait
        self._budget = budget
        self._reroutes = reroutes

    def on_rejected(self, call: Call, path: Link, reason: int, now: float) -> RequestError | None:
        """Note that a path has refused a call; return with which error the call ends, if nobody else is asked."""
        self._judge(call, path, reason, now)
        for_good = reason in _FOR_GOOD
        if call.rejection is None or not (for_good or reason == Reason.NO_WORKER):
            early = reason == Reason.EXPIRED and call.deadline - now > EARLY_S
            call.rejection = _SENSELESS if early else reason
        if for_good:
            if call.verdict_of not in (None, path) or self._is_last_word(call, path, reason):
                return endings.denied(call) if reason == Reason.DENIED else endings.too_large(call, path.name)
            call.verdict_of = path
        if reason in _NOBODY_THERE and self._wait.waits(call):
            call.sends -= 1  # it has met no worker that could have taken it, and it is to wait for one
        return None

    def may_go_on(self, call: Call, reason: int, untried: list[Link], now: float) -> bool:
        """Whether a rejected call may move on; take what it costs.

        It is free where nothing grows by it: where it goes where there are workers (when a broker loses its workers at
        once, the calls that it has come back at once, more than any budget covers), and for a second opinion, once.
        """
        if reason == Reason.DRAINING:
            return True
        if reason in _FOR_GOOD and untried and not call.advised:
            call.advised = True
            return True
        if reason == Reason.NO_WORKER and (
            self._wait.waits(call) or any(call.service in link.services for link in untried)
        ):
            return True
        return (bool(untried) and self._reroutes.spend()) or self._budget.spend(now)

    def next_round_s(self, call: Call, retry_after_s: float) -> float:
        """Begin another round over all paths with a call; return after which pause."""
        settings = self._settings
        pause_s = full_jitter(settings.backoff_s, settings.backoff_s_max, call.round, self._rng)
        call.round += 1
        call.tried.clear()
        return max(pause_s, min(retry_after_s, settings.backoff_s_max))

    def _judge(self, call: Call, path: Link, reason: int, now: float) -> None:
        """Let a refusal count against its path, if it is one that another path might not have made."""
        if path.state is not LinkState.UP:
            return  # it has said that it drains
        if reason == Reason.NO_WORKER and not self._choice.health.contradicts(path, call.service, now):
            return
        if reason == Reason.EXPIRED and call.deadline - now <= EARLY_S:
            return
        if self._choice.has_another(call):
            self._choice.health.on_refused(path, now)

    def _is_last_word(self, call: Call, path: Link, reason: int) -> bool:
        """Whether nobody else can be asked, or this node's own certificate says, too, that it may not make the call."""
        return not self._choice.others(call, path) or (reason == Reason.DENIED and not self._wait.may_call(call))
