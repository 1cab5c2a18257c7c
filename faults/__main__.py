"""`python -m faults`: run the rows of the fault matrix, all or those that are named, and write the report.

With --named, somebody watches the net in each row, and it is written down whether the fault was named.
"""

import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Final

from braidmq.lab.bench.systems import nats
from faults import command, naming, report
from faults.command import say
from faults.runner import Options, known_peak, peak_of_usual, run_row
from faults.scenario import Scenario
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
    parser.add_argument(
        "--named", action="store_true", help="see whether faults are named rightly and soon, and nothing in calm rows"
    )
    parser.add_argument(
        "--calm-minutes",
        type=float,
        default=1.0,
        metavar="N",
        help="how long the calm rows of --named last (default: 1)",
    )
    command.add_report(parser)
    parsed = parser.parse_args(arguments)
    rows = naming.rows(parsed.calm_minutes) if parsed.named else SCENARIOS
    listed = [(each.name, f"{each.fault}: {each.target}") for each in rows.values()]
    options = command.begin(parser, arguments, listed)
    if options is None:
        return 0
    if unknown := set(options.names) - set(rows):
        parser.error(f"there is no row {', '.join(sorted(unknown))}; --list shows all")
    if options.calm_minutes <= 0:
        parser.error("--calm-minutes must be more than 0")
    chosen = [rows[name] for name in options.names] or list(rows.values())
    if options.named:
        return naming.main(chosen, options)
    return _matrix(chosen, options)


def _matrix(chosen: Sequence[Scenario], options: Namespace) -> int:
    peak = options.rate or peak_of_usual()
    done = []
    for scenario in chosen:
        say(f"{scenario.name}: {scenario.fault}")
        how = Options(options.runs, options.quick, known_peak(scenario, options.rate, peak), options.length)
        for rival in ("", *(_rivals() if scenario.rival else ())):
            row = run_row(scenario, how, say, rival)
            say(f"  {row.system}: {command.verdict_of(row.verdict, row.why)}")
            report.write(options.report, [row], list(SCENARIOS))
            done += [row] if row.system == report.OURS else []
    return 0 if all(row.verdict in GOOD for row in done) else 1


def _rivals() -> tuple[str, ...]:
    """Return the ways of calling over NATS that can be put to the same test here."""
    if why := nats.missing(tls=True):
        say(f"  without a rival: {why}")
        return ()
    return ("plain", "retrying")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
