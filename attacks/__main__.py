"""`python -m attacks`: attack real nets in all ways of the security matrix, or in those that are named."""

import sys
from collections.abc import Sequence

from attacks import report
from attacks.runner import Options, run_row
from attacks.scenarios import SCENARIOS
from faults import command
from faults.command import say


def main(arguments: Sequence[str]) -> int:
    """Run; return 1 if a row misses its target."""
    parser = command.new_parser("attacks", __doc__, "SCENARIO", "those to run, or what their names begin with")
    parser.add_argument("--quick", action="store_true", help="one run each, and a short one")
    parser.add_argument("--seed", type=int, help="decides what is drawn, as in an earlier run that tells its seed")
    command.add_report(parser)
    options = command.begin(parser, arguments, [(each.name, each.attack) for each in SCENARIOS.values()])
    if options is None:
        return 0
    chosen = []
    for word in options.names:
        found = [each for name, each in SCENARIOS.items() if name == word or name.startswith(f"{word}-")]
        if not found:
            parser.error(f"there is no scenario {word}; --list shows all")
        chosen += found
    rows = []
    for scenario in chosen or SCENARIOS.values():
        say(f"{scenario.name}: {scenario.attack}")
        row = run_row(scenario, Options(options.runs, options.quick, options.seed), say)
        say(f"  {command.verdict_of(row.verdict, row.why)}")
        report.write(options.report, [row], list(SCENARIOS))
        rows.append(row)
    return 0 if all(row.verdict == "met" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
