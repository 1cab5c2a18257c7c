"""Runs atheris on one target after the other: `python -m fuzz SECONDS [--runs N] [--jobs N] [TARGET ...]`.

Each target is a module of this folder, and gets so many seconds of its own, and a process; with jobs, as many processes
that share what they find to be new, and the runs. That is kept in build/fuzz/TARGET/, what atheris says in
build/fuzz/TARGET.log, or TARGET.2.log of a second process. The exit code is 0 only if nothing was found.
"""

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Sequence
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


LOOK_S: Final = 0.2
"""How often it looks whether a process has ended."""


def run(target: str, seconds: int, runs: int, jobs: int = 1) -> bool:
    """Run a target, and say what came of it; return whether all was well.

    Args:
        target: its name.
        seconds: how long; 0: without a limit.
        runs: how many executions at most, of all processes together; -1: without a limit.
        jobs: how many processes.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    logs = [FOLDER / (f"{target}.{number}.log" if number > 1 else f"{target}.log") for number in range(1, jobs + 1)]
    command = [sys.executable, "-m", "fuzz.run", target, str(seconds)]
    processes = []
    for number, log in enumerate(logs):
        share = runs if runs < 0 else (runs + number) // jobs
        with log.open("wb") as output:
            arguments = [*command, str(share), str(FOLDER / target)]
            processes.append(subprocess.Popen(arguments, stdout=output, stderr=subprocess.STDOUT))
    failed = _first_failed(processes)
    executed = speed = 0
    for process, log in zip(processes, logs, strict=True):
        said = log.read_text(errors="replace")
        count, rate = _EXECUTED.search(said), _SPEED.search(said)
        if failed in (None, process) and (failed or count is None or rate is None):
            print(
                f"{target}: FOUND SOMETHING, or did not run: see {log}", *said.splitlines()[-30:], sep="\n", flush=True
            )
            return False
        executed += int(count[1]) if count else 0
        speed += int(rate[1]) if rate else 0
    print(f"{target}: {executed} executions, {speed} a second, nothing found", flush=True)
    return True


def _first_failed(processes: "Sequence[subprocess.Popen[bytes]]") -> "subprocess.Popen[bytes] | None":
    """Wait until all processes have ended, or one has failed, which ends the others; return that one."""
    try:
        while any(each.poll() is None for each in processes):
            if any(each.poll() for each in processes):
                break
            time.sleep(LOOK_S)
        return next((each for each in processes if each.poll()), None)
    finally:
        for each in processes:
            each.terminate()
            each.wait()


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("seconds", type=int, help="for each target; 0: no limit, if there is one to the runs")
    parser.add_argument("targets", nargs="*", metavar="target", help=f"of {', '.join(TARGETS)}; all without any")
    parser.add_argument("--runs", type=int, default=-1, help="at most so many executions of each target")
    parser.add_argument("--jobs", type=int, default=1, help="so many processes of each target at a time")
    asked = parser.parse_intermixed_args()
    unknown = set(asked.targets) - set(TARGETS)
    if unknown:
        parser.error(f"there is no target {unknown.pop()}")
    found = [target for target in asked.targets or TARGETS if not run(target, asked.seconds, asked.runs, asked.jobs)]
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
