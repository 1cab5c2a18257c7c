"""`python -m attacks`: attack real nets in all ways of the security matrix, or in those that are named."""

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from attacks import report
from attacks.runner import Options, run_row
from attacks.scenarios import SCENARIOS

DOCS: Final = Path(__file__).parent.parent / "docs"


def main(arguments: Sequence[str]) -> int:
    """Run; return 1 if a row misses its target."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # what was started is ended, whoever ends this
    parser = argparse.ArgumentParser(prog="attacks", description=__doc__)
    parser.add_argument(
        "rows",
        nargs="*",
        metavar="SCENARIO",
        help="those to run, or what their names begin with; all, if none is named",
    )
    parser.add_argument("--list", action="store_true", help="list the scenarios and end")
    parser.add_argument("--runs", type=int, metavar="N", help="how often each is run; each has its own number")
    parser.add_argument("--quick", action="store_true", help="one run each, and a short one")
    parser.add_argument("--seed", type=int, help="decides what is drawn, as in an earlier run that tells its seed")
    parser.add_argument("--report", type=Path, metavar="DIR", help=f"where the report goes; {DOCS.name}/ by default")
    options = parser.parse_args(arguments)
    logging.getLogger("braidmq").addHandler(logging.NullHandler())  # the observer's connections come and go
    if options.list:
        for scenario in SCENARIOS.values():
            print(f"{scenario.name:28}{scenario.attack}")
        return 0
    if options.runs is not None and options.runs < 1:
        parser.error("--runs must be at least 1")
    chosen = []
    for word in options.rows:
        found = [each for name, each in SCENARIOS.items() if name == word or name.startswith(f"{word}-")]
        if not found:
            parser.error(f"there is no scenario {word}; --list shows all")
        chosen += found
    rows = []
    for scenario in chosen or SCENARIOS.values():
        print(f"{scenario.name}: {scenario.attack}", flush=True)
        row = run_row(scenario, Options(options.runs, options.quick, options.seed), _say)
        print(f"  {row.verdict}{': ' if row.why else ''}{row.why}", flush=True)
        report.write(options.report or DOCS, [row], list(SCENARIOS))
        rows.append(row)
    return 0 if all(row.verdict == "met" for row in rows) else 1


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
