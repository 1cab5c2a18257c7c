"""What was measured over time, in bounded memory: an hour by the second, and a day by the minute. Pure."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from math import isnan, nan
from typing import Final, Literal, NamedTuple

Span = Literal["hour", "day"]

SECOND_S: Final = 1.0
MINUTE_S: Final = 60.0

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
        for subject, row in values.items():
            kept = self._subjects.get(subject) or self._make(subject, values)
            if kept is not None:
                kept.note(row, now_s)

    def _make(self, subject: str, told: Mapping[str, Values]) -> "_Subject | None":
        if len(self._subjects) > SUBJECTS_MAX:
            gone = [name for name in self._subjects if name not in told and name != NET]
            if not gone:
                return None
            del self._subjects[min(gone, key=lambda name: self._subjects[name].noted_s)]
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

    def put(self, slot: int, value: float) -> None:
        """Put a value into a slot, which has to be cleared when its time comes."""
        if self._values is None:
            if isnan(value):
                return
            self._values = array("f", [nan]) * self._count
        self._values[slot % self._count] = value

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

    __slots__ = ("_count", "_first", "_last", "_rings", "_step_s")

    def __init__(self, step_s: float, count: int) -> None:
        self._step_s = step_s
        self._count = count
        self._rings = [_Ring(count) for _ in SERIES]
        self._first = self._last = -1

    def put(self, row: Sequence[float], now_s: float) -> None:
        slot = int(now_s // self._step_s)
        if self._last < 0:
            self._first = self._last = slot
        for missing in range(max(self._last + 1, slot - self._count), slot):
            for ring in self._rings:
                ring.put(missing, nan)
        self._last = max(slot, self._last)
        for ring, value in zip(self._rings, row, strict=True):
            ring.put(slot, value)

    def past(self, now_s: float) -> Past:
        """Return the values up to the newest one."""
        if self._last < 0:
            return Past(self._step_s, now_s, {name: [] for name in SERIES})
        first = max(self._first, self._last - self._count + 1)
        series = {name: ring.read(first, self._last) for name, ring in zip(SERIES, self._rings, strict=True)}
        return Past(self._step_s, first * self._step_s, series)

    @property
    def values_bytes(self) -> int:
        return sum(ring.values_bytes for ring in self._rings)


class _Subject:
    """All that is kept of one broker, one service, or the net."""

    __slots__ = ("_minute", "_seconds", "_tracks", "noted_s")

    def __init__(self) -> None:
        self._tracks: dict[Span, _Track] = {span: _Track(*STEPS[span]) for span in STEPS}
        self._minute = -1
        self._seconds: list[list[float]] = [[] for _ in SERIES]
        self.noted_s = 0.0

    def note(self, values: Values, now_s: float) -> None:
        row = [nan if value is None else value for value in values]
        self._tracks["hour"].put(row, now_s)
        minute = int(now_s // MINUTE_S)
        if minute != self._minute:
            self._minute, self._seconds = minute, [[] for _ in SERIES]
        for seconds, value in zip(self._seconds, row, strict=True):
            if not isnan(value):
                seconds.append(value)
        self._tracks["day"].put(list(self._of_minute()), now_s)
        self.noted_s = now_s

    def _of_minute(self) -> Iterator[float]:
        for name, seconds in zip(SERIES, self._seconds, strict=True):
            if not seconds:
                yield nan
            else:
                yield max(seconds) if name in LARGEST else sum(seconds) / len(seconds)

    def past(self, span: Span, now_s: float) -> Past:
        return self._tracks[span].past(now_s)

    @property
    def values_bytes(self) -> int:
        return sum(track.values_bytes for track in self._tracks.values())
