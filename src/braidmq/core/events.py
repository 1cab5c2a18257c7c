"""What a core tells its shell for the log: bounded, escaped, and with a limit for each member. Cold path only."""

from dataclasses import dataclass
from typing import Final

from braidmq.printable import printable

EVENTS_MAX: Final = 1_000
"""Events kept until the shell takes them; a flood of them says nothing that the first thousand do not. As many
warnings again have a place behind them: no flood of lesser news drowns what is wrong."""

LINES_MAX: Final = 10
"""Lines of one kind on one member in a period: enough to see what goes on, and for any member that behaves."""

PERIOD_S: Final = 60.0
"""After a period, further lines that were only counted are told of in one: whoever makes a broker write ten thousand
lines in a minute gets one a minute."""

BUDGETS_MAX: Final = 10_000
"""Members and kinds whose lines are counted apart in a period: a large net that connects anew, and some MiB at most.
All others of a level share one budget."""

DETAIL_CHARS_MAX: Final = 500
"""Characters of one detail of a line: what a peer says of itself may be as long as a message."""

DEBUG: Final = 10
INFO: Final = 20
WARNING: Final = 30
ERROR: Final = 40


@dataclass(slots=True)
class Event:
    """One line for the log.

    Attributes:
        level: as in `logging`.
        text: what happened, and what to do if something is to be done. Printable, whatever peers have said.
    """

    level: int
    text: str


class _Budget:
    """The lines of one kind on one member in this period: how many there were, and how many more were only counted."""

    __slots__ = ("last", "left_out", "lines")

    def __init__(self, lines: int) -> None:
        self.lines = lines
        self.left_out = 0
        self.last = ""


class EventLog:
    """A bounded list of events."""

    __slots__ = ("_budgets", "_dropped", "_dropped_level", "_events", "_period_ends_at")

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._dropped = 0
        self._dropped_level = DEBUG
        self._budgets: dict[tuple[int, str, str], _Budget] = {}
        self._period_ends_at = 0.0

    def add(self, level: int, form: str, about: str, *details: str) -> None:
        """Keep an event, or count it.

        Args:
            level: as in `logging`.
            form: the kind of event: a constant text with ``{}`` for `about` and for each of the `details`, in order.
            about: the member that has caused it, whose lines of this kind are limited.
            details: what else the line says; like `about` it may hold anything that peers have said.
        """
        text = _fill(form, about, details)
        key = (level, about, form)
        budget = self._budgets.get(key)
        if budget is None:
            if len(self._budgets) >= BUDGETS_MAX:
                key = (level, "others", "")
                budget = self._budgets.get(key)
            if budget is None:
                budget = self._budgets[key] = _Budget(0)
        if budget.lines < LINES_MAX:
            budget.lines += 1
            self._keep(level, text)
        else:
            budget.left_out += 1
            budget.last = text

    def on_timer(self, now: float) -> None:
        """Do what is due: once in a period, tell of what was only counted."""
        if now < self._period_ends_at:
            return
        self._period_ends_at = now + PERIOD_S
        self.sum_up()

    def sum_up(self) -> None:
        """Tell of what was only counted: at the end of a period, and when nothing follows any more."""
        budgets, self._budgets = self._budgets, {}
        for key, budget in budgets.items():
            if budget.left_out:
                level, about, _form = key
                more = f"{budget.left_out:,} more line{'s' * (budget.left_out > 1)} like this of {_shown(about)}"
                self._keep(level, f"{more}: {budget.last}")
                self._budgets[key] = _Budget(LINES_MAX)  # whoever goes on like this gets this line only

    def take(self) -> list[Event]:
        """Return the events and forget them."""
        if not self._events:
            return self._events
        events, self._events = self._events, []
        if self._dropped:
            text = f"{self._dropped:,} more lines were left out here: too many at one time"
            events.append(Event(self._dropped_level, text))
            self._dropped = 0
            self._dropped_level = DEBUG
        return events

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        assert len(self._events) <= 2 * EVENTS_MAX
        assert len(self._budgets) <= BUDGETS_MAX + 3, "one for each level beyond"
        assert all(event.text.isprintable() for event in self._events)

    def _keep(self, level: int, text: str) -> None:
        if len(self._events) < (EVENTS_MAX if level < WARNING else 2 * EVENTS_MAX):
            self._events.append(Event(level, text))
        else:
            self._dropped += 1
            self._dropped_level = max(self._dropped_level, level)


def _fill(form: str, about: str, details: tuple[str, ...]) -> str:
    """Return `form` with what belongs into it; not by `str.format`, which can fail."""
    first, *rest = form.split("{}")
    parts = [first]
    for part, detail in zip(rest, (about, *details), strict=False):
        parts += (_shown(detail), part)
    return "".join(parts)


def _shown(detail: str) -> str:
    """Return a detail as a line can hold it."""
    shown = printable(detail[:DETAIL_CHARS_MAX])
    more = len(detail) - DETAIL_CHARS_MAX
    return f"{shown}... and {more:,} characters more" if more > 0 else shown
