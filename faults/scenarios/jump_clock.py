"""The wall clocks of all processes jump an hour ahead, and back again.

The clock of one process cannot be set without setting that of the machine, so libfaketime does it (Debian: faketime).
It leaves CLOCK_MONOTONIC alone, as the kernel does when somebody sets the clock. What waits by that clock must be left
alone as well: else the waits of CPython's lock end at once, and two threads of a process take it from one another many
times as often as they should.
"""

import subprocess
import sys
from pathlib import Path
from time import time
from typing import Final

from faults.scenario import FLAWLESS, Run, Scenario

LIBRARIES: Final = ("usr/lib/*/faketime/libfaketime.so.1", "usr/lib*/faketime/libfaketime.so.1")
JUMP_S: Final = 3600


def library() -> Path | None:
    """Return libfaketime, if it is installed."""
    return next((path for pattern in LIBRARIES for path in Path("/").glob(pattern)), None)


def missing() -> str:
    """Return why the row cannot be run here; empty if it can."""
    return "" if library() else "libfaketime is not installed (Debian: apt install faketime)"


def offset_file(directory: Path) -> Path:
    """Return the file that says by how much the clocks are wrong."""
    return directory / "clock"


def own_clock() -> dict[str, str]:
    """Return what gives a process a wall clock of its own, and no other monotonic one."""
    return {
        "LD_PRELOAD": str(library()),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
    }


def environment(directory: Path) -> dict[str, str]:
    """Return what gives a process a clock of its own that can be set, right at first."""
    offset_file(directory).write_text("+0\n")
    return {**own_clock(), "FAKETIME_TIMESTAMP_FILE": str(offset_file(directory)), "FAKETIME_NO_CACHE": "1"}


def clock_is_off_by(env: dict[str, str]) -> float:
    """Return by how many seconds the clock of a process with this environment is ahead."""
    ask = [sys.executable, "-c", "import time; print(time.time())"]
    return float(subprocess.run(ask, env=env, capture_output=True, check=True, text=True).stdout) - time()


def act(run: Run) -> None:
    """Let the clocks jump ahead, stay there, and jump back."""
    net = run.net
    file = offset_file(net.directory)
    run.begin()
    file.write_text(f"+{JUMP_S}\n")
    run.figures["jumped_s"] = round(clock_is_off_by(net.env))
    run.last(run.length_s)
    file.write_text("+0\n")
    assert abs(clock_is_off_by(net.env)) < JUMP_S / 2, "the clocks did not jump back"
    run.last(run.length_s)
    run.heal()


SCENARIOS = (
    Scenario(
        "jump-clock",
        "all clocks jump an hour ahead, and back",
        "no change: 0 errors, 0 flagged",
        act,
        most={**FLAWLESS, "flagged": 0, "duplicated": 0},
        least={"jumped_s": JUMP_S - 60},
        length_s=10.0,
        quick_s=3.0,
        runs=5,
        env=environment,
        missing=missing,
    ),
)
