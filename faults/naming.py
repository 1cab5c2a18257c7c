"""`python -m faults --named`: whether faults are named rightly and soon, by whoever watches the net meanwhile.

Each row is run as ever; beside it runs an eye (eye.py). What it tells is judged (judging.py) by what is expected
(expected.py). Before a fault, and in calm rows all the time, every finding is a false alarm.
"""

from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Final, Literal

from braidmq.lab.processes.child import BRAIDMQ
from braidmq.monitor.about_brokers import STALLS_MIN
from faults import stored
from faults.command import say
from faults.expected import EXPECTED, Expected
from faults.eye import OPTIONS, Eye
from faults.judging import NEVER, STRANGE_MAX, Seen, judge
from faults.metronome import Metronome
from faults.net import FaultNet
from faults.runner import Options, known_peak, peak_of_usual, run_row
from faults.scenario import FLAWLESS, Run, Scenario
from faults.scenarios import SCENARIOS

Verdict = Literal["named", "quiet", "late", "not named", "named wrongly", "false alarm", "failed", "skipped"]

GOOD: Final = ("named", "quiet", "skipped")

NAME: Final = "named-faults"

NAMED_S_MAX: Final = 5.0
"""How soon after its beginning a fault is to be named."""

TRIES_MAX: Final = 3
"""How often a row is run while the machine stands still: it may have something else to do for a while."""

LENGTH_S: Final = 12.0
"""How long a fault lasts here that lasts: long enough to see whether it is named, and what else is said."""


@dataclass
class Named:
    """A row of the report: the worst of its runs.

    Attributes:
        name: of the scenario.
        fault: what was done.
        kinds: by which kinds of finding it is named; none if nothing is to be found.
        note: what is to be known of it.
        verdict: whether it was named rightly and soon.
        why: why it was not run, or what has failed.
        sentence: the finding that has named it.
        false_alarms: what was found before it.
        strange: what was found besides.
        starved: what was found as the machine stood still.
        runs: how often it was run.
        length_s: how long the fault lasted; 0 for a moment.
        date, version, machine: of the run.
        figures: named_s and over_s, see Seen; how often the machine itself has stood_still.
    """

    name: str
    fault: str
    kinds: list[str]
    note: str
    verdict: Verdict = "named"
    why: str = ""
    sentence: str = ""
    false_alarms: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    starved: list[str] = field(default_factory=list)
    runs: int = 0
    length_s: float = 0.0
    date: str = ""
    version: str = ""
    machine: str = ""
    figures: dict[str, float] = field(default_factory=dict)


def act_calm(run: Run) -> None:
    """Let nothing happen."""
    run.begin()
    end = monotonic() + run.length_s
    while (left := end - monotonic()) > 0:
        run.last(min(1.0, left))
        run.breathe()
    run.heal()


def calm(minutes: float) -> tuple[Scenario, ...]:
    """Return the calm rows."""
    return tuple(
        Scenario(name, fault, "nothing is found", act_calm, most=most, length_s=60 * minutes, load=load, after_s=1.0)
        for name, fault, load, most in (
            ("calm", "nothing, under load", 0.5, FLAWLESS),
            ("calm-idle", "nothing, without load", 0.0, {}),
        )
    )


class Watching:
    """Watches the runs of one row; see runner.Watcher.

    Attributes:
        seen: what was told in each run.
        stood_still: how often the machine itself stood still in one of them, at worst.
    """

    def __init__(self, expected: Expected) -> None:
        self.seen: list[Seen] = []
        self.stood_still = 0
        self._expected = expected

    def open(self, net: FaultNet, stack: ExitStack) -> None:
        """See runner.Watcher."""
        self._metronome = stack.enter_context(Metronome())
        first, *rest = OPTIONS
        child = net.launch("eye", [*BRAIDMQ, first, "--join", net.live.join("observer"), *rest], talks=True)
        self._net = net
        self._eye = stack.enter_context(Eye(child))

    def before(self) -> None:
        """See runner.Watcher."""
        self._eye.wait_until_calm()
        self._since = monotonic()

    def after(self, run: Run) -> None:
        """See runner.Watcher."""
        now = monotonic()
        hurt = {outage.process for outage in self._net.outages if outage.start >= run.began}
        before, after = self._eye.between(self._since, run.began), self._eye.between(run.began, now)
        self.stood_still = max(self.stood_still, self._metronome.missed(self._since, now))
        is_starved = self._metronome.is_out_of_time
        self.seen.append(judge(self._expected, hurt, before, after, run.shows or run.began, is_starved=is_starved))


def run(scenario: Scenario, options: Options, tell: Callable[[str], None] = say) -> Named:
    """Run a row, and return whether its fault was named.

    Where it is not as it should be, and the machine itself stood still, it is run again, TRIES_MAX times in all:
    nothing is known of the net then.
    """
    for left in reversed(range(TRIES_MAX)):
        row, stood_still = _run_once(scenario, options, tell)
        if row.verdict in GOOD or not stood_still or not left:
            break
        tell(f"  the machine stood still {stood_still} times, so it is run again; it was: {told(row)}")
    return row


def _run_once(scenario: Scenario, options: Options, tell: Callable[[str], None]) -> tuple[Named, int]:
    """Run a row; return also how often the machine stood still, 0 if so seldom that it does not matter."""
    expected = EXPECTED[scenario.name]
    watching = Watching(expected)
    row = run_row(scenario, replace(options, watcher=watching), tell)
    named = Named(scenario.name, scenario.fault, [str(kind) for kind in expected.kinds], expected.note)
    named.runs, named.length_s = len(watching.seen), row.length_s
    named.date, named.version, named.machine = row.date, row.version, row.machine
    stood_still = watching.stood_still if watching.stood_still >= STALLS_MIN else 0
    if row.verdict in ("failed", "skipped"):
        named.verdict, named.why = "failed" if row.verdict == "failed" else "skipped", row.why
    else:
        summed_up(named, watching.seen)
        named.figures["stood_still"] = stood_still
    return named, stood_still


def summed_up(named: Named, runs: Sequence[Seen]) -> Named:
    """Put what was told in all runs into a row, and return it."""
    worst = max(runs, key=lambda seen: seen.named_s)
    named.sentence = worst.sentence
    for kind in ("false_alarms", "strange", "starved"):
        setattr(named, kind, list(dict.fromkeys(text for seen in runs for text in getattr(seen, kind)))[:STRANGE_MAX])
    named.figures = {"over_s": max(seen.over_s for seen in runs)}
    if named.kinds:
        named.figures["named_s"] = worst.named_s
    named.verdict = _verdict(named)
    return named


def _verdict(named: Named) -> Verdict:
    if named.false_alarms or (named.strange and not named.kinds):
        return "false alarm"
    if not named.kinds:
        return "quiet"
    if named.figures["named_s"] == NEVER:
        return "not named"
    if named.strange:
        return "named wrongly"
    return "named" if named.figures["named_s"] <= NAMED_S_MAX else "late"


def write(directory: Path, rows: Iterable[Named]) -> None:
    """Put rows in the place of older ones of the same name, in the order of expected.py."""
    known = {row.name: row for row in (*read(directory), *rows)}
    stored.write(directory / f"{NAME}.json", [known[name] for name in EXPECTED if name in known])


def read(directory: Path) -> list[Named]:
    """Return the rows of an earlier report; none, if there is no report."""
    return stored.read(directory / f"{NAME}.json", Named)


def rows(calm_minutes: float) -> dict[str, Scenario]:
    """Return the rows of the matrix, and the calm ones."""
    return SCENARIOS | {row.name: row for row in calm(calm_minutes)}


def main(chosen: Sequence[Scenario], options: Namespace) -> int:
    """Run these rows as the command line says; return 1 if one of them is not as it should be."""
    peak = options.rate or peak_of_usual(say)
    verdicts = []
    for scenario in chosen:
        say(f"{scenario.name}: {scenario.fault}")
        length_s = None if scenario.act is act_calm else options.length or LENGTH_S
        row = run(scenario, Options(options.runs or 1, False, known_peak(scenario, options.rate, peak), length_s))
        say(f"  {told(row)}")
        write(options.report, [row])
        verdicts.append(row.verdict)
    return 0 if all(verdict in GOOD for verdict in verdicts) else 1


def told(row: Named) -> str:
    """Return what became of a row, on some lines."""
    seconds = row.figures.get("named_s", NEVER)
    lines = [f"{row.verdict}{'' if seconds == NEVER else f' after {seconds:.1f} s'}", row.sentence, row.why]
    lines += [f"before: {text}" for text in row.false_alarms] + [f"besides: {text}" for text in row.strange]
    lines += [f"the machine stood still: {text}" for text in row.starved]
    return "\n    ".join(filter(None, lines))
