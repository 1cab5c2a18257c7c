"""What takes too long for each commit, one target after the other: ``make nightly``.

A target that fails stops none of the others, and one whose tools are missing is skipped. The reports of the matrices go
to build/nightly/, not to docs/. The exit code is 0 only if nothing failed.
"""

import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools.pythons import find_python

ROOT: Final = Path(__file__).parents[1]
REPORTS: Final = Path("build") / "nightly"

TARGETS: Final = (
    *("coverage", "test-3.11", "test-3.12", "test-3.13", "test-compiled", "bench-guard"),
    *("fuzz", "simulate", "promises", "attack", "faults"),
)
"""The quickest first."""

VARIABLES: Final = {
    "faults": (f"FAULTS=--report {REPORTS}",),
    "attack": (f"ATTACK=--report {REPORTS}",),
}
"""What make is told with a target."""

NEEDS: Final = {"test-compiled": "cc", "bench-guard": "valgrind"}
"""The programs that a target cannot do without."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a target."""

    target: str
    verdict: str
    seconds: float = 0.0


def lacking(target: str) -> str | None:
    """Say what is not here that a target needs, if anything is."""
    version = target.removeprefix("test-")
    if version != target and version[0].isdecimal() and find_python(version) is None:
        return f"no Python {version} here"
    if target == "fuzz" and sys.platform != "linux":
        return "atheris is for Linux"
    program = NEEDS.get(target)
    return f"no {program} here" if program is not None and shutil.which(program) is None else None


def run(target: str) -> Outcome:
    """Make a target, with all of its tests."""
    lack = lacking(target)
    if lack is not None:
        return Outcome(target, f"skipped: {lack}")
    print(f"\n=== {target}", flush=True)
    begun = time.monotonic()
    code = subprocess.run(
        ["make", target, "SELECT=", "EXAMPLES=12", *VARIABLES.get(target, ())], cwd=ROOT, check=False
    ).returncode
    return Outcome(target, f"failed: make ended with {code}" if code else "passed", time.monotonic() - begun)


def main(targets: tuple[str, ...]) -> int:
    """Make the targets, sum up, and return the exit code."""
    (ROOT / REPORTS).mkdir(parents=True, exist_ok=True)
    outcomes = [run(target) for target in targets or TARGETS]
    print()
    for outcome in outcomes:
        print(f"{outcome.target:<15}{outcome.seconds / 60:7.1f} min  {outcome.verdict}")
    return int(any(outcome.verdict.startswith("failed") for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main(tuple(sys.argv[1:])))
