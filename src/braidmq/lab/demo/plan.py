"""What a demo is asked to do, and the bounds of it."""

from dataclasses import dataclass
from typing import Final

from braidmq.errors import ConfigError

_BOUNDS: Final = {
    "brokers": (1, 16),
    "workers": (1, 64),
    "clients": (1, 64),
    "rate": (1, 20_000),
    "duration": (2, 3_600),
    "kill-every": (1, 3_600),
}
"""By the name of the option, so that a complaint says what was typed."""

IN_FLIGHT_MAX: Final = 256
"""Requests of one client that are under way at once. One that is due beyond it is not issued but counted as
held back, so the memory of a client does not grow when nothing answers."""

PAYLOAD_BYTES: Final = 4096

WORK_S: Final = (0.005, 0.020)
"""How long a request is worked at, drawn evenly: so that each kill meets requests that are under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many processes, how much load, how many kills.

    Attributes:
        rate: requests per second that all clients issue together.
        duration_s: how long they issue them.
        kill_every_s: from one kill to the next.

    Raises:
        ConfigError: a value is out of its bounds, or nothing would be killed.
    """

    brokers: int = 3
    workers: int = 4
    clients: int = 2
    rate: float = 1_000.0
    duration_s: float = 30.0
    kill_every_s: float = 4.0

    def __post_init__(self) -> None:
        """Check the bounds."""
        values = (self.brokers, self.workers, self.clients, self.rate, self.duration_s, self.kill_every_s)
        for (option, (low, high)), value in zip(_BOUNDS.items(), values, strict=True):
            if not low <= value <= high:
                raise ConfigError(f"--{option} must be between {low:,} and {high:,}, not {value:g}")
        if self.kill_every_s >= self.duration_s:
            raise ConfigError(
                f"--kill-every {self.kill_every_s:g} must be below --duration {self.duration_s:g}, "
                "or nothing would be killed"
            )

    @property
    def timeout_s(self) -> float:
        """A request's deadline. A single broker's requests wait out its absence, so they get twice the time."""
        return 5.0 if self.brokers > 1 else 10.0

    @property
    def down_s(self) -> tuple[float, float]:
        """The shortest and the longest time that a killed broker stays down."""
        return min(1.0, self.kill_every_s / 2), min(2.0, self.kill_every_s / 2)

    @property
    def kill_times(self) -> list[float]:
        """When a broker is to be killed, in seconds from the start of the load."""
        times: list[float] = []
        while (at := (len(times) + 1) * self.kill_every_s) < self.duration_s:
            times.append(at)
        return times
