"""A row of the security matrix: who attacks how, beside which load, and what must hold, as data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from faults.loaded import Shape

if TYPE_CHECKING:
    from attacks.arms import Arms

SHAPE: Final = Shape(brokers=1, workers=2, clients=4, client_processes=1, work_s=0.005)
"""The honest net: it has far more room than its load needs, so that whatever is lost the attack has taken."""

RATE: Final = 100.0
"""Honest calls each second."""

HARMLESS: Final[Mapping[str, float]] = {
    "goodput_lost": 0.05,
    "errors": 0.0,
    "forged": 0,
    "p99_ms": 250.0,
    "ended": 0,
    "broker_rss_mib": 256.0,
    "log_lines": 200,
    "lost_afterwards": 0.01,
}
"""The most that an attack may do. A process that is put to use has about 50 MiB; a line each 50 ms tells all there is
to tell, and can be read."""

BESIDE_A_HOSTILE_BROKER: Final[Mapping[str, float]] = {**HARMLESS, "errors": 0.01}
"""With a hostile broker among three: a call that it has when it turns may fail."""


@dataclass(frozen=True)
class Scenario:
    """See the module.

    Attributes:
        name: what it is called on the command line.
        attack: what it is called in the report.
        act: what each hostile process does; a function of a module.
        variant: what it is told.
        key: whose key the hostile processes hold: that of the member "mallory", or that of a registered broker.
        processes: how many there are.
        connections: how many each has to each broker.
        calls, serves: the rights of mallory.
        publish: whether mallory may hand in a newer registry.
        invites: whether it holds a token besides, of some uses.
        lie: what the hostile broker does, the last one of `shape.brokers`; see lies.py. Empty if there is none.
        shape: the honest net.
        rate: honest calls each second.
        settings: of the honest brokers, each NAME=VALUE.
        early: whether the attack comes upon brokers that have just started, before the honest nodes.
        unread: whether nobody reads the logs of the brokers meanwhile.
        most: figures and the most that they may be.
        runs: how often it is run.
        length_s: how long the attack lasts; quick_s: with --quick.
    """

    name: str
    attack: str
    act: "Callable[[Arms], None] | None" = None
    variant: str = ""
    key: Literal["mallory", "rogue"] = "mallory"
    processes: int = 1
    connections: int = 1
    calls: tuple[str, ...] = ("nothing",)
    serves: tuple[str, ...] = ()
    publish: bool = False
    invites: bool = False
    lie: str = ""
    shape: Shape = field(default_factory=lambda: SHAPE)
    rate: float = RATE
    settings: tuple[str, ...] = ()
    early: bool = False
    unread: bool = False
    most: Mapping[str, float] = field(default_factory=lambda: dict(HARMLESS))
    runs: int = 3
    length_s: float = 10.0
    quick_s: float = 6.0

    @property
    def target(self) -> str:
        """The target in words."""
        return ", ".join(_WORDS[name](most) for name, most in self.most.items() if name in _WORDS)

    def shortfalls(self, figures: Mapping[str, float]) -> list[str]:
        """Return what of the target the figures of a run miss."""
        return [
            f"{name.replace('_', ' ')} is {figures[name]:.4g}, at most {most:g} wanted"
            for name, most in self.most.items()
            if figures[name] > most
        ]


def _percent(share: float) -> str:
    return f"{100.0 * share:g} %"


_WORDS: Final[Mapping[str, Callable[[float], str]]] = {
    "goodput_lost": lambda most: f"goodput lost ≤ {_percent(most)}",
    "errors": lambda most: f"errors ≤ {_percent(most)}" if most else "no error",
    "forged": lambda most: f"forged replies ≤ {most:g}" if most else "no forged reply",
    "p99_ms": lambda most: f"p99 ≤ {most:g} ms",
    "ended": lambda most: f"processes that end ≤ {most:g}" if most else "no process ends",
    "broker_rss_mib": lambda most: f"a broker ≤ {most:g} MiB",
    "log_lines": lambda most: f"≤ {most:g} log lines",
}
"""What each bound is called."""
