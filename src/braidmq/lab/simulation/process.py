"""A process of the net: it has a clock of its own, and it can be stopped, killed and started anew."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from braidmq.lab.simulation.record import Outage
from braidmq.lab.simulation.world import World

LATE_S: Final = 1e-6
"""How late a timer fires at least, so that no rounding makes it fire early."""

CHECK_FREELY: Final = 256
"""The square of how many things a core may hold that checks itself as often as any does."""

CHECK_EVERY: Final = 8
"""Inputs between two checks of a core: what is wrong stays wrong, and is found at the end of a turn soon after. A check
costs much more than an input, so that with fewer of them more seeds are tried. A run with a trace checks after every
turn."""


class Process(ABC):
    """What brokers and nodes have in common. A turn takes in what has come, and does what follows from it.

    Attributes:
        up: whether it exists.
        paused: whether it was stopped, as by SIGSTOP or by a blocked event loop; what comes waits.
        life: counts its starts.
        stopping: since when it drains, on its own clock; None while it does not.
        due_at: when something is due, as its last turn has said.
        busy_until: until when its last turn takes, in the world's time.
    """

    def __init__(self, world: World, name: str, *, clock_rate: float = 1.0) -> None:
        self.world = world
        self.name = name
        self.up = False
        self.paused = False
        self.life = 0
        self.stopping: float | None = None
        self.due_at = float("-inf")
        self.busy_until = 0.0
        self._clock_rate = clock_rate
        self._clock_offset = world.chance(f"clock of {name}").uniform(0.0, 1e6)
        self._errands: list[Callable[[], None]] = []
        self._timer_at = float("inf")
        self._waking = False
        self._check_every = 1 if world.trace.keeps else CHECK_EVERY
        self._unchecked = world.chance(f"checks of {name}").randrange(CHECK_EVERY)

    @property
    def clock(self) -> float:
        """The time as this process sees it: monotonic, from an arbitrary beginning, a little fast or slow."""
        return self._clock_offset + self.world.now * self._clock_rate

    @property
    def is_at_work(self) -> bool:
        """Whether it runs, and is not about to end."""
        return self.up and not self.paused and self.stopping is None

    # -- what happens to it

    def start(self) -> None:
        """Begin a new life that remembers nothing."""
        assert not self.up
        self.up = True
        self.paused = False
        self.stopping = None
        self.due_at = float("-inf")
        self.busy_until = self.world.now
        self.life += 1
        self._errands = []
        self._timer_at = float("inf")
        self._waking = False
        self.world.trace.note(self.world.now, f"{self.name} starts")
        self._begin()
        self.wake()

    def end(self) -> None:
        """Stop existing; the subclass has said goodbye to its connections, or has not."""
        self.up = False
        self.paused = False
        self._errands = []

    @abstractmethod
    def kill(self) -> None:
        """End it as kill -9 does, if it exists."""

    def stop(self) -> None:
        """Let it drain and end, as SIGTERM does."""

        def drain() -> None:
            if self.stopping is None:
                self.stopping = self.clock
                self._drain(self.clock)

        self.later(0.0, drain)

    def pause(self) -> None:
        """Stop running."""
        self.paused = True

    def resume(self) -> None:
        """Go on: first with what has waited."""
        self.paused = False
        self.wake()

    def mark_outage(self, kind: str) -> Outage:
        """Note that something is wrong with it from now on; whoever mends it sets the end."""
        outage = Outage(self.name, kind, self.world.now)
        self.world.record.outages.append(outage)
        return outage

    def spend(self, seconds: float) -> None:
        """Let its turn take so much longer: the next one begins after that."""
        self.busy_until = max(self.busy_until, self.world.now) + seconds

    def is_check_due(self, messages: int, held: int) -> bool:
        """Whether a core had better check itself, after some more messages, that holds `held` things.

        A check looks at all of them. So cores that hold much check themselves less often.
        """
        self._unchecked += messages
        if self._unchecked < max(self._check_every, held * held // CHECK_FREELY):
            return False
        self._unchecked = 0
        return True

    def note_read(self, messages: int) -> None:
        """Note that its core gets so many messages in this turn, at the end of which it may check itself."""
        self._unchecked += messages

    # -- its own time

    def later(self, delay_s: float, errand: Callable[[], None]) -> None:
        """Do an errand after a time of the world, in a turn of this life; a stopped process does it when it goes on."""
        life = self.life

        def come() -> None:
            if self.up and self.life == life:
                self._errands.append(errand)
                self.wake()

        self.world.later(delay_s, come)

    def wake(self) -> None:
        """Have a turn now, after what happens at this very moment."""
        if self.up and not self._waking:
            self._waking = True
            self.world.at(self.world.now, self._run)

    def _run(self) -> None:
        self._waking = False
        if not self.up or self.paused:
            return
        if self.world.now < self.busy_until:
            self._waking = True
            self.world.at(self.busy_until, self._run)
            return
        errands, self._errands = self._errands, []
        for errand in errands:
            errand()
        self.due_at = self._turn(self.clock)
        if not self.up:
            return
        at = max(self.world.now, (self.due_at - self._clock_offset) / self._clock_rate + LATE_S)
        if at < self._timer_at or self._timer_at <= self.world.now:
            self._timer_at = at
            life = self.life
            self.world.at(at, lambda: self._on_time(at, life))

    def _on_time(self, at: float, life: int) -> None:
        if self.life == life and self._timer_at == at:
            self._timer_at = float("inf")
            if self.up and not self._waking:
                self._waking = True
                self._run()

    # -- what it does

    @abstractmethod
    def _begin(self) -> None:
        """Make the cores of a new life."""

    @abstractmethod
    def _drain(self, now: float) -> None:
        """Begin to drain."""

    @abstractmethod
    def _turn(self, now: float) -> float:
        """Handle what has come, do what follows, and return when the next turn is due at the latest."""
