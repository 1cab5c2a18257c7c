"""Which paths do what others do: judged by what comes of calls, not by their time alone.

A broker that is broken or in bad hands refuses what others take, loses or never answers what others answer. Its path is
an **outlier**: it takes no new calls for a short time, which grows from one time to the next. Then single calls find
out whether it is well. Paths are compared, so what is wrong everywhere is no path's fault, and one path is always left.
Sources: Envoy, "Outlier detection" (success rate ejection); gRPC proposal A50.

A path that says of its calls that they run, for ever, is known by what others do with later calls of these services.
"""

import math
from collections.abc import Iterator
from typing import Final

from braidmq.core.client.call import Call
from braidmq.core.events.node import PathClosed, PathOpened
from braidmq.core.links.health import FAIR_PRICE
from braidmq.core.links.link import Link, LinkState
from braidmq.core.links.links import Links

HALVE_S: Final = 5.0
"""How often the counts of outcomes are halved: the last ten seconds or so decide, as with latencies."""

BAD_MIN: Final = 5
"""Bad outcomes before a path is judged: fewer are chance."""

SAMPLES_MIN: Final = 5
"""Outcomes of the other paths that it is compared with, at least."""

EXCESS_MIN: Final = 0.2
"""By how much its share of bad outcomes must exceed the others', beyond what chance explains; less costs little."""

DEVIATIONS: Final = 2.5
"""What chance explains, in standard deviations of the difference of two shares."""

EJECTED_S: Final = 1.0
"""For how long an outlier takes no new calls, the first time. It doubles with each time."""

EJECTED_S_MAX: Final = 30.0
"""The longest time: then one call or so in half a minute finds out that nothing has changed."""

RELAXED_S: Final = 30.0
"""After so long without a relapse the next time is half as long."""

PROBES: Final = 3
"""Calls, one at a time, that have to be answered before a path takes its part again."""

PROBE_SPARE_S: Final = 1.5
"""What a call has left when it is tried on such a path: enough to be answered over another one."""

PROBE_OVERDUE_S: Final = 30.0
"""If no call has had so much left for this time, any one is tried."""

MUTE_S: Final = 0.5
"""Calls younger than this are no sign of a path that answers nothing, however fast others are."""

MUTE_FACTOR: Final = 8.0
"""Nor are those that are younger than so many times what others take for their service."""

MUTE_FACTOR_MIN: Final = 3.0
"""The same for a call that has spent half of its time: there must be enough left for another path."""

MUTE_CALLS: Final = 3
"""Calls that must be overdue; one may be a slow handler."""

VACANT_S: Final = 0.5
"""For how long a broker may list a service without a worker: its lists come a moment later than its refusals."""

UNREAD_BYTES: Final = 16 * 1024
"""So much that waits to be read of a path counts as much as one call: some hundred small frames, or four large ones."""

LOOKED_AT_MAX: Final = 64
"""Calls of one path that are looked at in one review."""


class PathHealth:
    """Judges the paths of one node.

    What becomes of an attempt comes by `on_reply`, `on_refused`, `on_lost` and `on_unanswered`. As a call is sent,
    `to_probe` may name a path that is to be tried, and `sound` leaves out those that are closed; `review`, from time to
    time, returns calls that are to go on elsewhere.

    Attributes:
        alert: whether any path is ejected or on probation.
    """

    __slots__ = ("_halve_at", "_links", "_services_max", "alert")

    def __init__(self, links: Links, services_max: int, now: float) -> None:
        self._links = links
        self._services_max = services_max
        self._halve_at = now + HALVE_S
        self.alert = False

    # -- outcomes

    def on_reply(self, call: Call, link: Link, now: float, *, current: bool) -> None:
        """Note that a call was answered over a path; `current` if by its current attempt."""
        health = link.health
        health.good += 1.0
        health.replied_at = now
        if current:
            health.note_answer(call.service, call.sent_at, now, self._services_max)
        if self.alert and health.probation and now >= health.closed_until:
            health.probes_left -= 1
            if not health.probes_left:
                health.admit(now)
                self._links.events.add(PathOpened(link.name))
                self._look()

    def on_refused(self, link: Link, now: float) -> None:
        """Note that a path has refused a call that another one could have had."""
        self._on_bad(link, "refuses what others take", now, taken_counts=True)

    def contradicts(self, link: Link, service: bytes, now: float) -> bool:
        """Whether a broker that says that a service has no worker goes on to list it all the same."""
        health = link.health
        if service not in link.services:
            return False
        if health.vacant is not link.services:
            health.vacant = link.services
            health.vacant_at = now
        return now - health.vacant_at >= VACANT_S

    def on_lost(self, link: Link, now: float) -> None:
        """Note that a path has lost a call that another one could have had."""
        self._on_bad(link, "loses what others answer", now, taken_counts=False)

    def on_unanswered(self, link: Link, now: float) -> None:
        """Note that a path has not answered a call in time that another one could have had."""
        self._on_bad(link, "does not answer what others answer", now, taken_counts=False)

    def on_unread(self, link: Link, size: int) -> None:
        """Handle how much has come over a path that was not read yet: answers to new calls wait behind that."""
        link.unread_bytes = size
        link.price = _price(link)

    # -- the choice

    def sound(self, paths: list[Link]) -> list[Link]:
        """Return those that take their part; all, if none does."""
        return [link for link in paths if not link.health.probation] or paths

    def to_probe(self, call: Call, paths: list[Link], now: float) -> Link | None:
        """Return the path on which a new call is to be tried, if there is one."""
        for link in paths:
            health = link.health
            if not health.probation or now < health.closed_until:
                continue
            probing = health.probing
            if probing is not None and probing.path is link:
                continue
            if call.deadline - now >= PROBE_SPARE_S or now - health.closed_until >= PROBE_OVERDUE_S:
                health.probing = call
                return link
        return None

    # -- time

    def review(self, now: float) -> list[Call]:
        """Look at all paths again; return the calls that are to go on over another one."""
        stuck: list[Call] = []
        halves = now >= self._halve_at
        if halves:
            self._halve_at = now + HALVE_S
        for link in self._links.links.values():
            health = link.health
            if halves:
                health.halve(now, RELAXED_S)
            overdue: list[Call] = []
            if link.calls:
                self._note_wait(link, now)
                overdue = self._overdue(link, now)
            link.price = _price(link)
            if overdue:
                link.price *= 1.0 + (now - overdue[0].sent_at) / MUTE_S
                if len(overdue) >= (1 if health.probation else MUTE_CALLS):
                    self._eject(link, "does not answer what others answer", now)
                if health.probation:
                    stuck += overdue
        return stuck

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        ejected = [link for link in self._links.links.values() if link.health.probation]
        assert self.alert or not ejected
        for link in self._links.links.values():
            health = link.health
            assert health.good >= 0.0
            assert health.bad >= 0.0
            assert link.price >= FAIR_PRICE
            assert len(health.answered) <= self._services_max
            assert 0 <= health.probes_left <= PROBES

    # -- inner

    def _on_bad(self, link: Link, why: str, now: float, *, taken_counts: bool) -> None:
        health = link.health
        health.bad += 1.0
        link.price = _price(link)
        if health.probation:
            if now >= health.closed_until and self._is_outlier(link, taken_counts=taken_counts, known=True):
                self._eject(link, why, now)
        elif health.bad >= BAD_MIN and self._is_outlier(link, taken_counts=taken_counts, known=False):
            self._eject(link, why, now)

    def _is_outlier(self, link: Link, *, taken_counts: bool, known: bool) -> bool:
        """Whether a path has bad outcomes that others have not.

        Args:
            link: the path.
            taken_counts: whether what others have taken, and not answered yet, is a good outcome.
            known: whether it was an outlier shortly before.
        """
        good = bad = 0.0
        for other in self._others(link):
            good += other.health.good + (other.in_flight if taken_counts else 0)
            bad += other.health.bad
        samples = good + bad
        if known:
            return bad <= good
        if samples < SAMPLES_MIN:
            return False
        health = link.health
        own = health.good + health.bad
        mean = (bad + health.bad) / (samples + own)
        chance = DEVIATIONS * math.sqrt(mean * (1.0 - mean) * (1.0 / own + 1.0 / samples))
        return health.bad / own > bad / samples + EXCESS_MIN + chance

    def _others(self, link: Link) -> Iterator[Link]:
        """Yield the other paths that take their part."""
        for other in self._links.links.values():
            if other is not link and other.state is LinkState.UP and not other.health.probation:
                yield other

    def _eject(self, link: Link, why: str, now: float) -> None:
        health = link.health
        if now < health.closed_until or not any(True for _ in self._others(link)):
            return
        closed_s = min(EJECTED_S_MAX, EJECTED_S * 2.0**health.level)
        health.close(now + closed_s, PROBES)
        self.alert = True
        self._links.events.add(PathClosed(link.name, why, closed_s))

    def _look(self) -> None:
        self.alert = any(link.health.probation for link in self._links.links.values())

    def _note_wait(self, link: Link, now: float) -> None:
        """Let the age of the oldest call count as latency, if no reply has come since it was sent.

        Without that a path would be the cheaper the longer nothing is heard.
        """
        oldest: Call = next(iter(link.calls))
        waits_s = now - oldest.sent_at
        if oldest.sent_at > link.health.replied_at and waits_s > link.ewma.estimate(now):
            link.ewma.observe(waits_s, now)

    def _overdue(self, link: Link, now: float) -> list[Call]:
        """Return the calls that others would have answered, of a path that says that they run or wait, oldest first.

        None, if it has answered anything since the oldest of these was sent.
        """
        found: list[Call] = []
        looked_at = 0
        for call in link.calls:
            if now - call.sent_at < MUTE_S or looked_at >= LOOKED_AT_MAX:
                break
            looked_at += 1
            if not found and call.sent_at <= link.health.replied_at:
                continue  # a reply has come since; only younger ones can be a sign
            if call.via is None and (call.running or call.waited) and self._is_overdue(call, link, now):
                found.append(call)
        return found

    def _is_overdue(self, call: Call, link: Link, now: float) -> bool:
        """Whether another path has answered a later call of the service, and they take far less time."""
        for other in self._links.links.values():
            if other is not link:
                answer = other.health.answered.get(call.service)
                if answer is not None and answer.sent_at > call.sent_at:
                    hurried_s = max(MUTE_FACTOR_MIN * answer.took_s, (call.deadline - call.sent_at) / 2.0)
                    return now - call.sent_at >= min(MUTE_FACTOR * answer.took_s, hurried_s)
        return False


def _price(link: Link) -> float:
    return float(link.health.price * (1.0 + link.unread_bytes / UNREAD_BYTES))
