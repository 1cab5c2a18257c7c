"""The events that a core keeps until its shell takes them: bounded, and with a limit for each member."""

from typing import Final

from braidmq.core.events.event import DEBUG, WARNING, Event, fields_of

EVENTS_MAX: Final = 1_000
"""Events kept until the shell takes them; a flood of them says nothing that the first thousand do not. As many
warnings again have a place behind them: no flood of lesser news drowns what is wrong."""

LINES_MAX: Final = 10
"""Lines of one kind on one member in a period: enough to see what goes on, and for any member that behaves."""

PERIOD_S: Final = 60.0
"""After a period, further lines that were only counted are told of in one: whoever makes a broker write ten thousand
lines in a minute gets one a minute."""

BUDGETS_MAX: Final = 10_000
"""Members and kinds whose lines are counted apart in a period: a large net that connects again, and some MiB at most.
All others of a level share one budget."""

_OTHERS: Final = "others"


class MoreLikeThis(Event, frozen=True):
    """There were more events of one kind about one member than the log has lines for.

    Attributes:
        level: theirs.
        of: their kind.
        count: how many more.
        last: the last one of them.
    """

    level: int
    of: str
    count: int
    last: Event

    def text(self) -> str:
        """See `Event`."""
        return f"{self.count:,} more line{'s' * (self.count > 1)} like this of {self.about}: {self.last}"


class LeftOut(Event, frozen=True):
    """There were more events at one time than are kept.

    Attributes:
        level: the greatest of theirs.
        count: how many more.
    """

    level: int
    count: int

    def text(self) -> str:
        """See `Event`."""
        return f"{self.count:,} more lines were left out here: too many at one time"


class _Budget:
    """The lines of one kind on one member in this period: how many there were, and how many more were only counted."""

    __slots__ = ("last", "left_out", "lines")

    def __init__(self, lines: int, last: Event) -> None:
        self.lines = lines
        self.left_out = 0
        self.last = last


class EventLog:
    """A bounded list of events."""

    __slots__ = ("_budgets", "_dropped", "_dropped_level", "_events", "_period_ends_at")

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._dropped = 0
        self._dropped_level = DEBUG
        self._budgets: dict[tuple[int, str, str], _Budget] = {}
        self._period_ends_at = 0.0

    def add(self, event: Event) -> None:
        """Keep an event, or count it."""
        level = event.level
        key = (level, event.about, event.kind)
        budget = self._budgets.get(key)
        if budget is None:
            if len(self._budgets) >= BUDGETS_MAX:
                key = (level, _OTHERS, "")
                budget = self._budgets.get(key)
            if budget is None:
                budget = self._budgets[key] = _Budget(0, event)
        if budget.lines < LINES_MAX:
            budget.lines += 1
            self._keep(event)
        else:
            budget.left_out += 1
            budget.last = event

    def on_timer(self, now: float) -> None:
        """Do what is due: once in a period, tell of what was only counted."""
        if now < self._period_ends_at:
            return
        self._period_ends_at = now + PERIOD_S
        self.sum_up()

    @property
    def period_ends_at(self) -> float:
        """When `on_timer` has something to do."""
        return self._period_ends_at

    def sum_up(self) -> None:
        """Tell of what was only counted: at the end of a period, and when nothing follows any more."""
        budgets, self._budgets = self._budgets, {}
        for key, budget in budgets.items():
            if budget.left_out:
                level, about, _kind = key
                self._keep(MoreLikeThis(about, level, budget.last.kind, budget.left_out, budget.last))
                self._budgets[key] = _Budget(LINES_MAX, budget.last)  # whoever goes on like this gets this line only

    def take(self) -> list[Event]:
        """Return the events and forget them."""
        if not self._events:
            return self._events
        events, self._events = self._events, []
        if self._dropped:
            events.append(LeftOut(_OTHERS, self._dropped_level, self._dropped))
            self._dropped = 0
            self._dropped_level = DEBUG
        return events

    def validate_state(self) -> None:
        """Assert what must hold between two inputs. For tests and the simulator."""
        assert len(self._events) <= 2 * EVENTS_MAX
        assert len(self._budgets) <= BUDGETS_MAX + 3, "one for each level beyond"
        for event in self._events:
            shown = (str(event), *(field for field in fields_of(event).values() if isinstance(field, str)))
            assert all(each.isprintable() for each in shown)

    def _keep(self, event: Event) -> None:
        level = event.level
        if len(self._events) < (EVENTS_MAX if level < WARNING else 2 * EVENTS_MAX):
            self._events.append(event)
        else:
            self._dropped += 1
            self._dropped_level = max(self._dropped_level, level)
