"""What is known of a running demo: its brokers, its kills and the newest totals of its clients.

Nothing here knows the time, and nothing here does anything: the killer asks it, the views show it.
"""

from collections import deque
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from braidmq.histogram import Histogram
from braidmq.lab.demo.plan import Plan
from braidmq.lab.demo.tally import Snapshot, Stage, merged

SAMPLE_S: Final = 0.5
"""From one sample of the rate to the next."""

SAMPLES_MAX: Final = 7_200
"""An hour of them."""

WINDOW: Final = 6
"""Snapshots of each client that are kept: what is shown as now is what happened between the first and the last."""

SILENT_S: Final = 1.0
"""A client that has not reported for so long has no rate."""

EVENTS_MAX: Final = 100


class BrokerState(StrEnum):
    """How a broker's process stands."""

    STARTING = "starting"
    """It runs, but no reply has come through it yet."""
    UP = "up"
    DOWN = "killed"


class BrokerRow:
    """One broker: its process, since when it is in its state, and how many replies came through it in all."""

    __slots__ = ("kills", "name", "pid", "replies", "since", "state")

    def __init__(self, name: str) -> None:
        self.name = name
        self.pid = 0
        self.state = BrokerState.STARTING
        self.since = 0.0
        self.replies = 0
        self.kills = 0


class Board:
    """Keeps what `on_started`, `on_killed`, `on_snapshot` and `on_sample` tell, for whoever reads it.

    Attributes:
        rates: replies per second, a sample every SAMPLE_S.
        kills_at: the number of the sample during which each kill happened.
        events: the last EVENTS_MAX lines on what happened, each with its time since the start of the load.
        told: how many events there were in all.
    """

    def __init__(self, plan: Plan, brokers: Iterable[str]) -> None:
        self.plan = plan
        self.brokers = {name: BrokerRow(name) for name in brokers}
        self.rates: deque[float] = deque(maxlen=SAMPLES_MAX)
        self.kills_at: deque[int] = deque(maxlen=SAMPLES_MAX)
        self.samples = 0
        self.events: deque[tuple[float, str]] = deque(maxlen=EVENTS_MAX)
        self.told = 0
        self.restarts = 0
        self.started_at: float | None = None
        self.stopped_at: float | None = None
        self._windows: dict[str, deque[Snapshot]] = {}
        self._totals = Snapshot()

    # -- what is known

    @property
    def totals(self) -> Snapshot:
        """The sum of the newest snapshots."""
        return self._totals

    @property
    def kills(self) -> int:
        """How many brokers have been killed."""
        return sum(row.kills for row in self.brokers.values())

    def elapsed_s(self, now: float) -> float:
        """Return how long the clients have issued requests."""
        if self.started_at is None:
            return 0.0
        return (now if self.stopped_at is None else self.stopped_at) - self.started_at

    def clients_at(self, stage: Stage) -> int:
        """Return how many clients stand at `stage`."""
        return sum(window[-1].stage is stage for window in self._windows.values())

    def has(self, client: str) -> bool:
        """Whether a client has reported."""
        return client in self._windows

    def may_kill(self) -> bool:
        """Whether a broker may be killed: every one is up and has served since it was last started."""
        return all(row.state is BrokerState.UP for row in self.brokers.values())

    def rate(self, now: float) -> float:
        """Return the replies per second, now."""
        return sum(_rate(window) for window in self._windows.values() if now - window[-1].at < SILENT_S)

    def latency(self) -> Histogram:
        """Return the latencies of the last second."""
        return Histogram.merged(window[-1].latency.since(window[0].latency) for window in self._windows.values())

    # -- what happens

    def on_started(self, name: str, pid: int, now: float) -> None:
        """Note that a broker was started."""
        row = self.brokers[name]
        if row.kills:
            self.restarts += 1
            self.tell(now, f"restarted {name} (pid {pid})")
        row.pid, row.state, row.since = pid, BrokerState.STARTING, now

    def on_killed(self, name: str, now: float) -> None:
        """Note that a broker was killed."""
        row = self.brokers[name]
        row.kills += 1
        row.state, row.since = BrokerState.DOWN, now
        self.kills_at.append(self.samples)
        self.tell(now, f"kill -9 {name} (pid {row.pid})")

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Handle a client's report. A broker is up once a reply has come through it since it was started."""
        self._windows.setdefault(snapshot.client, deque(maxlen=WINDOW)).append(snapshot)
        totals = self._totals = merged(window[-1] for window in self._windows.values())
        for name, row in self.brokers.items():
            row.replies = totals.brokers.get(name, 0)
            served_at = totals.served_at.get(name)
            if row.state is BrokerState.STARTING and served_at is not None and served_at > row.since:
                row.state, row.since = BrokerState.UP, served_at
                if row.kills:
                    self.tell(served_at, f"{name} serves again")

    def on_sample(self, now: float) -> None:
        """Take a sample of the rate."""
        self.rates.append(self.rate(now))
        self.samples += 1

    def tell(self, now: float, text: str) -> None:
        """Note that something happened."""
        self.events.append((self.elapsed_s(now), text))
        self.told += 1


def _rate(window: deque[Snapshot]) -> float:
    """Return a client's replies per second, by its own clock: so the time a report takes does not show."""
    first, last = window[0], window[-1]
    return (last.replies - first.replies) / (last.at - first.at) if last.at > first.at else 0.0
