"""`python -m faults`: run the rows of the fault matrix, all or those that are named, and write the report."""

import argparse
import logging
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from braidmq.bench.systems import nats
from faults import report
from faults.loaded import Shape
from faults.net import FaultNet
from faults.runner import Options, run_row
from faults.scenarios import SCENARIOS

DOCS: Final = Path(__file__).parent.parent / "docs"

GOOD: Final = ("met", "skipped", "pending")


def main(arguments: Sequence[str]) -> int:
    """Run; return 1 if a row misses its target."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # what was started is ended, whoever ends this
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="the rows to run; all, if none is named")
    parser.add_argument("--list", action="store_true", help="list the rows and end")
    parser.add_argument("--runs", type=int, help="how often each is run; each row has its own number")
    parser.add_argument("--quick", action="store_true", help="3 runs at most, and short ones")
    parser.add_argument(
        "--length", type=float, metavar="S", help="how long a fault lasts that lasts, instead of its own"
    )
    parser.add_argument("--rate", type=float, help="calls per second at the peak, instead of measuring them")
    parser.add_argument("--report", type=Path, metavar="DIR", help=f"where the report goes; {DOCS.name}/ by default")
    options = parser.parse_args(arguments)
    logging.getLogger("braidmq").addHandler(logging.NullHandler())  # the observer's connections come and go
    if options.list:
        for scenario in SCENARIOS.values():
            print(f"{scenario.name:16}{scenario.fault}: {scenario.target}")
        return 0
    if unknown := set(options.rows) - set(SCENARIOS):
        parser.error(f"there is no row {', '.join(sorted(unknown))}; --list shows all")
    chosen = [SCENARIOS[name] for name in options.rows] or list(SCENARIOS.values())
    peak = options.rate or _peak()
    rows = []
    for scenario in chosen:
        print(f"{scenario.name}: {scenario.fault}", flush=True)
        usual = scenario.shape == Shape() and not (scenario.wired and not options.rate)
        how = Options(options.runs, options.quick, peak if usual else None, options.length)
        for rival in ("", *(_rivals() if scenario.rival else ())):
            row = run_row(scenario, how, _say, rival)
            print(f"  {row.system}: {row.verdict}{': ' if row.why else ''}{row.why}", flush=True)
            report.write(options.report or DOCS, [row], list(SCENARIOS))
            rows += [row] if row.system == report.OURS else []
    return 0 if all(row.verdict in GOOD for row in rows) else 1


def _say(line: str) -> None:
    print(line, flush=True)


def _rivals() -> tuple[str, ...]:
    """Return the ways of calling over NATS that can be put to the same test here."""
    if why := nats.missing(tls=True):
        print(f"  without a rival: {why}", flush=True)
        return ()
    return ("plain", "retrying")


def _peak() -> float:
    """Measure what a net of the usual shape can do."""
    with tempfile.TemporaryDirectory(prefix="faults-") as directory, FaultNet(Path(directory), Shape()) as net:
        net.start()
        peak = net.peak()
    print(f"the peak is {peak:,.0f} calls per second", flush=True)
    return peak


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
