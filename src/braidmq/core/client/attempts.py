"""The attempts of calls: how one is put on a path, what is heard of it there, and how it is called back.

What a call does when an attempt has ended is decided in failover.py, and after a refusal in verdicts.py; how long the
next one is held back, and why, is told in patience.py.
"""

from typing import Final

from braidmq.bounds import ATTEMPTS_MAX
from braidmq.core.client.call import Attempt, Call, Stage
from braidmq.core.links.link import Link
from braidmq.core.links.links import Links
from braidmq.core.links.passage import Passage
from braidmq.core.patience import hold_s, hold_units, interval_s, journey_s_max, promise_s
from braidmq.core.reasons import name_of
from braidmq.errors import ProtocolError
from braidmq.observer import AttemptEnd, NodeObserver
from braidmq.settings import Settings
from braidmq.wire.envelope import (
    CANCEL,
    RENEW,
    REQUEST,
    UINT16,
    UINT32,
    Envelope,
    Flag,
    Progress,
    Withdrawal,
    now_ms,
    pack,
)
from braidmq.wire.extension import INSTANCE_BYTES, Field, field_of, pack_field

_SENT: Final = Stage.SENT
_DUPLICATE: Final = int(Flag.POSSIBLE_DUPLICATE)
_RUNNING: Final = int(Progress.RUNNING)
_QUEUED: Final = int(Progress.QUEUED)
_SILENT: Final = int(Progress.SILENT)


class Attempts:
    """The attempts of all calls of one node.

    `begin` puts a call on a path. What is heard of it comes by `on_reply` and `on_working`, what is not by `on_loss`,
    `on_silence` and `on_path_died`; `end` is told of the last attempt of a call, once, and `call_back` then asks for no
    more of the copies that are on their way.

    Attributes:
        retries: how many of them were further ones.
    """

    __slots__ = (
        "_hold_min", "_hold_s_min", "_interval_s", "_journey_s_max", "_links", "_observer", "_passage", "_promise_s",
        "_tag", "_working_ms", "retries",
    )  # fmt: skip

    def __init__(
        self, settings: Settings, links: Links, passage: Passage, observer: NodeObserver | None = None
    ) -> None:
        self.retries = 0
        self._observer = observer
        self._links = links
        self._passage = passage
        self._tag = 0
        self._working_ms = max(10, min(UINT16, int(settings.exchange_timeout_s * 1000 / 3)))
        self._interval_s = interval_s(self._working_ms)
        self._promise_s = promise_s(self._interval_s)
        self._journey_s_max = journey_s_max(self._interval_s)
        self._hold_min = hold_units(self._interval_s, 0.0)
        self._hold_s_min = hold_s(self._interval_s, self._hold_min)

    def begin(self, call: Call, path: Link, now: float) -> None:
        """Send a call over a path."""
        self._tag = tag = (self._tag + 1) & UINT32
        call.tag = tag
        call.path = path
        call.epoch = path.epoch
        call.stage = _SENT
        call.unsent = call.running = call.waited = False
        call.careful_until = 0.0
        if call.sends:
            self.retries += 1
        call.sends += 1
        if path.journey.latency_s <= self._journey_s_max:
            hold, call.hold_s = self._hold_min, self._hold_s_min
        else:
            hold = hold_units(self._interval_s, path.journey.estimate(now))
            call.hold_s = hold_s(self._interval_s, hold)
        call.held_until = now + call.hold_s
        call.sent_at = call.heard_at = now
        if self._observer is not None:
            self._observer.on_attempt(call.id, path.name, call.sends, now)
        if path not in call.tried:
            call.tried.append(path)
        path.in_flight += 1
        path.calls[call] = None
        if self._passage.alert and len(call.payload) > path.proven_bytes:
            call.risky = self._passage.suspects(len(call.payload), now)
            path.risked += call.risky
        extension = call.extension
        if call.flagged:
            extension += _whom(call)
            if call.untold is not None:
                self._supersede(call, call.untold, now)
        left_ms = int((call.deadline - now) * 1000)
        self._links.send(
            path,
            pack(
                REQUEST, call.id, _DUPLICATE if call.flagged else 0, call.retry_count, now_ms(now),
                left_ms if left_ms > 0 else 1, tag, call.service, b"", call.worker, hold, self._working_ms,
                extension, call.payload,
            ),
        )  # fmt: skip

    def end(self, call: Call, how: AttemptEnd, now: float, reason: int = 0) -> None:
        """Note that the current attempt of a call has ended; if it was rejected, for which reason."""
        path = call.path
        assert path is not None
        if self._observer is not None:
            why = name_of(reason) if how is AttemptEnd.REJECTED else ""
            self._observer.on_attempt_end(call.id, path.name, how, why, now)
        path.in_flight -= 1
        if call.risky:
            path.risked -= 1
            call.risky = False
        del path.calls[call]
        call.path = None

    def call_back(self, call: Call, now: float, *, but: Attempt | None = None) -> None:
        """Call back every copy that is on its way, except one that was answered."""
        attempts = list(call.earlier)
        if call.path is not None:
            attempts.append((call.path, call.epoch, call.tag))
        for attempt in attempts:
            if attempt != but:
                self._cancel(call, attempt, Withdrawal.GIVEN_UP, now)

    def let_go(self, call: Call) -> None:
        """Note that nobody waits for the earlier attempts of a call any more, which may be answered yet."""
        for link, epoch, _tag in call.earlier:
            if link.epoch == epoch:
                link.withdrawn += 1

    # -- what is heard of an attempt

    def on_reply(self, call: Call, link: Link, ran_s: float, now: float) -> None:
        """Learn from the reply to the current attempt of a call, which ran for so long, how long its path takes."""
        took_s = now - call.sent_at
        link.ewma.observe(took_s, now)
        journey_s = took_s - ran_s
        most_s = self._journey_s_max  # less decides nothing
        if (journey_s > most_s or link.journey.latency_s > most_s) and not (call.running or call.waited):
            link.journey.observe(max(0.0, journey_s), now)

    def on_working(self, call: Call, link: Link, answer: Envelope, now: float, *, current: bool) -> None:
        """Handle a WORKING of an attempt, the `current` one or an earlier one."""
        if answer.code == _SILENT:
            if current:
                call.silent = _instance_of(answer) + answer.sender
            return
        if answer.code == _RUNNING:
            call.worker = answer.sender
            call.instance = _instance_of(answer)
        if not current:
            return
        call.heard_at = now
        if answer.code == _RUNNING:
            if not (call.running or call.waited):  # it says so for the first time, an interval after it has begun
                link.journey.observe(max(0.0, now - call.sent_at - self._interval_s), now)
            call.running = True
        elif answer.code == _QUEUED:
            call.held_until = max(call.held_until, now + self._promise_s)
            call.waited = True
            sent_ms = now_ms(now)
            self._links.send(link, pack(RENEW, call.id, 0, 0, sent_ms, answer.time_ms, answer.tag))
        else:
            call.waited = True  # whatever it means, it is no time on the way

    def on_loss(self, call: Call, had_s: float, now: float) -> None:
        """The worker of the current attempt is gone, which had it for a time, and may have begun it."""
        call.held_until = min(call.held_until, now + max(0.0, call.hold_s / 2.0 - had_s))
        self.end(call, AttemptEnd.LOST, now)

    def on_silence(self, call: Call, now: float) -> None:
        """Nothing was heard of the current attempt for too long: it counts as an earlier one."""
        path = call.path
        assert path is not None
        path.ewma.observe(now - call.sent_at, now)
        if path.heard_at < call.heard_at:
            self._links.suspect(path, now)
        self._passage.on_silence(path, len(call.payload), call.sent_at)
        self.leave(call, now)

    def leave(self, call: Call, now: float) -> None:
        """Let the current attempt of a call be an earlier one: it may still be answered."""
        path = call.path
        assert path is not None
        self.end(call, AttemptEnd.SILENT, now)
        call.earlier.append((path, call.epoch, call.tag))
        del call.earlier[:-ATTEMPTS_MAX]
        call.untold = (path, call.epoch, call.tag)

    def on_path_died(self, call: Call, now: float, *, abandoned: bool) -> None:
        """The path of the current attempt is gone; `abandoned` if it may have been whole, so that it still arrives."""
        if abandoned:
            call.held_until = max(call.held_until, call.sent_at + self._interval_s)
        self.end(call, AttemptEnd.UNSENT if call.unsent else AttemptEnd.DISCONNECTED, now)

    # -- inner

    def _supersede(self, call: Call, last: Attempt, now: float) -> None:
        """Tell the broker of the last attempt that another one follows: what has not begun there must not begin."""
        call.untold = None
        self._cancel(call, last, Withdrawal.SUPERSEDED, now)

    def _cancel(self, call: Call, attempt: Attempt, how: Withdrawal, now: float) -> None:
        link, epoch, tag = attempt
        if link.open and link.epoch == epoch:
            sent_ms = now_ms(now)
            self._links.send(link, pack(CANCEL, call.id, 0, 0, sent_ms, 0, tag, code=how))


def _whom(call: Call) -> bytes:
    """Return the fields that say which process a further attempt is for, or which worker it is not for."""
    if call.worker:
        return pack_field(Field.INSTANCE, call.instance) if call.instance else b""
    return pack_field(Field.AVOID, call.silent) if call.silent else b""


def _instance_of(answer: Envelope) -> bytes:
    """Return which process of a worker speaks; empty if it does not say so, or nonsense."""
    try:
        instance = field_of(answer.extension, Field.INSTANCE) or b""
    except ProtocolError:
        return b""
    return instance if len(instance) <= INSTANCE_BYTES else b""  # a longer one may fit no further attempt
