"""What was measured over time, in bounded memory: an hour by the second, and a day by the minute. Pure."""

from array import array
from collections.abc import Mapping, Sequence
from math import isnan, nan
from typing import Final, Literal, NamedTuple

Span = Literal["hour", "day"]

SECOND_S: Final = 1.0
MINUTE_S: Final = 60.0

PER_MINUTE: Final = int(MINUTE_S / SECOND_S)

STEPS: Final[Mapping[Span, tuple[float, int]]] = {"hour": (SECOND_S, 3_600), "day": (MINUTE_S, 1_440)}
"""How far apart the values of each span are, in seconds, and how many there are."""

SERIES: Final = ("requests_per_s", "replies_per_s", "rejects_per_s", "queued", "outstanding", "p50_ms", "p99_ms")
"""What is measured of everything."""

LARGEST: Final = ("p50_ms", "p99_ms")
"""Of these a minute has the largest value of its seconds; of the others the mean."""

SUBJECTS_MAX: Final = 256
"""Brokers and services of which a history is kept, beside that of the whole net: 100 of each, and some to spare. One
weighs SUBJECT_BYTES at most, so that all together have 36 MiB."""

SUBJECT_BYTES: Final = len(SERIES) * 4 * sum(count for _, count in STEPS.values())
"""What the values of one subject weigh."""

NET: Final = "net"
"""The subject that is the whole net."""

Values = Sequence[float | None]
"""One for each of SERIES; None where nothing was told."""


class Past(NamedTuple):
    """A part of the past.

    Attributes:
        step_s: how far apart values are.
        first_s: when the first one was, by the clock of whoever has noted them.
        series: values by name; None where nothing was told.
    """

    step_s: float
    first_s: float
    series: dict[str, list[float | None]]


class History:
    """The values of the net, its brokers and its services. Times are seconds of one clock, which never goes back."""

    def __init__(self) -> None:
        self._subjects: dict[str, _Subject] = {NET: _Subject()}

    def note(self, values: Mapping[str, Values], now_s: float) -> None:
        """Note the values of all subjects of a look. One of which there is none does not move.

        If there are too many subjects, one that is no longer told of makes room for a new one. If all are told of, the
        new one gets no history.
        """
        idle = sorted(self._subjects.keys() - values.keys() - {NET}, key=lambda name: self._subjects[name].noted_s)
        idle.reverse()
        for subject, row in values.items():
            kept = self._subjects.get(subject) or self._make(subject, idle)
            if kept is not None:
                kept.note(row, now_s)

    def _make(self, subject: str, idle: list[str]) -> "_Subject | None":
        """Return a new subject, in place of the last of `idle` if there are too many; None if there is no room."""
        if len(self._subjects) > SUBJECTS_MAX:
            if not idle:
                return None
            del self._subjects[idle.pop()]
        made = self._subjects[subject] = _Subject()
        return made

    def past(self, subject: str, span: Span, now_s: float) -> Past | None:
        """Return what was measured of a subject; None if nothing is known of it."""
        kept = self._subjects.get(subject)
        return None if kept is None else kept.past(span, now_s)

    @property
    def values_bytes(self) -> int:
        """What all values weigh."""
        return sum(subject.values_bytes for subject in self._subjects.values())


class _Ring:
    """The newest values of one series; what was never told takes no memory."""

    __slots__ = ("_count", "_values")

    def __init__(self, count: int) -> None:
        self._count = count
        self._values: array[float] | None = None

    def put(self, slot: int, value: float | None) -> None:
        """Put a value into a slot, in place of what it had when it came round last."""
        values = self._values
        if values is None:
            if value is None:
                return
            values = self._values = array("f", [nan]) * self._count
        values[slot % self._count] = nan if value is None else value

    def fill(self, first: int, last: int, value: float | None) -> None:
        """Put a value into the slots of a part of a minute, the last one included."""
        values = self._values
        if values is None:
            if value is None:
                return
            values = self._values = array("f", [nan]) * self._count
        start, many = first % self._count, last - first + 1
        values[start : start + many] = array("f", [nan if value is None else value]) * many

    def read(self, first: int, last: int) -> list[float | None]:
        """Return the values of slots, the last one included."""
        if self._values is None:
            return [None] * (last - first + 1)
        start, end = first % self._count, last % self._count
        found = self._values[start : end + 1] if start <= end else self._values[start:] + self._values[: end + 1]
        return [None if isnan(value) else round(value, 3) for value in found]

    @property
    def values_bytes(self) -> int:
        return 0 if self._values is None else len(self._values) * self._values.itemsize


class _Track:
    """One span of a subject."""

    __slots__ = ("_count", "_rings", "first", "last", "step_s")

    def __init__(self, span: Span) -> None:
        self.step_s, self._count = STEPS[span]
        self._rings = [_Ring(self._count) for _ in SERIES]
        self.first = self.last = -1

    def put(self, slot: int, row: Values) -> None:
        if self.last < 0:
            self.first = self.last = slot
        for missing in range(max(self.last + 1, slot - self._count), slot):
            for ring in self._rings:
                ring.put(missing, None)
        if slot > self.last:
            self.last = slot
        for ring, value in zip(self._rings, row, strict=True):
            ring.put(slot, value)

    def repeat(self, slot: int, row: Values) -> None:
        """Put the row of the newest slot into those behind it, up to one of the same minute."""
        for ring, value in zip(self._rings, row, strict=True):
            ring.fill(self.last + 1, slot, value)
        self.last = slot

    def read(self, first: int, last: int) -> list[list[float | None]]:
        """Return the values of each series, in slots that this track still has."""
        first = max(first, self.first, self.last - self._count + 1)
        return [ring.read(first, last) if first <= last else [] for ring in self._rings]

    @property
    def values_bytes(self) -> int:
        return sum(ring.values_bytes for ring in self._rings)


class _Subject:
    """All that is kept of one broker, one service, or the net. A minute is made of its seconds when it is over.

    Most of a net does the same from second to second: values that repeat are counted, and written when they end, when
    somebody reads, or when their minute is over.
    """

    __slots__ = ("_days", "_hour", "_newest", "_repeated", "_since", "noted_s")

    def __init__(self) -> None:
        self._hour = _Track("hour")
        self._days = _Track("day")
        self._newest: Values = ()
        self._since = 0  # the slot from which on the newest values hold
        self._repeated = -1  # up to which slot they hold, if that is behind what is written
        self.noted_s = 0.0

    def note(self, values: Values, now_s: float) -> None:
        slot, last = int(now_s // SECOND_S), max(self._hour.last, self._repeated)
        self.noted_s = now_s
        goes_on = values == self._newest and slot - last in (0, 1)
        if goes_on and slot // PER_MINUTE == last // PER_MINUTE:
            self._repeated = slot
            return
        self._write()
        if last >= 0 and last // PER_MINUTE < slot // PER_MINUTE:
            self._days.put(last // PER_MINUTE, self._minute(last))
        self._hour.put(slot, values)
        if not goes_on:
            self._newest, self._since = values, slot

    def _write(self) -> None:
        """Write what has repeated."""
        if self._repeated > self._hour.last:
            self._hour.repeat(self._repeated, self._newest)

    def _minute(self, slot: int) -> Values:
        """Return what the minute of a second amounts to."""
        begun = slot - slot % PER_MINUTE
        if self._since <= begun:
            begun = slot  # all of its seconds have the same values
        return [_of_minute(name, seconds) for name, seconds in zip(SERIES, self._hour.read(begun, slot), strict=True)]

    def past(self, span: Span, now_s: float) -> Past:
        """Return the values up to the newest one."""
        self._write()
        hour, days = self._hour, self._days
        if hour.last < 0:
            return Past(STEPS[span][0], now_s, {name: [] for name in SERIES})
        if span == "hour":
            series = hour.read(0, hour.last)
            first = hour.last + 1 - len(series[0])
            return Past(SECOND_S, first * SECOND_S, dict(zip(SERIES, series, strict=True)))
        this = hour.last // PER_MINUTE
        values = days.read(0, days.last) if days.last >= 0 else [[] for _ in SERIES]
        missing: list[float | None] = [None] * (this - days.last - 1 if days.last >= 0 else 0)
        series = [[*row, *missing, now] for row, now in zip(values, self._minute(hour.last), strict=True)]
        first = this + 1 - len(series[0])
        return Past(MINUTE_S, first * MINUTE_S, dict(zip(SERIES, series, strict=True)))

    @property
    def values_bytes(self) -> int:
        self._write()
        return self._hour.values_bytes + self._days.values_bytes


def _of_minute(name: str, seconds: list[float | None]) -> float | None:
    known = [value for value in seconds if value is not None]
    if not known:
        return None
    return max(known) if name in LARGEST else round(sum(known) / len(known), 3)
