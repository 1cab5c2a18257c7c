"""Which findings stand, since when, and which of them have begun or ended. Pure."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from braidmq.monitor.finding import Finding, Kind

ENDED_S: Final = 3.0
"""How long a finding is away until it has ended: one that is there in every other look is still the same."""

STANDING_MAX: Final = 1_000
"""Findings that are remembered: more than a net has that anyone could still mend one by one."""

_OF_ANYBODY: Final = (Kind.REFUSED, Kind.LIMIT)
"""Findings that name the newest of many: it is the same one when somebody else is turned away."""

_Key = tuple[Kind, tuple[str, ...]]


class Changes(NamedTuple):
    """What has become of findings since the last look."""

    began: list[Finding]
    ended: list[Finding]


class _Stand:
    __slots__ = ("finding", "seen_s", "since_s")

    def __init__(self, finding: Finding, since_s: float, seen_s: float) -> None:
        self.finding = finding
        self.since_s = since_s
        self.seen_s = seen_s


class Standing:
    """The findings of the last looks. Times are seconds of one clock, which the caller reads."""

    def __init__(self) -> None:
        self._stands: dict[_Key, _Stand] = {}

    def look(self, findings: Iterable[Finding], now_s: float) -> Changes:
        """Take the findings of a look; return what has begun and ended by them."""
        changes = Changes([], [])
        for finding in findings:
            key, since_s = _key(finding), now_s - (finding.since_s or 0.0)
            stand = self._stands.get(key)
            if stand is not None:
                stand.finding, stand.seen_s = finding, now_s
                stand.since_s = min(stand.since_s, since_s)
            elif len(self._stands) < STANDING_MAX:
                self._stands[key] = _Stand(finding, since_s, now_s)
                changes.began.append(finding)
        for key in [key for key, stand in self._stands.items() if now_s - stand.seen_s >= ENDED_S]:
            changes.ended.append(self._stands.pop(key).finding)
        return changes

    def since_s(self, finding: Finding, now_s: float) -> float:
        """Return since when a finding of the last look stands."""
        stand = self._stands.get(_key(finding))
        return now_s - (finding.since_s or 0.0) if stand is None else stand.since_s


def _key(finding: Finding) -> _Key:
    return finding.kind, () if finding.kind in _OF_ANYBODY else finding.who
