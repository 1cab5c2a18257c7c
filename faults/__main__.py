"""`python -m faults`: run the rows of the fault matrix, all or those that are named, and write the report."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from braidmq.lab.bench.systems import nats
from faults import command, report
from faults.command import say
from faults.loaded import Shape
from faults.net import FaultNet
from faults.runner import Options, run_row
from faults.scenarios import SCENARIOS

GOOD: Final = ("met", "skipped", "pending")


def main(arguments: Sequence[str]) -> int:
    """Run; return 1 if a row misses its target."""
    parser = command.new_parser("faults", __doc__, "ROW", "the rows to run")
    parser.add_argument("--quick", action="store_true", help="3 runs at most, and short ones")
    parser.add_argument(
        "--length", type=float, metavar="S", help="how long a fault lasts that lasts, instead of its own"
    )
    parser.add_argument("--rate", type=float, help="calls per second at the peak, instead of measuring them")
    command.add_report(parser)
    listed = [(each.name, f"{each.fault}: {each.target}") for each in SCENARIOS.values()]
    options = command.begin(parser, arguments, listed)
    if options is None:
        return 0
    if unknown := set(options.names) - set(SCENARIOS):
        parser.error(f"there is no row {', '.join(sorted(unknown))}; --list shows all")
    chosen = [SCENARIOS[name] for name in options.names] or list(SCENARIOS.values())
    peak = options.rate or _peak()
    rows = []
    for scenario in chosen:
        say(f"{scenario.name}: {scenario.fault}")
        usual = scenario.shape == Shape() and not (scenario.wired and not options.rate)
        how = Options(options.runs, options.quick, peak if usual else None, options.length)
        for rival in ("", *(_rivals() if scenario.rival else ())):
            row = run_row(scenario, how, say, rival)
            say(f"  {row.system}: {command.verdict_of(row.verdict, row.why)}")
            report.write(options.report, [row], list(SCENARIOS))
            rows += [row] if row.system == report.OURS else []
    return 0 if all(row.verdict in GOOD for row in rows) else 1


def _rivals() -> tuple[str, ...]:
    """Return the ways of calling over NATS that can be put to the same test here."""
    if why := nats.missing(tls=True):
        say(f"  without a rival: {why}")
        return ()
    return ("plain", "retrying")


def _peak() -> float:
    """Measure what a net of the usual shape can do."""
    with tempfile.TemporaryDirectory(prefix="faults-") as directory, FaultNet(Path(directory), Shape()) as net:
        net.start()
        peak = net.peak()
    say(f"the peak is {peak:,.0f} calls per second")
    return peak


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
