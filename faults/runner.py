"""Runs a row of the matrix: one net, a load on it, and the fault as often as it is asked for."""

import subprocess
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Final, Protocol, cast

from braidmq import __version__
from braidmq.lab.bench.machine import machine_class
from faults import figures, wire
from faults.figures import Figures
from faults.loaded import Loaded, Shape
from faults.nats_cluster import ClusterError
from faults.net import FaultNet
from faults.report import OURS, Row
from faults.rival_net import RivalNet
from faults.scenario import RECOVERY_S_MAX, Run, Scenario
from faults.wire import Wire

BEFORE_S: Final = 2.0
"""How long the load runs before each fault: its level is measured there."""

BREATH_S: Final = 20.0
"""How much is recorded at most before it is checked and dropped."""

QUICK_RUNS: Final = 3

SHOWN: Final = ("requests", "lost", "errors", "flagged", "affected", "affected_p99_ms", "worst_ms", "clients_late_ms")
"""The figures in the line on a run."""

VIOLATIONS_SHOWN: Final = 5


class Watcher(Protocol):
    """Watches the net of a row, and each of its runs."""

    def open(self, net: FaultNet, stack: ExitStack) -> None:
        """Begin with a net that is up; what is to be ended before it goes onto the stack."""

    def before(self) -> None:
        """Take note that a run is about to begin: the net is sound, and without load."""

    def after(self, run: Run) -> None:
        """Take note that a run is over, while the load goes on."""


@dataclass
class Options:
    """How a row is run.

    Attributes:
        runs: how often, if not as often as the row says.
        quick: whether what lasts is shortened, and there are few runs.
        peak: what the net can do, in calls per second, if it is known.
        length_s: how long a fault lasts that lasts, if not as long as the row says.
        watcher: who watches it, if somebody does.
    """

    runs: int | None = None
    quick: bool = False
    peak: float | None = None
    length_s: float | None = None
    watcher: Watcher | None = None


def peak_of_usual(say: Callable[[str], None] = print) -> float:
    """Measure what a net of the usual shape can do, in calls per second."""
    with tempfile.TemporaryDirectory(prefix="faults-") as directory, FaultNet(Path(directory), Shape()) as net:
        net.start()
        peak = net.peak()
    say(f"the peak is {peak:,.0f} calls per second")
    return peak


def known_peak(scenario: Scenario, asked: float | None, usual: float) -> float | None:
    """Return what the net of a row can do, if that is known; with a wire it is less, and measured.

    Args:
        scenario: the row.
        asked: what somebody says that it can do.
        usual: what a net of the usual shape can do.
    """
    return usual if scenario.shape == Shape() and not (scenario.wired and not asked) else None


def run_row(scenario: Scenario, options: Options, say: Callable[[str], None] = print, rival: str = "") -> Row:
    """Run a row, and return what is to be told of it.

    Args:
        scenario: the row.
        options: see Options.
        say: takes a line for each run.
        rival: how the clients of NATS call (see RivalNet); empty for BraidMQ.
    """
    length_s = scenario.quick_s if options.quick else scenario.length_s
    if length_s and options.length_s:
        length_s = options.length_s
    shortened = length_s < scenario.length_s
    row = Row(scenario.name, scenario.fault, scenario.target, "met", length_s=length_s, quick=shortened)
    row.system = f"NATS, {rival}" if rival else OURS
    row.date, row.version, row.machine = datetime.now(UTC).strftime("%Y-%m-%d"), __version__, machine_class()
    if scenario.pending:
        return row.ended("pending", scenario.pending)
    if why := scenario.missing() or (wire.missing() if scenario.wired else ""):
        return row.ended("skipped", why)
    runs = options.runs or (min(QUICK_RUNS, scenario.runs) if options.quick else scenario.runs)
    try:
        table, found = _Course(scenario, length_s, options, say, rival).run(runs)
    except (AssertionError, ClusterError, subprocess.TimeoutExpired) as error:  # of the harness: it waits in vain
        say(f"  {error}")
        return row.ended("failed", str(error).partition("\n")[0] or "something that should hold did not")
    row.runs, row.figures = runs, table
    row.violations = found[:VIOLATIONS_SHOWN]
    shortfalls = scenario.shortfalls(table)
    if found:
        shortfalls.append(f"{len(found)} violations of invariants")
    return row.ended("missed", "; ".join(shortfalls)) if shortfalls else row


@dataclass
class _Course:
    """All runs of a row."""

    scenario: Scenario
    length_s: float
    options: Options
    say: Callable[[str], None]
    rival: str
    total: Figures = field(default_factory=Figures)
    extra: dict[str, float] = field(default_factory=dict)

    def run(self, runs: int) -> tuple[dict[str, float], list[str]]:
        scenario = self.scenario
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faults-")))
            self.net = stack.enter_context(self._new_net(stack, directory))
            self.net.start()
            self.rate, self.peak = 0.0, self.options.peak
            if scenario.load:
                self.peak = self.peak or self.net.peak()
                self.rate = min(scenario.rate_max, scenario.load * self.peak)
            self.net.read()  # what the start and the measurement of the peak have left
            watcher = self.options.watcher
            if watcher is not None:
                watcher.open(cast("FaultNet", self.net), stack)
            for number in range(1, runs + 1):
                self.say(f"  run {number} of {runs}: {self._one()}")
        table = {**self.total.table(), "rate": self.rate, **self.extra}
        return table, self.total.violations

    def _new_net(self, stack: ExitStack, directory: Path) -> Loaded:
        shape = replace(self.scenario.shape, block_s=self.length_s)
        if self.rival:
            return RivalNet(directory, shape, self.rival)
        names = [f"b{number}" for number in range(1, shape.brokers + 1)]
        link = stack.enter_context(Wire(names)) if self.scenario.wired else None
        return FaultNet(directory, shape, wire=link, env=self.scenario.env(directory))

    def _one(self) -> str:
        """Do it once; return a line on it."""
        mine, watcher = Figures(), self.options.watcher
        self.current = mine
        if watcher is not None:
            watcher.before()
        self._sound_from = float("inf")
        self._drive(self.rate)
        net = cast("FaultNet", self.net)  # rows for rivals keep to what a Loaded has
        since = self._since = monotonic()
        sleep(BEFORE_S)
        run = Run(net, self.length_s, self.rate, self.peak or 0.0, breathe=self._breathe, load=self._drive)
        self.scenario.act(run)
        run.healed = run.healed or run.began
        sleep(self.scenario.after_s)
        until = monotonic()
        if watcher is not None:
            watcher.after(run)
        self.net.end_calls()
        self.net.wait_until_sound()
        self._sound_from = run.healed + RECOVERY_S_MAX
        self._collect(at_the_end=True)
        self.total.merge(mine)
        if self.rate:
            self._add_figures(run, since, until)
        for name, value in run.figures.items():
            worse = min if name in self.scenario.least else max
            self.extra[name] = worse(value, self.extra.get(name, value))
        table = mine.table()
        numbers = [f"{name} {table[name]:.4g}" for name in SHOWN]
        numbers += [f"{name} {value:.4g}" for name, value in run.figures.items()]
        return ", ".join(numbers) + "".join(f"\n    {each}" for each in mine.violations[:VIOLATIONS_SHOWN])

    def _add_figures(self, run: Run, since: float, until: float) -> None:
        """Add what is found only when a run is over."""
        replied = self.current.replied
        if "goodput" in self.scenario.least and self.peak:
            during = sum(run.began <= at < run.healed for at in replied)
            run.figures["goodput"] = during / (run.healed - run.began) / self.peak
        run.figures["recovery_s"] = figures.recovery(replied, since, run.began, run.healed, until)

    def _drive(self, rate: float) -> None:
        """Change the load, if there is any."""
        if rate:
            self.net.call(rate)

    def _breathe(self) -> None:
        """Check what there is so far, and go on."""
        if monotonic() - self._since >= BREATH_S:
            self.net.end_calls()
            self._collect()
            self._since = monotonic()
            self._drive(self.rate)

    def _collect(self, *, at_the_end: bool = False) -> None:
        record = self.net.read()
        record.delay_unseen_s = self.scenario.delay_unseen_s
        if at_the_end and isinstance(self.net, FaultNet):
            self.net.look(record)
        for call in record.calls:
            call.must_succeed = call.started >= self._sound_from
        self.current.add(record, self.net.judge(record))
