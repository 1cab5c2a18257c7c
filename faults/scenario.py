"""A row of the fault matrix: its target as data, and what is done to the net."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from faults.loaded import Shape
from faults.net import FaultNet

RECOVERY_S_MAX: Final = 10.0
"""How soon after the fault is over goodput must be back (I7)."""

FLAWLESS: Final[Mapping[str, float]] = {"lost": 0, "errors": 0, "recovery_s": RECOVERY_S_MAX}


@dataclass
class Run:
    """One run of a row, while it is under way.

    Attributes:
        net: what it happens to.
        length_s: how long the fault is to last, where it lasts.
        rate: the load, in calls per second.
        peak: what the net can do, in calls per second.
        began: when the fault began.
        shows: when it could show at the earliest, if that is later: to bring it about takes a command.
        healed: when it was over.
        figures: what the row measures besides what all measure.
        breathe: to be called now and then by what lasts long: the record so far is checked and dropped.
        load: changes the load, in calls per second.
    """

    net: FaultNet
    length_s: float
    rate: float
    peak: float
    breathe: Callable[[], None]
    load: Callable[[float], None]
    began: float = 0.0
    shows: float = 0.0
    healed: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)

    def begin(self) -> float:
        """The fault begins now."""
        self.began = monotonic()
        return self.began

    def last(self, duration_s: float) -> None:
        """Let the fault last."""
        sleep(duration_s)

    def heal(self) -> None:
        """The fault is over now."""
        self.healed = monotonic()


def no_changes(_directory: Path) -> dict[str, str]:
    """Leave the environment of the processes as it is."""
    return {}


@dataclass(frozen=True)
class Scenario:
    """See the module.

    Attributes:
        name: what it is called on the command line.
        fault: what it is called in the report.
        target: the target in words.
        act: does it to the net, from `run.begin()` to `run.heal()`.
        most: figures and the most that they may be.
        least: figures and the least that they must be.
        runs: how often it is run.
        length_s: how long the fault lasts; 0 if it is a moment.
        quick_s: the same with --quick.
        load: the share of the peak that clients ask for.
        rate_max: the most calls per second that they ask for.
        after_s: how long the load goes on afterwards.
        shape: see Shape.
        wired: whether it needs a network that can be broken.
        delay_unseen_s: see Record.
        env: returns changes of the environment of all processes, given the directory of the row.
        missing: returns why it cannot be run here; empty if it can.
        pending: why it cannot be run anywhere yet.
        rival: whether rivals are put to the same test.
    """

    name: str
    fault: str
    target: str
    act: Callable[[Run], None]
    most: Mapping[str, float] = field(default_factory=lambda: dict(FLAWLESS))
    least: Mapping[str, float] = field(default_factory=dict)
    runs: int = 30
    length_s: float = 0.0
    quick_s: float = 0.0
    load: float = 0.5
    rate_max: float = float("inf")
    after_s: float = 4.0
    shape: Shape = field(default_factory=Shape)
    wired: bool = False
    delay_unseen_s: float = 0.05
    env: Callable[[Path], dict[str, str]] = no_changes
    missing: Callable[[], str] = str
    pending: str = ""
    rival: bool = False

    def shortfalls(self, figures: Mapping[str, float]) -> list[str]:
        """Return what of the target the figures miss."""
        bounds = [(name, "at most", most, figures[name] <= most) for name, most in self.most.items()]
        bounds += [(name, "at least", least, figures[name] >= least) for name, least in self.least.items()]
        return [
            f"{name.replace('_', ' ')} is {figures[name]:.6g}, {word} {bound:g} wanted"
            for name, word, bound, kept in bounds
            if not kept
        ]


def no_act(_run: Run) -> None:
    """Do nothing: for rows that cannot be run."""
