"""Runs atheris on one target after the other: `python -m fuzz SECONDS [--runs N] [TARGET ...]`.

Each target is a module of this folder, and gets a process and so many seconds of its own. What was found to be new is
kept in build/fuzz/TARGET/, what atheris says in build/fuzz/TARGET.log. The exit code is 0 only if nothing was found.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

TARGETS: Final = (
    *("envelope", "bundle", "control", "zmtp", "clear", "fragments"),
    *("http", "malamute", "patterns", "majordomo", "zgossip"),
    *("certificate", "manifest", "invitation", "enrolment", "enrolments", "codes", "joinfile", "statefile"),
)

FOLDER: Final = Path("build") / "fuzz"

_EXECUTED = re.compile(r"stat::number_of_executed_units: *(\d+)")
_SPEED = re.compile(r"stat::average_exec_per_sec: *(\d+)")


def run(target: str, seconds: int, runs: int) -> bool:
    """Run a target, and say what came of it; return whether all was well."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    log = FOLDER / f"{target}.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "fuzz.run", target, str(seconds), str(runs), str(FOLDER / target)]
        status = subprocess.run(command, check=False, stdout=output, stderr=subprocess.STDOUT).returncode
    said = log.read_text(errors="replace")
    executed, speed = _EXECUTED.search(said), _SPEED.search(said)
    if status or executed is None or speed is None:
        lines = said.splitlines()
        print(f"{target}: FOUND SOMETHING, or did not run: see {log}", *lines[-30:], sep="\n", flush=True)
        return False
    print(f"{target}: {executed[1]} executions, {speed[1]} a second, nothing found", flush=True)
    return True


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("seconds", type=int, help="for each target; 0: no limit, if there is one to the runs")
    parser.add_argument("targets", nargs="*", metavar="target", help=f"of {', '.join(TARGETS)}; all without any")
    parser.add_argument("--runs", type=int, default=-1, help="at most so many executions of each target")
    asked = parser.parse_intermixed_args()
    unknown = set(asked.targets) - set(TARGETS)
    if unknown:
        parser.error(f"there is no target {unknown.pop()}")
    found = [target for target in asked.targets or TARGETS if not run(target, asked.seconds, asked.runs)]
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
