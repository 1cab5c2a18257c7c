"""Instructions of cores and turns for an exchange, against a recorded baseline: ``python -m bench.guard [--record]``.

Valgrind counts them, so that a regression shows without the noise of a clock. The difference between a long and a short
run leaves out start-up. Counts depend on the interpreter: the baseline holds for the Python that it was recorded with.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

BASELINE: Final = Path(__file__).with_name("baseline.json")

BATCHES: Final = (1, 64)
"""Calls that begin in one turn: alone, and as many as share a frame."""

SHORT, LONG = 640, 1_920
"""Calls of the two runs; multiples of each batch."""

WORSE_MAX: Final = 1.03
"""How much more than the baseline is a regression: counts of the same code differ by less than 0.5 %."""

_LOAD: Final = (
    "import sys; from bench.pumped import Pumped; Pumped().exchange(int(sys.argv[1]), batch=int(sys.argv[2]))"
)


def instructions(calls: int, batch: int) -> int:
    """Return the instructions of a process that makes so many calls.

    It writes no byte code: the first one would do so for all the others.
    """
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    done = subprocess.run(
        [*command, sys.executable, "-c", _LOAD, str(calls), str(batch)],
        env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    if done.returncode or found is None:
        raise SystemExit(f"valgrind ended with {done.returncode}: {done.stderr[-2000:]}")
    return int(found[1].replace(",", ""))


def measured() -> dict[str, int]:
    """Return the instructions for each exchange, by batch."""
    return {str(batch): (instructions(LONG, batch) - instructions(SHORT, batch)) // (LONG - SHORT) for batch in BATCHES}


def main() -> int:
    """Measure, and record or compare; return the exit code."""
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: nothing was counted")
        return 0
    python = f"{platform.python_version()} {platform.machine()}"
    if sys.argv[1:] == ["--record"]:
        counts = measured()
        BASELINE.write_text(json.dumps({"python": python, "instructions": counts}, indent=2) + "\n")
        print(f"recorded: {counts}")
        return 0
    recorded = json.loads(BASELINE.read_text())
    if recorded["python"] != python:
        print(
            f"the baseline is of Python {recorded['python']}, this is {python}: record one of the code to compare with"
        )
        return 0
    worse = 0
    for batch, count in measured().items():
        ratio = count / recorded["instructions"][batch]
        worse |= ratio > WORSE_MAX
        print(f"{batch:>3} in a turn: {count:,} instructions for each exchange, {ratio:.3f} of the recorded ones")
    if worse:
        print(f"they take more than {WORSE_MAX} of the recorded instructions: mend it, or record why not by --record")
    return int(worse)


if __name__ == "__main__":
    sys.exit(main())
