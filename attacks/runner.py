"""Runs a row of the matrix: for each run a net of its own, an honest load on it, and the attack beside."""

import random
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from attacks import figures
from attacks.figures import Phases
from attacks.net import ROGUE, AttackNet
from attacks.report import Row
from attacks.scenario import Scenario
from attacks.watch import Usage, Watch
from braidmq import __version__
from braidmq.lab.bench.machine import machine_class

CALM_S: Final = 3.0
"""How long the load runs before the attack: its level is measured there."""

AFTER_S: Final = 4.0
"""How long it goes on afterwards."""

EARLY_S: Final = 1.0
"""How much earlier an attack on a fresh broker comes than the honest nodes."""

COME_S_MAX: Final = 10.0
"""How long these may take to be served there, before the load begins all the same."""

SHOWN: Final = (
    "goodput_lost", "errors", "forged", "p50_ms", "p99_ms", "worst_ms", "broker_rss_mib", "log_lines", "ended",
    "lost_afterwards",
)  # fmt: skip
"""The figures in the line on a run."""

NOTES_MAX: Final = 5
"""Of what is said of a run besides what it falls short of."""


@dataclass(frozen=True)
class Options:
    """How a row is run.

    Attributes:
        runs: how often, if not as often as the row says.
        quick: whether attacks are shortened, and there is one run.
        seed: decides what is drawn; a new one for each run, if there is none.
    """

    runs: int | None = None
    quick: bool = False
    seed: int | None = None


def run_row(scenario: Scenario, options: Options, say: Callable[[str], None] = print) -> Row:
    """Run a row, and return what is to be told of it.

    Args:
        scenario: the row.
        options: see Options.
        say: takes a line for each run.
    """
    length_s = scenario.quick_s if options.quick else scenario.length_s
    row = Row(scenario.name, scenario.attack, scenario.target, "met", length_s=length_s, quick=options.quick)
    row.date, row.version, row.machine = datetime.now(UTC).strftime("%Y-%m-%d"), __version__, machine_class()
    count = options.runs or (1 if options.quick else scenario.runs)
    for number in range(count):
        seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed + number
        try:
            table, notes = _Course(scenario, length_s, seed).run()
        except AssertionError as error:  # of the harness: it waits in vain
            say(f"  run {number + 1} of {count}, seed {seed}: {error}")
            return row.ended("failed", str(error).partition("\n")[0] or "something that should hold did not")
        shortfalls = scenario.shortfalls(table)
        row.add(table, [*notes[:NOTES_MAX], *shortfalls], seed, missed=bool(shortfalls))
        shown = ", ".join(f"{name} {table[name]:.4g}" for name in SHOWN)
        say(f"  run {number + 1} of {count}, seed {seed}: {shown}{''.join(f'{chr(10)}    {each}' for each in notes)}")
    return row


class _Course:
    """One run."""

    def __init__(self, scenario: Scenario, length_s: float, seed: int) -> None:
        self._scenario, self._length_s, self._seed = scenario, length_s, seed

    def run(self) -> tuple[dict[str, float], list[str]]:
        """Return the figures, and what is to be said besides."""
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="attacks-")))
            net = self._net = stack.enter_context(AttackNet(directory, self._scenario, self._seed))
            watch = stack.enter_context(Watch(lambda: net.children))
            phases, counts = self._attack_early(watch) if self._scenario.early else self._attack(watch)
            net.end_calls()
            ended = net.ended()
            calls = net.calls()
            table = {
                **figures.of_calls(calls, phases, (ROGUE,) if self._scenario.lie else ()),
                **figures.of_processes(self._usages, self._used(watch), net.honest, self._logs()),
                "ended": len(ended),
                **{f"attackers_{name}": count for name, count in counts.items()},
            }
            kinds = figures.kinds(calls, phases)
            notes = [*ended, *([", ".join(f"{count} {kind}" for kind, count in kinds.most_common())] if kinds else [])]
            return table, notes

    def _attack(self, watch: Watch) -> tuple[Phases, Mapping[str, int]]:
        """Attack a net that is sound and at work."""
        net, scenario = self._net, self._scenario
        net.start_brokers()
        net.start_nodes()
        net.wait_until_sound()
        net.start_attackers(self._length_s)
        net.call(scenario.rate)
        since = monotonic()
        sleep(CALM_S)
        self._note(watch)
        if scenario.unread:
            for name in net.honest:
                net.children[name].stop_reading()
        began = monotonic()
        net.begin()
        sleep(self._length_s)
        healed = monotonic()
        counts = net.end()
        for name in net.honest:
            net.children[name].read_on()
        sleep(AFTER_S)
        return Phases(since, began, healed, monotonic()), counts

    def _attack_early(self, watch: Watch) -> tuple[Phases, Mapping[str, int]]:
        """Attack brokers that have just started; then come the honest nodes."""
        net, scenario = self._net, self._scenario
        net.start_attackers(self._length_s)
        net.start_brokers()
        self._note(watch)
        net.begin()
        sleep(EARLY_S)
        net.start_nodes()
        sleep(EARLY_S)
        net.call(scenario.rate)
        began = monotonic()
        sleep(self._length_s)
        healed = monotonic()
        counts = net.end()
        sleep(AFTER_S)
        return Phases(began, began, healed, monotonic()), counts

    def _note(self, watch: Watch) -> None:
        """Note what the honest processes have used and said so far."""
        self._usages = self._used(watch)
        self._said = {name: len(child.log) for name, child in self._net.honest_children().items()}

    def _used(self, watch: Watch) -> dict[str, Usage]:
        return {name: usage for name, usage in watch.usages().items() if name not in self._net.hostile}

    def _logs(self) -> dict[str, str]:
        return {name: child.log[self._said.get(name, 0) :] for name, child in self._net.honest_children().items()}
